// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package lambdaruntime stands in for AWS Lambda on one machine: it serves the
// Runtime API, version 2018-06-01, to a function's process, and invokes it.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
package lambdaruntime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// FunctionARN is the function's ARN, as its invocations see it.
	FunctionARN = "arn:aws:lambda:us-east-1:123456789012:function:local"

	// MaxPayloadBytes is Lambda's limit for a synchronous invocation's payload and response.
	MaxPayloadBytes = 6 << 20

	closeTimeout = time.Second
)

var (
	// ErrTimeout is returned for an invocation that took longer than its timeout.
	// Lambda would kill the function's process; this server leaves it running and
	// refuses its late answer.
	ErrTimeout = errors.New("the invocation timed out")

	// ErrClosed is returned for invocations that Close has ended.
	ErrClosed = errors.New("the runtime API is closed")
)

// FunctionError is an error that the function reported itself.
type FunctionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// Result is what the function answered to an invocation: either Payload, or
// FunctionError when that is not nil.
type Result struct {
	RequestID     string
	Payload       []byte
	FunctionError *FunctionError
}

// Server serves the Runtime API to one function, which may take several
// invocations at once. All its methods are safe for concurrent use.
type Server struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{} // closed when no longer listening
	closed   chan struct{}
	close    sync.Once

	// queue hands an invocation to a waiting poll, never stores one.
	queue chan *invocation

	mu         sync.Mutex
	running    map[string]*invocation // by request id; from before its handing over until its end
	initError  *FunctionError
	initFailed chan struct{} // closed when initError is set
}

// invocation is one event on its way to the function and back.
type invocation struct {
	id      string
	payload []byte
	timeout time.Duration
	result  chan Result // takes one
}

// Start listens on a free port of 127.0.0.1. End it with Close.
func Start() (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the runtime API: %w", err)
	}
	s := &Server{
		listener:   listener,
		served:     make(chan struct{}),
		closed:     make(chan struct{}),
		queue:      make(chan *invocation),
		running:    map[string]*invocation{},
		initFailed: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", s.handleNext)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", s.handleResponse)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", s.handleError)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", s.handleInitError)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // ends with Close
	}()
	return s, nil
}

// Addr is the value that AWS_LAMBDA_RUNTIME_API must have in the function's environment.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Invoke hands payload, which must be JSON, to the function and waits for its
// answer. The timeout runs from the moment the function takes the invocation;
// until then only ctx bounds the wait. A function that reported that it could
// not start fails every invocation with that *FunctionError.
func (s *Server) Invoke(ctx context.Context, payload []byte, timeout time.Duration) (Result, error) {
	if !json.Valid(payload) {
		return Result{}, errors.New("the payload is not JSON, which Lambda refuses")
	}
	if len(payload) > MaxPayloadBytes {
		return Result{}, fmt.Errorf("the payload has %d bytes, Lambda takes at most %d", len(payload), MaxPayloadBytes)
	}
	inv := &invocation{id: newRequestID(), payload: payload, timeout: timeout, result: make(chan Result, 1)}
	s.mu.Lock()
	s.running[inv.id] = inv
	s.mu.Unlock()
	defer s.take(inv.id) // an answer after this is refused
	select {
	case s.queue <- inv:
	case <-s.initFailed:
		return Result{}, fmt.Errorf("start the function: %w", s.InitError())
	case <-s.closed:
		return Result{}, ErrClosed
	case <-ctx.Done():
		return Result{}, fmt.Errorf("wait for the function to take the invocation: %w", ctx.Err())
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case result := <-inv.result:
		return result, nil
	case <-timer.C:
		return Result{}, fmt.Errorf("%w after %s", ErrTimeout, timeout)
	case <-s.closed:
		return Result{}, ErrClosed
	case <-ctx.Done():
		return Result{}, fmt.Errorf("wait for the function's answer: %w", ctx.Err())
	}
}

// InitFailed is closed when the function has reported that it could not start.
func (s *Server) InitFailed() <-chan struct{} { return s.initFailed }

// InitError is what the function reported when it could not start, or nil.
func (s *Server) InitError() *FunctionError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.initError
}

// Close ends all invocations and polls. It may be called more than once.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		close(s.closed)
		// The function still gets the answers to what it has sent.
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if s.server.Shutdown(ctx) != nil {
			err = s.server.Close()
		}
	})
	<-s.served
	return err
}

func (s *Server) handleNext(w http.ResponseWriter, r *http.Request) {
	select {
	case inv := <-s.queue:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(inv.timeout).UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", FunctionARN)
		h.Set("Lambda-Runtime-Trace-Id", newTraceID())
		_, _ = w.Write(inv.payload) // a function that has gone meanwhile times out
	case <-s.closed:
		answerError(w, http.StatusInternalServerError, "Closed", "the runtime API is closed")
	case <-r.Context().Done():
	}
}

func (s *Server) handleResponse(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPayloadBytes))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		s.finish(r, Result{FunctionError: &FunctionError{
			Message: fmt.Sprintf("the response has more than %d bytes", MaxPayloadBytes),
			Type:    "Function.ResponseSizeTooLarge",
		}})
		answerError(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", err.Error())
		return
	}
	if err != nil {
		answerError(w, http.StatusBadRequest, "InvalidRequest", err.Error())
		return
	}
	s.answer(w, r, Result{Payload: content})
}

func (s *Server) handleError(w http.ResponseWriter, r *http.Request) {
	failure, err := readFunctionError(w, r)
	if err != nil {
		answerError(w, http.StatusBadRequest, "InvalidErrorShape", err.Error())
		return
	}
	s.answer(w, r, Result{FunctionError: failure})
}

func (s *Server) handleInitError(w http.ResponseWriter, r *http.Request) {
	failure, err := readFunctionError(w, r)
	if err != nil {
		answerError(w, http.StatusBadRequest, "InvalidErrorShape", err.Error())
		return
	}
	s.mu.Lock()
	first := s.initError == nil
	if first {
		s.initError = failure
		close(s.initFailed)
	}
	s.mu.Unlock()
	if !first {
		answerError(w, http.StatusForbidden, "InvalidStateTransition", "an init error was reported before")
		return
	}
	accept(w)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, result Result) {
	if !s.finish(r, result) {
		answerError(w, http.StatusBadRequest, "InvalidRequestID", "no invocation with this id is running")
		return
	}
	accept(w)
}

// finish ends the invocation that the request's path names. It returns false
// when there is none, such as after its timeout.
func (s *Server) finish(r *http.Request, result Result) bool {
	inv := s.take(r.PathValue("id"))
	if inv == nil {
		return false
	}
	result.RequestID = inv.id
	inv.result <- result
	return true
}

// take removes an invocation from those that are running and returns it, or nil.
func (s *Server) take(id string) *invocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	inv := s.running[id]
	delete(s.running, id)
	return inv
}

func readFunctionError(w http.ResponseWriter, r *http.Request) (*FunctionError, error) {
	failure := new(FunctionError)
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxPayloadBytes)).Decode(failure); err != nil {
		return nil, fmt.Errorf("decode the function's error: %w", err)
	}
	return failure, nil
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

func answerError(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(FunctionError{Type: kind, Message: message})
}

// newRequestID returns a random UUID (RFC 9562, section 5.4), as Lambda uses.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newTraceID returns an X-Ray tracing header for a trace that is not sampled:
// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
func newTraceID() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", time.Now().Unix(), hex.EncodeToString(b[:12]), hex.EncodeToString(b[12:]))
}
