// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

// model is a Loki that answers by a function, and keeps the lines of the requests that were answered 204 or 200.
type model struct {
	answer func(request push.PushRequest) (status int, text string)

	mu       sync.Mutex
	lines    []string
	requests int
	tenants  []string
}

// RoundTrip implements http.RoundTripper: no network, so that a test can have a clock of its own.
func (m *model) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var request push.PushRequest
	if err := request.Unmarshal(mustDecompress(body)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	m.tenants = append(m.tenants, r.Header.Get("X-Scope-OrgID"))
	status, text := m.answer(request)
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if status < 300 && status != statusBlocked {
		m.keep(request)
	}
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(status)
	recorder.Body.WriteString(text)
	return recorder.Result(), nil
}

func (m *model) keep(request push.PushRequest) {
	for _, stream := range request.Streams {
		for _, entry := range stream.Entries {
			m.lines = append(m.lines, entry.Line)
		}
	}
}

func (m *model) sender(strict bool) *Sender {
	return NewSender(NewClient(&http.Client{Transport: m}, "http://loki/loki/api/v1/push", nil, Protobuf), "team-1", strict)
}

func pushedLines(request push.PushRequest) (lines []string) {
	for _, stream := range request.Streams {
		for _, entry := range stream.Entries {
			lines = append(lines, entry.Line)
		}
	}
	return lines
}

// streamsOf has lines 1 to lines of so many streams, as "stream/line" padded to size.
func streamsOf(streams, lines, size int) *Batch {
	b := new(Batch)
	for s := range streams {
		for l := range lines {
			text := fmt.Sprintf("%d/%d", s, l)
			appendTo(b, fmt.Sprintf(`{service_name="s%d"}`, s), int64(l+1), text+strings.Repeat(".", max(0, size-len(text))))
		}
	}
	return b
}

func TestDeliver(t *testing.T) {
	m := &model{answer: func(push.PushRequest) (int, string) { return 204, "" }}
	b := streamsOf(3, 4, 0)
	size := b.Size()
	report := m.sender(false).Deliver(t.Context(), b)
	assert.Equal(t, Count{12, size}, report.Delivered)
	assert.Empty(t, report.Refused)
	assert.Nil(t, report.Remaining)
	require.NoError(t, report.Err)
	require.Len(t, report.Requests, 1)
	assert.Equal(t, 204, report.Requests[0].Status)
	assert.Positive(t, report.Requests[0].Bytes)
	assert.Len(t, m.lines, 12)
	assert.Equal(t, []string{"team-1"}, m.tenants)
}

func TestDeliverStrict(t *testing.T) {
	m := &model{answer: func(request push.PushRequest) (int, string) {
		assert.Len(t, request.Streams, 1)
		return 204, ""
	}}
	report := m.sender(true).Deliver(t.Context(), streamsOf(5, 2, 0))
	assert.Equal(t, 10, report.Delivered.Lines)
	assert.Len(t, report.Requests, 5)
}

// The one line that Loki dislikes is refused, and all others are delivered once, for every answer that takes nothing.
func TestDeliverFindsTheCulprit(t *testing.T) {
	f := func(status int, text string, reason Reason) {
		t.Helper()
		m := &model{answer: func(request push.PushRequest) (int, string) {
			if slices.Contains(pushedLines(request), "7/13") {
				return status, text
			}
			return 204, ""
		}}
		report := m.sender(false).Deliver(t.Context(), streamsOf(20, 50, 0))
		assert.Equal(t, 999, report.Delivered.Lines)
		require.Len(t, report.Refused, 1)
		assert.Equal(t, reason, report.Refused[0].Reason)
		assert.Equal(t, 1, report.Refused[0].Lines)
		require.ErrorContains(t, report.Refused[0].Err, fmt.Sprint("loki answered ", status))
		assert.Nil(t, report.Remaining)
		assert.Len(t, m.lines, 999)
		assert.Len(t, slices.Compact(slices.Sorted(slices.Values(m.lines))), 999, "each once")
		assert.NotContains(t, m.lines, "7/13")
		assert.Less(t, len(report.Requests), 50)
		assert.Positive(t, report.Divisions)
	}
	f(400, "something about the body", BadRequest)
	f(422, "", BadRequest)
	f(500, `normalization for label name "_" resulted in invalid name "_"`, InvalidMetadata)
}

// Labels are those of a whole stream.
func TestDeliverFindsTheStream(t *testing.T) {
	m := &model{answer: func(request push.PushRequest) (int, string) {
		for _, stream := range request.Streams {
			if stream.Labels == `{service_name="s7"}` {
				return 400, "couldn't parse labels: 1:2: parse error"
			}
		}
		return 204, ""
	}}
	report := m.sender(false).Deliver(t.Context(), streamsOf(20, 50, 0))
	assert.Equal(t, 950, report.Delivered.Lines)
	require.Len(t, report.Refused, 1)
	assert.Equal(t, 50, report.Refused[0].Lines)
	assert.Equal(t, InvalidLabels, report.Refused[0].Reason)
	assert.Len(t, m.lines, 950)
}

// A batch in which Loki dislikes a lot does not cost requests without end, and only what it dislikes is refused, in as
// many calls as it takes.
func TestDeliverManyDisliked(t *testing.T) {
	m := &model{answer: func(request push.PushRequest) (int, string) {
		if slices.ContainsFunc(pushedLines(request), func(line string) bool { return strings.HasSuffix(line, "/3") }) {
			return 400, "no"
		}
		return 204, ""
	}}
	sender := m.sender(false)
	refused, delivered, calls := 0, 0, 0
	for remaining := streamsOf(500, 8, 0); remaining != nil; calls++ {
		require.Less(t, calls, 10)
		before := m.requests
		report := sender.Deliver(t.Context(), remaining)
		remaining = report.Remaining
		assert.LessOrEqual(t, m.requests-before, 2*maxDivisions+1)
		assert.LessOrEqual(t, len(report.Refused), 1)
		for _, refusal := range report.Refused {
			refused += refusal.Lines
		}
		delivered += report.Delivered.Lines
	}
	assert.Equal(t, 500, refused)
	assert.Equal(t, 3500, delivered)
	assert.Greater(t, calls, 1)
}

// A sender that is closed searches no longer than it must: what it finds is not lost where the queue is in memory.
func TestDeliverAfterClose(t *testing.T) {
	m := &model{answer: func(request push.PushRequest) (int, string) {
		if lines := pushedLines(request); len(lines) > 10 {
			return 413, ""
		} else if slices.Contains(lines, "3/3") {
			return 400, "no"
		}
		return 204, ""
	}}
	sender := m.sender(false)
	sender.Close()
	report := sender.Deliver(t.Context(), streamsOf(10, 10, 0))
	assert.Equal(t, 99, report.Delivered.Lines)
	assert.Equal(t, 1, report.Refused[0].Lines)

	m.answer = func(push.PushRequest) (int, string) { return 400, "no" }
	before := m.requests
	sender = m.sender(false)
	sender.Close()
	report = sender.Deliver(t.Context(), streamsOf(10, 100, 0))
	assert.LessOrEqual(t, m.requests-before, 2*maxDivisionsClosed+1)
	assert.NotNil(t, report.Remaining)
}

// A limit on the size of requests, as gateways have it, is found and remembered.
func TestDeliverTooLarge(t *testing.T) {
	for _, status := range []int{413, 500} {
		m := &model{answer: func(request push.PushRequest) (int, string) {
			if request.Size() > 10_000 {
				return status, "received message larger than max"
			}
			return 204, ""
		}}
		sender := m.sender(false)
		report := sender.Deliver(t.Context(), streamsOf(4, 100, 100))
		assert.Equal(t, 400, report.Delivered.Lines)
		assert.Len(t, m.lines, 400)
		assert.Positive(t, report.Divisions)

		before := m.requests
		appended := streamsOf(4, 100, 100)
		appendTo(appended, `{service_name="large"}`, 1, strings.Repeat("x", 20_000))
		report = sender.Deliver(t.Context(), appended)
		assert.Equal(t, 400, report.Delivered.Lines)
		require.Len(t, report.Refused, 1)
		assert.Equal(t, Refusal{RequestTooLarge, 1, report.Refused[0].Err}, report.Refused[0])
		assert.Zero(t, report.Divisions)
		assert.Less(t, m.requests-before, 20)
	}
}

// What Loki cannot pass on is not even tried.
func TestDeliverSendsNoMoreThanLokiPassesOn(t *testing.T) {
	m := &model{answer: func(request push.PushRequest) (int, string) {
		assert.LessOrEqual(t, request.Size(), maxRequestSize)
		return 204, ""
	}}
	report := m.sender(false).Deliver(t.Context(), streamsOf(3, 100, 30_000))
	assert.Equal(t, 300, report.Delivered.Lines)
	assert.Len(t, report.Requests, 3)
	assert.Zero(t, report.Divisions)
}

// Of what Loki refuses in part, the rest is delivered and nothing is sent again.
func TestDeliverPartly(t *testing.T) {
	m := &model{answer: func(push.PushRequest) (int, string) {
		return 400, "3 errors like: max entry size '9' bytes exceeded for stream 'x'; 1 errors like: entry for stream 'x' has timestamp too new: y"
	}}
	report := m.sender(false).Deliver(t.Context(), streamsOf(1, 10, 0))
	assert.Equal(t, 6, report.Delivered.Lines)
	refused := map[Reason]int{}
	for _, refusal := range report.Refused {
		refused[refusal.Reason] = refusal.Lines
	}
	assert.Equal(t, map[Reason]int{LineTooLong: 3, TooFarInFuture: 1}, refused)
	assert.Len(t, report.Requests, 1)
}

// What cannot be delivered now is given back, without what was.
func TestDeliverLater(t *testing.T) {
	for _, status := range []int{0, 302, 401, 404, 429, 500, 503} {
		m := &model{answer: func(request push.PushRequest) (int, string) {
			if slices.Contains(pushedLines(request), "3/0") {
				return status, ""
			}
			return 204, ""
		}}
		report := m.sender(true).Deliver(t.Context(), streamsOf(6, 10, 0))
		assert.Equal(t, 30, report.Delivered.Lines)
		require.NotNil(t, report.Remaining)
		assert.Equal(t, 30, report.Remaining.Lines())
		require.Error(t, report.Err)
		assert.Len(t, report.Requests, 4)
	}
}

func TestDeliverBlocked(t *testing.T) {
	m := &model{answer: func(push.PushRequest) (int, string) { return 260, "ingestion blocked for user 'x'" }}
	report := m.sender(false).Deliver(t.Context(), streamsOf(2, 3, 0))
	require.Len(t, report.Refused, 1)
	assert.Equal(t, BlockedIngestion, report.Refused[0].Reason)
	assert.Equal(t, 6, report.Refused[0].Lines)
}

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

// Of streams that a policy blocks, only those are refused.
func TestDeliverBlockedByPolicy(t *testing.T) {
	for _, status := range []int{260, 429, 503} {
		m := &model{}
		m.answer = func(request push.PushRequest) (int, string) {
			for i, stream := range request.Streams {
				if stream.Labels == `{service_name="s1"}` {
					rest := request
					rest.Streams = slices.Delete(slices.Clone(request.Streams), i, i+1)
					m.keep(rest)
					return status, "ingestion blocked for user 'x' (policy: 'p') until 'y'"
				}
			}
			return 204, ""
		}
		report := m.sender(false).Deliver(t.Context(), streamsOf(3, 2, 0))
		assert.Equal(t, 4, report.Delivered.Lines)
		if status == 260 {
			assert.Equal(t, 2, report.Refused[0].Lines)
		} else {
			assert.Equal(t, 2, report.Remaining.Lines())
		}
		assert.Len(t, slices.Compact(slices.Sorted(slices.Values(m.lines))), 4)
	}
}

// An answer that breaks off may have named more: the lines are sent again.
func TestDeliverAnswerCutShort(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "3 errors like: entry for stream 'x' has timestamp too old: y; 2 errors like: entry for st")
	}))
	defer server.Close()
	sender := NewSender(NewClient(server.Client(), server.URL, nil, Protobuf), "", false)
	report := sender.Deliver(t.Context(), streamsOf(1, 10, 0))
	assert.Zero(t, report.Delivered)
	assert.Empty(t, report.Refused)
	assert.Equal(t, 10, report.Remaining.Lines())
}

// Of what Loki has to say, no more is read than there is room for. What it may have named beyond does not count as
// delivered.
func TestDeliverAnswerTooLong(t *testing.T) {
	m := &model{answer: func(push.PushRequest) (int, string) {
		return 400, "3 errors like: entry for stream 'x' has timestamp too old: y; 2 errors like: " + strings.Repeat("x", maxText)
	}}
	report := m.sender(false).Deliver(t.Context(), streamsOf(1, 10, 0))
	assert.Zero(t, report.Delivered)
	refused := map[Reason]int{}
	for _, refusal := range report.Refused {
		refused[refusal.Reason] = refusal.Lines
	}
	assert.Equal(t, map[Reason]int{GreaterThanMaxSampleAge: 3, BadRequest: 2, Unnamed: 5}, refused)
}

// A gateway does not know for how long it will be away.
func TestDeliverRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "86400": maxRetryAfter} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		sender := NewSender(NewClient(server.Client(), server.URL, nil, Protobuf), "", false)
		assert.Equal(t, want, sender.Deliver(t.Context(), streamsOf(1, 1, 0)).RetryAfter)
		server.Close()
	}
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
		time.Sleep(memory)
		assert.Equal(t, maxRequestSize, g.largest())
	})
}

// A Loki that takes no structured metadata gets the lines without it, and is not asked again for a while.
func TestDeliverWithoutMetadata(t *testing.T) {
	m := &model{}
	m.answer = func(request push.PushRequest) (int, string) {
		refused := 0
		for i, stream := range request.Streams {
			request.Streams[i].Entries = slices.DeleteFunc(slices.Clone(stream.Entries), func(e push.Entry) bool {
				if len(e.StructuredMetadata) > 0 {
					refused++
				}
				return len(e.StructuredMetadata) > 0
			})
		}
		if refused == 0 {
			return 204, ""
		}
		m.keep(request)
		return 400, fmt.Sprintf("%d errors like: stream '{x=\"y\"}' includes structured metadata, but this feature is disallowed.", refused)
	}
	batch := func() *Batch {
		b := streamsOf(2, 3, 0)
		for s := range 2 {
			r := run{entries: appendEntry(nil, 9, fmt.Sprint("with ", s), appendMetadata(appendMetadata(nil, "a", "1"), "b", "2"))}
			r.note(9)
			b.append(fmt.Sprintf(`{service_name="s%d"}`, s), r)
		}
		return b
	}
	sender := m.sender(false)
	report := sender.Deliver(t.Context(), batch())
	assert.Equal(t, 8, report.Delivered.Lines)
	assert.Empty(t, report.Refused)
	assert.Equal(t, 4, report.DroppedMetadata)
	assert.Len(t, report.Requests, 2)
	assert.ElementsMatch(t, []string{"0/0", "0/1", "0/2", "1/0", "1/1", "1/2", "with 0", "with 1"}, m.lines)

	report = sender.Deliver(t.Context(), batch())
	assert.Equal(t, 8, report.Delivered.Lines)
	assert.Equal(t, 4, report.DroppedMetadata)
	assert.Len(t, report.Requests, 1)
	assert.Len(t, m.lines, 16)
}

// Of lines that have structured metadata, Loki may name another reason, which is then named again and counts once.
func TestDeliverWithoutMetadataForTwoReasons(t *testing.T) {
	const (
		disallowed = "stream '{x=\"y\"}' includes structured metadata, but this feature is disallowed."
		old        = "entry for stream '{x=\"y\"}' has timestamp too old: x"
	)
	answers := []string{"2 errors like: " + disallowed + "; 1 errors like: " + old, old}
	m := &model{answer: func(push.PushRequest) (int, string) {
		text := answers[0]
		answers = answers[1:]
		return 400, text
	}}
	b := new(Batch)
	for n := range int64(3) {
		r := run{entries: appendEntry(nil, n, "line", appendMetadata(nil, "a", "1"))}
		r.note(n)
		b.append(`{x="y"}`, r)
	}
	report := m.sender(false).Deliver(t.Context(), b)
	assert.Equal(t, 2, report.Delivered.Lines)
	require.Len(t, report.Refused, 1)
	assert.Equal(t, Refusal{GreaterThanMaxSampleAge, 1, report.Refused[0].Err}, report.Refused[0])
	assert.Empty(t, answers)
}
