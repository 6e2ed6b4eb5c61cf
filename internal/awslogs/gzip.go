// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// ErrTooLarge is in the chain of every error that says that input decodes to more than its limit. All other decoding
// errors say that the input is malformed.
var ErrTooLarge = errors.New("input too large")

// maxGzipLayers is how often one input may be compressed: once by AWS, and once more by whatever carried it.
const maxGzipLayers = 2

var gzipReaders sync.Pool

// inflate returns what data holds when it is gzip, of one or many members (RFC 1952, section 2.2), and data itself
// when it is not. What is returned is the caller's alone, provided data was.
func inflate(data []byte, limit int64) ([]byte, error) {
	for layer := 0; isGzip(data); layer++ {
		if layer == maxGzipLayers {
			return nil, fmt.Errorf("gzip within gzip, more than %d times", maxGzipLayers)
		}
		inflated, err := gunzip(data, limit)
		if err != nil {
			return nil, err
		}
		data = inflated
	}
	if int64(len(data)) > limit {
		return nil, tooLarge(limit)
	}
	return data, nil
}

func isGzip(data []byte) bool {
	return len(data) >= 2 && data[0] == 0x1f && data[1] == 0x8b
}

func gunzip(data []byte, limit int64) ([]byte, error) {
	src := bytes.NewReader(data)
	zr, err := newGzipReader(src)
	if err != nil {
		return nil, fmt.Errorf("gzip header: %w", unexpectedEOF(err))
	}
	defer func() {
		src.Reset(nil) // for the pool is not to keep data alive
		gzipReaders.Put(zr)
	}()

	out := make([]byte, 0, sizeHint(data, limit))
	for {
		n, err := zr.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case int64(len(out)) > limit:
			return nil, tooLarge(limit)
		case err == io.EOF: //nolint:errorlint // an io.Reader returns io.EOF itself
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("gzip, after %d decoded bytes: %w", len(out), unexpectedEOF(err))
		case len(out) == cap(out):
			out = slices.Grow(out, 1)
		}
	}
}

func newGzipReader(src io.Reader) (*gzip.Reader, error) {
	if zr, ok := gzipReaders.Get().(*gzip.Reader); ok {
		return zr, zr.Reset(src)
	}
	return gzip.NewReader(src)
}

// sizeHint is the capacity to start with: the length that the last member's trailer states (RFC 1952, section 2.3.1),
// as long as that is believable, for the sender wrote it. data has a gzip header at least. The one byte more lets the reader meet the end of the input
// before the buffer has to grow.
func sizeHint(data []byte, limit int64) int64 {
	const usualRatio = 32
	believable := min(limit, int64(len(data))*usualRatio)
	stated := int64(binary.LittleEndian.Uint32(data[len(data)-4:]))
	return min(max(stated, 512), believable) + 1
}

// unexpectedEOF keeps the end of a stream that is cut short from being taken for its regular end.
func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: it decodes to more than %d bytes", ErrTooLarge, limit)
}
