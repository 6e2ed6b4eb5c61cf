// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fastjson"
)

const (
	// maxDepth bounds events inside events. AWS nests three deep.
	maxDepth = 8
	// maxCommas bounds what is parsed of an event inside another, since each value takes many times its own size. Where AWS
	// puts events into others there are a few dozen.
	maxCommas = 20_000
	// maxPooled is the size of a payload up to which its parser is used again.
	maxPooled = 1 << 20
)

var parsers = sync.Pool{New: func() any { return new(fastjson.Parser) }}

// Parse finds what the event in payload holds, in buffers of its own: payload is neither changed nor kept. Where all of
// the event is malformed or not supported, that is one item.
func Parse(payload []byte) Event {
	var e Event
	e.parse(payload, "", 0)
	return e
}

// parse adds what a payload at some depth of nesting holds. Its items get the given id.
func (e *Event) parse(payload []byte, id string, depth int) {
	if depth == maxDepth {
		e.fail(id, &MalformedError{problem: fmt.Sprintf("more than %d events inside each other", maxDepth)})
		return
	}
	if depth > 0 && bytes.Count(payload, []byte(",")) > maxCommas {
		e.fail(id, &MalformedError{problem: fmt.Sprintf("an event inside another has more than %d commas", maxCommas)})
		return
	}
	parser := parsers.Get().(*fastjson.Parser)
	if len(payload) <= maxPooled { // a parser keeps what it needed for the largest
		defer parsers.Put(parser)
	}
	root, err := parser.ParseBytes(payload)
	if err != nil {
		e.fail(id, &MalformedError{problem: jsonProblem(payload)})
		return
	}
	if root.Type() != fastjson.TypeObject {
		e.fail(id, &MalformedError{problem: fmt.Sprintf("its JSON type is %s, want object", root.Type())})
		return
	}
	p := part{event: e, id: id, depth: depth}
	p.object(root)
}

func (e *Event) fail(id string, err error) { e.Items = append(e.Items, Item{ID: id, Err: err}) }

// part is an event, or one inside another.
type part struct {
	event *Event
	id    string
	depth int
}

func (p part) fail(err error) { p.event.fail(p.id, err) }

func (p part) malformed(format string, args ...any) {
	p.fail(&MalformedError{problem: fmt.Sprintf(format, args...)})
}

func (p part) ignore() { p.event.Ignored++ }

func (p part) object(root *fastjson.Value) {
	if awslogs := member(root, "awslogs"); awslogs != nil {
		p.subscription(awslogs)
		return
	}
	if records := member(root, "Records"); records != nil && records.Type() == fastjson.TypeArray {
		p.records(records.GetArray())
		return
	}
	switch {
	case text(root, "source") == "aws.s3" && member(root, "detail-type") != nil:
		p.eventBridge(root)
	case text(root, "Event") == "s3:TestEvent":
		p.ignore()
	case text(root, "TopicArn") != "" && text(root, "Type") != "":
		p.notification(root)
	default:
		p.fail(&UnsupportedError{found: describe(root)})
	}
}

// subscription is an event of CloudWatch Logs.
// https://docs.aws.amazon.com/lambda/latest/dg/services-cloudwatchlogs.html
func (p part) subscription(awslogs *fastjson.Value) {
	data := member(awslogs, "data")
	if data == nil {
		p.malformed("`awslogs` has no `data`")
		return
	}
	encoded, ok := stringBytes(data)
	if !ok {
		p.malformed("the JSON type of `awslogs.data` is %s, want string", data.Type())
		return
	}
	message, err := decodeBase64("awslogs.data", encoded)
	if err == nil && !isGzip(message) {
		err = &MalformedError{problem: fmt.Sprintf("the %d bytes in `awslogs.data` are not gzip", len(message))}
	}
	if err != nil {
		p.fail(err)
		return
	}
	p.event.Items = append(p.event.Items, Item{ID: p.id, Message: message})
}

func (p part) records(records []*fastjson.Value) {
	if len(records) == 0 {
		p.ignore()
	}
	unknown := "" // the first of those that nothing is known of: there may be very many, and they are one failure
	for i, record := range records {
		switch source := recordSource(record); source {
		case "aws:s3":
			p.s3(record)
		case "aws:sqs":
			p.sqs(record)
		case "aws:sns":
			p.notification(member(record, "Sns"))
		case "aws:kinesis":
			p.kinesis(record)
		default:
			if unknown == "" {
				unknown = describeRecord(source, i+1, len(records))
			}
		}
	}
	if unknown != "" {
		p.fail(&UnsupportedError{found: unknown})
	}
}

// recordSource is what sent a record. SNS alone writes the key with a capital letter.
func recordSource(record *fastjson.Value) string {
	if source := text(record, "eventSource"); source != "" {
		return source
	}
	return text(record, "EventSource")
}

// s3 is a record of an event notification of S3.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func (p part) s3(record *fastjson.Value) {
	name := text(record, "eventName")
	if name == "" {
		p.malformed("the record of S3 has no `eventName`")
		return
	}
	object := member(member(record, "s3"), "object")
	// The names in notifications to some destinations begin with "s3:".
	if !strings.HasPrefix(strings.TrimPrefix(name, "s3:"), "ObjectCreated") || isEmpty(object) {
		p.ignore()
		return
	}
	key, err := url.QueryUnescape(text(object, "key"))
	if err != nil {
		p.malformed("`s3.object.key` is not encoded as in a URL's query")
		return
	}
	p.created(Object{
		Bucket:    text(member(member(record, "s3"), "bucket"), "name"),
		Key:       key,
		VersionID: text(object, "versionId"),
		Region:    text(record, "awsRegion"),
		Time:      parseTime(text(record, "eventTime")),
	})
}

// eventBridge is an event that S3 has sent to EventBridge, whose keys are not encoded.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
func (p part) eventBridge(root *fastjson.Value) {
	detail := member(root, "detail")
	object := member(detail, "object")
	if text(root, "detail-type") != "Object Created" || isEmpty(object) {
		p.ignore()
		return
	}
	p.created(Object{
		Bucket:    text(member(detail, "bucket"), "name"),
		Key:       text(object, "key"),
		VersionID: text(object, "version-id"),
		Region:    text(root, "region"),
		Time:      parseTime(text(root, "time")),
	})
}

func (p part) created(o Object) {
	switch {
	case o.Bucket == "":
		p.malformed("the bucket of the object has no `name`")
	case o.Key == "":
		p.malformed("the object has no `key`")
	case len(o.Bucket) > maxNameBytes || len(o.Key) > maxKeyBytes || len(o.VersionID) > maxKeyBytes:
		p.malformed("the object's bucket, key or version is longer than those of S3")
	case !isRegion(o.Region):
		p.malformed("the object's region is none of AWS's form")
	default:
		p.event.Items = append(p.event.Items, Item{ID: p.id, Object: &o})
	}
}

// What S3 has at most.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const (
	maxNameBytes = 255
	maxKeyBytes  = 1024
)

// isRegion also takes none.
func isRegion(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(name) <= maxIdentifierLength
}

// isEmpty says whether an object is known to have no content. A notification that does not say may be of one that has.
func isEmpty(object *fastjson.Value) bool {
	size := member(object, "size")
	if size == nil {
		return false
	}
	n, err := size.Int64()
	return err == nil && n == 0
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// sqs is a message of an SQS queue, whose body is another event.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func (p part) sqs(record *fastjson.Value) {
	if p.depth == 0 {
		p.event.Source = SQS
		p.id = text(record, "messageId")
		if p.id == "" {
			p.malformed("the message of SQS has no `messageId`")
			return
		}
		p.event.Ordered = p.event.Ordered || strings.HasSuffix(text(record, "eventSourceARN"), ".fifo")
	}
	body, ok := stringBytes(member(record, "body"))
	if !ok {
		p.malformed("the message of SQS has no `body`")
		return
	}
	p.event.parse(body, p.id, p.depth+1)
}

// notification is one of SNS: the member Sns of a record, or what SNS makes of a message for other destinations.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
func (p part) notification(sns *fastjson.Value) {
	switch kind := text(sns, "Type"); kind {
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		p.ignore()
	case "Notification", "":
		message, ok := stringBytes(member(sns, "Message"))
		if !ok {
			p.malformed("the notification of SNS has no `Message`")
			return
		}
		p.event.parse(message, p.id, p.depth+1)
	default:
		p.fail(&UnsupportedError{found: "a message of SNS that is no notification"})
	}
}

// kinesis is a record of a Kinesis stream.
// https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
func (p part) kinesis(record *fastjson.Value) {
	kinesis := member(record, "kinesis")
	if p.depth == 0 {
		p.event.Source = Kinesis
		p.id = text(kinesis, "sequenceNumber")
		if p.id == "" {
			p.malformed("the record of Kinesis has no `sequenceNumber`")
			return
		}
	}
	encoded, ok := stringBytes(member(kinesis, "data"))
	if !ok {
		p.malformed("the record of Kinesis has no `data`")
		return
	}
	data, err := decodeBase64("kinesis.data", encoded)
	if err != nil {
		p.fail(err)
		return
	}
	r := &Record{
		Data:           data,
		SequenceNumber: text(kinesis, "sequenceNumber"),
		StreamARN:      text(record, "eventSourceARN"),
		EventID:        text(record, "eventID"),
	}
	if arrival := member(kinesis, "approximateArrivalTimestamp"); arrival != nil && arrival.Type() == fastjson.TypeNumber {
		// fastjson takes more for numbers than JSON does.
		if number := arrival.MarshalTo(nil); json.Valid(number) {
			r.Arrival = string(number)
		}
	}
	p.event.Items = append(p.event.Items, Item{ID: p.id, Record: r})
}

// isGzip goes by RFC 1952, section 2.3.1: ID1, ID2 and the only compression method there is.
func isGzip(data []byte) bool {
	return len(data) >= 3 && data[0] == 0x1f && data[1] == 0x8b && data[2] == 8
}

// decodeBase64 decodes what a field holds, into a new buffer.
func decodeBase64(field string, encoded []byte) ([]byte, error) {
	data, err := base64.StdEncoding.AppendDecode(nil, encoded)
	if err == nil {
		return data, nil
	}
	problem := fmt.Sprintf("`%s` is not base64", field)
	if corrupt, ok := errors.AsType[base64.CorruptInputError](err); ok {
		problem = fmt.Sprintf("%s at byte %d of %d", problem, int64(corrupt), len(encoded))
	}
	return nil, &MalformedError{problem: problem}
}

// member returns the last member of that name, as encoding/json would, where fastjson's own Get returns the first. It is
// nil where there is none, and where object is none.
func member(object *fastjson.Value, name string) (found *fastjson.Value) {
	if object == nil {
		return nil
	}
	o, err := object.Object()
	if err != nil {
		return nil
	}
	o.Visit(func(key []byte, v *fastjson.Value) {
		if string(key) == name {
			found = v
		}
	})
	return found
}

// text returns a member that is a string, in memory of its own, or "".
func text(object *fastjson.Value, name string) string {
	s, _ := stringBytes(member(object, name))
	return string(s)
}

func stringBytes(v *fastjson.Value) ([]byte, bool) {
	if v == nil {
		return nil, false
	}
	s, err := v.StringBytes()
	return s, err == nil
}

// jsonProblem says where the JSON breaks. fastjson's errors quote the payload and must not be passed on.
func jsonProblem(payload []byte) string {
	var whole json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(payload, &whole)); ok {
		return fmt.Sprintf("not JSON at byte %d of %d", syntax.Offset, len(payload))
	}
	return fmt.Sprintf("not JSON that can be read, %d bytes", len(payload))
}
