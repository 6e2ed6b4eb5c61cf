// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// serviceNameLabel is a label that Loki gives to every stream that comes without it, after looking for a value in
// others. To send it spares Loki the search.
const (
	serviceNameLabel = "service_name"
	unknownService   = "unknown_service"
)

// Source is where an attribute is looked for.
type Source string

// Sources of attributes.
const (
	FromResource Source = "resource"
	FromRecord   Source = "record"
)

// LabelRule makes a label of an attribute.
type LabelRule struct {
	Attribute string
	// Label is the label's name. Empty: LabelName of the attribute.
	Label string
	// From is FromResource where empty.
	From Source
}

func (r LabelRule) name() string {
	if r.Label != "" {
		return r.Label
	}
	return LabelName(r.Attribute)
}

// label is one label of every stream, with the places to look for its value.
type label struct {
	name string
	// rules, in the order of preference: the first that gives a value wins.
	rules []LabelRule
	// static is the value where no rule gives one. Empty: no label then.
	static string
}

// newLabels sorts the rules by the labels that they make, so that equal label sets are written alike.
func newLabels(rules []LabelRule, static map[string]string) ([]label, error) {
	var errs []error
	byName := map[string]*label{}
	get := func(name string) *label {
		l, ok := byName[name]
		if !ok {
			l = &label{name: name}
			byName[name] = l
			errs = append(errs, checkLabelName(name))
		}
		return l
	}
	for _, rule := range rules {
		switch {
		case rule.Attribute == "":
			errs = append(errs, errors.New("a label rule without an attribute"))
			continue
		case rule.From == "":
			rule.From = FromResource
		case rule.From != FromResource && rule.From != FromRecord:
			errs = append(errs, fmt.Errorf("label of attribute %q: from %q is neither %q nor %q", rule.Attribute, rule.From, FromResource, FromRecord))
		}
		l := get(rule.name())
		l.rules = append(l.rules, rule)
	}
	for name, value := range static {
		get(name).static = value
	}
	if l := get(serviceNameLabel); l.static == "" {
		l.static = unknownService
	}
	labels := make([]label, 0, len(byName))
	for _, l := range byName {
		labels = append(labels, *l)
	}
	slices.SortFunc(labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	return labels, errors.Join(errs...)
}

func checkLabelName(name string) error {
	if !isLabelName(name) {
		return fmt.Errorf("label name %q is not letters, digits and underscores with a letter or an underscore first", name)
	}
	if strings.HasPrefix(name, "__") {
		return fmt.Errorf("label name %q begins with two underscores, which is reserved", name)
	}
	return nil
}

// appendLabelSet appends the label set of a record in the syntax of Prometheus. scratch is overwritten.
func appendLabelSet(dst []byte, labels []label, resource, record pcommon.Map, scratch *[]byte) []byte {
	dst = append(dst, '{')
	for i := range labels {
		value := labels[i].appendValue((*scratch)[:0], resource, record)
		*scratch = value
		if len(value) == 0 {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, labels[i].name...)
		dst = append(dst, '=')
		dst = strconv.AppendQuote(dst, string(value))
	}
	return append(dst, '}')
}

// appendValue appends the label's value, or nothing if it has none.
func (l *label) appendValue(dst []byte, resource, record pcommon.Map) []byte {
	before := len(dst)
	for _, rule := range l.rules {
		attrs := resource
		if rule.From == FromRecord {
			attrs = record
		}
		if v, ok := attrs.Get(rule.Attribute); ok {
			if dst = appendValue(dst, v); len(dst) > before {
				return dst
			}
		}
	}
	return append(dst, l.static...)
}

// appendValue appends an attribute's value as text. A list of one element gives that element, and any other list or
// map gives JSON.
func appendValue(dst []byte, v pcommon.Value) []byte {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return append(dst, v.Str()...)
	case pcommon.ValueTypeInt:
		return strconv.AppendInt(dst, v.Int(), 10)
	case pcommon.ValueTypeBool:
		return strconv.AppendBool(dst, v.Bool())
	case pcommon.ValueTypeSlice:
		if list := v.Slice(); list.Len() == 1 {
			return appendValue(dst, list.At(0))
		}
	}
	return append(dst, v.AsString()...)
}
