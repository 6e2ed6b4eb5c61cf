// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package lokihints does what the Loki exporter that opentelemetry-collector-contrib had did with a record: attributes
// with agreed names, the hints, say which attributes become labels, whose tenant the record is, and how its line is
// written.
//
// loki.attribute.labels and loki.resource.labels name attributes, separated by commas or as a list; loki.tenant names
// the attribute that holds the tenant; loki.format is json, logfmt or raw. The conversion itself is contrib's own,
// pkg/translator/loki, so that lines and labels stay as they were.
package lokihints

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/loki"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	hintPrefix         = "loki."
	hintRecordLabels   = "loki.attribute.labels"
	hintResourceLabels = "loki.resource.labels"
	hintTenant         = "loki.tenant"
	hintFormat         = "loki.format"
)

// Attributes are the names of the hints. They are never sent on, unless a hint names a hint as a label.
var Attributes = []string{hintRecordLabels, hintResourceLabels, hintTenant, hintFormat}

// Values of loki.format. Without one it is json.
const (
	formatJSON   = "json"
	formatLogfmt = "logfmt"
	formatRaw    = "raw"
)

func isHint(attribute string) bool {
	return strings.HasPrefix(attribute, hintPrefix) && slices.Contains(Attributes, attribute)
}

func hasHint(attributes pcommon.Map) bool {
	for name := range attributes.All() {
		if isHint(name) {
			return true
		}
	}
	return false
}

// Entry is what the removed exporter made of a record.
type Entry struct {
	// Tenant is what the attribute holds that loki.tenant names. Empty: there is none.
	Tenant string
	// Labels have names as the translator normalised them. There may be none at all, and values may be empty, or what
	// Loki refuses.
	Labels map[string]string
	Line   string
	// Raw says that the line is the body alone: the attributes that are no labels are not in it.
	Raw bool
}

// Converter makes entries of records. It is safe for concurrent use.
type Converter struct {
	defaultLabels map[string]bool
	always        bool
}

// NewConverter returns a converter. defaultLabels are the removed exporter's default_labels_enabled, for exporter, job,
// instance and level: one that is missing is enabled. always says to convert every record, also those without a hint, as
// the removed exporter did.
func NewConverter(defaultLabels map[string]bool, always bool) *Converter {
	return &Converter{maps.Clone(defaultLabels), always}
}

// Convert makes an entry of a record and modifies none of its arguments. It returns false if there is nothing to do:
// neither the record nor its resource has a hint, and not all records are to be converted.
//
// It fails where loki.format is unknown, a number in the record is none that JSON has, a key of the body or a label has
// no valid name, or the hints name attributes with too many dots. No error holds anything of the record. The tenant is
// that of the hint also then.
func (c *Converter) Convert(record plog.LogRecord, resource pcommon.Resource, scope pcommon.InstrumentationScope) (Entry, bool, error) {
	if !c.always && !hasHint(record.Attributes()) && !hasHint(resource.Attributes()) {
		return Entry{}, false, nil
	}
	tenant := loki.GetTenantFromTenantHint(record.Attributes(), resource.Attributes())
	entry, err := c.convert(record, resource, scope)
	if err != nil {
		return Entry{Tenant: tenant}, true, fmt.Errorf("convert a record as its hints say: %w", err)
	}
	entry.Tenant = tenant
	return entry, true, nil
}

func (c *Converter) convert(record plog.LogRecord, resource pcommon.Resource, scope pcommon.InstrumentationScope) (Entry, error) {
	attributes, resourceAttributes := record.Attributes(), resource.Attributes()
	format := formatOf(attributes, resourceAttributes)
	if err := check(format, attributes, resourceAttributes); err != nil {
		return Entry{}, err
	}
	converted, err := loki.LogToLokiEntry(record, resource, scope, c.defaultLabels)
	if err != nil {
		return Entry{}, withoutContent(err)
	}
	entry := Entry{
		Labels: make(map[string]string, len(converted.Labels)),
		Line:   converted.Entry.Line,
		Raw:    format == formatRaw,
	}
	for name, value := range converted.Labels {
		entry.Labels[string(name)] = string(value)
	}
	return entry, nil
}

// formatOf finds the format where the translator finds it: the resource's comes first.
func formatOf(attributes, resourceAttributes pcommon.Map) string {
	for _, attrs := range [...]pcommon.Map{resourceAttributes, attributes} {
		if v, ok := attrs.Get(hintFormat); ok {
			return v.AsString()
		}
	}
	return formatJSON
}

var (
	errFormat = errors.New(hintFormat + " is none of " + formatJSON + ", " + formatLogfmt + " and " + formatRaw)
	errDots   = errors.New("the hints name attributes with too many dots")
	errName   = errors.New("a label or a key of the body has no valid name")
)

// check finds what the translator must not see, or would quote in its error.
func check(format string, attributes, resourceAttributes pcommon.Map) error {
	switch format {
	case formatJSON, formatLogfmt, formatRaw:
	default:
		return errFormat
	}
	total := 0
	for _, attrs := range [...]pcommon.Map{attributes, resourceAttributes} {
		for _, name := range [...]string{hintRecordLabels, hintResourceLabels} {
			if hint, ok := attrs.Get(name); ok {
				total += ways(hint)
			}
		}
	}
	if total > maxWays {
		return errDots
	}
	return nil
}

// maxWays bounds the ways to divide the names that a record's hints have: one name of 13 dots, or 1000 of three. The
// translator tries them all in search of an attribute inside of others.
const maxWays = 1 << 13

// ways is how many ways there are to divide the names that a hint has at some of their dots. It reads a hint as the
// translator does: a string has names separated by commas, a list has them one by one.
func ways(hint pcommon.Value) (total int) {
	switch hint.Type() {
	case pcommon.ValueTypeStr:
		for name := range strings.SplitSeq(hint.Str(), ",") {
			total += waysOf(name)
		}
	case pcommon.ValueTypeSlice:
		for _, name := range hint.Slice().All() {
			total += waysOf(name.AsString())
		}
	default:
		total = waysOf(hint.AsString())
	}
	return total
}

func waysOf(name string) int {
	const enough = 30
	return 1 << min(strings.Count(name, "."), enough)
}

// withoutContent returns an error of the translator's if it holds nothing of the record, or else says generally what
// may be wrong. Besides numbers that JSON has no words for, which the error names, it complains of names only, which it
// quotes.
func withoutContent(err error) error {
	var number *json.UnsupportedValueError
	if errors.As(err, &number) {
		return number
	}
	return errName
}
