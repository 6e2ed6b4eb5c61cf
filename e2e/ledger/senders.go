// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/awsloki/awsloki/e2e/firehose"
	"github.com/awsloki/awsloki/e2e/lambdapromtail"
)

const (
	// Between one try and the next.
	minBackoff, maxBackoff = 50 * time.Millisecond, 300 * time.Millisecond
	// maxRetryAfter is how long a sender waits at most when it is asked to.
	maxRetryAfter = time.Second
	// sendTimeout is for one request. It has to be longer than the collector ever takes, for what is pushed is doubled else.
	sendTimeout = 10 * time.Second
	// faultLag is the part of all lines of which a fault may be late: as many may be under way when it is due, and are not to
	// be waited for.
	faultLag = 5
	// sendersPerInput is how many documents of an input are under way at once, by HTTP.
	sendersPerInput = 2
)

// courier hands over documents of one input.
type courier interface {
	// deliver hands a document over once, of which the collector has acknowledged the first taken lines before. A delivery
	// that was not answered is no error.
	deliver(ctx context.Context, p *parcel, taken int) (answer, error)
}

// answer is what a courier brings back.
type answer struct {
	kind       string        // of a failure: a status, or what else there was
	taken      int           // how many lines, from the first, are acknowledged
	retryAfter time.Duration // how long it was asked to wait
}

// tally counts what happened, by its names.
type tally[K comparable] struct {
	mu     sync.Mutex
	counts map[K]int
}

func (t *tally[K]) add(what K, times int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[K]int{}
	}
	t.counts[what] += times
}

func (t *tally[K]) all() map[K]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// failures returns how many deliveries did not have all of their lines acknowledged.
func (r *run) failures() int {
	sum := 0
	for _, n := range r.failed.all() {
		sum += n
	}
	return sum
}

// send delivers a document again and again until it is acknowledged, as who sends for AWS does. It gives up with ctx only.
func (r *run) send(ctx context.Context, c courier, d document) error {
	p, err := r.generator.make(d)
	if err != nil {
		return err
	}
	r.book.send(d)
	random := rand.New(rand.NewPCG(r.opts.Seed, uint64(d.number))) //nolint:gosec // no secret
	for taken := 0; ; {
		a, err := c.deliver(ctx, p, taken)
		if err != nil {
			return fmt.Errorf("send document %d by %s: %w", d.number, d.input, err)
		}
		taken = max(taken, a.taken)
		r.book.acknowledge(d, taken)
		if taken == d.lines {
			return nil
		}
		r.failed.add(a.kind, 1)
		backoff := minBackoff + time.Duration(random.Int64N(int64(maxBackoff-minBackoff)))
		if !pause(ctx, max(backoff, min(a.retryAfter, maxRetryAfter))) {
			return nil
		}
	}
}

// feed hands out the documents in their order, and not before they are due.
func (r *run) feed(ctx context.Context, to map[Input]chan document) error {
	for _, documents := range to {
		defer close(documents)
	}
	faults := 0 // which documents need not wait for
	for _, d := range r.plan.documents {
		// However slow the machine is, a fault that is due meets something.
		for ; faults < len(r.opts.Schedule) && r.opts.Schedule[faults].At+r.opts.Lines/faultLag <= d.first; faults++ {
			select {
			case <-r.begun[faults]:
			case <-ctx.Done():
				return nil
			}
		}
		if r.opts.Rate > 0 {
			due := r.journal.begun.Add(time.Duration(float64(d.first) / float64(r.opts.Rate) * float64(time.Second)))
			if !pause(ctx, time.Until(due)) {
				return nil
			}
		}
		select {
		case to[d.input] <- d:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// pause waits, and reports whether it could before ctx was done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// poster sends documents by HTTP.
type poster struct {
	base   string
	client *http.Client
}

func newPoster(base string) *poster {
	return &poster{base, &http.Client{Timeout: sendTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: sendersPerInput}}}
}

func (p *poster) deliver(ctx context.Context, d *parcel, taken int) (answer, error) {
	path, header := "/cloudwatch/v1/subscription", map[string]string{"Content-Type": "application/gzip"}
	switch d.input {
	case Firehose:
		path, header = "/firehose/v1", firehose.Request{ID: d.name}.Header()
	case S3:
		path = objectPath(d, taken)
	case Push:
		path, header = pushPath, map[string]string{"Content-Type": lambdapromtail.ContentType, "User-Agent": "promtail/3.5.0"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, bytes.NewReader(d.body))
	if err != nil {
		return answer{}, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{kind: "none"}, nil //nolint:nilerr // the collector is away
	}
	body, err := io.ReadAll(resp.Body)
	if _ = resp.Body.Close(); err != nil {
		return answer{kind: "cut"}, nil //nolint:nilerr // half an answer is none
	}
	return judge(d, resp, body)
}

func objectPath(d *parcel, skip int) string {
	query := url.Values{
		"bucket": {"ledger"}, "key": {d.key}, "region": {"us-east-1"}, "etag": {d.name}, "event_time": {d.at.UTC().Format(time.RFC3339Nano)},
	}
	if skip > 0 {
		query.Set("skip", strconv.Itoa(skip))
	}
	return "/s3/v1/object?" + query.Encode()
}

// judge says what an answer acknowledges. One that the senders' protocols do not know is an error.
func judge(d *parcel, resp *http.Response, body []byte) (answer, error) {
	a := answer{kind: strconv.Itoa(resp.StatusCode)}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		a.retryAfter = time.Duration(seconds) * time.Second
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent:
		a.taken = d.lines
		return a, checkSuccess(d, resp.StatusCode, body)
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable:
		if d.input == S3 {
			a.taken = min(acceptedOf(body), d.lines)
		}
		return a, nil
	default:
		return a, fmt.Errorf("answered %s: %.200q", resp.Status, body)
	}
}

// checkSuccess checks that an answer of success is the one that its sender relies on.
func checkSuccess(d *parcel, status int, body []byte) error {
	switch d.input {
	case Push:
		if status != http.StatusNoContent {
			return fmt.Errorf("answered %d: %.200q", status, body)
		}
	case Firehose:
		a, err := firehose.ParseAnswer(body)
		if err != nil {
			return err
		}
		if a.RequestID != d.name || a.ErrorMessage != "" {
			return fmt.Errorf("answer to Firehose: %+v", a)
		}
	default:
		if accepted := acceptedOf(body); accepted != d.lines {
			return fmt.Errorf("%d of %d lines are accepted: %.200q", accepted, d.lines, body)
		}
	}
	return nil
}

// acceptedOf returns how many lines an answer of the forwarding protocol says are taken, 0 if it does not.
func acceptedOf(body []byte) int {
	var a struct{ Accepted int }
	if json.Unmarshal(body, &a) != nil {
		return 0
	}
	return a.Accepted
}
