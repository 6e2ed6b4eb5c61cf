// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/jsonscan"
)

// MaxFirehoseBody is the most that Firehose sends in one request, before compression.
// https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
const MaxFirehoseBody = 64 << 20

const (
	// maxFirehoseRecords is ten times as many as Firehose sends in one request.
	maxFirehoseRecords = 100_000
	// A portion of a request ends with the record that fills maxPortionBytes or maxPortionRecords.
	maxPortionBytes   = 16 << 20
	maxPortionRecords = 1 << 16
	// maxRequestID is the length of the longest id that is taken for one: it is in the id of every line. AWS's is a UUID.
	maxRequestID = 256
	// maxFirehoseRatio is how many times Options.MaxDecodedBytes all records of a request may decode to.
	maxFirehoseRatio = 16
)

// Bounds of the common attributes, as AWS has them, in characters.
const (
	maxCommonAttributes     = 50
	maxCommonAttributeName  = 256
	maxCommonAttributeValue = 1024
)

// FirehoseHeader is what the headers of a request say.
type FirehoseHeader struct {
	// RequestID is that of X-Amz-Firehose-Request-Id. Empty: the body's own is taken.
	RequestID string
	// SourceARN is that of the delivery stream, X-Amz-Firehose-Source-Arn.
	SourceARN string
	// CommonAttributes is the JSON of X-Amz-Firehose-Common-Attributes. Empty: none.
	CommonAttributes string
}

// FirehoseRequest is a request of Firehose's HTTP endpoint delivery. Its records may hold subscription messages, gzip or
// plain, one or many, or lines, and are decoded in portions: with compression they may be much larger than the request.
// https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
type FirehoseRequest struct {
	opts      Options
	id        string
	source    arn
	timestamp pcommon.Timestamp
	common    []extractedField
	records   [][]byte
	// counted is up to which record decoded counts bytes.
	counted int
	decoded int64
}

// ParseFirehose reads a request up to its records, plain or gzip, which it finds but leaves as they are. Errors are as
// those of DecodeSubscription; they say which record, counted from 1. The request keeps body, which belongs to it from here
// on.
func ParseFirehose(body []byte, header FirehoseHeader, opts Options) (*FirehoseRequest, error) {
	buf, err := decompress.Gzip(body, decompress.Limits{MaxBytes: MaxFirehoseBody, Reserve: opts.Reserve})
	if err != nil {
		return nil, err
	}
	r := &FirehoseRequest{opts: opts, source: parseARN(header.SourceARN), timestamp: pcommon.NewTimestampFromTime(opts.ObservedAt)}
	if r.opts.Region == "" {
		r.opts.Region = r.source.region
	}
	if err := r.parseCommonAttributes(header.CommonAttributes); err != nil {
		return nil, fmt.Errorf("common attributes: %w", err)
	}
	if err := r.parse(buf); err != nil {
		return nil, err
	}
	switch {
	case r.id == "":
		r.id = header.RequestID
	case header.RequestID != "" && header.RequestID != r.id:
		return nil, errors.New("requestId is not that of the header")
	}
	switch {
	case r.id == "":
		return nil, errors.New("requestId is missing")
	case len(r.id) > maxRequestID:
		return nil, fmt.Errorf("requestId has more than %d bytes", maxRequestID)
	}
	return r, nil
}

// ID is the id of the request, which is the same when Firehose sends it again.
func (r *FirehoseRequest) ID() string { return r.id }

// Records is how many records there are.
func (r *FirehoseRequest) Records() int { return len(r.records) }

func (r *FirehoseRequest) parseCommonAttributes(header string) error {
	if header == "" {
		return nil
	}
	s := jsonscan.New([]byte(header))
	err := s.Object(func(key string) error {
		if key != "commonAttributes" || s.Peek() != '{' {
			return s.Skip()
		}
		return s.Object(func(name string) error {
			value, err := s.Str()
			switch {
			case err != nil:
				return err
			case len(r.common) == maxCommonAttributes:
				return s.Errorf("more than %d", maxCommonAttributes)
			case utf8.RuneCountInString(name) > maxCommonAttributeName:
				return s.Errorf("a name of more than %d characters", maxCommonAttributeName)
			case utf8.RuneCountInString(value) > maxCommonAttributeValue:
				return s.Errorf("a value of more than %d characters", maxCommonAttributeValue)
			case name == "":
				return nil
			}
			r.common = append(r.common, extractedField{name, value})
			return nil
		})
	})
	if err == nil && !s.Done() {
		err = s.Errorf("expected the end")
	}
	return err
}

func (r *FirehoseRequest) parse(buf []byte) error {
	s := jsonscan.New(buf)
	hasRecords := false
	err := s.Object(func(key string) (err error) {
		switch key {
		case "requestId":
			r.id, err = s.OptionalStr()
		case "timestamp":
			err = r.parseTimestamp(&s)
		case "records":
			hasRecords = true
			err = s.Array(func() error { return r.parseRecord(&s) })
		default:
			key = "a field that is not known" // keeps somebody's key out of the error
			err = s.Skip()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !s.Done():
		return s.Errorf("expected the end")
	case !hasRecords:
		return errors.New("records is missing")
	}
	return nil
}

func (r *FirehoseRequest) parseTimestamp(s *jsonscan.Scanner) error {
	milliseconds, err := s.Integer()
	if err == nil && milliseconds > maxMilliseconds {
		return s.Errorf("out of range")
	}
	r.timestamp = newTimestamp(milliseconds)
	return err
}

func (r *FirehoseRequest) parseRecord(s *jsonscan.Scanner) error {
	number := len(r.records) + 1
	if number > maxFirehoseRecords {
		return s.Errorf("more than %d records", maxFirehoseRecords)
	}
	var data []byte
	err := s.Object(func(key string) (err error) {
		if key != "data" {
			return s.Skip()
		}
		data, err = s.Bytes()
		if data == nil {
			data = []byte{}
		}
		return err
	})
	if err == nil && data == nil {
		err = errors.New("data is missing")
	}
	if err == nil {
		if data, err = decodeBase64(data); err != nil {
			err = fmt.Errorf("data is %w", err)
		}
	}
	if err != nil {
		return fmt.Errorf("record %d: %w", number, err)
	}
	r.records = append(r.records, data)
	return nil
}

// decodeBase64 decodes data where it stands: what it stands for is shorter.
func decodeBase64(data []byte) ([]byte, error) {
	n, err := base64.StdEncoding.Decode(data, data)
	if err != nil {
		return nil, errors.New("not base64")
	}
	return data[:n], nil
}

// Decode decodes a portion of the records, from the one at the given index up to, but without, the one that it returns:
// Records at the end. The same index gives the same batch another time.
//
// Subscription messages are documents as they are by DecodeSubscription. All lines together are one more document, told
// apart by the request's id.
func (r *FirehoseRequest) Decode(from int) (batch Batch, next int, err error) {
	p := newPortion(r, from)
	next, err = p.decode(from)
	if err != nil {
		return Batch{}, next, err
	}
	return p.finish(), next, nil
}

// Check says whether Decode would fail, with less effort.
func (r *FirehoseRequest) Check(from int) (next int, err error) {
	p := newPortion(r, from)
	p.dry = true
	return p.decode(from)
}

// firehosePortion decodes some of the records of a request.
type firehosePortion struct {
	request  *FirehoseRequest
	messages *subscriptionDecoder
	// lines is the resource of those that are no message. It is staged until all messages are decoded.
	lines   plog.ResourceLogs
	records plog.LogRecordSlice
	// dry portions are of no interest beyond whether they can be decoded.
	dry bool
	// count is how many log records there are.
	count int
	// seen is a hash of the request's id, of where the portion begins, and of its records up to the one at hand.
	seen xxh3.Hasher
}

func newPortion(r *FirehoseRequest, from int) *firehosePortion {
	lines := plog.NewResourceLogs()
	p := &firehosePortion{
		request:  r,
		messages: newSubscriptionDecoder(r.opts),
		lines:    lines,
		records:  lines.ScopeLogs().AppendEmpty().LogRecords(),
	}
	p.messages.originMemory += int64(len(r.common) * attributeMemory)
	p.see([]byte(r.id), from)
	return p
}

// see adds data, and a number that goes with it, to what the portion's documents are told apart by.
func (p *firehosePortion) see(data []byte, number int) {
	var head [16]byte
	binary.LittleEndian.PutUint64(head[:], uint64(len(data)))
	binary.LittleEndian.PutUint64(head[8:], uint64(number))
	_, _ = p.seen.Write(head[:])
	_, _ = p.seen.Write(data)
}

func (p *firehosePortion) decode(from int) (next int, err error) {
	r := p.request
	for next = from; next < len(r.records) && !p.full(); next++ {
		if err := p.record(next); err != nil {
			return next, fmt.Errorf("record %d: %w", next+1, err)
		}
	}
	if from == r.counted {
		r.counted = next
		r.decoded += int64(p.messages.batch.DecodedBytes)
	}
	if r.decoded > maxFirehoseRatio*r.opts.MaxDecodedBytes {
		return next, fmt.Errorf("%w: the records decode to more than %d times %d bytes",
			decompress.ErrTooLarge, maxFirehoseRatio, r.opts.MaxDecodedBytes)
	}
	return next, nil
}

func (p *firehosePortion) full() bool {
	return p.messages.batch.DecodedBytes >= maxPortionBytes || p.count >= maxPortionRecords
}

func (p *firehosePortion) record(index int) error {
	data := p.request.records[index]
	p.see(data, index)
	content, err := decompress.Gzip(data, p.request.opts.limits())
	if err != nil {
		return err
	}
	if !isSubscription(content) {
		p.messages.batch.DecodedBytes += len(content)
		return p.appendLines(content, index)
	}
	if len(data) > 0 && &data[0] == &content[0] {
		if err := p.messages.memory.Take(int64(len(content))); err != nil {
			return err
		}
		content = bytes.Clone(content) // messages are decoded in place, and data may be decoded again
	}
	before := len(p.messages.batch.Documents)
	if err := p.messages.decode(content); err != nil {
		return err
	}
	for i := range p.messages.batch.Documents[before:] {
		document := &p.messages.batch.Documents[before+i]
		p.count += document.Records
		if document.ID == (ID{}) && document.Records > 0 {
			seen := p.seen.Sum128().Bytes()
			document.ID = newID(seen[:], uint64(i))
		}
	}
	return nil
}

// isSubscription says whether data holds messages of a subscription filter: it is an object with their type, their events
// and one of the names that they carry, or begins so. Anything else is lines, also if it is JSON, and also if it is broken:
// the lines of a program may be anything, and one of them must not hold up all others.
func isSubscription(data []byte) bool {
	s := jsonscan.New(data)
	if s.Peek() != '{' {
		return false
	}
	var hasType, hasName, hasEvents bool
	_ = s.Object(func(key string) error {
		switch key {
		case "messageType":
			if s.Peek() != '"' {
				return errFound
			}
			raw, _, err := s.Raw()
			hasType = string(raw) == dataMessage || string(raw) == controlMessage
			return err
		case "owner", "logGroup", "logStream":
			hasName = true
		case "logEvents":
			hasEvents = s.Peek() == '['
		}
		if hasType && hasName && hasEvents {
			return errFound
		}
		return s.Skip()
	})
	return hasType && hasName && hasEvents
}

// errFound ends a scan that knows enough.
var errFound = errors.New("found")

func (p *firehosePortion) appendLines(data []byte, index int) error {
	prefix := p.request.id + ":" + strconv.Itoa(index+1) + ":"
	observedAt := pcommon.NewTimestampFromTime(p.request.opts.ObservedAt)
	for number, line := range linesOf(data) {
		p.count++
		if err := p.messages.memory.Take(lineMemory(prefix)); err != nil {
			return err
		}
		if p.dry {
			continue
		}
		record := appendLine(p.records, line, prefix, number)
		record.SetTimestamp(p.request.timestamp)
		record.SetObservedTimestamp(observedAt)
	}
	return nil
}

// finish puts the lines, if any, behind the messages.
func (p *firehosePortion) finish() Batch {
	batch := p.messages.batch
	if p.records.Len() > 0 {
		r := p.request
		name := strings.TrimPrefix(r.source.resource, "deliverystream/")
		setLinesResource(p.lines.Resource().Attributes(), TypeFirehose, r.source.account, r.opts.Region, name)
		batch.Documents = append(batch.Documents, Document{ID: p.seen.Sum128().Bytes(), Resources: 1, Records: p.records.Len()})
		p.lines.MoveTo(batch.Logs.ResourceLogs().AppendEmpty())
	}
	for _, rl := range batch.Logs.ResourceLogs().All() {
		attrs := rl.Resource().Attributes()
		for _, attribute := range p.request.common {
			putNew(attrs, attribute.name, attribute.value)
		}
	}
	return batch
}
