// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package relabel_test

import (
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/relabel"
)

type set = map[string]string

func parse(t *testing.T, text string) []relabel.Rule {
	t.Helper()
	rules, err := relabel.Parse(text)
	require.NoError(t, err, text)
	return rules
}

func TestApply(t *testing.T) {
	t.Parallel()
	f := func(name, rules string, before, want set) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			labels := maps.Clone(before)
			if !relabel.Apply(labels, parse(t, rules)) {
				labels = nil
			}
			assert.Equal(t, want, labels)
		})
	}
	ab := set{"a": "1", "b": "2"}
	f("no rules", `[]`, ab, ab)

	f("replace", `[{"source_labels":["a","b"],"separator":"-","regex":"(.)-(.)","target_label":"c","replacement":"$2:${1}"}]`,
		ab, set{"a": "1", "b": "2", "c": "2:1"})
	f("replace by default", `[{"source_labels":["a","b"],"target_label":"a"}]`, ab, set{"a": "1;2", "b": "2"})
	f("replace without a source", `[{"target_label":"c","replacement":"x"}]`, ab, set{"a": "1", "b": "2", "c": "x"})
	f("replace what is not there", `[{"source_labels":["x"],"target_label":"c","replacement":"<$1>"}]`, ab, set{"a": "1", "b": "2", "c": "<>"})
	f("replace without a match", `[{"source_labels":["a"],"regex":"2","target_label":"a","replacement":"x"}]`, ab, ab)
	f("replace only whole values", `[{"source_labels":["a"],"regex":"1","target_label":"a","replacement":"x"}]`, set{"a": "11"}, set{"a": "11"})
	f("replace over lines", `[{"source_labels":["a"],"regex":"x.y","target_label":"a","replacement":"z"}]`, set{"a": "x\ny"}, set{"a": "z"})
	f("replace without a separator", `[{"source_labels":["a","b"],"separator":"","target_label":"c"}]`, ab, set{"a": "1", "b": "2", "c": "12"})
	f("replace by nothing deletes", `[{"source_labels":["b"],"target_label":"a","replacement":""}]`, ab, set{"b": "2"})
	f("replace by what is not there deletes", `[{"source_labels":["x"],"target_label":"a"}]`, ab, set{"b": "2"})
	f("replace by nothing where there is nothing", `[{"target_label":"c","replacement":""}]`, ab, ab)
	f("replace a name that is made", `[{"source_labels":["a","b"],"regex":"(.*);(.*)","target_label":"x_${1}_$2","replacement":"$2"}]`,
		ab, set{"a": "1", "b": "2", "x_1_2": "2"})
	f("replace a name that is none", `[{"source_labels":["a"],"target_label":"$1","replacement":"x"}]`, ab, ab)
	f("replace, a regex that matches nothing", `[{"source_labels":["x"],"regex":"","target_label":"c","replacement":"y"}]`,
		ab, set{"a": "1", "b": "2", "c": "y"})

	f("keep", `[{"action":"keep","source_labels":["a"],"regex":"1|3"}]`, ab, ab)
	f("keep not", `[{"action":"keep","source_labels":["b"],"regex":"1|3"}]`, ab, nil)
	f("keep what is not there", `[{"action":"keep","source_labels":["x"],"regex":".+"}]`, ab, nil)
	f("drop", `[{"action":"drop","source_labels":["a"],"regex":"1|3"}]`, ab, nil)
	f("drop not", `[{"action":"drop","source_labels":["b"],"regex":"1|3"}]`, ab, ab)
	f("drop all", `[{"action":"drop"}]`, ab, nil)
	f("drop by any case of the action", `[{"action":"DROP"}]`, ab, nil)

	same := set{"a": "1", "b": "1"}
	f("keepequal", `[{"action":"keepequal","source_labels":["a"],"target_label":"b"}]`, same, same)
	f("keepequal not", `[{"action":"keepequal","source_labels":["a"],"target_label":"b"}]`, ab, nil)
	f("keepequal of what is not there", `[{"action":"keepequal","source_labels":["x"],"target_label":"y"}]`, ab, ab)
	f("dropequal", `[{"action":"dropequal","source_labels":["a"],"target_label":"b"}]`, same, nil)
	f("dropequal not", `[{"action":"dropequal","source_labels":["a"],"target_label":"b"}]`, ab, ab)

	// Values that Prometheus's own tests have.
	f("hashmod", `[{"action":"hashmod","source_labels":["c"],"separator":";","target_label":"d","modulus":1000}]`,
		set{"a": "foo", "b": "bar", "c": "baz"}, set{"a": "foo", "b": "bar", "c": "baz", "d": "976"})
	f("hashmod of lines", `[{"action":"hashmod","source_labels":["a"],"target_label":"d","modulus":1000}]`,
		set{"a": "foo\nbar"}, set{"a": "foo\nbar", "d": "734"})
	f("hashmod by 1", `[{"action":"hashmod","source_labels":["a"],"target_label":"d","modulus":1}]`, set{"a": "x"}, set{"a": "x", "d": "0"})

	f("labelmap", `[{"action":"labelmap","regex":"__aws_(.*)"}]`,
		set{"__aws_log_type": "s3", "a": "1"}, set{"__aws_log_type": "s3", "log_type": "s3", "a": "1"})
	f("labelmap with a replacement", `[{"action":"labelmap","regex":"(.)","replacement":"l_${1}"}]`,
		ab, set{"a": "1", "b": "2", "l_a": "1", "l_b": "2"})
	f("labelmap in the order of names", `[{"action":"labelmap","regex":"[abz].*","replacement":"all"}]`,
		set{"z": "last", "b": "2", "a": "1", "Z": "no"}, set{"z": "last", "b": "2", "a": "1", "Z": "no", "all": "last"})
	f("labelmap goes by what there was", `[{"action":"labelmap","regex":"(a+)","replacement":"a$1"}]`,
		set{"a": "1", "aa": "2"}, set{"a": "1", "aa": "1", "aaa": "2"})

	f("labeldrop", `[{"action":"labeldrop","regex":"__.*"}]`, set{"__a": "1", "a__": "2"}, set{"a__": "2"})
	f("labelkeep", `[{"action":"labelkeep","regex":"__.*"}]`, set{"__a": "1", "a__": "2"}, set{"__a": "1"})
	f("labelkeep of nothing", `[{"action":"labelkeep","regex":"x"}]`, ab, set{})

	f("lowercase", `[{"action":"lowercase","source_labels":["a","b"],"target_label":"c"}]`, set{"a": "ÄB"}, set{"a": "ÄB", "c": "äb;"})
	f("uppercase", `[{"action":"uppercase","source_labels":["a"],"target_label":"a"}]`, set{"a": "äb"}, set{"a": "ÄB"})
	f("uppercase of nothing deletes", `[{"action":"uppercase","source_labels":["x"],"target_label":"a"}]`, ab, set{"b": "2"})

	f("one after another", `[{"source_labels":["a"],"target_label":"c"},{"action":"labeldrop","regex":"a"},`+
		`{"action":"keep","source_labels":["c","a"],"regex":"1;"}]`, ab, set{"b": "2", "c": "1"})
	f("nothing after a drop", `[{"action":"drop"},{"target_label":"x","replacement":"y"}]`, ab, nil)
}

// Of labels whose names begin with different letters lambda-promtail found some only now and then.
func TestApplyIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	rules := parse(t, `[
		{"source_labels":["env","__aws_log_type","Zone"],"target_label":"key"},
		{"action":"keep","source_labels":["env"],"regex":"prod"},
		{"action":"labelmap","regex":"(?:__aws_|__extra_|_)?(.).*","replacement":"first_$1"},
		{"action":"labelmap","regex":"__.*|[a-zA-Z].*","replacement":"last"},
		{"action":"labeldrop","regex":"__.*"}
	]`)
	for range 1000 {
		labels := set{
			"__aws_log_type": "cloudwatch", "__aws_cloudwatch_log_group": "/g", "__extra_team": "t", "env": "prod", "Zone": "z",
			"_x": "x", "app": "web", "zone": "y",
		}
		require.True(t, relabel.Apply(labels, rules))
		require.Equal(t, set{
			"env": "prod", "Zone": "z", "_x": "x", "app": "web", "zone": "y", "key": "prod;cloudwatch;z",
			"first_l": "cloudwatch", "first_c": "/g", "first_t": "t", "first_e": "prod", "first_Z": "z", "first_x": "x", "first_a": "web",
			"first_z": "y", "first_k": "prod;cloudwatch;z", "last": "y",
		}, labels)
	}
}

func TestApplyDoesNotChangeRules(t *testing.T) {
	t.Parallel()
	rules := parse(t, `[{"source_labels":["a","b"],"target_label":"$1","regex":"(.*);.*"},{"action":"labeldrop","regex":"a|b"}]`)
	for i := range 100 {
		value := "v" + strconv.Itoa(i)
		labels := set{"a": value, "b": "x"}
		require.True(t, relabel.Apply(labels, rules))
		require.Equal(t, set{value: value}, labels)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const notRules = "want a JSON array of Prometheus's relabel rules: "
	f := func(text string, want ...string) {
		t.Helper()
		_, err := relabel.Parse(text)
		require.EqualError(t, err, strings.Join(want, "\n"), text)
	}
	f("", notRules+"EOF")
	f(`[`, notRules+"unexpected EOF")
	f(`{}`, notRules+"json: cannot unmarshal object into Go value of type []json.RawMessage")
	f(`[] []`, notRules+"there is more behind it")
	f(`[]]`, notRules+"there is more behind it")
	f("["+strings.Repeat(`{"action":"keep"},`, 1000)+`{}]`, "1001 rules, at most 1000 are taken")

	f(`[{"source_label":["a"]}]`, `rule 1: json: unknown field "source_label"`)
	f(`[{"regex":"("}]`, "rule 1: regex: error parsing regexp: missing closing ): `^(?s:()$`")
	f(`[{"action":""}]`, `rule 1: action ("") is none that there is`)
	f(`[{"action":"labelmapp"}]`, `rule 1: action ("labelmapp") is none that there is`)
	f(`[{}]`, `rule 1: replace: target_label ("") is no name of a label`)
	f(`[{"target_label":"a-b"}]`, `rule 1: replace: target_label ("a-b") is no name of a label`)
	f(`[{"action":"labelmap","replacement":"a-$1"}]`, `rule 1: labelmap: replacement ("a-$1") makes no name of a label`)
	f(`[{"action":"hashmod","target_label":"a"}]`, "rule 1: hashmod: modulus must not be 0")
	f(`[{"action":"lowercase","target_label":"a","replacement":"b"}]`, "rule 1: lowercase: there is a setting that it does not have")
	f(`[{"action":"keepequal","target_label":"$1"}]`, `rule 1: keepequal: target_label ("$1") is no name of a label`)
	f(`[{"action":"keepequal","target_label":"a","regex":"b"}]`, "rule 1: keepequal: there is a setting that it does not have")
	f(`[{"action":"labelkeep","source_labels":["a"]}]`, "rule 1: labelkeep: there is a setting that it does not have")
	f(`[{"action":"keep"},{"action":"labeldrop","target_label":"a"},{},{"action":"keep"},3]`,
		"rule 2: labeldrop: there is a setting that it does not have",
		`rule 3: replace: target_label ("") is no name of a label`,
		"rule 5: json: cannot unmarshal number into Go value of type relabel.settings")
}

func TestParseTakesMany(t *testing.T) {
	t.Parallel()
	assert.Len(t, parse(t, "["+strings.Repeat(`{"action":"keep"},`, 999)+`{"action":"drop"}]`), 1000)
}

func TestIsLabelName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "_", "__aws_log_type", "A1", "zZ_09"} {
		assert.True(t, relabel.IsLabelName(name), name)
	}
	for _, name := range []string{"", "1a", "a-b", "a.b", "a b", "ü", "a\n", "a:b", "\xff", "a\x00"} {
		assert.False(t, relabel.IsLabelName(name), name)
	}
}
