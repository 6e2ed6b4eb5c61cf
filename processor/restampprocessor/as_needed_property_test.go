// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// lokiModel takes and refuses entries for their times as Loki 3.7 does, one after
// another.
type lokiModel struct {
	// The settings of Loki's that matter, under its names.
	maxChunkAge, rejectOldSamplesMaxAge, creationGracePeriod time.Duration

	highest map[string]time.Time // of each stream
}

func modelFor(cfg *Config) *lokiModel {
	return &lokiModel{
		maxChunkAge:            2 * cfg.MaxAge,
		rejectOldSamplesMaxAge: cfg.MaxAgeAbsolute,
		creationGracePeriod:    cfg.MaxFuture,
		highest:                map[string]time.Time{},
	}
}

// accepts is the distributor's rule (pkg/distributor/validator.go, ValidateEntry)
// and then the ingester's (pkg/ingester/stream.go, validateEntries).
func (m *lokiModel) accepts(now time.Time, stream string, at time.Time) bool {
	if at.UnixNano() < now.Add(-m.rejectOldSamplesMaxAge).UnixNano() || at.UnixNano() > now.Add(m.creationGracePeriod).UnixNano() {
		return false
	}
	highest, known := m.highest[stream]
	return !known || !highest.Add(-m.maxChunkAge/2).After(at)
}

// acceptsAny says whether there is any time that is accepted in a stream.
func (m *lokiModel) acceptsAny(now time.Time, stream string) bool {
	return m.accepts(now, stream, now.Add(m.creationGracePeriod))
}

func (m *lokiModel) append(stream string, at time.Time) {
	if m.highest[stream].Before(at) {
		m.highest[stream] = at
	}
}

// timeInLoki is what the exporter makes of a record's times.
func timeInLoki(lr plog.LogRecord) (at time.Time, exists bool) {
	for _, ts := range []pcommon.Timestamp{lr.Timestamp(), lr.ObservedTimestamp()} {
		if ts != 0 && ts <= math.MaxInt64 {
			return time.Unix(0, int64(ts)), true
		}
	}
	return time.Time{}, false
}

// timesAround are times at, before and behind the borders of what is accepted, and
// some anywhere.
func timesAround(rnd *rand.Rand, cfg *Config, now time.Time) pcommon.Timestamp {
	var from time.Duration
	switch rnd.IntN(8) {
	case 0:
		return 0
	case 1:
		from = -cfg.MaxAgeAbsolute
	case 2:
		from = cfg.MaxFuture
	case 3:
		from = cfg.MaxFuture - cfg.MaxAge
	case 4:
		from = -cfg.MaxAge
	case 5:
		from = -time.Duration(rnd.Int64N(2 * int64(cfg.MaxAgeAbsolute)))
	case 6:
		return pcommon.Timestamp(rnd.Uint64())
	}
	return pcommon.Timestamp(now.Add(from + time.Duration(rnd.IntN(7)-3)).UnixNano())
}

func randomAsNeeded(rnd *rand.Rand) *Config {
	cfg := randomConfig(rnd)
	cfg.Timestamps = TimestampsAsNeeded
	cfg.StreamAttributes = []string{"service.name"}
	if rnd.IntN(2) == 0 {
		cfg.MaxAge = time.Duration(rnd.Int64N(int64(time.Minute)))
		cfg.MaxFuture = time.Duration(rnd.Int64N(int64(time.Minute)))
		cfg.MaxAgeAbsolute = 1 + time.Duration(rnd.Int64N(int64(2*time.Minute)))
	}
	return cfg
}

func randomBatch(rnd *rand.Rand, cfg *Config, now time.Time) plog.Logs {
	ld := randomLogs(rnd, cfg)
	for _, lr := range recordsOf(ld) {
		lr.SetTimestamp(timesAround(rnd, cfg, now))
		lr.SetObservedTimestamp(timesAround(rnd, cfg, now))
	}
	return ld
}

// follow has the model take the records of a batch that has been stamped, and
// says which of them the processor had to replace. It reports a time that the
// model refuses while there is one that it would take.
func (m *lokiModel) follow(t *testing.T, now time.Time, in, out plog.Logs) (toReplace []bool) {
	t.Helper()
	own, stamped := recordsOf(in), recordsOf(out)
	var n int
	for _, rl := range in.ResourceLogs().All() {
		var stream string
		if name, exists := rl.Resource().Attributes().Get("service.name"); exists {
			stream = name.AsString()
		}
		for _, sl := range rl.ScopeLogs().All() {
			for range sl.LogRecords().Len() {
				at, exists := timeInLoki(own[n])
				toReplace = append(toReplace, !exists || !m.accepts(now, stream, at))
				at, _ = timeInLoki(stamped[n])
				if !m.accepts(now, stream, at) && m.acceptsAny(now, stream) {
					require.Fail(t, "refused", "%s with %s as newest at %s", at, m.highest[stream], now)
				}
				m.append(stream, at)
				n++
			}
		}
	}
	return toReplace
}

// TestPropertyAsNeeded: whatever comes in and whatever the clock does, a model of
// Loki takes every record, those that it would have taken anyway keep their
// timestamps, and nothing else changes.
func TestPropertyAsNeeded(t *testing.T) {
	t.Parallel()
	var replaced, kept int
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		cfg := randomAsNeeded(rnd)
		clock := erraticClock(seed)
		var now time.Time
		p := newTestProcessor(t, &arrivalClock{now: func() time.Time { now = clock.now(); return now }}, func(c *Config) { *c = *cfg })
		model := modelFor(cfg)
		for range 20 {
			in := randomBatch(rnd, cfg, time.Unix(0, int64(t0)))
			want := plog.NewLogs()
			in.CopyTo(want)

			out := process(t, p, in)
			toReplace := model.follow(t, now, want, out)
			allowed(cfg, want, out, func(i int) bool { return toReplace[i] })
			require.Equal(t, asJSON(t, want), asJSON(t, out), "seed %d", seed)
			for _, yes := range toReplace {
				if yes {
					replaced++
				} else {
					kept++
				}
			}
		}
	}
	assert.Greater(t, replaced, 1000)
	assert.Greater(t, kept, 1000)
}

// TestPropertyAsNeededConcurrent: the same for many batches at once, in the order
// in which they are handed on.
func TestPropertyAsNeededConcurrent(t *testing.T) {
	t.Parallel()
	const goroutines, batches = 8, 50
	now := time.Unix(0, int64(t0))
	for seed := range uint64(5) {
		cfg := randomAsNeeded(rand.New(rand.NewPCG(seed, 3)))
		p := newTestProcessor(t, fixedClock(int64(t0)), func(c *Config) { *c = *cfg })
		var mu sync.Mutex
		before := map[string]plog.Logs{} // the batches as they were, by their first record's body
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(g)))
				for n := range batches {
					ld := randomBatch(rnd, cfg, now)
					name := fmt.Sprint(g, " ", n)
					ld.ResourceLogs().AppendEmpty().SetSchemaUrl(name)
					in := plog.NewLogs()
					ld.CopyTo(in)
					mu.Lock()
					before[name] = in
					mu.Unlock()
					assert.NoError(t, p.consumeLogs(t.Context(), ld))
				}
			})
		}
		wg.Wait()

		model := modelFor(cfg)
		require.Len(t, p.handedOn(), goroutines*batches)
		for _, out := range p.handedOn() {
			in := before[out.ResourceLogs().At(out.ResourceLogs().Len()-1).SchemaUrl()]
			toReplace := model.follow(t, now, in, out)
			allowed(cfg, in, out, func(i int) bool { return toReplace[i] })
			require.Equal(t, asJSON(t, in), asJSON(t, out), "seed %d", seed)
		}
	}
}

// TestModelRefuses shows that the model can say no, at Loki's own borders.
func TestModelRefuses(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, int64(t0))
	for _, tt := range []struct {
		at   time.Duration
		want bool
	}{
		{-7*24*time.Hour - 1, false},
		{-7 * 24 * time.Hour, false}, // behind
		{-time.Hour - time.Minute - 1, false},
		{-time.Hour - time.Minute, true},
		{10 * time.Minute, true},
		{10*time.Minute + 1, false},
	} {
		model := modelFor(createDefaultConfig().(*Config))
		model.append("a", now.Add(-time.Minute))
		assert.Equal(t, tt.want, model.accepts(now, "a", now.Add(tt.at)), strconv.Itoa(int(tt.at)))
	}
	assert.True(t, modelFor(createDefaultConfig().(*Config)).accepts(now, "a", now.Add(-7*24*time.Hour)))
}
