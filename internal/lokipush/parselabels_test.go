// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseLabels(t *testing.T) {
	for text, want := range map[string][]nameValue{
		``:                              nil,
		`{}`:                            nil,
		" \t\r\n{ \n}\r":                nil,
		`{a="b"}`:                       {{"a", "b"}},
		`{a="b", c="d"}`:                {{"a", "b"}, {"c", "d"}},
		`{a="b",}`:                      {{"a", "b"}},
		" { a = \"b\" ,\n_9Z=\"\" , } ": {{"a", "b"}, {"_9Z", ""}},
		"{a='b', c=`d`}":                {{"a", "b"}, {"c", "d"}},
		`{a='"', b="'"}`:                {{"a", `"`}, {"b", "'"}},
		"{a=`\\n\n\"'`}":                {{"a", "\\n\n\"'"}},
		`{"a.b"="c", 'd e'="f"}`:        {{"a.b", "c"}, {"d e", "f"}},
		`{"\x41\""="c"}`:                {{`A"`, "c"}},
		`{a="b", a="c"}`:                {{"a", "b"}, {"a", "c"}},
		`{a="\a\b\f\n\r\t\v\\\""}`:      {{"a", "\a\b\f\n\r\t\v\\\""}},
		`{a='\''}`:                      {{"a", "'"}},
		`{a="x\101y\xe6\x97\xa5z\u65e5-\U0001F600\377"}`: {{"a", "xAy日z日-😀\xff"}},
		`{a="日本 {}=,#"}`:                                 {{"a", "日本 {}=,#"}},
		`{a="\ufffd", b="` + "\ufffd" + `"}`:             {{"a", "\ufffd"}, {"b", "\ufffd"}},
		"{a=\"\x00\"}":                                   {{"a", "\x00"}},
		"# comment\n{a=\"b\" # more, {\r,c=\"d\"}#end":   {{"a", "b"}, {"c", "d"}},
		`up`:                          {{"__name__", "up"}},
		`job:up:rate5m {a="b"}`:       {{"a", "b"}, {"__name__", "job:up:rate5m"}},
		`{"up", a="b"}`:               {{"__name__", "up"}, {"a", "b"}},
		`{__name__="up"}`:             {{"__name__", "up"}},
		`{on="a", bool="b", inf="c"}`: {{"on", "a"}, {"bool", "b"}, {"inf", "c"}},
		`{__aws_cloudwatch_log_group="/aws/lambda/checkout", __aws_cloudwatch_log_stream="2026/10/12/[$LATEST]94fa"}`: {
			{"__aws_cloudwatch_log_group", "/aws/lambda/checkout"}, {"__aws_cloudwatch_log_stream", "2026/10/12/[$LATEST]94fa"},
		},
	} {
		got, err := parseLabels([]byte(text), nil)
		require.NoError(t, err, "%q", text)
		assert.Equal(t, want, got, "%q", text)
		if !strings.Contains(text, "\ufffd") {
			_, err = prometheusLabels(text)
			assert.NoError(t, err, "%q", text)
		}
	}
}

func TestParseLabelsErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                "offset 1: cut short, expected a label",
		`}`:                "offset 0: expected '{'",
		`"up"`:             "offset 0: expected '{'",
		`9up`:              "offset 0: expected '{'",
		`{a`:               "offset 2: expected '='",
		`{a=`:              "offset 3: expected a string",
		`{a=b}`:            "offset 3: expected a string",
		`{a=~"b"}`:         "offset 3: expected a string",
		`{a!="b"}`:         "offset 2: expected '='",
		`{a:b="c"}`:        "offset 2: expected '='",
		`{a="b"`:           "offset 6: expected ',' or '}'",
		`{a="b",`:          "offset 7: cut short, expected a label",
		`{a="b" c="d"}`:    "offset 7: expected ',' or '}'",
		`{a="b",,}`:        "offset 7: expected a label",
		`{,}`:              "offset 1: expected a label",
		`{9a="b"}`:         "offset 1: expected a label",
		`{bad-name="b"}`:   "offset 4: expected '='",
		`{日="b"}`:          "offset 1: expected a label",
		`{a="b"} x`:        "offset 8: expected nothing after the labels",
		`{a="b"}{}`:        "offset 7: expected nothing after the labels",
		`{{a="b"}}`:        "offset 1: expected a label",
		`{a="b}`:           "offset 3: a string begins here that does not end",
		`{a="b\"}`:         "offset 3: a string begins here that does not end",
		`{a="b\`:           "offset 3: a string begins here that does not end",
		"{a=`b}":           "offset 3: a string begins here that does not end",
		"{a=\"b\n\"}":      "offset 3: a string begins here that does not end",
		"{a=\"b\\\n\"}":    "offset 3: a string begins here that has a bad escape sequence",
		`{a="\'"}`:         "offset 3: a string begins here that has a bad escape sequence",
		`{a='\"'}`:         "offset 3: a string begins here that has a bad escape sequence",
		`{a="\q"}`:         "offset 3: a string begins here that has a bad escape sequence",
		`{a="\400"}`:       "offset 3: a string begins here that has a bad escape sequence",
		`{a="\08"}`:        "offset 3: a string begins here that has a bad escape sequence",
		`{a="\x4"}`:        "offset 3: a string begins here that has a bad escape sequence",
		`{a="\ud800"}`:     "offset 3: a string begins here that has a bad escape sequence",
		`{a="\U00110000"}`: "offset 3: a string begins here that has a bad escape sequence",
		"{a=\"\xff\"}":     "offset 3: a string begins here that is not UTF-8",
		"{a=`\xff`}":       "offset 3: a string begins here that is not UTF-8",
		"{\"\xff\"=\"b\"}": "offset 1: a string begins here that is not UTF-8",
		"{#}":              "offset 3: cut short, expected a label",
		"\ufeff{a=\"b\"}":  "offset 0: expected '{'",
	} {
		_, err := parseLabels([]byte(text), nil)
		require.ErrorContains(t, err, want, "%q", text)
		_, err = prometheusLabels(text)
		assert.Error(t, err, "%q", text)
	}
	_, err := parseLabels([]byte(`{""="x"}`), nil)
	require.ErrorContains(t, err, "a label without a name")
}

func TestParseLabelsLimit(t *testing.T) {
	var text strings.Builder
	for i := range maxStreamLabels {
		fmt.Fprintf(&text, `l%d="v",`, i)
	}
	labels, err := parseLabels([]byte(`{`+text.String()+`}`), nil)
	require.NoError(t, err)
	assert.Len(t, labels, maxStreamLabels)
	for _, more := range []string{`{` + text.String() + `x="y"}`, `up{` + text.String() + `}`} {
		_, err = parseLabels([]byte(more), labels)
		require.ErrorContains(t, err, "more than 128 labels")
	}
}

// Labels of megabytes take time in proportion to their size: this would not end if they did not.
func TestParseLabelsLong(t *testing.T) {
	const size = 10 << 20
	for name, text := range map[string]string{
		"value":        `{a="` + strings.Repeat("x", size) + `"}`,
		"escapes":      `{a="` + strings.Repeat(`\n`, size/2) + `"}`,
		"backquotes":   "{a=`" + strings.Repeat(`\`, size) + "`}",
		"no end":       `{a="` + strings.Repeat(`\"`, size/2),
		"name":         `{` + strings.Repeat("x", size) + `="b"}`,
		"comments":     strings.Repeat("#\n", size/2),
		"white space":  strings.Repeat(" ", size) + `{}`,
		"many strings": `{` + strings.Repeat(`"`, size),
	} {
		t.Run(name, func(t *testing.T) {
			labels, err := parseLabels([]byte(text), nil)
			if err == nil {
				assert.LessOrEqual(t, len(labels), 1)
			}
		})
	}
}
