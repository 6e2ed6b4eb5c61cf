// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package decompress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// layered is how a Reader may find its bytes.
func layered(tb testing.TB, data []byte) map[string][]byte {
	tb.Helper()
	members := append(compressGzip(tb, data[:len(data)/2]), compressGzip(tb, nil)...)
	members = append(members, compressGzip(tb, data[len(data)/2:])...)
	return map[string][]byte{
		"plain":            data,
		"gzip":             compressGzip(tb, data),
		"gzip within gzip": compressGzipTwice(tb, data),
		"members":          members,
		"members within":   compressGzip(tb, members),
		"named members":    append(named(tb, "a.log", data[:len(data)/2]), named(tb, "b.log", data[len(data)/2:])...),
	}
}

// named is a member with all that a header may have.
func named(tb testing.TB, name string, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	zw.Name, zw.Comment, zw.Extra = name, "a comment", []byte("extra")
	_, err := zw.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, zw.Close())
	return b.Bytes()
}

var arrivals = map[string]func(io.Reader) io.Reader{
	"at once":              func(r io.Reader) io.Reader { return r },
	"one byte at a time":   iotest.OneByteReader,
	"half of what is left": iotest.HalfReader,
	"data along with EOF":  iotest.DataErrReader,
}

func TestReader(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, 1000, readBufferSize - 1, readBufferSize, readBufferSize + 1, 300_000} {
		want := text(size)
		for form, data := range layered(t, want) {
			for arrival, wrap := range arrivals {
				r := NewReader(wrap(bytes.NewReader(data)))
				require.NoError(t, iotest.TestReader(r, want), "%d bytes, %s, %s", size, form, arrival)
				r.Close()
			}
		}
	}
}

// Cut short anywhere: what comes before, and an error, also in the headers of members.
func TestReaderTruncated(t *testing.T) {
	want := text(600)
	for form, data := range layered(t, want) {
		if form == "plain" {
			continue
		}
		t.Run(form, func(t *testing.T) {
			most := 0
			for n := 2; n < len(data); n++ {
				r := NewReader(bytes.NewReader(data[:n]))
				got, err := io.ReadAll(r)
				r.Close()
				require.True(t, bytes.HasPrefix(want, got))
				most = max(most, len(got))
				all, errAll := Gzip(bytes.Clone(data[:n]), Limits{MaxBytes: 1 << 20})
				if err == nil {
					// Nothing says that there is to be another member.
					require.True(t, IsGzip(data[n:]), "cut at %d", n)
					require.NoError(t, errAll)
					require.Equal(t, got, all)
					continue
				}
				require.ErrorIs(t, err, ErrCorrupt, "cut at %d", n)
				require.NotErrorIs(t, err, io.EOF)
				require.ErrorIs(t, errAll, ErrCorrupt, "cut at %d", n)
			}
			assert.Len(t, want, most, "what comes before the checksum is returned")
		})
	}
}

func TestReaderCorrupt(t *testing.T) {
	good := compressGzip(t, []byte("text"))
	f := func(data []byte, want, wantErr string) {
		t.Helper()
		for _, wrap := range arrivals {
			r := NewReader(wrap(bytes.NewReader(data)))
			got, err := io.ReadAll(r)
			require.EqualError(t, err, wantErr)
			require.ErrorIs(t, err, ErrCorrupt)
			assert.Equal(t, want, string(got))
			_, again := r.Read(make([]byte, 1))
			assert.Equal(t, err, again)
			r.Close()
		}
	}
	f([]byte("\x1f\x8b"), "", "gzip, after 0 decoded bytes: header: unexpected EOF")
	f([]byte("\x1f\x8bno gzip, after all"), "", "gzip, after 0 decoded bytes: header: gzip: invalid header")
	f(append(bytes.Clone(good), 0), "text", "gzip, after 4 decoded bytes: unexpected EOF")
	f(append(bytes.Clone(good), "more than ten bytes"...), "text", "gzip, after 4 decoded bytes: gzip: invalid header")
	f(compressGzip(t, compressGzipTwice(t, []byte("text"))), "", "gzip within gzip, more than 2 times")
	f(compressGzip(t, good[:len(good)-1]), "text", "gzip, after 4 decoded bytes: unexpected EOF")
}

// A stream that fails does not make what it holds corrupt.
func TestReaderSourceFails(t *testing.T) {
	broken := errors.New("connection reset")
	for failure, want := range map[error]error{
		broken:                            broken,
		io.ErrUnexpectedEOF:               io.ErrUnexpectedEOF,
		fmt.Errorf("closed: %w", io.EOF):  io.ErrUnexpectedEOF,
		fmt.Errorf("reading: %w", broken): broken,
	} {
		for form, data := range layered(t, text(100_000)) {
			for _, n := range []int{0, 1, 2, 5, len(data) / 3, len(data) - 1, len(data)} {
				r := NewReader(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(failure)))
				_, err := io.ReadAll(r)
				r.Close()
				require.ErrorIs(t, err, want, "%s, %d bytes", form, n)
				require.NotErrorIs(t, err, ErrCorrupt)
				require.NotErrorIs(t, err, io.EOF)
			}
		}
	}
}

func TestReaderClose(t *testing.T) {
	want := text(100_000)
	a, b := NewReader(bytes.NewReader(compressGzipTwice(t, want))), NewReader(bytes.NewReader(compressGzip(t, want)))
	_, err := a.Read(make([]byte, 100))
	require.NoError(t, err)
	a.Close()
	a.Close()
	_, err = a.Read(make([]byte, 100))
	require.ErrorIs(t, err, fs.ErrClosed)
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	assert.Equal(t, want, got, "what a gave back, b may have")
	b.Close()
}

// What is large is from pools: two inflaters and three buffers would be 180 KiB.
func TestReaderPooled(t *testing.T) {
	const runs = 200
	data := compressGzipTwice(t, text(1000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		r := NewReader(bytes.NewReader(data))
		_, err := io.Copy(io.Discard, r)
		require.NoError(t, err)
		r.Close()
	}
	runtime.ReadMemStats(&after)
	// The race detector has pools drop some of what they hold.
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(runs*100<<10))
}

// FuzzReader: whatever comes in, the same as Gzip has of it.
func FuzzReader(f *testing.F) {
	for _, data := range layered(f, text(100)) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, wantErr := Gzip(bytes.Clone(data), Limits{MaxBytes: 1 << 20})
		r := NewReader(iotest.HalfReader(bytes.NewReader(data)))
		defer r.Close()
		got, err := io.ReadAll(io.LimitReader(r, 1<<20+1))
		switch {
		case errors.Is(wantErr, ErrTooLarge):
		case wantErr != nil:
			require.ErrorIs(t, err, ErrCorrupt)
		default:
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got))
		}
	})
}
