// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package queuestorage stands between the Collector's persistent queue and the storage that the queue is in, and does
// what the queue leaves undone:
//
//   - What was under way when the process ended it deletes and puts at the end, one item at a time: a process that is
//     killed meanwhile loses items, and Loki refuses what is overtaken by an hour of others. Here they stay in their
//     places, in one transaction, and are marked as what Loki may have already.
//   - If it cannot read what it has noted about itself, it begins anew, and overwrites what waits. Here it does not start.
//   - An item that it reads while the storage has no room left to note that it does, it deletes. Here it is read.
//
// It knows how the queue of exporterhelper v0.158 stores itself (internal/queue/persistent_queue.go). What is stored in
// another way it leaves alone.
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

// GetClient implements storage.Extension. What was under way is in its place when the queue reads it.
func (e queueExtension) GetClient(ctx context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	client, err := e.Extension.GetClient(ctx, kind, id, name)
	if err != nil {
		return nil, err
	}
	moved, err := recoverItems(ctx, client, e.host.mark)
	switch {
	case errors.Is(err, errDamaged):
		return nil, errors.Join(fmt.Errorf("%s of %s in %s: %w: move its file away to start without what waits in it", name, id, e.host.id, err), client.Close(ctx))
	case err != nil:
		// The queue itself finds them as well.
		e.host.logger.Error("What was under way when the process ended could not be put back in its place.", zap.Error(err))
	case moved > 0:
		e.host.logger.Info("What was under way when the process ended is sent first. Loki may have some of it.", zap.Int("batches", moved))
	}
	return &queueClient{Client: client, logger: e.host.logger}, nil
}

// queueClient is the queue's way to its storage.
type queueClient struct {
	storage.Client
	logger *zap.Logger
}

// Batch implements storage.Client. The one batch of the queue's that reads and writes is that in which it reads an item
// and notes that the item is under way. If it cannot be noted, the item is read all the same: a process that is killed
// then takes it for one that was never read.
func (c *queueClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	err := c.Client.Batch(ctx, ops...)
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
