// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// belief is for how long what Loki once said is believed in. It is asked again then.
const belief = 10 * time.Minute

var errClosed = errors.New("stopped while waiting to send")

// gate is what all requests of a tenant know of Loki: it holds them back where Loki has said that they are too many, and
// says what they had better be like. It is safe for concurrent use.
type gate struct {
	// closed ends every wait.
	closed chan struct{}

	mu    sync.Mutex
	pace  pace
	sizes sizes
	// plainAt is when Loki last said that it takes no structured metadata, and aloneAt when it last said something about
	// one stream of several that may be true of others as well.
	plainAt, aloneAt time.Time
}

func newGate() *gate { return &gate{closed: make(chan struct{})} }

// maxSleep is how long a request sleeps before it looks again: what is known of the limit changes while others send.
const maxSleep = time.Second

// limitError says that Loki's limit lets a request go only after its time.
type limitError struct{ pause time.Duration }

func (e *limitError) Error() string {
	return fmt.Sprintf("loki's limit holds the request back for %s, which is longer than there is time", e.pause)
}

// wait waits until a request of so many bytes may go, and returns how long that took. It does not wait in vain.
func (g *gate) wait(ctx context.Context, bytes int) (held time.Duration, err error) {
	for {
		g.mu.Lock()
		pause := g.pace.turn(time.Now(), bytes)
		g.mu.Unlock()
		if pause <= 0 {
			return held, nil
		}
		if end, bounded := ctx.Deadline(); bounded && time.Until(end) < pause {
			return held, &limitError{pause}
		}
		slept, err := g.sleep(ctx, min(pause, maxSleep))
		held += slept
		if err != nil {
			return held, err
		}
	}
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

func (g *gate) isClosed() bool {
	select {
	case <-g.closed:
		return true
	default:
		return false
	}
}

// took notes that Loki took a request.
func (g *gate) took(bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pace.took(bytes)
	g.sizes.took(bytes, time.Now())
}

// limited notes that Loki refused a request because of a limit in bytes per second. The next one goes when the limit has
// had time to make room for so many bytes.
func (g *gate) limited(rate, bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pace.limited(time.Now(), rate, bytes)
}

// holdFor has all requests wait until the limit has had time to make room for so many bytes.
func (g *gate) holdFor(rate, bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pace.holdFor(time.Now(), rate, bytes)
}

// slowed notes that a limit in bytes per second refused a request of size, and that those of so many bytes may be little
// enough.
func (g *gate) slowed(size, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sizes.slowed(size, bytes, time.Now())
}

// tooLarge notes that a request of so many bytes is more than Loki takes at once.
func (g *gate) tooLarge(bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sizes.tooLarge(bytes, time.Now())
}

// largest is the size up to which a request may be taken.
func (g *gate) largest() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sizes.largest(time.Now())
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
	return isRecent(g.plainAt, time.Now(), belief)
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
	return isRecent(g.aloneAt, time.Now(), belief)
}

func isRecent(t, now time.Time, within time.Duration) bool {
	return !t.IsZero() && now.Sub(t) < within
}
