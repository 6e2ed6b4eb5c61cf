// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package collector sends messages and objects to the collector's cloudwatchsubscription receiver, by
// docs/forwarding-protocol.md.
package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/awsloki/awsloki/internal/tenant"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

const (
	subscriptionPath = "cloudwatch/v1/subscription"
	objectPath       = "s3/v1/object"

	maxRecordBytes = 1 << 20
)

// Client sends to one collector. It may be used by many goroutines.
type Client struct {
	// transport is used without an http.Client, which would follow redirects and send the credentials along.
	transport http.RoundTripper
	policy    delivery.Policy
	open      s3object.Open

	subscriptionURL string
	objectURL       url.URL
	// The headers of gzip messages, of other documents, and of objects; never changed.
	header, jsonHeader, objectHeader http.Header

	requestTimeout, stallTimeout, answerTimeout time.Duration
	// atOnce says not to wait for 100 Continue, which something on the way does not know.
	atOnce atomic.Bool
	logger *slog.Logger
	// unknown says once that answers are not as the receiver gives them.
	unknown sync.Once

	errTimeout, errStalled error
}

// NewClient returns a client for the collector that cfg names. Requests go by transport, which adds the credentials, and
// objects are read by open.
func NewClient(cfg *config.Config, transport http.RoundTripper, policy delivery.Policy, userAgent string, open s3object.Open,
	logger *slog.Logger,
) *Client {
	policy.To = "the collector"
	header := newHeader(cfg, userAgent)
	jsonHeader := header.Clone()
	jsonHeader.Set("Content-Type", "application/json")
	objectHeader := header.Clone()
	objectHeader.Set("Content-Type", "application/octet-stream")
	// The collector may have enough before it has read anything of an object.
	objectHeader.Set("Expect", "100-continue")
	return &Client{
		transport:       transport,
		policy:          policy,
		open:            open,
		logger:          logger,
		subscriptionURL: cfg.WriteAddress.JoinPath(subscriptionPath).String(),
		objectURL:       *cfg.WriteAddress.JoinPath(objectPath),
		header:          header,
		jsonHeader:      jsonHeader,
		objectHeader:    objectHeader,
		requestTimeout:  cfg.RequestTimeout,
		errTimeout:      fmt.Errorf("no answer within `REQUEST_TIMEOUT` (%s)", cfg.RequestTimeout),
		stallTimeout:    cfg.RequestTimeout + receiverPatience,
		answerTimeout:   cfg.RequestTimeout + lastPieces*receiverPatience,
		errStalled:      fmt.Errorf("no progress within `REQUEST_TIMEOUT` (%s) and what the receiver may need", cfg.RequestTimeout),
	}
}

func newHeader(cfg *config.Config, userAgent string) http.Header {
	header := http.Header{}
	maps.Copy(header, cfg.Headers)
	set := func(name, value string) {
		if value != "" {
			header.Set(name, value)
		}
	}
	set("Content-Type", "application/gzip")
	if header.Get("User-Agent") == "" {
		set("User-Agent", userAgent)
	}
	set(tenant.Header, cfg.TenantID)
	set("X-Awsloki-Region", cfg.Region)
	set("X-Awsloki-Forwarder-Log-Group", cfg.LogGroup)
	return header
}

// MaxRecordBytes is how many bytes of Kinesis records are to go in one request.
func (*Client) MaxRecordBytes() int { return maxRecordBytes }

// URL is where the client sends messages; it holds no credentials.
func (c *Client) URL() string { return c.subscriptionURL }

// SendMessages sends documents of the forwarding protocol's subscription path, until the collector takes them, refuses
// them for good, or time is up. The error is a delivery.RefusedError or a delivery.UnavailableError. The documents say
// themselves by which stream they came, if by any.
//
// The documents must never change afterwards: a transport may go on reading a request's body after it has returned an
// answer or an error (http.RoundTripper).
func (c *Client) SendMessages(ctx context.Context, documents []byte, _ string) (delivery.Tally, error) {
	header := c.header
	if len(documents) > 0 && documents[0] == '{' {
		header = c.jsonHeader
	}
	err := c.policy.Do(ctx, "the message", func(ctx context.Context) delivery.Outcome {
		ctx, cancel := context.WithTimeoutCause(ctx, c.requestTimeout, c.errTimeout)
		defer cancel()
		// net/http knows a bytes.Reader: it sends the headers and the message together, and again by itself when the
		// collector closed an idle connection before it read anything.
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.subscriptionURL, bytes.NewReader(documents))
		if err != nil {
			return delivery.Outcome{Err: err, Final: true}
		}
		req.Header = header
		got, err := c.roundTrip(req)
		c.noteUnknown(ctx, got)
		return outcome(got, err)
	})
	if err != nil {
		return delivery.Tally{}, err
	}
	return delivery.Tally{Bytes: int64(len(documents))}, nil
}

func (c *Client) roundTrip(req *http.Request) (answer, error) {
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(resp), nil
}

// noteUnknown says once that an answer may be that of another server, which there is no way to know.
func (c *Client) noteUnknown(ctx context.Context, got answer) {
	if !got.isSuccess() || got.accepted >= 0 || got.foreign {
		return
	}
	c.unknown.Do(func() {
		c.logger.WarnContext(ctx, "an answer is a success, but not as a cloudwatchsubscription receiver gives it: "+
			"if `WRITE_ADDRESS` is another server's, everything is lost", "status", got.status)
	})
}

var errForeign = errors.New("the answer is not one of a cloudwatchsubscription receiver")

func outcome(got answer, err error) delivery.Outcome {
	switch {
	case err != nil:
		return delivery.Outcome{Err: fmt.Errorf("the request failed: %w", err)}
	case got.isSuccess() && got.foreign:
		return delivery.Outcome{Err: errForeign, Status: got.status, Final: true}
	case got.isSuccess():
		return delivery.Outcome{}
	case !delivery.Retryable(got.status):
		return delivery.Outcome{Err: got, Status: got.status, Final: true}
	default:
		return delivery.Outcome{Err: fmt.Errorf("the last answer was %w", got), Status: got.status, RetryAfter: got.retryAfter}
	}
}
