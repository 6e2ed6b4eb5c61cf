// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// target starts a server and returns its URL.
func target(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server.URL
}

// named returns a target that answers with its name and what it got.
func named(t *testing.T, name string) string {
	t.Helper()
	return target(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		_, _ = fmt.Fprintf(w, "%s %s %s %s", name, r.Method, r.RequestURI, body)
	})
}

// away returns the URL of a target that refuses connections.
func away(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	return server.URL
}

func start(t *testing.T, targets ...string) (*Balancer, *http.Client) {
	t.Helper()
	b, err := Start(targets...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
	t.Cleanup(client.CloseIdleConnections)
	return b, client
}

// post returns the status and the body of the answer.
func post(t *testing.T, b *Balancer, client *http.Client, body io.Reader, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL()+"/a%2Fb?x=1;y", body)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

func TestInTurn(t *testing.T) {
	b, client := start(t, named(t, "first"), named(t, "second"), named(t, "third"))
	for _, name := range []string{"first", "second", "third", "first", "second"} {
		status, body := post(t, b, client, strings.NewReader("lines"))
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, name+" POST /a%2Fb?x=1;y lines", body)
	}
}

func TestRefusedConnection(t *testing.T) {
	b, client := start(t, away(t), named(t, "second"), away(t))
	for range 4 {
		status, body := post(t, b, client, strings.NewReader("lines"))
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "second POST /a%2Fb?x=1;y lines", body, "with its whole body, also after others refused it")
	}
}

func TestNobodyThere(t *testing.T) {
	b, client := start(t, away(t), away(t))
	status, _ := post(t, b, client, strings.NewReader("lines"))
	assert.Equal(t, http.StatusBadGateway, status)
}

// What a target may have taken is not given to another.
func TestCutAnswer(t *testing.T) {
	cut := target(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	b, client := start(t, cut, target(t, func(http.ResponseWriter, *http.Request) { assert.Fail(t, "sent again") }))
	status, _ := post(t, b, client, strings.NewReader("lines"))
	assert.Equal(t, http.StatusBadGateway, status)
}

// The answers of targets are passed on, whatever they are.
func TestAnswers(t *testing.T) {
	b, client := start(t, target(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL()+"/ready", http.NoBody)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	assert.Equal(t, "7", resp.Header.Get("Retry-After"))
}

// The target has the beginning of a body before there is an end of it.
func TestBodiesAreStreamed(t *testing.T) {
	read := make(chan string)
	b, client := start(t, target(t, func(_ http.ResponseWriter, r *http.Request) {
		beginning := make([]byte, 5)
		_, err := io.ReadFull(r.Body, beginning)
		assert.NoError(t, err)
		read <- string(beginning)
		rest, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		read <- string(rest)
	}))
	body, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, "begin")
		assert.Equal(t, "begin", <-read)
		_, _ = io.WriteString(writer, "end")
		_ = writer.Close()
		assert.Equal(t, "end", <-read)
	}()
	status, _ := post(t, b, client, body)
	assert.Equal(t, http.StatusOK, status)
}

// unreadBody fails the test when it is read.
type unreadBody struct{ t *testing.T }

func (b unreadBody) Read([]byte) (int, error) {
	assert.Fail(b.t, "sent although nobody wants it")
	return 0, io.EOF
}

func TestExpectContinue(t *testing.T) {
	b, client := start(t, named(t, "willing"), target(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	status, body := post(t, b, client, strings.NewReader("lines"), "Expect", "100-continue")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "willing POST /a%2Fb?x=1;y lines", body)
	status, _ = post(t, b, client, unreadBody{t}, "Expect", "100-continue")
	assert.Equal(t, http.StatusUnauthorized, status)
}

func TestBadTargets(t *testing.T) {
	_, err := Start()
	assert.EqualError(t, err, "the balancer has no target")
	for _, bad := range []string{"", "://", "localhost:3500", "https://localhost:3500", "http://localhost:3500/path"} {
		_, err := Start("http://localhost:3500", bad)
		assert.ErrorContains(t, err, "target of the balancer: ", bad)
	}
}

// Close ends requests that are under way, and nothing listens then.
func TestClose(t *testing.T) {
	under := make(chan struct{})
	b, err := Start(target(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server would not see the connection end
		close(under)
		<-r.Context().Done()
	}))
	require.NoError(t, err)
	failed := make(chan error)
	go func() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, b.URL(), strings.NewReader("lines"))
		if assert.NoError(t, err) {
			_, err = http.DefaultClient.Do(req)
		}
		failed <- err
	}()
	<-under
	require.NoError(t, b.Close())
	assert.Error(t, <-failed)
	_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", b.listener.Addr().String())
	assert.Error(t, err)
}
