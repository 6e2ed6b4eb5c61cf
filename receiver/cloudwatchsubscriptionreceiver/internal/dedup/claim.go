// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"context"
	"time"
)

// Claim is what a request holds until it is known whether the pipeline has its documents. Whoever makes one ends it with
// Commit or Release: others may wait for it.
type Claim struct {
	store *Store
	keys  []Key
	// known is what was known of each key when it was claimed. One that stands earlier in the same claim counts as
	// acknowledged.
	known []state

	// What follows is guarded by the store's mutex.

	// isHolding is true from when the claim holds keys until it is committed or released.
	isHolding bool
	// begun has the attempts of those keys that the claim holds, in their order. nil: they are not begun.
	begun []attempt
	// freed is closed when the claim's keys are no longer held. nil: nobody waits for that.
	freed chan struct{}
}

// Repeated says whether the document of the i-th key need not be handed on: it was acknowledged within the window, or
// stands earlier in the same claim.
func (c *Claim) Repeated(i int) bool { return c.known[i] == acknowledged }

// Uncertain says whether the document of the i-th key was begun in an earlier life of the process, within the window, and
// it is not known whether the pipeline has it. It is not repeated.
func (c *Claim) Uncertain(i int) bool { return c.known[i] == begun }

// Begin records that the claimed keys' documents are about to be handed on. If the store has a storage, it returns when that
// is written, or when ctx ends, and else at once. A failure to write is logged: should the process die before Commit is
// written, the documents are handed on again then as if they were new. No effect after Begin, Commit or Release.
func (c *Claim) Begin(ctx context.Context) {
	written := c.recordBegun(ctx)
	if written == nil {
		return
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// recordBegun returns what is closed when it is written that the claimed keys are begun, nil if it is not going to be.
func (c *Claim) recordBegun(ctx context.Context) (written <-chan struct{}) {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.isHolding || c.begun != nil || s.disk == nil || s.closed {
		return nil
	}
	now := time.Since(s.start)
	c.begun = make([]attempt, 0, len(c.keys))
	for i, key := range c.keys {
		if c.holds(i) {
			a := s.acks.begin(key, now)
			s.disk.change(a.number)
			c.begun = append(c.begun, a)
		}
	}
	return s.requestWrite(ctx)
}

// Commit records the claimed keys: the pipeline has their documents. Whoever waits for them finds them repeated. What it
// returns is closed when that is written, or could not be, nil if it is not going to be: until then the keys are begun in
// storage. A failure to write is logged, and tried again with the next keys that come: to lose a key only means that a repeat
// is handed on. No effect after Commit or Release.
func (c *Claim) Commit(ctx context.Context) (written <-chan struct{}) {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.isHolding {
		return nil
	}
	c.acknowledge(time.Since(s.start))
	c.free()
	if s.disk == nil || s.closed {
		return nil
	}
	return s.requestWrite(ctx)
}

func (c *Claim) acknowledge(now time.Duration) {
	s, next := c.store, 0
	for i, key := range c.keys {
		if !c.holds(i) {
			continue
		}
		if next < len(c.begun) && s.acks.acknowledge(c.begun[next], now) {
			s.disk.change(c.begun[next].number)
		} else {
			s.acks.add(key, now)
		}
		next++
	}
}

// Release gives up the claimed keys: the pipeline did not take their documents. Whoever waits for them may hand them on.
// That they were begun is forgotten, in storage with what is written next: until then they only seem uncertain after a
// crash. Those that were uncertain when they were begun are so again, for the window that began in the earlier life, also if
// there was only room for one of the two. No effect after Commit or Release.
func (c *Claim) Release() {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.isHolding {
		return
	}
	for _, a := range c.begun {
		if s.acks.withdraw(a) {
			s.disk.change(a.number)
		}
	}
	c.free()
}

// holds says whether the claim holds the i-th key, or did until it was freed.
func (c *Claim) holds(i int) bool { return !c.Repeated(i) && !c.keys[i].isZero() }

// free gives back what the claim holds.
func (c *Claim) free() {
	for i, key := range c.keys {
		if c.holds(i) {
			delete(c.store.held, key)
		}
	}
	c.isHolding = false
	if c.freed != nil {
		close(c.freed)
	}
}
