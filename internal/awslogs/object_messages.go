// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/awslogs/s3log"
)

// decodeMessages decodes a piece of an object that holds messages of CloudWatch Logs, which Firehose has written. A record
// that is none, or a broken one, is a line: it must not hold up the others.
func (r *ObjectReader) decodeMessages(p piece) (Batch, error) {
	r.memory.begin()
	opts := r.opts
	opts.Reserve = r.memory.take
	messages := newSubscriptionDecoder(opts)
	var lines *objectBatch
	skipped := 0
	for i, f := range p.frames {
		text := p.data[f.start:f.end:f.end]
		done, err := r.decodeMessage(messages, text, f.number)
		if err != nil {
			return Batch{}, err
		}
		if r.record <= r.object.Skip {
			skipped = len(messages.batch.Documents)
		}
		if done {
			continue
		}
		r.record++
		if r.record <= r.object.Skip {
			continue
		}
		if lines == nil {
			lines = r.newBatch(p.frames[i:], s3log.Firehose)
		}
		lines.append(text, f.number, s3log.Record{})
	}
	batch := messages.batch
	batch.DecodedBytes = len(p.data)
	batch.Drop(func(document int) bool { return document < skipped })
	batch.Documents = batch.Documents[skipped:]
	if lines != nil {
		finished := lines.finish(p.data)
		batch.Documents = append(batch.Documents, finished.Documents...)
		finished.Logs.ResourceLogs().MoveAndAppendTo(batch.Logs.ResourceLogs())
	}
	return batch, nil
}

// decodeMessage adds the message that text is, with this number in the object, to those of the piece. It returns false if
// text is none. The error is that of what was asked for memory.
func (r *ObjectReader) decodeMessage(d *subscriptionDecoder, text []byte, number int) (done bool, err error) {
	if !isSubscription(text) {
		return false, nil
	}
	if err := r.memory.take(int64(len(text))); err != nil {
		return false, err
	}
	documents, resources := len(d.batch.Documents), d.batch.Logs.ResourceLogs().Len()
	if err := d.decode(bytes.Clone(text)); err != nil { // in place, and the piece may be decoded again
		d.discard()
		d.batch.Documents = d.batch.Documents[:documents]
		keepFirst(d.batch.Logs.ResourceLogs(), resources)
		return false, r.memory.err
	}
	if len(d.batch.Documents) > documents {
		r.take(&d.batch, number)
	}
	return true, nil
}

// take makes the last document of the batch, which has this number in the object, one of the object's.
func (r *ObjectReader) take(batch *Batch, number int) {
	document := &batch.Documents[len(batch.Documents)-1]
	if document.ID == (ID{}) && r.object.ETag != "" {
		document.ID = newID(r.identity, uint64(number)) // the object's bytes are told apart by its ETag
	}
	skip := r.object.Skip - r.record
	r.record += document.Records
	if 0 < skip && skip < document.Records {
		dropRecords(batch.Logs.ResourceLogs(), document.Resources, skip)
		document.Records -= skip
		document.ID = ID{} // it is not that document any more
	}
}

// keepFirst removes all but the first n resources.
func keepFirst(all plog.ResourceLogsSlice, n int) {
	all.RemoveIf(func(plog.ResourceLogs) bool {
		n--
		return n < 0
	})
}

// dropRecords removes the first n records of the last resources. A resource that has no records any more stays.
func dropRecords(all plog.ResourceLogsSlice, resources, n int) {
	for i := all.Len() - resources; i < all.Len(); i++ {
		all.At(i).ScopeLogs().At(0).LogRecords().RemoveIf(func(plog.LogRecord) bool {
			n--
			return n >= 0
		})
	}
}

// pieceMemory asks for the memory of pieces, of which there is one at a time.
type pieceMemory struct {
	reserve func(bytes int64) error
	// used is what the piece at hand takes, and held is the most that one took.
	used, held int64
	// err is what reserve returned.
	err error
}

func (m *pieceMemory) begin() { m.used = 0 }

func (m *pieceMemory) take(n int64) error {
	m.used += n
	if m.reserve == nil || m.used <= m.held {
		return nil
	}
	m.err = m.reserve(m.used - m.held)
	m.held = m.used
	return m.err
}
