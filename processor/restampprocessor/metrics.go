// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
)

// reason is why a timestamp was replaced.
type reason int

const (
	reasonAlways reason = iota
	reasonNoTimestamp
	reasonTooFarBehind
	reasonGreaterThanMaxSampleAge
	reasonTooFarInFuture
)

// reasonNames are the values of the metric's attribute. The last three are
// Loki's own (pkg/validation/validate.go).
var reasonNames = [...]string{
	reasonAlways:                  "always",
	reasonNoTimestamp:             "no_timestamp",
	reasonTooFarBehind:            "too_far_behind",
	reasonGreaterThanMaxSampleAge: "greater_than_max_sample_age",
	reasonTooFarInFuture:          "too_far_in_future",
}

// outcome is what was done to the records of one batch.
type outcome struct {
	replaced [len(reasonNames)]int64
	// streams are those that are remembered after it. 0: none ever are.
	streams int64
	evicted int64
}

type metrics struct {
	telemetry *metadata.TelemetryBuilder
	processor metric.MeasurementOption
	reasons   [len(reasonNames)]metric.MeasurementOption
}

func newMetrics(telemetry *metadata.TelemetryBuilder, id component.ID) *metrics {
	name := attribute.String("processor", id.String())
	m := &metrics{telemetry: telemetry, processor: metric.WithAttributeSet(attribute.NewSet(name))}
	for why, text := range reasonNames {
		m.reasons[why] = metric.WithAttributeSet(attribute.NewSet(name, attribute.String("reason", text)))
	}
	return m
}

func (m *metrics) add(ctx context.Context, done outcome) {
	for why, n := range done.replaced {
		if n > 0 {
			m.telemetry.ProcessorRestampReplaced.Add(ctx, n, m.reasons[why])
		}
	}
	if done.streams > 0 {
		m.telemetry.ProcessorRestampStreams.Record(ctx, done.streams, m.processor)
	}
	if done.evicted > 0 {
		m.telemetry.ProcessorRestampEvictedStreams.Add(ctx, done.evicted, m.processor)
	}
}
