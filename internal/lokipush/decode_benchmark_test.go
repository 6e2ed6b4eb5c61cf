// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
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
