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
	// entries is a run of appendEntry's fields.
	entries []byte
	lines   int
	// oldest and newest are timestamps in nanoseconds. ordered says that the entries are in the order of theirs.
	oldest, newest int64
	ordered        bool
}

// Lines is the number of log lines.
func (b *Batch) Lines() (lines int) {
	for i := range b.streams {
		lines += b.streams[i].lines
	}
	return lines
}

// Streams is the number of streams, each with a label set of its own.
func (b *Batch) Streams() int { return len(b.streams) }

// Size is the number of bytes that AppendRequest appends.
func (b *Batch) Size() (size int) {
	for i := range b.streams {
		size += sizeBytes(b.streams[i].contentSize())
	}
	return size
}

func (s *stream) contentSize() int { return sizeBytes(len(s.labels)) + len(s.entries) }

// AppendRequest appends the batch as one uncompressed PushRequest: each stream once, its entries in the order of their
// timestamps, which spares Loki work, and those with equal timestamps as they came.
func (b *Batch) AppendRequest(dst []byte) []byte {
	dst = slices.Grow(dst, b.Size())
	for i := range b.streams {
		s := &b.streams[i]
		dst = appendHeader(dst, tagStream, s.contentSize())
		dst = appendString(dst, tagLabels, s.labels)
		if s.ordered {
			dst = append(dst, s.entries...)
		} else {
			dst = s.appendSorted(dst)
		}
	}
	return dst
}

func (s *stream) appendSorted(dst []byte) []byte {
	entries := slices.AppendSeq(make([]entry, 0, s.lines), eachEntry(s.entries))
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.nanos, b.nanos) })
	for _, e := range entries {
		dst = append(dst, e.field...)
	}
	return dst
}

// entry is one entry of a stream's bytes: the whole field, which aliases them, and its timestamp.
type entry struct {
	field []byte
	nanos int64
}

// eachEntry yields the entries of a stream, which were checked when they came in.
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

// stream returns the stream with the given labels, a new one if there is none yet. It stays valid until the next call.
func (b *Batch) stream(labels []byte) *stream {
	if i, ok := b.lookup()[string(labels)]; ok {
		return &b.streams[i]
	}
	return b.add(newStream(string(labels)))
}

func newStream(labels string) stream {
	return stream{labels: labels, ordered: true, oldest: math.MaxInt64, newest: math.MinInt64}
}

func (b *Batch) add(s stream) *stream {
	b.lookup()[s.labels] = len(b.streams)
	b.streams = append(b.streams, s)
	return &b.streams[len(b.streams)-1]
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

// note counts an entry that was appended.
func (s *stream) note(nanos int64) {
	s.lines++
	s.ordered = s.ordered && nanos >= s.newest
	s.oldest = min(s.oldest, nanos)
	s.newest = max(s.newest, nanos)
}

// Merge takes the entries of other in behind b's own. other must not be used any more.
func (b *Batch) Merge(other *Batch) {
	for i := range other.streams {
		from := &other.streams[i]
		j, ok := b.lookup()[from.labels]
		if !ok {
			b.add(*from)
			continue
		}
		to := &b.streams[j]
		to.entries = append(to.entries, from.entries...)
		to.lines += from.lines
		to.ordered = to.ordered && from.ordered && from.oldest >= to.newest
		to.oldest = min(to.oldest, from.oldest)
		to.newest = max(to.newest, from.newest)
	}
}

// Measure is what a limit on the size of a batch counts.
type Measure int

const (
	// MeasureBytes counts bytes of the uncompressed request.
	MeasureBytes Measure = iota
	// MeasureLines counts log lines.
	MeasureLines
)

// Split divides the batch into parts of at most limit, in the order of its entries. An entry that is larger by itself
// makes a part of its own, so that it takes no other with it. b must not be used any more.
func (b *Batch) Split(limit int, measure Measure) []*Batch {
	if b.measured(measure) <= limit {
		return []*Batch{b}
	}
	p := partition{limit: limit, measure: measure, current: new(Batch)}
	for i := range b.streams {
		p.addStream(&b.streams[i])
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
	// size of current. The length prefix of a stream counts as long as it may become.
	size int
}

func (p *partition) addStream(s *stream) {
	for rest := s.entries; len(rest) > 0; {
		piece := p.take(s.labels, rest)
		if piece.lines > 0 {
			p.current.add(piece)
			rest = rest[len(piece.entries):]
		}
		if len(rest) > 0 {
			p.full = append(p.full, p.current)
			p.current, p.size = new(Batch), 0
		}
	}
}

// take returns as many of the entries as the current part has room for: at least one if it is empty.
func (p *partition) take(labels string, entries []byte) stream {
	piece := newStream(labels)
	size, n := p.size+p.overhead(labels), 0
	for e := range eachEntry(entries) {
		cost := p.cost(e)
		if size+cost > p.limit && len(p.current.streams)+piece.lines > 0 {
			break
		}
		piece.note(e.nanos)
		size += cost
		n += len(e.field)
	}
	if n > 0 {
		p.size = size
	}
	// The capacity ends with the piece: what is appended to it must not write over its neighbour.
	piece.entries = entries[:n:n]
	return piece
}

func (p *partition) overhead(labels string) int {
	if p.measure == MeasureLines {
		return 0
	}
	return tagSize + binary.MaxVarintLen32 + sizeBytes(len(labels))
}

func (p *partition) cost(e entry) int {
	if p.measure == MeasureLines {
		return 1
	}
	return len(e.field)
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
	s := newStream(string(labels))
	s.entries = content[size:len(content):len(content)]
	for rest := s.entries; len(rest) > 0; {
		e, err := nextEntry(rest)
		if err != nil {
			return fmt.Errorf("entry %d: %w", s.lines, err)
		}
		s.note(e.nanos)
		rest = rest[len(e.field):]
	}
	b.streams = append(b.streams, s)
	return nil
}
