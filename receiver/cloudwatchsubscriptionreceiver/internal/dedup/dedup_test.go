// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const window = time.Hour

func keyOf(i int) (key Key) {
	binary.LittleEndian.PutUint64(key[8:], uint64(i)+1)
	return key
}

func claim(tb testing.TB, s *Store, keys ...Key) *Claim {
	tb.Helper()
	c, err := s.Claim(tb.Context(), keys)
	require.NoError(tb, err)
	return c
}

// commit claims keys and commits them, and returns when that is written.
func commit(tb testing.TB, s *Store, keys ...Key) {
	tb.Helper()
	claim(tb, s, keys...).Commit(tb.Context())
	written(s)
}

// begin claims keys and begins them. It waits without tb's context, which may be of another bubble.
func begin(tb testing.TB, s *Store, keys ...Key) *Claim {
	tb.Helper()
	c := claim(tb, s, keys...)
	c.Begin(context.Background())
	return c
}

// written returns when nothing is being written.
func written(s *Store) {
	if s.disk == nil {
		return
	}
	s.mu.Lock()
	idle := s.disk.idle
	s.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// known returns those of keys that are acknowledged.
func known(tb testing.TB, s *Store, keys ...Key) []Key {
	tb.Helper()
	return those(tb, s, (*Claim).Repeated, keys)
}

// uncertain returns those of keys that are.
func uncertain(tb testing.TB, s *Store, keys ...Key) []Key {
	tb.Helper()
	return those(tb, s, (*Claim).Uncertain, keys)
}

func those(tb testing.TB, s *Store, is func(c *Claim, i int) bool, keys []Key) []Key {
	tb.Helper()
	c := claim(tb, s, keys...)
	defer c.Release()
	var found []Key
	for i, key := range keys {
		if is(c, i) {
			found = append(found, key)
		}
	}
	return found
}

func repeats(c *Claim) []bool {
	var repeated []bool
	for i := range c.keys {
		repeated = append(repeated, c.Repeated(i))
	}
	return repeated
}

func TestClaim(t *testing.T) {
	a, b, none := keyOf(0), keyOf(1), Key{}
	f := func(name string, acknowledged, keys []Key, want ...bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := New(window, 1000)
			commit(t, s, acknowledged...)
			c := claim(t, s, keys...)
			assert.Equal(t, want, repeats(c))
			c.Commit(t.Context())
			assert.Empty(t, s.held)
		})
	}
	f("nothing", nil, nil)
	f("new", nil, []Key{a}, false)
	f("repeated", []Key{a}, []Key{a}, true)
	f("one of two", []Key{a}, []Key{b, a}, false, true)
	f("twice in one", nil, []Key{a, b, a}, false, false, true)
	f("repeated twice in one", []Key{a}, []Key{a, a}, true, true)
	f("no identity", []Key{none}, []Key{none, none}, false, false)
	f("no identity between", []Key{a, none}, []Key{none, a, none, b}, false, true, false, false)
}

func TestEnds(t *testing.T) {
	s := New(window, 1000)
	c := claim(t, s, keyOf(0))
	c.Release()
	c.Commit(t.Context())
	assert.Empty(t, known(t, s, keyOf(0)), "released")

	c = claim(t, s, keyOf(0))
	c.Commit(t.Context())
	other := claim(t, s, keyOf(1))
	c.Release()
	c.Commit(t.Context())
	assert.NotEmpty(t, known(t, s, keyOf(0)), "committed")
	assert.Len(t, s.held, 1)
	other.Release()
	assert.Empty(t, s.held)
	require.NoError(t, s.Close(t.Context()))
}

func TestWait(t *testing.T) {
	f := func(name string, end func(*Claim), want ...bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(window, 1000)
				first := claim(t, s, keyOf(0), keyOf(1))
				var second *Claim
				go func() { second, _ = s.Claim(t.Context(), []Key{keyOf(2), keyOf(1)}) }()
				synctest.Wait()
				require.Nil(t, second)
				assert.Empty(t, known(t, s, keyOf(2)), "who waits holds nothing")
				end(first)
				synctest.Wait()
				require.NotNil(t, second)
				assert.Equal(t, want, repeats(second))
				second.Release()
				assert.Empty(t, s.held)
			})
		})
	}
	f("commit", func(c *Claim) { c.Commit(t.Context()) }, false, true)
	f("release", (*Claim).Release, false, false)
}

func TestWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(window, 1000)
		first := claim(t, s, keyOf(0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Claim(ctx, keysOf(0, 2))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Empty(t, known(t, s, keyOf(1)))
		first.Release()
		assert.Empty(t, s.held)
	})
}

func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(window, 1000)
		commit(t, s, keyOf(0))
		time.Sleep(window)
		assert.NotEmpty(t, known(t, s, keyOf(0)))
		time.Sleep(time.Nanosecond)
		assert.Empty(t, known(t, s, keyOf(0)))

		// Again after the window: the first ack is forgotten, and must not take the second with it.
		commit(t, s, keyOf(0))
		fill(t, s, 1, keysOf(1, 1000)...)
		assert.NotEmpty(t, known(t, s, keyOf(0)))
		time.Sleep(window)
		assert.Len(t, known(t, s, keysOf(0, 1000)...), 1000)
		time.Sleep(time.Nanosecond)
		assert.Empty(t, known(t, s, keysOf(0, 1000)...))

		fill(t, s, 10, keysOf(1000, 1600)...)
		assert.EqualValues(t, 600, s.acks.next-s.acks.first, "those of before are gone")
	})
}

// A claim that is committed late counts from then on.
func TestWindowBeginsWithCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(window, 1000)
		c := claim(t, s, keyOf(0))
		time.Sleep(2 * window)
		c.Commit(t.Context())
		time.Sleep(window)
		assert.NotEmpty(t, known(t, s, keyOf(0)))
	})
}

func TestMaxEntries(t *testing.T) {
	for _, maxEntries := range []int{-1, 0, 1, 2, 63, 64, 65, 100, 1000} {
		s := New(window, maxEntries)
		fill(t, s, 7, keysOf(0, 2500)...)
		kept := max(maxEntries, 1)
		assert.Equal(t, keysOf(2500-kept, 2500), known(t, s, keysOf(0, 2500)...), maxEntries)
		assert.Len(t, s.acks.acks, kept)
	}
}

func TestGrowsWithUse(t *testing.T) {
	s := New(window, 1_000_000)
	assert.Empty(t, s.acks.acks)
	fill(t, s, 10, keysOf(0, 100)...)
	assert.Len(t, s.acks.acks, 128)
}

// TestConcurrent has many claim overlapping sets: no key has two holders, everybody gets through, and every key is handed
// on once.
func TestConcurrent(t *testing.T) {
	f := func(name string, s *Store) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			const claimers, rounds, keys = 16, 300, 40
			holders, handedOn := [keys]atomic.Int64{}, [keys]atomic.Int64{}
			var wait sync.WaitGroup
			for claimer := range claimers {
				wait.Go(func() {
					random := rand.New(rand.NewPCG(uint64(claimer), 0))
					for range rounds {
						// The first are wanted most, and in any order.
						of := random.Perm(1 + random.IntN(keys))
						of = of[:min(len(of), 8)]
						var wanted []Key
						for _, i := range of {
							wanted = append(wanted, keyOf(i))
						}
						c, err := s.Claim(t.Context(), wanted)
						if !assert.NoError(t, err) {
							return
						}
						committed := random.IntN(8) == 0
						for i, key := range of {
							if !c.Repeated(i) {
								assert.EqualValues(t, 1, holders[key].Add(1))
								if committed {
									handedOn[key].Add(1)
								}
							}
						}
						for i, key := range of {
							if !c.Repeated(i) {
								holders[key].Add(-1)
							}
						}
						if len(of)%2 == 0 {
							c.Begin(t.Context())
						}
						if committed {
							c.Commit(t.Context())
						} else {
							c.Release()
						}
					}
				})
			}
			wait.Wait()
			assert.Empty(t, s.held)
			for key := range handedOn {
				assert.EqualValues(t, 1, handedOn[key].Load(), key)
			}
			require.NoError(t, s.Close(t.Context()))
		})
	}
	f("memory", New(window, 1000))
	f("storage", open(t, newFakeClient(), 1000))
}
