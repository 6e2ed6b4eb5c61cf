// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package retryafter

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 10, 12, 8, 27, 15, 0, time.UTC)
	f := func(value string, want time.Duration) {
		t.Helper()
		assert.Equal(t, want, Parse(http.Header{"Retry-After": {value}}, now), value)
	}
	f("", 0)
	f("soon", 0)
	f("0", 0)
	f("-3", 0)
	f("3", 3*time.Second)
	f("9223372036854775807", longest)
	f("92233720368547758070", 0)
	f("Mon, 12 Oct 2026 08:28:15 GMT", time.Minute)
	f("Mon, 12 Oct 2026 08:27:14 GMT", 0)
	f("Monday, 12-Oct-26 08:28:15 GMT", time.Minute) // RFC 850, which RFC 9110 says to accept
	f("1.5", 0)
	f("Mon, 12 Oct 2126 08:28:15 GMT", longest)
	assert.Zero(t, Parse(nil, now))
}
