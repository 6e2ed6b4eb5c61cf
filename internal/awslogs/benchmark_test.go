// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fastjson"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/jsonscan"
)

// Lines of 264 bytes: the size that the budgets of docs/design.md are stated for.
func benchmarkDocument(events int) string {
	messages := make([]string, events)
	for i := range messages {
		line := fmt.Sprintf("2024-09-05T13:47:15.523Z\t8f5c1d2e-3b4a-4c6d-9e8f-%012d\tINFO\tGET /api/v1/orders/%d user=%d status=200 ", i, i*7919, i%97)
		line += strings.Repeat("agent=curl/8.5.0 ", 16)
		messages[i] = strconv.Quote(line[:263] + "\n")
	}
	return documentOf("/aws/lambda/checkout", messages...)
}

// One gzip message with as many events, from the bytes that Lambda delivers to the log records.
func BenchmarkDecodeSubscription(b *testing.B) {
	for _, events := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			document := benchmarkDocument(events)
			data := compress(b, document)
			opts := testOptions()
			opts.MaxDecodedBytes = 64 << 20
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			var batch Batch
			for b.Loop() {
				var err error
				batch, err = DecodeSubscription(data, opts)
				require.NoError(b, err)
			}
			require.Equal(b, events, batch.Logs.LogRecordCount())
			reportPerEvent(b, events)
		})
	}
}

// Requests of many small documents: records of a Kinesis stream with a line each, and, beside them, messages with an event
// each.
func BenchmarkDecodeDocuments(b *testing.B) {
	line := strings.Repeat("2024-09-05 INFO status=200 agent=curl/8.5.0 ", 6)
	for _, bm := range []struct{ name, document string }{
		{"kinesis", kinesisDocument(line)},
		{"kinesis-message", kinesisDocument(string(compress(b, document("g", line))))},
		{"message", document("g", line)},
	} {
		for _, documents := range []int{1000, 10_000} {
			b.Run(fmt.Sprintf("%s/documents=%d", bm.name, documents), func(b *testing.B) {
				data := []byte(strings.Repeat(bm.document, documents))
				opts := testOptions()
				opts.MaxDecodedBytes = 64 << 20
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					batch, err := DecodeSubscription(bytes.Clone(data), opts)
					require.NoError(b, err)
					require.Equal(b, documents, batch.Logs.ResourceLogs().Len())
				}
				reportPerEvent(b, documents)
			})
		}
	}
}

// What a decoder cannot do without: to inflate the message and walk through its JSON once.
func BenchmarkInflateAndScan(b *testing.B) {
	document := benchmarkDocument(10_000)
	data := compress(b, document)
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		buf, err := decompress.Gzip(data, decompress.Limits{MaxBytes: 64 << 20})
		require.NoError(b, err)
		s := jsonscan.New(buf)
		require.NoError(b, s.Skip())
	}
	reportPerEvent(b, 10_000)
}

// The same with other decoders of JSON, and only the id, the time and the line: to log records, and all at once as
// DecodeSubscription does.
func BenchmarkOtherDecoders(b *testing.B) {
	document := benchmarkDocument(10_000)
	data := compress(b, document)
	for name, decode := range map[string]func(*testing.B, []byte, plog.LogRecordSlice){
		"encoding_json": decodeEncodingJSON,
		"fastjson":      decodeFastJSON,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			for b.Loop() {
				buf, err := decompress.Gzip(data, decompress.Limits{MaxBytes: 64 << 20})
				require.NoError(b, err)
				logs := plog.NewLogs()
				decode(b, buf, logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords())
				require.Equal(b, 10_000, logs.LogRecordCount())
			}
			reportPerEvent(b, 10_000)
		})
	}
}

// decodeEncodingJSON has the types of aws-lambda-go's events package.
func decodeEncodingJSON(b *testing.B, buf []byte, records plog.LogRecordSlice) {
	b.Helper()
	var message struct {
		LogEvents []struct {
			ID        string `json:"id"`
			Timestamp int64  `json:"timestamp"`
			Message   string `json:"message"`
		} `json:"logEvents"`
	}
	require.NoError(b, json.Unmarshal(buf, &message))
	for _, event := range message.LogEvents {
		appendBenchmarkRecord(records, event.ID, event.Timestamp, event.Message)
	}
}

func decodeFastJSON(b *testing.B, buf []byte, records plog.LogRecordSlice) {
	b.Helper()
	var parser fastjson.Parser
	message, err := parser.ParseBytes(buf)
	require.NoError(b, err)
	for _, event := range message.GetArray("logEvents") {
		// The parser keeps its strings to itself, so that they are copied.
		appendBenchmarkRecord(records, string(event.GetStringBytes("id")), event.GetInt64("timestamp"), string(event.GetStringBytes("message")))
	}
}

func appendBenchmarkRecord(records plog.LogRecordSlice, id string, timestamp int64, message string) {
	record := records.AppendEmpty()
	record.SetTimestamp(newTimestamp(timestamp))
	record.Body().SetStr(message)
	record.Attributes().PutStr(AttributeLogRecordUID, id)
}

func reportPerEvent(b *testing.B, events int) {
	b.Helper()
	b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "lines/s")
}
