// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import "time"

// pace is how fast a tenant's requests may follow each other. The zero value knows no limit.
type pace struct {
	// rate is how many bytes per second are let through, 0 for all. It grows with what Loki takes: the limit that Loki
	// states is that of one of its distributors, of which there may be several.
	rate float64
	// limitedAt is when Loki last said that it was too much.
	limitedAt time.Time
	// next is when the next request may go, and hold until when none does for the sake of one that needs all the room that
	// there is.
	next, hold time.Time
}

const (
	// rateMemory is for how long a limit is believed in that is not met again.
	rateMemory = time.Minute
	// growth is the part of a second's rate by which it grows, per second that is used to the full.
	growth = 0.1
	// retreat is what is left of a rate that was too high.
	retreat = 0.75
	// maxHold is how long a tenant's requests wait for one line.
	maxHold = time.Minute
)

// turn takes the turn for a request, or returns how long it is until the next one.
func (p *pace) turn(now time.Time, bytes int) time.Duration {
	if !isRecent(p.limitedAt, now, rateMemory) {
		p.rate = 0
	}
	if pause := max(p.next.Sub(now), p.hold.Sub(now)); pause > 0 {
		return pause
	}
	if p.rate > 0 {
		p.next = now.Add(seconds(float64(bytes) / p.rate))
	}
	return 0
}

func (p *pace) took(bytes int) {
	if p.rate > 0 {
		p.rate += growth * float64(bytes)
	}
}

func (p *pace) limited(now time.Time, rate, bytes int64) {
	p.limitedAt = now
	p.rate = max(float64(rate), p.rate*retreat)
	// The request took nothing of the limit: the next one does not wait for it.
	p.next = now.Add(seconds(float64(bytes) / float64(rate)))
}

func (p *pace) holdFor(now time.Time, rate, bytes int64) {
	pause := min(seconds(float64(bytes)/float64(rate)), maxHold)
	if hold := now.Add(pause); hold.After(p.hold) {
		p.hold = hold
	}
}

// seconds is a duration, at most about a day.
func seconds(s float64) time.Duration { return time.Duration(min(s, 1e5) * float64(time.Second)) }

// sizes is how large a request may be. The zero value knows no more than what Loki's parts pass on.
type sizes struct {
	// hard is the largest request that Loki, or a gateway before it, takes. 0: nothing is known. hardAt is when a request
	// was last too large.
	hard   int
	hardAt time.Time
	// soft is the largest request that may be within a limit in bytes per second. 0: nothing is known. It grows with what
	// is taken, but for a while after softAt not up to ceiling, of which so much was refused.
	soft, ceiling int
	softAt        time.Time
}

func (s *sizes) took(bytes int, now time.Time) {
	if s.soft == 0 || bytes <= s.soft/2 {
		return
	}
	s.soft += s.soft/16 + 1
	if s.soft >= s.ceiling && isRecent(s.softAt, now, belief) {
		s.soft = s.ceiling - 1
	}
}

func (s *sizes) slowed(size, bytes int, now time.Time) {
	s.soft = lower(s.soft, bytes)
	s.ceiling, s.softAt = max(size, s.soft+1), now
}

func (s *sizes) tooLarge(bytes int, now time.Time) {
	s.hard, s.hardAt = lower(s.hard, bytes/2), now
}

// lower returns the lower of two sizes, the first of which is unknown where it is 0.
func lower(size, bytes int) int {
	bytes = max(bytes, 1)
	if size == 0 {
		return bytes
	}
	return min(size, bytes)
}

func (s *sizes) largest(now time.Time) int {
	if !isRecent(s.hardAt, now, belief) {
		s.hard = 0
	}
	if s.soft > MaxRequestSize {
		s.soft = 0
	}
	limit := MaxRequestSize
	for _, size := range [...]int{s.hard, s.soft} {
		if size > 0 {
			limit = min(limit, size)
		}
	}
	return limit
}
