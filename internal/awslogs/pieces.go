// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/awsloki/awsloki/internal/decompress"
)

// What a piece of a stream has at most, unless it is one long record. Another number here makes pieces that are delivered
// again over an update of the collector unknown to it.
const (
	maxPieceBytes   = 1 << 20
	maxPieceRecords = 4096
)

// firstBufferBytes is where the buffer begins, since most objects are small.
const firstBufferBytes = 64 << 10

// maxEmptyReads is how often a reader may return neither bytes nor an error, as in bufio.
const maxEmptyReads = 100

// pieceReader cuts a stream into pieces of whole records. A piece is the records that end within the next maxBytes, and
// maxRecords of them at most; or else the one record that is longer than that. So where pieces begin depends on nothing but
// the stream's bytes.
//
// Its work is linear in the stream, since whatever is moved to another buffer is in the next piece or in the one after.
type pieceReader struct {
	src io.Reader
	// framer finds the records.
	framer framer
	// maxBytes and maxRecords are constants but for tests.
	maxBytes, maxRecords int
	// maxRecord is how long a record may be, with what ends it.
	maxRecord int64
	// reserve is asked for what a long record takes beyond maxBytes. Nil: nobody is asked.
	reserve func(bytes int64) error

	buf []byte
	// kept says whether somebody has pieces of buf, which then may not be written over.
	kept bool
	// rest is the end of buf: what was read and is in no piece yet.
	rest []byte
	// frames has those of the piece at hand.
	frames []frame
	// largest is the size of the largest buffer there was.
	largest int
	// err is what src ended with.
	err error
}

// piece is a part of a stream.
type piece struct {
	// data holds whole records, and what stands between them.
	data []byte
	// frames says where in data the records are. They are overwritten by the next piece.
	frames []frame
}

func newPieceReader(src io.Reader, opts Options) *pieceReader {
	return &pieceReader{
		src:        src,
		framer:     &lineFramer{},
		maxBytes:   maxPieceBytes,
		maxRecords: maxPieceRecords,
		maxRecord:  min(max(opts.MaxDecodedBytes, 0), math.MaxInt64-1),
		reserve:    opts.Reserve,
	}
}

// peek returns the next n bytes, or one more than a record may have if those are fewer, or all up to the end or an error,
// and leaves them where they are. The error is that of reserve, or one that the stream may have at another place when it
// is read again.
func (r *pieceReader) peek(n int) ([]byte, error) {
	n = int(min(int64(n), r.maxRecord+1))
	for len(r.rest) < n && r.err == nil {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	if len(r.rest) < n && r.failed() {
		return nil, r.err
	}
	return r.rest[:min(n, len(r.rest))], nil
}

// drop leaves out the next n bytes, which peek has returned.
func (r *pieceReader) drop(n int) { r.rest = r.rest[n:] }

// next returns the next piece, whose data is the caller's until the next call, or for good if it calls keep. It may have
// no records. The error is io.EOF at the end, or what the stream, the framer or reserve returned, or it has
// decompress.ErrTooLarge in its chain. The whole records before an error are returned first if the stream has it at that
// place whenever it is read: else they would be in another piece when it is read again.
func (r *pieceReader) next() (piece, error) {
	size, err := r.frame()
	if size == 0 && err == nil {
		size, err = r.longRecord()
	}
	if size == 0 {
		return piece{}, err
	}
	p := piece{r.rest[:size:size], r.frames}
	r.rest = r.rest[size:]
	return p, nil
}

// ended says whether there is nothing to come after rest.
func (r *pieceReader) ended() bool { return errors.Is(r.err, io.EOF) }

// failed says whether the stream has ended with an error that it may have at another place another time.
func (r *pieceReader) failed() bool {
	return r.err != nil && !r.ended() && !errors.Is(r.err, decompress.ErrCorrupt)
}

// keep leaves the piece that was returned last to the caller: nothing is written to it any more.
func (r *pieceReader) keep() { r.kept = true }

// frame finds the records of the next piece, and returns its size: zero if not even one record ends within maxBytes. An
// error that comes with a size is one that comes again when the piece is taken.
func (r *pieceReader) frame() (size int, err error) {
	window := int(min(int64(r.maxBytes), r.maxRecord))
	r.frames = r.frames[:0]
	for len(r.frames) < r.maxRecords {
		whole := len(r.rest) < window // else there may be more to come, or too much
		n, err := r.nextFrame(size, min(len(r.rest), window), whole && r.ended())
		switch {
		case err != nil:
			return size, err
		case n > 0:
			size += n
		case !whole:
			return size, nil
		case r.failed():
			return 0, r.err
		case r.err != nil:
			return size, r.err
		default:
			if err := r.fill(); err != nil {
				return 0, err
			}
		}
	}
	return size, nil
}

// nextFrame adds the record that rest has from start on, up to end. It returns how many bytes that takes, zero if the
// record does not end there.
func (r *pieceReader) nextFrame(start, end int, ended bool) (n int, err error) {
	f, n, err := r.framer.next(r.rest[start:end], ended)
	if f.end > f.start {
		r.frames = append(r.frames, frame{start + f.start, start + f.end, f.number})
	}
	return n, err
}

// longRecord finds the one record that rest begins with, and reads up to its end.
func (r *pieceReader) longRecord() (size int, err error) {
	for {
		end := int(min(int64(len(r.rest)), r.maxRecord))
		n, err := r.nextFrame(0, end, end == len(r.rest) && r.ended())
		switch {
		case n > 0 || err != nil:
			return n, err
		case int64(len(r.rest)) > r.maxRecord:
			return 0, fmt.Errorf("%w: it is longer than %d bytes", decompress.ErrTooLarge, r.maxRecord)
		case r.err != nil:
			return 0, r.err
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
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

// bufferSize is that of the buffer that rest is to go to: larger than rest. A record that is longer than maxBytes
// doubles it, up to the one byte more than maxRecord that shows a record to be too long.
func (r *pieceReader) bufferSize() int {
	have, usual := int64(len(r.rest)), min(int64(r.maxBytes), r.maxRecord+1)
	switch {
	case r.buf == nil:
		return int(min(usual, firstBufferBytes))
	case have < usual:
		return int(usual)
	case 2*have < r.maxRecord:
		return int(2 * have)
	default:
		return int(r.maxRecord + 1)
	}
}
