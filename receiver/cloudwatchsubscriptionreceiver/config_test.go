// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
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
	assert.Equal(t, createDefaultConfig(), load("cloudwatchsubscription"))

	want := createDefaultConfig().(*Config)
	want.ServerConfig.NetAddr.Endpoint = "0.0.0.0:8080"
	want.ServerConfig.MaxRequestBodySize = 1 << 20
	want.ServerConfig.Auth = configoptional.Some(confighttp.AuthConfig{
		Config: configauth.Config{AuthenticatorID: component.MustNewID("basicauth")},
	})
	want.ServerConfig.TLS = configoptional.Some(configtls.ServerConfig{
		Config: configtls.Config{CertFile: "server.crt", KeyFile: "server.key"},
	})
	want.SubscriptionPath = "/logs"
	want.FirehosePath = "/firehose"
	want.S3Path = ""
	want.LokiPushPath = "/push"
	want.FirehoseAccessKey = "key"
	want.MaxDecodedBytes = 2 << 20
	want.MaxInFlightBytes = 128 << 20
	storage := component.MustNewID("file_storage")
	want.Dedup = DedupConfig{Window: 2 * time.Hour, MaxEntries: 1000, Storage: &storage}
	assert.Equal(t, want, load("cloudwatchsubscription/all"))

	assert.Equal(t, "/run/awsloki.sock", load("cloudwatchsubscription/socket").ServerConfig.NetAddr.Endpoint)
}

func TestInvalidConfig(t *testing.T) {
	f := func(key string, value any, want string) {
		t.Helper()
		config := createDefaultConfig().(*Config)
		err := confmap.NewFromStringMap(map[string]any{key: value}).Unmarshal(config)
		if err == nil {
			err = confmap.Validate(config)
		}
		require.ErrorContains(t, err, want)
	}
	f("endpoint", "", "`endpoint` must be host:port, found \"\"")
	f("endpoint", "localhost", "`endpoint` must be host:port, found \"localhost\"")
	f("endpoint", "localhost:99999", "`endpoint` must be host:port, found \"localhost:99999\"")
	f("endpoint", "localhost:", "`endpoint` must be host:port, found \"localhost:\"")
	f("transport", "udp", "transport")
	f("compression_algorithms", []any{"", "zstd"}, "`compression_algorithms` must be of")
	f("subscription_path", "/a?b=c", "`subscription_path` must be a path as it stands in requests")
	f("subscription_path", "/%72eady", "`subscription_path` must be a path as it stands in requests")
	f("max_request_body_size", -1, "`max_request_body_size` must not be negative, found -1")
	f("max_decoded_bytes", 0, "`max_decoded_bytes` must be positive, found 0")
	f("max_decoded_bytes", int64(math.MaxInt64), "`max_decoded_bytes` must be at most 1099511627776, found 9223372036854775807")
	f("max_decoded_bytes", "64MiB", "'max_decoded_bytes'")
	f("max_in_flight_bytes", 0, "`max_in_flight_bytes` must be positive, found 0")
	f("dedup::window", "-1s", "`window` must not be negative, found -1s")
	f("dedup::max_entries", 0, "`max_entries` must be positive, found 0; `window: 0` switches dedup off")
	f("firehose_access_key", strings.Repeat("x", 4097), "`firehose_access_key` must have at most 4096 characters, found 4097")
	f("s3_path", "/firehose/v1", "`s3_path` must not be /firehose/v1, which is the path of `firehose_path`")
	f("loki_push_path", "/ready", "`loki_push_path` must not be /ready, which is the path of the health check")
	f("subscription_path", "logs", "`subscription_path` must begin with a slash, found \"logs\"")
	f("subscription_path", "/ready", "`subscription_path` must not be /ready")
	f("subscription_paths", "/a", "subscription_paths")

	config := createDefaultConfig().(*Config)
	config.FirehoseAccessKey, config.FirehosePath = "key", ""
	require.ErrorContains(t, confmap.Validate(config), "`firehose_access_key` is set, but `firehose_path` is empty")
	config.FirehoseAccessKey, config.SubscriptionPath, config.S3Path = "", "", ""
	require.NoError(t, confmap.Validate(config), "one input will do")
	config.LokiPushPath = ""
	require.ErrorContains(t, confmap.Validate(config), "are empty: the receiver would take nothing")
	config = createDefaultConfig().(*Config)
	config.Dedup = DedupConfig{}
	require.NoError(t, confmap.Validate(config), "dedup is off")
}
