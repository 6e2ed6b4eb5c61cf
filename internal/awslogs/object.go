// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/jsonscan"
)

// Object is what there is to know about an object in S3 besides its bytes.
type Object struct {
	Bucket, Key string
	// ETag is S3's, the same as long as the object's bytes are. Quotation marks around it are removed, which belong to the
	// HTTP header and not to the value. Empty: not known; then records have no ids, and no piece is known to be a repeat.
	// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
	ETag string
	// EventTime is when the object was delivered. Zero: not known, and Options.ObservedAt stands for it.
	EventTime time.Time
	// Skip is how many records, from the first, are not wanted, since the pipeline has them.
	Skip int
}

// ObjectReader reads the records of an object in S3 piece by piece. See NewObjectReader. Not to be used by several
// goroutines at once.
type ObjectReader struct {
	object Object
	opts   Options
	body   *decompress.Reader
	pieces *pieceReader
	// timestamp is that of every record.
	timestamp, observedAt pcommon.Timestamp
	// identity tells the object from others, in the ids of its pieces.
	identity []byte
	reserved bool
	// line and record are how many there were up to here.
	line, record int
	// last is the piece that Next returned last, and the line and the record before it.
	last struct {
		piece
		line, record int
	}
	err error
}

// NewObjectReader returns a reader of the records in body: the lines of one object, plain or gzip, of one or many
// members and up to two layers, as its first bytes say and not its key. Body is read only as pieces are asked for, and
// memory does not depend on how much there is.
//
// A line ends with LF or CRLF, the last one also without. Each is a record, but for empty lines.
//
// Of opts, MaxDecodedBytes is the most that one line may have, with its end. Reserve is asked once for what one piece
// takes, at the first call of Next, and again only for lines that are longer than all before them.
func NewObjectReader(body io.Reader, object Object, opts Options) *ObjectReader {
	object.ETag = strings.TrimSuffix(strings.TrimPrefix(object.ETag, `"`), `"`)
	if object.EventTime.IsZero() {
		object.EventTime = opts.ObservedAt
	}
	r := &ObjectReader{
		object:     object,
		opts:       opts,
		body:       decompress.NewReader(body),
		timestamp:  pcommon.NewTimestampFromTime(object.EventTime),
		observedAt: pcommon.NewTimestampFromTime(opts.ObservedAt),
	}
	for _, s := range []string{object.Bucket, object.Key, object.ETag} {
		r.identity = append(binary.AppendUvarint(r.identity, uint64(len(s))), s...)
	}
	r.pieces = newPieceReader(r.body, opts)
	return r
}

// Next returns the next piece of the object, which has one document of one resource and at least one record. The batch
// owns its memory and stays as it is after the next call and after Close. DecodedBytes is the size of the whole piece,
// also where Skip leaves out its first records.
//
// Pieces depend on the object's decoded bytes alone, so that at another delivery they have the same ids; only the one
// that Skip begins within has an id of its own.
//
// The error is io.EOF at the end, also if there are no more records than Skip. Any other error says at which line the
// object ends early, and the next call returns it again. It has in its chain: decompress.ErrTooLarge, if the line is too
// long; what opts.Reserve returned; decompress.ErrCorrupt, if the gzip stream is broken or cut short; or else what body
// returned. The records of whole lines before the error are returned first, by calls before; of those before an error of
// body's, only whole pieces, since it will not end there another time.
func (r *ObjectReader) Next() (Batch, error) {
	if r.err == nil && !r.reserved {
		r.reserved = true
		r.err = r.reserve()
	}
	for r.err == nil {
		p, err := r.pieces.next()
		switch {
		case errors.Is(err, io.EOF):
			r.err = io.EOF
		case err != nil:
			r.err = fmt.Errorf("line %d: %w", r.line+1, err)
		default:
			r.last.piece, r.last.line, r.last.record = p, r.line, r.record
			if batch := r.decode(p); len(batch.Documents) > 0 {
				r.pieces.keep()
				return batch, nil
			}
		}
	}
	return Batch{}, r.err
}

// Again returns what the last call of Next returned, as a batch of its own: for the first may have been changed by whoever
// would not take it. Next must have returned one.
func (r *ObjectReader) Again() Batch {
	r.line, r.record = r.last.line, r.last.record
	return r.decode(r.last.piece)
}

// Records is how many records the object has up to here, those that were skipped among them.
func (r *ObjectReader) Records() int { return r.record }

// Close gives back what the reader holds. It does not close body. Next returns fs.ErrClosed from then on, unless the
// object has ended before. It may be called again.
func (r *ObjectReader) Close() {
	if r.err == nil {
		r.err = fmt.Errorf("object: %w", fs.ErrClosed)
	}
	r.body.Close()
	r.pieces = nil
}

func (r *ObjectReader) reserve() error {
	if r.opts.Reserve == nil {
		return nil
	}
	record := recordMemory + r.uidBytes(math.MaxInt32)
	return r.opts.Reserve(maxPieceBytes + maxPieceLines*int64(record))
}

// uidBytes is the length of the id of a record in a line of this number. Zero: records have no ids.
func (r *ObjectReader) uidBytes(number int) int {
	if r.object.ETag == "" {
		return 0
	}
	return len(r.object.ETag) + len(":") + len(strconv.Itoa(number))
}

// decode makes records of the lines of p that are not to be skipped. No documents: there are none.
func (r *ObjectReader) decode(p piece) Batch {
	text := jsonscan.Alias(p.data)
	var b *objectBatch
	for line := range strings.Lines(text) {
		r.line++
		line = withoutLineEnd(line)
		if line == "" {
			continue
		}
		r.record++
		if r.record <= r.object.Skip {
			continue
		}
		if b == nil {
			b = r.newBatch(p)
		}
		b.append(line, r.line)
	}
	if b == nil {
		return Batch{}
	}
	return b.finish(p.data)
}

// withoutLineEnd returns a line without LF or CRLF. CR alone ends no line.
func withoutLineEnd(line string) string {
	if rest, ok := strings.CutSuffix(line, "\n"); ok {
		return strings.TrimSuffix(rest, "\r")
	}
	return line
}

// objectBatch is the batch of one piece, in the making.
type objectBatch struct {
	*ObjectReader
	logs    plog.Logs
	records plog.LogRecordSlice
	// first is the number of the first record, counted from 1.
	first int
	// uids holds the ids of all records, which alias it.
	uids strings.Builder
}

// newBatch begins the batch of p at the record that the reader is at.
func (r *ObjectReader) newBatch(p piece) *objectBatch {
	logs := plog.NewLogs()
	resource := logs.ResourceLogs().AppendEmpty()
	r.setResource(resource.Resource().Attributes())
	b := &objectBatch{
		ObjectReader: r,
		logs:         logs,
		records:      resource.ScopeLogs().AppendEmpty().LogRecords(),
		first:        r.record,
	}
	b.records.EnsureCapacity(p.lines)
	b.uids.Grow(p.lines * r.uidBytes(r.line+p.lines))
	return b
}

func (r *ObjectReader) setResource(attrs pcommon.Map) {
	attrs.EnsureCapacity(6)
	attrs.PutStr(AttributeCloudProvider, providerAWS)
	if r.opts.Region != "" {
		attrs.PutStr(AttributeCloudRegion, r.opts.Region)
	}
	attrs.PutStr(AttributeServiceName, r.object.Bucket)
	attrs.PutStr(AttributeLogType, TypeS3)
	attrs.PutStr(AttributeS3Bucket, r.object.Bucket)
	attrs.PutStr(AttributeS3Key, r.object.Key)
}

// append adds the record of a line, which has a number in the object.
func (b *objectBatch) append(line string, number int) {
	record := b.records.AppendEmpty()
	record.SetTimestamp(b.timestamp)
	record.SetObservedTimestamp(b.observedAt)
	record.Body().SetStr(line)
	if b.object.ETag == "" {
		return
	}
	attrs := record.Attributes()
	attrs.EnsureCapacity(1)
	attrs.PutStr(AttributeLogRecordUID, b.uid(number))
}

// uid is the same for a line of an object at every delivery, since an object with other bytes has another ETag.
func (b *objectBatch) uid(number int) string {
	var digits [20]byte
	start := b.uids.Len()
	b.uids.WriteString(b.object.ETag)
	b.uids.WriteByte(':')
	b.uids.Write(strconv.AppendInt(digits[:0], int64(number), 10))
	return b.uids.String()[start:]
}

// finish returns the batch of a piece of these bytes.
func (b *objectBatch) finish(data []byte) Batch {
	document := Document{Resources: 1, Records: b.records.Len()}
	if b.object.ETag != "" {
		document.ID = b.id(data, document.Records)
	}
	return Batch{Logs: b.logs, Documents: []Document{document}, DecodedBytes: len(data)}
}

// id says which object a piece is of and where in it, besides what it holds: another object may well hold the same.
func (b *objectBatch) id(data []byte, records int) ID {
	place := binary.AppendUvarint(b.identity[:len(b.identity):len(b.identity)], uint64(b.first))
	place = binary.AppendUvarint(place, uint64(records))
	return newID(data, xxh3.Hash(place))
}
