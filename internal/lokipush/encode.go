// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/awsloki/awsloki/internal/tenant"
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
	// ResourceLabels gives all labels of a resource's lines, in place of Labels and StaticLabels and named as they are, also
	// names that begin with two underscores, without the service_name that Loki adds. Where it gives none, the lines are left
	// out and counted. nil: Labels decide.
	ResourceLabels func(resource pcommon.Map) map[string]string
	// Metadata is MetadataRest where empty.
	Metadata MetadataMode
	// MetadataAttributes are those of MetadataList.
	MetadataAttributes []string
	// Hidden are attributes that are never sent.
	Hidden []string
	// TenantAttribute is the resource attribute that names the tenant. Empty: none does.
	TenantAttribute string
	// Line makes the line of a record. It is the body as text where Line is nil or fails.
	Line func(plog.LogRecord, pcommon.Resource, pcommon.InstrumentationScope) (string, error)
	// Convert may have ideas of its own about a record, and says so. nil: never.
	Convert func(plog.LogRecord, pcommon.Resource, pcommon.InstrumentationScope) (Converted, bool)
	Limits  Limits
}

// Converted is a record whose labels and line were made by other rules than the mapping's.
type Converted struct {
	// Tenant is empty where the mapping decides.
	Tenant string
	// Plain says that the mapping decides about everything else as well.
	Plain  bool
	Labels map[string]string
	Line   string
	// Whole says that all attributes are in the line: they are not sent as structured metadata.
	Whole bool
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
	mapping Mapping
	labels  []label
	// recordLabels are those of labels that a record's attributes may give.
	recordLabels []label
	// skip is the attributes of each source that become labels and nothing else, or are hidden.
	skip   map[Source]map[string]bool
	list   map[string]bool
	hidden map[string]bool
	// scratch holds *scratch.
	scratch sync.Pool
}

// NewEncoder checks the mapping, and names all that is wrong with it.
func NewEncoder(mapping Mapping) (*Encoder, error) {
	var labels []label
	var err error
	switch {
	case mapping.ResourceLabels != nil && len(mapping.Labels)+len(mapping.StaticLabels) > 0:
		err = errors.New("there are rules for labels and a function in their place")
	case mapping.ResourceLabels == nil:
		labels, err = newLabels(mapping.Labels, mapping.StaticLabels)
	}
	if mapping.Metadata == "" {
		mapping.Metadata = MetadataRest
	}
	if err := errors.Join(err, mapping.Metadata.Check()); err != nil {
		return nil, err
	}
	e := &Encoder{
		mapping: mapping,
		labels:  labels,
		skip:    map[Source]map[string]bool{FromResource: {}, FromRecord: {}, fromScope: {}},
		list:    map[string]bool{},
		hidden:  map[string]bool{},
	}
	for _, attribute := range mapping.MetadataAttributes {
		e.list[attribute] = true
	}
	for _, l := range labels {
		e.indexRules(l)
	}
	for _, attribute := range mapping.Hidden {
		e.hidden[attribute] = true
		for _, skip := range e.skip {
			skip[attribute] = true
		}
		delete(e.list, attribute)
	}
	e.scratch.New = func() any { return &scratch{names: map[string]string{}, streams: map[string]*streamRef{}} }
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

// scratch is what encoding needs besides the batches that it makes.
type scratch struct {
	value, text, key []byte
	set              labelSet
	// shared is the structured metadata that all records of a scope have, own that of one record, and trimmed what is
	// left where both together are too much.
	shared, own, trimmed pairList
	// names are the names that attributes have in Loki.
	names map[string]string
	// streams finds, within one resource, the stream of the values that a record gives its labels, and only is the one
	// where records give none.
	streams map[string]*streamRef
	only    *streamRef
	// of is the batch that they are streams of.
	of *Batch
}

// streamRef is one stream of a batch.
type streamRef struct {
	index int
	// demoted is the labels that have become structured metadata.
	demoted pairList
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

// Encoded is log records in the form in which they are sent.
type Encoded struct {
	// Parts are the batches of each tenant, in the order in which the tenants came.
	Parts []Part
	Changes
}

// Part is what belongs to one tenant. The tenant is empty where the mapping does not say.
type Part struct {
	Tenant string
	Batch  *Batch
}

// Changes counts what was changed so that Loki takes it.
type Changes struct {
	// TruncatedLines were cut off at MaxLineSize.
	TruncatedLines int
	// DemotedLabels are labels of lines that became structured metadata.
	DemotedLabels int
	// DroppedMetadata is pairs of structured metadata of lines that were left out.
	DroppedMetadata int
	// UnlabeledLines are of resources to which ResourceLabels gave no labels. They are in no part.
	UnlabeledLines int
	// BadTenantLines are of tenants whose names Loki does not take. They are in no part. BadTenant says what is wrong
	// with one of them.
	BadTenantLines int
	BadTenant      error
}

// encoding is one call of Encode.
type encoding struct {
	*Encoder
	*scratch
	out Encoded
	// parts finds a part by its tenant. nil: there is one.
	parts map[string]int
	now   pcommon.Timestamp
	// given is what ResourceLabels gave to the resource at hand, and unlabeled says that it gave none.
	given     map[string]string
	unlabeled bool
	// copied is how many bytes of the resources' and scopes' metadata beyond the usual the entries have.
	copied int
}

// Encode makes batches of ld, which it only reads. They hold copies and alias nothing of ld.
//
// The time of an entry is the record's timestamp, else its observed timestamp, else the present.
func (e *Encoder) Encode(ld plog.Logs) Encoded {
	c := encoding{Encoder: e, scratch: e.scratch.Get().(*scratch), now: pcommon.NewTimestampFromTime(time.Now())}
	for _, rl := range ld.ResourceLogs().All() {
		c.encodeResource(rl)
	}
	c.forget(nil)
	e.scratch.Put(c.scratch)
	return c.out
}

func (c *encoding) encodeResource(rl plog.ResourceLogs) {
	c.forget(nil)
	resource := rl.Resource()
	tenant := c.tenantOf(resource.Attributes())
	if c.mapping.ResourceLabels != nil {
		c.given = c.mapping.ResourceLabels(resource.Attributes())
		c.unlabeled = !hasLabel(c.given)
	}
	for _, sl := range rl.ScopeLogs().All() {
		c.shared.reset()
		c.appendAttributes(&c.shared, resource.Attributes(), FromResource)
		c.appendAttributes(&c.shared, sl.Scope().Attributes(), fromScope)
		roomy := len(c.recordLabels) > 0 || c.unlabeled
		for _, record := range sl.LogRecords().All() {
			if c.convert(tenant, resource, sl.Scope(), record) {
				continue
			}
			if !roomy {
				c.makeRoom(tenant, resource.Attributes(), sl.LogRecords())
				roomy = true
			}
			c.encodeRecord(tenant, resource, sl.Scope(), record)
		}
	}
}

// convert encodes a record if there are other rules than the mapping's for it.
func (c *encoding) convert(tenant string, resource pcommon.Resource, scope pcommon.InstrumentationScope, record plog.LogRecord) bool {
	if c.mapping.Convert == nil {
		return false
	}
	converted, ok := c.mapping.Convert(record, resource, scope)
	if !ok {
		return false
	}
	tenant = cmp.Or(converted.Tenant, tenant)
	if converted.Plain {
		c.encodeRecord(tenant, resource, scope, record)
	} else {
		c.encodeConverted(&converted, tenant, resource, scope, record)
	}
	return true
}

func (c *encoding) tenantOf(resource pcommon.Map) string {
	if c.mapping.TenantAttribute == "" {
		return ""
	}
	v, ok := resource.Get(c.mapping.TenantAttribute)
	if !ok {
		return ""
	}
	c.value = AppendValue(c.value[:0], v)
	return string(c.value)
}

// forget drops what is known of the streams of one resource and one tenant. The next are of batch b.
func (c *encoding) forget(b *Batch) {
	clear(c.streams)
	c.only, c.of = nil, b
}

// batch returns the batch of a tenant, or nil if Loki takes no such tenant.
func (c *encoding) batch(id string) *Batch {
	if n := len(c.out.Parts); n > 0 && c.out.Parts[n-1].Tenant == id {
		return c.out.Parts[n-1].Batch
	}
	if i, ok := c.parts[id]; ok {
		return c.out.Parts[i].Batch
	}
	if id != "" {
		if err := tenant.Check(id); err != nil {
			c.out.BadTenant = err
			return nil
		}
	}
	if c.parts == nil {
		c.parts = map[string]int{}
	}
	c.parts[id] = len(c.out.Parts)
	b := new(Batch)
	c.out.Parts = append(c.out.Parts, Part{Tenant: id, Batch: b})
	return b
}

// makeRoom sees to it that the entries of records, all of one stream, are not moved over and over while it grows.
func (c *encoding) makeRoom(tenant string, resource pcommon.Map, records plog.LogRecordSlice) {
	b := c.batch(tenant)
	if b == nil {
		return
	}
	c.forget(b)
	// What the first record has beside its line, up to what a few attributes take: others may have less.
	const most = 256
	c.own.reset()
	c.appendRecordMetadata(records.At(0))
	ref := c.streamOf(b, resource, records.At(0).Attributes())
	size := records.Len() * (entryOverhead + min(len(c.shared.fields), usualShared) + min(len(c.own.fields), most))
	for _, record := range records.All() {
		size += len(record.Body().Str())
	}
	r := &b.streams[ref.index].runs[0]
	r.entries = slices.Grow(r.entries, size)
}

// entryOverhead is about what tags, lengths and the timestamp of an entry take.
const entryOverhead = 32

func (c *encoding) encodeRecord(tenant string, resource pcommon.Resource, scope pcommon.InstrumentationScope, record plog.LogRecord) {
	if c.unlabeled {
		c.out.UnlabeledLines++
		return
	}
	b := c.batch(tenant)
	if b == nil {
		c.out.BadTenantLines++
		return
	}
	if c.of != b {
		c.forget(b)
	}
	ref := c.streamOf(b, resource.Attributes(), record.Attributes())
	c.own.reset()
	line := c.appendLine(c.line(resource, scope, record))
	c.appendRecordMetadata(record)
	c.appendEntry(&b.streams[ref.index], timeOf(record, c.now), line, &ref.demoted, &c.shared)
}

// encodeConverted encodes a record by other rules than the mapping's.
func (c *encoding) encodeConverted(converted *Converted, tenant string, resource pcommon.Resource, scope pcommon.InstrumentationScope, record plog.LogRecord) {
	b := c.batch(tenant)
	if b == nil {
		c.out.BadTenantLines++
		return
	}
	c.set.fillGiven(converted.Labels, c.name)
	for i := range c.labels {
		if l := &c.labels[i]; l.static != "" && converted.Labels[l.name] == "" {
			c.set.values = append(c.set.values, l.static...)
			c.set.add(l.name, staticRank)
		}
	}
	ref := c.openStream(b)
	c.own.reset()
	line := c.appendLine(converted.Line)
	if !converted.Whole {
		for _, attrs := range [...]pcommon.Map{resource.Attributes(), scope.Attributes(), record.Attributes()} {
			c.appendOthers(attrs, converted.Labels)
		}
		c.appendTrace(record)
	}
	c.appendLevel(record)
	c.appendEntry(&b.streams[ref.index], timeOf(record, c.now), line, &ref.demoted, &pairList{})
}

// appendOthers appends the attributes that are none of the labels as the record's own structured metadata.
func (c *encoding) appendOthers(attrs pcommon.Map, labels map[string]string) {
	if c.mapping.Metadata == MetadataNone {
		return
	}
	for attribute, v := range attrs.All() {
		name := c.name(attribute)
		if !c.wants(attribute) || labels[name] != "" || c.hidden[attribute] {
			continue
		}
		if c.value = AppendValue(c.value[:0], v); len(c.value) > 0 {
			addPair(&c.own, name, queryable(c.value))
		}
	}
}

// appendEntry appends an entry with the record's own structured metadata, the stream's and the scope's. Loki takes the
// last of several pairs with one name: the record's own wins.
func (c *encoding) appendEntry(st *stream, nanos int64, line string, demoted, shared *pairList) {
	own := &c.own
	if c.mapping.Metadata == MetadataNone {
		c.out.DroppedMetadata += demoted.n
		demoted = &pairList{}
	}
	c.out.DemotedLabels += demoted.n
	if more := len(shared.fields) - usualShared; more > 0 {
		if c.copied += more; c.copied > maxCopied {
			c.out.DroppedMetadata += shared.n
			shared = &pairList{}
		}
	}
	metadata := [...][]byte{shared.fields, demoted.fields, own.fields}
	if !c.mapping.Limits.fits(own.n+demoted.n+shared.n, own.size+demoted.size+shared.size) {
		trimmed, dropped := c.trimmed.trim(&c.mapping.Limits, own, demoted, shared)
		metadata = [...][]byte{trimmed[2], trimmed[1], trimmed[0]}
		c.out.DroppedMetadata += dropped
	}
	r := &st.runs[0]
	before := len(r.entries)
	r.entries = appendEntry(r.entries, nanos, line, metadata[:]...)
	r.note(nanos)
	st.lines++
	st.size += len(r.entries) - before
}

// Each entry has a copy of its resource's metadata: a request that is small could make batches that are not. Of what each
// record has more than usualShared, there is at most maxCopied in all.
const (
	usualShared = 1 << 10
	maxCopied   = 64 << 20
)

// appendLine cuts off a line that is too long, and notes its size.
func (c *encoding) appendLine(line string) string {
	limit := c.mapping.Limits.MaxLineSize
	if !over(len(line), limit) {
		return line
	}
	c.out.TruncatedLines++
	if c.mapping.Metadata != MetadataNone {
		addPair(&c.own, originalSize, strconv.Itoa(len(line)))
	}
	return cut(line, limit)
}

func (c *encoding) line(resource pcommon.Resource, scope pcommon.InstrumentationScope, record plog.LogRecord) string {
	if c.mapping.Line != nil {
		if line, err := c.mapping.Line(record, resource, scope); err == nil {
			return line
		}
	}
	if body := record.Body(); body.Type() != pcommon.ValueTypeStr {
		return text(body)
	}
	return record.Body().Str()
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

// streamOf returns a record's stream, which has one run. The labels are put together once for each resource, or once
// for each combination of the values that its records give.
func (c *encoding) streamOf(b *Batch, resource, record pcommon.Map) *streamRef {
	if len(c.recordLabels) == 0 {
		if c.only == nil {
			c.only = c.newStream(b, resource, record)
		}
		return c.only
	}
	c.key = c.key[:0]
	for i := range c.recordLabels {
		c.value = c.recordLabels[i].appendValue(c.value[:0], resource, record)
		c.key = protowire.AppendBytes(c.key, c.value)
	}
	ref, ok := c.streams[string(c.key)]
	if !ok {
		ref = c.newStream(b, resource, record)
		c.streams[string(c.key)] = ref
	}
	return ref
}

func (c *encoding) newStream(b *Batch, resource, record pcommon.Map) *streamRef {
	if c.mapping.ResourceLabels != nil {
		c.set.fillGiven(c.given, givenName)
	} else {
		c.set.fill(c.labels, resource, record)
	}
	return c.openStream(b)
}

// openStream returns the stream of the labels in c.set, and demotes those that Loki would not take.
func (c *encoding) openStream(b *Batch) *streamRef {
	c.set.limit(&c.mapping.Limits)
	if c.mapping.ResourceLabels == nil || c.set.isEmpty() {
		c.set.complete()
	}
	var demoted pairList
	for i := range c.set.labels {
		if l := &c.set.labels[i]; l.demoted {
			addPair(&demoted, l.name, queryable(c.set.value(l)))
		}
	}
	c.text = c.set.appendText(c.text[:0])
	i := b.stream(string(c.text))
	if st := &b.streams[i]; len(st.runs) == 0 {
		st.runs = make([]run, 1)
	}
	return &streamRef{index: i, demoted: demoted}
}

func (c *encoding) appendRecordMetadata(record plog.LogRecord) {
	if c.mapping.Metadata == MetadataNone {
		return
	}
	c.appendLevel(record)
	c.appendTrace(record)
	c.appendAttributes(&c.own, record.Attributes(), FromRecord)
}

func (c *encoding) appendTrace(record plog.LogRecord) {
	if id := record.TraceID(); !id.IsEmpty() && c.wants(traceID) {
		c.value = hex.AppendEncode(c.value[:0], id[:])
		addPair(&c.own, traceID, c.value)
	}
	if id := record.SpanID(); !id.IsEmpty() && c.wants(spanID) {
		c.value = hex.AppendEncode(c.value[:0], id[:])
		addPair(&c.own, spanID, c.value)
	}
}

func (c *encoding) appendLevel(record plog.LogRecord) {
	if level := level(record); level != "" && c.mapping.Metadata != MetadataNone {
		addPair(&c.own, detectedLevel, level)
	}
}

// wants says whether an attribute that is no label becomes structured metadata.
func (e *Encoder) wants(attribute string) bool {
	return e.mapping.Metadata == MetadataRest || e.list[attribute]
}

// appendAttributes appends attributes as structured metadata.
func (c *encoding) appendAttributes(p *pairList, attrs pcommon.Map, from Source) {
	if c.mapping.Metadata == MetadataNone {
		return
	}
	skip := c.skip[from]
	for attribute, v := range attrs.All() {
		if !c.wants(attribute) || c.mapping.Metadata == MetadataRest && skip[attribute] {
			continue
		}
		name := c.name(attribute)
		if c.value = AppendValue(c.value[:0], v); len(c.value) > 0 {
			addPair(p, name, queryable(c.value))
		}
	}
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
	case record.SeverityText() == "":
		return ""
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
