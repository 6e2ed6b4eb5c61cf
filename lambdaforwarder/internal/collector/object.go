// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

const (
	// receiverPatience is how long the receiver may hold up each piece of an object that the pipeline cannot take at once.
	receiverPatience = 10 * time.Second
	// lastPieces is how many pieces it may be at when all of the object is sent.
	lastPieces = 2
)

var errReplaced = errors.New("the object was replaced while it was sent")

// SendObject sends the bytes of an object as they are, while it reads them. After an error it reads and sends the object
// again, and has the collector skip what it has already taken. The error is as that of SendMessages, or an
// s3object.ObjectError if there is no reading it. Bytes that were sent again are counted again.
func (c *Client) SendObject(ctx context.Context, o event.Object) (delivery.Tally, error) {
	s := sending{client: c, object: o}
	err := c.policy.Do(ctx, "the object", s.attempt)
	if _, refused := errors.AsType[*delivery.RefusedError](err); refused {
		if unreadable, ok := errors.AsType[*s3object.ObjectError](err); ok {
			err = unreadable
		}
	}
	return delivery.Tally{Bytes: s.sent.Load()}, err
}

// sending is an object on its way.
type sending struct {
	client *Client
	object event.Object

	// etag is that of the content of which the collector has skip records.
	etag string
	skip int
	// sent counts bytes. What the transport reads of one attempt it may read while another is under way.
	sent atomic.Int64
}

// content is an object as the body of a request.
type content struct {
	*s3object.Body
	sent  *atomic.Int64
	stall *time.Timer
	// pause is how long there may be no progress, and last how long the answer may take once all is read.
	pause, last time.Duration
	// failed is why the object could not be read on.
	failed *atomic.Pointer[error]
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.Body.Read(p)
	c.sent.Add(int64(n))
	switch {
	case err == nil:
		c.stall.Reset(c.pause)
	case errors.Is(err, io.EOF):
		c.stall.Reset(c.last)
	default:
		c.failed.Store(&err)
	}
	return n, err
}

func (c *content) failure() error {
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *sending) attempt(ctx context.Context) delivery.Outcome {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pause := s.client.stallTimeout
	stall := time.AfterFunc(pause, func() { cancel(s.client.errStalled) })
	defer stall.Stop()

	opened, err := s.client.open(ctx, s.object)
	if err != nil {
		return readFailure(ctx, err)
	}
	defer func() { _ = opened.Close() }() // which the transport may do later
	if opened.ETag != s.etag {            // it was replaced meanwhile, and its records are others
		s.etag, s.skip = opened.ETag, 0
	}
	body := &content{Body: opened, sent: &s.sent, stall: stall, pause: pause, last: s.client.answerTimeout, failed: new(atomic.Pointer[error])}
	req, err := s.newRequest(ctx, body)
	if err != nil {
		return delivery.Outcome{Err: err, Final: true}
	}
	got, err := s.client.roundTrip(req)
	s.client.noteUnknown(ctx, got)
	if failed := body.failure(); failed != nil && (err != nil || !got.isSuccess()) {
		return readFailure(ctx, failed)
	}
	if err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	if got.status == http.StatusExpectationFailed && !s.client.atOnce.Swap(true) {
		return s.attempt(ctx)
	}
	out := outcome(got, err)
	if got.accepted > s.skip {
		s.skip = got.accepted
		out.Progress = true
	}
	return out
}

// readFailure is what comes of an object that cannot be read.
func readFailure(ctx context.Context, err error) delivery.Outcome {
	if cause := context.Cause(ctx); cause != nil {
		return delivery.Outcome{Err: cause}
	}
	failed, ok := errors.AsType[*s3object.ObjectError](err)
	return delivery.Outcome{Err: err, Final: ok && failed.Final()}
}

func (s *sending) newRequest(ctx context.Context, body *content) (*http.Request, error) {
	u := s.client.objectURL
	query := url.Values{"bucket": {s.object.Bucket}, "key": {s.object.Key}}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("region", s.object.Region)
	set("etag", s.etag)
	if !s.object.Time.IsZero() {
		set("event_time", s.object.Time.UTC().Format(time.RFC3339Nano))
	}
	if s.skip > 0 {
		set("skip", strconv.Itoa(s.skip))
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = body.Size
	req.GetBody = func() (io.ReadCloser, error) {
		opened, err := s.client.open(ctx, s.object)
		if err != nil {
			return nil, err
		}
		if opened.ETag != s.etag {
			return nil, errors.Join(errReplaced, opened.Close())
		}
		again := *body
		again.Body = opened
		return &again, nil
	}
	req.Header = s.client.objectHeader
	if s.client.atOnce.Load() {
		req.Header = req.Header.Clone()
		req.Header.Del("Expect")
	}
	return req, nil
}
