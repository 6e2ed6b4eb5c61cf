// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/awsloki/awsloki/internal/redelivery"
)

// copy is the disk as a process that is killed leaves it.
func (d *disk) copy() *disk {
	values := map[string]map[string][]byte{}
	for file, of := range d.values {
		values[file] = maps.Clone(of)
	}
	return &disk{values: values}
}

// silentLoki answers nobody until it is told to, and counts requests.
type silentLoki struct {
	*httptest.Server
	// answer has it take everything.
	answer   func()
	mu       sync.Mutex
	requests int
}

func newSilentLoki(t *testing.T) *silentLoki {
	t.Helper()
	l := &silentLoki{}
	answering, answer := context.WithCancel(t.Context())
	l.answer = answer
	l.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.requests++
		l.mu.Unlock()
		select {
		case <-answering.Done():
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { answer(); l.Close() })
	return l
}

func (l *silentLoki) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// onDisk makes an exporter whose queue is on disk, and which sends each batch by itself.
func onDisk(t *testing.T, endpoint string, host *disk, consumers int, tel *componenttest.Telemetry) exporter.Logs {
	t.Helper()
	e := newExporter(t, endpoint, tel, func(c *Config) {
		queue := c.QueueConfig.Get()
		queue.StorageID, queue.NumConsumers = &diskID, consumers
		queue.Batch = configoptional.None[exporterhelper.BatchConfig]()
	})
	require.NoError(t, e.Start(t.Context(), host))
	return e
}

// killed returns what a process leaves on disk that was killed while three of six batches were under way.
func killed(t *testing.T) *disk {
	t.Helper()
	host, loki := &disk{}, newSilentLoki(t)
	e := onDisk(t, loki.URL, host, 3, nil)
	for i := range 6 {
		require.NoError(t, e.ConsumeLogs(t.Context(), lines(fmt.Sprint("line ", i))))
	}
	eventually(t, func() bool { return loki.asked() == 3 })
	host.mu.Lock()
	left := host.copy()
	host.mu.Unlock()
	loki.answer()
	require.NoError(t, e.Shutdown(t.Context()))
	return left
}

var sixLines = []string{"line 0", "line 1", "line 2", "line 3", "line 4", "line 5"}

// What was under way when the process was killed comes first, and in order.
func TestOrderAfterKill(t *testing.T) {
	loki := newFakeLoki(t, http.StatusNoContent)
	e := onDisk(t, loki.URL, killed(t), 1, nil)
	eventually(t, func() bool { return len(loki.lines()) == len(sixLines) })
	assert.Equal(t, sixLines, loki.lines())
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Equal(t, sixLines, loki.lines())
}

// A process that is killed while it starts, whenever that is, loses nothing.
func TestKilledWhileStarting(t *testing.T) {
	host := killed(t)
	var left []*disk
	host.written = func() { left = append(left, host.copy()) }
	// Loki is away, so that all that is written is written by the start, and by workers that begin.
	e := onDisk(t, "http://127.0.0.1:1", host, 3, nil)
	require.NoError(t, e.Shutdown(t.Context()))
	require.NotEmpty(t, left)
	for i, host := range left {
		loki := newFakeLoki(t, http.StatusNoContent)
		e := onDisk(t, loki.URL, host, 1, nil)
		eventually(t, func() bool { return len(loki.lines()) >= len(sixLines) })
		require.NoError(t, e.Shutdown(t.Context()))
		assert.Equal(t, sixLines, loki.lines(), "killed after write %d", i)
	}
}

// The disk is full when the process starts again after it was killed, and stays so for a while.
func TestKilledWithFullDisk(t *testing.T) {
	host := killed(t)
	host.broken = errors.New("no space left on device")
	e := onDisk(t, "http://127.0.0.1:1", host, 3, nil)
	require.NoError(t, e.Shutdown(t.Context()))
	host = host.copy() // killed again, and now there is room

	loki := newFakeLoki(t, http.StatusNoContent)
	e = onDisk(t, loki.URL, host, 1, nil)
	eventually(t, func() bool { return len(loki.lines()) >= len(sixLines) })
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Equal(t, sixLines, loki.lines())
}

// While the disk is full the queue takes nothing, and what it holds is sent.
func TestDiskFull(t *testing.T) {
	host := killed(t)
	loki := newFakeLoki(t, http.StatusServiceUnavailable)
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	e := onDisk(t, loki.URL, host, 1, tel)
	full := func(err error) {
		host.mu.Lock()
		host.broken = err
		host.mu.Unlock()
	}
	full(errors.New("no space left on device"))
	require.ErrorContains(t, e.ConsumeLogs(t.Context(), lines("too much")), "no space left")
	loki.status.Store(http.StatusNoContent)
	eventually(t, func() bool { return len(slices.Compact(loki.lines())) >= len(sixLines) })
	full(nil)
	require.NoError(t, e.ConsumeLogs(t.Context(), lines("again")))
	eventually(t, func() bool { return slices.Contains(loki.lines(), "again") })
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Equal(t, append(slices.Clone(sixLines), "again"), slices.Compact(loki.lines()))
	_, err := tel.GetMetric("otelcol_exporter_loki_unreadable_batches")
	assert.Error(t, err, "what was not written was not lost")
}

// A queue that does not know what it has must not overwrite it.
func TestDamagedQueue(t *testing.T) {
	host := killed(t)
	host.values["loki logs"]["qmv0"] = []byte{0xff}
	e := newExporter(t, "http://127.0.0.1:1", nil, func(c *Config) { c.QueueConfig.Get().StorageID = &diskID })
	require.ErrorContains(t, e.Start(t.Context(), host), "\"logs\" of loki in disk: the queue's state is damaged")
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Len(t, host.values["loki logs"], 7)
}

// A document that the receiver marks may be Loki's already, which matters if Loki is asked.
func TestMarkedDocuments(t *testing.T) {
	for _, verify := range []bool{false, true} {
		host := &disk{}
		e := newExporter(t, "http://127.0.0.1:1", nil, func(c *Config) {
			c.Resend.Verify = verify
			c.QueueConfig.Get().StorageID = &diskID
		})
		require.NoError(t, e.Start(t.Context(), host))
		require.NoError(t, e.ConsumeLogs(redelivery.Mark(t.Context()), lines("again")))
		require.NoError(t, e.ConsumeLogs(t.Context(), lines("new")))
		require.NoError(t, e.Shutdown(t.Context()))
		queue := host.values["loki logs"]
		assert.Equal(t, verify, queue["0"][0] == diskUnsure)
		assert.EqualValues(t, diskPlain, queue["1"][0])
	}
}
