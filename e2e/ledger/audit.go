// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"strings"
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

// audit asks Loki for the lines of every group, and for their number. The error may be that Loki cannot tell.
func (r *run) audit(ctx context.Context) error {
	outer := ctx
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
	if err := crew.wait(); err != nil {
		return err
	}
	r.journal.printf("Loki has told what it has")
	return r.system.checkFlushed(outer, r.opts.Dir)
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
	// Structured metadata is left out, because Loki takes several times as long with it. The id goes into the line.
	query += ` | line_format "{{.log_record_uid}} {{__line__}}" | keep service_name`
	expected := r.expectations(n)
	for _, slice := range r.slices(n, start, end) {
		lines, err := r.system.loki.Lines(ctx, query, slice.start, slice.end)
		if err != nil {
			return err
		}
		for _, line := range lines {
			uid, text, _ := strings.Cut(line.Line, " ")
			id, ok := idOf(text)
			if d, ok := r.book.find(n, id, ok); ok && !expected.meets(d, id, line.Timestamp, uid) {
				r.book.alter()
			}
		}
	}
	return nil
}

// restampAge is what the shipped configuration lets a line's age be; what arrives later gets another time.
const restampAge = 45 * time.Minute

// expectations is what Loki should say of the lines of a group besides their text.
type expectations struct {
	generator *generator
	timed     bool // no line can have been so old that it got another time
	document  int  // whose lines these are; they are asked for one document after another
	ids       []string
}

func (r *run) expectations(n int) *expectations {
	oldest := r.generator.begun.Add(-time.Duration(r.plan.groups[n].lines) * lineStep)
	return &expectations{generator: r.generator, timed: time.Since(oldest) < restampAge-time.Minute, document: -1}
}

// meets reports whether a line of a document, by its id, has its time, and its log_record_uid.
func (e *expectations) meets(d document, id int, at time.Time, uid string) bool {
	if e.document != d.number {
		e.document, e.ids = d.number, e.generator.recordUIDs(d)
	}
	n := id - d.first
	due := e.generator.start(d).Add(time.Duration(n) * lineStep)
	return e.ids[n] == uid && (!e.timed || at.UnixMilli() == due.UnixMilli())
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
