// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

var errDisk = errors.New("disk full")

// fakeClient is a storage whose every Batch is one transaction, like file_storage's.
type fakeClient struct {
	mu     sync.Mutex
	data   map[string][]byte
	closed int
	// err fails every call.
	err error
	// began is sent to before every Batch that writes, and done received from. nil: nothing is waited for.
	began, done chan struct{}
	// batches counts those that wrote, and after is called with each. nil: it is not.
	batches atomic.Int64
	after   func(data map[string][]byte)
	largest int
}

func newFakeClient() *fakeClient { return &fakeClient{data: map[string][]byte{}} }

func (c *fakeClient) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := c.Batch(ctx, op)
	return op.Value, err
}

func (c *fakeClient) Set(ctx context.Context, key string, value []byte) error {
	return c.Batch(ctx, storage.SetOperation(key, value))
}

func (c *fakeClient) Delete(ctx context.Context, key string) error {
	return c.Batch(ctx, storage.DeleteOperation(key))
}

func (c *fakeClient) Batch(_ context.Context, ops ...*storage.Operation) error {
	writes := ops[0].Type != storage.Get
	if writes && c.began != nil {
		c.began <- struct{}{}
		<-c.done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = bytes.Clone(c.data[op.Key])
		case storage.Set:
			c.data[op.Key] = bytes.Clone(op.Value)
		case storage.Delete:
			delete(c.data, op.Key)
		}
	}
	c.largest = max(c.largest, len(ops))
	if writes {
		if c.after != nil {
			c.after(c.data)
		}
		c.batches.Add(1)
	}
	return nil
}

func (c *fakeClient) Close(context.Context) error {
	c.closed++
	return c.err
}

func (c *fakeClient) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// letThrough has all Batches written that wait for it, and those that follow them. The test is in a bubble.
func (c *fakeClient) letThrough() {
	for synctest.Wait(); ; synctest.Wait() {
		select {
		case <-c.began:
			c.done <- struct{}{}
		default:
			return
		}
	}
}

func open(tb testing.TB, client storage.Client, maxEntries int) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), window, maxEntries, client, zap.NewNop())
	require.NoError(tb, err)
	return s
}

// fill commits keys, so many at a time.
func fill(tb testing.TB, s *Store, atOnce int, keys ...Key) {
	tb.Helper()
	for len(keys) > 0 {
		now := keys[:min(atOnce, len(keys))]
		keys = keys[len(now):]
		commit(tb, s, now...)
	}
}

func keysOf(from, to int) []Key {
	var keys []Key
	for i := from; i < to; i++ {
		keys = append(keys, keyOf(i))
	}
	return keys
}

func TestRestart(t *testing.T) {
	f := func(name string, atOnce, keys, runs, before, after, want int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			client := newFakeClient()
			for run := range runs {
				s := open(t, client, before)
				fill(t, s, atOnce, keysOf(run*keys, (run+1)*keys)...)
				require.NoError(t, s.Close(t.Context()))
				require.Equal(t, run+1, client.closed)
			}
			s := open(t, client, after)
			total := keys * runs
			assert.Empty(t, known(t, s, keysOf(0, total-want)...))
			assert.Equal(t, keysOf(total-want, total), known(t, s, keysOf(total-want, total)...))
			assert.LessOrEqual(t, len(client.data), before/chunkSize+3)
		})
	}
	f("one", 1, 1, 1, 1000, 1000, 1)
	f("one by one", 1, 300, 1, 1000, 1000, 300)
	f("together", 300, 300, 1, 1000, 1000, 300)
	f("a chunk", 128, 128, 1, 1000, 1000, 128)
	f("more than at once", 20000, 20000, 1, 40000, 40000, 20000)
	f("many runs", 1, 3, 100, 1000, 1000, 300)
	f("many chunks in many runs", 100, 333, 20, 2000, 2000, 2000)
	f("many reads", 8000, 40000, 1, 40000, 40000, 40000)
	f("too many", 7, 300, 1, 150, 150, 150)
	f("too many at once", 300, 300, 1, 150, 150, 150)
	f("few of many", 1, 500, 2, 10, 10, 10)
	f("one of many", 3, 500, 2, 1, 1, 1)
	f("fewer than before", 100, 1000, 1, 1000, 130, 130)
	f("fewer than a chunk", 100, 1000, 1, 1000, 5, 5)
}

// More may come back than were remembered last: the first chunk still has them.
func TestRestartWithMoreEntries(t *testing.T) {
	client := newFakeClient()
	fill(t, open(t, client, 200), 100, keysOf(0, 1000)...)
	s := open(t, client, 1000)
	fill(t, s, 100, keysOf(1000, 1700)...)
	assert.Equal(t, keysOf(800, 1700), known(t, s, keysOf(800, 1700)...))
}

// What a larger store left is deleted, and no Batch grows with it.
func TestDeleteBounded(t *testing.T) {
	client := newFakeClient()
	const before = (deleteAtOnce + 100) * chunkSize
	s := open(t, client, before)
	fill(t, s, 10_000, keysOf(0, before)...)
	require.NoError(t, s.Close(t.Context()))
	client.largest = 0
	s = open(t, client, 200)
	fill(t, s, 1, keysOf(before, before+10)...)
	assert.LessOrEqual(t, len(client.data), 4)
	assert.LessOrEqual(t, client.largest, deleteAtOnce+writeAtOnce+1)
	require.NoError(t, s.Close(t.Context()))
	s = open(t, client, 200)
	assert.Len(t, known(t, s, keysOf(before-190, before+10)...), 200)
}

func TestRestartAfterTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newFakeClient()
		s := open(t, client, 1000)
		commit(t, s, keyOf(0))
		time.Sleep(window / 2)
		commit(t, s, keyOf(1))
		require.NoError(t, s.Close(t.Context()))
		time.Sleep(window / 2)

		s = open(t, client, 1000)
		assert.Equal(t, keysOf(0, 2), known(t, s, keysOf(0, 2)...), "not longer ago than the window")
		time.Sleep(time.Nanosecond)
		assert.Equal(t, keysOf(1, 2), known(t, s, keysOf(0, 2)...))
		commit(t, s, keyOf(0)) // rewrites the chunk, with the times as they were
		require.NoError(t, s.Close(t.Context()))

		time.Sleep(window / 2)
		s = open(t, client, 1000)
		assert.Equal(t, keysOf(0, 1), known(t, s, keysOf(0, 2)...))
		require.NoError(t, s.Close(t.Context()))

		time.Sleep(10 * window)
		s = open(t, client, 1000)
		assert.Empty(t, known(t, s, keysOf(0, 2)...))
		commit(t, s, keyOf(2))
		require.NoError(t, s.Close(t.Context()))
		s = open(t, client, 1000)
		assert.Equal(t, keysOf(2, 3), known(t, s, keysOf(0, 3)...))
	})
}

// storedAt has one key in storage, acknowledged at a time of the wall clock.
func storedAt(at time.Time) *fakeClient {
	client := newFakeClient()
	key := keyOf(0)
	client.data[chunksKey] = encodeChunks(5, 6)
	client.data[chunkKey(5)] = binary.BigEndian.AppendUint64(append([]byte{0}, key[:]...), uint64(at.UnixNano()))
	return client
}

func TestClockSet(t *testing.T) {
	f := func(name string, ago time.Duration, wantFor time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, storedAt(time.Now().Add(-ago)), 1000)
				if wantFor >= 0 {
					time.Sleep(wantFor)
					assert.NotEmpty(t, known(t, s, keyOf(0)))
					time.Sleep(time.Nanosecond)
				}
				assert.Empty(t, known(t, s, keyOf(0)))
				commit(t, s, keyOf(1))
				assert.NotEmpty(t, known(t, s, keyOf(1)))
			})
		})
	}
	f("now", 0, window)
	f("before", window-1, 1)
	f("at the window's end", window, 0)
	f("too old", window+1, -1)
	f("future", -1, window)
	f("far future", -window, window)
	f("too far", -window-1, -1)
	f("1970", time.Duration(time.Now().UnixNano()), -1)
}

// A clock that went back leaves later acks that seem older than those before them.
func TestClockSetBackBetweenRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := storedAt(time.Now().Add(window / 2))
		s := open(t, client, 1000)
		commit(t, s, keyOf(1))
		require.NoError(t, s.Close(t.Context()))
		s = open(t, client, 1000)
		assert.Len(t, known(t, s, keysOf(0, 2)...), 2)
		time.Sleep(window + 1)
		assert.Empty(t, known(t, s, keysOf(0, 2)...))
	})
}

// Those that come while the disk is busy are written together.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newFakeClient()
		s := open(t, client, 1000)
		client.began, client.done = make(chan struct{}), make(chan struct{})
		var returned atomic.Int64
		start := func(i int) {
			c := claim(t, s, keyOf(i))
			go func() {
				c.Begin(t.Context())
				returned.Add(1)
				c.Commit(t.Context())
			}()
			synctest.Wait()
		}
		start(0)
		<-client.began
		for i := 1; i < 50; i++ {
			start(i)
		}
		assert.Zero(t, returned.Load())
		client.done <- struct{}{}
		<-client.began
		synctest.Wait()
		assert.EqualValues(t, 1, returned.Load())
		assert.Equal(t, keysOf(0, 1), known(t, s, keyOf(0)), "before that is written")
		client.done <- struct{}{}
		synctest.Wait()
		assert.EqualValues(t, 50, returned.Load())
		assert.EqualValues(t, 2, client.batches.Load())
		client.letThrough()
		assert.LessOrEqual(t, client.batches.Load(), int64(4), "that of the first, and of the others")
		client.began = nil
		assert.Len(t, known(t, open(t, client, 1000), keysOf(0, 50)...), 50)
	})
}

func TestBeginEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newFakeClient()
		s := open(t, client, 1000)
		client.began, client.done = make(chan struct{}), make(chan struct{})
		for i := range 2 { // one has the writing begin, one waits for it to end
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if i == 0 {
				go func() { <-client.began }()
			}
			claim(t, s, keyOf(i)).Begin(ctx)
			assert.Equal(t, time.Second, time.Since(began))
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			client.done <- struct{}{}
			<-client.began
			client.done <- struct{}{}
		}()
		require.NoError(t, s.Close(ctx), "which waits for both")
		client.began = nil
		s = open(t, client, 1000)
		assert.Len(t, uncertain(t, s, keysOf(0, 2)...), 2)
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newFakeClient()
		s := open(t, client, 1000)
		client.began, client.done = make(chan struct{}), make(chan struct{})
		claim(t, s, keyOf(0)).Commit(t.Context())
		<-client.began

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.Close(ctx), context.DeadlineExceeded)
		assert.Equal(t, 1, client.closed)
		require.NoError(t, s.Close(t.Context()))
		assert.Equal(t, 1, client.closed)
		client.done <- struct{}{}
		synctest.Wait()

		begin(t, s, keyOf(1)).Commit(t.Context())
		assert.Len(t, known(t, s, keysOf(0, 2)...), 2, "in memory")
		assert.EqualValues(t, 1, client.batches.Load())
	})
}

// What nobody asked to be written, and what could not be.
func TestCloseWrites(t *testing.T) {
	client := newFakeClient()
	s := open(t, client, 1000)
	c := begin(t, s, keyOf(1))
	begin(t, s, keyOf(0)).Release()
	assert.Equal(t, keysOf(0, 1), uncertain(t, crashed(t, client, 1000), keyOf(0)), "not yet written")
	client.fail(errDisk)
	c.Commit(t.Context())
	written(s)
	client.fail(nil)
	require.NoError(t, s.Close(t.Context()))
	s = open(t, client, 1000)
	assert.Equal(t, keysOf(1, 2), known(t, s, keysOf(0, 2)...))
	assert.Empty(t, uncertain(t, s, keysOf(0, 2)...))
}

func TestWriteError(t *testing.T) {
	client := newFakeClient()
	core, logs := observer.New(zap.InfoLevel)
	s, err := Open(t.Context(), window, 50_000, client, zap.New(core))
	require.NoError(t, err)
	commit(t, s, keyOf(0))

	client.fail(errDisk)
	fill(t, s, 10_000, keysOf(1, 30_000)...)
	assert.Len(t, known(t, s, keysOf(0, 30_000)...), 30_000, "in memory")
	require.Equal(t, 3, logs.Len())
	assert.Equal(t, zap.ErrorLevel, logs.All()[0].Level)
	assert.Equal(t, errDisk.Error(), logs.All()[0].ContextMap()["error"])
	restarted := open(t, &fakeClient{data: maps.Clone(client.data)}, 50_000)
	assert.Len(t, known(t, restarted, keysOf(0, 30_000)...), 1)

	client.fail(nil)
	commit(t, s, keyOf(30_000))
	assert.Equal(t, 3, logs.Len())
	restarted = open(t, client, 50_000)
	assert.Len(t, known(t, restarted, keysOf(0, 30_001)...), 30_001, "what could not be written before")
	client.fail(errDisk)
	require.ErrorIs(t, s.Close(t.Context()), errDisk)
}

// The disk fails until all that it has is forgotten.
func TestWriteErrorUntilForgotten(t *testing.T) {
	client := newFakeClient()
	s := open(t, client, 100)
	fill(t, s, 50, keysOf(0, 50)...)
	client.fail(errDisk)
	fill(t, s, 50, keysOf(50, 1000)...)
	client.fail(nil)
	commit(t, s, keyOf(1000))
	restarted := open(t, client, 100)
	assert.Equal(t, keysOf(901, 1001), known(t, restarted, keysOf(0, 1001)...))
	assert.LessOrEqual(t, len(client.data), 3)
}

func TestOpenError(t *testing.T) {
	client := newFakeClient()
	client.err = errDisk
	_, err := Open(t.Context(), window, 1000, client, zap.NewNop())
	require.ErrorIs(t, err, errDisk)
	require.ErrorContains(t, err, "load the keys of acknowledged documents")
	assert.Equal(t, 1, client.closed)

	failing := &failingBatch{newFakeClient()}
	failing.data[chunksKey] = encodeChunks(0, 1)
	_, err = Open(t.Context(), window, 1000, failing, zap.NewNop())
	require.ErrorIs(t, err, errDisk)
	assert.Equal(t, 1, failing.closed)
}

type failingBatch struct{ *fakeClient }

func (c *failingBatch) Batch(context.Context, ...*storage.Operation) error { return errDisk }

func TestDamaged(t *testing.T) {
	const keys = 5 * chunkSize
	f := func(name string, damage func(data map[string][]byte), want ...Key) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			client := newFakeClient()
			fill(t, open(t, client, 1000), keys, keysOf(0, keys)...)
			damage(client.data)
			core, logs := observer.New(zap.InfoLevel)
			s, err := Open(t.Context(), window, 1000, client, zap.New(core))
			require.NoError(t, err)
			assert.Equal(t, want, known(t, s, keysOf(0, keys)...))
			require.Equal(t, 1, logs.Len())
			assert.Equal(t, zap.ErrorLevel, logs.All()[0].Level)

			commit(t, s, keyOf(keys))
			s = open(t, client, 1000)
			assert.Equal(t, append(want, keyOf(keys)), known(t, s, keysOf(0, keys+1)...))
		})
	}
	all := func(value []byte) func(map[string][]byte) {
		return func(data map[string][]byte) { data[chunksKey] = value }
	}
	f("no chunks", all([]byte{}))
	f("chunks cut short", all(encodeChunks(0, 5)[:16]))
	f("chunks too long", all(append(encodeChunks(0, 5), 0)))
	f("another version", all(append([]byte{2}, encodeChunks(0, 5)[1:]...)))
	f("first after next", all(encodeChunks(5, 4)))
	f("too many chunks", all(encodeChunks(0, maxChunks+1)))
	f("numbers too large", all(encodeChunks(maxChunk, maxChunk+1)))

	one := func(chunk uint64, value []byte) func(map[string][]byte) {
		return func(data map[string][]byte) {
			if value == nil {
				delete(data, chunkKey(chunk))
			} else {
				data[chunkKey(chunk)] = value
			}
		}
	}
	without := func(chunk int) []Key {
		return append(keysOf(0, chunk*chunkSize), keysOf((chunk+1)*chunkSize, keys)...)
	}
	f("first chunk missing", one(0, nil), without(0)...)
	f("chunk missing", one(2, nil), without(2)...)
	f("last chunk missing", one(4, nil), without(4)...)
	f("empty chunk", one(2, []byte{}), without(2)...)
	f("chunk cut short", one(2, make([]byte, 1+ackBytes-1)), without(2)...)
	f("chunk too long", one(2, make([]byte, 1+(chunkSize+1)*ackBytes)), without(2)...)
	f("chunk beyond its end", one(2, append([]byte{1}, make([]byte, chunkSize*ackBytes)...)), without(2)...)
	f("more chunks than there are", all(encodeChunks(0, 1000)))
}

// What could not be read leaves a gap, which is forgotten in its turn.
func TestGapForgotten(t *testing.T) {
	const keys = 5 * chunkSize
	client := newFakeClient()
	fill(t, open(t, client, keys), keys, keysOf(0, keys)...)
	delete(client.data, chunkKey(2))
	s := open(t, client, keys)
	for total := keys; total < 2*keys; total += 10 {
		fill(t, s, 10, keysOf(total, total+10)...)
	}
	assert.Equal(t, keysOf(keys, 2*keys), known(t, s, keysOf(0, 2*keys)...))
}

// FuzzLoad has anything in storage: it is loaded without an error, and what comes after it is kept.
func FuzzLoad(f *testing.F) {
	client := newFakeClient()
	fill(f, open(f, client, 1000), 200, keysOf(0, 200)...)
	f.Add(client.data[chunksKey], client.data[chunkKey(0)], client.data[chunkKey(1)], 1000)
	f.Add(client.data[chunksKey], client.data[chunkKey(1)], client.data[chunkKey(0)], 7)
	begin(f, open(f, client, 1000), keysOf(200, 250)...)
	f.Add(client.data[chunksKey], client.data[chunkKey(1)], client.data[chunkKey(0)], 1000)
	f.Add(encodeChunks(0, 1<<20), []byte{}, []byte{128}, 1)
	f.Add(encodeChunks(maxChunk-1, maxChunk), []byte{255}, []byte{3}, 100)
	f.Add([]byte{}, []byte(nil), []byte("x"), 100)
	f.Fuzz(func(t *testing.T, chunks, last, before []byte, maxEntries int) {
		client := newFakeClient()
		client.data[chunksKey] = chunks
		client.data[chunkKey(0)], client.data[chunkKey(1)] = last, before
		if _, next, err := decodeChunks(chunks); err == nil && next > 1 {
			client.data[chunkKey(next-1)], client.data[chunkKey(next-2)] = last, before
		}
		maxEntries = max(maxEntries%10_000, 1)
		s := open(t, client, maxEntries)
		require.LessOrEqual(t, s.acks.next-s.acks.first, uint64(maxEntries))

		key := Key{1}
		fresh := len(known(t, s, key)) == 0
		commit(t, s, key)
		require.NoError(t, s.Close(t.Context()))
		if s.acks.next > maxChunk*chunkSize {
			return // no store gets there
		}
		s = open(t, client, maxEntries)
		require.True(t, !fresh || len(known(t, s, key)) > 0)
		require.True(t, !fresh || len(uncertain(t, s, key)) == 0)
	})
}
