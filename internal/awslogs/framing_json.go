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
// after another, with a newline behind each if it is told to, and else without. No object goes on behind a newline, so that
// a broken one takes no other with it. Blank lines are no records.
type documentFramer struct {
	// blank is how much white space there is known to be before the record at hand.
	blank int
	// line is the size of the line at hand with its newline, zero as long as that is not known, and searched is how much
	// has no newline.
	line, searched int
	// object is what the line at hand begins with. Its end, and the end of the white space behind that, are zero as long
	// as they are not known.
	object          jsonscan.Extent
	closed, goingOn int
	// records is how many there were.
	records int
}

func (d *documentFramer) next(data []byte, ended bool) (f frame, n int, err error) {
	if n := d.passBlank(data, ended); n > 0 {
		return frame{}, n, nil
	}
	if d.blank >= len(data) {
		return frame{}, 0, nil
	}
	line, whole := d.findLine(data, ended)
	if data[d.blank] == '{' && d.findObject(line) {
		switch {
		case d.goingOn == len(line) && !whole:
			return frame{}, 0, nil
		case d.goingOn == len(line) || line[d.goingOn] == '{':
			return d.take(d.blank, d.closed, d.closed)
		}
	}
	if !whole {
		return frame{}, 0, nil
	}
	return d.take(0, textSize(line), len(line))
}

// passBlank returns the size of the blank lines that data begins with, or of all of it if it is blank to its end. White
// space before a record is left to it, which may be a line.
func (d *documentFramer) passBlank(data []byte, ended bool) (n int) {
	if d.blank > len(data) {
		return 0
	}
	known := d.blank
	d.blank += leadingSpace(data[known:])
	n = bytes.LastIndexByte(data[known:d.blank], '\n') + 1
	switch {
	case n > 0:
		n += known
	case d.blank == len(data) && ended:
		n = len(data)
	default:
		return 0
	}
	blank := d.blank - n
	d.pass(n)
	d.blank = blank
	return n
}

// findObject says whether the object ends in line. There may be nothing to know of what is behind it yet.
func (d *documentFramer) findObject(line []byte) bool {
	if d.closed == 0 {
		size := d.object.Value(line[d.blank:])
		if size == 0 {
			return false
		}
		d.closed = d.blank + size
		d.goingOn = d.closed
	}
	if d.goingOn < len(line) {
		d.goingOn += leadingSpace(line[d.goingOn:])
	}
	return d.goingOn <= len(line)
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
	d.object, d.closed, d.goingOn, d.blank = jsonscan.Extent{}, 0, 0, 0
}

func (d *documentFramer) place() (what string, number int) { return "record", d.records + 1 }

// arrayFramer takes for records the elements of the array in {"Records":[...]}, of which there may be several one after
// another. What else there is behind them is taken as documentFramer does. Other members beside the array, of which
// CloudTrail has none, are passed over.
type arrayFramer struct {
	part arrayPart
	// rest takes what is behind the last array. Nil: that is not known yet.
	rest *documentFramer
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
	errNoElement = fmt.Errorf("%w: expected a record or the end of the array", decompress.ErrCorrupt)
	errCutArray  = fmt.Errorf("%w: the array of records is cut short", decompress.ErrCorrupt)
)

func (a *arrayFramer) next(data []byte, ended bool) (f frame, n int, err error) {
	if a.rest != nil {
		return a.rest.next(data, ended)
	}
	switch a.part {
	case beforeArray:
		if n = leadingSpace(data); n > 0 || len(data) == 0 {
			return frame{}, n, nil
		}
		n, ok := arrayStart(data)
		if !ok {
			a.rest = &documentFramer{records: a.records}
			return a.rest.next(data, ended)
		}
		if n > 0 {
			a.part = inArray
			return frame{}, n, nil
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

// arrayStart returns the size of {"Records":[ with the white space in it, of which there may not be too much. Zero: data
// does not have all of it. It is not ok if data begins otherwise.
func arrayStart(data []byte) (size int, ok bool) {
	rest := data
	for _, token := range [...]string{"{", `"Records"`, ":", "["} {
		rest = rest[leadingSpace(rest):]
		if len(rest) < len(token) && bytes.HasPrefix([]byte(token), rest) && len(data) < headBytes {
			return 0, true
		}
		if !bytes.HasPrefix(rest, []byte(token)) {
			return 0, false
		}
		rest = rest[len(token):]
	}
	return len(data) - len(rest), true
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

func (a *arrayFramer) place() (what string, number int) {
	if a.rest != nil {
		return a.rest.place()
	}
	return "record", a.records + 1
}

// jsonSpace is the white space of RFC 8259, section 2.
const jsonSpace = " \t\r\n"

func leadingSpace(data []byte) (size int) {
	for size < len(data) && (data[size] == ' ' || data[size] == '\n' || data[size] == '\r' || data[size] == '\t') {
		size++
	}
	return size
}
