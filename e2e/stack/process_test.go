// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func executable(tb testing.TB) string {
	tb.Helper()
	path, err := os.Executable()
	require.NoError(tb, err)
	return path
}

// requireGone fails unless no process has the id any more.
func requireGone(tb testing.TB, pid int) {
	tb.Helper()
	require.ErrorIs(tb, syscall.Kill(pid, 0), syscall.ESRCH, "process %d", pid)
}

func TestStopAndKill(t *testing.T) {
	start := func(env map[string]string) *Collector {
		t.Helper()
		c, err := StartCollector(t.Context(), t.TempDir(), "config.yaml", env, CollectorOptions{Binary: executable(t)})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, c.Kill()) })
		return c
	}
	t.Run("stop", func(t *testing.T) {
		c := start(map[string]string{envProgram: "collector"})
		pid := c.PID()
		assert.True(t, c.Running())
		require.NoError(t, c.Stop())
		requireGone(t, pid)
		assert.Zero(t, c.PID())
		assert.False(t, c.Running())
		require.NoError(t, c.Stop(), "again")
		log, err := c.Log()
		require.NoError(t, err)
		assert.Contains(t, log, "got terminated")
	})
	t.Run("stop with an exit error", func(t *testing.T) {
		c := start(map[string]string{envProgram: "collector", "FAIL": "yes"})
		assert.ErrorContains(t, c.Stop(), "otelcol-awsloki ended with: exit status 9\n--- end of ")
	})
	t.Run("kill", func(t *testing.T) {
		c := start(map[string]string{envProgram: "collector"})
		pid := c.PID()
		require.NoError(t, c.Kill())
		requireGone(t, pid)
		log, err := c.Log()
		require.NoError(t, err)
		assert.NotContains(t, log, "got")
	})
	t.Run("restart", func(t *testing.T) {
		c := start(map[string]string{envProgram: "collector"})
		before := c.PID()
		require.NoError(t, c.Restart(t.Context()))
		requireGone(t, before)
		assert.NotEqual(t, before, c.PID())
		require.ErrorContains(t, c.Start(t.Context()), "it runs already")
		_, err := c.Metrics(t.Context())
		assert.NoError(t, err, "same ports")
	})
	t.Run("died by itself", func(t *testing.T) {
		c := start(map[string]string{envProgram: "collector"})
		require.NoError(t, syscall.Kill(c.PID(), syscall.SIGABRT))
		require.NoError(t, Eventually(t.Context(), time.Minute, func(context.Context) error {
			if c.Running() {
				return errors.New("still runs")
			}
			return nil
		}))
		assert.ErrorContains(t, c.Stop(), "otelcol-awsloki ended with: ")
	})
}

func TestCollectorAddresses(t *testing.T) {
	dir := t.TempDir()
	listen, err := FreeAddr(t.Context())
	require.NoError(t, err)
	c, err := StartCollector(t.Context(), dir, "config.yaml",
		map[string]string{envProgram: "collector", envListen: listen}, CollectorOptions{Binary: executable(t), Name: "a", Args: []string{"--x"}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })

	assert.Equal(t, "http://"+listen, c.URL())
	addrs := map[string]bool{c.URL(): true, c.OTLPGRPC(): true, c.OTLPHTTP(): true, c.HealthURL(): true, c.MetricsURL(): true}
	assert.Len(t, addrs, 5)
	assert.Equal(t, filepath.Join(dir, "a-data"), c.DataDir())
	assert.Equal(t, filepath.Join(dir, "a.log"), c.LogPath())

	here, err := os.Getwd()
	require.NoError(t, err)
	log, err := c.Log()
	require.NoError(t, err)
	assert.Contains(t, log, "arguments: --config "+filepath.Join(here, "config.yaml")+" --x\n")

	metrics, err := c.Metrics(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Metrics{`otelcol_receiver_accepted_log_records{receiver="x"}`: 3}, metrics)
}

func TestStartFails(t *testing.T) {
	opts := CollectorOptions{Binary: executable(t)}
	_, err := StartCollector(t.Context(), t.TempDir(), "config.yaml", map[string]string{envProgram: "broken"}, opts)
	require.ErrorContains(t, err, "start otelcol-awsloki: not ready: it ended (exit status 7): ")
	require.ErrorContains(t, err, "cannot work like this")

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = StartCollector(ctx, t.TempDir(), "config.yaml", map[string]string{envProgram: "lambda"}, opts)
	require.ErrorContains(t, err, "start otelcol-awsloki: not ready: context deadline exceeded: ")

	opts.Binary = "none"
	_, err = StartCollector(t.Context(), t.TempDir(), "config.yaml", nil, opts)
	require.ErrorContains(t, err, "otelcol-awsloki is missing, run make build: stat ")
}

func TestForwarderEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not for children")
	f, err := StartForwarder(t.Context(), t.TempDir(), "127.0.0.1:9001",
		map[string]string{envProgram: "lambda", "WRITE_ADDRESS": "http://127.0.0.1:3500", "AWS_REGION": "eu-west-1"},
		ForwarderOptions{Binary: executable(t), Function: "f"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Kill()) })
	var log string
	require.NoError(t, Eventually(t.Context(), time.Minute, func(context.Context) error {
		if log, err = f.Log(); err == nil && !strings.HasSuffix(log, "\n") {
			err = errors.New("nothing logged yet")
		}
		return err
	}))
	assert.Contains(t, log, " AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001 ")
	assert.Contains(t, log, " AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/f ")
	assert.Contains(t, log, " AWS_REGION=eu-west-1 ")
	assert.Contains(t, log, " WRITE_ADDRESS=http://127.0.0.1:3500 ")
	assert.NotContains(t, log, "AWS_SECRET_ACCESS_KEY")
	require.NoError(t, f.Restart(t.Context()), "to die of SIGTERM is no error")
	assert.NoError(t, f.Stop())
}

// runParent starts a child, says its process id and dies without ending it.
func runParent() int {
	path, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	child, err := StartProcess(context.Background(), Command{
		Name: "child", Path: path, Dir: os.Getenv("DIR"), Env: map[string]string{envProgram: "lambda"},
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(child.PID())
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	return 0
}

func TestTail(t *testing.T) {
	f := func(lines, want int) {
		t.Helper()
		p := &Process{cmd: Command{Name: "p", Dir: t.TempDir()}}
		var log strings.Builder
		for i := range lines {
			fmt.Fprintln(&log, "line", i)
		}
		require.NoError(t, os.WriteFile(p.LogPath(), []byte(log.String()), 0o600))
		tail := p.Tail()
		assert.Equal(t, want, strings.Count(tail, "\nline "))
		if lines > 0 {
			assert.Contains(t, tail, fmt.Sprintf("line %d\n---", lines-1))
		}
	}
	f(0, 0)
	f(1, 1)
	f(tailLines, tailLines)
	f(tailLines+1, tailLines)
	f(1000, tailLines)
}

func TestEventually(t *testing.T) {
	calls := 0
	require.NoError(t, Eventually(t.Context(), time.Minute, func(context.Context) error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	}))
	assert.Equal(t, 3, calls)

	err := Eventually(t.Context(), 10*time.Millisecond, func(ctx context.Context) error {
		if calls++; calls == 4 {
			return errors.New("2 of 3 lines")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	require.EqualError(t, err, "not within 10ms: 2 of 3 lines")
}
