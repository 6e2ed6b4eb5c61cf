// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

// benchmarkEvents is how many lines a message has, each of 264 bytes.
const benchmarkEvents = 500

// The built collector with the shipped configuration, its queue on disk: from gzip messages to a Loki that answers 204
// to everything. CPU is the collector's own, from its metrics.
func BenchmarkCollector(b *testing.B) {
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer sink.Close()
	collector := stacktest.StartCollector(b, shippedConfig, map[string]string{"LOKI_URL": sink.URL + "/loki/api/v1/push"}, stack.CollectorOptions{})
	var messages [][]byte
	for n := range 32 {
		messages = append(messages, cloudwatch.Generate(cloudwatch.Source{
			LogGroup: fmt.Sprint("/aws/lambda/function-", n%16), LogStream: fmt.Sprint("stream-", n), Start: time.Now(), Events: benchmarkEvents,
		}).Gzip())
	}
	before := cpuSeconds(b, collector)
	b.SetBytes(benchmarkEvents * 264)
	sent := make(chan []byte)
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for message := range sent {
				send(b, collector.URL()+subscriptionPath, message)
			}
		})
	}
	for n := 0; b.Loop(); n++ {
		sent <- messages[n%len(messages)]
	}
	close(sent)
	senders.Wait()
	lines := float64(b.N * benchmarkEvents)
	require.NoError(b, stack.Eventually(b.Context(), time.Minute, func(ctx context.Context) error {
		metrics, err := collector.Metrics(ctx)
		if err == nil && metrics.Sum("otelcol_exporter_loki_delivered_lines") < lines {
			err = errors.New("not everything is delivered")
		}
		return err
	}))
	b.ReportMetric((cpuSeconds(b, collector)-before)/lines*1e6, "cpu-s/Mlines")
	b.ReportMetric(lines/b.Elapsed().Seconds(), "lines/s")
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
