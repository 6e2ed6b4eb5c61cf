// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"errors"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
)

// runLength is how many of the items, from the first, go in one request: records of one stream that are of one form, and of
// at most so many bytes unless one has more by itself.
func runLength(items []event.Item, most int) int {
	first := items[0].Record
	if first == nil {
		return 1
	}
	size := len(first.Data)
	for n := 1; n < len(items); n++ {
		r := items[n].Record
		if r == nil || r.StreamARN != first.StreamARN || r.IsGzip() != first.IsGzip() {
			return n
		}
		if size += len(r.Data); size > most {
			return n
		}
	}
	return len(items)
}

// sendRecords sends records in one request. Gzip that is refused for what it holds may be of something else than messages
// of CloudWatch Logs: it is sent again as documents.
func (r *Result) sendRecords(ctx context.Context, items []event.Item, to Destination) {
	if items[0].Record.IsGzip() {
		tally, err := to.SendMessages(ctx, joinGzip(items), items[0].Record.StreamARN)
		r.Add(tally)
		if !isDivisible(tally, err) {
			r.countAll(items, err)
			return
		}
	}
	_ = r.sendDocuments(ctx, items, to) // it is counted
}

// sendDocuments sends a document for each record. If they are refused for what they hold they are divided, until those that
// are refused are alone. The error is that of the last request.
func (r *Result) sendDocuments(ctx context.Context, items []event.Item, to Destination) error {
	tally, err := to.SendMessages(ctx, joinDocuments(items), items[0].Record.StreamARN)
	r.Add(tally)
	if len(items) == 1 || !isDivisible(tally, err) {
		r.countAll(items, err)
		return err
	}
	half := len(items) / 2
	if err := r.sendDocuments(ctx, items[:half], to); isUnavailable(err) {
		r.countAll(items[half:], err)
		return err
	}
	return r.sendDocuments(ctx, items[half:], to)
}

// isDivisible says whether a part of a request may be taken that was refused as a whole. Where Loki has taken lines of it,
// or has said of lines that it does not want them, there is nothing to be found that way.
func isDivisible(tally delivery.Tally, err error) bool {
	refused, ok := errors.AsType[*delivery.RefusedError](err)
	return ok && refused.OfContent() && tally.Lines == 0 && tally.RefusedLines() == 0
}

// joinGzip puts the gzip members of records one after another, without decompressing them, in new memory: it is given away,
// and records may be sent again.
func joinGzip(items []event.Item) (members []byte) {
	for i := range items {
		members = append(members, items[i].Record.Data...)
	}
	return members
}

// joinDocuments makes a document of each record.
func joinDocuments(items []event.Item) (documents []byte) {
	for i := range items {
		documents = items[i].Record.AppendDocument(documents)
	}
	return documents
}
