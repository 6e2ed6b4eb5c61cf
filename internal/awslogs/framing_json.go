// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"fmt"

	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/jsonscan"
)

// documentFramer takes each line for a record, or each of the JSON objects that it is made of: Firehose writes records one
// after another, with what delimits them or without. No object goes on behind a newline, so that a broken one takes no
// other with it. Blank lines are no records.
type documentFramer struct {
	// line is the size of the line at hand with its newline, zero as long as that is not known, and searched is how much
	// has no newline.
	line, searched int
	// object is what the line at hand begins with, and closed is where it ends. Zero: not known yet.
	object jsonscan.Extent
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
			d.closed = start + d.object.Value(line[start:])
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
	d.object, d.closed = jsonscan.Extent{}, 0
}

func (d *documentFramer) place() (what string, number int) { return "record", d.records + 1 }

// arrayFramer takes for records the elements of the array in {"Records":[...]}, of which there may be several one after
// another.
type arrayFramer struct {
	part arrayPart
	// value is the element at hand, or what is behind the array.
	value jsonscan.Extent
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
		if n = a.value.Value(data); n > 0 {
			a.part, a.value = beforeArray, jsonscan.Extent{}
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
		a.part, a.value = behindArray, jsonscan.Extent{Depth: 1}
		return frame{}, len("]"), nil
	case '}':
		return frame{}, 0, errNoElement
	}
	n = a.value.Element(data)
	if n > 0 {
		a.value = jsonscan.Extent{}
		a.records++
		f = frame{0, len(bytes.TrimRight(data[:n], jsonSpace)), a.records}
	}
	return f, n, nil
}

func (a *arrayFramer) place() (what string, number int) { return "record", a.records + 1 }

// jsonSpace is the white space of RFC 8259, section 2.
const jsonSpace = " \t\r\n"

func leadingSpace(data []byte) (size int) {
	for size < len(data) && (data[size] == ' ' || data[size] == '\n' || data[size] == '\r' || data[size] == '\t') {
		size++
	}
	return size
}
