// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/metadata"
)

const (
	defaultEndpoint         = "localhost:3500"
	defaultSubscriptionPath = "/cloudwatch/v1/subscription"
	defaultFirehosePath     = "/firehose/v1"
	defaultS3Path           = "/s3/v1/object"
	defaultLokiPushPath     = "/loki/api/v1/push"
	defaultMaxDecodedBytes  = 64 << 20
	defaultMaxInFlightBytes = 64 << 20
	defaultDedupWindow      = time.Hour
	defaultDedupMaxEntries  = 1_000_000
	// defaultMaxRequestBody is what confighttp has for a default of its own. Stated here so that the configuration shows it.
	defaultMaxRequestBody = 20 << 20
	defaultReadTimeout    = time.Minute
)

// NewFactory returns the factory of the receiver.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(
		metadata.Type,
		createDefaultConfig,
		receiver.WithLogs(createLogs, metadata.LogsStability),
	)
}

func createDefaultConfig() component.Config {
	server := confighttp.NewDefaultServerConfig()
	server.NetAddr.Endpoint = defaultEndpoint
	server.MaxRequestBodySize = defaultMaxRequestBody
	// Without it, one slow sender would keep the Collector from stopping.
	server.ReadTimeout = defaultReadTimeout
	return &Config{
		ServerConfig:     server,
		SubscriptionPath: defaultSubscriptionPath,
		FirehosePath:     defaultFirehosePath,
		S3Path:           defaultS3Path,
		LokiPushPath:     defaultLokiPushPath,
		MaxDecodedBytes:  defaultMaxDecodedBytes,
		MaxInFlightBytes: defaultMaxInFlightBytes,
		Dedup:            DedupConfig{Window: defaultDedupWindow, MaxEntries: defaultDedupMaxEntries},
	}
}

func createLogs(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	return newSubscriptionReceiver(set, cfg.(*Config), next)
}
