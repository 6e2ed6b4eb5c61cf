// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/tenant"
)

func TestPush(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	client := NewClient(server.Client(), server.URL+"/loki/api/v1/push", http.Header{tenant.Header: {"tenant-1"}, "User-Agent": {"awsloki/test"}})
	result := client.Push(t.Context(), batchOf("line 1", "line 2"))
	assert.Equal(t, Result{Outcome: Delivered, Status: http.StatusNoContent, Bytes: len(body)}, result)
	assert.Equal(t, http.MethodPost, got.Method)
	assert.Equal(t, "/loki/api/v1/push", got.URL.Path)
	assert.Equal(t, "application/x-protobuf", got.Header.Get("Content-Type"))
	assert.Empty(t, got.Header.Get("Content-Encoding"))
	assert.Equal(t, "tenant-1", got.Header.Get("X-Scope-OrgID"))
	assert.Equal(t, "awsloki/test", got.Header.Get("User-Agent"))
	request := decode(t, body)
	require.Len(t, request.Streams, 1)
	assert.Len(t, request.Streams[0].Entries, 2)
}

func TestAnswers(t *testing.T) {
	f := func(status int, body string, want Outcome, message string) {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		defer server.Close()
		result := NewClient(server.Client(), server.URL, nil).Push(t.Context(), batchOf("line"))
		assert.Equal(t, want, result.Outcome)
		assert.Equal(t, status, result.Status)
		if want == Delivered {
			assert.NoError(t, result.Err)
			return
		}
		require.EqualError(t, result.Err, message)
		assert.Equal(t, 7*time.Second, result.RetryAfter)
	}
	f(200, "", Delivered, "")
	f(204, "", Delivered, "")
	f(202, "", Retry, `loki answered 202: ""`)
	f(260, "ingestion blocked for user t", Refused, `loki answered 260: "ingestion blocked for user t"`)
	f(302, "", Retry, `loki answered 302: ""`)
	f(400, "entry\n too far behind\n", Refused, `loki answered 400: "entry too far behind"`)
	f(401, "no org id", Retry, `loki answered 401: "no org id"`)
	f(403, "", Retry, `loki answered 403: ""`)
	f(404, "404 page not found", Retry, `loki answered 404: "404 page not found"`)
	f(413, "too large", Refused, `loki answered 413: "too large"`)
	f(422, "no stream", Refused, `loki answered 422: "no stream"`)
	f(429, "rate limit", Retry, `loki answered 429: "rate limit"`)
	f(500, "shutting down", Retry, `loki answered 500: "shutting down"`)
	f(503, strings.Repeat("x", 5000), Retry, `loki answered 503: "`+strings.Repeat("x", 1024)+`"`)
}

func TestPushWithoutAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	result := NewClient(server.Client(), server.URL, nil).Push(t.Context(), batchOf("line"))
	assert.Equal(t, Retry, result.Outcome)
	assert.Zero(t, result.Status)
	require.Error(t, result.Err)
	server.Close()

	result = NewClient(server.Client(), server.URL, nil).Push(t.Context(), batchOf("line"))
	assert.Equal(t, Retry, result.Outcome)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	result = NewClient(server.Client(), server.URL, nil).Push(ctx, batchOf("line"))
	assert.Equal(t, Retry, result.Outcome)
	require.ErrorIs(t, result.Err, context.Canceled)

	result = NewClient(server.Client(), server.URL+"?token=hunter2", nil).Push(t.Context(), batchOf("line"))
	require.Error(t, result.Err)
	assert.NotContains(t, result.Err.Error(), "hunter2")
}

// A redirect is not followed: neither lines nor credentials go to another host, and a page that answers 200 to a GET is
// no delivery.
func TestRedirect(t *testing.T) {
	visited := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited = true }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		result := NewClient(server.Client(), server.URL, nil).Push(t.Context(), batchOf("line"))
		server.Close()
		assert.Equal(t, Retry, result.Outcome)
		assert.Equal(t, status, result.Status)
		assert.False(t, visited)
	}
}

// An answer that comes before the request was read must not let the next push write into the body that is still on
// its way.
func TestEarlyAnswersAndReusedBuffers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Early") != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if _, err := ParseBatch(mustDecompress(body)); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	early := NewClient(server.Client(), server.URL, http.Header{"Early": {"1"}})
	client := NewClient(server.Client(), server.URL, nil)
	line := strings.Repeat("0123456789abcdef", 1<<16)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				early.Push(t.Context(), batchOf(line))
				assert.Equal(t, Delivered, client.Push(t.Context(), batchOf(line)).Outcome)
			}
		})
	}
	wg.Wait()
}
