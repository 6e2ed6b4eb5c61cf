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
	if f.Kind != ForwarderKill && pause(ctx, f.After) != nil {
		return nil
	}
	began, at := time.Now(), r.book.progress()
	what, err := r.system.do(ctx, load, r.book, f)
	if ctx.Err() != nil {
		return nil // the run is over, and all of it is stopped
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f, err)
	}
	r.journal.printf("%s: at %d lines %s, over after %s", f, at, what, time.Since(began).Round(time.Millisecond))
	return nil
}

// do returns what was done.
func (s *system) do(ctx, load context.Context, b *book, f Fault) (string, error) {
	switch f.Kind {
	case CollectorKill:
		return "killed", s.withCollector(f.Target, func(c *stack.Collector) error { return killed(ctx, c.Process) })
	case CollectorTerm:
		return "restarted", s.withCollector(f.Target, func(c *stack.Collector) error { return c.Restart(ctx) })
	case RollingRestart:
		return "restarted one after another", s.rollingRestart(ctx)
	case LokiKill:
		s.lokiMu.Lock()
		defer s.lokiMu.Unlock()
		return "killed", killed(ctx, s.loki.Process)
	case LokiAway:
		return "away", s.lokiAway(ctx, func() error { return pause(ctx, f.For) })
	case LokiAwayKill:
		return "away, and the collector killed", s.lokiAway(ctx, func() error { return s.killMeanwhile(ctx, load, b, f) })
	case DiskFull:
		return s.diskFull(ctx, f)
	case NetForwarder:
		return fmt.Sprintf("%d requests failed", s.frontNet.disturb(load, f)), nil
	case NetLoki, NetLokiCut:
		return fmt.Sprintf("%d requests failed", s.lokiNet.disturb(load, f)), nil
	case ForwarderKill:
		if err := s.forwarders[f.Target].kill(load, f.After); err != nil && load.Err() == nil {
			return "", err
		}
		return "killed", nil
	default:
		return "", errors.New("no such fault")
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
	if err := pause(ctx, f.For/2); err != nil {
		return err
	}
	_ = b.await(load, b.progress()+1)
	if err := s.withCollector(f.Target, func(c *stack.Collector) error { return killed(ctx, c.Process) }); err != nil {
		return err
	}
	return pause(ctx, f.For/2)
}

// diskFull has the collector's files not grow while Loki is away. A kill meanwhile ends that, for it is a limit of the
// process.
func (s *system) diskFull(ctx context.Context, f Fault) (string, error) {
	c, limit := s.collectors[f.Target], int64(0)
	err := s.lokiAway(ctx, func() error {
		var err error
		if limit, err = stack.LargestFile(c.DataDir()); err != nil {
			return err
		}
		if err := limitFiles(c.Process, limit); err != nil {
			return err
		}
		return errors.Join(pause(ctx, f.For), limitFiles(c.Process, 0))
	})
	return fmt.Sprintf("no byte beyond %d of a file", limit), err
}

// limitFiles does nothing to a process that is being started again just now.
func limitFiles(p *stack.Process, bytes int64) error {
	if err := p.LimitFileSize(bytes); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
