// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package parquetlines

import (
	"bytes"
	"io"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/stretchr/testify/require"
)

// BenchmarkReader reads a VPC flow log of 14 columns. MB/s are those of the lines.
func BenchmarkReader(b *testing.B) {
	const rows = 100_000
	for name, codec := range map[string]compress.Codec{"uncompressed": &parquet.Uncompressed, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd} {
		b.Run(name, func(b *testing.B) {
			file := write(b, flows(rows), rows/2, parquet.Compression(codec), parquet.PageBufferSize(1<<20))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(file), int64(len(file)), usual)
				require.NoError(b, err)
				n, err := io.Copy(io.Discard, r)
				require.NoError(b, err)
				b.SetBytes(n)
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/rows, "ns/row")
		})
	}
}
