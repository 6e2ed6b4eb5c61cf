// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseSocketAddr(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got, err := parseSocketAddr(text)
		require.NoError(t, err)
		assert.Equal(t, netip.MustParseAddrPort(want), got)
	}
	f("0100007F:1F90", "127.0.0.1:8080")
	f("00000000:0050", "0.0.0.0:80")
	f("00000000000000000000000001000000:0DAC", "[::1]:3500")
	f("00000000000000000000000000000000:0DAC", "[::]:3500")
	f("0000000000000000FFFF00000100007F:0DAC", "127.0.0.1:3500")
	for _, text := range []string{"", "0100007F", "01:01", "xx:01", "0100007F:12345"} {
		_, err := parseSocketAddr(text)
		assert.Error(t, err, text)
	}
}
