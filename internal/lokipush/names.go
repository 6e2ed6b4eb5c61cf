// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import "strings"

const (
	// namePrefix makes a name valid that cannot stand by itself.
	namePrefix = "key_"
	// reservedPrefix begins names that mean something to Loki: with __error__, queries that count fail.
	reservedPrefix = "__"
)

// LabelName is an attribute's name in the form that Loki takes for labels and for structured metadata: letters, digits
// and underscores, not a digit first. Every other character becomes an underscore, as Loki does it to names that come
// by OTLP.
//
// A name with no letter and no digit at all is given a prefix: Loki answers 500 to a whole request for the sake of one
// pair of structured metadata whose name is empty or becomes nothing but underscores. So is a name that is reserved.
func LabelName(attribute string) string {
	if isLabelName(attribute) {
		return attribute
	}
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && isNameByte(byte(r)) {
			return r
		}
		return '_'
	}, attribute)
	if isLabelName(name) {
		return name
	}
	return namePrefix + name
}

func isLabelName(name string) bool {
	meaningful := false
	for i := range len(name) {
		if !isNameByte(name[i]) {
			return false
		}
		meaningful = meaningful || name[i] != '_'
	}
	return meaningful && !isDigit(name[0]) && !strings.HasPrefix(name, reservedPrefix)
}

func isNameByte(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
