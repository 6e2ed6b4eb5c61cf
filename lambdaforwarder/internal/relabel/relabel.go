// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package relabel applies Prometheus's relabel rules to labels.
// https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config
//
// Prometheus's own package does the same (github.com/prometheus/prometheus/model/relabel); tests compare with it. It is
// not used itself, since what it imports makes the linker keep every method of the program: the forwarder would have half
// as much again.
package relabel

import (
	"crypto/md5" //nolint:gosec // as Prometheus does it; nothing is kept secret by it
	"encoding/binary"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Action is what a rule does.
type Action string

// Actions there are.
const (
	Replace   Action = "replace"
	Keep      Action = "keep"
	Drop      Action = "drop"
	KeepEqual Action = "keepequal"
	DropEqual Action = "dropequal"
	HashMod   Action = "hashmod"
	LabelMap  Action = "labelmap"
	LabelDrop Action = "labeldrop"
	LabelKeep Action = "labelkeep"
	Lowercase Action = "lowercase"
	Uppercase Action = "uppercase"
)

// Rule is one rule. Only Parse makes them.
type Rule struct {
	action       Action
	sourceLabels []string
	separator    string
	regex        *regexp.Regexp
	modulus      uint64
	targetLabel  string
	replacement  string
}

// Apply changes labels as the rules say, one after another. It returns false if a rule says that what has them is not
// wanted. A label without a value is none.
func Apply(labels map[string]string, rules []Rule) (wanted bool) {
	for i := range rules {
		if !rules[i].apply(labels) {
			return false
		}
	}
	return true
}

func (r *Rule) apply(labels map[string]string) (wanted bool) {
	value := r.value(labels)
	switch r.action {
	case Drop:
		return !r.regex.MatchString(value)
	case Keep:
		return r.regex.MatchString(value)
	case DropEqual:
		return labels[r.targetLabel] != value
	case KeepEqual:
		return labels[r.targetLabel] == value
	case Replace:
		r.replace(labels, value)
	case Lowercase:
		set(labels, r.targetLabel, strings.ToLower(value))
	case Uppercase:
		set(labels, r.targetLabel, strings.ToUpper(value))
	case HashMod:
		sum := md5.Sum([]byte(value)) //nolint:gosec // see above
		set(labels, r.targetLabel, strconv.FormatUint(binary.BigEndian.Uint64(sum[8:])%r.modulus, 10))
	case LabelMap:
		r.rename(labels)
	case LabelDrop:
		maps.DeleteFunc(labels, func(name, _ string) bool { return r.regex.MatchString(name) })
	case LabelKeep:
		maps.DeleteFunc(labels, func(name, _ string) bool { return !r.regex.MatchString(name) })
	}
	return true
}

// value is the values of the source labels.
func (r *Rule) value(labels map[string]string) string {
	values := make([]string, len(r.sourceLabels))
	for i, name := range r.sourceLabels {
		values[i] = labels[name]
	}
	return strings.Join(values, r.separator)
}

func (r *Rule) replace(labels map[string]string, value string) {
	match := r.regex.FindStringSubmatchIndex(value)
	if match == nil {
		return
	}
	target := string(r.regex.ExpandString(nil, r.targetLabel, value, match))
	if IsLabelName(target) {
		set(labels, target, string(r.regex.ExpandString(nil, r.replacement, value, match)))
	}
}

// rename goes by what there was before, in the order of names, so that it does not matter how a map is kept.
func (r *Rule) rename(labels map[string]string) {
	before := maps.Clone(labels)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if r.regex.MatchString(name) {
			set(labels, r.regex.ReplaceAllString(name, r.replacement), before[name])
		}
	}
}

func set(labels map[string]string, name, value string) {
	if value == "" {
		delete(labels, name)
		return
	}
	labels[name] = value
}

// IsLabelName says whether Loki takes name for the name of a label.
func IsLabelName(name string) bool {
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
