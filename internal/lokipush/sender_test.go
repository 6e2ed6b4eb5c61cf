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
	return NewSender(NewClient(&http.Client{Transport: m}, "http://loki/loki/api/v1/push", nil, Protobuf), SenderOptions{Tenant: "team-1", Strict: strict})
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
		assert.LessOrEqual(t, request.Size(), MaxRequestSize)
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
	sender := NewSender(NewClient(server.Client(), server.URL, nil, Protobuf), SenderOptions{})
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
		sender := NewSender(NewClient(server.Client(), server.URL, nil, Protobuf), SenderOptions{})
		assert.Equal(t, want, sender.Deliver(t.Context(), streamsOf(1, 1, 0)).RetryAfter)
		server.Close()
	}
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
