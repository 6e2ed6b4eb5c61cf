// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
)

func readREADME(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(content)
}

// variableRow matches a row of the README's tables of environment variables.
var variableRow = regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (.*?) \\|")

// The README lists the variables that are read, no others, each once.
func TestREADMEListsVariables(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	_, err := config.Load(func(key string) string {
		read[key] = true
		return map[string]string{"WRITE_ADDRESS": "http://collector"}[key]
	})
	require.NoError(t, err)
	var listed []string
	for _, row := range variableRow.FindAllStringSubmatch(readREADME(t), -1) {
		listed = append(listed, row[1])
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(read)), listed)
}

// A default in the README, given as the value, changes nothing.
func TestREADMEDefaults(t *testing.T) {
	t.Parallel()
	env := map[string]string{"WRITE_ADDRESS": "http://loki/loki/api/v1/push"}
	want, err := config.Load(func(key string) string { return env[key] })
	require.NoError(t, err)
	quoted := regexp.MustCompile("^`(.+)`$")
	for _, row := range variableRow.FindAllStringSubmatch(readREADME(t), -1) {
		if value := quoted.FindStringSubmatch(row[2]); value != nil {
			env[row[1]] = value[1]
		}
	}
	require.Len(t, env, 14, "WRITE_ADDRESS and the variables that have a default: %v", env)
	got, err := config.Load(func(key string) string { return env[key] })
	require.NoError(t, err)
	assert.Equal(t, want, got)
}
