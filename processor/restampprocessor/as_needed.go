// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"math"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// asNeeded gives a new timestamp to the records that Loki would refuse for the
// one they have. It does so by Loki's own rules, for the order in which the
// records come by.
type asNeeded struct {
	clock             *arrivalClock
	originalAttribute string
	maxAge            time.Duration
	maxAgeAbsolute    time.Duration
	maxFuture         time.Duration

	mu      sync.Mutex
	streams *streams
}

func newAsNeeded(cfg *Config, clock *arrivalClock) *asNeeded {
	return &asNeeded{
		clock:             clock,
		originalAttribute: cfg.OriginalAttribute,
		maxAge:            cfg.MaxAge,
		maxAgeAbsolute:    cfg.MaxAgeAbsolute,
		maxFuture:         cfg.MaxFuture,
		streams:           newStreams(cfg.StreamAttributes, cfg.MaxStreams, cfg.IdleTimeout),
	}
}

func (s *asNeeded) stamp(ld plog.Logs) outcome {
	n := ld.LogRecordCount()
	if n == 0 {
		return outcome{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.clock.now()
	takes := s.limitsAt(now)
	arrival := s.clock.reserve(now, n)
	if last := takes.latest - int64(n) + 1; arrival > last {
		// The clock was far ahead before, or nothing of the future is taken.
		arrival = max(min(now.UnixNano(), last), takes.oldest)
	}
	end := arrival + int64(n)
	originals := newOriginals(s.originalAttribute, 1)
	var done outcome
	s.streams.forgetIdle(now)
	for _, rl := range ld.ResourceLogs().All() {
		var stream *stream
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if stream == nil {
					stream = s.streams.get(rl.Resource().Attributes(), now)
				}
				own := timeOf(lr)
				at := int64(own)
				if why, refused := takes.refusal(at, stream.newest); refused {
					done.replaced[why]++
					at = takes.replacement(arrival, end, stream.newest)
					originals.replace(lr, own, pcommon.Timestamp(at))
				}
				stream.newest = max(stream.newest, at)
				arrival++
			}
		}
	}
	done.streams, done.evicted = s.streams.count()
	return done
}

// timeOf is a record's time as Loki will see it, or 0 if it has none: where the
// source gave no time, the time of observation counts (OpenTelemetry's logs data
// model, "Timestamp"). Times that nanoseconds of a signed integer do not reach are
// none, as they are to the Loki exporter.
func timeOf(lr plog.LogRecord) pcommon.Timestamp {
	for _, at := range [...]pcommon.Timestamp{lr.Timestamp(), lr.ObservedTimestamp()} {
		if at != 0 && at <= math.MaxInt64 {
			return at
		}
	}
	return 0
}

// limits are what Loki takes at one moment, in nanoseconds since 1970.
type limits struct {
	oldest, latest int64
	maxAge         int64
}

func (s *asNeeded) limitsAt(now time.Time) limits {
	nanos := now.UnixNano()
	return limits{
		oldest: nanos - int64(s.maxAgeAbsolute),
		latest: nanos + min(int64(s.maxFuture), math.MaxInt64-nanos),
		maxAge: int64(s.maxAge),
	}
}

// refusal says whether Loki would refuse a record for its time, and why, in a
// stream whose newest record has the other time, or 0 if none is known. First
// the distributor looks at the record alone (pkg/distributor/validator.go,
// ValidateEntry), then the ingester at its place in the stream
// (pkg/ingester/stream.go, validateEntries).
func (l limits) refusal(at, newest int64) (why reason, refused bool) {
	switch {
	case at == 0:
		return reasonNoTimestamp, true
	case at < l.oldest:
		return reasonGreaterThanMaxSampleAge, true
	case at > l.latest:
		return reasonTooFarInFuture, true
	case at < newest-l.maxAge:
		return reasonTooFarBehind, true
	}
	return 0, false
}

// replacement is a time that Loki takes in a stream whose newest record has the
// other time, or 0 if none is known: the time of arrival or, where that is far
// from the stream's newest record, right after this one. Otherwise a single late
// record among the old ones that are read in after an outage would move the
// stream to the present, where all that follow it are late. It does not follow a
// record that will soon be too old itself. The arrivals of the batch go on until
// end: there is room for as many replacements that differ.
//
// There is no time that Loki takes after the clock has stepped back by more than
// it takes of the past and the future.
func (l limits) replacement(arrival, end, newest int64) int64 {
	far := arrival-newest > l.maxAge || newest-arrival > l.maxAge
	if newest == 0 || !far || newest-l.maxAge <= l.oldest {
		return arrival
	}
	return min(max(min(newest, l.latest-(end-arrival))+1, newest-l.maxAge), l.latest)
}
