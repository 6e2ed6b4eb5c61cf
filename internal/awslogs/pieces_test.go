// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/decompress"
)

func TestObjectPieces(t *testing.T) {
	tiny := strings.Repeat("a\n", maxPieceRecords)
	wide := strings.Repeat(strings.Repeat("w", 1023)+"\n", maxPieceBytes>>10)
	long := strings.Repeat("l", maxPieceBytes) + "\n"
	for name, tt := range map[string]struct {
		content string
		sizes   []int
	}{
		"tiny lines":                         {tiny, []int{len(tiny)}},
		"one line more":                      {tiny + "b\n", []int{len(tiny), 2}},
		"one line more, without newline":     {tiny + "b", []int{len(tiny), 1}},
		"many tiny lines":                    {tiny + tiny + tiny, []int{len(tiny), len(tiny), len(tiny)}},
		"a full buffer":                      {wide, []int{maxPieceBytes}},
		"a full buffer and a line":           {wide + "b\n", []int{maxPieceBytes, 2}},
		"a buffer full but for its newline":  {wide[:len(wide)-1], []int{maxPieceBytes - 1}},
		"a line that ends behind the buffer": {wide[1:] + "bc\n", []int{maxPieceBytes - 1, 3}},
		"the last line fills the buffer":     {wide[1:] + "b", []int{maxPieceBytes - 1, 1}},
		"a long line":                        {long, []int{len(long)}},
		"a long line, without newline":       {long[1:], []int{maxPieceBytes}},
		"as long as a piece":                 {long[1:] + "b\n", []int{maxPieceBytes, 2}},
		"long lines between":                 {"a\n" + long + "b\n" + long + long + "c\n", []int{2, len(long), 2, len(long), len(long), 2}},
		"tiny, wide, long, tiny":             {tiny + wide + long + tiny, []int{len(tiny), len(wide), len(long), len(tiny)}},
		"a piece of empty lines between":     {"a\n" + strings.Repeat("\n", 2*maxPieceBytes) + "b\n", []int{maxPieceBytes, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := testOptions()
			opts.MaxDecodedBytes = 64 << 20
			var want []string
			for form, body := range forms(t, tt.content) {
				for reading, wrap := range readings {
					if reading == "one byte at a time" {
						continue // takes long
					}
					pieces, err := readObject(wrap(bytes.NewReader(body)), testObject(), opts)
					require.NoError(t, err)
					var sizes []int
					for _, p := range pieces {
						sizes = append(sizes, p.DecodedBytes)
					}
					assert.Equal(t, tt.sizes, sizes, "%s, %s", form, reading)
					if want == nil {
						want = describe(pieces)
					}
					assert.Equal(t, want, describe(pieces), "%s, %s", form, reading)
				}
			}
		})
	}
}

func TestObjectLongLines(t *testing.T) {
	var lines []string
	for i, size := range []int{70_000, 256 << 10, 3, 5 << 20, 1 << 20, 10, 5<<20 + 1} {
		lines = append(lines, strings.Repeat(string(rune('a'+i)), size))
	}
	opts := testOptions()
	opts.MaxDecodedBytes = 8 << 20
	for form, body := range forms(t, strings.Join(lines, "\r\n")) {
		pieces, err := readObject(bytes.NewReader(body), testObject(), opts)
		require.NoError(t, err, form)
		var got []string
		for _, p := range pieces {
			got = append(got, bodies(p.Logs)...)
		}
		require.True(t, len(lines) == len(got) && strings.Join(lines, "\n") == strings.Join(got, "\n"), form)
	}
}

func TestObjectLineTooLong(t *testing.T) {
	opts := testOptions()
	f := func(limit int, content string, records int, wantErr string) {
		t.Helper()
		opts.MaxDecodedBytes = int64(limit)
		for form, body := range forms(t, content) {
			for reading, wrap := range readings {
				pieces, err := readObject(wrap(bytes.NewReader(body)), testObject(), opts)
				if wantErr == "" {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, wantErr, "%s, %s", form, reading)
					require.ErrorIs(t, err, decompress.ErrTooLarge)
				}
				assert.Len(t, numbered(t, pieces), records, "%s, %s", form, reading)
			}
		}
	}
	f(10, "a\n123456789\nb\n", 3, "")
	f(10, "a\n1234567890\nb\n", 1, "line 2: input too large: it is longer than 10 bytes")
	f(10, "a\n1234567890", 2, "")
	f(10, "a\n12345678901", 1, "line 2: input too large: it is longer than 10 bytes")
	f(10, "12345678901234567890\n", 0, "line 1: input too large: it is longer than 10 bytes")
	f(0, "a", 0, "line 1: input too large: it is longer than 0 bytes")
	f(0, "", 0, "")
	f(-1, "\n", 0, "line 1: input too large: it is longer than 0 bytes")
	f(math.MaxInt, "a\nb", 2, "")
	opts.MaxDecodedBytes = math.MaxInt64
	pieces, err := readObject(strings.NewReader("a\nb"), testObject(), opts)
	require.NoError(t, err)
	assert.Len(t, pieces, 1)
}

// A line without end takes no more memory than a line may have, and as much again while it grows.
func TestObjectEndlessLine(t *testing.T) {
	const limit = 8 << 20
	opts := testOptions()
	opts.MaxDecodedBytes = limit
	var reserved int64
	opts.Reserve = func(n int64) error { reserved += n; return nil }
	body := &endless{text: []byte("endless ")}
	before := heldMemory().TotalAlloc
	pieces, err := readObject(io.MultiReader(strings.NewReader("a\nb\n"), body), testObject(), opts)
	require.EqualError(t, err, "line 3: input too large: it is longer than 8388608 bytes")
	assert.Len(t, numbered(t, pieces), 2)
	assert.Less(t, heldMemory().TotalAlloc-before, uint64(3*limit))
	assert.LessOrEqual(t, reserved, int64(2*limit+2*maxPieceBytes))
	assert.LessOrEqual(t, body.read, limit+1<<16)
}

// endless repeats text up to limit, or for ever if that is zero.
type endless struct {
	text        []byte
	read, limit int
}

func (r *endless) Read(p []byte) (int, error) {
	if r.limit > 0 {
		p = p[:min(len(p), r.limit-r.read)]
		if len(p) == 0 {
			return 0, io.EOF
		}
	}
	n := 0
	for n < len(p) {
		c := copy(p[n:], r.text[r.read%len(r.text):])
		n, r.read = n+c, r.read+c
	}
	return n, nil
}

func heldMemory() (stats runtime.MemStats) {
	runtime.ReadMemStats(&stats)
	return stats
}

// Also lines of the sizes that have most moved from buffer to buffer take no more buffers than a few times what they
// are, and skipped ones take none.
func TestObjectWorkIsLinear(t *testing.T) {
	const size = 8 << 20
	tiny := strings.Repeat("\n", maxPieceRecords+10)
	almost := strings.Repeat("x", maxPieceBytes-maxPieceRecords) + "\n"
	opts := testOptions()
	opts.MaxDecodedBytes = 64 << 20
	for name, text := range map[string]string{
		"empty":          tiny,
		"empty and long": tiny + almost,
		"long by a bit":  strings.Repeat("x", maxPieceBytes) + "\n",
		"half":           strings.Repeat("x", maxPieceBytes/2) + "\n",
		"tiny and long":  strings.Repeat("a\n", maxPieceRecords-1) + almost,
		"wide":           strings.Repeat("x", 131) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			object := testObject()
			before := heldMemory().TotalAlloc
			_, err := readObject(&endless{text: []byte(text), limit: size}, object, opts)
			require.NoError(t, err)
			assert.Less(t, heldMemory().TotalAlloc-before, uint64(5*size))

			object.Skip = math.MaxInt
			before = heldMemory().TotalAlloc
			pieces, err := readObject(&endless{text: []byte(text), limit: size}, object, opts)
			require.NoError(t, err)
			assert.Empty(t, pieces)
			assert.Less(t, heldMemory().TotalAlloc-before, uint64(5*maxPieceBytes))
		})
	}
}
