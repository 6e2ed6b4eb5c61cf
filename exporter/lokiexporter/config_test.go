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
	f(one("endpoint", ""), "`endpoint` must be a URL like http://localhost:3100/loki/api/v1/push, found \"\"")
	f(one("endpoint", "localhost:3100"), "`endpoint` must be a URL like")
	f(one("endpoint", "ftp://localhost/loki/api/v1/push"), "`endpoint` must be a URL like")
	f(one("endpoint", "http://user:hunter2@[::1"), "`endpoint` is not a URL")
	f(one("endpoint", "http://user:hunter2@localhost:3100"), "`endpoint` must have the path of the push API")
	f(one("compression", "gzip"), "`compression` must be none, found \"gzip\"")
	f(one("tenant", one("value", "a b")), "`tenant::value`: a tenant holds only letters, digits and !-_.*'(), found \"a b\"")
	f(one("labels", []any{one("label", "x")}), "a label rule without an attribute")
	f(one("labels", []any{map[string]any{"attribute": "a", "label": "a-b"}}), "label name \"a-b\" is not letters")
	f(one("labels", []any{map[string]any{"attribute": "a", "from": "span"}}), "from \"span\" is neither \"resource\" nor \"record\"")
	f(one("static_labels", one("a.b", "v")), "label name \"a.b\" is not letters")
	f(one("structured_metadata", one("mode", "all")), "structured metadata mode \"all\" is none of")
	f(one("structured_metadata", one("mode", "list")), "`structured_metadata::attributes` must be given with")
	f(one("structured_metadata", one("attributes", []any{"a"})), "`structured_metadata::attributes` must be given with")
	f(one("sending_queue", one("num_consumers", 0)), "`num_consumers` must be positive")
	f(one("endpoints", "x"), "endpoints")
}
