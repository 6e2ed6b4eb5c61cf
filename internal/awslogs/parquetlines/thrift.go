// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package parquetlines

import (
	"encoding/binary"
	"errors"
)

// The types of Thrift's compact protocol, as they stand in the headers of fields and lists.
// https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftI8     = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13
)

// maxThriftDepth bounds the nesting of values that are passed over. Parquet's own metadata is 7 deep.
const maxThriftDepth = 32

var (
	errThriftShort = errors.New("metadata is cut short")
	errThrift      = errors.New("metadata is no Thrift of Parquet's")
)

// thriftReader walks a struct in Thrift's compact protocol from front to back. It allocates nothing for what the input
// states: what is a list to others is a call for each element here.
type thriftReader struct {
	// data is what is left.
	data []byte
	// err is the first error there was. After it, nothing is read, and what is returned is zero.
	err   error
	depth int
}

func (t *thriftReader) fail(err error) {
	if t.err == nil {
		t.err = err
	}
	t.data = nil
}

func (t *thriftReader) take(n uint64) []byte {
	if n > uint64(len(t.data)) {
		t.fail(errThriftShort)
		return nil
	}
	b := t.data[:n]
	t.data = t.data[n:]
	return b
}

func (t *thriftReader) byte() byte {
	if b := t.take(1); len(b) > 0 {
		return b[0]
	}
	return 0
}

func (t *thriftReader) uvarint() uint64 {
	v, n := binary.Uvarint(t.data)
	switch {
	case n == 0:
		t.fail(errThriftShort)
	case n < 0:
		t.fail(errThrift)
	default:
		t.data = t.data[n:]
		return v
	}
	return 0
}

func (t *thriftReader) varint() int64 {
	v := t.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// structure calls field with each field of the struct that comes next; field reads the value.
func (t *thriftReader) structure(field func(id int16, kind byte)) {
	t.nested(func() {
		id := int16(0)
		for {
			header := t.byte()
			kind := header & 0x0f
			if kind == thriftStop {
				return
			}
			if delta := header >> 4; delta != 0 {
				id += int16(delta)
			} else {
				id = int16(t.varint())
			}
			field(id, kind)
		}
	})
}

func (t *thriftReader) nested(read func()) {
	if t.depth == maxThriftDepth {
		t.fail(errThrift)
		return
	}
	t.depth++
	read()
	t.depth--
}

// elements reads the header of the list that comes next: how many elements follow, and of what type.
func (t *thriftReader) elements(kind byte) (n int, elem byte) {
	if kind != thriftList && kind != thriftSet {
		t.fail(errThrift)
		return 0, 0
	}
	header := t.byte()
	size := uint64(header >> 4)
	if size == 15 {
		size = t.uvarint()
	}
	if size > uint64(len(t.data)) { // an element takes a byte at least
		t.fail(errThriftShort)
		return 0, 0
	}
	return int(size), header & 0x0f
}

// list calls element before each element of the list that comes next; element reads it.
func (t *thriftReader) list(kind byte, element func(elem byte)) {
	for n, elem := t.elements(kind); n > 0 && t.err == nil; n-- {
		element(elem)
	}
}

func (t *thriftReader) integer(kind byte) int64 {
	switch kind {
	case thriftI8:
		return int64(int8(t.byte()))
	case thriftI16, thriftI32, thriftI64:
		return t.varint()
	default:
		t.fail(errThrift)
		return 0
	}
}

// boolean is that of a field, where it is the type that says which it is.
func (t *thriftReader) boolean(kind byte) bool {
	if kind != thriftTrue && kind != thriftFalse {
		t.fail(errThrift)
	}
	return kind == thriftTrue
}

// binary returns a string, which aliases the input.
func (t *thriftReader) binary(kind byte) []byte {
	if kind != thriftBinary {
		t.fail(errThrift)
		return nil
	}
	return t.take(t.uvarint())
}

// skip passes over the value of a field.
func (t *thriftReader) skip(kind byte) {
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftI8:
		t.take(1)
	case thriftI16, thriftI32, thriftI64:
		t.uvarint()
	case thriftDouble:
		t.take(8)
	case thriftBinary:
		t.take(t.uvarint())
	case thriftUUID:
		t.take(16)
	case thriftList, thriftSet:
		t.nested(func() { t.list(kind, t.skipElement) })
	case thriftMap:
		t.nested(t.skipMap)
	case thriftStruct:
		t.structure(func(_ int16, kind byte) { t.skip(kind) })
	default:
		t.fail(errThrift)
	}
}

// skipElement passes over what is in a list, where a boolean has a byte of its own.
func (t *thriftReader) skipElement(kind byte) {
	if kind == thriftTrue || kind == thriftFalse {
		kind = thriftI8
	}
	t.skip(kind)
}

func (t *thriftReader) skipMap() {
	n := t.uvarint()
	if n == 0 {
		return
	}
	kinds := t.byte()
	for ; n > 0 && t.err == nil; n-- {
		t.skipElement(kinds >> 4)
		t.skipElement(kinds & 0x0f)
	}
}
