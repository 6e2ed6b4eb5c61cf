// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"math"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
)

// Options is what there is to know about a payload besides its bytes.
type Options struct {
	// MaxDecodedBytes is the most that a payload may decode to.
	MaxDecodedBytes int64
	// Reserve is asked for memory before it is allocated. Its error ends the decoding, and is in the chain of what is
	// returned. Nil: nobody is asked.
	Reserve func(bytes int64) error
	// Region is where the payload comes from, if it does not say so itself. Empty: not known.
	Region string
	// ExcludeLogGroup is the log group whose events are counted and left out. Empty: none.
	ExcludeLogGroup string
	// ObservedAt becomes the observed timestamp of every record.
	ObservedAt time.Time
}

func (o Options) limits() decompress.Limits {
	return decompress.Limits{MaxBytes: o.MaxDecodedBytes, Reserve: o.Reserve}
}

// About what there is in memory besides strings, which alias the payload: of a record with its body and its id, of a
// resource with its attributes, of one attribute more, of a name in a list, and of a Document.
const (
	recordMemory    = 256
	resourceMemory  = 1536
	attributeMemory = 112
	nameMemory      = 64
	documentMemory  = 96
)

// Batch is what a payload holds: log records, and the documents that they came in.
type Batch struct {
	Logs plog.Logs
	// Documents has what the payload is made of, in its order: subscription messages, or what else comes and goes as one.
	// Each has records, and resources of its own in Logs, in the same order.
	Documents []Document
	// DecodedBytes is the size of the payload without compression.
	DecodedBytes int
	// ControlMessages is how many messages there were that only check that the destination answers.
	ControlMessages int
	// ExcludedRecords is how many events were of the excluded log group.
	ExcludedRecords int
}

// Document is a part of a Batch.
type Document struct {
	// ID is the same at every delivery. Zero if the document carries nothing of AWS's to tell it apart by.
	ID ID
	// Resources and Records are how many of them are in Logs.
	Resources, Records int
}

// Records is how many records the documents have.
func (b *Batch) Records() int {
	records := 0
	for _, document := range b.Documents {
		records += document.Records
	}
	return records
}

// Drop removes from Logs what is of the documents that drop names by their place in Documents, which stays as it is. To
// be called once only.
func (b *Batch) Drop(drop func(document int) bool) {
	document, left := -1, 0
	b.Logs.ResourceLogs().RemoveIf(func(plog.ResourceLogs) bool {
		for left == 0 {
			document++
			left = b.Documents[document].Resources
		}
		left--
		return drop(document)
	})
}

// maxMilliseconds is the last time that newTimestamp takes.
const maxMilliseconds = math.MaxInt64 / int64(time.Millisecond)

func newTimestamp(milliseconds int64) pcommon.Timestamp {
	return pcommon.Timestamp(milliseconds * int64(time.Millisecond))
}
