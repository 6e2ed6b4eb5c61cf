// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package decompress

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Reader reads what a stream holds. See NewReader.
type Reader struct {
	src     source
	layers  []*members
	buffers []*bufio.Reader
	// out is what is read from, the innermost layer. Nil until the first Read.
	out     io.Reader
	decoded int64
	err     error
}

// NewReader returns a reader of what src holds when it is gzip, of one or many members and up to two layers, and of src
// itself when it is not: as Gzip has it for bytes, but in memory that does not depend on how much there is. Which it is
// the first two bytes of each layer say.
//
// An error of Read other than io.EOF, which nothing but the end has in its chain, has ErrCorrupt in its chain if src is
// broken or only part of what a compressor wrote. If src fails, it is src's error. All bytes that can be had before an
// error are returned first.
//
// Nothing is read from src before the first Read, and never more than a buffer beyond what was asked for. Close gives
// back what the reader has from pools.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: source{src}}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err == nil && r.out == nil {
		r.err = r.open()
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.out.Read(p)
	r.decoded += int64(n)
	r.err = r.explain(err)
	return n, r.err
}

// Close gives back what the reader holds, and has Read return fs.ErrClosed. It does not close src, and may be called
// again.
func (r *Reader) Close() {
	for _, m := range r.layers {
		m.release()
	}
	for _, buffer := range r.buffers {
		buffer.Reset(nil) // for the pool is not to keep src alive
		readBuffers.Put(buffer)
	}
	*r = Reader{err: fmt.Errorf("decompress: %w", fs.ErrClosed)}
}

// open looks into src for as many layers as there are.
func (r *Reader) open() error {
	src := io.Reader(r.src)
	for {
		buffer := newReadBuffer(src)
		r.buffers = append(r.buffers, buffer)
		head, err := buffer.Peek(2)
		switch {
		case errors.Is(err, io.EOF):
			r.out = bytes.NewReader(head) // src is not asked again after it said that this was all
			return nil
		case err != nil:
			return r.explain(err)
		case !IsGzip(head):
			r.out = buffer
			return nil
		case len(r.layers) == maxGzipLayers:
			return errTooManyLayers
		}
		layer, err := newMembers(buffer)
		if err != nil {
			return r.explain(err)
		}
		r.layers = append(r.layers, layer)
		src = layer
	}
}

// explain returns src's own error where there is one, for a broken connection does not make the data corrupt.
func (r *Reader) explain(err error) error {
	var failed sourceError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case errors.As(err, &failed):
		return failed.error
	case errors.Is(err, ErrCorrupt):
		return fmt.Errorf("gzip, after %d decoded bytes: %w", r.decoded, err)
	default:
		return err
	}
}

// source marks the errors of a stream, so that they are known once a decompressor has passed them on.
type source struct{ io.Reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	switch {
	case err == nil || err == io.EOF:
	case errors.Is(err, io.EOF):
		err = sourceError{io.ErrUnexpectedEOF} // nobody is to take it for the regular end
	default:
		err = sourceError{err}
	}
	return n, err
}

type sourceError struct{ error }

// readBufferSize spares the stream small reads: a decompressor takes byte after byte.
const readBufferSize = 32 << 10

var readBuffers sync.Pool

func newReadBuffer(src io.Reader) *bufio.Reader {
	if buffer, ok := readBuffers.Get().(*bufio.Reader); ok {
		buffer.Reset(src)
		return buffer
	}
	return bufio.NewReaderSize(src, readBufferSize)
}

// members reads one gzip member after another (RFC 1952, section 2.2). gzip.Reader can do so too, but takes the header
// of a second member that is cut short within its file name or comment for the end.
type members struct {
	zr  *gzip.Reader
	src memberSource
}

// memberSource is what a gzip.Reader leaves at the byte after a member.
type memberSource interface {
	io.Reader
	io.ByteScanner
}

var gzipReaders sync.Pool

// newMembers reads the first header. What it returns is to be released.
func newMembers(src memberSource) (*members, error) {
	zr, ok := gzipReaders.Get().(*gzip.Reader)
	if !ok {
		zr = new(gzip.Reader)
	}
	m := &members{zr: zr, src: src}
	if err := m.restart(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return m, nil
}

func (m *members) release() {
	gzipReaders.Put(m.zr)
}

// restart begins with the member that src is at.
func (m *members) restart() error {
	if err := m.zr.Reset(m.src); err != nil {
		return corrupt(err)
	}
	m.zr.Multistream(false)
	return nil
}

// Read implements io.Reader.
func (m *members) Read(p []byte) (int, error) {
	for {
		n, err := m.zr.Read(p)
		if errors.Is(err, io.EOF) {
			err = m.next()
		} else if err != nil {
			err = corrupt(err)
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// next goes on with the member after the one that has ended. io.EOF: there is none.
func (m *members) next() error {
	if _, err := m.src.ReadByte(); err != nil {
		return err
	}
	if err := m.src.UnreadByte(); err != nil {
		return err
	}
	return m.restart()
}
