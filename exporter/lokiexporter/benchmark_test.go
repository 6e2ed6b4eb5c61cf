// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/exporter/lokiexporter/internal/metadata"
)

// benchmarkLogs is lines of 262 bytes with what the receiver sets.
func benchmarkLogs(streams, lines int) plog.Logs {
	ld := plog.NewLogs()
	for stream := range streams {
		rl := ld.ResourceLogs().AppendEmpty()
		attrs := rl.Resource().Attributes()
		attrs.PutStr("cloud.provider", "aws")
		attrs.PutStr("cloud.account.id", "123456789012")
		attrs.PutStr("service.name", fmt.Sprintf("service-%d", stream))
		attrs.PutEmptySlice("aws.log.group.names").AppendEmpty().SetStr(fmt.Sprintf("/aws/lambda/service-%d", stream))
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for i := range lines {
			record := records.AppendEmpty()
			record.SetTimestamp(pcommon.Timestamp(1791798435523000000 + i))
			text := fmt.Sprintf("2026-10-12T08:27:15.523Z\tINFO\tGET /api/v1/orders/%d user=%d status=200 ", i*7919, i%97)
			record.Body().SetStr((text + strings.Repeat(fmt.Sprintf("agent=curl/8.5.%d ", i%7), 16))[:262])
			record.Attributes().PutStr("log.record.uid", fmt.Sprintf("38480917865042697267627490045603633139480491071049%06d", i))
		}
	}
	return ld
}

// Encoding as the exporter does it by default, with the look for hints and all limits.
func BenchmarkEncode(b *testing.B) {
	e, err := newLokiExporter(exportertest.NewNopSettings(metadata.Type), createDefaultConfig().(*Config))
	require.NoError(b, err)
	ld := benchmarkLogs(20, 200)
	b.ReportAllocs()
	lines := 0
	for b.Loop() {
		for _, part := range e.encoder.Encode(ld).Parts {
			_ = part.Batch.AppendCompressed(nil)
			lines += part.Batch.Lines()
		}
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}
