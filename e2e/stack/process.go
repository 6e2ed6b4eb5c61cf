// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyTimeout = 3 * time.Minute
	stopTimeout  = 3 * time.Minute
	tailLines    = 40
)

// inherited are the variables that children get from this process; the rest of its environment, with proxies
// and credentials in it, is kept from them.
var inherited = []string{"PATH", "HOME", "TMPDIR", "GOCOVERDIR"}

// Command says what a Process runs.
type Command struct {
	Name string // names the log file, and the process in errors
	Path string
	Args []string
	Env  map[string]string // goes before the few variables that are inherited
	Dir  string            // working directory, and the place of the log file; created when missing
	// Ready returns nil once the process does its work, and ReadyLog is what the process then writes to its log. A process
	// with neither is ready when it has started.
	Ready    func(context.Context) error
	ReadyLog string
	// DiesOfSIGTERM says that the process does not handle SIGTERM, so that it is no error when Stop ends it that way.
	DiesOfSIGTERM bool
}

// Process is a child process that can be started again after it was stopped. Its methods may be called concurrently.
type Process struct {
	cmd Command

	mu  sync.Mutex
	run *run // nil when stopped
}

// run is one life of a process.
type run struct {
	cmd     *exec.Cmd
	logFrom int64         // where its log begins, after those of earlier lives
	done    chan struct{} // closed when the process has ended
	err     error         // how it ended; read after done
}

// StartProcess starts cmd and waits until it is ready.
func StartProcess(ctx context.Context, cmd Command) (*Process, error) {
	p := &Process{cmd: cmd}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Start starts the process and waits until it is ready. A process that does not become ready is ended, and the error
// has the end of its log. The process may outlive ctx.
func (p *Process) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		return fmt.Errorf("start %s: it runs already", p.cmd.Name)
	}
	r, err := p.launch(ctx)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.cmd.Name, err)
	}
	if err := p.awaitReady(ctx, r); err != nil {
		_ = r.cmd.Process.Kill()
		<-r.done
		return fmt.Errorf("start %s: %w\n%s", p.cmd.Name, err, p.Tail())
	}
	p.run = r
	return nil
}

// Launch starts the process and does not wait until it is ready: so it can be killed while it starts.
func (p *Process) Launch(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		return fmt.Errorf("launch %s: it runs already", p.cmd.Name)
	}
	r, err := p.launch(ctx)
	if err != nil {
		return fmt.Errorf("launch %s: %w", p.cmd.Name, err)
	}
	p.run = r
	return nil
}

func (p *Process) launch(ctx context.Context) (*run, error) {
	if err := os.MkdirAll(p.cmd.Dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(p.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	earlier, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.cmd.Path, p.cmd.Args...) //nolint:gosec // runs what it is told to
	// By way of a pipe, for a limit on the process's files is none on its log.
	output := struct{ io.Writer }{log}
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.cmd.Dir, output, output
	cmd.Env = environ(p.cmd.Env)
	cmd.SysProcAttr = sysProcAttr()

	r := &run{cmd: cmd, logFrom: earlier, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the parent-death signal when the thread that started the child ends: keep that thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			r.err = cmd.Wait()
			close(r.done)
		}
		_ = log.Close() // all that the process wrote is there by now
	}()
	return r, <-started
}

func (p *Process) awaitReady(ctx context.Context, r *run) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-r.done:
			cancel(fmt.Errorf("it ended (%s)", r.cmd.ProcessState))
		case <-ctx.Done():
		}
	}()
	if err := Eventually(ctx, readyTimeout, func(ctx context.Context) error { return p.ready(ctx, r) }); err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	return nil
}

func (p *Process) ready(ctx context.Context, r *run) error {
	if p.cmd.ReadyLog != "" {
		log, err := p.Log()
		if err != nil {
			return err
		}
		if !strings.Contains(log[r.logFrom:], p.cmd.ReadyLog) {
			return fmt.Errorf("its log does not say %q", p.cmd.ReadyLog)
		}
	}
	if p.cmd.Ready != nil {
		return p.cmd.Ready(ctx)
	}
	return nil
}

func environ(env map[string]string) []string {
	all := make(map[string]string, len(inherited)+len(env))
	for _, k := range inherited {
		if v, ok := os.LookupEnv(k); ok {
			all[k] = v
		}
	}
	maps.Copy(all, env)
	list := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		list = append(list, k+"="+all[k])
	}
	return list
}

// Stop sends SIGTERM and waits until the process has ended. It returns the error that the process ended with, also
// when that was before the call; a process that was stopped or killed before gives nil.
func (p *Process) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return nil
	}
	r := p.run
	p.run = nil
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.cmd.Name, err)
	}
	select {
	case <-r.done:
	case <-time.After(stopTimeout):
		_ = r.cmd.Process.Kill()
		<-r.done
		return fmt.Errorf("stop %s: killed, since it did not end within %s of SIGTERM\n%s", p.cmd.Name, stopTimeout, p.Tail())
	}
	if r.err == nil || p.cmd.DiesOfSIGTERM && endedBy(r.cmd.ProcessState, syscall.SIGTERM) {
		return nil
	}
	return fmt.Errorf("%s ended with: %w\n%s", p.cmd.Name, r.err, p.Tail())
}

func endedBy(state *os.ProcessState, signal syscall.Signal) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == signal
}

// Kill ends the process with SIGKILL, as a crash would, and waits until it is gone.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return nil
	}
	r := p.run
	p.run = nil
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.cmd.Name, err)
	}
	<-r.done
	return nil
}

// Restart stops the process if it runs, and starts it again with the same arguments, environment and folder.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.Stop(); err != nil {
		return err
	}
	return p.Start(ctx)
}

// PID returns the process id, 0 when the process is stopped.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return 0
	}
	return p.run.cmd.Process.Pid
}

// Running reports whether the process was started and has not ended.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return false
	}
	select {
	case <-p.run.done:
		return false
	default:
		return true
	}
}

// LogPath returns the file that has the process's output, over all its restarts.
func (p *Process) LogPath() string {
	return filepath.Join(p.cmd.Dir, p.cmd.Name+".log")
}

// Log returns the output of the process, over all its restarts.
func (p *Process) Log() (string, error) {
	log, err := os.ReadFile(p.LogPath())
	return string(log), err
}

// Tail returns the last lines of the log, with its path, to be shown with a failure.
func (p *Process) Tail() string {
	log, err := os.ReadFile(p.LogPath())
	if err != nil {
		return fmt.Sprintf("(no log of %s: %v)", p.cmd.Name, err)
	}
	log = bytes.TrimRight(log, "\n")
	start := len(log)
	for range tailLines {
		if start = bytes.LastIndexByte(log[:start], '\n'); start < 0 {
			break
		}
	}
	return fmt.Sprintf("--- end of %s\n%s\n---", p.LogPath(), log[start+1:])
}
