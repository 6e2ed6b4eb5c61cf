// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"fmt"

	"github.com/awsloki/awsloki/internal/decompress"
)

// documentFramer takes each line for a record, or each of the JSON objects that it is made of: Firehose writes records one
// after another, with what delimits them or without. No object goes on behind a newline, so that a broken one takes no
// other with it. Blank lines are no records.
type documentFramer struct {
	// line is the size of the line at hand with its newline, zero as long as that is not known, and searched is how much
	// has no newline.
	line, searched int
	// object is what the line at hand begins with, and closed is where it ends. Zero: not known yet.
	object extent
	closed int
	// records is how many there were.
	records int
}

func (d *documentFramer) next(data []byte, ended bool) (f frame, n int, err error) {
	start := leadingSpace(data)
	if n := bytes.LastIndexByte(data[:start], '\n') + 1; n > 0 {
		d.pass(n)
		return frame{}, n, nil
	}
	if start == len(data) {
		if ended {
			n = start
		}
		return frame{}, n, nil
	}
	line, whole := d.findLine(data, ended)
	if data[start] == '{' {
		if d.closed == 0 {
			d.closed = start + d.object.scan(line[start:], false)
		}
		if d.closed > start {
			switch next := d.closed + leadingSpace(line[d.closed:]); {
			case next == len(line) && !whole:
				return frame{}, 0, nil
			case next == len(line) || line[next] == '{':
				return d.take(start, d.closed, d.closed)
			}
		} else {
			d.closed = 0
		}
	}
	if !whole {
		return frame{}, 0, nil
	}
	return d.take(0, len(bytes.TrimRight(line, "\r\n")), len(line))
}

// findLine returns the line that data begins with, or what there is of it. What is known of it may be from more data than
// there is now.
func (d *documentFramer) findLine(data []byte, ended bool) (line []byte, whole bool) {
	if d.line == 0 && d.searched < len(data) {
		if i := bytes.IndexByte(data[d.searched:], '\n'); i >= 0 {
			d.line = d.searched + i + len("\n")
		} else {
			d.searched = len(data)
		}
	}
	if 0 < d.line && d.line <= len(data) {
		return data[:d.line], true
	}
	return data, ended
}

func (d *documentFramer) take(start, end, n int) (frame, int, error) {
	d.pass(n)
	d.records++
	return frame{start, end, d.records}, n, nil
}

func (d *documentFramer) pass(n int) {
	d.line, d.searched = max(d.line-n, 0), max(d.searched-n, 0)
	d.object, d.closed = extent{}, 0
}

func (d *documentFramer) place() (what string, number int) { return "record", d.records + 1 }

// arrayFramer takes for records the elements of the array in {"Records":[...]}, of which there may be several one after
// another.
type arrayFramer struct {
	part arrayPart
	// value is the element at hand, or what is behind the array.
	value extent
	// records is how many there were.
	records int
}

type arrayPart int

const (
	beforeArray arrayPart = iota
	inArray
	behindArray
)

var (
	errNoArray   = fmt.Errorf(`%w: expected {"Records":[`, decompress.ErrCorrupt)
	errNoElement = fmt.Errorf("%w: expected a record or the end of the array", decompress.ErrCorrupt)
	errCutArray  = fmt.Errorf("%w: the array of records is cut short", decompress.ErrCorrupt)
)

func (a *arrayFramer) next(data []byte, ended bool) (f frame, n int, err error) {
	switch a.part {
	case beforeArray:
		if ended && leadingSpace(data) == len(data) {
			return frame{}, len(data), nil
		}
		if n, err = arrayStart(data); n > 0 {
			a.part = inArray
		}
	case inArray:
		f, n, err = a.element(data)
	case behindArray:
		if n = a.value.scan(data, false); n > 0 {
			a.part, a.value = beforeArray, extent{}
		}
	}
	if n == 0 && err == nil && ended {
		err = errCutArray
	}
	return f, n, err
}

// arrayStart returns the size of {"Records":[ with the white space in it, and of a byte order mark before it. Zero: data
// does not have all of it.
func arrayStart(data []byte) (size int, err error) {
	mark := []byte("\ufeff")
	if len(data) < len(mark) && bytes.HasPrefix(mark, data) {
		return 0, nil
	}
	rest := bytes.TrimPrefix(data, mark)
	for _, token := range [...]string{"{", `"Records"`, ":", "["} {
		rest = rest[leadingSpace(rest):]
		if len(rest) < len(token) && bytes.HasPrefix([]byte(token), rest) {
			return 0, nil
		}
		if !bytes.HasPrefix(rest, []byte(token)) {
			return 0, errNoArray
		}
		rest = rest[len(token):]
	}
	return len(data) - len(rest), nil
}

// element finds the element that data begins with, or passes what stands between two.
func (a *arrayFramer) element(data []byte) (f frame, n int, err error) {
	if n := len(data) - len(bytes.TrimLeft(data, jsonSpace+",")); n > 0 || len(data) == 0 {
		return frame{}, n, nil
	}
	switch data[0] {
	case ']':
		a.part, a.value = behindArray, extent{depth: 1}
		return frame{}, len("]"), nil
	case '}':
		return frame{}, 0, errNoElement
	}
	n = a.value.scan(data, true)
	if n > 0 {
		a.value = extent{}
		a.records++
		f = frame{0, len(bytes.TrimRight(data[:n], jsonSpace)), a.records}
	}
	return f, n, nil
}

func (a *arrayFramer) place() (what string, number int) { return "record", a.records + 1 }

// extent finds where a JSON value ends, in one pass that goes on as more of it comes. It goes by brackets and strings
// alone, so that a value that is broken within ends where it would if it were not.
type extent struct {
	// pos is how much was seen.
	pos int
	// depth is how many brackets are open.
	depth int
	// text is where the string at hand begins, behind its quotation mark. Zero: there is none.
	text int
}

// scan returns the size of the value that data begins with: up to the bracket that closes it, or, for an element of an
// array, up to the comma or the bracket behind it. Zero: it does not end in data.
func (x *extent) scan(data []byte, element bool) (size int) {
	for x.pos < len(data) {
		if x.text > 0 {
			if !x.endText(data) {
				return 0
			}
			continue
		}
		switch data[x.pos] {
		case '"':
			x.text = x.pos + 1
		case '{', '[':
			x.depth++
		case ',':
			if x.depth == 0 && element {
				return x.pos
			}
		case '}', ']':
			if x.depth == 0 {
				return x.pos
			}
			x.depth--
			if x.depth == 0 && !element {
				return x.pos + 1
			}
		}
		x.pos++
	}
	return 0
}

// endText goes on behind the end of the string at hand, and says whether data has it.
func (x *extent) endText(data []byte) bool {
	x.pos = max(x.pos, x.text)
	for {
		i := bytes.IndexByte(data[x.pos:], '"')
		if i < 0 {
			x.pos = len(data)
			return false
		}
		quote := x.pos + i
		x.pos = quote + 1
		before := quote
		for before > x.text && data[before-1] == '\\' {
			before--
		}
		if (quote-before)%2 == 0 { // else it is escaped
			x.text = 0
			return true
		}
	}
}

// jsonSpace is the white space of RFC 8259, section 2.
const jsonSpace = " \t\r\n"

func leadingSpace(data []byte) (size int) {
	for size < len(data) && (data[size] == ' ' || data[size] == '\n' || data[size] == '\r' || data[size] == '\t') {
		size++
	}
	return size
}
