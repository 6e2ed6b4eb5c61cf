// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/awsevents"
	"github.com/awsloki/awsloki/e2e/lambdaruntime"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

const (
	largeLines = 500_000
	largeLine  = 1000
	// moreMemory is how much more than at its start the forwarder may take for an object of any size.
	moreMemory = 25 << 20
)

// An object of 500 MB goes through the forwarder in memory that does not depend on its size. The collector decodes it, and
// throws it away.
func TestForwarderLargeObject(t *testing.T) {
	s3 := stacktest.StartS3(t)
	require.NoError(t, s3.CreateBucket(t.Context(), bucket))
	const discard = "exporters: {debug: {verbosity: basic}}\nservice: {pipelines: {logs: {exporters: [debug]}}}"
	p := &pipeline{T: t}
	p.collector = stacktest.StartCollector(t, shippedConfig, map[string]string{"LOKI_URL": "http://127.0.0.1:1/loki/api/v1/push"},
		stack.CollectorOptions{Args: []string{"--config", "yaml:" + discard}})

	function, err := lambdaruntime.Start()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, function.Close()) })
	env := s3.Env()
	env["WRITE_ADDRESS"] = p.collector.URL()
	forwarder := stacktest.StartForwarder(t, function.Addr(), env, stack.ForwarderOptions{})
	invoke := func(o awsevents.Object) {
		result, err := function.Invoke(t.Context(), awsevents.S3("ObjectCreated:Put", o), 10*time.Minute)
		require.NoError(t, err)
		require.Nil(t, result.FunctionError)
	}
	m := &eventMaker{T: t, s3: s3, mark: "small"}
	invoke(m.object("small"))
	before, err := forwarder.Memory()
	require.NoError(t, err)

	file, err := os.Create(filepath.Join(t.TempDir(), "large"))
	require.NoError(t, err)
	defer func() { assert.NoError(t, file.Close()) }()
	w := bufio.NewWriterSize(file, 1<<20)
	rest := strings.Repeat("x", largeLine-9)
	for n := range largeLines {
		_, _ = fmt.Fprintf(w, "%07d %s\n", n, rest) // an error is Flush's, too
	}
	require.NoError(t, w.Flush())
	_, err = file.Seek(0, 0)
	require.NoError(t, err)
	etag, err := s3.Put(t.Context(), bucket, "large", file)
	require.NoError(t, err)
	invoke(awsevents.Object{Bucket: bucket, Key: "large", ETag: etag, Size: largeLines * largeLine, Time: time.Now()})

	assert.Equal(t, largeLines+len(m.lines), p.received("records", "outcome", "accepted"))
	after, err := forwarder.Memory()
	require.NoError(t, err)
	t.Logf("the forwarder: %s before, %s after", before, after)
	assert.Less(t, after.Peak-before.Resident, int64(moreMemory))
}
