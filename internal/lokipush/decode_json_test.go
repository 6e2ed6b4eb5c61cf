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

func decodeJSON(text string) (Decoded, error) {
	return DecodePush([]byte(text), decodeOptions("application/json"))
}

func TestDecodePushJSON(t *testing.T) {
	one := []decodedStream{{map[string]string{"a": "b"}, []decodedEntry{{5, "line", nil}}}}
	bare := func(entries ...decodedEntry) []decodedStream { return []decodedStream{{map[string]string{}, entries}} }
	for name, tt := range map[string]struct {
		text    string
		want    []decodedStream
		streams int
	}{
		"null":                    {`{"streams":null}`, nil, 0},
		"no streams":              {` { "streams" : [ ] } ` + "\n", nil, 0},
		"unknown keys":            {`{"a":[{"b":null}],"streams":[{"c":{},"stream":{"a":"b"},"values":[["5","line"]],"d":-1.5e3}],"e":true}`, one, 1},
		"values before labels":    {`{"streams":[{"values":[["5","line"]],"stream":{"a":"b"}}]}`, one, 1},
		"another case":            {`{"Streams":[{"stream":{"a":"b"},"values":[["5","line"]]}]}`, one, 1},
		"number as timestamp":     {`{"streams":[{"stream":{"a":"b"},"values":[[5,"line"]]}]}`, one, 1},
		"fourth element":          {`{"streams":[{"stream":{"a":"b"},"values":[["5","line",{},[1],null]]}]}`, one, 1},
		"null entry":              {`{"streams":[{"stream":{"a":"b"},"values":[null,["5","line"],null]}]}`, one, 1},
		"empty value of a label":  {`{"streams":[{"stream":{"a":"b","c":""},"values":[["5","line"]]}]}`, one, 1},
		"streams without entries": {`{"streams":[{"stream":{"a":"b"},"values":[]},{"stream":{},"values":null},{"values":[null]}]}`, nil, 3},
		"no labels":               {`{"streams":[{"values":[["1",""]]}]}`, bare(decodedEntry{1, "", nil}), 1},
		"before 1970":             {`{"streams":[{"values":[["-9223372036854775808","a"],["-1","b"],["0","c"]]}]}`, bare(decodedEntry{0, "a", nil}, decodedEntry{0, "b", nil}, decodedEntry{0, "c", nil}), 1},
		"the last":                {`{"streams":[{"values":[["9223372036854775807","a"]]}]}`, bare(decodedEntry{9223372036854775807, "a", nil}), 1},
		"escapes": {
			`{"str\u0065ams":[{"stream":{"\u0061":"\"\\\/\b\f\n\r\t\ud83d\ude00"},"values":[["\u0035","\u65e5\n",{"k\u00e9":"\u00e9"}]]}]}`,
			[]decodedStream{{map[string]string{"a": "\"\\/\b\f\n\r\t😀"}, []decodedEntry{{5, "日\n", []nameValue{{"ké", "é"}}}}}},
			1,
		},
		"metadata": {
			`{"streams":[{"values":[["5","",{"b":"1","a.b":"","b":"2"}],["6","x",{}]]}]}`,
			bare(decodedEntry{5, "", []nameValue{{"b", "2"}, {"a.b", ""}}}, decodedEntry{6, "x", nil}), 1,
		},
		"literals as labels": {
			`{"streams":[{"stream":{"a":5,"b": -1.50e+3 ,"c":true,"d":false,"e":null,"f":"\u0035","g":null},"values":[["5","line"]]}]}`,
			[]decodedStream{{
				map[string]string{"a": "5", "b": "-1.50e+3", "c": "true", "d": "false", "e": "null", "f": "5", "g": "null"},
				[]decodedEntry{{5, "line", nil}},
			}},
			1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeJSON(tt.text)
			require.NoError(t, err)
			assert.Equal(t, tt.want, decodedStreams(t, got))
			assert.Equal(t, tt.streams, got.Streams)
			assert.Equal(t, len(tt.text), got.DecodedBytes)
		})
	}
}

func TestDecodePushJSONErrors(t *testing.T) {
	const good = `{"stream":{"a":"b"},"values":[["5","line"]]}`
	for text, want := range map[string]string{
		`null`:                        "offset 0: expected an object",
		`[]`:                          "offset 0: expected an object",
		`{"streams":{}}`:              "offset 11: expected an array",
		`{"streams":[]}{}`:            "offset 14: expected nothing after the request",
		`{"streams":[]`:               "cut short",
		`{"streams":[null]}`:          "stream 1: offset 12: expected an object",
		`{"streams":[],"Streams":[]}`: `offset 24: a second "streams"`,
		`{"streams":[{"stream":{},"stream":{}}]}`:                     `stream 1: offset 34: a second "stream"`,
		`{"streams":[{"values":[],"values":[]}]}`:                     `stream 1: offset 34: a second "values"`,
		`{"streams":[` + good + `,{"stream":{"bad-name":"secret"}}]}`: "couldn't parse labels of stream 2: offset 79: ",
		`{"streams":[{"stream":{"":"secret"}}]}`:                      "couldn't parse labels of stream 1: ",
		`{"streams":[{"stream":{"9":"secret"}}]}`:                     "couldn't parse labels of stream 1: ",
		`{"streams":[{"stream":{"日":"secret"}}]}`:                     "couldn't parse labels of stream 1: ",
		`{"streams":[{"stream":{"a":{"secret":"b"}},"values":[]}]}`:   "couldn't parse labels of stream 1: offset 27: expected a string, a number, true, false or null",
		`{"streams":[{"stream":{"a":["secret"]},"values":[]}]}`:       "couldn't parse labels of stream 1: offset 27: expected a string, a number, true, false or null",
		`{"streams":[{"stream":{"a":1.2.3},"values":[]}]}`:            "couldn't parse labels of stream 1: offset 32: before here is a malformed number",
		`{"streams":[{"stream":{"a":nul},"values":[]}]}`:              "couldn't parse labels of stream 1: offset 27: expected a value",
		`{"streams":[{"stream":{"a":nullx},"values":[]}]}`:            "couldn't parse labels of stream 1: offset 31: expected a comma or '}'",
		`{"streams":[{"stream":{"a":5`:                                "couldn't parse labels of stream 1: offset 28: cut short",
		`{"streams":[{"stream":{"a":`:                                 "couldn't parse labels of stream 1: offset 27: cut short",
		`{"streams":[{"stream":null}]}`:                               "couldn't parse labels of stream 1: offset 22: expected an object",
		`{"streams":[{"stream":"{a=\"secret\"}"}]}`:                   "couldn't parse labels of stream 1: offset 22: expected an object",
		`{"streams":[{"stream":{"a":"secret`:                          "couldn't parse labels of stream 1: offset 34: cut short",
		`{"streams":[{"values":{}}]}`:                                 "stream 1: offset 22: expected an array",
		`{"streams":[` + good + `,{"values":[["5","x"],{}]}]}`:        "stream 2: entry 2: offset 78: expected an array",
		`{"streams":[{"values":[[]]}]}`:                               "stream 1: entry 1: offset 25: the timestamp is missing",
		`{"streams":[{"values":[["5"]]}]}`:                            "stream 1: entry 1: offset 28: the line is missing",
		`{"streams":[{"values":[["5",5]]}]}`:                          "stream 1: entry 1: offset 28: expected a string",
		`{"streams":[{"values":[["5",{"secret":"secret"}]]}]}`:        "stream 1: entry 1: offset 28: expected a string",
		`{"streams":[{"values":[["5",null]]}]}`:                       "stream 1: entry 1: offset 28: expected a string",
		`{"streams":[{"values":[["5","secret",null]]}]}`:              "stream 1: entry 1: offset 37: expected an object",
		`{"streams":[{"values":[["5","secret",{"a":5}]]}]}`:           "stream 1: entry 1: offset 42: expected a string",
		`{"streams":[{"values":[["5","secret",{"a":{"b":""}}]]}]}`:    "stream 1: entry 1: offset 42: expected a string",
		`{"streams":[{"values":[["5","x",{"":"secret"}]]}]}`:          "stream 1: entry 1: offset 44: a pair of structured metadata without a name",
		`{"streams":[{"values":[["","x"]]}]}`:                         "timestamp that is no whole number",
		`{"streams":[{"values":[["secret","x"]]}]}`:                   "timestamp that is no whole number",
		`{"streams":[{"values":[["+5","x"]]}]}`:                       "timestamp that is no whole number",
		`{"streams":[{"values":[["5e3","x"]]}]}`:                      "timestamp that is no whole number",
		`{"streams":[{"values":[[" 5","x"]]}]}`:                       "timestamp that is no whole number",
		`{"streams":[{"values":[["1_0","x"]]}]}`:                      "timestamp that is no whole number",
		`{"streams":[{"values":[["2026-10-12T08:27:20Z","x"]]}]}`:     "timestamp that is no whole number",
		`{"streams":[{"values":[["9223372036854775808","x"]]}]}`:      "timestamp that is no whole number of 64 bits",
		`{"streams":[{"values":[[9223372036854775808,"x"]]}]}`:        "number out of range",
		`{"streams":[{"values":[[1.5,"x"]]}]}`:                        "expected a whole number",
		`{"streams":[{"values":[[1e3,"x"]]}]}`:                        "expected a whole number",
		`{"streams":[{"values":[[-5,"x"]]}]}`:                         "expected a whole number",
		`{"streams":[{"values":[[null,"x"]]}]}`:                       "expected a whole number",
		`{"streams":[{"values":[["5","secret\q"]]}]}`:                 "unknown escape sequence",
		`{"x":` + strings.Repeat("[", 1000):                           "cut short",
	} {
		got, err := decodeJSON(text)
		assert.ErrorContains(t, err, want, text)
		assert.NotContains(t, err.Error(), "secret")
		assert.Zero(t, got)
	}
}

// What has other keys in the place of those that must be there is of another form: nothing of it may be lost in silence.
func TestDecodePushJSONMissingKeys(t *testing.T) {
	const good = `{"stream":{"a":"b"},"values":[["5","line"]]}`
	for text, want := range map[string]string{
		`{}`:                               `offset 2: "streams" is missing`,
		`{"stream":[` + good + `]}`:        `offset 57: "streams" is missing`,
		`{"x":{"streams":[]}}`:             `offset 20: "streams" is missing`,
		`{"streams":[{}]}`:                 `stream 1: offset 14: "values" is missing`,
		`{"streams":[` + good + `,{}]}`:    `stream 2: offset 59: "values" is missing`,
		`{"streams":[{"stream":{}}]}`:      `stream 1: offset 25: "values" is missing`,
		`{"streams":[{"Values":[["5"]]}]}`: `stream 1: offset 30: "values" is missing`,
		`{"streams":[{"stream":{},"value":[["5","secret"]]}]}`:                                           `stream 1: offset 50: "values" is missing`,
		`{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"2026-10-12T08:27:20Z","line":"secret"}]}]}`: `stream 1: offset 92: "values" is missing`,
	} {
		got, err := decodeJSON(text)
		require.EqualError(t, err, want, text)
		assert.Zero(t, got)
	}
}

func TestDecodePushJSONLimits(t *testing.T) {
	object := func(n int) string {
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf(`"n%d":"v"`, i))
		}
		return `{` + strings.Join(members, ",") + `}`
	}
	text := `{"streams":[{"stream":%s,"values":[["5","",%s]]}]}`
	_, err := decodeJSON(fmt.Sprintf(text, object(maxStreamLabels), object(maxEntryMetadata)))
	require.NoError(t, err)
	_, err = decodeJSON(fmt.Sprintf(text, object(maxStreamLabels+1), `{}`))
	require.ErrorContains(t, err, "couldn't parse labels of stream 1: ")
	require.ErrorContains(t, err, "more than 128 labels")
	_, err = decodeJSON(fmt.Sprintf(text, `{}`, object(maxEntryMetadata+1)))
	require.ErrorContains(t, err, "stream 1: entry 1: ")
	require.ErrorContains(t, err, "more than 128 pairs of structured metadata")
	_, err = decodeJSON(fmt.Sprintf(`{"streams":[{"values":[["%s","x"]]}]}`, strings.Repeat("5", 1<<19)))
	require.ErrorContains(t, err, "timestamp that is no whole number")
	assert.Less(t, len(err.Error()), 200)
}
