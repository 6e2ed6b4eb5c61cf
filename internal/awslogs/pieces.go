// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/awsloki/awsloki/internal/decompress"
)

// What a piece of a stream has at most, unless it is one long line. Another number here makes pieces that are delivered
// again over an update of the collector unknown to it.
const (
	maxPieceBytes = 1 << 20
	maxPieceLines = 4096
)

// firstBufferBytes is where the buffer begins, since most objects are small.
const firstBufferBytes = 64 << 10

// maxEmptyReads is how often a reader may return neither bytes nor an error, as in bufio.
const maxEmptyReads = 100

// pieceReader cuts a stream into pieces of whole lines. A piece is the lines that end within the next maxBytes, and
// maxLines of them at most; or else the one line that is longer than that. The last line may lack its newline, and goes
// with those before it unless it is at the end of maxBytes. So where pieces begin depends on nothing but the stream's bytes.
//
// Its work is linear in the stream, since whatever is moved to another buffer is in the next piece or in the one after.
type pieceReader struct {
	src io.Reader
	// maxBytes and maxLines are constants but for tests.
	maxBytes, maxLines int
	// maxLine is how long a line may be, with its newline.
	maxLine int64
	// reserve is asked for what a long line takes beyond maxBytes. Nil: nobody is asked.
	reserve func(bytes int64) error

	buf []byte
	// kept says whether somebody has pieces of buf, which then may not be written over.
	kept bool
	// rest is the end of buf, what was read and is in no piece yet, and newlines is how many are in it.
	rest     []byte
	newlines int
	// largest is the size of the largest buffer there was.
	largest int
	// err is what src ended with.
	err error
}

// piece is a part of a stream.
type piece struct {
	// data holds whole lines with their newlines.
	data []byte
	// lines is how many there are, of any length.
	lines int
}

func newPieceReader(src io.Reader, opts Options) *pieceReader {
	return &pieceReader{
		src:      src,
		maxBytes: maxPieceBytes,
		maxLines: maxPieceLines,
		maxLine:  min(max(opts.MaxDecodedBytes, 0), math.MaxInt64-1),
		reserve:  opts.Reserve,
	}
}

// next returns the next piece, which is the caller's until the next call, or for good if it calls keep. The error is
// io.EOF at the end, or what the stream or reserve returned, or it has decompress.ErrTooLarge in its chain. The whole
// lines before an error are returned first if the stream has it at that place whenever it is read: else they would be in
// another piece when it is read again.
func (r *pieceReader) next() (piece, error) {
	window := int(min(int64(r.maxBytes), r.maxLine))
	for len(r.rest) < window && r.newlines < r.maxLines && r.err == nil {
		if err := r.fill(); err != nil {
			return piece{}, err
		}
	}
	if len(r.rest) < window && r.newlines < r.maxLines && !r.ended() && !errors.Is(r.err, decompress.ErrCorrupt) {
		return piece{}, r.err
	}
	if p := firstLines(r.rest[:min(len(r.rest), window)], r.maxLines); p.lines > 0 {
		if p.lines < r.maxLines && len(r.rest) < window && r.ended() {
			p = r.withLastLine(p)
		}
		return r.cut(p), nil
	}
	n, err := r.longLine()
	if err != nil {
		return piece{}, err
	}
	return r.cut(piece{r.rest[:n], 1}), nil
}

// ended says whether there is nothing to come after rest.
func (r *pieceReader) ended() bool { return errors.Is(r.err, io.EOF) }

// keep leaves the piece that was returned last to the caller: nothing is written to it any more.
func (r *pieceReader) keep() { r.kept = true }

// firstLines returns the lines that end within data, or the first limit of them.
func firstLines(data []byte, limit int) piece {
	n, lines := 0, 0
	for lines < limit {
		i := bytes.IndexByte(data[n:], '\n')
		if i < 0 {
			break
		}
		n += i + 1
		lines++
	}
	return piece{data[:n], lines}
}

// withLastLine adds the line without newline that the stream may end with.
func (r *pieceReader) withLastLine(p piece) piece {
	if len(r.rest) > len(p.data) {
		p.lines++
	}
	p.data = r.rest
	return p
}

// longLine returns the length of the line that rest begins with, and reads up to its end.
func (r *pieceReader) longLine() (int, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(r.rest[searched:], '\n'); i >= 0 {
			searched += i + 1
			break
		}
		searched = len(r.rest)
		if r.ended() && searched > 0 || int64(searched) > r.maxLine {
			break
		}
		if r.err != nil {
			return 0, r.err
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	if int64(searched) > r.maxLine {
		return 0, fmt.Errorf("%w: it is longer than %d bytes", decompress.ErrTooLarge, r.maxLine)
	}
	return searched, nil
}

// cut takes p off rest.
func (r *pieceReader) cut(p piece) piece {
	r.rest = r.rest[len(p.data):]
	r.newlines -= p.lines
	if len(r.rest) == 0 {
		r.newlines = 0 // the last line may have had none
	}
	p.data = p.data[:len(p.data):len(p.data)]
	return p
}

// fill adds to rest what one read of src gives. Its error is that of reserve only; src's is in r.err.
func (r *pieceReader) fill() error {
	if len(r.rest) == cap(r.rest) {
		if err := r.makeRoom(); err != nil {
			return err
		}
	}
	have := len(r.rest)
	for range maxEmptyReads {
		n, err := r.src.Read(r.rest[have:cap(r.rest)])
		if n == 0 && err == nil {
			continue
		}
		r.rest = r.rest[:have+n]
		r.newlines += bytes.Count(r.rest[have:], []byte{'\n'})
		r.err = err
		return nil
	}
	r.err = io.ErrNoProgress
	return nil
}

// makeRoom moves rest to the beginning of a buffer with room behind it: to the one it is in if nobody has pieces of it.
func (r *pieceReader) makeRoom() error {
	size := r.bufferSize()
	if size > max(r.largest, r.maxBytes) && r.reserve != nil {
		if err := r.reserve(int64(size)); err != nil { // the smaller one is there until rest is moved
			return err
		}
	}
	r.largest = max(r.largest, size)
	if r.kept || cap(r.buf) < size {
		r.buf, r.kept = make([]byte, size), false
	}
	r.rest = r.buf[:copy(r.buf[:size], r.rest)]
	return nil
}

// bufferSize is that of the buffer that rest is to go to: larger than rest. A line that is longer than maxBytes doubles
// it, up to the one byte more than maxLine that shows a line to be too long.
func (r *pieceReader) bufferSize() int {
	have, usual := int64(len(r.rest)), min(int64(r.maxBytes), r.maxLine+1)
	switch {
	case r.buf == nil:
		return int(min(usual, firstBufferBytes))
	case have < usual:
		return int(usual)
	case 2*have < r.maxLine:
		return int(2 * have)
	default:
		return int(r.maxLine + 1)
	}
}
