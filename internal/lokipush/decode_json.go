// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/awsloki/awsloki/internal/jsonscan"
)

// decodeJSON reads {"streams":[{"stream":{"name":"value"},"values":[["nanoseconds","line",{"name":"value"}]]}]}, as Loki
// does (pkg/loghttp/query.go): keys come in any order, those that are not known are ignored, and so is an entry that is
// null. It is stricter in that a request has streams and a stream has values, for what has others instead is of another
// form, as that of Loki before 1.0 (labels and entries), and would be lost; in that a value of a label is neither object
// nor array, an entry has a timestamp and a line, no key but the name of a label or of metadata comes twice, and nothing
// follows the request. It is more lenient in that a timestamp may be a number.
func (d *pushDecoder) decodeJSON(buf []byte) error {
	j := jsonDecoder{pushDecoder: d, buf: buf, s: jsonscan.New(buf)}
	j.onStream, j.onStreamField, j.onLabel = j.stream, j.streamField, j.label
	j.onEntry, j.onElement, j.onPair = j.jsonEntry, j.element, j.pair
	if err := j.s.Object(j.requestField); err != nil {
		return err
	}
	if !j.s.Done() {
		return j.s.Errorf("expected nothing after the request")
	}
	return j.present(j.hasStreams, keyStreams)
}

// Keys that must be there.
const keyStreams, keyValues = "streams", "values"

type jsonDecoder struct {
	*pushDecoder
	// buf is what s reads.
	buf []byte
	s   jsonscan.Scanner

	hasStreams bool
	// hasLabels and hasValues are of the stream at hand, and inLabels says that it is at its labels.
	hasLabels, hasValues, inLabels bool
	// elements is how many the entry at hand has so far.
	elements int
	// The callbacks of the scanner, made once and not for every stream and entry.
	onStreamField, onLabel, onPair func(key string) error
	onStream, onEntry, onElement   func() error
}

// once refuses a key that comes again.
func (j *jsonDecoder) once(seen *bool, key string) error {
	if *seen {
		return j.s.Errorf("a second %q", key)
	}
	*seen = true
	return nil
}

// present refuses an object, which ends here, that has not had a key.
func (j *jsonDecoder) present(seen bool, key string) error {
	if !seen {
		return j.s.Errorf("%q is missing", key)
	}
	return nil
}

func (j *jsonDecoder) requestField(key string) error {
	// Loki's decoder does not mind the case of this key.
	if !strings.EqualFold(key, keyStreams) {
		return j.s.Skip()
	}
	if err := j.once(&j.hasStreams, keyStreams); err != nil || j.s.Null() {
		return err
	}
	return j.s.Array(j.onStream)
}

func (j *jsonDecoder) stream() error {
	j.beginStream()
	j.hasLabels, j.hasValues, j.inLabels = false, false, false
	err := j.s.Object(j.onStreamField)
	if err == nil {
		err = j.present(j.hasValues, keyValues)
	}
	if err == nil {
		err = j.endStream()
	}
	switch {
	case err == nil:
		return nil
	case j.inLabels:
		return fmt.Errorf("couldn't parse labels of stream %d: %w", j.streams, err)
	default:
		return fmt.Errorf("stream %d: %w", j.streams, err)
	}
}

func (j *jsonDecoder) streamField(key string) error {
	switch key {
	case "stream":
		if err := j.once(&j.hasLabels, key); err != nil {
			return err
		}
		j.inLabels = true
		err := j.s.Object(j.onLabel)
		j.inLabels = err != nil
		return err
	case keyValues:
		if err := j.once(&j.hasValues, key); err != nil || j.s.Null() {
			return err
		}
		return j.s.Array(j.onEntry)
	default:
		return j.s.Skip()
	}
}

// label reads one label. Its name is as Loki writes it into the text that it then parses, without quotation marks.
func (j *jsonDecoder) label(name string) error {
	switch {
	case !isPlainName(name):
		return j.s.Errorf("before here is a name that is no label's: letters, digits and underscores, not a digit first")
	case len(j.labels) == maxStreamLabels:
		return j.s.Errorf("more than %d labels", maxStreamLabels)
	}
	if err := j.takeKey(name); err != nil {
		return err
	}
	value, err := j.labelValue()
	j.labels = append(j.labels, nameValue{name, value})
	return err
}

// labelValue reads the value of a label. Numbers, true, false and null are the text that stands for them, as in Loki
// (pkg/loghttp/labels.go LabelSet.UnmarshalJSON).
func (j *jsonDecoder) labelValue() (string, error) {
	switch j.s.Peek() {
	case '"':
		return j.s.Str()
	case '{', '[':
		return "", j.s.Errorf("expected a string, a number, true, false or null")
	}
	start := j.s.Offset()
	if err := j.s.Skip(); err != nil {
		return "", err
	}
	literal := j.buf[start:j.s.Offset()]
	if !json.Valid(literal) {
		return "", j.s.Errorf("before here is a malformed number")
	}
	return jsonscan.Alias(literal), nil
}

// isPlainName says whether Prometheus takes a name of a label without quotation marks.
func isPlainName(name string) bool {
	for i := range len(name) {
		if !isNameByte(name[i]) {
			return false
		}
	}
	return name != "" && !isDigit(name[0])
}

// takeKey asks for the memory of a key, which the scanner may have copied.
func (j *jsonDecoder) takeKey(key string) error { return j.memory.Take(int64(len(key))) }

func (j *jsonDecoder) jsonEntry() error {
	if j.s.Null() {
		return nil
	}
	err := j.beginEntry()
	if err == nil {
		j.elements = 0
		err = j.s.Array(j.onElement)
	}
	switch {
	case err != nil:
	case j.elements == 0:
		err = j.s.Errorf("the timestamp is missing")
	case j.elements == 1:
		err = j.s.Errorf("the line is missing")
	default:
		err = j.endEntry()
	}
	if err != nil {
		return fmt.Errorf("entry %d: %w", j.entries, err)
	}
	return nil
}

// element reads one element of an entry. Those after the third are ignored, as by Loki.
func (j *jsonDecoder) element() (err error) {
	j.elements++
	switch j.elements {
	case 1:
		err = j.timestamp()
	case 2:
		j.entry.line, err = j.s.Str()
	case 3:
		err = j.s.Object(j.onPair)
	default:
		err = j.s.Skip()
	}
	return err
}

// timestamp reads nanoseconds since 1970. Those before are left at zero, for OTLP has no form for them.
func (j *jsonDecoder) timestamp() error {
	nanos, err := j.nanoseconds()
	if err == nil && nanos > 0 {
		j.entry.timestamp = pcommon.Timestamp(nanos)
	}
	return err
}

// maxTimestampLen is the length of the least number of 64 bits.
const maxTimestampLen = len("-9223372036854775808")

var errBadTimestamp = errors.New("before here is a timestamp that is no whole number of 64 bits")

func (j *jsonDecoder) nanoseconds() (int64, error) {
	if j.s.Peek() != '"' {
		return j.s.Integer()
	}
	digits, err := j.s.Str()
	if err != nil {
		return 0, err
	}
	if len(digits) > maxTimestampLen || strings.HasPrefix(digits, "+") {
		return 0, j.s.Errorf("%w", errBadTimestamp)
	}
	nanos, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, j.s.Errorf("%w", errBadTimestamp) // err would quote it
	}
	return nanos, nil
}

func (j *jsonDecoder) pair(name string) error {
	if err := j.takeKey(name); err != nil {
		return err
	}
	value, err := j.s.Str()
	if err != nil {
		return err
	}
	if err := j.entry.addMetadata(name, value); err != nil {
		return j.s.Errorf("%w", err)
	}
	return nil
}
