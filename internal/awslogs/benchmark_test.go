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

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

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

// The same by the standard library and the types of aws-lambda-go's events package.
func BenchmarkEncodingJSON(b *testing.B) {
	document := benchmarkDocument(10_000)
	data := compress(b, document)
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		zr, err := gzip.NewReader(bytes.NewReader(data))
		require.NoError(b, err)
		var message struct {
			LogEvents []struct {
				ID        string `json:"id"`
				Timestamp int64  `json:"timestamp"`
				Message   string `json:"message"`
			} `json:"logEvents"`
		}
		require.NoError(b, json.NewDecoder(zr).Decode(&message))
		require.Len(b, message.LogEvents, 10_000)
	}
	reportPerEvent(b, 10_000)
}

func reportPerEvent(b *testing.B, events int) {
	b.Helper()
	b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "lines/s")
}
