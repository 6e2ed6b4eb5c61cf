// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"bytes"
	"fmt"
	"regexp"
	"testing"

	"github.com/grafana/loki/pkg/push"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/loki"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/exporter/lokiexporter/internal/metadata"
)

// hinted is records in all the ways in which contrib's exporter took hints.
func hinted() plog.Logs {
	ld := plog.NewLogs()
	add := func(resource map[string]any, records ...map[string]any) {
		rl := ld.ResourceLogs().AppendEmpty()
		_ = rl.Resource().Attributes().FromRaw(resource)
		for i, attrs := range records {
			record := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
			record.SetTimestamp(1_000_000_000)
			record.SetSeverityNumber(plog.SeverityNumber(i * 4))
			record.Body().SetStr(fmt.Sprintf("user=%d done", i))
			_ = record.Attributes().FromRaw(attrs)
		}
	}
	service := map[string]any{"service.namespace": "shop", "service.name": "checkout", "service.instance.id": "i-1"}
	add(service, map[string]any{"a": 1}, map[string]any{"loki.attribute.labels": "a, b.c", "a": 1, "b": map[string]any{"c": "x", "d": []any{1, "2"}}})
	add(map[string]any{"service.name": "cart", "loki.resource.labels": "region", "region": "eu", "loki.format": "raw"}, map[string]any{"a": 1}, map[string]any{})
	add(map[string]any{"loki.tenant": "team", "team": "t1"}, map[string]any{"loki.format": "logfmt", "a": true}, map[string]any{"loki.format": "json", "a": 2.5})
	add(map[string]any{"x": "y"}, map[string]any{"loki.tenant": "team", "team": "t2", "loki.attribute.labels": []any{"team", "level"}, "level": "odd"})
	add(map[string]any{"x": "y"}, map[string]any{"nothing": "hinted"})
	return ld
}

var serviceNameLabel = regexp.MustCompile(`(, )?service_name="[^"]*"(, )?`)

// A configuration of contrib's exporter gives the same tenants, streams and lines as contrib's own code. service_name is
// what Loki would add.
func TestContribConfig(t *testing.T) {
	for _, labels := range []map[string]any{{}, {"exporter": false}, {"job": false, "instance": false, "level": false, "exporter": true}} {
		config := createDefaultConfig().(*Config)
		require.NoError(t, confmap.NewFromStringMap(map[string]any{"default_labels_enabled": labels}).Unmarshal(config))
		require.NoError(t, confmap.Validate(config))
		e, err := newLokiExporter(exportertest.NewNopSettings(metadata.Type), config)
		require.NoError(t, err)

		enabled := map[string]bool{}
		for name, on := range labels {
			enabled[name] = on.(bool)
		}
		want := map[string]map[string][]string{}
		for tenant, request := range loki.LogsToLokiRequests(hinted(), enabled) {
			require.Empty(t, request.Report.Errors)
			want[tenant] = linesByStream(request.Streams)
		}
		got := map[string]map[string][]string{}
		for _, part := range e.encoder.Encode(hinted()).Parts {
			got[part.Tenant] = linesByStream(streamsOf(t, &request{batch: part.Batch}))
		}
		assert.Equal(t, want, got)
	}
}

func streamsOf(t *testing.T, r *request) []push.Stream {
	t.Helper()
	streams, err := readPush(bytes.NewReader(r.batch.AppendCompressed(nil)))
	require.NoError(t, err)
	return streams
}

func linesByStream(streams []push.Stream) map[string][]string {
	lines := map[string][]string{}
	for _, stream := range streams {
		labels := serviceNameLabel.ReplaceAllStringFunc(stream.Labels, func(found string) string {
			if found[0] == ',' && found[len(found)-1] == ' ' {
				return ", "
			}
			return ""
		})
		for _, entry := range stream.Entries {
			lines[labels] = append(lines[labels], entry.Line)
		}
	}
	return lines
}

// Without default_labels_enabled, only records with hints become what contrib's exporter made of them; and no hint is
// ever sent on.
func TestHints(t *testing.T) {
	one := func(hints bool) map[string]push.LabelsAdapter {
		config := createDefaultConfig().(*Config)
		config.Hints = hints
		e, err := newLokiExporter(exportertest.NewNopSettings(metadata.Type), config)
		require.NoError(t, err)
		ld := lines("plain", "hinted", "raw")
		records := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		records.At(1).Attributes().PutStr("loki.attribute.labels", "n")
		records.At(2).Attributes().PutStr("loki.format", "raw")
		records.At(2).SetSeverityNumber(plog.SeverityNumberWarn)
		found := map[string]push.LabelsAdapter{}
		for _, stream := range streamsOf(t, requestOf(e, ld)) {
			for _, entry := range stream.Entries {
				found[stream.Labels+" "+entry.Line] = entry.StructuredMetadata
			}
		}
		return found
	}
	assert.Equal(t, map[string]push.LabelsAdapter{
		`{service_name="checkout"} plain`: {{Name: "n", Value: "0"}},
		`{exporter="OTLP", job="checkout", n="1", service_name="checkout"} {"body":"hinted","resources":{"service.name":"checkout"}}`: nil,
		`{exporter="OTLP", job="checkout", level="WARN", service_name="checkout"} raw`: {
			{Name: "service_name", Value: "checkout"}, {Name: "n", Value: "2"}, {Name: "detected_level", Value: "warn"},
		},
	}, one(true))
	assert.Equal(t, map[string]push.LabelsAdapter{
		`{service_name="checkout"} plain`:  {{Name: "n", Value: "0"}},
		`{service_name="checkout"} hinted`: {{Name: "n", Value: "1"}},
		`{service_name="checkout"} raw`:    {{Name: "detected_level", Value: "warn"}, {Name: "n", Value: "2"}},
	}, one(false))
}

// The lines of json and logfmt are those of contrib's exporter, and what has no words in JSON is not lost.
func TestLineFormats(t *testing.T) {
	f := func(format LineFormat, body any, want string) {
		t.Helper()
		config := createDefaultConfig().(*Config)
		config.Line = format
		e, err := newLokiExporter(exportertest.NewNopSettings(metadata.Type), config)
		require.NoError(t, err)
		ld := lines("")
		require.NoError(t, ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().FromRaw(body))
		assert.Equal(t, want, streamsOf(t, requestOf(e, ld))[0].Entries[0].Line)
	}
	f(LineBody, "text", "text")
	f(LineBody, map[string]any{"a": 1}, `{"a":1}`)
	f(LineJSON, "text", `{"body":"text","attributes":{"n":0},"resources":{"service.name":"checkout"}}`)
	f(LineLogfmt, "a=b", `a=b attribute_n=0 resource_service.name=checkout`)
}
