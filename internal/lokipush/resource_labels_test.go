// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"fmt"
	"strings"
	"testing"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// given is a mapping by which every resource has these labels.
func given(labels map[string]string) Mapping {
	return Mapping{ResourceLabels: func(pcommon.Map) map[string]string { return labels }}
}

func TestResourceLabels(t *testing.T) {
	t.Parallel()
	f := func(labels map[string]string, want string) {
		t.Helper()
		mapping := given(labels)
		ld := oneRecord(t, "line", map[string]any{"service.name": "s"}, map[string]any{"status": 200})
		stream, changes := encodeChanged(t, mapping, ld)
		assert.Equal(t, want, stream.Labels)
		assert.Zero(t, changes)
		// No attribute is a label.
		assert.Equal(t, pairs("service_name", "s", "status", "200"), stream.Entries[0].StructuredMetadata)
		assert.Equal(t, "line", stream.Entries[0].Line)
	}
	f(map[string]string{"__aws_log_type": "cloudwatch", "__extra_env": "prod", "empty": ""},
		`{__aws_log_type="cloudwatch", __extra_env="prod"}`)
	f(map[string]string{"app": "web"}, `{app="web"}`)
	f(map[string]string{"service_name": "own"}, `{service_name="own"}`)
	// Of names that become one, the one that is so by itself.
	f(map[string]string{"a.b": "1", "a_b": "2", "a-b": "3"}, `{a_b="2"}`)
	f(map[string]string{"a.b": "1", "a_b": "", "a-b": "3"}, `{a_b="3"}`)
	f(map[string]string{"a": "\"\xff\ufffd"}, `{a="\"??"}`)
}

// A function stands in the place of rules: with both it is not clear what is meant.
func TestRulesAndFunction(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*Mapping){
		func(m *Mapping) { m.Labels = []LabelRule{{Attribute: "service.name"}} },
		func(m *Mapping) { m.StaticLabels = map[string]string{"job": "j"} },
	} {
		mapping := given(map[string]string{"a": "1"})
		change(&mapping)
		_, err := NewEncoder(mapping)
		require.EqualError(t, err, "there are rules for labels and a function in their place")
	}
}

func TestGivenName(t *testing.T) {
	t.Parallel()
	f := func(name, want string) {
		t.Helper()
		assert.Equal(t, want, givenName(name))
	}
	f("a", "a")
	f("_a1", "_a1")
	f("__aws_log_type", "__aws_log_type")
	f("..a", "__a")
	f("key___a-b", "key___a_b")
	f("Größe", "Gr__e")
	f("1a", "key_1a")
	f("", "key_")
	f("__", "key___")
	f("日本", "key___")
	f("\xff", "key__")
}

// Lines of resources without labels are left out, those of the others stay in their order.
func TestResourceWithoutLabels(t *testing.T) {
	t.Parallel()
	mapping := Mapping{
		TenantAttribute: "tenant",
		ResourceLabels: func(resource pcommon.Map) map[string]string {
			name, _ := resource.Get("name")
			return map[string]string{"name": name.Str(), "empty": ""}
		},
	}
	encoder, err := NewEncoder(mapping)
	require.NoError(t, err)
	ld := plog.NewLogs()
	for i, name := range []string{"", "a", "", "b", "a"} {
		tenant := "full"
		if name == "" {
			tenant = "not|valid"
		}
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("name", name)
		rl.Resource().Attributes().PutStr("tenant", tenant)
		for range 2 {
			for j := range 3 {
				records := rl.ScopeLogs().AppendEmpty().LogRecords()
				record := records.AppendEmpty()
				record.SetTimestamp(7)
				record.Body().SetStr(fmt.Sprintf("%d.%d", i, j))
			}
		}
	}
	encoded := encoder.Encode(ld)
	require.Len(t, encoded.Parts, 1)
	assert.Equal(t, "full", encoded.Parts[0].Tenant)
	assert.Equal(t, Changes{UnlabeledLines: 12}, encoded.Changes)
	streams := requestOf(t, encoded.Parts[0].Batch).Streams
	require.Len(t, streams, 2)
	assert.Equal(t, `{name="a"}`, streams[0].Labels)
	assert.Equal(t, `{name="b"}`, streams[1].Labels)
	var lines []string
	for _, entry := range streams[0].Entries {
		lines = append(lines, entry.Line)
	}
	assert.Equal(t, strings.Fields("1.0 1.1 1.2 1.0 1.1 1.2 4.0 4.1 4.2 4.0 4.1 4.2"), lines)

	for _, labels := range []map[string]string{nil, {}, {"a": ""}} {
		encoder, err := NewEncoder(given(labels))
		require.NoError(t, err)
		encoded := encoder.Encode(oneRecord(t, "line", nil, nil))
		assert.Empty(t, encoded.Parts)
		assert.Equal(t, Changes{UnlabeledLines: 1}, encoded.Changes)
	}
}

// Labels that are too many or too long become structured metadata, as others do.
func TestResourceLabelLimits(t *testing.T) {
	t.Parallel()
	mapping := given(map[string]string{"__a": "1", "__b": "too long a value", "__c": "3", "__d": "4", "service_name": "s"})
	mapping.Limits = Limits{MaxLabelNamesPerSeries: 2, MaxLabelValueLength: 10}
	stream, changes := encodeChanged(t, mapping, oneRecord(t, "line", nil, nil))
	assert.Equal(t, `{__a="1", __c="3", service_name="s"}`, stream.Labels)
	assert.Equal(t, pairs("__b", "too long a value", "__d", "4"), stream.Entries[0].StructuredMetadata)
	assert.Equal(t, Changes{DemotedLabels: 2}, changes)

	// Also if none is left: the line is not lost.
	mapping = given(map[string]string{"a": "too long a value"})
	mapping.Limits = Limits{MaxLabelValueLength: 10}
	stream, changes = encodeChanged(t, mapping, oneRecord(t, "line", nil, nil))
	assert.Equal(t, `{service_name="unknown_service"}`, stream.Labels)
	assert.Equal(t, Changes{DemotedLabels: 1}, changes)
}

// Structured metadata is what the modes say.
func TestResourceLabelsMetadata(t *testing.T) {
	t.Parallel()
	f := func(mapping Mapping, want push.LabelsAdapter) {
		t.Helper()
		mapping.ResourceLabels = given(map[string]string{"a": "1"}).ResourceLabels
		stream, _ := encodeChanged(t, mapping, oneRecord(t, "line", map[string]any{"a": "x", "r": "y"}, map[string]any{"b": "z"}))
		assert.Equal(t, want, stream.Entries[0].StructuredMetadata)
	}
	f(Mapping{}, pairs("a", "x", "r", "y", "b", "z"))
	f(Mapping{Hidden: []string{"r"}}, pairs("a", "x", "b", "z"))
	f(Mapping{Metadata: MetadataList, MetadataAttributes: []string{"b"}}, pairs("b", "z"))
	f(Mapping{Metadata: MetadataNone}, nil)
}

// The labels are asked for once for a resource, however many lines, scopes and tenants there are.
func TestResourceLabelsOnce(t *testing.T) {
	t.Parallel()
	calls := 0
	encoder, err := NewEncoder(Mapping{
		ResourceLabels: func(pcommon.Map) map[string]string {
			calls++
			return map[string]string{"a": "1"}
		},
		Convert: func(record plog.LogRecord, _ pcommon.Resource, _ pcommon.InstrumentationScope) (Converted, bool) {
			return Converted{Plain: true, Tenant: record.Body().Str()}, true
		},
	})
	require.NoError(t, err)
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	for range 2 {
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for _, tenant := range []string{"x", "y", "x"} {
			records.AppendEmpty().Body().SetStr(tenant)
		}
	}
	encoded := encoder.Encode(ld)
	assert.Equal(t, 1, calls)
	require.Len(t, encoded.Parts, 2)
	for _, part := range encoded.Parts {
		assert.Equal(t, `{a="1"}`, requestOf(t, part.Batch).Streams[0].Labels)
	}
}

// promtailLabels are such as lambda-promtail gives.
func promtailLabels(resource pcommon.Map) map[string]string {
	group, _ := resource.Get("aws.log.group.names")
	owner, _ := resource.Get("cloud.account.id")
	return map[string]string{
		"__aws_log_type": "cloudwatch", "__aws_cloudwatch_log_group": group.Slice().At(0).Str(), "__aws_cloudwatch_owner": owner.Str(),
	}
}

// More lines of a resource take no more allocations, but for the doubling of what they are written to.
func TestResourceLabelsAllocations(t *testing.T) {
	encoder, err := NewEncoder(Mapping{Limits: DefaultLimits(), ResourceLabels: promtailLabels})
	require.NoError(t, err)
	allocations := func(lines int) float64 {
		ld := benchmarkLogs()
		for _, rl := range ld.ResourceLogs().All() {
			n := 0
			rl.ScopeLogs().At(0).LogRecords().RemoveIf(func(plog.LogRecord) bool { n++; return n > lines })
		}
		return testing.AllocsPerRun(5, func() { encodeOne(encoder, ld) })
	}
	few, many := allocations(10), allocations(200)
	assert.Less(t, many-few, float64(5*benchmarkStreams), "%v for 10 lines of a resource, %v for 200", few, many)
}

// As BenchmarkEncodeUncompressed, with the labels that lambda-promtail gives.
func BenchmarkEncodeResourceLabels(b *testing.B) {
	ld := benchmarkLogs()
	encoder, err := NewEncoder(Mapping{Limits: DefaultLimits(), ResourceLabels: promtailLabels})
	require.NoError(b, err)
	b.SetBytes(benchmarkLines * 262)
	b.ReportAllocs()
	var batch *Batch
	for b.Loop() {
		batch = encodeOne(encoder, ld)
	}
	require.Equal(b, benchmarkLines, batch.Lines())
	reportLines(b, batch.Size())
}
