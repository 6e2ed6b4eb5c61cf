// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/awsloki/awsloki/internal/lokipush"
)

func TestLoadConfig(t *testing.T) {
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	load := func(name string) *Config {
		sub, err := conf.Sub(name)
		require.NoError(t, err)
		config := createDefaultConfig().(*Config)
		require.NoError(t, sub.Unmarshal(config))
		require.NoError(t, confmap.Validate(config))
		return config
	}
	assert.Equal(t, createDefaultConfig(), load("loki"))

	want := createDefaultConfig().(*Config)
	want.ClientConfig.Endpoint = "https://loki.example.com/loki/api/v1/push"
	want.ClientConfig.Timeout = 10 * time.Second
	want.ClientConfig.Auth = configoptional.Some(configauth.Config{AuthenticatorID: component.MustNewID("basicauth")})
	want.ClientConfig.Headers = configopaque.MapList{{Name: "X-Team", Value: "platform"}}
	storage := component.MustNewID("file_storage")
	queue := want.QueueConfig.Get()
	queue.StorageID = &storage
	queue.Sizer = exporterhelper.RequestSizerTypeBytes
	queue.QueueSize = 1 << 20
	*queue.Batch.Get() = exporterhelper.BatchConfig{
		FlushTimeout: 5 * time.Second,
		Sizer:        exporterhelper.RequestSizerTypeBytes,
		MinSize:      1 << 18,
		MaxSize:      1 << 19,
	}
	want.RetryConfig.MaxElapsedTime = 10 * time.Minute
	want.Tenant.Value = "team-1"
	want.Labels = []LabelConfig{
		{Attribute: "aws.log.group.names", Label: "log_group"},
		{Attribute: "http.response.status_code", Label: "status_code", From: lokipush.FromRecord},
	}
	want.StaticLabels = map[string]string{"job": "cloudwatch"}
	want.StructuredMetadata = StructuredMetadataConfig{Mode: lokipush.MetadataList, Attributes: []string{"log.record.uid"}}
	assert.Equal(t, want, load("loki/all"))

	want = createDefaultConfig().(*Config)
	want.Encoding = lokipush.JSON
	want.Strict = true
	want.Tenant = TenantConfig{Attribute: "team", MaxTenants: 5}
	want.Line = LineLogfmt
	want.Limits = LimitsConfig{
		MaxLineSize: 1 << 20, MaxLabelNamesPerSeries: 30, MaxLabelNameLength: 100, MaxLabelValueLength: 4096,
		MaxStructuredMetadataSize: 0, MaxStructuredMetadataEntriesCount: 10,
	}
	want.Hints = false
	assert.Equal(t, want, load("loki/more"))

	want = createDefaultConfig().(*Config)
	want.ClientConfig.Endpoint = "https://loki.example.com/loki/api/v1/push"
	want.DefaultLabelsEnabled = map[string]bool{"exporter": false, "job": true}
	want.RetryConfig.MaxElapsedTime = 300 * time.Second
	want.QueueConfig.Get().QueueSize = 5000
	assert.Equal(t, want, load("loki/contrib"))

	sizes := func(name string) exporterhelper.BatchConfig {
		config := load(name)
		return *config.QueueConfig.Get().Batch.Get()
	}
	bytes, items := exporterhelper.RequestSizerTypeBytes, exporterhelper.RequestSizerTypeItems
	assert.Equal(t, exporterhelper.BatchConfig{FlushTimeout: time.Second, Sizer: bytes, MinSize: 1000, MaxSize: 2 << 20}, sizes("loki/small_queue"))
	assert.Equal(t, exporterhelper.BatchConfig{FlushTimeout: time.Second, Sizer: bytes, MinSize: 500_000, MaxSize: 500_000}, sizes("loki/small_batch"))
	assert.Equal(t, exporterhelper.BatchConfig{FlushTimeout: time.Second, Sizer: bytes, MinSize: 3_000_000, MaxSize: 3_000_000}, sizes("loki/large_batch"))
	assert.Equal(t, exporterhelper.BatchConfig{FlushTimeout: 5 * time.Second, Sizer: items, MinSize: 8192}, sizes("loki/items"))

	none := load("loki/no_labels")
	assert.Empty(t, none.Labels)
	assert.False(t, none.QueueConfig.HasValue())
}

func TestInvalidConfig(t *testing.T) {
	f := func(settings map[string]any, want string) {
		t.Helper()
		config := createDefaultConfig().(*Config)
		err := confmap.NewFromStringMap(settings).Unmarshal(config)
		if err == nil {
			err = confmap.Validate(config)
		}
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "hunter2")
	}
	one := func(key string, value any) map[string]any { return map[string]any{key: value} }
	batch := func(settings map[string]any) map[string]any { return one("sending_queue", one("batch", settings)) }
	f(one("endpoint", ""), "`endpoint` must be a URL like http://localhost:3100/loki/api/v1/push, found \"\"")
	f(one("endpoint", "localhost:3100"), "`endpoint` must be a URL like")
	f(one("endpoint", "ftp://localhost/loki/api/v1/push"), "`endpoint` must be a URL like")
	f(one("endpoint", "http://user:hunter2@[::1"), "`endpoint` must be a URL like")
	f(one("endpoint", "user:hunter2@loki:3100/loki/api/v1/push"), "`endpoint` must be a URL like")
	f(one("endpoint", "http://user:hunter2@localhost:3100"), "`endpoint` must have the path of the push API")
	f(one("endpoint", "http://localhost//"), "`endpoint` must have the path of the push API")
	f(one("timeout", "-1s"), "`timeout` must be positive, found -1s")
	f(one("timeout", 0), "`timeout` must be positive, found 0s")
	f(one("compression", "zstd"), "`compression` must be none, found \"zstd\"")
	f(map[string]any{"compression": "gzip", "encoding": "json"}, "`compression` must be none, found \"gzip\"")
	f(one("encoding", "xml"), "`encoding`: the encoding must be \"protobuf\" or \"json\", found \"xml\"")
	f(one("line", "xml"), "`line` must be \"body\", \"json\" or \"logfmt\", found \"xml\"")
	f(map[string]any{"tenant": one("attribute", "a"), "headers": one("X-Scope-OrgID", "b")}, "`headers::X-Scope-OrgID` and `tenant` exclude each other")
	f(one("tenant", map[string]any{"value": "a", "attribute": "b"}), "`tenant::value` and `tenant::attribute` exclude each other")
	f(one("tenant", map[string]any{"attribute": "b", "metadata_key": "c"}), "`tenant::attribute` and `tenant::metadata_key` exclude each other")
	f(one("tenant", one("max_tenants", 0)), "`tenant::max_tenants` must be positive, found 0")
	f(one("max_line_size", "much"), "\"much\" is not a size in bytes")
	f(one("max_line_size", -1), "`max_line_size` must not be negative, found -1")
	f(one("max_label_names_per_series", -1), "`max_label_names_per_series` must not be negative, found -1")
	f(one("max_structured_metadata_entries_count", -1), "`max_structured_metadata_entries_count` must not be negative, found -1")
	f(map[string]any{"default_labels_enabled": one("job", true), "hints": false}, "`default_labels_enabled` needs `hints` to be true")
	f(one("default_labels_enabled", one("jobs", true)), "`default_labels_enabled` has exporter, job, instance and level, found \"jobs\"")
	f(one("tenant", one("value", "a b")), "`tenant::value`: a tenant holds only letters, digits and !-_.*'(), found \"a b\"")
	f(map[string]any{"tenant": one("value", "a"), "headers": one("x-scope-orgid", "b")}, "exclude each other")
	f(one("labels", []any{one("attribute", "a"), one("label", "x")}), "`labels::1`: the attribute is missing")
	f(one("labels", []any{map[string]any{"attribute": "a", "label": "a-b"}}), "`labels::0`: label name \"a-b\" must have letters")
	f(one("labels", []any{map[string]any{"attribute": "a", "from": "span"}}), "`labels::0`: from must be \"resource\" or \"record\", found \"span\"")
	f(one("static_labels", one("a.b", "v")), "`static_labels::a.b`: label name \"a.b\" must have letters")
	f(one("static_labels", one("a", "")), "`static_labels::a`: the value is empty")
	f(one("structured_metadata", one("mode", "all")), "`structured_metadata::mode`: the mode must be")
	f(one("structured_metadata", one("mode", "list")), "`structured_metadata::attributes` must be given with")
	f(one("structured_metadata", one("attributes", []any{"a"})), "`structured_metadata::attributes` must be given with")
	f(one("structured_metadata", map[string]any{"mode": "list", "attributes": []any{""}}), "`structured_metadata::attributes` has an empty name")
	f(batch(map[string]any{"min_size": 0, "max_size": 0}), "`sending_queue::batch::max_size` must be positive and at most 3670016 bytes, found 0")
	f(batch(one("max_size", 4<<20)), "`sending_queue::batch::max_size` must be positive and at most 3670016 bytes, found 4194304")
	f(one("sending_queue", one("num_consumers", 0)), "`num_consumers` must be positive")
	f(one("resend", one("query_endpoint", "http://loki/loki/api/v1/query_range")), "`resend::query_endpoint` needs `resend::verify` to be true")
	for _, endpoint := range []string{"loki", "http://user:hunter2@", "ftp://loki/loki/api/v1/query_range", "http://loki/loki/api/v1/query_range?key=hunter2"} {
		f(one("resend", map[string]any{"verify": true, "query_endpoint": endpoint}), "`resend::query_endpoint` must be a URL like http://localhost:3100/loki/api/v1/query_range")
	}
	f(map[string]any{"resend": one("verify", true), "endpoint": "http://localhost/push"}, "`resend::query_endpoint` must be given with `resend::verify`")
	f(one("endpoints", "x"), "endpoints")
}

func TestQueryURL(t *testing.T) {
	f := func(endpoint string, resend ResendConfig, want string) {
		t.Helper()
		config := createDefaultConfig().(*Config)
		config.ClientConfig.Endpoint, config.Resend = endpoint, resend
		require.NoError(t, config.validateResend())
		assert.Equal(t, want, config.queryURL())
	}
	verify := ResendConfig{Verify: true}
	f("http://loki:3100/loki/api/v1/push", ResendConfig{}, "")
	f("http://loki:3100/loki/api/v1/push", verify, "http://loki:3100/loki/api/v1/query_range")
	f("https://u:p@gateway/prefix/loki/api/v1/push?a=b", verify, "https://u:p@gateway/prefix/loki/api/v1/query_range")
	f("http://loki:3100/push", ResendConfig{Verify: true, QueryEndpoint: "http://read/loki/api/v1/query_range"}, "http://read/loki/api/v1/query_range")
}
