// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package faultproxy stands between a client and an HTTP server, on loopback, and does harm to some of the requests: those
// and in that way which a function decides.
package faultproxy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBodyBytes limits a request's body. A larger one is answered 413 and no decision is made about it.
const maxBodyBytes = 64 << 20

// Proxy forwards requests to a target and does harm to some of them.
type Proxy struct {
	target   *url.URL
	decide   func(*Request) Fault
	server   *http.Server
	listener net.Listener
	served   chan struct{} // closed when no longer listening
	client   http.Transport
	limit    int64 // on the bytes of a request's body

	// running has the connections, and the requests: those whose connection is reset outlive it for a moment.
	running sync.WaitGroup

	mu     sync.Mutex
	n      int
	counts map[Kind]int
}

// Start listens on a free port of 127.0.0.1 and forwards to the server whose base URL target is, as the client sent it but
// for the headers that belong to a connection. decide says what to do to each request; one call of it ends before the
// next begins. A target that does not answer is answered for with 502. End the proxy with Close.
func Start(target string, decide func(*Request) Fault) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("target of the proxy: %w", err)
	}
	if u.Scheme != "http" || u.Host == "" || u.Path != "" {
		return nil, fmt.Errorf("target of the proxy: %q is not of the form http://host:port", target)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	p := &Proxy{
		target:   u,
		decide:   decide,
		listener: listener,
		served:   make(chan struct{}),
		// What the client did not ask for is not to be asked for either.
		client: http.Transport{DisableCompression: true},
		limit:  maxBodyBytes,
		counts: map[Kind]int{},
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.handle), ConnState: p.connState, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(listener) // ends with Close
	}()
	return p, nil
}

// URL returns the base URL that stands for the target's.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Close ends the proxy, all its connections and whatever it holds back, and waits until that is done.
func (p *Proxy) Close() error {
	err := p.server.Close()
	<-p.served
	p.running.Wait()
	p.client.CloseIdleConnections()
	return err
}

// Counts returns how many requests were decided to meet each kind. A request is counted before anything is done to it.
func (p *Proxy) Counts() map[Kind]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

func (p *Proxy) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		p.running.Add(1)
	case http.StateHijacked, http.StateClosed:
		p.running.Done()
	}
}

func (p *Proxy) handle(w http.ResponseWriter, r *http.Request) {
	p.running.Add(1)
	defer p.running.Done()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, p.limit))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		answer{status: http.StatusRequestEntityTooLarge, body: []byte(err.Error())}.write(w)
		return
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fault := p.next(Request{Tenant: r.Header.Get("X-Scope-OrgID"), Path: r.URL.Path, Bytes: len(body)})
	switch fault.Kind {
	case Answer:
		fault.answer().write(w)
	case Reset:
		reset(w)
	case Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case CutAnswer:
		p.forward(r, body)
		reset(w)
	case Slow:
		a := p.forward(r, body)
		hold(r.Context(), fault.Delay)
		a.write(w)
	case HalfAnswer:
		fault.answer().writeHalf(w)
	default:
		p.forward(r, body).write(w)
	}
}

func (p *Proxy) next(r Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	r.N = p.n
	fault := p.decide(&r)
	p.counts[fault.Kind]++
	return fault
}

// forward returns the target's answer, or a 502. It gives up with the client, as the target would without a proxy.
func (p *Proxy) forward(r *http.Request, body []byte) answer {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = p.target.Scheme, p.target.Host
	out.RequestURI = ""
	out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	removeHopByHop(out.Header)
	if out.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = []string{""} // else it would get Go's
	}
	a, err := p.ask(out)
	if err != nil {
		return answer{status: http.StatusBadGateway, body: []byte(err.Error())}
	}
	return a
}

func (p *Proxy) ask(out *http.Request) (answer, error) {
	resp, err := p.client.RoundTrip(out)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	removeHopByHop(resp.Header)
	return answer{resp.StatusCode, resp.Header, body}, nil
}

// removeHopByHop removes what holds for one connection only.
// https://www.rfc-editor.org/rfc/rfc9110.html#name-connection
func removeHopByHop(header http.Header) {
	for _, names := range header["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			header.Del(textproto.TrimString(name))
		}
	}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		header.Del(name)
	}
}

// hold waits for a delay, unless the client gives up or the proxy is closed before.
func hold(ctx context.Context, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// reset ends the connection at once, so that the client is told that it was reset, not that it is at its end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (f Fault) answer() answer {
	header := http.Header{}
	if f.RetryAfter != "" {
		header.Set("Retry-After", f.RetryAfter)
	}
	if f.ContentType != "" {
		header.Set("Content-Type", f.ContentType)
	}
	return answer{cmp.Or(f.Status, http.StatusServiceUnavailable), header, []byte(f.Body)}
}

func (a answer) write(w http.ResponseWriter) {
	a.writeHeader(w)
	_, _ = w.Write(a.body)
}

func (a answer) writeHalf(w http.ResponseWriter) {
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	a.writeHeader(w)
	_, _ = w.Write(a.body[:len(a.body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func (a answer) writeHeader(w http.ResponseWriter) {
	w.Header()["Content-Type"] = nil // else it would be guessed
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
}
