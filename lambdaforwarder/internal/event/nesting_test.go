// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// object decodes an example, of which a test changes something.
func object(tb testing.TB, name string) map[string]any {
	tb.Helper()
	var decoded map[string]any
	require.NoError(tb, json.Unmarshal([]byte(example(tb, name)), &decoded))
	return decoded
}

func encoded(tb testing.TB, value any) string {
	tb.Helper()
	text, err := json.Marshal(value)
	require.NoError(tb, err)
	return string(text)
}

// record is the first one of an example.
func record(tb testing.TB, name string) map[string]any {
	tb.Helper()
	return object(tb, name)["Records"].([]any)[0].(map[string]any)
}

// queueOf is an event of SQS with these messages, whose ids are m1, m2 and so on.
func queueOf(tb testing.TB, example string, bodies ...string) string {
	tb.Helper()
	records := []any{}
	for i, body := range bodies {
		message := record(tb, example)
		message["messageId"], message["body"] = fmt.Sprint("m", i+1), body
		records = append(records, message)
	}
	return encoded(tb, map[string]any{"Records": records})
}

func sqsOf(tb testing.TB, bodies ...string) string {
	tb.Helper()
	return queueOf(tb, "sqs", bodies...)
}

// snsOf is an event of SNS with one notification.
func snsOf(tb testing.TB, message string) string {
	tb.Helper()
	event := object(tb, "sns")
	event["Records"].([]any)[0].(map[string]any)["Sns"].(map[string]any)["Message"] = message
	return encoded(tb, event)
}

// notificationOf is what SNS puts into a queue, or posts.
func notificationOf(tb testing.TB, message string) string {
	tb.Helper()
	notification := object(tb, "sns-notification")
	notification["Message"] = message
	return encoded(tb, notification)
}

// s3Of is an event of S3 with records of these objects' keys, as they stand there.
func s3Of(tb testing.TB, keys ...string) string {
	tb.Helper()
	records := []any{}
	for _, key := range keys {
		created := record(tb, "s3")
		created["s3"].(map[string]any)["object"].(map[string]any)["key"] = key
		records = append(records, created)
	}
	return encoded(tb, map[string]any{"Records": records})
}

func awslogsOf(message []byte) string {
	return `{"awslogs":{"data":"` + base64.StdEncoding.EncodeToString(message) + `"}}`
}

// The objects of the examples.
var (
	fromS3 = Object{
		Bucket: "amzn-s3-demo-bucket", Key: "AWSLogs/my file+1=2.log.gz", VersionID: "096fKKXTRTtl3on89fVO.nfljtsv6qko",
		Region: "us-east-2", Time: time.Date(2019, 9, 3, 19, 37, 27, 192e6, time.UTC),
	}
	fromEventBridge = Object{
		Bucket: "amzn-s3-demo-bucket1", Key: "AWSLogs/my file+1=2.log.gz", VersionID: "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
		Region: "ca-central-1", Time: time.Date(2021, 11, 12, 0, 0, 0, 0, time.UTC),
	}
)

// All ways by which AWS brings an object's notification, or a message.
func TestNesting(t *testing.T) {
	t.Parallel()
	s3, bridge, logs := example(t, "s3"), example(t, "eventbridge"), awslogsOf(message)
	f := func(name, payload string, source Source, item Item) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if source == SQS {
				item.ID = "m1"
			}
			assert.Equal(t, Event{Source: source, Items: []Item{item}}, Parse([]byte(payload)))
		})
	}
	inS3, inBridge, inLogs := Item{Object: &fromS3}, Item{Object: &fromEventBridge}, Item{Message: message}
	f("S3", s3, Whole, inS3)
	f("SNS(S3)", snsOf(t, s3), Whole, inS3)
	f("SQS(S3)", sqsOf(t, s3), SQS, inS3)
	f("SQS(SNS(S3))", sqsOf(t, notificationOf(t, s3)), SQS, inS3)
	f("SQS(SNS(S3)), whole event of Lambda", sqsOf(t, snsOf(t, s3)), SQS, inS3)
	f("notification(S3)", notificationOf(t, s3), Whole, inS3)
	f("EventBridge", bridge, Whole, inBridge)
	f("SNS(EventBridge)", snsOf(t, bridge), Whole, inBridge)
	f("SQS(EventBridge)", sqsOf(t, bridge), SQS, inBridge)
	f("SQS(SNS(EventBridge))", sqsOf(t, notificationOf(t, bridge)), SQS, inBridge)
	f("awslogs", logs, Whole, inLogs)
	f("SNS(awslogs)", snsOf(t, logs), Whole, inLogs)
	f("SQS(awslogs)", sqsOf(t, logs), SQS, inLogs)
	f("SQS(SNS(awslogs))", sqsOf(t, notificationOf(t, logs)), SQS, inLogs)
	f("SQS(Kinesis)", sqsOf(t, `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"7","data":"YQ=="}}]}`), SQS,
		Item{Record: &Record{Data: []byte("a"), SequenceNumber: "7"}})
}

// An SQS message of several records fails and succeeds as one, and a bad one is nobody else's problem.
func TestBatch(t *testing.T) {
	t.Parallel()
	e := Parse([]byte(sqsOf(
		t,
		s3Of(t, "1", "2", "3"),
		"Hello from SNS!",
		notificationOf(t, example(t, "eventbridge")),
		example(t, "s3-test"),
		awslogsOf(message),
		notificationOf(t, "Hello from SNS!"),
		example(t, "sns-confirmation"),
		`{"Records":[]}`,
		s3Of(t, "4"),
		snsOf(t, s3Of(t, "5", "6")),
	)))
	checkInvariants(t, &e)
	assert.Equal(t, SQS, e.Source)
	assert.False(t, e.Ordered)
	assert.Equal(t, 3, e.Ignored)
	var got []string
	for _, item := range e.Items {
		what := "message"
		switch {
		case item.Object != nil:
			what = item.Object.Key
		case item.Err != nil:
			what = "error"
		}
		got = append(got, item.ID+" "+what)
	}
	assert.Equal(t, []string{
		"m1 1", "m1 2", "m1 3", "m2 error", "m3 AWSLogs/my file+1=2.log.gz", "m5 message", "m6 error", "m9 4", "m10 5", "m10 6",
	}, got)
}

func TestOrdered(t *testing.T) {
	t.Parallel()
	f := func(example string, want bool) {
		t.Helper()
		e := Parse([]byte(queueOf(t, example, "x", s3Of(t, "k"))))
		assert.Equal(t, SQS, e.Source)
		assert.Equal(t, want, e.Ordered)
		require.Len(t, e.Items, 2)
		assert.Equal(t, "m2", e.Items[1].ID)
	}
	f("sqs", false)
	f("sqs-fifo", true)
}

// What has nothing to forward is counted, and is no failure.
func TestIgnored(t *testing.T) {
	t.Parallel()
	f := func(name, payload string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, Event{Ignored: 1}, Parse([]byte(payload)))
			assert.Equal(t, Event{Ignored: 1}, Parse([]byte(snsOf(t, payload))))
			assert.Equal(t, Event{Ignored: 1}, Parse([]byte(notificationOf(t, payload))))
			assert.Equal(t, Event{Source: SQS, Ignored: 1}, Parse([]byte(sqsOf(t, payload))))
			assert.Equal(t, Event{Source: SQS, Ignored: 2}, Parse([]byte(sqsOf(t, payload, notificationOf(t, payload)))))
		})
	}
	f("test event", example(t, "s3-test"))
	f("confirmation", example(t, "sns-confirmation"))
	f("confirmation of the end",
		strings.ReplaceAll(example(t, "sns-confirmation"), "SubscriptionConfirmation", "UnsubscribeConfirmation"))
	f("no records", `{"Records":[]}`)
	for _, name := range []string{
		"ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "s3:ObjectRemoved:Delete", "ObjectRestore:Post",
		"ObjectRestore:Completed", "ObjectTagging:Put", "ObjectTagging:Delete", "ObjectAcl:Put", "LifecycleExpiration:Delete", "LifecycleTransition",
		"IntelligentTiering",
		"ReducedRedundancyLostObject", "Replication:OperationFailedReplication", "s3:TestEvent",
	} {
		f(name, strings.ReplaceAll(example(t, "s3"), "ObjectCreated:Put", name))
	}
	f("size 0", strings.ReplaceAll(example(t, "s3"), "1305107", "0"))
	for _, name := range []string{
		"Object Deleted", "Object Restore Initiated", "Object Restore Completed", "Object Restore Expired",
		"Object Storage Class Changed",
		"Object Access Tier Changed", "Object ACL Updated", "Object Tags Added", "Object Tags Deleted",
	} {
		f(name, strings.ReplaceAll(example(t, "eventbridge"), "Object Created", name))
	}
	f("size 0 by EventBridge", strings.ReplaceAll(example(t, "eventbridge"), `"size": 5`, `"size": 0`))
}

// Only a size that says so is one of nothing.
func TestSize(t *testing.T) {
	t.Parallel()
	f := func(size string) {
		t.Helper()
		for _, payload := range []string{
			strings.ReplaceAll(example(t, "s3"), `"size": 1305107,`, size),
			strings.ReplaceAll(example(t, "eventbridge"), `"size": 5,`, size),
		} {
			require.NotContains(t, payload, `"size": 1305107`)
			require.NotContains(t, payload, `"size": 5`)
			assert.NotNil(t, only(t, payload).Object)
		}
	}
	f("")
	f(`"size":null,`)
	f(`"size":"0",`)
	f(`"size":[],`)
	f(`"size":1,`)
	f(`"size":0,"size":7,`)
	f(`"size":99999999999999999999,`)
	f(`"Size":0,`)
}

func TestCreated(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Put", "Post", "Copy", "CompleteMultipartUpload"} {
		for _, prefix := range []string{"ObjectCreated:", "s3:ObjectCreated:"} {
			assert.Equal(t, &fromS3, only(t, strings.ReplaceAll(example(t, "s3"), "ObjectCreated:Put", prefix+name)).Object)
		}
	}
	// Only the bucket and the key have to be there.
	const place = `{"bucket":{"name":"b"},"object":{"key":"k"}}`
	assert.Equal(t, &Object{Bucket: "b", Key: "k"},
		only(t, `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":`+place+`}]}`).Object)
	assert.Equal(t, &Object{Bucket: "b", Key: "k"},
		only(t, `{"source":"aws.s3","detail-type":"Object Created","time":"yesterday","detail":`+place+`}`).Object)
}

// Keys are encoded as in a URL's query by S3, and not at all by EventBridge.
func TestKeys(t *testing.T) {
	t.Parallel()
	f := func(key, fromS3 string) {
		t.Helper()
		assert.Equal(t, fromS3, only(t, s3Of(t, key)).Object.Key)
		bridge := object(t, "eventbridge")
		bridge["detail"].(map[string]any)["object"].(map[string]any)["key"] = key
		assert.Equal(t, key, only(t, encoded(t, bridge)).Object.Key)
	}
	f("a+b%2D.gz", "a b-.gz")
	f("AWSLogs/123456789012/x.log.gz", "AWSLogs/123456789012/x.log.gz")
	f("a%2Bb", "a+b")
	f("100%25", "100%")
	f("%E6%97%A5%E6%9C%AC", "日本")
	f("日本", "日本")
	f("a%20b", "a b")
	f("/", "/")
	f("../a//b", "../a//b")
	f("%00%0A", "\x00\n")
	f(strings.Repeat("k", maxKeyBytes), strings.Repeat("k", maxKeyBytes))
	// What is refused is the length of the key itself.
	assert.Len(t, only(t, s3Of(t, strings.Repeat("%E6", maxKeyBytes))).Object.Key, maxKeyBytes)
	require.Error(t, only(t, s3Of(t, "100%")).Err)
}

func TestDepth(t *testing.T) {
	t.Parallel()
	f := func(inside int, wrap func(string) string, want Item) {
		t.Helper()
		payload := s3Of(t, "k")
		for range inside {
			payload = wrap(payload)
		}
		item := only(t, payload)
		if want.Err != nil {
			assert.Equal(t, want.Err, item.Err)
			return
		}
		require.NoError(t, item.Err)
		assert.Equal(t, "k", item.Object.Key)
	}
	sns := func(payload string) string {
		return encoded(t, map[string]any{"TopicArn": "t", "Type": "Notification", "Message": payload})
	}
	sqs := func(payload string) string {
		return encoded(t, map[string]any{"Records": []any{map[string]any{"eventSource": "aws:sqs", "messageId": "m", "body": payload}}})
	}
	tooDeep := Item{Err: &MalformedError{problem: "more than 8 events inside each other"}}
	for _, wrap := range []func(string) string{sns, sqs} {
		f(0, wrap, Item{})
		f(3, wrap, Item{})
		f(maxDepth-1, wrap, Item{})
		f(maxDepth, wrap, tooDeep)
		f(maxDepth+1, wrap, tooDeep)
	}
}
