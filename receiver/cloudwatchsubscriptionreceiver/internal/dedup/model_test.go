// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestModel does at random what requests do, and the collector's restarts, and compares with a model.
func TestModel(t *testing.T) {
	f := func(maxEntries, keys int, restarts bool) {
		t.Helper()
		for seed := range uint64(4) {
			synctest.Test(t, func(t *testing.T) {
				r := newRun(t, rand.New(rand.NewPCG(seed, 0)), maxEntries, keys, restarts)
				for range 3000 {
					r.step()
				}
				r.compare()
			})
		}
	}
	f(1, 20, false)
	f(10, 20, false)
	f(100, 300, false)
	f(1000, 300, false)
	f(5, 20, true)
	f(100, 300, true)
	f(1000, 300, true)
}

// run is a store, and what it is meant to hold.
type run struct {
	t      *testing.T
	random *rand.Rand
	store  *Store
	// client is nil if the store is in memory.
	client     *fakeClient
	maxEntries int
	keys       int

	start  time.Time
	acks   []acknowledgement // all there ever were
	held   map[Key]bool
	claims []*Claim
}

type acknowledgement struct {
	key Key
	at  time.Duration
}

func newRun(t *testing.T, random *rand.Rand, maxEntries, keys int, restarts bool) *run {
	t.Helper()
	r := &run{t: t, random: random, maxEntries: maxEntries, keys: keys, start: time.Now(), held: map[Key]bool{}}
	r.store = New(window, maxEntries)
	if restarts {
		r.client = newFakeClient()
		r.store = open(t, r.client, maxEntries)
	}
	return r
}

func (r *run) step() {
	switch action := r.random.IntN(100); {
	case action < 45:
		r.claim()
	case action < 90:
		r.end()
	case action < 99:
		time.Sleep(time.Duration(r.random.Int64N(int64(window) / 8)))
	case r.client != nil:
		r.restart()
	}
	require.Len(r.t, r.store.held, len(r.held))
}

func (r *run) claim() {
	var keys []Key
	for range r.random.IntN(5) {
		keys = append(keys, r.key())
	}
	// Who would have to wait is told so by a context that has ended.
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	c, err := r.store.Claim(ctx, keys)
	if slices.ContainsFunc(keys, func(key Key) bool { return r.held[key] }) {
		require.ErrorIs(r.t, err, context.Canceled)
		return
	}
	require.NoError(r.t, err)
	r.claims = append(r.claims, c)
	for i, key := range keys {
		isRepeated := !key.isZero() && (r.isKnown(key) || slices.Contains(keys[:i], key))
		require.Equal(r.t, isRepeated, c.Repeated(i))
		if !isRepeated && !key.isZero() {
			r.held[key] = true
		}
	}
}

func (r *run) key() Key {
	i := r.random.IntN(r.keys + 1)
	if i == r.keys {
		return Key{}
	}
	return keyOf(i)
}

func (r *run) isKnown(key Key) bool {
	now := time.Since(r.start)
	newest := r.acks[max(0, len(r.acks)-r.maxEntries):]
	return slices.ContainsFunc(newest, func(a acknowledgement) bool { return a.key == key && now-a.at <= window })
}

func (r *run) end() {
	if len(r.claims) == 0 {
		return
	}
	i := r.random.IntN(len(r.claims))
	c := r.claims[i]
	r.claims = slices.Delete(r.claims, i, i+1)
	isCommitted := r.random.IntN(3) > 0
	for i, key := range c.keys {
		if c.Repeated(i) || key.isZero() {
			continue
		}
		delete(r.held, key)
		if isCommitted {
			r.acks = append(r.acks, acknowledgement{key, time.Since(r.start)})
		}
	}
	if isCommitted {
		c.Commit(r.t.Context())
		synctest.Wait() // until it is written
	} else {
		c.Release()
	}
}

// restart ends the collector, in order or not, and starts it again.
func (r *run) restart() {
	if r.random.IntN(2) == 0 {
		require.NoError(r.t, r.store.Close(r.t.Context()))
	}
	r.store = open(r.t, r.client, r.maxEntries)
	r.claims = nil
	clear(r.held)
}

func (r *run) compare() {
	for i := range r.keys {
		if key := keyOf(i); !r.held[key] {
			require.Equal(r.t, r.isKnown(key), len(known(r.t, r.store, key)) > 0)
		}
	}
}
