// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/decompress"
)

// benchmarkObject is an object of lines of 132 bytes, about as long as those of VPC flow logs.
func benchmarkObject(b *testing.B, lines int) (content string, zipped []byte) {
	b.Helper()
	var s strings.Builder
	for i := range lines {
		line := fmt.Sprintf("2 123456789012 eni-0a1b2c3d4e5f%05d 10.0.%d.%d 203.0.113.%d %d 443 6 %d %d 1725544035 1725544095 ACCEPT OK",
			i%977, i%7, i%251, i%241, 1024+i*7919%60000, i%37, i*7919%100_000)
		fmt.Fprintf(&s, "%-131s\n", line)
	}
	return s.String(), compress(b, s.String())
}

// The lines of an object, from its gzip bytes to log records.
func BenchmarkObject(b *testing.B) {
	for _, lines := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			content, zipped := benchmarkObject(b, lines)
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				r := NewObjectReader(bytes.NewReader(zipped), testObject(), testOptions())
				records := 0
				for {
					batch, err := r.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					require.NoError(b, err)
					records += batch.Documents[0].Records
				}
				r.Close()
				require.Equal(b, lines, records)
			}
			reportPerEvent(b, lines)
		})
	}
}

// The lines that a sender asks to skip, on its way to those that are missing.
func BenchmarkObjectSkip(b *testing.B) {
	content, zipped := benchmarkObject(b, 100_000)
	object := testObject()
	object.Skip = 100_000
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewObjectReader(bytes.NewReader(zipped), object, testOptions())
		_, err := r.Next()
		require.ErrorIs(b, err, io.EOF)
		r.Close()
	}
	reportPerEvent(b, 100_000)
}

// What a reader of lines cannot do without: to inflate the object and find its newlines.
func BenchmarkInflateAndCutLines(b *testing.B) {
	content, zipped := benchmarkObject(b, 100_000)
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		r := decompress.NewReader(bytes.NewReader(zipped))
		newlines := 0
		for {
			n, err := r.Read(buf)
			for data := buf[:n]; ; newlines++ {
				i := bytes.IndexByte(data, '\n')
				if i < 0 {
					break
				}
				data = data[i+1:]
			}
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(b, err)
		}
		r.Close()
		require.Equal(b, 100_000, newlines)
	}
	reportPerEvent(b, 100_000)
}
