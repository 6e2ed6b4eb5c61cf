// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package queuestorage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.opentelemetry.io/collector/extension/xextension/storage"
	"google.golang.org/protobuf/encoding/protowire"
)

// stateKey is what the queue keeps its state under. An item is under its index, in decimal.
const stateKey = "qmv0"

// Fields of the queue's state (exporterhelper, internal/queue/meta.proto).
const (
	fieldReadIndex  = 3
	fieldWriteIndex = 4
	fieldDispatched = 5
)

var (
	errDamaged      = errors.New("the queue's state is damaged")
	errUnknownState = errors.New("the queue's state is of an unknown form")
)

// state is the queue's, as far as it matters here.
type state struct {
	// read is the index of the item that is read next, and write that of the next one to be written.
	read, write uint64
	// dispatched are the indexes of items that were read and are not done with, all less than read.
	dispatched []uint64
	// others are the fields that do not matter.
	others []byte
}

// recoverItems puts the items that were under way before those that were not, in their order, and marks them. It returns
// how many there are. It does all of it or nothing.
func recoverItems(ctx context.Context, client storage.Client, mark func([]byte) []byte) (moved int, err error) {
	data, err := client.Get(ctx, stateKey)
	if err != nil || len(data) == 0 {
		return 0, err
	}
	s, err := parseState(data)
	if err != nil || len(s.dispatched) == 0 {
		return 0, err
	}
	items, err := s.items(ctx, client)
	if err != nil {
		return 0, err
	}
	var ops []*storage.Operation
	for _, item := range items {
		ops = append(ops, storage.DeleteOperation(item.Key))
	}
	s.read -= uint64(len(items))
	s.dispatched = nil
	for i, item := range items {
		ops = append(ops, storage.SetOperation(itemKey(s.read+uint64(i)), mark(item.Value)))
	}
	ops = append(ops, storage.SetOperation(stateKey, s.encode()))
	if err := client.Batch(ctx, ops...); err != nil {
		return 0, fmt.Errorf("write the items that were under way: %w", err)
	}
	return len(items), nil
}

// items reads those that were under way, in their order. The queue may have been about to delete one that is not there.
func (s *state) items(ctx context.Context, client storage.Client) ([]*storage.Operation, error) {
	slices.Sort(s.dispatched)
	items := make([]*storage.Operation, len(s.dispatched))
	for i, index := range s.dispatched {
		items[i] = storage.GetOperation(itemKey(index))
	}
	if err := client.Batch(ctx, items...); err != nil {
		return nil, fmt.Errorf("read the items that were under way: %w", err)
	}
	return slices.DeleteFunc(items, func(op *storage.Operation) bool { return op.Value == nil }), nil
}

func itemKey(index uint64) string { return strconv.FormatUint(index, 10) }

// parseState reads what the queue has written.
func parseState(data []byte) (s state, err error) {
	for len(data) > 0 {
		number, wireType, n := protowire.ConsumeTag(data)
		if n < 0 {
			return state{}, errDamaged
		}
		size := protowire.ConsumeFieldValue(number, wireType, data[n:])
		if size < 0 {
			return state{}, errDamaged
		}
		field, value := data[:n+size], data[n:n+size]
		data = data[n+size:]
		switch {
		case number == fieldReadIndex && wireType == protowire.Fixed64Type:
			s.read, _ = protowire.ConsumeFixed64(value)
		case number == fieldWriteIndex && wireType == protowire.Fixed64Type:
			s.write, _ = protowire.ConsumeFixed64(value)
		case number == fieldDispatched:
			if s.dispatched, err = appendIndexes(s.dispatched, wireType, value); err != nil {
				return state{}, err
			}
		case number < fieldReadIndex && wireType == protowire.Fixed64Type:
			s.others = append(s.others, field...)
		default:
			return state{}, errUnknownState
		}
	}
	return s, s.check()
}

// appendIndexes reads a repeated field, packed or not.
func appendIndexes(indexes []uint64, wireType protowire.Type, value []byte) ([]uint64, error) {
	switch wireType {
	case protowire.Fixed64Type:
	case protowire.BytesType:
		value, _ = protowire.ConsumeBytes(value)
	default:
		return nil, errUnknownState
	}
	for len(value) > 0 {
		index, n := protowire.ConsumeFixed64(value)
		if n < 0 {
			return nil, errDamaged
		}
		indexes = append(indexes, index)
		value = value[n:]
	}
	return indexes, nil
}

// check says whether the indexes are such as the queue has them.
func (s *state) check() error {
	seen := map[uint64]bool{}
	for _, index := range s.dispatched {
		if index >= s.read || seen[index] {
			return errUnknownState
		}
		seen[index] = true
	}
	if s.read > s.write {
		return errUnknownState
	}
	return nil
}

// encode writes the state without items that are under way.
func (s *state) encode() []byte {
	data := slices.Clone(s.others)
	data = protowire.AppendFixed64(protowire.AppendTag(data, fieldReadIndex, protowire.Fixed64Type), s.read)
	return protowire.AppendFixed64(protowire.AppendTag(data, fieldWriteIndex, protowire.Fixed64Type), s.write)
}
