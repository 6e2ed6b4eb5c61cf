// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/awsloki/awsloki/exporter/lokiexporter/internal/queuestorage"
	"github.com/awsloki/awsloki/internal/lokipush"
)

// lane is the way of one tenant's lines to Loki: the Collector's queue, batcher, workers and retries, and what Loki has
// said about its limits. Each tenant has its own, so that none waits for another: the Collector's workers sleep while
// they wait to try again.
type lane struct {
	helper exporter.Logs
	sender *lokipush.Sender
	// storageID is where the queue is on disk. nil: it is not.
	storageID *component.ID
	logger    *zap.Logger
	// full says that it took nothing when it was last asked.
	full atomic.Bool
}

func (e *lokiExporter) newLane(ctx context.Context, tenant string) (*lane, error) {
	set := e.set
	if tenant != "" {
		set.ID = laneID(set.ID, tenant)
		set.Logger = set.Logger.With(zap.String("tenant", tenant))
	}
	// What was queued when there was no tenant yet is the present one's.
	l := &lane{storageID: e.config.storageID(), logger: set.Logger, sender: lokipush.NewSender(e.client, lokipush.SenderOptions{
		Tenant:   cmp.Or(tenant, e.config.Tenant.Value),
		Strict:   e.config.Strict,
		QueryURL: e.config.queryURL(),
	})}
	helper, err := xexporterhelper.NewLogsRequest(ctx, set, takeBatch,
		func(ctx context.Context, r xexporterhelper.Request) error { return e.push(ctx, l.sender, r.(*request)) },
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: false}),
		// The HTTP client has a timeout of its own.
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}),
		exporterhelper.WithRetry(e.config.RetryConfig),
		xexporterhelper.WithQueueBatch(e.config.QueueConfig, xexporterhelper.QueueBatchSettings{Encoding: requestEncoding{e.config.partitionKeys(), e.config.Resend.Verify, e.unreadable}}),
	)
	if err != nil {
		return nil, err
	}
	l.helper = helper
	return l, nil
}

// plainTenant is a tenant that can be part of a file's name as it is.
var plainTenant = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// laneID names a tenant's lane: in the Collector's metrics, and where the queue is stored.
func laneID(id component.ID, tenant string) component.ID {
	name := "tenant=" + tenant
	if !plainTenant.MatchString(tenant) {
		sum := sha256.Sum256([]byte(tenant))
		name = "tenant-sha256=" + hex.EncodeToString(sum[:])
	}
	if id.Name() != "" {
		name = id.Name() + "/" + name
	}
	return component.NewIDWithName(id.Type(), name)
}

func (l *lane) start(ctx context.Context, host component.Host) error {
	if l.storageID != nil {
		host = queuestorage.Host(host, *l.storageID, markUnsure, l.logger)
	}
	return l.helper.Start(ctx, host)
}

func (l *lane) shutdown(ctx context.Context) error {
	l.sender.Close()
	return l.helper.Shutdown(ctx)
}

// handOver is how a batch gets through the Collector's helper, which knows only log records. The context lives as long as
// the request does, hence the batch is taken out of it.
type handOver struct{ batch *lokipush.Batch }

type handOverKey struct{}

// consume takes a batch, which must not be used any more.
func (l *lane) consume(ctx context.Context, batch *lokipush.Batch) error {
	err := l.helper.ConsumeLogs(context.WithValue(ctx, handOverKey{}, &handOver{batch}), plog.NewLogs())
	l.full.Store(err != nil && !consumererror.IsPermanent(err))
	return err
}

func takeBatch(ctx context.Context, _ plog.Logs) (xexporterhelper.Request, error) {
	handed, ok := ctx.Value(handOverKey{}).(*handOver)
	if !ok || handed.batch == nil {
		return nil, errors.New("no batch to send")
	}
	r := &request{batch: handed.batch}
	handed.batch = nil
	return r, nil
}

// push delivers what a request holds. What is left of it, and may be delivered another time, stays in the request: the
// Collector sends the same one again.
func (e *lokiExporter) push(ctx context.Context, sender *lokipush.Sender, r *request) error {
	report := sender.Deliver(ctx, r.batch)
	e.record(ctx, &report)
	r.delivered = r.delivered || report.Delivered.Lines > 0
	if report.Remaining == nil {
		r.batch = new(lokipush.Batch)
		if !r.delivered && len(report.Refused) > 0 {
			return consumererror.NewPermanent(fmt.Errorf("nothing was delivered: %w", report.Refused[0].Err))
		}
		return nil
	}
	r.batch = report.Remaining
	if report.RetryAfter > 0 {
		return exporterhelper.NewThrottleRetry(report.Err, report.RetryAfter)
	}
	return report.Err
}
