// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"fmt"
	"slices"
	"strings"

	"github.com/valyala/fastjson"
)

const (
	maxIdentifierLength = 64
	maxNamedKeys        = 10
)

// isIdentifier tells whether s looks like AWS's names for fields, event sources and types. What looks otherwise is
// somebody's content and stays out of messages.
func isIdentifier(s string) bool {
	if s == "" || len(s) > maxIdentifierLength {
		return false
	}
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && !strings.ContainsRune(" .:_/-", rune(c)) {
			return false
		}
	}
	return true
}

// describeRecord names the event source of a record.
func describeRecord(source string, number, of int) string {
	if isIdentifier(source) {
		return fmt.Sprintf("`eventSource` %q", source)
	}
	return fmt.Sprintf("record %d of %d, which names no `eventSource` that is known", number, of)
}

// describe names what tells the kind of an event: the source of an EventBridge event, or else the top-level keys.
func describe(event *fastjson.Value) string {
	source, detailType := text(event, "source"), text(event, "detail-type")
	if isIdentifier(source) && isIdentifier(detailType) {
		return fmt.Sprintf("`source` %q with `detail-type` %q", source, detailType)
	}
	return describeKeys(event.GetObject())
}

func describeKeys(event *fastjson.Object) string {
	if event.Len() == 0 {
		return "an empty object"
	}
	var names []string
	event.Visit(func(key []byte, _ *fastjson.Value) {
		if isIdentifier(string(key)) {
			names = append(names, fmt.Sprintf("%q", key))
		}
	})
	slices.Sort(names)
	names = slices.Compact(names)
	names = names[:min(len(names), maxNamedKeys)]
	if len(names) < event.Len() {
		names = append(names, "others")
	}
	return "an object with " + strings.Join(names, ", ")
}
