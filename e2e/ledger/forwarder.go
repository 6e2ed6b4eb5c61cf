// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/awsloki/awsloki/e2e/lambdaruntime"
	"github.com/awsloki/awsloki/e2e/stack"
)

// functionTimeout is the timeout of the Lambda function.
const functionTimeout = 20 * time.Second

// forwarderEnv makes the forwarder try again soon.
var forwarderEnv = map[string]string{"MAX_BACKOFF": "1s", "REQUEST_TIMEOUT": "8s"}

var errKilled = errors.New("the forwarder is killed")

// forwarder is a process of the Lambda function, which has one invocation at a time.
type forwarder struct {
	runtime *lambdaruntime.Server
	process *stack.Process
	// doomed has how far into the next invocation the process is to be killed.
	doomed chan time.Duration
	killed chan struct{} // tells that it was
}

func startForwarder(ctx context.Context, dir, writeAddress string, number int) (*forwarder, error) {
	runtime, err := lambdaruntime.Start() //nolint:contextcheck // it serves until it is closed
	if err != nil {
		return nil, err
	}
	env := map[string]string{"WRITE_ADDRESS": writeAddress}
	for name, value := range forwarderEnv {
		env[name] = value
	}
	process, err := stack.StartForwarder(ctx, dir, runtime.Addr(), env, stack.ForwarderOptions{Function: fmt.Sprint("forwarder-", number)})
	if err != nil {
		return nil, errors.Join(err, runtime.Close()) //nolint:contextcheck // takes none
	}
	return &forwarder{runtime: runtime, process: process, doomed: make(chan time.Duration), killed: make(chan struct{})}, nil
}

func (f *forwarder) stop() error { return errors.Join(f.process.Stop(), f.runtime.Close()) }

// deliver invokes the function. As Lambda does, it kills the process of an invocation that takes too long.
func (f *forwarder) deliver(ctx context.Context, p *parcel, _ int) (answer, error) {
	if !f.process.Running() {
		if err := f.process.Start(ctx); err != nil {
			return answer{}, err
		}
	}
	invocation, end := context.WithCancelCause(ctx)
	defer end(nil)
	executed := make(chan error, 1)
	go func() {
		defer close(executed)
		select {
		case after := <-f.doomed:
			pause(ctx, after)
			executed <- f.process.Kill()
			end(errKilled)
			f.killed <- struct{}{}
		case <-invocation.Done():
		}
	}()
	result, err := f.runtime.Invoke(invocation, p.body, functionTimeout)
	end(nil)
	if err := <-executed; err != nil {
		return answer{}, err
	}
	switch {
	case errors.Is(context.Cause(invocation), errKilled):
		return answer{kind: "killed"}, nil
	case errors.Is(err, lambdaruntime.ErrTimeout):
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

// kill has the process killed so long after it takes its next invocation. It reports whether there was one before ctx was
// done.
func (f *forwarder) kill(ctx context.Context, after time.Duration) bool {
	select {
	case f.doomed <- after:
		<-f.killed
		return true
	case <-ctx.Done():
		return false
	}
}
