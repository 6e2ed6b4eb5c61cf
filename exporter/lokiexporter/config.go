// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"errors"
	"fmt"
	"net/url"

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
	_, err := lokipush.NewEncoder(c.mapping())
	if err != nil {
		err = fmt.Errorf("`labels`, `static_labels` or `structured_metadata`: %w", err)
	}
	return errors.Join(c.validateClient(), c.Tenant.validate(), err, c.StructuredMetadata.validate())
}

func (c *Config) validateClient() error {
	var err error
	if c.ClientConfig.Compression.IsCompressed() {
		err = fmt.Errorf("`compression` must be none, found %q: Loki's wire format is compressed already", c.ClientConfig.Compression)
	}
	return errors.Join(validateEndpoint(c.ClientConfig.Endpoint), err)
}

func validateEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		// The text of the error repeats the URL, with its password.
		return errors.New("`endpoint` is not a URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("`endpoint` must be a URL like %s, found %q", defaultEndpoint, u.Redacted())
	case u.Path == "" || u.Path == "/":
		return fmt.Errorf("`endpoint` must have the path of the push API, like %s, found %q", defaultEndpoint, u.Redacted())
	}
	return nil
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
