// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// Sender delivers the batches of one tenant. It is safe for concurrent use: what Loki says of one request holds back
// the others.
type Sender struct {
	client  *Client
	options SenderOptions
	gate    *gate
	// started is when it was made.
	started time.Time
	// failingSince is when Loki first failed to answer a question, in nanoseconds since 1970, if it has taken requests and
	// answered none since.
	failingSince atomic.Int64
}

// SenderOptions says how to deliver.
type SenderOptions struct {
	// Tenant is whose lines they are, empty where Loki has only one tenant.
	Tenant string
	// Strict sends each stream in a request of its own: only then does an answer of Loki's say what became of all lines.
	Strict bool
	// QueryURL is Loki's query_range API, which is asked for the lines of a batch that Loki may have already, before
	// they are sent. Empty: they are sent.
	QueryURL string
}

// NewSender returns a sender for one tenant.
func NewSender(client *Client, options SenderOptions) *Sender {
	return &Sender{client: client, options: options, gate: newGate(), started: time.Now()}
}

// Close ends the waiting of Deliver calls, which then return what they have not sent. Requests that are under way are
// not cut off. It must be called once.
func (s *Sender) Close() { close(s.gate.closed) }

const (
	// MaxRequestSize is less than what Loki can pass on between its parts, 4 MiB by default, which is measured
	// uncompressed and when Loki has added labels of its own (grpc_server_max_recv_msg_size).
	MaxRequestSize = 7 << 19
	// maxDivisions bounds the requests that one call can cost in the search for what Loki dislikes in a batch. What is
	// not found then is left to another.
	maxDivisions = 1000
	// maxDivisionsClosed is the same for a sender that is closed. What is left then is lost where the queue is in memory.
	maxDivisionsClosed = 50
	// maxLimited is how often in a row a batch may be over a limit until it is given back.
	maxLimited = 5
)

// Report tells what became of a batch.
type Report struct {
	// Delivered lines are Loki's: it said so, or it named all others. Of several streams in one request, it names the
	// refusals of one only.
	Delivered Count
	// Refused lines will never be Loki's.
	Refused []Refusal
	// Remaining lines may be delivered another time. nil: there are none. Err says why, and RetryAfter how long Loki,
	// or a gateway before it, asked to wait.
	Remaining  *Batch
	Err        error
	RetryAfter time.Duration

	Requests []Request
	// Divisions is how often a request was sent again in parts because Loki would not take it whole.
	Divisions int
	// Held is how long requests were held back by limits.
	Held time.Duration
	// Resent is lines that Loki may have had already.
	Resent Resent
	// DroppedMetadata is pairs of structured metadata that were left out because Loki takes none.
	DroppedMetadata int
}

// Count is a number of lines, and the size of their entries and labels in Loki's wire format, uncompressed.
type Count struct{ Lines, Bytes int }

// Resent counts lines that Loki may have had already, where it was to be asked.
type Resent struct {
	// Found lines Loki had. They were not sent again, and are among the delivered.
	Found int
	// Repeated lines were in the batch twice, with the same id. They were sent once, and are among the delivered.
	Repeated int
	// Missing lines it did not have, and Unasked lines are those of which it could not be asked. Both were sent again.
	Missing, Unasked int
	// Err says why it could not be asked.
	Err error
}

// Refusal is lines that Loki refused for one reason. Err has Loki's words, and none of the lines.
type Refusal struct {
	Reason Reason
	Lines  int
	Err    error
}

// Request is one request that was sent.
type Request struct {
	// Status is the HTTP status of the answer, 0 if none came.
	Status int
	// Bytes is the size of the body, compressed.
	Bytes int
}

// delivery is one call of Deliver.
type delivery struct {
	*Sender
	report Report
	// pending are the pieces that are still to be sent.
	pending []*Batch
	// parked are those that are not tried again by this call, and full the streams whose lines are not.
	parked []*Batch
	full   map[string]bool
	// limited is how often in a row Loki has said that it is too much.
	limited int
	// questions is how often Loki was asked for lines.
	questions int
}

// Deliver sends a batch in as many requests as it takes, one after another, until Loki has taken or refused every line,
// or cannot be reached. The batch must not be used any more.
//
// A request that Loki takes nothing of, because of a part that it dislikes, is divided until that part is alone.
func (s *Sender) Deliver(ctx context.Context, b *Batch) Report {
	d := &delivery{Sender: s, pending: []*Batch{b}, full: map[string]bool{}}
	for len(d.pending) > 0 {
		piece := d.next()
		piece, err := d.unknown(ctx, piece)
		if err != nil {
			d.giveBack(err, piece)
			break
		}
		if piece.Lines() == 0 {
			continue
		}
		held, err := s.gate.wait(ctx, piece.Size())
		d.report.Held += held
		if err != nil {
			if limit, ok := errors.AsType[*limitError](err); ok {
				d.report.RetryAfter = limit.pause
			}
			d.giveBack(err, piece)
			break
		}
		if !d.send(ctx, piece) {
			break
		}
	}
	d.report.Remaining = merge(slices.Concat(d.parked, d.pending))
	return d.report
}

// next takes a piece off those that are pending: without what Loki would not take now, and then, of what is left, no more
// than it may take at once, except for a single line.
func (d *delivery) next() *Batch {
	piece := d.pending[0]
	d.pending = d.pending[1:]
	piece = d.withoutFull(piece)
	if d.gate.plain() {
		piece = d.strip(piece)
	}
	if len(piece.streams) > 1 && (d.options.Strict || d.gate.alone()) {
		streams := piece.byStream()
		d.again(streams[1:]...)
		piece = streams[0]
	}
	if limit := d.gate.largest(); piece.Size() > limit {
		first, rest := piece.cut(limit)
		d.again(rest)
		piece = first
	}
	return piece
}

// withoutFull parks the streams of a piece that Loki takes nothing more of now.
func (d *delivery) withoutFull(piece *Batch) *Batch {
	if len(d.full) == 0 {
		return piece
	}
	kept := new(Batch)
	for i := range piece.streams {
		if s := piece.streams[i : i+1 : i+1]; d.full[s[0].labels] {
			d.parked = append(d.parked, &Batch{streams: s})
		} else {
			kept.streams = append(kept.streams, s...)
		}
	}
	return kept
}

// send sends one piece and sorts it by Loki's answer. It returns false if there is no point in sending more now.
func (d *delivery) send(ctx context.Context, piece *Batch) bool {
	a := d.client.push(ctx, d.options.Tenant, piece)
	d.report.Requests = append(d.report.Requests, Request{Status: a.status, Bytes: a.bytes})
	v := a.interpret(piece)
	if v.meaning != limited {
		d.limited = 0
	}
	switch v.meaning {
	case taken:
		d.gate.took(piece.Size())
		d.taken(d.keepPlain(piece, v.refused), v.refused, &a)
	case blocked:
		d.block(piece, v, &a)
	case divisible:
		return d.divide(piece, v.reason, &a)
	case limited:
		return d.slowDown(piece, v, &a)
	case streamLimited:
		d.slowStream(piece, v, &a)
	default:
		d.later(piece, &a)
		return false
	}
	return true
}

// maxRetryAfter is how long a gateway may ask to wait: it does not know how long it will be away.
const maxRetryAfter = 5 * time.Minute

func (d *delivery) later(piece *Batch, a *answer) {
	d.report.RetryAfter = min(a.retryAfter, maxRetryAfter)
	if a.leavesOpen() {
		piece.SetUnsure()
		if d.options.QueryURL != "" {
			d.report.RetryAfter = max(d.report.RetryAfter, settle)
		}
	}
	d.giveBack(a.error(), piece)
}

// taken counts a piece that Loki has, but for the lines that it refused. Their size is not known, and taken to be the
// average.
func (d *delivery) taken(piece *Batch, refused map[Reason]int, a *answer) {
	lines, bytes := piece.Lines(), piece.Size()
	if lines == 0 {
		return
	}
	left := lines
	for reason, n := range refused {
		d.refuse(reason, n, a)
		left -= n
	}
	if len(refused) > 0 && a.isCut() {
		d.refuse(Unnamed, left, a)
		left = 0
	}
	d.delivered(Count{left, int(int64(bytes) * int64(left) / int64(lines))})
}

func (d *delivery) delivered(n Count) {
	d.report.Delivered.Lines += n.Lines
	d.report.Delivered.Bytes += n.Bytes
}

// keepPlain returns the lines that Loki, with allow_structured_metadata off, did not refuse for the sake of their
// structured metadata. The others are sent again without it, and are no longer among the refused.
//
// Of ten lines, seven have metadata. Loki names five that it refuses for that, and three that are too old: of those that
// have metadata two must be among the three. So all seven are sent again, whereupon Loki names the two again, and one too
// old line counts now.
func (d *delivery) keepPlain(piece *Batch, refused map[Reason]int) *Batch {
	if refused[DisallowedMetadata] == 0 {
		return piece
	}
	with, without := piece.divideBy(entry.hasMetadata)
	total := 0
	for _, n := range refused {
		total += n
	}
	// Every line with metadata is refused, for that or for another reason that Loki will name again.
	if with.Lines() == 0 || total < with.Lines() {
		return piece
	}
	delete(refused, DisallowedMetadata)
	capped(refused, total-with.Lines())
	d.gate.metadataRefused()
	d.again(with)
	return without
}

func (d *delivery) strip(piece *Batch) *Batch {
	stripped, dropped := piece.withoutMetadata()
	d.report.DroppedMetadata += dropped
	return stripped
}

// refuse counts lines. Of several refusals for one reason, Loki's words about the first are kept.
func (d *delivery) refuse(reason Reason, lines int, a *answer) {
	if lines == 0 {
		return
	}
	for i := range d.report.Refused {
		if r := &d.report.Refused[i]; r.Reason == reason {
			r.Lines += lines
			return
		}
	}
	d.report.Refused = append(d.report.Refused, Refusal{Reason: reason, Lines: lines, Err: a.error()})
}

// giveBack leaves a piece to another call. Of several reasons, the first is kept.
func (d *delivery) giveBack(err error, piece *Batch) {
	d.parked = append(d.parked, piece)
	if d.report.Err == nil {
		d.report.Err = err
	}
}

// again puts pieces before all that is pending.
func (d *delivery) again(pieces ...*Batch) { d.pending = slices.Concat(pieces, d.pending) }

// block refuses a piece that Loki does not want. Where it is the policy of some streams, it has the others.
func (d *delivery) block(piece *Batch, v verdict, a *answer) {
	if v.some && len(piece.streams) > 1 {
		d.gate.streamsHid()
		piece.SetUnsure()
		d.again(piece)
		return
	}
	d.refuse(v.reason, piece.Lines(), a)
}

// What is to be done after an answer.
const (
	goOn = true
	stop = false
)

// divide sends a piece again in parts, until there is nothing left to divide: then it is refused.
func (d *delivery) divide(piece *Batch, reason Reason, a *answer) bool {
	// The labels are those of all lines of a stream.
	alone := piece.Lines() == 1 || reason == InvalidLabels && len(piece.streams) == 1
	switch {
	case alone:
		d.refuse(reason, piece.Lines(), a)
	case reason == RequestTooLarge:
		d.report.Divisions++
		d.gate.tooLarge(piece.Size())
		d.again(piece)
	case d.report.Divisions >= d.maxDivisions():
		d.giveBack(a.error(), piece)
		return stop
	default:
		d.report.Divisions++
		first, second := piece.halves()
		d.again(first, second)
	}
	return goOn
}

func (d *delivery) maxDivisions() int {
	if d.gate.isClosed() {
		return maxDivisionsClosed
	}
	return maxDivisions
}

// slowDown waits as the tenant's limit wants it. What is more than a second's worth, or is refused a second time, may be
// more than the limit ever lets through at once, and is divided. One line cannot be: all of the tenant's requests wait
// until there is room for it.
func (d *delivery) slowDown(piece *Batch, v verdict, a *answer) bool {
	single := piece.Lines() == 1
	d.limited++
	switch {
	case v.rate <= 0:
		d.later(piece, a)
		return stop
	case d.limited > maxLimited && single:
		// The others need not wait for it.
		d.giveBack(a.error(), piece)
		return goOn
	case d.limited > maxLimited:
		d.giveBack(a.error(), piece)
		return stop
	}
	d.gate.limited(v.rate, min(v.rate, v.total))
	if single {
		d.gate.holdFor(v.rate, v.total)
	} else {
		d.shrink(piece.Size(), v)
	}
	d.again(piece)
	return goOn
}

// shrink makes requests smaller than one of size that was over the tenant's limit.
func (d *delivery) shrink(size int, v verdict) {
	switch {
	case v.total > v.rate:
		d.gate.slowed(size, int(float64(size)*float64(v.rate)/float64(v.total)))
	case d.limited > 1:
		d.gate.slowed(size, size/2)
	}
	if d.gate.largest() < size {
		d.report.Divisions++
	}
}

// minStreamSize is the smallest size of requests that a limit on a stream's rate makes, unless the limit is less: the
// other streams' are as small.
const minStreamSize = 16 << 10

// slowStream leaves what was too much of one stream to another call. Of other streams in the same request Loki says
// nothing, whatever became of them: they are sent again, each alone.
func (d *delivery) slowStream(piece *Batch, v verdict, a *answer) {
	if len(piece.streams) > 1 {
		d.gate.streamsHid()
		d.report.Divisions++
		piece.SetUnsure()
		d.again(piece)
		return
	}
	d.full[piece.streams[0].labels] = true
	lines, size := piece.Lines(), piece.Size()
	again := piece
	if v.again == nil {
		piece.SetUnsure()
	} else {
		again = v.again
		left := lines - again.Lines()
		for reason, n := range v.refused {
			d.refuse(reason, n, a)
			left -= n
		}
		d.delivered(Count{left, max(0, size-again.Size())})
	}
	if v.rate > 0 {
		// The stream comes back in pieces, the first of which may be little enough, when there is room for it.
		if floor := int(min(v.rate, minStreamSize)); size > floor {
			half := max(size/2, floor)
			d.gate.slowed(half+1, half)
		}
		d.report.RetryAfter = max(d.report.RetryAfter, seconds(min(1, float64(again.Size())/float64(v.rate))))
	}
	d.giveBack(a.error(), again)
}

// merge makes one batch of pieces, nil of none.
func merge(pieces []*Batch) *Batch {
	if len(pieces) == 0 {
		return nil
	}
	all := new(Batch)
	for _, piece := range pieces {
		for i := range piece.streams {
			all.append(piece.streams[i].labels, piece.streams[i].runs...)
		}
	}
	return all
}
