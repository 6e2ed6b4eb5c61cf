// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Row is what the book says of one input.
type Row struct {
	Input                Input
	Sent                 int
	Acknowledged         int
	Unacknowledged       int
	UnacknowledgedInLoki int // which is no fault: an answer was lost
	Lost                 int // acknowledged, and not in Loki
	Doubled              int // copies beyond the first
}

func (r *Row) add(other Row) {
	r.Sent += other.Sent
	r.Acknowledged += other.Acknowledged
	r.Unacknowledged += other.Unacknowledged
	r.UnacknowledgedInLoki += other.UnacknowledgedInLoki
	r.Lost += other.Lost
	r.Doubled += other.Doubled
}

// Result is what became of the lines of a run.
type Result struct {
	Rows    []Row // by input
	Foreign int   // lines in Loki that were not sent: there is something wrong with the run itself
	Refused int   // lines that Loki refused, as the collectors counted since they were last started
	Answers map[string]int
	Took    time.Duration // until the last line was in Loki
}

// Total returns the sum of all inputs.
func (r *Result) Total() Row { return r.sum(func(Input) bool { return true }) }

// Promised returns the sum of the inputs of which a second delivery is recognised.
func (r *Result) Promised() Row { return r.sum(Input.Promised) }

func (r *Result) sum(of func(Input) bool) Row {
	var sum Row
	for _, row := range r.Rows {
		if of(row.Input) {
			sum.add(row)
		}
	}
	return sum
}

// Print writes the result as a table, and the three numbers that matter.
func (r *Result) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "input\tsent\tacknowledged\tunacknowledged\tof these in Loki\tlost\tdoubled\t")
	print := func(name string, row Row) {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
			name, row.Sent, row.Acknowledged, row.Unacknowledged, row.UnacknowledgedInLoki, row.Lost, row.Doubled)
	}
	for _, row := range r.Rows {
		if row.Sent > 0 {
			print(row.Input.String(), row)
		}
	}
	promised, pushed := r.Promised(), r.Rows[Push]
	print("all but push", promised)
	print("all", r.Total())
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nlost %d, doubled %d, unacknowledged %d", r.Total().Lost, promised.Doubled, r.Total().Unacknowledged)
	if err == nil && pushed.Sent > 0 {
		_, err = fmt.Fprintf(w, "; of those pushed, doubled %d", pushed.Doubled)
	}
	if err == nil && r.Foreign+r.Refused > 0 {
		_, err = fmt.Fprintf(w, "; refused by Loki %d, in Loki and never sent %d", r.Refused, r.Foreign)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

// journal writes down what happens, with the time since the run began. The zero value writes nothing.
type journal struct {
	mu    sync.Mutex
	w     io.Writer
	begun time.Time
}

func (j *journal) printf(format string, args ...any) {
	if j.w == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = fmt.Fprintf(j.w, "%9.3fs  %s\n", time.Since(j.begun).Seconds(), strings.TrimSuffix(fmt.Sprintf(format, args...), "\n"))
}
