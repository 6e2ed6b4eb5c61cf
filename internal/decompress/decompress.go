// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package decompress undoes compression within limits that hold before memory is allocated.
package decompress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/flate"
)

// ErrTooLarge is in the chain of every error that says that input decodes to more than its limit.
var ErrTooLarge = errors.New("input too large")

// ErrCorrupt is in the chain of every error that says that input is not what a compressor wrote, or only part of it.
var ErrCorrupt = errors.New("corrupt")

// Limits bound what input may decode to.
type Limits struct {
	// MaxBytes is the most that it may decode to.
	MaxBytes int64
	// Reserve is asked for memory before it is allocated, and its error ends the decoding. Nil: nobody is asked.
	Reserve func(bytes int64) error
}

func (l Limits) reserve(n int64) error {
	if l.Reserve == nil || n == 0 {
		return nil
	}
	return l.Reserve(n)
}

func (l Limits) tooLarge() error {
	return fmt.Errorf("%w: it decodes to more than %d bytes", ErrTooLarge, l.MaxBytes)
}

// maxGzipLayers is how often one input may be compressed: once by AWS, and once more by whatever carried it.
const maxGzipLayers = 2

var errTooManyLayers = corruptError{fmt.Errorf("gzip within gzip, more than %d times", maxGzipLayers)}

// IsGzip says whether data begins as gzip does.
func IsGzip(data []byte) bool {
	return len(data) >= 2 && data[0] == 0x1f && data[1] == 0x8b
}

// Gzip returns what data holds when it is gzip, of one or many members (RFC 1952, section 2.2), and data itself when it
// is not. What is returned is the caller's alone, provided data was.
func Gzip(data []byte, limits Limits) ([]byte, error) {
	for layer := 0; IsGzip(data); layer++ {
		if layer == maxGzipLayers {
			return nil, errTooManyLayers
		}
		inflated, err := gunzip(data, limits)
		if err != nil {
			return nil, err
		}
		data = inflated
	}
	if int64(len(data)) > limits.MaxBytes {
		return nil, limits.tooLarge()
	}
	return data, nil
}

// Deflate returns what a stream without header holds (RFC 1951), which is what Loki calls deflate. Nothing may follow the
// stream: unlike gzip, it has no members.
func Deflate(data []byte, limits Limits) ([]byte, error) {
	src := bytes.NewReader(data)
	zr := flate.NewReader(src)
	out, err := readAll(onlyStream{zr, src}, limits, 0, func() error {
		src.Reset(data)
		return zr.(flate.Resetter).Reset(src, nil) //nolint:forcetypeassert // flate.NewReader says so
	})
	if errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("deflate, %w", err)
	}
	return out, err
}

// onlyStream ends with an error where src has more than the stream, of which flate reads no byte too many.
type onlyStream struct {
	io.Reader
	src *bytes.Reader
}

func (s onlyStream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF && s.src.Len() > 0 {
		err = errMoreThanStream
	}
	return n, err
}

var errMoreThanStream = errors.New("the final block is followed by more")

// Snappy returns what a block of snappy's holds.
func Snappy(data []byte, limits Limits) ([]byte, error) {
	n, err := snappy.DecodedLen(data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case int64(n) > limits.MaxBytes:
		return nil, limits.tooLarge()
	case n > len(data)*maxSnappyRatio:
		return nil, fmt.Errorf("%w: snappy: a longer text than the block can hold", ErrCorrupt)
	}
	if err := limits.reserve(int64(n)); err != nil {
		return nil, err
	}
	out, err := snappy.Decode(make([]byte, n), data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return out, nil
}

// maxSnappyRatio is more than a block can hold for each of its bytes: three bytes copy 64 at most.
// https://github.com/google/snappy/blob/main/format_description.txt
const maxSnappyRatio = 64

func gunzip(data []byte, limits Limits) ([]byte, error) {
	src := bytes.NewReader(data)
	layer, err := newMembers(src)
	if err != nil {
		return nil, fmt.Errorf("gzip %w", err)
	}
	defer func() {
		src.Reset(nil) // for the pool is not to keep data alive
		layer.release()
	}()
	out, err := readAll(layer, limits, sizeHint(data, limits.MaxBytes), func() error {
		src.Reset(data)
		return layer.restart()
	})
	if errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("gzip, %w", err)
	}
	return out, err
}

// measuredSize is up to where a buffer grows with what it is to hold. What turns out to be larger is decoded to its end
// once without being kept, and a second time into a buffer of just its size: so that neither something enormous in a few
// bytes nor the growing of a buffer takes more memory than this.
const measuredSize = 8 << 20

// readAll reads zr to its end, into a buffer of about hint bytes to begin with. restart has zr begin anew.
func readAll(zr io.Reader, limits Limits, hint int64, restart func() error) ([]byte, error) {
	size := min(max(hint, 512), limits.MaxBytes, measuredSize) + 1
	if err := limits.reserve(size); err != nil {
		return nil, err
	}
	out := make([]byte, 0, size)
	for {
		n, err := zr.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case int64(len(out)) > limits.MaxBytes:
			return nil, limits.tooLarge()
		case err == io.EOF:
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("after %d decoded bytes: %w", len(out), corrupt(err))
		case len(out) > measuredSize:
			return readMeasured(zr, limits, out, restart)
		case len(out) == cap(out):
			grown := min(2*int64(cap(out)), limits.MaxBytes+1, measuredSize+1)
			if err := limits.reserve(grown - int64(cap(out))); err != nil {
				return nil, err
			}
			out = append(make([]byte, 0, grown), out...)
		}
	}
}

// readMeasured reads the rest of zr only to know its size, and then all of it. scratch has what was read before.
func readMeasured(zr io.Reader, limits Limits, scratch []byte, restart func() error) ([]byte, error) {
	size := int64(len(scratch))
	for {
		n, err := zr.Read(scratch)
		size += int64(n)
		if size > limits.MaxBytes {
			return nil, limits.tooLarge()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("after %d decoded bytes: %w", size, corrupt(err))
		}
	}
	if err := limits.reserve(size - int64(cap(scratch))); err != nil {
		return nil, err
	}
	if err := restart(); err != nil {
		return nil, corrupt(err)
	}
	out := make([]byte, size)
	if _, err := io.ReadFull(zr, out); err != nil {
		return nil, corrupt(err)
	}
	return out, nil
}

// sizeHint is the length that the last member's trailer states (RFC 1952, section 2.3.1), as long as that is
// believable, for the sender wrote it. data has a gzip header at least.
func sizeHint(data []byte, limit int64) int64 {
	const usualRatio = 32
	believable := min(limit, int64(len(data))*usualRatio)
	stated := int64(binary.LittleEndian.Uint32(data[len(data)-4:]))
	return min(stated, believable)
}

// corrupt keeps the end of a stream that is cut short from being taken for its regular end.
func corrupt(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return corruptError{err}
}

// corruptError says what err says, and is ErrCorrupt.
type corruptError struct{ error }

func (corruptError) Is(target error) bool { return target == ErrCorrupt }
func (e corruptError) Unwrap() error      { return e.error }
