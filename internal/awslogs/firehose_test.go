// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
)

const testStreamARN = "arn:aws:firehose:eu-central-1:210987654321:deliverystream/logs-to-loki"

func testHeader() FirehoseHeader {
	return FirehoseHeader{
		SourceARN:        testStreamARN,
		CommonAttributes: `{"commonAttributes":{"deployment.environment.name":"prod","aws.log.type":"not this"}}`,
	}
}

func firehoseOptions() Options {
	opts := testOptions()
	opts.Region = ""
	return opts
}

func TestFirehoseGolden(t *testing.T) {
	files := firehoseFiles(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			for form, body := range map[string][]byte{
				"plain":             readFile(t, file),
				"gzip":              compress(t, string(readFile(t, file))),
				"keys in any order": reverseKeys(t, readFile(t, file)),
			} {
				batch, next, request := decodeFirehose(t, body, testHeader())
				assert.Equal(t, request.Records(), next)
				got := marshalJSON(t, batch.Logs)
				expected := strings.TrimSuffix(file, ".json") + ".expected.json"
				if *update {
					require.NoError(t, os.WriteFile(expected, got, 0o600))
				}
				assert.Equal(t, string(readFile(t, expected)), string(got), form)
			}
		})
	}
}

func firehoseFiles(tb testing.TB) (files []string) {
	tb.Helper()
	all, err := filepath.Glob(testdata + "/firehose/*.json")
	require.NoError(tb, err)
	for _, file := range all {
		if !strings.HasSuffix(file, ".expected.json") {
			files = append(files, file)
		}
	}
	require.NotEmpty(tb, files)
	return files
}

func decodeFirehose(tb testing.TB, body []byte, header FirehoseHeader) (Batch, int, *FirehoseRequest) {
	tb.Helper()
	request, err := ParseFirehose(bytes.Clone(body), header, firehoseOptions())
	require.NoError(tb, err)
	batch, next, err := request.Decode(0)
	require.NoError(tb, err)
	return batch, next, request
}

// reverseKeys writes the keys of the request, and of its records, the other way round, with white space between and
// keys that are not known.
func reverseKeys(tb testing.TB, body []byte) []byte {
	tb.Helper()
	var request struct {
		RequestID string `json:"requestId"`
		Timestamp int64  `json:"timestamp"`
		Records   []struct {
			Data string `json:"data"`
		} `json:"records"`
	}
	require.NoError(tb, json.Unmarshal(body, &request))
	var records []string
	for _, record := range request.Records {
		// Slashes may be escaped in JSON, and base64 has them.
		records = append(records, fmt.Sprintf(`{ "later" : [{}], "data" : "%s" }`, strings.ReplaceAll(record.Data, "/", `\/`)))
	}
	return fmt.Appendf(nil, "{ \"new\" : null,\n\"records\" : [ %s ],\r\n\"timestamp\" : %d , \"requestId\" : %q }\n",
		strings.Join(records, " , "), request.Timestamp, request.RequestID)
}

// firehoseBody is a request with the given records.
func firehoseBody(id string, records ...string) []byte {
	var encoded []string
	for _, record := range records {
		encoded = append(encoded, `{"data":"`+base64.StdEncoding.EncodeToString([]byte(record))+`"}`)
	}
	return []byte(`{"requestId":"` + id + `","timestamp":1760257640000,"records":[` + strings.Join(encoded, ",") + `]}`)
}

// What a record holds is seen by what is in it.
func TestFirehoseRecords(t *testing.T) {
	message := document("g", "m")
	for name, tt := range map[string]struct {
		record    string
		lines     []string
		documents int
	}{
		"gzip message":                   {string(compress(t, message)), []string{"m"}, 1},
		"gzip within gzip":               {string(compress(t, string(compress(t, message)))), []string{"m"}, 1},
		"several in one member":          {string(compress(t, message+"\n"+message)), []string{"m", "m"}, 2},
		"several members":                {string(compress(t, message)) + string(compress(t, message)), []string{"m", "m"}, 2},
		"plain message":                  {message, []string{"m"}, 1},
		"plain messages":                 {message + "\n" + message + "\n", []string{"m", "m"}, 2},
		"line":                           {"m", []string{"m"}, 1},
		"lines":                          {"m\n\nn\r\no", []string{"m", "n", "o"}, 1},
		"JSON line":                      {`{"a":1}`, []string{`{"a":1}`}, 1},
		"JSON line that is cut short":    {`{"a":1`, []string{`{"a":1`}, 1},
		"JSON of another type":           {`{"messageType":"OTHER"}`, []string{`{"messageType":"OTHER"}`}, 1},
		"JSON line that names the type":  {`{"messageType":"DATA_MESSAGE","seq":5}`, []string{`{"messageType":"DATA_MESSAGE","seq":5}`}, 1},
		"JSON line with keys of AWS's":   {`{"logGroup":"g","owner":"o","ratio":NaN}`, []string{`{"logGroup":"g","owner":"o","ratio":NaN}`}, 1},
		"a line that is cut short":       {`{"logGroup":"g","logStream":"s","body":"cut`, []string{`{"logGroup":"g","logStream":"s","body":"cut`}, 1},
		"another control message":        {`{"messageType":"CONTROL_MESSAGE","cmd":"stop"}`, []string{`{"messageType":"CONTROL_MESSAGE","cmd":"stop"}`}, 1},
		"a message without its events":   {`{"messageType":"DATA_MESSAGE","owner":"o","logGroup":"g","logStream":"s","msg":"m"}`, []string{`{"messageType":"DATA_MESSAGE","owner":"o","logGroup":"g","logStream":"s","msg":"m"}`}, 1},
		"control with names":             {`{"messageType":"CONTROL_MESSAGE","owner":"me","logGroup":"x","msg":"m"}`, []string{`{"messageType":"CONTROL_MESSAGE","owner":"me","logGroup":"x","msg":"m"}`}, 1},
		"type is no text":                {`{"messageType":5,"owner":"me","logEvents":[]}`, []string{`{"messageType":5,"owner":"me","logEvents":[]}`}, 1},
		"control message":                {`{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[]}`, nil, 0},
		"JSON array":                     {`[` + message + `]`, []string{`[` + message + `]`}, 1},
		"message after a line":           {"m\n" + message, []string{"m", message}, 1},
		"text that names the type":       {`messageType DATA_MESSAGE`, []string{`messageType DATA_MESSAGE`}, 1},
		"type not the first key":         {`{"owner":"1","logGroup":"g","logStream":"s","logEvents":[{"id":"1","timestamp":1,"message":"m"}],"messageType":"DATA_MESSAGE"}`, []string{"m"}, 1},
		"nothing":                        {"", nil, 0},
		"nothing, compressed":            {string(compress(t, "")), nil, 0},
		"newlines":                       {"\n\r\n\n", nil, 0},
		"bytes that are no text":         {"\x00\xff\x80", []string{"\x00\xff\x80"}, 1},
		"one byte of what might be gzip": {"\x1f", []string{"\x1f"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			batch, _, _ := decodeFirehose(t, firehoseBody("r", tt.record), FirehoseHeader{})
			assert.Equal(t, tt.lines, bodies(batch.Logs))
			assert.Len(t, batch.Documents, tt.documents)
			assert.Equal(t, len(tt.lines), batch.Records())
			for _, document := range batch.Documents {
				assert.NotEqual(t, ID{}, document.ID)
			}
		})
	}
}

// Everything of a request is refused for anything that is wrong with it.
func TestFirehoseMalformed(t *testing.T) {
	line := base64.StdEncoding.EncodeToString([]byte("secret"))
	for name, tt := range map[string]struct{ body, header, err string }{
		"empty":                 {"", "", "offset 0: cut short, expected an object"},
		"text":                  {"secret", "", "offset 0: expected an object"},
		"no records":            {`{"requestId":"r","timestamp":1}`, "", "records is missing"},
		"records is null":       {`{"requestId":"r","records":null}`, "", "records: offset 27: expected an array"},
		"no id":                 {`{"records":[]}`, "", "requestId is missing"},
		"another id":            {`{"requestId":"r","records":[]}`, "secret", "requestId is not that of the header"},
		"record is text":        {`{"requestId":"r","records":["` + line + `"]}`, "", "records: record 1: offset 28: expected an object"},
		"no data":               {`{"requestId":"r","records":[{"data":"` + line + `"},{}]}`, "", "records: record 2: data is missing"},
		"data is null":          {`{"requestId":"r","records":[{"data":null}]}`, "", "records: record 1: offset 36: expected a string"},
		"no base64":             {`{"requestId":"r","records":[{"data":"secret!"}]}`, "", "records: record 1: data is not base64"},
		"timestamp of text":     {`{"requestId":"r","timestamp":"1","records":[]}`, "", "timestamp: offset 29: expected a whole number"},
		"timestamp too large":   {`{"requestId":"r","timestamp":9223372036855,"records":[]}`, "", "timestamp: offset 42: out of range"},
		"more behind":           {`{"requestId":"r","records":[]}secret`, "", "offset 30: expected the end"},
		"field that is no JSON": {`{"requestId":"r","secret":nope}`, "", "a field that is not known: offset 26: expected a value"},
		"long id":               {`{"requestId":"` + strings.Repeat("x", 257) + `","records":[]}`, "", "requestId has more than 256 bytes"},
		"too many records":      {`{"records":[` + strings.Repeat(`{"data":""},`, 100_000) + `{"data":""}]}`, "", "records: offset 1200012: more than 100000 records"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseFirehose([]byte(tt.body), FirehoseHeader{RequestID: tt.header}, firehoseOptions())
			require.EqualError(t, err, tt.err)
		})
	}

	f := func(record, want string) {
		t.Helper()
		request, err := ParseFirehose(firehoseBody("r", "good", record), FirehoseHeader{}, firehoseOptions())
		require.NoError(t, err)
		batch, _, err := request.Decode(0)
		require.EqualError(t, err, want)
		assert.Zero(t, batch)
	}
	message := document("g", "secret")
	f(string(compress(t, message)[:50]), "record 2: gzip, after 0 decoded bytes: unexpected EOF")
	f(string(compress(t, message[:150])), "record 2: document 1: logEvents: event 1: offset 150: cut short in a string")
	f(message[:150], "record 2: document 1: logEvents: event 1: offset 150: cut short in a string")
	f(message+"secret", "record 2: document 2: offset 160: expected an object")
	f(`{"messageType":"DATA_MESSAGE","owner":"secret","logGroup":"secret","logEvents":[]}`, "record 2: document 1: logStream is missing")
	f(string(compress(t, strings.Repeat("x", 2<<20))), "record 2: input too large: it decodes to more than 1048576 bytes")
}

func TestFirehoseCommonAttributes(t *testing.T) {
	f := func(header string, want map[string]any, wantErr string) {
		t.Helper()
		request, err := ParseFirehose(firehoseBody("r", "line"), FirehoseHeader{CommonAttributes: header}, firehoseOptions())
		if wantErr != "" {
			require.EqualError(t, err, "common attributes: "+wantErr)
			return
		}
		require.NoError(t, err)
		batch, _, err := request.Decode(0)
		require.NoError(t, err)
		attrs := batch.Logs.ResourceLogs().At(0).Resource().Attributes().AsRaw()
		delete(attrs, AttributeCloudProvider)
		delete(attrs, AttributeLogType)
		assert.Equal(t, want, attrs)
	}
	f("", map[string]any{}, "")
	f("{}", map[string]any{}, "")
	f(`{"commonAttributes":null}`, map[string]any{}, "")
	f(`{"new":{"a":"b"},"commonAttributes":{"a":"b","cloud.provider":"mine","c":"\u00fc"}}`, map[string]any{"a": "b", "c": "ü"}, "")
	f("x", nil, "offset 0: expected an object")
	f(`{"commonAttributes":{"a":1}}`, nil, "offset 25: expected a string")
	f(`{"commonAttributes":{}} x`, nil, "offset 24: expected the end")
	f(`{"commonAttributes":{"a":"`+strings.Repeat("x", 1025)+`"}}`, nil, "offset 1052: a value of more than 1024 characters")
	umlauts := strings.Repeat("ü", 1024)
	f(`{"commonAttributes":{"a":"`+umlauts+`","":"nameless"}}`, map[string]any{"a": umlauts}, "")
	f(`{"commonAttributes":{"`+strings.Repeat("x", 257)+`":"a"}}`, nil, "offset 284: a name of more than 256 characters")
	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprintf(`"a%d":"b"`, i))
	}
	f(`{"commonAttributes":{`+strings.Join(many, ",")+`}}`, nil, "offset 520: more than 50")
}

// A request whose records decode to more than a portion has several, the same ones whenever they are decoded.
func TestFirehosePortions(t *testing.T) {
	var records, lines []string
	for i := range 10 {
		line := strconv.Itoa(i) + strings.Repeat("x", 3<<20)
		lines = append(lines, line)
		switch i % 3 {
		case 0:
			line = document("g", line)
		case 1:
			line = string(compress(t, document("g", line)))
		}
		records = append(records, line)
	}
	opts := firehoseOptions()
	opts.MaxDecodedBytes = 64 << 20
	request, err := ParseFirehose(firehoseBody("r", records...), FirehoseHeader{}, opts)
	require.NoError(t, err)
	var ids []ID
	for range 2 {
		var got []string
		var batches []Batch
		for next := 0; next < request.Records(); {
			var batch Batch
			batch, next, err = request.Decode(next)
			require.NoError(t, err)
			batches = append(batches, batch)
			for _, document := range batch.Documents {
				ids = append(ids, document.ID)
			}
		}
		assert.Len(t, batches, 2)
		for _, batch := range batches {
			got = append(got, bodies(batch.Logs)...)
		}
		assert.ElementsMatch(t, lines, got)
	}
	assert.Equal(t, ids[:len(ids)/2], ids[len(ids)/2:])

	opts.MaxDecodedBytes = 4 << 20
	request, err = ParseFirehose(firehoseBody("r", records...), FirehoseHeader{}, opts)
	require.NoError(t, err)
	for next := 0; next < request.Records(); {
		_, next, err = request.Decode(next)
		require.NoError(t, err, "each record is within the limit, and so are all together")
	}
	// Portions that are alike are not the same.
	same := strings.Repeat("OK\n", maxPortionRecords)
	request, err = ParseFirehose(firehoseBody("r", same, same, noIDDocument(), same, noIDDocument()), FirehoseHeader{}, opts)
	require.NoError(t, err)
	seen := map[ID]bool{}
	documents := 0
	for next := 0; next < request.Records(); {
		var batch Batch
		batch, next, err = request.Decode(next)
		require.NoError(t, err)
		for _, document := range batch.Documents {
			seen[document.ID] = true
			documents++
		}
	}
	assert.Equal(t, 5, documents)
	assert.Len(t, seen, documents)

	opts.MaxDecodedBytes = 1 << 20
	bomb := string(compress(t, strings.Repeat("x\n", 512<<10)))
	request, err = ParseFirehose(firehoseBody("r", strings.Split(strings.Repeat(bomb+",", 20), ",")...), FirehoseHeader{}, opts)
	require.NoError(t, err)
	for next := 0; err == nil && next < request.Records(); {
		next, err = request.Check(next)
	}
	require.ErrorIs(t, err, decompress.ErrTooLarge)
}

// noIDDocument is a message whose event has no id.
func noIDDocument() string {
	return strings.Replace(document("g", "m"), `"id":"3848091",`, "", 1)
}

// Documents are told apart by what AWS tells them apart by, and by what is in them.
func TestDocumentIDs(t *testing.T) {
	id := func(body string) ID {
		t.Helper()
		batch, err := DecodeSubscription([]byte(body), testOptions())
		require.NoError(t, err)
		require.Len(t, batch.Documents, 1)
		return batch.Documents[0].ID
	}
	const head = `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[`
	a := id(head + `{"id":"1","timestamp":1,"message":"m"},{"id":"2","timestamp":1,"message":"n"}]}`)
	assert.NotEqual(t, ID{}, a)
	assert.Equal(t, a, id(head+`{"id":"1","timestamp":1,"message":"m"},{"id":"2","timestamp":1,"message":"n"}]}`))
	for _, other := range []string{
		`{"id":"1","timestamp":1,"message":"m"}`,
		`{"id":"1","timestamp":1,"message":"m"},{"id":"3","timestamp":1,"message":"n"}`,
		`{"id":"1","timestamp":1,"message":"m"},{"id":"2","timestamp":2,"message":"n"}`,
		`{"id":"1","timestamp":1,"message":"m"},{"id":"2","timestamp":1,"message":"o"}`,
	} {
		assert.NotEqual(t, a, id(head+other+`]}`))
	}
	// Unescaped where it stands, the one looks like the other.
	assert.NotEqual(t, id(head+`{"id":"1","timestamp":1,"message":"a\/b"}]}`), id(head+`{"id":"1","timestamp":1,"message":"a/bb"}]}`))
	for _, pair := range [][2]string{{`\/b`, `/bb`}, {`a\nn`, "a\nnn"}} {
		one := strings.Replace(head, `"logStream":"s"`, `"logStream":"`+pair[0]+`"`, 1) + `{"id":"1","timestamp":1,"message":"m"}]}`
		assert.NotEqual(t, id(one), id(strings.Replace(one, pair[0], pair[1], 1)))
	}
	second, err := DecodeSubscription([]byte(document("x", `a\tb`)+document("g", `m\n`)), testOptions())
	require.NoError(t, err)
	assert.Equal(t, id(document("g", `m\n`)), second.Documents[1].ID, "wherever in a request it stands")
	// Without ids the same line may well have been logged twice.
	assert.Equal(t, ID{}, id(head+`{"timestamp":1,"message":"m"}]}`))
	assert.Equal(t, ID{}, id(head+`{"id":"1","timestamp":1,"message":"m"},{"id":"","timestamp":1,"message":"n"}]}`))

	lines := func(id string, records ...string) ID {
		batch, _, _ := decodeFirehose(t, firehoseBody(id, records...), FirehoseHeader{})
		return batch.Documents[0].ID
	}
	again := lines("r", "a", "b")
	assert.Equal(t, again, lines("r", "a", "b"))
	assert.NotEqual(t, lines("r", "a", "b"), lines("s", "a", "b"))
	assert.NotEqual(t, lines("r", "a", "b"), lines("r", "a", "c"))
	assert.NotEqual(t, lines("r", "a", "b"), lines("r", "ab"))
	// Firehose's id serves for messages whose events have none.
	noID := head + `{"timestamp":1,"message":"m"}]}`
	again = lines("r", noID)
	assert.Equal(t, again, lines("r", noID))
	assert.NotEqual(t, lines("r", noID), lines("s", noID))
	batch, _, _ := decodeFirehose(t, firehoseBody("r", noID, noID), FirehoseHeader{})
	assert.NotEqual(t, batch.Documents[0].ID, batch.Documents[1].ID)
}

func TestDrop(t *testing.T) {
	origins := documentOfOrigins(3)
	batch, err := DecodeSubscription([]byte(document("a", "1", "2")+document("none")+origins+document("b", "3")), testOptions())
	require.NoError(t, err)
	require.Len(t, batch.Documents, 3, "those with records")
	assert.Equal(t, 6, batch.Records())
	batch.Drop(func(i int) bool { return i < 2 })
	assert.Equal(t, []string{"3"}, bodies(batch.Logs))
	assert.Len(t, batch.Documents, 3)
}

// Memory is asked for before it is there: about as much as is held in the end, whatever the payload is made of.
func TestReserve(t *testing.T) {
	const head = `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s",`
	fields := strings.TrimSuffix(strings.Repeat(`"a":"",`, maxExtractedFields), ",")
	filters := `"subscriptionFilters":[` + strings.TrimSuffix(strings.Repeat(`"f",`, maxFilters), ",") + `],`
	common := make([]string, maxCommonAttributes)
	for i := range common {
		common[i] = fmt.Sprintf(`"a%d":"b"`, i)
	}
	commonAttributes := `{"commonAttributes":{` + strings.Join(common, ",") + `}}`
	origins := strings.Replace(documentOfOrigins(maxOrigins), `"logEvents"`, filters+`"logEvents"`, 1)
	opts := testOptions()
	opts.MaxDecodedBytes = 64 << 20
	for name, body := range map[string]string{
		"events":           document("g", make([]string, 30_000)...),
		"documents":        strings.Repeat(document("g", "m"), 10_000),
		"empty documents":  strings.Repeat(document("g"), 30_000),
		"extracted fields": head + `"logEvents":[` + strings.TrimSuffix(strings.Repeat(`{"timestamp":1,"message":"","extractedFields":{`+fields+`}},`, 2000), ",") + `]}`,
		"origins":          strings.Repeat(origins, 10),
		"lines":            strings.Repeat("x\n", 60_000),
	} {
		t.Run(name, func(t *testing.T) {
			var reserved int64
			opts := opts
			opts.Reserve = func(n int64) error {
				reserved += n
				return nil
			}
			runtime.GC()
			before := heldMemory()
			var batch Batch
			var request *FirehoseRequest
			var err error
			if name == "lines" || name == "origins" {
				request, err = ParseFirehose(firehoseBody(strings.Repeat("r", maxRequestID), body), FirehoseHeader{CommonAttributes: commonAttributes}, opts)
				require.NoError(t, err)
				batch, _, err = request.Decode(0)
			} else {
				batch, err = DecodeSubscription([]byte(body), opts)
			}
			require.NoError(t, err)
			runtime.GC()
			after := heldMemory()
			held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			assert.LessOrEqual(t, held, reserved*3/2+3*int64(len(body))+1<<20)
			assert.LessOrEqual(t, reserved, 4*held+1<<20)
			runtime.KeepAlive(batch)
			runtime.KeepAlive(request)
		})
	}

	refused := errors.New("no memory now")
	left := int64(1 << 20)
	opts.Reserve = func(n int64) error {
		left -= n
		if left < 0 {
			return refused
		}
		return nil
	}
	_, err := DecodeSubscription([]byte(document("g", make([]string, 10_000)...)), opts)
	require.ErrorIs(t, err, refused)
	left = 1 << 20
	request, err := ParseFirehose(firehoseBody("r", strings.Repeat("x\n", 10_000)), FirehoseHeader{}, opts)
	require.NoError(t, err)
	_, _, err = request.Decode(0)
	require.ErrorIs(t, err, refused)
}

// What there will be no memory for is known before anything is handed on.
func TestCheckReserves(t *testing.T) {
	refused := errors.New("no memory now")
	opts := firehoseOptions()
	opts.MaxDecodedBytes = 64 << 20
	left := int64(100 << 20)
	opts.Reserve = func(n int64) error {
		left -= n
		if left < 0 {
			return refused
		}
		return nil
	}
	long := strings.Repeat(strings.Repeat("x", 1<<20)+"\n", 17)
	request, err := ParseFirehose(firehoseBody("r", long, strings.Repeat("a\n", 1<<20)), FirehoseHeader{}, opts)
	require.NoError(t, err)
	_, next, err := request.Decode(0)
	require.NoError(t, err)
	require.Equal(t, 1, next)
	_, err = request.Check(next)
	require.ErrorIs(t, err, refused)
}

// Wherever a request ends too early: an error, and nothing of it.
func TestFirehoseTruncated(t *testing.T) {
	for _, file := range firehoseFiles(t) {
		plain := readFile(t, file)
		for _, body := range [][]byte{plain, compress(t, string(plain))} {
			for n := range body {
				_, err := ParseFirehose(bytes.Clone(body[:n]), testHeader(), firehoseOptions())
				require.Error(t, err, "the first %d of %d bytes", n, len(body))
			}
		}
	}
}

// FuzzFirehose: whatever comes in, no panic, and nothing along with an error.
func FuzzFirehose(f *testing.F) {
	for _, file := range firehoseFiles(f) {
		f.Add(readFile(f, file), testHeader().CommonAttributes)
	}
	f.Add(firehoseBody("r", `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[{"timestamp":1,"message":"a\\n"}]}`, "x"), "")
	f.Fuzz(func(t *testing.T, body []byte, common string) {
		request, err := ParseFirehose(bytes.Clone(body), FirehoseHeader{CommonAttributes: common}, firehoseOptions())
		if err != nil {
			return
		}
		first, next, err := request.Decode(0)
		if err != nil {
			require.Equal(t, plog.Logs{}, first.Logs)
			return
		}
		require.Equal(t, first.Logs.LogRecordCount(), first.Records())
		again, nextAgain, err := request.Decode(0)
		require.NoError(t, err)
		require.Equal(t, next, nextAgain)
		require.Equal(t, first.Documents, again.Documents)
		require.Equal(t, bodies(first.Logs), bodies(again.Logs))
	})
}
