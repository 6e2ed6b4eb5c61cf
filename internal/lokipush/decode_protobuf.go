// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"errors"
	"fmt"
	"math"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/awsloki/awsloki/internal/jsonscan"
)

// Numbers of the fields of push.proto that are read. All others are passed over: the format of a request, the hash of a
// stream and the parsed labels of an entry, which Loki fills itself, and what is not known.
const (
	// PushRequest
	numberStreams = 1
	// StreamAdapter
	numberLabels, numberEntries = 1, 2
	// EntryAdapter
	numberTimestamp, numberLine, numberMetadata = 1, 2, 3
	// Timestamp
	numberSeconds, numberNanos = 1, 2
	// LabelPairAdapter
	numberName, numberValue = 1, 2
)

// decodeProtobuf reads a PushRequest. Fields may come in any order; of one that comes again, though it is none of many,
// the last counts.
func (d *pushDecoder) decodeProtobuf(buf []byte) error {
	request := protoMessage{buf: buf, end: len(buf)}
	for request.next() {
		switch request.number {
		case numberStreams:
			if err := d.protoStream(request.message()); err != nil {
				return err
			}
		default:
			request.skip()
		}
	}
	return request.err
}

func (d *pushDecoder) protoStream(m protoMessage) error {
	d.beginStream()
	var labels []byte
	for m.next() {
		switch m.number {
		case numberLabels:
			labels = m.bytes()
		case numberEntries:
			if err := d.protoEntry(m.message()); err != nil {
				return fmt.Errorf("stream %d: entry %d: %w", d.streams, d.entries, err)
			}
		default:
			m.skip()
		}
	}
	if m.err != nil {
		return fmt.Errorf("stream %d: %w", d.streams, m.err)
	}
	var err error
	if d.labels, err = parseLabels(labels, d.labels); err != nil {
		return fmt.Errorf("couldn't parse labels of stream %d: %w", d.streams, err)
	}
	return d.endStream()
}

func (d *pushDecoder) protoEntry(m protoMessage) error {
	if err := d.beginEntry(); err != nil {
		return err
	}
	var timestamp protoTimestamp
	for m.next() {
		var err error
		switch m.number {
		case numberTimestamp:
			err = timestamp.merge(m.message())
		case numberLine:
			d.entry.line = jsonscan.Alias(m.bytes())
		case numberMetadata:
			err = d.entry.protoMetadata(m.message())
		default:
			m.skip()
		}
		if err != nil {
			return err
		}
	}
	if m.err != nil {
		return m.err
	}
	var err error
	if d.entry.timestamp, err = timestamp.nanoseconds(); err != nil {
		return err
	}
	return d.endEntry()
}

func (e *pushEntry) protoMetadata(m protoMessage) error {
	var name, value []byte
	for m.next() {
		switch m.number {
		case numberName:
			name = m.bytes()
		case numberValue:
			value = m.bytes()
		default:
			m.skip()
		}
	}
	if m.err != nil {
		return m.err
	}
	return e.addMetadata(jsonscan.Alias(name), jsonscan.Alias(value))
}

// protoTimestamp is a google.protobuf.Timestamp.
type protoTimestamp struct {
	seconds int64
	nanos   int32
}

// Seconds at which the first second begins that protobuf has, that of the year 1, and the first that it has not, that of
// the year 10000.
const (
	minSeconds = -62135596800
	endSeconds = 253402300800
)

// merge takes the fields that m has. A message that comes again is merged with what came before.
// https://protobuf.dev/programming-guides/encoding/#last-one-wins
func (t *protoTimestamp) merge(m protoMessage) error {
	for m.next() {
		switch m.number {
		case numberSeconds:
			t.seconds = int64(m.varint())
		case numberNanos:
			t.nanos = int32(m.varint())
		default:
			m.skip()
		}
	}
	return m.err
}

// nanoseconds returns the time, or zero where OTLP has no form for it. What protobuf has no form for is an error, as it is
// to Loki (pkg/push/timestamp.go validateTimestamp).
func (t protoTimestamp) nanoseconds() (pcommon.Timestamp, error) {
	switch {
	case t.seconds < minSeconds || t.seconds >= endSeconds:
		return 0, errors.New("timestamp: seconds out of range")
	case t.nanos < 0 || t.nanos >= int32(time.Second):
		return 0, errors.New("timestamp: nanos out of range")
	case t.seconds < 0 || t.seconds >= math.MaxInt64/int64(time.Second):
		return 0, nil
	}
	return pcommon.Timestamp(t.seconds*int64(time.Second) + int64(t.nanos)), nil
}

// protoMessage walks the fields of a message, which is the part of buf from pos to end: each must be taken by message,
// bytes, varint or skip after next. The first error ends it, and stays.
type protoMessage struct {
	buf      []byte
	pos, end int
	err      error
	// The field at hand.
	number protowire.Number
	typ    protowire.Type
}

// fail says where the message went wrong. It takes no part of it: that may be somebody's log line.
func (m *protoMessage) fail(err error) { m.err = fmt.Errorf("offset %d: %w", m.pos, err) }

// next reads the tag of a field, and says whether there was one.
func (m *protoMessage) next() bool {
	if m.err != nil || m.pos == m.end {
		return false
	}
	number, typ, n := protowire.ConsumeTag(m.buf[m.pos:m.end])
	if !m.pass(n) {
		return false
	}
	m.number, m.typ = number, typ
	return true
}

// pass passes over n bytes. Negative: it is what protowire says that is wrong.
func (m *protoMessage) pass(n int) bool {
	if n < 0 {
		m.fail(protowire.ParseError(n))
		return false
	}
	m.pos += n
	return true
}

func (m *protoMessage) is(typ protowire.Type) bool {
	if m.err == nil && m.typ != typ {
		m.fail(fmt.Errorf("field %d has wire type %d, expected %d", m.number, m.typ, typ))
	}
	return m.err == nil
}

// message reads a field that holds a message, which is empty after an error.
func (m *protoMessage) message() protoMessage {
	n := len(m.bytes())
	return protoMessage{buf: m.buf, pos: m.pos - n, end: m.pos}
}

// bytes reads a field that holds a string or a message. It aliases the buffer.
func (m *protoMessage) bytes() []byte {
	if !m.is(protowire.BytesType) {
		return nil
	}
	content, n := protowire.ConsumeBytes(m.buf[m.pos:m.end])
	m.pass(n)
	return content
}

func (m *protoMessage) varint() uint64 {
	if !m.is(protowire.VarintType) {
		return 0
	}
	v, n := protowire.ConsumeVarint(m.buf[m.pos:m.end])
	m.pass(n)
	return v
}

// skip passes over a field, whatever it is.
func (m *protoMessage) skip() {
	m.pass(protowire.ConsumeFieldValue(m.number, m.typ, m.buf[m.pos:m.end]))
}
