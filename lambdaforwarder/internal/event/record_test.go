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
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/awsloki/awsloki/internal/awslogs"
)

const (
	firstSequence  = "49590338271490256608559692538361571095921575989136588898"
	secondSequence = "49590338271490256608559692540925702759324208523137515618"
	streamARN      = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
)

func TestKinesis(t *testing.T) {
	t.Parallel()
	e := Parse([]byte(example(t, "kinesis")))
	assert.Equal(t, Event{Source: Kinesis, Items: []Item{
		{ID: firstSequence, Record: &Record{
			Data: []byte("Hello, this is a test."), SequenceNumber: firstSequence, StreamARN: streamARN,
			EventID: "shardId-000000000006:" + firstSequence, Arrival: "1545084650.987",
		}},
		{ID: secondSequence, Record: &Record{
			Data: []byte("This is only a test."), SequenceNumber: secondSequence, StreamARN: streamARN,
			EventID: "shardId-000000000006:" + secondSequence, Arrival: "1545084711.166",
		}},
	}}, e)
}

// Whatever a record holds is the receiver's business.
func TestKinesisData(t *testing.T) {
	t.Parallel()
	f := func(data string, isGzip bool) {
		t.Helper()
		item := only(t, kinesisOf(fmt.Sprintf(`{"sequenceNumber":"7","data":%q}`, base64.StdEncoding.EncodeToString([]byte(data)))))
		require.NoError(t, item.Err)
		assert.Equal(t, "7", item.ID)
		assert.Equal(t, data, string(item.Record.Data))
		assert.Equal(t, isGzip, item.Record.IsGzip())
	}
	f("", false)
	f("a line\n", false)
	f(`{"messageType":"DATA_MESSAGE"}`, false)
	f("\x00\xff", false)
	f(string(message), true)
	f("\x1f\x8b", false)
	f("\x1f\x8b\x07", false)
}

// kinesisOf is an event of one record with this member kinesis.
func kinesisOf(kinesis string) string {
	const form = `{"Records":[{"eventSource":"aws:kinesis","eventID":"shard:7","eventSourceARN":%q,"kinesis":%s}]}`
	return fmt.Sprintf(form, streamARN, kinesis)
}

// Good records of a batch are none the worse for others.
func TestKinesisMixed(t *testing.T) {
	t.Parallel()
	record := func(kinesis string) string { return `{"eventSource":"aws:kinesis","kinesis":` + kinesis + `}` }
	e := Parse([]byte(`{"Records":[` + strings.Join([]string{
		record(`{"sequenceNumber":"1","data":"YQ=="}`),
		record(`{"sequenceNumber":"2","data":7}`),
		record(`{"sequenceNumber":"3","data":"?"}`),
		record(`{"data":"YQ=="}`),
		record(`{"sequenceNumber":"5","data":""}`),
	}, ",") + `]}`))
	checkInvariants(t, &e)
	assert.Equal(t, Kinesis, e.Source)
	require.Len(t, e.Items, 5)
	var ids []string
	for i, item := range e.Items {
		ids = append(ids, item.ID)
		assert.Equal(t, 1 <= i && i <= 3, item.Err != nil)
	}
	assert.Equal(t, []string{"1", "2", "3", "", "5"}, ids)
}

func TestArrival(t *testing.T) {
	t.Parallel()
	f := func(number, want string) {
		t.Helper()
		item := only(t, kinesisOf(`{"sequenceNumber":"7","data":"YQ==","approximateArrivalTimestamp":`+number+`}`))
		require.NoError(t, item.Err)
		assert.Equal(t, want, item.Record.Arrival)
	}
	f("1545084650.987", "1545084650.987")
	f("1545084650", "1545084650")
	f("1.545084650987E9", "1.545084650987E9")
	f("0", "0")
	f("-1.5", "-1.5")
	f("1e400", "1e400") // the receiver says what is wrong with it
	f("null", "")
	f(`"1545084650.987"`, "")
	f("{}", "")
	f("[1]", "")
	// fastjson takes these for numbers.
	f("nan", "")
	f("inf", "")
	f("01", "")
	f("1.", "")
	f("1-1", "")
	f("1e", "")
}

// A document has what the record has, whatever that is.
func TestAppendDocument(t *testing.T) {
	t.Parallel()
	f := func(r Record) {
		t.Helper()
		document := r.AppendDocument([]byte("before "))
		text, ok := strings.CutPrefix(string(document), "before ")
		require.True(t, ok)
		assert.Equal(t, 1, strings.Count(text, "\n"), "one line each")
		assert.True(t, strings.HasSuffix(text, "}\n"))
		var got struct {
			Kinesis struct {
				SequenceNumber string
				Data           *[]byte
				Arrival        *json.Number `json:"approximateArrivalTimestamp"`
			}
			EventSource, EventID, EventSourceARN string
		}
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&got))
		assert.Equal(t, "aws:kinesis", got.EventSource)
		// What is no UTF-8 is a replacement character a byte.
		assert.Equal(t, string([]rune(r.SequenceNumber)), got.Kinesis.SequenceNumber)
		assert.Equal(t, string([]rune(r.EventID)), got.EventID)
		assert.Equal(t, string([]rune(r.StreamARN)), got.EventSourceARN)
		require.NotNil(t, got.Kinesis.Data)
		assert.Equal(t, string(r.Data), string(*got.Kinesis.Data))
		if r.Arrival == "" {
			assert.Nil(t, got.Kinesis.Arrival)
		} else {
			require.NotNil(t, got.Kinesis.Arrival)
			assert.Equal(t, r.Arrival, got.Kinesis.Arrival.String())
		}
	}
	f(Record{})
	f(Record{Data: []byte("a line"), SequenceNumber: "7", StreamARN: streamARN, EventID: "shard:7", Arrival: "1545084650.987"})
	f(Record{Data: message, SequenceNumber: "7", Arrival: "1E400"})
	for _, odd := range []string{
		`"`, `\`, "\x00\x1f\x7f", "</script>&", "日本😀\u2028", "\xff\xfe", `","data":"x`, strings.Repeat("x", 1<<16),
	} {
		f(Record{Data: []byte(odd), SequenceNumber: odd, StreamARN: odd, EventID: odd})
	}
}

// The receiver reads the documents as records of Kinesis.
func TestDocumentsAreTheReceivers(t *testing.T) {
	t.Parallel()
	e := Parse([]byte(example(t, "kinesis")))
	var documents []byte
	for _, item := range e.Items {
		documents = item.Record.AppendDocument(documents)
	}
	batch, err := awslogs.DecodeSubscription(documents, awslogs.Options{MaxDecodedBytes: 1 << 20, ObservedAt: time.Unix(1, 0)})
	require.NoError(t, err)
	require.Len(t, batch.Documents, 2)
	record := batch.Logs.ResourceLogs().At(1).ScopeLogs().At(0).LogRecords().At(0)
	assert.Equal(t, "This is only a test.", record.Body().Str())
	assert.Equal(t, pcommon.Timestamp(1545084711_166_000_000), record.Timestamp())
	uid, _ := record.Attributes().Get(awslogs.AttributeLogRecordUID)
	assert.Equal(t, "shardId-000000000006:"+secondSequence+":1", uid.Str())
}
