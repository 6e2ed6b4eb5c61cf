// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/transport"
)

const message = "a message"

var keptToken = credentials.Settings{BearerToken: credentials.Secret{ARN: arn.ARN{Service: credentials.SSM, Resource: "parameter/token"}}}

// newTransport returns the transport for a configuration.
func newTransport(t *testing.T, cfg *config.Config, read credentials.Read) http.RoundTripper {
	t.Helper()
	if cfg.RequestTimeout == 0 {
		cfg.RequestTimeout = 10 * time.Second
	}
	creds, err := credentials.Load(t.Context(), cfg.Credentials, read)
	require.NoError(t, err)
	carrier, err := transport.New(t.Context(), cfg, creds, read)
	require.NoError(t, err)
	t.Cleanup((&http.Client{Transport: carrier}).CloseIdleConnections)
	return carrier
}

func newRequest(t *testing.T, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	require.NoError(t, err)
	return req
}

// roundTrip returns the status and the content of the answer.
func roundTrip(t *testing.T, carrier http.RoundTripper, req *http.Request) (status int, content string) {
	t.Helper()
	resp, err := carrier.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	f := func(settings credentials.Settings, want ...string) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.Equal(t, want, r.Header.Values("Authorization"))
			assert.Equal(t, "kept", r.Header.Get("X-Own"))
			assert.Empty(t, r.Header.Get("Accept-Encoding"))
		}))
		defer srv.Close()
		carrier := newTransport(t, &config.Config{Credentials: settings}, nil)
		req := newRequest(t, srv.URL, strings.NewReader(message))
		req.Header.Set("X-Own", "kept")
		status, _ := roundTrip(t, carrier, req)
		assert.Equal(t, 200, status)
		assert.Equal(t, http.Header{"X-Own": {"kept"}}, req.Header, "a transport must not change the request")
	}
	f(credentials.Settings{})
	f(credentials.Settings{BearerToken: credentials.Secret{Value: "token"}}, "Bearer token")
	f(credentials.Settings{Username: credentials.Secret{Value: "Aladdin"}, Password: credentials.Secret{Value: "open sesame"}},
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") // RFC 7617, section 2
}

// tokens is a store with one token, which is rotated.
type tokens struct{ current, reads atomic.Int32 }

func (s *tokens) read(context.Context, arn.ARN) (string, error) {
	s.reads.Add(1)
	return strconv.Itoa(int(s.current.Load())), nil
}

// guarded is a server that wants the present token.
type guarded struct {
	*httptest.Server
	requests, connections atomic.Int32
}

func newGuarded(t *testing.T, s *tokens) *guarded {
	t.Helper()
	g := &guarded{}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.requests.Add(1)
		content, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		if r.Header.Get("Authorization") != "Bearer "+strconv.Itoa(int(s.current.Load())) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "who are you?")
			return
		}
		_, _ = w.Write(content)
	}))
	g.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			g.connections.Add(1)
		}
	}
	g.Start()
	t.Cleanup(g.Close)
	return g
}

func TestRotation(t *testing.T) {
	t.Parallel()
	s := &tokens{}
	srv := newGuarded(t, s)
	carrier := newTransport(t, &config.Config{Credentials: keptToken}, s.read)
	f := func(body io.Reader, want string, requests, reads int32) {
		t.Helper()
		requestsBefore, readsBefore := srv.requests.Load(), s.reads.Load()
		status, content := roundTrip(t, carrier, newRequest(t, srv.URL, body))
		assert.Equal(t, 200, status)
		assert.Equal(t, want, content)
		assert.Equal(t, requests, srv.requests.Load()-requestsBefore, "requests")
		assert.Equal(t, reads, s.reads.Load()-readsBefore, "reads")
	}
	f(strings.NewReader(message), message, 1, 0)
	s.current.Add(1)
	f(strings.NewReader(message), message, 2, 1)
	f(strings.NewReader(message), message, 1, 0)
	s.current.Add(1)
	f(nil, "", 2, 1)
	s.current.Add(1)
	long := strings.Repeat("x", 1<<20)
	f(strings.NewReader(long), long, 2, 1)
	assert.EqualValues(t, 1, srv.connections.Load())
}

// Where there is nothing new to send, the answer of 401 stands.
func TestNoRotation(t *testing.T) {
	t.Parallel()
	f := func(name string, settings credentials.Settings, change func(*http.Request), requests, reads int32) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &tokens{}
			srv := newGuarded(t, s)
			carrier := newTransport(t, &config.Config{Credentials: settings}, func(ctx context.Context, from arn.ARN) (string, error) {
				token, err := s.read(ctx, from)
				return "x" + token, err // never the one that is wanted
			})
			if reads > 1 {
				s.current.Add(1) // it has changed since it was loaded
			}
			req := newRequest(t, srv.URL, strings.NewReader(message))
			change(req)
			status, content := roundTrip(t, carrier, req)
			assert.Equal(t, 401, status)
			assert.Equal(t, "who are you?", content)
			assert.Equal(t, requests, srv.requests.Load(), "requests")
			assert.Equal(t, reads, s.reads.Load(), "reads")
		})
	}
	same := func(*http.Request) {}
	f("no credentials", credentials.Settings{}, same, 1, 0)
	f("no secret that is kept elsewhere", credentials.Settings{BearerToken: credentials.Secret{Value: "t"}}, same, 1, 0)
	f("refused a second time", keptToken, same, 2, 2)
	f("a body that there is only once", keptToken, func(r *http.Request) { r.GetBody = nil }, 1, 1)
	f("a body that is gone", keptToken, func(r *http.Request) {
		r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	}, 1, 2)
}

func TestUnchangedSecret(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer srv.Close()
	s := &tokens{}
	carrier := newTransport(t, &config.Config{Credentials: keptToken}, s.read)
	status, _ := roundTrip(t, carrier, newRequest(t, srv.URL, strings.NewReader(message)))
	assert.Equal(t, 401, status)
	assert.EqualValues(t, 2, s.reads.Load())
}

// Other answers say nothing of the credentials.
func TestOtherAnswers(t *testing.T) {
	t.Parallel()
	for _, want := range []int{204, 301, 307, 403, 407, 500, 503} {
		var requests atomic.Int32
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(want)
		}))
		s := &tokens{}
		carrier := newTransport(t, &config.Config{Credentials: keptToken}, s.read)
		status, _ := roundTrip(t, carrier, newRequest(t, srv.URL, strings.NewReader(message)))
		srv.Close()
		assert.Equal(t, want, status)
		assert.EqualValues(t, 1, requests.Load())
		assert.EqualValues(t, 1, s.reads.Load())
	}
}

// The secret is rotated while many invocations share the process: each gets through.
func TestRotationConcurrently(t *testing.T) {
	t.Parallel()
	s := &tokens{}
	srv := newGuarded(t, s)
	carrier := newTransport(t, &config.Config{Credentials: keptToken}, s.read)
	for range 10 {
		s.current.Add(1)
		before := s.reads.Load()
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				want := message + strconv.Itoa(i)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, bytes.NewReader([]byte(want)))
				if !assert.NoError(t, err) {
					return
				}
				resp, err := carrier.RoundTrip(req)
				if !assert.NoError(t, err) {
					return
				}
				defer resp.Body.Close()
				content, err := io.ReadAll(resp.Body)
				assert.NoError(t, err)
				assert.Equal(t, want, string(content))
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, s.reads.Load()-before, "one reads for all")
	}
}
