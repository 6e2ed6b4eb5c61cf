// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
)

// A line has its own time and its own id. What the collector has had for long may have another time.
func TestExpectations(t *testing.T) {
	r := newRun(t, 2000, map[Input]int{Subscription: 1})
	d := r.plan.documents[1]
	made, err := r.generator.make(d)
	require.NoError(t, err)
	m := r.generator.message(made)
	at := func(n int) time.Time { return m.LogEvents[n].Time() }
	f := func(e *expectations, n int, at time.Time, uid string, want bool) {
		t.Helper()
		assert.Equal(t, want, e.meets(d, d.first+n, at, uid))
	}
	now := r.expectations(d.group)
	f(now, 0, at(0), m.LogEvents[0].ID, true)
	f(now, 7, at(7), m.LogEvents[7].ID, true)
	f(now, 7, at(8), m.LogEvents[7].ID, false)
	f(now, 7, at(7), m.LogEvents[8].ID, false)
	f(now, 7, at(7), "", false)

	r.generator.begun = r.generator.begun.Add(-restampAge)
	m = r.generator.message(&parcel{document: d, name: made.name, at: r.generator.start(d)})
	later := r.expectations(d.group)
	f(later, 7, time.Now(), m.LogEvents[7].ID, true)
	f(later, 7, time.Now(), m.LogEvents[8].ID, false)
}

func TestRecordUIDs(t *testing.T) {
	for input, want := range map[Input]string{S3: "1-0:3", Push: ""} {
		p := newPlan(1, 100, 1, map[Input]int{input: 1}, false)
		ids := newGenerator(p, false).recordUIDs(p.documents[0])
		assert.Len(t, ids, p.documents[0].lines)
		assert.Equal(t, want, ids[2])
	}
}

// Loki that has flushed a chunk cannot count copies, and one that does not say so is not asked.
func TestCheckFlushed(t *testing.T) {
	metrics := "loki_ingester_memory_chunks 3\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, metrics) }))
	defer server.Close()
	client, err := stack.NewLokiClient(server.URL + pushPath)
	require.NoError(t, err)
	s := &system{loki: &stack.Loki{LokiClient: client}}
	dir := t.TempDir()
	require.NoError(t, s.checkFlushed(t.Context(), dir))

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "loki", "data", "chunks", "fake", "1"), 0o700))
	require.ErrorContains(t, s.checkFlushed(t.Context(), dir), "chunks of 1 streams in its store", "in an earlier life")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "loki")))

	metrics += "loki_ingester_chunks_flushed_total{reason=\"idle\"} 2\n"
	require.ErrorContains(t, s.checkFlushed(t.Context(), dir), "has flushed 2 chunks")
	metrics = ""
	require.ErrorContains(t, s.checkFlushed(t.Context(), dir), "does not say")
}

// A forwarder that ends, and was not told to, fails the run.
func TestCheckForwarder(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	process, err := stack.StartProcess(t.Context(), stack.Command{
		Name: "ends", Path: program, Args: []string{"-test.run=^$"}, Dir: t.TempDir(),
	})
	require.NoError(t, err)
	defer func() { assert.NoError(t, process.Kill()) }()
	s := &system{loki: &stack.Loki{Process: &stack.Process{}}, forwarders: []*forwarder{{process: process}}}
	require.NoError(t, stack.Eventually(t.Context(), time.Minute, func(context.Context) error {
		if process.Running() {
			return errors.New("it runs")
		}
		return nil
	}))
	require.ErrorContains(t, s.check(), "ended by itself")
	require.NoError(t, process.Kill())
	assert.NoError(t, s.check(), "it is stopped")
}
