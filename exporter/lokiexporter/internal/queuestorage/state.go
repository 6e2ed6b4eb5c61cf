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

const (
	// stateKey is what the queue keeps its state under. An item is under its index, in decimal.
	stateKey = "qmv0"
	// legacyStateKey is part of what earlier versions kept, which the queue reads itself.
	legacyStateKey = "ri"
	// unsureKey is ours: the index before which all items are marked, in decimal.
	unsureKey = "awsloki_unsure_before"
)

// Fields of the queue's state (exporterhelper, internal/queue/meta.proto).
const (
	fieldReadIndex  = 3
	fieldWriteIndex = 4
	fieldDispatched = 5
)

var errDamaged = errors.New("the queue's state is damaged")

// state is the queue's, as far as it matters here.
type state struct {
	// read is the index of the item that is read next, and write that of the next one to be written.
	read, write uint64
	// dispatched are the indexes of items that were read and are not done with, in order and all less than read.
	dispatched []uint64
	// others are the fields that do not matter.
	others []byte
}

// readAgain returns the state in which the queue reads next what is at this index, and nothing is under way.
func (s *state) readAgain(index uint64) []byte {
	data := slices.Clone(s.others)
	data = protowire.AppendFixed64(protowire.AppendTag(data, fieldReadIndex, protowire.Fixed64Type), index)
	return protowire.AppendFixed64(protowire.AppendTag(data, fieldWriteIndex, protowire.Fixed64Type), s.write)
}

// closeUp moves the items that were under way to the places right before those that were not, in their order, and returns
// the index of the first. Until the queue writes its state, it is that of the items under way in their new places.
func (s *state) closeUp(ctx context.Context, client storage.Client) (first uint64, err error) {
	items := make([]*storage.Operation, len(s.dispatched))
	for i, index := range s.dispatched {
		items[i] = storage.GetOperation(string(formatIndex(index)))
	}
	if err := client.Batch(ctx, items...); err != nil {
		return 0, fmt.Errorf("read the items that were under way: %w", err)
	}
	// The queue may have been about to note that it had deleted one.
	items = slices.DeleteFunc(items, func(op *storage.Operation) bool { return op.Value == nil })
	first = s.read - uint64(len(items))
	moved := *s
	moved.dispatched = nil
	var ops []*storage.Operation
	for i, item := range items {
		moved.dispatched = append(moved.dispatched, first+uint64(i))
		// From the last on, none takes the place of one that is still to be moved.
		ops = append([]*storage.Operation{storage.SetOperation(string(formatIndex(first+uint64(i))), item.Value)}, ops...)
	}
	ops = append(ops, storage.SetOperation(stateKey, moved.encode()))
	for _, index := range s.dispatched {
		if index < first {
			ops = append(ops, storage.DeleteOperation(string(formatIndex(index))))
		}
	}
	if err := client.Batch(ctx, ops...); err != nil {
		return 0, fmt.Errorf("write the items that were under way: %w", err)
	}
	return first, nil
}

func (s *state) encode() []byte {
	data := s.readAgain(s.read)
	for _, index := range s.dispatched {
		data = protowire.AppendFixed64(protowire.AppendTag(data, fieldDispatched, protowire.Fixed64Type), index)
	}
	return data
}

func formatIndex(index uint64) []byte { return strconv.AppendUint(nil, index, 10) }

// parseIndex reads an index, 0 where there is none.
func parseIndex(text []byte) (uint64, error) {
	if len(text) == 0 {
		return 0, nil
	}
	index, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0, errDamaged
	}
	return index, nil
}

// parseState reads what the queue has written, or nothing.
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
		case number == fieldReadIndex || number == fieldWriteIndex:
			return state{}, errDamaged
		default: // sizes, and what later versions may have
			s.others = append(s.others, field...)
		}
	}
	slices.Sort(s.dispatched)
	return s, s.check()
}

// appendIndexes reads a repeated field, packed or not.
func appendIndexes(indexes []uint64, wireType protowire.Type, value []byte) ([]uint64, error) {
	switch wireType {
	case protowire.Fixed64Type:
	case protowire.BytesType:
		value, _ = protowire.ConsumeBytes(value)
	default:
		return nil, errDamaged
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

// check says whether the indexes, which are in order, are such as the queue has them.
func (s *state) check() error {
	for i, index := range s.dispatched {
		if index >= s.read || i > 0 && index == s.dispatched[i-1] {
			return errDamaged
		}
	}
	if s.read > s.write {
		return errDamaged
	}
	return nil
}
