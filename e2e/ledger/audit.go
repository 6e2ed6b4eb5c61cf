// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"time"
)

const (
	// auditors is how many groups are asked for at once.
	auditors = 2
	// auditLines is how many lines of a group are asked for at once.
	auditLines = 1900
	// Lines that were given another time are not before the run, and not later than Loki takes them.
	auditBefore, auditAhead = time.Hour, 10 * time.Minute
)

// audit asks Loki for the lines of every group, or only for their number.
func (r *run) audit(ctx context.Context) error {
	crew, ctx := newCrew(ctx)
	groups := make(chan int)
	crew.do(func() error {
		defer close(groups)
		for n := range r.plan.groups {
			select {
			case groups <- n:
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
	for range auditors {
		crew.do(func() error {
			for n := range groups {
				if err := r.auditGroup(ctx, n); err != nil {
					return fmt.Errorf("ask Loki for %s: %w", r.plan.groups[n].name, err)
				}
			}
			return nil
		})
	}
	return crew.wait()
}

func (r *run) auditGroup(ctx context.Context, n int) error {
	query := fmt.Sprintf("{service_name=%q}", r.plan.groups[n].name)
	start, end := r.journal.begun.Add(-auditBefore), time.Now().Add(auditAhead)
	if r.plan.groups[n].input.Promised() {
		query += ` | log_record_uid != ""`
	}
	counted, err := r.system.loki.Count(ctx, query, start, end)
	if err != nil {
		return err
	}
	r.book.count(n, counted)
	if r.opts.CountOnly {
		return nil
	}
	// Structured metadata is left out, because Loki takes several times as long with it.
	for _, slice := range r.slices(n, start, end) {
		lines, err := r.system.loki.Lines(ctx, query+" | keep service_name", slice.start, slice.end)
		if err != nil {
			return err
		}
		for _, line := range lines {
			id, ok := idOf(line.Line)
			r.book.find(n, id, ok)
		}
	}
	return nil
}

type timeRange struct{ start, end time.Time }

// slices divides the time from start to end into parts that have so few lines of a group that Loki can answer at once, also
// when each is there twice. What has been given another time is in the last.
func (r *run) slices(n int, start, end time.Time) []timeRange {
	var slices []timeRange
	from := r.generator.begun.Add(-time.Duration(r.plan.groups[n].lines) * lineStep)
	for ; from.Before(r.generator.begun); from = from.Add(auditLines * lineStep) {
		slices = append(slices, timeRange{start, from})
		start = from
	}
	return append(slices, timeRange{start, end})
}
