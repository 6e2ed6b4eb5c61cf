// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package parquetlines reads the Apache Parquet files that AWS writes logs to as JSON lines. It knows what these are:
// rows of numbers and strings, without lists or structs, of the encodings and codecs that are in common use. It was
// written for files of unknown origin: nothing that a file only states takes memory or time.
package parquetlines

import (
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Options bound what a file may take.
type Options struct {
	// Reserve is asked for memory before it is allocated, and its error ends the reading. What was asked for is held
	// until the reader is given up: for each column, room for the largest dictionary and the largest page there were.
	// Nil: nobody is asked.
	Reserve func(bytes int64) error
	// MaxRowBytes is the most that a line may have, with its end.
	MaxRowBytes int64
	// MaxPageBytes is the most that a page may have, compressed or not. Writers aim at one mebibyte, and count a
	// dictionary as a page.
	// https://parquet.apache.org/docs/file-format/configurations/
	MaxPageBytes int64
}

// Reader reads the rows of a file. See NewReader. Not to be used by several goroutines at once.
type Reader struct {
	file    io.ReaderAt
	opts    Options
	groups  rowGroups
	columns []column
	// chunks is where the metadata of a row group is read to.
	chunks []chunk
	// rows is how many rows of the row group were not read yet.
	rows int64
	// left is how many bytes the lines to come may have.
	left int64
	// line is the buffer of a line, and rest what Read has not returned of it.
	line, rest []byte
	// header and compressed are buffers for the header of a page and for what is behind it.
	header, compressed []byte
	// gzip and zstd are nil until there is a page of theirs.
	gzip *gzip.Reader
	zstd *zstd.Decoder
	err  error
}

// NewReader returns a reader of the rows of a Parquet file as JSON lines: one object a line, with the columns in the
// file's order, each line ended by a newline. file has size bytes. The same file gives the same lines always.
//
// Integers and floating point numbers are numbers, strings and other bytes are strings in which the replacement
// character is for what is no UTF-8, dates are as in 2006-01-02, timestamps are those of RFC 3339 in UTC, and a column
// that has no value in a row is null there.
//
// An error of NewReader or Read has decompress.ErrCorrupt in its chain if the file is no Parquet file, is broken or cut
// short; decompress.ErrTooLarge if something in it is larger than opts or this package allow; errors.ErrUnsupported if
// it has something in it that is not known here, and then names the column. It is what file or Reserve returned if
// these fail. All rows before an error are returned first.
func NewReader(file io.ReaderAt, size int64, opts Options) (*Reader, error) {
	r := &Reader{file: file, opts: opts}
	footer, start, err := readFooter(file, size, r.reserve)
	if err != nil {
		return nil, err
	}
	m, err := parseMetadata(footer, start)
	if err != nil {
		return nil, err
	}
	r.left = maxExpansion * size
	r.groups = m.groups
	r.chunks = make([]chunk, len(m.columns))
	r.columns = make([]column, len(m.columns))
	for i, c := range m.columns {
		if err := r.reserve(int64((1 + maxEscapedLen) * len(c.name))); err != nil {
			return nil, err
		}
		r.columns[i] = column{schemaColumn: c, key: jsonKey(c.name, i == 0)}
	}
	return r, nil
}

func (r *Reader) reserve(n int64) error {
	if r.opts.Reserve == nil || n <= 0 {
		return nil
	}
	return r.opts.Reserve(n)
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(r.rest) == 0 {
			if r.err == nil {
				r.err = r.nextRow()
			}
			if r.err != nil {
				break
			}
		}
		copied := copy(p[n:], r.rest)
		r.rest = r.rest[copied:]
		n += copied
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, r.err
}

// nextRow has rest be the next line.
func (r *Reader) nextRow() error {
	for r.rows == 0 {
		if r.groups.left == 0 {
			return io.EOF
		}
		if err := r.nextGroup(); err != nil {
			return err
		}
	}
	r.rows--
	r.line = r.line[:0]
	for i := range r.columns {
		if err := r.appendColumn(&r.columns[i]); err != nil {
			return err
		}
	}
	r.line = append(r.line, "}\n"...)
	if int64(len(r.line)) > r.opts.MaxRowBytes {
		return r.rowTooLarge()
	}
	r.left -= int64(len(r.line))
	if r.left < 0 {
		return tooLarge("the lines have more than %d times the bytes of the file", maxExpansion)
	}
	r.rest = r.line
	return nil
}

// maxExpansion is how many bytes of lines there may be for one of the file: about what deflate has at most (RFC 1951). A
// few bytes can say that there are billions of rows.
const maxExpansion = 1024

// Columns are the names of the columns, in the order of the file.
func (r *Reader) Columns() []string {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.name
	}
	return names
}

// nextGroup begins with the next row group.
func (r *Reader) nextGroup() error {
	rows, err := r.groups.next(r.chunks)
	if err != nil {
		return err
	}
	r.rows = rows
	for i := range r.columns {
		c := &r.columns[i]
		c.chunk = r.chunks[i]
		c.left, c.dictionary.n = 0, 0
	}
	return nil
}

// appendColumn appends the name and the next value of a column to the line.
func (r *Reader) appendColumn(c *column) error {
	if c.left == 0 {
		if err := r.nextPage(c); err != nil {
			return err
		}
	}
	c.left--
	if c.optional {
		level, ok := c.levels.next()
		if !ok {
			return c.corrupt("a page that lacks levels")
		}
		if level == 0 {
			if err := r.makeRoom(c, nil); err != nil {
				return err
			}
			r.line = append(append(r.line, c.key...), "null"...)
			return nil
		}
	}
	value, ok := c.present.next()
	if !ok {
		return c.corrupt("a page that lacks values")
	}
	if err := r.makeRoom(c, value); err != nil {
		return err
	}
	r.line = c.appendJSON(append(r.line, c.key...), value)
	return nil
}

// makeRoom has the line have room for the name and the value of a column, and for its end, so that nothing that is
// appended to it allocates.
func (r *Reader) makeRoom(c *column, value []byte) error {
	have := int64(len(r.line) + len(c.key) + len("}\n"))
	if have+maxScalarLen+int64(maxEscapedLen*len(value)) <= int64(cap(r.line)) {
		return nil
	}
	need := have + maxScalarLen
	if c.isString() && len(value) > 0 { // only now is it worth while to know how long it is
		need = have + int64(stringLen(value))
		if need > r.opts.MaxRowBytes {
			return r.rowTooLarge()
		}
	}
	if need <= int64(cap(r.line)) {
		return nil
	}
	size := max(need, min(2*int64(cap(r.line)), r.opts.MaxRowBytes), firstLineBytes)
	if err := r.reserve(size - int64(cap(r.line))); err != nil {
		return err
	}
	r.line = append(make([]byte, 0, size), r.line...)
	return nil
}

// firstLineBytes is where the buffer of a line begins.
const firstLineBytes = 4 << 10

func (r *Reader) rowTooLarge() error {
	return tooLarge("a line has more than %d bytes", r.opts.MaxRowBytes)
}
