// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package bytesize

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

// As the Collector reads it from a configuration.
func TestUnmarshal(t *testing.T) {
	read := func(value any) (Size, error) {
		var config struct {
			Size Size `mapstructure:"size"`
		}
		err := confmap.NewFromStringMap(map[string]any{"size": value}).Unmarshal(&config)
		return config.Size, err
	}
	f := func(value any, want Size) {
		t.Helper()
		got, err := read(value)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	f(262144, 262144)
	f(0, 0)
	f("0", 0)
	f("262144", 262144)
	f("256KiB", 262144)
	f("256 KiB", 262144)
	f("256kb", 256000)
	f("1MiB", 1<<20)

	for value, want := range map[string]string{
		"much":    `"much" is not a size in bytes like 262144 or 256KiB`,
		"-1KiB":   "is not a size in bytes",
		"":        "is not a size in bytes",
		"10000EB": "is not a size in bytes",
		"10EB":    "is too large",
	} {
		_, err := read(value)
		require.ErrorContains(t, err, want)
	}
}
