// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package cloudwatch makes the documents that CloudWatch Logs sends to a subscription, and reads them back.
package cloudwatch

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// The types of Message.
const (
	DataMessage    = "DATA_MESSAGE"
	ControlMessage = "CONTROL_MESSAGE"
)

// Message is what CloudWatch Logs sends to a subscription: events of one log stream.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
type Message struct {
	MessageType         string   `json:"messageType"`
	Owner               string   `json:"owner"`
	LogGroup            string   `json:"logGroup"`
	LogStream           string   `json:"logStream"`
	SubscriptionFilters []string `json:"subscriptionFilters"`
	LogEvents           []Event  `json:"logEvents"`
}

// Event is one log event.
type Event struct {
	ID        string `json:"id"`        // 56 decimal digits
	Timestamp int64  `json:"timestamp"` // milliseconds since 1970
	Message   string `json:"message"`
}

// ErrNoSubscription is returned for a Lambda event that is not one of a CloudWatch Logs subscription.
var ErrNoSubscription = errors.New("no event of a CloudWatch Logs subscription")

type lambdaEvent struct {
	AWSLogs struct {
		Data []byte `json:"data"`
	} `json:"awslogs"`
}

// JSON returns the document as AWS writes it: on one line, with no character escaped that need not be.
func (m Message) JSON() []byte {
	return encode(m)
}

// Gzip returns the document compressed, as a Kinesis record or a request to the receiver has it.
func (m Message) Gzip() []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	// Writing to a buffer does not fail.
	_, _ = w.Write(m.JSON())
	_ = w.Close()
	return buf.Bytes()
}

// LambdaEvent returns the event that a Lambda function is invoked with.
func (m Message) LambdaEvent() []byte { return LambdaEvent(m) }

// LambdaEvent returns an event with several messages, a gzip member each. CloudWatch Logs sends one at a time, but
// whoever collects messages before handing them on may do so.
func LambdaEvent(messages ...Message) []byte {
	var e lambdaEvent
	for _, m := range messages {
		e.AWSLogs.Data = append(e.AWSLogs.Data, m.Gzip()...)
	}
	return encode(e)
}

// ParseLambdaEvent returns the document within an event that a Lambda function is invoked with.
func ParseLambdaEvent(event []byte) (Message, error) {
	var e lambdaEvent
	if err := json.Unmarshal(event, &e); err != nil {
		return Message{}, fmt.Errorf("event: %w", err)
	}
	if len(e.AWSLogs.Data) == 0 {
		return Message{}, ErrNoSubscription
	}
	r, err := gzip.NewReader(bytes.NewReader(e.AWSLogs.Data))
	if err != nil {
		return Message{}, fmt.Errorf("document of the event: %w", err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return Message{}, fmt.Errorf("document of the event: %w", err)
	}
	var m Message
	if err := json.Unmarshal(text, &m); err != nil {
		return Message{}, fmt.Errorf("document of the event: %w", err)
	}
	return m, nil
}

// Time returns the event's timestamp.
func (e Event) Time() time.Time { return time.UnixMilli(e.Timestamp).UTC() }

// encode returns the JSON of v, whose types can all be encoded, without the escapes that HTML needs.
func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
