// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package collector sends messages to the collector's cloudwatchsubscription receiver.
package collector

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/awsloki/awsloki/internal/retryafter"
	"github.com/awsloki/awsloki/internal/tenant"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
)

const (
	subscriptionPath = "cloudwatch/v1/subscription"

	// writeBufferSize lets the headers and most messages leave in one system call.
	writeBufferSize = 64 << 10

	// idleTimeout is below the 60 s after which an AWS load balancer closes an
	// idle connection, so that it is the forwarder that closes it.
	idleTimeout = 50 * time.Second

	// maxIdleConnections is the number of invocations that may share the
	// process at a time without new connections for each.
	maxIdleConnections = 64

	maxAnswerBytes = 64 << 10 // read of an answer, so that its connection can be used again
	maxReasonBytes = 512      // passed on of an answer
)

var (
	errNoTime   = errors.New("the invocation's time less `DEADLINE_MARGIN` was up before the first attempt")
	errDeadline = errors.New("no answer before the invocation's deadline less `DEADLINE_MARGIN`")
)

// Client sends messages to one collector. It may be used by many goroutines.
type Client struct {
	// transport is used without an http.Client, which would follow redirects
	// and send the credentials along.
	transport http.RoundTripper

	url            string
	header         http.Header // of every request; never changed
	requestTimeout time.Duration
	deadlineMargin time.Duration
	errTimeout     error

	// jitter draws a duration between zero and its argument.
	jitter func(time.Duration) time.Duration
}

// NewClient returns a client for the collector that cfg names.
func NewClient(cfg config.Config, userAgent string) *Client {
	return &Client{
		transport:      newTransport(cfg),
		url:            cfg.WriteAddress.JoinPath(subscriptionPath).String(),
		header:         newHeader(cfg, userAgent),
		requestTimeout: cfg.RequestTimeout,
		deadlineMargin: cfg.DeadlineMargin,
		errTimeout:     fmt.Errorf("no answer within `REQUEST_TIMEOUT` (%s)", cfg.RequestTimeout),
		jitter:         rand.N[time.Duration],
	}
}

func newTransport(cfg config.Config) *http.Transport {
	// HTTP/1.1 only. Lambda freezes the process between invocations, and a
	// connection that has died meanwhile then costs one request, not all that
	// share it.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: cfg.RequestTimeout}).DialContext,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: cfg.SkipTLSVerify}, //nolint:gosec // the operator's choice
		TLSHandshakeTimeout: cfg.RequestTimeout,
		Protocols:           protocols,
		MaxIdleConnsPerHost: maxIdleConnections,
		IdleConnTimeout:     idleTimeout,
		WriteBufferSize:     writeBufferSize,
		DisableCompression:  true,
	}
}

func newHeader(cfg config.Config, userAgent string) http.Header {
	header := http.Header{}
	set := func(name, value string) {
		if value != "" {
			header.Set(name, value)
		}
	}
	set("Content-Type", "application/gzip")
	set("User-Agent", userAgent)
	set(tenant.Header, cfg.TenantID)
	set("X-Awsloki-Region", cfg.Region)
	set("X-Awsloki-Forwarder-Log-Group", cfg.LogGroup)
	switch {
	case cfg.Username != "":
		pair := cfg.Username + ":" + string(cfg.Password)
		set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	case cfg.BearerToken != "":
		set("Authorization", "Bearer "+string(cfg.BearerToken))
	}
	return header
}

// URL is where the client sends messages; it holds no credentials.
func (c *Client) URL() string { return c.url }

// Send sends the message until the collector takes it, refuses it for good, or
// the next attempt could not start before the deadline of ctx less the margin.
// Without a deadline it goes on until ctx is done. The error is a RefusedError or
// an UnavailableError.
//
// The message must never change afterwards: a transport may go on reading a
// request's body after it has returned an answer or an error (http.RoundTripper).
func (c *Client) Send(ctx context.Context, message []byte) error {
	end, bounded := ctx.Deadline()
	end = end.Add(-c.deadlineMargin)
	if bounded && !time.Now().Before(end) {
		return &UnavailableError{cause: errNoTime}
	}
	for attempts := 1; ; attempts++ {
		attemptEnd, cause := time.Now().Add(c.requestTimeout), c.errTimeout
		if bounded && end.Before(attemptEnd) {
			attemptEnd, cause = end, errDeadline
		}
		attemptCtx, cancel := context.WithDeadlineCause(ctx, attemptEnd, cause)
		got, err := c.attempt(attemptCtx, message)
		cancel()
		switch {
		case err != nil:
			err = fmt.Errorf("the request failed: %w", err)
		case got.accepted():
			return nil
		case !retryable(got.status):
			return &RefusedError{Attempts: attempts, Status: got.status, answer: got.String()}
		default:
			err = fmt.Errorf("the last answer was %s", got)
		}
		pause := got.retryAfter + c.jitter(backoff(attempts))
		if bounded && !time.Now().Add(pause).Before(end) || !sleep(ctx, pause) {
			return &UnavailableError{Attempts: attempts, Status: got.status, cause: err}
		}
	}
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

// attempt sends one request and reads its answer.
func (c *Client) attempt(ctx context.Context, message []byte) (answer, error) {
	// net/http knows a bytes.Reader: it sends the headers and the message
	// together, and again by itself when the collector closed an idle connection
	// before it read anything.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(message))
	if err != nil {
		return answer{}, err
	}
	req.Header = c.header
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(resp), nil
}

// answer is what is kept of a response.
type answer struct {
	status     int
	reason     string // why, in the receiver's words; empty when it gave none
	retryAfter time.Duration
}

func readAnswer(resp *http.Response) answer {
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	limited := io.LimitReader(resp.Body, maxAnswerBytes)
	if !a.accepted() {
		a.reason = readReason(resp.Header.Get("Content-Type"), limited)
		a.retryAfter = retryafter.Parse(resp.Header, time.Now())
	}
	// Read to its end the connection can be used again. The status has decided
	// what happens, so an error here is of no consequence.
	_, _ = io.Copy(io.Discard, limited)
	return a
}

// readReason returns the first line of the receiver's own kind of answer,
// {"error": "..."}. Any other server's answer may echo what it was sent, and
// log content must not end up in errors.
func readReason(contentType string, body io.Reader) string {
	if mediaType, _, err := mime.ParseMediaType(contentType); err != nil || mediaType != "application/json" {
		return ""
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return ""
	}
	var refusal struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(content, &refusal); err != nil {
		return ""
	}
	line, _, _ := strings.Cut(refusal.Error, "\n")
	line = line[:min(len(line), maxReasonBytes)]
	return strings.TrimSpace(strings.ToValidUTF8(line, ""))
}

func (a answer) accepted() bool { return a.status >= 200 && a.status < 300 }

func (a answer) String() string {
	s := strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
	if a.reason != "" {
		s += ": " + a.reason
	}
	return s
}
