// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// What it costs to recognise second deliveries: the built collector with the receiver and next to nothing behind it, from
// gzip messages of four senders, all of them new. CPU is the collector's own. An iteration is one message.
func BenchmarkDedup(b *testing.B) {
	const receiverAlone = `
exporters: {debug: {sampling_initial: 1, sampling_thereafter: 1000000}}
service: {pipelines: {logs: {receivers: [cloudwatchsubscription], processors: [], exporters: [debug]}}}`
	for _, dedup := range []struct{ name, change string }{
		{"off", "receivers::cloudwatchsubscription::dedup::window: 0"},
		{"memory", "receivers::cloudwatchsubscription::dedup::storage: null"},
		{"storage", "receivers::cloudwatchsubscription::dedup::storage: file_storage"},
	} {
		b.Run(dedup.name, func(b *testing.B) {
			collector := stacktest.StartCollector(b, shippedConfig, nil,
				stack.CollectorOptions{Args: []string{"--config", "yaml:" + receiverAlone, "--config", "yaml:" + dedup.change}})
			before, started := cpuSeconds(b, collector), time.Now()
			feed(b, collector, func(yield func([]byte) bool) {
				for n := 0; b.Loop(); n++ {
					message := cloudwatch.Generate(cloudwatch.Source{LogStream: fmt.Sprint("stream-", n), Start: started, Events: benchmarkEvents})
					if !yield(message.Gzip()) {
						return
					}
				}
			})
			b.ReportMetric((cpuSeconds(b, collector)-before)/float64(b.N*benchmarkEvents)*1e6, "cpu-s/Mlines")
			b.ReportMetric(0, "ns/op") // is that of the senders, which make their messages meanwhile
		})
	}
}
