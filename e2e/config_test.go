// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// configurations are all that the repository has.
func configurations(t *testing.T) []string {
	t.Helper()
	examples, err := filepath.Glob("../examples/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, examples)
	return append(examples, shippedConfig)
}

// Every configuration carries an event from the forwarder to Loki.
func TestExamples(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	for n, config := range configurations(t) {
		t.Run(filepath.Base(config), func(t *testing.T) {
			p := startBefore(t, loki, config, map[string]string{"USERNAME": "forwarder", "PASSWORD": "change-me"}, stack.CollectorOptions{})
			requireLoopback(t, p.collector)
			m := cloudwatch.Generate(cloudwatch.Source{LogGroup: filepath.Base(config), Start: p.started, Events: 5, Seed: uint64(n)})
			p.forward(m)
			lines := p.await(`{log_group="`+m.LogGroup+`"}`, len(m.LogEvents))
			require.Len(t, lines, len(m.LogEvents))
			ids := map[string]bool{}
			for _, line := range lines {
				ids[line.StructuredMetadata["log_record_uid"]] = true
			}
			for _, event := range m.LogEvents {
				assert.True(t, ids[event.ID])
			}
		})
	}
}

// The configuration that the README shows is one that works.
func TestReadmeConfiguration(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	whole := 0
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		if !strings.Contains(block[1], "service:") {
			continue // the builder's manifest
		}
		whole++
		output, err := validate(t, "--config", writeFile(t, block[1]))
		require.NoError(t, err, output)
	}
	assert.Equal(t, 1, whole)
}

// validate has the built collector check a configuration, and returns what it says.
func validate(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root, err := stack.RepoRoot()
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), filepath.Join(root, "_build", "otelcol-awsloki"), append([]string{"validate"}, args...)...)
	output, err := command.CombinedOutput()
	return string(output), err
}

// What is wrong in a configuration is refused before the collector starts, by the name of the key.
func TestBadConfiguration(t *testing.T) {
	for _, tt := range []struct{ change, want string }{
		{"receivers::cloudwatchsubscription::endpoint: nowhere", "`endpoint` must be host:port, found \"nowhere\""},
		{"receivers::cloudwatchsubscription::subscription_path: logs", "`subscription_path` must begin with a slash, found \"logs\""},
		{"receivers::cloudwatchsubscription: {subscription_path: '', firehose_path: '', s3_path: '', loki_push_path: ''}", "are empty: the receiver would take nothing"},
		{"receivers::cloudwatchsubscription::firehose_path: /s3/v1/object", "`s3_path` must not be /s3/v1/object, which is the path of `firehose_path`"},
		{"receivers::cloudwatchsubscription: {firehose_path: '', firehose_access_key: a}", "`firehose_access_key` is set, but `firehose_path` is empty"},
		{"receivers::cloudwatchsubscription::max_in_flight_bytes: 0", "`max_in_flight_bytes` must be positive, found 0"},
		{"receivers::cloudwatchsubscription::dedup::window: -1s", "`window` must not be negative, found -1s"},
		{"receivers::cloudwatchsubscription::dedup::max_entries: 0", "`max_entries` must be positive, found 0"},
		{"receivers::cloudwatchsubscription::subscription_path: /ready", "`subscription_path` must not be /ready"},
		{"receivers::cloudwatchsubscription::compression_algorithms: [br]", "`compression_algorithms` must be of"},
		{"receivers::cloudwatchsubscription::max_decoded_bytes: -1", "`max_decoded_bytes` must be positive, found -1"},
		{"receivers::cloudwatchsubscription::max_request_body_size: -1", "`max_request_body_size` must not be negative, found -1"},
		{"receivers::cloudwatchsubscription::subscription_pfad: /x", "subscription_pfad"},
		{"processors::restamp::timestamps: sometimes", "`timestamps` must be one of always, as_needed, never, but is \"sometimes\""},
		{"processors::restamp::instance::attribute: ''", "`instance::attribute` must not be empty"},
		{"processors::restamp::max_streams: 0", "`max_streams` must be at least 1, but is 0"},
		{"processors::restamp::instanz: {}", "instanz"},
		{"exporters::loki::endpoint: ''", "`endpoint` must be a URL like"},
		{"exporters::loki::endpoint: http://localhost:3100", "`endpoint` must have the path of the push API"},
		{"exporters::loki::compression: zstd", "`compression` must be none, found \"zstd\""},
		{"exporters::loki::encoding: xml", "`encoding`: the encoding must be"},
		{"exporters::loki::line: xml", "`line` must be"},
		{"exporters::loki::max_line_size: much", "\"much\" is not a size in bytes"},
		{"exporters::loki::max_label_names_per_series: -1", "`max_label_names_per_series` must not be negative, found -1"},
		{"exporters::loki::resend::query_endpoint: http://localhost:3100/loki/api/v1/query_range", "`resend::query_endpoint` needs `resend::verify` to be true"},
		{"exporters::loki::resend: {verify: true, query_endpoint: localhost}", "`resend::query_endpoint` must be a URL like http://localhost:3100/loki/api/v1/query_range"},
		{"exporters::loki: {resend: {verify: true}, endpoint: 'http://localhost:3100/push'}", "`resend::query_endpoint` must be given with `resend::verify`"},
		{"exporters::loki::resend::verified: true", "verified"},
		{"exporters::loki::tenant: {value: a, metadata_key: b}", "`tenant::value` and `tenant::metadata_key` exclude each other"},
		{"exporters::loki::default_labels_enabled: {jobs: true}", "`default_labels_enabled` has exporter, job, instance and level, found \"jobs\""},
		{"exporters::loki::tenant::value: a b", "`tenant::value`: a tenant holds only letters"},
		{"exporters::loki::labels: [{attribute: a, label: a-b}]", "`labels::0`: label name \"a-b\" must have"},
		{"exporters::loki::labels: [{label: a}]", "`labels::0`: the attribute is missing"},
		{"exporters::loki::labels: [{attribute: a, from: span}]", "`labels::0`: from must be"},
		{"exporters::loki::static_labels: {a.b: c}", "`static_labels::a.b`: label name"},
		{"exporters::loki::structured_metadata::mode: some", "`structured_metadata::mode`: the mode must be"},
		{"exporters::loki::structured_metadata::attributes: [a]", "`structured_metadata::attributes` must be given with"},
		{"exporters::loki::sending_queue::batch::max_size: 8000000", "`sending_queue::batch::max_size` must be positive and at most 3670016 bytes, found 8000000"},
		{"exporters::loki::retry_on_failure::initial_interval: -1s", "initial_interval"},
		{"exporters::loki::sending_queue::queue_size: 0", "`queue_size` must be positive"},
	} {
		t.Run(tt.change, func(t *testing.T) {
			output, err := validate(t, "--config", shippedConfig, "--config", "yaml:"+tt.change)
			require.Error(t, err, output)
			assert.Contains(t, output, tt.want)
		})
	}
}
