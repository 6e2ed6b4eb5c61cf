// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/binary"
	"slices"

	"go.opentelemetry.io/collector/pdata/plog"
)

// decodeMessages decodes the last piece of an object that Firehose has written. Some of its records may be messages of
// CloudWatch Logs. Any other is a line, also a broken message: it must not hold up the others.
func (r *ObjectReader) decodeMessages() (Batch, error) {
	r.memory.begin()
	opts := r.opts
	opts.Reserve = r.memory.take
	messages := newSubscriptionDecoder(opts)
	p := r.last.piece
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
			lines = r.newBatch(p.frames[i:])
		}
		lines.append(text, f.number, r.last.said[i])
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
	before, resources := d.batch, d.batch.Logs.ResourceLogs().Len()
	if err := d.decode(bytes.Clone(text)); err != nil { // in place, and the piece may be decoded again
		d.discard()
		d.batch = before
		keepFirst(d.batch.Logs.ResourceLogs(), resources)
		return false, r.memory.err
	}
	if len(d.batch.Documents) > len(before.Documents) {
		r.take(&d.batch, number)
	}
	return true, nil
}

// take makes the last document of the batch, which has this number in the object, one of the object's.
func (r *ObjectReader) take(batch *Batch, number int) {
	document := &batch.Documents[len(batch.Documents)-1]
	skip := r.object.Skip - r.record
	r.record += document.Records
	isPart := 0 < skip && skip < document.Records
	if isPart {
		dropRecords(batch.Logs.ResourceLogs(), document.Resources, skip)
		document.Records -= skip
	}
	if isPart || document.ID == (ID{}) {
		document.ID = r.placeID(number, max(skip, 0))
	}
}

// placeID is the id of what begins behind skip events of the message with this number: the ETag tells what that is.
func (r *ObjectReader) placeID(number, skip int) ID {
	if r.object.ETag == "" {
		return ID{}
	}
	place := binary.AppendUvarint(slices.Clone(r.identity), uint64(number))
	return newID(binary.AppendUvarint(place, uint64(skip)), 0)
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
