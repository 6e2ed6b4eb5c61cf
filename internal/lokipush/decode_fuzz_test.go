// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/loki"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// wantStreams is what a request that Loki's own types have read is to be decoded to.
func wantStreams(request *push.PushRequest) (streams []decodedStream) {
	for _, stream := range request.Streams {
		if len(stream.Entries) == 0 {
			continue
		}
		want := decodedStream{labels: map[string]string{}}
		labels, _ := parseLabels([]byte(stream.Labels), nil)
		for _, l := range labels {
			want.labels[l.name] = l.value
		}
		dropEmpty(want.labels)
		for _, e := range stream.Entries {
			entry := decodedEntry{timestamp: wantTimestamp(e.Timestamp), line: e.Line}
			for _, pair := range e.StructuredMetadata {
				entry.put(pair.Name, pair.Value)
			}
			want.entries = append(want.entries, entry)
		}
		streams = append(streams, want)
	}
	return streams
}

func dropEmpty(labels map[string]string) {
	for name, value := range labels {
		if value == "" {
			delete(labels, name)
		}
	}
}

func wantTimestamp(t time.Time) pcommon.Timestamp {
	if t.Before(time.Unix(0, 0)) || t.Unix() >= math.MaxInt64/int64(time.Second) {
		return 0
	}
	return pcommon.Timestamp(t.UnixNano())
}

func (e *decodedEntry) put(name, value string) {
	i := slices.IndexFunc(e.metadata, func(p nameValue) bool { return p.name == name })
	if i < 0 {
		e.metadata = append(e.metadata, nameValue{name, value})
		return
	}
	e.metadata[i].value = value
}

// withoutTimes is for comparing what has a timestamp twice: Loki's types do not merge them.
func withoutTimes(streams []decodedStream) []decodedStream {
	for _, stream := range streams {
		for i := range stream.entries {
			stream.entries[i].timestamp = 0
		}
	}
	return streams
}

// Whatever comes in, DecodePush returns, and never records along with an error. What Loki's own types read, it reads to
// the same; and in the form in which they write it, it does not refuse it.
func FuzzDecodePushProtobuf(f *testing.F) {
	eachPayload(f, func(_ string, data []byte, opts DecodeOptions) {
		if opts.ContentType != "application/json" {
			f.Add(mustDecompress(data))
		}
	})
	f.Add(marshal(f, aStream, push.Stream{}, aStream))
	f.Add(protoStream(``, bytes.Repeat(appendMetadata(appendTimestamp(nil, 5), "k", ""), 3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeProtobuf(data)
		if err != nil {
			require.Zero(t, got)
		}
		var want push.PushRequest
		if want.Unmarshal(data) != nil {
			return // or has something malformed where DecodePush does not look
		}
		if err == nil {
			assert.Len(t, want.Streams, got.Streams)
			assert.Equal(t, withoutTimes(wantStreams(&want)), withoutTimes(decodedStreams(t, got)))
		}
		canonical, err := want.Marshal()
		require.NoError(t, err)
		got, err = decodeProtobuf(canonical)
		if err != nil {
			assert.Regexp(t, "^couldn't parse labels of stream|pairs of structured metadata$|metadata without a name$", err.Error())
			return
		}
		assert.Equal(t, wantStreams(&want), decodedStreams(t, got))
	})
}

var errRefused = errors.New("refused")

// readJSON reads a request by way of encoding/json, with the rules of decodeJSON.
func readJSON(data []byte) (streams []decodedStream, err error) {
	var request struct{ Streams json.RawMessage }
	var requestStreams []map[string]json.RawMessage
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(request.Streams, &requestStreams); err != nil {
		return nil, err
	}
	for _, members := range requestStreams {
		var stream decodedStream
		var values [][]json.RawMessage
		if err := json.Unmarshal(members["values"], &values); err != nil {
			return nil, err
		}
		stream.labels, err = readLabels(members["stream"])
		if err != nil {
			return nil, err
		}
		for _, elements := range values {
			if elements == nil {
				continue
			}
			entry, err := readEntry(elements)
			if err != nil {
				return nil, err
			}
			stream.entries = append(stream.entries, entry)
		}
		if stream.entries != nil {
			streams = append(streams, stream)
		}
	}
	return streams, nil
}

// readLabels reads labels that may be missing.
func readLabels(raw json.RawMessage) (map[string]string, error) {
	labels := map[string]string{}
	if raw == nil {
		return labels, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if open, _ := decoder.Token(); open != json.Delim('{') {
		return nil, errRefused
	}
	for decoder.More() {
		token, _ := decoder.Token()
		name := token.(string)
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil || !labelPattern.MatchString(name+"=") {
			return nil, errRefused
		}
		switch value[0] {
		case '{', '[':
			return nil, errRefused
		case '"':
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				return nil, err
			}
			labels[name] = text
		default:
			labels[name] = string(value)
		}
	}
	dropEmpty(labels)
	return labels, nil
}

func readEntry(elements []json.RawMessage) (entry decodedEntry, err error) {
	if len(elements) < 2 {
		return entry, errRefused
	}
	var digits, line any
	if err := errors.Join(json.Unmarshal(elements[0], &digits), json.Unmarshal(elements[1], &line)); err != nil {
		return entry, err
	}
	text, ok := digits.(string)
	if !ok {
		text = string(elements[0])
	}
	nanos, err := strconv.ParseInt(text, 10, 64)
	entry.timestamp = pcommon.Timestamp(max(nanos, 0))
	if entry.line, ok = line.(string); !ok || err != nil {
		return entry, errRefused
	}
	if len(elements) == 2 {
		return entry, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(elements[2]))
	if open, _ := decoder.Token(); open != json.Delim('{') {
		return entry, errRefused
	}
	for decoder.More() {
		name, _ := decoder.Token()
		value, _ := decoder.Token()
		text, ok := value.(string)
		if !ok || name == "" {
			return entry, errRefused
		}
		entry.put(name.(string), text)
	}
	return entry, nil
}

// What encoding/json reads, DecodePush reads to the same, unless it refuses what stands twice or is in the way of a limit.
func FuzzDecodePushJSON(f *testing.F) {
	eachPayload(f, func(_ string, data []byte, opts DecodeOptions) {
		if opts.ContentType == "application/json" {
			f.Add(data)
		}
	})
	f.Add([]byte(aJSONStream))
	f.Add([]byte(`{"streams":[{"values":[[5,"\ud83d\ude00",{"a":"1","a":"2"},null],null],"stream":{"a":"","b":"c","d":-1.5e3,"e":null}},{"values":null}]}`))
	f.Add([]byte(`{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"2026-10-12T08:27:20Z","line":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeJSON(string(data))
		if err != nil {
			require.Zero(t, got)
		}
		if !json.Valid(data) || !utf8.Valid(data) {
			return
		}
		want, wantErr := readJSON(data)
		switch {
		case err == nil && wantErr == nil:
			assert.Equal(t, want, decodedStreams(t, got))
		case err == nil:
			assert.NoError(t, wantErr)
		case wantErr == nil:
			assert.Regexp(t, `a second "|nested more than|more than \d+ (labels|pairs)|offset 0: expected an object|whole number|number out of range`, err.Error())
		}
	})
}

// prometheusLabels reads labels with Prometheus's parser, by way of a package that uses it. Those that begin with two
// underscores are not among them.
func prometheusLabels(text string) (map[string]string, error) {
	ld, err := loki.PushRequestToLogs(&push.PushRequest{
		Streams: []push.Stream{{Labels: text, Entries: make([]push.Entry, 1)}},
	}, false)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{}
	for name, value := range ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().All() {
		labels[name] = value.Str()
	}
	return labels, nil
}

// Labels are those that Prometheus's parser reads, and what it refuses is refused, but for what parseLabels names. Those
// without a value Prometheus drops where there is the name of a metric: they are none to either.
func FuzzParseLabels(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{a="b", c='d', e=` + "`f`" + `,}`, `up{a="\n\x41\101\u65e5\U0001F600"}`, `{"a.b"="c","up"} # comment`,
		`{a=~"b"}`, `on{a="b"}`, "{a=\"\ufffd\"}", `up{a=""}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseLabels([]byte(text), nil)
		want, wantErr := prometheusLabels(text)
		if err != nil {
			if wantErr == nil {
				assert.Regexp(t, `a label without a name$|more than \d+ labels$`, err.Error())
			}
			return
		}
		labels, twice := map[string]string{}, false
		for _, l := range got {
			_, again := labels[l.name]
			twice = twice || again
			if !strings.HasPrefix(l.name, "__") {
				labels[l.name] = l.value
			}
		}
		if wantErr != nil {
			metric := len(got) > 0 && got[len(got)-1].name == metricNameLabel
			assert.True(t, metric || strings.ContainsRune(text, utf8.RuneError), wantErr)
			return
		}
		if !twice {
			dropEmpty(want)
			dropEmpty(labels)
			assert.Equal(t, want, labels)
		}
	})
}

// The headers and the block are as free as what is in it.
func FuzzDecodePush(f *testing.F) {
	eachPayload(f, func(_ string, data []byte, opts DecodeOptions) {
		f.Add(data, opts.ContentType, "")
		f.Add(gzipped(f, data), opts.ContentType, "gzip")
		f.Add(deflated(f, data), opts.ContentType, "deflate")
	})
	f.Add(snappy.Encode(nil, []byte(aJSONStream)), "application/json; a=b", "snappy")
	f.Fuzz(func(t *testing.T, data []byte, contentType, encoding string) {
		opts := decodeOptions(contentType)
		opts.ContentEncoding = encoding
		left := int64(4 << 20)
		opts.Reserve = func(n int64) error {
			if left -= n; left < 0 {
				return errRefused
			}
			return nil
		}
		got, err := DecodePush(data, opts)
		if err != nil {
			require.Zero(t, got)
			return
		}
		assert.LessOrEqual(t, len(decodedStreams(t, got)), got.Streams)
		assert.LessOrEqual(t, int64(got.DecodedBytes), opts.MaxDecodedBytes)
	})
}
