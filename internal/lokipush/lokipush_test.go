// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// requestOf reads a batch with Loki's own types.
func requestOf(tb testing.TB, b *Batch) push.PushRequest {
	tb.Helper()
	data := b.AppendRequest(nil)
	require.Len(tb, data, b.Size())
	var request push.PushRequest
	require.NoError(tb, proto.Unmarshal(data, &request))
	return request
}

func encode(t *testing.T, mapping Mapping, ld plog.Logs) []push.Stream {
	t.Helper()
	encoder, err := NewEncoder(mapping)
	require.NoError(t, err)
	return requestOf(t, encodeOne(encoder, ld)).Streams
}

// encodeOne is for mappings without tenants.
func encodeOne(encoder *Encoder, ld plog.Logs) *Batch {
	parts := encoder.Encode(ld).Parts
	if len(parts) == 0 {
		return new(Batch)
	}
	return parts[0].Batch
}

func pairs(nameValues ...string) push.LabelsAdapter {
	var labels push.LabelsAdapter
	for i := 0; i < len(nameValues); i += 2 {
		labels = append(labels, push.LabelAdapter{Name: nameValues[i], Value: nameValues[i+1]})
	}
	return labels
}

func TestEncode(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "checkout")
	rl.Resource().Attributes().PutEmptySlice("aws.log.group.names").AppendEmpty().SetStr("/aws/lambda/checkout")
	rl.Resource().Attributes().PutEmptySlice("aws.log.stream.names").AppendEmpty().SetStr("2026/10/12/[$LATEST]94fa")
	rl.Resource().Attributes().PutStr("empty", "")
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().Attributes().PutBool("scoped", true)
	record := sl.LogRecords().AppendEmpty()
	record.SetTimestamp(1791798435_523000001)
	record.SetSeverityNumber(plog.SeverityNumberError2)
	record.Body().SetStr("line 1")
	record.Attributes().PutStr("log.record.uid", "384809")
	record.Attributes().PutInt("http.response.status_code", 502)
	record.SetTraceID(pcommon.TraceID{1})
	record.SetSpanID(pcommon.SpanID{2})

	streams := encode(t, Mapping{Labels: []LabelRule{
		{Attribute: "service.name"}, {Attribute: "aws.log.group.names", Label: "log_group"},
	}, StaticLabels: map[string]string{"job": "cloudwatch"}}, ld)
	assert.Equal(t, []push.Stream{{
		Labels: `{job="cloudwatch", log_group="/aws/lambda/checkout", service_name="checkout"}`,
		Entries: []push.Entry{{
			Timestamp: time.Unix(1791798435, 523000001).UTC(),
			Line:      "line 1",
			StructuredMetadata: pairs(
				"aws_log_stream_names", "2026/10/12/[$LATEST]94fa", "scoped", "true", "detected_level", "error",
				"trace_id", "01000000000000000000000000000000", "span_id", "0200000000000000",
				"log_record_uid", "384809", "http_response_status_code", "502"),
		}},
	}}, streams)
}

func TestEncodeMetadataModes(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "s")
	rl.Resource().Attributes().PutStr("a", "1")
	record := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.Attributes().PutStr("b", "2")
	record.Attributes().PutStr("a", "3")
	record.SetSeverityText("Warning")
	record.SetSpanID(pcommon.SpanID{2})
	f := func(mapping Mapping, want push.LabelsAdapter) {
		t.Helper()
		mapping.Labels = []LabelRule{{Attribute: "service.name"}}
		assert.Equal(t, want, encode(t, mapping, ld)[0].Entries[0].StructuredMetadata)
	}
	f(Mapping{}, pairs("a", "1", "detected_level", "warn", "span_id", "0200000000000000", "b", "2", "a", "3"))
	f(Mapping{Metadata: MetadataRest}, pairs("a", "1", "detected_level", "warn", "span_id", "0200000000000000", "b", "2", "a", "3"))
	f(Mapping{Metadata: MetadataList, MetadataAttributes: []string{"b", "service.name"}}, pairs("service_name", "s", "detected_level", "warn", "b", "2"))
	f(Mapping{Metadata: MetadataNone}, nil)
}

func TestEncodeLabels(t *testing.T) {
	f := func(mapping Mapping, resource, record map[string]any, want string) {
		t.Helper()
		ld := plog.NewLogs()
		rl := ld.ResourceLogs().AppendEmpty()
		require.NoError(t, rl.Resource().Attributes().FromRaw(resource))
		require.NoError(t, rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Attributes().FromRaw(record))
		assert.Equal(t, want, encode(t, mapping, ld)[0].Labels)
	}
	service := LabelRule{Attribute: "service.name"}
	f(Mapping{}, nil, nil, `{service_name="unknown_service"}`)
	f(Mapping{Labels: []LabelRule{service}}, nil, nil, `{service_name="unknown_service"}`)
	f(Mapping{Labels: []LabelRule{service}}, map[string]any{"service.name": "s"}, nil, `{service_name="s"}`)
	f(Mapping{Labels: []LabelRule{service}}, map[string]any{"service.name": ""}, nil, `{service_name="unknown_service"}`)
	f(Mapping{Labels: []LabelRule{service}}, nil, map[string]any{"service.name": "s"}, `{service_name="unknown_service"}`)
	f(Mapping{StaticLabels: map[string]string{"service_name": "static"}}, nil, nil, `{service_name="static"}`)
	f(Mapping{Labels: []LabelRule{service}, StaticLabels: map[string]string{"service_name": "static"}},
		map[string]any{"service.name": "s"}, nil, `{service_name="s"}`)
	// Quotes, backslashes, control characters and letters of all scripts.
	f(Mapping{Labels: []LabelRule{service}}, map[string]any{"service.name": "a\"b\\c\n日本😀"}, nil, `{service_name="a\"b\\c\n日本😀"}`)
	// Values of other types; a list of one is its element.
	f(Mapping{Labels: []LabelRule{{Attribute: "i"}, {Attribute: "b"}, {Attribute: "one"}, {Attribute: "two"}}},
		map[string]any{"i": 7, "b": false, "one": []any{"x"}, "two": []any{"x", "y"}}, nil,
		`{b="false", i="7", one="x", service_name="unknown_service", two="[\"x\",\"y\"]"}`)
	// The first rule that gives a value wins.
	both := []LabelRule{{Attribute: "record", Label: "l", From: FromRecord}, {Attribute: "resource", Label: "l"}, {Attribute: "late", Label: "l"}}
	f(Mapping{Labels: both}, map[string]any{"resource": "2", "late": "3"}, map[string]any{"record": "1"}, `{l="1", service_name="unknown_service"}`)
	f(Mapping{Labels: both}, map[string]any{"resource": "2", "late": "3"}, nil, `{l="2", service_name="unknown_service"}`)
	f(Mapping{Labels: both}, map[string]any{"late": "3"}, nil, `{l="3", service_name="unknown_service"}`)
}

// Two attributes for one label: the one that loses is not lost.
func TestEncodeLosingAttributeStaysVisible(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("a", "1")
	rl.Resource().Attributes().PutStr("b", "2")
	rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	streams := encode(t, Mapping{Labels: []LabelRule{{Attribute: "a", Label: "l"}, {Attribute: "b", Label: "l"}}}, ld)
	assert.Equal(t, `{l="1", service_name="unknown_service"}`, streams[0].Labels)
	assert.Contains(t, streams[0].Entries[0].StructuredMetadata, push.LabelAdapter{Name: "b", Value: "2"})
}

// Resources that differ in no label share a stream, and records that differ in one do not.
func TestEncodeStreams(t *testing.T) {
	ld := plog.NewLogs()
	for i, service := range []string{"a", "b", "a"} {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("service.name", service)
		rl.Resource().Attributes().PutInt("n", int64(i))
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for j := range 4 {
			record := records.AppendEmpty()
			record.SetTimestamp(pcommon.Timestamp(1 + 100*i + j))
			record.Body().SetStr(fmt.Sprintf("%d.%d", i, j))
			record.Attributes().PutInt("status", int64(200+j%2))
		}
	}
	lines := func(streams []push.Stream) map[string][]string {
		m := map[string][]string{}
		for _, stream := range streams {
			assert.NotContains(t, m, stream.Labels, "a stream comes once")
			for _, entry := range stream.Entries {
				m[stream.Labels] = append(m[stream.Labels], entry.Line)
			}
		}
		return m
	}
	assert.Equal(t, map[string][]string{
		`{service_name="a"}`: {"0.0", "0.1", "0.2", "0.3", "2.0", "2.1", "2.2", "2.3"},
		`{service_name="b"}`: {"1.0", "1.1", "1.2", "1.3"},
	}, lines(encode(t, Mapping{Labels: []LabelRule{{Attribute: "service.name"}}}, ld)))
	assert.Equal(t, map[string][]string{
		`{service_name="a", status="200"}`: {"0.0", "0.2", "2.0", "2.2"},
		`{service_name="a", status="201"}`: {"0.1", "0.3", "2.1", "2.3"},
		`{service_name="b", status="200"}`: {"1.0", "1.2"},
		`{service_name="b", status="201"}`: {"1.1", "1.3"},
	}, lines(encode(t, Mapping{Labels: []LabelRule{{Attribute: "service.name"}, {Attribute: "status", From: FromRecord}}}, ld)))
}

func TestEncodeTimestamps(t *testing.T) {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	records.AppendEmpty().SetTimestamp(5_000_000_007)
	records.AppendEmpty().SetObservedTimestamp(6_000_000_000)
	records.AppendEmpty()
	records.AppendEmpty().SetTimestamp(math.MaxInt64 + 1)
	records.AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(time.Time{}))
	before := time.Now()
	entries := encode(t, Mapping{}, ld)[0].Entries
	assert.Equal(t, time.Unix(5, 7).UTC(), entries[0].Timestamp)
	assert.Equal(t, time.Unix(6, 0).UTC(), entries[1].Timestamp)
	for _, entry := range entries[2:] {
		assert.WithinRange(t, entry.Timestamp, before, time.Now())
	}
}

// Entries of a stream go out by their timestamps, those with equal ones as they came.
func TestEntriesAreSorted(t *testing.T) {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i, ts := range []pcommon.Timestamp{3, 1, 2, 1, 3} {
		record := records.AppendEmpty()
		record.SetTimestamp(ts)
		record.Body().SetStr(strconv.Itoa(i))
	}
	var lines []string
	for _, entry := range encode(t, Mapping{}, ld)[0].Entries {
		lines = append(lines, entry.Line)
	}
	assert.Equal(t, []string{"1", "3", "2", "0", "4"}, lines)
}

func TestEncodeBodies(t *testing.T) {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	records.AppendEmpty().Body().SetInt(42)
	require.NoError(t, records.AppendEmpty().Body().SetEmptyMap().FromRaw(map[string]any{"a": []any{1, "x"}}))
	records.AppendEmpty()
	records.AppendEmpty().Body().SetStr("a\nb\x00\xff")
	records.AppendEmpty().Body().SetEmptySlice().AppendEmpty().SetDouble(math.NaN())
	var lines []string
	for _, entry := range encode(t, Mapping{}, ld)[0].Entries {
		lines = append(lines, entry.Line)
	}
	assert.Equal(t, []string{"42", `{"a":[1,"x"]}`, "", "a\nb\x00\xff", "[NaN]"}, lines)
}

func TestNewEncoderErrors(t *testing.T) {
	_, err := NewEncoder(Mapping{
		Labels: []LabelRule{
			{Label: "x"},
			{Attribute: "a", From: "span"},
			{Attribute: "b", Label: "not-a-name"},
			{Attribute: "c", Label: "__reserved"},
		},
		StaticLabels: map[string]string{"9": "v", "empty": ""},
		Metadata:     "all",
	})
	for _, want := range []string{
		"label rule 0: the attribute is missing",
		`label rule 1: from must be "resource" or "record", found "span"`,
		`label rule 2: label name "not-a-name" must have letters`,
		`label rule 3: label name "__reserved" must have letters`,
		`static label "9": label name "9" must have letters`,
		`static label "empty": the value is empty`,
		`the mode must be "rest", "list" or "none", found "all"`,
	} {
		require.ErrorContains(t, err, want)
	}
}

// A stream without service_name gets it from where Loki would take it.
func TestServiceName(t *testing.T) {
	f := func(rules []LabelRule, attributes map[string]any, want string) {
		t.Helper()
		ld := plog.NewLogs()
		rl := ld.ResourceLogs().AppendEmpty()
		require.NoError(t, rl.Resource().Attributes().FromRaw(attributes))
		rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		assert.Equal(t, want, encode(t, Mapping{Labels: rules, StaticLabels: map[string]string{"job": "j"}}, ld)[0].Labels)
	}
	rules := []LabelRule{{Attribute: "service.name"}, {Attribute: "k8s.container.name"}, {Attribute: "container"}}
	f(rules, map[string]any{"service.name": "s", "container": "c"}, `{container="c", job="j", service_name="s"}`)
	f(rules, map[string]any{"k8s.container.name": "k", "container": "c"}, `{container="c", job="j", k8s_container_name="k", service_name="c"}`)
	f(rules, map[string]any{"k8s.container.name": "k"}, `{job="j", k8s_container_name="k", service_name="k"}`)
	f(nil, nil, `{job="j", service_name="j"}`)
}

// For a label's value with U+FFFD Loki refuses the whole request.
func TestReplacementCharacterInLabels(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "a\ufffdb\xffc")
	rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("line \ufffd")
	streams := encode(t, Mapping{Labels: []LabelRule{{Attribute: "service.name"}}}, ld)
	assert.Equal(t, `{service_name="a?b?c"}`, streams[0].Labels)
	assert.Equal(t, "line \ufffd", streams[0].Entries[0].Line)
}

// Values of several labels are told apart whatever bytes they have.
func TestStreamsByRecordLabels(t *testing.T) {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, values := range [][2]string{{"x\xffy", "z"}, {"x", "y\xffz"}, {"x\x01y", "z"}, {"", "xyz"}, {"xyz", ""}} {
		attrs := records.AppendEmpty().Attributes()
		attrs.PutStr("a", values[0])
		attrs.PutStr("b", values[1])
	}
	rules := []LabelRule{{Attribute: "a", From: FromRecord}, {Attribute: "b", From: FromRecord}}
	assert.Len(t, encode(t, Mapping{Labels: rules}, ld), 5)
}

func TestLevel(t *testing.T) {
	f := func(number plog.SeverityNumber, text, want string) {
		t.Helper()
		record := plog.NewLogRecord()
		record.SetSeverityNumber(number)
		record.SetSeverityText(text)
		assert.Equal(t, want, level(record))
	}
	f(plog.SeverityNumberUnspecified, "", "")
	f(plog.SeverityNumberUnspecified, "WARNING", "warn")
	f(plog.SeverityNumberUnspecified, "Critical", "critical")
	f(plog.SeverityNumberUnspecified, "something of its own", "")
	f(plog.SeverityNumberTrace, "", "trace")
	f(plog.SeverityNumberDebug4, "", "debug")
	f(plog.SeverityNumberInfo, "ERROR", "info")
	f(plog.SeverityNumberWarn2, "", "warn")
	f(plog.SeverityNumberError, "", "error")
	f(plog.SeverityNumberFatal4, "", "fatal")
	f(25, "", "")
	f(-1, "", "")
}

// Memory goes by what there is, and not by what the first record has.
func TestEncodeMemory(t *testing.T) {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for range 10_000 {
		records.AppendEmpty().Body().SetStr("short")
	}
	records.At(0).Attributes().PutStr("stack", strings.Repeat("x", 1<<20))
	encoder, err := NewEncoder(Mapping{})
	require.NoError(t, err)
	b := encodeOne(encoder, ld)
	assert.Less(t, cap(b.streams[0].runs[0].entries), 8<<20)
}

func TestLabelName(t *testing.T) {
	f := func(attribute, want string) {
		t.Helper()
		got := LabelName(attribute)
		assert.Equal(t, want, got)
		assert.True(t, isLabelName(got))
	}
	f("service.name", "service_name")
	f("aws.log.group.names", "aws_log_group_names")
	f("a", "a")
	f("_a1", "_a1")
	f("__error__", "key___error__")
	f("..a", "key___a")
	f("1a", "key_1a")
	f("a b-c/d", "a_b_c_d")
	f("Größe", "Gr__e")
	f("", "key_")
	f("_", "key__")
	f("...", "key____")
	f("日本", "key___")
	f("\xff", "key__")
}

// Whatever the batches, and however they are merged, divided and read back: every entry is there once, in its stream, in
// its order, and no part is larger than the limit unless it is of one entry. What was there before a merge is all in the
// first part: the Collector's batcher tells by the parts whose lines were delivered.
func TestMerge(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		measure := Measure(random.IntN(2))
		limit := 1 + random.IntN(3000)
		if measure == MeasureLines {
			limit = 1 + random.IntN(30)
		}
		want := map[string][]string{}
		var parts []*Batch
		for i := range 1 + random.IntN(6) {
			batch := new(Batch)
			for j := range random.IntN(20) {
				labels := fmt.Sprintf(`{s="%d"}`, random.IntN(6))
				line := fmt.Sprintf("%d.%d %s", i, j, strings.Repeat("x", random.IntN(300)))
				// The time stands still, so that the order is that of arrival.
				appendTo(batch, labels, 7, line)
				want[labels] = append(want[labels], line)
			}
			if random.IntN(2) == 0 {
				parsed, err := ParseCompressed(batch.AppendCompressed(nil))
				require.NoError(t, err)
				require.Equal(t, batch.Lines(), parsed.Lines())
				batch = parsed
			}
			if len(parts) == 0 {
				parts = batch.Merge(nil, limit, measure)
				continue
			}
			last := parts[len(parts)-1]
			before, added := linesOf(t, last), linesOf(t, batch)
			merged := last.Merge(batch, limit, measure)
			require.Subset(t, linesOf(t, merged[0]), before)
			for _, part := range merged[1:] {
				require.Subset(t, added, linesOf(t, part))
			}
			parts = append(parts[:len(parts)-1], merged...)
		}
		got := map[string][]string{}
		for i, part := range parts {
			if size := part.measured(measure); size > limit {
				require.Equal(t, 1, part.Lines(), "a part of %d, the limit being %d", size, limit)
			}
			require.True(t, i == 0 || part.Lines() > 0)
			for _, stream := range requestOf(t, part).Streams {
				for _, entry := range stream.Entries {
					got[stream.Labels] = append(got[stream.Labels], entry.Line)
				}
			}
		}
		require.Equal(t, want, got)
	}
}

func TestMergeWithoutLimit(t *testing.T) {
	parts := batchOf("a").Merge(batchOf("b"), 0, MeasureBytes)
	require.Len(t, parts, 1)
	assert.Equal(t, []string{"a", "b"}, linesOf(t, parts[0]))
}

// A part that grows on does not write over the bytes that the next part shares with it.
func TestPartsAreIndependent(t *testing.T) {
	parts := batchOf("first", "second", "third").Merge(nil, 1, MeasureLines)
	require.Len(t, parts, 3)
	parts[0].Merge(batchOf("more"), 0, MeasureLines)
	assert.Equal(t, []string{"first", "more"}, linesOf(t, parts[0]))
	assert.Equal(t, []string{"second"}, linesOf(t, parts[1]))
	assert.Equal(t, []string{"third"}, linesOf(t, parts[2]))
}

func TestMergeKeepsTrackOfOrder(t *testing.T) {
	late := batchAt(20, 21)
	late.Merge(batchAt(5, 6), 0, MeasureBytes)
	late.Merge(batchAt(30), 0, MeasureBytes)
	var times []int64
	for _, entry := range requestOf(t, late).Streams[0].Entries {
		times = append(times, entry.Timestamp.UnixNano())
	}
	assert.Equal(t, []int64{5, 6, 20, 21, 30}, times)
}

func TestParseBatchErrors(t *testing.T) {
	data := batchOf("first line", "second line").AppendRequest(nil)
	for n := 1; n < len(data); n++ {
		_, err := ParseBatch(slices.Clone(data[:n]))
		require.Error(t, err, "the first %d of %d bytes", n, len(data))
	}
	empty, err := ParseBatch(nil)
	require.NoError(t, err)
	assert.Zero(t, empty.Lines())
}

func TestParseCompressedErrors(t *testing.T) {
	f := func(data []byte, want string) {
		t.Helper()
		_, err := ParseCompressed(data)
		require.ErrorContains(t, err, want)
	}
	good := batchOf("line").AppendCompressed(nil)
	f(nil, "read the decoded length")
	f([]byte{0xff, 0xff, 0xff, 0xff, 0x07, 0}, "6 bytes cannot decode to 2147483647")
	f(good[:len(good)-1], "decompress")
	f(s2.EncodeSnappy(nil, []byte("no push request")), errNotPushRequest.Error())
	// As far as snappy goes.
	b, err := ParseCompressed(batchOf(strings.Repeat("x", 1<<20)).AppendCompressed(nil))
	require.NoError(t, err)
	assert.Equal(t, 1, b.Lines())
}

func FuzzParseBatch(f *testing.F) {
	f.Add(batchOf("first line", "second line").AppendRequest(nil))
	f.Add(batchAt(5, 3).AppendRequest(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		batch, err := ParseBatch(slices.Clone(data))
		if err != nil {
			return
		}
		lines := batch.Lines()
		again, err := ParseBatch(batch.AppendRequest(nil))
		require.NoError(t, err)
		require.Equal(t, lines, again.Lines())
		total := 0
		for _, part := range again.Merge(nil, 100, MeasureBytes) {
			total += part.Lines()
		}
		require.Equal(t, lines, total)
	})
}

func batchOf(lines ...string) *Batch {
	b := new(Batch)
	for _, line := range lines {
		appendTo(b, `{service_name="s"}`, 7, line)
	}
	return b
}

func batchAt(times ...int64) *Batch {
	b := new(Batch)
	for _, nanos := range times {
		appendTo(b, `{service_name="s"}`, nanos, "line")
	}
	return b
}

func appendTo(b *Batch, labels string, nanos int64, line string) {
	r := run{entries: appendEntry(nil, nanos, line, nil, nil)}
	r.note(nanos)
	b.append(labels, r)
}

func linesOf(t *testing.T, b *Batch) (lines []string) {
	t.Helper()
	for _, stream := range requestOf(t, b).Streams {
		for _, entry := range stream.Entries {
			lines = append(lines, entry.Line)
		}
	}
	return lines
}
