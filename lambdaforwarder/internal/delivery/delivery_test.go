// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
)

const ms = time.Millisecond

var errAway = errors.New("away")

// newPolicy returns the policy of the forwarder's defaults, but for pauses, which are the longest.
func newPolicy(change func(*delivery.Policy)) *delivery.Policy {
	p := &delivery.Policy{
		To:             "the server",
		MinBackoff:     100 * ms,
		MaxBackoff:     5 * time.Second,
		MaxRetries:     -1,
		DeadlineMargin: time.Second,
		Jitter:         func(longest time.Duration) time.Duration { return longest },
	}
	if change != nil {
		change(p)
	}
	return p
}

// attempts gives one outcome after another, the last again and again, and remembers when.
type attempts struct {
	outcomes []delivery.Outcome
	start    time.Time
	calls    []time.Duration
}

func (a *attempts) next(context.Context) delivery.Outcome {
	a.calls = append(a.calls, time.Since(a.start))
	return a.outcomes[min(len(a.calls), len(a.outcomes))-1]
}

func TestDo(t *testing.T) {
	t.Parallel()
	type outcomes = []delivery.Outcome
	var (
		taken    = delivery.Outcome{Status: 200}
		away     = delivery.Outcome{Err: errAway, Status: 503}
		noAnswer = delivery.Outcome{Err: errors.New("no answer")}
		progress = delivery.Outcome{Err: errAway, Status: 503, Progress: true}
		refused  = delivery.Outcome{Err: errors.New("no"), Status: 400, Final: true}
	)
	wait := func(d time.Duration) delivery.Outcome {
		return delivery.Outcome{Err: errAway, Status: 429, RetryAfter: d}
	}
	const (
		gaveUp     = "the server has not taken the thing (attempts: "
		refusal    = "the server refused the thing (attempts: "
		invocation = 10 * time.Second // of which 9 s can be used
	)
	f := func(name string, change func(*delivery.Policy), outcomes outcomes, want string, calls ...time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), invocation)
				defer cancel()
				a := &attempts{outcomes: outcomes, start: time.Now()}
				err := newPolicy(change).Do(ctx, "the thing", a.next)
				assert.Equal(t, calls, a.calls, "the times of the attempts")
				assert.Equal(t, a.calls[len(a.calls)-1], time.Since(a.start), "a pause after the last attempt is for nothing")
				if want == "" {
					require.NoError(t, err)
					return
				}
				require.EqualError(t, err, want)
				require.ErrorIs(t, err, outcomes[len(outcomes)-1].Err)
			})
		})
	}
	retries := func(n int) func(*delivery.Policy) { return func(p *delivery.Policy) { p.MaxRetries = n } }
	margin := func(d time.Duration) func(*delivery.Policy) { return func(p *delivery.Policy) { p.DeadlineMargin = d } }
	backoff := func(least, most time.Duration) func(*delivery.Policy) {
		return func(p *delivery.Policy) { p.MinBackoff, p.MaxBackoff = least, most }
	}

	f("at once", nil, outcomes{taken}, "", 0)
	f("at the second attempt", nil, outcomes{away, taken}, "", 0, 100*ms)
	f("until the deadline less the margin", nil, outcomes{away}, gaveUp+"7): away",
		0, 100*ms, 300*ms, 700*ms, 1500*ms, 3100*ms, 6300*ms)
	f("until the deadline", margin(0), outcomes{away}, gaveUp+"7): away",
		0, 100*ms, 300*ms, 700*ms, 1500*ms, 3100*ms, 6300*ms)
	f("last cause", nil, outcomes{away, noAnswer}, gaveUp+"7): no answer", 0, 100*ms, 300*ms, 700*ms, 1500*ms, 3100*ms, 6300*ms)
	f("refused", nil, outcomes{refused}, refusal+"1): no", 0)
	f("refused after retries", nil, outcomes{away, away, refused}, refusal+"3): no", 0, 100*ms, 300*ms)

	f("pauses are bounded", backoff(ms*1000, 2*time.Second), outcomes{away}, gaveUp+"5): away",
		0, 1*time.Second, 3*time.Second, 5*time.Second, 7*time.Second)
	f("pauses of one length", backoff(ms*2900, 2900*ms), outcomes{away}, gaveUp+"4): away", 0, 2900*ms, 5800*ms, 8700*ms)
	f("an attempt at the very end is none", backoff(9*time.Second, 9*time.Second), outcomes{away}, gaveUp+"1): away", 0)
	f("longest pauses there can be", backoff(math.MaxInt64/2+1, math.MaxInt64), outcomes{away}, gaveUp+"1): away", 0)

	f("no retries", retries(0), outcomes{away}, gaveUp+"1): away", 0)
	f("one retry", retries(1), outcomes{away}, gaveUp+"2): away", 0, 100*ms)
	f("three retries", retries(3), outcomes{away}, gaveUp+"4): away", 0, 100*ms, 300*ms, 700*ms)
	f("the last retry succeeds", retries(2), outcomes{away, away, taken}, "", 0, 100*ms, 300*ms)
	f("more retries than there is time for", retries(100), outcomes{away}, gaveUp+"7): away",
		0, 100*ms, 300*ms, 700*ms, 1500*ms, 3100*ms, 6300*ms)

	f("progress begins anew", retries(2), outcomes{away, away, progress, away, away}, gaveUp+"5): away",
		0, 100*ms, 300*ms, 400*ms, 600*ms)
	f("progress each time", retries(1), outcomes{progress, progress, progress, progress, taken}, "",
		0, 100*ms, 200*ms, 300*ms, 400*ms)
	f("progress without retries", retries(0), outcomes{progress}, gaveUp+"1): away", 0)
	f("progress until the deadline", backoff(4*time.Second, 4*time.Second), outcomes{progress}, gaveUp+"3): away",
		0, 4*time.Second, 8*time.Second)

	f("RetryAfter is the least pause", nil, outcomes{wait(3 * time.Second), wait(time.Second), taken}, "", 0, 3100*ms, 4300*ms)
	f("RetryAfter up to the deadline", nil, outcomes{wait(8 * time.Second), taken}, "", 0, 8100*ms)
	f("RetryAfter beyond the deadline", nil, outcomes{wait(9 * time.Second)}, gaveUp+"1): away", 0)
}

// What errors say beside their text.
func TestErrors(t *testing.T) {
	t.Parallel()
	p := newPolicy(func(p *delivery.Policy) { p.MaxRetries, p.MinBackoff, p.MaxBackoff = 1, 0, 0 })
	err := p.Do(t.Context(), "the thing", func(context.Context) delivery.Outcome {
		return delivery.Outcome{Err: errAway, Status: 503}
	})
	var unavailable *delivery.UnavailableError
	require.ErrorAs(t, err, &unavailable)
	assert.Equal(t, "the server", unavailable.To)
	assert.Equal(t, "the thing", unavailable.What)
	assert.Equal(t, 2, unavailable.Attempts)
	assert.Equal(t, 503, unavailable.Status)

	f := func(status int, ofContent bool) {
		t.Helper()
		err := p.Do(t.Context(), "the thing", func(context.Context) delivery.Outcome {
			return delivery.Outcome{Err: errAway, Status: status, Final: true}
		})
		var refused *delivery.RefusedError
		require.ErrorAs(t, err, &refused)
		require.ErrorIs(t, err, errAway)
		assert.Equal(t, "the server", refused.To)
		assert.Equal(t, "the thing", refused.What)
		assert.Equal(t, 1, refused.Attempts)
		assert.Equal(t, status, refused.Status)
		assert.Equal(t, ofContent, refused.OfContent(), status)
	}
	for _, status := range []int{0, 400, 413, 422} {
		f(status, true)
	}
	for _, status := range []int{301, 401, 403, 404, 405, 407, 499} {
		f(status, false)
	}

	unsent := delivery.NewRefusedError("the forwarder", "the message", errAway)
	require.EqualError(t, unsent, "the forwarder refused the message (attempts: 0): away")
	require.ErrorIs(t, unsent, errAway)
	assert.True(t, unsent.OfContent())
}

// Without a deadline it ends with the context alone.
func TestDoWithoutDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(time.Hour, cancel)
		a := &attempts{outcomes: []delivery.Outcome{{Err: errAway}}, start: time.Now()}
		err := newPolicy(nil).Do(ctx, "the thing", func(ctx context.Context) delivery.Outcome {
			_, bounded := ctx.Deadline()
			assert.False(t, bounded)
			return a.next(ctx)
		})
		var unavailable *delivery.UnavailableError
		require.ErrorAs(t, err, &unavailable)
		// 6.3 s for the first seven, then one every five seconds.
		assert.Equal(t, 7+(3600*1000-6300)/5000, unavailable.Attempts)
		assert.Equal(t, time.Hour, time.Since(a.start))
	})
}

func TestDoCancelledWhilePausing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		a := &attempts{outcomes: []delivery.Outcome{{Err: errAway, Status: 503, RetryAfter: time.Hour}}, start: time.Now()}
		var unavailable *delivery.UnavailableError
		require.ErrorAs(t, newPolicy(nil).Do(ctx, "the thing", a.next), &unavailable)
		assert.Equal(t, 1, unavailable.Attempts)
		assert.Equal(t, 503, unavailable.Status)
		assert.Equal(t, time.Minute, time.Since(a.start))
	})
}

func TestDoCancelledDuringAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		time.AfterFunc(time.Minute, cancel)
		start, calls := time.Now(), 0
		err := newPolicy(nil).Do(ctx, "the thing", func(ctx context.Context) delivery.Outcome {
			calls++
			<-ctx.Done()
			return delivery.Outcome{Err: context.Cause(ctx)}
		})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 1, calls)
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

// An attempt's context ends with the time there is, and says so.
func TestDoEndsAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		p := newPolicy(func(p *delivery.Policy) { p.DeadlineMargin = 3 * time.Second })
		err := p.Do(ctx, "the thing", func(ctx context.Context) delivery.Outcome {
			<-ctx.Done()
			return delivery.Outcome{Err: fmt.Errorf("the request failed: %w", context.Cause(ctx))}
		})
		require.EqualError(t, err, "the server has not taken the thing (attempts: 1): "+
			"the request failed: no answer before the invocation's deadline less `DEADLINE_MARGIN`")
		require.ErrorIs(t, err, delivery.ErrDeadline)
		assert.Equal(t, 7*time.Second, time.Since(start))
		require.NoError(t, ctx.Err(), "there must be time left to report the error")
	})
}

func TestDoNoTime(t *testing.T) {
	t.Parallel()
	f := func(left time.Duration) {
		t.Helper()
		t.Run(left.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), left)
				defer cancel()
				err := newPolicy(nil).Do(ctx, "the thing", func(context.Context) delivery.Outcome {
					t.Error("there is no time for an attempt")
					return delivery.Outcome{}
				})
				require.EqualError(t, err, "the server has not taken the thing (attempts: 0): "+
					"the invocation's time less `DEADLINE_MARGIN` was up before the first attempt")
				var unavailable *delivery.UnavailableError
				require.ErrorAs(t, err, &unavailable)
				assert.Zero(t, unavailable.Attempts)
			})
		})
	}
	f(time.Second)
	f(time.Millisecond)
	f(-time.Hour)
}

// The pauses of a policy that ships are drawn, and evenly enough that many forwarders do not come back at one time.
func TestJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const longest, draws = time.Second, 1000
		p := newPolicy(func(p *delivery.Policy) {
			p.MinBackoff, p.MaxBackoff, p.MaxRetries, p.Jitter = longest, longest, draws, nil
		})
		a := &attempts{outcomes: []delivery.Outcome{{Err: errAway}}, start: time.Now()}
		require.Error(t, p.Do(t.Context(), "the thing", a.next))
		require.Len(t, a.calls, draws+1)
		var halves [2]int
		for i := range draws {
			pause := a.calls[i+1] - a.calls[i]
			require.GreaterOrEqual(t, pause, time.Duration(0))
			require.Less(t, pause, longest)
			halves[pause/(longest/2)]++
		}
		assert.InDelta(t, draws/2, halves[0], draws/5)
	})
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	want := map[int]bool{0: true, 408: true, 425: true, 429: true}
	for status := range 600 {
		assert.Equal(t, want[status] || status >= 500, delivery.Retryable(status), "status %d", status)
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	var sum delivery.Tally
	assert.Zero(t, sum.RefusedLines())
	sum.Add(delivery.Tally{Bytes: 1, Lines: 2})
	assert.Nil(t, sum.Refused)
	first := delivery.Tally{Bytes: 10, Lines: 20, Excluded: 3, Unlabeled: 4}
	first.Refuse("too old", 5)
	first.Refuse("too old", 1)
	sum.Add(first)
	sum.Add(delivery.Tally{Excluded: 1, Unlabeled: 1, Refused: map[string]int{"too old": 1, "too long": 2}})
	assert.Equal(t, delivery.Tally{
		Bytes: 11, Lines: 22, Excluded: 4, Unlabeled: 5, Refused: map[string]int{"too old": 7, "too long": 2},
	}, sum)
	assert.Equal(t, 9, sum.RefusedLines())
	assert.Equal(t, 6, first.RefusedLines(), "what was added must not change")
}
