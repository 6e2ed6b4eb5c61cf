// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"google.golang.org/protobuf/encoding/protowire"
)

// MetadataMode says which attributes become structured metadata.
type MetadataMode string

// Modes of structured metadata.
const (
	// MetadataRest takes every attribute that is no label.
	MetadataRest MetadataMode = "rest"
	// MetadataList takes the attributes listed.
	MetadataList MetadataMode = "list"
	// MetadataNone sends no structured metadata, for a Loki with allow_structured_metadata off.
	MetadataNone MetadataMode = "none"
)

// Mapping says what becomes of attributes.
type Mapping struct {
	// Labels are the attributes that become labels. Where several give the same label, the first that is there wins.
	Labels []LabelRule
	// StaticLabels are given to every stream in which no attribute gives that label.
	StaticLabels map[string]string
	// Metadata is MetadataRest where empty.
	Metadata MetadataMode
	// MetadataAttributes are those of MetadataList.
	MetadataAttributes []string
}

// Names of structured metadata that are of no attribute.
const (
	// detectedLevel is what Loki would otherwise look for in every line.
	detectedLevel = "detected_level"
	traceID       = "trace_id"
	spanID        = "span_id"
)

// Encoder makes batches of log records. It is safe for concurrent use.
type Encoder struct {
	metadata MetadataMode
	labels   []label
	// recordLabels are those of labels that a record's attributes may give.
	recordLabels []label
	// skip is the attributes of each source that become labels and nothing else.
	skip map[Source]map[string]bool
	list map[string]bool
	// scratch holds *scratch.
	scratch sync.Pool
}

// NewEncoder checks the mapping, and names all that is wrong with it.
func NewEncoder(mapping Mapping) (*Encoder, error) {
	labels, err := newLabels(mapping.Labels, mapping.StaticLabels)
	if mapping.Metadata == "" {
		mapping.Metadata = MetadataRest
	}
	if err := errors.Join(err, mapping.Metadata.Check()); err != nil {
		return nil, err
	}
	e := &Encoder{
		metadata: mapping.Metadata,
		labels:   labels,
		skip:     map[Source]map[string]bool{FromResource: {}, FromRecord: {}},
		list:     map[string]bool{},
	}
	for _, attribute := range mapping.MetadataAttributes {
		e.list[attribute] = true
	}
	for _, l := range labels {
		e.indexRules(l)
	}
	e.scratch.New = func() any { return &scratch{names: map[string]string{}, streams: map[string]int{}} }
	return e, nil
}

// Check says what is wrong with a mode.
func (m MetadataMode) Check() error {
	switch m {
	case MetadataRest, MetadataList, MetadataNone:
		return nil
	default:
		return fmt.Errorf("the mode must be %q, %q or %q, found %q", MetadataRest, MetadataList, MetadataNone, m)
	}
}

func (e *Encoder) indexRules(l label) {
	perRecord := false
	for _, rule := range l.rules {
		perRecord = perRecord || rule.From == FromRecord
		// Of several attributes for one label, all but one lose: they stay visible as structured metadata.
		if len(l.rules) == 1 {
			e.skip[rule.From][rule.Attribute] = true
		}
	}
	if perRecord {
		e.recordLabels = append(e.recordLabels, l)
	}
}

// scratch is what encoding needs besides the batch that it makes.
type scratch struct {
	labels, value, key, metadata []byte
	// shared is the structured metadata that all records of a scope have.
	shared []byte
	// names are the names that attributes have in Loki.
	names map[string]string
	// streams finds, within one resource, the stream of the values that a record gives its labels.
	streams map[string]int
}

// maxNames and maxNameLength bound the names of attributes that are remembered.
const (
	maxNames      = 4096
	maxNameLength = 256
)

func (s *scratch) name(attribute string) string {
	if name, ok := s.names[attribute]; ok {
		return name
	}
	name := LabelName(attribute)
	if len(attribute) > maxNameLength {
		return name
	}
	if len(s.names) == maxNames {
		clear(s.names)
	}
	s.names[strings.Clone(attribute)] = name
	return name
}

// Encode makes a batch of ld, which it only reads. The batch holds copies and aliases nothing of ld.
//
// The time of an entry is the record's timestamp, else its observed timestamp, else the present.
func (e *Encoder) Encode(ld plog.Logs) *Batch {
	s := e.scratch.Get().(*scratch)
	defer e.scratch.Put(s)
	b := new(Batch)
	now := pcommon.NewTimestampFromTime(time.Now())
	for _, rl := range ld.ResourceLogs().All() {
		clear(s.streams)
		resource := rl.Resource().Attributes()
		for _, sl := range rl.ScopeLogs().All() {
			s.shared = e.appendAttributes(s.shared[:0], resource, FromResource, s)
			s.shared = e.appendAttributes(s.shared, sl.Scope().Attributes(), fromScope, s)
			if len(e.recordLabels) == 0 {
				e.makeRoom(b, resource, sl.LogRecords(), s)
			}
			for _, record := range sl.LogRecords().All() {
				e.encodeRecord(b, resource, record, now, s)
			}
		}
	}
	return b
}

// makeRoom sees to it that the entries of records, all of one stream, are not moved over and over while it grows.
func (e *Encoder) makeRoom(b *Batch, resource pcommon.Map, records plog.LogRecordSlice, s *scratch) {
	if records.Len() == 0 {
		return
	}
	// What the first record has beside its line, up to what a few attributes take: others may have less.
	const most = 256
	s.metadata = e.appendRecordMetadata(s.metadata[:0], records.At(0), s)
	size := records.Len() * (entryOverhead + len(s.shared) + min(len(s.metadata), most))
	for _, record := range records.All() {
		size += len(record.Body().Str())
	}
	i := e.streamOf(b, resource, records.At(0).Attributes(), s)
	r := &b.streams[i].runs[0]
	r.entries = slices.Grow(r.entries, size)
}

// entryOverhead is about what tags, lengths and the timestamp of an entry take.
const entryOverhead = 32

func (e *Encoder) encodeRecord(b *Batch, resource pcommon.Map, record plog.LogRecord, now pcommon.Timestamp, s *scratch) {
	st := &b.streams[e.streamOf(b, resource, record.Attributes(), s)]
	r := &st.runs[0]
	before := len(r.entries)
	nanos := timeOf(record, now)
	s.metadata = e.appendRecordMetadata(s.metadata[:0], record, s)
	r.entries = appendEntry(r.entries, nanos, line(record.Body()), s.shared, s.metadata)
	r.note(nanos)
	st.lines++
	st.size += len(r.entries) - before
}

// timeOf is the first time that a record has. Times that nanoseconds of a signed integer do not reach are none: they
// come of clocks that were never set, and Loki refuses a whole request for one of them.
func timeOf(record plog.LogRecord, now pcommon.Timestamp) int64 {
	for _, t := range [...]pcommon.Timestamp{record.Timestamp(), record.ObservedTimestamp(), now} {
		if t != 0 && t <= math.MaxInt64 {
			return int64(t)
		}
	}
	return 0
}

func line(body pcommon.Value) string {
	if body.Type() == pcommon.ValueTypeStr {
		return body.Str()
	}
	return text(body)
}

// streamOf returns the index of a record's stream, which has one run. The labels are put together once for each
// resource, or once for each combination of the values that its records give.
func (e *Encoder) streamOf(b *Batch, resource, record pcommon.Map, s *scratch) int {
	s.key = s.key[:0]
	for i := range e.recordLabels {
		s.value = e.recordLabels[i].appendValue(s.value[:0], resource, record)
		s.key = protowire.AppendBytes(s.key, s.value)
	}
	i, ok := s.streams[string(s.key)]
	if !ok {
		s.labels = e.appendLabelSet(s.labels[:0], resource, record, &s.value)
		i = b.stream(string(s.labels))
		s.streams[string(s.key)] = i
		if st := &b.streams[i]; len(st.runs) == 0 {
			st.runs = make([]run, 1)
		}
	}
	return i
}

func (e *Encoder) appendRecordMetadata(dst []byte, record plog.LogRecord, s *scratch) []byte {
	if e.metadata == MetadataNone {
		return dst
	}
	dst = e.appendAttributes(dst, record.Attributes(), FromRecord, s)
	if level := level(record); level != "" {
		dst = appendMetadata(dst, detectedLevel, level)
	}
	if id := record.TraceID(); !id.IsEmpty() && e.wants(traceID) {
		s.value = hex.AppendEncode(s.value[:0], id[:])
		dst = appendMetadata(dst, traceID, s.value)
	}
	if id := record.SpanID(); !id.IsEmpty() && e.wants(spanID) {
		s.value = hex.AppendEncode(s.value[:0], id[:])
		dst = appendMetadata(dst, spanID, s.value)
	}
	return dst
}

// wants says whether an attribute that is no label becomes structured metadata.
func (e *Encoder) wants(attribute string) bool {
	return e.metadata == MetadataRest || e.list[attribute]
}

// appendAttributes appends attributes as structured metadata. Loki takes the last of several pairs with one name, so
// that a record's attributes, which come last, win over its resource's.
func (e *Encoder) appendAttributes(dst []byte, attrs pcommon.Map, from Source, s *scratch) []byte {
	if e.metadata == MetadataNone {
		return dst
	}
	skip := e.skip[from]
	for attribute, v := range attrs.All() {
		if !e.wants(attribute) || e.metadata == MetadataRest && skip[attribute] {
			continue
		}
		name := s.name(attribute)
		if s.value = appendValue(s.value[:0], v); len(s.value) > 0 {
			dst = appendMetadata(dst, name, s.value)
		}
	}
	return dst
}

// level is the record's severity by the names that Loki gives to levels.
func level(record plog.LogRecord) string {
	switch n := record.SeverityNumber(); {
	case n > plog.SeverityNumberFatal4, n < plog.SeverityNumberUnspecified:
		return ""
	case n >= plog.SeverityNumberFatal:
		return "fatal"
	case n >= plog.SeverityNumberError:
		return "error"
	case n >= plog.SeverityNumberWarn:
		return "warn"
	case n >= plog.SeverityNumberInfo:
		return "info"
	case n >= plog.SeverityNumberDebug:
		return "debug"
	case n >= plog.SeverityNumberTrace:
		return "trace"
	default:
		return levels[strings.ToLower(record.SeverityText())]
	}
}

// levels are the words that Loki takes for a level, with its own name for each (pkg/distributor/field_detection.go).
var levels = map[string]string{
	"trace": "trace", "trc": "trace",
	"debug": "debug", "dbg": "debug",
	"info": "info", "inf": "info", "information": "info",
	"warn": "warn", "wrn": "warn", "warning": "warn",
	"error": "error", "err": "error",
	"critical": "critical",
	"fatal":    "fatal",
}
