// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// labelSet is the labels of one stream before they are written. Its memory is used again.
type labelSet struct {
	labels []labelValue
	// values are those of all labels, one after another. The first used of their bytes belong to a label.
	values []byte
	used   int
}

// labelValue is one label of a set.
type labelValue struct {
	name string
	// from and to are where the value is in the set's values.
	from, to int
	rank     int
	demoted  bool
}

func (s *labelSet) reset() { s.labels, s.values, s.used = s.labels[:0], s.values[:0], 0 }

// add takes what was appended to the set's values since it was last called as the value of a label, if there is any.
func (s *labelSet) add(name string, rank int) {
	if to := len(s.values); to > s.used {
		s.labels = append(s.labels, labelValue{name: name, from: s.used, to: to, rank: rank})
		s.used = to
	}
}

func (s *labelSet) value(l *labelValue) []byte { return s.values[l.from:l.to] }

// isEmpty says whether all labels, if there are any, are demoted.
func (s *labelSet) isEmpty() bool {
	return !slices.ContainsFunc(s.labels, func(l labelValue) bool { return !l.demoted })
}

func (s *labelSet) has(name string) bool {
	_, ok := s.find(name)
	return ok
}

func (s *labelSet) find(name string) (value []byte, ok bool) {
	i := slices.IndexFunc(s.labels, func(l labelValue) bool { return l.name == name && !l.demoted })
	if i < 0 {
		return nil, false
	}
	return s.value(&s.labels[i]), true
}

// fill collects the labels that the rules give a record.
func (s *labelSet) fill(labels []label, resource, record pcommon.Map) {
	s.reset()
	for i := range labels {
		s.values = labels[i].appendValue(s.values, resource, record)
		s.add(labels[i].name, labels[i].rank)
	}
}

// fillGiven collects labels that are given by name and value. Of two that name makes the same of, the one stays that is
// named so, or else the first in the order of their names.
func (s *labelSet) fillGiven(labels map[string]string, name func(string) string) {
	s.reset()
	for i, given := range slices.Sorted(maps.Keys(labels)) {
		valid := name(given)
		if valid != given && (labels[valid] != "" || s.has(valid)) {
			continue
		}
		s.values = append(s.values, labels[given]...)
		s.add(valid, i)
	}
}

// hasLabel says whether any of labels has a value.
func hasLabel(labels map[string]string) bool {
	for _, value := range labels {
		if value != "" {
			return true
		}
	}
	return false
}

// limit demotes the labels whose names or values are longer than Loki takes, and, of the rest, those beyond the number
// that it takes. It does not count service_name (pkg/distributor/validator.go, ValidateLabels).
func (s *labelSet) limit(limits *Limits) {
	slices.SortStableFunc(s.labels, func(a, b labelValue) int { return cmp.Compare(a.rank, b.rank) })
	n := 0
	for i := range s.labels {
		l := &s.labels[i]
		counts := l.name != serviceNameLabel
		l.demoted = over(len(l.name), limits.MaxLabelNameLength) || over(l.to-l.from, limits.MaxLabelValueLength) ||
			counts && over(n+1, limits.MaxLabelNamesPerSeries)
		if counts && !l.demoted {
			n++
		}
	}
}

// complete adds the service_name that Loki would add, if there is none: to send it spares Loki the search.
func (s *labelSet) complete() {
	if _, ok := s.find(serviceNameLabel); ok {
		return
	}
	service := []byte(unknownService)
	for _, name := range serviceLabels {
		if value, ok := s.find(name); ok {
			service = value
			break
		}
	}
	s.values = append(s.values, service...)
	s.add(serviceNameLabel, staticRank)
}

// appendText appends the labels that are left in the syntax of Prometheus, in the order of their names, so that equal
// sets are written alike.
func (s *labelSet) appendText(dst []byte) []byte {
	slices.SortFunc(s.labels, func(a, b labelValue) int { return cmp.Compare(a.name, b.name) })
	dst = append(dst, '{')
	for i := range s.labels {
		l := &s.labels[i]
		if l.demoted {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, l.name...)
		dst = append(dst, '=')
		dst = strconv.AppendQuote(dst, readable(s.value(l)))
	}
	return append(dst, '}')
}

// queryable replaces, in a value of structured metadata, U+FFFD and what is not UTF-8. Where a name comes twice in an
// entry, Loki takes the value as it is, and then fails every query that finds the line.
func queryable(value []byte) []byte {
	if bytes.IndexByte(value, unreadable[0]) < 0 && utf8.Valid(value) {
		return value
	}
	return bytes.ReplaceAll(bytes.ToValidUTF8(value, replacement), unreadable, replacement)
}

var (
	unreadable  = []byte(string(utf8.RuneError))
	replacement = []byte("?")
)

// readable replaces what is not UTF-8, which Loki would name in other words than ours, and U+FFFD, for the sake of which
// it refuses a whole request, whether it is escaped or not. It stands for characters that somebody else could not read.
func readable(value []byte) string { return string(queryable(value)) }
