// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
)

// Timestamps says which records get a new timestamp.
type Timestamps string

const (
	// TimestampsAlways gives every record the time of its arrival.
	TimestampsAlways Timestamps = "always"
	// TimestampsNever leaves every timestamp as it came.
	TimestampsNever Timestamps = "never"
)

var acceptedTimestamps = []string{string(TimestampsAlways), string(TimestampsNever)}

// UnmarshalText accepts the values that the constants name and no others.
func (t *Timestamps) UnmarshalText(text []byte) error {
	v := Timestamps(text)
	if err := v.check(); err != nil {
		return err
	}
	*t = v
	return nil
}

func (t Timestamps) check() error {
	if slices.Contains(acceptedTimestamps, string(t)) {
		return nil
	}
	return fmt.Errorf("`timestamps` must be one of %s, but is %q", strings.Join(acceptedTimestamps, ", "), string(t))
}

// Config is the configuration of the restamp processor.
type Config struct {
	// Timestamps says which records get a new timestamp (default "always").
	Timestamps Timestamps `mapstructure:"timestamps"`

	// OriginalAttribute is the record attribute that keeps the timestamp which
	// was replaced (default "log.record.original_timestamp"). Empty: not kept.
	OriginalAttribute string `mapstructure:"original_attribute"`

	// Instance is the mark that keeps the streams of two Collectors apart.
	Instance InstanceConfig `mapstructure:"instance"`
}

// InstanceConfig describes the resource attribute that names this Collector.
type InstanceConfig struct {
	// Enabled adds the attribute to every resource that lacks it (default true).
	Enabled bool `mapstructure:"enabled"`

	// Attribute is the attribute's name (default "collector.instance.id").
	Attribute string `mapstructure:"attribute"`

	// Value is the attribute's value. Empty: the host's name.
	Value string `mapstructure:"value"`
}

var _ component.Config = (*Config)(nil)

// Validate reports everything that is wrong with the configuration.
func (c *Config) Validate() error {
	// A configuration built in Go has not been through UnmarshalText.
	errs := c.Timestamps.check()
	if c.Instance.Enabled && c.Instance.Attribute == "" {
		errs = errors.Join(errs, errors.New("`instance::attribute` must not be empty when `instance::enabled` is true"))
	}
	return errs
}
