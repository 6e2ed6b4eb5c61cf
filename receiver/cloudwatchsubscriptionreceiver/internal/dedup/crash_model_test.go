// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCrashModel does at random what requests do on a disk that is stuck at times, kills the process before or after any
// write, and compares what the next one finds with a model.
func TestCrashModel(t *testing.T) {
	f := func(maxEntries, keys int) {
		t.Helper()
		for seed := range uint64(4) {
			synctest.Test(t, func(t *testing.T) {
				r := newCrashRun(t, rand.New(rand.NewPCG(seed, 1)), maxEntries, keys)
				for range 1000 {
					r.step()
				}
				r.crash()
			})
		}
	}
	f(1, 20)
	f(7, 20)
	f(100, 300)
	f(1_000_000, 3)
	f(1_000_000, 20)
	f(1_000_000, 300)
}

// fact is what is known of a key since a time.
type fact struct {
	state state
	at    time.Time
}

// facts are what a process knows: what is settled, newest last, and what claims have begun that have not ended.
type facts struct {
	settled map[Key][]fact
	open    map[Key]time.Time
}

func (f facts) clone() facts {
	settled := map[Key][]fact{}
	for key, of := range f.settled {
		settled[key] = slices.Clone(of)
	}
	return facts{settled, maps.Clone(f.open)}
}

// reloaded is what a process knows that starts with what was written of these.
func (f facts) reloaded() facts {
	f = f.clone()
	for key, at := range f.open {
		f.settled[key] = append(f.settled[key], fact{begun, at})
	}
	clear(f.open)
	return f
}

// of is what is known of a key within the window.
func (f facts) of(key Key) state {
	for _, known := range slices.Backward(f.settled[key]) {
		if time.Since(known.at) <= window {
			return known.state
		}
	}
	return unknown
}

// crashRun is a store, and what it and its storage are meant to hold.
type crashRun struct {
	t          *testing.T
	random     *rand.Rand
	client     *fakeClient
	store      *Store
	maxEntries int
	keys       int
	claims     []*Claim
	held       map[Key]bool

	memory, disk facts
	// writing is what is known when the Batch is written that waits for the disk. nil: none does.
	writing *facts
	// isDue says that what is known is to be written after that.
	isDue bool
	// ever has the keys that were acknowledged at any time.
	ever map[Key]bool
}

func newCrashRun(t *testing.T, random *rand.Rand, maxEntries, keys int) *crashRun {
	t.Helper()
	none := facts{map[Key][]fact{}, map[Key]time.Time{}}
	r := &crashRun{
		t: t, random: random, client: newFakeClient(), maxEntries: maxEntries, keys: keys,
		memory: none, disk: none, ever: map[Key]bool{},
	}
	r.start()
	return r
}

func (r *crashRun) start() {
	r.client.began, r.client.done = make(chan struct{}), make(chan struct{})
	r.store = open(r.t, r.client, r.maxEntries)
	r.memory, r.writing, r.isDue = r.disk.reloaded(), nil, false
	r.claims, r.held = nil, map[Key]bool{}
}

func (r *crashRun) step() {
	switch action := r.random.IntN(100); {
	case action < 30:
		r.claim()
	case action < 60:
		r.begin()
	case action < 80:
		r.end()
	case action < 92:
		r.letOneThrough()
	case action < 97:
		time.Sleep(time.Duration(r.random.Int64N(int64(window) / 4)))
	default:
		r.crash()
	}
}

func (r *crashRun) claim() {
	var keys []Key
	for range 1 + r.random.IntN(3) {
		if key := keyOf(r.random.IntN(r.keys)); !r.held[key] && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	c := claim(r.t, r.store, keys...)
	for i, key := range keys {
		r.compare(key, c.known[i])
		r.held[key] = !c.Repeated(i)
	}
	r.claims = append(r.claims, c)
}

// compare checks what the store knows of a key. It may have forgotten it if it has no room for all.
func (r *crashRun) compare(key Key, got state) {
	if got == acknowledged {
		require.True(r.t, r.ever[key], "lost")
	}
	if want := r.memory.of(key); got != unknown || r.maxEntries >= 1_000_000 {
		require.Equal(r.t, want, got)
	}
}

// begin begins one of the claims, and does not wait: the disk writes when it is let.
func (r *crashRun) begin() {
	if len(r.claims) == 0 {
		return
	}
	c := r.claims[r.random.IntN(len(r.claims))]
	if c.begun != nil || !c.isHolding {
		return
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	c.Begin(ctx)
	for i, key := range c.keys {
		if c.holds(i) {
			r.memory.open[key] = time.Now()
		}
	}
	r.requestWrite()
}

func (r *crashRun) end() {
	if len(r.claims) == 0 {
		return
	}
	i := r.random.IntN(len(r.claims))
	c := r.claims[i]
	r.claims = slices.Delete(r.claims, i, i+1)
	isCommitted := r.random.IntN(3) > 0
	for i, key := range c.keys {
		if !c.holds(i) {
			continue
		}
		delete(r.held, key)
		delete(r.memory.open, key)
		if isCommitted {
			r.memory.settled[key] = append(r.memory.settled[key], fact{acknowledged, time.Now()})
			r.ever[key] = true
		}
	}
	if !isCommitted {
		c.Release()
		return
	}
	isHolding := c.isHolding
	c.Commit(r.t.Context())
	if isHolding {
		r.requestWrite()
	}
}

// requestWrite says what the store does when a write is asked for: it writes all that is known then, or after the Batch that
// waits for the disk all that is known by that time.
func (r *crashRun) requestWrite() {
	synctest.Wait()
	if r.writing != nil {
		r.isDue = true
		return
	}
	<-r.client.began
	planned := r.memory.clone()
	r.writing = &planned
}

// letOneThrough has the disk write the Batch that waits for it.
func (r *crashRun) letOneThrough() {
	if r.writing == nil {
		return
	}
	r.disk, r.writing = *r.writing, nil
	r.client.done <- struct{}{}
	if r.isDue {
		r.isDue = false
		r.requestWrite()
	}
	synctest.Wait()
}

// crash kills the process, before or after a write, and starts it again.
func (r *crashRun) crash() {
	for range r.random.IntN(3) {
		r.letOneThrough()
	}
	storage := maps.Clone(r.client.data)
	// The process that was killed does no more; its goroutine has to end.
	if r.writing != nil {
		r.client.done <- struct{}{}
	}
	r.client.letThrough()
	r.client = &fakeClient{data: storage}
	r.start()
	for i := range r.keys {
		c := claim(r.t, r.store, keyOf(i))
		r.compare(keyOf(i), c.known[0])
		c.Release()
	}
}
