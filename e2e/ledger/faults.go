// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/awsloki/awsloki/e2e/stack"
)

// doFault does what a fault says, and puts right what it broke. The error is that something could not be put right. load is
// done when nothing is sent any more.
func (r *run) doFault(ctx, load context.Context, f Fault) error {
	if f.Kind != ForwarderKill && !pause(ctx, f.After) {
		return nil
	}
	began, at, failed := time.Now(), r.book.progress(), r.failures()
	what, times, err := r.system.do(ctx, load, r.book, f)
	switch {
	case ctx.Err() != nil: // the run is over, and all of it is stopped
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%s: %w", f, err)
	}
	r.done.add(f.Kind, times)
	r.journal.printf("%s: at %d lines %s, over after %s, %d deliveries failed meanwhile",
		f, at, what, time.Since(began).Round(time.Millisecond), r.failures()-failed)
	return nil
}

// do returns what was done, and how often.
func (s *system) do(ctx, load context.Context, b *book, f Fault) (what string, times int, err error) {
	switch f.Kind {
	case CollectorKill:
		return "killed", 1, s.withCollector(f.Target, func(c *stack.Collector) error { return killed(ctx, c.Process) })
	case CollectorTerm:
		return "restarted", 1, s.withCollector(f.Target, func(c *stack.Collector) error { return c.Restart(ctx) })
	case RollingRestart:
		return "restarted one after another", 1, s.rollingRestart(ctx)
	case LokiKill:
		s.lokiMu.Lock()
		defer s.lokiMu.Unlock()
		return "killed", 1, killed(ctx, s.loki.Process)
	case LokiAway:
		return "away", 1, s.lokiAway(ctx, func() error { pause(ctx, f.For); return nil })
	case LokiAwayKill:
		return "away, and the collector killed", 1, s.lokiAway(ctx, func() error { return s.killMeanwhile(ctx, load, b, f) })
	case DiskFull:
		limit, err := s.diskFull(ctx, f)
		return fmt.Sprintf("no byte beyond %d of a file", limit), 1, err
	case NetForwarder:
		times = s.frontNet.disturb(load, f)
		return fmt.Sprintf("%d requests failed", times), times, nil
	case NetLoki, NetLokiCut:
		times = s.lokiNet.disturb(load, f)
		return fmt.Sprintf("%d requests failed", times), times, nil
	case ForwarderKill:
		if !s.forwarders[f.Target].kill(load, f.After) {
			return "not killed, since there was no further invocation", 0, nil
		}
		return "killed", 1, nil
	default:
		return "", 0, errors.New("no such fault")
	}
}

func (s *system) withCollector(n int, do func(*stack.Collector) error) error {
	s.collectorsMu[n].Lock()
	defer s.collectorsMu[n].Unlock()
	return do(s.collectors[n])
}

func killed(ctx context.Context, p *stack.Process) error {
	if err := p.Kill(); err != nil {
		return err
	}
	return p.Start(ctx)
}

func (s *system) rollingRestart(ctx context.Context) error {
	for n := range s.collectors {
		if err := s.withCollector(n, func(c *stack.Collector) error { return c.Restart(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// lokiAway stops Loki while something is done.
func (s *system) lokiAway(ctx context.Context, meanwhile func() error) error {
	s.lokiMu.Lock()
	defer s.lokiMu.Unlock()
	if err := s.loki.Stop(); err != nil {
		return err
	}
	return errors.Join(meanwhile(), s.loki.Start(ctx))
}

// killMeanwhile kills a collector that has acknowledged lines since Loki went away, if any are to come.
func (s *system) killMeanwhile(ctx, load context.Context, b *book, f Fault) error {
	pause(ctx, f.For/2)
	b.await(load, b.progress()+1)
	err := s.withCollector(f.Target, func(c *stack.Collector) error { return killed(ctx, c.Process) })
	pause(ctx, f.For/2)
	return err
}

// diskFull has the collector's files not grow while Loki is away. A kill meanwhile ends that, for it is a limit of the
// process.
func (s *system) diskFull(ctx context.Context, f Fault) (limit int64, err error) {
	c := s.collectors[f.Target]
	err = s.lokiAway(ctx, func() error {
		if limit, err = stack.LargestFile(c.DataDir()); err != nil {
			return err
		}
		if err = limitFiles(c.Process, max(limit, 1)); err != nil {
			return err
		}
		pause(ctx, f.For)
		return limitFiles(c.Process, 0)
	})
	return limit, err
}

// limitFiles does nothing to a process that is being started again just now.
func limitFiles(p *stack.Process, bytes int64) error {
	if err := p.LimitFileSize(bytes); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
