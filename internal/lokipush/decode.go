// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"errors"
	"fmt"
	"iter"
	"mime"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/memory"
)

// DecodeOptions is what there is to know about a push request besides its bytes.
type DecodeOptions struct {
	// ContentType and ContentEncoding are the headers, as they came.
	ContentType, ContentEncoding string
	// MaxDecodedBytes is the most that a request may decode to, in every step of it.
	MaxDecodedBytes int64
	// Reserve is asked for memory before it is allocated. Its error ends the decoding, and is in the chain of what is
	// returned. Nil: nobody is asked.
	Reserve func(bytes int64) error
	// ObservedAt becomes the observed timestamp of every record.
	ObservedAt time.Time
	// Resource sets the attributes of a stream's resource from its labels: sorted by name, one of each name, none with an
	// empty value. The sequence is valid only during the call. The strings may be kept. Nil: resources have no attributes.
	Resource func(attrs pcommon.Map, labels iter.Seq2[string, string])
}

// Decoded is a push request.
type Decoded struct {
	// Logs has one ResourceLogs for each stream that has entries, in their order.
	Logs plog.Logs
	// Streams is how many there were, with and without entries.
	Streams int
	// DecodedBytes is the size of the request without compression.
	DecodedBytes int
}

// DecodePush decodes a request to Loki's push API, as Loki does (pkg/loghttp/push/push.go parsePushRequestBody and
// ParseLokiRequest): everything, or nothing and an error.
// https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
//
// The Content-Type must be a media type: application/json means JSON, and any other a block of snappy with protobuf. The
// Content-Encoding may be gzip or deflate around that. Snappy as Content-Encoding says nothing, also of JSON.
//
// A record's body is the line as it came, and its attributes are the structured metadata; of several pairs with one name,
// the last. Its timestamp is zero, which is OTLP's for a time that is not known, where the entry has none or one that
// nanoseconds since 1970 of a signed integer do not reach.
//
// An entry with more than 128 pairs, or one without a name, is an error, and so is a stream with more than 128 labels.
//
// An error has decompress.ErrTooLarge in its chain, or what opts.Reserve returned, or else the request is malformed and
// the error says where: streams and entries are counted from 1, and offsets are those in the decoded request, or in the
// text of labels where they are a text. It takes no part of the request.
//
// The records alias data or what it decodes to. Data belongs to them from here on, also after an error.
func DecodePush(data []byte, opts DecodeOptions) (Decoded, error) {
	mediaType, _, err := mime.ParseMediaType(opts.ContentType)
	if err != nil {
		return Decoded{}, err
	}
	inJSON := mediaType == "application/json"
	buf, err := opts.decompress(data, inJSON)
	if err != nil {
		return Decoded{}, err
	}
	d := pushDecoder{
		opts:       opts,
		observedAt: pcommon.NewTimestampFromTime(opts.ObservedAt),
		memory:     memory.Allowance{Reserve: opts.Reserve},
		logs:       plog.NewLogs(),
	}
	if inJSON {
		err = d.decodeJSON(buf)
	} else {
		err = d.decodeProtobuf(buf)
	}
	if err != nil {
		return Decoded{}, err
	}
	return Decoded{Logs: d.logs, Streams: d.streams, DecodedBytes: len(buf)}, nil
}

const contentEncodingHeader = "Content-Encoding"

// decompress returns the request as JSON or as protobuf.
func (o *DecodeOptions) decompress(data []byte, inJSON bool) ([]byte, error) {
	limits := decompress.Limits{MaxBytes: o.MaxDecodedBytes, Reserve: o.Reserve}
	data, err := undoEncoding(data, o.ContentEncoding, limits)
	if err != nil {
		return nil, err
	}
	if !inJSON {
		if data, err = decompress.Snappy(data, limits); err != nil {
			return nil, fmt.Errorf("protobuf in a block of snappy: %w", err)
		}
		return data, nil
	}
	if int64(len(data)) > o.MaxDecodedBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", decompress.ErrTooLarge, o.MaxDecodedBytes)
	}
	return data, nil
}

func undoEncoding(data []byte, encoding string, limits decompress.Limits) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "", "snappy":
		return data, nil
	case "gzip":
		if !decompress.IsGzip(data) {
			return nil, fmt.Errorf("%w: it is not gzip", decompress.ErrCorrupt)
		}
		return decompress.Gzip(data, limits)
	case "deflate":
		return decompress.Deflate(data, limits)
	default:
		return nil, fmt.Errorf("%s %.32q not supported", contentEncodingHeader, encoding)
	}
}

// What things take about, besides strings that alias the request.
const (
	recordMemory = 256
	// pairMemory is that of a pair of structured metadata.
	pairMemory = 64
	// labelMemory is that of a label. It may become more than one attribute.
	labelMemory    = 128
	resourceMemory = 512
)

// pushDecoder makes records of streams, in whatever form they come: beginStream, beginEntry and endEntry for each entry,
// and endStream, by which time the labels are known.
type pushDecoder struct {
	opts       DecodeOptions
	observedAt pcommon.Timestamp
	memory     memory.Allowance
	logs       plog.Logs
	streams    int

	// The stream at hand. It has a resource only with an entry.
	resource pcommon.Resource
	records  plog.LogRecordSlice
	entries  int
	labels   []nameValue

	entry pushEntry
}

// pushEntry is the entry at hand.
type pushEntry struct {
	timestamp pcommon.Timestamp
	line      string
	metadata  []nameValue
}

// maxEntryMetadata bounds the structured metadata of one entry, whose attributes are looked through for each of them: up
// to here a request takes no longer for its size than one of empty entries (BenchmarkDecodePushSmall). Loki takes as many
// as it is delivered (pkg/validation/limits.go, max_structured_metadata_entries_count).
const maxEntryMetadata = 128

func (d *pushDecoder) beginStream() {
	d.streams++
	d.entries = 0
	d.labels = d.labels[:0]
}

// beginEntry gives the stream at hand its resource, if it has none.
func (d *pushDecoder) beginEntry() error {
	d.entries++
	d.entry = pushEntry{metadata: d.entry.metadata[:0]}
	if d.entries > 1 {
		return nil
	}
	if err := d.memory.Take(resourceMemory); err != nil {
		return err
	}
	rl := d.logs.ResourceLogs().AppendEmpty()
	d.resource = rl.Resource()
	d.records = rl.ScopeLogs().AppendEmpty().LogRecords()
	return nil
}

// addMetadata refuses a pair without a name, as Loki does (pkg/distributor/distributor.go PushWithResolver): it cannot be
// an attribute.
func (e *pushEntry) addMetadata(name, value string) error {
	switch {
	case name == "":
		return errors.New("a pair of structured metadata without a name")
	case len(e.metadata) == maxEntryMetadata:
		return fmt.Errorf("more than %d pairs of structured metadata", maxEntryMetadata)
	}
	e.metadata = append(e.metadata, nameValue{name, value})
	return nil
}

// endEntry makes a record of the entry at hand.
func (d *pushDecoder) endEntry() error {
	e := &d.entry
	if err := d.memory.Take(recordMemory + pairMemory*int64(len(e.metadata))); err != nil {
		return err
	}
	record := d.records.AppendEmpty()
	record.SetTimestamp(e.timestamp)
	record.SetObservedTimestamp(d.observedAt)
	record.Body().SetStr(e.line)
	if len(e.metadata) == 0 {
		return nil
	}
	attrs := record.Attributes()
	attrs.EnsureCapacity(len(e.metadata))
	for _, pair := range e.metadata {
		attrs.PutStr(pair.name, pair.value)
	}
	return nil
}

// endStream makes a resource of the labels, if there are records that it is for.
func (d *pushDecoder) endStream() error {
	if d.entries == 0 || d.opts.Resource == nil {
		return nil
	}
	if err := d.memory.Take(labelMemory * int64(len(d.labels))); err != nil {
		return err
	}
	slices.SortStableFunc(d.labels, func(a, b nameValue) int { return strings.Compare(a.name, b.name) })
	d.opts.Resource(d.resource.Attributes(), eachLabel(d.labels))
	return nil
}

// eachLabel yields sorted labels: of those with one name the last, and not those whose value is empty, since to Loki they
// are none (pkg/logql/syntax/parser.go ParseLabels).
func eachLabel(labels []nameValue) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for i, l := range labels {
			if l.value == "" || i+1 < len(labels) && l.name == labels[i+1].name {
				continue
			}
			if !yield(l.name, l.value) {
				return
			}
		}
	}
}
