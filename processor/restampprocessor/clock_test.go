// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scriptedClock returns the given times one after another.
func scriptedClock(nanos ...int64) *arrivalClock {
	var calls int
	return &arrivalClock{now: func() time.Time {
		calls++
		return time.Unix(0, nanos[calls-1])
	}}
}

// fixedClock stands still and is safe for concurrent use.
func fixedClock(nanos int64) *arrivalClock {
	return &arrivalClock{now: func() time.Time { return time.Unix(0, nanos) }}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	type step struct {
		now   int64
		n     int
		first int64
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"the clock goes on", []step{{1000, 3, 1000}, {2000, 1, 2000}, {3000, 2, 3000}}},
		{"the clock stands still", []step{{1000, 3, 1000}, {1000, 2, 1003}, {1000, 1, 1005}}},
		{"the clock is slower than the records", []step{{1000, 10, 1000}, {1001, 10, 1010}, {1020, 1, 1020}}},
		{"the clock steps back and catches up", []step{{1000, 2, 1000}, {500, 2, 1002}, {1003, 2, 1004}, {1100, 2, 1100}}},
		{"nothing is reserved", []step{{1000, 0, 1000}, {1000, 0, 1000}, {1000, 2, 1000}, {900, 0, 1002}, {900, 1, 1002}}},
		{"never zero", []step{{0, 2, 1}, {-5, 1, 3}}},
		{"before 1970", []step{{math.MinInt64, 1, 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nanos := make([]int64, len(tt.steps))
			for i, s := range tt.steps {
				nanos[i] = s.now
			}
			c := scriptedClock(nanos...)
			for i, s := range tt.steps {
				assert.Equal(t, s.first, c.reserve(c.now(), s.n), "step %d", i)
			}
		})
	}
}

// TestReserveConcurrently has every nanosecond of a clock that stands still
// taken exactly once, and by each goroutine in rising order.
func TestReserveConcurrently(t *testing.T) {
	t.Parallel()
	const goroutines, rounds, n = 16, 20_000, 3
	const start = int64(1000)
	c := fixedClock(start)
	taken := make([][]int64, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for range rounds {
				taken[g] = append(taken[g], c.reserve(c.now(), n))
			}
		})
	}
	wg.Wait()

	for g := range goroutines {
		require.True(t, slices.IsSorted(taken[g]))
	}
	all := slices.Concat(taken...)
	slices.Sort(all)
	for i, first := range all {
		require.Equal(t, start+int64(i*n), first, "block %d", i)
	}
}
