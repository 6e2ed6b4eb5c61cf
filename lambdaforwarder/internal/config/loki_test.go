// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/relabel"
)

func TestLoki(t *testing.T) {
	t.Parallel()
	f := func(name string, e env, want config.Loki) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e["WRITE_ADDRESS"] = "https://loki.example.com/loki/api/v1/push"
			cfg, err := config.Load(e.get)
			require.NoError(t, err)
			assert.True(t, cfg.ToLoki())
			assert.Empty(t, cfg.WithoutEffect)
			assert.Equal(t, want, cfg.Loki)
		})
	}
	const size = 1 << 20
	f("defaults", env{}, config.Loki{BatchSize: size})
	f("false", env{"KEEP_STREAM": "false", "PRINT_LOG_LINE": "false", "OMIT_EXTRA_LABELS_PREFIX": "false"}, config.Loki{BatchSize: size})
	f("all",
		env{
			"KEEP_STREAM": "true", "EXTRA_LABELS": "name1,value1,name2,value=2", "DROP_LABELS": "b,a", "BATCH_SIZE": "131072",
			"PRINT_LOG_LINE": "true", "PIPELINE_TIMEOUT": "5s",
		},
		config.Loki{
			KeepStream:   true,
			ExtraLabels:  map[string]string{"__extra_name1": "value1", "__extra_name2": "value=2"},
			DropLabels:   []string{"a", "b"},
			BatchSize:    131072,
			PrintLogLine: true,
		})
	f("without the prefix", env{"EXTRA_LABELS": "name1,ü,_n,2,", "OMIT_EXTRA_LABELS_PREFIX": "True"},
		config.Loki{BatchSize: size, ExtraLabels: map[string]string{"name1": "ü", "_n": "2"}})
	f("prefix makes it a name", env{"EXTRA_LABELS": "1a,x"}, config.Loki{BatchSize: size, ExtraLabels: map[string]string{"__extra_1a": "x"}})
	f("empty value", env{"EXTRA_LABELS": "a,,b,1"},
		config.Loki{BatchSize: size, ExtraLabels: map[string]string{"__extra_a": "", "__extra_b": "1"}})
	f("commas at the ends", env{"EXTRA_LABELS": "a,1,", "DROP_LABELS": ",__aws_log_type,,__aws_log_type,"},
		config.Loki{BatchSize: size, ExtraLabels: map[string]string{"__extra_a": "1"}, DropLabels: []string{"__aws_log_type"}})
	f("only commas", env{"DROP_LABELS": ","}, config.Loki{BatchSize: size})
	f("smallest batches", env{"BATCH_SIZE": "1"}, config.Loki{BatchSize: 1})
	f("largest batches", env{"BATCH_SIZE": "3670016"}, config.Loki{BatchSize: 3670016})
	f("larger than Loki takes", env{"BATCH_SIZE": "999999999"}, config.Loki{BatchSize: 3670016})
}

func TestLokiRelabel(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(env{
		"WRITE_ADDRESS": "https://loki.example.com/loki/api/v1/push",
		"RELABEL_CONFIGS": `[{"source_labels":["__aws_log_type"],"target_label":"log_type"},` +
			`{"action":"labeldrop","regex":"__.*"}]`,
	}.get)
	require.NoError(t, err)
	labels := map[string]string{"__aws_log_type": "cloudwatch"}
	require.True(t, relabel.Apply(labels, cfg.Loki.Relabel))
	assert.Equal(t, map[string]string{"log_type": "cloudwatch"}, labels)
}

func TestLokiRefuses(t *testing.T) {
	t.Parallel()
	f := func(e env, want ...string) {
		t.Helper()
		// Whether or not they have an effect.
		for _, address := range []string{"http://collector", "http://loki/loki/api/v1/push"} {
			e["WRITE_ADDRESS"] = address
			cfg, err := config.Load(e.get)
			require.EqualError(t, err, strings.Join(want, "\n"))
			assert.Equal(t, config.Config{}, cfg)
		}
	}
	const pairs = "`EXTRA_LABELS` must be name,value pairs with commas between all of them, found "
	f(env{"EXTRA_LABELS": "a"}, pairs+"1 parts")
	f(env{"EXTRA_LABELS": ","}, pairs+"1 parts")
	f(env{"EXTRA_LABELS": "a,b,c"}, pairs+"3 parts")
	f(env{"EXTRA_LABELS": ",b"}, "`EXTRA_LABELS`: \"\" is no name of a label")
	f(env{"EXTRA_LABELS": ",b", "OMIT_EXTRA_LABELS_PREFIX": "true"}, "`EXTRA_LABELS`: \"\" is no name of a label")
	f(env{"EXTRA_LABELS": "a-b,1,c,2,ü,3"}, "`EXTRA_LABELS`: \"a-b\" is no name of a label", "`EXTRA_LABELS`: \"ü\" is no name of a label")
	f(env{"EXTRA_LABELS": "1a,1", "OMIT_EXTRA_LABELS_PREFIX": "true"}, "`EXTRA_LABELS`: \"1a\" is no name of a label")
	f(env{"EXTRA_LABELS": "a,\xff"}, "`EXTRA_LABELS`: the value of \"a\" is not UTF-8")
	f(env{"DROP_LABELS": "a, b"}, "`DROP_LABELS`: \" b\" is no name of a label")
	f(env{"BATCH_SIZE": "0"}, "`BATCH_SIZE` (0) must be at least 1")
	f(env{"BATCH_SIZE": "1MiB"}, "`BATCH_SIZE` (\"1MiB\") is not a whole number")
	f(env{"RELABEL_CONFIGS": "["}, "`RELABEL_CONFIGS`: want a JSON array of Prometheus's relabel rules: unexpected EOF")
	f(env{"RELABEL_CONFIGS": `[{"action":"kepe"},{"action":"keep"},{"action":"replace"}]`},
		"`RELABEL_CONFIGS`: rule 1: action (\"kepe\") is none that there is",
		"rule 3: replace: target_label (\"\") is no name of a label")
	f(env{"LOKI_STAGE_CONFIGS": "[]"},
		"`LOKI_STAGE_CONFIGS` is set: the forwarder has no pipeline stages; send to a collector and use its transform processor")
}
