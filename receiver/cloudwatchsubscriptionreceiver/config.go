// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configopaque"
)

// Config is the configuration of the receiver.
type Config struct {
	// ServerConfig is the Collector's HTTP server. Its authentication guards every path but that of the health check.
	ServerConfig confighttp.ServerConfig `mapstructure:",squash"`

	// SubscriptionPath takes the messages of CloudWatch Logs subscription filters. Empty: it is off, as with the others.
	SubscriptionPath string `mapstructure:"subscription_path"`
	// FirehosePath takes requests of Firehose's HTTP endpoint delivery.
	FirehosePath string `mapstructure:"firehose_path"`
	// S3Path takes the bytes of one S3 object.
	S3Path string `mapstructure:"s3_path"`
	// LokiPushPath takes requests of Loki's push API.
	LokiPushPath string `mapstructure:"loki_push_path"`

	// FirehoseAccessKey guards FirehosePath instead of the server's authentication, for Firehose sends no Authorization
	// header. Empty: it does not.
	FirehoseAccessKey configopaque.String `mapstructure:"firehose_access_key"`

	// MaxDecodedBytes is the most that one request may decode to; for Firehose and S3 one record or line. Default: 64 MiB.
	MaxDecodedBytes int64 `mapstructure:"max_decoded_bytes"`
	// MaxInFlightBytes is how much memory requests may hold together, from their first byte until the pipeline has them.
	// Default: 64 MiB.
	MaxInFlightBytes int64 `mapstructure:"max_in_flight_bytes"`
	// Dedup recognises second deliveries.
	Dedup DedupConfig `mapstructure:"dedup"`
}

// DedupConfig says which documents are remembered once they were acknowledged.
type DedupConfig struct {
	// Window is for how long. Default: 1h. 0: second deliveries are handed on.
	Window time.Duration `mapstructure:"window"`
	// MaxEntries is how many: the oldest are forgotten. Default: 1,000,000.
	MaxEntries int `mapstructure:"max_entries"`
	// Storage is the extension that keeps them through a restart. None: memory only.
	Storage *component.ID `mapstructure:"storage"`
}

var _ component.Config = (*Config)(nil)

// Validate reports all that is wrong with the configuration.
func (c *Config) Validate() error {
	errs := []error{c.validateEndpoint(), c.validatePaths(), c.validateAccessKey()}
	if c.ServerConfig.MaxRequestBodySize < 0 {
		errs = append(errs, fmt.Errorf("`max_request_body_size` must not be negative, found %d", c.ServerConfig.MaxRequestBodySize))
	}
	switch {
	case c.MaxDecodedBytes <= 0:
		errs = append(errs, fmt.Errorf("`max_decoded_bytes` must be positive, found %d", c.MaxDecodedBytes))
	case c.MaxDecodedBytes > maxMaxDecodedBytes:
		errs = append(errs, fmt.Errorf("`max_decoded_bytes` must be at most %d, found %d", int64(maxMaxDecodedBytes), c.MaxDecodedBytes))
	}
	if c.MaxInFlightBytes <= 0 {
		errs = append(errs, fmt.Errorf("`max_in_flight_bytes` must be positive, found %d", c.MaxInFlightBytes))
	}
	for _, algorithm := range c.ServerConfig.CompressionAlgorithms {
		if !slices.Contains(algorithms, algorithm) {
			errs = append(errs, fmt.Errorf("`compression_algorithms` must be of %q, found %q", algorithms, algorithm))
		}
	}
	return errors.Join(errs...)
}

// maxMaxDecodedBytes is more than anybody has memory for, and leaves room to count with.
const maxMaxDecodedBytes = 1 << 40

// algorithms are those that bodies may have. What is gzip is inflated in any case.
var algorithms = []string{"", "gzip"}

func (c *Config) validateEndpoint() error {
	address := c.ServerConfig.NetAddr
	switch address.Transport {
	case confignet.TransportTypeTCP, confignet.TransportTypeTCP4, confignet.TransportTypeTCP6:
	case confignet.TransportTypeUnix:
		if address.Endpoint == "" {
			return errors.New("`endpoint` must be the path of a socket, found none")
		}
		return nil
	default:
		return fmt.Errorf("`transport` must be tcp, tcp4, tcp6 or unix, found %q", address.Transport)
	}
	_, port, err := net.SplitHostPort(address.Endpoint)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("`endpoint` must be host:port, found %q: %w", address.Endpoint, err)
	}
	return nil
}

// validatePaths says what is wrong with the paths, each of which leads to one input.
func (c *Config) validatePaths() error {
	var errs []error
	taken := map[string]string{readyPath: "the health check"}
	for _, p := range []struct{ key, path string }{
		{"subscription_path", c.SubscriptionPath},
		{"firehose_path", c.FirehosePath},
		{"s3_path", c.S3Path},
		{"loki_push_path", c.LokiPushPath},
	} {
		if p.path == "" {
			continue
		}
		u, err := url.Parse(p.path)
		switch {
		case !strings.HasPrefix(p.path, "/"):
			errs = append(errs, fmt.Errorf("`%s` must begin with a slash, found %q", p.key, p.path))
		case err != nil || u.Path != p.path:
			errs = append(errs, fmt.Errorf("`%s` must be a path as it stands in requests, without query and escape sequences, found %q", p.key, p.path))
		case taken[p.path] != "":
			errs = append(errs, fmt.Errorf("`%s` must not be %s, which is the path of %s", p.key, p.path, taken[p.path]))
		default:
			taken[p.path] = "`" + p.key + "`"
		}
	}
	if len(taken) == 1 && len(errs) == 0 {
		errs = append(errs, errors.New("`subscription_path`, `firehose_path`, `s3_path` and `loki_push_path` are empty: the receiver would take nothing"))
	}
	return errors.Join(errs...)
}

// maxAccessKey is the length of the longest key that Firehose takes.
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_HttpEndpointConfiguration.html
const maxAccessKey = 4096

func (c *Config) validateAccessKey() error {
	switch {
	case c.FirehoseAccessKey == "":
		return nil
	case c.FirehosePath == "":
		return errors.New("`firehose_access_key` is set, but `firehose_path` is empty")
	case len(c.FirehoseAccessKey) > maxAccessKey:
		return fmt.Errorf("`firehose_access_key` must have at most %d characters, found %d", maxAccessKey, len(c.FirehoseAccessKey))
	}
	return nil
}

// Validate reports all that is wrong with the settings.
func (c *DedupConfig) Validate() error {
	var errs []error
	if c.Window < 0 {
		errs = append(errs, fmt.Errorf("`window` must not be negative, found %s", c.Window))
	}
	if c.Window > 0 && c.MaxEntries <= 0 {
		errs = append(errs, fmt.Errorf("`max_entries` must be positive, found %d; `window: 0` switches dedup off", c.MaxEntries))
	}
	return errors.Join(errs...)
}
