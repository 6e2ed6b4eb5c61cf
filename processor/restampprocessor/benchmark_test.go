// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
)

const benchmarkRecords = 1000

// benchmarkLogs are CloudWatch lines as the receiver hands them on: one
// resource, one scope, each record with its event id.
func benchmarkLogs() plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("cloud.provider", "aws")
	rl.Resource().Attributes().PutStr("cloud.account.id", "123456789012")
	rl.Resource().Attributes().PutEmptySlice("aws.log.group.names").AppendEmpty().SetStr("/aws/lambda/checkout")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for i := range benchmarkRecords {
		at := time.Date(2026, time.March, 4, 5, 6, 7, i*int(time.Millisecond), time.UTC)
		lr := records.AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(at))
		lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Second)))
		lr.Body().SetStr("REPORT RequestId: 8f5a5f3c Duration: 12.34 ms Billed Duration: 13 ms")
		lr.Attributes().PutStr("log.record.uid", fmt.Sprintf("%056d", i))
	}
	return ld
}

func newBenchmarkProcessor(tb testing.TB, change func(*Config)) *restampProcessor {
	tb.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Instance.Value = "collector-1"
	change(cfg)
	p, err := newRestampProcessor(processortest.NewNopSettings(metadata.Type), cfg)
	require.NoError(tb, err)
	require.NoError(tb, p.start(tb.Context(), componenttest.NewNopHost()))
	return p
}

func BenchmarkProcessLogs(b *testing.B) {
	for _, bb := range []struct {
		name   string
		change func(*Config)
	}{
		{"original_attribute=off", func(cfg *Config) { cfg.OriginalAttribute = "" }},
		{"original_attribute=on", func(*Config) {}},
		{"timestamps=never", func(cfg *Config) { cfg.Timestamps = TimestampsNever }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p := newBenchmarkProcessor(b, bb.change)
			pristine := benchmarkLogs()
			b.ReportAllocs()
			var ld plog.Logs
			for b.Loop() {
				// Each round needs records that have not been through yet.
				b.StopTimer()
				ld = plog.NewLogs()
				pristine.CopyTo(ld)
				b.StartTimer()
				ld, _ = p.processLogs(b.Context(), ld)
			}
			b.StopTimer()
			require.Equal(b, benchmarkRecords, ld.LogRecordCount())
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchmarkRecords), "ns/record")
		})
	}
}
