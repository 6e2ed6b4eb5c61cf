// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package parquetlines

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/awsloki/awsloki/internal/decompress"
)

// Numbers of fields, types, codecs and encodings are those of
// https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift

const (
	magic          = "PAR1"
	encryptedMagic = "PARE"
	// maxFooterBytes bounds the metadata at the end of a file: AWS's have a few kilobytes for each row group.
	maxFooterBytes = 16 << 20
	// maxColumns and maxNameBytes are far beyond what a log of AWS's has.
	maxColumns   = 1024
	maxNameBytes = 128
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("parquet: %w: %w", decompress.ErrCorrupt, fmt.Errorf(format, args...))
}

func tooLarge(format string, args ...any) error {
	return fmt.Errorf("parquet: %w: %w", decompress.ErrTooLarge, fmt.Errorf(format, args...))
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("parquet: %w: %w", errors.ErrUnsupported, fmt.Errorf(format, args...))
}

// metadata is what the end of a file says about the rest.
type metadata struct {
	columns []schemaColumn
	groups  rowGroups
}

// rowGroups walks the metadata of the row groups, so that it does not take more memory than it has bytes.
type rowGroups struct {
	metadata thriftReader
	left     int
	columns  []schemaColumn
	// end is where the metadata begins in the file.
	end int64
}

// chunk is where the pages of one column of a row group are.
type chunk struct {
	codec int64
	// offset and size are those of the pages that were not read yet, and values is how many these have.
	offset, size, values int64
}

// readFull reads all of p, which must be in the file.
func readFull(file io.ReaderAt, p []byte, offset int64) error {
	n, err := file.ReadAt(p, offset)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return corrupt("%w", io.ErrUnexpectedEOF)
	default:
		return err
	}
}

// readFooter returns the metadata's bytes, and where they begin.
func readFooter(file io.ReaderAt, size int64, reserve func(int64) error) (footer []byte, start int64, err error) {
	const tail = 8 // the length of the metadata, and the magic number
	if size < int64(len(magic))+tail {
		return nil, 0, corrupt("no Parquet file has %d bytes", size)
	}
	var head, end [tail]byte
	if err := readFull(file, head[:len(magic)], 0); err != nil {
		return nil, 0, err
	}
	if err := readFull(file, end[:], size-tail); err != nil {
		return nil, 0, err
	}
	switch string(end[4:]) {
	case magic:
	case encryptedMagic:
		return nil, 0, unsupported("the file is encrypted")
	default:
		return nil, 0, corrupt("it does not end as a Parquet file does")
	}
	if string(head[:len(magic)]) != magic {
		return nil, 0, corrupt("it does not begin as a Parquet file does")
	}
	n := int64(binary.LittleEndian.Uint32(end[:]))
	start = size - tail - n
	switch {
	case start < int64(len(magic)):
		return nil, 0, corrupt("the metadata is longer than the file")
	case n > maxFooterBytes:
		return nil, 0, tooLarge("the metadata has more than %d bytes", maxFooterBytes)
	}
	if err := reserve(n); err != nil {
		return nil, 0, err
	}
	footer = make([]byte, n)
	return footer, start, readFull(file, footer, start)
}

// parseMetadata reads a FileMetaData, and checks that the row groups it speaks of can be in a file where the metadata
// begins at start.
func parseMetadata(footer []byte, start int64) (metadata, error) {
	var schema schemaReader
	rows := int64(-1)
	m := metadata{groups: rowGroups{end: start}}
	t := thriftReader{data: footer}
	t.structure(func(id int16, kind byte) {
		switch id {
		case 2:
			t.list(kind, func(elem byte) { schema.element(&t, elem) })
		case 3:
			rows = t.integer(kind)
		case 4:
			list := t
			m.groups.left, _ = list.elements(kind)
			m.groups.metadata = list
			t.skip(kind)
		case 8:
			t.fail(unsupported("the file is encrypted"))
		default:
			t.skip(kind)
		}
	})
	if t.err != nil {
		return metadata{}, explain(t.err)
	}
	columns, err := schema.columns()
	if err != nil {
		return metadata{}, err
	}
	m.columns, m.groups.columns = columns, columns
	return m, m.groups.check(rows)
}

// explain has what is wrong with metadata be corrupt, unless it is only unknown or too much.
func explain(err error) error {
	if errors.Is(err, errThrift) || errors.Is(err, errThriftShort) {
		return corrupt("%w", err)
	}
	return err
}

// check walks a copy of what is left: all row groups together have as many rows as the file is said to have, and no
// two have the same bytes, without which a small file could go on for very long.
func (g rowGroups) check(rows int64) error {
	bytes := g.end - int64(len(magic))
	chunks := make([]chunk, 0, len(g.columns))
	for g.left > 0 {
		inGroup, err := g.next(chunks)
		if err != nil {
			return err
		}
		rows -= inGroup
		for _, c := range chunks[:len(g.columns)] {
			bytes -= c.size
		}
		if rows < 0 || bytes < 0 {
			break
		}
	}
	switch {
	case rows != 0:
		return corrupt("the row groups do not have the rows that the file has")
	case bytes < 0:
		return corrupt("the row groups have more bytes than the file")
	}
	return nil
}

// next reads the metadata of the next row group into chunks, which has room for one of each column. It returns how many
// rows there are.
func (g *rowGroups) next(chunks []chunk) (rows int64, err error) {
	g.left--
	chunks = chunks[:0]
	t := &g.metadata
	rows = -1
	t.structure(func(id int16, kind byte) {
		switch id {
		case 1:
			t.list(kind, func(elem byte) {
				if elem != thriftStruct || len(chunks) == len(g.columns) {
					t.fail(errThrift)
					return
				}
				chunks = append(chunks, g.chunk(g.columns[len(chunks)]))
			})
		case 3:
			rows = t.integer(kind)
		default:
			t.skip(kind)
		}
	})
	switch {
	case t.err != nil:
		return 0, explain(t.err)
	case rows < 0 || len(chunks) != len(g.columns):
		return 0, corrupt("a row group lacks columns or rows")
	}
	for i, c := range chunks {
		if c.values != rows {
			return 0, corrupt("column %q: %d values in a row group of %d rows", g.columns[i].name, c.values, rows)
		}
	}
	return rows, nil
}

// chunk reads a ColumnChunk.
func (g *rowGroups) chunk(column schemaColumn) chunk {
	var c chunk
	var kind, dictionary int64 = -1, 0
	t := &g.metadata
	t.structure(func(id int16, fieldKind byte) {
		switch {
		case id == 1:
			t.fail(unsupported("column %q is in another file", column.name))
		case id == 3 && fieldKind == thriftStruct:
			c, kind, dictionary = chunkMetadata(t)
		case id == 8 || id == 9:
			t.fail(unsupported("column %q is encrypted", column.name))
		default:
			t.skip(fieldKind)
		}
	})
	if 0 < dictionary && dictionary < c.offset {
		c.offset = dictionary // zero, or one after the data, is how old writers say that there is none
	}
	if c.values == 0 {
		c.offset, c.size = int64(len(magic)), 0 // writers have all kinds of places for what is not there
	}
	if t.err == nil && (kind != int64(column.kind) || c.offset < int64(len(magic)) || c.size < 0 || c.values < 0 ||
		c.offset > g.end || c.size > g.end-c.offset) {
		t.fail(corrupt("column %q: pages that are not in the file", column.name))
	}
	return c
}

// chunkMetadata reads a ColumnMetaData.
func chunkMetadata(t *thriftReader) (c chunk, kind, dictionary int64) {
	c = chunk{codec: -1, offset: -1, size: -1, values: -1}
	kind = -1
	t.structure(func(id int16, fieldKind byte) {
		switch id {
		case 1:
			kind = t.integer(fieldKind)
		case 4:
			c.codec = t.integer(fieldKind)
		case 5:
			c.values = t.integer(fieldKind)
		case 7:
			c.size = t.integer(fieldKind)
		case 9:
			c.offset = t.integer(fieldKind)
		case 11:
			dictionary = t.integer(fieldKind)
		default:
			t.skip(fieldKind)
		}
	})
	return c, kind, dictionary
}

// fits says whether v is a number that Parquet has 32 bits for, and not negative.
func fits(v int64) bool { return 0 <= v && v <= math.MaxInt32 }
