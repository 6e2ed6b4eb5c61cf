// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/awsloki/awsloki/internal/retryafter"
	"github.com/awsloki/awsloki/internal/tenant"
)

// Encoding is the form of a request's body.
type Encoding string

// Encodings that Loki takes.
const (
	// Protobuf is compressed by snappy. It costs Loki half of what JSON costs it.
	Protobuf Encoding = "protobuf"
	// JSON is compressed by gzip.
	JSON Encoding = "json"
)

// Check says what is wrong with an encoding.
func (e Encoding) Check() error {
	if e != Protobuf && e != JSON {
		return fmt.Errorf("the encoding must be %q or %q, found %q", Protobuf, JSON, e)
	}
	return nil
}

// Client sends requests to Loki. It is safe for concurrent use.
type Client struct {
	http     *http.Client
	url      string
	header   http.Header
	encoding Encoding
}

// NewClient returns a client that posts to endpoint, the whole of it, and sends the headers given along with its own.
func NewClient(client *http.Client, endpoint string, header http.Header, encoding Encoding) *Client {
	own := *client
	// A redirect that was followed would turn the request into a GET, or take credentials and lines to another host.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: &own, url: endpoint, header: header, encoding: encoding}
}

// answer is what came of one request.
type answer struct {
	// status is the HTTP status, 0 if no answer came.
	status int
	text   string
	// retryAfter is how long the answer asks to wait. Loki does not ask, but gateways before it may.
	retryAfter time.Duration
	// err is what went wrong with the request, if anything did. The answer may have come all the same, in part.
	err error
	// unsent says that nothing was sent: there was no connection.
	unsent bool
	// bytes is the size of the request's body, compressed.
	bytes int
}

// push sends a batch in one request and waits for the answer. The batch is afterwards as it was before.
func (c *Client) push(ctx context.Context, tenantID string, b *Batch) answer {
	// New memory each time: the transport may read the body even after it has returned.
	body := c.body(b)
	req, err := c.request(ctx, http.MethodPost, c.url, tenantID, bytes.NewReader(body))
	if err != nil {
		return answer{err: err, unsent: true}
	}
	c.describe(req.Header)
	a := c.do(req, maxText)
	a.bytes = len(body)
	return a
}

func (c *Client) request(ctx context.Context, method, to, tenantID string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	if tenantID != "" {
		req.Header.Set(tenant.Header, tenantID)
	}
	return req, nil
}

// do sends a request, and reads at most limit bytes of the answer's text.
func (c *Client) do(req *http.Request, limit int64) answer {
	resp, err := c.http.Do(req)
	if err != nil {
		// The URL in the error may hold secrets.
		if urlErr, ok := errors.AsType[*url.Error](err); ok {
			err = urlErr.Err
		}
		opErr, ok := errors.AsType[*net.OpError](err)
		return answer{err: fmt.Errorf("no answer from loki: %w", err), unsent: ok && opErr.Op == "dial"}
	}
	return readAnswer(resp, limit)
}

func (c *Client) body(b *Batch) []byte {
	if c.encoding == JSON {
		return b.appendGzipJSON(nil)
	}
	return b.AppendCompressed(nil)
}

// describe sets the headers that go with the body. Loki wants a content type, and does not look at an encoding of
// snappy, which protobuf always has.
func (c *Client) describe(header http.Header) {
	if c.encoding == JSON {
		header.Set("Content-Type", "application/json")
		header.Set("Content-Encoding", "gzip")
		return
	}
	header.Set("Content-Type", "application/x-protobuf")
}

const (
	// maxText is how much of an answer's text is read: Loki names each refused line that is unlike the others.
	maxText = 8 << 20
	// maxDrain is how much more is read for the sake of using the connection again.
	maxDrain = 64 << 10
)

func readAnswer(resp *http.Response, limit int64) answer {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err == nil {
		_, err = io.CopyN(io.Discard, resp.Body, maxDrain)
	}
	a := answer{status: resp.StatusCode, text: string(text), retryAfter: retryafter.Parse(resp.Header, time.Now())}
	if err != nil && !errors.Is(err, io.EOF) {
		a.err = fmt.Errorf("the rest of the answer did not come: %w", err)
	}
	return a
}
