// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/awsevents"
	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/lambdaruntime"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// bucket is where the objects of these tests are.
const bucket = "logs"

// startFunction starts a forwarder whose destination is address, and which reads from s3 where that is not nil.
func startFunction(t *testing.T, address string, s3 *stack.S3, env map[string]string) *lambdaruntime.Server {
	t.Helper()
	all := map[string]string{"WRITE_ADDRESS": address}
	if s3 != nil {
		for name, value := range s3.Env() {
			all[name] = value
		}
	}
	for name, value := range env {
		all[name] = value
	}
	function, err := lambdaruntime.Start()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, function.Close()) })
	stacktest.StartForwarder(t, function.Addr(), all, stack.ForwarderOptions{})
	return function
}

// startWithS3 starts a collector, as startReceiver does, an S3 server with a bucket, and a forwarder between them.
func startWithS3(t *testing.T) (*pipeline, *stack.S3) {
	t.Helper()
	s3 := stacktest.StartS3(t)
	require.NoError(t, s3.CreateBucket(t.Context(), bucket))
	p := startReceiver(t, fast)
	p.function = startFunction(t, p.collector.URL(), s3, nil)
	return p, s3
}

// answerTo is what the function answers to an event: its response, or the type of its error.
func answerTo(t *testing.T, function *lambdaruntime.Server, payload []byte) string {
	t.Helper()
	result, err := function.Invoke(t.Context(), payload, functionTimeout)
	require.NoError(t, err)
	if result.FunctionError != nil {
		return result.FunctionError.Type
	}
	return string(result.Payload)
}

// Answers to events.
const (
	whole       = "null"
	noFailures  = `{"batchItemFailures":[]}`
	malformed   = "MalformedError"
	unsupported = "UnsupportedError"
)

func failed(ids ...string) string {
	items := make([]map[string]string, len(ids))
	for i, id := range ids {
		items[i] = map[string]string{"itemIdentifier": id}
	}
	content, err := json.Marshal(map[string]any{"batchItemFailures": items})
	if err != nil {
		panic(err)
	}
	return string(content)
}

// eventMaker makes events, the lines of which all have a mark that finds them again.
type eventMaker struct {
	*testing.T
	s3   *stack.S3
	mark string
	// lines are those that are in what was made.
	lines []string
}

func (m *eventMaker) line() string {
	line := fmt.Sprintf("%s line %d", m.mark, len(m.lines)+1)
	m.lines = append(m.lines, line)
	return line
}

// message is a message of CloudWatch Logs with two lines.
func (m *eventMaker) message() cloudwatch.Message {
	now := time.Now().UnixMilli()
	return cloudwatch.Message{
		MessageType: cloudwatch.DataMessage, Owner: awsevents.Account, LogGroup: "/app", LogStream: m.mark, SubscriptionFilters: []string{"all"},
		LogEvents: []cloudwatch.Event{
			{ID: fmt.Sprintf("%056d", now), Timestamp: now, Message: m.line()},
			{ID: fmt.Sprintf("%056d", now+1), Timestamp: now, Message: m.line()},
		},
	}
}

// object is an object with two lines.
func (m *eventMaker) object(key string) awsevents.Object {
	m.Helper()
	content := []byte(m.line() + "\n" + m.line() + "\n")
	etag, err := m.s3.Put(m.Context(), bucket, key, bytes.NewReader(content))
	require.NoError(m, err)
	return awsevents.Object{Bucket: bucket, Key: key, ETag: etag, Size: len(content), Time: time.Now()}
}

// Every event that AWS sends, alone and inside others: what Lambda is told, and what Loki has.
func TestForwarderEvents(t *testing.T) {
	p, s3 := startWithS3(t)
	f := func(name, want string, event func(m *eventMaker) []byte) {
		t.Helper()
		m := &eventMaker{T: t, s3: s3, mark: fmt.Sprintf("[%s]", name)}
		assert.Equal(t, want, answerTo(t, p.function, event(m)), name)
		p.untilSent()
		query := fmt.Sprintf("%s |= `%s`", everything, m.mark)
		assert.Equal(t, len(m.lines), p.count(p.loki.LokiClient, query), name)
		if len(m.lines) == 0 {
			return
		}
		var got []string
		for _, line := range p.await(query, len(m.lines)) {
			got = append(got, line.Line)
		}
		assert.ElementsMatch(t, m.lines, got, name)
	}

	f("CloudWatch", whole, func(m *eventMaker) []byte { return cloudwatch.LambdaEvent(m.message()) })
	f("control message", whole, func(*eventMaker) []byte {
		return cloudwatch.LambdaEvent(cloudwatch.Message{
			MessageType: cloudwatch.ControlMessage, Owner: "CloudwatchLogs", SubscriptionFilters: []string{},
			LogEvents: []cloudwatch.Event{{Timestamp: 1741312971934, Message: "CWL CONTROL MESSAGE: Checking health of destination Firehose."}},
		})
	})

	f("Kinesis, gzip", noFailures, func(m *eventMaker) []byte {
		return awsevents.Kinesis(time.Now(), m.message().Gzip(), m.message().Gzip(), m.message().Gzip())
	})
	f("Kinesis, plain messages", noFailures, func(m *eventMaker) []byte {
		return awsevents.Kinesis(time.Now(), m.message().JSON(), m.message().JSON())
	})
	f("Kinesis, lines", noFailures, func(m *eventMaker) []byte {
		realTime := fmt.Sprintf("%d.123\t203.0.113.1\t0.001\t200\t%s", time.Now().Unix(), m.line())
		m.lines[0] = realTime
		return awsevents.Kinesis(time.Now(), []byte(realTime+"\n"), []byte(m.line()), []byte(`{"not": "CloudWatch's"}`), []byte{})
	})
	f("Kinesis, gzip of lines", noFailures, func(m *eventMaker) []byte {
		return awsevents.Kinesis(time.Now(), compress([]byte(m.line()+"\n"+m.line())))
	})
	f("Kinesis, all kinds", noFailures, func(m *eventMaker) []byte {
		return awsevents.Kinesis(time.Now(), m.message().Gzip(), []byte(m.line()), m.message().JSON(), compress([]byte(m.line())), m.message().Gzip())
	})
	f("Kinesis, poison in the middle", failed("3"), func(m *eventMaker) []byte {
		poison := m.message().Gzip()
		m.lines = m.lines[:0]
		return awsevents.Kinesis(time.Now(), m.message().Gzip(), m.message().Gzip(), poison[:len(poison)-9], m.message().Gzip())
	})

	f("S3", whole, func(m *eventMaker) []byte { return awsevents.S3("ObjectCreated:Put", m.object("s3/plain")) })
	f("S3, several", whole, func(m *eventMaker) []byte {
		return awsevents.S3("ObjectCreated:CompleteMultipartUpload", m.object("s3/1"), m.object("s3/2"), m.object("s3/3"))
	})
	f("S3, an encoded key", whole, func(m *eventMaker) []byte { return awsevents.S3("ObjectCreated:Copy", m.object("s3/a b+c%2Dü=&.log")) })
	f("S3, removed", whole, func(*eventMaker) []byte {
		return awsevents.S3("ObjectRemoved:Delete", awsevents.Object{Bucket: bucket, Key: "s3/gone"})
	})
	f("S3, without bytes", whole, func(*eventMaker) []byte {
		return awsevents.S3("ObjectCreated:Put", awsevents.Object{Bucket: bucket, Key: "s3/folder/"})
	})
	f("S3, no such object", "ObjectError", func(*eventMaker) []byte {
		return awsevents.S3("ObjectCreated:Put", awsevents.Object{Bucket: bucket, Key: "s3/never", Size: 1})
	})
	f("S3, one that is not there among others", "ObjectError", func(m *eventMaker) []byte {
		return awsevents.S3("ObjectCreated:Put", m.object("s3/x"), awsevents.Object{Bucket: bucket, Key: "s3/never", Size: 1}, m.object("s3/y"))
	})
	f("EventBridge", whole, func(m *eventMaker) []byte { return awsevents.EventBridge("Object Created", m.object("eb/plain")) })
	f("EventBridge, a key as it is", whole, func(m *eventMaker) []byte {
		return awsevents.EventBridge("Object Created", m.object("eb/a+b%2D 100%.gz"))
	})
	f("EventBridge, deleted", whole, func(*eventMaker) []byte {
		return awsevents.EventBridge("Object Deleted", awsevents.Object{Bucket: bucket, Key: "eb/gone", Size: 1})
	})
	f("test event", whole, func(*eventMaker) []byte { return awsevents.TestEvent() })

	s3Event := func(m *eventMaker, key string) []byte { return awsevents.S3("ObjectCreated:Put", m.object(key)) }
	f("SNS of S3", whole, func(m *eventMaker) []byte { return awsevents.SNS(s3Event(m, "sns/1")) })
	f("SNS of the test event", whole, func(*eventMaker) []byte { return awsevents.SNS(awsevents.TestEvent()) })
	f("SNS of text", malformed, func(*eventMaker) []byte { return awsevents.SNS([]byte("Hello from SNS!")) })
	f("SQS of S3", noFailures, func(m *eventMaker) []byte { return awsevents.SQS(s3Event(m, "sqs/1"), s3Event(m, "sqs/2")) })
	f("SQS of EventBridge", noFailures, func(m *eventMaker) []byte {
		return awsevents.SQS(awsevents.EventBridge("Object Created", m.object("sqs/3+4")))
	})
	f("SQS of SNS of S3", noFailures, func(m *eventMaker) []byte { return awsevents.SQS(awsevents.Notification(s3Event(m, "sqs/5"))) })
	f("SQS of SNS of EventBridge", noFailures, func(m *eventMaker) []byte {
		return awsevents.SQS(awsevents.Notification(awsevents.EventBridge("Object Created", m.object("sqs/6"))))
	})
	f("SQS of CloudWatch", noFailures, func(m *eventMaker) []byte { return awsevents.SQS(cloudwatch.LambdaEvent(m.message())) })
	f("SQS of nothing", noFailures, func(*eventMaker) []byte {
		return awsevents.SQS(awsevents.TestEvent(), awsevents.Notification(awsevents.TestEvent()), awsevents.Confirmation(),
			awsevents.S3("ObjectRemoved:Delete", awsevents.Object{Bucket: bucket, Key: "sqs/gone"}))
	})
	f("SQS, poison in the middle", failed("m2"), func(m *eventMaker) []byte {
		return awsevents.SQS(s3Event(m, "sqs/7"), []byte("Hello from SQS!"), s3Event(m, "sqs/8"))
	})
	f("SQS, many kinds of poison", failed("m1", "m3", "m4", "m6"), func(m *eventMaker) []byte {
		damaged := m.message().Gzip()
		m.lines = m.lines[:0]
		return awsevents.SQS([]byte("{}"), s3Event(m, "sqs/9"),
			awsevents.S3("ObjectCreated:Put", m.object("sqs/10"), awsevents.Object{Bucket: bucket, Key: "sqs/never", Size: 1}),
			awsevents.Notification([]byte("text")), cloudwatch.LambdaEvent(m.message()),
			mustJSON(t, map[string]any{"awslogs": map[string]any{"data": damaged[:len(damaged)-9]}}))
	})

	f("no records", whole, func(*eventMaker) []byte { return []byte(`{"Records":[]}`) })
	f("Firehose's transformation", unsupported, func(*eventMaker) []byte {
		return []byte(`{"invocationId":"1","deliveryStreamArn":"arn:aws:firehose:us-east-1:1:deliverystream/x","records":[{"recordId":"1","data":"eA=="}]}`)
	})
	f("EventBridge, of others", unsupported, func(*eventMaker) []byte {
		return []byte(`{"version":"0","detail-type":"ECS Task State Change","source":"aws.ecs","detail":{}}`)
	})
}

// Lambda sends again all from the record on that failed. Those behind it, which were taken, are not doubled: neither messages
// nor lines.
func TestForwarderPoisonComesAgain(t *testing.T) {
	p, s3 := startWithS3(t)
	m := &eventMaker{T: t, s3: s3, mark: "again"}
	poison := m.message().Gzip()
	m.lines = m.lines[:0]
	var event struct{ Records []json.RawMessage }
	require.NoError(t, json.Unmarshal(awsevents.Kinesis(time.Now(),
		m.message().Gzip(), poison[:len(poison)-9], m.message().Gzip(), []byte(m.line()+"\n"+m.line()), m.message().JSON()), &event))
	assert.Equal(t, failed("2"), answerTo(t, p.function, mustJSON(t, event)))
	for range 2 {
		event.Records = event.Records[len(event.Records)-4:]
		assert.Equal(t, failed("2"), answerTo(t, p.function, mustJSON(t, event)))
	}
	p.untilSent()
	p.await(everything, len(m.lines))
	assert.Equal(t, len(m.lines), p.count(p.loki.LokiClient, everything))
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	content, err := json.Marshal(v)
	require.NoError(t, err)
	return content
}
