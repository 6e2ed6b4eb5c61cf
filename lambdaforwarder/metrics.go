// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/forward"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

// metrics writes what CloudWatch makes metrics of, to the function's log: one line for each invocation, and one for each
// reason for which something failed.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type metrics struct {
	w                   io.Writer
	namespace, function string
	// names are those of the line that each invocation writes, and tail is what stands behind the time of each.
	names []string
	tail  []byte
	lines sync.Pool // of *[]byte
}

// Names of metrics and of their dimensions.
const (
	metricEvents         = "Events"
	metricBytes          = "Bytes"
	metricIgnored        = "Ignored"
	metricFailures       = "Failures"
	metricLines          = "Lines"
	metricRefusedLines   = "RefusedLines"
	metricExcludedLines  = "ExcludedLines"
	metricDroppedLines   = "DroppedLines"
	metricTruncatedLines = "TruncatedLines"
	metricDemotedLabels  = "DemotedLabels"

	dimensionFunction = "FunctionName"
	dimensionReason   = "Reason"
)

// newMetrics returns metrics that are written to w, each line at once. toLoki says that the forwarder knows of lines.
func newMetrics(w io.Writer, namespace, function string, toLoki bool) *metrics {
	m := &metrics{
		w:         w,
		namespace: namespace,
		function:  function,
		names:     []string{metricEvents, metricBytes, metricIgnored, metricFailures},
		lines:     sync.Pool{New: func() any { return new([]byte) }},
	}
	if toLoki {
		m.names = append(m.names, metricLines, metricRefusedLines, metricExcludedLines, metricDroppedLines,
			metricTruncatedLines, metricDemotedLabels)
	}
	m.tail = m.directive("", m.names...)
	return m
}

// values are those of names.
func (m *metrics) values(r *forward.Result) [10]int64 {
	return [...]int64{
		int64(r.Forwarded), r.Bytes, int64(r.Ignored), int64(len(r.Failures)),
		int64(r.Lines), int64(r.RefusedLines()), int64(r.Excluded), int64(r.Unlabeled), int64(r.Truncated), int64(r.Demoted),
	}
}

// write writes the metrics of an invocation.
func (m *metrics) write(ctx context.Context, r *forward.Result) {
	if m.namespace == "" {
		return
	}
	values := m.values(r)
	m.line(ctx, m.tail, m.names, values[:len(m.names)])
	if len(r.Failures) == 0 && len(r.Refused) == 0 {
		return
	}
	failures := map[string]int{}
	for _, failure := range r.Failures {
		failures[reason(failure.Err)]++
	}
	m.byReason(ctx, metricFailures, failures)
	m.byReason(ctx, metricRefusedLines, r.Refused)
}

func (m *metrics) byReason(ctx context.Context, name string, counts map[string]int) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		m.line(ctx, m.directive(reason, name), []string{name}, []int64{int64(counts[reason])})
	}
}

// line writes the values of metrics. By hand, for it is on every event's way, and encoding/json takes longer for it than the
// event does.
func (m *metrics) line(ctx context.Context, tail []byte, names []string, values []int64) {
	buffer := m.lines.Get().(*[]byte)
	defer m.lines.Put(buffer)
	b := (*buffer)[:0]
	b = append(b, `{"_aws":{"Timestamp":`...)
	b = strconv.AppendInt(b, time.Now().UnixMilli(), 10)
	b = append(b, tail...)
	if id := requestID(ctx); id != "" {
		b = append(b, `,"requestId":`...)
		b = append(b, marshal(id)...)
	}
	for i, name := range names {
		b = append(b, `,"`...)
		b = append(b, name...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, values[i], 10)
	}
	b = append(b, "}\n"...)
	_, _ = m.w.Write(b) // there is nowhere to say that the log cannot be written
	*buffer = b
}

// directive says which members of a line are metrics of the function, or of one reason, and has the dimensions' values.
func (m *metrics) directive(reason string, names ...string) []byte {
	type metric struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	d := directive{Namespace: m.namespace}
	dimensions, values := []string{}, []byte{}
	for _, dimension := range []struct{ name, value string }{{dimensionFunction, m.function}, {dimensionReason, reason}} {
		if dimension.value != "" {
			dimensions = append(dimensions, dimension.name)
			values = append(values, `,"`+dimension.name+`":`...)
			values = append(values, marshal(dimension.value)...)
		}
	}
	d.Dimensions = [][]string{dimensions}
	for _, name := range names {
		unit := "Count"
		if name == metricBytes {
			unit = "Bytes"
		}
		d.Metrics = append(d.Metrics, metric{name, unit})
	}
	return slices.Concat([]byte(`,"CloudWatchMetrics":[`), marshal(d), []byte(`]}`), values)
}

// marshal is for values that can all be encoded.
func marshal(v any) []byte {
	content, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return content
}

// reason is a failure's, for the metrics.
func reason(err error) string {
	switch {
	case isA[*event.MalformedError](err):
		return "malformed"
	case isA[*event.UnsupportedError](err):
		return "unsupported"
	case isA[*delivery.RefusedError](err):
		return "refused"
	case isA[*s3object.ObjectError](err):
		return "unreadable"
	case isA[*forward.SkippedError](err):
		return "skipped"
	default:
		return "unavailable"
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
