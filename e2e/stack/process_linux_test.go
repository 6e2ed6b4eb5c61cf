// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Only Linux ends children with their parent.
func TestChildrenDieWithParent(t *testing.T) {
	dir := t.TempDir()
	parent, err := StartProcess(t.Context(), Command{
		Name: "parent", Path: executable(t), Dir: dir, Env: map[string]string{envProgram: "parent", "DIR": dir},
	})
	require.NoError(t, err)
	require.NoError(t, Eventually(t.Context(), time.Minute, func(context.Context) error {
		if parent.Running() {
			return errors.New("parent still runs")
		}
		return nil
	}))
	log, err := parent.Log()
	require.NoError(t, err)
	child, err := strconv.Atoi(strings.TrimSpace(log))
	require.NoError(t, err, log)
	require.NoError(t, Eventually(t.Context(), time.Minute, func(context.Context) error {
		if alive(child) {
			return fmt.Errorf("child %d still runs", child)
		}
		return nil
	}))
}

// alive reports whether a process runs that is not ours to wait for: whoever inherits it may leave it as a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}
