// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"errors"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
)

// maxRequestBytes bounds the records that go in one request, unless one has more by itself.
const maxRequestBytes = 1 << 20

// runLength is how many of the items, from the first, go in one request: records of one stream that are of one form.
func runLength(items []event.Item) int {
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
		if size += len(r.Data); size > maxRequestBytes {
			return n
		}
	}
	return len(items)
}

// sendRecords sends records in one request. If they are refused for what they hold it is divided, until those that are
// refused are alone. Where Loki has judged them line by line there is nothing to be found that way.
func (r *Result) sendRecords(ctx context.Context, items []event.Item, to Destination) {
	judged := false
	send := func(documents []byte) error {
		tally, err := to.SendMessages(ctx, documents, items[0].Record.StreamARN)
		r.Add(tally)
		judged = tally.RefusedLines() > 0
		return err
	}
	inGzip := items[0].Record.IsGzip()
	err := send(join(items, inGzip))
	switch refused, ok := errors.AsType[*delivery.RefusedError](err); {
	case err == nil:
		r.Forwarded += len(items)
	case !ok || !refused.OfContent() || judged:
		r.failAll(items, err)
	case len(items) > 1:
		r.sendHalves(ctx, items, to)
	case inGzip:
		// It may be gzip of something else than messages of CloudWatch Logs.
		r.count(&items[0], send(join(items, false)))
	default:
		r.count(&items[0], err)
	}
}

func (r *Result) sendHalves(ctx context.Context, items []event.Item, to Destination) {
	half := len(items) / 2
	r.sendRecords(ctx, items[:half], to)
	if err := r.unavailable(); err != nil {
		r.failAll(items[half:], err)
		return
	}
	r.sendRecords(ctx, items[half:], to)
}

// join makes one request of records: their gzip members one after another, without being decompressed, or
// a document for each. The memory is new: it is given away, and records may be sent again.
func join(items []event.Item, inGzip bool) (documents []byte) {
	for i := range items {
		if inGzip {
			documents = append(documents, items[i].Record.Data...)
		} else {
			documents = items[i].Record.AppendDocument(documents)
		}
	}
	return documents
}
