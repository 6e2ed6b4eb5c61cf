// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// erraticClock stands still, goes on, steps back or jumps at every call, within
// some hours of t0.
func erraticClock(seed uint64) *arrivalClock {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 0))
	at := time.Unix(0, int64(t0))
	return &arrivalClock{now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		switch rnd.IntN(5) {
		case 0: // stands still
		case 1:
			at = at.Add(time.Duration(rnd.IntN(20)))
		case 2:
			at = at.Add(-time.Duration(rnd.IntN(20)))
		case 3:
			at = at.Add(time.Duration(rnd.Int64N(int64(time.Minute))))
		default:
			at = at.Add(-time.Duration(rnd.Int64N(int64(time.Minute))))
		}
		return at
	}}
}

// randomLogs has resources, scopes and records in any number, with timestamps
// in any order and with and without what the processor adds.
func randomLogs(rnd *rand.Rand, cfg *Config) plog.Logs {
	ld := plog.NewLogs()
	for range rnd.IntN(4) {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.SetSchemaUrl("https://opentelemetry.io/schemas/1.38.0")
		rl.Resource().SetDroppedAttributesCount(rnd.Uint32N(3))
		rl.Resource().Attributes().PutStr("service.name", strconv.Itoa(rnd.IntN(3)))
		if rnd.IntN(3) == 0 && cfg.Instance.Attribute != "" {
			rl.Resource().Attributes().PutStr(cfg.Instance.Attribute, "collector-0")
		}
		for range rnd.IntN(3) {
			sl := rl.ScopeLogs().AppendEmpty()
			sl.Scope().SetName("scope")
			for range rnd.IntN(5) {
				randomRecord(rnd, cfg, sl.LogRecords().AppendEmpty())
			}
		}
	}
	return ld
}

func randomRecord(rnd *rand.Rand, cfg *Config, lr plog.LogRecord) {
	lr.Body().SetStr(strconv.Itoa(rnd.Int()))
	lr.SetSeverityNumber(plog.SeverityNumber(rnd.IntN(25)))
	lr.SetTraceID(pcommon.TraceID{byte(rnd.Uint32())})
	lr.SetFlags(plog.LogRecordFlags(rnd.Uint32N(2)))
	lr.Attributes().PutInt("log.record.uid", rnd.Int64())
	if rnd.IntN(4) > 0 {
		lr.SetTimestamp(t0 - pcommon.Timestamp(rnd.Int64N(int64(time.Hour))))
	}
	if rnd.IntN(2) == 0 {
		lr.SetObservedTimestamp(t0 - 1)
	}
	if rnd.IntN(4) == 0 && cfg.OriginalAttribute != "" {
		lr.Attributes().PutStr(cfg.OriginalAttribute, "kept before")
	}
	if rnd.IntN(2) == 0 {
		lr.Attributes().PutEmptyMap("nested").PutBool("yes", true)
	}
}

func randomConfig(rnd *rand.Rand) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Instance.Value = "collector-1"
	cfg.Instance.Enabled = rnd.IntN(2) == 0
	if rnd.IntN(3) == 0 {
		cfg.OriginalAttribute = ""
	}
	if rnd.IntN(5) == 0 {
		cfg.Timestamps = TimestampsNever
	}
	return cfg
}

// allowed makes the changes to in that the processor is allowed to make, with
// the timestamps that it chose for out, for the records that it was to give a
// new one. With "as_needed" the time of observation is a time to keep.
func allowed(cfg *Config, in, out plog.Logs, toReplace func(i int) bool) {
	if cfg.Instance.Enabled {
		for _, rl := range in.ResourceLogs().All() {
			if _, exists := rl.Resource().Attributes().Get(cfg.Instance.Attribute); !exists {
				rl.Resource().Attributes().PutStr(cfg.Instance.Attribute, cfg.Instance.Value)
			}
		}
	}
	stamps := stampsOf(out)
	for i, lr := range recordsOf(in) {
		if !toReplace(i) {
			continue
		}
		original := lr.Timestamp()
		if cfg.Timestamps == TimestampsAsNeeded {
			original = 0
			if at, exists := timeInLoki(lr); exists {
				original = pcommon.NewTimestampFromTime(at)
			}
		}
		_, exists := lr.Attributes().Get(cfg.OriginalAttribute)
		if original != 0 && cfg.OriginalAttribute != "" && !exists {
			lr.Attributes().PutStr(cfg.OriginalAttribute, original.AsTime().Format(time.RFC3339Nano))
		}
		lr.SetTimestamp(stamps[i])
		if lr.ObservedTimestamp() == 0 {
			lr.SetObservedTimestamp(stamps[i])
		}
	}
}

func asJSON(t *testing.T, ld plog.Logs) string {
	t.Helper()
	text, err := (&plog.JSONMarshaler{}).MarshalLogs(ld)
	require.NoError(t, err)
	return string(text)
}

// TestPropertySequential: whatever comes in and whatever the clock does, with
// "always" the timestamps rise strictly from record to record and from batch to
// batch, with "never" they stay, and nothing else changes.
func TestPropertySequential(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		cfg := randomConfig(rnd)
		replaces := cfg.Timestamps == TimestampsAlways
		p := newTestProcessor(t, erraticClock(seed), func(c *Config) { *c = *cfg })
		var last pcommon.Timestamp
		for range 20 {
			in := randomLogs(rnd, cfg)
			want := plog.NewLogs()
			in.CopyTo(want)

			out := process(t, p, in)
			require.Equal(t, want.LogRecordCount(), out.LogRecordCount(), "seed %d", seed)
			if replaces {
				for _, at := range stampsOf(out) {
					require.Greater(t, at, last, "seed %d", seed)
					last = at
				}
			}
			allowed(cfg, want, out, func(int) bool { return replaces })
			require.Equal(t, asJSON(t, want), asJSON(t, out), "seed %d", seed)
		}
	}
}

// TestPropertyConcurrent: two processors that share a clock, as those of one
// Collector do, and many batches at once. Each processor hands on timestamps that
// rise strictly, later than those of every batch that had been processed when a
// batch arrived, and no timestamp is given twice.
func TestPropertyConcurrent(t *testing.T) {
	t.Parallel()
	const goroutines, batches = 16, 100
	for seed := range uint64(5) {
		clock := erraticClock(seed)
		processors := []*restampProcessor{
			newTestProcessor(t, clock, func(*Config) {}),
			newTestProcessor(t, clock, func(cfg *Config) { cfg.OriginalAttribute = "" }),
		}
		var mu sync.Mutex // guards latest, and is not held while a batch is processed
		var latest pcommon.Timestamp
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(g)))
				p := processors[g%len(processors)]
				for range batches {
					ld := randomLogs(rnd, p.cfg)
					mu.Lock()
					before := latest
					mu.Unlock()

					if !assert.NoError(t, p.consumeLogs(t.Context(), ld)) {
						return
					}
					stamps := stampsOf(ld)
					if len(stamps) == 0 {
						continue
					}
					assert.Greater(t, stamps[0], before, "seed %d", seed)
					mu.Lock()
					latest = max(latest, stamps[len(stamps)-1])
					mu.Unlock()
				}
			})
		}
		wg.Wait()

		var all []pcommon.Timestamp
		for _, p := range processors {
			var own []pcommon.Timestamp
			for _, ld := range p.handedOn() {
				own = append(own, stampsOf(ld)...)
			}
			require.Equal(t, slices.Compact(slices.Sorted(slices.Values(own))), own, "seed %d: handed on in order", seed)
			all = append(all, own...)
		}
		require.Greater(t, len(all), goroutines*batches)
		slices.Sort(all)
		require.Len(t, slices.Compact(slices.Clone(all)), len(all), "seed %d: a timestamp was given twice", seed)
	}
}
