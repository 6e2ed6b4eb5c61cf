// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/awsloki/awsloki/e2e/lambdaruntime"
	"github.com/awsloki/awsloki/e2e/stack"
)

const query = `{service_name=~".+"}`

// run runs the demo in a folder of its own. The folder stays, for its logs, when a step fails.
func run(ctx context.Context, opts options, p printer) error {
	events, err := readEvents(opts.events)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "awsloki-demo-")
	if err != nil {
		return err
	}
	err = runSteps(ctx, dir, events, opts, p)
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	switch {
	case ctx.Err() != nil:
		err = errors.New("interrupted, all stopped")
	case err != nil && len(logs) > 0:
		return fmt.Errorf("%w\nThe logs are in %s", err, dir)
	case err == nil:
		p.end()
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// runSteps does the demo's steps, and stops what it started before it returns.
func runSteps(ctx context.Context, dir string, events []event, opts options, p printer) (err error) {
	p.begin(dir)
	p.step("Start the parts")
	loki, stopLoki, err := startLoki(ctx, dir, opts, p)
	if err != nil {
		return err
	}
	defer joinError(&err, stopLoki)
	collector, stopCollector, err := startCollector(ctx, dir, opts, loki, p)
	if err != nil {
		return err
	}
	defer joinError(&err, stopCollector)
	lambda, stopLambda, err := startForwarder(ctx, dir, opts, collector, p)
	if err != nil {
		return err
	}
	defer joinError(&err, stopLambda)

	p.step("Invoke the forwarder, as CloudWatch Logs does through AWS Lambda")
	start := time.Now()
	if err := invoke(ctx, lambda, events, opts.timeout, p); err != nil {
		return err
	}

	p.step("Ask Loki for the lines")
	lines, err := loki.WaitForLines(ctx, query, start, countLines(events), opts.timeout)
	if err != nil {
		return fmt.Errorf("wait for the lines in Loki: %w\n%s", err, collector.Tail())
	}
	p.lines(query, start, lines)
	return nil
}

// joinError adds the error of a deferred function to the one that is returned.
func joinError(err *error, stop func() error) {
	*err = errors.Join(*err, stop())
}

func startLoki(ctx context.Context, dir string, opts options, p printer) (*stack.LokiClient, func() error, error) {
	if opts.lokiURL != "" {
		client, err := stack.NewLokiClient(opts.lokiURL)
		if err != nil {
			return nil, nil, err
		}
		p.part("Loki", client.BaseURL(), "runs already, from LOKI_URL")
		return client, func() error { return nil }, nil
	}
	begin := time.Now()
	loki, err := stack.StartLoki(ctx, dir, stack.LokiOptions{Binary: opts.loki})
	if err != nil {
		return nil, nil, err
	}
	p.started("Loki", loki.BaseURL(), loki.Process, begin)
	return loki.LokiClient, loki.Stop, nil
}

func startCollector(ctx context.Context, dir string, opts options, loki *stack.LokiClient, p printer) (*stack.Collector, func() error, error) {
	begin := time.Now()
	env := map[string]string{"LOKI_URL": loki.PushURL()}
	collector, err := stack.StartCollector(ctx, dir, opts.config, env, stack.CollectorOptions{Binary: opts.collector})
	if err != nil {
		return nil, nil, err
	}
	p.started("collector", collector.URL(), collector.Process, begin)
	return collector, collector.Stop, nil
}

// lambda is the forwarder and the Runtime API through which it gets its events.
type lambda struct {
	runtime   *lambdaruntime.Server
	forwarder *stack.Process
}

func startForwarder(ctx context.Context, dir string, opts options, collector *stack.Collector, p printer) (*lambda, func() error, error) {
	begin := time.Now()
	runtime, err := lambdaruntime.Start() //nolint:contextcheck // it serves until it is closed
	if err != nil {
		return nil, nil, err
	}
	env := map[string]string{"WRITE_ADDRESS": collector.URL()}
	forwarder, err := stack.StartForwarder(ctx, dir, runtime.Addr(), env, stack.ForwarderOptions{Binary: opts.forwarder})
	if err != nil {
		return nil, nil, errors.Join(err, runtime.Close()) //nolint:contextcheck // takes none
	}
	p.started("forwarder", "Lambda Runtime API on "+runtime.Addr(), forwarder, begin)
	stop := func() error { return errors.Join(forwarder.Stop(), runtime.Close()) } //nolint:contextcheck // takes none
	return &lambda{runtime: runtime, forwarder: forwarder}, stop, nil
}

func invoke(ctx context.Context, l *lambda, events []event, timeout time.Duration, p printer) error {
	for _, e := range events {
		begin := time.Now()
		// The invocation's own timeout starts when the forwarder takes the event.
		ctx, cancel := context.WithTimeout(ctx, 2*timeout)
		result, err := l.runtime.Invoke(ctx, e.payload, timeout)
		cancel()
		if err == nil && result.FunctionError != nil {
			err = result.FunctionError
		}
		if err != nil {
			return fmt.Errorf("invoke the forwarder with %s: %w\n%s", e.file, err, l.forwarder.Tail())
		}
		p.invoked(e, result.Payload, time.Since(begin))
	}
	return nil
}
