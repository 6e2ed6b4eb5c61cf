// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTake(t *testing.T) {
	var reserved int64
	limit := int64(4 * Portion)
	refused := errors.New("no memory now")
	a := Allowance{Reserve: func(n int64) error {
		if reserved+n > limit {
			return refused
		}
		reserved += n
		return nil
	}}
	taken := int64(0)
	for _, n := range []int64{1, 100, Portion, Portion + 1, 0, 7} {
		require.NoError(t, a.Take(n))
		taken += n
		assert.GreaterOrEqual(t, reserved, taken, "no more is given out than was asked for")
		assert.LessOrEqual(t, reserved, taken+2*Portion, "and not much more is asked for")
	}
	require.ErrorIs(t, a.Take(2*Portion), refused)
	require.NoError(t, a.Take(1), "what is left is there still")

	var unasked Allowance
	require.NoError(t, unasked.Take(1<<40))
}
