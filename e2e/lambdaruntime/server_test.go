// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lambdaruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// long is a timeout that no test reaches.
const long = time.Minute

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// event is an invocation as the function sees it.
type event struct {
	header  http.Header
	payload []byte
}

func (e event) id() string { return e.header.Get("Lambda-Runtime-Aws-Request-Id") }

// function is the function's side of the Runtime API.
type function struct {
	t    *testing.T
	base string
}

func newFunction(t *testing.T, s *Server) function {
	t.Helper()
	return function{t: t, base: "http://" + s.Addr() + "/2018-06-01/runtime"}
}

func (f function) next() (event, error) {
	resp, err := http.Get(f.base + "/invocation/next")
	if err != nil {
		return event{}, err
	}
	defer resp.Body.Close()
	payload, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, payload)
	}
	return event{header: resp.Header, payload: payload}, err
}

// post returns the status and the errorType of the answer.
func (f function) post(path, content string) (status int, errorType string) {
	resp, err := http.Post(f.base+path, "application/json", strings.NewReader(content))
	if err != nil {
		f.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	var answer FunctionError
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		f.t.Errorf("the answer is not JSON: %v", err)
	}
	return resp.StatusCode, answer.Type
}

// expect posts and reports an answer other than the one given.
func (f function) expect(path, content string, status int, errorType string) {
	f.t.Helper()
	if s, e := f.post(path, content); s != status || e != errorType {
		f.t.Errorf("POST %s is answered %d %q, want %d %q", path, s, e, status, errorType)
	}
}

// serveOne takes one invocation and answers it in the background.
func (f function) serveOne(answer func(event)) (wait func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		e, err := f.next()
		if err != nil {
			f.t.Error(err)
			return
		}
		answer(e)
	})
	return wg.Wait
}

func TestInvoke(t *testing.T) {
	s := start(t)
	f := newFunction(t, s)
	before := time.Now()
	wait := f.serveOne(func(e event) {
		if string(e.payload) != `{"key": "value"}` {
			t.Errorf("payload %s", e.payload)
		}
		for name, want := range map[string]string{
			"Content-Type":                        `^application/json$`,
			"Lambda-Runtime-Aws-Request-Id":       `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`,
			"Lambda-Runtime-Invoked-Function-Arn": `^arn:aws:lambda:us-east-1:123456789012:function:local$`,
			"Lambda-Runtime-Trace-Id":             `^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`,
		} {
			if got := e.header.Get(name); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("%s is %q, want %s", name, got, want)
			}
		}
		ms, err := strconv.ParseInt(e.header.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
		if deadline := time.UnixMilli(ms); err != nil || deadline.Before(before.Add(long-time.Second)) || deadline.After(time.Now().Add(long)) {
			t.Errorf("deadline %v, error %v", deadline, err)
		}
		f.expect("/invocation/"+e.id()+"/response", "the response", http.StatusAccepted, "")
		f.expect("/invocation/"+e.id()+"/response", "another", http.StatusBadRequest, "InvalidRequestID")
	})
	result, err := s.Invoke(t.Context(), []byte(`{"key": "value"}`), long)
	wait()
	if err != nil || result.FunctionError != nil || string(result.Payload) != "the response" || result.RequestID == "" {
		t.Errorf("result %+v, error %v", result, err)
	}
}

func TestFunctionError(t *testing.T) {
	s := start(t)
	f := newFunction(t, s)
	wait := f.serveOne(func(e event) {
		f.expect("/invocation/"+e.id()+"/error", "no JSON", http.StatusBadRequest, "InvalidErrorShape")
		f.expect("/invocation/"+e.id()+"/error", `{"errorMessage":"why","errorType":"Kind","stackTrace":[]}`, http.StatusAccepted, "")
	})
	result, err := s.Invoke(t.Context(), []byte("{}"), long)
	wait()
	if err != nil || result.FunctionError == nil || *result.FunctionError != (FunctionError{Message: "why", Type: "Kind"}) {
		t.Errorf("result %+v, error %v", result, err)
	}
}

func TestTimeout(t *testing.T) {
	s := start(t)
	f := newFunction(t, s)
	release := make(chan struct{})
	wait := f.serveOne(func(e event) {
		<-release
		f.expect("/invocation/"+e.id()+"/response", "late", http.StatusBadRequest, "InvalidRequestID")
	})
	_, err := s.Invoke(t.Context(), []byte("{}"), time.Millisecond)
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("error %v", err)
	}
	close(release)
	wait()
}

func TestInitError(t *testing.T) {
	s := start(t)
	f := newFunction(t, s)
	if s.InitError() != nil {
		t.Error("there is no error yet")
	}
	f.expect("/init/error", "no JSON", http.StatusBadRequest, "InvalidErrorShape")
	f.expect("/init/error", `{"errorMessage":"why","errorType":"Kind"}`, http.StatusAccepted, "")
	f.expect("/init/error", `{"errorMessage":"more","errorType":"Kind"}`, http.StatusForbidden, "InvalidStateTransition")
	<-s.InitFailed()
	_, err := s.Invoke(t.Context(), []byte("{}"), long)
	var failure *FunctionError
	if !errors.As(err, &failure) || failure != s.InitError() || failure.Error() != "Kind: why" {
		t.Errorf("error %v", err)
	}
}

// Each answer must come back to the invocation that it belongs to.
func TestConcurrentInvocations(t *testing.T) {
	s := start(t)
	f := newFunction(t, s)
	const runtimes, invocations = 4, 50
	var wg sync.WaitGroup
	for range runtimes {
		wg.Go(func() {
			for {
				e, err := f.next()
				if err != nil {
					return // closed
				}
				f.expect("/invocation/"+e.id()+"/response", string(e.payload), http.StatusAccepted, "")
			}
		})
	}
	var callers sync.WaitGroup
	for i := range invocations {
		callers.Go(func() {
			payload := strconv.Itoa(i)
			result, err := s.Invoke(t.Context(), []byte(payload), long)
			if err != nil || string(result.Payload) != payload {
				t.Errorf("%s: result %+v, error %v", payload, result, err)
			}
		})
	}
	callers.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if len(s.running) != 0 {
		t.Errorf("%d invocations are still kept", len(s.running))
	}
}

func TestInvokeEndsWithContext(t *testing.T) {
	s := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Invoke(ctx, []byte("{}"), long); !errors.Is(err, context.Canceled) {
		t.Errorf("before the function took it: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	wait := newFunction(t, s).serveOne(func(event) { cancel() })
	if _, err := s.Invoke(ctx, []byte("{}"), long); !errors.Is(err, context.Canceled) {
		t.Errorf("after the function took it: %v", err)
	}
	wait()
}

func TestInvokeEndsWithClose(t *testing.T) {
	s := start(t)
	wait := newFunction(t, s).serveOne(func(event) {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 2 { // while the function has it, and while there is no function
		if _, err := s.Invoke(t.Context(), []byte("{}"), long); !errors.Is(err, ErrClosed) {
			t.Errorf("error %v", err)
		}
	}
	wait()
}

func TestInvokeRefusesPayload(t *testing.T) {
	s := start(t)
	large := append(bytes.Repeat([]byte(" "), MaxPayloadBytes), '1')
	for _, payload := range [][]byte{nil, []byte("{"), large} {
		if _, err := s.Invoke(t.Context(), payload, long); err == nil {
			t.Errorf("a payload of %d bytes is taken", len(payload))
		}
	}
}

func TestResponseTooLarge(t *testing.T) {
	s := start(t)
	f := newFunction(t, s)
	wait := f.serveOne(func(e event) {
		f.expect("/invocation/"+e.id()+"/response", strings.Repeat("x", MaxPayloadBytes+1), http.StatusRequestEntityTooLarge, "RequestEntityTooLarge")
	})
	result, err := s.Invoke(t.Context(), []byte("{}"), long)
	wait()
	if err != nil || result.FunctionError == nil || result.FunctionError.Type != "Function.ResponseSizeTooLarge" {
		t.Errorf("result %+v, error %v", result, err)
	}
}
