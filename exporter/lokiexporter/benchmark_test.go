// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
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

// One tenant's lines, alone and beside those of another that Loki takes nothing from. The garbage collector runs as often
// in all cases: it would run less often where there is more in memory.
func BenchmarkTenantBesideAnother(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	const limit = "ingestion rate limit exceeded for user stuck (limit: 4194304 bytes/sec) while attempting to ingest '9' lines totaling '1048576' bytes"
	for _, other := range []struct {
		name, text string
		status     int
	}{{"alone", "", 0}, {"429", limit, 429}, {"503", "", 503}} {
		b.Run(other.name, func(b *testing.B) {
			var delivered atomic.Int64
			sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.Header.Get("X-Scope-OrgID") == "stuck" {
					w.WriteHeader(other.status)
					_, _ = io.WriteString(w, other.text)
					return
				}
				delivered.Add(1)
				w.WriteHeader(http.StatusNoContent)
			}))
			defer sink.Close()
			config := createDefaultConfig().(*Config)
			config.ClientConfig.Endpoint = sink.URL + "/loki/api/v1/push"
			config.Tenant.Attribute = "team"
			// A request of the benchmark is a request to Loki.
			config.QueueConfig.Get().Batch = configoptional.None[exporterhelper.BatchConfig]()
			set := exportertest.NewNopSettings(metadata.Type)
			e, err := NewFactory().CreateLogs(b.Context(), set, config)
			require.NoError(b, err)
			require.NoError(b, e.Start(b.Context(), componenttest.NewNopHost()))
			defer func() { require.NoError(b, e.Shutdown(b.Context())) }()
			send := func(tenant string) error {
				ld := benchmarkLogs(1, 4000)
				ld.ResourceLogs().At(0).Resource().Attributes().PutStr("team", tenant)
				return e.ConsumeLogs(b.Context(), ld)
			}
			for range 100 {
				if other.status != 0 {
					require.NoError(b, send("stuck"))
				}
			}
			b.ResetTimer()
			n := int64(0)
			for ; b.Loop(); n++ {
				require.NoError(b, send("well"))
			}
			for delivered.Load() < n {
				runtime.Gosched()
			}
			b.ReportMetric(float64(n*4000)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
