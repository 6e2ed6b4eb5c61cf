// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"sync/atomic"
	"time"
)

// processClock is shared by every restamp processor of the process. A Collector
// has one per pipeline and makes new ones when its configuration is reloaded,
// but to Loki all of them write the streams of the same instance.
var processClock = &arrivalClock{now: time.Now}

// arrivalClock hands out times of arrival in nanoseconds since 1970, each later
// than all before it, whatever the wall clock does. It is safe for concurrent
// use and never blocks.
type arrivalClock struct {
	now  func() time.Time
	last atomic.Int64 // the latest nanosecond that has been handed out
}

// reserve takes n consecutive nanoseconds and returns the first of them. They
// begin at the wall clock's time, now, or right after the last one taken while
// the wall clock has not yet passed it. The first is never below 1, because a
// timestamp of 0 means that there is none.
func (c *arrivalClock) reserve(now time.Time, n int) int64 {
	for {
		last := c.last.Load()
		first := max(now.UnixNano(), last+1)
		if c.last.CompareAndSwap(last, first+int64(n)-1) {
			return first
		}
	}
}
