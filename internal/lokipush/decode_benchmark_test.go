// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
)

// From the body of a request to log records, as the receiver does it; and, for comparison, only to the types of Loki.
func BenchmarkDecodePush(b *testing.B) {
	encoder, err := NewEncoder(benchmarkMapping)
	require.NoError(b, err)
	batch := encodeOne(encoder, benchmarkLogs())
	for name, body := range map[string][]byte{
		"application/x-protobuf": batch.AppendCompressed(nil),
		"application/json":       batch.AppendJSON(nil),
	} {
		b.Run(name, func(b *testing.B) {
			opts := decodeOptions(name)
			opts.MaxDecodedBytes = 8 << 20
			given := make([]byte, len(body)) // for JSON is unescaped where it stands
			b.SetBytes(benchmarkLines * 262)
			b.ReportAllocs()
			for b.Loop() {
				copy(given, body)
				decoded, err := DecodePush(given, opts)
				if err != nil || decoded.Streams != benchmarkStreams {
					b.Fatal(decoded.Streams, err)
				}
			}
			reportLines(b, len(body))
		})
	}
	b.Run("types of Loki", func(b *testing.B) {
		body := batch.AppendCompressed(nil)
		b.SetBytes(benchmarkLines * 262)
		b.ReportAllocs()
		for b.Loop() {
			plain, err := snappy.Decode(nil, body)
			require.NoError(b, err)
			var request push.PushRequest
			require.NoError(b, request.Unmarshal(plain))
		}
		reportLines(b, len(body))
	})
}

// Requests that are made of the smallest things of one kind. The more pairs or labels one has, the longer each takes,
// which their bounds keep from taking longer for each byte than the rest.
func BenchmarkDecodePushSmall(b *testing.B) {
	for name, request := range map[string][]byte{
		"entries":            protoStream(`{a="b"}`, make([][]byte, 1<<19)...),
		"entries of 1 pair":  protoStream(`{a="b"}`, repeated(distinctPairs(1), 1<<16)...),
		"entries of 8":       protoStream(`{a="b"}`, repeated(distinctPairs(8), 1<<14)...),
		"entries of all":     protoStream(`{a="b"}`, repeated(distinctPairs(maxEntryMetadata), 1<<10)...),
		"streams of 1 label": bytes.Repeat(protoStream(distinctLabels(1), nil), 1<<16),
		"streams of 8":       bytes.Repeat(protoStream(distinctLabels(8), nil), 1<<14),
		"streams of all":     bytes.Repeat(protoStream(distinctLabels(maxStreamLabels), nil), 1<<10),
	} {
		block := snappy.Encode(nil, request)
		b.Run(name, func(b *testing.B) {
			opts := decodeOptions("application/x-protobuf")
			opts.MaxDecodedBytes = 8 << 20
			b.SetBytes(int64(len(request)))
			for b.Loop() {
				if _, err := DecodePush(block, opts); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(request)), "ns/byte")
		})
	}
}

// distinctLabels is n labels with names of one length, so that no lookup is decided by the length alone.
func distinctLabels(n int) string {
	var labels strings.Builder
	for i := range n {
		fmt.Fprintf(&labels, `l%02x="v",`, i)
	}
	return `{` + labels.String() + `}`
}
