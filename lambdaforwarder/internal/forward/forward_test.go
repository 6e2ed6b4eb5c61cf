// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
)

// fake is a destination that answers by a function of what it gets: the text of messages, or the key of an object.
type fake struct {
	answer func(text, streamARN string) (delivery.Tally, error)
	calls  []string
}

// SendMessages implements Destination. The documents are its own, and it writes over them.
func (f *fake) SendMessages(_ context.Context, documents []byte, streamARN string) (delivery.Tally, error) {
	text := string(documents)
	for i := range documents {
		documents[i] = '?'
	}
	f.calls = append(f.calls, "messages "+text)
	return f.answer(text, streamARN)
}

// maxRecordBytes is the fake's.
const maxRecordBytes = 1 << 20

// MaxRecordBytes implements Destination.
func (*fake) MaxRecordBytes() int { return maxRecordBytes }

// SendObject implements Destination.
func (f *fake) SendObject(_ context.Context, object event.Object) (delivery.Tally, error) {
	f.calls = append(f.calls, "object "+object.Key)
	return f.answer(object.Key, "")
}

// refusing answers the error to these messages and objects, and takes all others.
func refusing(err error, texts ...string) *fake {
	return &fake{answer: func(text, _ string) (delivery.Tally, error) {
		if slices.Contains(texts, text) {
			return delivery.Tally{}, err
		}
		return delivery.Tally{}, nil
	}}
}

var (
	errMalformed   = errors.New("malformed")
	errRefused     = &delivery.RefusedError{To: "the fake", What: "it", Status: 400}
	errForbidden   = &delivery.RefusedError{To: "the fake", What: "it", Status: 403}
	errCredentials = &delivery.RefusedError{To: "the fake", What: "it", Status: 401}
	errUnavailable = &delivery.UnavailableError{To: "the fake", What: "it", Status: 503}
)

// failuresOf has the places of the items that failed, and checks that every item is either forwarded or failed.
func failuresOf(tb testing.TB, e *event.Event, r Result) (places []int) {
	tb.Helper()
	require.Equal(tb, len(e.Items), r.Forwarded+len(r.Failures))
	for _, failure := range r.Failures {
		require.Error(tb, failure.Err)
		for i := range e.Items {
			if failure.Item == &e.Items[i] {
				places = append(places, i)
			}
		}
	}
	require.Len(tb, places, len(r.Failures), "failures are of the event's items")
	require.True(tb, slices.IsSorted(places), "in their order")
	return places
}

func TestEvent(t *testing.T) {
	t.Parallel()
	f := func(name string, source event.Source, ordered bool, to *fake, calls []string, failures ...int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := event.Event{Source: source, Ordered: ordered, Ignored: 3, Items: []event.Item{
				{ID: "1", Message: []byte("a")},
				{ID: "1", Object: &event.Object{Bucket: "b", Key: "b"}},
				{ID: "2", Message: []byte("c")},
				{ID: "3", Object: &event.Object{Bucket: "b", Key: "d"}},
			}}
			r := Event(t.Context(), &e, to)
			assert.Equal(t, calls, to.calls)
			assert.Equal(t, 3, r.Ignored)
			assert.Equal(t, failures, failuresOf(t, &e, r))
		})
	}
	all := []string{"messages a", "object b", "messages c", "object d"}
	f("all", event.SQS, false, refusing(nil), all)
	f("all of a FIFO queue", event.SQS, true, refusing(nil), all)
	f("not known to the destination", event.SQS, false, refusing(errCredentials, "b"), all[:2], 1, 2, 3)
	for _, err := range []error{errRefused, errForbidden, errUnavailable, errMalformed} {
		f(fmt.Sprintf("the first, %T", err), event.SQS, false, refusing(err, "a"), all, 0)
		f(fmt.Sprintf("two, %T", err), event.SQS, false, refusing(err, "b", "c"), all, 1, 2)
		f(fmt.Sprintf("an object, %T", err), event.Whole, false, refusing(err, "b"), all, 1)
		f(fmt.Sprintf("of a FIFO queue the first, %T", err), event.SQS, true, refusing(err, "a"), all[:1], 0, 1, 2, 3)
		f(fmt.Sprintf("of a FIFO queue the third, %T", err), event.SQS, true, refusing(err, "c"), all[:3], 2, 3)
		f(fmt.Sprintf("of a FIFO queue the last, %T", err), event.SQS, true, refusing(err, "d"), all, 3)
	}
}

// What the event itself says is wrong with an item is its failure, and it is not sent.
func TestEventWithErrors(t *testing.T) {
	t.Parallel()
	f := func(ordered bool, calls []string, failures ...int) {
		t.Helper()
		e := event.Event{Source: event.SQS, Ordered: ordered, Items: []event.Item{
			{ID: "1", Message: []byte("a")}, {ID: "2", Err: errMalformed}, {ID: "3", Message: []byte("c")},
		}}
		to := refusing(nil)
		r := Event(t.Context(), &e, to)
		assert.Equal(t, calls, to.calls)
		assert.Equal(t, failures, failuresOf(t, &e, r))
		assert.Equal(t, errMalformed, r.Failures[0].Err)
		for _, failure := range r.Failures[1:] {
			assert.EqualError(t, failure.Err, "not sent, since what comes before it was not taken")
		}
	}
	f(false, []string{"messages a", "messages c"}, 1)
	f(true, []string{"messages a"}, 1, 2)
}

func TestEventOfNothing(t *testing.T) {
	t.Parallel()
	to := refusing(nil)
	assert.Equal(t, Result{Ignored: 7}, Event(t.Context(), &event.Event{Ignored: 7}, to))
	assert.Empty(t, to.calls)
}

// What the destination counts is added up, also of what fails.
func TestTallies(t *testing.T) {
	t.Parallel()
	e := event.Event{Items: []event.Item{
		{Message: []byte("a")}, {Object: &event.Object{Key: "b"}}, {Message: []byte("c")}, {Record: &event.Record{Data: []byte("d")}},
	}}
	n := 0
	r := Event(t.Context(), &e, &fake{answer: func(string, string) (delivery.Tally, error) {
		n++
		tally := delivery.Tally{Bytes: int64(n), Lines: 10 * n, Excluded: 100 * n, Unlabeled: 1000 * n, Refused: map[string]int{"all": n}}
		tally.Refuse(strconv.Itoa(n%2), n)
		if n == 2 {
			return tally, errUnavailable
		}
		return tally, nil
	}})
	assert.Equal(t, delivery.Tally{
		Bytes: 10, Lines: 100, Excluded: 1000, Unlabeled: 10000, Refused: map[string]int{"all": 10, "0": 6, "1": 4},
	}, r.Tally)
	assert.Equal(t, 3, r.Forwarded)
	assert.Equal(t, []int{1}, failuresOf(t, &e, r))
}
