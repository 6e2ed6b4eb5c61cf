// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
)

// reasonAlways is the value of the metric's attribute for records that were
// restamped because every record is.
const reasonAlways = "always"

type restampProcessor struct {
	cfg       *Config
	clock     *arrivalClock
	hostname  func() (string, error)
	telemetry *metadata.TelemetryBuilder
	always    metric.MeasurementOption

	instance string // the instance attribute's value, set by start
}

func newRestampProcessor(set processor.Settings, cfg *Config) (*restampProcessor, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &restampProcessor{
		cfg:       cfg,
		clock:     processClock,
		hostname:  os.Hostname,
		telemetry: telemetry,
		always: metric.WithAttributeSet(attribute.NewSet(
			attribute.String("processor", set.ID.String()), attribute.String("reason", reasonAlways))),
	}, nil
}

// start finds the instance's name. Without one the streams of two Collectors
// would run together unnoticed, hence the Collector does not start.
func (p *restampProcessor) start(context.Context, component.Host) error {
	if !p.cfg.Instance.Enabled {
		return nil
	}
	p.instance = p.cfg.Instance.Value
	if p.instance != "" {
		return nil
	}
	name, err := p.hostname()
	if err != nil {
		return fmt.Errorf("`instance::value` is empty and the host's name cannot be read: %w", err)
	}
	if name == "" {
		return errors.New("`instance::value` is empty and so is the host's name")
	}
	p.instance = name
	return nil
}

func (p *restampProcessor) shutdown(context.Context) error {
	p.telemetry.Shutdown()
	return nil
}

func (p *restampProcessor) processLogs(ctx context.Context, ld plog.Logs) (plog.Logs, error) {
	if p.cfg.Instance.Enabled {
		p.addInstance(ld)
	}
	if p.cfg.Timestamps == TimestampsAlways {
		p.restamp(ctx, ld)
	}
	return ld, nil
}

func (p *restampProcessor) addInstance(ld plog.Logs) {
	for _, rl := range ld.ResourceLogs().All() {
		if v, exists := rl.Resource().Attributes().GetOrPutEmpty(p.cfg.Instance.Attribute); !exists {
			v.SetStr(p.instance)
		}
	}
}

func (p *restampProcessor) restamp(ctx context.Context, ld plog.Logs) {
	n := ld.LogRecordCount()
	arrival := pcommon.Timestamp(p.clock.reserve(n))
	kept := newOriginals(n)
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if p.cfg.OriginalAttribute != "" && lr.Timestamp() != 0 {
					p.keepOriginal(lr, &kept)
				}
				lr.SetTimestamp(arrival)
				if lr.ObservedTimestamp() == 0 {
					lr.SetObservedTimestamp(arrival)
				}
				arrival++
			}
		}
	}
	p.telemetry.ProcessorRestampReplaced.Add(ctx, int64(n), p.always)
}

// keepOriginal leaves an attribute that is there already as it is: a record
// that has been through another Collector carries the source's own time in it.
func (p *restampProcessor) keepOriginal(lr plog.LogRecord, kept *originals) {
	if v, exists := lr.Attributes().GetOrPutEmpty(p.cfg.OriginalAttribute); !exists {
		v.SetStr(kept.format(lr.Timestamp()))
	}
}
