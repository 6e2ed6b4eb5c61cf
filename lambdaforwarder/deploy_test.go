// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// notDeployed are lambda-promtail's variables of which the forwarder has none: it refuses the first when it is set.
var notDeployed = []string{"LOKI_STAGE_CONFIGS", "PIPELINE_TIMEOUT"}

// listedVariables are those of the README's tables, less those that Lambda sets.
func listedVariables(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\|").FindAllStringSubmatch(string(content), -1) {
		if !strings.HasPrefix(row[1], "AWS_") {
			listed = append(listed, row[1])
		}
	}
	require.Contains(t, listed, "WRITE_ADDRESS")
	return listed
}

// variablesOf gives the names that entry finds in the part of a file in deploy/ that block matches.
func variablesOf(t *testing.T, path, block, entry string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "deploy", path))
	require.NoError(t, err)
	part := regexp.MustCompile(block).FindAll(content, -1)
	require.Len(t, part, 1, "the environment of one function")
	var names []string
	for _, match := range regexp.MustCompile(entry).FindAllStringSubmatch(string(part[0]), -1) {
		names = append(names, match[1])
	}
	require.Contains(t, names, "WRITE_ADDRESS")
	return names
}

// The template sets what the README lists, and nothing else.
func TestTemplateSetsListedVariables(t *testing.T) {
	t.Parallel()
	set := variablesOf(t, "cloudformation/template.yaml",
		`(?m)^        Variables:\n(          .+\n)+`, `(?m)^          ([A-Z_]+): `)
	listed := listedVariables(t)
	assert.Subset(t, listed, set)
	assert.Subset(t, append(set, notDeployed...), listed)
}

// The Terraform module sets what the README lists, and takes any other from its map.
func TestModuleSetsListedVariables(t *testing.T) {
	t.Parallel()
	set := variablesOf(t, "terraform/main.tf",
		`(?ms)^  environment = merge\(var\.environment, \{.+?\}\)$`, `(?m)^    ([A-Z_]+) += `)
	assert.Subset(t, listedVariables(t), set)
}

// An alarm on a metric that the forwarder does not write would stay quiet for good.
func TestAlarmsWatchWrittenMetrics(t *testing.T) {
	t.Parallel()
	f := func(path, list, entry string) {
		t.Helper()
		content, err := os.ReadFile(filepath.Join("..", "deploy", path))
		require.NoError(t, err)
		part := regexp.MustCompile(list).FindSubmatch(content)
		require.Len(t, part, 2, path)
		var watched []string
		for _, match := range regexp.MustCompile(entry).FindAllSubmatch(part[1], -1) {
			watched = append(watched, string(match[1]))
		}
		assert.Equal(t, []string{metricFailures, metricRefusedLines}, watched, path)
	}
	f("cloudformation/template.yaml",
		`(?m)^  Fn::ForEach::ForwarderAlarms:\n    - ForwarderMetric\n    - \[(.+)\]$`, `(\w+)`)
	f("terraform/alarms.tf", `(?ms)^  forwarder_alarms = \{$(.+?)^  \}$`, `(?m)^    (\w+) +=`)
}
