// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package forward delivers what an event holds, item by item, and knows of each what became of it.
package forward

import (
	"context"
	"errors"
	"net/http"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
)

// Destination takes what events hold. It may be used by many goroutines.
type Destination interface {
	// SendMessages sends documents of the forwarding protocol's subscription path, which belong to it from then on. The
	// stream that they came by, if any, has the given ARN.
	SendMessages(ctx context.Context, documents []byte, streamARN string) (delivery.Tally, error)
	// MaxRecordBytes is how many bytes of Kinesis records are to go in one request, unless one has more by itself.
	MaxRecordBytes() int
	// SendObject sends the lines of an object.
	SendObject(ctx context.Context, object event.Object) (delivery.Tally, error)
}

// Result is what became of an event.
type Result struct {
	delivery.Tally
	// Forwarded is how many items were taken whole.
	Forwarded int
	// Ignored is the event's.
	Ignored int
	// Failures are in the order of the event's items.
	Failures []Failure
}

// Failure is an item that was not taken, or not all of it.
type Failure struct {
	// Item is one of the event's.
	Item *event.Item
	Err  error
}

// SkippedError is why items of a FIFO queue, or of a shard, are not attempted.
type SkippedError struct{}

func (*SkippedError) Error() string { return "not sent, since what comes before it was not taken" }

// Event delivers the items of an event one after another. Those that fail take no others with them, except where order is
// asked for.
func Event(ctx context.Context, e *event.Event, to Destination) Result {
	r := Result{Ignored: e.Ignored}
	for items := e.Items; len(items) > 0; {
		n := runLength(items, to.MaxRecordBytes())
		if items[0].Record != nil {
			r.sendRecords(ctx, items[:n], to)
		} else {
			r.sendItem(ctx, &items[0], to)
		}
		items = items[n:]
		if len(r.Failures) > 0 && r.mustStop(e) {
			r.countAll(items, &SkippedError{})
			return r
		}
	}
	return r
}

// mustStop says whether nothing more of an event is wanted. A destination that does not know who sends takes nothing of
// him. Of a shard, all from the first failure on come again, so that there is no use in sending more while the
// destination is away. Records that come after one that is refused for good are sent nevertheless: that one may keep coming
// until those behind it are too old.
func (r *Result) mustStop(e *event.Event) bool {
	err := r.Failures[len(r.Failures)-1].Err
	if refused, ok := errors.AsType[*delivery.RefusedError](err); ok && refused.Status == http.StatusUnauthorized {
		return true
	}
	return e.Ordered || e.Source == event.Kinesis && isUnavailable(err)
}

func isUnavailable(err error) bool {
	_, ok := errors.AsType[*delivery.UnavailableError](err)
	return ok
}

func (r *Result) sendItem(ctx context.Context, item *event.Item, to Destination) {
	var tally delivery.Tally
	err := item.Err
	switch {
	case err != nil:
	case item.Object != nil:
		tally, err = to.SendObject(ctx, *item.Object)
	default:
		tally, err = to.SendMessages(ctx, item.Message, "")
	}
	r.Add(tally)
	r.count(item, err)
}

func (r *Result) count(item *event.Item, err error) {
	if err != nil {
		r.Failures = append(r.Failures, Failure{Item: item, Err: err})
		return
	}
	r.Forwarded++
}

func (r *Result) countAll(items []event.Item, err error) {
	for i := range items {
		r.count(&items[i], err)
	}
}
