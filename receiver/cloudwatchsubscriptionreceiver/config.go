// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
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
	var errs []error
	if _, _, err := net.SplitHostPort(c.ServerConfig.NetAddr.Endpoint); err != nil && !c.unixSocket() {
		errs = append(errs, fmt.Errorf("`endpoint` must be host:port, found %q: %w", c.ServerConfig.NetAddr.Endpoint, err))
	}
	if c.ServerConfig.MaxRequestBodySize < 0 {
		errs = append(errs, fmt.Errorf("`max_request_body_size` must not be negative, found %d", c.ServerConfig.MaxRequestBodySize))
	}
	if c.MaxDecodedBytes <= 0 {
		errs = append(errs, fmt.Errorf("`max_decoded_bytes` must be positive, found %d", c.MaxDecodedBytes))
	}
	return errors.Join(append(errs, c.validatePath())...)
}

func (c *Config) unixSocket() bool { return c.ServerConfig.NetAddr.Transport == "unix" }

func (c *Config) validatePath() error {
	switch {
	case c.SubscriptionPath == "":
		return errors.New("`subscription_path` is empty, and there is no other input: the receiver would take nothing")
	case !strings.HasPrefix(c.SubscriptionPath, "/"):
		return fmt.Errorf("`subscription_path` must begin with a slash, found %q", c.SubscriptionPath)
	case c.SubscriptionPath == readyPath:
		return fmt.Errorf("`subscription_path` must not be %s, which is the path of the health check", readyPath)
	}
	return nil
}
