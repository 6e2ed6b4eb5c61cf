// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/awsloki/awsloki/e2e/stack"
)

// doFault does what a fault says, and puts right what it broke. The error is that something could not be put right. load is
// done when nothing is sent any more. begun is called when what is sent from then on may meet the fault, or when another one has
// to be over first.
func (r *run) doFault(ctx, load context.Context, f Fault, begun func()) error {
	if !f.Kind.needsLoad() {
		begun()
	}
	if f.Kind != ForwarderKill && !pause(ctx, f.After) {
		return nil
	}
	began, at, failed := time.Now(), r.book.progress(), r.failures()
	what, times, err := r.system.do(ctx, load, r.book, f, begun)
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

// do returns what was done, and how often. What the network does is counted in the end, since it may go on until then.
func (s *system) do(ctx, load context.Context, b *book, f Fault, begun func()) (what string, times int, err error) {
	switch f.Kind {
	case CollectorKill:
		return "killed", 1, s.withCollector(f.Target, func(c *stack.Collector) error { return killed(ctx, c.Process) })
	case CollectorKillStarting:
		return "killed, and killed again while it started", 1,
			s.withCollector(f.Target, func(c *stack.Collector) error { return killedStarting(ctx, c, f.For) })
	case CollectorTerm:
		return "restarted", 1, s.withCollector(f.Target, func(c *stack.Collector) error { return c.Restart(ctx) })
	case RollingRestart:
		return "restarted one after another", 1, s.rollingRestart(ctx)
	case LokiKill:
		s.lokiMu.Lock()
		defer s.lokiMu.Unlock()
		return "killed", 1, killed(ctx, s.loki.Process)
	case LokiAway:
		return "away", 1, s.lokiAway(ctx, func() {}, func() error { pause(ctx, f.For); return nil })
	case LokiAwayKill:
		times, err = s.lokiAwayKill(ctx, load, b, f, begun)
		return []string{"away, but nothing was acknowledged meanwhile", "away, and the collector killed"}[times], times, err
	case DiskFull, DiskFullAll:
		return s.diskFull(ctx, load, f, begun)
	case NetForwarder:
		return fmt.Sprintf("%d requests failed", s.frontNet.disturb(load, f, begun)), 0, nil
	case NetLoki, NetLokiCut:
		return fmt.Sprintf("%d requests failed so far", s.lokiNet.disturb(load, f, begun)), 0, nil
	case ForwarderKill:
		times, err = s.killForwarder(ctx, load, f, begun)
		return []string{"not killed, since there was no further request", "killed in an invocation"}[times], times, err
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

// collectorReady is what a collector writes to its log once it has started.
const collectorReady = "Everything is ready."

// killedStarting kills a collector, and again so long after it was launched, or sooner if it is ready by then.
func killedStarting(ctx context.Context, c *stack.Collector, after time.Duration) error {
	for ; ; after /= 2 {
		if err := c.Kill(); err != nil {
			return err
		}
		log, err := c.Log()
		if err != nil {
			return err
		}
		if err := c.Launch(ctx); err != nil {
			return err
		}
		pause(ctx, after)
		if err := checkProcess(c.Process); err != nil {
			return err
		}
		if err := c.Kill(); err != nil {
			return err
		}
		now, err := c.Log()
		if err != nil {
			return err
		}
		if !strings.Contains(now[len(log):], collectorReady) {
			return c.Start(ctx)
		}
	}
}

func (s *system) rollingRestart(ctx context.Context) error {
	for n := range s.collectors {
		if err := s.withCollector(n, func(c *stack.Collector) error { return c.Restart(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// lokiAway stops Loki while something is done. It calls begun before it waits for another fault that has stopped Loki.
func (s *system) lokiAway(ctx context.Context, begun func(), meanwhile func() error) error {
	if !s.lokiMu.TryLock() {
		begun()
		s.lokiMu.Lock()
	}
	defer s.lokiMu.Unlock()
	if err := s.loki.Stop(); err != nil {
		return err
	}
	return errors.Join(meanwhile(), s.loki.Start(ctx))
}

// lokiAwayKill kills a collector that has acknowledged lines since Loki went away. It returns how often: not at all if there are
// none to come.
func (s *system) lokiAwayKill(ctx, load context.Context, b *book, f Fault, begun func()) (times int, err error) {
	err = s.lokiAway(ctx, begun, func() error {
		before := b.progress()
		begun()
		pause(ctx, f.For/2)
		if b.await(load, before+1) {
			times = 1
		}
		err := s.withCollector(f.Target, func(c *stack.Collector) error { return killed(ctx, c.Process) })
		pause(ctx, f.For/2)
		return err
	})
	return times, err
}

// diskFull has the collector's largest file, or all of them, not written further while Loki is away, until a write was refused. A kill meanwhile ends that, for it
// is a limit of the process.
func (s *system) diskFull(ctx, load context.Context, f Fault, begun func()) (what string, times int, err error) {
	c := s.collectors[f.Target]
	limit := int64(1) // what is written next goes beyond that, in whatever file
	err = s.lokiAway(ctx, begun, func() error {
		if f.Kind == DiskFull {
			largest, err := stack.LargestFile(c.DataDir())
			if err != nil {
				return err
			}
			limit = max(limit, largest)
		}
		log, err := c.Log()
		if err != nil {
			return err
		}
		limited := c.PID()
		if err := limitFiles(c.Process, limit); err != nil {
			return err
		}
		begun()
		pause(ctx, f.For)
		for ; c.PID() == limited && load.Err() == nil; pause(load, refusalPoll) {
			if times, err = refusals(c, len(log)); times > 0 || err != nil {
				break
			}
		}
		return errors.Join(err, limitFiles(c.Process, 0))
	})
	what = fmt.Sprintf("no byte beyond %d of a file, which met none", limit)
	if times > 0 {
		what, times = fmt.Sprintf("no byte beyond %d of a file, which met %d writes", limit, times), 1
	}
	return what, times, err
}

// refusalPoll is how often a collector's log is looked at for writes that were refused.
const refusalPoll = 50 * time.Millisecond

// refusals returns how many writes the collector's log says were refused, of what it wrote from an offset on.
func refusals(c *stack.Collector, from int) (int, error) {
	log, err := c.Log()
	if err != nil {
		return 0, err
	}
	return strings.Count(log[from:], syscall.EFBIG.Error()), nil
}

// limitFiles does nothing to a process that is being started again just now.
func limitFiles(p *stack.Process, bytes int64) error {
	if err := p.LimitFileSize(bytes); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
