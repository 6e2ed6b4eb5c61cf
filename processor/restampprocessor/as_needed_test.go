// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	second = pcommon.Timestamp(time.Second)
	minute = pcommon.Timestamp(time.Minute)
	hour   = pcommon.Timestamp(time.Hour)
	day    = 24 * hour
)

func asNeededMode(cfg *Config) { cfg.Timestamps = TimestampsAsNeeded }

func TestAsNeeded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Config)
		in     []pcommon.Timestamp
		want   []pcommon.Timestamp
	}{
		{"in order", nil, []pcommon.Timestamp{t0 - 2, t0 - 1, t0}, []pcommon.Timestamp{t0 - 2, t0 - 1, t0}},
		{"equal", nil, []pcommon.Timestamp{t0, t0}, []pcommon.Timestamp{t0, t0}},
		{"behind by no more than max_age", nil, []pcommon.Timestamp{t0, t0 - hour}, []pcommon.Timestamp{t0, t0 - hour}},
		{"behind by more", nil, []pcommon.Timestamp{t0, t0 - hour - 1}, []pcommon.Timestamp{t0, t0 + 1}},
		{"the oldest", nil, []pcommon.Timestamp{t0 - 7*day}, []pcommon.Timestamp{t0 - 7*day}},
		{"older", nil, []pcommon.Timestamp{t0 - 7*day - 1}, []pcommon.Timestamp{t0}},
		{"the latest", nil, []pcommon.Timestamp{t0 + 10*minute}, []pcommon.Timestamp{t0 + 10*minute}},
		{"later", nil, []pcommon.Timestamp{t0 + 10*minute + 1}, []pcommon.Timestamp{t0}},
		{"no time", nil, []pcommon.Timestamp{0, 0}, []pcommon.Timestamp{t0, t0 + 1}},
		{"beyond int64, which is none", nil, []pcommon.Timestamp{math.MaxUint64, math.MaxInt64 + 1}, []pcommon.Timestamp{t0, t0 + 1}},
		{
			"an old stream that will soon be too old: late ones do not follow it",
			nil,
			[]pcommon.Timestamp{t0 - 7*day + hour, t0 - 8*day, t0},
			[]pcommon.Timestamp{t0 - 7*day + hour, t0 + 1, t0},
		},
		{
			"an old stream that will not: late ones follow it",
			nil,
			[]pcommon.Timestamp{t0 - 7*day + hour + 1, t0 - 8*day},
			[]pcommon.Timestamp{t0 - 7*day + hour + 1, t0 - 7*day + hour + 2},
		},
		{
			"nothing of the future",
			func(cfg *Config) { cfg.MaxFuture = 0 },
			[]pcommon.Timestamp{0, t0 + 1, t0 - 8*day},
			[]pcommon.Timestamp{t0 - 2, t0 - 1, t0},
		},
		{
			"old ones read in: one that is late does not make the others late",
			nil,
			[]pcommon.Timestamp{t0 - 2*day, t0 - 3*day, t0 - 2*day + second, t0 - 9*day},
			[]pcommon.Timestamp{t0 - 2*day, t0 - 2*day + 1, t0 - 2*day + second, t0 - 2*day + second + 1},
		},
		{
			"one that is present makes the older ones late",
			nil,
			[]pcommon.Timestamp{t0 - 2*day, t0, t0 - 2*day},
			[]pcommon.Timestamp{t0 - 2*day, t0, t0 + 2},
		},
		{
			"strict order",
			func(cfg *Config) { cfg.MaxAge = 0 },
			[]pcommon.Timestamp{t0 - second, t0 - minute, t0 - second + 1, t0 - second},
			[]pcommon.Timestamp{t0 - second, t0 - second + 1, t0 - second + 1, t0 - second + 2},
		},
		{
			"after the latest that is taken",
			func(cfg *Config) { cfg.MaxAge = time.Minute },
			[]pcommon.Timestamp{t0 + 10*minute, 0, 0},
			[]pcommon.Timestamp{t0 + 10*minute, t0 + 10*minute - 1, t0 + 10*minute},
		},
		{
			"a stream ahead of the clock",
			func(cfg *Config) { cfg.MaxAge = time.Second },
			[]pcommon.Timestamp{t0 + 10*minute, t0, t0 + 10*minute - second},
			[]pcommon.Timestamp{t0 + 10*minute, t0 + 10*minute - 1, t0 + 10*minute - second},
		},
		{
			"no limits to speak of",
			func(cfg *Config) {
				cfg.MaxAge, cfg.MaxAgeAbsolute, cfg.MaxFuture = math.MaxInt64, math.MaxInt64, math.MaxInt64
			},
			[]pcommon.Timestamp{math.MaxInt64, 1, t0},
			[]pcommon.Timestamp{math.MaxInt64, 1, t0},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newTestProcessor(t, fixedClock(int64(t0)), func(cfg *Config) {
				asNeededMode(cfg)
				if tt.change != nil {
					tt.change(cfg)
				}
			})
			assert.Equal(t, tt.want, stampsOf(process(t, p, records(tt.in...))))
		})
	}
}

// TestAsNeededObserved: where the source gave no time, the time of observation is
// the one that Loki sees, and it stays as long as Loki takes it.
func TestAsNeededObserved(t *testing.T) {
	t.Parallel()
	p := newTestProcessor(t, fixedClock(int64(t0)), asNeededMode)
	ld := records(0, t0-hour-minute, 0)
	recordsOf(ld)[0].SetObservedTimestamp(t0 - minute)
	recordsOf(ld)[2].SetObservedTimestamp(t0 - 8*day)
	out := recordsOf(process(t, p, ld))

	assert.Equal(t, pcommon.Timestamp(0), out[0].Timestamp())
	assert.Equal(t, t0-minute, out[0].ObservedTimestamp())
	assert.Zero(t, out[0].Attributes().Len())

	assert.Equal(t, t0-hour-minute, out[1].Timestamp(), "an hour behind the first")
	assert.Zero(t, out[1].Attributes().Len())

	assert.Equal(t, t0+2, out[2].Timestamp())
	assert.Equal(t, t0-8*day, out[2].ObservedTimestamp())
	assert.Equal(t, map[string]any{"log.record.original_timestamp": (t0 - 8*day).AsTime().Format(time.RFC3339Nano)}, out[2].Attributes().AsRaw())
}

// TestAsNeededClockSteppedBack: nothing is later than Loki takes by this clock, and
// new streams begin at its time.
func TestAsNeededClockSteppedBack(t *testing.T) {
	t.Parallel()
	back := t0 - 2*hour
	p := newTestProcessor(t, scriptedClock(int64(t0), int64(back), int64(back)), asNeededMode)
	assert.Equal(t, []pcommon.Timestamp{t0}, stampsOf(process(t, p, records(t0))))
	assert.Equal(t, []pcommon.Timestamp{back + 10*minute}, stampsOf(process(t, p, records(back))))
	other := withAttributes(t, records(0, back-8*day), map[string]any{"service.name": "other"})
	assert.Equal(t, []pcommon.Timestamp{back, back + 1}, stampsOf(process(t, p, other)))
}

// TestAsNeededReplacementsDiffer, so that Loki takes none of them for another: in
// one batch, from batch to batch, and between streams.
func TestAsNeededReplacementsDiffer(t *testing.T) {
	t.Parallel()
	p := newTestProcessor(t, fixedClock(int64(t0)), asNeededMode)
	assert.Equal(t, []pcommon.Timestamp{t0, t0 + 1}, stampsOf(process(t, p, records(0, t0-8*day))))
	assert.Equal(t, []pcommon.Timestamp{t0 + 2}, stampsOf(process(t, p, records(0))))
	other := withAttributes(t, records(0), map[string]any{"service.name": "other"})
	assert.Equal(t, []pcommon.Timestamp{t0 + 3}, stampsOf(process(t, p, other)))
}

// withAttributes gives every resource these attributes.
func withAttributes(t *testing.T, ld plog.Logs, attributes map[string]any) plog.Logs {
	t.Helper()
	for _, rl := range ld.ResourceLogs().All() {
		require.NoError(t, rl.Resource().Attributes().FromRaw(attributes))
	}
	return ld
}

// manyLabels has service.name and n more of the default labels, of which the last
// differs.
func manyLabels(n int, last string) map[string]any {
	attributes := map[string]any{}
	for _, name := range defaultStreamAttributes[:n+1] {
		attributes[name] = "x"
	}
	attributes[defaultStreamAttributes[n]] = last
	return attributes
}

// TestStreams: records are late only behind those of their own stream.
func TestStreams(t *testing.T) {
	t.Parallel()
	group := func(name any) map[string]any {
		return map[string]any{"aws.log.group.names": name, "cloud.region": "eu-central-1"}
	}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		a, b   map[string]any
		same   bool
	}{
		{"nothing", nil, map[string]any{}, map[string]any{}, true},
		{"equal", nil, group("/a"), group("/a"), true},
		{"another value", nil, group("/a"), group("/b"), false},
		{"another attribute", nil, map[string]any{"service.name": "x"}, map[string]any{"cloud.region": "x"}, false},
		{"values exchanged", nil, map[string]any{"service.name": "x", "cloud.region": "y"}, map[string]any{"service.name": "y", "cloud.region": "x"}, false},
		{"one more", nil, map[string]any{"service.name": "x"}, map[string]any{"service.name": "x", "k8s.pod.name": "p"}, false},
		{"one that is no label", nil, map[string]any{"service.name": "x"}, map[string]any{"service.name": "x", "aws.log.stream.names": "s"}, true},
		{"empty is none", nil, map[string]any{"service.name": "x"}, map[string]any{"service.name": "x", "k8s.pod.name": ""}, true},
		{"a list of one is its element", nil, group("/a"), group([]any{"/a"}), true},
		{"lists of one", nil, group([]any{"/a"}), group([]any{"/b"}), false},
		{"a list of one in a list of one", nil, group([]any{[]any{"/a"}}), group("/a"), true},
		{"a list of nothing", nil, map[string]any{"k8s.pod.name": []any{""}}, map[string]any{}, true},
		{"longer than a label", nil, group(strings.Repeat("a", 2049)), group(strings.Repeat("b", 2049)), true},
		{"as long as a label", nil, group(strings.Repeat("a", 2048)), group(strings.Repeat("b", 2048)), false},
		{"the 15th label", nil, manyLabels(15, "a"), manyLabels(15, "b"), false},
		{"the 16th, which Loki does not take", nil, manyLabels(16, "a"), manyLabels(16, "b"), true},
		{"lists of two", nil, group([]any{"/a", "/b"}), group([]any{"/a", "/c"}), false},
		{"numbers", nil, group(int64(1)), group(int64(2)), false},
		{"a number is its text", nil, group(int64(1)), group("1"), true},
		{
			"all are one",
			func(cfg *Config) { cfg.StreamAttributes = nil },
			group("/a"), group("/b"), true,
		},
		{
			"the instance of another Collector",
			nil,
			map[string]any{},
			map[string]any{"collector.instance.id": "collector-2"},
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newTestProcessor(t, fixedClock(int64(t0)), func(cfg *Config) {
				asNeededMode(cfg)
				if tt.change != nil {
					tt.change(cfg)
				}
			})
			process(t, p, withAttributes(t, records(t0), tt.a))
			late := process(t, p, withAttributes(t, records(t0-2*hour), tt.b))
			assert.Equal(t, tt.same, stampsOf(late)[0] != t0-2*hour)
		})
	}
}

// TestStreamsAreTheSameInAnyOrder of their attributes.
func TestStreamsAreTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	s := newStreams([]string{"a", "b"}, 10, time.Hour)
	ab, ba := pcommon.NewMap(), pcommon.NewMap()
	ab.PutStr("a", "1")
	ab.PutStr("b", "2")
	ba.PutStr("b", "2")
	ba.PutStr("a", "1")
	assert.Same(t, s.get(ab, time.Time{}), s.get(ba, time.Time{}))
}

// TestStreamsAreBounded: the one that was used longest ago is forgotten.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	p := newTestProcessor(t, fixedClock(int64(t0)), func(cfg *Config) {
		asNeededMode(cfg)
		cfg.MaxStreams = 3
	})
	isLate := func(service int) bool {
		ld := withAttributes(t, records(t0-2*hour), map[string]any{"service.name": int64(service)})
		return stampsOf(process(t, p, ld))[0] != t0-2*hour
	}
	for service := range 3 {
		process(t, p, withAttributes(t, records(t0), map[string]any{"service.name": int64(service)}))
	}
	assert.True(t, isLate(0))
	assert.False(t, isLate(3), "takes the room of 1")
	assert.True(t, isLate(2))
	assert.True(t, isLate(0))
	assert.False(t, isLate(1))
}

// TestStreamsWithoutRecords take no room.
func TestStreamsWithoutRecords(t *testing.T) {
	t.Parallel()
	p := newTestProcessor(t, fixedClock(int64(t0)), func(cfg *Config) {
		asNeededMode(cfg)
		cfg.MaxStreams = 1
	})
	process(t, p, records(t0))
	empty := withAttributes(t, records(), map[string]any{"service.name": "empty"})
	records(t0 - 2*hour).ResourceLogs().MoveAndAppendTo(empty.ResourceLogs())
	assert.Equal(t, []pcommon.Timestamp{t0 + 1}, stampsOf(process(t, p, empty)))
}

// TestStreamsAreForgotten when they have been idle for longer than idle_timeout.
func TestStreamsAreForgotten(t *testing.T) {
	t.Parallel()
	const idle = 30 * time.Minute
	for _, tt := range []struct {
		pause time.Duration
		want  bool
	}{
		{idle, true},
		{idle + 1, false},
	} {
		t.Run(fmt.Sprint(tt.pause), func(t *testing.T) {
			t.Parallel()
			now := t0
			p := newTestProcessor(t, &arrivalClock{now: func() time.Time { return now.AsTime() }}, func(cfg *Config) {
				asNeededMode(cfg)
				cfg.IdleTimeout = idle
			})
			process(t, p, records(t0))
			now += pcommon.Timestamp(idle)
			process(t, p, records(t0)) // used again
			now += pcommon.Timestamp(tt.pause)
			assert.Equal(t, tt.want, stampsOf(process(t, p, records(t0-2*hour)))[0] != t0-2*hour)
		})
	}
}
