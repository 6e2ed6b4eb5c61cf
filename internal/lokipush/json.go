// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// AppendJSON appends the batch as the JSON form of a push request: the streams and entries of AppendRequest, in the same
// order. Of several pairs of structured metadata with one name it has the last, which is the one that Loki takes.
//
// JSON is text: each byte that is not UTF-8 becomes a question mark, so that a line does not grow beyond Loki's limit.
// What cannot be read, since the queue on disk was damaged, is left out.
func (b *Batch) AppendJSON(dst []byte) []byte {
	// JSON takes somewhat more than protobuf.
	w := jsonWriter{dst: append(slices.Grow(dst, b.Size()), `{"streams":[`...)}
	for i := range b.streams {
		w.comma()
		w.stream(&b.streams[i])
	}
	return append(w.dst, "]}"...)
}

// jsonWriter appends JSON to dst. What it makes of pairs is written with the next object.
type jsonWriter struct {
	dst   []byte
	pairs []pair
}

type pair struct{ name, value []byte }

// comma separates an element from the one before, if there is one. A string ends with a quote, so that the last byte
// tells.
func (w *jsonWriter) comma() {
	if last := w.dst[len(w.dst)-1]; last != '[' && last != '{' {
		w.dst = append(w.dst, ',')
	}
}

func (w *jsonWriter) stream(s *stream) {
	w.dst = append(w.dst, `{"stream":`...)
	w.readLabels(s.labels)
	w.object()
	w.dst = append(w.dst, `,"values":[`...)
	for e := range s.inOrder() {
		w.comma()
		w.entry(e)
	}
	w.dst = append(w.dst, "]}"...)
}

func (w *jsonWriter) entry(e entry) {
	line, metadata := e.parts()
	w.dst = append(w.dst, `["`...)
	w.dst = strconv.AppendInt(w.dst, e.nanos, 10)
	w.dst = append(w.dst, `",`...)
	w.dst = appendJSONString(w.dst, line)
	if w.readMetadata(metadata); len(w.pairs) > 0 {
		w.comma()
		w.object()
	}
	w.dst = append(w.dst, ']')
}

// object writes the pairs, sorted by name, and of those with one name the last.
func (w *jsonWriter) object() {
	slices.SortStableFunc(w.pairs, func(a, b pair) int { return bytes.Compare(a.name, b.name) })
	w.dst = append(w.dst, '{')
	for i, p := range w.pairs {
		if i+1 < len(w.pairs) && bytes.Equal(p.name, w.pairs[i+1].name) {
			continue
		}
		w.comma()
		w.dst = appendJSONString(w.dst, p.name)
		w.dst = append(w.dst, ':')
		w.dst = appendJSONString(w.dst, p.value)
	}
	w.dst = append(w.dst, '}')
}

// readLabels takes the labels of a stream for the next object, up to what is not in the syntax of Prometheus.
func (w *jsonWriter) readLabels(labels string) {
	w.pairs = w.pairs[:0]
	rest, more := strings.CutPrefix(labels, "{")
	for more {
		name, quoted, _ := strings.Cut(rest, "=")
		quoted, err := strconv.QuotedPrefix(quoted)
		if err != nil {
			return
		}
		// It is quoted: there is no other error.
		value, _ := strconv.Unquote(quoted)
		w.add([]byte(name), []byte(strings.ToValidUTF8(value, "?")))
		rest, more = strings.CutPrefix(rest[len(name)+len("=")+len(quoted):], ", ")
	}
}

// readMetadata takes structured metadata for the next object, up to what is not a pair.
func (w *jsonWriter) readMetadata(metadata []byte) {
	w.pairs = w.pairs[:0]
	for name, value := range eachPair(metadata) {
		w.add(name, value)
	}
}

// add makes the name what it will be as JSON, so that names are compared as they are written.
func (w *jsonWriter) add(name, value []byte) {
	w.pairs = append(w.pairs, pair{validBytes(name), value})
}

// validBytes replaces each byte that is not UTF-8 by a question mark.
func validBytes(s []byte) []byte {
	if utf8.Valid(s) {
		return s
	}
	valid := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		if r == utf8.RuneError && size == 1 {
			valid = append(valid, replacement...)
		} else {
			valid = append(valid, s[:size]...)
		}
		s = s[size:]
	}
	return valid
}

// parts returns an entry's line and the fields of its structured metadata, as far as they can be read. Both alias the
// entry.
func (e entry) parts() (line, metadata []byte) {
	content, _, err := consumeField(e.field, tagEntry)
	if err != nil {
		return nil, nil
	}
	_, size, err := consumeField(content, tagTimestamp)
	if err != nil {
		return nil, nil
	}
	line, n, err := consumeField(content[size:], tagLine)
	if err != nil {
		return nil, nil
	}
	return line, content[size+n:]
}

// appendJSONString appends s as a string of JSON. Each byte that is not UTF-8 becomes a question mark.
func appendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(s[i:])
		}
		if needsEscape(r, size) {
			dst = append(dst, s[start:i]...)
			dst = appendEscaped(dst, r)
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// needsEscape says of a character that takes size bytes whether JSON has it in another form than its own.
func needsEscape(r rune, size int) bool {
	return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError && size == 1
}

func appendEscaped(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	case utf8.RuneError:
		return append(dst, replacement...)
	default:
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
	}
}

// gzipBuffers are what JSON passes through while it is compressed.
type gzipBuffers struct {
	plain      []byte
	compressed bytes.Buffer
	writer     *gzip.Writer
}

var gzipPool = sync.Pool{New: func() any { return &gzipBuffers{writer: gzip.NewWriter(nil)} }}

// appendGzipJSON appends AppendJSON's bytes, compressed by gzip.
func (b *Batch) appendGzipJSON(dst []byte) []byte {
	buf := gzipPool.Get().(*gzipBuffers)
	defer gzipPool.Put(buf)
	buf.plain = b.AppendJSON(buf.plain[:0])
	buf.compressed.Reset()
	buf.writer.Reset(&buf.compressed)
	// A buffer takes everything: there are no errors.
	_, _ = buf.writer.Write(buf.plain)
	_ = buf.writer.Close()
	return append(dst, buf.compressed.Bytes()...)
}
