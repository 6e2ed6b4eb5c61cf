// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// oneRecord is a record with these attributes and its resource's.
func oneRecord(t *testing.T, body string, resource, attrs map[string]any) plog.Logs {
	t.Helper()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	putAll(t, rl.Resource().Attributes(), resource)
	record := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.Body().SetStr(body)
	putAll(t, record.Attributes(), attrs)
	return ld
}

// putAll puts the attributes in the order of their names.
func putAll(t *testing.T, attrs pcommon.Map, values map[string]any) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		require.NoError(t, attrs.PutEmpty(name).FromRaw(values[name]))
	}
}

func encodeChanged(t *testing.T, mapping Mapping, ld plog.Logs) (push.Stream, Changes) {
	t.Helper()
	encoder, err := NewEncoder(mapping)
	require.NoError(t, err)
	encoded := encoder.Encode(ld)
	require.Len(t, encoded.Parts, 1)
	streams := requestOf(t, encoded.Parts[0].Batch).Streams
	require.Len(t, streams, 1)
	return streams[0], encoded.Changes
}

func TestLineLimit(t *testing.T) {
	f := func(limit int, line, want string) {
		t.Helper()
		stream, changes := encodeChanged(t, Mapping{Limits: Limits{MaxLineSize: limit}}, oneRecord(t, line, nil, nil))
		assert.Equal(t, want, stream.Entries[0].Line)
		if line == want {
			assert.Zero(t, changes)
			assert.Empty(t, stream.Entries[0].StructuredMetadata)
			return
		}
		assert.Equal(t, Changes{TruncatedLines: 1}, changes)
		assert.Equal(t, pairs("log_record_original_size", strconv.Itoa(len(line))), stream.Entries[0].StructuredMetadata)
	}
	f(0, "any", "any")
	f(3, "abc", "abc")
	f(3, "abcd", "abc")
	f(3, "abé", "ab")
	f(4, "abéd", "abé")
	f(5, "a日本", "a日")
	f(1, "日本", "\xe6") // nothing of it is a character
	f(3, "ab\xff\xff", "ab\xff")
	f(6, "ab\x80\x80\x80\x80\x80\x80", "ab\x80\x80\x80\x80") // no text: cut as it comes

	stream, changes := encodeChanged(t, Mapping{Metadata: MetadataNone, Limits: Limits{MaxLineSize: 3}}, oneRecord(t, "abcd", nil, nil))
	assert.Equal(t, "abc", stream.Entries[0].Line)
	assert.Empty(t, stream.Entries[0].StructuredMetadata)
	assert.Equal(t, 1, changes.TruncatedLines)
}

// Labels beyond the limit become structured metadata: the last of the rules first, static labels never.
func TestLabelLimit(t *testing.T) {
	mapping := Mapping{StaticLabels: map[string]string{"zone": "z"}, Limits: Limits{MaxLabelNamesPerSeries: 3}}
	resource := map[string]any{}
	for _, name := range []string{"service.name", "d", "c", "b", "a"} {
		mapping.Labels = append(mapping.Labels, LabelRule{Attribute: name})
		resource[name] = "of " + name
	}
	mapping.Labels = append(mapping.Labels, LabelRule{Attribute: "e", From: FromRecord})
	ld := oneRecord(t, "line", resource, map[string]any{"e": "of e", "f": "of f"})
	stream, changes := encodeChanged(t, mapping, ld)
	assert.Equal(t, `{c="of c", d="of d", service_name="of service.name", zone="z"}`, stream.Labels)
	assert.Equal(t, pairs("b", "of b", "a", "of a", "e", "of e", "f", "of f"), stream.Entries[0].StructuredMetadata)
	assert.Equal(t, Changes{DemotedLabels: 3}, changes)

	mapping.Metadata = MetadataNone
	stream, changes = encodeChanged(t, mapping, ld)
	assert.Equal(t, `{c="of c", d="of d", service_name="of service.name", zone="z"}`, stream.Labels)
	assert.Empty(t, stream.Entries[0].StructuredMetadata)
	assert.Equal(t, Changes{DroppedMetadata: 3}, changes)
}

// Labels that are too long become structured metadata as well, and a service_name among them is found elsewhere.
func TestLabelLengths(t *testing.T) {
	long := strings.Repeat("x", 11)
	mapping := Mapping{
		Labels: []LabelRule{{Attribute: "service.name"}, {Attribute: "app"}, {Attribute: "team"}, {Attribute: "a_rather_long_name"}},
		Limits: Limits{MaxLabelNameLength: 12, MaxLabelValueLength: 10},
	}
	stream, changes := encodeChanged(t, mapping, oneRecord(t, "line", map[string]any{
		"service.name": long, "app": "shop", "team": strings.Repeat("y", 10), "a_rather_long_name": "v",
	}, nil))
	assert.Equal(t, `{app="shop", service_name="shop", team="yyyyyyyyyy"}`, stream.Labels)
	assert.Equal(t, pairs("service_name", long, "a_rather_long_name", "v"), stream.Entries[0].StructuredMetadata)
	assert.Equal(t, Changes{DemotedLabels: 2}, changes)
}

// Of too much structured metadata, the record's own stays before the resource's, in their usual places.
func TestMetadataLimits(t *testing.T) {
	ld := oneRecord(t, "line", map[string]any{"a": "resource", "r": strings.Repeat("r", 20)}, map[string]any{"a": "record", "b": "bb"})
	f := func(limits Limits, want push.LabelsAdapter, dropped int) {
		t.Helper()
		stream, changes := encodeChanged(t, Mapping{Limits: limits}, ld)
		assert.ElementsMatch(t, want, stream.Entries[0].StructuredMetadata)
		assert.Equal(t, Changes{DroppedMetadata: dropped}, changes)
		found := slices.IndexFunc(stream.Entries[0].StructuredMetadata, func(l push.LabelAdapter) bool { return l.Value == "resource" })
		own := slices.IndexFunc(stream.Entries[0].StructuredMetadata, func(l push.LabelAdapter) bool { return l.Value == "record" })
		assert.Less(t, found, own, "Loki takes the last")
	}
	all := pairs("a", "resource", "r", strings.Repeat("r", 20), "a", "record", "b", "bb")
	f(Limits{}, all, 0)
	f(Limits{MaxStructuredMetadataEntries: 4, MaxStructuredMetadataSize: 40}, all, 0)
	f(Limits{MaxStructuredMetadataEntries: 3}, slices.Delete(slices.Clone(all), 1, 2), 1)
	f(Limits{MaxStructuredMetadataSize: 39}, slices.Delete(slices.Clone(all), 1, 2), 1)
	f(Limits{MaxStructuredMetadataSize: 10}, all[2:], 2)
	f(Limits{MaxStructuredMetadataEntries: 1, MaxStructuredMetadataSize: 7}, all[2:3], 3)
}

// Whatever has more than Loki takes, of anything: what is sent is within Loki's limits.
func TestDefaultLimits(t *testing.T) {
	resource, attrs := map[string]any{}, map[string]any{}
	mapping := Mapping{Limits: DefaultLimits()}
	for i := range 200 {
		name := fmt.Sprintf("n%03d", i)
		resource[name], attrs[name] = strings.Repeat("r", i*100), strings.Repeat("a", i*10)
		mapping.Labels = append(mapping.Labels, LabelRule{Attribute: name})
	}
	stream, changes := encodeChanged(t, mapping, oneRecord(t, strings.Repeat("日", 1<<18), resource, attrs))
	entry := stream.Entries[0]
	assert.LessOrEqual(t, len(entry.Line), 256<<10)
	assert.True(t, utf8.ValidString(entry.Line))
	assert.LessOrEqual(t, len(entry.StructuredMetadata), 128)
	size := 0
	for _, pair := range entry.StructuredMetadata {
		size += len(pair.Name) + len(pair.Value)
	}
	assert.LessOrEqual(t, size, 64<<10)
	assert.Equal(t, 16, strings.Count(stream.Labels, "="))
	assert.Equal(t, 1, changes.TruncatedLines)
	assert.Positive(t, changes.DroppedMetadata)
	assert.Equal(t, 184, changes.DemotedLabels)
}

func TestTenants(t *testing.T) {
	ld := plog.NewLogs()
	for _, resource := range []map[string]any{{"team": "a"}, {"team": "b"}, {}, {"team": "x|y"}, {"team": "a"}, {"team": 7}} {
		oneRecord(t, "line", resource, nil).ResourceLogs().MoveAndAppendTo(ld.ResourceLogs())
	}
	for _, records := range []bool{false, true} {
		mapping := Mapping{TenantAttribute: "team"}
		if records {
			// The streams are found for each record.
			mapping.Labels = []LabelRule{{Attribute: "none", From: FromRecord}}
		}
		encoder, err := NewEncoder(mapping)
		require.NoError(t, err)
		encoded := encoder.Encode(ld)
		lines := map[string]int{}
		var order []string
		for _, part := range encoded.Parts {
			order = append(order, part.Tenant)
			lines[part.Tenant] = part.Batch.Lines()
		}
		assert.Equal(t, []string{"a", "b", "", "7"}, order)
		assert.Equal(t, map[string]int{"a": 2, "b": 1, "": 1, "7": 1}, lines)
		assert.Equal(t, 1, encoded.BadTenantLines)
		require.EqualError(t, encoded.BadTenant, `a tenant holds only letters, digits and !-_.*'(), found "x|y"`)
	}
}

// Records that are converted by other rules keep their place beside the others, and to Loki's limits.
func TestConverted(t *testing.T) {
	mapping := Mapping{
		Labels:       []LabelRule{{Attribute: "service.name"}},
		StaticLabels: map[string]string{"zone": "z"},
		Hidden:       []string{"hidden"},
		Limits:       Limits{MaxLabelNamesPerSeries: 2, MaxLineSize: 10},
		Convert: func(record plog.LogRecord, _ pcommon.Resource, _ pcommon.InstrumentationScope) (Converted, bool) {
			whole, ok := record.Attributes().Get("whole")
			if !ok {
				return Converted{}, false
			}
			return Converted{
				Tenant: "t", Labels: map[string]string{"a": "1", "b": "2", "c": "", "__d": "4", "job": "j"}, Line: "a line too long", Whole: whole.Bool(),
			}, true
		},
	}
	encoder, err := NewEncoder(mapping)
	require.NoError(t, err)
	ld := plog.NewLogs()
	for _, attrs := range []map[string]any{{"hidden": 1}, {"whole": true}, {"whole": false, "hidden": 1, "a": "x"}} {
		oneRecord(t, "line", map[string]any{"service.name": "s", "hidden": 2}, attrs).ResourceLogs().MoveAndAppendTo(ld.ResourceLogs())
	}
	encoded := encoder.Encode(ld)
	byTenant := map[string][]push.Stream{}
	for _, part := range encoded.Parts {
		byTenant[part.Tenant] = requestOf(t, part.Batch).Streams
	}
	assert.Equal(t, []string{"", "t"}, slices.Sorted(maps.Keys(byTenant)))
	assert.Equal(t, `{service_name="s", zone="z"}`, byTenant[""][0].Labels)
	assert.Empty(t, byTenant[""][0].Entries[0].StructuredMetadata)

	require.Len(t, byTenant["t"], 1)
	stream := byTenant["t"][0]
	assert.Equal(t, `{key___d="4", service_name="unknown_service", zone="z"}`, stream.Labels)
	require.Len(t, stream.Entries, 2)
	assert.Equal(t, "a line too", stream.Entries[0].Line)
	assert.Equal(t, pairs("a", "1", "b", "2", "job", "j", "log_record_original_size", "15"), stream.Entries[0].StructuredMetadata)
	assert.Equal(t, pairs("a", "1", "b", "2", "job", "j", "log_record_original_size", "15", "service_name", "s", "whole", "false"), stream.Entries[1].StructuredMetadata)
	assert.Equal(t, Changes{TruncatedLines: 2, DemotedLabels: 6}, encoded.Changes)
}

// A resource's metadata is copied into each entry: a small request does not become a batch that memory has no room for.
func TestCopiedMetadata(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("large", strings.Repeat("x", 60<<10))
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	const n = 2000
	for range n {
		records.AppendEmpty().Attributes().PutStr("own", "kept")
	}
	encoder, err := NewEncoder(Mapping{Limits: DefaultLimits()})
	require.NoError(t, err)
	encoded := encoder.Encode(ld)
	batch := encoded.Parts[0].Batch
	assert.Equal(t, n, batch.Lines())
	assert.Less(t, batch.Size(), 70<<20)
	assert.Greater(t, encoded.DroppedMetadata, n/3)
	last := requestOf(t, batch).Streams[0].Entries[n-1]
	assert.Equal(t, pairs("own", "kept"), last.StructuredMetadata)
}
