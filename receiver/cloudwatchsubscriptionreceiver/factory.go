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
	defaultMaxDecodedBytes  = 64 << 20
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
		MaxDecodedBytes:  defaultMaxDecodedBytes,
	}
}

func createLogs(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	return newSubscriptionReceiver(set, cfg.(*Config), next)
}
