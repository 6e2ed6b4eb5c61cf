// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package stacktest starts the parts of a stack for one test: a part that does not start fails the test, each is stopped
// when the test ends, and the end of its log is shown when the test has failed.
package stacktest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
)

// StartLoki starts Loki in a temporary folder.
func StartLoki(tb testing.TB, opts stack.LokiOptions) *stack.Loki {
	tb.Helper()
	loki, err := stack.StartLoki(tb.Context(), tb.TempDir(), opts)
	require.NoError(tb, err)
	cleanup(tb, loki.Process)
	return loki
}

// StartCollector starts the collector in a temporary folder.
func StartCollector(tb testing.TB, configPath string, env map[string]string, opts stack.CollectorOptions) *stack.Collector {
	tb.Helper()
	collector, err := stack.StartCollector(tb.Context(), tb.TempDir(), configPath, env, opts)
	require.NoError(tb, err)
	cleanup(tb, collector.Process)
	return collector
}

// StartForwarder starts the forwarder in a temporary folder.
func StartForwarder(tb testing.TB, runtimeAPIAddr string, env map[string]string, opts stack.ForwarderOptions) *stack.Process {
	tb.Helper()
	forwarder, err := stack.StartForwarder(tb.Context(), tb.TempDir(), runtimeAPIAddr, env, opts)
	require.NoError(tb, err)
	cleanup(tb, forwarder)
	return forwarder
}

// StartS3 starts an S3 server in a temporary folder.
func StartS3(tb testing.TB) *stack.S3 {
	tb.Helper()
	s3, err := stack.StartS3(tb.Context(), tb.TempDir(), stack.S3Options{})
	require.NoError(tb, err)
	cleanup(tb, s3.Process)
	return s3
}

func cleanup(tb testing.TB, p *stack.Process) {
	tb.Helper()
	tb.Cleanup(func() {
		assert.NoError(tb, p.Stop())
		if tb.Failed() {
			tb.Log(p.Tail())
		}
	})
}
