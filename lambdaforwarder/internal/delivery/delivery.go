// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package delivery tries again, for as long as an invocation lasts, what did not succeed at once.
package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// Policy says how often and for how long to try. It may be used by many goroutines.
type Policy struct {
	// To names the receiver in errors.
	To string
	// MinBackoff and MaxBackoff are the longest pause after the first attempt, which is doubled after each, and the
	// longest of all.
	MinBackoff, MaxBackoff time.Duration
	// MaxRetries is how many attempts there are beside the first. Negative: as many as there is time for.
	MaxRetries int
	// DeadlineMargin is the time that is kept free before the invocation's deadline.
	DeadlineMargin time.Duration

	// Jitter draws a duration between zero and its argument. Nil: evenly.
	Jitter func(time.Duration) time.Duration
}

// Outcome is what came of one attempt.
type Outcome struct {
	// Err says why there has to be another attempt, or why there need not be. Nil: all was taken.
	Err error
	// Status is the HTTP status of the answer, 0 if none came.
	Status int
	// Final says that the same would be refused another time, too.
	Final bool
	// RetryAfter is how long the answer asks to wait.
	RetryAfter time.Duration
	// Progress says that a part was taken: then it counts as the first attempt.
	Progress bool
}

var (
	errNoTime = errors.New("the invocation's time less `DEADLINE_MARGIN` was up before the first attempt")

	// ErrDeadline is the cause of the end of an attempt's context at the invocation's deadline less the margin.
	ErrDeadline = errors.New("no answer before the invocation's deadline less `DEADLINE_MARGIN`")
)

// Do attempts to deliver what the errors call what, until all is taken, or refused for good, or the next attempt could not
// start before the deadline of ctx less the margin. Without a deadline it goes on until ctx is done. The context of an
// attempt ends with the invocation's time less the margin. The error is a RefusedError or an UnavailableError.
func (p *Policy) Do(ctx context.Context, what string, attempt func(context.Context) Outcome) error {
	if err := p.Check(ctx, what); err != nil {
		return err
	}
	end, bounded := ctx.Deadline()
	if bounded {
		end = end.Add(-p.DeadlineMargin)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, end, ErrDeadline)
		defer cancel()
	}
	inVain := 0
	for attempts := 1; ; attempts++ {
		got := attempt(ctx)
		switch {
		case got.Err == nil:
			return nil
		case got.Final:
			return &RefusedError{To: p.To, What: what, Attempts: attempts, Status: got.Status, cause: got.Err}
		case got.Progress:
			inVain = 0
		}
		inVain++
		pause := got.RetryAfter + p.jitter(p.backoff(inVain))
		if p.MaxRetries >= 0 && inVain > p.MaxRetries || bounded && !time.Now().Add(pause).Before(end) || !sleep(ctx, pause) {
			return &UnavailableError{To: p.To, What: what, Attempts: attempts, Status: got.Status, cause: got.Err}
		}
	}
}

// Check returns an UnavailableError if Do has no time for an attempt.
func (p *Policy) Check(ctx context.Context, what string) error {
	if end, bounded := ctx.Deadline(); bounded && !time.Now().Before(end.Add(-p.DeadlineMargin)) {
		return &UnavailableError{To: p.To, What: what, cause: errNoTime}
	}
	return nil
}

// backoff is the longest pause after that many attempts in vain. The pause itself is drawn evenly between zero and this
// ("full jitter"), so that forwarders that failed together do not come back together:
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
func (p *Policy) backoff(attempts int) time.Duration {
	pause := p.MinBackoff
	for range attempts - 1 {
		if pause *= 2; pause >= p.MaxBackoff {
			break
		}
	}
	return min(pause, p.MaxBackoff)
}

func (p *Policy) jitter(longest time.Duration) time.Duration {
	if p.Jitter != nil {
		return p.Jitter(longest)
	}
	if longest <= 0 {
		return 0
	}
	return rand.N(longest) //nolint:gosec // nobody gains by guessing it
}

// sleep returns false when ctx was done first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Retryable tells whether sending the same again may give another answer than this HTTP status. 0 is no answer.
func Retryable(status int) bool {
	switch status {
	case 0, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	default:
		return status >= 500
	}
}
