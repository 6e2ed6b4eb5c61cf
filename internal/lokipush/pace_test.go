// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bucket is a rate limit as Loki has it: a request that has more than there is takes nothing.
type bucket struct {
	rate, burst float64
	tokens      float64
	at          time.Time
}

func (b *bucket) allow(n int) bool {
	now := time.Now()
	b.tokens = min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if float64(n) > b.tokens {
		return false
	}
	b.tokens -= float64(n)
	return true
}

func limitedModel(rate, burst float64) *model {
	limit := &bucket{rate: rate, burst: burst, tokens: burst, at: time.Now()}
	return &model{answer: func(request push.PushRequest) (int, string) {
		lines := pushedLines(request)
		size := len(strings.Join(lines, ""))
		if !limit.allow(size) {
			return 429, fmt.Sprintf("ingestion rate limit exceeded for user x (limit: %d bytes/sec) while attempting to ingest '%d' lines totaling '%d' bytes, reduce log volume", int(rate), len(lines), size)
		}
		return 204, ""
	}}
}

// Over the tenant's limit, everything comes at about the rate that Loki states, with few requests for nothing.
func TestDeliverPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := limitedModel(100_000, 150_000)
		sender := m.sender(false)
		start := time.Now()
		wasted := 0
		for range 10 {
			remaining := streamsOf(4, 100, 500)
			for remaining != nil {
				report := sender.Deliver(t.Context(), remaining)
				remaining = report.Remaining
				for _, request := range report.Requests {
					if request.Status == 429 {
						wasted++
					}
				}
			}
		}
		// 2 MB at 100 kB/s, less the burst.
		took := time.Since(start)
		assert.Greater(t, took, 18*time.Second)
		assert.Less(t, took, 25*time.Second)
		assert.Len(t, m.lines, 4000)
		assert.Less(t, wasted, m.requests/4)
	})
}

// A request that is more than the limit ever lets through at once is divided, also where a burst is less than a
// second's worth.
func TestDeliverMoreThanTheBurst(t *testing.T) {
	for _, burst := range []float64{100_000, 20_000, 2000} {
		synctest.Test(t, func(t *testing.T) {
			m := limitedModel(50_000, burst)
			sender := m.sender(false)
			report := sender.Deliver(t.Context(), streamsOf(4, 200, 500))
			for tries := 0; report.Remaining != nil; tries++ {
				require.Less(t, tries, 10)
				report = sender.Deliver(t.Context(), report.Remaining)
			}
			assert.Len(t, m.lines, 800)
			assert.Empty(t, report.Refused)
		})
	}
}

// One line that takes the limit minutes is delivered all the same, if the burst has room for it.
func TestDeliverLineOfMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := limitedModel(1000, 200_000)
		assert.Empty(t, deliverAll(t, m, withLongLine(150_000).Merge(withLongLine(150_000), 0, MeasureBytes)[0]))
		assert.Len(t, m.lines, 42)
	})
}

// What may go only when there is no time any more is given back at once, with how long to wait.
func TestDeliverNotBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := limitedModel(1000, 1000)
		sender := m.sender(false)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		report := sender.Deliver(ctx, streamsOf(1, 100, 500))
		for report.Remaining != nil && report.RetryAfter == 0 {
			report = sender.Deliver(ctx, report.Remaining)
		}
		require.NotNil(t, report.Remaining, "50,000 bytes take 50 s")
		require.ErrorContains(t, report.Err, "loki's limit holds the request back for ")
		assert.Less(t, time.Since(start), 30*time.Second)
		assert.Greater(t, report.RetryAfter, 30*time.Second-time.Since(start))
		require.NoError(t, ctx.Err())
	})
}

// One line that is more than the burst waits: others may be using up the limit. The rest does not wait for it.
func TestDeliverLineOverTheBurst(t *testing.T) {
	for _, rate := range []float64{1_000_000, 1000} {
		synctest.Test(t, func(t *testing.T) {
			m := limitedModel(rate, 100_000)
			sender := m.sender(false)
			report := sender.Deliver(t.Context(), withLongLine(200_000))
			for range 10 {
				require.NotNil(t, report.Remaining)
				report = sender.Deliver(t.Context(), report.Remaining)
			}
			assert.Len(t, m.lines, 20)
			assert.Equal(t, 1, report.Remaining.Lines())
			assert.Empty(t, report.Refused)
		})
	}
}

// Long lines are delivered also where several senders share a limit.
func TestDeliverLongLinesOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := limitedModel(100_000, 1_000_000)
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				for range 5 {
					b := withLongLine(250_000)
					sender := m.sender(false)
					for b != nil {
						report := sender.Deliver(t.Context(), b)
						assert.Empty(t, report.Refused)
						b = report.Remaining
					}
				}
			})
		}
		wait.Wait()
		assert.Len(t, m.lines, 4*5*21)
	})
}

func withLongLine(size int) *Batch {
	b := new(Batch)
	appendTo(b, `{service_name="large"}`, 1, strings.Repeat("x", size))
	return b.Merge(streamsOf(1, 20, 100), 0, MeasureBytes)[0]
}

// deliverAll delivers a batch in as many calls as it takes, and returns what was refused.
func deliverAll(t *testing.T, m *model, b *Batch) (refused []Refusal) {
	t.Helper()
	sender := m.sender(false)
	for tries := 0; b != nil; tries++ {
		require.Less(t, tries, 20)
		report := sender.Deliver(t.Context(), b)
		refused = append(refused, report.Refused...)
		b = report.Remaining
	}
	return refused
}

// What is over the limit of one stream is sent again, and the others that Loki says nothing about as well: each alone, so
// that nothing is lost that two streams hid from each other.
func TestDeliverStreamsOverTheirRate(t *testing.T) {
	m := &model{}
	m.answer = func(request push.PushRequest) (int, string) {
		var over *push.Stream
		rest := request
		rest.Streams = nil
		for i, stream := range request.Streams {
			if len(stream.Entries) > 30 && stream.Labels != `{service_name="s0"}` {
				over = &request.Streams[i]
				continue
			}
			rest.Streams = append(rest.Streams, stream)
		}
		if over == nil {
			return 204, ""
		}
		m.keep(rest)
		return 429, fmt.Sprintf("entry with timestamp 1970-01-01 00:00:00.000000001 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 100B/sec) totaling 9KB',\nuser 'x', total ignored: %d out of %d for stream: %s\n",
			len(over.Entries), len(over.Entries), over.Labels)
	}
	sender := m.sender(false)
	report := sender.Deliver(t.Context(), streamsOf(4, 100, 0))
	for tries := 0; report.Remaining != nil; tries++ {
		require.Less(t, tries, 20)
		require.Error(t, report.Err)
		report = sender.Deliver(t.Context(), report.Remaining)
	}
	// Loki has stored the first of the streams already: it recognises the lines while they are new.
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(m.lines))), 400)
	assert.Len(t, m.lines, 500)
}

// A stream gets through a limit whose burst is less than a request, also beside streams that have none.
func TestDeliverStreamOverItsBurst(t *testing.T) {
	for _, burst := range []float64{130_000, 50_000, 20_000} {
		synctest.Test(t, func(t *testing.T) {
			limit := &bucket{rate: 100_000, burst: burst, tokens: burst, at: time.Now()}
			m := &model{answer: func(request push.PushRequest) (int, string) {
				stream := request.Streams[0]
				size := len(strings.Join(pushedLines(request), ""))
				if stream.Labels == `{service_name="s0"}` && !limit.allow(size) {
					return 429, fmt.Sprintf("entry with timestamp 1970-01-01 00:00:00.000000001 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 100KB/sec) totaling 9KB',\nuser 'x', total ignored: %d out of %d for stream: %s\n",
						len(stream.Entries), len(stream.Entries), stream.Labels)
				}
				return 204, ""
			}}
			sender := m.sender(true)
			remaining := streamsOf(1, 1500, 200)
			for tries := 0; remaining != nil; tries++ {
				require.Less(t, tries, 60)
				report := sender.Deliver(t.Context(), remaining)
				assert.Empty(t, report.Refused)
				remaining = report.Remaining
				other := new(Batch)
				appendTo(other, `{service_name="other"}`, 1, strings.Repeat("x", 200_000))
				require.Nil(t, sender.Deliver(t.Context(), other).Remaining)
				time.Sleep(report.RetryAfter)
			}
		})
	}
}

// One line of a stream that is over its limit does not make the other streams' requests small.
func TestDeliverOneStreamOverItsRate(t *testing.T) {
	m := &model{answer: func(request push.PushRequest) (int, string) {
		for _, stream := range request.Streams {
			if stream.Labels == `{service_name="hot"}` {
				return 429, "entry with timestamp 1970-01-01 00:00:00.000000001 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 3MB/sec) totaling 9B',\nuser 'x', total ignored: 1 out of 1 for stream: " + stream.Labels
			}
		}
		return 204, ""
	}}
	sender := m.sender(true)
	batch := func() *Batch {
		b := new(Batch)
		appendTo(b, `{service_name="hot"}`, 1, "hot")
		return b.Merge(streamsOf(20, 20, 0), 0, MeasureBytes)[0]
	}
	for range 5 {
		report := sender.Deliver(t.Context(), batch())
		assert.Len(t, report.Requests, 21)
		assert.Equal(t, 1, report.Remaining.Lines())
		assert.Equal(t, 400, report.Delivered.Lines)
	}
}

// A Loki without stream sharding takes those lines of a stream that its limit has room for. It is sent the stream again,
// for it may have taken none; what it has it recognises while it is new.
func TestDeliverLinesOverAStreamsRate(t *testing.T) {
	m := &model{}
	first := true
	m.answer = func(push.PushRequest) (int, string) {
		if !first {
			return 204, ""
		}
		first = false
		entry := "entry with timestamp 1970-01-01 00:00:00.00000000%d +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 3MB/sec) totaling 9B',\n"
		return 429, fmt.Sprintf(entry+entry, 3, 4) + "user 'x', total ignored: 2 out of 9 for stream: {service_name=\"s0\"}\n"
	}
	sender := m.sender(false)
	report := sender.Deliver(t.Context(), streamsOf(1, 9, 0))
	assert.Zero(t, report.Delivered)
	report = sender.Deliver(t.Context(), report.Remaining)
	assert.Nil(t, report.Remaining)
	assert.Equal(t, 9, report.Delivered.Lines)
}

// Of lines that are refused for more than one reason, those over the limit are sent again, and the others are not.
func TestDeliverLinesForTwoReasons(t *testing.T) {
	m := &model{}
	first := true
	m.answer = func(request push.PushRequest) (int, string) {
		if !first {
			return 204, ""
		}
		first = false
		kept := request
		kept.Streams[0].Entries = slices.Delete(slices.Clone(request.Streams[0].Entries), 2, 4)
		m.keep(kept)
		entry := "entry with timestamp 1970-01-01 00:00:00.00000000%d +0000 UTC ignored, reason: '%s',\n"
		return 400, fmt.Sprintf(entry+entry, 3, "Per stream rate limit exceeded (limit: 3MB/sec)", 4, "entry too far behind, x") +
			"user 'x', total ignored: 2 out of 9 for stream: {service_name=\"s0\"}\n"
	}
	sender := m.sender(false)
	report := sender.Deliver(t.Context(), streamsOf(1, 9, 0))
	assert.Equal(t, 7, report.Delivered.Lines)
	assert.Equal(t, 1, report.Refused[0].Lines)
	report = sender.Deliver(t.Context(), report.Remaining)
	assert.Nil(t, report.Remaining)
	assert.Equal(t, 1, report.Delivered.Lines)
	assert.Len(t, m.lines, 8)
}

// The streams that are too many wait, also those that Loki does not name, and the others do not.
func TestDeliverTooManyStreams(t *testing.T) {
	m := &model{}
	m.answer = func(request push.PushRequest) (int, string) {
		known := request
		known.Streams = slices.DeleteFunc(slices.Clone(request.Streams), func(s push.Stream) bool { return s.Labels > `{service_name="s2"}` })
		m.keep(known)
		if last := request.Streams[len(request.Streams)-1].Labels; len(known.Streams) < len(request.Streams) {
			return 429, `maximum active stream limit exceeded when trying to create stream ` + last + `, reduce the number of active streams`
		}
		m.lines = m.lines[:len(m.lines)-len(pushedLines(request))] // kept by the 204
		return 204, ""
	}
	report := m.sender(false).Deliver(t.Context(), streamsOf(6, 2, 0))
	assert.Equal(t, 6, report.Delivered.Lines)
	require.NotNil(t, report.Remaining)
	assert.Equal(t, 6, report.Remaining.Lines())
	require.ErrorContains(t, report.Err, "maximum active stream limit exceeded")
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(m.lines))), 6)
}

// Whoever waits for a limit stops waiting when the sender is closed, and keeps what is not sent.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := limitedModel(10, 1000)
		sender := m.sender(false)
		done := make(chan Report)
		go func() { done <- sender.Deliver(t.Context(), streamsOf(1, 30, 100)) }()
		synctest.Wait()
		sender.Close()
		report := <-done
		require.ErrorIs(t, report.Err, errClosed)
		require.NotNil(t, report.Remaining)
		assert.Equal(t, 30, report.Delivered.Lines+report.Remaining.Lines())
	})
}

// A limit that is not met again for a while is no more believed in.
func TestGateForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		assert.Zero(t, g.pace.turn(time.Now(), 1000))
		g.limited(100, 50)
		g.tooLarge(1000)
		assert.Equal(t, 500*time.Millisecond, g.pace.turn(time.Now(), 200))
		held, err := g.wait(t.Context(), 200)
		require.NoError(t, err)
		assert.Equal(t, 500*time.Millisecond, held)
		assert.Equal(t, 2*time.Second, g.pace.turn(time.Now(), 200))
		assert.Equal(t, 500, g.largest())
		time.Sleep(rateMemory + 10*time.Second)
		assert.Zero(t, g.pace.turn(time.Now(), 1000))
		assert.Zero(t, g.pace.turn(time.Now(), 1000))
		assert.Equal(t, 500, g.largest())
		time.Sleep(belief)
		assert.Equal(t, MaxRequestSize, g.largest())
	})
}
