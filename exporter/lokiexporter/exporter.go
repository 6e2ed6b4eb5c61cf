// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/awsloki/awsloki/exporter/lokiexporter/internal/metadata"
	"github.com/awsloki/awsloki/internal/lokipush"
	"github.com/awsloki/awsloki/internal/redelivery"
	"github.com/awsloki/awsloki/internal/tenant"
)

type lokiExporter struct {
	set     exporter.Settings
	config  *Config
	header  http.Header
	encoder *lokipush.Encoder
	metrics *metadata.TelemetryBuilder
	lanes   lanes

	// http and client are nil until start.
	http   *http.Client
	client *lokipush.Client
}

var _ exporter.Logs = (*lokiExporter)(nil)

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
	e := &lokiExporter{set: set, config: config, header: header, encoder: encoder, metrics: metrics}
	e.lanes = lanes{create: e.newLane, max: config.Tenant.MaxTenants, logger: set.Logger}
	return e, nil
}

// Capabilities implements consumer.Logs.
func (e *lokiExporter) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// Start implements component.Component. It makes the HTTP client, which may need extensions, and opens the queues.
func (e *lokiExporter) Start(ctx context.Context, host component.Host) error {
	httpClient, err := e.config.ClientConfig.ToClient(ctx, host.GetExtensions(), e.set.TelemetrySettings)
	if err != nil {
		return fmt.Errorf("make the HTTP client: %w", err)
	}
	e.http = httpClient
	e.client = lokipush.NewClient(httpClient, e.config.ClientConfig.Endpoint, e.header, e.config.Encoding)
	return e.lanes.start(ctx, host, e.set.ID, e.config.storageID(), e.config.Tenant.Value)
}

// Shutdown implements component.Component.
func (e *lokiExporter) Shutdown(ctx context.Context) error {
	err := e.lanes.shutdown(ctx)
	if e.http != nil {
		e.http.CloseIdleConnections()
	}
	e.metrics.Shutdown()
	return err
}

// ConsumeLogs implements consumer.Logs. Each tenant's lines are put into its own queue.
func (e *lokiExporter) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	fallback, err := e.tenantOf(ctx)
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	encoded := e.encoder.Encode(ld)
	if redelivery.Marked(ctx) {
		for _, part := range encoded.Parts {
			part.Batch.SetUnsure()
		}
	}
	parts, refused, err := e.route(ctx, encoded.Parts, fallback)
	if err != nil {
		return err
	}
	// What will come again counts then.
	if err = consume(ctx, parts); err == nil || consumererror.IsPermanent(err) {
		e.recordChanges(ctx, &encoded.Changes)
		for _, refusal := range refused {
			e.refused(ctx, refusal)
		}
	}
	return err
}

// tenantOf returns the tenant of records that do not say themselves.
func (e *lokiExporter) tenantOf(ctx context.Context) (string, error) {
	key := e.config.Tenant.MetadataKey
	if key == "" {
		return e.config.Tenant.Value, nil
	}
	values := client.FromContext(ctx).Metadata.Get(key)
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return "", nil
	}
	if len(values) > 1 {
		return "", fmt.Errorf("client metadata %q: there must be one value, found %d", key, len(values))
	}
	if err := tenant.Check(values[0]); err != nil {
		return "", fmt.Errorf("client metadata %q: %w", key, err)
	}
	return values[0], nil
}

// routed is a batch and the lane that it goes.
type routed struct {
	lane  *lane
	batch *lokipush.Batch
}

// route finds the lane of each part. If one is full, the sender is to send everything again: hence those that were full
// when they were last asked come first, before others have taken anything.
//
// The lines of a tenant that is one too many are refused, so that the others are not.
func (e *lokiExporter) route(ctx context.Context, parts []lokipush.Part, fallback string) (all []routed, refused []lokipush.Refusal, err error) {
	for _, part := range parts {
		found, err := e.lanes.get(ctx, cmp.Or(part.Tenant, fallback))
		if errors.Is(err, errTooMany) {
			refused = append(refused, lokipush.Refusal{Reason: lokipush.TooManyTenants, Lines: part.Batch.Lines(), Err: err})
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if next := (routed{found, part.Batch}); found.full.Load() {
			all = slices.Insert(all, 0, next)
		} else {
			all = append(all, next)
		}
	}
	return all, refused, nil
}

// consume puts all batches into the queues of their lanes, up to one that cannot take it now.
func consume(ctx context.Context, parts []routed) error {
	var refused []error
	for _, part := range parts {
		err := part.lane.consume(ctx, part.batch)
		if err != nil && !consumererror.IsPermanent(err) {
			return err
		}
		refused = append(refused, err)
	}
	return errors.Join(refused...)
}

func (e *lokiExporter) withID(more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, attribute.String("exporter", e.set.ID.String()))...))
}

func (e *lokiExporter) recordChanges(ctx context.Context, changes *lokipush.Changes) {
	id := e.withID()
	add := func(counter metric.Int64Counter, n int) {
		if n > 0 {
			counter.Add(ctx, int64(n), id)
		}
	}
	add(e.metrics.ExporterLokiTruncatedLines, changes.TruncatedLines)
	add(e.metrics.ExporterLokiDemotedLabels, changes.DemotedLabels)
	add(e.metrics.ExporterLokiDroppedMetadata, changes.DroppedMetadata)
	if changes.BadTenantLines > 0 {
		e.refused(ctx, lokipush.Refusal{Reason: lokipush.InvalidTenant, Lines: changes.BadTenantLines, Err: changes.BadTenant})
	}
}

func (e *lokiExporter) record(ctx context.Context, report *lokipush.Report) {
	id := e.withID()
	for _, request := range report.Requests {
		status := e.withID(attribute.Int("http.response.status_code", request.Status))
		e.metrics.ExporterLokiRequests.Add(ctx, 1, status)
		e.metrics.ExporterLokiRequestBytes.Add(ctx, int64(request.Bytes), status)
	}
	if report.Delivered.Lines > 0 {
		e.metrics.ExporterLokiDeliveredLines.Add(ctx, int64(report.Delivered.Lines), id)
		e.metrics.ExporterLokiDeliveredBytes.Add(ctx, int64(report.Delivered.Bytes), id)
	}
	for _, refusal := range report.Refused {
		e.refused(ctx, refusal)
	}
	if report.Divisions > 0 {
		e.metrics.ExporterLokiDivisions.Add(ctx, int64(report.Divisions), id)
	}
	if report.DroppedMetadata > 0 {
		e.metrics.ExporterLokiDroppedMetadata.Add(ctx, int64(report.DroppedMetadata), id)
	}
	e.recordResent(ctx, &report.Resent)
	if report.Held > 0 {
		e.metrics.ExporterLokiHeldBackSeconds.Add(ctx, report.Held.Seconds(), id)
	}
}

func (e *lokiExporter) recordResent(ctx context.Context, resent *lokipush.Resent) {
	if resent.Unasked > 0 {
		e.set.Logger.Warn("Loki could not be asked which lines it has. They are sent again.",
			zap.Int("lines", resent.Unasked), zap.Error(resent.Err))
	}
	for outcome, lines := range map[string]int{
		"found": resent.Found, "missing": resent.Missing, "repeated": resent.Repeated, "unasked": resent.Unasked,
	} {
		if lines > 0 {
			e.metrics.ExporterLokiResentLines.Add(ctx, int64(lines), e.withID(attribute.String("outcome", outcome)))
		}
	}
}

func (e *lokiExporter) refused(ctx context.Context, refusal lokipush.Refusal) {
	e.set.Logger.Warn("Lines are refused and not sent again.",
		zap.String("reason", string(refusal.Reason)), zap.Int("lines", refusal.Lines), zap.Error(refusal.Err))
	e.metrics.ExporterLokiRefusedLines.Add(ctx, int64(refusal.Lines), e.withID(attribute.String("reason", string(refusal.Reason))))
}

// unreadable counts a batch that came back damaged from the queue on disk. How many lines it had is not known.
func (e *lokiExporter) unreadable(err error) {
	e.set.Logger.Error("A batch in the queue cannot be read and is dropped.", zap.Error(err))
	e.metrics.ExporterLokiUnreadableBatches.Add(context.Background(), 1, e.withID())
}
