// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
)

// Batch is streams with their entries, in the form that they have on the wire. The zero value is empty.
//
// A batch is not safe for concurrent use.
type Batch struct {
	streams []stream
	// index finds a stream by its labels. Made when first needed.
	index map[string]int
}

// stream is the entries of one label set.
type stream struct {
	// labels in the syntax of Prometheus: {a="b", c="d"}
	labels string
	runs   []run
	// lines and size are those of all runs. Batches are measured each time that one is merged.
	lines, size int
}

// run is entries that came together. Batches are merged by their runs: an entry is not copied again until it is sent.
type run struct {
	// entries are appendEntry's fields, one after another.
	entries []byte
	lines   int
	// oldest and newest are timestamps in nanoseconds. unordered says that the entries are not in the order of theirs.
	oldest, newest int64
	unordered      bool
	// unsure says that Loki may have some of it already.
	unsure bool
}

// Lines is the number of log lines.
func (b *Batch) Lines() (lines int) {
	for i := range b.streams {
		lines += b.streams[i].lines
	}
	return lines
}

// Size is the number of bytes that AppendRequest appends.
func (b *Batch) Size() (size int) {
	for i := range b.streams {
		size += sizeBytes(b.streams[i].contentSize())
	}
	return size
}

func (s *stream) contentSize() int { return sizeBytes(len(s.labels)) + s.size }

// AppendRequest appends the batch as one uncompressed PushRequest: each stream once, its entries in the order of their
// timestamps, which spares Loki work, and those with equal timestamps as they came.
func (b *Batch) AppendRequest(dst []byte) []byte {
	dst = slices.Grow(dst, b.Size())
	for i := range b.streams {
		s := &b.streams[i]
		dst = appendHeader(dst, tagStream, s.contentSize())
		dst = appendString(dst, tagLabels, s.labels)
		if s.ordered() {
			for j := range s.runs {
				dst = append(dst, s.runs[j].entries...)
			}
		} else {
			for e := range s.inOrder() {
				dst = append(dst, e.field...)
			}
		}
	}
	return dst
}

func (s *stream) ordered() bool {
	newest := int64(math.MinInt64)
	for i := range s.runs {
		r := &s.runs[i]
		if r.unordered || r.oldest < newest {
			return false
		}
		newest = r.newest
	}
	return true
}

// inOrder yields the entries in the order of their timestamps, and those with equal timestamps as they came.
func (s *stream) inOrder() iter.Seq[entry] {
	all := func(yield func(entry) bool) {
		for i := range s.runs {
			for e := range eachEntry(s.runs[i].entries) {
				if !yield(e) {
					return
				}
			}
		}
	}
	if s.ordered() {
		return all
	}
	return slices.Values(slices.SortedStableFunc(all, func(a, b entry) int { return cmp.Compare(a.nanos, b.nanos) }))
}

// entry is one entry of a run: the whole field, which aliases its bytes, and its timestamp.
type entry struct {
	field []byte
	nanos int64
}

// eachEntry yields the entries of a run, which were checked when they came in.
func eachEntry(entries []byte) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		for len(entries) > 0 {
			e, err := nextEntry(entries)
			if err != nil || !yield(e) {
				return
			}
			entries = entries[len(e.field):]
		}
	}
}

func nextEntry(entries []byte) (entry, error) {
	content, size, err := consumeField(entries, tagEntry)
	if err != nil {
		return entry{}, err
	}
	nanos, err := entryTimestamp(content)
	return entry{entries[:size:size], nanos}, err
}

// note counts an entry that was appended.
func (r *run) note(nanos int64) {
	if r.lines == 0 {
		r.oldest, r.newest = nanos, nanos
	}
	r.lines++
	r.unordered = r.unordered || nanos < r.newest
	r.oldest = min(r.oldest, nanos)
	r.newest = max(r.newest, nanos)
}

// SetUnsure notes that Loki may have some of the lines already. A Sender that can ask it does so before it sends them.
func (b *Batch) SetUnsure() {
	for i := range b.streams {
		for j := range b.streams[i].runs {
			b.streams[i].runs[j].unsure = true
		}
	}
}

// Unsure says whether Loki may have some of the lines already.
func (b *Batch) Unsure() bool {
	return slices.ContainsFunc(b.streams, func(s stream) bool { return s.unsure() })
}

func (s *stream) unsure() bool {
	return slices.ContainsFunc(s.runs, func(r run) bool { return r.unsure })
}

// stream returns the index of the stream with the given labels, a new one if there is none yet.
func (b *Batch) stream(labels string) int {
	i, ok := b.lookup()[labels]
	if !ok {
		i = len(b.streams)
		b.index[labels] = i
		b.streams = append(b.streams, stream{labels: labels})
	}
	return i
}

func (b *Batch) lookup() map[string]int {
	if b.index == nil {
		b.index = make(map[string]int, len(b.streams))
		for i := range b.streams {
			b.index[b.streams[i].labels] = i
		}
	}
	return b.index
}

func (b *Batch) append(labels string, runs ...run) {
	s := &b.streams[b.stream(labels)]
	for i := range runs {
		s.lines += runs[i].lines
		s.size += len(runs[i].entries)
	}
	s.runs = append(s.runs, runs...)
}

// Measure is what a limit on the size of a batch counts.
type Measure int

const (
	// MeasureBytes counts bytes of the uncompressed request.
	MeasureBytes Measure = iota
	// MeasureLines counts log lines.
	MeasureLines
)

// Merge takes the entries of other in behind b's own, and divides what comes of it into parts of at most limit, or makes
// one part where limit is 0. An entry that is larger by itself makes a part of its own, so that it takes no other with it.
//
// The first part has all that was in b, unless b alone is over the limit, and the other parts have entries of other
// only: whoever waits for the lines of b waits for the first part alone. Neither b nor other must be used any more.
// other may be nil.
func (b *Batch) Merge(other *Batch, limit int, measure Measure) []*Batch {
	if limit == 0 {
		limit = math.MaxInt
	}
	p := partition{limit: limit, measure: measure, current: b, size: b.measured(measure)}
	if p.size > limit {
		p.current, p.size = new(Batch), 0
		p.addStreams(b)
	}
	if other != nil {
		p.addStreams(other)
	}
	return append(p.full, p.current)
}

func (b *Batch) measured(measure Measure) int {
	if measure == MeasureLines {
		return b.Lines()
	}
	return b.Size()
}

// partition fills parts one after another.
type partition struct {
	limit   int
	measure Measure
	full    []*Batch
	current *Batch
	// size of current, by measure.
	size int
}

func (p *partition) addStreams(b *Batch) {
	for i := range b.streams {
		p.addStream(&b.streams[i])
	}
}

func (p *partition) addStream(s *stream) {
	for _, r := range s.runs {
		for r.lines > 0 {
			piece, rest := p.take(s.labels, r)
			if piece.lines > 0 {
				p.add(s.labels, piece)
			}
			if rest.lines > 0 {
				p.full = append(p.full, p.current)
				p.current, p.size = new(Batch), 0
			}
			r = rest
		}
	}
}

// add appends a run to the current part.
func (p *partition) add(labels string, r run) {
	if p.measure == MeasureLines {
		p.current.append(labels, r)
		p.size += r.lines
		return
	}
	if i, ok := p.current.lookup()[labels]; ok {
		p.size -= sizeBytes(p.current.streams[i].contentSize())
	}
	p.current.append(labels, r)
	p.size += sizeBytes(p.current.streams[p.current.stream(labels)].contentSize())
}

// take divides a run into what the current part has room for, at least one entry if the part is empty, and the rest.
func (p *partition) take(labels string, r run) (piece, rest run) {
	room := p.limit - p.size - p.overhead(labels)
	if p.cost(&r) <= room {
		return r, run{}
	}
	empty := len(p.current.streams) == 0
	piece.unsure = r.unsure
	n := 0
	for e := range eachEntry(r.entries) {
		next := run{entries: e.field, lines: 1}
		if cost := p.cost(&next); cost <= room || empty && piece.lines == 0 {
			room -= cost
		} else {
			break
		}
		piece.note(e.nanos)
		n += len(e.field)
	}
	piece.entries = r.entries[:n:n]
	rest = r
	rest.entries, rest.lines = r.entries[n:], r.lines-piece.lines
	return piece, rest
}

// overhead is what a stream may cost in the current part besides its entries. The prefix that states its length counts
// as long as it may become, also where the stream is there already, since it may grow.
func (p *partition) overhead(labels string) int {
	if p.measure == MeasureLines {
		return 0
	}
	if _, ok := p.current.lookup()[labels]; ok {
		return binary.MaxVarintLen32
	}
	return tagSize + binary.MaxVarintLen32 + sizeBytes(len(labels))
}

func (p *partition) cost(r *run) int {
	if p.measure == MeasureLines {
		return r.lines
	}
	return len(r.entries)
}

// ParseBatch reads what AppendRequest wrote. The batch aliases data, which belongs to it from here on.
func ParseBatch(data []byte) (*Batch, error) {
	b := new(Batch)
	for offset := 0; offset < len(data); {
		content, size, err := consumeField(data[offset:], tagStream)
		if err == nil {
			err = b.parseStream(content)
		}
		if err != nil {
			return nil, fmt.Errorf("stream %d, at offset %d: %w", len(b.streams), offset, err)
		}
		offset += size
	}
	return b, nil
}

func (b *Batch) parseStream(content []byte) error {
	labels, size, err := consumeField(content, tagLabels)
	if err != nil {
		return err
	}
	r := run{entries: content[size:]}
	for rest := r.entries; len(rest) > 0; {
		e, err := nextEntry(rest)
		if err != nil {
			return fmt.Errorf("entry %d: %w", r.lines, err)
		}
		r.note(e.nanos)
		rest = rest[len(e.field):]
	}
	b.append(string(labels), r)
	return nil
}
