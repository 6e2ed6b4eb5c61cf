// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package dedup tells documents that were delivered before from those that were not: AWS delivers at least once.
//
// A request claims the keys of its documents, begins, hands on those that are no repeats, and commits the claim once the
// pipeline has them, or releases it. Of two deliveries at one time, one waits for what becomes of the other.
//
// The pipeline may keep what it has in a storage of its own, and no transaction spans the two. Therefore what is begun is
// written before the pipeline gets it: a process that dies in between leaves keys that are begun and not acknowledged, of
// which the next one says that they are uncertain.
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

// Store remembers the keys of documents that were acknowledged or begun, each for the window, and as many as it may. The
// oldest is forgotten first. A key takes 32 bytes of memory (BenchmarkClaimCommit), and 24 in storage. The memory grows with the
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

// Close writes what is not yet written, as far as ctx allows, and closes the storage. Claims that are committed later are
// remembered in memory only.
func (s *Store) Close(ctx context.Context) error {
	idle, wasClosed := s.close(ctx)
	if s.disk == nil || wasClosed {
		return nil
	}
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fmt.Errorf("wait until the keys of acknowledged documents are written: %w", ctx.Err())
	}
	return errors.Join(err, s.disk.client.Close(ctx))
}

// close returns what is closed when nothing is being written any more.
func (s *Store) close(ctx context.Context) (idle <-chan struct{}, wasClosed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wasClosed, s.closed = s.closed, true
	if s.disk == nil || wasClosed {
		return nil, wasClosed
	}
	s.requestWrite(ctx)
	return s.disk.idle, false
}

// Claim waits until no other claim holds any of keys, and then holds all those that were not acknowledged within the
// window. If ctx ends before, its error is in the chain of what is returned, and nothing is held. keys must not change
// until the claim is committed or released.
func (s *Store) Claim(ctx context.Context, keys []Key) (*Claim, error) {
	c := &Claim{store: s, keys: keys, known: make([]state, len(keys))}
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
		if _, isEarlier := s.held[key]; isEarlier {
			c.known[i] = acknowledged
			continue
		}
		c.known[i] = s.acks.find(key, now)
		if !c.Repeated(i) {
			s.held[key] = c
			c.isHolding = true
		}
	}
	return nil
}
