// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package queuestorage

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// fields writes fixed64 fields: number, value, number, value, ...
func fields(numbersAndValues ...uint64) (data []byte) {
	for i := 0; i < len(numbersAndValues); i += 2 {
		data = protowire.AppendTag(data, protowire.Number(numbersAndValues[i]), protowire.Fixed64Type)
		data = protowire.AppendFixed64(data, numbersAndValues[i+1])
	}
	return data
}

// packed writes a repeated field as protobuf encoders do.
func packed(indexes ...uint64) []byte {
	var content []byte
	for _, index := range indexes {
		content = binary.LittleEndian.AppendUint64(content, index)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, fieldDispatched, protowire.BytesType), content)
}

func TestParseState(t *testing.T) {
	f := func(data []byte, want state, wantErr error) {
		t.Helper()
		got, err := parseState(data)
		require.ErrorIs(t, err, wantErr)
		if wantErr == nil {
			assert.Equal(t, want, got)
		}
	}
	sizes := fields(1, 100, 2, 2000)
	f(nil, state{}, nil)
	f(append(sizes, fields(3, 7, 4, 9)...), state{read: 7, write: 9, others: sizes}, nil)
	f(append(fields(3, 7, 4, 9), packed(6, 2)...), state{read: 7, write: 9, dispatched: []uint64{2, 6}}, nil)
	f(fields(3, 7, 4, 9, 5, 6, 5, 2), state{read: 7, write: 9, dispatched: []uint64{2, 6}}, nil)
	f(packed(1), state{}, errDamaged) // not read yet
	f(append(fields(3, 7, 4, 9), packed(6, 6)...), state{}, errDamaged)
	f(fields(3, 7, 4, 6), state{}, errDamaged)
	f(fields(3, 7, 4, 9, 6, 1), state{read: 7, write: 9, others: fields(6, 1)}, nil)
	f(protowire.AppendVarint(protowire.AppendTag(nil, fieldReadIndex, protowire.VarintType), 7), state{}, errDamaged)
	f(sizes[:len(sizes)-1], state{}, errDamaged)
	f([]byte{0xff}, state{}, errDamaged)
	f(append(fields(3, 7, 4, 9), protowire.AppendBytes(protowire.AppendTag(nil, fieldDispatched, protowire.BytesType), []byte("odd"))...), state{}, errDamaged)
}

func FuzzParseState(f *testing.F) {
	f.Add(append(fields(1, 100, 2, 2000, 3, 7, 4, 9), packed(6, 2)...))
	f.Add(fields(3, 7, 4, 9, 5, 6, 5, 2))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data)
		if err != nil {
			return
		}
		again, err := parseState(s.encode())
		if err != nil || again.read != s.read || again.write != s.write || !slices.Equal(again.dispatched, s.dispatched) {
			t.Errorf("%+v is written as %+v: %v", s, again, err)
		}
	})
}
