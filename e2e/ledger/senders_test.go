// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/faultproxy"
)

func response(status int, header ...string) *http.Response {
	r := &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestJudge(t *testing.T) {
	f := func(input Input, resp *http.Response, body string, want answer, wantErr string) {
		t.Helper()
		got, err := judge(&parcel{document: document{input: input, lines: 10}, name: "1-2"}, resp, []byte(body))
		if wantErr != "" {
			assert.ErrorContains(t, err, wantErr)
			return
		}
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	f(Subscription, response(200), `{"accepted":10}`, answer{kind: "200", taken: 10}, "")
	f(Subscription, response(200), `{"accepted":9}`, answer{}, "9 of 10 lines are accepted")
	f(Subscription, response(200), "<html>", answer{}, "0 of 10 lines are accepted")
	f(Subscription, response(503, "Retry-After", "3"), `{"accepted":0}`, answer{kind: "503", retryAfter: 3 * time.Second}, "")
	f(Subscription, response(400), `{"accepted":0,"error":"malformed"}`, answer{}, "malformed")
	f(Subscription, response(502), "", answer{kind: "502"}, "")
	f(S3, response(503), `{"accepted":4}`, answer{kind: "503", taken: 4}, "")
	f(S3, response(200), `{"accepted":10}`, answer{kind: "200", taken: 10}, "")
	f(Push, response(204), "", answer{kind: "204", taken: 10}, "")
	f(Push, response(200), "", answer{}, "answered 200")
	f(Firehose, response(200), `{"requestId":"1-2","timestamp":1}`, answer{kind: "200", taken: 10}, "")
	f(Firehose, response(200), `{"requestId":"1-3","timestamp":1}`, answer{}, "1-3")
	f(Firehose, response(200), `{}`, answer{}, "answer to Firehose")
}

func newRun(t *testing.T, lines int, mix map[Input]int) *run {
	t.Helper()
	p := newPlan(1, lines, 1, mix, false)
	return &run{plan: p, book: newBook(p), generator: newGenerator(p, false), journal: &journal{begun: time.Now()}}
}

// An object that is taken in part goes on where that ended. Without an answer it begins where it did before.
func TestSendObject(t *testing.T) {
	r := newRun(t, 100, map[Input]int{S3: 1})
	d := r.plan.documents[0]
	var mu sync.Mutex
	var skips []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		skips = append(skips, req.FormValue("skip"))
		switch len(skips) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(w, `{"accepted":10,"error":"full"}`)
		case 2:
			panic(http.ErrAbortHandler)
		default:
			_, _ = fmt.Fprintf(w, `{"accepted":%d}`, d.lines)
		}
	}))
	defer server.Close()
	require.NoError(t, r.send(t.Context(), newPoster(server.URL), d))
	assert.Equal(t, []string{"", "10", "10"}, skips)
	assert.Equal(t, d.lines, r.book.progress())
	assert.Equal(t, map[string]int{"503": 1, "none": 1}, r.failed.all())
}

// Only the end of the run has a sender give up.
func TestSendGivesUp(t *testing.T) {
	r := newRun(t, 100, map[Input]int{Subscription: 1})
	ctx, end := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if r.failures() == 2 {
			end()
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	d := r.plan.documents[0]
	require.NoError(t, r.send(ctx, newPoster(server.URL), d))
	assert.Equal(t, d.lines, r.book.balance()[Subscription].Unacknowledged)
}

// Phases follow each other, and requests pass when there is none.
func TestNetwork(t *testing.T) {
	n := &network{}
	request := &faultproxy.Request{Path: pushPath, Bytes: 2 * gatewayLimit}
	assert.Equal(t, faultproxy.Fault{}, n.decide(request))
	var phases sync.WaitGroup
	failed := make([]int, 2)
	for i := range failed {
		phases.Go(func() {
			failed[i] = n.disturb(t.Context(), Fault{Kind: NetLokiCut, Requests: 50, Seed: uint64(i)}, func() {})
		})
	}
	require.Eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.phases) == 2
	}, time.Minute, time.Millisecond)
	cut := 0
	for range 100 {
		if n.decide(request).Kind == faultproxy.CutAnswer {
			cut++
		}
	}
	phases.Wait()
	assert.Equal(t, faultproxy.Fault{}, n.decide(request))
	assert.Equal(t, cut, failed[0]+failed[1])
	done := map[Kind]int{}
	n.addFailed(done)
	assert.Equal(t, map[Kind]int{NetLokiCut: cut}, done)
	assert.InDelta(t, 100*faultShare, cut, 25)
}

// Only what is too large for a gateway meets it, and only one request of all waits for a timeout.
func TestNetworkGateway(t *testing.T) {
	count := func(request *faultproxy.Request) map[faultproxy.Kind]int {
		n := &network{phases: []*phase{}}
		ended, end := context.WithCancel(t.Context())
		end()
		n.disturb(ended, Fault{Kind: NetLoki, Requests: 1000}, func() {})
		kinds := map[faultproxy.Kind]int{}
		for range 1000 {
			fault := n.decide(request)
			if fault.Status == http.StatusRequestEntityTooLarge {
				kinds[-1]++
			}
			kinds[fault.Kind]++
		}
		done := map[Kind]int{}
		n.addFailed(done)
		assert.Equal(t, 1000-kinds[faultproxy.None]-kinds[faultproxy.Slow], done[NetLoki], "what is slow has not failed")
		return kinds
	}
	large := count(&faultproxy.Request{Path: pushPath, Bytes: 2 * gatewayLimit})
	assert.Positive(t, large[-1])
	assert.Equal(t, 1, large[faultproxy.Hang])
	assert.Zero(t, count(&faultproxy.Request{Path: pushPath, Bytes: 100})[-1])
	assert.Zero(t, count(&faultproxy.Request{Path: "/loki/api/v1/query_range", Bytes: 2 * gatewayLimit})[-1])
}
