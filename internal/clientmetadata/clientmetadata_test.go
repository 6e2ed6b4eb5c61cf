// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package clientmetadata

import (
	"maps"
	"net"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/client"
)

func TestWith(t *testing.T) {
	f := func(name string, before map[string][]string, want map[string][]string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			addr := &net.IPAddr{IP: net.IPv4(127, 0, 0, 1)}
			ctx := client.NewContext(t.Context(), client.Info{Addr: addr, Metadata: client.NewMetadata(before)})
			got := client.FromContext(With(ctx, "X-Key", "new"))
			assert.Equal(t, addr, got.Addr)
			assert.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(got.Metadata.Keys()))
			for key, values := range want {
				assert.Equal(t, values, got.Metadata.Get(key))
			}
			for key, values := range before {
				assert.Equal(t, values, client.FromContext(ctx).Metadata.Get(key), "the context of before")
			}
		})
	}
	f("nothing before", nil, map[string][]string{"x-key": {"new"}})
	f("others", map[string][]string{"X-Other": {"a", "b"}}, map[string][]string{"x-key": {"new"}, "x-other": {"a", "b"}})
	f("replaced", map[string][]string{"x-KEY": {"old", "older"}}, map[string][]string{"x-key": {"new"}})

	assert.Equal(t, []string{"new"}, client.FromContext(With(t.Context(), "X-Key", "new")).Metadata.Get("x-key"), "no client known")
}
