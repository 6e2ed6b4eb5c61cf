// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
)

// stamper gives the records of a batch new timestamps, all or some of them. It is
// safe for concurrent use.
type stamper interface {
	stamp(ld plog.Logs) outcome
}

type restampProcessor struct {
	cfg      *Config
	next     consumer.Logs
	hostname func() (string, error)
	stamper  stamper // nil: timestamps stay as they are
	metrics  *metrics

	// turn holds a value while a batch is stamped and handed on. nil: batches
	// need not be in order.
	turn chan struct{}

	instance string // the instance attribute's value, set by start
}

func newRestampProcessor(set processor.Settings, cfg *Config, next consumer.Logs) (*restampProcessor, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	p := &restampProcessor{
		cfg:      cfg,
		next:     next,
		hostname: os.Hostname,
		metrics:  newMetrics(telemetry, set.ID),
	}
	switch cfg.Timestamps {
	case TimestampsAlways:
		p.stamper = &always{clock: processClock, originalAttribute: cfg.OriginalAttribute}
	case TimestampsAsNeeded:
		p.stamper = newAsNeeded(cfg, processClock)
	case TimestampsNever:
	}
	if cfg.InOrder {
		p.turn = make(chan struct{}, 1)
	}
	return p, nil
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
	p.metrics.telemetry.Shutdown()
	return nil
}

func (p *restampProcessor) consumeLogs(ctx context.Context, ld plog.Logs) error {
	if p.cfg.Instance.Enabled {
		p.addInstance(ld)
	}
	if p.stamper == nil {
		return p.next.ConsumeLogs(ctx, ld)
	}
	if p.turn != nil {
		// A lock that the sender's patience ends. Those who wait for it get it in
		// the order in which they came.
		select {
		case p.turn <- struct{}{}:
			defer func() { <-p.turn }()
		case <-ctx.Done():
			return fmt.Errorf("waiting for the batches before this one to be handed on: %w", ctx.Err())
		}
	}
	p.metrics.add(ctx, p.stamper.stamp(ld))
	return p.next.ConsumeLogs(ctx, ld)
}

func (p *restampProcessor) addInstance(ld plog.Logs) {
	for _, rl := range ld.ResourceLogs().All() {
		if v, exists := rl.Resource().Attributes().GetOrPutEmpty(p.cfg.Instance.Attribute); !exists {
			v.SetStr(p.instance)
		}
	}
}
