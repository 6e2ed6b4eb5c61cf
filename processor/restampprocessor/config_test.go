// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/awsloki/awsloki/exporter/lokiexporter"
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
		name   string
		change func(*Config)
	}{
		{"", func(*Config) {}},
		{"all", func(cfg *Config) {
			*cfg = Config{
				Timestamps:        TimestampsAsNeeded,
				MaxAge:            45 * time.Minute,
				StreamAttributes:  []string{"service.name", "aws.log.group.names"},
				MaxAgeAbsolute:    24 * time.Hour,
				MaxFuture:         5 * time.Minute,
				MaxStreams:        10,
				IdleTimeout:       time.Minute,
				OriginalAttribute: "source.timestamp",
				Instance:          InstanceConfig{Attribute: "promtail", Value: "promtail-0"},
			}
		}},
		{"never", func(cfg *Config) { cfg.Timestamps = TimestampsNever }},
		{"not_kept", func(cfg *Config) { cfg.OriginalAttribute = "" }},
		{"one_stream", func(cfg *Config) { cfg.StreamAttributes = []string{} }},
		{"no_attribute_needed", func(cfg *Config) { cfg.Instance = InstanceConfig{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := createDefaultConfig().(*Config)
			tt.change(want)
			cfg, err := load(t, tt.name)
			require.NoError(t, err)
			assert.Equal(t, want, cfg)
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, "")
	require.NoError(t, err)
	var labels []string
	for _, label := range lokiexporter.NewFactory().CreateDefaultConfig().(*lokiexporter.Config).Labels {
		labels = append(labels, label.Attribute)
	}
	assert.Equal(t, labels, cfg.StreamAttributes, "the default labels of the Loki exporter, in its order")
	cfg.StreamAttributes = nil
	assert.Equal(t, &Config{
		Timestamps:        TimestampsAlways,
		MaxAge:            time.Hour,
		MaxAgeAbsolute:    168 * time.Hour,
		MaxFuture:         10 * time.Minute,
		MaxStreams:        100_000,
		IdleTimeout:       2 * time.Hour,
		OriginalAttribute: "log.record.original_timestamp",
		InOrder:           true,
		Instance:          InstanceConfig{Enabled: true, Attribute: "collector.instance.id"},
	}, cfg)
}

func TestLoadConfigRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, want string }{
		{"sometimes", "decoding failed due to the following error(s):\n\n" +
			"'timestamps' `timestamps` must be one of always, as_needed, never, but is \"sometimes\""},
		{"unknown_key", "decoding failed due to the following error(s):\n\n'restampprocessor.Config' has invalid keys: max_ages"},
		{"no_attribute", "`instance::attribute` must not be empty when `instance::enabled` is true"},
		{"negative", "`max_age` must be at least 0s, but is -1s\n" +
			"`max_age_absolute` must be at least 1ns, but is 0s\n" +
			"`max_future` must be at least 0s, but is -1m0s\n" +
			"`idle_timeout` must be at least 1ns, but is 0s\n" +
			"`max_streams` must be at least 1, but is 0"},
		{"stream_attributes", "`stream_attributes::1` must not be empty\n`stream_attributes::2` is \"service.name\" a second time"},
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
	cfg := createDefaultConfig().(*Config)
	cfg.Timestamps = "sometimes"
	cfg.Instance.Attribute = ""
	assert.EqualError(t, confmap.Validate(cfg), "`timestamps` must be one of always, as_needed, never, but is \"sometimes\"\n"+
		"`instance::attribute` must not be empty when `instance::enabled` is true")
}
