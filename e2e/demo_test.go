// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
)

// The demo ends well, and shows every line of the events in testdata.
func TestDemo(t *testing.T) {
	demo := exec.CommandContext(t.Context(), "go", "run", "./demo")
	demo.Env = append(os.Environ(), "LOKI_URL=")
	output, err := demo.CombinedOutput()
	require.NoError(t, err, string(output))

	files, err := filepath.Glob("../testdata/events/*.json")
	require.NoError(t, err)
	lines := 0
	for _, file := range files {
		event, err := os.ReadFile(file)
		require.NoError(t, err)
		message, err := cloudwatch.ParseLambdaEvent(event)
		require.NoError(t, err)
		if message.MessageType == cloudwatch.ControlMessage {
			continue
		}
		for _, e := range message.LogEvents {
			lines++
			assert.Equal(t, 1, strings.Count(string(output), e.ID))
		}
	}
	assert.NotZero(t, lines)
}
