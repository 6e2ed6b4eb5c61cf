// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package tenant

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	require.NoError(t, Check("team-1"))
	require.NoError(t, Check("A!-_.*'()z9"))
	require.NoError(t, Check(strings.Repeat("x", 150)))
	f := func(id, want string) {
		t.Helper()
		assert.EqualError(t, Check(id), want)
	}
	f("", "a tenant must not be empty")
	f(".", `a tenant must not be "."`)
	f("..", `a tenant must not be ".."`)
	f(strings.Repeat("x", 151), "a tenant has at most 150 characters, found 151")
	f("a b", `a tenant holds only letters, digits and !-_.*'(), found "a b"`)
	f("a|b", `a tenant holds only letters, digits and !-_.*'(), found "a|b"`)
	f("ä", `a tenant holds only letters, digits and !-_.*'(), found "ä"`)
}
