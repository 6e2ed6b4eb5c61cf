// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package budget bounds the memory that requests in flight hold, and how many of them are worked on at once.
package budget

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrBusy says that other requests hold the memory, and did not give enough of it back in time.
var ErrBusy = errors.New("too many requests at once")

// ErrTooLarge says that a request would hold more than any request may.
var ErrTooLarge = errors.New("the request takes too much memory")

// patience is how long a request waits for memory and for its turn, all in all. Senders want an answer within a second.
const patience = 500 * time.Millisecond

// Budget is an amount of memory, and a number of turns, that requests share. It is safe for concurrent use.
//
// One request at a time may exceed the memory: so a request that is larger than the whole budget is served when it is
// alone, and requests that are half read cannot wait for each other for ever.
type Budget struct {
	size, most int64
	// turns has those that nobody has.
	turns chan struct{}

	mu sync.Mutex
	// used is how much all leases hold.
	used int64
	// exceeding is the lease that may exceed the budget. It matters only while more is used than there is.
	exceeding *Lease
	// released is closed when memory was given back.
	released chan struct{}
}

// New returns a budget of size bytes, of which a request may hold most, which may be more than size, and of as many turns.
func New(size, most int64, turns int) *Budget {
	b := &Budget{size: size, most: most, turns: make(chan struct{}, turns), released: make(chan struct{})}
	for range turns {
		b.turns <- struct{}{}
	}
	return b
}

// Lease is what one request holds of a budget. It is for one goroutine.
type Lease struct {
	budget *Budget
	ctx    context.Context
	used   int64
	// working says whether it has a turn.
	working bool
	// waited is how much of its patience is gone.
	waited time.Duration
}

// Lease returns a lease that holds nothing yet, of a request that is over when ctx is done.
func (b *Budget) Lease(ctx context.Context) *Lease {
	return &Lease{budget: b, ctx: ctx}
}

// Reserve takes n bytes more. While others hold too much it waits, and gives up with ErrBusy, or with the error of the
// context.
func (l *Lease) Reserve(n int64) error {
	if n < 0 || n > l.budget.most-l.used {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, l.budget.most)
	}
	for {
		released := l.take(n)
		if released == nil {
			return nil
		}
		if err := l.wait(released); err != nil {
			return err
		}
	}
}

// take takes n bytes and returns nil, or else a channel that is closed when it is worth another try.
func (l *Lease) take(n int64) (released <-chan struct{}) {
	b := l.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.size {
		if b.used > b.size && b.exceeding != l {
			return b.released
		}
		b.exceeding = l
	}
	b.used += n
	l.used += n
	return nil
}

// wait waits until ready gives something or is closed.
func (l *Lease) wait(ready <-chan struct{}) error {
	if l.waited >= patience {
		return ErrBusy
	}
	began := time.Now()
	timer := time.NewTimer(patience - l.waited)
	defer timer.Stop()
	defer func() { l.waited += time.Since(began) }()
	select {
	case <-ready:
		return nil
	case <-timer.C:
		return ErrBusy
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
}

// Begin waits for its turn, which lasts until Release. It gives up with the errors of Reserve.
func (l *Lease) Begin() error {
	select {
	case <-l.budget.turns:
	default:
		if err := l.wait(l.budget.turns); err != nil {
			return err
		}
	}
	l.working = true
	return nil
}

// Used is how much the lease holds.
func (l *Lease) Used() int64 { return l.used }

// ShrinkTo gives back what the lease holds beyond n bytes.
func (l *Lease) ShrinkTo(n int64) {
	b := l.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.used <= n {
		return
	}
	b.used -= l.used - n
	l.used = n
	if b.exceeding == l && b.used <= b.size {
		b.exceeding = nil
	}
	close(b.released)
	b.released = make(chan struct{})
}

// Release gives back all that the lease holds, and ends its turn.
func (l *Lease) Release() {
	l.ShrinkTo(0)
	if l.working {
		l.working = false
		l.budget.turns <- struct{}{}
	}
}
