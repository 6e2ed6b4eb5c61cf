// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/zeebo/xxh3"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/awslogs/parquetlines"
	"github.com/awsloki/awsloki/internal/awslogs/s3log"
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
	begun  bool
	// log is what the object holds, and parse reads its records. They are known once it has begun.
	log   s3log.Object
	parse s3log.Parser
	// timestamp is that of records which say none.
	timestamp, observedAt pcommon.Timestamp
	// identity tells the object from others, in the ids of its pieces.
	identity []byte
	// memory is that of what is in a piece besides its bytes, if that depends on them.
	memory pieceMemory
	// record is how many there were up to here.
	record int
	// last is the piece that Next returned last, what its records say, and how many records there were before it.
	last struct {
		piece
		said   []s3log.Record
		record int
	}
	err error
}

// NewObjectReader returns a reader of the records in body: those of one object, plain or gzip, of one or many members and
// up to two layers, as its first bytes say and not its key. Body is read only as pieces are asked for, and memory does
// not depend on how much there is, but for a Parquet file, all of which is in memory.
//
// What log the object holds, its key says, or else its first bytes: package s3log has those that are known. Each record
// is as it stands in the object, with the time that it states itself, or else the one that the key states, or else
// EventTime. If nothing is known, each line is a record.
//
// A line ends with LF or CRLF, the last one also without. Empty lines are no records, and neither are those that name the
// fields of others.
//
// Of opts, MaxDecodedBytes is the most that one record may have, with what ends it, and the most that a Parquet file may.
// Reserve is asked once for what one piece takes, at the first call of Next, and again for a Parquet file and for pieces
// that take more than all before them.
func NewObjectReader(body io.Reader, object Object, opts Options) *ObjectReader {
	object.ETag = strings.TrimSuffix(strings.TrimPrefix(object.ETag, `"`), `"`)
	if object.EventTime.IsZero() {
		object.EventTime = opts.ObservedAt
	}
	r := &ObjectReader{
		object:     object,
		opts:       opts,
		body:       decompress.NewReader(body),
		observedAt: pcommon.NewTimestampFromTime(opts.ObservedAt),
		memory:     pieceMemory{reserve: opts.Reserve},
	}
	for _, s := range []string{object.Bucket, object.Key, object.ETag} {
		r.identity = append(binary.AppendUvarint(r.identity, uint64(len(s))), s...)
	}
	r.pieces = newPieceReader(r.body, opts)
	return r
}

// Next returns the next piece of the object, which has at least one record, or else counts that are not zero. The batch
// owns its memory and stays as it is after the next call and after Close. DecodedBytes is the size of the whole piece, also
// where Skip leaves out its first records. A piece is one document of one resource, but for messages of CloudWatch Logs,
// each of which is one as in DecodeSubscription.
//
// Pieces depend on the object's decoded bytes alone, so that at another delivery they have the same ids; only the one
// that Skip begins within has an id of its own.
//
// The error is io.EOF at the end, also if there are no more records than Skip. Any other error says at which line or
// record the object ends early, and the next call returns it again. It has in its chain: decompress.ErrTooLarge, if the
// record is too long; what opts.Reserve returned; decompress.ErrCorrupt, if the gzip stream, or the array that the records
// are in, or the Parquet file is broken or cut short; errors.ErrUnsupported, if the Parquet file has something in it that
// is not known; or else what body returned. The whole records before the error are returned first, by calls before; of
// those before an error of body's, only whole pieces, since it will not end there another time.
func (r *ObjectReader) Next() (Batch, error) {
	if r.err == nil && !r.begun {
		r.begun = true
		r.err = r.begin()
	}
	for r.err == nil {
		p, err := r.pieces.next()
		if err != nil {
			r.err = r.placed(err)
			break
		}
		r.read(p)
		batch, err := r.decode()
		if err != nil {
			r.err = r.placed(err)
			break
		}
		if len(batch.Documents) > 0 || batch.ControlMessages > 0 || batch.ExcludedRecords > 0 {
			r.pieces.keep()
			return batch, nil
		}
	}
	return Batch{}, r.err
}

// placed says where in the object something went wrong.
func (r *ObjectReader) placed(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	what, number := r.pieces.framer.place()
	return fmt.Errorf("%s %d: %w", what, number, err)
}

// Again returns what the last call of Next returned, as a batch of its own: for the first may have been changed by whoever
// would not take it. Next must have returned one.
func (r *ObjectReader) Again() Batch {
	r.record = r.last.record
	batch, _ := r.decode() // the memory is there
	return batch
}

// Records is how many records the object has up to here, those that were skipped among them.
func (r *ObjectReader) Records() int { return r.record }

// NoLog says whether the object is known to be no log. It is known when Next has returned io.EOF.
func (r *ObjectReader) NoLog() bool { return r.log.Framing == s3log.NoRecords }

// Close gives back what the reader holds. It does not close body. Next returns fs.ErrClosed from then on, unless the
// object has ended before. It may be called again.
func (r *ObjectReader) Close() {
	if r.err == nil {
		r.err = fmt.Errorf("object: %w", fs.ErrClosed)
	}
	r.body.Close()
	r.pieces = nil
}

// headBytes is how much of an object's beginning tells what it holds.
const headBytes = 4 << 10

// byteOrderMark is UTF-8's, which is of no record.
var byteOrderMark = []byte("\ufeff")

// begin finds out what the object holds.
func (r *ObjectReader) begin() error {
	if err := r.reserve(); err != nil {
		return r.placed(err)
	}
	head, err := r.pieces.peek(headBytes)
	r.log = s3log.Identify(r.object.Key, head)
	if r.log.Framing == s3log.NoRecords {
		return io.EOF
	}
	if err != nil {
		return r.placed(err)
	}
	if r.log.Type != s3log.Unknown && bytes.HasPrefix(head, byteOrderMark) {
		r.pieces.drop(len(byteOrderMark))
	}
	r.timestamp = pcommon.NewTimestampFromTime(r.object.EventTime)
	if !r.log.Time.IsZero() {
		r.timestamp = pcommon.NewTimestampFromTime(r.log.Time)
	}
	r.pieces.framer = newFramer(r.log)
	r.parse = r.log.NewParser()
	if r.log.Framing == s3log.Parquet {
		return r.placed(r.openParquet())
	}
	return nil
}

// openParquet has the rows of a Parquet file take the place of its bytes, as lines of JSON. What there is to know about
// its rows stands at its end, and so all of it has to be in memory.
func (r *ObjectReader) openParquet() error {
	limit := r.pieces.maxRecord
	file, err := r.pieces.peek(int(limit + 1))
	switch {
	case err != nil:
		return err
	case int64(len(file)) > limit:
		return fmt.Errorf("%w: the Parquet file is longer than %d bytes", decompress.ErrTooLarge, limit)
	case !r.pieces.ended():
		return r.pieces.err
	}
	rows, err := parquetlines.NewReader(bytes.NewReader(file), int64(len(file)), parquetlines.Options{
		Reserve: r.opts.Reserve, MaxRowBytes: limit, MaxPageBytes: limit,
	})
	if err != nil {
		return err
	}
	r.pieces = newPieceReader(rows, r.opts)
	r.log = r.log.WithColumns(rows.Columns())
	return nil
}

func (r *ObjectReader) reserve() error {
	if r.opts.Reserve == nil {
		return nil
	}
	record := int(unsafe.Sizeof(frame{})+unsafe.Sizeof(s3log.Record{})) + recordMemory + attributeMemory + r.uidBytes(math.MaxInt32)
	return r.opts.Reserve(maxPieceBytes + maxPieceRecords*int64(record))
}

// uidBytes is the length of the id of a record with this number. Zero: records have no ids.
func (r *ObjectReader) uidBytes(number int) int {
	if r.object.ETag == "" {
		return 0
	}
	return len(r.object.ETag) + len(":") + len(strconv.Itoa(number))
}

// read reads what the records of p say, once: what they say may depend on the lines before them.
func (r *ObjectReader) read(p piece) {
	r.last.piece, r.last.record, r.last.said = p, r.record, r.last.said[:0]
	for _, f := range p.frames {
		r.last.said = append(r.last.said, r.parse(p.data[f.start:f.end]))
	}
}

// decode makes log records of those of the last piece that are not to be skipped. No documents: there are none.
func (r *ObjectReader) decode() (Batch, error) {
	if r.log.Type == s3log.CloudWatch || r.log.Type == s3log.Firehose {
		return r.decodeMessages()
	}
	p := r.last.piece
	var b *objectBatch
	for i, f := range p.frames {
		said := r.last.said[i]
		if said.Header {
			continue
		}
		r.record++
		if r.record <= r.object.Skip {
			continue
		}
		if b == nil {
			b = r.newBatch(p.frames[i:])
		}
		b.append(p.data[f.start:f.end:f.end], f.number, said)
	}
	if b == nil {
		return Batch{}, nil
	}
	return b.finish(p.data), nil
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

// newBatch begins a batch at the record that the reader is at. At most frames are to come.
func (r *ObjectReader) newBatch(frames []frame) *objectBatch {
	logs := plog.NewLogs()
	resource := logs.ResourceLogs().AppendEmpty()
	r.setResource(resource.Resource().Attributes())
	b := &objectBatch{
		ObjectReader: r,
		logs:         logs,
		records:      resource.ScopeLogs().AppendEmpty().LogRecords(),
		first:        r.record,
	}
	b.records.EnsureCapacity(len(frames))
	b.uids.Grow(len(frames) * r.uidBytes(frames[len(frames)-1].number))
	return b
}

func (r *ObjectReader) setResource(attrs pcommon.Map) {
	logType := r.log.Type
	if logType == s3log.CloudWatch {
		logType = s3log.Firehose // what is no message among them
	}
	attrs.EnsureCapacity(8)
	attrs.PutStr(AttributeCloudProvider, providerAWS)
	if r.log.AccountID != "" {
		attrs.PutStr(AttributeCloudAccountID, r.log.AccountID)
	}
	if region := firstNonEmpty(r.log.Region, r.opts.Region); region != "" {
		attrs.PutStr(AttributeCloudRegion, region)
	}
	attrs.PutStr(AttributeServiceName, firstNonEmpty(r.log.Source, r.object.Bucket))
	attrs.PutStr(AttributeLogType, string(logType))
	if r.log.Source != "" {
		attrs.PutStr(AttributeLogSource, r.log.Source)
	}
	attrs.PutStr(AttributeS3Bucket, r.object.Bucket)
	attrs.PutStr(AttributeS3Key, r.object.Key)
}

// append adds a record that has a number in the object.
func (b *objectBatch) append(text []byte, number int, said s3log.Record) {
	record := b.records.AppendEmpty()
	record.SetTimestamp(b.timestamp)
	if said.Time > 0 {
		record.SetTimestamp(pcommon.Timestamp(said.Time))
	}
	record.SetObservedTimestamp(b.observedAt)
	record.Body().SetStr(jsonscan.Alias(text))
	attrs := record.Attributes()
	if said.Status != 0 {
		attrs.EnsureCapacity(2)
		attrs.PutInt(AttributeHTTPResponseStatusCode, int64(said.Status))
	}
	if b.object.ETag != "" {
		attrs.PutStr(AttributeLogRecordUID, b.uid(number))
	}
}

// uid is the same for a record of an object at every delivery, since an object with other bytes has another ETag.
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
