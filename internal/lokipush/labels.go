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

// serviceLabels are where Loki looks for a stream's service, in its order (pkg/validation/limits.go,
// discover_service_name).
var serviceLabels = []string{
	"service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container", "container_name",
	"k8s_container_name", "component", "workload", "job", "k8s_job_name",
}

// Source is where an attribute is looked for.
type Source string

// Sources of attributes.
const (
	FromResource Source = "resource"
	FromRecord   Source = "record"
	// fromScope is none for labels, so that all attributes of scopes are structured metadata.
	fromScope Source = "scope"
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
	// rank says who stays where there are more labels than Loki takes: those of the lowest ranks.
	rank int
}

// Check says what is wrong with a rule.
func (r LabelRule) Check() error {
	switch {
	case r.Attribute == "":
		return errors.New("the attribute is missing")
	case r.From != "" && r.From != FromResource && r.From != FromRecord:
		return fmt.Errorf("from must be %q or %q, found %q", FromResource, FromRecord, r.From)
	}
	return checkLabelName(r.name())
}

// CheckStaticLabel says what is wrong with a static label.
func CheckStaticLabel(name, value string) error {
	if value == "" {
		return errors.New("the value is empty: Loki has no empty labels")
	}
	return checkLabelName(name)
}

func checkLabelName(name string) error {
	if !isLabelName(name) {
		return fmt.Errorf("label name %q must have letters, digits and underscores only, no digit first, and no double underscore first", name)
	}
	return nil
}

// givenName is LabelName for a label that somebody names as it is to be: two underscores may begin it.
func givenName(name string) string {
	const first = "a" // what begins so needs no prefix
	valid := LabelName(first + name)[len(first):]
	if strings.Trim(valid, "_") == "" || isDigit(valid[0]) {
		return namePrefix + valid
	}
	return valid
}

// newLabels sorts the rules by the labels that they make, so that equal label sets are written alike.
func newLabels(rules []LabelRule, static map[string]string) ([]label, error) {
	var errs []error
	byName := map[string]*label{serviceNameLabel: {name: serviceNameLabel}}
	get := func(name string, rank int) *label {
		l, ok := byName[name]
		if !ok {
			l = &label{name: name, rank: rank}
			byName[name] = l
		}
		return l
	}
	for name, value := range static {
		if err := CheckStaticLabel(name, value); err != nil {
			errs = append(errs, fmt.Errorf("static label %q: %w", name, err))
		}
		get(name, staticRank).static = value
	}
	for i, rule := range rules {
		if err := rule.Check(); err != nil {
			errs = append(errs, fmt.Errorf("label rule %d: %w", i, err))
		}
		if rule.From == "" {
			rule.From = FromResource
		}
		l := get(rule.name(), i)
		l.rules = append(l.rules, rule)
	}
	labels := make([]label, 0, len(byName))
	for _, l := range byName {
		labels = append(labels, *l)
	}
	slices.SortFunc(labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	return labels, errors.Join(errs...)
}

// staticRank is that of labels which are given by name and value: they stay before all others.
const staticRank = -1

// appendValue appends the label's value, or nothing if it has none.
func (l *label) appendValue(dst []byte, resource, record pcommon.Map) []byte {
	before := len(dst)
	for _, rule := range l.rules {
		attrs := resource
		if rule.From == FromRecord {
			attrs = record
		}
		if v, ok := attrs.Get(rule.Attribute); ok {
			if dst = AppendValue(dst, v); len(dst) > before {
				return dst
			}
		}
	}
	return append(dst, l.static...)
}

// AppendValue appends an attribute's value as the text that it is in a label or in structured metadata. A list of one
// element gives that element, and any other list or map gives JSON.
func AppendValue(dst []byte, v pcommon.Value) []byte {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return append(dst, v.Str()...)
	case pcommon.ValueTypeInt:
		return strconv.AppendInt(dst, v.Int(), 10)
	case pcommon.ValueTypeBool:
		return strconv.AppendBool(dst, v.Bool())
	case pcommon.ValueTypeSlice:
		if list := v.Slice(); list.Len() == 1 {
			return AppendValue(dst, list.At(0))
		}
	}
	return append(dst, text(v)...)
}

// text is an attribute or a body that is no string as text, lists and maps as JSON. JSON has no words for some numbers;
// what holds them is written as Go prints it.
func text(v pcommon.Value) string {
	if s := v.AsString(); s != "" || v.Type() != pcommon.ValueTypeMap && v.Type() != pcommon.ValueTypeSlice {
		return s
	}
	return fmt.Sprint(v.AsRaw())
}
