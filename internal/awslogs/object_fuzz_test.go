// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/decompress"
)

// Whatever an object holds and however it arrives: no panic, its lines as bytes.Split has them without the first skip,
// and the same pieces at every delivery.
func FuzzObject(f *testing.F) {
	f.Add([]byte("a\nb\r\n\nc"), 1, false, uint64(1))
	f.Add(bytes.Repeat([]byte("line\r\n"), 100), 50, true, uint64(2))
	f.Add(bytes.Repeat([]byte("\n"), 100), 0, false, uint64(3))
	f.Add(bytes.Repeat([]byte("x"), 1000), -1, true, uint64(4))
	f.Add(compress(f, "a\nb\n"), 0, false, uint64(5))
	f.Fuzz(func(t *testing.T, content []byte, skip int, zipped bool, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		maxBytes, maxLines := 1+random.IntN(64), 1+random.IntN(8)
		body := content
		if zipped {
			body = compress(t, string(content))
		}
		object := testObject()
		object.Skip = skip
		read := func(src io.Reader) ([]Batch, error) {
			return readAllOf(newObjectReaderOf(src, object, maxBytes, maxLines))
		}
		pieces, err := read(&randomReader{bytes.NewReader(body), random})
		got := numbered(t, pieces)

		again, errAgain := read(iotest.DataErrReader(bytes.NewReader(body)))
		require.Equal(t, err == nil, errAgain == nil)
		require.Equal(t, describe(pieces), describe(again))
		if decompress.IsGzip(content) {
			return
		}
		require.NoError(t, err)
		want := wantLines(string(content))
		require.Equal(t, append([]string{}, want[min(max(skip, 0), len(want)):]...), append([]string{}, got...))
	})
}
