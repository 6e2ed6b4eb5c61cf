// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/awsloki/awsloki/exporter/lokiexporter/internal/metadata"
	"github.com/awsloki/awsloki/internal/bytesize"
	"github.com/awsloki/awsloki/internal/lokipush"
)

const defaultEndpoint = "http://localhost:3100/loki/api/v1/push"

// defaultLabels are what tells AWS's logs and collectors apart, and the resource attributes that Loki makes labels of when
// logs come by OTLP, in its order (distributor.otlp.default_resource_attributes_as_index_labels). None of them has many
// values, and no record's attribute is among them. A resource that has all would have more labels than Loki takes: the
// first are those that matter most.
var defaultLabels = []LabelConfig{
	{Attribute: "service.name"},
	{Attribute: "collector.instance.id", Label: "collector"},
	{Attribute: "cloud.account.id"},
	{Attribute: "aws.log.group.names", Label: "log_group"},
	{Attribute: "aws.log.type"},
	{Attribute: "aws.log.source"},
	{Attribute: "service.namespace"},
	{Attribute: "service.instance.id"},
	{Attribute: "deployment.environment"},
	{Attribute: "deployment.environment.name"},
	{Attribute: "cloud.region"},
	{Attribute: "cloud.availability_zone"},
	{Attribute: "k8s.cluster.name"},
	{Attribute: "k8s.namespace.name"},
	{Attribute: "k8s.pod.name"},
	{Attribute: "k8s.container.name"},
	{Attribute: "container.name"},
	{Attribute: "k8s.replicaset.name"},
	{Attribute: "k8s.deployment.name"},
	{Attribute: "k8s.statefulset.name"},
	{Attribute: "k8s.daemonset.name"},
	{Attribute: "k8s.cronjob.name"},
	{Attribute: "k8s.job.name"},
}

// NewFactory returns the factory of the Loki exporter.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(
		metadata.Type,
		createDefaultConfig,
		exporter.WithLogs(createLogs, metadata.LogsStability),
	)
}

func createDefaultConfig() component.Config {
	client := confighttp.NewDefaultClientConfig()
	client.Endpoint = defaultEndpoint
	// As long as Loki itself gives a request.
	client.Timeout = 30 * time.Second

	queue := exporterhelper.NewDefaultQueueConfig()
	// Requests that overtake each other cost Loki a third more: it has to sort the chunks of their streams.
	queue.NumConsumers = 4
	// Loki does best with few requests of about 1 MiB, and cannot pass on one of 4 MiB (grpc_server_max_recv_msg_size).
	queue.Batch = configoptional.Some(exporterhelper.BatchConfig{
		FlushTimeout: time.Second,
		Sizer:        exporterhelper.RequestSizerTypeBytes,
		MinSize:      1 << 20,
		MaxSize:      2 << 20,
	})
	// For several tenants.
	client.MaxIdleConnsPerHost = client.MaxIdleConns

	retry := configretry.NewDefaultBackOffConfig()
	// Full jitter: each pause is between nothing and twice the interval, so that no two collectors keep step.
	retry.InitialInterval = 500 * time.Millisecond
	retry.RandomizationFactor = 1
	retry.Multiplier = 2
	retry.MaxInterval = 15 * time.Second
	// What was acknowledged is not dropped because Loki is away for long.
	retry.MaxElapsedTime = 0

	limits := lokipush.DefaultLimits()
	return &Config{
		ClientConfig:       client,
		QueueConfig:        configoptional.Some(queue),
		RetryConfig:        retry,
		Encoding:           lokipush.Protobuf,
		Tenant:             TenantConfig{MaxTenants: 1000},
		Labels:             slices.Clone(defaultLabels),
		StructuredMetadata: StructuredMetadataConfig{Mode: lokipush.MetadataRest},
		Line:               LineBody,
		Limits: LimitsConfig{
			MaxLineSize:                       bytesize.Size(limits.MaxLineSize),
			MaxLabelNamesPerSeries:            limits.MaxLabelNamesPerSeries,
			MaxLabelNameLength:                bytesize.Size(limits.MaxLabelNameLength),
			MaxLabelValueLength:               bytesize.Size(limits.MaxLabelValueLength),
			MaxStructuredMetadataSize:         bytesize.Size(limits.MaxStructuredMetadataSize),
			MaxStructuredMetadataEntriesCount: limits.MaxStructuredMetadataEntries,
		},
		Hints: true,
	}
}

func createLogs(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	return newLokiExporter(set, cfg.(*Config))
}
