// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// lokiMessages is how many messages each side of BenchmarkLokiCPU sends in a round: 400,000 lines.
const lokiMessages = 800

// openLoki has none of the limits that lines meet which come as fast as they can. That streams which grow fast are divided
// is off, since it would happen to the faster side more.
const openLoki = `
limits_config:
  ingestion_rate_mb: 10000
  ingestion_burst_size_mb: 10000
  per_stream_rate_limit: 10GB
  per_stream_rate_limit_burst: 10GB
  shard_streams: {enabled: false}
`

// What is laid over the shipped configuration, so that each side sends about 4,000 lines in a request, and one request at
// a time: several at once reach a stream out of order, and what Loki does to put them in order varies with how they meet.
const (
	pushConfig = `
exporters:
  loki:
    sending_queue:
      num_consumers: 1
      batch: {min_size: 2100000, max_size: 3000000}
`
	strictConfig = pushConfig + `
    strict: true
`
	otlpConfig = `
exporters:
  otlp_http:
    endpoint: ${env:LOKI_OTLP}
    sending_queue:
      num_consumers: 1
      sizer: items
      queue_size: 1000000
      batch: {flush_timeout: 1s, min_size: 4000, max_size: 4000}
service:
  pipelines:
    logs:
      exporters: [otlp_http]
`
)

// lokiSide is a way to send to Loki, and what it has cost so far.
type lokiSide struct {
	name, config string
	cpu          float64 // seconds of Loki's
	requests     float64
}

// What the same lines cost Loki when they come from the loki exporter, from the same with strict, and from otlp_http with
// its default compression: CPU time of Loki's process, from the first line until all are in chunks on disk. The sides take turns,
// each with a Loki of its own that is new, so that neither pays for what the other has left in memory. An idle Loki's CPU
// (8 ms a second) is not taken off. An iteration is a round of all, of about a minute.
func BenchmarkLokiCPU(b *testing.B) {
	messages := generate(lokiMessages)
	push, strict, otlp := &lokiSide{name: "loki", config: pushConfig}, &lokiSide{name: "strict", config: strictConfig}, &lokiSide{name: "otlp", config: otlpConfig}
	sides := []*lokiSide{push, strict, otlp}
	for b.Loop() {
		for _, side := range sides {
			side.measure(b, messages)
		}
	}
	lines := float64(b.N * lokiMessages * benchmarkEvents)
	for _, side := range sides {
		b.ReportMetric(side.cpu/lines*1e6, side.name+"-µs/line")
		b.ReportMetric(lines/side.requests, side.name+"-lines/request")
	}
	b.ReportMetric(push.cpu/otlp.cpu, "loki/otlp")
	b.ReportMetric(strict.cpu/push.cpu, "strict/loki")
	b.ReportMetric(0, "ns/op") // says nothing: most of it is not Loki's
}

func (s *lokiSide) measure(b *testing.B, messages [][]byte) {
	b.Helper()
	started, lines := time.Now(), len(messages)*benchmarkEvents
	loki := stacktest.StartLoki(b, stack.LokiOptions{Config: openLoki})
	collector := stacktest.StartCollector(b, shippedConfig,
		map[string]string{"LOKI_URL": loki.PushURL(), "LOKI_OTLP": loki.BaseURL() + "/otlp"},
		stack.CollectorOptions{Args: []string{"--config", repeats, "--config", "yaml:" + s.config}})

	before := lokiMetrics(b, loki)
	feed(b, collector, slices.Values(messages))
	awaitSent(b, collector, lines)
	flush(b, loki, lines)
	after := lokiMetrics(b, loki)
	s.cpu += after.Sum("process_cpu_seconds_total") - before.Sum("process_cpu_seconds_total")
	s.requests += after.Sum("loki_ingester_client_request_duration_seconds_count", "operation", "/logproto.Pusher/Push")

	stored, err := loki.Count(b.Context(), `{service_name=~".+"}`, started.Add(-time.Hour), time.Now())
	require.NoError(b, err)
	require.Equal(b, lines, stored, "a request that was sent again would count twice")
	require.NoError(b, collector.Stop())
	require.NoError(b, loki.Stop())
}

// flush has Loki write its chunks to disk, and waits until so many lines are there.
func flush(b *testing.B, loki *stack.Loki, lines int) {
	b.Helper()
	resp, err := http.Post(loki.BaseURL()+"/flush", "", nil)
	require.NoError(b, err)
	require.NoError(b, resp.Body.Close())
	require.Equal(b, http.StatusNoContent, resp.StatusCode)
	require.NoError(b, stack.Eventually(b.Context(), time.Minute, func(ctx context.Context) error {
		metrics, err := loki.Metrics(ctx)
		if err != nil {
			return err
		}
		if flushed := metrics.Sum("loki_ingester_chunk_entries_sum"); flushed < float64(lines) {
			return fmt.Errorf("%.0f of %d lines are flushed", flushed, lines)
		}
		return nil
	}))
}

func lokiMetrics(b *testing.B, loki *stack.Loki) stack.Metrics {
	b.Helper()
	metrics, err := loki.Metrics(b.Context())
	require.NoError(b, err)
	return metrics
}
