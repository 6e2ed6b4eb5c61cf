// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokihints

import (
	"math"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/loki"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

func TestLines(t *testing.T) {
	hints := attributes{"loki.attribute.labels": "x", "loki.format": "raw", "x": 1}
	f := func(record, resource attributes) {
		t.Helper()
		lr, res, scope := newRecord(t, `level=info msg="a <b>"`, record, resource)
		lr.SetSeverityText("INFO")
		lr.SetTraceID(pcommon.TraceID{1})
		scope.SetName("scope")
		line, err := JSON(lr, res, scope)
		require.NoError(t, err)
		assert.JSONEq(t, `{"body":"level=info msg=\"a <b>\"","traceid":"01000000000000000000000000000000","severity":"INFO",`+
			`"attributes":{"x":1},"resources":{"x":1},"instrumentation_scope":{"name":"scope"}}`, line)
		line, err = Logfmt(lr, res, scope)
		require.NoError(t, err)
		assert.Equal(t, `level=info msg="a <b>" traceID=01000000000000000000000000000000 severity=INFO `+
			`attribute_x=1 resource_x=1 instrumentation_scope_name=scope`, line)
	}
	plain := attributes{"x": 1}
	f(plain, plain)
	f(hints, plain)
	f(plain, hints)
	f(hints, hints)
}

// Lines are those of the translator, for the same records without their hints. Arguments are read only.
func TestLinesLikeTheTranslator(t *testing.T) {
	g := newGenerator(2)
	for range 30 {
		ld, bare := g.logs(), plog.NewLogs()
		ld.CopyTo(bare)
		ld.MarkReadOnly()
		eachRecord(bare, func(record plog.LogRecord, resource pcommon.Resource, _ pcommon.InstrumentationScope) {
			for _, name := range Attributes {
				record.Attributes().Remove(name)
				resource.Attributes().Remove(name)
			}
		})
		var want, got []string
		eachRecord(bare, linesTo(&want, loki.Encode, loki.EncodeLogfmt))
		eachRecord(ld, linesTo(&got, JSON, Logfmt))
		require.Equal(t, want, got)
	}
}

type writeFunc func(plog.LogRecord, pcommon.Resource, pcommon.InstrumentationScope) (string, error)

func linesTo(lines *[]string, writers ...writeFunc) recordFunc {
	return func(record plog.LogRecord, resource pcommon.Resource, scope pcommon.InstrumentationScope) {
		for _, write := range writers {
			line, err := write(record, resource, scope)
			if err != nil {
				line = "an error"
			}
			*lines = append(*lines, line)
		}
	}
}

func TestLineErrors(t *testing.T) {
	lr, res, scope := newRecord(t, "", attributes{"secret": math.Inf(-1)}, nil)
	_, err := JSON(lr, res, scope)
	assert.EqualError(t, err, "write a record as JSON: json: unsupported value: -Inf")
	lr.Body().SetEmptyMap().PutStr("=", "secret")
	_, err = Logfmt(lr, res, scope)
	assert.EqualError(t, err, "write a record as logfmt: a label or a key of the body has no valid name")
}
