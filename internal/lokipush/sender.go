// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"context"
	"errors"
	"time"
)

// Sender delivers the batches of one tenant. It is safe for concurrent use: what Loki says of one request holds back
// the others.
type Sender struct {
	client *Client
	tenant string
	strict bool
	gate   *gate
}

// NewSender returns a sender for a tenant, which is empty where Loki has only one. strict says to send each stream in a
// request of its own: only then does an answer of Loki's say what became of all lines.
func NewSender(client *Client, tenant string, strict bool) *Sender {
	return &Sender{client: client, tenant: tenant, strict: strict, gate: newGate()}
}

// Close ends the waiting of Deliver calls, which then return what they have not sent. Requests that are under way are
// not cut off. It must be called once.
func (s *Sender) Close() { close(s.gate.closed) }

const (
	// maxRequestSize is less than what Loki can pass on between its parts, 4 MiB by default, which is measured
	// uncompressed and when Loki has added labels of its own (grpc_server_max_recv_msg_size).
	maxRequestSize = 7 << 19
	// maxDivisions bounds the requests that one batch can cost in the search for what Loki dislikes in it.
	maxDivisions = 1000
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
	// DroppedMetadata is pairs of structured metadata that were left out because Loki takes none.
	DroppedMetadata int
}

// Count is a number of lines, and the size of their entries and labels in Loki's wire format, uncompressed.
type Count struct{ Lines, Bytes int }

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
	// parked are those that are not tried again by this call.
	parked []*Batch
	// limited is how often in a row Loki has said that it is too much.
	limited int
}

// Deliver sends a batch in as many requests as it takes, one after another, until Loki has taken or refused every line,
// or cannot be reached. The batch must not be used any more.
//
// A request that Loki takes nothing of, because of a part that it dislikes, is divided until that part is alone.
func (s *Sender) Deliver(ctx context.Context, b *Batch) Report {
	d := &delivery{Sender: s}
	if s.strict {
		d.pending = b.byStream()
	} else {
		d.pending = []*Batch{b}
	}
	for len(d.pending) > 0 {
		piece := d.next()
		if piece.Lines() == 0 {
			continue
		}
		held, err := s.gate.wait(ctx, piece.Size())
		d.report.Held += held
		if err != nil {
			d.giveBack(err, piece)
			break
		}
		if !d.send(ctx, piece) {
			break
		}
	}
	d.report.Remaining = merge(append(d.parked, d.pending...))
	return d.report
}

// next takes a piece off those that are pending, no larger than Loki may take, except for a single line.
func (d *delivery) next() *Batch {
	piece := d.pending[0]
	d.pending = d.pending[1:]
	if d.gate.plain() {
		piece = d.strip(piece)
	}
	limit := d.gate.largest(maxRequestSize)
	if piece.Size() <= limit {
		return piece
	}
	parts := piece.Merge(nil, limit, MeasureBytes)
	d.pending = append(parts[1:], d.pending...)
	return parts[0]
}

// send sends one piece and sorts it by Loki's answer. It returns false if there is no point in sending more now.
func (d *delivery) send(ctx context.Context, piece *Batch) bool {
	a := d.client.push(ctx, d.tenant, piece)
	d.report.Requests = append(d.report.Requests, Request{Status: a.status, Bytes: a.bytes})
	v := a.interpret(piece)
	if v.meaning != limited && v.meaning != streamLimited {
		d.limited = 0
	}
	switch v.meaning {
	case taken:
		d.gate.took(piece.Size())
		d.taken(d.keepPlain(piece, v.refused), v.refused, &a)
		return true
	case blocked:
		d.refuse(v.reason, piece.Lines(), &a)
		return true
	case divisible:
		d.divide(piece, v.reason, &a)
		return true
	case limited:
		return d.slowDown(piece, v, &a)
	case streamLimited:
		return d.slowStream(piece, v, &a)
	case streamsLimited:
		d.park(piece, v.stream, &a)
		return true
	default:
		d.report.RetryAfter = a.retryAfter
		d.giveBack(a.error(), piece)
		return false
	}
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
	d.report.Delivered.Lines += left
	d.report.Delivered.Bytes += int(int64(bytes) * int64(left) / int64(lines))
}

// keepPlain returns the lines that Loki, with allow_structured_metadata off, did not refuse for the sake of their
// structured metadata. The others are sent again without it, and are no longer among the refused.
func (d *delivery) keepPlain(piece *Batch, refused map[Reason]int) *Batch {
	if refused[DisallowedMetadata] == 0 {
		return piece
	}
	with, without := piece.divideByMetadata()
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

func (d *delivery) refuse(reason Reason, lines int, a *answer) {
	if lines > 0 {
		d.report.Refused = append(d.report.Refused, Refusal{Reason: reason, Lines: lines, Err: a.error()})
	}
}

// giveBack leaves pieces to another call.
func (d *delivery) giveBack(err error, pieces ...*Batch) {
	d.parked = append(d.parked, pieces...)
	d.report.Err = errors.Join(d.report.Err, err)
}

// divide sends a piece again in parts, until there is nothing left to divide: then it is refused.
func (d *delivery) divide(piece *Batch, reason Reason, a *answer) {
	// The labels are those of all lines of a stream.
	alone := piece.Lines() == 1 || reason == InvalidLabels && len(piece.streams) == 1
	if alone || d.report.Divisions >= maxDivisions {
		d.refuse(reason, piece.Lines(), a)
		return
	}
	d.report.Divisions++
	if reason == RequestTooLarge {
		d.gate.tooLarge(piece.Size())
		d.again(piece)
		return
	}
	first, second := piece.halves()
	d.again(first, second)
}

// again puts pieces before all that is pending.
func (d *delivery) again(pieces ...*Batch) { d.pending = append(pieces, d.pending...) }

// slowDown waits as the tenant's limit wants it. What is more than a second's worth, or is refused a second time, may be
// more than the limit ever lets through at once, and is divided.
func (d *delivery) slowDown(piece *Batch, v verdict, a *answer) bool {
	d.limited++
	large := v.total > v.rate
	switch {
	case v.rate <= 0 || d.limited > maxLimited && (piece.Lines() > 1 || !large):
		d.report.RetryAfter = a.retryAfter
		d.giveBack(a.error(), piece)
		return false
	case d.limited > maxLimited:
		// One line that is more than the limit lets through in a second.
		d.refuse(v.reason, 1, a)
		return true
	}
	d.gate.limited(v.rate, v.total)
	size := piece.Size()
	if large {
		d.gate.slowed(int(float64(size) * float64(v.rate) / float64(v.total)))
	} else if d.limited > 1 {
		d.gate.slowed(size / 2)
	}
	if d.gate.largest(size) < size && piece.Lines() > 1 {
		d.report.Divisions++
	}
	d.again(piece)
	return true
}

// slowStream leaves what was too much of one stream to another call, which sends it in smaller pieces. Loki has the
// rest.
func (d *delivery) slowStream(piece *Batch, v verdict, a *answer) bool {
	stream, rest, ok := piece.take(v.stream)
	if !ok {
		d.giveBack(a.error(), piece)
		return true
	}
	stored := Count{rest.Lines() + stream.Lines(), rest.Size() + stream.Size()}
	if len(v.times) > 0 {
		stream = stream.at(v.times)
	}
	d.gate.slowed(stream.Size() / 2)
	d.report.Delivered.Lines += stored.Lines - stream.Lines()
	d.report.Delivered.Bytes += stored.Bytes - stream.Size()
	if stream.Lines() > 0 {
		d.giveBack(a.error(), stream)
	}
	return true
}

// park leaves the stream that is one too many to another call. Loki has the others.
func (d *delivery) park(piece *Batch, labels string, a *answer) {
	stream, rest, ok := piece.take(labels)
	if !ok {
		d.giveBack(a.error(), piece)
		return
	}
	d.giveBack(a.error(), stream)
	d.report.Delivered.Lines += rest.Lines()
	d.report.Delivered.Bytes += rest.Size()
}

func merge(pieces []*Batch) *Batch {
	var all *Batch
	for _, piece := range pieces {
		if all == nil {
			all = piece
		} else {
			all = all.Merge(piece, 0, MeasureBytes)[0]
		}
	}
	return all
}
