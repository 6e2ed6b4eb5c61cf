// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"context"
	"errors"
	"sync"
	"time"
)

// gate holds one tenant's requests back once Loki has said that they are too much, and remembers how large a request
// may be. It is safe for concurrent use.
type gate struct {
	// closed ends every wait.
	closed chan struct{}

	mu sync.Mutex
	// rate is how many bytes per second are let through, 0 for all. It grows with what Loki takes: the limit that Loki
	// states is that of one of its distributors, of which there may be several.
	rate float64
	// next is when the next request may go, and hold until when none does for the sake of one that needs all the room that
	// there is.
	next, hold time.Time
	// limitedAt is when Loki last said that it was too much.
	limitedAt time.Time
	// hard is the largest request that Loki, or a gateway before it, takes, and soft the largest that may be within a
	// limit on bytes per second. 0: nothing is known. hardAt is when a request was last too large.
	hard, soft int
	hardAt     time.Time
	// ceiling is what soft does not grow beyond for a while after softAt, when so much was refused.
	ceiling int
	softAt  time.Time
	// plainAt is when Loki last said that it takes no structured metadata, and aloneAt when it last said something about
	// one stream of several that may be true of others as well.
	plainAt, aloneAt time.Time
}

const (
	// rateMemory is for how long a limit on the rate is believed in that is not met again, and memory for how long
	// everything else is.
	rateMemory = time.Minute
	memory     = 10 * time.Minute
	// growth is the part of a second's rate by which it grows, per second that is used to the full.
	growth = 0.1
	// retreat is what is left of a rate that was too high.
	retreat = 0.75
	// maxSleep is how long a request sleeps before it looks again.
	maxSleep = time.Second
)

var errClosed = errors.New("stopped while waiting to send")

func newGate() *gate { return &gate{closed: make(chan struct{})} }

// wait waits until a request of so many bytes may go, and returns how long that took.
func (g *gate) wait(ctx context.Context, bytes int) (held time.Duration, err error) {
	for {
		pause := g.turn(bytes)
		if pause <= 0 {
			return held, nil
		}
		// What is known about the limit changes while others send.
		slept, err := g.sleep(ctx, min(pause, maxSleep))
		held += slept
		if err != nil {
			return held, err
		}
	}
}

// turn takes the turn for a request, or returns how long it is until the next one.
func (g *gate) turn(bytes int) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !isRecent(g.limitedAt, rateMemory) {
		g.rate = 0
	}
	if pause := max(g.next.Sub(now), g.hold.Sub(now)); pause > 0 {
		return pause
	}
	if g.rate > 0 {
		g.next = now.Add(seconds(float64(bytes) / g.rate))
	}
	return 0
}

func (g *gate) sleep(ctx context.Context, pause time.Duration) (time.Duration, error) {
	start := time.Now()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return pause, nil
	case <-g.closed:
		return time.Since(start), errClosed
	case <-ctx.Done():
		return time.Since(start), ctx.Err()
	}
}

// took notes that Loki took a request.
func (g *gate) took(bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rate > 0 {
		g.rate += growth * float64(bytes)
	}
	if g.soft > 0 && bytes > g.soft/2 {
		g.soft += g.soft/16 + 1
		if g.soft >= g.ceiling && isRecent(g.softAt, memory) {
			g.soft = g.ceiling - 1
		}
	}
}

// limited notes that Loki refused a request because of a limit in bytes per second. The next one goes when the limit has
// had time to make room for so many bytes.
func (g *gate) limited(rate, bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limitedAt = time.Now()
	g.rate = max(float64(rate), g.rate*retreat)
	// The request took nothing of the limit: the next one does not wait for it.
	g.next = g.limitedAt.Add(seconds(float64(bytes) / float64(rate)))
}

// slowed notes that requests had better have no more than so many bytes, so that a limit lets them through which has
// refused one of size.
func (g *gate) slowed(size, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.soft = lower(g.soft, bytes)
	g.ceiling, g.softAt = max(size, g.soft+1), time.Now()
}

// tooLarge notes that a request of so many bytes is more than Loki takes at once.
func (g *gate) tooLarge(bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hard, g.hardAt = lower(g.hard, bytes/2), time.Now()
}

// lower returns the lower of two sizes, of which 0 is none.
func lower(size, bytes int) int {
	bytes = max(bytes, 1)
	if size == 0 {
		return bytes
	}
	return min(size, bytes)
}

// largest is the size up to which a request may be taken.
func (g *gate) largest() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	limit := maxRequestSize
	if !isRecent(g.hardAt, memory) {
		g.hard = 0
	}
	if g.soft > limit {
		g.soft = 0
	}
	for _, size := range [...]int{g.hard, g.soft} {
		if size > 0 {
			limit = min(limit, size)
		}
	}
	return limit
}

// metadataRefused notes that Loki takes no structured metadata.
func (g *gate) metadataRefused() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.plainAt = time.Now()
}

// plain says whether structured metadata is better not sent.
func (g *gate) plain() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return isRecent(g.plainAt, memory)
}

// streamsHid notes that what Loki said of one stream may be true of others in the same request.
func (g *gate) streamsHid() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.aloneAt = time.Now()
}

// alone says whether streams are better sent each in a request of its own.
func (g *gate) alone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return isRecent(g.aloneAt, memory)
}

func (g *gate) isClosed() bool {
	select {
	case <-g.closed:
		return true
	default:
		return false
	}
}

func isRecent(t time.Time, within time.Duration) bool { return !t.IsZero() && time.Since(t) < within }

// maxHold is how long a tenant's requests wait for one line.
const maxHold = time.Minute

// holdFor has all requests wait until the limit has had time to make room for so many bytes.
func (g *gate) holdFor(rate, bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	pause := min(seconds(float64(bytes)/float64(rate)), maxHold)
	if hold := time.Now().Add(pause); hold.After(g.hold) {
		g.hold = hold
	}
}

// seconds is a duration, at most about a day.
func seconds(s float64) time.Duration { return time.Duration(min(s, 1e5) * float64(time.Second)) }
