// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/stack"
)

func TestReadEvents(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	_, err := readEvents(dir)
	require.EqualError(t, err, "no Lambda events in "+dir)

	data := cloudwatch.Generate(cloudwatch.Source{Events: 3})
	control := cloudwatch.Message{MessageType: cloudwatch.ControlMessage, LogEvents: data.LogEvents[:1]}
	write("2.json", data.LambdaEvent())
	write("1.json", control.LambdaEvent())
	write("3.json", []byte(`{"Records":[]}`))
	write("README.md", nil)
	events, err := readEvents(dir)
	require.NoError(t, err)
	require.Len(t, events, 2)
	assert.Equal(t, "1.json", events[0].file)
	assert.Equal(t, data, events[1].message)
	assert.Equal(t, data.LambdaEvent(), events[1].payload)
	assert.Equal(t, 3, countLines(events), "control messages give no lines")

	write("4.json", []byte(`{`))
	_, err = readEvents(dir)
	assert.ErrorContains(t, err, "4.json: event: ")
}

func TestPrintLines(t *testing.T) {
	at := time.Date(2026, 9, 1, 12, 0, 0, 5, time.UTC)
	long := map[string]string{"a": strings.Repeat("x", 60), "b": strings.Repeat("y", 50)}
	short := map[string]string{"service_name": "orders"}
	metadata := map[string]string{"log_record_uid": "1", "level": "warn\x1b[31m"}
	var out strings.Builder
	printer{&out}.lines(`{a=~".+"}`, at, []stack.Line{
		{Timestamp: at, Line: strings.Repeat("word ", 20), Labels: long},
		{Timestamp: at, Line: "INFO\tfirst\nsecond", Labels: short, StructuredMetadata: metadata},
		{Timestamp: at.Add(1), Line: strings.Repeat("z", 100), Labels: long},
	})
	assert.Equal(t, `  {a=~".+"}  since 2026-09-01T12:00:00Z: 3 lines in 2 streams

  {a="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
   b="yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"}
    12:00:00.000000005  word word word word word word word word word word word word word word word word word word word
                        word
    12:00:00.000000006  zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz
                        zzzz

  {service_name="orders"}
    12:00:00.000000005  INFO  first
                        second
        | level           warn`+"\uFFFD"+`[31m
        | log_record_uid  1
`, out.String())
	for row := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, utf8.RuneCountInString(row), width+1)
	}
}
