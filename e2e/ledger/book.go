// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"math"
	"sync"
)

// book keeps account of a run's lines: which were sent, which are acknowledged, and how often each is in Loki. Its methods
// may be called concurrently.
type book struct {
	plan *plan

	mu           sync.Mutex
	sent         []bool // by document
	acknowledged []int  // by document: how many of its lines, from the first
	total        int    // lines that are acknowledged
	waiters      []waiter
	found        []uint8 // by line: how often log queries have shown it
	counted      []int   // by group: how many lines metric queries have counted
	foreign      int     // lines in Loki that no document of their group has
	altered      int     // lines in Loki that are not as they were sent
}

// waiter is told when so many lines are acknowledged.
type waiter struct {
	lines   int
	reached chan struct{}
}

func newBook(p *plan) *book {
	return &book{
		plan:         p,
		sent:         make([]bool, len(p.documents)),
		acknowledged: make([]int, len(p.documents)),
		counted:      make([]int, len(p.groups)),
	}
}

// send notes that a document is sent for the first time.
func (b *book) send(d document) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent[d.number] = true
}

// acknowledge notes that the first lines of a document are acknowledged. That does not end: fewer than before change
// nothing.
func (b *book) acknowledge(d document, lines int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	more := lines - b.acknowledged[d.number]
	if more <= 0 {
		return
	}
	b.acknowledged[d.number] = lines
	b.total += more
	waiting := b.waiters[:0]
	for _, w := range b.waiters {
		if w.lines <= b.total {
			close(w.reached)
		} else {
			waiting = append(waiting, w)
		}
	}
	b.waiters = waiting
}

// progress returns how many lines are acknowledged.
func (b *book) progress() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// await waits until so many lines are acknowledged, or ctx is done, and reports whether they are.
func (b *book) await(ctx context.Context, lines int) bool {
	w := waiter{lines: lines, reached: make(chan struct{})}
	b.mu.Lock()
	if b.total >= lines {
		close(w.reached)
	} else {
		b.waiters = append(b.waiters, w)
	}
	b.mu.Unlock()
	select {
	case <-w.reached:
		return true
	case <-ctx.Done():
		return b.progress() >= lines
	}
}

// find notes a line that a log query of a group has shown, by its id. ok says that the line has an id at all. It returns the
// document that has the line, and false if none that was sent does.
func (b *book) find(group, id int, ok bool) (document, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.found == nil {
		b.found = make([]uint8, b.plan.lines)
	}
	if !ok || id >= b.plan.lines {
		b.foreign++
		return document{}, false
	}
	d := b.plan.documentOf(id)
	if d.group != group || !b.sent[d.number] {
		b.foreign++
		return document{}, false
	}
	if b.found[id] < math.MaxUint8 {
		b.found[id]++
	}
	return d, true
}

// alter notes that a line is not as it was sent.
func (b *book) alter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.altered++
}

// count notes how many lines a metric query of a group has counted.
func (b *book) count(group, lines int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counted[group] = lines
}

// balance returns what the book says of each input, after all lines were looked for.
func (b *book) balance() []Row {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows := newRows()
	distinct, copies := make([]int, len(b.plan.groups)), make([]int, len(b.plan.groups))
	for _, d := range b.plan.documents {
		row := &rows[d.input]
		b.addDocument(row, d)
		for i := range d.lines {
			found := int(b.foundOf(d.first + i))
			acknowledged := i < b.acknowledged[d.number]
			switch {
			case found == 0 && acknowledged:
				row.Lost++
			case found > 0 && !acknowledged:
				row.UnacknowledgedInLoki++
			}
			if found > 0 {
				distinct[d.group]++
				copies[d.group] += found - 1
			}
		}
	}
	// A log query may show as one what is stored twice. A metric query does not, as long as nothing is flushed (checkFlushed).
	for n, group := range b.plan.groups {
		rows[group.input].Doubled += max(copies[n], b.counted[n]-distinct[n])
	}
	return rows
}

// balanceCounts returns what the book says of each input, and what follows for all of them where it is only known how many
// lines Loki has taken: a line that is lost makes up for one that is doubled then.
func (b *book) balanceCounts(delivered int) (rows []Row, all Row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows = newRows()
	var sum Row
	for _, d := range b.plan.documents {
		b.addDocument(&rows[d.input], d)
		b.addDocument(&sum, d)
	}
	return rows, Row{
		Lost:                 max(0, sum.Acknowledged-delivered),
		Doubled:              max(0, delivered-sum.Sent),
		UnacknowledgedInLoki: min(max(0, delivered-sum.Acknowledged), sum.Unacknowledged),
	}
}

func newRows() []Row {
	rows := make([]Row, numInputs)
	for i := range rows {
		rows[i].Input = Input(i)
	}
	return rows
}

// addDocument adds what the senders know of a document.
func (b *book) addDocument(row *Row, d document) {
	if !b.sent[d.number] {
		return
	}
	row.Sent += d.lines
	row.Acknowledged += b.acknowledged[d.number]
	row.Unacknowledged += d.lines - b.acknowledged[d.number]
}

func (b *book) foundOf(id int) uint8 {
	if b.found == nil {
		return 0
	}
	return b.found[id]
}
