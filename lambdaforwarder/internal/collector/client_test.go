// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/transport"
)

const message = "\x1f\x8b\x08 a message"

// newConfig returns a configuration for the given address.
func newConfig(t *testing.T, address string, change func(*config.Config)) *config.Config {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	cfg := &config.Config{WriteAddress: u, RequestTimeout: 10 * time.Second, MaxRetries: config.UnlimitedRetries}
	if change != nil {
		change(cfg)
	}
	return cfg
}

// newClient returns a client for the given address that hardly pauses, and reads objects by open.
func newClient(t *testing.T, address string, change func(*config.Config), open s3object.Open) *Client {
	t.Helper()
	return newClientWith(t, newConfig(t, address, change), nil, open)
}

func newClientWith(t *testing.T, cfg *config.Config, read credentials.Read, open s3object.Open) *Client {
	t.Helper()
	creds, err := credentials.Load(t.Context(), cfg.Credentials, read)
	require.NoError(t, err)
	carrier, err := transport.New(t.Context(), cfg, creds, read)
	require.NoError(t, err)
	t.Cleanup(carrier.(interface{ CloseIdleConnections() }).CloseIdleConnections)
	policy := delivery.Policy{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond, MaxRetries: cfg.MaxRetries}
	return NewClient(cfg, carrier, policy, "agent/1", open, slog.New(slog.DiscardHandler))
}

// newTimedClient returns a client whose pauses are the longest that the defaults allow, for tests on a bubble's clock.
func newTimedClient(t *testing.T, carrier http.RoundTripper, open s3object.Open) *Client {
	t.Helper()
	cfg := newConfig(t, "http://collector", func(cfg *config.Config) { cfg.RequestTimeout = 2 * time.Second })
	return NewClient(cfg, carrier, delivery.Policy{
		MinBackoff:     100 * time.Millisecond,
		MaxBackoff:     5 * time.Second,
		MaxRetries:     config.UnlimitedRetries,
		DeadlineMargin: time.Second,
		Jitter:         func(longest time.Duration) time.Duration { return longest },
	}, "agent/1", open, slog.New(slog.DiscardHandler))
}

func send(ctx context.Context, c *Client) error {
	tally, err := c.SendMessages(ctx, []byte(message), "")
	if err == nil && tally.Bytes != int64(len(message)) {
		return fmt.Errorf("%d bytes are counted", tally.Bytes)
	}
	return err
}

func TestRequest(t *testing.T) {
	t.Parallel()
	f := func(name string, change func(*config.Config), want http.Header) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				assert.Equal(t, http.MethodPost, r.Method)
				assert.Equal(t, "/prefix/cloudwatch/v1/subscription", r.RequestURI)
				assert.Empty(t, r.TransferEncoding)
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, message, string(body))
				want.Set("Content-Length", strconv.Itoa(len(message)))
				want.Set("Content-Type", "application/gzip")
				if want.Get("User-Agent") == "" {
					want.Set("User-Agent", "agent/1")
				}
				assert.Equal(t, want, r.Header)
			}))
			defer srv.Close()
			require.NoError(t, send(t.Context(), newClient(t, srv.URL+"/prefix/", change, nil)))
		})
	}
	f("least", nil, http.Header{})
	f("bearer token, tenant and origin",
		func(cfg *config.Config) {
			cfg.Credentials.BearerToken.Value, cfg.TenantID = "token", "team-1"
			cfg.Region, cfg.LogGroup = "eu-central-1", "/aws/lambda/forwarder"
		},
		http.Header{
			"Authorization":                 {"Bearer token"},
			"X-Scope-Orgid":                 {"team-1"},
			"X-Awsloki-Region":              {"eu-central-1"},
			"X-Awsloki-Forwarder-Log-Group": {"/aws/lambda/forwarder"},
		})
	f("more headers",
		func(cfg *config.Config) { cfg.Headers = http.Header{"X-Team": {"a", "b"}, "User-Agent": {"own/2"}} },
		http.Header{"X-Team": {"a", "b"}, "User-Agent": {"own/2"}})
}

func TestContentType(t *testing.T) {
	t.Parallel()
	f := func(documents, want string) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.Equal(t, []string{want}, r.Header.Values("Content-Type"))
			assert.Equal(t, "team-1", r.Header.Get("X-Scope-Orgid"))
			content, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, documents, string(content))
		}))
		defer srv.Close()
		c := newClient(t, srv.URL, func(cfg *config.Config) { cfg.TenantID = "team-1" }, nil)
		_, err := c.SendMessages(t.Context(), []byte(documents), "arn:aws:kinesis:us-east-2:123456789012:stream/s")
		require.NoError(t, err)
	}
	f(message, "application/gzip")
	f(`{"kinesis":{}}`, "application/json")
	f("", "application/gzip")
}

func TestURL(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"http://collector":                "http://collector/cloudwatch/v1/subscription",
		"https://lb.example.com:3500/":    "https://lb.example.com:3500/cloudwatch/v1/subscription",
		"https://lb.example.com/awsloki":  "https://lb.example.com/awsloki/cloudwatch/v1/subscription",
		"https://lb.example.com/awsloki/": "https://lb.example.com/awsloki/cloudwatch/v1/subscription",
		"https://lb.example.com/a%2Fb":    "https://lb.example.com/a%2Fb/cloudwatch/v1/subscription",
	} {
		assert.Equal(t, want, newClient(t, address, nil, nil).URL())
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	f := func(name string, status int, contentType, body, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.Header().Set("Content-Type", contentType)
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			}))
			defer srv.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := send(ctx, newClient(t, srv.URL, nil, nil))
			assert.EqualValues(t, 1, requests.Load())
			if want == "" {
				require.NoError(t, err)
				return
			}
			var refused *delivery.RefusedError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, status, refused.Status)
			assert.Equal(t, 1, refused.Attempts)
			require.EqualError(t, err, "the collector refused the message (attempts: 1): "+want)
		})
	}
	f("200", 200, "application/json", `{"accepted":1,"error":"none"}`, "")
	const foreign = "the answer is not one of a cloudwatchsubscription receiver"
	f("a health check", 200, "application/json", `{"status":"Server available"}`, foreign)
	f("JSON that is broken", 200, "application/json", `{broken`, foreign)
	f("JSON of another form", 200, "application/json", `{"accepted":"all"}`, foreign)
	f("a negative number", 200, "application/json", `{"accepted":-1}`, foreign)
	f("nothing in JSON", 200, "application/json", "", "")
	f("a page", 200, "text/html; charset=utf-8", "<html>Welcome</html>", foreign)
	f("202", 202, "", "", "")
	f("204", 204, "", "", "")
	f("299", 299, "text/plain", "fine", "")
	f("the longest that is read", 200, "text/plain", strings.Repeat("x", maxAnswerBytes+1), "")

	f("moved", 301, "", "", "301 Moved Permanently")
	f("found", 302, "", "", "302 Found")
	f("temporary redirect", 307, "", "", "307 Temporary Redirect")
	f("permanent redirect", 308, "", "", "308 Permanent Redirect")
	f("unauthorized", 401, "text/plain", "wrong credentials for user", "401 Unauthorized")
	f("too large", 413, "application/json", `{"error":"document 2 has 70000000 bytes"}`,
		"413 Request Entity Too Large: document 2 has 70000000 bytes")
	f("unknown status", 499, "", "", "499")

	f("reason", 400, "application/json", `{"error":"document 1: not gzip","code":3}`, "400 Bad Request: document 1: not gzip")
	f("reason with parameters", 400, "application/json; charset=utf-8", `{"error":"why"}`, "400 Bad Request: why")
	f("first line of a reason", 400, "application/json", `{"error":"why\nand more"}`, "400 Bad Request: why")
	f("long reason", 400, "application/json", `{"error":"`+long+`"}`, "400 Bad Request: "+long[:512])
	f("reason cut within a character", 400, "application/json", `{"error":"`+long[:511]+`ü"}`, "400 Bad Request: "+long[:511])
	f("other content type", 400, "text/html", `{"error":"content"}`, "400 Bad Request")
	f("no content type", 400, "", `{"error":"content"}`, "400 Bad Request")
	f("other JSON", 400, "application/json", `{"message":"content"}`, "400 Bad Request")
	f("other type of reason", 400, "application/json", `{"error":{"content":1}}`, "400 Bad Request")
	f("not JSON", 400, "application/json", `content`, "400 Bad Request")
	f("too long to be ours", 400, "application/json", `{"error":"`+strings.Repeat("x", maxAnswerBytes)+`"}`, "400 Bad Request")
}

// Credentials go to the configured address and nowhere else.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	var refused *delivery.RefusedError
	require.ErrorAs(t, send(t.Context(), newClient(t, srv.URL, nil, nil)), &refused)
	assert.Equal(t, 307, refused.Status)
}

// After a pause the connection may be dead: the message must arrive all the same.
func TestConnectionLostBetweenMessages(t *testing.T) {
	t.Parallel()
	var received atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && string(body) == message {
			received.Add(1)
		}
	}))
	defer srv.Close()
	c := newClient(t, srv.URL, nil, nil)
	for range 20 {
		require.NoError(t, send(t.Context(), c))
		srv.CloseClientConnections()
	}
	assert.EqualValues(t, 20, received.Load())
}

func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "some answer")
	}))
	var connections atomic.Int32
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := newClient(t, srv.URL, nil, nil)
	for range 10 {
		require.NoError(t, send(t.Context(), c))
	}
	assert.EqualValues(t, 1, connections.Load())
}

// fakeTransport answers without a network, so that tests of time run in a synctest bubble, on its clock.
type fakeTransport struct {
	answers []func(*http.Request) (*http.Response, error) // the last is repeated
	calls   []time.Time
}

func (f *fakeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != message {
		return nil, fmt.Errorf("body %q, error %w", body, err)
	}
	answer := f.answers[min(len(f.calls), len(f.answers)-1)]
	f.calls = append(f.calls, time.Now())
	return answer(r)
}

func status(code int, retryAfter string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		header := http.Header{"Retry-After": {retryAfter}}
		return &http.Response{StatusCode: code, Header: header, Body: http.NoBody}, nil
	}
}

func noConnection(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

func TestRetry(t *testing.T) {
	t.Parallel()
	type answers = []func(*http.Request) (*http.Response, error)
	const (
		accepted   = ""
		refusal    = "the collector refused the message (attempts: "
		gaveUp     = "the collector has not taken the message (attempts: "
		ms         = time.Millisecond
		invocation = 10 * time.Second // of which 9 s can be used
	)
	f := func(name string, answers answers, want string, calls ...time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				carrier := &fakeTransport{answers: answers}
				c := newTimedClient(t, carrier, nil)
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), invocation)
				defer cancel()
				err := send(ctx, c)
				if want == accepted {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, want)
				}
				var got []time.Duration
				for _, call := range carrier.calls {
					got = append(got, call.Sub(start))
				}
				assert.Equal(t, calls, got, "the times of the attempts")
			})
		})
	}
	f("each status that may pass", answers{status(408, ""), status(425, ""), status(429, ""), status(500, ""), status(503, ""), status(200, "")},
		accepted, 0, 100*ms, 300*ms, 700*ms, 1500*ms, 3100*ms)
	f("no connection at first", answers{noConnection, status(200, "")}, accepted, 0, 100*ms)
	f("permanent after a retry", answers{status(503, ""), status(400, "")}, refusal+"2): 400 Bad Request", 0, 100*ms)
	f("until the deadline less the margin", answers{status(503, "")},
		gaveUp+"7): the last answer was 503 Service Unavailable",
		0, 100*ms, 300*ms, 700*ms, 1500*ms, 3100*ms, 6300*ms)
	f("last cause", answers{status(503, ""), noConnection},
		gaveUp+"7): the request failed: connection refused",
		0, 100*ms, 300*ms, 700*ms, 1500*ms, 3100*ms, 6300*ms)

	f("Retry-After is the least pause", answers{status(503, "3"), status(200, "")}, accepted, 0, 3100*ms)
	f("Retry-After as a date", answers{
		func(r *http.Request) (*http.Response, error) {
			return status(429, time.Now().Add(3*time.Second).UTC().Format(http.TimeFormat))(r)
		},
		status(200, ""),
	}, accepted, 0, 3100*ms)
	f("Retry-After up to the deadline", answers{status(503, "8"), status(200, "")}, accepted, 0, 8100*ms)
	f("Retry-After beyond the deadline", answers{status(503, "9")},
		gaveUp+"1): the last answer was 503 Service Unavailable", 0)

	f("no answer at first", answers{hang, status(200, "")}, accepted, 0, 2100*ms)
	f("no answer", answers{hang},
		gaveUp+"4): the request failed: no answer within `REQUEST_TIMEOUT` (2s)", 0, 2100*ms, 4300*ms, 6700*ms)
	f("no answer before the deadline", answers{status(503, "7"), hang},
		gaveUp+"2): the request failed: no answer before the invocation's deadline less `DEADLINE_MARGIN`", 0, 7100*ms)
}

// Against a real connection, the error says what was waited for, and the attempt ends although the server does not answer.
func TestServerHangs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	c := newClient(t, srv.URL, func(cfg *config.Config) {
		cfg.RequestTimeout, cfg.MaxRetries = 10*time.Millisecond, 0
	}, nil)
	var unavailable *delivery.UnavailableError
	require.ErrorAs(t, send(t.Context(), c), &unavailable)
	assert.Equal(t, 1, unavailable.Attempts)
	require.ErrorIs(t, unavailable, c.errTimeout)
}

// Success in another form than the receiver's is said once: it may be somebody else's.
func TestUnknownSuccess(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }))
	defer srv.Close()
	var logs bytes.Buffer
	c := newClient(t, srv.URL, nil, nil)
	c.logger = slog.New(slog.NewTextHandler(&logs, nil))
	for range 3 {
		require.NoError(t, send(t.Context(), c))
	}
	assert.Equal(t, 1, strings.Count(logs.String(), "\n"))
	assert.Contains(t, logs.String(), "if `WRITE_ADDRESS` is another server's, everything is lost")
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	f := func(contentType, body string, accepted int, reason string) {
		t.Helper()
		a := readAnswer(&http.Response{
			StatusCode: http.StatusServiceUnavailable,
			Header:     http.Header{"Content-Type": {contentType}, "Retry-After": {"7"}},
			Body:       io.NopCloser(strings.NewReader(body)),
		})
		assert.Equal(t, answer{status: 503, accepted: accepted, reason: reason, retryAfter: 7 * time.Second}, a)
	}
	f("application/json", `{"accepted":0}`, 0, "")
	f("application/json", `{"accepted":1000,"error":"the queue is full"}`, 1000, "the queue is full")
	f("application/json", `{"error":"why"}`, -1, "why")
	f("application/json", `{"accepted":null,"error":"why"}`, -1, "why")
	f("application/json", `{"accepted":-2,"error":"why"}`, -1, "why")
	f("application/json", `{"accepted":1.5,"error":"why"}`, -1, "")
	f("application/json", `{"accepted":"2","error":"why"}`, -1, "")
	f("application/json", `{"accepted":99999999999999999999,"error":"why"}`, -1, "")
	f("application/json", `{"accepted":2`, -1, "")
	f("application/json", "", -1, "")
	f("text/plain", `{"accepted":2}`, -1, "")
}
