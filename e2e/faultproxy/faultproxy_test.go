// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package faultproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
)

// received is a request as the target got it.
type received struct {
	method, uri, body string
	header            http.Header
}

// fixture is a target behind a proxy.
type fixture struct {
	*testing.T
	proxy  *Proxy
	client *http.Client

	mu       sync.Mutex
	received []received
}

func start(t *testing.T, decide func(*Request) Fault) *fixture {
	t.Helper()
	f := &fixture{T: t, client: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
	target := httptest.NewServer(f)
	t.Cleanup(target.Close)
	proxy, err := Start(target.URL, decide)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, proxy.Close()) })
	t.Cleanup(f.client.CloseIdleConnections)
	f.proxy = proxy
	return f
}

// ServeHTTP is the target.
func (f *fixture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	assert.NoError(f, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.received = append(f.received, received{r.Method, r.RequestURI, string(body), r.Header})
	w.Header().Set("X-Target", "here")
	w.Header().Set("Content-Type", "application/x-target")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, "taken")
}

// got returns what has reached the target.
func (f *fixture) got() []received {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.received
}

// post sends a request by way of the proxy and returns the answer with its body, as much of it as there is.
func (f *fixture) post(ctx context.Context, body string) (*http.Response, string, error) {
	f.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.proxy.URL()+"/loki/api/v1/push", strings.NewReader(body))
	require.NoError(f, err)
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

// always returns a decision for one fault.
func always(fault Fault) func(*Request) Fault {
	return func(*Request) Fault { return fault }
}

func TestForward(t *testing.T) {
	var seen []Request
	f := start(t, func(r *Request) Fault {
		seen = append(seen, *r)
		return Fault{}
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, f.proxy.URL()+"/a%2Fb/c?x=1&y=%20;", strings.NewReader("body"))
	require.NoError(t, err)
	req.Header = http.Header{
		"Content-Encoding": {"gzip"}, "X-Scope-Orgid": {"team"}, "X-Twice": {"1", "2"},
		"Connection": {"X-Hop"}, "X-Hop": {"not for the target"}, "User-Agent": nil,
	}
	resp, err := f.client.Do(req)
	require.NoError(t, err)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "taken", string(answer))
	assert.Equal(t, http.StatusAccepted, resp.StatusCode)
	assert.Equal(t, "application/x-target", resp.Header.Get("Content-Type"))
	assert.Equal(t, "here", resp.Header.Get("X-Target"))

	assert.Equal(t, []received{{http.MethodPut, "/a%2Fb/c?x=1&y=%20;", "body", http.Header{
		"Content-Encoding": {"gzip"}, "X-Scope-Orgid": {"team"}, "X-Twice": {"1", "2"}, "Content-Length": {"4"},
	}}}, f.got())
	_, _, err = f.post(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, []Request{{N: 1, Tenant: "team", Path: "/a/b/c", Bytes: 4}, {N: 2, Path: "/loki/api/v1/push"}}, seen)
	assert.Equal(t, map[Kind]int{None: 2}, f.proxy.Counts())
}

func TestBodyTooLarge(t *testing.T) {
	f := start(t, always(Fault{}))
	f.proxy.limit = 4
	resp, body, err := f.post(t.Context(), "12345")
	require.NoError(t, err)
	assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	assert.Equal(t, "http: request body too large", body)
	assert.Empty(t, f.got())
	assert.Empty(t, f.proxy.Counts())
	_, _, err = f.post(t.Context(), "1234")
	require.NoError(t, err)
	assert.Len(t, f.got(), 1)
}

func TestTargetAway(t *testing.T) {
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	f := start(t, always(Fault{}))
	proxy, err := Start(away.URL, always(Fault{}))
	require.NoError(t, err)
	defer proxy.Close()
	f.proxy = proxy
	resp, _, err := f.post(t.Context(), "body")
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadGateway, resp.StatusCode)
}

func TestBadTarget(t *testing.T) {
	for _, target := range []string{"", "://", "localhost:3100", "https://localhost:3100", "http://localhost:3100/loki"} {
		_, err := Start(target, always(Fault{}))
		assert.ErrorContains(t, err, "target of the proxy: ", target)
	}
}

func TestAnswer(t *testing.T) {
	f := start(t, always(Fault{Kind: Answer, Status: 429, Body: "too many", ContentType: "text/plain", RetryAfter: "7"}))
	resp, body, err := f.post(t.Context(), "body")
	require.NoError(t, err)
	assert.Equal(t, 429, resp.StatusCode)
	assert.Equal(t, "too many", body)
	assert.Equal(t, "text/plain", resp.Header.Get("Content-Type"))
	assert.Equal(t, "7", resp.Header.Get("Retry-After"))
	assert.Empty(t, f.got())
	assert.Equal(t, map[Kind]int{Answer: 1}, f.proxy.Counts())
}

func TestAnswerByDefault(t *testing.T) {
	f := start(t, always(Fault{Kind: Answer}))
	resp, body, err := f.post(t.Context(), "body")
	require.NoError(t, err)
	assert.Equal(t, 503, resp.StatusCode)
	assert.Empty(t, body)
	assert.NotContains(t, resp.Header, "Content-Type")
}

func TestReset(t *testing.T) {
	f := start(t, always(Fault{Kind: Reset}))
	_, _, err := f.post(t.Context(), "body")
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	assert.Empty(t, f.got())
	assert.Equal(t, map[Kind]int{Reset: 1}, f.proxy.Counts())
}

func TestCutAnswer(t *testing.T) {
	f := start(t, always(Fault{Kind: CutAnswer}))
	_, _, err := f.post(t.Context(), "body")
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	require.Len(t, f.got(), 1)
	assert.Equal(t, "body", f.got()[0].body)
	assert.Equal(t, map[Kind]int{CutAnswer: 1}, f.proxy.Counts())
}

func TestHalfAnswer(t *testing.T) {
	f := start(t, always(Fault{Kind: HalfAnswer, Status: 400, Body: "12345678"}))
	resp, body, err := f.post(t.Context(), "body")
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, 400, resp.StatusCode)
	assert.Equal(t, int64(8), resp.ContentLength)
	assert.Equal(t, "1234", body)
	assert.Empty(t, f.got())
	assert.Equal(t, map[Kind]int{HalfAnswer: 1}, f.proxy.Counts())
}

func TestHang(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	f := start(t, func(*Request) Fault {
		giveUp()
		return Fault{Kind: Hang}
	})
	_, _, err := f.post(ctx, "body")
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, f.got())
	assert.Equal(t, map[Kind]int{Hang: 1}, f.proxy.Counts())
}

func TestSlow(t *testing.T) {
	f := start(t, always(Fault{Kind: Slow, Delay: time.Millisecond}))
	resp, body, err := f.post(t.Context(), "body")
	require.NoError(t, err)
	assert.Equal(t, http.StatusAccepted, resp.StatusCode)
	assert.Equal(t, "taken", body)
	assert.Len(t, f.got(), 1)
	assert.Equal(t, map[Kind]int{Slow: 1}, f.proxy.Counts())
}

// Close ends what is held back, leaves nothing running, and takes no more.
func TestClose(t *testing.T) {
	for _, kind := range []Kind{Hang, Slow} {
		t.Run(kind.String(), func(t *testing.T) {
			f := start(t, always(Fault{Kind: kind, Delay: time.Hour}))
			failed := make(chan error)
			go func() {
				_, _, err := f.post(t.Context(), "body")
				failed <- err
			}()
			require.NoError(t, stack.Eventually(t.Context(), time.Minute, func(context.Context) error {
				if f.proxy.Counts()[kind] == 0 || kind == Slow && len(f.got()) == 0 {
					return errors.New("the request is not held back yet")
				}
				return nil
			}))
			require.NoError(t, f.proxy.Close())
			require.Error(t, <-failed)
			_, _, err := f.post(t.Context(), "body")
			assert.ErrorIs(t, err, syscall.ECONNREFUSED)
			assert.NotContains(t, stacks(), "faultproxy.(*Proxy)")
		})
	}
}

// Close ends connections that have no request at the time.
func TestCloseIdle(t *testing.T) {
	f := start(t, always(Fault{}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.proxy.URL(), "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, f.proxy.Close())
	_, err = io.Copy(io.Discard, conn)
	assert.NoError(t, err)
}

// stacks returns the stacks of all goroutines.
func stacks() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

// Requests at once are all counted, and decisions about them are made one at a time.
func TestConcurrent(t *testing.T) {
	numbers := map[int]bool{}
	faults := Seeded(1, 0.5, Fault{Kind: Answer}, Fault{Kind: Reset}, Fault{Kind: CutAnswer})
	f := start(t, func(r *Request) Fault {
		numbers[r.N] = true
		return faults(r)
	})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 25 {
				_, _, _ = f.post(t.Context(), "body")
			}
		})
	}
	clients.Wait()
	assert.Len(t, numbers, 200)
	counts := f.proxy.Counts()
	assert.Equal(t, 200, counts[None]+counts[Answer]+counts[Reset]+counts[CutAnswer])
	assert.Len(t, f.got(), counts[None]+counts[CutAnswer])
}

func TestSeeded(t *testing.T) {
	decisions := func(seed uint64, share float64) map[Kind]int {
		decide, again := Seeded(seed, share, Fault{Kind: Reset}, Fault{Kind: Hang}), Seeded(seed, share, Fault{Kind: Reset}, Fault{Kind: Hang})
		counts := map[Kind]int{}
		for n := range 1000 {
			fault := decide(&Request{N: n + 1})
			require.Equal(t, fault, again(&Request{N: n + 1}))
			counts[fault.Kind]++
		}
		return counts
	}
	assert.Equal(t, map[Kind]int{None: 1000}, decisions(1, 0))
	assert.NotContains(t, decisions(1, 1), None)
	counts := decisions(1, 0.4)
	assert.InDelta(t, 600, counts[None], 60)
	assert.InDelta(t, 200, counts[Reset], 60)
	assert.InDelta(t, 200, counts[Hang], 60)
	assert.NotEqual(t, counts, decisions(2, 0.4))
}

func TestKindString(t *testing.T) {
	assert.Equal(t, "None", None.String())
	assert.Equal(t, "HalfAnswer", HalfAnswer.String())
	assert.Equal(t, "Kind(7)", Kind(7).String())
	assert.Equal(t, "Kind(-1)", Kind(-1).String())
}
