// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"errors"

	"github.com/awsloki/awsloki/internal/jsonscan"
)

// errEnough ends the reading of a record before its end.
var errEnough = errors.New("nothing more is needed")

// jsonRecord reads records that are JSON objects, and leaves them as they are. It is made once for all records of an
// object, with the functions that use it, since those would be allocated for each record otherwise.
type jsonRecord struct {
	jsonscan.Scanner
	record []byte
}

// read calls member with each key of record until that returns errEnough; member reads the value. It says whether the
// record was read to its end: only then is it known that there is no other member.
func (r *jsonRecord) read(record []byte, member func(key string) error) (whole bool) {
	r.Scanner, r.record = jsonscan.New(record), record
	err := r.Object(member)
	r.Scanner, r.record = jsonscan.Scanner{}, nil
	return err == nil
}

// value reads the value that comes next: the text of a string or of a number, as it stands in the record. Nil: it is
// neither of them.
func (r *jsonRecord) value() ([]byte, error) {
	if r.Peek() == '"' {
		text, _, err := r.Raw()
		return text, err
	}
	start := r.Offset()
	isNumber := start < len(r.record) && isDigit(r.record[start])
	err := r.Skip()
	if !isNumber || r.Offset() == len(r.record) { // more digits may have been cut off
		return nil, err
	}
	return r.record[start:r.Offset()], err
}

// timeMember is a member of JSON records that has their time.
type timeMember struct {
	// object is the name of the object that it is a member of. Empty: it is one of the record itself.
	object, name string
	// parse returns 0 for what is no time.
	parse func(text []byte) int64
}

// newJSONParser returns a parser of records that have their time in the first of members, or where that says none, in
// the next.
func newJSONParser(members ...timeMember) Parser {
	var (
		r      jsonRecord
		found  int64
		best   int    // which of members found is from
		object string // the one that is being read
		member func(key string) error
	)
	member = func(key string) error {
		for i, m := range members[:best] {
			if m.object == object && m.name == key {
				text, err := r.value()
				if t := m.parse(text); t != 0 && err == nil {
					found, best = t, i
				}
				if best == 0 {
					return errEnough
				}
				return err
			}
			if object == "" && m.object != "" && m.object == key && r.Peek() == '{' {
				object = m.object
				err := r.Object(member)
				object = ""
				return err
			}
		}
		return r.Skip()
	}
	return func(record []byte) Record {
		found, best, object = 0, len(members), ""
		if whole := r.read(record, member); best > 0 && !whole {
			return Record{}
		}
		return Record{Time: found}
	}
}

// newCloudTrailParser is for the elements of Records. Other members may have an eventTime of their own.
func newCloudTrailParser() Parser {
	return newJSONParser(
		timeMember{name: "eventTime", parse: rfc3339},
		timeMember{object: "timeWindow", name: "windowStart", parse: rfc3339}, // of aggregated events
	)
}

func newWAFParser() Parser {
	return newJSONParser(timeMember{name: "timestamp", parse: epochMilliseconds})
}

func newRoute53ResolverParser() Parser {
	return newJSONParser(timeMember{name: "query_timestamp", parse: rfc3339})
}

// newNetworkFirewallParser is for Suricata's events, and what Network Firewall adds: whole seconds only.
func newNetworkFirewallParser() Parser {
	return newJSONParser(
		timeMember{object: "event", name: "timestamp", parse: rfc3339OrBasicZone},
		timeMember{name: "event_timestamp", parse: epochSeconds},
	)
}

// newGuardDutyParser is for findings. GuardDuty writes a finding again when it is updated.
func newGuardDutyParser() Parser {
	return newJSONParser(
		timeMember{name: "updatedAt", parse: rfc3339},
		timeMember{name: "createdAt", parse: rfc3339},
		timeMember{object: "service", name: "eventLastSeen", parse: rfc3339},
	)
}
