// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/forward"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

// embedded is a line of CloudWatch's embedded metric format, as the specification has it.
type embedded struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
	FunctionName, Reason string
}

// readMetrics returns what CloudWatch would make of the lines: the values of the metrics, by reason, function and name.
func readMetrics(t *testing.T, logs *bytes.Buffer) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for line := range strings.Lines(logs.String()) {
		var e embedded
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		var members map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &members))
		assert.WithinDuration(t, time.Now(), time.UnixMilli(e.AWS.Timestamp), time.Hour)
		require.Len(t, e.AWS.CloudWatchMetrics, 1)
		directive := e.AWS.CloudWatchMetrics[0]
		require.Len(t, directive.Dimensions, 1)
		key := []string{directive.Namespace}
		for _, dimension := range directive.Dimensions[0] {
			require.NotEmpty(t, members[dimension], "CloudWatch drops a metric one of whose dimensions is missing")
			key = append(key, dimension+"="+members[dimension].(string))
		}
		for _, metric := range directive.Metrics {
			assert.Equal(t, metric.Name == "Bytes", metric.Unit == "Bytes")
			values[strings.Join(append(key, metric.Name), " ")] = members[metric.Name].(float64)
		}
	}
	return values
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	f := func(name string, toLoki bool, r forward.Result, want map[string]float64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logs bytes.Buffer
			newMetrics(&logs, "ns", "fn", toLoki).write(t.Context(), &r)
			assert.Equal(t, want, readMetrics(t, &logs))
		})
	}
	f("success", false, forward.Result{Forwarded: 2, Ignored: 1, Tally: delivery.Tally{Bytes: 300}}, map[string]float64{
		"ns FunctionName=fn Events": 2, "ns FunctionName=fn Bytes": 300, "ns FunctionName=fn Ignored": 1, "ns FunctionName=fn Failures": 0,
	})
	f("every reason", false, forward.Result{Failures: []forward.Failure{
		{Err: &event.MalformedError{}},
		{Err: &event.UnsupportedError{}},
		{Err: &delivery.RefusedError{}},
		{Err: &delivery.UnavailableError{}},
		{Err: &delivery.UnavailableError{}},
		{Err: &s3object.ObjectError{}},
		{Err: &forward.SkippedError{}},
	}}, map[string]float64{
		"ns FunctionName=fn Events": 0, "ns FunctionName=fn Bytes": 0, "ns FunctionName=fn Ignored": 0, "ns FunctionName=fn Failures": 7,
		"ns FunctionName=fn Reason=malformed Failures":   1,
		"ns FunctionName=fn Reason=unsupported Failures": 1,
		"ns FunctionName=fn Reason=refused Failures":     1,
		"ns FunctionName=fn Reason=unavailable Failures": 2,
		"ns FunctionName=fn Reason=unreadable Failures":  1,
		"ns FunctionName=fn Reason=skipped Failures":     1,
	})
	f("to Loki", true, forward.Result{Forwarded: 1, Tally: delivery.Tally{
		Bytes: 5, Lines: 7, Excluded: 2, Unlabeled: 3, Truncated: 8, Demoted: 9, Refused: map[string]int{"too_far_behind": 1, "line_too_long": 4},
	}}, map[string]float64{
		"ns FunctionName=fn Events": 1, "ns FunctionName=fn Bytes": 5, "ns FunctionName=fn Ignored": 0, "ns FunctionName=fn Failures": 0,
		"ns FunctionName=fn Lines": 7, "ns FunctionName=fn RefusedLines": 5, "ns FunctionName=fn ExcludedLines": 2,
		"ns FunctionName=fn DroppedLines": 3, "ns FunctionName=fn TruncatedLines": 8, "ns FunctionName=fn DemotedLabels": 9,
		"ns FunctionName=fn Reason=too_far_behind RefusedLines": 1,
		"ns FunctionName=fn Reason=line_too_long RefusedLines":  4,
	})
}

// One line for each invocation, whatever the level of the log is, unless they are switched off.
func TestMetricsOfInvocations(t *testing.T) {
	t.Parallel()
	srv := answering(t, 200, `{"accepted":1}`)
	h, logs := newHandler(t, srv.URL, "METRICS=true", "LOG_LEVEL=error", "METRICS_NAMESPACE=logs", "AWS_LAMBDA_FUNCTION_NAME=fn")
	for range 3 {
		_, err := h.Invoke(t.Context(), newPayload([]byte("\x1f\x8b\x08...")))
		require.NoError(t, err)
	}
	assert.Equal(t, 3, strings.Count(logs.String(), "\n"))
	assert.InDelta(t, 6, readMetrics(t, logs)["logs FunctionName=fn Bytes"], 0)

	h, logs = newHandler(t, srv.URL, "METRICS=false", "METRICS_NAMESPACE=logs")
	_, err := h.Invoke(t.Context(), newPayload([]byte("\x1f\x8b\x08...")))
	require.NoError(t, err)
	assert.Empty(t, logs.String())
}
