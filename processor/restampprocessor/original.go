// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	maxOriginalLen = len("2006-01-02T15:04:05.999999999Z")
	// maxPerChunk bounds the memory that one string keeps alive.
	maxPerChunk = 128
)

// originals replaces timestamps and keeps them in an attribute. It is for the
// records of one batch and for one goroutine.
//
// It writes times in UTC exactly as time.RFC3339Nano does, at a fraction of the
// cost: records that follow one another mostly share their second, so it is
// formatted once, and their strings share their memory.
type originals struct {
	attribute string // empty: timestamps are not kept

	perChunk int // strings that share the next piece of memory
	chunk    strings.Builder
	second   int64
	prefix   []byte // second, without fraction and zone
}

// newOriginals takes how many times there will be to keep, as far as is known: the
// first of them share their memory.
func newOriginals(attribute string, records int) originals {
	return originals{attribute: attribute, perChunk: min(records, maxPerChunk)}
}

// replace sets a record's timestamp and keeps the original, 0 if there is none. An
// attribute that is there already is left as it is: a record that has been through
// another Collector carries the source's own time in it.
func (o *originals) replace(lr plog.LogRecord, original, at pcommon.Timestamp) {
	if o.attribute != "" && original != 0 {
		if v, exists := lr.Attributes().GetOrPutEmpty(o.attribute); !exists {
			v.SetStr(o.format(original))
		}
	}
	lr.SetTimestamp(at)
	if lr.ObservedTimestamp() == 0 {
		lr.SetObservedTimestamp(at)
	}
}

func (o *originals) format(ts pcommon.Timestamp) string {
	if o.chunk.Cap()-o.chunk.Len() < maxOriginalLen {
		o.chunk = strings.Builder{}
		o.chunk.Grow(o.perChunk * maxOriginalLen)
		o.perChunk = min(2*o.perChunk, maxPerChunk)
	}
	start := o.chunk.Len()

	t := ts.AsTime()
	if second := t.Unix(); second != o.second || o.prefix == nil {
		o.second = second
		o.prefix = t.AppendFormat(o.prefix[:0], "2006-01-02T15:04:05")
	}
	o.chunk.Write(o.prefix)

	if ns := t.Nanosecond(); ns != 0 {
		digits := [...]byte{'.', '0', '0', '0', '0', '0', '0', '0', '0', '0'}
		for i := len(digits) - 1; ns > 0; i-- {
			digits[i] += byte(ns % 10)
			ns /= 10
		}
		end := len(digits)
		for digits[end-1] == '0' {
			end--
		}
		o.chunk.Write(digits[:end])
	}
	o.chunk.WriteByte('Z')
	return o.chunk.String()[start:]
}
