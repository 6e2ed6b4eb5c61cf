// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package decompress

import (
	"bytes"
	stdflate "compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var formats = map[string]struct {
	compress func(testing.TB, []byte) []byte
	decode   func([]byte, Limits) ([]byte, error)
}{
	"gzip":             {compressGzip, Gzip},
	"gzip within gzip": {compressGzipTwice, Gzip},
	"plain":            {func(_ testing.TB, data []byte) []byte { return data }, Gzip},
	"deflate":          {compressDeflate, Deflate},
	"snappy":           {func(_ testing.TB, data []byte) []byte { return snappy.Encode(nil, data) }, Snappy},
}

func TestDecode(t *testing.T) {
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 1, 511, 512, 513, 70_000, measuredSize, measuredSize + 1, 2*measuredSize + 1} {
				if size > 70_000 && size != measuredSize+1 && name != "gzip" {
					continue // takes long, and the buffer grows as that of gzip does
				}
				if name == "gzip within gzip" && size < 1000 {
					continue // the outer layer holds more than the inner
				}
				want := text(size)
				data := f.compress(t, want)
				got, err := f.decode(bytes.Clone(data), Limits{MaxBytes: int64(size)})
				require.NoError(t, err, "as many as there may be: %d", size)
				require.True(t, bytes.Equal(want, got), "%d bytes", size)

				if size == 0 {
					continue
				}
				_, err = f.decode(data, Limits{MaxBytes: int64(size) - 1})
				require.ErrorIs(t, err, ErrTooLarge, "%d bytes", size)
				require.NotErrorIs(t, err, ErrCorrupt)
			}
		})
	}
}

func TestMembers(t *testing.T) {
	data := append(compressGzip(t, []byte("a")), compressGzip(t, nil)...)
	data = append(data, compressGzip(t, []byte("b"))...)
	got, err := Gzip(data, Limits{MaxBytes: 10})
	require.NoError(t, err)
	assert.Equal(t, "ab", string(got))

	large := text(measuredSize)
	data = append(compressGzip(t, large), compressGzip(t, large)...)
	got, err = Gzip(data, Limits{MaxBytes: 2*measuredSize + 1})
	require.NoError(t, err)
	assert.True(t, bytes.Equal(append(large, large...), got))
}

// Deflate has no members: what is behind the final block is nobody's.
func TestDeflateFollowedByMore(t *testing.T) {
	for _, level := range []int{stdflate.HuffmanOnly, stdflate.NoCompression, stdflate.BestSpeed, stdflate.BestCompression} {
		for _, size := range []int{0, 1, 2, 3, 511, 512, 70_000, measuredSize, measuredSize + 1} {
			if size > 70_000 && level != stdflate.BestSpeed {
				continue // takes long, and how large it is has nothing to do with the level
			}
			want := text(size)
			var stream bytes.Buffer
			zw, err := stdflate.NewWriter(&stream, level)
			require.NoError(t, err)
			_, err = zw.Write(want)
			require.NoError(t, err)
			require.NoError(t, zw.Close())
			got, err := Deflate(stream.Bytes(), Limits{MaxBytes: 2 * measuredSize})
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got), "%d bytes", size)

			for _, more := range [][]byte{{0}, stream.Bytes()} {
				_, err = Deflate(append(bytes.Clone(stream.Bytes()), more...), Limits{MaxBytes: 3 * measuredSize})
				require.ErrorIs(t, err, ErrCorrupt, "%d bytes, level %d, %d more", size, level, len(more))
				require.ErrorContains(t, err, "the final block is followed by more")
			}
		}
	}
}

// Wherever it is cut short, or a bit is wrong: an error, or the text itself where the bit does not matter.
func TestCorrupt(t *testing.T) {
	want := text(600)
	for name, f := range formats {
		if name == "plain" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			data := f.compress(t, want)
			for n := range data {
				got, err := f.decode(bytes.Clone(data[:n]), Limits{MaxBytes: 1 << 20})
				if err == nil {
					// Fewer than two bytes are not gzip.
					require.Less(t, n, 2)
					require.Len(t, got, n)
					continue
				}
				require.ErrorIs(t, err, ErrCorrupt)
				require.NotErrorIs(t, err, io.EOF)
			}
		})
	}
	_, err := Gzip(compressGzip(t, compressGzip(t, compressGzip(t, want))), Limits{MaxBytes: 1 << 20})
	require.EqualError(t, err, "gzip within gzip, more than 2 times")
	_, err = Snappy(binary.AppendUvarint(nil, 1<<30), Limits{MaxBytes: 1 << 31})
	require.ErrorIs(t, err, ErrCorrupt, "a block that states a length that it cannot hold")
}

// Memory is asked for before it is there: at least for what is returned, at most twice that for what is small, and for
// what turns out to be too large, no more than a buffer to find that out.
func TestReserve(t *testing.T) {
	for name, f := range formats {
		if name == "plain" || name == "gzip within gzip" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var reserved int64
			limits := Limits{MaxBytes: 64 << 20, Reserve: func(n int64) error {
				require.Positive(t, n)
				reserved += n
				return nil
			}}
			for _, size := range []int{1000, 70_000, measuredSize + 1} {
				reserved = 0
				_, err := f.decode(f.compress(t, text(size)), limits)
				require.NoError(t, err)
				assert.GreaterOrEqual(t, reserved, int64(size))
				assert.LessOrEqual(t, reserved, int64(2*size+512))
			}
			reserved = 0
			_, err := f.decode(f.compress(t, make([]byte, 65<<20)), limits)
			require.ErrorIs(t, err, ErrTooLarge)
			assert.LessOrEqual(t, reserved, int64(measuredSize+1))

			refused := errors.New("no memory now")
			_, err = f.decode(f.compress(t, text(70_000)), Limits{MaxBytes: 1 << 20, Reserve: func(int64) error { return refused }})
			require.ErrorIs(t, err, refused)
			require.NotErrorIs(t, err, ErrCorrupt)
		})
	}
}

// A trailer that lies about the size does no harm.
func TestSizeHint(t *testing.T) {
	want := text(70_000)
	for _, stated := range []uint32{0, 1, 69_999, 1 << 20, 1<<32 - 1} {
		data := compressGzip(t, want)
		binary.LittleEndian.PutUint32(data[len(data)-4:], stated)
		_, err := Gzip(data, Limits{MaxBytes: 1 << 30})
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

// FuzzDecode: whatever comes in, no panic, and never more than the limit.
func FuzzDecode(f *testing.F) {
	for _, format := range formats {
		f.Add(format.compress(f, text(100)))
		f.Add(format.compress(f, make([]byte, 1<<16)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, decode := range []func([]byte, Limits) ([]byte, error){Gzip, Deflate, Snappy} {
			if out, err := decode(bytes.Clone(data), Limits{MaxBytes: 1 << 12}); err == nil {
				require.LessOrEqual(t, len(out), 1<<12)
			}
		}
	})
}

// text compresses about as log lines do.
func text(size int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	words := make([][]byte, 64)
	for i := range words {
		words[i] = make([]byte, 8)
		for j := range words[i] {
			words[i][j] = byte('a' + random.IntN(26))
		}
	}
	out := make([]byte, 0, size+8)
	for len(out) < size {
		out = append(out, words[random.IntN(len(words))]...)
	}
	return out[:size]
}

func compressGzip(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	zw, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	require.NoError(tb, err)
	_, err = zw.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, zw.Close())
	return b.Bytes()
}

func compressGzipTwice(tb testing.TB, data []byte) []byte {
	tb.Helper()
	return compressGzip(tb, compressGzip(tb, data))
}

func compressDeflate(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	zw, err := flate.NewWriter(&b, flate.BestSpeed)
	require.NoError(tb, err)
	_, err = zw.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, zw.Close())
	return b.Bytes()
}
