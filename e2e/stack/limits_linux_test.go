// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestLimitFileSize(t *testing.T) {
	p, err := StartProcess(t.Context(), Command{
		Name: "limited", Path: executable(t), Env: map[string]string{envProgram: "lambda"}, Dir: t.TempDir(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Kill()) })
	limit := func() uint64 {
		t.Helper()
		var now unix.Rlimit
		require.NoError(t, unix.Prlimit(p.PID(), unix.RLIMIT_FSIZE, nil, &now))
		return now.Cur
	}
	require.NoError(t, p.LimitFileSize(4096))
	assert.Equal(t, uint64(4096), limit())
	require.NoError(t, p.LimitFileSize(0))
	assert.Equal(t, uint64(math.MaxUint64), limit())
	require.NoError(t, p.Kill())
	assert.ErrorIs(t, p.LimitFileSize(4096), os.ErrProcessDone)
}

// A file that was only made larger takes no room.
func TestLargestFile(t *testing.T) {
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "a"))
	require.NoError(t, err)
	_, err = file.Write(make([]byte, 10_000))
	require.NoError(t, err)
	require.NoError(t, file.Sync(), "some file systems say only then what it takes")
	require.NoError(t, file.Close())
	sparse := filepath.Join(dir, "b")
	require.NoError(t, os.WriteFile(sparse, []byte("b"), 0o600))
	require.NoError(t, os.Truncate(sparse, 1<<30))
	largest, err := LargestFile(dir)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, largest, int64(10_000))
	assert.Less(t, largest, int64(1<<20))
	_, err = LargestFile(filepath.Join(dir, "missing"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}
