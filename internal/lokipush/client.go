// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/awsloki/awsloki/internal/retryafter"
)

const contentType = "application/x-protobuf"

// Client sends batches to Loki. It is safe for concurrent use.
type Client struct {
	http   *http.Client
	url    string
	header http.Header
}

// NewClient returns a client that posts to endpoint, the whole of it, and sends the headers given along with its own.
func NewClient(client *http.Client, endpoint string, header http.Header) *Client {
	own := *client
	// A redirect that was followed would turn the request into a GET, or take credentials and lines to another host.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: &own, url: endpoint, header: header}
}

// Outcome is what an answer means for the lines of a request.
type Outcome int

const (
	// Delivered lines are Loki's.
	Delivered Outcome = iota
	// Retry means that Loki may take the same lines another time.
	Retry
	// Refused means that Loki will never take all of these lines. It may have stored some of them.
	Refused
)

// Result tells how a push went.
type Result struct {
	Outcome Outcome
	// Status is the HTTP status of the answer, 0 if none came.
	Status int
	// Bytes is the size of the request's body, compressed.
	Bytes int
	// RetryAfter is how long the answer asks to wait. Loki does not ask, but gateways before it may.
	RetryAfter time.Duration
	// Err says why the lines are not delivered. It holds none of them.
	Err error
}

// Push sends a batch in one request and waits for the answer. The batch is as it was before when Push returns, and may
// be pushed again.
func (c *Client) Push(ctx context.Context, b *Batch) Result {
	// New memory each time: the transport may read the body even after it has returned.
	body := b.AppendCompressed(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return Result{Outcome: Retry, Err: fmt.Errorf("make the request: %w", err)}
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", contentType)

	resp, err := c.http.Do(req)
	if err != nil {
		// The URL in the error may hold secrets.
		if urlErr, ok := errors.AsType[*url.Error](err); ok {
			err = urlErr.Err
		}
		return Result{Outcome: Retry, Bytes: len(body), Err: fmt.Errorf("no answer from loki: %w", err)}
	}
	result := readAnswer(resp)
	result.Bytes = len(body)
	return result
}

const (
	// maxMessage is how much of an answer's text is kept, and maxDrain how much is read for the sake of using the
	// connection again.
	maxMessage = 1 << 10
	maxDrain   = 64 << 10
)

func readAnswer(resp *http.Response) Result {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err == nil {
		_, err = io.CopyN(io.Discard, resp.Body, maxDrain)
	}
	result := Result{Outcome: outcome(resp.StatusCode), Status: resp.StatusCode}
	if result.Outcome == Delivered {
		return result
	}
	result.Err = fmt.Errorf("loki answered %d: %q", resp.StatusCode, strings.Join(strings.Fields(string(text)), " "))
	if err != nil && !errors.Is(err, io.EOF) {
		result.Err = fmt.Errorf("%w (the rest of the answer did not come: %w)", result.Err, err)
	}
	result.RetryAfter = retryafter.Parse(resp.Header, time.Now())
	return result
}

// outcome sorts answers by whether it was the lines that Loki disliked. Those it will dislike another time as well.
// Anything else, wrong credentials among them, somebody can put right while the lines wait.
func outcome(status int) Outcome {
	switch status {
	case http.StatusOK, http.StatusNoContent:
		return Delivered
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, statusBlocked:
		return Refused
	default:
		return Retry
	}
}

// statusBlocked is Loki's default answer to a tenant whose ingestion is blocked: a success that stores nothing, meant
// to keep clients from trying again (pkg/validation/limits.go, block_ingestion_status_code).
const statusBlocked = 260
