// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/bytesize"
	"github.com/awsloki/awsloki/internal/lokihints"
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

	// Resend says what to do with lines that Loki may have already.
	Resend ResendConfig `mapstructure:"resend"`

	// Encoding is "protobuf" (default), compressed by snappy, or "json", compressed by gzip.
	Encoding lokipush.Encoding `mapstructure:"encoding"`
	// Strict sends each stream in a request of its own. Only then do Loki's answers tell of every line that it refuses.
	Strict bool `mapstructure:"strict"`
	// Tenant is whose logs they are. Default: Loki has one tenant only.
	Tenant TenantConfig `mapstructure:"tenant"`
	// Labels are the attributes that become labels. The first that is there gives the value, where several make one label.
	Labels []LabelConfig `mapstructure:"labels"`
	// StaticLabels are given to every stream in which no attribute gives that label.
	StaticLabels map[string]string `mapstructure:"static_labels"`
	// StructuredMetadata says which of the other attributes go along with each line.
	StructuredMetadata StructuredMetadataConfig `mapstructure:"structured_metadata"`
	// Line is what makes the line: "body" (default), or all of the record as "json" or "logfmt".
	Line LineFormat `mapstructure:"line"`
	// Limits are Loki's. What is over them is sent in another form.
	Limits LimitsConfig `mapstructure:",squash"`

	// Hints says to do what the attributes tell that the Loki exporter of opentelemetry-collector-contrib took hints from.
	Hints bool `mapstructure:"hints"`
	// DefaultLabelsEnabled are the labels exporter, job, instance and level of that exporter, each on unless it is
	// false. If it is given at all, every record becomes what that exporter made of it.
	DefaultLabelsEnabled map[string]bool `mapstructure:"default_labels_enabled"`
}

// ResendConfig is about lines that are to be sent again although Loki may have them: the answer was lost, or the process
// ended before it came.
type ResendConfig struct {
	// Verify asks Loki first which of them it has, and sends the others only. Default: false, since it needs leave to read.
	Verify bool `mapstructure:"verify"`
	// QueryEndpoint is the whole URL of Loki's query_range API. Default: that of the server that Endpoint names, where
	// Endpoint ends in /loki/api/v1/push.
	QueryEndpoint string `mapstructure:"query_endpoint"`
}

// TenantConfig says whose logs they are, in a Loki with many tenants. At most one of Value, Attribute and MetadataKey is
// given.
type TenantConfig struct {
	// Value is the X-Scope-OrgID. Default: none.
	Value string `mapstructure:"value"`
	// Attribute is the resource attribute that holds it.
	Attribute string `mapstructure:"attribute"`
	// MetadataKey is the client metadata, such as a header of the request that brought the logs, that holds it.
	MetadataKey string `mapstructure:"metadata_key"`
	// MaxTenants is how many tenants there may be: each has a queue of its own. Default: 1000.
	MaxTenants int `mapstructure:"max_tenants"`
}

// LimitsConfig are the limits that Loki has for lines and streams, by its own names. The defaults are Loki's. 0: none.
type LimitsConfig struct {
	// MaxLineSize is in bytes. A longer line is truncated. Default: 256KiB.
	MaxLineSize bytesize.Size `mapstructure:"max_line_size"`
	// MaxLabelNamesPerSeries does not count service_name. Labels beyond become structured metadata. Default: 15.
	MaxLabelNamesPerSeries int `mapstructure:"max_label_names_per_series"`
	// MaxLabelNameLength and MaxLabelValueLength are in bytes. Longer labels become structured metadata. Default: 1024
	// and 2048.
	MaxLabelNameLength  bytesize.Size `mapstructure:"max_label_name_length"`
	MaxLabelValueLength bytesize.Size `mapstructure:"max_label_value_length"`
	// MaxStructuredMetadataSize is in bytes, for one line. Pairs beyond are left out. Default: 64KiB.
	MaxStructuredMetadataSize bytesize.Size `mapstructure:"max_structured_metadata_size"`
	// MaxStructuredMetadataEntriesCount is for one line. Pairs beyond are left out. Default: 128.
	MaxStructuredMetadataEntriesCount int `mapstructure:"max_structured_metadata_entries_count"`
}

// LineFormat is what makes the line of a record.
type LineFormat string

// Formats of lines.
const (
	LineBody   LineFormat = "body"
	LineJSON   LineFormat = "json"
	LineLogfmt LineFormat = "logfmt"
)

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

var (
	_ component.Config    = (*Config)(nil)
	_ confmap.Unmarshaler = (*Config)(nil)
)

// minBatchItems is the Collector's own default.
const minBatchItems = 8192

// Unmarshal reads a configuration. Where only some of the sizes of the queue and its batches are given, the others follow.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	if err := conf.Unmarshal(c); err != nil {
		return err
	}
	queue := c.QueueConfig.Get()
	if queue == nil || !queue.Batch.HasValue() {
		return nil
	}
	batch := queue.Batch.Get()
	isSet := func(key string) bool { return conf.IsSet("sending_queue::batch::" + key) }
	if batch.Sizer != exporterhelper.RequestSizerTypeBytes {
		// The defaults are bytes. Of other units, the Collector's own default is as good as any.
		if !isSet("min_size") {
			batch.MinSize = minBatchItems
		}
		if !isSet("max_size") {
			batch.MaxSize = 0
		}
	}
	if !isSet("min_size") && batch.MaxSize > 0 {
		batch.MinSize = min(batch.MinSize, batch.MaxSize)
	}
	if !isSet("min_size") && queue.Sizer == batch.Sizer {
		batch.MinSize = min(batch.MinSize, queue.QueueSize)
	}
	if !isSet("max_size") && batch.MaxSize > 0 {
		batch.MaxSize = max(batch.MaxSize, batch.MinSize)
	}
	return nil
}

// Validate reports all that is wrong with the configuration.
func (c *Config) Validate() error {
	return errors.Join(
		validateEndpoint(c.ClientConfig.Endpoint),
		c.validateClient(),
		c.validateBatch(),
		c.validateResend(),
		c.validateEncoding(),
		c.Tenant.validate(),
		c.validateLabels(),
		c.StructuredMetadata.validate(),
		c.Line.validate(),
		c.Limits.validate(),
		c.validateHints(),
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

// Paths of Loki's API.
const (
	pushPath  = "/loki/api/v1/push"
	queryPath = "/loki/api/v1/query_range"
)

// queryURL is where Loki is asked for lines. Empty: it is not to be asked, or not known where.
func (c *Config) queryURL() string {
	if !c.Resend.Verify || c.Resend.QueryEndpoint != "" {
		return c.Resend.QueryEndpoint
	}
	u, err := url.Parse(c.ClientConfig.Endpoint)
	if err != nil {
		return ""
	}
	base, ok := strings.CutSuffix(u.Path, pushPath)
	if !ok {
		return ""
	}
	u.Path, u.RawPath, u.RawQuery = base+queryPath, "", ""
	return u.String()
}

func (c *Config) validateResend() error {
	switch {
	case c.Resend.QueryEndpoint != "" && !c.Resend.Verify:
		return errors.New("`resend::query_endpoint` needs `resend::verify` to be true")
	case c.Resend.QueryEndpoint != "":
		u, err := url.Parse(c.Resend.QueryEndpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" {
			return fmt.Errorf("`resend::query_endpoint` must be a URL like http://localhost:3100%s", queryPath)
		}
	case c.Resend.Verify && c.queryURL() == "":
		return fmt.Errorf("`resend::query_endpoint` must be given with `resend::verify`, since `endpoint` does not end in %s", pushPath)
	}
	return nil
}

func (c *Config) validateClient() error {
	var errs []error
	if c.ClientConfig.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("`timeout` must be positive, found %s: a request without an end would never be sent again", c.ClientConfig.Timeout))
	}
	for name := range c.ClientConfig.Headers.Iter {
		if c.Tenant.isSet() && http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey(tenant.Header) {
			errs = append(errs, fmt.Errorf("`headers::%s` and `tenant` exclude each other", name))
		}
	}
	return errors.Join(errs...)
}

// validateEncoding allows the one compression that Loki takes around its wire format, which is compressed already: the
// exporter of contrib had it.
func (c *Config) validateEncoding() error {
	if err := c.Encoding.Check(); err != nil {
		return fmt.Errorf("`encoding`: %w", err)
	}
	compression := c.ClientConfig.Compression
	if compression.IsCompressed() && (compression != configcompression.TypeGzip || c.Encoding == lokipush.JSON) {
		return fmt.Errorf("`compression` must be none, found %q: what is sent is compressed already", compression)
	}
	return nil
}

func (c *Config) validateBatch() error {
	queue := c.QueueConfig.Get()
	if queue == nil || !queue.Batch.HasValue() {
		return nil
	}
	batch := queue.Batch.Get()
	if batch.Sizer == exporterhelper.RequestSizerTypeBytes && (batch.MaxSize <= 0 || batch.MaxSize > lokipush.MaxRequestSize) {
		return fmt.Errorf("`sending_queue::batch::max_size` must be positive and at most %d bytes, found %d: Loki cannot pass on more", lokipush.MaxRequestSize, batch.MaxSize)
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

func (c *TenantConfig) isSet() bool { return c.Value != "" || c.Attribute != "" || c.MetadataKey != "" }

func (c *TenantConfig) validate() error {
	var errs []error
	if c.Value != "" {
		if err := tenant.Check(c.Value); err != nil {
			errs = append(errs, fmt.Errorf("`tenant::value`: %w", err))
		}
	}
	var given []string
	for _, setting := range [...][2]string{{"value", c.Value}, {"attribute", c.Attribute}, {"metadata_key", c.MetadataKey}} {
		if setting[1] != "" {
			given = append(given, fmt.Sprintf("`tenant::%s`", setting[0]))
		}
	}
	if len(given) > 1 {
		errs = append(errs, fmt.Errorf("%s exclude each other", strings.Join(given, " and ")))
	}
	if c.MaxTenants <= 0 {
		errs = append(errs, fmt.Errorf("`tenant::max_tenants` must be positive, found %d", c.MaxTenants))
	}
	return errors.Join(errs...)
}

func (f LineFormat) validate() error {
	switch f {
	case LineBody, LineJSON, LineLogfmt:
		return nil
	default:
		return fmt.Errorf("`line` must be %q, %q or %q, found %q", LineBody, LineJSON, LineLogfmt, f)
	}
}

func (c *LimitsConfig) validate() error {
	var errs []error
	for _, limit := range [...]struct {
		key   string
		value int64
	}{
		{"max_line_size", int64(c.MaxLineSize)},
		{"max_label_names_per_series", int64(c.MaxLabelNamesPerSeries)},
		{"max_label_name_length", int64(c.MaxLabelNameLength)},
		{"max_label_value_length", int64(c.MaxLabelValueLength)},
		{"max_structured_metadata_size", int64(c.MaxStructuredMetadataSize)},
		{"max_structured_metadata_entries_count", int64(c.MaxStructuredMetadataEntriesCount)},
	} {
		if limit.value < 0 {
			errs = append(errs, fmt.Errorf("`%s` must not be negative, found %d", limit.key, limit.value))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateHints() error {
	if c.DefaultLabelsEnabled != nil && !c.Hints {
		return errors.New("`default_labels_enabled` needs `hints` to be true")
	}
	for _, name := range slices.Sorted(maps.Keys(c.DefaultLabelsEnabled)) {
		if !slices.Contains([]string{"exporter", "job", "instance", "level"}, name) {
			return fmt.Errorf("`default_labels_enabled` has exporter, job, instance and level, found %q", name)
		}
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

// storageID is that of the storage extension in which the queue is. nil: it is in memory, or there is none.
func (c *Config) storageID() *component.ID {
	if queue := c.QueueConfig.Get(); queue != nil {
		return queue.StorageID
	}
	return nil
}

// partitionKeys are the client metadata by which batches are kept apart.
func (c *Config) partitionKeys() []string {
	queue := c.QueueConfig.Get()
	if queue == nil || !queue.Batch.HasValue() {
		return nil
	}
	return queue.Batch.Get().Partition.MetadataKeys
}

func (c *Config) mapping() lokipush.Mapping {
	rules := make([]lokipush.LabelRule, len(c.Labels))
	for i, label := range c.Labels {
		rules[i] = lokipush.LabelRule(label)
	}
	mapping := lokipush.Mapping{
		Labels:             rules,
		StaticLabels:       c.StaticLabels,
		Metadata:           c.StructuredMetadata.Mode,
		MetadataAttributes: c.StructuredMetadata.Attributes,
		Hidden:             lokihints.Attributes,
		TenantAttribute:    c.Tenant.Attribute,
		Limits: lokipush.Limits{
			MaxLineSize:                  int(c.Limits.MaxLineSize),
			MaxLabelNamesPerSeries:       c.Limits.MaxLabelNamesPerSeries,
			MaxLabelNameLength:           int(c.Limits.MaxLabelNameLength),
			MaxLabelValueLength:          int(c.Limits.MaxLabelValueLength),
			MaxStructuredMetadataSize:    int(c.Limits.MaxStructuredMetadataSize),
			MaxStructuredMetadataEntries: c.Limits.MaxStructuredMetadataEntriesCount,
		},
	}
	switch c.Line {
	case LineJSON:
		mapping.Line = lokihints.JSON
	case LineLogfmt:
		mapping.Line = lokihints.Logfmt
	}
	if c.Hints {
		mapping.Convert = c.convertHints()
	}
	return mapping
}

// convertHints hands a converter's records to the encoder. Of records that it fails on the tenant alone is by the hints:
// their lines are kept.
//
// Where it is client metadata that says whose logs they are, the logs themselves have no say.
func (c *Config) convertHints() func(plog.LogRecord, pcommon.Resource, pcommon.InstrumentationScope) (lokipush.Converted, bool) {
	converter := lokihints.NewConverter(c.DefaultLabelsEnabled, c.DefaultLabelsEnabled != nil)
	return func(record plog.LogRecord, resource pcommon.Resource, scope pcommon.InstrumentationScope) (lokipush.Converted, bool) {
		entry, ok, err := converter.Convert(record, resource, scope)
		if !ok {
			return lokipush.Converted{}, false
		}
		if c.Tenant.MetadataKey != "" {
			entry.Tenant = ""
		}
		return lokipush.Converted{Tenant: entry.Tenant, Plain: err != nil, Labels: entry.Labels, Line: entry.Line, Whole: !entry.Raw}, true
	}
}
