// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
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
	a, err := newRestampProcessor(set, createDefaultConfig().(*Config))
	require.NoError(t, err)
	b, err := newRestampProcessor(set, createDefaultConfig().(*Config))
	require.NoError(t, err)
	assert.Same(t, a.clock, b.clock)
}
