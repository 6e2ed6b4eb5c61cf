// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package relabel_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	prometheus "github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/relabel"
)

// oracle reads a rule as Prometheus does, with Loki's names of labels. Its JSON decoder knows no defaults; YAML's does.
func oracle(text []byte) (*prometheus.Config, error) {
	var written struct {
		SourceLabels []string `json:"source_labels"`
		Separator    *string  `json:"separator"`
		Regex        *string  `json:"regex"`
		Modulus      uint64   `json:"modulus"`
		TargetLabel  string   `json:"target_label"`
		Replacement  *string  `json:"replacement"`
		Action       *string  `json:"action"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&written); err != nil {
		return nil, err
	}
	cfg := prometheus.DefaultRelabelConfig
	for _, name := range written.SourceLabels {
		cfg.SourceLabels = append(cfg.SourceLabels, model.LabelName(name))
	}
	if written.Separator != nil {
		cfg.Separator = *written.Separator
	}
	// Prometheus compares the default by its address, and so refuses it with some actions where it is written down.
	if written.Regex != nil && *written.Regex != "(.*)" {
		var err error
		if cfg.Regex, err = prometheus.NewRegexp(*written.Regex); err != nil {
			return nil, err
		}
	}
	cfg.Modulus, cfg.TargetLabel = written.Modulus, written.TargetLabel
	if written.Replacement != nil {
		cfg.Replacement = *written.Replacement
	}
	if written.Action != nil {
		action, err := json.Marshal(*written.Action)
		if err != nil {
			return nil, err
		}
		if err := cfg.Action.UnmarshalYAML(func(into any) error { return json.Unmarshal(action, into) }); err != nil {
			return nil, err
		}
	}
	return &cfg, cfg.Validate(model.LegacyValidation)
}

// compare parses and applies a rule by both, and says whether both took it.
func compare(t *testing.T, rule []byte, before set) (labels set, taken, wanted bool) {
	t.Helper()
	rules, err := relabel.Parse("[" + string(rule) + "]")
	cfg, oracleErr := oracle(rule)
	require.Equal(t, oracleErr == nil, err == nil, "%s\nPrometheus: %v\nhere: %v", rule, oracleErr, err)
	if err != nil {
		return before, false, true
	}
	want, wantWanted := relabelByPrometheus(before, cfg)
	got := maps.Clone(before)
	wanted = relabel.Apply(got, rules)
	require.Equal(t, wantWanted, wanted, "%s\n%v", rule, before)
	if wanted {
		require.Equal(t, want, got, "%s\n%v", rule, before)
	}
	return got, true, wanted
}

func relabelByPrometheus(before set, cfg *prometheus.Config) (set, bool) {
	builder := labels.NewBuilder(labels.FromMap(before))
	keep := prometheus.ProcessBuilder(builder, cfg)
	return builder.Labels().Map(), keep
}

var (
	actions = []string{
		"replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase",
	}
	names        = []string{"a", "b", "ab", "__aws_log_type", "__extra_a", "Zone", "_", "z9"}
	values       = []string{"1", "a", "b", "ab", "prod", "ÄÖ", "x\ny", ";", "a;b", "$1", "Zone"}
	regexes      = []string{"(.*)", "", "a", "a|b", "(a)(b)?", "__(.*)", "(.)(.*)", "(?P<n>.+);(.*)", "[a-z]+", ".*", "x.y", "a)(b", "(", "prod|1"}
	targets      = []string{"a", "c", "Zone", "$1", "${1}", "l_$1", "${1}_$2", "$n", "${n}x", "a-b", "", "9", "$", "a$", "ü", "${1", "a:b", "a\n"}
	replacements = []string{"$1", "", "x", "${1}-$2", "$$1", "$n", "l_$1", "$2$1", "$x", "a b", "ü"}
	separators   = []string{";", "", "-", "::"}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func randomRule(tb testing.TB, r *rand.Rand) []byte {
	tb.Helper()
	rule := map[string]any{}
	maybe := func(share float64, key string, value any) {
		if r.Float64() < share {
			rule[key] = value
		}
	}
	sources := make([]string, 1+r.IntN(3))
	for i := range sources {
		sources[i] = pick(r, names)
	}
	action := pick(r, actions)
	few, many := 0.3, 0.8
	if strings.HasPrefix(action, "label") || strings.HasSuffix(action, "equal") {
		few, many = 0.05, 0.5
	}
	maybe(0.95, "action", action)
	maybe(many, "source_labels", sources)
	maybe(many, "regex", pick(r, regexes))
	maybe(many, "target_label", pick(r, targets))
	maybe(few, "replacement", pick(r, replacements))
	maybe(few, "separator", pick(r, separators))
	maybe(few, "modulus", r.Uint64N(5))
	text, err := json.Marshal(rule)
	require.NoError(tb, err)
	return text
}

func TestAsPrometheus(t *testing.T) {
	t.Parallel()
	const runs = 1500
	r := rand.New(rand.NewPCG(1, 2))
	taken := map[string]int{}
	refused, unwanted := 0, 0
	for range runs {
		now := set{}
		for range r.IntN(6) {
			now[pick(r, names)] = pick(r, values)
		}
		for range 8 {
			rule := randomRule(t, r)
			next, ok, wanted := compare(t, rule, now)
			if !ok {
				refused++
				continue
			}
			var named struct{ Action string }
			require.NoError(t, json.Unmarshal(rule, &named))
			taken[named.Action]++
			if !wanted {
				unwanted++
				break
			}
			now = next
		}
	}
	// All that there is to compare has been.
	for _, action := range append(actions, "") {
		assert.Greater(t, taken[action], 20, action)
	}
	assert.Greater(t, refused, runs/10)
	assert.Greater(t, unwanted, runs/10)
}

// Rules that mean the same as those that Prometheus takes, but that it refuses for the way they are written.
func TestMoreThanPrometheus(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{
		`{"action":"keepequal","source_labels":["a"],"target_label":"b","regex":"(.*)"}`,
		`{"action":"labeldrop","regex":"a","source_labels":[]}`,
	} {
		parse(t, "["+rule+"]")
		cfg := prometheus.DefaultRelabelConfig
		require.NoError(t, json.Unmarshal([]byte(rule), &cfg))
		assert.Error(t, cfg.Validate(model.LegacyValidation), rule)
	}
}

func FuzzAsPrometheus(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		f.Add(string(randomRule(f, r)), "a", "1", "__aws_log_type", "s3")
	}
	f.Fuzz(func(t *testing.T, rule, name1, value1, name2, value2 string) {
		// Of null and of text behind a rule the oracle's decoder thinks otherwise.
		if !json.Valid([]byte(rule)) || !strings.HasPrefix(rule, "{") || strings.Contains(rule, "null") {
			return
		}
		before := set{name1: value1, name2: value2, "env": "prod"}
		maps.DeleteFunc(before, func(_, value string) bool { return value == "" })
		compare(t, []byte(rule), before)
	})
}
