// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/loki"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	benchmarkLines   = 4000
	benchmarkStreams = 20
)

// benchmarkLogs are lines of 262 bytes on average, with the attributes that the receiver sets.
func benchmarkLogs() plog.Logs {
	ld := plog.NewLogs()
	for stream := range benchmarkStreams {
		rl := ld.ResourceLogs().AppendEmpty()
		attrs := rl.Resource().Attributes()
		attrs.PutStr("cloud.provider", "aws")
		attrs.PutStr("cloud.account.id", "123456789012")
		attrs.PutStr("cloud.region", "us-east-1")
		attrs.PutStr("service.name", fmt.Sprintf("service-%d", stream))
		attrs.PutStr("aws.log.type", "cloudwatch")
		attrs.PutEmptySlice("aws.log.group.names").AppendEmpty().SetStr(fmt.Sprintf("/aws/lambda/service-%d", stream))
		attrs.PutEmptySlice("aws.log.stream.names").AppendEmpty().SetStr("2026/10/12/[$LATEST]94fa867e5374431291a7fc14e2f56ae7")
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for i := range benchmarkLines / benchmarkStreams {
			record := records.AppendEmpty()
			record.SetTimestamp(pcommon.Timestamp(1791798435523000000 + int64(i)*int64(time.Millisecond)))
			text := fmt.Sprintf("2026-10-12T08:27:15.523Z\t8f5c1d2e-3b4a-4c6d-9e8f-%012d\tINFO\tGET /api/v1/orders/%d user=%d status=200 ", i*31, i*7919, i%97)
			text += strings.Repeat(fmt.Sprintf("agent=curl/8.5.%d ", i%7), 16)
			record.Body().SetStr(text[:262])
			record.Attributes().PutStr("log.record.uid", fmt.Sprintf("38480917865042697267627490045603633139480491071049%06d", stream*1000+i))
		}
	}
	return ld
}

var benchmarkMapping = Mapping{Limits: DefaultLimits(), Labels: []LabelRule{
	{Attribute: "service.name"},
	{Attribute: "cloud.account.id"},
	{Attribute: "cloud.region"},
	{Attribute: "aws.log.group.names", Label: "log_group"},
	{Attribute: "aws.log.type"},
}}

func reportLines(b *testing.B, wireBytes int) {
	b.Helper()
	b.ReportMetric(float64(b.N*benchmarkLines)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(wireBytes)/benchmarkLines, "wireB/line")
}

// From log records to the body of a request, as the exporter does it.
func BenchmarkEncode(b *testing.B) {
	ld := benchmarkLogs()
	encoder, err := NewEncoder(benchmarkMapping)
	require.NoError(b, err)
	b.SetBytes(benchmarkLines * 262)
	b.ReportAllocs()
	var body []byte
	for b.Loop() {
		body = encodeOne(encoder, ld).AppendCompressed(nil)
	}
	require.NotEmpty(b, body)
	reportLines(b, len(body))
}

// The first half of it: to the form in which batches wait in the queue.
func BenchmarkEncodeUncompressed(b *testing.B) {
	ld := benchmarkLogs()
	encoder, err := NewEncoder(benchmarkMapping)
	require.NoError(b, err)
	b.SetBytes(benchmarkLines * 262)
	b.ReportAllocs()
	var batch *Batch
	for b.Loop() {
		batch = encodeOne(encoder, ld)
	}
	require.Equal(b, benchmarkLines, batch.Lines())
	reportLines(b, batch.Size())
}

// The way of the Loki exporter that contrib removed: pkg/translator/loki, the generated types, golang/snappy.
func BenchmarkTranslator(b *testing.B) {
	for _, format := range []string{"raw", "json"} {
		b.Run(format, func(b *testing.B) {
			ld := benchmarkLogs()
			for _, rl := range ld.ResourceLogs().All() {
				attrs := rl.Resource().Attributes()
				attrs.PutStr("loki.format", format)
				attrs.PutStr("loki.resource.labels", "service.name, cloud.account.id, cloud.region, aws.log.group.names, aws.log.type")
			}
			b.SetBytes(benchmarkLines * 262)
			b.ReportAllocs()
			var body []byte
			for b.Loop() {
				for _, request := range loki.LogsToLokiRequests(ld, nil) {
					plain, err := proto.Marshal(request.PushRequest)
					require.NoError(b, err)
					body = snappy.Encode(nil, plain)
				}
			}
			require.NotEmpty(b, body)
			reportLines(b, len(body))
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	encoder, err := NewEncoder(benchmarkMapping)
	require.NoError(b, err)
	plain := encodeOne(encoder, benchmarkLogs()).AppendRequest(nil)
	dst := make([]byte, s2.MaxEncodedLen(len(plain)))
	for name, compress := range map[string]func(dst, src []byte) []byte{
		"klauspost-s2":  s2.EncodeSnappy,
		"golang-snappy": snappy.Encode,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			var body []byte
			for b.Loop() {
				body = compress(dst, plain)
			}
			reportLines(b, len(body))
		})
	}
}

// decode reads a request's body with Loki's own types.
func decode(tb testing.TB, body []byte) push.PushRequest {
	tb.Helper()
	var request push.PushRequest
	require.NoError(tb, proto.Unmarshal(mustDecompress(body), &request))
	return request
}

func mustDecompress(body []byte) []byte {
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		panic(err)
	}
	return plain
}
