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

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/confignet"
)

// Config is the configuration of the receiver.
type Config struct {
	// ServerConfig is the Collector's HTTP server. Its authentication guards every path but that of the health check.
	ServerConfig confighttp.ServerConfig `mapstructure:",squash"`

	// SubscriptionPath takes the messages of CloudWatch Logs subscription filters. Empty: it is off.
	SubscriptionPath string `mapstructure:"subscription_path"`
	// MaxDecodedBytes is the most that one request may decode to. Default: 64 MiB.
	MaxDecodedBytes int64 `mapstructure:"max_decoded_bytes"`
}

var _ component.Config = (*Config)(nil)

// Validate reports all that is wrong with the configuration.
func (c *Config) Validate() error {
	errs := []error{c.validateEndpoint(), c.validatePath()}
	if c.ServerConfig.MaxRequestBodySize < 0 {
		errs = append(errs, fmt.Errorf("`max_request_body_size` must not be negative, found %d", c.ServerConfig.MaxRequestBodySize))
	}
	if c.MaxDecodedBytes <= 0 {
		errs = append(errs, fmt.Errorf("`max_decoded_bytes` must be positive, found %d", c.MaxDecodedBytes))
	}
	for _, algorithm := range c.ServerConfig.CompressionAlgorithms {
		if !slices.Contains(algorithms, algorithm) {
			errs = append(errs, fmt.Errorf("`compression_algorithms` must be of %q, found %q", algorithms, algorithm))
		}
	}
	return errors.Join(errs...)
}

// algorithms are those that confighttp knows. One that it does not know, it takes, and fails with each request.
var algorithms = []string{"", "gzip", "zstd", "zlib", "snappy", "deflate", "lz4", "x-snappy-framed"}

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

func (c *Config) validatePath() error {
	path := c.SubscriptionPath
	u, err := url.Parse(path)
	switch {
	case path == "":
		return errors.New("`subscription_path` is empty, and there is no other input: the receiver would take nothing")
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("`subscription_path` must begin with a slash, found %q", path)
	case err != nil || u.Path != path:
		return fmt.Errorf("`subscription_path` must be a path as it stands in requests, without query and escape sequences, found %q", path)
	case path == readyPath:
		return fmt.Errorf("`subscription_path` must not be %s, which is the path of the health check", readyPath)
	}
	return nil
}
