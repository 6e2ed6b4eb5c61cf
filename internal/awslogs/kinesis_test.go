// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
)

const (
	testKinesisARN = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
	testSequence   = "49590338271490256608559692538361571095921575989136588898"
)

// kinesisDocument is a record of a Kinesis stream as Lambda gets it.
func kinesisDocument(data string) string {
	return kinesisDocumentOf(testKinesisARN, testSequence, data)
}

func kinesisDocumentOf(source, sequence, data string) string {
	return fmt.Sprintf(`{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1","sequenceNumber":"%s","data":"%s",`+
		`"approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0",`+
		`"eventID":"shardId-000000000006:%s","eventName":"aws:kinesis:record",`+
		`"invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","awsRegion":"us-east-2","eventSourceARN":"%s"}`,
		sequence, base64.StdEncoding.EncodeToString([]byte(data)), sequence, source)
}

// Each file of testdata/kinesis has records of a Kinesis stream, one after another.
func TestKinesisGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/kinesis/*.json")
	require.NoError(t, err)
	tested := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".expected.json") {
			continue
		}
		tested++
		batch, err := DecodeSubscription(readFile(t, file), testOptions())
		require.NoError(t, err)
		got := marshalJSON(t, batch.Logs)
		expected := strings.TrimSuffix(file, ".json") + ".expected.json"
		if *update {
			require.NoError(t, os.WriteFile(expected, got, 0o600))
		}
		assert.Equal(t, string(readFile(t, expected)), string(got))
	}
	assert.Equal(t, 2, tested)
}

// What the data of a record holds is seen by what is in it, as with Firehose.
func TestKinesisRecords(t *testing.T) {
	t.Parallel()
	message := document("g", "m")
	for name, tt := range map[string]struct {
		data      string
		lines     []string
		documents int
	}{
		"line":                         {"m", []string{"m"}, 1},
		"line with its end":            {"m\n", []string{"m"}, 1},
		"lines":                        {"m\n\nn\r\no", []string{"m", "n", "o"}, 1},
		"JSON line":                    {`{"a":1}`, []string{`{"a":1}`}, 1},
		"JSON of another type":         {`{"messageType":"OTHER"}`, []string{`{"messageType":"OTHER"}`}, 1},
		"gzip line":                    {string(compress(t, "m\nn")), []string{"m", "n"}, 1},
		"gzip within gzip":             {string(compress(t, string(compress(t, "m")))), []string{"m"}, 1},
		"several members":              {string(compress(t, "m\n")) + string(compress(t, "n")), []string{"m", "n"}, 1},
		"message":                      {message, []string{"m"}, 1},
		"gzip message":                 {string(compress(t, message)), []string{"m"}, 1},
		"gzip messages":                {string(compress(t, message+"\n"+message)), []string{"m", "m"}, 2},
		"message after a line":         {"m\n" + message, []string{"m", message}, 1},
		"control message":              {string(readFile(t, testdata+"/subscription/control-message.json")), nil, 0},
		"record within a record":       {kinesisDocument("m"), []string{kinesisDocument("m")}, 1},
		"nothing":                      {"", nil, 0},
		"nothing, compressed":          {string(compress(t, "")), nil, 0},
		"newlines":                     {"\n\r\n\n", nil, 0},
		"bytes that are no text":       {"\x00\xff\x80", []string{"\x00\xff\x80"}, 1},
		"one byte of what may be gzip": {"\x1f", []string{"\x1f"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for form, body := range map[string][]byte{
				"plain": []byte(kinesisDocument(tt.data)),
				"gzip":  compress(t, kinesisDocument(tt.data)),
			} {
				batch, err := DecodeSubscription(body, testOptions())
				require.NoError(t, err, form)
				assert.Equal(t, tt.lines, bodies(batch.Logs), form)
				assert.Len(t, batch.Documents, tt.documents, form)
				assert.Equal(t, len(tt.lines), batch.Records(), form)
				for _, document := range batch.Documents {
					assert.NotEqual(t, ID{}, document.ID, form)
				}
			}
		})
	}
}

func TestKinesisAttributes(t *testing.T) {
	t.Parallel()
	f := func(body string, resource map[string]any, timestamp time.Time, uids ...string) {
		t.Helper()
		opts := testOptions()
		batch, err := DecodeSubscription([]byte(body), opts)
		require.NoError(t, err)
		require.Equal(t, 1, batch.Logs.ResourceLogs().Len())
		rl := batch.Logs.ResourceLogs().At(0)
		assert.Equal(t, resource, rl.Resource().Attributes().AsRaw())
		var got []string
		for _, record := range rl.ScopeLogs().At(0).LogRecords().All() {
			require.Equal(t, 1, record.Attributes().Len())
			uid, _ := record.Attributes().Get(AttributeLogRecordUID)
			got = append(got, uid.Str())
			assert.Equal(t, timestamp, record.Timestamp().AsTime())
			assert.Equal(t, opts.ObservedAt, record.ObservedTimestamp().AsTime())
		}
		assert.Equal(t, uids, got)
	}
	resource := func(changes map[string]any) map[string]any {
		all := map[string]any{
			"cloud.provider": "aws", "cloud.account.id": "123456789012", "cloud.region": "us-east-2",
			"aws.log.type": "kinesis", "aws.log.source": "lambda-stream", "service.name": "lambda-stream",
		}
		maps.Copy(all, changes)
		maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
		return all
	}
	arrived := time.Date(2018, 12, 17, 22, 10, 50, 987e6, time.UTC)
	shard := "shardId-000000000006:" + testSequence
	f(kinesisDocument("a\n\nb"), resource(nil), arrived, shard+":1", shard+":3")

	// A consumer with a throughput of its own, another partition, and what is no ARN.
	f(kinesisDocumentOf(testKinesisARN+"/consumer/c:1545", testSequence, "a"), resource(nil), arrived, shard+":1")
	f(kinesisDocumentOf("arn:aws-cn:kinesis:cn-north-1:1:stream/s", testSequence, "a"), resource(map[string]any{
		"cloud.account.id": "1", "cloud.region": "cn-north-1", "aws.log.source": "s", "service.name": "s",
	}), arrived, shard+":1")
	f(kinesisDocumentOf("other", testSequence, "a"), resource(map[string]any{
		"cloud.account.id": nil, "cloud.region": "us-east-1", "aws.log.source": nil, "service.name": nil,
	}), arrived, shard+":1")

	// Without an id of the event, or with one of another form, the sequence number stands for it.
	observed := testOptions().ObservedAt
	short := func(fields, outer string) string {
		return `{"kinesis":{"data":"YQ==","sequenceNumber":"7"` + fields + `},"eventSourceARN":"` + testKinesisARN + `"` + outer + `}`
	}
	f(short("", ""), resource(nil), observed, "7:1")
	f(short(`,"new":[{}]`, `,"eventID":"x:8","new":{"a":"]"}`), resource(nil), observed, "7:1")
	f(short("", `,"eventID":null`), resource(nil), observed, "7:1")
	f(short("", `,"eventID":"s\u0068ard:7"`), resource(nil), observed, "shard:7:1")
	f(`{"eventID":"s:7","eventSourceARN":"`+strings.ReplaceAll(testKinesisARN, "/", `\/`)+`","kinesis":{"sequenceNumber":"7","data":"YQ\u003d="}}`,
		resource(nil), observed, "s:7:1")

	// The time of arrival, as JSON may have it.
	for number, want := range map[string]time.Time{
		"null": observed, "0": observed, "0.0": observed, "1545084650": arrived.Truncate(time.Second),
		"1545084650.987": arrived, "1.545084650987E9": arrived, "1545084650.98749": arrived, "0.001": time.UnixMilli(1).UTC(),
	} {
		f(short(`,"approximateArrivalTimestamp":`+number, ""), resource(nil), want, "7:1")
	}
}

// Only the lines of CloudFront's real-time logs begin with their time.
func TestKinesisLineTime(t *testing.T) {
	t.Parallel()
	arrived := time.Date(2018, 12, 17, 22, 10, 50, 987e6, time.UTC)
	f := func(line string, want time.Time) {
		t.Helper()
		batch, err := DecodeSubscription([]byte(kinesisDocument(line+"\n")), testOptions())
		require.NoError(t, err)
		record := batch.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		assert.Equal(t, want, record.Timestamp().AsTime(), line)
		assert.Equal(t, line, record.Body().Str())
	}
	f("1607374005.123\t203.0.113.1\t0.001\t200", time.UnixMilli(1607374005123).UTC())
	f("1607374005.000\t", time.UnixMilli(1607374005000).UTC())
	f("1000000000.999\t-", time.UnixMilli(1000000000999).UTC())
	f("9223372036.854\t-", time.UnixMilli(9223372036854).UTC())
	for _, line := range []string{
		"9223372036.855\t-", "0607374005.123\t-", "1607374005.123", "1607374005.123 203.0.113.1", "1607374005.12\t-", "1607374005.1234\t-",
		"1607374005\t-", "160737400.5123\t-", "11607374005.123\t-", "1607374005,123\t-", "-607374005.123\t-", "+607374005.123\t-",
		" 1607374005.123\t-", "160737400x.123\t-", "1607374005.12x\t-", "1607374005.123\r\t-", "x", "1",
	} {
		f(line, arrived)
	}
}

// A message gives the same by either way, and its document is recognised.
func TestKinesisMessageAsDirect(t *testing.T) {
	t.Parallel()
	message := document("/aws/lambda/f", `{\"level\":\"WARN\"}`, `a\tb \u65e5`, `a\/b`)
	control := string(readFile(t, testdata+"/subscription/control-message.json"))
	direct, err := DecodeSubscription([]byte(message+control+message), testOptions())
	require.NoError(t, err)
	for name, body := range map[string]string{
		"plain":             kinesisDocument(message + control + message),
		"gzip":              kinesisDocument(string(compress(t, message+control+message))),
		"mixed":             message + kinesisDocument(control) + "\n" + kinesisDocument(string(compress(t, message))),
		"mixed, message at": kinesisDocument(message) + " " + control + message,
	} {
		batch, err := DecodeSubscription([]byte(body), testOptions())
		require.NoError(t, err, name)
		assert.Equal(t, string(marshalJSON(t, direct.Logs)), string(marshalJSON(t, batch.Logs)), name)
		assert.Equal(t, direct.Documents, batch.Documents, name)
		assert.Equal(t, 1, batch.ControlMessages, name)
	}

	opts := testOptions()
	opts.ExcludeLogGroup = "g"
	batch, err := DecodeSubscription([]byte(kinesisDocument(document("g", "own"))+kinesisDocument("kept")), opts)
	require.NoError(t, err)
	assert.Equal(t, []string{"kept"}, bodies(batch.Logs))
	assert.Equal(t, 1, batch.ExcludedRecords)
}

// Documents of both kinds keep their order, and each can be dropped.
func TestKinesisMixed(t *testing.T) {
	t.Parallel()
	body := kinesisDocument("1\n2") + document("g", "3") + kinesisDocument("") + "\r\n" +
		kinesisDocument(document("h", "4")+document("g")+documentOfOrigins(2)) + kinesisDocumentOf(testKinesisARN, "8", "5")
	batch, err := DecodeSubscription([]byte(body), testOptions())
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "2", "3", "4", "m", "m", "5"}, bodies(batch.Logs))
	var counts [][2]int
	for _, document := range batch.Documents {
		counts = append(counts, [2]int{document.Resources, document.Records})
	}
	assert.Equal(t, [][2]int{{1, 2}, {1, 1}, {1, 1}, {2, 2}, {1, 1}}, counts)
	batch.Drop(func(i int) bool { return i != 0 && i != 4 })
	assert.Equal(t, []string{"1", "2", "5"}, bodies(batch.Logs))

	// A message with fields of the same names that are no record's is a message as ever.
	const fields = `"kinesis":"x","eventID":5,"eventSourceARN":{"a":"b"},"messageType"`
	for _, message := range []string{document("g", "m"), strings.Replace(document("g", "m"), `"messageType"`, fields, 1)} {
		batch, err = DecodeSubscription([]byte(message), testOptions())
		require.NoError(t, err)
		assert.Equal(t, []string{"m"}, bodies(batch.Logs))
	}
	// And a record with those of a message is a record.
	both := strings.Replace(document("g", "m"), `}]}`, `}],`+kinesisDocument("line")[1:], 1)
	batch, err = DecodeSubscription([]byte(both+document("g", "n")), testOptions())
	require.NoError(t, err)
	assert.Equal(t, []string{"line", "n"}, bodies(batch.Logs))
}

func TestKinesisIDs(t *testing.T) {
	t.Parallel()
	id := func(body string) ID {
		t.Helper()
		batch, err := DecodeSubscription([]byte(body), testOptions())
		require.NoError(t, err)
		require.Len(t, batch.Documents, 1)
		return batch.Documents[0].ID
	}
	a := id(kinesisDocument("a\nb"))
	assert.Equal(t, a, id(kinesisDocument("a\nb")))
	// Nothing that another delivery may have otherwise counts, nor how it is written.
	assert.Equal(t, a, id(strings.Replace(kinesisDocument("a\nb"), `lambda-role`, `another`, 1)))
	assert.Equal(t, a, id(strings.Replace(kinesisDocument("a\nb"), `stream/`, `stream\/`, 1)))
	seen := map[ID]bool{a: true}
	for _, other := range []string{
		kinesisDocument("a\nc"), kinesisDocument("a\nb\n"), kinesisDocument(string(compress(t, "a\nb"))),
		kinesisDocumentOf(testKinesisARN+"2", testSequence, "a\nb"), kinesisDocumentOf(testKinesisARN, testSequence+"2", "a\nb"),
		kinesisDocumentOf(testKinesisARN+"2", testSequence[1:], "a\nb"), kinesisDocumentOf("x1", "23", "a\nb"), kinesisDocumentOf("x12", "3", "a\nb"),
	} {
		got := id(other)
		assert.False(t, seen[got], other)
		seen[got] = true
	}
}

func TestKinesisMalformed(t *testing.T) {
	t.Parallel()
	const tail = `},"eventSourceARN":"a"}`
	good, secret := kinesisDocument("x"), base64.StdEncoding.EncodeToString([]byte("secret"))
	long := func(n int) string { return strings.Repeat("9", n) }
	for name, tt := range map[string]struct{ body, err string }{
		"no data":               {`{"kinesis":{"sequenceNumber":"1"` + tail, "document 1: kinesis: data is missing"},
		"empty":                 {`{"kinesis":{` + tail, "document 1: kinesis: data is missing"},
		"second document":       {good + `{"kinesis":{}}`, "document 2: kinesis: data is missing"},
		"no sequence number":    {`{"kinesis":{"data":"` + secret + `"` + tail, "document 1: kinesis: sequenceNumber is missing"},
		"no ARN":                {`{"kinesis":{"data":"","sequenceNumber":"1"}}`, "document 1: eventSourceARN is missing"},
		"ARN is a number":       {`{"kinesis":{"data":"","sequenceNumber":"1"},"eventSourceARN":5}`, "document 1: eventSourceARN is missing"},
		"data is null":          {`{"kinesis":{"data":null` + tail, "document 1: kinesis: data: offset 19: expected a string"},
		"sequence is a number":  {`{"kinesis":{"sequenceNumber":7` + tail, "document 1: kinesis: sequenceNumber: offset 29: expected a string"},
		"no base64":             {`{"kinesis":{"data":"secret!","sequenceNumber":"1"` + tail, "document 1: kinesis: data: not base64"},
		"time is text":          {`{"kinesis":{"approximateArrivalTimestamp":"1"` + tail, "document 1: kinesis: approximateArrivalTimestamp: offset 42: expected a number"},
		"time is an object":     {`{"kinesis":{"approximateArrivalTimestamp":{}` + tail, "document 1: kinesis: approximateArrivalTimestamp: offset 42: expected a number"},
		"time is negative":      {`{"kinesis":{"approximateArrivalTimestamp":-1` + tail, "document 1: kinesis: approximateArrivalTimestamp: offset 44: out of range"},
		"time is too late":      {`{"kinesis":{"approximateArrivalTimestamp":9223372036.855` + tail, "document 1: kinesis: approximateArrivalTimestamp: offset 56: out of range"},
		"time is no number":     {`{"kinesis":{"approximateArrivalTimestamp":1-2` + tail, "document 1: kinesis: approximateArrivalTimestamp: offset 45: out of range"},
		"time is enormous":      {`{"kinesis":{"approximateArrivalTimestamp":1e999` + tail, "document 1: kinesis: approximateArrivalTimestamp: offset 47: out of range"},
		"unknown field":         {`{"kinesis":{"secret":nope` + tail, "document 1: kinesis: a field that is not known: offset 21: expected a value"},
		"long sequence number":  {kinesisDocumentOf("a", long(130), ""), "document 1: kinesis: sequenceNumber has more than 129 bytes"},
		"long ARN":              {kinesisDocumentOf(long(2049), "1", ""), "document 1: eventSourceARN has more than 2048 bytes"},
		"long id":               {`{"eventID":"` + long(259) + `","kinesis":{"data":"","sequenceNumber":"1"` + tail, "document 1: eventID has more than 258 bytes"},
		"gzip cut short":        {kinesisDocument(string(compress(t, "secret")[:12])), "document 1: kinesis: data: gzip, after 0 decoded bytes: unexpected EOF"},
		"gzip of gzip of gzip":  {kinesisDocument(string(compress(t, string(compress(t, string(compress(t, "secret"))))))), "document 1: kinesis: data: gzip within gzip, more than 2 times"},
		"message cut short":     {kinesisDocument(document("g", "secret")[:150]), "document 1: kinesis: data: document 1: logEvents: event 1: offset 150: cut short in a string"},
		"message and text":      {kinesisDocument(document("g", "m") + "secret"), "document 1: kinesis: data: document 2: offset 155: expected an object"},
		"record behind message": {kinesisDocument(document("g", "m") + kinesisDocument("secret")), "document 1: kinesis: data: document 2: messageType is missing"},
		"kinesis is text":       {`{"kinesis":"secret","eventSourceARN":"a"}`, "document 1: messageType is missing"},
		"one of Firehose":       {`{"requestId":"r","records":[]}`, "document 1: messageType is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			batch, err := DecodeSubscription([]byte(tt.body), testOptions())
			require.EqualError(t, err, tt.err)
			assert.Zero(t, batch)
			assert.NotErrorIs(t, err, decompress.ErrTooLarge)
		})
	}

	_, err := DecodeSubscription([]byte(kinesisDocumentOf(long(maxARN), long(maxSequenceNumber), "")), testOptions())
	require.NoError(t, err)
}

// Only what the subscription path takes may be a record.
func TestKinesisOnlyBySubscription(t *testing.T) {
	t.Parallel()
	record := kinesisDocument("line")
	batch, _, _ := decodeFirehose(t, firehoseBody("r", record), FirehoseHeader{})
	assert.Equal(t, []string{record}, bodies(batch.Logs))
	request, err := ParseFirehose(firehoseBody("r", document("g", "m")+record), FirehoseHeader{}, firehoseOptions())
	require.NoError(t, err)
	_, _, err = request.Decode(0)
	require.EqualError(t, err, "record 1: document 2: messageType is missing")
}

// All records of a request together decode to no more than the limit, and count as what they decode to.
func TestKinesisTooLarge(t *testing.T) {
	t.Parallel()
	f := func(body string, limit int, ok bool) {
		t.Helper()
		opts := testOptions()
		opts.MaxDecodedBytes = int64(limit)
		batch, err := DecodeSubscription([]byte(body), opts)
		if ok {
			require.NoError(t, err)
			assert.Equal(t, limit, batch.DecodedBytes)
			return
		}
		require.ErrorIs(t, err, decompress.ErrTooLarge)
	}
	plain := kinesisDocument(strings.Repeat("x", 1000))
	f(plain, len(plain), true)
	f(plain, len(plain)-1, false)
	message := kinesisDocument(document("g", "m"))
	f(message, len(message), true)
	zipped := kinesisDocument(string(compress(t, strings.Repeat("x", 1000))))
	f(zipped, len(zipped)+1000, true)
	f(zipped, len(zipped)+999, false)
	f(zipped, len(zipped), false)
	f(zipped+plain+zipped, 2*len(zipped)+len(plain)+2000, true)
	f(zipped+plain+zipped, 2*len(zipped)+len(plain)+1999, false)

	bomb := kinesisDocument(string(compress(t, strings.Repeat("x", 1<<20-5000))))
	opts := testOptions()
	_, err := DecodeSubscription([]byte(bomb), opts)
	require.NoError(t, err)
	_, err = DecodeSubscription([]byte(bomb+bomb), opts)
	require.EqualError(t, err, "document 2: kinesis: data: input too large: the documents decode to more than 1048576 bytes")
}

// Whatever byte the input ends at: an error, and never part of what was in it.
func TestKinesisTruncated(t *testing.T) {
	t.Parallel()
	first := kinesisDocument("first line\nsecond line")
	plain := []byte(first + kinesisDocument(string(compress(t, document("g", "m")))))
	zipped := compress(t, string(plain))
	for _, body := range [][]byte{plain, zipped} {
		for n := range body {
			batch, err := DecodeSubscription(bytes.Clone(body[:n]), testOptions())
			if n == len(first) && &body[0] == &plain[0] {
				require.NoError(t, err)
				require.Equal(t, 2, batch.Logs.LogRecordCount())
				continue
			}
			require.Error(t, err, "the first %d of %d bytes", n, len(body))
			require.Equal(t, plog.Logs{}, batch.Logs)
		}
		batch, err := DecodeSubscription(bytes.Clone(body), testOptions())
		require.NoError(t, err)
		require.Equal(t, 3, batch.Logs.LogRecordCount())
	}
}

// Memory for the lines and the resources is asked for before it is there.
func TestKinesisReserve(t *testing.T) {
	t.Parallel()
	refused := errors.New("no memory now")
	f := func(body string, least, most int64) {
		t.Helper()
		opts := testOptions()
		opts.MaxDecodedBytes = 64 << 20
		var reserved int64
		opts.Reserve = func(n int64) error {
			reserved += n
			return nil
		}
		_, err := DecodeSubscription([]byte(body), opts)
		require.NoError(t, err)
		assert.Less(t, least, reserved)
		assert.Less(t, reserved, most)
		left := reserved - 1
		opts.Reserve = func(n int64) error {
			if left -= n; left < 0 {
				return refused
			}
			return nil
		}
		_, err = DecodeSubscription([]byte(body), opts)
		require.ErrorIs(t, err, refused)
	}
	f(strings.Repeat(kinesisDocument("x"), 1000), 1000*(resourceMemory+recordMemory), 3<<20)
	f(kinesisDocument(strings.Repeat("x\n", 10_000)), 10_000*recordMemory, 5<<20)
	f(kinesisDocument(string(compress(t, strings.Repeat("x", 4<<20)))), 4<<20, 9<<20)
}

// Lines of a stream that lambda-promtail's labels carry come back as they were.
func TestKinesisLabels(t *testing.T) {
	t.Parallel()
	resource := resourceOfMessage(t, kinesisDocument("line"))
	source := PromtailSource{KinesisARN: testKinesisARN, KeepStream: true}
	labels := PromtailLabels(resource, source)
	assert.Equal(t, map[string]string{"__aws_log_type": "kinesis", "__aws_kinesis_event_source_arn": testKinesisARN}, labels)
	for range 20 {
		got := pcommon.NewMap()
		SetStreamAttributes(got, maps.All(labels), "eu-west-1")
		assert.Equal(t, resource.AsRaw(), got.AsRaw())
	}
	assert.Equal(t, map[string]string{"__aws_log_type": "kinesis"}, PromtailLabels(resource, PromtailSource{}))

	// The operator's own labels go before what the stream says.
	labels["service_name"], labels["aws.log.source"], labels["__aws_kinesis_event_source_arn"] = "web", "mine", "no ARN"
	got := pcommon.NewMap()
	SetStreamAttributes(got, maps.All(labels), "")
	assert.Equal(t, map[string]any{"cloud.provider": "aws", "aws.log.type": "kinesis", "service.name": "web", "aws.log.source": "mine"}, got.AsRaw())
}
