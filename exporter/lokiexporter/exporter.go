// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"context"
	"fmt"
	"net/http"
	"runtime"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/awsloki/awsloki/exporter/lokiexporter/internal/metadata"
	"github.com/awsloki/awsloki/internal/lokipush"
	"github.com/awsloki/awsloki/internal/tenant"
)

type lokiExporter struct {
	config    *Config
	telemetry component.TelemetrySettings
	header    http.Header
	encoder   *lokipush.Encoder
	metrics   *metadata.TelemetryBuilder
	// id tells the metrics of several exporters apart.
	id attribute.KeyValue

	// client is nil until start.
	client *lokipush.Client
}

func newLokiExporter(set exporter.Settings, config *Config) (*lokiExporter, error) {
	encoder, err := lokipush.NewEncoder(config.mapping())
	if err != nil {
		return nil, err
	}
	metrics, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	header.Set("User-Agent", fmt.Sprintf("%s/%s (%s/%s)", set.BuildInfo.Command, set.BuildInfo.Version, runtime.GOOS, runtime.GOARCH))
	if config.Tenant.Value != "" {
		header.Set(tenant.Header, config.Tenant.Value)
	}
	return &lokiExporter{
		config:    config,
		telemetry: set.TelemetrySettings,
		header:    header,
		encoder:   encoder,
		metrics:   metrics,
		id:        attribute.String("exporter", set.ID.String()),
	}, nil
}

// start makes the HTTP client, which may need extensions. They exist from here on.
func (e *lokiExporter) start(ctx context.Context, host component.Host) error {
	client, err := e.config.ClientConfig.ToClient(ctx, host.GetExtensions(), e.telemetry)
	if err != nil {
		return fmt.Errorf("make the HTTP client: %w", err)
	}
	e.client = lokipush.NewClient(client, e.config.ClientConfig.Endpoint, e.header)
	return nil
}

func (e *lokiExporter) shutdown(context.Context) error {
	e.metrics.Shutdown()
	return nil
}

func (e *lokiExporter) convert(_ context.Context, ld plog.Logs) (xexporterhelper.Request, error) {
	return &request{e.encoder.Encode(ld)}, nil
}

// push sends one request to Loki. Loki answers 422 to one without any lines, hence none is sent.
func (e *lokiExporter) push(ctx context.Context, r xexporterhelper.Request) error {
	batch := r.(*request).batch
	lines := batch.Lines()
	if lines == 0 {
		return nil
	}
	result := e.client.Push(ctx, batch)
	e.count(ctx, result, lines)
	switch result.Outcome {
	case lokipush.Delivered:
		return nil
	case lokipush.Refused:
		return consumererror.NewPermanent(result.Err)
	default:
		if result.RetryAfter > 0 {
			return exporterhelper.NewThrottleRetry(result.Err, result.RetryAfter)
		}
		return result.Err
	}
}

func (e *lokiExporter) count(ctx context.Context, result lokipush.Result, lines int) {
	exporter := metric.WithAttributeSet(attribute.NewSet(e.id))
	answer := metric.WithAttributeSet(attribute.NewSet(e.id, attribute.Int("http.response.status_code", result.Status)))
	e.metrics.ExporterLokiRequests.Add(ctx, 1, answer)
	e.metrics.ExporterLokiRequestBytes.Add(ctx, int64(result.Bytes), answer)
	switch result.Outcome {
	case lokipush.Delivered:
		e.metrics.ExporterLokiDeliveredLines.Add(ctx, int64(lines), exporter)
	case lokipush.Refused:
		e.metrics.ExporterLokiRefusedLines.Add(ctx, int64(lines), answer)
	}
}

// unreadable counts a batch that came back damaged from the queue on disk. How many lines it had is not known.
func (e *lokiExporter) unreadable(err error) {
	e.telemetry.Logger.Error("A batch in the queue cannot be read and is dropped.", zap.Error(err))
	e.metrics.ExporterLokiUnreadableBatches.Add(context.Background(), 1, metric.WithAttributeSet(attribute.NewSet(e.id)))
}
