// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// message begins as gzip does. What follows is none of the forwarder's business.
var message = append([]byte{0x1f, 0x8b, 8, 0}, "\xff\xfe\xfd rest of the message"...)

// decode does what the handler does.
func decode(payload string) ([]byte, error) {
	p := GetParser()
	defer p.Put()
	e, err := p.Parse([]byte(payload))
	if err != nil {
		return nil, err
	}
	return e.Message()
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	text := base64.StdEncoding.EncodeToString(message)
	require.Contains(t, text, "/", "the test of escaped slashes needs one")
	f := func(name, payload string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(payload)
			require.NoError(t, err)
			assert.Equal(t, message, got)
		})
	}
	f("as AWS sends it", `{"awslogs":{"data":"`+text+`"}}`)
	f("whitespace", " \r\n\t{ \"awslogs\" :\n{ \"data\" :\t\""+text+"\" } }\n")
	f("unknown fields around", `{"version":1.5e3,"awslogs":{"a":[{},"\"data\"",null,true],"data":"`+text+`","z":{"data":"x"}},"data":"y"}`)
	f("escaped slashes", `{"awslogs":{"data":"`+strings.ReplaceAll(text, "/", `\/`)+`"}}`)
	f("unicode escapes", `{"awslogs":{"data":"\u0048`+text[1:]+`"}}`)
	f("escaped keys", `{"aws\u006cogs":{"d\u0061ta":"`+text+`"}}`)
	f("last of several", `{"awslogs":{"data":"eA=="},"awslogs":{"data":"eA==","data":"`+text+`"}}`)
	f("awslogs beside records", `{"Records":[{"eventSource":"aws:s3"}],"awslogs":{"data":"`+text+`"}}`)
	f("line breaks, as MIME base64 has", `{"awslogs":{"data":"`+text[:8]+`\r\n`+text[8:]+`"}}`)
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	f := func(name, payload, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(payload)
			var malformed *MalformedError
			require.ErrorAs(t, err, &malformed)
			assert.EqualError(t, err, "malformed event: "+want)
		})
	}
	f("nothing", "", "not JSON at byte 0 of 0")
	f("not JSON", "PAYLOAD", "not JSON at byte 1 of 7")
	f("cut short", `{"awslogs":{"data":"H4sI`, "not JSON at byte 24 of 24")
	f("more than one document", `{"awslogs":{}} {}`, "not JSON at byte 16 of 17")
	f("nested too deeply", strings.Repeat("[", 301)+strings.Repeat("]", 301), "not JSON that can be read, 602 bytes")
	f("null", " null ", "its JSON type is null, want object")
	f("array", `[{"awslogs":{}}]`, "its JSON type is array, want object")
	f("string", `"awslogs"`, "its JSON type is string, want object")
	f("number", "1", "its JSON type is number, want object")
	f("no data", `{"awslogs":{"Data":"H4sI"}}`, "`awslogs` has no `data`")
	f("awslogs is no object", `{"awslogs":"H4sI"}`, "`awslogs` has no `data`")
	f("data is no string", `{"awslogs":{"data":["H4sI"]}}`, "the JSON type of `awslogs.data` is array, want string")
	f("data is null", `{"awslogs":{"data":null}}`, "the JSON type of `awslogs.data` is null, want string")
	f("not base64", `{"awslogs":{"data":"H4sI!AAA"}}`, "`awslogs.data` is not base64 at byte 4 of 8")
	f("base64 for URLs", `{"awslogs":{"data":"H4sI__8="}}`, "`awslogs.data` is not base64 at byte 4 of 8")
	f("base64 cut short", `{"awslogs":{"data":"H4sIA"}}`, "`awslogs.data` is not base64 at byte 4 of 5")
	f("empty", `{"awslogs":{"data":""}}`, "the 0 bytes in `awslogs.data` are not gzip")
	f("short", `{"awslogs":{"data":"H4s="}}`, "the 2 bytes in `awslogs.data` are not gzip")
	f("another compression method", `{"awslogs":{"data":"H4sHAAAA"}}`, "the 6 bytes in `awslogs.data` are not gzip")
	f("not gzip", `{"awslogs":{"data":"eyJtZXNzYWdlVHlwZSI6"}}`, "the 15 bytes in `awslogs.data` are not gzip")
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	f := func(name, payload, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(payload)
			var unsupported *UnsupportedError
			require.ErrorAs(t, err, &unsupported)
			assert.EqualError(t, err, "unsupported event: found "+want+", want a CloudWatch Logs subscription event")
		})
	}
	f("empty", "{}", "an empty object")
	f("Kinesis", `{"Records":[{"kinesis":{"data":"x"},"eventSource":"aws:kinesis"}]}`, "`eventSource` \"aws:kinesis\"")
	f("SNS", `{"Records":[{"EventSource":"aws:sns","Sns":{"Message":"x"}}]}`, "`EventSource` \"aws:sns\"")
	f("no records", `{"Records":[]}`, `an object with "Records"`)
	f("records without a source", `{"Records":[{"a":1}]}`, `an object with "Records"`)
	f("records that are none", `{"Records":{"eventSource":"aws:s3"}}`, `an object with "Records"`)
	f("a source that is content", `{"Records":[{"eventSource":"user=alice\npassword=x"}]}`, `an object with "Records"`)
	f("EventBridge", `{"version":"0","detail-type":"Object Created","source":"aws.s3","detail":{}}`,
		"`source` \"aws.s3\" with `detail-type` \"Object Created\"")
	f("EventBridge without a source", `{"detail-type":"Object Created","detail":{}}`, `an object with "detail", "detail-type"`)
	f("S3 test event", `{"Service":"Amazon S3","Event":"s3:TestEvent"}`, `an object with "Event", "Service"`)
	f("repeated key", `{"a":1,"a":2}`, `an object with "a", others`)
	f("keys that are content", `{"password=hunter2":1,"a":1,"":1,"`+strings.Repeat("k", 65)+`":1}`, `an object with "a", others`)
	f("many keys", `{"k":1,"j":1,"i":1,"h":1,"g":1,"f":1,"e":1,"d":1,"c":1,"b":1,"a":1}`,
		`an object with "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", others`)
}

// The errors are logged and handed to other services: no content may be in them.
func TestErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	const secret = "p4ssword"
	for _, payload := range []string{
		secret,
		`"` + secret + `"`,
		`{"awslogs":{"data":"` + secret + `!"}}`,
		`{"awslogs":{"data":"` + secret + `"}}`,
		`{"awslogs":{"data":"` + secret,
		`{"awslogs":{"` + secret + `":1}}`,
		`{"awslogs":` + secret + `}`,
		`{"Records":[{"body":"` + secret + `"}]}`,
		`{"message":"` + secret + `"}`,
	} {
		_, err := decode(payload)
		require.Error(t, err, payload)
		assert.NotContains(t, err.Error(), secret, payload)
	}
}

func TestCutShort(t *testing.T) {
	t.Parallel()
	payload := `{"awslogs":{"data":"` + base64.StdEncoding.EncodeToString(message) + `"},"more":[1.5,true,"\u00e9"]}`
	for n := range len(payload) {
		_, err := decode(payload[:n])
		var malformed *MalformedError
		require.ErrorAs(t, err, &malformed, "the first %d bytes", n)
	}
}

func TestParseKeepsPayload(t *testing.T) {
	t.Parallel()
	const payload = `{"aws\u006cogs":{"data":"H4sI\/\u0041=="}}`
	b := []byte(payload)
	var p Parser
	e, err := p.Parse(b)
	require.NoError(t, err)
	assert.True(t, bytes.Equal([]byte(payload), b), "fastjson unescapes in its own copy")
	clear(b)
	assert.Equal(t, "H4sI/A==", string(e.subscription))
}

// FuzzDecode compares with encoding/json: what it reads as awslogs.data of a
// valid event is what comes out, and nothing comes out of anything else.
func FuzzDecode(f *testing.F) {
	text := base64.StdEncoding.EncodeToString(message)
	for _, seed := range []string{
		"", "null", "{}", "[]", `{"awslogs":null}`, `{"awslogs":{"data":1}}`,
		`{"awslogs":{"data":"` + text + `"}}`,
		`{"awslogs":{"data":"` + strings.ReplaceAll(text, "/", `\/`) + `"},"awslogs":{"data":"\ud800"}}`,
		`{"a":[1,-2.5e-3,true,false,null,"\"\\\u00e9"],"awslogs":{"x":{},"data":"\u0048` + text[1:] + `"}}`,
		`{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}`,
		`{"source":"aws.s3","detail-type":"Object Created"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := decode(string(payload))
		if !json.Valid(payload) {
			return // Lambda passes on JSON only; that nothing panics is enough
		}
		want, ok := oracle(payload)
		if !ok {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// oracle decodes with the standard library alone.
func oracle(payload []byte) ([]byte, bool) {
	var outer, inner map[string]json.RawMessage
	if json.Unmarshal(payload, &outer) != nil || json.Unmarshal(outer["awslogs"], &inner) != nil {
		return nil, false
	}
	var text *string
	if json.Unmarshal(inner["data"], &text) != nil || text == nil {
		return nil, false
	}
	data, err := base64.StdEncoding.DecodeString(*text)
	ok := err == nil && len(data) > 2 && string(data[:3]) == "\x1f\x8b\x08"
	return data, ok
}
