// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// repeats has the collector take the same messages over and over.
const repeats = "yaml:receivers::cloudwatchsubscription::dedup::window: 0"

// benchmarkEvents is how many lines a message has, each of 264 bytes.
const benchmarkEvents = 500

// The built collector with the shipped configuration, from gzip messages of four senders to a Loki that answers 204 to
// everything, with its queue in memory and on disk, and with strict. The time is until the last line is delivered, CPU is the collector's
// own. An iteration is one message.
func BenchmarkExporter(b *testing.B) {
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer sink.Close()
	messages := generate(64)
	for _, queue := range []struct{ name, change string }{
		{"memory", "exporters::loki::sending_queue::storage: null"},
		{"disk", "exporters::loki::sending_queue::storage: file_storage"},
		{"disk,strict", "exporters::loki::strict: true"},
	} {
		b.Run(queue.name, func(b *testing.B) {
			collector := stacktest.StartCollector(b, shippedConfig, map[string]string{"LOKI_URL": sink.URL + "/loki/api/v1/push"},
				stack.CollectorOptions{Args: []string{"--config", repeats, "--config", "yaml:" + queue.change}})
			before, started := cpuSeconds(b, collector), time.Now()
			feed(b, collector, func(yield func([]byte) bool) {
				for n := 0; b.Loop() && yield(messages[n%len(messages)]); n++ {
				}
			})
			lines := b.N * benchmarkEvents
			awaitSent(b, collector, lines)
			b.ReportMetric(float64(lines)/time.Since(started).Seconds(), "lines/s")
			b.ReportMetric((cpuSeconds(b, collector)-before)/float64(lines)*1e6, "cpu-s/Mlines")
			b.ReportMetric(0, "ns/op") // is until the last line is sent, not delivered
		})
	}
}

// generate returns n messages of benchmarkEvents lines each, compressed, from as many log streams of 16 log groups.
func generate(n int) [][]byte {
	messages := make([][]byte, n)
	for i := range messages {
		messages[i] = cloudwatch.Generate(cloudwatch.Source{
			LogGroup: fmt.Sprint("/aws/lambda/function-", i%16), LogStream: fmt.Sprint("stream-", i), Start: time.Now(), Events: benchmarkEvents,
		}).Gzip()
	}
	return messages
}

// feed sends messages to the collector, four at a time, until it has acknowledged them all.
func feed(b *testing.B, collector *stack.Collector, messages iter.Seq[[]byte]) {
	b.Helper()
	sent := make(chan []byte)
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for message := range sent {
				send(b, collector.URL()+subscriptionPath, message)
			}
		})
	}
	for message := range messages {
		sent <- message
	}
	close(sent)
	senders.Wait()
}

// awaitSent waits until the collector's exporter has delivered so many lines.
func awaitSent(b *testing.B, collector *stack.Collector, lines int) {
	b.Helper()
	require.NoError(b, stack.Eventually(b.Context(), 5*time.Minute, func(ctx context.Context) error {
		metrics, err := collector.Metrics(ctx)
		if err != nil {
			return err
		}
		if sent := metrics.Sum("otelcol_exporter_sent_log_records"); sent < float64(lines) {
			return fmt.Errorf("%.0f of %d lines are delivered", sent, lines)
		}
		return nil
	}))
}

// send sends a message, and again for as long as the queue is full.
func send(b *testing.B, url string, message []byte) {
	b.Helper()
	for {
		resp, err := http.Post(url, "application/gzip", bytes.NewReader(message))
		if err != nil {
			b.Error(err)
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
}

func cpuSeconds(b *testing.B, collector *stack.Collector) float64 {
	b.Helper()
	metrics, err := collector.Metrics(b.Context())
	require.NoError(b, err)
	return metrics.Sum("otelcol_process_cpu_seconds")
}
