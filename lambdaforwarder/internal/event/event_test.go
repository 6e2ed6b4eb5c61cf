// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// message begins as gzip does. What follows is none of the forwarder's business.
var message = append([]byte{0x1f, 0x8b, 8, 0}, "\xff\xfe\xfd rest of the message"...)

// example is one of AWS's documented events.
func example(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(tb, err)
	return string(text)
}

// only returns the one item that an event has.
func only(t *testing.T, payload string) Item {
	t.Helper()
	e := Parse([]byte(payload))
	checkInvariants(t, &e)
	require.Len(t, e.Items, 1)
	return e.Items[0]
}

// checkInvariants is for what is so whatever the payload.
func checkInvariants(tb testing.TB, e *Event) {
	tb.Helper()
	for i, item := range e.Items {
		set := 0
		if item.Message != nil {
			set++
			require.True(tb, isGzip(item.Message))
		}
		if r := item.Record; r != nil {
			set++
			require.True(tb, json.Valid(r.AppendDocument(nil)))
		}
		if o := item.Object; o != nil {
			set++
			require.NotEmpty(tb, o.Bucket)
			require.NotEmpty(tb, o.Key)
			require.LessOrEqual(tb, len(o.Bucket), maxNameBytes)
			require.LessOrEqual(tb, len(o.Key), maxKeyBytes)
		}
		if item.Err != nil {
			set++
			switch item.Err.(type) { //nolint:errorlint // they are not wrapped
			case *MalformedError, *UnsupportedError:
			default:
				require.Fail(tb, "an error of another type", "%T", item.Err)
			}
		}
		require.Equal(tb, 1, set, "item %d has one thing to forward, or an error", i)
		if e.Source == Whole {
			require.Empty(tb, item.ID)
			require.False(tb, e.Ordered)
		}
	}
	require.GreaterOrEqual(tb, e.Ignored, 0)
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	text := base64.StdEncoding.EncodeToString(message)
	require.Contains(t, text, "/", "the test of escaped slashes needs one")
	f := func(name, payload string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, Event{Items: []Item{{Message: message}}}, Parse([]byte(payload)))
		})
	}
	f("as AWS sends it", `{"awslogs":{"data":"`+text+`"}}`)
	f("whitespace", " \r\n\t{ \"awslogs\" :\n{ \"data\" :\t\""+text+"\" } }\n")
	f("unknown fields around",
		`{"version":1.5e3,"awslogs":{"a":[{},"\"data\"",null,true],"data":"`+text+`","z":{"data":"x"}},"data":"y"}`)
	f("escaped slashes", `{"awslogs":{"data":"`+strings.ReplaceAll(text, "/", `\/`)+`"}}`)
	f("unicode escapes", `{"awslogs":{"data":"\u0048`+text[1:]+`"}}`)
	f("escaped keys", `{"aws\u006cogs":{"d\u0061ta":"`+text+`"}}`)
	f("last of several", `{"awslogs":{"data":"eA=="},"awslogs":{"data":"eA==","data":"`+text+`"}}`)
	f("awslogs beside records", `{"Records":[{"eventSource":"aws:s3"}],"awslogs":{"data":"`+text+`"}}`)
	f("line breaks, as MIME base64 has", `{"awslogs":{"data":"`+text[:8]+`\r\n`+text[8:]+`"}}`)
}

// Captured events, and AWS's example, give the bytes that are in them.
func TestSubscriptionExamples(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join("..", "..", "..", "testdata", "events", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range append(paths, filepath.Join("testdata", "cloudwatch-logs.json")) {
		payload, err := os.ReadFile(path)
		require.NoError(t, err)
		var want struct {
			AWSLogs struct{ Data []byte }
		}
		require.NoError(t, json.Unmarshal(payload, &want))
		require.NotEmpty(t, want.AWSLogs.Data)
		assert.Equal(t, Event{Items: []Item{{Message: want.AWSLogs.Data}}}, Parse(payload), path)
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	f := func(name, payload, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := only(t, payload).Err
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
	f("awslogs is null", `{"awslogs":null}`, "`awslogs` has no `data`")
	f("data is no string", `{"awslogs":{"data":["H4sI"]}}`, "the JSON type of `awslogs.data` is array, want string")
	f("data is null", `{"awslogs":{"data":null}}`, "the JSON type of `awslogs.data` is null, want string")
	f("not base64", `{"awslogs":{"data":"H4sI!AAA"}}`, "`awslogs.data` is not base64 at byte 4 of 8")
	f("base64 for URLs", `{"awslogs":{"data":"H4sI__8="}}`, "`awslogs.data` is not base64 at byte 4 of 8")
	f("base64 cut short", `{"awslogs":{"data":"H4sIA"}}`, "`awslogs.data` is not base64 at byte 4 of 5")
	f("empty", `{"awslogs":{"data":""}}`, "the 0 bytes in `awslogs.data` are not gzip")
	f("short", `{"awslogs":{"data":"H4s="}}`, "the 2 bytes in `awslogs.data` are not gzip")
	f("another compression method", `{"awslogs":{"data":"H4sHAAAA"}}`, "the 6 bytes in `awslogs.data` are not gzip")
	f("not gzip", `{"awslogs":{"data":"eyJtZXNzYWdlVHlwZSI6"}}`, "the 15 bytes in `awslogs.data` are not gzip")

	const s3 = `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":%s}]}`
	f("S3 without a name", `{"Records":[{"eventSource":"aws:s3","s3":{}}]}`, "the record of S3 has no `eventName`")
	f("S3 without s3", `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put"}]}`,
		"the bucket of the object has no `name`")
	f("S3 without a bucket", fmt.Sprintf(s3, `{"object":{"key":"k"}}`), "the bucket of the object has no `name`")
	f("S3 with a bucket that is text", fmt.Sprintf(s3, `{"bucket":"b","object":{"key":"k"}}`),
		"the bucket of the object has no `name`")
	f("S3 without an object", fmt.Sprintf(s3, `{"bucket":{"name":"b"}}`), "the object has no `key`")
	f("S3 without a key", fmt.Sprintf(s3, `{"bucket":{"name":"b"},"object":{"key":""}}`), "the object has no `key`")
	f("S3 with a key of bad escapes", fmt.Sprintf(s3, `{"bucket":{"name":"b"},"object":{"key":"100%/a"}}`),
		"`s3.object.key` is not encoded as in a URL's query")
	f("S3 with a long key", fmt.Sprintf(s3, `{"bucket":{"name":"b"},"object":{"key":"`+strings.Repeat("k", 1025)+`"}}`),
		"the object's bucket, key or version is longer than those of S3")
	f("S3 with a long bucket", fmt.Sprintf(s3, `{"bucket":{"name":"`+strings.Repeat("b", 256)+`"},"object":{"key":"k"}}`),
		"the object's bucket, key or version is longer than those of S3")
	f("S3 with a long version", fmt.Sprintf(s3, `{"bucket":{"name":"b"},"object":{"key":"k","versionId":"`+strings.Repeat("v", 1025)+`"}}`),
		"the object's bucket, key or version is longer than those of S3")
	f("a region of another form",
		`{"source":"aws.s3","detail-type":"Object Created","region":"evil.example.com/","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}`,
		"the object's region is none of AWS's form")
	f("EventBridge without detail", `{"source":"aws.s3","detail-type":"Object Created"}`,
		"the bucket of the object has no `name`")
	f("EventBridge without a key",
		`{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"size":1}}}`,
		"the object has no `key`")
	f("SQS without an id", `{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}`, "the message of SQS has no `messageId`")
	f("SQS with an id that is a number", `{"Records":[{"eventSource":"aws:sqs","messageId":7,"body":"{}"}]}`,
		"the message of SQS has no `messageId`")
	f("SQS without a body", `{"Records":[{"eventSource":"aws:sqs","messageId":"m"}]}`, "the message of SQS has no `body`")
	f("SQS with a body that is an object", `{"Records":[{"eventSource":"aws:sqs","messageId":"m","body":{}}]}`,
		"the message of SQS has no `body`")
	f("SNS without Sns", `{"Records":[{"EventSource":"aws:sns"}]}`, "the notification of SNS has no `Message`")
	f("SNS with a message that is null", `{"Records":[{"EventSource":"aws:sns","Sns":{"Message":null}}]}`,
		"the notification of SNS has no `Message`")
	f("Kinesis without kinesis", `{"Records":[{"eventSource":"aws:kinesis"}]}`,
		"the record of Kinesis has no `sequenceNumber`")
	f("Kinesis without a sequence number", `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"data":""}}]}`,
		"the record of Kinesis has no `sequenceNumber`")
	f("Kinesis without data", `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1"}}]}`,
		"the record of Kinesis has no `data`")
	f("Kinesis not base64", `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"a!=="}}]}`,
		"`kinesis.data` is not base64 at byte 1 of 4")
}

// However many records nothing is known of: they are one failure, and those that are known are not.
func TestManyUnknownRecords(t *testing.T) {
	t.Parallel()
	e := Parse([]byte(`{"Records":[` + strings.Repeat("0,", 10_000) + `{"eventSource":"aws:s3","eventName":"ObjectRemoved:Delete"}]}`))
	require.Len(t, e.Items, 1)
	require.EqualError(t, e.Items[0].Err, "unsupported event: found record 1 of 10001, which names no `eventSource` that is known, "+
		"want an event of CloudWatch Logs, Kinesis or S3, or one of these by EventBridge, SNS or SQS")
	assert.Equal(t, 1, e.Ignored)
}

// An event inside another takes no more memory than it should.
func TestManyValuesInside(t *testing.T) {
	t.Parallel()
	f := func(want string, commas int) {
		t.Helper()
		body := `{"Records":[` + strings.Repeat("0,", commas) + `0]}`
		e := Parse([]byte(`{"Records":[{"eventSource":"aws:sqs","messageId":"1","body":` + strconv.Quote(body) + `}]}`))
		require.Len(t, e.Items, 1)
		require.ErrorContains(t, e.Items[0].Err, want)
	}
	f("unsupported event: found record 1 of 20001", maxCommas)
	f("malformed event: an event inside another has more than 20000 commas", maxCommas+1)
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	f := func(name, payload, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := only(t, payload).Err
			var unsupported *UnsupportedError
			require.ErrorAs(t, err, &unsupported)
			assert.EqualError(t, err, "unsupported event: found "+want+
				", want an event of CloudWatch Logs, Kinesis or S3, or one of these by EventBridge, SNS or SQS")
		})
	}
	f("empty", "{}", "an empty object")
	f("DynamoDB", `{"Records":[{"eventID":"1","eventName":"INSERT","eventSource":"aws:dynamodb","dynamodb":{}}]}`,
		"`eventSource` \"aws:dynamodb\"")
	f("SES", `{"Records":[{"eventSource":"aws:ses","ses":{}}]}`, "`eventSource` \"aws:ses\"")
	f("records without a source", `{"Records":[{"a":1}]}`, "record 1 of 1, which names no `eventSource` that is known")
	f("a record that is text", `{"Records":["aws:s3"]}`, "record 1 of 1, which names no `eventSource` that is known")
	f("records that are none", `{"Records":{"eventSource":"aws:s3"}}`, `an object with "Records"`)
	f("records that are null", `{"Records":null}`, `an object with "Records"`)
	f("a source that is content", `{"Records":[{"eventSource":"user=alice\npassword=x"}]}`,
		"record 1 of 1, which names no `eventSource` that is known")
	f("EventBridge of another service", `{"version":"0","detail-type":"ECS Task State Change","source":"aws.ecs","detail":{}}`,
		"`source` \"aws.ecs\" with `detail-type` \"ECS Task State Change\"")
	f("EventBridge without a source", `{"detail-type":"Object Created","detail":{}}`, `an object with "detail", "detail-type"`)
	f("EventBridge without a type", `{"source":"aws.s3","detail":{}}`, `an object with "detail", "source"`)
	f("Firehose's transformation", example(t, "firehose-transform"),
		`an object with "deliveryStreamArn", "invocationId", "records", "region"`)
	f("Kafka", `{"eventSource":"aws:kafka","bootstrapServers":"b","records":{"t-0":[]}}`,
		`an object with "bootstrapServers", "eventSource", "records"`)
	f("another S3 event", `{"Service":"Amazon S3","Event":"s3:Other"}`, `an object with "Event", "Service"`)
	f("another message of SNS", `{"Type":"Other","TopicArn":"arn:aws:sns:us-east-2:111122223333:t","Message":"{}"}`,
		"a message of SNS that is no notification")
	f("a message of CloudWatch Logs", `{"messageType":"DATA_MESSAGE","logEvents":[]}`,
		`an object with "logEvents", "messageType"`)
	f("repeated key", `{"a":1,"a":2}`, `an object with "a", others`)
	f("keys that are content", `{"password=hunter2":1,"a":1,"":1,"`+strings.Repeat("k", 65)+`":1}`,
		`an object with "a", others`)
	f("many keys", `{"k":1,"j":1,"i":1,"h":1,"g":1,"f":1,"e":1,"d":1,"c":1,"b":1,"a":1}`,
		`an object with "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", others`)
}
