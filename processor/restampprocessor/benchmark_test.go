// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
)

const benchmarkRecords = 1000

// benchmarkLogs are CloudWatch lines as the receiver hands them on: a resource
// with one scope for each message, each record with its event id. The records
// come in the order of their times, but for every tenth if some are late.
func benchmarkLogs(messages int, late bool) plog.Logs {
	ld := plog.NewLogs()
	var n int
	for m := range messages {
		rl := ld.ResourceLogs().AppendEmpty()
		attrs := rl.Resource().Attributes()
		attrs.PutStr("cloud.provider", "aws")
		attrs.PutStr("cloud.account.id", "123456789012")
		attrs.PutStr("cloud.region", "eu-central-1")
		attrs.PutEmptySlice("aws.log.group.names").AppendEmpty().SetStr(fmt.Sprintf("/aws/lambda/checkout-%d", m))
		attrs.PutEmptySlice("aws.log.stream.names").AppendEmpty().SetStr("2026/03/04/[$LATEST]0123456789abcdef0123456789abcdef")
		attrs.PutStr("aws.log.type", "cloudwatch")
		attrs.PutStr("service.name", "checkout")
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for range benchmarkRecords / messages {
			at := t0.AsTime().Add(time.Duration(n) * time.Millisecond)
			if n++; late && n%10 == 0 {
				at = at.Add(-2 * time.Hour)
			}
			lr := records.AppendEmpty()
			lr.SetTimestamp(pcommon.NewTimestampFromTime(at))
			lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Second)))
			lr.Body().SetStr("REPORT RequestId: 8f5a5f3c Duration: 12.34 ms Billed Duration: 13 ms")
			lr.Attributes().PutStr("log.record.uid", fmt.Sprintf("%056d", n))
		}
	}
	return ld
}

func newBenchmarkProcessor(tb testing.TB, change func(*Config)) *restampProcessor {
	tb.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Instance.Value = "collector-1"
	change(cfg)
	p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(tb, err)
	require.NoError(tb, p.start(tb.Context(), componenttest.NewNopHost()))
	return p
}

func BenchmarkRestamp(b *testing.B) {
	for _, mode := range []Timestamps{TimestampsAlways, TimestampsAsNeeded, TimestampsNever} {
		for _, input := range []struct {
			name     string
			messages int
			late     bool
		}{
			{"messages=1", 1, false},
			{"messages=1/late=10%", 1, true},
			{"messages=100", 100, false},
		} {
			for _, original := range []string{"", "log.record.original_timestamp"} {
				if mode == TimestampsNever && original != "" || mode != TimestampsAsNeeded && input.late {
					continue
				}
				name := fmt.Sprintf("timestamps=%s/%s/original_attribute=%t", mode, input.name, original != "")
				b.Run(name, func(b *testing.B) {
					benchmark(b, benchmarkLogs(input.messages, input.late), func(cfg *Config) {
						cfg.Timestamps = mode
						cfg.OriginalAttribute = original
					})
				})
			}
		}
	}
}

func benchmark(b *testing.B, pristine plog.Logs, change func(*Config)) {
	b.Helper()
	p := newBenchmarkProcessor(b, change)
	p.setClock(fixedClock(int64(t0)))
	b.ReportAllocs()
	// Each round needs records that have not been through yet. To stop the timer
	// takes longer than a round, so many are made at once.
	batches := make([]plog.Logs, 32)
	next := len(batches)
	for b.Loop() {
		if next == len(batches) {
			b.StopTimer()
			for i := range batches {
				batches[i] = plog.NewLogs()
				pristine.CopyTo(batches[i])
			}
			next = 0
			b.StartTimer()
		}
		_ = p.consumeLogs(b.Context(), batches[next])
		next++
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchmarkRecords), "ns/record")
}
