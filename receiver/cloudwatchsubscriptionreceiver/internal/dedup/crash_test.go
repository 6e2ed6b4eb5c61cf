// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"encoding/binary"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crashed returns what the process finds that starts after this one was killed now.
func crashed(tb testing.TB, client *fakeClient, maxEntries int) *Store {
	tb.Helper()
	client.mu.Lock()
	defer client.mu.Unlock()
	return open(tb, &fakeClient{data: maps.Clone(client.data)}, maxEntries)
}

// Kills at every place between a claim and what comes after its end.
func TestCrashBetween(t *testing.T) {
	keys := keysOf(0, 3)
	f := func(name string, live func(s *Store), wantKnown, wantUncertain []Key) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			client := newFakeClient()
			s := open(t, client, 1000)
			live(s)
			written(s)
			s = crashed(t, client, 1000)
			assert.Equal(t, wantKnown, known(t, s, keys...))
			assert.Equal(t, wantUncertain, uncertain(t, s, keys...))
		})
	}
	f("claimed", func(s *Store) { claim(t, s, keys...) }, nil, nil)
	f("begun", func(s *Store) { begin(t, s, keys...) }, nil, keys)
	f("begun twice", func(s *Store) { begin(t, s, keys...).Begin(t.Context()) }, nil, keys)
	f("committed", func(s *Store) { begin(t, s, keys...).Commit(t.Context()) }, keys, nil)
	f("committed without Begin", func(s *Store) { commit(t, s, keys...) }, keys, nil)
	f("released without Begin", func(s *Store) { claim(t, s, keys...).Release() }, nil, nil)
	f("released", func(s *Store) { begin(t, s, keys...).Release() }, nil, keys) // which costs a question
	f("released before others were written", func(s *Store) {
		begin(t, s, keys...).Release()
		commit(t, s, keyOf(10))
	}, nil, nil)
	f("begun twice, and released before others were written", func(s *Store) {
		c := begin(t, s, keys...)
		c.Begin(t.Context())
		c.Release()
		commit(t, s, keyOf(10))
	}, nil, nil)
	f("one of each", func(s *Store) {
		begin(t, s, keys[0]).Commit(t.Context())
		begin(t, s, keys[2]).Release()
		begin(t, s, keys[1])
	}, keys[:1], keys[1:2])
	f("with a repeat", func(s *Store) {
		commit(t, s, keys[1])
		begin(t, s, keys...)
	}, keys[1:2], []Key{keys[0], keys[2]})
	f("without identity", func(s *Store) { begin(t, s, Key{}, keys[0], Key{}).Commit(t.Context()) }, keys[:1], nil)
}

// What is uncertain is so until it is known, or the window ends.
func TestUncertain(t *testing.T) {
	f := func(name string, live func(s *Store), want state) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newFakeClient()
				begin(t, open(t, client, 1000), keyOf(0))
				s := crashed(t, client, 1000)
				live(s)
				c := claim(t, s, keyOf(0))
				assert.Equal(t, want, c.known[0])
				c.Release()
				require.NoError(t, s.Close(t.Context()))
				s = open(t, s.disk.client, 1000)
				c = claim(t, s, keyOf(0))
				assert.Equal(t, want, c.known[0], "after a restart")
				c.Release()
			})
		})
	}
	f("at first", func(*Store) {}, begun)
	f("in the window", func(*Store) { time.Sleep(window) }, begun)
	f("after the window", func(*Store) { time.Sleep(window + 1) }, unknown)
	f("claimed", func(s *Store) { claim(t, s, keyOf(0)).Release() }, begun)
	// The earlier life may have handed it on, whatever became of it in this one.
	f("released", func(s *Store) { begin(t, s, keyOf(0)).Release() }, begun)
	f("released often", func(s *Store) {
		for range 3 {
			begin(t, s, keyOf(0)).Release()
			commit(t, s, keyOf(1))
		}
	}, begun)
	f("committed", func(s *Store) { begin(t, s, keyOf(0)).Commit(t.Context()) }, acknowledged)
	f("committed after it was released", func(s *Store) {
		begin(t, s, keyOf(0)).Release()
		begin(t, s, keyOf(0)).Commit(t.Context())
	}, acknowledged)
	f("committed after the window", func(s *Store) {
		time.Sleep(window + 1)
		begin(t, s, keyOf(0)).Commit(t.Context())
	}, acknowledged)
	f("committed without Begin", func(s *Store) { commit(t, s, keyOf(0)) }, acknowledged)
	f("forgotten", func(s *Store) { fill(t, s, 10, keysOf(1, 1001)...) }, unknown)
}

// What is uncertain is so also where the ring has no room for it and for another attempt.
func TestUncertainInFullRing(t *testing.T) {
	const maxEntries = 4
	f := func(name string, live func(s *Store), wantKnown, wantUncertain []Key) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newFakeClient()
				s := open(t, client, maxEntries)
				begin(t, s, keyOf(0))
				commit(t, s, keysOf(1, maxEntries)...)
				s = crashed(t, client, maxEntries)
				time.Sleep(window / 2)
				require.Equal(t, keysOf(0, 1), uncertain(t, s, keyOf(0)))
				live(s)
				written(s)
				client = s.disk.client.(*fakeClient)
				check := func(s *Store) {
					assert.Equal(t, wantKnown, known(t, s, keysOf(0, 10)...))
					assert.Equal(t, wantUncertain, uncertain(t, s, keysOf(0, 10)...))
				}
				check(s)
				check(crashed(t, client, maxEntries))
				require.NoError(t, s.Close(t.Context()))
				check(open(t, client, maxEntries))
				time.Sleep(window/2 + 1)
				assert.Empty(t, uncertain(t, open(t, client, maxEntries), keysOf(0, 10)...), "after the window")
			})
		})
	}
	f("released", func(s *Store) { begin(t, s, keyOf(0)).Release() }, keysOf(1, 4), keysOf(0, 1))
	f("released often", func(s *Store) {
		for range 100 {
			begin(t, s, keyOf(0)).Release()
		}
	}, keysOf(2, 4), keysOf(0, 1))
	f("released, and others failed", func(s *Store) {
		begin(t, s, keyOf(0)).Release()
		for i := range 100 {
			begin(t, s, keyOf(10+i)).Release()
		}
	}, keysOf(2, 4), keysOf(0, 1))
	f("committed", func(s *Store) { begin(t, s, keyOf(0)).Commit(t.Context()) }, keysOf(0, 4), nil)
	f("committed after it was released", func(s *Store) {
		begin(t, s, keyOf(0)).Release()
		begin(t, s, keyOf(0)).Commit(t.Context())
	}, []Key{keyOf(0), keyOf(2), keyOf(3)}, nil)
	f("pushed out while it was begun", func(s *Store) {
		c := begin(t, s, keyOf(0))
		commit(t, s, keysOf(4, 8)...)
		c.Release()
	}, keysOf(4, 8), nil)
	f("pushed out by others while it was begun, but for the attempt", func(s *Store) {
		c := begin(t, s, keyOf(0))
		commit(t, s, keysOf(4, 6)...)
		c.Release()
	}, keysOf(3, 6), keysOf(0, 1))
	f("pushed out later", func(s *Store) {
		begin(t, s, keyOf(0)).Release()
		commit(t, s, keysOf(4, 8)...)
	}, keysOf(4, 8), nil)
}

// One life after another dies while it hands on the same document. The window begins with the last.
func TestUncertainManyLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newFakeClient()
		for range 5 {
			s := open(t, client, 1000)
			c := begin(t, s, keyOf(0), keyOf(1))
			assert.Equal(t, s.acks.next > 2, c.Uncertain(0))
			assert.False(t, c.Repeated(0))
			time.Sleep(window)
		}
		assert.Len(t, uncertain(t, open(t, client, 1000), keysOf(0, 2)...), 2)
		time.Sleep(time.Nanosecond)
		assert.Empty(t, uncertain(t, open(t, client, 1000), keysOf(0, 2)...))
	})
}

// Who waits for an uncertain document finds it repeated, or as uncertain as it was.
func TestUncertainWait(t *testing.T) {
	f := func(name string, end func(*Claim), want state) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newFakeClient()
				begin(t, open(t, client, 1000), keyOf(0))
				s := open(t, client, 1000)
				first := begin(t, s, keyOf(0), keyOf(0))
				assert.Equal(t, []state{begun, acknowledged}, first.known)
				var second *Claim
				go func() { second, _ = s.Claim(t.Context(), keysOf(0, 1)) }()
				synctest.Wait()
				require.Nil(t, second)
				end(first)
				synctest.Wait()
				require.NotNil(t, second)
				assert.Equal(t, []state{want}, second.known)
				second.Release()
				written(s)
			})
		})
	}
	f("commit", func(c *Claim) { c.Commit(t.Context()) }, acknowledged)
	f("release", (*Claim).Release, begun)
}

// A store in memory has no other life, and nothing to write.
func TestBeginInMemory(t *testing.T) {
	s := New(window, 1000)
	c := begin(t, s, keyOf(0))
	assert.Zero(t, s.acks.next)
	c.Release()
	assert.Empty(t, uncertain(t, s, keyOf(0)))
	begin(t, s, keyOf(0)).Commit(t.Context())
	assert.NotEmpty(t, known(t, s, keyOf(0)))
}

// While one claim is under way, others push what it began out of the ring.
func TestForgottenBeforeItsEnd(t *testing.T) {
	for _, maxEntries := range []int{1, 2, 10, 200} {
		client := newFakeClient()
		s := open(t, client, maxEntries)
		committed, released := begin(t, s, keyOf(0)), begin(t, s, keyOf(1))
		fill(t, s, 1, keysOf(10, 10+maxEntries)...)
		released.Release()
		committed.Commit(t.Context())
		written(s)
		want := append(keysOf(11, 10+maxEntries), keyOf(0))
		assert.Equal(t, want, known(t, s, append(keysOf(1, 10+maxEntries), keyOf(0))...))
		s = crashed(t, client, maxEntries)
		assert.Equal(t, want, known(t, s, append(keysOf(1, 10+maxEntries), keyOf(0))...))
		assert.Empty(t, uncertain(t, s, keysOf(0, 2)...))
	}
}

// More at once than there is room for.
func TestBeginMoreThanMaxEntries(t *testing.T) {
	client := newFakeClient()
	s := open(t, client, 100)
	c := begin(t, s, keysOf(0, 250)...)
	assert.Equal(t, keysOf(150, 250), uncertain(t, crashed(t, client, 100), keysOf(0, 250)...))
	c.Commit(t.Context())
	written(s)
	assert.Len(t, known(t, s, keysOf(0, 250)...), 100)
	assert.Equal(t, known(t, s, keysOf(0, 250)...), known(t, crashed(t, client, 100), keysOf(0, 250)...))
}

// What is begun for longer than the window is forgotten like anything else, and recorded all the same.
func TestBegunForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newFakeClient()
		s := open(t, client, 1000)
		c := begin(t, s, keyOf(0))
		time.Sleep(window + 1)
		commit(t, s, keyOf(1))
		assert.EqualValues(t, 1, s.acks.first)
		c.Commit(t.Context())
		written(s)
		time.Sleep(window)
		assert.Len(t, known(t, s, keysOf(0, 2)...), 2)
		assert.Len(t, known(t, crashed(t, client, 1000), keysOf(0, 2)...), 2)
	})
}

// While the pipeline takes nothing, senders try again and again: that is not to take the room of what was acknowledged.
func TestFailuresTakeNoRoom(t *testing.T) {
	const maxEntries, inFlight = 200, 16
	client := newFakeClient()
	s := open(t, client, maxEntries)
	fill(t, s, 10, keysOf(0, maxEntries)...)
	var claims []*Claim
	for attempt := range 2000 {
		claims = append(claims, begin(t, s, keyOf(1000+attempt)))
		if len(claims) == inFlight {
			claims[0].Release()
			claims = claims[1:]
		}
	}
	want := keysOf(inFlight, maxEntries)
	assert.Equal(t, want, known(t, s, keysOf(0, maxEntries)...))
	s = crashed(t, client, maxEntries)
	assert.Equal(t, want, known(t, s, keysOf(0, maxEntries)...))
	assert.Equal(t, keysOf(3000-inFlight+1, 3000), uncertain(t, s, keysOf(1000, 3000)...)[1:], "and the last that was released")
}

// Ends of claims change chunks that were written long ago: each is written again, and no Batch has many.
func TestChangesOfManyChunks(t *testing.T) {
	const chunks, maxEntries = 3 * rewriteAtOnce, 1_000_000
	client := newFakeClient()
	s := open(t, client, maxEntries)
	var claims []*Claim
	for chunk := range chunks {
		claims = append(claims, begin(t, s, keyOf(chunk)))
		commit(t, s, keysOf((chunk+1)*1000, (chunk+1)*1000+chunkSize-1)...)
	}
	client.largest = 0
	client.fail(errDisk)
	for i, c := range claims {
		if i%2 == 0 {
			c.Commit(t.Context())
		} else {
			c.Release()
		}
	}
	written(s)
	assert.Len(t, s.disk.changed, chunks)
	client.fail(nil)
	commit(t, s, keyOf(chunks))
	assert.Empty(t, s.disk.changed)
	assert.LessOrEqual(t, client.largest, writeAtOnce+rewriteAtOnce+1)
	restarted := crashed(t, client, maxEntries)
	assert.Len(t, known(t, restarted, keysOf(0, chunks)...), chunks/2)
	assert.Empty(t, uncertain(t, restarted, keysOf(0, chunks)...))
}

// Changes of what is forgotten meanwhile are not kept, however long the disk fails.
func TestChangesForgotten(t *testing.T) {
	const maxEntries = 2 * chunkSize
	client := newFakeClient()
	s := open(t, client, maxEntries)
	commit(t, s, keyOf(0))
	client.fail(errDisk)
	for i := 1; i < 20*chunkSize; i++ {
		begin(t, s, keyOf(i)).Commit(t.Context())
	}
	written(s)
	assert.LessOrEqual(t, len(s.disk.changed), 4)
	client.fail(nil)
	commit(t, s, keyOf(20*chunkSize))
	want := keysOf(18*chunkSize+1, 20*chunkSize+1)
	assert.Equal(t, want, known(t, crashed(t, client, maxEntries), keysOf(0, 20*chunkSize+1)...))
}

// What changes while its chunk is being written is written again.
func TestChangeDuringWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newFakeClient()
		s := open(t, client, 1000)
		client.began, client.done = make(chan struct{}), make(chan struct{})
		committed, released := claim(t, s, keyOf(0)), claim(t, s, keyOf(1))
		go committed.Begin(t.Context())
		<-client.began
		go released.Begin(t.Context())
		synctest.Wait()
		committed.Commit(t.Context())
		client.done <- struct{}{}
		<-client.began // of what was planned after the commit
		released.Release()
		client.done <- struct{}{}
		synctest.Wait()
		client.began = nil
		restarted := crashed(t, client, 1000)
		assert.Equal(t, keysOf(0, 1), known(t, restarted, keysOf(0, 2)...))
		assert.Equal(t, keysOf(1, 2), uncertain(t, restarted, keysOf(0, 2)...))
		commit(t, s, keyOf(2))
		assert.Empty(t, uncertain(t, crashed(t, client, 1000), keysOf(0, 2)...))
	})
}

// What changes while others cannot be written is written with them.
func TestChangeDuringFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newFakeClient()
		s := open(t, client, 1000)
		first := begin(t, s, keyOf(0))
		fill(t, s, chunkSize, keysOf(10, 10+chunkSize)...)
		second := begin(t, s, keyOf(1))
		fill(t, s, chunkSize, keysOf(1000, 1000+chunkSize)...)
		client.began, client.done = make(chan struct{}), make(chan struct{})
		first.Commit(t.Context())
		<-client.began
		client.fail(errDisk)
		second.Release()
		client.done <- struct{}{}
		synctest.Wait()
		client.began = nil
		client.fail(nil)
		require.NoError(t, s.Close(t.Context()))
		s = open(t, client, 1000)
		assert.Equal(t, keysOf(0, 1), known(t, s, keysOf(0, 2)...))
		assert.Empty(t, uncertain(t, s, keysOf(0, 2)...))
	})
}

// A place that a failed attempt left may be before that of an ack of the same key which the window has left behind.
func TestOlderPlace(t *testing.T) {
	r := newRing(window, 1000)
	r.add(keyOf(1), 0)
	failed := r.begin(keyOf(2), 0)
	r.add(keyOf(0), 0)
	require.True(t, r.withdraw(failed))
	const now = window + 1
	require.Equal(t, unknown, r.find(keyOf(0), now))
	require.Equal(t, attempt{number: failed.number}, r.begin(keyOf(0), now))
	r.grow()
	assert.Equal(t, begun, r.find(keyOf(0), now))
	assert.True(t, r.acknowledge(failed, now))
	assert.Equal(t, acknowledged, r.find(keyOf(0), now))
}

// What is begun again does not take a place before that of the earlier attempt, which would be forgotten after it, and after a
// restart count instead of it.
func TestPlaceAfterEarlierAttempt(t *testing.T) {
	r := newRing(window, 1000)
	r.add(keyOf(0), 0)
	r.add(keyOf(1), 0)
	failed, earlier := r.begin(keyOf(2), 0), r.begin(keyOf(3), 1)
	require.True(t, r.withdraw(failed))
	again := r.begin(keyOf(3), 2)
	assert.Equal(t, attempt{number: earlier.number + 1, before: markOf(1, begun)}, again)
	require.True(t, r.acknowledge(again, 3))
	r.grow()
	assert.Equal(t, acknowledged, r.find(keyOf(3), 3))
}

// storedBefore has keys in storage as versions wrote them that knew nothing of keys that are begun.
func storedBefore(at time.Time, keys ...Key) *fakeClient {
	client := newFakeClient()
	client.data[chunksKey] = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{1}, 7), 8)
	chunk := []byte{3}
	for _, key := range keys {
		chunk = append(chunk, key[:]...)
		chunk = binary.BigEndian.AppendUint64(chunk, uint64(at.UnixNano()))
	}
	client.data["chunk_0000000000000007"] = chunk
	return client
}

func TestFormerFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := storedBefore(time.Now().Add(-window), keysOf(0, 100)...)
		before := maps.Clone(client.data)
		s := open(t, client, 1000)
		assert.Len(t, known(t, s, keysOf(0, 100)...), 100)
		commit(t, s, keyOf(100))
		s = open(t, client, 1000)
		assert.Len(t, known(t, s, keysOf(0, 101)...), 101)
		old := before["chunk_0000000000000007"]
		assert.Equal(t, old, client.data["chunk_0000000000000007"][:len(old)], "what is acknowledged is written as before")
	})
}

// To versions that knew nothing of keys that are begun, these are not of the window.
func TestBegunToFormerVersions(t *testing.T) {
	client := newFakeClient()
	begin(t, open(t, client, 1000), keyOf(0))
	chunk := client.data[chunkKey(0)]
	require.Len(t, chunk, 1+ackBytes)
	at := time.Unix(0, int64(binary.BigEndian.Uint64(chunk[1+len(Key{}):])))
	assert.Greater(t, time.Since(at), 100*365*24*time.Hour)
}

// Whatever the collector dies after, what was committed and written is known, what was begun is uncertain, and nothing else
// is either.
func TestCrash(t *testing.T) {
	const committers, rounds, maxEntries = 8, 25, 100_000
	client := newFakeClient()
	var snapshots []map[string][]byte
	client.after = func(data map[string][]byte) { snapshots = append(snapshots, maps.Clone(data)) }
	s := open(t, client, maxEntries)

	type life struct {
		keys []Key
		// How many Batches there were before Begin, when it returned, and before the claim's end.
		before, begun, end int64
		committed          bool
	}
	lives := make([][]life, committers)
	var wait sync.WaitGroup
	for c := range committers {
		wait.Go(func() {
			for round := range rounds {
				first := (c*rounds + round) * 40
				l := life{keys: keysOf(first, first+1+(c*7+round)%40), committed: round%5 != 4}
				claim, err := s.Claim(t.Context(), l.keys)
				if !assert.NoError(t, err) {
					return
				}
				l.before = client.batches.Load()
				claim.Begin(t.Context())
				l.begun = client.batches.Load()
				l.end = l.begun
				if l.committed {
					claim.Commit(t.Context())
				} else {
					claim.Release()
				}
				lives[c] = append(lives[c], l)
			}
		})
	}
	wait.Wait()
	require.NoError(t, s.Close(t.Context()))
	require.NotEmpty(t, snapshots)

	for i, snapshot := range snapshots {
		after, isLast := int64(i+1), i == len(snapshots)-1 // so many Batches
		s := open(t, &fakeClient{data: snapshot}, maxEntries)
		for _, of := range lives {
			for _, l := range of {
				known, uncertain := known(t, s, l.keys...), uncertain(t, s, l.keys...)
				if l.before >= after {
					require.Empty(t, append(known, uncertain...))
				}
				if l.end >= after || !l.committed {
					require.Empty(t, known)
				}
				if l.begun <= after && l.committed {
					require.Len(t, append(known, uncertain...), len(l.keys))
				}
				if isLast {
					require.Equal(t, l.committed, len(known) == len(l.keys))
					require.Empty(t, uncertain)
				}
			}
		}
	}
}

// Crashes when keys come and go: nothing is left behind, and every number of keys is loaded as it should be.
func TestCrashWhileForgetting(t *testing.T) {
	const maxEntries = 200
	client := newFakeClient()
	s := open(t, client, maxEntries)
	var total int
	for step := range 150 {
		keys := 1 + step*step%150
		fill(t, s, keys, keysOf(total, total+keys)...)
		total += keys
		restarted := open(t, &fakeClient{data: maps.Clone(client.data)}, maxEntries)
		oldest := max(0, total-maxEntries)
		require.Equal(t, keysOf(oldest, total), known(t, restarted, keysOf(oldest, total)...))
		require.Empty(t, known(t, restarted, keysOf(0, oldest)...))
		require.LessOrEqual(t, len(client.data), maxEntries/chunkSize+3)
		if step%10 == 9 {
			require.NoError(t, s.Close(t.Context()))
			s = open(t, client, maxEntries)
		}
	}
}
