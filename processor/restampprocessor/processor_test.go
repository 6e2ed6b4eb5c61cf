// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
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

func oneRecord(at pcommon.Timestamp) plog.Logs { return records(at) }

// records are of one resource and scope.
func records(at ...pcommon.Timestamp) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, ts := range at {
		lrs.AppendEmpty().SetTimestamp(ts)
	}
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

// newTestProcessor returns a processor that hands on to a sink.
func newTestProcessor(t *testing.T, clock *arrivalClock, change func(*Config)) *restampProcessor {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Instance.Value = "collector-1"
	change(cfg)
	p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), cfg, new(consumertest.LogsSink))
	require.NoError(t, err)
	p.setClock(clock)
	require.NoError(t, p.start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, p.shutdown(context.Background())) })
	return p
}

func (p *restampProcessor) setClock(clock *arrivalClock) {
	switch s := p.stamper.(type) {
	case *always:
		s.clock = clock
	case *asNeeded:
		s.clock = clock
	}
}

// handedOn returns the batches that a processor with a sink has handed on, in order.
func (p *restampProcessor) handedOn() []plog.Logs { return p.next.(*consumertest.LogsSink).AllLogs() }

func process(t *testing.T, p *restampProcessor, ld plog.Logs) plog.Logs {
	t.Helper()
	require.NoError(t, p.consumeLogs(t.Context(), ld))
	batches := p.handedOn()
	return batches[len(batches)-1]
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
			lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
			for range 2 {
				lrs.AppendEmpty()
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
			p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), &Config{Instance: tt.cfg}, consumertest.NewNop())
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
	point := func(value int64, attributes ...attribute.KeyValue) metricdata.DataPoint[int64] {
		attributes = append(attributes, attribute.String("processor", "restamp/test"))
		return metricdata.DataPoint[int64]{Value: value, Attributes: attribute.NewSet(attributes...)}
	}
	replaced := func(value int64, why string) metricdata.DataPoint[int64] {
		return point(value, attribute.String("reason", why))
	}
	type points = []metricdata.DataPoint[int64]
	for _, tt := range []struct {
		timestamps                 Timestamps
		replaced, streams, evicted points
	}{
		{timestamps: TimestampsAlways, replaced: points{replaced(9, "always")}},
		{
			timestamps: TimestampsAsNeeded,
			replaced: points{
				replaced(1, "no_timestamp"), replaced(1, "greater_than_max_sample_age"),
				replaced(2, "too_far_in_future"), replaced(2, "too_far_behind"),
			},
			streams: points{point(2)},
			evicted: points{point(1)},
		},
		{timestamps: TimestampsNever},
	} {
		t.Run(string(tt.timestamps), func(t *testing.T) {
			t.Parallel()
			tel := componenttest.NewTelemetry()
			t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
			set := processortest.NewNopSettings(metadata.Type)
			set.ID = component.NewIDWithName(metadata.Type, "test")
			set.TelemetrySettings = tel.NewTelemetrySettings()
			cfg := createDefaultConfig().(*Config)
			cfg.Timestamps = tt.timestamps
			cfg.MaxStreams = 2
			p, err := newRestampProcessor(set, cfg, new(consumertest.LogsSink))
			require.NoError(t, err)
			p.setClock(fixedClock(int64(t0)))
			const hour = pcommon.Timestamp(time.Hour)
			for service, at := range [][]pcommon.Timestamp{{0, t0 - 200*hour, t0 + hour}, {t0 + hour, t0}, {t0, t0 - 2*hour, t0 - hour}} {
				ld := records(at...)
				ld.ResourceLogs().At(0).Resource().Attributes().PutInt("service.name", int64(service))
				process(t, p, ld)
			}
			process(t, p, plog.NewLogs())
			last := oneRecord(t0) // evicts nothing: the eviction before is counted once
			last.ResourceLogs().At(0).Resource().Attributes().PutInt("service.name", 2)
			process(t, p, last)

			for _, metric := range []struct {
				name   string
				want   points
				assert func(*testing.T, *componenttest.Telemetry, points, ...metricdatatest.Option)
			}{
				{"otelcol_processor_restamp_replaced", tt.replaced, metadatatest.AssertEqualProcessorRestampReplaced},
				{"otelcol_processor_restamp_streams", tt.streams, metadatatest.AssertEqualProcessorRestampStreams},
				{"otelcol_processor_restamp_evicted_streams", tt.evicted, metadatatest.AssertEqualProcessorRestampEvictedStreams},
			} {
				if metric.want != nil {
					metric.assert(t, tel, metric.want, metricdatatest.IgnoreTimestamp())
				} else {
					_, err := tel.GetMetric(metric.name)
					require.Error(t, err)
				}
			}
		})
	}
}

// TestNoAllocationPerRecord: without original_attribute a batch costs the same
// number of allocations however many records it has.
func TestNoAllocationPerRecord(t *testing.T) {
	for _, timestamps := range []Timestamps{TimestampsAlways, TimestampsAsNeeded} {
		p := newTestProcessor(t, fixedClock(int64(t0)), func(cfg *Config) {
			cfg.Timestamps = timestamps
			cfg.OriginalAttribute = ""
		})
		p.next = consumertest.NewNop()
		allocs := func(n int) float64 {
			at := make([]pcommon.Timestamp, n)
			for i := range at {
				at[i] = t0 - pcommon.Timestamp(i%2)*pcommon.Timestamp(2*time.Hour)
			}
			ld := records(at...)
			return testing.AllocsPerRun(100, func() {
				lrs := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
				for i := range lrs.Len() {
					lrs.At(i).SetTimestamp(at[i])
				}
				_ = p.consumeLogs(t.Context(), ld)
			})
		}
		assert.InDelta(t, allocs(1), allocs(1000), 1, timestamps)
	}
}
