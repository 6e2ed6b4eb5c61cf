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
	"unicode/utf8"
)

const (
	// settle is how long it takes at most until Loki can be asked what it has of a request whose answer was lost: as long
	// as its parts wait for each other (ingester_client.remote_timeout).
	settle = 5 * time.Second
	// patience is for how long Loki may fail to answer questions while it takes requests, as it does for a while after it
	// has started.
	patience = time.Minute
)

// unknown returns what is left of a piece without the lines that Loki has. Only those are looked for that it may have.
//
// If Loki cannot be asked now, the error says why, and what was not asked for is as it was. If it cannot be asked at all,
// that is unknown: to send a line twice is better than not at all.
func (d *delivery) unknown(ctx context.Context, piece *Batch) (*Batch, error) {
	if d.options.QueryURL == "" || !piece.Unsure() {
		return piece, nil
	}
	if err := d.waitUntilSettled(ctx); err != nil {
		return piece, err
	}
	known, err := d.lookUp(ctx, piece)
	if err == nil {
		d.failingSince.Store(0)
		return piece.without(known, true, &d.report), nil
	}
	if !d.cannotAsk(ctx, err) {
		return piece.without(known, false, &d.report), err
	}
	d.report.Resent.Err = err
	return piece.without(known, true, &d.report), nil
}

// waitUntilSettled waits after the process has started: what is unsure then was sent shortly before.
func (d *delivery) waitUntilSettled(ctx context.Context) error {
	pause := settle - time.Since(d.started)
	if pause <= 0 {
		return nil
	}
	_, err := d.gate.sleep(ctx, pause)
	if errors.Is(err, errClosed) {
		return nil // there is no time to lose
	}
	return err
}

// cannotAsk says whether it is no use to ask once more: Loki says so, or it has failed for long while it takes requests. As
// long as it takes none, there is time.
func (d *delivery) cannotAsk(ctx context.Context, err error) bool {
	if failure, ok := errors.AsType[*queryError](err); ok && !failure.temporary {
		return true
	}
	if !d.client.isTaking(ctx, d.options.Tenant) {
		d.failingSince.Store(0)
		return false
	}
	now := time.Now().UnixNano()
	d.failingSince.CompareAndSwap(0, now)
	return now-d.failingSince.Load() > int64(patience)
}

// isTaking says whether Loki takes requests: it refuses one without a stream in it, which it only does when it is there.
func (c *Client) isTaking(ctx context.Context, tenantID string) bool {
	a := c.push(ctx, tenantID, new(Batch))
	return a.err == nil && a.status < http.StatusInternalServerError && a.status != http.StatusTooManyRequests
}

// finding is what Loki has of the unsure lines of a stream.
type finding struct {
	// copies is how often it has each.
	copies map[identity]int
	// partial says why not all could be asked for. nil: they were.
	partial error
}

// lookUp finds the unsure lines of a piece that Loki has, by the labels of their streams. With an error, it has asked for
// those streams only that are there.
func (d *delivery) lookUp(ctx context.Context, piece *Batch) (map[string]*finding, error) {
	known := map[string]*finding{}
	for i := range piece.streams {
		s := &piece.streams[i]
		if !s.unsure() {
			continue
		}
		q, err := d.newQuerier(s)
		if err == nil {
			err = q.look(ctx, s.unsureEntries())
		}
		if err != nil {
			return known, err
		}
		known[s.labels] = &q.finding
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

// without returns the batch without the unsure lines that are known, and without those that the batch itself has twice, and
// reports what became of the unsure ones. Of streams that were not asked for, the lines stay unsure, unless that is all
// there is to know.
func (b *Batch) without(known map[string]*finding, isAll bool, report *Report) *Batch {
	rest := new(Batch)
	for i := range b.streams {
		s := &b.streams[i]
		found := known[s.labels]
		var records map[identity]bool
		if found != nil {
			records = s.sureRecords()
		}
		for _, r := range s.runs {
			switch {
			case !r.unsure:
			case found != nil:
				r = r.without(found, records, report)
			case isAll:
				r.unsure = false
				report.Resent.Unasked += r.lines
			}
			if r.lines > 0 {
				rest.append(s.labels, r)
			}
		}
	}
	return rest
}

// sureRecords are those of the records with an id which Loki cannot have: they are sent in any case.
func (s *stream) sureRecords() map[identity]bool {
	records := map[identity]bool{}
	for i := range s.runs {
		if s.runs[i].unsure {
			continue
		}
		for e := range eachEntry(s.runs[i].entries) {
			if id := e.identity(); id.isRecord {
				records[id] = true
			}
		}
	}
	return records
}

// without returns a run, of which nothing is unsure, of the entries that were not found. Of records with an id, what comes a
// second time is no other line.
func (r *run) without(found *finding, records map[identity]bool, report *Report) (kept run) {
	for e := range eachEntry(r.entries) {
		id := e.identity()
		switch {
		case found.copies[id] > 0:
			report.Resent.Found++
			if !id.isRecord {
				found.copies[id]--
			}
		case records[id]:
			report.Resent.Repeated++
		default:
			if id.isRecord {
				records[id] = true
			}
			kept.entries = append(kept.entries, e.field...)
			kept.note(e.nanos)
			continue
		}
		report.Delivered.Lines++
		report.Delivered.Bytes += len(e.field)
	}
	if found.partial == nil {
		report.Resent.Missing += kept.lines
	} else {
		report.Resent.Unasked += kept.lines
		report.Resent.Err = found.partial
	}
	return kept
}

// recordUID is the attribute by which OpenTelemetry's semantic conventions tell a record from every other, as Loki names
// it: two that have the same are duplicates.
const recordUID = "log_record_uid"

// identity is the same of two entries of one stream if they are the same line: if their times and all structured metadata
// are equal, but for the level, which Loki finds itself where a line comes without, and the lines, which Loki may have cut
// off, so that they count only where there is no record's id.
type identity struct {
	text string
	// isRecord says that it has a record's id. Of others, there may be several that are equal.
	isRecord bool
}

func (e entry) identity() identity {
	line, fields := e.parts()
	metadata := map[string]string{}
	for name, value := range eachPair(fields) {
		metadata[string(name)] = string(value)
	}
	return identityOf(e.nanos, string(line), metadata)
}

// identityOf is the identity of what Loki answers.
func identityOf(nanos int64, line string, metadata map[string]string) identity {
	parts := []string{strconv.FormatInt(nanos, 10)}
	isRecord := metadata[recordUID] != ""
	if !isRecord {
		parts = append(parts, line)
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if name != detectedLevel && metadata[name] != "" {
			parts = append(parts, name, metadata[name])
		}
	}
	// No length is taken for a part of what is beside it.
	var b strings.Builder
	for _, part := range parts {
		part = inJSON(part)
		b.WriteString(strconv.Itoa(len(part)))
		b.WriteByte(':')
		b.WriteString(part)
	}
	return identity{b.String(), isRecord}
}

// inJSON returns a text as it comes out of JSON: with a replacement character for each byte that is not UTF-8.
func inJSON(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}
