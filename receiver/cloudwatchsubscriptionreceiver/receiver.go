// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"

	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/budget"
	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/dedup"
	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/metadata"
)

// transport is what the Collector's own metrics call the way that the data came.
const transport = "http"

// maxRequestRatio is how many times max_decoded_bytes, or its default if that is more, one request may take while it is in
// flight, along with the records that it is decoded to. What takes more is very many very short lines.
const maxRequestRatio = 4

// streamsShare is which part of max_in_flight_bytes streams may hold besides, so that long ones keep nobody else waiting.
const streamsShare = 2

// turns is how many requests are decoded and handed on at once: some may wait for a disk meanwhile, but with many more to a
// core each of them would wait too long for its answer.
func turns() int { return 8 * runtime.GOMAXPROCS(0) }

type subscriptionReceiver struct {
	config    *Config
	next      consumer.Logs
	telemetry component.TelemetrySettings
	obsreport *receiverhelper.ObsReport
	metrics   *metadata.TelemetryBuilder

	// id tells the metrics of several receivers apart.
	id        attribute.KeyValue
	component component.ID

	inputs map[string]*input
	// budget is that of requests, and streams that of those inputs that hand on while they read.
	budget, streams *budget.Budget
	// dedup is nil until Start, and where second deliveries are handed on.
	dedup *dedup.Store

	// piecePatience is a constant but for tests.
	piecePatience time.Duration

	// stopping is done when Shutdown begins, and cutting when it has no more time.
	stopping, cutting context.Context
	stop, cut         context.CancelFunc
	// server is nil until Start.
	server    *http.Server
	listening sync.WaitGroup
	// serving is read-locked by each request. Those that come when it is closed have come too late.
	serving sync.RWMutex
	closed  bool
}

func newSubscriptionReceiver(set receiver.Settings, config *Config, next consumer.Logs) (*subscriptionReceiver, error) {
	obsreport, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID:             set.ID,
		Transport:              transport,
		ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	metrics, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	most := maxRequestRatio * max(config.MaxDecodedBytes, defaultMaxDecodedBytes)
	r := &subscriptionReceiver{
		config:    config,
		next:      next,
		telemetry: set.TelemetrySettings,
		obsreport: obsreport,
		metrics:   metrics,
		id:        attribute.String("receiver", set.ID.String()),
		component: set.ID,
		budget:    budget.New(config.MaxInFlightBytes, most, turns()),
		streams:   budget.New(config.MaxInFlightBytes/streamsShare, most, turns()),
	}
	r.piecePatience = piecePatience
	r.stopping, r.stop = context.WithCancel(context.Background())
	r.cutting, r.cut = context.WithCancel(context.Background())
	r.inputs = r.makeInputs()
	return r, nil
}

// Start listens before it returns. A server that fails later reports the receiver's status as a fatal error.
func (r *subscriptionReceiver) Start(ctx context.Context, host component.Host) error {
	if err := r.openDedup(ctx, host); err != nil {
		return err
	}
	server, err := r.newServer(ctx, host)
	if err != nil {
		return fmt.Errorf("make the HTTP server: %w", err)
	}
	listener, err := r.config.ServerConfig.ToListener(ctx)
	if err != nil {
		return fmt.Errorf("listen on `endpoint` %s: %w", r.config.ServerConfig.NetAddr.Endpoint, err)
	}
	r.server = server
	r.listening.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
		}
	})
	return nil
}

// openDedup opens the memory of what was acknowledged, if there is to be one.
func (r *subscriptionReceiver) openDedup(ctx context.Context, host component.Host) error {
	config := r.config.Dedup
	switch {
	case config.Window == 0:
		return nil
	case config.Storage == nil:
		r.dedup = dedup.New(config.Window, config.MaxEntries)
		return nil
	}
	extension, ok := host.GetExtensions()[*config.Storage].(storage.Extension)
	if !ok {
		return fmt.Errorf("`dedup::storage`: %q is no storage extension that the service has", config.Storage)
	}
	client, err := extension.GetClient(ctx, component.KindReceiver, r.component, "dedup")
	if err != nil {
		return fmt.Errorf("`dedup::storage`: open %q: %w", config.Storage, err)
	}
	r.dedup, err = dedup.Open(ctx, config.Window, config.MaxEntries, client, r.telemetry.Logger)
	if err != nil {
		return fmt.Errorf("`dedup::storage`: read from %q: %w", config.Storage, err)
	}
	return nil
}

// Shutdown takes no new requests and waits for the answers to those that it has; streams end between two pieces. When ctx is
// done before, their connections are cut. Nothing is handed on any more when it returns.
func (r *subscriptionReceiver) Shutdown(ctx context.Context) error {
	defer r.metrics.Shutdown()
	r.stop()
	defer r.cut()
	var err error
	if r.server != nil {
		err = r.server.Shutdown(ctx)
		r.cut()
		if err != nil {
			err = errors.Join(err, r.server.Close())
		}
		r.listening.Wait()
		r.serving.Lock()
		r.closed = true
		r.serving.Unlock()
	}
	if r.dedup != nil {
		err = errors.Join(err, r.dedup.Close(ctx))
	}
	return err
}
