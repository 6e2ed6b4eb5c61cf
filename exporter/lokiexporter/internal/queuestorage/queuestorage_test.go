// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package queuestorage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protowire"
)

// memory is a storage in memory, the extension and the host that have it.
type memory struct {
	component.StartFunc
	component.ShutdownFunc
	values map[string][]byte
	// full says that nothing can be written.
	full   bool
	closed bool
}

var memoryID = component.MustNewID("memory")

func (m *memory) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{memoryID: m}
}

func (m *memory) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return m, nil
}

func (m *memory) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := m.Batch(ctx, op)
	return op.Value, err
}

func (m *memory) Set(ctx context.Context, key string, value []byte) error {
	return m.Batch(ctx, storage.SetOperation(key, value))
}

func (m *memory) Delete(ctx context.Context, key string) error {
	return m.Batch(ctx, storage.DeleteOperation(key))
}

func (m *memory) Batch(_ context.Context, ops ...*storage.Operation) error {
	for _, op := range ops {
		if m.full && op.Type != storage.Get {
			return errors.New("no space left on device")
		}
	}
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = bytes.Clone(m.values[op.Key])
		case storage.Set:
			m.values[op.Key] = op.Value
		case storage.Delete:
			delete(m.values, op.Key)
		}
	}
	return nil
}

func (m *memory) Close(context.Context) error {
	m.closed = true
	return nil
}

// open opens the storage as the queue does.
func (m *memory) open(t *testing.T) (storage.Client, error) {
	t.Helper()
	mark := func(item []byte) []byte { return append([]byte("marked "), item...) }
	host := Host(m, memoryID, mark, zap.NewNop())
	return host.GetExtensions()[memoryID].(storage.Extension).GetClient(t.Context(), component.KindExporter, memoryID, "logs")
}

// queue is what a process left that had read up to read, where those dispatched were under way, and written up to write.
func queue(read, write uint64, dispatched ...uint64) *memory {
	m := &memory{values: map[string][]byte{}}
	for _, index := range dispatched {
		m.values[string(formatIndex(index))] = fmt.Appendf(nil, "item %d", index)
	}
	for index := read; index < write; index++ {
		m.values[string(formatIndex(index))] = fmt.Appendf(nil, "item %d", index)
	}
	s := state{read: read, write: write, dispatched: dispatched, others: fields(1, 10, 2, 1000)}
	m.values[stateKey] = s.encode()
	return m
}

// next reads an item as the queue does, and notes in its state that it is under way.
func next(t *testing.T, client storage.Client, s *state) string {
	t.Helper()
	get := storage.GetOperation(string(formatIndex(s.read)))
	s.dispatched = append(s.dispatched, s.read)
	s.read++
	require.NoError(t, client.Batch(t.Context(), storage.SetOperation(stateKey, s.encode()), get))
	return string(get.Value)
}

func stateOf(t *testing.T, client storage.Client) state {
	t.Helper()
	data, err := client.Get(t.Context(), stateKey)
	require.NoError(t, err)
	s, err := parseState(data)
	require.NoError(t, err)
	return s
}

// items reads so many items.
func items(t *testing.T, client storage.Client, n int) (all []string) {
	t.Helper()
	s := stateOf(t, client)
	for range n {
		all = append(all, next(t, client, &s))
	}
	return all
}

func TestWhatWasUnderWay(t *testing.T) {
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprint("full: ", full), func(t *testing.T) {
			m := queue(5, 7, 2, 3, 4)
			before := maps.Clone(m.values)
			m.full = full
			client, err := m.open(t)
			require.NoError(t, err)
			assert.Equal(t, before, m.values, "nothing is written")
			s := stateOf(t, client)
			assert.Equal(t, state{read: 2, write: 7, others: fields(1, 10, 2, 1000)}, s)
			assert.Equal(t, []string{"marked item 2", "marked item 3", "marked item 4", "item 5", "item 6"}, items(t, client, 5))
		})
	}
}

// A process that is killed again and again knows of every item that was under way in any of its lives.
func TestKilledAgain(t *testing.T) {
	m := queue(5, 8, 2, 3, 4)
	client, err := m.open(t)
	require.NoError(t, err)
	assert.Equal(t, []string{"marked item 2"}, items(t, client, 1))
	client, err = m.open(t)
	require.NoError(t, err)
	assert.Equal(t, []string{"marked item 2", "marked item 3", "marked item 4", "item 5"}, items(t, client, 4))
	client, err = m.open(t)
	require.NoError(t, err)
	assert.Equal(t, []string{"marked item 2", "marked item 3", "marked item 4", "marked item 5", "item 6", "item 7"}, items(t, client, 6))
}

// What is done with leaves places that the queue passes over. If they are many, the items are put together first.
func TestHoles(t *testing.T) {
	const far = maxHoles + 10
	m := queue(10, 11, 2, 7)
	client, err := m.open(t)
	require.NoError(t, err)
	assert.Equal(t, []string{"marked item 2", "", "", "", "", "marked item 7", "", "", "item 10"}, items(t, client, 9))

	m = queue(far, far+1, 2, 7, far-1)
	client, err = m.open(t)
	require.NoError(t, err)
	assert.Len(t, m.values, 5)
	assert.Equal(t, []string{"marked item 2", "marked item 7", fmt.Sprint("marked item ", far-1), fmt.Sprint("item ", far)}, items(t, client, 4))

	// The queue had deleted one, and was about to note it.
	m = queue(far, far+1, 2, 7)
	delete(m.values, "7")
	client, err = m.open(t)
	require.NoError(t, err)
	assert.Equal(t, []string{"marked item 2", fmt.Sprint("item ", far)}, items(t, client, 2))

	m = queue(far, far+1, 2)
	m.full = true
	client, err = m.open(t)
	require.NoError(t, err)
	assert.Equal(t, []string{"marked item 2", ""}, items(t, client, 2))
}

func TestNothingUnderWay(t *testing.T) {
	for name, m := range map[string]*memory{"new": {values: map[string][]byte{}}, "idle": queue(5, 6)} {
		before := maps.Clone(m.values)
		client, err := m.open(t)
		require.NoError(t, err, name)
		data, err := client.Get(t.Context(), stateKey)
		require.NoError(t, err)
		assert.Equal(t, before[stateKey], data, name)
		assert.Equal(t, before, m.values, name)
	}
	client, err := queue(5, 6).open(t)
	require.NoError(t, err)
	assert.Equal(t, []string{"item 5"}, items(t, client, 1))
}

func TestDamaged(t *testing.T) {
	f := func(key string, value []byte) {
		t.Helper()
		m := queue(0, 6)
		m.values[key] = value
		before := maps.Clone(m.values)
		_, err := m.open(t)
		require.ErrorContains(t, err, `"logs" of memory in memory: the queue's state is damaged`)
		require.ErrorContains(t, err, "move its file away")
		assert.True(t, m.closed)
		assert.Equal(t, before, m.values)
	}
	f(unsureKey, []byte{0xff})
	f(stateKey, []byte{0xff})
	f(stateKey, nil)
	f(stateKey, fields(3, 7, 4, 6))
	f(stateKey, protowire.AppendVarint(protowire.AppendTag(nil, fieldWriteIndex, protowire.VarintType), 6))

	m := queue(5, 6)
	delete(m.values, stateKey)
	m.values[unsureKey] = []byte("5")
	_, err := m.open(t)
	require.ErrorContains(t, err, "the queue's state is damaged: it is missing")
	// Earlier versions kept it in another way.
	m.values[legacyStateKey] = []byte("12345678")
	_, err = m.open(t)
	require.NoError(t, err)
}

// The queue finds the state that was read when it was opened, since it would begin anew if it could not read it.
func TestStateIsReadOnce(t *testing.T) {
	m := queue(5, 6)
	state := m.values[stateKey]
	client, err := m.open(t)
	require.NoError(t, err)
	delete(m.values, stateKey)
	data, err := client.Get(t.Context(), stateKey)
	require.NoError(t, err)
	assert.Equal(t, state, data)
}

// Where nothing can be written, only what the queue reads an item by succeeds.
func TestFull(t *testing.T) {
	m := queue(5, 7)
	client, err := m.open(t)
	require.NoError(t, err)
	m.full = true
	assert.Equal(t, []string{"item 5"}, items(t, client, 1))
	require.Error(t, client.Batch(t.Context(), storage.SetOperation(stateKey, nil), storage.SetOperation("7", []byte("item 7"))))
	require.Error(t, client.Batch(t.Context(), storage.DeleteOperation("5")))
}
