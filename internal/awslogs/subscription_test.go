// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
)

var update = flag.Bool("update", false, "write the expected files anew")

const testdata = "../../testdata"

func testOptions() Options {
	return Options{
		MaxDecodedBytes: 1 << 20,
		Region:          "us-east-1",
		ObservedAt:      time.Date(2026, 10, 12, 8, 27, 20, 0, time.UTC),
	}
}

func TestDecodeSubscriptionGolden(t *testing.T) {
	files, err := filepath.Glob(testdata + "/subscription/*.json")
	require.NoError(t, err)
	tested := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if strings.HasSuffix(name, ".expected") {
			continue
		}
		tested++
		t.Run(name, func(t *testing.T) {
			batch, err := DecodeSubscription(readFile(t, file), testOptions())
			require.NoError(t, err)
			got := marshalJSON(t, batch.Logs)
			expected := testdata + "/subscription/" + name + ".expected.json"
			if *update {
				require.NoError(t, os.WriteFile(expected, got, 0o600))
			}
			assert.Equal(t, string(readFile(t, expected)), string(got))
		})
	}
	assert.NotZero(t, tested)
}

// The events of testdata hold the same documents, as Lambda gets them.
func TestDecodeSubscriptionEvents(t *testing.T) {
	files, err := filepath.Glob(testdata + "/events/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		_, name, _ := strings.Cut(filepath.Base(file), "-")
		t.Run(name, func(t *testing.T) {
			var event struct{ AWSLogs struct{ Data []byte } }
			require.NoError(t, json.Unmarshal(readFile(t, file), &event))
			batch, err := DecodeSubscription(event.AWSLogs.Data, testOptions())
			require.NoError(t, err)
			expected := testdata + "/subscription/" + strings.TrimSuffix(name, ".json") + ".expected.json"
			assert.Equal(t, string(readFile(t, expected)), string(marshalJSON(t, batch.Logs)))
		})
	}
}

func TestDecodeSubscriptionForms(t *testing.T) {
	one := document("group-1", "line 1")
	two := document("group-2", "line 2")
	control := readFile(t, testdata+"/subscription/control-message.json")
	for name, tt := range map[string]struct {
		body      []byte
		lines     []string
		documents int
		control   int
	}{
		"plain":                        {[]byte(one), []string{"line 1"}, 1, 0},
		"many documents":               {[]byte(one + two), []string{"line 1", "line 2"}, 2, 0},
		"white space around them":      {[]byte("\r\n " + one + "\n\t" + two + "\n"), []string{"line 1", "line 2"}, 2, 0},
		"gzip":                         {compress(t, one), []string{"line 1"}, 1, 0},
		"many documents in one member": {compress(t, one+two), []string{"line 1", "line 2"}, 2, 0},
		"many members":                 {append(compress(t, one), compress(t, two)...), []string{"line 1", "line 2"}, 2, 0},
		"a document over two members":  {append(compress(t, one[:40]), compress(t, one[40:])...), []string{"line 1"}, 1, 0},
		"gzip within gzip":             {compress(t, string(compress(t, one))), []string{"line 1"}, 1, 0},
		"control message":              {control, nil, 1, 1},
		"control message between":      {bytes.Join([][]byte{[]byte(one), control, []byte(two)}, nil), []string{"line 1", "line 2"}, 3, 1},
		"no events":                    {[]byte(document("group-1")), nil, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			batch, err := DecodeSubscription(tt.body, testOptions())
			require.NoError(t, err)
			assert.Equal(t, tt.lines, bodies(batch.Logs))
			assert.Equal(t, tt.documents, len(batch.Documents)+batch.ControlMessages)
			assert.Equal(t, tt.control, batch.ControlMessages)
			assert.Positive(t, batch.DecodedBytes)
		})
	}
}

// Keys come in any order, and the type of the message may be known only after its events.
func TestDecodeSubscriptionKeyOrder(t *testing.T) {
	forward := `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["f"],` +
		`"logEvents":[{"id":"7","timestamp":5,"message":"m","extractedFields":{"@aws.region":"r"}}]}`
	backward := `{"logEvents":[{"extractedFields":{"@aws.region":"r"},"message":"m","timestamp":5,"id":"7"}],` +
		`"subscriptionFilters":["f"],"logStream":"s","logGroup":"g","owner":"1","messageType":"DATA_MESSAGE"}`
	a, err := DecodeSubscription([]byte(forward), testOptions())
	require.NoError(t, err)
	b, err := DecodeSubscription([]byte(backward), testOptions())
	require.NoError(t, err)
	assert.Equal(t, string(marshalJSON(t, a.Logs)), string(marshalJSON(t, b.Logs)))

	late := `{"logEvents":[{"timestamp":5,"message":"check"}],"messageType":"CONTROL_MESSAGE"}`
	batch, err := DecodeSubscription([]byte(forward+late+forward), testOptions())
	require.NoError(t, err)
	assert.Equal(t, []string{"m", "m"}, bodies(batch.Logs))
	assert.Equal(t, 1, batch.ControlMessages)
}

func TestDecodeSubscriptionUnknownFields(t *testing.T) {
	body := `{"new":{"a":[1,-2.5e3,{"b":"\"]}"}],"c":null,"d":true,"e":false,"f":{},"g":[]},"messageType":"DATA_MESSAGE",` +
		`"owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":null,"policyLevel":null,` +
		`"logEvents":[{"later":[{}],"timestamp":5,"message":"m","id":null,"extractedFields":null},` +
		`{"timestamp":6,"message":"n","extractedFields":{"count":3,"name":"v"}}]}`
	batch, err := DecodeSubscription([]byte(body), testOptions())
	require.NoError(t, err)
	assert.Equal(t, []string{"m", "n"}, bodies(batch.Logs))
	records := batch.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	assert.Equal(t, 0, records.At(0).Attributes().Len())
	assert.Equal(t, map[string]any{"aws.log.extracted_fields.name": "v"}, records.At(1).Attributes().AsRaw())
}

func TestDecodeSubscriptionExcludedLogGroup(t *testing.T) {
	opts := testOptions()
	opts.ExcludeLogGroup = "/aws/lambda/forwarder"
	batch, err := DecodeSubscription(
		[]byte(document("g", "kept")+document("/aws/lambda/forwarder", "own", "own too")+document("h", "kept too")), opts)
	require.NoError(t, err)
	assert.Equal(t, []string{"kept", "kept too"}, bodies(batch.Logs))
	assert.Equal(t, 2, batch.ExcludedRecords)
}

func TestDecodeSubscriptionMalformed(t *testing.T) {
	const head = `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s",`
	for name, tt := range map[string]struct{ body, err string }{
		"empty":                   {"", "no document"},
		"white space only":        {" \n", "no document"},
		"text":                    {"hello", "document 1: offset 0: expected an object"},
		"array":                   {"[]", "document 1: offset 0: expected an object"},
		"NUL":                     {"\x00", "document 1: offset 0: expected an object"},
		"of another shape":        {`{"Records":[]}`, "document 1: messageType is missing"},
		"of another type":         {`{"messageType":"OTHER"}`, "document 1: messageType is neither DATA_MESSAGE nor CONTROL_MESSAGE"},
		"type is a number":        {`{"messageType":1}`, "document 1: messageType: offset 15: expected a string"},
		"no owner":                {`{"messageType":"DATA_MESSAGE","logGroup":"g","logStream":"s","logEvents":[]}`, "document 1: owner is missing"},
		"no logGroup":             {`{"messageType":"DATA_MESSAGE","owner":"1","logStream":"s","logEvents":[]}`, "document 1: logGroup is missing"},
		"no logStream":            {`{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logEvents":[]}`, "document 1: logStream is missing"},
		"no logEvents":            {head + `"subscriptionFilters":[]}`, "document 1: logEvents is missing"},
		"logEvents is null":       {head + `"logEvents":null}`, "document 1: logEvents: offset 85: expected an array"},
		"event is text":           {head + `"logEvents":["x"]}`, "document 1: logEvents: event 1: offset 86: expected an object"},
		"event without message":   {head + `"logEvents":[{"timestamp":1,"message":"m"},{"timestamp":1}]}`, "document 1: logEvents: event 2: message is missing"},
		"event without timestamp": {head + `"logEvents":[{"message":"m"}]}`, "document 1: logEvents: event 1: timestamp is missing"},
		"timestamp of text":       {head + `"logEvents":[{"timestamp":"1","message":"m"}]}`, "document 1: logEvents: event 1: offset 99: expected a whole number"},
		"timestamp negative":      {head + `"logEvents":[{"timestamp":-1,"message":"m"}]}`, "document 1: logEvents: event 1: offset 99: expected a whole number"},
		"timestamp with fraction": {head + `"logEvents":[{"timestamp":1.5,"message":"m"}]}`, "document 1: logEvents: event 1: offset 100: expected a whole number"},
		"timestamp too large":     {head + `"logEvents":[{"timestamp":9223372036855,"message":"m"}]}`, "document 1: logEvents: event 1: offset 112: timestamp out of range"},
		"timestamp overflows":     {head + `"logEvents":[{"timestamp":99999999999999999999,"message":"m"}]}`, "document 1: logEvents: event 1: offset 117: number out of range"},
		"second document":         {document("g", "m") + "x", "document 2: offset 155: expected an object"},
		"cut short":               {`{"messageType":"DATA_MESS`, "document 1: messageType: offset 25: cut short in a string"},
		"no comma":                {`{"a":1 "b":2}`, "document 1: offset 7: expected a comma or '}'"},
		"no colon":                {`{"a" 1}`, "document 1: offset 5: expected a colon"},
		"key without quotes":      {`{a:1}`, "document 1: offset 1: expected a string"},
		"unknown literal":         {`{"a":nope}`, "document 1: a field that is not known: offset 5: expected a value"},
		"unknown escape":          {`{"messageType":"\x"}`, "document 1: messageType: offset 16: unknown escape sequence"},
		"bad hex":                 {`{"messageType":"\u12g4"}`, "document 1: messageType: offset 16: bad \\u escape sequence"},
		"nested, cut short":       {`{"a":` + strings.Repeat("[", 1000), "document 1: a field that is not known: offset 1005: cut short, expected the end of an object or an array"},
		"too many captures": {
			head + `"logEvents":[{"extractedFields":{` + strings.Repeat(`"a":"b",`, 65) + `"c":"d"}}]}`,
			"document 1: logEvents: event 1: offset 625: more than 64 extracted fields",
		},
		"too many filters":               {head + `"subscriptionFilters":[` + strings.Repeat(`"a",`, 65) + `"b"]}`, "document 1: subscriptionFilters: offset 352: more than 64 filters"},
		"too many origins":               {documentOfOrigins(1001), "document 1: logEvents: event 1001: offset 80165: more than 1000 accounts and regions"},
		"bad escape in a key":            {`{"a\x":1}`, "document 1: offset 6: a key ends here that has a bad escape sequence"},
		"gzip header cut short":          {"\x1f\x8b\x08", "gzip header: unexpected EOF"},
		"gzip cut short":                 {string(compress(t, document("g", "m"))[:60]), "gzip, after 14 decoded bytes: unexpected EOF"},
		"gzip followed by text":          {string(compress(t, document("g", "m"))) + "more than ten bytes", "gzip, after 155 decoded bytes: gzip: invalid header"},
		"gzip of nothing":                {string(compress(t, "")), "no document"},
		"gzip within gzip within gzip":   {string(compress(t, string(compress(t, string(compress(t, "{}")))))), "gzip within gzip, more than 2 times"},
		"message is cut in an escape":    {head + `"logEvents":[{"message":"abc\`, "document 1: logEvents: event 1: offset 102: cut short in a string"},
		"message ends with \\ and quote": {head + `"logEvents":[{"message":"abc\"`, "document 1: logEvents: event 1: offset 103: cut short in a string"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeSubscription([]byte(tt.body), testOptions())
			require.EqualError(t, err, tt.err)
			assert.NotErrorIs(t, err, decompress.ErrTooLarge)
		})
	}
}

func documentOfOrigins(n int) string {
	var events []string
	for i := range n {
		events = append(events, fmt.Sprintf(`{"timestamp":1,"message":"m","extractedFields":{"@aws.account":"%012d"}}`, i))
	}
	return `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[` + strings.Join(events, ",") + `]}`
}

// What takes steps in proportion to the square of its length would not end within the time that tests have.
func TestDecodeSubscriptionLongInput(t *testing.T) {
	escapes := strings.Repeat(`\n`, 1<<20)
	opts := testOptions()
	opts.MaxDecodedBytes = 1 << 30
	f := func(body string, records int) {
		t.Helper()
		batch, err := DecodeSubscription([]byte(body), opts)
		require.NoError(t, err)
		require.Equal(t, records, batch.Logs.LogRecordCount())
	}
	const head = `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"/aws/lambda/f","logStream":"s",`
	f(head+`"unknown":"`+escapes+`","logEvents":[]}`, 0)
	f(head+`"`+escapes+`":1,"logEvents":[]}`, 0)
	f(head+`"logEvents":[{"timestamp":1,"message":"`+escapes+`"}]}`, 1)
	line, err := json.Marshal(`{"level":"INFO","m":"` + escapes + `"}`)
	require.NoError(t, err)
	f(head+`"logEvents":[{"timestamp":1,"message":`+string(line)+`}]}`, 1)
	f(documentOfOrigins(1000), 1000)
	control := `{"messageType":"CONTROL_MESSAGE","logEvents":[{"timestamp":1,"message":"m"}]}`
	f(strings.Repeat(document("g", "m")+control, 20_000), 20_000)
}

func TestDecodeSubscriptionTooLarge(t *testing.T) {
	body := document("g", strings.Repeat("x", 1000))
	opts := testOptions()
	f := func(data []byte, limit int, ok bool) {
		t.Helper()
		opts.MaxDecodedBytes = int64(limit)
		batch, err := DecodeSubscription(data, opts)
		if ok {
			require.NoError(t, err)
			assert.Equal(t, 1, batch.Logs.LogRecordCount())
			return
		}
		require.ErrorIs(t, err, decompress.ErrTooLarge)
	}
	f([]byte(body), len(body), true)
	f([]byte(body), len(body)-1, false)
	f(compress(t, body), len(body), true)
	f(compress(t, body), len(body)-1, false)
	f(compress(t, string(compress(t, body))), len(body)-1, false)
	f(compress(t, strings.Repeat(" ", 10<<20)), 1<<20, false)
}

// Whatever byte the input ends at: an error, and never part of what was in it.
func TestDecodeSubscriptionTruncated(t *testing.T) {
	plain := []byte(document("g", "first line\n", `quoted \"text\" and \\ and \u65e5\ud83d\ude00`))
	zipped := compress(t, string(plain))
	for _, body := range [][]byte{plain, zipped} {
		for n := range body {
			_, err := DecodeSubscription(bytes.Clone(body[:n]), testOptions())
			require.Error(t, err, "the first %d of %d bytes", n, len(body))
		}
		batch, err := DecodeSubscription(bytes.Clone(body), testOptions())
		require.NoError(t, err)
		require.Equal(t, 2, batch.Logs.LogRecordCount())
	}
}

func TestLineAsItCame(t *testing.T) {
	f := func(message, body string) {
		t.Helper()
		encoded, err := json.Marshal(message)
		require.NoError(t, err)
		for _, raw := range []string{string(encoded), escapeAll(message)} {
			batch, err := DecodeSubscription([]byte(documentOf("g", raw)), testOptions())
			require.NoError(t, err)
			assert.Equal(t, []string{body}, bodies(batch.Logs))
		}
	}
	f("", "")
	f("\n", "")
	f("line\n", "line")
	f("line\n\n", "line\n")
	f("line\r\n", "line\r")
	f("  tab\tand spaces  ", "  tab\tand spaces  ")
	f(`"quoted" \ back/slash`, `"quoted" \ back/slash`)
	f(`ends with a quote"`, `ends with a quote"`)
	f(`ends with a backslash\`, `ends with a backslash\`)
	f("\b\f\n\r\t\x01\x1f", "\b\f\n\r\t\x01\x1f")
	f("日本語 😀 \u2028 ünïcödé", "日本語 😀 \u2028 ünïcödé")
	f(strings.Repeat(`a"b\c`, 1000), strings.Repeat(`a"b\c`, 1000))
}

func TestServiceName(t *testing.T) {
	f := func(logGroup, want string) {
		t.Helper()
		assert.Equal(t, want, serviceName(logGroup))
	}
	f("/aws/lambda/checkout", "checkout")
	f("/aws/codebuild/project", "project")
	f("/aws/eks/prod/cluster", "prod")
	f("/aws/rds/instance/db-1/error", "db-1")
	f("/aws/rds/cluster/aurora-1/postgresql", "aurora-1")
	f("/aws/OpenSearchService/domains/orders/search-logs", "orders")
	f("/aws/vendedlogs/events/event-bus/main", "main")
	f("/aws/ecs/containerinsights/web/performance", "web")
	f("/aws/lambda-insights", "/aws/lambda-insights")
	f("/aws/lambda/", "/aws/lambda/")
	f("/aws/rds/instance/", "/aws/rds/instance/")
	f("/aws/", "/aws/")
	f("/ecs/web", "/ecs/web")
	f("vpc-flow-logs", "vpc-flow-logs")
}

func TestLambdaSeverity(t *testing.T) {
	f := func(line string, number plog.SeverityNumber, text string) {
		t.Helper()
		gotNumber, gotText := lambdaSeverity(line)
		assert.Equal(t, number, gotNumber, line)
		assert.Equal(t, text, gotText, line)
	}
	f(`{"timestamp":"t","level":"INFO","message":"m"}`, plog.SeverityNumberInfo, "INFO")
	f(`{"message":"\"level\":\"ERROR\"","a":{"level":"WARN"},"level" : "debug"}`, plog.SeverityNumberDebug, "debug")
	f(`{"level":30,"msg":"pino"}`, plog.SeverityNumberUnspecified, "")
	f(`{"a":{"level":"WARN"}}`, plog.SeverityNumberUnspecified, "")
	f(`{"level":"FATAL","message":"cut sho`, plog.SeverityNumberFatal, "FATAL")
	f(`{"level":"as it likes to be, and long"}`, plog.SeverityNumberUnspecified, "")
	f("2024-09-05T13:47:15.523Z\t8f5c\tWARN\tmessage", plog.SeverityNumberWarn, "WARN")
	f("2024-09-05T13:47:15.523Z\t8f5c\tinfo\tmessage", plog.SeverityNumberInfo, "info")
	f("2024-09-05T13:47:15.523Z\t8f5c\tERROR", plog.SeverityNumberUnspecified, "")
	f("[ERROR]\t2024-09-05T13:47:15.523Z\t8f5c\tmessage", plog.SeverityNumberError, "ERROR")
	f("[ERROR] KeyError: 'sku'", plog.SeverityNumberError, "ERROR")
	f("[WARNING]\tm", plog.SeverityNumberWarn, "WARNING")
	f("[CRITICAL]\tm", plog.SeverityNumberFatal, "CRITICAL")
	f("[not a level] m", plog.SeverityNumberUnspecified, "")
	f("[", plog.SeverityNumberUnspecified, "")
	f("a\tb\terror\tc", plog.SeverityNumberUnspecified, "")
	f("[ınfo] m", plog.SeverityNumberUnspecified, "")
	f(`{"level":"`+strings.Repeat("x", 1000)+`"}`, plog.SeverityNumberUnspecified, "")
	f("START RequestId: 8f5c Version: $LATEST", plog.SeverityNumberUnspecified, "")
	f("REPORT RequestId: 8f5c\tDuration: 1 ms\tBilled Duration: 1 ms\tMemory", plog.SeverityNumberUnspecified, "")
	f("", plog.SeverityNumberUnspecified, "")
}

// A level inside a line that was unescaped in place is looked for without changing the line.
func TestSeverityLeavesTheLineAlone(t *testing.T) {
	line := `{"level":"INFO","message":"a \"quoted\" word","k\"ey":"v"}`
	encoded, err := json.Marshal(line)
	require.NoError(t, err)
	batch, err := DecodeSubscription([]byte(documentOf("/aws/lambda/f", string(encoded))), testOptions())
	require.NoError(t, err)
	record := batch.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	assert.Equal(t, line, record.Body().Str())
	assert.Equal(t, "INFO", record.SeverityText())
}

func document(logGroup string, messages ...string) string {
	quoted := make([]string, len(messages))
	for i, message := range messages {
		quoted[i] = `"` + message + `"`
		if !json.Valid([]byte(quoted[i])) {
			encoded, _ := json.Marshal(message)
			quoted[i] = string(encoded)
		}
	}
	return documentOf(logGroup, quoted...)
}

// documentOf takes messages as they stand in JSON, with their quotation marks.
func documentOf(logGroup string, messages ...string) string {
	var events []string
	for _, message := range messages {
		events = append(events, `{"id":"3848091","timestamp":1725544035523,"message":`+message+`}`)
	}
	return `{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"` + logGroup + `","logStream":"s","logEvents":[` +
		strings.Join(events, ",") + `]}`
}

// escapeAll is text as JSON that escapes every character, to the utmost that an encoder may.
func escapeAll(text string) string {
	var b strings.Builder
	for _, r := range text {
		encoded, _ := json.Marshal(string(r))
		if r < 0x10000 {
			b.WriteString(`\u` + hex(r))
		} else {
			b.Write(encoded[1 : len(encoded)-1])
		}
	}
	return `"` + b.String() + `"`
}

func hex(r rune) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15]})
}

func compress(tb testing.TB, text string) []byte {
	tb.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, err := io.WriteString(zw, text)
	require.NoError(tb, err)
	require.NoError(tb, zw.Close())
	return b.Bytes()
}

func bodies(logs plog.Logs) (lines []string) {
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				lines = append(lines, record.Body().Str())
			}
		}
	}
	return lines
}

func marshalJSON(tb testing.TB, logs plog.Logs) []byte {
	tb.Helper()
	compact, err := (&plog.JSONMarshaler{}).MarshalLogs(logs)
	require.NoError(tb, err)
	var indented bytes.Buffer
	require.NoError(tb, json.Indent(&indented, compact, "", "  "))
	indented.WriteByte('\n')
	return indented.Bytes()
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(name)
	require.NoError(tb, err)
	return data
}
