// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadatatest"
)

// t0 is the time of arrival in the tests that have a clock which stands still.
const t0 = pcommon.Timestamp(1_772_600_767_000_000_000)

func oneRecord(ts pcommon.Timestamp) plog.Logs {
	ld := plog.NewLogs()
	lr := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.SetTimestamp(ts)
	return ld
}

func recordsOf(ld plog.Logs) []plog.LogRecord {
	var lrs []plog.LogRecord
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				lrs = append(lrs, lr)
			}
		}
	}
	return lrs
}

func stampsOf(ld plog.Logs) []pcommon.Timestamp {
	var stamps []pcommon.Timestamp
	for _, lr := range recordsOf(ld) {
		stamps = append(stamps, lr.Timestamp())
	}
	return stamps
}

func newTestProcessor(t *testing.T, clock *arrivalClock, change func(*Config)) *restampProcessor {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Instance.Value = "collector-1"
	change(cfg)
	p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	p.clock = clock
	require.NoError(t, p.start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, p.shutdown(context.Background())) })
	return p
}

func process(t *testing.T, p *restampProcessor, ld plog.Logs) plog.Logs {
	t.Helper()
	out, err := p.processLogs(t.Context(), ld)
	require.NoError(t, err)
	return out
}

func TestTimestamps(t *testing.T) {
	t.Parallel()
	const original = "log.record.original_timestamp"
	type record struct {
		timestamp, observed pcommon.Timestamp
		attributes          map[string]any
	}
	none := map[string]any{}
	for _, tt := range []struct {
		name     string
		change   func(*Config)
		in, want record
	}{
		{
			"replaced and kept",
			func(*Config) {},
			record{1_700_000_000_123_000_000, 5, none},
			record{t0, 5, map[string]any{original: "2023-11-14T22:13:20.123Z"}},
		},
		{
			"no observed timestamp",
			func(*Config) {},
			record{1_700_000_000_000_000_000, 0, none},
			record{t0, t0, map[string]any{original: "2023-11-14T22:13:20Z"}},
		},
		{
			"no timestamp",
			func(*Config) {},
			record{0, 5, none},
			record{t0, 5, none},
		},
		{
			"original kept by an earlier Collector",
			func(*Config) {},
			record{1_700_000_000_123_000_000, 5, map[string]any{original: "2020-02-02T02:02:02Z"}},
			record{t0, 5, map[string]any{original: "2020-02-02T02:02:02Z"}},
		},
		{
			"original of another type",
			func(*Config) {},
			record{1_700_000_000_123_000_000, 5, map[string]any{original: int64(7)}},
			record{t0, 5, map[string]any{original: int64(7)}},
		},
		{
			"under another name",
			func(cfg *Config) { cfg.OriginalAttribute = "source.timestamp" },
			record{1_700_000_000_123_456_789, 5, map[string]any{original: "x"}},
			record{t0, 5, map[string]any{original: "x", "source.timestamp": "2023-11-14T22:13:20.123456789Z"}},
		},
		{
			"not kept",
			func(cfg *Config) { cfg.OriginalAttribute = "" },
			record{1_700_000_000_123_000_000, 5, none},
			record{t0, 5, none},
		},
		{
			"never",
			func(cfg *Config) { cfg.Timestamps = TimestampsNever },
			record{1_700_000_000_123_000_000, 0, none},
			record{1_700_000_000_123_000_000, 0, none},
		},
		{
			"never, no timestamp",
			func(cfg *Config) { cfg.Timestamps = TimestampsNever },
			record{0, 0, none},
			record{0, 0, none},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ld := oneRecord(tt.in.timestamp)
			lr := recordsOf(ld)[0]
			lr.SetObservedTimestamp(tt.in.observed)
			require.NoError(t, lr.Attributes().FromRaw(tt.in.attributes))

			lr = recordsOf(process(t, newTestProcessor(t, fixedClock(int64(t0)), tt.change), ld))[0]
			assert.Equal(t, tt.want, record{lr.Timestamp(), lr.ObservedTimestamp(), lr.Attributes().AsRaw()})
		})
	}
}

func TestOrderWithinABatch(t *testing.T) {
	t.Parallel()
	ld := plog.NewLogs()
	for range 2 {
		rl := ld.ResourceLogs().AppendEmpty()
		for range 2 {
			records := rl.ScopeLogs().AppendEmpty().LogRecords()
			for range 2 {
				records.AppendEmpty()
			}
		}
	}
	p := newTestProcessor(t, fixedClock(int64(t0)), func(*Config) {})
	assert.Equal(t, []pcommon.Timestamp{t0, t0 + 1, t0 + 2, t0 + 3, t0 + 4, t0 + 5, t0 + 6, t0 + 7},
		stampsOf(process(t, p, ld)))
	assert.Equal(t, []pcommon.Timestamp{t0 + 8}, stampsOf(process(t, p, oneRecord(1))))
}

func TestInstance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		change   func(*Config)
		in, want map[string]any
	}{
		{"added", func(*Config) {}, map[string]any{"a": "b"}, map[string]any{"a": "b", "collector.instance.id": "collector-1"}},
		{
			"under another name",
			func(cfg *Config) { cfg.Instance.Attribute = "promtail" },
			map[string]any{},
			map[string]any{"promtail": "collector-1"},
		},
		{
			"never overwritten",
			func(*Config) {},
			map[string]any{"collector.instance.id": "collector-0"},
			map[string]any{"collector.instance.id": "collector-0"},
		},
		{
			"not even when empty",
			func(*Config) {},
			map[string]any{"collector.instance.id": ""},
			map[string]any{"collector.instance.id": ""},
		},
		{"off", func(cfg *Config) { cfg.Instance.Enabled = false }, map[string]any{}, map[string]any{}},
		{
			"with timestamps never",
			func(cfg *Config) { cfg.Timestamps = TimestampsNever },
			map[string]any{},
			map[string]any{"collector.instance.id": "collector-1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ld := oneRecord(1)
			// A second resource: each of them is marked.
			ld.ResourceLogs().At(0).CopyTo(ld.ResourceLogs().AppendEmpty())
			for _, rl := range ld.ResourceLogs().All() {
				require.NoError(t, rl.Resource().Attributes().FromRaw(tt.in))
			}
			out := process(t, newTestProcessor(t, fixedClock(int64(t0)), tt.change), ld)
			for _, rl := range out.ResourceLogs().All() {
				assert.Equal(t, tt.want, rl.Resource().Attributes().AsRaw())
			}
		})
	}
}

func TestInstanceName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		cfg      InstanceConfig
		hostname func() (string, error)
		want     string
		wantErr  string
	}{
		{
			name:     "configured",
			cfg:      InstanceConfig{Enabled: true, Value: "collector-1"},
			hostname: func() (string, error) { return "host-1", nil },
			want:     "collector-1",
		},
		{
			name:     "the host's",
			cfg:      InstanceConfig{Enabled: true},
			hostname: func() (string, error) { return "host-1", nil },
			want:     "host-1",
		},
		{
			name:     "the host has none",
			cfg:      InstanceConfig{Enabled: true},
			hostname: func() (string, error) { return "", nil },
			wantErr:  "`instance::value` is empty and so is the host's name",
		},
		{
			name:     "the host's cannot be read",
			cfg:      InstanceConfig{Enabled: true},
			hostname: func() (string, error) { return "", errors.New("no such file") },
			wantErr:  "`instance::value` is empty and the host's name cannot be read: no such file",
		},
		{
			name:     "not needed",
			cfg:      InstanceConfig{},
			hostname: func() (string, error) { return "", errors.New("no such file") },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), &Config{Instance: tt.cfg})
			require.NoError(t, err)
			p.hostname = tt.hostname
			err = p.start(t.Context(), componenttest.NewNopHost())
			if tt.wantErr != "" {
				require.EqualError(t, err, tt.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, p.instance)
		})
	}
}

func TestEmptyLogs(t *testing.T) {
	t.Parallel()
	p := newTestProcessor(t, fixedClock(int64(t0)), func(*Config) {})
	assert.Zero(t, process(t, p, plog.NewLogs()).ResourceLogs().Len())

	noRecords := plog.NewLogs()
	noRecords.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	assert.Zero(t, process(t, p, noRecords).LogRecordCount())

	assert.Equal(t, []pcommon.Timestamp{t0}, stampsOf(process(t, p, oneRecord(1))), "no time was used up")
}

func TestTelemetry(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		timestamps Timestamps
		want       []metricdata.DataPoint[int64]
	}{
		{TimestampsAlways, []metricdata.DataPoint[int64]{
			{Value: 2, Attributes: attribute.NewSet(
				attribute.String("processor", "restamp/test"), attribute.String("reason", "always"))},
		}},
		{TimestampsNever, nil},
	} {
		t.Run(string(tt.timestamps), func(t *testing.T) {
			t.Parallel()
			tel := componenttest.NewTelemetry()
			t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
			set := processortest.NewNopSettings(metadata.Type)
			set.ID = component.NewIDWithName(metadata.Type, "test")
			set.TelemetrySettings = tel.NewTelemetrySettings()
			p, err := newRestampProcessor(set, &Config{Timestamps: tt.timestamps})
			require.NoError(t, err)
			process(t, p, oneRecord(0))
			process(t, p, oneRecord(1))

			if tt.want == nil {
				_, err := tel.GetMetric("otelcol_processor_restamp_replaced")
				require.Error(t, err)
				return
			}
			metadatatest.AssertEqualProcessorRestampReplaced(t, tel, tt.want, metricdatatest.IgnoreTimestamp())
		})
	}
}

// TestNoAllocationPerRecord: without original_attribute a batch costs the same
// number of allocations however many records it has.
func TestNoAllocationPerRecord(t *testing.T) {
	p := newTestProcessor(t, fixedClock(int64(t0)), func(cfg *Config) { cfg.OriginalAttribute = "" })
	allocs := func(records int) float64 {
		ld := oneRecord(1)
		lrs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		for range records - 1 {
			lrs.AppendEmpty()
		}
		return testing.AllocsPerRun(100, func() { _, _ = p.processLogs(t.Context(), ld) })
	}
	assert.InDelta(t, allocs(1), allocs(1000), 1)
}
