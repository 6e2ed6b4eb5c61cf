// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseMetrics(t *testing.T) {
	m, err := parseMetrics(`# HELP sent_total Records sent.
# TYPE sent_total counter
sent_total{exporter="loki",code="204"} 5
sent_total{code="400",exporter="loki",} 2 1700000000000
sent_total{exporter="a \"b\", c\\d}\ne",code="204"} 1.5e+01

up 1
depth{} NaN
sent_total_other{exporter="loki"} 100
`)
	require.NoError(t, err)
	assert.Len(t, m, 6)
	assert.InDelta(t, 5, m[`sent_total{code="204",exporter="loki"}`], 0)
	assert.Contains(t, m, "depth")

	f := func(want float64, name string, labels ...string) {
		t.Helper()
		assert.InDelta(t, want, m.Sum(name, labels...), 0)
	}
	f(22, "sent_total")
	f(7, "sent_total", "exporter", "loki")
	f(20, "sent_total", "code", "204")
	f(2, "sent_total", "exporter", "loki", "code", "400")
	f(15, "sent_total", "exporter", "a \"b\", c\\d}\ne")
	f(0, "sent_total", "exporter", "lok")
	f(0, "sent_total", "exporter", "b")
	f(1, "up")
	f(0, "up", "exporter", "loki")
	f(0, "none")
}

func TestParseMetricsErrors(t *testing.T) {
	f := func(text, wantErr string) {
		t.Helper()
		_, err := parseMetrics(text)
		assert.EqualError(t, err, wantErr)
	}
	f("up", `metrics, line 1: "up" has no value`)
	f("up 1\nup{}", "metrics, line 2: up has no value")
	f("up x", `metrics, line 1: value of up: strconv.ParseFloat: parsing "x": invalid syntax`)
	f(`up{a="b`, "metrics, line 1: labels of up: the value of a does not end")
	f(`up{a`, `metrics, line 1: labels of up: no label at "a"`)
}
