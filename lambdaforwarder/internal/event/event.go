// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package event recognises the events that Lambda is invoked with.
//
// It looks at the few fields that tell one kind from another and ignores all
// others: AWS adds fields to its events without notice.
package event

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/valyala/fastjson"
)

// MalformedError is returned for an event that is cut short, damaged or lacks
// what its kind must have. It never holds any of the event's content.
type MalformedError struct{ problem string }

func (e *MalformedError) Error() string { return "malformed event: " + e.problem }

// UnsupportedError is returned for an event of a kind that is not forwarded. It
// names what tells the kind, and never holds other content of the event.
type UnsupportedError struct{ found string }

func (e *UnsupportedError) Error() string {
	return "unsupported event: found " + e.found + ", want a CloudWatch Logs subscription event"
}

// Parser parses one event at a time.
type Parser struct{ json fastjson.Parser }

var parsers = sync.Pool{New: func() any { return new(Parser) }}

// GetParser takes a parser from the pool. Return it with Put.
func GetParser() *Parser { return parsers.Get().(*Parser) }

// Put returns the parser to the pool, after which its last Event is not valid.
func (p *Parser) Put() { parsers.Put(p) }

// Event is an event that the forwarder can forward. It is valid until the next
// use of the parser that made it.
type Event struct {
	// subscription is awslogs.data: base64 of a gzip member with one
	// CloudWatch Logs subscription message.
	subscription []byte
}

// Parse recognises the event in payload, which it neither changes nor keeps.
func (p *Parser) Parse(payload []byte) (Event, error) {
	root, err := p.json.ParseBytes(payload)
	if err != nil {
		return Event{}, &MalformedError{problem: jsonProblem(payload)}
	}
	if root.Type() != fastjson.TypeObject {
		return Event{}, &MalformedError{problem: fmt.Sprintf("its JSON type is %s, want object", root.Type())}
	}
	awslogs := member(root, "awslogs")
	if awslogs == nil {
		return Event{}, &UnsupportedError{found: describe(root)}
	}
	data := member(awslogs, "data")
	if data == nil {
		return Event{}, &MalformedError{problem: "`awslogs` has no `data`"}
	}
	text, err := data.StringBytes()
	if err != nil {
		return Event{}, &MalformedError{problem: fmt.Sprintf("the JSON type of `awslogs.data` is %s, want string", data.Type())}
	}
	return Event{subscription: text}, nil
}

// Message returns the gzip bytes of the event's subscription message, in a new
// buffer. They are not decompressed: the collector finds out whether they are whole.
func (e Event) Message() ([]byte, error) {
	message, err := base64.StdEncoding.AppendDecode(nil, e.subscription)
	if err != nil {
		problem := "`awslogs.data` is not base64"
		if corrupt, ok := errors.AsType[base64.CorruptInputError](err); ok {
			problem = fmt.Sprintf("%s at byte %d of %d", problem, int64(corrupt), len(e.subscription))
		}
		return nil, &MalformedError{problem: problem}
	}
	// RFC 1952, section 2.3.1: ID1, ID2 and the only compression method there is.
	if len(message) < 3 || message[0] != 0x1f || message[1] != 0x8b || message[2] != 8 {
		return nil, &MalformedError{problem: fmt.Sprintf("the %d bytes in `awslogs.data` are not gzip", len(message))}
	}
	return message, nil
}

// member returns the last member of that name, as encoding/json would, where
// fastjson's own Get returns the first. It is nil where there is none.
func member(object *fastjson.Value, name string) (found *fastjson.Value) {
	o, err := object.Object()
	if err != nil {
		return nil
	}
	o.Visit(func(key []byte, v *fastjson.Value) {
		if string(key) == name {
			found = v
		}
	})
	return found
}

// jsonProblem says where the JSON breaks. fastjson's errors quote the payload
// and must not be passed on.
func jsonProblem(payload []byte) string {
	var whole json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(payload, &whole)); ok {
		return fmt.Sprintf("not JSON at byte %d of %d", syntax.Offset, len(payload))
	}
	return fmt.Sprintf("not JSON that can be read, %d bytes", len(payload))
}

const (
	maxIdentifierLength = 64
	maxNamedKeys        = 10
)

// isIdentifier tells whether s looks like AWS's names for fields, event sources
// and types. What looks otherwise is somebody's content and stays out of messages.
func isIdentifier(s []byte) bool {
	if len(s) == 0 || len(s) > maxIdentifierLength {
		return false
	}
	for _, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && !strings.ContainsRune(" .:_/-", rune(c)) {
			return false
		}
	}
	return true
}

// describe names what tells the kind of an event: the event source of its
// records, the source of an EventBridge event, or else the top-level keys.
func describe(event *fastjson.Value) string {
	for _, key := range []string{"eventSource", "EventSource"} { // SNS alone writes it with a capital
		if source := event.GetStringBytes("Records", "0", key); isIdentifier(source) {
			return fmt.Sprintf("`%s` %q", key, source)
		}
	}
	source, detailType := event.GetStringBytes("source"), event.GetStringBytes("detail-type")
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
		if isIdentifier(key) {
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
