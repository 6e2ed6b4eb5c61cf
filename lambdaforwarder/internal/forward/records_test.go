// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
)

var writers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func compress(tb testing.TB, text string) []byte {
	tb.Helper()
	var compressed bytes.Buffer
	w := writers.Get().(*gzip.Writer)
	defer writers.Put(w)
	w.Reset(&compressed)
	_, err := io.WriteString(w, text)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return compressed.Bytes()
}

// shard is an event of so many records, 0 and 1 and so on. They are gzip where inGzip says so.
func shard(tb testing.TB, records int, inGzip func(i int) bool) event.Event {
	tb.Helper()
	e := event.Event{Source: event.Kinesis}
	for i := range records {
		data := fmt.Appendf(nil, "%d\n", i)
		if inGzip(i) {
			data = compress(tb, string(data))
		}
		id := fmt.Sprintf("sequence %d", i)
		record := &event.Record{Data: data, SequenceNumber: id, StreamARN: "arn", Arrival: "1.5"}
		e.Items = append(e.Items, event.Item{ID: id, Record: record})
	}
	return e
}

func always(int) bool { return true }
func never(int) bool  { return false }

// stream is a destination of records, which refuses requests with poison in them.
type stream struct {
	tb testing.TB
	// poison is refused, in gzip and in documents.
	poison []string
	// poisonInGzip is refused in gzip only.
	poisonInGzip []string
	err          error
	// answer, if it is set, is that to every request that err is not.
	answer func(request int) (delivery.Tally, error)

	requests int
	taken    []string
	arns     []string
}

func (s *stream) destination() *fake {
	return &fake{answer: func(text, arn string) (delivery.Tally, error) {
		s.requests++
		s.arns = append(s.arns, arn)
		lines, inGzip := s.decode(text)
		for _, line := range lines {
			if slices.Contains(s.poison, line) || inGzip && slices.Contains(s.poisonInGzip, line) {
				return delivery.Tally{Bytes: int64(len(text))}, s.err
			}
		}
		if s.answer != nil {
			if tally, err := s.answer(s.requests); err != nil {
				return tally, err
			}
		}
		s.taken = append(s.taken, lines...)
		return delivery.Tally{Bytes: int64(len(text))}, nil
	}}
}

func (s *stream) decode(text string) (lines []string, inGzip bool) {
	if strings.HasPrefix(text, "\x1f\x8b") {
		return strings.Fields(s.inflate([]byte(text))), true
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	for decoder.More() {
		var document struct{ Kinesis struct{ Data []byte } }
		require.NoError(s.tb, decoder.Decode(&document))
		content := string(document.Kinesis.Data)
		if strings.HasPrefix(content, "\x1f\x8b") {
			content = s.inflate(document.Kinesis.Data)
		}
		lines = append(lines, strings.Fields(content)...)
	}
	return lines, false
}

func (s *stream) inflate(data []byte) string {
	r, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(s.tb, err)
	text, err := io.ReadAll(r)
	require.NoError(s.tb, err)
	return string(text)
}

// numbers are those below n that are not among the others.
func numbers(n int, without ...int) (texts []string) {
	for i := range n {
		if !slices.Contains(without, i) {
			texts = append(texts, strconv.Itoa(i))
		}
	}
	return texts
}

func TestRecordsInOneRequest(t *testing.T) {
	t.Parallel()
	for _, inGzip := range []func(int) bool{always, never} {
		e := shard(t, 100, inGzip)
		s := &stream{tb: t}
		r := Event(t.Context(), &e, s.destination())
		assert.Equal(t, 1, s.requests)
		assert.Equal(t, []string{"arn"}, s.arns)
		assert.Equal(t, numbers(100), s.taken)
		assert.Empty(t, failuresOf(t, &e, r))
		assert.Positive(t, r.Bytes)
	}
}

// Gzip members go as they are, and all else as documents with what the event says of them.
func TestRecordForms(t *testing.T) {
	t.Parallel()
	e := shard(t, 2, always)
	want := string(e.Items[0].Record.Data) + string(e.Items[1].Record.Data)
	to := refusing(nil)
	Event(t.Context(), &e, to)
	assert.Equal(t, []string{"messages " + want}, to.calls)

	e = shard(t, 2, never)
	to = refusing(nil)
	Event(t.Context(), &e, to)
	want = string(e.Items[1].Record.AppendDocument(e.Items[0].Record.AppendDocument(nil)))
	assert.Equal(t, []string{"messages " + want}, to.calls)
	assert.Contains(t, want, `"approximateArrivalTimestamp":1.5`)
	assert.Equal(t, "0\n", string(e.Items[0].Record.Data), "what was given away is a copy")
}

// Records of both forms take turns, in their order.
func TestMixedForms(t *testing.T) {
	t.Parallel()
	e := shard(t, 12, func(i int) bool { return i/3%2 == 0 })
	e.Items[7].Record.StreamARN = "other"
	e.Items = slices.Insert(e.Items, 5, event.Item{ID: "malformed", Err: errMalformed})
	s := &stream{tb: t}
	r := Event(t.Context(), &e, s.destination())
	assert.Equal(t, numbers(12), s.taken)
	assert.Equal(t, []int{5}, failuresOf(t, &e, r))
	// 0-2, 3-4, 5, 6, 7, 8, 9-11
	assert.Equal(t, []string{"arn", "arn", "arn", "arn", "other", "arn", "arn"}, s.arns)
}

func TestRunLength(t *testing.T) {
	t.Parallel()
	record := func(size int, arn string, inGzip bool) event.Item {
		data := make([]byte, size)
		if inGzip {
			copy(data, "\x1f\x8b\x08")
		}
		return event.Item{Record: &event.Record{Data: data, StreamARN: arn}}
	}
	f := func(want int, items ...event.Item) {
		t.Helper()
		assert.Equal(t, want, runLength(items, maxRecordBytes))
	}
	plain, inGzip, message := record(10, "a", false), record(10, "a", true), event.Item{Message: []byte("m")}
	f(1, message)
	f(1, message, message)
	f(1, message, plain)
	f(1, event.Item{Object: &event.Object{}}, plain)
	f(1, event.Item{Err: errMalformed}, plain)
	f(1, plain)
	f(3, plain, plain, plain)
	f(2, plain, plain, inGzip)
	f(2, inGzip, inGzip, plain, inGzip)
	f(1, plain, record(10, "b", false))
	f(2, plain, plain, message, plain)
	f(2, plain, plain, event.Item{Err: errMalformed}, plain)
	f(3, plain, record(0, "a", false), plain)
	half := record(maxRecordBytes/2, "a", true)
	f(2, half, half)
	f(2, half, half, inGzip)
	f(2, half, half, record(0, "a", false))
	f(1, half, record(maxRecordBytes/2+1, "a", true))
	f(1, record(maxRecordBytes+1, "a", true), inGzip)
	f(1, inGzip, record(maxRecordBytes, "a", true))
}

// One bad record takes no good one with it, wherever it is.
func TestPoison(t *testing.T) {
	t.Parallel()
	const records = 37
	for _, inGzip := range []func(int) bool{always, never} {
		for at := range records {
			e := shard(t, records, inGzip)
			s := &stream{tb: t, poison: numbers(records)[at : at+1], err: errRefused}
			r := Event(t.Context(), &e, s.destination())
			assert.Equal(t, []int{at}, failuresOf(t, &e, r))
			assert.Equal(t, errRefused, r.Failures[0].Err)
			assert.Equal(t, numbers(records, at), s.taken, "each once, and in order")
			assert.LessOrEqual(t, s.requests, 2+2*bits.Len(records))
		}
	}
}

// The requests that it takes to find poison grow with its amount, and hardly with the number of records.
func TestPoisons(t *testing.T) {
	t.Parallel()
	f := func(records, poisons int, inGzip func(int) bool) {
		t.Helper()
		random := rand.New(rand.NewPCG(uint64(records), uint64(poisons)))
		bad := random.Perm(records)[:poisons]
		slices.Sort(bad)
		s := &stream{tb: t, err: errRefused}
		for _, i := range bad {
			s.poison = append(s.poison, strconv.Itoa(i))
		}
		e := shard(t, records, inGzip)
		r := Event(t.Context(), &e, s.destination())
		assert.Equal(t, bad, failuresOf(t, &e, r))
		assert.Equal(t, numbers(records, bad...), s.taken)
		assert.LessOrEqual(t, s.requests, 2+poisons*(1+2*bits.Len(uint(records))))
	}
	f(1, 1, always)
	f(1, 1, never)
	f(2, 2, never)
	f(100, 3, always)
	f(1000, 1, never)
	f(1000, 2, always)
	f(1000, 10, always)
	f(1000, 10, never)
	// Nothing but poison: all as gzip, and as documents each alone and the requests that were divided.
	e := shard(t, 64, always)
	s := &stream{tb: t, poison: numbers(64), err: errRefused}
	r := Event(t.Context(), &e, s.destination())
	assert.Len(t, failuresOf(t, &e, r), 64)
	assert.Equal(t, 1+2*64-1, s.requests)
}

// What is gzip of something else than messages of CloudWatch Logs is sent as a document.
func TestGzipOfSomethingElse(t *testing.T) {
	t.Parallel()
	for at := range 9 {
		e := shard(t, 9, always)
		s := &stream{tb: t, poisonInGzip: []string{strconv.Itoa(at)}, err: errRefused}
		r := Event(t.Context(), &e, s.destination())
		assert.Empty(t, failuresOf(t, &e, r))
		assert.Equal(t, numbers(9), s.taken)
	}
	e := shard(t, 9, always)
	s := &stream{tb: t, poisonInGzip: numbers(9), err: errRefused}
	assert.Empty(t, failuresOf(t, &e, Event(t.Context(), &e, s.destination())))
	assert.Equal(t, numbers(9), s.taken)
}

// What is not about the records themselves is no reason to look for one.
func TestRefusedOtherwise(t *testing.T) {
	t.Parallel()
	f := func(err error, requests int, divided bool) {
		t.Helper()
		e := shard(t, 16, always)
		s := &stream{tb: t, poison: []string{"3"}, err: err}
		r := Event(t.Context(), &e, s.destination())
		if divided {
			assert.Equal(t, []int{3}, failuresOf(t, &e, r))
			return
		}
		assert.Equal(t, requests, s.requests)
		assert.Len(t, failuresOf(t, &e, r), 16)
		for _, failure := range r.Failures {
			assert.Equal(t, err, failure.Err)
		}
		assert.Empty(t, s.taken)
	}
	for _, status := range []int{400, 413, 422, 0} {
		f(&delivery.RefusedError{Status: status}, 0, true)
	}
	for _, status := range []int{401, 403, 404, 405, 302} {
		f(&delivery.RefusedError{Status: status}, 1, false)
	}
	f(errUnavailable, 1, false)
	f(errMalformed, 1, false)
}

// Where Loki has refused every line by itself, division finds nothing, and would count the lines over and over.
func TestRefusedLineByLine(t *testing.T) {
	t.Parallel()
	for _, inGzip := range []func(int) bool{always, never} {
		for _, records := range []int{1, 16} {
			e := shard(t, records, inGzip)
			refused := delivery.NewRefusedError("loki", "the message", errMalformed)
			s := &stream{tb: t, answer: func(int) (delivery.Tally, error) {
				return delivery.Tally{Refused: map[string]int{"too_far_behind": records}}, refused
			}}
			r := Event(t.Context(), &e, s.destination())
			assert.Equal(t, 1, s.requests)
			assert.Equal(t, map[string]int{"too_far_behind": records}, r.Refused)
			assert.Len(t, failuresOf(t, &e, r), records)
		}
	}
}

// While the destination is away nothing more of a shard is sent: it all comes again.
func TestShardStops(t *testing.T) {
	t.Parallel()
	f := func(source event.Source, requests int, failures ...int) {
		t.Helper()
		e := shard(t, 8, func(i int) bool { return i/2%2 == 0 }) // four runs of two
		e.Source = source
		s := &stream{tb: t, answer: func(request int) (delivery.Tally, error) {
			if request == 2 {
				return delivery.Tally{}, errUnavailable
			}
			return delivery.Tally{}, nil
		}}
		r := Event(t.Context(), &e, s.destination())
		assert.Equal(t, requests, s.requests)
		assert.Equal(t, failures, failuresOf(t, &e, r))
		assert.Equal(t, errUnavailable, r.Failures[0].Err)
	}
	f(event.Kinesis, 2, 2, 3, 4, 5, 6, 7)
	f(event.SQS, 4, 2, 3)
}

// Behind a record that is refused for good the others are sent: it may come until they are too old.
func TestShardGoesOn(t *testing.T) {
	t.Parallel()
	f := func(err error, failures ...int) {
		t.Helper()
		e := shard(t, 8, func(i int) bool { return i/2%2 == 0 })
		s := &stream{tb: t, poison: []string{"3"}, err: err}
		r := Event(t.Context(), &e, s.destination())
		assert.Equal(t, failures, failuresOf(t, &e, r))
		assert.Equal(t, numbers(8, failures...), s.taken)
	}
	f(errRefused, 3)
	f(errForbidden, 2, 3)
	f(errCredentials, 2, 3, 4, 5, 6, 7)

	e := shard(t, 3, never)
	e.Items[1] = event.Item{ID: "malformed", Err: errMalformed}
	s := &stream{tb: t}
	assert.Equal(t, []int{1}, failuresOf(t, &e, Event(t.Context(), &e, s.destination())))
	assert.Equal(t, numbers(3, 1), s.taken)
}

// A request that is being divided when the destination goes away is not divided further.
func TestUnavailableWhileDividing(t *testing.T) {
	t.Parallel()
	e := shard(t, 16, never)
	s := &stream{tb: t, poison: []string{"9"}, err: errRefused, answer: func(request int) (delivery.Tally, error) {
		if request > 3 { // those before are all, 0-7 and 8-15
			return delivery.Tally{}, errUnavailable
		}
		return delivery.Tally{}, nil
	}}
	r := Event(t.Context(), &e, s.destination())
	assert.Equal(t, numbers(8), s.taken)
	assert.Equal(t, []int{8, 9, 10, 11, 12, 13, 14, 15}, failuresOf(t, &e, r))
	for _, failure := range r.Failures {
		assert.Equal(t, errUnavailable, failure.Err)
	}
	assert.Equal(t, 6, s.requests, "8-11, 8-9, and 8 alone, which is not poison")
}
