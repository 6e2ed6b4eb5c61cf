// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
)

// Timestamps says which records get a new timestamp.
type Timestamps string

const (
	// TimestampsAlways gives every record the time of its arrival.
	TimestampsAlways Timestamps = "always"
	// TimestampsAsNeeded gives a new timestamp to the records that Loki would
	// refuse for the one they have.
	TimestampsAsNeeded Timestamps = "as_needed"
	// TimestampsNever leaves every timestamp as it came.
	TimestampsNever Timestamps = "never"
)

var acceptedTimestamps = []string{string(TimestampsAlways), string(TimestampsAsNeeded), string(TimestampsNever)}

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

	// MaxAge is how far a record may lie behind the newest of its stream: half
	// of Loki's ingester.max_chunk_age (default 1h). For "as_needed".
	MaxAge time.Duration `mapstructure:"max_age"`

	// StreamAttributes are the resource attributes that make a stream: those
	// that the exporter makes labels of (default: those of the Loki exporter's
	// default labels). For "as_needed".
	StreamAttributes []string `mapstructure:"stream_attributes"`

	// MaxAgeAbsolute is how old a record may be: Loki's
	// reject_old_samples_max_age (default 168h). For "as_needed".
	MaxAgeAbsolute time.Duration `mapstructure:"max_age_absolute"`

	// MaxFuture is how far a record may lie ahead of this Collector's clock:
	// Loki's creation_grace_period (default 10m). For "as_needed".
	MaxFuture time.Duration `mapstructure:"max_future"`

	// MaxStreams is how many streams are remembered (default 100000). For
	// "as_needed".
	MaxStreams int `mapstructure:"max_streams"`

	// IdleTimeout is how long a stream is remembered after its latest record
	// (default 2h). For "as_needed".
	IdleTimeout time.Duration `mapstructure:"idle_timeout"`

	// OriginalAttribute is the record attribute that keeps the timestamp which
	// was replaced (default "log.record.original_timestamp"). Empty: not kept.
	OriginalAttribute string `mapstructure:"original_attribute"`

	// InOrder hands batches on one at a time, in the order in which they got
	// their timestamps (default true). For "always" and "as_needed".
	InOrder bool `mapstructure:"in_order"`

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
	errs := []error{c.Timestamps.check()}
	for _, d := range []struct {
		key          string
		found, least time.Duration
	}{
		{"max_age", c.MaxAge, 0},
		{"max_age_absolute", c.MaxAgeAbsolute, 1},
		{"max_future", c.MaxFuture, 0},
		{"idle_timeout", c.IdleTimeout, 1},
	} {
		if d.found < d.least {
			errs = append(errs, fmt.Errorf("`%s` must be at least %s, but is %s", d.key, d.least, d.found))
		}
	}
	if c.MaxStreams < 1 {
		errs = append(errs, fmt.Errorf("`max_streams` must be at least 1, but is %d", c.MaxStreams))
	}
	for i, name := range c.StreamAttributes {
		if name == "" {
			errs = append(errs, fmt.Errorf("`stream_attributes::%d` must not be empty", i))
		} else if slices.Contains(c.StreamAttributes[:i], name) {
			errs = append(errs, fmt.Errorf("`stream_attributes::%d` is %q a second time", i, name))
		}
	}
	if c.Instance.Enabled && c.Instance.Attribute == "" {
		errs = append(errs, errors.New("`instance::attribute` must not be empty when `instance::enabled` is true"))
	}
	return errors.Join(errs...)
}
