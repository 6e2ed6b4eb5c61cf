// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
)

func TestDefaultConfig(t *testing.T) {
	t.Parallel()
	cfg := NewFactory().CreateDefaultConfig()
	require.NoError(t, componenttest.CheckConfigStruct(cfg))
	assert.NoError(t, cfg.(*Config).Validate())
}

func newLogs(t *testing.T, change func(*Config)) (processor.Logs, *consumertest.LogsSink) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Instance.Value = "collector-1"
	change(cfg)
	sink := new(consumertest.LogsSink)
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, p.Shutdown(context.Background())) })
	return p, sink
}

func TestVerifyShutdown(t *testing.T) {
	t.Parallel()
	processortest.VerifyShutdown(t, NewFactory(), createDefaultConfig())
}

// TestConsumeLogs has two pipelines of one Collector take turns, with the real
// clock.
func TestConsumeLogs(t *testing.T) {
	t.Parallel()
	a, sinkA := newLogs(t, func(*Config) {})
	b, sinkB := newLogs(t, func(cfg *Config) { cfg.OriginalAttribute = "" })
	assert.True(t, a.Capabilities().MutatesData)

	last := pcommon.NewTimestampFromTime(time.Now())
	for i := range 100 {
		require.NoError(t, a.ConsumeLogs(t.Context(), oneRecord(1)))
		require.NoError(t, b.ConsumeLogs(t.Context(), oneRecord(1)))
		for _, sink := range []*consumertest.LogsSink{sinkA, sinkB} {
			require.Len(t, sink.AllLogs(), i+1)
			at := stampsOf(sink.AllLogs()[i])[0]
			require.Greater(t, at, last)
			last = at
		}
	}
	assert.WithinDuration(t, time.Now(), last.AsTime(), time.Minute)
}

// TestProcessorsShareTheirClock: otherwise two pipelines could give one
// timestamp twice in a stream that both write to.
func TestProcessorsShareTheirClock(t *testing.T) {
	t.Parallel()
	set := processortest.NewNopSettings(metadata.Type)
	a, err := newRestampProcessor(set, createDefaultConfig().(*Config), consumertest.NewNop())
	require.NoError(t, err)
	b, err := newRestampProcessor(set, createDefaultConfig().(*Config), consumertest.NewNop())
	require.NoError(t, err)
	assert.Same(t, a.stamper.(*always).clock, b.stamper.(*always).clock)
}

// waiting is a next component that says when it has begun with a batch, and ends
// when it is told to.
type waiting struct {
	consumertest.LogsSink
	begun, end chan struct{}
}

func (w *waiting) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	w.begun <- struct{}{}
	<-w.end
	return w.LogsSink.ConsumeLogs(ctx, ld)
}

// TestInOrder: while a batch is being handed on, others wait for as long as
// their senders do.
func TestInOrder(t *testing.T) {
	t.Parallel()
	next := &waiting{begun: make(chan struct{}, 2), end: make(chan struct{})}
	p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), createDefaultConfig().(*Config), next)
	require.NoError(t, err)
	first := make(chan error)
	go func() { first <- p.consumeLogs(t.Context(), oneRecord(1)) }()
	<-next.begun

	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	ld := oneRecord(1)
	err = p.consumeLogs(impatient, ld)
	require.EqualError(t, err, "waiting for the batches before this one to be handed on: context canceled")
	assert.False(t, consumererror.IsPermanent(err))
	assert.Equal(t, []pcommon.Timestamp{1}, stampsOf(ld), "it can be tried again")

	require.ErrorIs(t, err, context.Canceled)

	close(next.end)
	require.NoError(t, <-first)
	require.NoError(t, p.consumeLogs(t.Context(), ld))
	assert.Len(t, next.AllLogs(), 2)
}

// TestOneBatchAtATime is handed on, however many come.
func TestOneBatchAtATime(t *testing.T) {
	t.Parallel()
	var batches, most atomic.Int64
	next, err := consumer.NewLogs(func(context.Context, plog.Logs) error {
		if n := batches.Add(1); n > most.Load() {
			most.Store(n)
		}
		runtime.Gosched()
		batches.Add(-1)
		return nil
	})
	require.NoError(t, err)
	p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), createDefaultConfig().(*Config), next)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 100 {
				assert.NoError(t, p.consumeLogs(t.Context(), oneRecord(1)))
			}
		})
	}
	wg.Wait()
	assert.Equal(t, int64(1), most.Load())
}

// TestNextPanics: the batch after has its turn.
func TestNextPanics(t *testing.T) {
	t.Parallel()
	next, err := consumer.NewLogs(func(context.Context, plog.Logs) error { panic("of the next component") })
	require.NoError(t, err)
	p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), createDefaultConfig().(*Config), next)
	require.NoError(t, err)
	for range 2 {
		assert.Panics(t, func() { _ = p.consumeLogs(t.Context(), oneRecord(1)) })
	}
}

// TestNotInOrder: a slow next component gets several batches at once.
func TestNotInOrder(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*Config){
		func(cfg *Config) { cfg.InOrder = false },
		func(cfg *Config) { cfg.InOrder, cfg.Timestamps = false, TimestampsAsNeeded },
		func(cfg *Config) { cfg.Timestamps = TimestampsNever },
	} {
		next := &waiting{begun: make(chan struct{}, 2), end: make(chan struct{})}
		cfg := createDefaultConfig().(*Config)
		change(cfg)
		p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), cfg, next)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { assert.NoError(t, p.consumeLogs(t.Context(), oneRecord(1))) })
		}
		<-next.begun
		<-next.begun
		close(next.end)
		wg.Wait()
	}
}

// TestNextRefuses: what the next component says is the sender's answer, and the
// next batch has its turn.
func TestNextRefuses(t *testing.T) {
	t.Parallel()
	full := errors.New("sending queue is full")
	p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), createDefaultConfig().(*Config), consumertest.NewErr(full))
	require.NoError(t, err)
	for range 2 {
		require.ErrorIs(t, p.consumeLogs(t.Context(), oneRecord(1)), full)
	}
}
