// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100, 150, 1)
		first, second := b.Lease(t.Context()), b.Lease(t.Context())
		require.NoError(t, first.Reserve(60))
		require.NoError(t, second.Reserve(40))
		assert.Equal(t, int64(60), first.Used())

		// One may exceed the budget, and as often as it likes; it is the only one.
		require.NoError(t, first.Reserve(10))
		require.NoError(t, first.Reserve(80))
		began := time.Now()
		require.ErrorIs(t, second.Reserve(1), ErrBusy)
		assert.Equal(t, patience, time.Since(began))
		require.ErrorIs(t, second.Reserve(1), ErrBusy)
		assert.Equal(t, patience, time.Since(began), "its patience is gone")
		require.ErrorIs(t, first.Reserve(1), ErrTooLarge)

		// What is given back is there for others.
		first.Release()
		require.NoError(t, second.Reserve(60))
		require.NoError(t, second.Reserve(1), "another may exceed it now")
		require.ErrorIs(t, b.Lease(t.Context()).Reserve(-1), ErrTooLarge)
		third := b.Lease(t.Context())
		require.ErrorIs(t, third.Reserve(1), ErrBusy)
		second.ShrinkTo(50)
		second.ShrinkTo(70)
		assert.Equal(t, int64(50), second.Used())
		require.NoError(t, b.Lease(t.Context()).Reserve(50))
	})
}

// Whoever has exceeded the budget once leaves that to others when it is no longer exceeded.
func TestExceedingEnds(t *testing.T) {
	b := New(100, 150, 1)
	first, second, third := b.Lease(t.Context()), b.Lease(t.Context()), b.Lease(t.Context())
	require.NoError(t, first.Reserve(50))
	require.NoError(t, second.Reserve(60))
	first.Release()
	require.NoError(t, third.Reserve(90))
	third.Release()
	require.NoError(t, second.Reserve(90))
}

func TestBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100, 100, 1)
		first, second, third := b.Lease(t.Context()), b.Lease(t.Context()), b.Lease(t.Context())
		require.NoError(t, first.Begin())
		began := time.Now()
		require.ErrorIs(t, second.Begin(), ErrBusy)
		assert.Equal(t, patience, time.Since(began))
		second.Release()
		got := make(chan error, 1)
		go func() { got <- third.Begin() }()
		synctest.Wait()
		assert.Empty(t, got)
		first.Release()
		require.NoError(t, <-got)
		first.Release() // has no turn any more
		third.Release()
		require.NoError(t, first.Begin())
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100, 100, 1)
		first, exceeding, waiting := b.Lease(t.Context()), b.Lease(t.Context()), b.Lease(t.Context())
		require.NoError(t, first.Reserve(100))
		require.NoError(t, exceeding.Reserve(50))
		got := make(chan error, 1)
		go func() { got <- waiting.Reserve(60) }()
		synctest.Wait()
		assert.Empty(t, got)
		exceeding.ShrinkTo(40)
		synctest.Wait()
		assert.Empty(t, got, "too little")
		first.Release()
		synctest.Wait()
		require.Len(t, got, 1)
		require.NoError(t, <-got)

		ctx, cancel := context.WithCancel(t.Context())
		canceled := b.Lease(ctx)
		require.NoError(t, exceeding.Reserve(1))
		go func() { got <- canceled.Reserve(10) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-got, context.Canceled)
	})
}

// Whatever many requests do: together they never hold more than the budget and one request's most, and when all are
// over, all is there again.
func TestConcurrent(t *testing.T) {
	const size, most = 1000, 400
	b := New(size, most, 3)
	var held, peak, served atomic.Int64
	var wg sync.WaitGroup
	for seed := range uint64(16) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 500 {
				lease := b.Lease(t.Context())
				if lease.Begin() != nil {
					continue
				}
				for range random.IntN(5) {
					n := random.Int64N(100)
					if lease.Reserve(n) != nil {
						break
					}
					now := held.Add(n)
					for p := peak.Load(); now > p && !peak.CompareAndSwap(p, now); p = peak.Load() {
					}
					served.Add(1)
				}
				held.Add(-lease.Used())
				lease.Release()
			}
		})
	}
	wg.Wait()
	assert.Zero(t, held.Load())
	assert.Positive(t, served.Load())
	assert.LessOrEqual(t, peak.Load(), int64(size+most))
	assert.Zero(t, b.used)
	assert.Nil(t, b.exceeding)
	assert.Len(t, b.turns, 3)
}
