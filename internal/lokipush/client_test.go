// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"compress/gzip"
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
	header := http.Header{"User-Agent": {"awsloki/test"}}
	push := func(tenant string, encoding Encoding) answer {
		client := NewClient(server.Client(), server.URL+"/loki/api/v1/push", header, encoding)
		return client.push(t.Context(), tenant, batchOf("line 1", "line 2"))
	}
	a := push("tenant-1", Protobuf)
	assert.Equal(t, answer{status: http.StatusNoContent, bytes: len(body)}, a)
	assert.Equal(t, http.MethodPost, got.Method)
	assert.Equal(t, "/loki/api/v1/push", got.URL.Path)
	assert.Equal(t, "application/x-protobuf", got.Header.Get("Content-Type"))
	assert.Empty(t, got.Header.Get("Content-Encoding"))
	assert.Equal(t, "tenant-1", got.Header.Get("X-Scope-OrgID"))
	assert.Equal(t, "awsloki/test", got.Header.Get("User-Agent"))
	request := decode(t, body)
	require.Len(t, request.Streams, 1)
	assert.Len(t, request.Streams[0].Entries, 2)

	push("", JSON)
	assert.Equal(t, "application/json", got.Header.Get("Content-Type"))
	assert.Equal(t, "gzip", got.Header.Get("Content-Encoding"))
	assert.NotContains(t, got.Header, tenant.Header)
	reader, err := gzip.NewReader(bytes.NewReader(body))
	require.NoError(t, err)
	plain, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, string(batchOf("line 1", "line 2").AppendJSON(nil)), string(plain))
}

// All that Loki says is read, also where that is a lot, and what a gateway says about when to come again.
func TestReadAnswer(t *testing.T) {
	text := strings.Repeat("2 errors like: entry; ", 100_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, text)
	}))
	defer server.Close()
	a := NewClient(server.Client(), server.URL, nil, Protobuf).push(t.Context(), "", batchOf("line"))
	require.NoError(t, a.err)
	assert.Equal(t, text, a.text)
	assert.Equal(t, 7*time.Second, a.retryAfter)
	assert.Less(t, len(a.error().Error()), 1200)
}

// An answer that breaks off is still an answer.
func TestHalfAnAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "half")
	}))
	defer server.Close()
	a := NewClient(server.Client(), server.URL, nil, Protobuf).push(t.Context(), "", batchOf("line"))
	assert.Equal(t, http.StatusBadRequest, a.status)
	require.EqualError(t, a.error(), `loki answered 400: "half" (the rest of the answer did not come: unexpected EOF)`)
}

func TestPushWithoutAnswer(t *testing.T) {
	push := func(ctx context.Context, client *http.Client, url string) answer {
		return NewClient(client, url, nil, Protobuf).push(ctx, "", batchOf("line"))
	}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	a := push(t.Context(), server.Client(), server.URL)
	assert.Zero(t, a.status)
	require.Error(t, a.error())
	server.Close()

	require.Error(t, push(t.Context(), server.Client(), server.URL).error())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, push(ctx, server.Client(), server.URL).error(), context.Canceled)

	a = push(t.Context(), server.Client(), server.URL+"?token=hunter2")
	require.Error(t, a.error())
	assert.NotContains(t, a.error().Error(), "hunter2")
}

// A redirect is not followed: neither lines nor credentials go to another host, and a page that answers 200 to a GET is
// no delivery.
func TestRedirect(t *testing.T) {
	visited := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited = true }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		a := NewClient(server.Client(), server.URL, nil, Protobuf).push(t.Context(), "", batchOf("line"))
		server.Close()
		assert.Equal(t, status, a.status)
		assert.Equal(t, later, a.interpret(batchOf("line")).meaning)
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
	early := NewClient(server.Client(), server.URL, http.Header{"Early": {"1"}}, Protobuf)
	client := NewClient(server.Client(), server.URL, nil, Protobuf)
	line := strings.Repeat("0123456789abcdef", 1<<16)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				early.push(t.Context(), "", batchOf(line))
				assert.Equal(t, http.StatusNoContent, client.push(t.Context(), "", batchOf(line)).status)
			}
		})
	}
	wg.Wait()
}
