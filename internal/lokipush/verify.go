// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// settle is how long it takes at most until Loki can be asked what it has of a request whose answer was lost: as long
	// as its parts wait for each other (ingester_client.remote_timeout).
	settle = 5 * time.Second
	// maxUnasked is how often in a row Loki may fail to answer questions although it takes requests.
	maxUnasked = 3
)

// unknown returns what is left of a piece without the lines that Loki has. Only those are looked for that it may have.
//
// If Loki cannot be asked now, the error says why, and the piece is as it was. If it cannot be asked at all, all of the
// piece is unknown: to send a line twice is better than not at all.
func (d *delivery) unknown(ctx context.Context, piece *Batch) (*Batch, error) {
	if d.options.QueryURL == "" || !piece.Unsure() {
		return piece, nil
	}
	// What is unsure already when the process starts was sent shortly before.
	if pause := settle - time.Since(d.started); pause > 0 {
		if _, err := d.gate.sleep(ctx, pause); err != nil {
			return piece, err
		}
	}
	known, err := d.ask(ctx, piece)
	if err == nil {
		d.unasked.Store(0)
	} else if !d.cannotAsk(ctx, err) {
		return piece, err
	}
	d.report.Resent.Err = cmp.Or(d.report.Resent.Err, err)
	return piece.without(known, &d.report), nil
}

// cannotAsk says whether it is no use to ask once more: Loki says so, or it fails again and again while it takes
// requests. As long as it takes none, there is time.
func (d *delivery) cannotAsk(ctx context.Context, err error) bool {
	if failure, ok := errors.AsType[*queryError](err); ok && !failure.temporary {
		return true
	}
	if !d.client.isTaking(ctx, d.options.Tenant) {
		return false
	}
	return d.unasked.Add(1) > maxUnasked
}

// isTaking says whether Loki takes requests: it refuses one without a stream in it, which it only does when it is there.
func (c *Client) isTaking(ctx context.Context, tenantID string) bool {
	a := c.push(ctx, tenantID, new(Batch))
	return a.err == nil && a.status < http.StatusInternalServerError && a.status != http.StatusTooManyRequests
}

// identities are what tells the lines of one stream apart.
type identities map[string]bool

// ask returns which of the lines of a piece that are unsure Loki has, by the labels of their streams.
func (d *delivery) ask(ctx context.Context, piece *Batch) (map[string]identities, error) {
	q := querier{client: d.client, url: d.options.QueryURL, tenant: d.options.Tenant}
	known := map[string]identities{}
	for i := range piece.streams {
		s := &piece.streams[i]
		if !s.unsure() {
			continue
		}
		q.selector, q.found = s.labels, identities{}
		var err error
		if q.labels, err = streamLabels(s.labels); err != nil {
			return known, &queryError{err: err}
		}
		if err := q.look(ctx, s.unsureEntries()); err != nil {
			return known, err
		}
		known[s.labels] = q.found
	}
	return known, nil
}

// unsureEntries returns the entries that are unsure in the order of their timestamps.
func (s *stream) unsureEntries() (entries []entry) {
	for i := range s.runs {
		if s.runs[i].unsure {
			entries = slices.AppendSeq(entries, eachEntry(s.runs[i].entries))
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.nanos, b.nanos) })
	return entries
}

// without returns a batch of which nothing is unsure. That of the unsure lines which is known is left out, and so is one
// that comes a second time. It reports what became of them. Of streams that are not among those known, all lines stay.
func (b *Batch) without(known map[string]identities, report *Report) *Batch {
	rest := new(Batch)
	for i := range b.streams {
		s := &b.streams[i]
		seen := known[s.labels]
		if seen != nil {
			s.noteSure(seen)
		}
		for _, r := range s.runs {
			switch {
			case !r.unsure:
			case seen == nil:
				report.Resent.Unasked += r.lines
			default:
				r = r.without(seen, report)
			}
			r.unsure = false
			if r.lines > 0 {
				rest.append(s.labels, r)
			}
		}
	}
	return rest
}

// noteSure notes the entries that are not unsure. They go to Loki in any case.
func (s *stream) noteSure(seen identities) {
	for i := range s.runs {
		if s.runs[i].unsure {
			continue
		}
		for e := range eachEntry(s.runs[i].entries) {
			seen[e.identity()] = true
		}
	}
}

// without returns a run of the entries that were not seen, and notes them as seen.
func (r *run) without(seen identities, report *Report) (kept run) {
	for e := range eachEntry(r.entries) {
		id := e.identity()
		if seen[id] {
			report.Resent.Found++
			report.Delivered.Lines++
			report.Delivered.Bytes += len(e.field)
			continue
		}
		seen[id] = true
		kept.entries = append(kept.entries, e.field...)
		kept.note(e.nanos)
	}
	report.Resent.Missing += kept.lines
	return kept
}

// recordUID is the attribute by which OpenTelemetry's semantic conventions tell a record from every other, as Loki names
// it: two that have the same are duplicates.
const recordUID = "log_record_uid"

// identity is the same of two entries of one stream if they are the same line: if their times and all structured metadata
// are equal, but for the level, which Loki finds itself where a line comes without, and the lines, which Loki may have cut
// off, so that they count only where there is no record's id.
func (e entry) identity() string {
	line, fields := e.parts()
	metadata := map[string]string{}
	for name, value := range eachPair(fields) {
		metadata[string(name)] = string(value)
	}
	return identityOf(e.nanos, string(line), metadata)
}

// identityOf is identity for what Loki answers.
func identityOf(nanos int64, line string, metadata map[string]string) string {
	text := []string{strconv.FormatInt(nanos, 10)}
	if metadata[recordUID] == "" {
		text = append(text, line)
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if name != detectedLevel && metadata[name] != "" {
			text = append(text, name, metadata[name])
		}
	}
	// No length is taken for a part of what is beside it.
	var b strings.Builder
	for _, part := range text {
		b.WriteString(strconv.Itoa(len(part)))
		b.WriteByte(':')
		b.WriteString(part)
	}
	return b.String()
}
