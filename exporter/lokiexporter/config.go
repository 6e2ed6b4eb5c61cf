// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/awsloki/awsloki/internal/lokipush"
	"github.com/awsloki/awsloki/internal/tenant"
)

// Config is the configuration of the Loki exporter.
type Config struct {
	// ClientConfig is the Collector's HTTP client. Its endpoint is the whole URL of the push API.
	ClientConfig confighttp.ClientConfig `mapstructure:",squash"`
	// QueueConfig is the Collector's sending queue. Its bytes are those of Loki's wire format, uncompressed.
	QueueConfig configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	// RetryConfig says how to try again where Loki may take the same lines another time. Default: without end.
	RetryConfig configretry.BackOffConfig `mapstructure:"retry_on_failure"`

	// Tenant is whose logs they are. Default: Loki has one tenant only.
	Tenant TenantConfig `mapstructure:"tenant"`
	// Labels are the attributes that become labels. The first that is there gives the value, where several make one label.
	Labels []LabelConfig `mapstructure:"labels"`
	// StaticLabels are given to every stream in which no attribute gives that label.
	StaticLabels map[string]string `mapstructure:"static_labels"`
	// StructuredMetadata says which of the other attributes go along with each line.
	StructuredMetadata StructuredMetadataConfig `mapstructure:"structured_metadata"`
}

// TenantConfig says whose logs they are, in a Loki with many tenants.
type TenantConfig struct {
	// Value is the X-Scope-OrgID. Default: none.
	Value string `mapstructure:"value"`
}

// LabelConfig makes a label of an attribute.
type LabelConfig struct {
	// Attribute is the attribute's name.
	Attribute string `mapstructure:"attribute"`
	// Label is the label's name. Default: the attribute's, with underscores for what no label may hold.
	Label string `mapstructure:"label"`
	// From is where the attribute is: "resource" (default) or "record".
	From lokipush.Source `mapstructure:"from"`
}

// StructuredMetadataConfig says which attributes go along with each line.
type StructuredMetadataConfig struct {
	// Mode is "rest" (default: every attribute that is no label), "list" or "none".
	Mode lokipush.MetadataMode `mapstructure:"mode"`
	// Attributes are those of mode "list".
	Attributes []string `mapstructure:"attributes"`
}

var _ component.Config = (*Config)(nil)

// Validate reports all that is wrong with the configuration.
func (c *Config) Validate() error {
	return errors.Join(
		validateEndpoint(c.ClientConfig.Endpoint),
		c.validateClient(),
		c.validateBatch(),
		c.Tenant.validate(),
		c.validateLabels(),
		c.StructuredMetadata.validate(),
	)
}

// validateEndpoint shows what it found only where no password can be in it.
func validateEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	found := ""
	if !strings.ContainsAny(endpoint, "@?") {
		found = fmt.Sprintf(", found %q", endpoint)
	}
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fmt.Errorf("`endpoint` must be a URL like %s%s", defaultEndpoint, found)
	case strings.Trim(u.Path, "/") == "":
		return fmt.Errorf("`endpoint` must have the path of the push API, like %s%s", defaultEndpoint, found)
	}
	return nil
}

func (c *Config) validateClient() error {
	var errs []error
	if c.ClientConfig.Compression.IsCompressed() {
		errs = append(errs, fmt.Errorf("`compression` must be none, found %q: Loki's wire format is compressed already", c.ClientConfig.Compression))
	}
	if c.ClientConfig.Timeout < 0 {
		errs = append(errs, fmt.Errorf("`timeout` must not be negative, found %s", c.ClientConfig.Timeout))
	}
	for name := range c.ClientConfig.Headers.Iter {
		if c.Tenant.Value != "" && http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey(tenant.Header) {
			errs = append(errs, fmt.Errorf("`headers::%s` and `tenant::value` exclude each other", name))
		}
	}
	return errors.Join(errs...)
}

// maxBatchBytes is what Loki can pass on between its parts, by default (grpc_server_max_recv_msg_size).
const maxBatchBytes = 4 << 20

func (c *Config) validateBatch() error {
	queue := c.QueueConfig.Get()
	if queue == nil || !queue.Batch.HasValue() {
		return nil
	}
	batch := queue.Batch.Get()
	if batch.Sizer != exporterhelper.RequestSizerTypeBytes {
		return errors.New("`sending_queue::batch::sizer` must be bytes: Loki's limits are in bytes")
	}
	if batch.MaxSize <= 0 || batch.MaxSize >= maxBatchBytes {
		return fmt.Errorf("`sending_queue::batch::max_size` must be positive and below %d, found %d: Loki cannot pass on more", maxBatchBytes, batch.MaxSize)
	}
	return nil
}

func (c *Config) validateLabels() error {
	var errs []error
	for i, label := range c.Labels {
		if err := lokipush.LabelRule(label).Check(); err != nil {
			errs = append(errs, fmt.Errorf("`labels::%d`: %w", i, err))
		}
	}
	for name, value := range c.StaticLabels {
		if err := lokipush.CheckStaticLabel(name, value); err != nil {
			errs = append(errs, fmt.Errorf("`static_labels::%s`: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *TenantConfig) validate() error {
	if c.Value == "" {
		return nil
	}
	if err := tenant.Check(c.Value); err != nil {
		return fmt.Errorf("`tenant::value`: %w", err)
	}
	return nil
}

func (c *StructuredMetadataConfig) validate() error {
	if err := c.Mode.Check(); err != nil {
		return fmt.Errorf("`structured_metadata::mode`: %w", err)
	}
	if slices.Contains(c.Attributes, "") {
		return errors.New("`structured_metadata::attributes` has an empty name")
	}
	if list := c.Mode == lokipush.MetadataList; list != (len(c.Attributes) > 0) {
		return fmt.Errorf("`structured_metadata::attributes` must be given with `structured_metadata::mode` %q, and only then; the mode is %q",
			lokipush.MetadataList, c.Mode)
	}
	return nil
}

func (c *Config) mapping() lokipush.Mapping {
	rules := make([]lokipush.LabelRule, len(c.Labels))
	for i, label := range c.Labels {
		rules[i] = lokipush.LabelRule(label)
	}
	return lokipush.Mapping{
		Labels:             rules,
		StaticLabels:       c.StaticLabels,
		Metadata:           c.StructuredMetadata.Mode,
		MetadataAttributes: c.StructuredMetadata.Attributes,
	}
}
