// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package jsonscan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Extent finds where a JSON value ends, in one pass that goes on as more of it comes. It goes by brackets and strings
// alone, whatever kind a bracket is, so that a value that is broken within ends where it would if it were not. The zero
// value is for a value that begins.
type Extent struct {
	// Depth is how many brackets are open.
	Depth int
	// pos is how much was seen.
	pos int
	// text is where the string at hand begins, behind its quotation mark. Zero: there is none.
	text int
}

// Value returns the size of the object or array that data begins with, or goes on with. Zero: it does not end in data.
// Called again, data must have what it had, and may have more.
func (x *Extent) Value(data []byte) (size int) { return x.scan(data, false) }

// Element returns the size of the element of an array that data begins with: up to the comma or the bracket behind it, as
// Value does.
func (x *Extent) Element(data []byte) (size int) { return x.scan(data, true) }

// What a byte outside of strings means for where a value ends.
const (
	opens = iota + 1
	closes
	separates
	quotes
)

var structure = [256]byte{'{': opens, '[': opens, '}': closes, ']': closes, ',': separates, '"': quotes}

func (x *Extent) scan(data []byte, element bool) (size int) {
	pos, depth := x.pos, x.Depth
	if x.text > 0 {
		pos = x.endText(data, pos)
	}
	for uint(pos) < uint(len(data)) {
		switch structure[data[pos]] {
		case quotes:
			x.text = pos + 1
			pos = x.endText(data, pos+1)
			continue
		case opens:
			depth++
		case separates:
			if depth == 0 && element {
				return pos
			}
		case closes:
			if depth == 0 {
				return pos
			}
			depth--
			if depth == 0 && !element {
				return pos + 1
			}
		}
		pos++
	}
	x.pos, x.Depth = pos, depth
	return 0
}

// endText returns what is behind the string at hand, which has no end before from. That is the end of data if the string
// goes on.
func (x *Extent) endText(data []byte, from int) (pos int) {
	for {
		quote := indexQuote(data, from)
		if quote < 0 {
			return len(data)
		}
		before := quote
		for before > x.text && data[before-1] == '\\' {
			before--
		}
		from = quote + 1
		if (quote-before)%2 == 0 { // else it is escaped
			x.text = 0
			return from
		}
	}
}

// indexQuote returns where the first quotation mark of data is, from from on. -1: nowhere. Most strings are short: words
// of eight bytes are faster for them than a call is.
func indexQuote(data []byte, from int) int {
	const ones, tops, marks = 0x0101010101010101, 0x8080808080808080, '"' * 0x0101010101010101
	for range 4 {
		if len(data)-from < 8 {
			break
		}
		word := binary.LittleEndian.Uint64(data[from:]) ^ marks
		if zero := (word - ones) &^ word & tops; zero != 0 { // the lowest bit that is set is of a byte that is zero
			return from + bits.TrailingZeros64(zero)/8
		}
		from += 8
	}
	i := bytes.IndexByte(data[from:], '"')
	if i < 0 {
		return -1
	}
	return from + i
}
