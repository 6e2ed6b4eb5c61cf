// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/awsloki/awsloki/internal/decompress"
)

// Keys of the record of a Kinesis stream, as Lambda gets it.
const (
	keyKinesis     = "kinesis"
	keyEventID     = "eventID"
	keyEventSource = "eventSourceARN"
)

// Bounds of what is in the id of every line, and of the stream's name. AWS has 129 digits for a sequence number, 128
// characters for a shard, and 2048 for an ARN.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html
const (
	maxSequenceNumber = 129
	maxEventID        = 128 + len(":") + maxSequenceNumber
	maxARN            = 2048
)

// kinesisRecord is a record of a Kinesis stream.
type kinesisRecord struct {
	// found says that the document at hand is one.
	found bool
	// eventID is the shard and the sequence number.
	source, eventID, sequenceNumber string
	// data is base64. nil: there is none.
	data []byte
	// arrived is zero where the record does not say.
	arrived pcommon.Timestamp
}

// outerRecordField reads a field that stands beside a record's data, and is not known in a message: there it is passed
// over, and leaves the document as it is.
func (d *subscriptionDecoder) outerRecordField(key string) (err error) {
	r := &d.message.record
	switch next := d.s.Peek(); {
	case !d.takesRecords:
	case key == keyKinesis && next == '{':
		r.found = true
		return d.s.Object(d.onRecordField)
	case key == keyEventID && next == '"':
		r.eventID, err = d.s.Key()
		return err
	case key == keyEventSource && next == '"':
		r.source, err = d.s.Key()
		return err
	}
	return d.s.Skip()
}

func (d *subscriptionDecoder) recordField(key string) (err error) {
	r := &d.message.record
	switch key {
	case "data":
		r.data, err = d.s.Bytes()
	case "sequenceNumber":
		r.sequenceNumber, err = d.s.Str()
	case "approximateArrivalTimestamp":
		r.arrived, err = d.arrivalTime()
	default:
		key = "a field that is not known"
		err = d.s.Skip()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// arrivalTime reads seconds with a fraction, of which milliseconds are exact.
func (d *subscriptionDecoder) arrivalTime() (pcommon.Timestamp, error) {
	if d.s.Null() {
		return 0, nil
	}
	if c := d.s.Peek(); c != '-' && (c < '0' || '9' < c) {
		return 0, d.s.Errorf("expected a number")
	}
	start := d.s.Offset()
	if err := d.s.Skip(); err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseFloat(string(d.buf[start:d.s.Offset()]), 64)
	milliseconds := math.Round(seconds * 1000)
	if err != nil || milliseconds < 0 || milliseconds > float64(maxMilliseconds) {
		return 0, d.s.Errorf("out of range")
	}
	return newTimestamp(int64(milliseconds)), nil
}

// finishRecord decodes the data of the record at hand.
func (d *subscriptionDecoder) finishRecord() error {
	if d.staged.Len() > 0 {
		d.discard()
	}
	r := d.message.record
	switch {
	case r.data == nil:
		return errors.New("kinesis: data is missing")
	case r.sequenceNumber == "":
		return errors.New("kinesis: sequenceNumber is missing")
	case len(r.sequenceNumber) > maxSequenceNumber:
		return fmt.Errorf("kinesis: sequenceNumber has more than %d bytes", maxSequenceNumber)
	case r.source == "":
		return errors.New("eventSourceARN is missing")
	case len(r.source) > maxARN:
		return fmt.Errorf("eventSourceARN has more than %d bytes", maxARN)
	case len(r.eventID) > maxEventID:
		return fmt.Errorf("eventID has more than %d bytes", maxEventID)
	}
	if err := d.decodeRecord(&r); err != nil {
		return fmt.Errorf("kinesis: data: %w", err)
	}
	return nil
}

func (d *subscriptionDecoder) decodeRecord(r *kinesisRecord) error {
	data, err := decodeBase64(r.data)
	if err != nil {
		return err
	}
	content, err := d.inflate(data)
	if err != nil {
		return err
	}
	if !isSubscription(content) {
		return d.appendLines(r, data, content)
	}
	buf, s := d.buf, d.s
	d.takesRecords = false // a record holds no record
	err = d.documents(content)
	d.takesRecords = true
	d.buf, d.s = buf, s
	return err
}

// inflate returns what a record's data holds. All that a payload decodes to counts.
func (d *subscriptionDecoder) inflate(data []byte) ([]byte, error) {
	if !decompress.IsGzip(data) {
		return data, nil
	}
	limits := d.opts.limits()
	limits.MaxBytes -= int64(d.batch.DecodedBytes)
	content, err := decompress.Gzip(data, limits)
	if errors.Is(err, decompress.ErrTooLarge) {
		return nil, fmt.Errorf("%w: the documents decode to more than %d bytes", decompress.ErrTooLarge, d.opts.MaxDecodedBytes)
	}
	d.batch.DecodedBytes += len(content)
	return content, err
}

// appendLines makes a document of the lines of content, which is what the data of a record holds.
func (d *subscriptionDecoder) appendLines(r *kinesisRecord, data, content []byte) error {
	prefix := r.sequenceNumber + ":"
	if strings.HasSuffix(r.eventID, ":"+r.sequenceNumber) {
		prefix = r.eventID + ":"
	}
	arrived := cmp.Or(r.arrived, d.observedAt)
	for number, line := range linesOf(content) {
		if d.staged.Len() == 0 {
			if err := d.memory.Take(resourceMemory + documentMemory + int64(len(prefix))); err != nil {
				return err
			}
			d.staged.AppendEmpty().ScopeLogs().AppendEmpty()
		}
		if err := d.memory.Take(lineMemory(prefix)); err != nil {
			return err
		}
		record := appendLine(d.staged.At(0).ScopeLogs().At(0).LogRecords(), line, prefix, number)
		record.SetTimestamp(cmp.Or(realTimeLogTime(line), arrived))
		record.SetObservedTimestamp(d.observedAt)
	}
	if d.staged.Len() == 0 {
		return nil
	}
	lines := d.staged.At(0)
	source := parseARN(r.source)
	region := cmp.Or(source.region, d.opts.Region)
	setLinesResource(lines.Resource().Attributes(), TypeKinesis, source.account, region, source.streamName())
	d.batch.Documents = append(d.batch.Documents, Document{
		ID: r.id(data), Resources: 1, Records: lines.ScopeLogs().At(0).LogRecords().Len(),
	})
	d.staged.MoveAndAppendTo(d.batch.Logs.ResourceLogs())
	return nil
}

// streamName is the name of a Kinesis stream, of which a consumer may have an ARN of its own.
func (a arn) streamName() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(a.resource, "stream/"), "/")
	return name
}

// id tells a record from those of other streams and from others that hold the same.
func (r *kinesisRecord) id(data []byte) ID {
	place := make([]byte, 0, maxARN)
	for _, s := range []string{keyKinesis, r.source, r.sequenceNumber} {
		place = append(binary.AppendUvarint(place, uint64(len(s))), s...)
	}
	return newID(data, xxh3.Hash(place))
}

// realTimeLogTime is the time of a line of CloudFront's real-time logs: seconds since the epoch and milliseconds in ten
// and three digits, and a tab. Zero: the line does not begin so.
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/real-time-logs.html
func realTimeLogTime(line []byte) pcommon.Timestamp {
	const form = "1607374005.123\t"
	if len(line) < len(form) || line[0] == '0' {
		return 0
	}
	var milliseconds int64
	for i := range len(form) {
		switch c := line[i]; form[i] {
		case '.', '\t':
			if c != form[i] {
				return 0
			}
		default:
			if c < '0' || '9' < c {
				return 0
			}
			milliseconds = milliseconds*10 + int64(c-'0')
		}
	}
	if milliseconds > maxMilliseconds {
		return 0
	}
	return newTimestamp(milliseconds)
}
