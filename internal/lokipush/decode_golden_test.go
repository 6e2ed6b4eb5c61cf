// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
)

var update = flag.Bool("update", false, "write the payloads of testdata/loki_push and what they decode to anew")

const (
	testdata = "../../testdata/loki_push"
	// Extensions say how a payload is sent.
	protobufExtension, jsonExtension, expectedExtension = ".snappy", ".json", ".expected.json"
)

// payloads are written as Loki's clients write them.
func payloads(tb testing.TB) map[string][]byte {
	tb.Helper()
	at := func(milliseconds int) time.Time { return time.UnixMilli(1791798435523 + int64(milliseconds)) }
	const requestID = "RequestId: 8f5c1d2e-3b4a-4c6d-9e8f-0123456789ab"
	lambdaPromtail := marshal(tb, push.Stream{
		Labels: `{__aws_cloudwatch_log_group="/aws/lambda/checkout", ` +
			`__aws_cloudwatch_log_stream="2026/10/12/[$LATEST]94fa", ` +
			`__aws_cloudwatch_owner="123456789012", __aws_log_type="cloudwatch"}`,
		Entries: []push.Entry{
			{Timestamp: at(0), Line: "START " + requestID + " Version: $LATEST\n"},
			{Timestamp: at(17), Line: "2026-10-12T08:27:15.540Z\t8f5c1d2e-3b4a-4c6d-9e8f-0123456789ab\tERROR\tno stock for \"ünit\" 7\n"},
			{Timestamp: at(17), Line: `{"level":"WARN","message":"a retry"}`},
			{Timestamp: at(21), Line: "END " + requestID + "\n"},
			{Timestamp: at(21), Line: "REPORT " + requestID + "\tDuration: 20.48 ms\tBilled Duration: 21 ms\n"},
		},
	})
	promtail := marshal(tb, push.Stream{
		Labels: `{filename="/var/log/nginx/access.log", host="web-1", job="nginx"}`,
		Entries: []push.Entry{
			{Timestamp: at(0).Add(123), Line: `203.0.113.7 - - [12/Oct/2026:08:27:15 +0000] "GET /cart HTTP/1.1" 200 1432`},
			{
				Timestamp: at(1).Add(456), Line: `203.0.113.7 - - [12/Oct/2026:08:27:15 +0000] "POST /cart HTTP/1.1" 502 17`,
				StructuredMetadata: pairs("status", "502", "trace_id", "0af7651916cd43dd8448eb211c80319c"),
			},
		},
		Hash: 7762893744389172345,
	}, push.Stream{
		Labels: `{host="web-2", job="idle"}`,
	}, push.Stream{
		Labels: `{host="web-1", job="systemd-journal", message="quote \" backslash \\ tab \t", unit="session-1.scope", empty=""}`,
		Entries: []push.Entry{
			{Timestamp: at(2), Line: "", StructuredMetadata: pairs("a.name-of-any-form", "v", "status", "first", "status", "last")},
			{Line: "an entry without a time"},
			{Timestamp: at(3), Line: "not UTF-8: \xe9"},
		},
	})
	return map[string][]byte{
		"lambda-promtail" + protobufExtension: snappy.Encode(nil, lambdaPromtail),
		"promtail" + protobufExtension:        snappy.Encode(nil, promtail),
		"http-api" + jsonExtension: []byte(`{
  "streams": [
    {
      "stream": {"job": "billing", "region": "eu-central-1", "empty": ""},
      "values": [
        ["1791798435523000000", "level=info msg=\"invoice \u65e5 sent\"\n"],
        ["1791798435523000001", "level=warn msg=retry", {"trace_id": "0af7651916cd43dd8448eb211c80319c", "attempt": "2"}]
      ]
    },
    {
      "values": [["1791798436000000000", "keys in another order"]],
      "stream": {"job": "audit"}
    }
  ]
}
`),
	}
}

// eachPayload calls f with every payload of testdata.
func eachPayload(tb testing.TB, f func(name string, data []byte, opts DecodeOptions)) {
	tb.Helper()
	files, err := filepath.Glob(testdata + "/*")
	require.NoError(tb, err)
	tested := 0
	for _, file := range files {
		contentType := "application/x-protobuf"
		switch {
		case strings.HasSuffix(file, expectedExtension):
			continue
		case strings.HasSuffix(file, jsonExtension):
			contentType = "application/json"
		}
		data, err := os.ReadFile(file)
		require.NoError(tb, err)
		f(filepath.Base(file), data, decodeOptions(contentType))
		tested++
	}
	require.NotZero(tb, tested)
}

func TestDecodePushGolden(t *testing.T) {
	if *update {
		require.NoError(t, os.MkdirAll(testdata, 0o750))
		for name, data := range payloads(t) {
			require.NoError(t, os.WriteFile(filepath.Join(testdata, name), data, 0o600))
		}
	}
	eachPayload(t, func(name string, data []byte, opts DecodeOptions) {
		t.Run(name, func(t *testing.T) {
			decoded, err := DecodePush(data, opts)
			require.NoError(t, err)
			got := indentedJSON(t, decoded.Logs)
			name, _, _ := strings.Cut(name, ".")
			expected := filepath.Join(testdata, name+expectedExtension)
			if *update {
				require.NoError(t, os.WriteFile(expected, got, 0o600))
			}
			want, err := os.ReadFile(expected)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got))
		})
	})
}

func indentedJSON(tb testing.TB, ld plog.Logs) []byte {
	tb.Helper()
	data, err := (&plog.JSONMarshaler{}).MarshalLogs(ld)
	require.NoError(tb, err)
	var indented bytes.Buffer
	require.NoError(tb, json.Indent(&indented, data, "", "  "))
	return append(indented.Bytes(), '\n')
}

// A request that is cut short is refused, unless what is left is whole.
func TestDecodePushCutShort(t *testing.T) {
	eachPayload(t, func(name string, data []byte, opts DecodeOptions) {
		for n := range len(data) {
			got, err := DecodePush(bytes.Clone(data[:n]), opts)
			if opts.ContentType == "application/json" && json.Valid(data[:n]) {
				assert.NoError(t, err)
				continue
			}
			require.Error(t, err, "the first %d bytes of %s", n, name)
			assert.Zero(t, got)
		}
		if opts.ContentType == "application/json" {
			return
		}
		plain := mustDecompress(data)
		for n := range len(plain) {
			_, err := decodeProtobuf(plain[:n])
			var request push.PushRequest
			assert.Equal(t, request.Unmarshal(plain[:n]) == nil, err == nil, "the first %d bytes of %s: %v", n, name, err)
		}
	})
}
