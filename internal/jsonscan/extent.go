// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package jsonscan

import "bytes"

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
	pos, depth, text := x.pos, x.Depth, x.text
	for pos < len(data) {
		if text > 0 {
			i := bytes.IndexByte(data[pos:], '"')
			if i < 0 {
				pos = len(data)
				break
			}
			pos += i
			if data[pos-1] != '\\' || backslashes(data[text:pos])%2 == 0 {
				text = 0
			}
			pos++
			continue
		}
		kind := structure[data[pos]]
		pos++
		switch kind {
		case quotes:
			text = pos
		case opens:
			depth++
		case separates:
			if depth == 0 && element {
				return pos - 1
			}
		case closes:
			if depth == 0 {
				return pos - 1
			}
			depth--
			if depth == 0 && !element {
				return pos
			}
		}
	}
	x.pos, x.Depth, x.text = pos, depth, text
	return 0
}

// backslashes is how many data ends with. An odd number of them escapes what comes next.
func backslashes(data []byte) int {
	return len(data) - len(bytes.TrimRight(data, `\`))
}
