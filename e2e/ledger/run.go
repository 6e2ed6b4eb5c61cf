// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package ledger sends lines that can be told apart through the built forwarder and collector into Loki, while processes
// are killed, networks fail and disks are full, and keeps books: no line that was acknowledged may be missing in Loki, and
// it says how many are there more than once. docs/ledger.md says more.
package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/awsloki/awsloki/e2e/stack"
)

// Options says what a run does. Dir and Lines are needed.
type Options struct {
	Dir    string // for logs, queues and Loki's data
	Binary string // of the collector; default: _build/otelcol-awsloki in the repository
	Config string // the collectors' configuration; default: config.yaml of the repository
	// Seed: equal seeds give equal documents and equal schedules of faults. What else they meet depends on time.
	Seed   uint64
	Lines  int
	Groups int           // log groups; default: 10
	Mix    map[Input]int // shares of the lines; default: DefaultMix

	Faults   map[Kind]int  // how many of each; when they come is drawn by lot
	Schedule []Fault       // instead of Faults: just these
	Outage   time.Duration // besides: how long Loki is away in the middle of a run with a Rate

	Collectors int // default: 1; more stand behind a balancer
	Forwarders int // processes; default: 3

	Verify  bool     // the exporter asks Loki before it sends again what Loki may have
	Overlay []string // YAML that is laid over the configuration, one after another

	Rate int // lines in a second; default: as fast as they are acknowledged
	// CountOnly sends the same lines over and over, of which it is only known how many the exporters have counted. No fault may
	// end a collector, since it would begin to count anew.
	CountOnly bool
	GiveUp    time.Duration // when the senders give up what is not acknowledged; default: never
	Drain     time.Duration // how long the collectors may take to send what is left; default: 10 minutes

	Every    time.Duration // how often progress is written; default: never
	Progress io.Writer     // what is done, and when; default: nowhere
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" || o.Lines <= 0 {
		return o, errors.New("a ledger needs a folder and a number of lines")
	}
	if o.Config == "" {
		root, err := stack.RepoRoot()
		if err != nil {
			return o, err
		}
		o.Config = filepath.Join(root, "config.yaml")
	}
	if o.Mix == nil {
		o.Mix = DefaultMix
	}
	o.Groups, o.Collectors, o.Forwarders = cmp.Or(o.Groups, 10), cmp.Or(o.Collectors, 1), cmp.Or(o.Forwarders, 3)
	o.Drain = cmp.Or(o.Drain, 10*time.Minute)
	if o.Outage > 0 && o.Rate == 0 {
		return o, errors.New("an outage in the middle of a ledger needs a rate")
	}
	if o.Schedule == nil {
		o.Schedule = newSchedule(o)
	}
	slices.SortStableFunc(o.Schedule, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	for _, f := range o.Schedule {
		if o.CountOnly && f.Kind.endsCollector() {
			return o, fmt.Errorf("a collector that only counts must not end, as it does by %s", f.Kind)
		}
	}
	return o, nil
}

// run is one run of a ledger.
type run struct {
	opts      Options
	plan      *plan
	book      *book
	generator *generator
	system    *system
	failed    tally[string] // deliveries, by their answers
	done      tally[Kind]
	begun     []chan struct{} // by fault of the schedule: closed when it may meet something
	journal   *journal
}

// Run starts Loki, the collectors and the forwarders, sends the lines while the faults come, waits until the collectors
// have sent all they have, and asks Loki for every line. It ends whatever it has started.
func Run(ctx context.Context, opts Options) (result *Result, err error) {
	opts, err = opts.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &run{
		opts:    opts,
		plan:    newPlan(opts.Seed, opts.Lines, opts.Groups, opts.Mix, opts.CountOnly),
		journal: &journal{w: opts.Progress, begun: time.Now()},
	}
	for range opts.Schedule {
		r.begun = append(r.begun, make(chan struct{}))
	}
	r.book = newBook(r.plan)
	r.generator = &generator{seed: opts.Seed, groups: r.plan.groups, begun: r.journal.begun, repeat: opts.CountOnly, repeated: map[int]repeated{}}
	r.journal.printf("seed %d: %d lines in %d documents for %d groups, %d faults", opts.Seed, r.plan.lines, len(r.plan.documents), len(r.plan.groups), len(opts.Schedule))
	for _, f := range opts.Schedule {
		r.journal.printf("to come %s", f)
	}
	if r.system, err = startSystem(ctx, opts); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.system.stop()) }()
	return r.steps(ctx)
}

func (r *run) steps(ctx context.Context) (*Result, error) {
	r.journal.begun = time.Now()
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	r.journal.printf("%d lines are acknowledged", r.book.progress())
	if err := stack.Eventually(ctx, r.opts.Drain, r.system.drained); err != nil {
		return nil, fmt.Errorf("wait until the collectors have sent all they have: %w", err)
	}
	result := &Result{Took: time.Since(r.journal.begun)}
	r.journal.printf("the collectors have sent what they had")
	counted, err := r.system.counters(ctx)
	if err != nil {
		return nil, err
	}
	result.Refused = counted.refused
	if r.opts.CountOnly {
		result.Rows, result.Counted = r.book.balanceCounts(counted.delivered)
	} else if err := r.audit(ctx); err != nil {
		return nil, err
	} else {
		result.Rows, result.Foreign, result.Altered = r.book.balance(), r.book.foreign, r.book.altered
	}
	// What is wrong with the network goes on until there is nothing more to send.
	result.Failures, result.Done = r.failed.all(), r.done.all()
	r.system.frontNet.addFailed(result.Done)
	r.system.lokiNet.addFailed(result.Done)
	return result, r.system.check()
}

// load sends all lines, and does the faults. It returns when both are over.
func (r *run) load(ctx context.Context) error {
	all, ctx := newCrew(ctx)
	sending, stopSending := context.WithCancel(ctx)
	defer stopSending()
	if r.opts.GiveUp > 0 {
		timer := time.AfterFunc(r.opts.GiveUp, stopSending)
		defer timer.Stop()
	}
	load, endLoad := context.WithCancel(ctx)
	over, end := context.WithCancel(ctx)
	defer end()

	var senders, faults sync.WaitGroup
	for _, work := range r.senders(sending) {
		senders.Add(1)
		all.do(func() error { defer senders.Done(); return work() })
	}
	faults.Add(1)
	all.do(func() error { defer faults.Done(); return r.doFaults(ctx, load) })
	all.do(func() error { return r.watch(over) })
	all.do(func() error {
		senders.Wait()
		endLoad()
		faults.Wait()
		end()
		return nil
	})
	return all.wait()
}

// senders returns what is to be done to send all documents, at the same time.
func (r *run) senders(ctx context.Context) []func() error {
	documents := map[Input]chan document{}
	var work []func() error
	add := func(input Input, c courier) {
		from := documents[input]
		work = append(work, func() error {
			for ctx.Err() == nil {
				d, more := <-from
				if !more {
					return nil
				}
				if err := r.send(ctx, c, d); err != nil {
					return err
				}
			}
			return nil
		})
	}
	p := newPoster(r.system.url)
	for input := range numInputs {
		if r.opts.Mix[input] == 0 {
			continue
		}
		documents[input] = make(chan document, 2*sendersPerInput)
		if input == Forwarder {
			for _, f := range r.system.forwarders {
				add(input, f)
			}
			continue
		}
		for range sendersPerInput {
			add(input, p)
		}
	}
	return append(work, func() error { return r.feed(ctx, documents) })
}

// doFaults does the faults of the schedule, each when it is due, whatever else is wrong by then. load is done when nothing is
// sent any more.
func (r *run) doFaults(ctx, load context.Context) error {
	faults, ctx := newCrew(ctx)
	for n, f := range r.opts.Schedule {
		if !r.book.await(load, f.At) {
			break // the senders have given up
		}
		begun := sync.OnceFunc(func() { close(r.begun[n]) })
		faults.do(func() error { return r.doFault(ctx, load, f, begun) })
	}
	return faults.wait()
}

// watch writes down the progress, and fails when a process ends by itself.
func (r *run) watch(ctx context.Context) error {
	last, lines := time.Now(), 0
	for pause(ctx, time.Second) {
		if err := r.system.check(); err != nil {
			return err
		}
		r.system.lookAtMemory()
		since := time.Since(last)
		if r.opts.Every == 0 || since < r.opts.Every {
			continue
		}
		acknowledged := r.book.progress()
		r.journal.printf("%d lines are acknowledged, %.0f a second; %s", acknowledged, float64(acknowledged-lines)/since.Seconds(), r.system.sizes())
		last, lines = time.Now(), acknowledged
	}
	return nil
}

// crew is functions that run at the same time. The first error ends them all.
type crew struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	err    error
}

func newCrew(ctx context.Context) (*crew, context.Context) {
	c := &crew{}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c, c.ctx
}

func (c *crew) do(work func() error) {
	c.wg.Go(func() {
		if err := work(); err != nil {
			c.mu.Lock()
			c.err = cmp.Or(c.err, err)
			c.mu.Unlock()
			c.cancel(err)
		}
	})
}

// wait returns the first error, or why the work was ended from outside.
func (c *crew) wait() error {
	c.wg.Wait()
	err := cmp.Or(c.err, context.Cause(c.ctx))
	c.cancel(nil)
	return err
}
