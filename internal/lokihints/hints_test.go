// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokihints

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/loki"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// sent is lines by tenant and by label set, in their order.
type sent map[string]map[string][]string

func (s sent) add(tenant, labels string, lines ...string) {
	if s[tenant] == nil {
		s[tenant] = map[string][]string{}
	}
	s[tenant][labels] = append(s[tenant][labels], lines...)
}

// labelText writes a label set as the translator does.
func labelText(labels map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", name, labels[name]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

// removedExporter is what the removed exporter sent, and how many records it dropped.
func removedExporter(ld plog.Logs, defaultLabels map[string]bool) (s sent, dropped int) {
	s = sent{}
	for tenant, request := range loki.LogsToLokiRequests(ld, defaultLabels) {
		dropped += request.Report.NumDropped
		for _, stream := range request.Streams {
			for _, entry := range stream.Entries {
				s.add(tenant, stream.Labels, entry.Line)
			}
		}
	}
	return s, dropped
}

type recordFunc func(plog.LogRecord, pcommon.Resource, pcommon.InstrumentationScope)

func eachRecord(ld plog.Logs, f recordFunc) {
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				f(record, rl.Resource(), sl.Scope())
			}
		}
	}
}

// Whatever the records, their hints and the default labels: tenants, streams and lines are those of the removed exporter,
// and what that dropped gives an error. Arguments are read only.
func TestLikeTheRemovedExporter(t *testing.T) {
	g := newGenerator(1)
	records, errs := 0, map[string]int{}
	for _, defaults := range allDefaultLabels() {
		ld := g.logs()
		ld.MarkReadOnly()
		want, wantDropped := removedExporter(ld, defaults)
		got, gotDropped := sent{}, 0
		always, hinted := NewConverter(defaults, true), NewConverter(defaults, false)
		eachRecord(ld, func(record plog.LogRecord, resource pcommon.Resource, scope pcommon.InstrumentationScope) {
			records++
			entry, ok, err := always.Convert(record, resource, scope)
			require.True(t, ok)
			requireSameIfHinted(t, hinted, record, resource, scope, entry)
			if err != nil {
				require.Equal(t, Entry{Tenant: loki.GetTenantFromTenantHint(record.Attributes(), resource.Attributes())}, entry)
				gotDropped++
				errs[err.Error()]++
				return
			}
			if entry.Raw {
				require.Equal(t, record.Body().AsString(), entry.Line)
			}
			got.add(entry.Tenant, labelText(entry.Labels), entry.Line)
		})
		require.Equal(t, want, got, "default labels %v", defaults)
		require.Equal(t, wantDropped, gotDropped)
	}
	assert.Greater(t, records, 5000)
	const doing = "convert a record as its hints say: "
	assert.ElementsMatch(t, []string{
		doing + "loki.format is none of json, logfmt and raw",
		doing + "a label or a key of the body has no valid name",
		doing + "json: unsupported value: NaN",
		doing + "json: unsupported value: +Inf",
	}, slices.Collect(maps.Keys(errs)), "nothing of the record")
}

// requireSameIfHinted compares a converter of hinted records with one of all.
func requireSameIfHinted(t *testing.T, hinted *Converter, record plog.LogRecord, resource pcommon.Resource, scope pcommon.InstrumentationScope, want Entry) {
	t.Helper()
	entry, ok, _ := hinted.Convert(record, resource, scope)
	require.Equal(t, hasHint(record.Attributes()) || hasHint(resource.Attributes()), ok)
	if ok {
		require.Equal(t, want, entry)
	} else {
		require.Equal(t, Entry{}, entry)
	}
}

// allDefaultLabels are nil and all ways to enable, disable or leave out the default labels.
func allDefaultLabels() []map[string]bool {
	all := []map[string]bool{{}}
	for _, name := range []string{"exporter", "job", "instance", "level"} {
		for _, defaults := range slices.Clone(all) {
			for _, enabled := range []bool{false, true} {
				more := maps.Clone(defaults)
				more[name] = enabled
				all = append(all, more)
			}
		}
	}
	return append(all, nil)
}

// attributes are hints and other attributes, by name.
type attributes map[string]any

func newRecord(tb testing.TB, body string, record, resource attributes) (plog.LogRecord, pcommon.Resource, pcommon.InstrumentationScope) {
	tb.Helper()
	lr, res, scope := plog.NewLogRecord(), pcommon.NewResource(), pcommon.NewInstrumentationScope()
	lr.Body().SetStr(body)
	require.NoError(tb, lr.Attributes().FromRaw(record))
	require.NoError(tb, res.Attributes().FromRaw(resource))
	return lr, res, scope
}

func TestConvert(t *testing.T) {
	noDefaults := map[string]bool{"exporter": false, "job": false, "instance": false, "level": false}
	f := func(record, resource attributes, want Entry) {
		t.Helper()
		lr, res, scope := newRecord(t, "a=1", record, resource)
		entry, ok, err := NewConverter(noDefaults, false).Convert(lr, res, scope)
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, want, entry)
	}
	none := map[string]string{}
	f(attributes{"loki.format": "raw", "x": 1}, nil, Entry{Labels: none, Line: "a=1", Raw: true})
	f(attributes{"loki.format": "logfmt", "x": 1}, nil, Entry{Labels: none, Line: "a=1 attribute_x=1"})
	f(attributes{"loki.format": "json", "x": 1}, nil, Entry{Labels: none, Line: `{"body":"a=1","attributes":{"x":1}}`})
	f(attributes{"loki.attribute.labels": "x, y.z", "x": 1, "y": map[string]any{"z": "2"}}, nil,
		Entry{Labels: map[string]string{"x": "1", "y_z": "2"}, Line: `{"body":"a=1","attributes":{"y":{"z":"2"}}}`})
	f(attributes{"x": 1}, attributes{"loki.resource.labels": []any{"cloud.region"}, "cloud.region": "eu", "loki.format": "raw"},
		Entry{Labels: map[string]string{"cloud_region": "eu"}, Line: "a=1", Raw: true})
	f(attributes{"loki.tenant": "team", "team": "a"}, attributes{"team": "b", "loki.format": "raw"},
		Entry{Tenant: "b", Labels: none, Line: "a=1", Raw: true})
	// The format of the resource comes first.
	f(attributes{"loki.format": "json"}, attributes{"loki.format": "raw"}, Entry{Labels: none, Line: "a=1", Raw: true})
}

func TestConvertErrors(t *testing.T) {
	f := func(record, resource attributes, want string) {
		t.Helper()
		lr, res, scope := newRecord(t, "body", record, resource)
		entry, ok, err := NewConverter(nil, false).Convert(lr, res, scope)
		assert.EqualError(t, err, "convert a record as its hints say: "+want)
		assert.True(t, ok)
		assert.Equal(t, Entry{}, entry)
	}
	const format = "loki.format is none of json, logfmt and raw"
	f(attributes{"loki.format": "secret"}, nil, format)
	f(nil, attributes{"loki.format": 1}, format)
	f(attributes{"loki.format": "json", "x": math.NaN()}, nil, "json: unsupported value: NaN")
	const name = "a label or a key of the body has no valid name"
	f(attributes{"loki.attribute.labels": "秘密", "秘密": "x"}, nil, name)
	f(nil, attributes{"loki.resource.labels": "", "": "x"}, name)
	const dots = "the hints name attributes with too many dots"
	deep := strings.Repeat("a.", 14)
	f(attributes{"loki.attribute.labels": "x," + deep}, nil, dots)
	f(attributes{"loki.resource.labels": []any{deep}}, nil, dots)
	f(nil, attributes{"loki.resource.labels": map[string]any{deep: 1}}, dots)
	f(nil, attributes{"loki.resource.labels": strings.Repeat("a.", 1000)}, dots)
	f(nil, attributes{"loki.resource.labels": strings.Repeat("a.b.c.d.e,", 1000)}, dots)
}

// Names that somebody may really use do not have too many dots.
func TestDotsAllowed(t *testing.T) {
	name := "k8s.pod.labels.app.kubernetes.io/component.of.some.large.system"
	f := func(hint any) {
		t.Helper()
		lr, res, scope := newRecord(t, "", attributes{"loki.attribute.labels": hint, name: "x"}, nil)
		entry, _, err := NewConverter(nil, false).Convert(lr, res, scope)
		require.NoError(t, err)
		assert.Equal(t, "x", entry.Labels["k8s_pod_labels_app_kubernetes_io_component_of_some_large_system"])
	}
	f(name)
	f([]any{name, "b"})
	f(strings.Repeat("a.b.c,", 100) + name)
}

func TestHintsAreNotSentOn(t *testing.T) {
	hints := attributes{"loki.attribute.labels": "x", "loki.resource.labels": "y", "loki.tenant": "z", "x": 1, "y": 2, "z": "3"}
	for _, format := range []string{"json", "logfmt", "raw"} {
		hints["loki.format"] = format
		lr, res, scope := newRecord(t, "body", hints, hints)
		entry, _, err := NewConverter(nil, false).Convert(lr, res, scope)
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"exporter": "OTLP", "x": "1", "y": "2"}, entry.Labels)
		assert.NotContains(t, entry.Line, "loki.")
	}
	lr, res, scope := newRecord(t, "body", hints, hints)
	for _, write := range []func(plog.LogRecord, pcommon.Resource, pcommon.InstrumentationScope) (string, error){JSON, Logfmt} {
		line, err := write(lr, res, scope)
		require.NoError(t, err)
		assert.NotContains(t, line, "loki.")
	}
}

func TestWithoutHints(t *testing.T) {
	lr, res, scope := newRecord(t, "body", attributes{"loki.labels": "x", "x": 1}, attributes{"loki": 1})
	entry, ok, err := NewConverter(nil, false).Convert(lr, res, scope)
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Equal(t, Entry{}, entry)
	entry, ok, err = NewConverter(nil, true).Convert(lr, res, scope)
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, Entry{
		Labels: map[string]string{"exporter": "OTLP"},
		Line:   `{"body":"body","attributes":{"loki.labels":"x","x":1},"resources":{"loki":1}}`,
	}, entry)
}

func TestWithoutHintsNothingIsAllocated(t *testing.T) {
	lr, res, scope := newRecord(t, "body", attributes{"x": 1, "loki.labels": "x"}, attributes{"service.name": "s", "list": []any{1}})
	c := NewConverter(map[string]bool{"job": false}, false)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _, _ = c.Convert(lr, res, scope) }))
}

// What becomes of the map of default labels later is none of the converter's business.
func TestDefaultLabelsAreCopied(t *testing.T) {
	defaults := map[string]bool{}
	c := NewConverter(defaults, true)
	defaults["exporter"] = false
	entry, _, err := c.Convert(newRecord(t, "", nil, nil))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"exporter": "OTLP"}, entry.Labels)
}
