// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMemory(t *testing.T) {
	p, err := StartProcess(t.Context(), Command{
		Name: "lambda", Path: executable(t), Dir: t.TempDir(), Env: map[string]string{envProgram: "lambda"},
		ReadyLog: "environment:", DiesOfSIGTERM: true,
	})
	require.NoError(t, err)
	m, err := p.Memory()
	require.NoError(t, err)
	assert.Greater(t, m.Resident, int64(100<<10))
	assert.GreaterOrEqual(t, m.Peak, m.Resident)
	assert.Positive(t, m.Own)
	assert.LessOrEqual(t, m.Own, m.Resident)
	assert.Less(t, m.Peak, int64(1<<30))
	require.NoError(t, p.Stop())
	_, err = p.Memory()
	assert.ErrorContains(t, err, "memory of lambda: ")
}
