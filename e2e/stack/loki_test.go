// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const stopwatch = `{app="stopwatch"}`

func startLoki(tb testing.TB, opts LokiOptions) *Loki {
	tb.Helper()
	l, err := StartLoki(tb.Context(), tb.TempDir(), opts)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		assert.NoError(tb, l.Stop())
		if tb.Failed() {
			tb.Log(l.Tail())
		}
	})
	return l
}

func push(tb testing.TB, l *LokiClient, tenant string, lines []Line) {
	tb.Helper()
	streams := make([]any, len(lines))
	for i, line := range lines {
		streams[i] = map[string]any{
			"stream": line.Labels,
			"values": []any{[]any{nanos(line.Timestamp), line.Line, line.StructuredMetadata}},
		}
	}
	body, err := json.Marshal(map[string]any{"streams": streams})
	require.NoError(tb, err)
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, l.PushURL(), bytes.NewReader(body))
	require.NoError(tb, err)
	req.Header.Set("Content-Type", "application/json")
	if tenant != "" {
		req.Header.Set("X-Scope-OrgID", tenant)
	}
	resp, err := httpClient.Do(req)
	require.NoError(tb, err)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	require.NoError(tb, resp.Body.Close())
	require.Equal(tb, http.StatusNoContent, resp.StatusCode, string(answer))
}

// someLines returns n lines of which each four have the same timestamp, beginning at start.
func someLines(start time.Time, n int) []Line {
	lines := make([]Line, n)
	for i := range lines {
		lines[i] = Line{
			Timestamp:          start.Add(time.Duration(i/4) * time.Microsecond),
			Line:               fmt.Sprintf("line %05d", i),
			Labels:             map[string]string{"app": "stopwatch", "service_name": "stopwatch"},
			StructuredMetadata: map[string]string{"event_id": strconv.Itoa(i), "detected_level": "info"},
		}
	}
	return lines
}

func TestLoki(t *testing.T) {
	t.Parallel()
	l := startLoki(t, LokiOptions{})
	start := time.Now().Add(-time.Minute).UTC().Truncate(time.Microsecond)
	const n = 2*pageSize + 502
	want := someLines(start, n)
	push(t, l.LokiClient, "", want)
	end := want[n-1].Timestamp.Add(1)

	check := func(t *testing.T) {
		t.Helper()
		got, err := l.WaitForLines(t.Context(), stopwatch, start, n, time.Minute)
		require.NoError(t, err)
		require.Equal(t, want, got)
		count, err := l.Count(t.Context(), stopwatch, start, end)
		require.NoError(t, err)
		require.Equal(t, n, count)
	}
	t.Run("all pages", check)

	t.Run("span", func(t *testing.T) {
		from, to := want[4].Timestamp, want[8].Timestamp
		got, err := l.Lines(t.Context(), stopwatch, from, to)
		require.NoError(t, err)
		assert.Equal(t, want[4:8], got)
		got, err = l.Lines(t.Context(), stopwatch+` | event_id="17"`, start, end)
		require.NoError(t, err)
		assert.Equal(t, want[17:18], got)
		count, err := l.Count(t.Context(), stopwatch, from, end)
		require.NoError(t, err)
		assert.Equal(t, n-4, count)
		count, err = l.Count(t.Context(), `{app="none"}`, start, end)
		require.NoError(t, err)
		assert.Zero(t, count)
	})

	t.Run("labels", func(t *testing.T) {
		series, err := l.Series(t.Context(), stopwatch, start, end)
		require.NoError(t, err)
		assert.Equal(t, []map[string]string{want[0].Labels}, series)
		names, err := l.LabelNames(t.Context(), start, end)
		require.NoError(t, err)
		assert.Equal(t, []string{"app", "service_name"}, names)
		values, err := l.LabelValues(t.Context(), "app", start, end)
		require.NoError(t, err)
		assert.Equal(t, []string{"stopwatch"}, values)
	})

	t.Run("values", func(t *testing.T) {
		const ids = `{app="stopwatch"} | event_id=~"1|2"`
		values, err := l.Values(t.Context(), "count_over_time("+ids+"[1h])", "event_id", end)
		require.NoError(t, err)
		assert.Equal(t, map[string]float64{"1": 1, "2": 1}, values)
		_, err = l.Values(t.Context(), "count_over_time("+ids+"[1h])", "app", end)
		require.ErrorContains(t, err, "several series have the same app")
		values, err = l.Values(t.Context(), `count_over_time({app="none"}[1h])`, "event_id", end)
		require.NoError(t, err)
		assert.Empty(t, values)
	})

	t.Run("errors", func(t *testing.T) {
		_, err := l.Lines(t.Context(), `{app=`, start, end)
		require.ErrorContains(t, err, "query {app=: GET /loki/api/v1/query_range: 400 Bad Request: parse error")
		_, err = l.Lines(t.Context(), `sum(count_over_time({app="stopwatch"}[1m]))`, start, end)
		require.ErrorContains(t, err, "the result is of type matrix, want streams")
		_, err = l.Value(t.Context(), `count_over_time({app="stopwatch"} | event_id=~"1|2" [1h])`, end)
		require.ErrorContains(t, err, "2 series, want one")
		_, err = l.WaitForLines(t.Context(), stopwatch, start, n+1, 100*time.Millisecond)
		require.EqualError(t, err, fmt.Sprintf("not within 100ms: %s has %d lines, want %d", stopwatch, n, n+1))
	})

	t.Run("after restart", func(t *testing.T) {
		pid := l.PID()
		require.NoError(t, l.Restart(t.Context()))
		requireGone(t, pid)
		check(t)
	})

	t.Run("after kill", func(t *testing.T) {
		pid := l.PID()
		require.NoError(t, l.Kill())
		requireGone(t, pid)
		require.Error(t, l.Ready(t.Context()))
		require.NoError(t, l.Start(t.Context()))
		check(t)
	})

	t.Run("after flush and kill", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.BaseURL()+"/flush", http.NoBody)
		require.NoError(t, err)
		resp, err := httpClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
		require.NoError(t, l.Kill())
		require.NoError(t, l.Start(t.Context()))
		check(t)
	})

	pid := l.PID()
	require.NoError(t, l.Stop())
	requireGone(t, pid)
}

func TestLokiLargeAnswers(t *testing.T) {
	t.Parallel()
	l := startLoki(t, LokiOptions{Config: `
limits_config: {ingestion_rate_mb: 100, ingestion_burst_size_mb: 100, per_stream_rate_limit: 100MB, per_stream_rate_limit_burst: 100MB}
`})
	start := time.Now().Add(-time.Minute).UTC()
	want := someLines(start, 28)
	for i := range want {
		want[i].Line += strings.Repeat("x", 200<<10)
	}
	for part := range slices.Chunk(want, 14) { // one request with all would be too large for Loki
		push(t, l.LokiClient, "", part)
	}
	got, err := l.Lines(t.Context(), stopwatch, start, time.Now())
	require.NoError(t, err)
	require.Equal(t, shorten(want), shorten(got))
}

// shorten cuts lines to a length that can be shown in full.
func shorten(lines []Line) []Line {
	short := slices.Clone(lines)
	for i := range short {
		short[i].Line = fmt.Sprintf("%.10s (%d)", short[i].Line, len(short[i].Line))
	}
	return short
}

func TestLokiTenants(t *testing.T) {
	t.Parallel()
	l := startLoki(t, LokiOptions{Config: "auth_enabled: true"})
	start := time.Now().Add(-time.Minute).UTC()
	want := someLines(start, 1)
	push(t, l.LokiClient, "a", want)
	got, err := l.ForTenant("a").Lines(t.Context(), stopwatch, start, time.Now())
	require.NoError(t, err)
	assert.Equal(t, want, got)
	got, err = l.ForTenant("b").Lines(t.Context(), stopwatch, start, time.Now())
	require.NoError(t, err)
	assert.Empty(t, got)
	_, err = l.Lines(t.Context(), stopwatch, start, time.Now())
	assert.ErrorContains(t, err, "401 Unauthorized: no org id")
}

func TestLokiConfig(t *testing.T) {
	path, err := writeLokiConfig(t.TempDir(), "127.0.0.1:1", "127.0.0.1:2", `
limits_config: {max_line_size: 1KB}
querier: {max_concurrent: 1}
`)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var config struct {
		Server struct {
			HTTPListenPort int `yaml:"http_listen_port"`
		}
		Limits  map[string]any `yaml:"limits_config"`
		Querier map[string]any
	}
	require.NoError(t, yaml.Unmarshal(text, &config))
	assert.Equal(t, 1, config.Server.HTTPListenPort)
	assert.Equal(t, map[string]any{
		"allow_structured_metadata": true, "max_entries_limit_per_query": 10000000, "max_line_size": "1KB",
	}, config.Limits)
	assert.Equal(t, map[string]any{"max_concurrent": 1}, config.Querier)

	_, err = writeLokiConfig(t.TempDir(), "127.0.0.1:1", "127.0.0.1:2", "a: [")
	assert.ErrorContains(t, err, "overlay: yaml: ")
}

func TestNewLokiClient(t *testing.T) {
	l, err := NewLokiClient("https://logs.example.com/prefix/loki/api/v1/push")
	require.NoError(t, err)
	assert.Equal(t, "https://logs.example.com/prefix", l.BaseURL())
	assert.Equal(t, "https://logs.example.com/prefix/loki/api/v1/push", l.PushURL())

	f := func(pushURL string) {
		t.Helper()
		_, err := NewLokiClient(pushURL)
		assert.ErrorContains(t, err, "push URL of Loki: ")
	}
	f("")
	f("localhost:3100/loki/api/v1/push")
	f("http://localhost:3100")
	f("http://localhost:3100/loki/api/v1/push/")
	f(":")
}
