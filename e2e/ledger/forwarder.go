// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/awsloki/awsloki/e2e/faultproxy"
	"github.com/awsloki/awsloki/e2e/lambdaruntime"
	"github.com/awsloki/awsloki/e2e/stack"
)

// functionTimeout is the timeout of the Lambda function.
const functionTimeout = 20 * time.Second

// forwarderEnv makes the forwarder try again soon.
var forwarderEnv = map[string]string{"MAX_BACKOFF": "1s", "REQUEST_TIMEOUT": "8s"}

var errKilled = errors.New("the forwarder is killed")

// heldBack is how long the answer to a request is held back at most so that its sender can be killed meanwhile: less than
// the sender waits for it.
const heldBack = 5 * time.Second

// forwarder is a process of the Lambda function, which has one invocation at a time.
type forwarder struct {
	runtime *lambdaruntime.Server
	process *stack.Process
	net     *network
	doomed  <-chan chan<- *forwarder // whom its next request tells that it is under way

	mu     sync.Mutex
	flight *flight // the invocation under way, or nil
}

// flight is an invocation. How it went is in killed, once it is over: true if it failed since the process was killed.
type flight struct {
	end    context.CancelCauseFunc
	killed chan bool
}

func (f *forwarder) start(ctx context.Context, dir, writeAddress string, number int) error {
	runtime, err := lambdaruntime.Start() //nolint:contextcheck // it serves until it is closed
	if err != nil {
		return err
	}
	env := map[string]string{"WRITE_ADDRESS": writeAddress}
	maps.Copy(env, forwarderEnv)
	process, err := stack.StartForwarder(ctx, dir, runtime.Addr(), env, stack.ForwarderOptions{Function: fmt.Sprint("forwarder-", number)})
	if err != nil {
		return errors.Join(err, runtime.Close()) //nolint:contextcheck // takes none
	}
	f.runtime, f.process = runtime, process
	return nil
}

func (f *forwarder) stop() error { return errors.Join(f.process.Stop(), f.runtime.Close()) }

// decide is the proxy's, before the collector. The request of a process that is to be killed is handed on, and its answer
// held back.
func (f *forwarder) decide(r *faultproxy.Request) faultproxy.Fault {
	select {
	case caught := <-f.doomed:
		caught <- f
		return faultproxy.Fault{Kind: faultproxy.Slow, Delay: heldBack}
	default:
		return f.net.decide(r)
	}
}

// deliver invokes the function. As Lambda does, it kills the process of an invocation that takes too long.
func (f *forwarder) deliver(ctx context.Context, p *parcel, _ int) (answer, error) {
	if f.process.PID() == 0 {
		if err := f.process.Start(ctx); err != nil {
			return answer{}, err
		}
	}
	invocation, end := context.WithCancelCause(ctx)
	defer end(nil)
	now := &flight{end, make(chan bool, 1)}
	f.setFlight(now)
	result, err := f.runtime.Invoke(invocation, p.body, functionTimeout)
	f.setFlight(nil)
	killed := err != nil && errors.Is(context.Cause(invocation), errKilled)
	now.killed <- killed
	switch {
	case killed:
		return answer{kind: "killed"}, nil
	case errors.Is(err, lambdaruntime.ErrTimeout):
		if err := checkProcess(f.process); err != nil {
			return answer{}, err
		}
		return answer{kind: "timeout"}, f.process.Kill()
	case err != nil && ctx.Err() != nil:
		return answer{kind: "given up"}, nil
	case err != nil:
		return answer{}, err
	case result.FunctionError != nil:
		return answer{kind: result.FunctionError.Type}, nil
	}
	return answer{kind: "success", taken: p.lines}, nil
}

func (f *forwarder) setFlight(now *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flight = now
}

// kill kills the process, and reports whether an invocation has failed because of that.
func (f *forwarder) kill() (bool, error) {
	f.mu.Lock()
	now := f.flight
	if now == nil {
		f.mu.Unlock()
		return false, nil
	}
	err := f.process.Kill()
	now.end(errKilled)
	f.mu.Unlock()
	return <-now.killed, err
}

// killForwarder kills the process of the forwarder whose request is the next to come, so long after that as f says. It
// returns how many invocations have failed because of that: none if there is no request before load is done.
func (s *system) killForwarder(ctx, load context.Context, f Fault, begun func()) (int, error) {
	for {
		caught := make(chan *forwarder, 1)
		s.doomed <- caught
		begun()
		select {
		case one := <-caught:
			pause(ctx, f.After)
			if killed, err := one.kill(); killed || err != nil {
				return 1, err
			}
		case <-load.Done():
			return 0, nil
		}
	}
}
