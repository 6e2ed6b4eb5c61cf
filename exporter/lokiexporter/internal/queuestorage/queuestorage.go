// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package queuestorage stands between the Collector's persistent queue and the storage that the queue is in, and does
// what the queue leaves undone:
//
//   - What was under way when the process ended it deletes, and puts at the end, one item at a time. A process that is
//     killed meanwhile, or finds the disk full, loses items; and Loki refuses what is overtaken by an hour of others. Here
//     they stay in their places, nothing is written, and they are marked as what Loki may have already.
//   - If it cannot read what it has noted about itself, it begins anew, and overwrites what waits. Here it does not start.
//   - An item that it reads while the storage has no room left to note that it does, it deletes. Here it is read.
//
// It knows how the queue of exporterhelper v0.158 stores itself (internal/queue/persistent_queue.go).
package queuestorage

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

// Host returns a host whose storage extension of this id gives its clients to persistent queues by way of this package.
// mark returns an item as one of which a part may have been sent.
func Host(host component.Host, id component.ID, mark func(item []byte) []byte, logger *zap.Logger) component.Host {
	return queueHost{Host: host, id: id, mark: mark, logger: logger}
}

type queueHost struct {
	component.Host
	id     component.ID
	mark   func([]byte) []byte
	logger *zap.Logger
}

// GetExtensions implements component.Host.
func (h queueHost) GetExtensions() map[component.ID]component.Component {
	extensions := maps.Clone(h.Host.GetExtensions())
	if found, ok := extensions[h.id].(storage.Extension); ok {
		extensions[h.id] = queueExtension{Extension: found, host: h}
	}
	return extensions
}

type queueExtension struct {
	storage.Extension
	host queueHost
}

// GetClient implements storage.Extension.
func (e queueExtension) GetClient(ctx context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	inner, err := e.Extension.GetClient(ctx, kind, id, name)
	if err != nil {
		return nil, err
	}
	client := &queueClient{Client: inner, mark: e.host.mark, logger: e.host.logger}
	if err := client.load(ctx); err != nil {
		err = fmt.Errorf("%q of %s in %s: %w", name, id, e.host.id, err)
		if errors.Is(err, errDamaged) {
			err = fmt.Errorf("%w: move its file away to start without what waits in it", err)
		}
		return nil, errors.Join(err, inner.Close(ctx))
	}
	return client, nil
}

// queueClient is the queue's way to its storage. The queue makes one call at a time.
type queueClient struct {
	storage.Client
	mark   func([]byte) []byte
	logger *zap.Logger

	// state is what the queue is to find in the place of the state in storage. nil: that one.
	state []byte
	// unsureBefore is the index before which all items are marked. It is written together with the queue's next state.
	unsureBefore   uint64
	isUnsureStored bool
}

// load finds out what was under way when the process ended, and what the queue is to find as its state: that which was
// read here, so that it cannot fail to read it.
func (c *queueClient) load(ctx context.Context) error {
	keys := []string{stateKey, unsureKey, legacyStateKey, string(formatIndex(0))}
	ops := make([]*storage.Operation, len(keys))
	for i, key := range keys {
		ops[i] = storage.GetOperation(key)
	}
	if err := c.Client.Batch(ctx, ops...); err != nil {
		return fmt.Errorf("read the queue's state: %w", err)
	}
	var err error
	if c.unsureBefore, err = parseIndex(ops[1].Value); err != nil {
		return err
	}
	c.isUnsureStored = true
	if len(ops[0].Value) == 0 {
		if isNew := ops[1].Value == nil && ops[3].Value == nil; !isNew && ops[2].Value == nil {
			return fmt.Errorf("%w: it is missing", errDamaged)
		}
		return nil
	}
	s, err := parseState(ops[0].Value)
	if err != nil {
		return err
	}
	c.state = ops[0].Value
	if len(s.dispatched) == 0 {
		return nil
	}
	c.logger.Info("What was under way when the process ended is sent first. Loki may have some of it.", zap.Int("items", len(s.dispatched)))
	if s.read > c.unsureBefore {
		c.unsureBefore, c.isUnsureStored = s.read, false
	}
	c.state = s.readAgain(c.firstToRead(ctx, s))
	return nil
}

// maxHoles is how many places without an item the queue may have to pass over, each in a transaction.
const maxHoles = 1000

// firstToRead returns the index from which the queue is to read the items that were under way. If many that are done with are
// between them, they are put next to each other first, in one transaction, and if that cannot be, they stay where they are.
func (c *queueClient) firstToRead(ctx context.Context, s state) uint64 {
	first := s.dispatched[0]
	if s.read-first-uint64(len(s.dispatched)) <= maxHoles {
		return first
	}
	moved, err := s.closeUp(ctx, c.Client)
	if err != nil {
		c.logger.Warn("What was under way when the process ended is sent first, but there are many places between that the queue has to pass over.", zap.Error(err))
		return first
	}
	return moved
}

// Get implements storage.Client.
func (c *queueClient) Get(ctx context.Context, key string) ([]byte, error) {
	if key == stateKey && c.state != nil {
		return c.state, nil
	}
	return c.Client.Get(ctx, key)
}

// Batch implements storage.Client.
func (c *queueClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if err := c.batch(ctx, ops); err != nil {
		return err
	}
	for _, op := range ops {
		if op.Type != storage.Get || op.Value == nil {
			continue
		}
		if index, err := parseIndex([]byte(op.Key)); err == nil && index < c.unsureBefore {
			op.Value = c.mark(op.Value)
		}
	}
	return nil
}

// batch has the one batch of the queue's that reads and writes, in which it reads an item and notes that the item is under
// way, read the item also if it cannot be noted. A process that is killed then takes it for one that was never read.
func (c *queueClient) batch(ctx context.Context, ops []*storage.Operation) error {
	err := c.write(ctx, ops)
	if err == nil {
		return nil
	}
	var reads []*storage.Operation
	for _, op := range ops {
		if op.Type == storage.Get {
			reads = append(reads, op)
		}
	}
	if len(reads) == 0 || len(reads) == len(ops) {
		return err
	}
	if readErr := c.Client.Batch(ctx, reads...); readErr != nil {
		return fmt.Errorf("%w, and without noting it: %w", err, readErr)
	}
	c.logger.Warn("What is read from the queue cannot be noted as being under way.", zap.Error(err))
	return nil
}

// write does what the queue wants, and with the queue's state stores before which index items are marked.
func (c *queueClient) write(ctx context.Context, ops []*storage.Operation) error {
	isState := false
	for _, op := range ops {
		isState = isState || op.Type == storage.Set && op.Key == stateKey
	}
	if !isState {
		return c.Client.Batch(ctx, ops...)
	}
	if !c.isUnsureStored {
		ops = append([]*storage.Operation{storage.SetOperation(unsureKey, formatIndex(c.unsureBefore))}, ops...)
	}
	if err := c.Client.Batch(ctx, ops...); err != nil {
		return err
	}
	c.isUnsureStored, c.state = true, nil
	return nil
}
