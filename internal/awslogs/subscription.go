// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/jsonscan"
	"github.com/awsloki/awsloki/internal/memory"
)

// DecodeSubscription decodes the messages of a CloudWatch Logs subscription filter: one or many JSON documents one
// after another, plain or gzip, of one or many members.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
//
// A document may also be a record of a Kinesis stream, as it stands in the event that Lambda gets of it: an object with the
// key kinesis. Its data is messages, or else lines.
// https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
//
// Each document gives one resource, or one for each account and region that its events name. Control messages and
// documents without events give none. Fields that are not known are ignored, and keys may come in any order.
//
// Any error means that the whole of data is refused: it has decompress.ErrTooLarge in its chain, or what opts.Reserve
// returned, or else the data is malformed and the error names the document, counted from 1, and where in the decoded
// bytes it went wrong.
//
// The records alias data, which belongs to them from here on, also after an error.
func DecodeSubscription(data []byte, opts Options) (Batch, error) {
	buf, err := decompress.Gzip(data, opts.limits())
	if err != nil {
		return Batch{}, err
	}
	d := newSubscriptionDecoder(opts)
	d.takesRecords = true
	if err := d.decode(buf); err != nil {
		return Batch{}, err
	}
	return d.batch, nil
}

const (
	dataMessage    = "DATA_MESSAGE"
	controlMessage = "CONTROL_MESSAGE"
)

// Fields that CloudWatch Logs adds to events when the filter asks for them by emitSystemFields. They name the origin
// where a log group holds the events of many accounts.
const (
	accountField = "@aws.account"
	regionField  = "@aws.region"
)

type subscriptionDecoder struct {
	buf   []byte
	s     jsonscan.Scanner
	opts  Options
	batch Batch
	// staged has the resources of the document at hand, until it is known that they are wanted.
	staged plog.ResourceLogsSlice

	observedAt pcommon.Timestamp
	memory     memory.Allowance
	// originMemory is about what the resource of an origin takes.
	originMemory int64
	// takesRecords says that documents may be records of Kinesis.
	takesRecords bool
	message      subscriptionMessage
	event        logEvent
	// The callbacks of the scanner, made once and not for every document and event.
	onField, onEventField, onExtractedField, onRecordField func(key string) error
	onEvent, onFilter                                      func() error
}

// subscriptionMessage is the document at hand. Its events are staged by the time that its other fields are known, since
// keys may come in any order.
type subscriptionMessage struct {
	messageType, owner, logGroup, logStream, policyLevel string

	filters   []string
	hasEvents bool
	// events is how many of them were begun, and withoutID how many carry no id.
	events, withoutID int
	// start is where the document begins.
	start int
	// last is where the newest record went. Nearly every document has one origin only.
	last    *originRecords
	origins map[eventOrigin]*originRecords
	// record is what the document is if it is no message.
	record kinesisRecord
}

// eventOrigin is an account and a region of which a document has events. Both are empty where the events do not say.
type eventOrigin struct{ account, region string }

// originRecords is where the events of one origin go.
type originRecords struct {
	eventOrigin
	resource plog.ResourceLogs
	records  plog.LogRecordSlice
}

type logEvent struct {
	eventOrigin
	id, message string

	timestamp                int64
	hasTimestamp, hasMessage bool
	extracted                []extractedField
}

type extractedField struct{ name, value string }

// extractedMemory is about what the attributes of the extracted fields take, with their names, which are new strings.
func (e *logEvent) extractedMemory() int64 {
	var n int64
	for _, field := range e.extracted {
		n += attributeMemory + int64(len(extractedFieldPrefix)+len(field.name))
	}
	return n
}

// maxExtractedFields bounds what one event may carry, and maxOrigins the accounts and regions of one document: each has
// attributes of its own. A filter pattern, which names each field that it captures, has at most 1,024 characters.
const (
	maxExtractedFields = 64
	maxOrigins         = 1000
)

func newSubscriptionDecoder(opts Options) *subscriptionDecoder {
	d := &subscriptionDecoder{
		opts:         opts,
		batch:        Batch{Logs: plog.NewLogs()},
		staged:       plog.NewResourceLogsSlice(),
		observedAt:   pcommon.NewTimestampFromTime(opts.ObservedAt),
		memory:       memory.Allowance{Reserve: opts.Reserve},
		originMemory: resourceMemory,
		message:      subscriptionMessage{origins: map[eventOrigin]*originRecords{}},
	}
	d.onField, d.onEventField, d.onExtractedField, d.onRecordField = d.field, d.eventField, d.extractedField, d.recordField
	d.onEvent, d.onFilter = d.logEvent, d.filter
	return d
}

// decode adds the documents of buf to the batch, and its size.
func (d *subscriptionDecoder) decode(buf []byte) error {
	d.batch.DecodedBytes += len(buf)
	return d.documents(buf)
}

func (d *subscriptionDecoder) documents(buf []byte) error {
	d.buf, d.s = buf, jsonscan.New(buf)
	documents := 0
	for !d.s.Done() {
		documents++
		if err := d.document(); err != nil {
			return fmt.Errorf("document %d: %w", documents, err)
		}
	}
	if documents == 0 {
		return errors.New("no document")
	}
	return nil
}

func (d *subscriptionDecoder) document() error {
	d.message = subscriptionMessage{
		filters: d.message.filters[:0],
		origins: d.message.origins,
		start:   d.s.Offset(),
	}
	clear(d.message.origins)
	d.s.Mark()
	if err := d.s.Object(d.onField); err != nil {
		return err
	}
	if d.message.record.found {
		return d.finishRecord()
	}
	switch m := &d.message; m.messageType {
	case dataMessage:
		return d.finishData()
	case controlMessage:
		d.batch.ControlMessages++
		d.discard()
		return nil
	case "":
		return errors.New("messageType is missing")
	default:
		return errors.New("messageType is neither " + dataMessage + " nor " + controlMessage)
	}
}

func (d *subscriptionDecoder) field(key string) (err error) {
	m := &d.message
	switch key {
	case "messageType":
		m.messageType, err = d.s.OptionalStr()
	case "owner":
		m.owner, err = d.s.OptionalStr()
	case "logGroup":
		m.logGroup, err = d.s.OptionalStr()
	case "logStream":
		m.logStream, err = d.s.OptionalStr()
	case "policyLevel":
		m.policyLevel, err = d.s.OptionalStr()
	case "subscriptionFilters":
		if !d.s.Null() {
			err = d.s.Array(d.onFilter)
		}
	case "logEvents":
		m.hasEvents = true
		err = d.s.Array(d.onEvent)
	case keyKinesis, keyEventID, keyEventSource:
		err = d.outerRecordField(key)
	default:
		key = "a field that is not known" // keeps somebody's key out of the error
		err = d.s.Skip()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// maxFilters bounds the filters that one document names. A log group may have two, and an account one policy.
const maxFilters = 64

func (d *subscriptionDecoder) filter() error {
	if len(d.message.filters) == maxFilters {
		return d.s.Errorf("more than %d filters", maxFilters)
	}
	name, err := d.s.Str()
	d.message.filters = append(d.message.filters, name)
	return err
}

// finishData checks the document and sets the attributes of its resources.
func (d *subscriptionDecoder) finishData() error {
	m := &d.message
	switch {
	case m.owner == "":
		return errors.New("owner is missing")
	case m.logGroup == "":
		return errors.New("logGroup is missing")
	case m.logStream == "":
		return errors.New("logStream is missing")
	case !m.hasEvents:
		return errors.New("logEvents is missing")
	}
	if m.logGroup == d.opts.ExcludeLogGroup {
		d.batch.ExcludedRecords += d.discard()
		return nil
	}
	if m.events == 0 {
		return nil
	}
	if err := d.memory.Take(documentMemory + int64(d.staged.Len()*len(m.filters)*nameMemory)); err != nil {
		return err
	}
	d.batch.Documents = append(d.batch.Documents, Document{ID: d.id(), Resources: d.staged.Len(), Records: m.events})
	for _, o := range m.origins {
		d.setResource(o)
		if strings.HasPrefix(m.logGroup, lambdaLogGroupPrefix) {
			setLambdaSeverities(o.records)
		}
	}
	d.staged.MoveAndAppendTo(d.batch.Logs.ResourceLogs())
	return nil
}

// id is that of the document at hand: of its bytes as the scanner leaves them, which has unescaped strings in place, and
// of what it has changed.
func (d *subscriptionDecoder) id() ID {
	m := &d.message
	if m.events == 0 || m.withoutID > 0 {
		return ID{}
	}
	return newID(d.buf[m.start:d.s.Offset()], d.s.Edits())
}

func (d *subscriptionDecoder) setResource(o *originRecords) {
	m := &d.message
	attrs := o.resource.Resource().Attributes()
	attrs.EnsureCapacity(9)
	attrs.PutStr(AttributeCloudProvider, providerAWS)
	attrs.PutStr(AttributeCloudAccountID, firstNonEmpty(o.account, m.owner))
	if region := firstNonEmpty(o.region, d.opts.Region); region != "" {
		attrs.PutStr(AttributeCloudRegion, region)
	}
	attrs.PutStr(AttributeServiceName, serviceName(m.logGroup))
	attrs.PutStr(AttributeLogType, TypeCloudWatch)
	attrs.PutEmptySlice(AttributeLogGroupNames).AppendEmpty().SetStr(m.logGroup)
	attrs.PutEmptySlice(AttributeLogStreamNames).AppendEmpty().SetStr(m.logStream)
	if len(m.filters) > 0 {
		names := attrs.PutEmptySlice(AttributeSubscriptionFilterNames)
		for _, name := range m.filters {
			names.AppendEmpty().SetStr(name)
		}
	}
	if m.policyLevel != "" {
		attrs.PutStr(AttributePolicyLevel, m.policyLevel)
	}
}

func setLambdaSeverities(records plog.LogRecordSlice) {
	for i := range records.Len() {
		record := records.At(i)
		number, text := lambdaSeverity(record.Body().Str())
		if number == plog.SeverityNumberUnspecified {
			continue
		}
		record.SetSeverityNumber(number)
		record.SetSeverityText(text)
	}
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// discard drops the records of the document at hand and returns how many there were.
func (d *subscriptionDecoder) discard() (records int) {
	for _, o := range d.message.origins {
		records += o.records.Len()
	}
	d.staged = plog.NewResourceLogsSlice()
	return records
}

func (d *subscriptionDecoder) logEvent() error {
	d.message.events++
	d.event = logEvent{extracted: d.event.extracted[:0]}
	err := d.s.Object(d.onEventField)
	switch e := &d.event; {
	case err != nil:
	case !e.hasTimestamp:
		err = errors.New("timestamp is missing")
	case !e.hasMessage:
		err = errors.New("message is missing")
	default:
		err = d.appendRecord()
	}
	if err != nil {
		return fmt.Errorf("event %d: %w", d.message.events, err)
	}
	return nil
}

func (d *subscriptionDecoder) eventField(key string) (err error) {
	e := &d.event
	switch key {
	case "id":
		e.id, err = d.s.OptionalStr()
	case "timestamp":
		e.timestamp, err = d.s.Integer()
		e.hasTimestamp = true
		if err == nil && e.timestamp > maxMilliseconds {
			err = d.s.Errorf("timestamp out of range")
		}
	case "message":
		e.message, err = d.s.Str()
		e.hasMessage = true
	case "extractedFields":
		if !d.s.Null() {
			err = d.s.Object(d.onExtractedField)
		}
	default:
		err = d.s.Skip()
	}
	return err
}

// extractedField reads one field that the filter captured. Fields of a space-delimited pattern without names are
// called $1, $2 and so on.
func (d *subscriptionDecoder) extractedField(key string) error {
	if d.s.Peek() != '"' {
		return d.s.Skip()
	}
	value, err := d.s.Str()
	switch e := &d.event; key {
	case accountField:
		e.account = value
	case regionField:
		e.region = value
	default:
		if len(e.extracted) == maxExtractedFields {
			return d.s.Errorf("more than %d extracted fields", maxExtractedFields)
		}
		e.extracted = append(e.extracted, extractedField{strings.TrimPrefix(key, "$"), value})
	}
	return err
}

func (d *subscriptionDecoder) appendRecord() error {
	e := &d.event
	if err := d.memory.Take(recordMemory + e.extractedMemory()); err != nil {
		return err
	}
	if e.id == "" {
		d.message.withoutID++
	}
	records, err := d.recordsOf(e.eventOrigin)
	if err != nil {
		return err
	}
	record := records.AppendEmpty()
	record.SetTimestamp(newTimestamp(e.timestamp))
	record.SetObservedTimestamp(d.observedAt)
	record.Body().SetStr(strings.TrimSuffix(e.message, "\n"))
	if e.id == "" && len(e.extracted) == 0 {
		return nil
	}
	attrs := record.Attributes()
	attrs.EnsureCapacity(1 + len(e.extracted))
	if e.id != "" {
		attrs.PutStr(AttributeLogRecordUID, e.id)
	}
	for _, field := range e.extracted {
		attrs.PutStr(extractedFieldPrefix+field.name, field.value)
	}
	return nil
}

// recordsOf returns where the events of an origin go.
func (d *subscriptionDecoder) recordsOf(origin eventOrigin) (plog.LogRecordSlice, error) {
	m := &d.message
	if m.last != nil && m.last.eventOrigin == origin {
		return m.last.records, nil
	}
	o, ok := m.origins[origin]
	if !ok {
		if len(m.origins) == maxOrigins {
			return plog.LogRecordSlice{}, d.s.Errorf("more than %d accounts and regions", maxOrigins)
		}
		if err := d.memory.Take(d.originMemory); err != nil {
			return plog.LogRecordSlice{}, err
		}
		resource := d.staged.AppendEmpty()
		o = &originRecords{origin, resource, resource.ScopeLogs().AppendEmpty().LogRecords()}
		m.origins[origin] = o
	}
	m.last = o
	return o.records, nil
}
