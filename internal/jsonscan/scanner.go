// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package jsonscan walks JSON (RFC 8259) from front to back in one pass and builds no tree, so that its memory does not
// depend on what the input holds.
package jsonscan

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

var errCutShort = errors.New("cut short")

// Scanner reads one buffer. It is strict about the structure of what it reads, and lenient about what it passes over and
// about characters within strings: those it hands on as they are.
//
// Strings are not copied: they are unescaped in place and alias the buffer. Whoever scans a buffer gives it away, unless
// only Key, Raw and Skip are used, which leave it as it is.
type Scanner struct {
	buf []byte
	pos int
	// mark and edits are those of Mark and Edits.
	mark  int
	edits uint64
}

// New returns a scanner at the start of buf.
func New(buf []byte) Scanner { return Scanner{buf: buf} }

// Offset is how many bytes of the buffer were read.
func (s *Scanner) Offset() int { return s.pos }

// Mark begins another part of the buffer, for Edits.
func (s *Scanner) Mark() { s.mark, s.edits = s.pos, 0 }

// Edits is a checksum of what unescaping has changed since Mark: where, and to how many bytes. Two parts with the same
// bytes after that, and the same edits, had the same strings in them.
func (s *Scanner) Edits() uint64 { return s.edits }

// Done says whether only white space is left.
func (s *Scanner) Done() bool { return s.Peek() == 0 && s.pos == len(s.buf) }

// Errorf says where the scanner stands. It takes no part of the input: that may be somebody's log line.
func (s *Scanner) Errorf(format string, args ...any) error {
	return fmt.Errorf("offset %d: %w", s.pos, fmt.Errorf(format, args...))
}

// expected says what should have come, or that the input ends here.
func (s *Scanner) expected(what string) error {
	if s.pos >= len(s.buf) {
		return s.Errorf("%w, expected %s", errCutShort, what)
	}
	return s.Errorf("expected %s", what)
}

// Peek returns the next byte that is no white space, and 0 at the end.
func (s *Scanner) Peek() byte {
	for ; s.pos < len(s.buf); s.pos++ {
		switch c := s.buf[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// Object calls field with each key of the object that comes next; field reads the value.
func (s *Scanner) Object(field func(key string) error) error {
	if s.Peek() != '{' {
		return s.expected("an object")
	}
	s.pos++
	if s.Peek() == '}' {
		s.pos++
		return nil
	}
	for {
		key, err := s.Key()
		if err != nil {
			return err
		}
		if s.Peek() != ':' {
			return s.expected("a colon")
		}
		s.pos++
		if err := field(key); err != nil {
			return err
		}
		if done, err := s.next('}'); done || err != nil {
			return err
		}
	}
}

// Key reads a string and leaves the buffer as it is.
func (s *Scanner) Key() (string, error) {
	raw, escaped, err := s.Raw()
	if err != nil || !escaped {
		return Alias(raw), err
	}
	copied := New(bytes.Clone(raw))
	key, err := copied.unescape(0, len(raw))
	if err != nil {
		return "", s.Errorf("a key ends here that has a bad escape sequence")
	}
	return Alias(key), nil
}

// Array calls element before each element of the array that comes next; element reads it.
func (s *Scanner) Array(element func() error) error {
	if s.Peek() != '[' {
		return s.expected("an array")
	}
	s.pos++
	if s.Peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if done, err := s.next(']'); done || err != nil {
			return err
		}
	}
}

// next passes the comma before another element, or the bracket that ends them.
func (s *Scanner) next(closing byte) (done bool, err error) {
	switch s.Peek() {
	case ',':
		s.pos++
		return false, nil
	case closing:
		s.pos++
		return true, nil
	default:
		return false, s.expected("a comma or " + strconv.QuoteRune(rune(closing)))
	}
}

// Null passes over null, and says whether it stood there.
func (s *Scanner) Null() bool {
	if s.Peek() == 'n' && bytes.HasPrefix(s.buf[s.pos:], []byte("null")) {
		s.pos += len("null")
		return true
	}
	return false
}

// OptionalStr reads a string, or null as the empty one.
func (s *Scanner) OptionalStr() (string, error) {
	if s.Null() {
		return "", nil
	}
	return s.Str()
}

// Str reads a string. It aliases the buffer.
func (s *Scanner) Str() (string, error) {
	b, err := s.Bytes()
	return Alias(b), err
}

// Bytes reads a string, as the part of the buffer that it aliases.
func (s *Scanner) Bytes() ([]byte, error) {
	raw, escaped, err := s.Raw()
	if err != nil || !escaped {
		return raw, err
	}
	end := s.pos - len(`"`)
	return s.unescape(end-len(raw), end)
}

// editFactor is a large odd number, so that the order of edits counts.
const editFactor = 0x9e3779b97f4a7c15

// unescape returns the string that stands between start and end with escape sequences. It grows no longer without
// them, so that it is written where it stands.
func (s *Scanner) unescape(start, end int) ([]byte, error) {
	write := start
	for read := start; ; {
		escape := bytes.IndexByte(s.buf[read:end], '\\')
		if escape < 0 {
			write += copy(s.buf[write:], s.buf[read:end])
			s.edits = (s.edits^uint64(start-s.mark))*editFactor + uint64(write-start)
			return s.buf[start:write], nil
		}
		write += copy(s.buf[write:], s.buf[read:read+escape])
		read += escape
		n, size, err := s.appendEscaped(write, read)
		if err != nil {
			return nil, err
		}
		write += n
		read += size
	}
}

// appendEscaped writes what the escape sequence at read stands for to write. It returns how many bytes it wrote and
// how many the sequence has.
func (s *Scanner) appendEscaped(write, read int) (n, size int, err error) {
	c := s.buf[read+1] // raw has seen that there is one
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, size, err := s.escapedRune(read)
		if err != nil {
			return 0, 0, err
		}
		return utf8.EncodeRune(s.buf[write:write+utf8.UTFMax], r), size, nil
	default:
		s.pos = read
		return 0, 0, s.Errorf("unknown escape sequence")
	}
	s.buf[write] = c
	return 1, 2, nil
}

// escapedRune reads \uXXXX at pos, or two of them that are one surrogate pair. Half a pair becomes the replacement
// character, as in encoding/json.
func (s *Scanner) escapedRune(pos int) (r rune, size int, err error) {
	const escapeLen = len(`\uXXXX`)
	first, ok := hex4(s.buf, pos)
	if !ok {
		s.pos = pos
		return 0, 0, s.Errorf("bad \\u escape sequence")
	}
	if !utf16.IsSurrogate(first) {
		return first, escapeLen, nil
	}
	if second, ok := hex4(s.buf, pos+escapeLen); ok {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return r, 2 * escapeLen, nil
		}
	}
	return utf8.RuneError, escapeLen, nil
}

// hex4 reads \uXXXX at pos.
func hex4(buf []byte, pos int) (rune, bool) {
	if pos+6 > len(buf) || buf[pos] != '\\' || buf[pos+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range buf[pos+2 : pos+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// Integer reads a number that has neither fraction nor exponent and is not negative.
func (s *Scanner) Integer() (int64, error) {
	if c := s.Peek(); c < '0' || '9' < c {
		return 0, s.expected("a whole number")
	}
	var v int64
	for ; s.pos < len(s.buf); s.pos++ {
		c := s.buf[s.pos]
		if c < '0' || '9' < c {
			break
		}
		if v > (math.MaxInt64-9)/10 {
			return 0, s.Errorf("number out of range")
		}
		v = v*10 + int64(c-'0')
	}
	if s.pos < len(s.buf) && (s.buf[s.pos] == '.' || s.buf[s.pos]|0x20 == 'e') {
		return 0, s.Errorf("expected a whole number")
	}
	return v, nil
}

// Skip passes over the value that comes next, whatever it is. Of an object or an array it only looks for the end.
func (s *Scanner) Skip() error {
	switch c := s.Peek(); {
	case c == '"':
		_, _, err := s.Raw()
		return err
	case c == '{', c == '[':
		var value Extent
		size := value.Value(s.buf[s.pos:])
		if size == 0 {
			s.pos = len(s.buf)
			return s.expected("the end of an object or an array")
		}
		s.pos += size
		return nil
	case c == '-' || '0' <= c && c <= '9':
		for s.pos < len(s.buf) && bytes.IndexByte([]byte("+-.0123456789Ee"), s.buf[s.pos]) >= 0 {
			s.pos++
		}
		return nil
	}
	for _, literal := range [...]string{"null", "true", "false"} {
		if bytes.HasPrefix(s.buf[s.pos:], []byte(literal)) {
			s.pos += len(literal)
			return nil
		}
	}
	return s.expected("a value")
}

// Raw reads a string and returns it as it stands between its quotation marks, and whether it has escape sequences.
func (s *Scanner) Raw() (raw []byte, escaped bool, err error) {
	if s.Peek() != '"' {
		return nil, false, s.expected("a string")
	}
	start := s.pos + 1
	for pos, quote := start, start-1; ; {
		// Only a quotation mark that turned out to be escaped is followed by a search for the next one.
		if quote < pos {
			next := bytes.IndexByte(s.buf[pos:], '"')
			if next < 0 {
				s.pos = len(s.buf)
				return nil, false, s.Errorf("%w in a string", errCutShort)
			}
			quote = pos + next
		}
		escape := bytes.IndexByte(s.buf[pos:quote], '\\')
		if escape < 0 {
			s.pos = quote + 1
			return s.buf[start:quote], pos > start, nil
		}
		pos += escape + len(`\"`)
	}
}

// Alias is b as a string, without a copy: b must not be written to any more.
func Alias(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // it is what this function is for
}
