// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
)

// cutWriter fails once so many bytes were written, after a call of cut.
type cutWriter struct {
	io.Writer
	left int
	cut  func()
}

func (c *cutWriter) Write(b []byte) (int, error) {
	if len(b) < c.left {
		c.left -= len(b)
		return c.Writer.Write(b)
	}
	n, err := c.Writer.Write(b[:c.left])
	if err == nil {
		c.cut()
		err = errors.New("cut")
	}
	return n, err
}

// awaitReceived waits until one of the receiver's own metrics is no longer zero.
func (p *pipeline) awaitReceived(name string, labels ...string) error {
	return stack.Eventually(p.Context(), settled, func(ctx context.Context) error {
		metrics, err := p.collector.Metrics(ctx)
		if err == nil && metrics.Sum(receiverMetrics+name, labels...) == 0 {
			err = fmt.Errorf("%s %q is zero", name, labels)
		}
		return err
	})
}

// Whoever was cut off has no answer, and sends the whole object again. What was taken the first time is recognised.
func TestS3ObjectCutOff(t *testing.T) {
	p := startReceiver(t, fast)
	o := s3Object{key: "cut.gz", lines: 60_000, noise: 126}
	_, err := p.put(o, 0, func(w io.Writer) error {
		return o.write(&cutWriter{w, 4_000_000, func() {
			assert.NoError(t, p.awaitReceived("records", "input", "s3", "outcome", "accepted"))
		}})
	})
	require.ErrorContains(t, err, "cut")
	require.NoError(t, p.awaitReceived("requests", "input", "s3", "http_response_status_code", "408"))
	before := p.received("records", "input", "s3", "outcome", "accepted")
	require.Less(t, before, o.lines)
	require.Zero(t, p.deliver(o, 0))
	t.Logf("%d of %d lines were taken before", before, o.lines)
	assert.Equal(t, o.lines, p.received("records", "input", "s3", "outcome", "accepted"))
	assert.Equal(t, before, p.received("records", "input", "s3", "outcome", "repeated"))
	p.untilSent()
	p.requireObject(o)
}
