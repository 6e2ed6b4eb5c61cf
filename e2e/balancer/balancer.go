// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package balancer stands before several HTTP servers, on loopback, and gives each request to the next of them in turn,
// as a load balancer does.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Balancer forwards requests to several targets.
type Balancer struct {
	listener net.Listener
	server   *http.Server
	targets  *roundRobin
	served   chan struct{}  // closed when no longer listening
	running  sync.WaitGroup // has the connections, each with the request that is on it
}

// Start listens on a free port of 127.0.0.1. targets are base URLs, http://host:port. A target that refuses the connection
// is passed over, for nothing was sent to it; any other failure is answered 502, as is a request that no target takes. Bodies
// are passed on as they arrive. End the balancer with Close.
func Start(targets ...string) (*Balancer, error) {
	turns, err := newRoundRobin(targets)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the balancer: %w", err)
	}
	b := &Balancer{listener: listener, targets: turns, served: make(chan struct{})}
	proxy := &httputil.ReverseProxy{
		Transport: turns,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawQuery = r.In.URL.RawQuery // else what Go cannot parse of it would be missing
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
		ErrorLog: log.New(io.Discard, "", 0), // connections are cut on purpose
	}
	b.server = &http.Server{Handler: proxy, ConnState: b.connState, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(b.served)
		_ = b.server.Serve(listener) // ends with Close
	}()
	return b, nil
}

// URL returns the base URL that stands for those of the targets.
func (b *Balancer) URL() string { return "http://" + b.listener.Addr().String() }

// Close ends the balancer and all its connections, and waits until that is done.
func (b *Balancer) Close() error {
	err := b.server.Close()
	<-b.served
	b.running.Wait()
	b.targets.transport.CloseIdleConnections()
	return err
}

func (b *Balancer) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		b.running.Add(1)
	case http.StateHijacked, http.StateClosed:
		b.running.Done()
	}
}

// roundRobin sends each request to the next target.
type roundRobin struct {
	targets   []*url.URL
	turn      atomic.Uint64
	transport *http.Transport
}

func newRoundRobin(targets []string) (*roundRobin, error) {
	if len(targets) == 0 {
		return nil, errors.New("the balancer has no target")
	}
	r := &roundRobin{transport: &http.Transport{
		// What the client did not ask for is not to be asked for either.
		DisableCompression:  true,
		MaxIdleConnsPerHost: 100,
		// How long a target may take to say whether it wants the body of a request with "Expect: 100-continue". It gets it
		// then as well.
		ExpectContinueTimeout: 5 * time.Second,
	}}
	for _, target := range targets {
		u, err := url.Parse(target)
		if err != nil {
			return nil, fmt.Errorf("target of the balancer: %w", err)
		}
		if u.Scheme != "http" || u.Host == "" || u.Path != "" {
			return nil, fmt.Errorf("target of the balancer: %q is not of the form http://host:port", target)
		}
		r.targets = append(r.targets, u)
	}
	return r, nil
}

// RoundTrip sends a request to the target whose turn it is, or to the first after it that takes the connection.
func (r *roundRobin) RoundTrip(req *http.Request) (*http.Response, error) {
	first := r.turn.Add(1) - 1
	var refused []error
	for i := range uint64(len(r.targets)) {
		resp, err := r.transport.RoundTrip(to(req, r.targets[(first+i)%uint64(len(r.targets))]))
		if !isDialError(err) || req.Context().Err() != nil {
			return resp, err
		}
		refused = append(refused, err)
	}
	return nil, errors.Join(refused...)
}

// to returns the request for a target. Its body stays open when the target does not take it: the next one is to have it.
func to(req *http.Request, target *url.URL) *http.Request {
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host = target.Scheme, target.Host
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = io.NopCloser(req.Body)
	}
	return out
}

// isDialError reports whether there was no connection, so that nothing was sent.
func isDialError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
