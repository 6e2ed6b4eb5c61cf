// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"net/http"
	"time"
)

const (
	initialBackoff = 100 * time.Millisecond
	maxBackoff     = 5 * time.Second
)

// backoff is the longest pause after that many attempts. The pause itself is
// drawn evenly between zero and this ("full jitter"), so that forwarders that
// failed together do not come back together:
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
func backoff(attempts int) time.Duration {
	pause := initialBackoff
	for range attempts - 1 {
		if pause *= 2; pause >= maxBackoff {
			return maxBackoff
		}
	}
	return pause
}

// retryable tells whether sending the same message again may give another answer.
func retryable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	default:
		return status >= 500
	}
}
