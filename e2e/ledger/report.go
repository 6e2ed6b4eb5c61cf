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
	Counted Row   // with CountOnly: what the exporters' count says is lost and doubled of all inputs
	Foreign int   // lines in Loki that were not sent: there is something wrong with the run itself
	Altered int   // lines in Loki, each copy, whose time or log_record_uid is another than it was sent with
	Refused int   // lines that Loki refused, as the collectors counted since they were last started
	// Done is how often each fault happened, and met something: of those of the network, how many requests failed.
	Done map[Kind]int
	// Failures are deliveries that did not have all of their lines acknowledged, by the status of their answer, the type of the
	// forwarder's error, or what else there was instead.
	Failures map[string]int
	Took     time.Duration // until the last line was in Loki
}

// Total returns the sum of all inputs.
func (r *Result) Total() Row { return r.sum(func(Input) bool { return true }) }

// Promised returns the sum of the inputs of which a second delivery is recognised.
func (r *Result) Promised() Row { return r.sum(Input.Promised) }

func (r *Result) sum(of func(Input) bool) Row {
	sum := r.Counted
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
	row := func(name string, row Row) {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
			name, row.Sent, row.Acknowledged, row.Unacknowledged, row.UnacknowledgedInLoki, row.Lost, row.Doubled)
	}
	_, _ = fmt.Fprintln(table, "input\tsent\tacknowledged\tunacknowledged\tof these in Loki\tlost\tdoubled\t")
	for _, one := range r.Rows {
		if one.Sent > 0 {
			row(one.Input.String(), one)
		}
	}
	row("all but push", r.Promised())
	row("all", r.Total())
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r)
	return err
}

// String is the numbers that matter.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lost %d, doubled %d, unacknowledged %d", r.Total().Lost, r.Promised().Doubled, r.Total().Unacknowledged)
	if pushed := r.Rows[Push]; pushed.Sent > 0 {
		fmt.Fprintf(&b, "; of those pushed, doubled %d", pushed.Doubled)
	}
	if r.Refused > 0 {
		fmt.Fprintf(&b, "; refused by Loki %d", r.Refused)
	}
	if r.Foreign > 0 {
		fmt.Fprintf(&b, "; in Loki and never sent %d", r.Foreign)
	}
	if r.Altered > 0 {
		fmt.Fprintf(&b, "; with another time or log_record_uid %d", r.Altered)
	}
	fmt.Fprintf(&b, "\ntook %s; deliveries that failed %v; faults that happened %v", r.Took.Round(time.Millisecond), r.Failures, r.Done)
	return b.String()
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
