// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
)

// defaultStreamAttributes are those of the Loki exporter's default labels, in its
// order.
var defaultStreamAttributes = []string{
	"service.name",
	"collector.instance.id",
	"cloud.account.id",
	"aws.log.group.names",
	"aws.log.type",
	"aws.log.source",
	"service.namespace",
	"service.instance.id",
	"deployment.environment",
	"deployment.environment.name",
	"cloud.region",
	"cloud.availability_zone",
	"k8s.cluster.name",
	"k8s.namespace.name",
	"k8s.pod.name",
	"k8s.container.name",
	"container.name",
	"k8s.replicaset.name",
	"k8s.deployment.name",
	"k8s.statefulset.name",
	"k8s.daemonset.name",
	"k8s.cronjob.name",
	"k8s.job.name",
}

// NewFactory returns the factory of the restamp processor.
func NewFactory() processor.Factory {
	return processor.NewFactory(
		metadata.Type,
		createDefaultConfig,
		processor.WithLogs(createLogs, metadata.LogsStability),
	)
}

func createDefaultConfig() component.Config {
	return &Config{
		Timestamps:        TimestampsAlways,
		MaxAge:            time.Hour,
		StreamAttributes:  slices.Clone(defaultStreamAttributes),
		MaxAgeAbsolute:    7 * 24 * time.Hour,
		MaxFuture:         10 * time.Minute,
		MaxStreams:        100_000,
		IdleTimeout:       2 * time.Hour,
		OriginalAttribute: "log.record.original_timestamp",
		InOrder:           true,
		Instance: InstanceConfig{
			Enabled:   true,
			Attribute: "collector.instance.id",
		},
	}
}

func createLogs(ctx context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
	p, err := newRestampProcessor(set, cfg.(*Config), next)
	if err != nil {
		return nil, err
	}
	mutates := consumer.Capabilities{MutatesData: true}
	inner, err := consumer.NewLogs(p.consumeLogs, consumer.WithCapabilities(mutates))
	if err != nil {
		return nil, err
	}
	// The helper hands on what its function returns. Here the order in which
	// batches are handed on is part of the work, so it has to be done after it.
	unchanged := func(_ context.Context, ld plog.Logs) (plog.Logs, error) { return ld, nil }
	return processorhelper.NewLogs(ctx, set, cfg, inner, unchanged,
		processorhelper.WithCapabilities(mutates),
		processorhelper.WithStart(p.start),
		processorhelper.WithShutdown(p.shutdown),
	)
}
