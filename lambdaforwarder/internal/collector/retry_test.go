// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	want := []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000}
	for i, w := range want {
		assert.Equal(t, w*time.Millisecond, backoff(i+1), "after %d attempts", i+1)
	}
	assert.Equal(t, 5*time.Second, backoff(1_000_000))
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	want := map[int]bool{408: true, 425: true, 429: true}
	for status := 100; status < 600; status++ {
		assert.Equal(t, want[status] || status >= 500, retryable(status), "status %d", status)
	}
}
