// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

// answer is one of Loki's. The zero one is 204.
type answer struct {
	status     int
	text       string
	retryAfter string
}

// fake is a Loki that reads pushes with Loki's own types, and keeps what is in those that it takes: all but what the text
// of a 400 is about, which is the test's affair.
type fake struct {
	tb testing.TB
	// answer is that to the n-th request, counted from 1. nil: 204.
	answer func(n int, request push.PushRequest) answer

	mu       sync.Mutex
	requests []push.PushRequest
	headers  []http.Header
	sizes    []int
	times    []time.Time
	taken    []push.Stream
}

func (f *fake) push(r *http.Request) answer {
	body, err := io.ReadAll(r.Body)
	if !assert.NoError(f.tb, err) {
		return answer{status: 500}
	}
	plain, err := snappy.Decode(nil, body)
	assert.NoError(f.tb, err)
	var request push.PushRequest
	assert.NoError(f.tb, proto.Unmarshal(plain, &request))
	assert.Equal(f.tb, "/loki/api/v1/push", r.URL.Path)
	assert.Equal(f.tb, "application/x-protobuf", r.Header.Get("Content-Type"))
	assert.NotEmpty(f.tb, request.Streams, "Loki answers 422 to a request without streams")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests, f.headers = append(f.requests, request), append(f.headers, r.Header)
	f.sizes, f.times = append(f.sizes, len(plain)), append(f.times, time.Now())
	got := answer{}
	if f.answer != nil {
		got = f.answer(len(f.requests), request)
	}
	if got.status == 0 {
		got.status = http.StatusNoContent
	}
	if got.status == http.StatusNoContent {
		f.taken = append(f.taken, request.Streams...)
	}
	return got
}

// ServeHTTP implements http.Handler.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	got := f.push(r)
	if got.retryAfter != "" {
		w.Header().Set("Retry-After", got.retryAfter)
	}
	w.WriteHeader(got.status)
	_, _ = io.WriteString(w, got.text)
}

// RoundTrip implements http.RoundTripper: without a network a test can have a clock of its own.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	recorder := httptest.NewRecorder()
	f.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// lines are those taken, in the order that they came.
func (f *fake) lines() (lines []string) {
	for _, stream := range f.taken {
		for _, entry := range stream.Entries {
			lines = append(lines, entry.Line)
		}
	}
	return lines
}

// labels are those of the streams taken.
func (f *fake) labels() (labels []string) {
	for _, stream := range f.taken {
		labels = append(labels, stream.Labels)
	}
	return labels
}

// served is a client of the fake by HTTP.
func (f *fake) served(open s3object.Open, environment ...string) (*Client, *bytes.Buffer) {
	f.tb.Helper()
	server := httptest.NewServer(f)
	f.tb.Cleanup(server.Close)
	transport := &http.Transport{}
	f.tb.Cleanup(transport.CloseIdleConnections)
	return f.client(server.URL, transport, open, environment...)
}

// direct is a client of the fake without a network.
func (f *fake) direct(open s3object.Open, environment ...string) (*Client, *bytes.Buffer) {
	f.tb.Helper()
	return f.client("http://loki", f, open, environment...)
}

// client is one as the function makes it. It returns what the client logs, too.
func (f *fake) client(address string, transport http.RoundTripper, open s3object.Open, environment ...string) (*Client, *bytes.Buffer) {
	f.tb.Helper()
	env := map[string]string{"WRITE_ADDRESS": address + "/loki/api/v1/push", "MIN_BACKOFF": "1ms", "MAX_BACKOFF": "2ms"}
	for _, variable := range environment {
		key, value, _ := strings.Cut(variable, "=")
		env[key] = value
	}
	cfg, err := config.Load(func(key string) string { return env[key] })
	require.NoError(f.tb, err)
	require.True(f.tb, cfg.ToLoki())
	policy := delivery.Policy{
		MinBackoff: cfg.MinBackoff, MaxBackoff: cfg.MaxBackoff, MaxRetries: cfg.MaxRetries, DeadlineMargin: cfg.DeadlineMargin,
	}
	logs := new(bytes.Buffer)
	client, err := NewClient(&cfg, transport, policy, "forwarder/test", open, slog.New(slog.NewTextHandler(logs, nil)))
	require.NoError(f.tb, err)
	assert.Equal(f.tb, env["WRITE_ADDRESS"], client.URL())
	return client, logs
}

func compress(tb testing.TB, text string) []byte {
	tb.Helper()
	var compressed bytes.Buffer
	w, err := gzip.NewWriterLevel(&compressed, gzip.BestSpeed)
	require.NoError(tb, err)
	_, err = io.WriteString(w, text)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return compressed.Bytes()
}

// firstEvent is the time of a message's first event, of which the others follow each a second later.
var firstEvent = time.UnixMilli(1791798435_523).UTC()

// messageText is a message of CloudWatch Logs. The ids of its events are id0, id1 and so on.
func messageText(tb testing.TB, group, stream string, lines ...string) string {
	tb.Helper()
	events := []any{}
	for i, line := range lines {
		events = append(events, map[string]any{
			"id": fmt.Sprint("id", i), "timestamp": firstEvent.UnixMilli() + int64(1000*i), "message": line,
		})
	}
	text, err := json.Marshal(map[string]any{
		"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": group, "logStream": stream,
		"subscriptionFilters": []string{"f"}, "logEvents": events,
	})
	require.NoError(tb, err)
	return string(text)
}

func newMessage(tb testing.TB, group, stream string, lines ...string) []byte {
	tb.Helper()
	return compress(tb, messageText(tb, group, stream, lines...))
}

// numbered has n lines that differ.
func numbered(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("line %d", i)
	}
	return lines
}
