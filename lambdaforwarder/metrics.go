// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
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
	logger              *slog.Logger
	namespace, function string
	// toLoki says that the forwarder knows of lines.
	toLoki bool
}

// newMetrics returns metrics that are written whatever the level of the log is.
func newMetrics(w io.Writer, namespace, function string, toLoki bool) *metrics {
	return &metrics{logger: newLogger(w, slog.LevelInfo), namespace: namespace, function: function, toLoki: toLoki}
}

// Names of metrics and of their dimensions.
const (
	metricEvents        = "Events"
	metricBytes         = "Bytes"
	metricIgnored       = "Ignored"
	metricFailures      = "Failures"
	metricLines         = "Lines"
	metricRefusedLines  = "RefusedLines"
	metricExcludedLines = "ExcludedLines"
	metricDroppedLines  = "DroppedLines"

	dimensionFunction = "FunctionName"
	dimensionReason   = "Reason"
)

// directive says which members of a line are metrics.
type directive struct {
	Timestamp         int64             `json:"Timestamp"`
	CloudWatchMetrics []metricDirective `json:"CloudWatchMetrics"`
}

type metricDirective struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []metricName `json:"Metrics"`
}

type metricName struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

func (m *metrics) write(ctx context.Context, r *forward.Result) {
	if m.namespace == "" {
		return
	}
	values := []slog.Attr{
		slog.Int(metricEvents, r.Forwarded),
		slog.Int64(metricBytes, r.Bytes),
		slog.Int(metricIgnored, r.Ignored),
		slog.Int(metricFailures, len(r.Failures)),
	}
	if m.toLoki {
		values = append(values,
			slog.Int(metricLines, r.Lines),
			slog.Int(metricRefusedLines, r.RefusedLines()),
			slog.Int(metricExcludedLines, r.Excluded),
			slog.Int(metricDroppedLines, r.Unlabeled),
		)
	}
	m.line(ctx, "", values...)
	failures := map[string]int{}
	for _, failure := range r.Failures {
		failures[reason(failure.Err)]++
	}
	m.byReason(ctx, metricFailures, failures)
	m.byReason(ctx, metricRefusedLines, r.Refused)
}

func (m *metrics) byReason(ctx context.Context, name string, counts map[string]int) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		m.line(ctx, reason, slog.Int(name, counts[reason]))
	}
}

// line writes metrics of the function, or of one reason.
func (m *metrics) line(ctx context.Context, reason string, values ...slog.Attr) {
	var dimensions []string
	var attrs []slog.Attr
	if m.function != "" {
		dimensions = append(dimensions, dimensionFunction)
		attrs = append(attrs, slog.String(dimensionFunction, m.function))
	}
	if reason != "" {
		dimensions = append(dimensions, dimensionReason)
		attrs = append(attrs, slog.String(dimensionReason, reason))
	}
	names := make([]metricName, len(values))
	for i, value := range values {
		unit := "Count"
		if value.Key == metricBytes {
			unit = "Bytes"
		}
		names[i] = metricName{Name: value.Key, Unit: unit}
	}
	attrs = append(attrs, slog.Any("_aws", directive{
		Timestamp: time.Now().UnixMilli(),
		CloudWatchMetrics: []metricDirective{{
			Namespace:  m.namespace,
			Dimensions: [][]string{dimensions},
			Metrics:    names,
		}},
	}))
	if id := requestID(ctx); id != "" {
		attrs = append(attrs, slog.String("requestId", id))
	}
	m.logger.LogAttrs(ctx, slog.LevelInfo, "metrics", append(attrs, values...)...)
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
