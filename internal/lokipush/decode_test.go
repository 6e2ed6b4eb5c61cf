// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/memory"
)

func decodeOptions(contentType string) DecodeOptions {
	return DecodeOptions{
		ContentType:     contentType,
		MaxDecodedBytes: 1 << 20,
		ObservedAt:      time.Date(2026, 10, 12, 8, 27, 20, 0, time.UTC),
		Resource: func(attrs pcommon.Map, labels iter.Seq2[string, string]) {
			for name, value := range labels {
				attrs.PutStr(name, value)
			}
		},
	}
}

func decodeProtobuf(data []byte) (Decoded, error) {
	return DecodePush(snappy.Encode(nil, data), decodeOptions("application/x-protobuf"))
}

// decodedStream is a stream as the record model has it.
type decodedStream struct {
	labels  map[string]string
	entries []decodedEntry
}

type decodedEntry struct {
	timestamp pcommon.Timestamp
	line      string
	metadata  []nameValue
}

func decodedStreams(tb testing.TB, d Decoded) (streams []decodedStream) {
	tb.Helper()
	for _, rl := range d.Logs.ResourceLogs().All() {
		stream := decodedStream{labels: map[string]string{}}
		for name, value := range rl.Resource().Attributes().All() {
			stream.labels[name] = value.Str()
		}
		require.Equal(tb, 1, rl.ScopeLogs().Len())
		for _, record := range rl.ScopeLogs().At(0).LogRecords().All() {
			require.Equal(tb, "2026-10-12 08:27:20 +0000 UTC", record.ObservedTimestamp().AsTime().String())
			entry := decodedEntry{timestamp: record.Timestamp(), line: record.Body().Str()}
			for name, value := range record.Attributes().All() {
				entry.metadata = append(entry.metadata, nameValue{name, value.Str()})
			}
			stream.entries = append(stream.entries, entry)
		}
		require.NotEmpty(tb, stream.entries)
		streams = append(streams, stream)
	}
	return streams
}

func marshal(tb testing.TB, streams ...push.Stream) []byte {
	tb.Helper()
	data, err := (&push.PushRequest{Streams: streams}).Marshal()
	require.NoError(tb, err)
	return data
}

func gzipped(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return buf.Bytes()
}

func deflated(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.DefaultCompression)
	require.NoError(tb, err)
	_, err = w.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return buf.Bytes()
}

var aStream = push.Stream{Labels: `{job="j"}`, Entries: []push.Entry{{
	Timestamp: time.Unix(1791798435, 523000001), Line: "line\n", StructuredMetadata: pairs("k", "v"),
}}}

const aJSONStream = `{"streams":[{"stream":{"job":"j"},"values":[["1791798435523000001","line\n",{"k":"v"}]]}]}`

func TestDecodePushEncodings(t *testing.T) {
	block, text := snappy.Encode(nil, marshal(t, aStream)), []byte(aJSONStream)
	for name, tt := range map[string]struct {
		contentType, encoding string
		body                  []byte
	}{
		"protobuf":                   {"application/x-protobuf", "", block},
		"protobuf, snappy":           {"application/x-protobuf", "snappy", block},
		"protobuf, gzip":             {"application/x-protobuf", "gzip", gzipped(t, block)},
		"protobuf, deflate":          {"application/x-protobuf", "Deflate", deflated(t, block)},
		"any other type is protobuf": {"text/plain", "", block},
		"JSON":                       {"application/json", "", text},
		"JSON, parameters":           {"Application/JSON; charset=utf-8", "", text},
		"JSON, said to be snappy":    {"application/json", "snappy", text},
		"JSON, gzip":                 {"application/json", "GZIP", gzipped(t, text)},
		"JSON, deflate":              {"application/json", "deflate", deflated(t, text)},
	} {
		t.Run(name, func(t *testing.T) {
			opts := decodeOptions(tt.contentType)
			opts.ContentEncoding = tt.encoding
			got, err := DecodePush(bytes.Clone(tt.body), opts)
			require.NoError(t, err)
			assert.Equal(t, []decodedStream{{
				map[string]string{"job": "j"},
				[]decodedEntry{{1791798435523000001, "line\n", []nameValue{{"k", "v"}}}},
			}}, decodedStreams(t, got))
			assert.Equal(t, 1, got.Streams)
			size := len(text)
			if opts.ContentType != "application/json" && !strings.HasPrefix(opts.ContentType, "App") {
				size = len(marshal(t, aStream))
			}
			assert.Equal(t, size, got.DecodedBytes)
		})
	}
}

func TestDecodePushErrors(t *testing.T) {
	block := snappy.Encode(nil, marshal(t, aStream))
	long := strings.Repeat("z", 33)
	for name, tt := range map[string]struct {
		contentType, encoding string
		body                  []byte
		want                  string
	}{
		"no media type":          {"", "", block, "mime: no media type"},
		"not a media type":       {"application/json; charsetutf-8", "", block, "mime: invalid media parameter"},
		"zstd":                   {"application/x-protobuf", "zstd", block, `Content-Encoding "zstd" not supported`},
		"long encoding":          {"application/x-protobuf", long, block, `Content-Encoding "` + long[1:] + `" not supported`},
		"two encodings":          {"application/json", "gzip, snappy", block, `Content-Encoding "gzip, snappy" not supported`},
		"not gzip":               {"application/json", "gzip", []byte(aJSONStream), "corrupt: it is not gzip"},
		"not deflate":            {"application/json", "deflate", []byte(aJSONStream), "deflate"},
		"empty gzip":             {"application/json", "gzip", nil, "corrupt"},
		"no body":                {"application/x-protobuf", "", nil, "protobuf in a block of snappy: corrupt: snappy: corrupt input"},
		"protobuf without block": {"application/x-protobuf", "", marshal(t, aStream), "protobuf in a block of snappy: corrupt"},
		"JSON as protobuf":       {"application/x-protobuf", "", []byte(aJSONStream), "protobuf in a block of snappy: corrupt"},
		"JSON in snappy":         {"application/json", "snappy", snappy.Encode(nil, []byte(aJSONStream)), "offset 0: expected an object"},
		"no JSON":                {"application/json", "", nil, "offset 0: cut short, expected an object"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := decodeOptions(tt.contentType)
			opts.ContentEncoding = tt.encoding
			got, err := DecodePush(bytes.Clone(tt.body), opts)
			require.ErrorContains(t, err, tt.want)
			assert.NotErrorIs(t, err, decompress.ErrTooLarge)
			assert.Zero(t, got)
		})
	}
}

func TestDecodePushTooLarge(t *testing.T) {
	zeros := make([]byte, 2<<20)
	huge := binary.AppendUvarint(nil, 1<<30)
	for name, tt := range map[string]struct {
		contentType, encoding string
		body                  []byte
	}{
		"JSON":                 {"application/json", "", zeros},
		"JSON, gzip":           {"application/json", "gzip", gzipped(t, zeros)},
		"protobuf":             {"application/x-protobuf", "", snappy.Encode(nil, zeros)},
		"protobuf, deflate":    {"application/x-protobuf", "deflate", deflated(t, zeros)},
		"a block of 1 GB":      {"application/x-protobuf", "", huge},
		"a block of 1 GB gzip": {"application/x-protobuf", "gzip", gzipped(t, huge)},
	} {
		t.Run(name, func(t *testing.T) {
			opts := decodeOptions(tt.contentType)
			opts.ContentEncoding = tt.encoding
			opts.Reserve = func(n int64) error {
				assert.LessOrEqual(t, n, int64(2<<20))
				return nil
			}
			got, err := DecodePush(tt.body, opts)
			require.ErrorIs(t, err, decompress.ErrTooLarge)
			assert.Zero(t, got)
		})
	}
	// Nor is it allocated where a gigabyte would be allowed.
	opts := decodeOptions("application/x-protobuf")
	opts.MaxDecodedBytes = 2 << 30
	opts.Reserve = func(int64) error { return errors.New("asked") }
	_, err := DecodePush(append(huge, 0), opts)
	require.ErrorIs(t, err, decompress.ErrCorrupt)
}

// What OTLP has no form for is a time that is not known. What protobuf has no form for is an error, as it is to Loki.
func TestDecodePushTimestamps(t *testing.T) {
	seconds := func(v int64) []byte { return protowire.AppendVarint([]byte{tagSeconds}, uint64(v)) }
	nanos := func(v int64) []byte { return protowire.AppendVarint([]byte{tagNanos}, uint64(v)) }
	timestamp := func(fields ...[]byte) []byte {
		return protowire.AppendBytes([]byte{tagTimestamp}, bytes.Join(fields, nil))
	}
	for name, tt := range map[string]struct {
		entry []byte
		want  pcommon.Timestamp
		err   string
	}{
		"none":                    {nil, 0, ""},
		"empty":                   {timestamp(), 0, ""},
		"seconds":                 {timestamp(seconds(7)), 7_000000000, ""},
		"nanos":                   {timestamp(nanos(7)), 7, ""},
		"both":                    {timestamp(nanos(999999999), seconds(3)), 3_999999999, ""},
		"again":                   {timestamp(seconds(1), seconds(2)), 2_000000000, ""},
		"merged":                  {append(timestamp(seconds(1), nanos(5)), timestamp(seconds(2))...), 2_000000005, ""},
		"before 1970":             {timestamp(seconds(-1), nanos(5)), 0, ""},
		"Go's zero":               {timestamp(seconds(minSeconds)), 0, ""},
		"the last second":         {timestamp(seconds(math.MaxInt64/int64(time.Second) - 1)), 9223372035_000000000, ""},
		"after":                   {timestamp(seconds(math.MaxInt64 / int64(time.Second))), 0, ""},
		"the last of protobuf":    {timestamp(seconds(endSeconds - 1)), 0, ""},
		"year 10000":              {timestamp(seconds(endSeconds)), 0, "seconds out of range"},
		"year 0":                  {timestamp(seconds(minSeconds - 1)), 0, "seconds out of range"},
		"the least":               {timestamp(seconds(math.MinInt64)), 0, "seconds out of range"},
		"too many nanos":          {timestamp(nanos(1e9)), 0, "nanos out of range"},
		"negative nanos":          {timestamp(seconds(1), nanos(-1)), 0, "nanos out of range"},
		"an unknown field":        {timestamp(protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.VarintType), 1), seconds(1)), 1_000000000, ""},
		"seconds of another type": {timestamp(protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), 1)), 0, "field 1 has wire type 1, expected 0"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeProtobuf(protoStream(`{}`, tt.entry))
			if tt.err != "" {
				require.ErrorContains(t, err, "stream 1: entry 1: ")
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, decodedStreams(t, got)[0].entries[0].timestamp)
		})
	}
}

// protoStream is a stream as a field of a request, with entries of any content.
func protoStream(labels string, entries ...[]byte) []byte {
	stream := appendString(nil, tagLabels, labels)
	for _, entry := range entries {
		stream = protowire.AppendBytes(append(stream, tagEntry), entry)
	}
	return protowire.AppendBytes([]byte{tagStream}, stream)
}

// Fields come in any order and more than once, and others are passed over.
func TestDecodePushFieldOrder(t *testing.T) {
	unknown := protowire.AppendBytes(protowire.AppendTag(nil, 15, protowire.BytesType), []byte("unknown"))
	unknown = protowire.AppendFixed32(protowire.AppendTag(unknown, 16, protowire.Fixed32Type), 1)
	unknown = protowire.AppendTag(unknown, 17, protowire.StartGroupType)
	unknown = protowire.AppendTag(unknown, 17, protowire.EndGroupType)
	pair := appendString(appendString(bytes.Clone(unknown), tagValue, "v"), tagName, "k")
	entry := protowire.AppendBytes(append(bytes.Clone(unknown), tagMetadata), pair)
	entry = protowire.AppendString(protowire.AppendTag(entry, 4, protowire.BytesType), "parsed")
	entry = appendString(appendString(entry, tagLine, "first"), tagLine, "last")
	entry = appendTimestamp(entry, 5)
	stream := protowire.AppendBytes([]byte{tagEntry}, entry)
	stream = appendString(append(stream, unknown...), tagLabels, `{bad`)
	stream = appendString(stream, tagLabels, `{a="b"}`)
	stream = protowire.AppendVarint(protowire.AppendTag(stream, 3, protowire.VarintType), 77)
	request := protowire.AppendString(protowire.AppendTag(unknown, 2, protowire.BytesType), "loki")
	request = protowire.AppendBytes(append(request, tagStream), stream)

	got, err := decodeProtobuf(request)
	require.NoError(t, err)
	assert.Equal(t, []decodedStream{{
		map[string]string{"a": "b"}, []decodedEntry{{5, "last", []nameValue{{"k", "v"}}}},
	}}, decodedStreams(t, got))
}

func TestDecodePushStreams(t *testing.T) {
	f := func(want []decodedStream, streams ...push.Stream) {
		t.Helper()
		got, err := decodeProtobuf(marshal(t, streams...))
		require.NoError(t, err)
		assert.Equal(t, want, decodedStreams(t, got))
		assert.Equal(t, len(streams), got.Streams)
	}
	at := time.Unix(0, 5)
	f(nil)
	f(nil, push.Stream{Labels: `{a="b"}`}, push.Stream{})
	f([]decodedStream{{map[string]string{}, []decodedEntry{{5, "", nil}}}},
		push.Stream{Labels: `{}`, Entries: []push.Entry{{Timestamp: at}}})
	// A stream without entries between two that have them; equal labels stay two streams.
	f([]decodedStream{
		{map[string]string{"a": "b"}, []decodedEntry{{5, "one\n", nil}, {5, "\xff\x00", nil}}},
		{map[string]string{"a": "b"}, []decodedEntry{{5, " two ", []nameValue{{"日本", ""}, {"k", "last"}}}}},
	},
		push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{{Timestamp: at, Line: "one\n"}, {Timestamp: at, Line: "\xff\x00"}}},
		push.Stream{Labels: `{c="d"}`},
		push.Stream{Labels: `{ b = "", "a"='b', }`, Entries: []push.Entry{{
			Timestamp: at, Line: " two ", StructuredMetadata: pairs("日本", "", "k", "first", "k", "last"),
		}}},
	)
}

func TestDecodePushStreamErrors(t *testing.T) {
	good := marshal(t, aStream)
	const secret = "secret"
	bad := func(labels string) []byte {
		return append(bytes.Repeat(good, 2), marshal(t, push.Stream{Labels: labels})...)
	}
	entry := func(fields ...[]byte) []byte {
		return append(bytes.Clone(good), protoStream(`{a="b"}`, nil, bytes.Join(fields, nil))...)
	}
	for name, tt := range map[string]struct {
		request []byte
		want    string
	}{
		"labels":              {bad(`{secret="secret`), "couldn't parse labels of stream 3: offset 8: "},
		"stream is cut short": {bad(`secret`)[:2*len(good)+2], "offset 89: unexpected EOF"},
		"too many pairs": {
			entry(bytes.Repeat(appendMetadata(nil, "secret", "secret"), maxEntryMetadata+1)),
			"stream 2: entry 2: more than 128 pairs of structured metadata",
		},
		"pair without a name": {entry(appendMetadata(nil, "", "secret")), "stream 2: entry 2: a pair of structured metadata without a name"},
		"line is a number":    {entry(protowire.AppendVarint([]byte{2 << 3}, 5)), "stream 2: entry 2: offset 60: field 2 has wire type 0, expected 2"},
		"line is cut short":   {entry([]byte{tagLine, 9}, []byte(secret)), "stream 2: entry 2: offset 60: "},
		"pair is cut short":   {entry([]byte{tagMetadata, 3, tagName, 5, 's'}), "stream 2: entry 2: offset 62: "},
		"end of no group":     {entry([]byte{9<<3 | 4}), "stream 2: entry 2: offset 60: "},
		"field zero":          {entry([]byte{0}), "stream 2: entry 2: offset 59: "},
		"stream is no stream": {append(bytes.Clone(good), 1<<3, 5), "offset 45: field 1 has wire type 0, expected 2"},
		"labels are a number": {append(bytes.Clone(good), tagStream, 2, 1<<3, 5), "stream 2: offset 47: field 1 has wire type 0, expected 2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeProtobuf(tt.request)
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), secret)
			assert.Zero(t, got)
		})
	}
	_, err := decodeProtobuf(entry(bytes.Repeat(appendMetadata(nil, "k", "v"), maxEntryMetadata)))
	require.NoError(t, err)
}

func TestDecodePushReserve(t *testing.T) {
	var entries []push.Entry
	for range 3 * 256 {
		entries = append(entries, push.Entry{Timestamp: time.Unix(1, 0), Line: "line", StructuredMetadata: pairs("a", "b", "c", "d")})
	}
	data := marshal(t, push.Stream{Labels: `{a="b"}`, Entries: entries})
	for name, tt := range map[string]struct {
		contentType string
		body        []byte
		decoded     int
	}{
		"protobuf": {"application/x-protobuf", snappy.Encode(nil, data), len(data)},
		"JSON":     {"application/json", asJSON(t, data), 0},
	} {
		t.Run(name, func(t *testing.T) {
			opts := decodeOptions(tt.contentType)
			asked := 0
			opts.Reserve = func(n int64) error {
				asked += int(n)
				return nil
			}
			_, err := DecodePush(bytes.Clone(tt.body), opts)
			require.NoError(t, err)
			records := len(entries) * (recordMemory + 2*pairMemory)
			assert.InDelta(t, tt.decoded+records, asked, memory.Portion+resourceMemory+labelMemory)

			// Whatever portion is refused: nothing is handed on.
			refused, limit := errors.New("no memory"), asked
			for limit > 0 {
				left := limit
				opts.Reserve = func(n int64) error {
					if left -= int(n); left < 0 {
						return refused
					}
					return nil
				}
				limit -= memory.Portion / 2
				got, err := DecodePush(bytes.Clone(tt.body), opts)
				if err != nil {
					require.ErrorIs(t, err, refused)
					assert.Zero(t, got)
				}
			}
		})
	}
}

// asJSON is a request in the other form.
func asJSON(tb testing.TB, request []byte) []byte {
	tb.Helper()
	batch, err := ParseBatch(request)
	require.NoError(tb, err)
	return batch.AppendJSON(nil)
}

// What is asked for is about what is taken, also where a request has many of something small.
func TestDecodePushMemory(t *testing.T) {
	var labels strings.Builder
	for i := range maxStreamLabels {
		fmt.Fprintf(&labels, `l%d="v",`, i)
	}
	for name, request := range map[string][]byte{
		"empty streams":         bytes.Repeat(protoStream(``), 500_000),
		"streams of one line":   bytes.Repeat(protoStream(``, nil), 20_000),
		"lines":                 protoStream(``, make([][]byte, 100_000)...),
		"pairs":                 protoStream(``, repeated(distinctPairs(maxEntryMetadata), 30)...),
		"streams of many names": bytes.Repeat(protoStream(`{`+labels.String()+`}`, nil), 1600),
	} {
		t.Run(name, func(t *testing.T) {
			opts := decodeOptions("application/x-protobuf")
			opts.MaxDecodedBytes = 64 << 20
			block := snappy.Encode(nil, request)
			asked := int64(0)
			opts.Reserve = func(n int64) error {
				asked += n
				return nil
			}
			before := liveHeap()
			got, err := DecodePush(block, opts)
			require.NoError(t, err)
			taken := int64(liveHeap()) - int64(before)
			t.Logf("asked for %d, took %d", asked, taken)
			assert.Less(t, taken, asked+1<<20)
			runtime.KeepAlive(got)
			runtime.KeepAlive(block)
		})
	}
}

func distinctPairs(n int) (entry []byte) {
	for i := range n {
		entry = appendMetadata(entry, fmt.Sprintf("%02x", i), "")
	}
	return entry
}

func repeated(entry []byte, n int) (entries [][]byte) {
	for range n {
		entries = append(entries, entry)
	}
	return entries
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestDecodePushWithoutResource(t *testing.T) {
	opts := decodeOptions("application/json")
	opts.Resource = nil
	got, err := DecodePush([]byte(aJSONStream), opts)
	require.NoError(t, err)
	assert.Empty(t, decodedStreams(t, got)[0].labels)
}

// The sequence of labels may be left early, and gone through again.
func TestDecodePushLabelSequence(t *testing.T) {
	opts := decodeOptions("application/json")
	var seen []nameValue
	opts.Resource = func(_ pcommon.Map, labels iter.Seq2[string, string]) {
		for range labels {
			break
		}
		for name, value := range labels {
			seen = append(seen, nameValue{name, value})
		}
	}
	_, err := DecodePush([]byte(`{"streams":[{"values":[["1",""]],"stream":{"c":"1","a":"1","b":"x","a":"2","b":""}}]}`), opts)
	require.NoError(t, err)
	assert.Equal(t, []nameValue{{"a", "2"}, {"c", "1"}}, seen)
}

// What the encoder makes is decoded to the same, in both of its forms.
func TestDecodePushRoundTrip(t *testing.T) {
	encoder, err := NewEncoder(benchmarkMapping)
	require.NoError(t, err)
	batch := encodeOne(encoder, benchmarkLogs())
	var want []decodedStream
	for _, stream := range requestOf(t, batch).Streams {
		of := decodedStream{labels: readLabelSet(t, stream.Labels)}
		for _, e := range stream.Entries {
			entry := decodedEntry{timestamp: pcommon.Timestamp(e.Timestamp.UnixNano()), line: e.Line}
			for _, l := range e.StructuredMetadata {
				entry.metadata = append(entry.metadata, nameValue{l.Name, l.Value})
			}
			of.entries = append(of.entries, entry)
		}
		want = append(want, of)
	}
	require.Len(t, want, benchmarkStreams)
	opts := decodeOptions("application/x-protobuf")
	opts.MaxDecodedBytes = 4 << 20
	got, err := DecodePush(batch.AppendCompressed(nil), opts)
	require.NoError(t, err)
	assert.Equal(t, want, decodedStreams(t, got))

	opts.ContentType = "application/json"
	fromJSON, err := DecodePush(batch.AppendJSON(nil), opts)
	require.NoError(t, err)
	assert.Equal(t, want, inEncodersOrder(decodedStreams(t, fromJSON), want))
}

// inEncodersOrder has the metadata in the order of protobuf: in JSON it is sorted by name.
func inEncodersOrder(streams, want []decodedStream) []decodedStream {
	for i := range streams {
		for j, entry := range streams[i].entries {
			values := map[string]string{}
			for _, pair := range entry.metadata {
				values[pair.name] = pair.value
			}
			for k, pair := range want[i].entries[j].metadata {
				entry.metadata[k] = nameValue{pair.name, values[pair.name]}
			}
		}
	}
	return streams
}
