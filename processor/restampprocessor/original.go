// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

const (
	maxOriginalLen = len("2006-01-02T15:04:05.999999999Z")
	// maxPerChunk bounds the memory that one string keeps alive.
	maxPerChunk = 128
)

// originals writes timestamps in UTC exactly as time.RFC3339Nano does, at a
// fraction of the cost: records that follow one another mostly share their
// second, so it is formatted once, and their strings share their memory. It is
// for the records of one batch and for one goroutine.
type originals struct {
	perChunk int // strings that share one piece of memory
	chunk    strings.Builder
	second   int64
	prefix   []byte // second, without fraction and zone
}

func newOriginals(records int) originals {
	return originals{perChunk: min(records, maxPerChunk)}
}

func (o *originals) format(ts pcommon.Timestamp) string {
	if o.chunk.Cap()-o.chunk.Len() < maxOriginalLen {
		o.chunk = strings.Builder{}
		o.chunk.Grow(o.perChunk * maxOriginalLen)
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
