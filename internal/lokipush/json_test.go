// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pushed is one entry as it can be read from both forms of a request.
type pushed struct {
	nanos    string
	line     string
	metadata map[string]string
}

// asText has a question mark for each byte that is not UTF-8.
func asText(s string) string {
	var text strings.Builder
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			r = '?'
		}
		text.WriteRune(r)
	}
	return text.String()
}

// fromRequest reads the entries of a batch's streams from its protobuf.
func fromRequest(tb testing.TB, b *Batch) (entries [][]pushed) {
	tb.Helper()
	for _, stream := range requestOf(tb, b).Streams {
		var of []pushed
		for _, e := range stream.Entries {
			p := pushed{nanos: strconv.FormatInt(e.Timestamp.UnixNano(), 10), line: asText(e.Line)}
			for _, l := range e.StructuredMetadata {
				if p.metadata == nil {
					p.metadata = map[string]string{}
				}
				p.metadata[asText(l.Name)] = asText(l.Value)
			}
			of = append(of, p)
		}
		entries = append(entries, of)
	}
	return entries
}

// fromJSON reads a batch's JSON.
func fromJSON(tb testing.TB, b *Batch) (labels []map[string]string, entries [][]pushed) {
	tb.Helper()
	data := b.AppendJSON(nil)
	requireNoDuplicates(tb, json.NewDecoder(bytes.NewReader(data)))
	var request struct {
		Streams []struct {
			Stream map[string]string   `json:"stream"`
			Values [][]json.RawMessage `json:"values"`
		} `json:"streams"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	require.NoError(tb, decoder.Decode(&request))
	for _, stream := range request.Streams {
		var of []pushed
		for _, value := range stream.Values {
			of = append(of, pushedOf(tb, value))
		}
		labels = append(labels, stream.Stream)
		entries = append(entries, of)
	}
	return labels, entries
}

func pushedOf(tb testing.TB, value []json.RawMessage) (p pushed) {
	tb.Helper()
	require.True(tb, len(value) == 2 || len(value) == 3)
	require.NoError(tb, json.Unmarshal(value[0], &p.nanos))
	require.NoError(tb, json.Unmarshal(value[1], &p.line))
	if len(value) == 3 {
		require.NoError(tb, json.Unmarshal(value[2], &p.metadata))
		require.NotEmpty(tb, p.metadata)
	}
	return p
}

// requireNoDuplicates reads one value and fails where an object has a key twice, which encoding/json would let pass.
func requireNoDuplicates(tb testing.TB, decoder *json.Decoder) {
	tb.Helper()
	token, err := decoder.Token()
	require.NoError(tb, err)
	delim, ok := token.(json.Delim)
	if !ok {
		return
	}
	keys := map[json.Token]bool{}
	for decoder.More() {
		if delim == '{' {
			key, err := decoder.Token()
			require.NoError(tb, err)
			require.NotContains(tb, keys, key)
			keys[key] = true
		}
		requireNoDuplicates(tb, decoder)
	}
	_, err = decoder.Token()
	require.NoError(tb, err)
}

// appendWith appends an entry with structured metadata, given by names and values.
func appendWith(b *Batch, labels string, nanos int64, line string, nameValues ...string) {
	var metadata []byte
	for i := 0; i < len(nameValues); i += 2 {
		metadata = appendMetadata(metadata, nameValues[i], nameValues[i+1])
	}
	r := run{entries: appendEntry(nil, nanos, line, metadata, nil)}
	r.note(nanos)
	b.append(labels, r)
}

func TestAppendJSON(t *testing.T) {
	b := new(Batch)
	assert.JSONEq(t, `{"streams":[]}`, string(b.AppendJSON(nil)))
	appendWith(b, `{a="b", c="d"}`, 1791798435_523000001, "line", "name", "value", "again", "1", "again", "2")
	appendWith(b, `{a="b", c="d"}`, 1791798435_523000002, "")
	appendWith(b, `{a="\"<&>\""}`, 0, "<\"\\\n\x01日本\xff>")
	assert.Equal(t, `before {"streams":[`+
		`{"stream":{"a":"b","c":"d"},"values":[["1791798435523000001","line",{"again":"2","name":"value"}],["1791798435523000002",""]]},`+
		`{"stream":{"a":"\"<&>\""},"values":[["0","<\"\\\n\u0001日本?>"]]}`+
		`]}`, string(b.AppendJSON([]byte("before "))))
}

// Both forms of a request have the same streams with the same entries in the same order.
func TestJSONLikeRequest(t *testing.T) {
	values := []string{
		"", "plain", `"quoted" \back\slashes\\`, "\x00\x01\b\f\n\r\t\x1b\x1f\x7f", "Größe 日本 😀 \u2028", "\xff\xc3(\xed\xa0\x80", "<&>", "\ufffd",
		strings.Repeat("long \n", 1000),
	}
	times := []int64{5, 3, 4, 3, -1e9, 0, math.MaxInt64, time.Now().UnixNano(), -3600e9}
	b, sets := new(Batch), []map[string]string{}
	for i, value := range values {
		set := map[string]string{"a": value, "service_name": strconv.Itoa(i)}
		sets = append(sets, map[string]string{"a": strings.ToValidUTF8(value, "?"), "service_name": strconv.Itoa(i)})
		labels := `{a=` + strconv.Quote(set["a"]) + `, service_name=` + strconv.Quote(set["service_name"]) + `}`
		for j, nanos := range times[:1+i%len(times)] {
			line := values[(i+j)%len(values)]
			appendWith(b, labels, nanos, line)
			appendWith(b, labels, nanos, line, "b", value, "name", value)
			appendWith(b, labels, nanos, line, "twice", "first", "between", "", "twice", value, "in\xff\"valid", "1", "in\xfe\"valid", "2")
		}
	}
	for range 2 {
		want := fromRequest(t, b)
		labels, got := fromJSON(t, b)
		require.Equal(t, sets, labels)
		require.Equal(t, want, got)
		// The same again as it comes from the queue on disk, where a stream is one run.
		parsed, err := ParseBatch(b.AppendRequest(nil))
		require.NoError(t, err)
		b = parsed
	}
}

// Of however many pairs with one name the last counts.
func TestJSONOfManyPairs(t *testing.T) {
	var nameValues []string
	want := map[string]string{}
	for i := range 1000 {
		name, value := "n"+strconv.Itoa(i%7), strconv.Itoa(i)
		nameValues = append(nameValues, name, value)
		want[name] = value
	}
	b := new(Batch)
	appendWith(b, `{a="b"}`, 1, "", nameValues...)
	_, got := fromJSON(t, b)
	assert.Equal(t, want, got[0][0].metadata)
}

// An unordered run that came as one.
func TestJSONOfUnorderedRun(t *testing.T) {
	var r run
	for i, nanos := range []int64{3, 1, 2, 1, 3} {
		r.entries = appendEntry(r.entries, nanos, strconv.Itoa(i), nil, nil)
		r.note(nanos)
	}
	b := new(Batch)
	b.append(`{a="b"}`, r)
	want := fromRequest(t, b)
	_, got := fromJSON(t, b)
	assert.Equal(t, want, got)
	assert.JSONEq(t, `{"streams":[{"stream":{"a":"b"},"values":[["1","1"],["1","3"],["2","2"],["3","0"],["3","4"]]}]}`, string(b.AppendJSON(nil)))
}

// Times that protobuf's timestamps do not have: before 1970, and not a whole second.
func TestJSONOfNegativeTimes(t *testing.T) {
	b := new(Batch)
	for _, nanos := range []int64{-1, math.MinInt64} {
		appendWith(b, `{a="b"}`, nanos, "")
	}
	assert.JSONEq(t, `{"streams":[{"stream":{"a":"b"},"values":[["-9223372036854775808",""],["-1",""]]}]}`, string(b.AppendJSON(nil)))
}

// What cannot be read is left out, up to the end of the labels or of the entry.
func TestJSONOfDamagedBatch(t *testing.T) {
	f := func(labels, want string) {
		t.Helper()
		b := new(Batch)
		b.append(labels)
		assert.Equal(t, `{"streams":[{"stream":`+want+`,"values":[]}]}`, string(b.AppendJSON(nil)))
	}
	f(``, `{}`)
	f(`{}`, `{}`)
	f(`a="b"}`, `{}`)
	f(`{a}`, `{}`)
	f(`{a="b`, `{}`)
	f(`{a=b}`, `{}`)
	f(`{a='bc'}`, `{}`)
	f(`{a="b", c`, `{"a":"b"}`)
	f(`{a="b" c="d"}`, `{"a":"b"}`)
	f(`{a="b", a="c"}`, `{"a":"c"}`)
	f(`{a\xff="b", a="c"}`, `{"a":"c","a\\xff":"b"}`)

	timestamp := appendTimestamp(nil, 7)
	g := func(content []byte, want string) {
		t.Helper()
		r := run{entries: append(appendHeader(nil, tagEntry, len(timestamp)+len(content)), append(slices.Clone(timestamp), content...)...)}
		r.note(7)
		b := new(Batch)
		b.append(`{a="b"}`, r)
		assert.Equal(t, `{"streams":[{"stream":{"a":"b"},"values":[`+want+`]}]}`, string(b.AppendJSON(nil)))
	}
	line := appendString(nil, tagLine, "line")
	pair := appendMetadata(nil, "name", "value")
	with := func(rest ...byte) []byte { return slices.Concat(line, pair, rest) }
	g(nil, `["7",""]`)
	g(pair, `["7",""]`)
	g(line[:3], `["7",""]`)
	g(line, `["7","line"]`)
	g(with(), `["7","line",{"name":"value"}]`)
	g(with(1, 2, 3), `["7","line",{"name":"value"}]`)
	g(with(tagMetadata, 9), `["7","line",{"name":"value"}]`)
	g(with(tagMetadata, 0), `["7","line",{"name":"value"}]`)
	g(with(tagMetadata, 3, tagName, 1, 'n'), `["7","line",{"name":"value"}]`)
}

func TestAppendGzipJSON(t *testing.T) {
	// Batches one after another, and at the same time, do not get into each other.
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 20 {
				b := new(Batch)
				for k := range 10 * (i + j) {
					appendWith(b, `{a="b"}`, int64(k), strings.Repeat("line ", k), "name", strconv.Itoa(k))
				}
				compressed := b.appendGzipJSON([]byte("before"))
				assert.Equal(t, "before", string(compressed[:6]))
				assert.Equal(t, string(b.AppendJSON(nil)), gunzip(t, compressed[6:]))
			}
		})
	}
	wg.Wait()
}

func gunzip(t *testing.T, compressed []byte) string {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if !assert.NoError(t, err) {
		return ""
	}
	plain, err := io.ReadAll(reader)
	assert.NoError(t, err)
	return string(plain)
}

// Whatever the labels, lines and structured metadata: the JSON is valid, no key comes twice, and what is text comes back
// as it was.
func FuzzAppendJSON(f *testing.F) {
	f.Add(`{a="b", c="d"}`, "line", "name", "value", int64(1791798435_523000001))
	f.Add(`{a="\xff\"", a="\u65e5"}`, "\"\\\n\x00", "last", "日本 😀", int64(-1))
	f.Add(`{a='b', "`, "\xff", "\xc3(", "\ufffd\u2028", int64(0))
	f.Fuzz(func(t *testing.T, labels, line, name, value string, nanos int64) {
		b := new(Batch)
		appendWith(b, labels, nanos, line)
		appendWith(b, `{label=`+strconv.Quote(labels)+`}`, nanos, line, name, "first", "last", "1", name, value)
		sets, entries := fromJSON(t, b)
		// Both are one stream where the fuzzer finds labels like those of the second.
		last := len(sets) - 1
		require.Equal(t, map[string]string{"label": strings.ToValidUTF8(labels, "?")}, sets[last])
		metadata := map[string]string{asText(name): "first"}
		metadata["last"] = "1"
		metadata[asText(name)] = asText(value)
		want := pushed{strconv.FormatInt(nanos, 10), asText(line), metadata}
		require.Equal(t, want, entries[last][len(entries[last])-1])
	})
}
