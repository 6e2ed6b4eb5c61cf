// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/awsloki/awsloki/internal/jsonscan"
)

// maxStreamLabels bounds the labels of one stream, each of which becomes an attribute, for which those before it are
// looked through (maxEntryMetadata). Loki takes 15 as it is delivered, and more only where an operator says so
// (pkg/validation/limits.go, max_label_names_per_series).
const maxStreamLabels = 128

// metricNameLabel is the label that Prometheus makes of the name of a metric.
const metricNameLabel = "__name__"

// nameValue is a label of a stream, or a pair of structured metadata.
type nameValue struct{ name, value string }

// parseLabels overwrites labels with those that text has in the syntax of Prometheus, in their order: also several of
// one name, and those whose value is empty.
//
// It takes what Loki takes (pkg/logql/syntax/parser.go ParseLabels), which is what Prometheus reads as the name of a
// series: the empty string, names in quotation marks, the name of a metric as the label __name__, and comments. It is
// more lenient in that the replacement character may stand in a value, and a keyword for a metric. It is stricter in that
// a label must have a name: Loki takes one without for a duplicate, and refuses the stream.
//
// Escape sequences are undone in place, so that text is given away and the labels alias it. Errors take no part of it.
func parseLabels(text []byte, labels []nameValue) ([]nameValue, error) {
	s := labelScanner{buf: text, labels: labels[:0]}
	metric := s.metricName()
	err := s.labelSet()
	if err == nil && metric != "" {
		err = s.add(metricNameLabel, metric)
	}
	if err == nil && !s.done() {
		err = s.errorf("expected nothing after the labels")
	}
	return s.labels, err
}

// labelScanner reads one buffer from front to back.
type labelScanner struct {
	buf    []byte
	pos    int
	labels []nameValue
}

func (s *labelScanner) errorf(format string, args ...any) error {
	return fmt.Errorf("offset %d: %w", s.pos, fmt.Errorf(format, args...))
}

// done passes over white space and comments, and says whether nothing else is left.
func (s *labelScanner) done() bool {
	for ; s.pos < len(s.buf); s.pos++ {
		switch s.buf[s.pos] {
		case ' ', '\t', '\n', '\r':
		case '#':
			end := bytes.IndexAny(s.buf[s.pos:], "\r\n")
			if end < 0 {
				s.pos = len(s.buf)
				return true
			}
			s.pos += end
		default:
			return false
		}
	}
	return true
}

// at says whether c comes next.
func (s *labelScanner) at(c byte) bool { return !s.done() && s.buf[s.pos] == c }

// take passes over c, and says whether it stood there.
func (s *labelScanner) take(c byte) bool {
	if !s.at(c) {
		return false
	}
	s.pos++
	return true
}

func (s *labelScanner) add(name, value string) error {
	switch {
	case name == "":
		return s.errorf("a label without a name")
	case len(s.labels) == maxStreamLabels:
		return s.errorf("more than %d labels", maxStreamLabels)
	}
	s.labels = append(s.labels, nameValue{name, value})
	return nil
}

// metricName reads the name of a metric, which is empty if there is none. Other than that of a label it may have colons.
func (s *labelScanner) metricName() string {
	if s.done() || isDigit(s.buf[s.pos]) {
		return ""
	}
	return s.name(func(c byte) bool { return c == ':' || isNameByte(c) })
}

func (s *labelScanner) name(has func(c byte) bool) string {
	start := s.pos
	for s.pos < len(s.buf) && has(s.buf[s.pos]) {
		s.pos++
	}
	return jsonscan.Alias(s.buf[start:s.pos])
}

func (s *labelScanner) labelSet() error {
	if s.done() {
		return nil
	}
	if !s.take('{') {
		return s.errorf("expected '{'")
	}
	for !s.take('}') {
		if err := s.label(); err != nil {
			return err
		}
		if !s.take(',') && !s.at('}') {
			return s.errorf("expected ',' or '}'")
		}
	}
	return nil
}

func (s *labelScanner) label() error {
	name, quoted, err := s.labelName()
	if err != nil {
		return err
	}
	if !s.take('=') {
		if quoted {
			return s.add(metricNameLabel, name) // a string by itself is the name of a metric
		}
		return s.errorf("expected '='")
	}
	value, err := s.quoted()
	if err != nil {
		return err
	}
	return s.add(name, value)
}

func (s *labelScanner) labelName() (name string, quoted bool, err error) {
	switch {
	case s.done():
		return "", false, s.errorf("cut short, expected a label")
	case s.atQuote():
		name, err = s.quoted()
		return name, true, err
	case isDigit(s.buf[s.pos]) || !isNameByte(s.buf[s.pos]):
		return "", false, s.errorf("expected a label")
	}
	return s.name(isNameByte), false, nil
}

func (s *labelScanner) atQuote() bool { return s.at('"') || s.at('\'') || s.at('`') }

// quoted reads a string. Between backquotes nothing is escaped (promql/parser/lex.go).
func (s *labelScanner) quoted() (string, error) {
	if !s.atQuote() {
		return "", s.errorf("expected a string")
	}
	quote, start := s.buf[s.pos], s.pos+1
	end, escaped := closingQuote(s.buf, start, quote)
	if end < 0 {
		return "", s.errorf("a string begins here that does not end")
	}
	raw := s.buf[start:end]
	if !utf8.Valid(raw) {
		return "", s.errorf("a string begins here that is not UTF-8")
	}
	if escaped {
		var ok bool
		if raw, ok = unescape(raw, quote); !ok {
			return "", s.errorf("a string begins here that has a bad escape sequence")
		}
	}
	s.pos = end + 1
	return jsonscan.Alias(raw), nil
}

// closingQuote returns where the string ends that begins at start, and whether it has escape sequences. Negative: it does
// not end, or not on its line.
func closingQuote(buf []byte, start int, quote byte) (end int, escaped bool) {
	if quote == '`' {
		if n := bytes.IndexByte(buf[start:], quote); n >= 0 {
			return start + n, false
		}
		return -1, false
	}
	for end = start; end < len(buf); end++ {
		switch buf[end] {
		case quote:
			return end, escaped
		case '\n':
			return -1, false
		case '\\':
			escaped = true
			end++
		}
	}
	return -1, false
}

// unescape undoes the escape sequences of a string, which are those of Go (util/strutil/quote.go). It grows no longer
// without them, so that it is written where it stands.
func unescape(raw []byte, quote byte) (unescaped []byte, ok bool) {
	write := 0
	for read := 0; ; {
		escape := bytes.IndexByte(raw[read:], '\\')
		if escape < 0 {
			write += copy(raw[write:], raw[read:])
			return raw[:write], true
		}
		write += copy(raw[write:], raw[read:read+escape])
		read += escape
		c, multibyte, tail, err := strconv.UnquoteChar(jsonscan.Alias(raw[read:]), quote)
		if err != nil {
			return nil, false
		}
		read = len(raw) - len(tail)
		if multibyte {
			write += utf8.EncodeRune(raw[write:], c)
		} else {
			raw[write] = byte(c)
			write++
		}
	}
}
