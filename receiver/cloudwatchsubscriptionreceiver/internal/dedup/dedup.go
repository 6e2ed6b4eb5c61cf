// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package dedup tells documents that were delivered before from those that were not: AWS delivers at least once.
//
// A request claims the keys of its documents, hands on those that are no repeats, and commits the claim once the pipeline
// has them, or releases it. Of two deliveries at one time, one waits for what becomes of the other.
package dedup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

// Key is a document's identity: the same at every delivery, and no other document's. The zero Key is that of a document
// without identity, which is never a repeat.
type Key [16]byte

func (k Key) isZero() bool { return k == Key{} }

// Store remembers the keys of documents that were acknowledged, each for the window, and as many as it may. The oldest is
// forgotten first. A key takes 32 bytes of memory (BenchmarkClaimCommit), and 24 in storage. The memory grows with the
// keys, by doubling, and is kept as long as the store. Safe for concurrent use.
type Store struct {
	// start is what times are counted from: a clock that is set must not change the window.
	start time.Time
	// disk is nil if the keys are in memory only.
	disk *journal

	mu   sync.Mutex
	acks ring
	// held has the claims that hold keys.
	held   map[Key]*Claim
	closed bool
}

// New returns a store in memory. window and maxEntries are positive.
func New(window time.Duration, maxEntries int) *Store {
	return &Store{start: time.Now(), acks: newRing(window, maxEntries), held: map[Key]*Claim{}}
}

// Open returns a store that keeps its keys in client, from where it first loads those still within the window, and of
// these the newest maxEntries. What it cannot read there is logged and left out; an error is client's. The store owns
// client, which is nobody else's, and closes it: Close does, and so does Open when it fails.
//
// Times in storage are those of the wall clock. A key of the future is taken for one of now, and one further ahead than
// the window is forgotten.
func Open(ctx context.Context, window time.Duration, maxEntries int, client storage.Client, logger *zap.Logger) (*Store, error) {
	s := New(window, maxEntries)
	s.disk = &journal{client: client, logger: logger}
	if err := s.disk.load(ctx, &s.acks, s.start); err != nil {
		return nil, errors.Join(fmt.Errorf("load the keys of acknowledged documents: %w", err), client.Close(ctx))
	}
	return s, nil
}

// Close waits until what is being written is written, or ctx ends, and closes the storage. Claims that are committed
// later are remembered in memory only.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	wasClosed := s.closed
	s.closed = true
	s.mu.Unlock()
	if s.disk == nil || wasClosed {
		return nil
	}
	return errors.Join(s.waitForWriter(ctx), s.disk.client.Close(ctx))
}

func (s *Store) waitForWriter(ctx context.Context) error {
	s.mu.Lock()
	idle := s.disk.idle
	s.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait until the keys of acknowledged documents are written: %w", ctx.Err())
	}
}

// Claim is what a request holds until it is known whether the pipeline has its documents. Whoever makes one ends it with
// Commit or Release: others may wait for it.
type Claim struct {
	store    *Store
	keys     []Key
	repeated []bool

	// What follows is guarded by the store's mutex.

	// isHolding is true from when the claim holds keys until it is committed or released.
	isHolding bool
	// freed is closed when the claim's keys are no longer held. nil: nobody waits for that.
	freed chan struct{}
}

// Claim waits until no other claim holds any of keys, and then holds all those that were not acknowledged within the
// window. If ctx ends before, its error is in the chain of what is returned, and nothing is held. keys must not change
// until the claim is committed or released.
func (s *Store) Claim(ctx context.Context, keys []Key) (*Claim, error) {
	c := &Claim{store: s, keys: keys, repeated: make([]bool, len(keys))}
	for {
		freed := s.tryHold(c)
		if freed == nil {
			return c, nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another delivery of the same documents: %w", ctx.Err())
		}
	}
}

// tryHold has c hold its keys, or holds none and returns what is closed when one that another claim holds is freed. To
// hold some while waiting for others would be to wait for each other.
func (s *Store) tryHold(c *Claim) (freed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range c.keys {
		if other, ok := s.held[key]; ok {
			if other.freed == nil {
				other.freed = make(chan struct{})
			}
			return other.freed
		}
	}
	now := time.Since(s.start)
	for i, key := range c.keys {
		if key.isZero() {
			continue
		}
		_, isEarlier := s.held[key]
		c.repeated[i] = isEarlier || s.acks.has(key, now)
		if !c.repeated[i] {
			s.held[key] = c
			c.isHolding = true
		}
	}
	return nil
}

// Repeated says whether the document of the i-th key need not be handed on: it was acknowledged within the window, or
// stands earlier in the same claim.
func (c *Claim) Repeated(i int) bool { return c.repeated[i] }

// Commit records the claimed keys: the pipeline has their documents. Whoever waits for them finds them repeated. If the
// store has a storage, Commit returns when they are written, or when ctx ends; they are written all the same. A failure to
// write is logged, and tried again with the next keys that come: to lose a key only means that a repeat is handed on. No
// effect after Commit or Release.
func (c *Claim) Commit(ctx context.Context) {
	written := c.record(ctx)
	if written == nil {
		return
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// record has the store remember the claimed keys, and returns what is closed when they are written, nil if they are not
// going to be.
func (c *Claim) record(ctx context.Context) (written <-chan struct{}) {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.isHolding {
		return nil
	}
	now := time.Since(s.start)
	for i, key := range c.keys {
		if c.holds(i) {
			s.acks.add(key, now)
		}
	}
	c.free()
	if s.disk == nil || s.closed {
		return nil
	}
	return s.requestWrite(ctx)
}

// Release gives up the claimed keys: the pipeline did not take their documents. Whoever waits for them may hand them on.
// No effect after Commit or Release.
func (c *Claim) Release() {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if c.isHolding {
		c.free()
	}
}

// holds says whether the claim holds the i-th key, or did until it was freed.
func (c *Claim) holds(i int) bool { return !c.repeated[i] && !c.keys[i].isZero() }

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

// requestWrite sees to it that all that is recorded is written, and returns what is closed when that is so, or has failed.
// s.mu is held.
func (s *Store) requestWrite(ctx context.Context) <-chan struct{} {
	d := s.disk
	if d.round == nil {
		d.round = make(chan struct{})
	}
	round := d.round
	if d.idle == nil {
		d.idle = make(chan struct{})
		// What is written is of other requests too, whose ends do not come with this one's.
		go s.write(context.WithoutCancel(ctx))
	}
	return round
}

// write writes, one round after another, until there is none: what comes during one is written by the next, together.
func (s *Store) write(ctx context.Context) {
	for {
		s.mu.Lock()
		round, end := s.disk.round, s.acks.next
		s.disk.round = nil
		if round == nil {
			close(s.disk.idle)
			s.disk.idle = nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if err := s.writeUpTo(ctx, end); err != nil {
			s.disk.logger.Error("The keys of acknowledged documents could not be written. After a restart, these documents may be handed on again.",
				zap.Error(err))
		}
		close(round)
	}
}

// writeUpTo writes the acks before number end, and maybe some of those that come meanwhile.
func (s *Store) writeUpTo(ctx context.Context, end uint64) error {
	for s.disk.written < end {
		s.mu.Lock()
		now := time.Now()
		next := s.disk.plan(&s.acks, now, now.Sub(s.start))
		s.mu.Unlock()
		if err := s.disk.write(ctx, next); err != nil {
			return err
		}
	}
	return nil
}
