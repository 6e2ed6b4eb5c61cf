// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/awsloki/awsloki/processor/restampprocessor/internal/metadata"
)

// load reads the component of that name from testdata/config.yaml and validates it.
func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	file, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	id := component.NewIDWithName(metadata.Type, name)
	require.True(t, file.IsSet(id.String()), "no section %s", id)
	section, err := file.Sub(id.String())
	require.NoError(t, err)

	cfg := NewFactory().CreateDefaultConfig().(*Config)
	if err := section.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestLoadConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		want *Config
	}{
		{"", &Config{
			Timestamps:        TimestampsAlways,
			OriginalAttribute: "log.record.original_timestamp",
			Instance:          InstanceConfig{Enabled: true, Attribute: "collector.instance.id"},
		}},
		{"all", &Config{
			Timestamps:        TimestampsNever,
			OriginalAttribute: "source.timestamp",
			Instance:          InstanceConfig{Attribute: "promtail", Value: "promtail-0"},
		}},
		{"not_kept", &Config{
			Timestamps: TimestampsAlways,
			Instance:   InstanceConfig{Enabled: true, Attribute: "collector.instance.id"},
		}},
		{"no_attribute_needed", &Config{
			Timestamps:        TimestampsAlways,
			OriginalAttribute: "log.record.original_timestamp",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := load(t, tt.name)
			require.NoError(t, err)
			assert.Equal(t, tt.want, cfg)
		})
	}
}

func TestLoadConfigRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, want string }{
		{"as_needed", "decoding failed due to the following error(s):\n\n" +
			"'timestamps' `timestamps` must be one of always, never, but is \"as_needed\""},
		{"unknown_key", "decoding failed due to the following error(s):\n\n'restampprocessor.Config' has invalid keys: max_age"},
		{"no_attribute", "`instance::attribute` must not be empty when `instance::enabled` is true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tt.name)
			assert.EqualError(t, err, tt.want)
		})
	}
}

// TestValidateReportsEverything has a configuration that was built in Go, which
// can be wrong in ways that one read from a file cannot.
func TestValidateReportsEverything(t *testing.T) {
	t.Parallel()
	err := confmap.Validate(&Config{Timestamps: "sometimes", Instance: InstanceConfig{Enabled: true}})
	assert.EqualError(t, err, "`timestamps` must be one of always, never, but is \"sometimes\"\n"+
		"`instance::attribute` must not be empty when `instance::enabled` is true")
}
