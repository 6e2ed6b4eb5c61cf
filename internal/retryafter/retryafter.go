// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package retryafter reads the HTTP header by which a server says when to come back.
package retryafter

import (
	"net/http"
	"strconv"
	"time"
)

// longest is longer than anybody waits, and keeps times from overflowing.
const longest = 24 * time.Hour

// Parse reads a Retry-After header, which holds seconds or a date (RFC 9110, section 10.2.3). It is 0 for a header
// that is absent, past or neither.
func Parse(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(longest/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), longest)
	}
	return 0
}
