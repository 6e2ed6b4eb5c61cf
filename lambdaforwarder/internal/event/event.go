// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package event finds in the events that Lambda is invoked with what there is to forward.
//
// It looks at the few fields that tell one kind of event from another and ignores all others: AWS adds fields to its
// events without notice. Events may be inside others, as AWS nests them: an SQS message may hold an SNS notification,
// which holds one of S3.
package event

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// Source says how the function's answer tells of failures.
type Source int

const (
	// Whole events fail as a whole, by an error.
	Whole Source = iota
	// SQS batches name the messages that failed, by message id:
	// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
	SQS
	// Kinesis batches name the first record that failed, by sequence number, and all from there on come again:
	// https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
	Kinesis
)

// Event is what an event holds.
type Event struct {
	Source Source
	// Ordered says that after a failure nothing more of the batch is wanted: it is of a FIFO queue.
	Ordered bool
	// Items are in the event's order.
	Items []Item
	// Ignored is how many parts of the event there were with nothing to forward: S3's test events, removals, objects
	// without content, confirmations, lists of no records.
	Ignored int
}

// Item is one thing to forward: Err is set, or exactly one of Message, Record and Object.
type Item struct {
	// ID is what names the item in the answer: the id of the SQS message, of which several items may come, or the
	// sequence number of the Kinesis record. Empty where the event is Whole.
	ID string
	// Message is the gzip bytes of a subscription message.
	Message []byte
	Record  *Record
	Object  *Object
	// Err is a MalformedError or an UnsupportedError, which is of this item alone.
	Err error
}

// Record is a record of a Kinesis stream.
type Record struct {
	// Data is what was put into the stream: gzip where CloudWatch Logs puts its messages into it.
	Data           []byte
	SequenceNumber string
	// StreamARN and EventID may be empty. The latter is the shard's id and the sequence number.
	StreamARN, EventID string
	// Arrival is approximateArrivalTimestamp as it stands in the event, seconds as a JSON number. Empty: it does not.
	Arrival string
}

// IsGzip says whether the record's data begins as gzip does.
func (r *Record) IsGzip() bool { return isGzip(r.Data) }

// AppendDocument appends the record as a document of the forwarding protocol: as it stands in AWS's event, without what
// nobody reads.
func (r *Record) AppendDocument(dst []byte) []byte {
	dst = append(dst, `{"kinesis":{"sequenceNumber":`...)
	dst = appendString(dst, r.SequenceNumber)
	if r.Arrival != "" {
		dst = append(dst, `,"approximateArrivalTimestamp":`...)
		dst = append(dst, r.Arrival...)
	}
	dst = append(dst, `,"data":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, r.Data)
	dst = append(dst, `"},"eventSource":"aws:kinesis","eventID":`...)
	dst = appendString(dst, r.EventID)
	dst = append(dst, `,"eventSourceARN":`...)
	dst = appendString(dst, r.StreamARN)
	return append(dst, "}\n"...)
}

// appendString appends a JSON string. Names of AWS's need no escapes; what is in their place may.
func appendString(dst []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // which no string gives
		return append(dst, `""`...)
	}
	return append(dst, quoted...)
}

// Object is an object that was created in S3.
type Object struct {
	Bucket string
	// Key is the object's own, without escape sequences.
	Key string
	// VersionID is empty where the bucket has no versions.
	VersionID string
	// Region is the bucket's. Empty: the event does not say.
	Region string
	// Time is when the object was created. Zero: the event does not say.
	Time time.Time
}

// MalformedError is returned for an event that is cut short, damaged or lacks what its kind must have. It never holds any
// of the event's content.
type MalformedError struct{ problem string }

func (e *MalformedError) Error() string { return "malformed event: " + e.problem }

// UnsupportedError is returned for an event of a kind that is not forwarded. It names what tells the kind, and never holds
// other content of the event.
type UnsupportedError struct{ found string }

func (e *UnsupportedError) Error() string {
	return "unsupported event: found " + e.found +
		", want an event of CloudWatch Logs, Kinesis or S3, or one of these by EventBridge, SNS or SQS"
}
