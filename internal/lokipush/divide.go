// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

// The parts that a batch is divided into alias its bytes. It must not be used any more.

// halves divides a batch of more than one line in two of about the same size: its streams, or the lines of its one
// stream.
func (b *Batch) halves() (first, second *Batch) {
	if len(b.streams) > 1 {
		return b.divideStreams()
	}
	parts := b.Merge(nil, (b.Lines()+1)/2, MeasureLines)
	return parts[0], parts[1]
}

func (b *Batch) divideStreams() (first, second *Batch) {
	first, second = new(Batch), new(Batch)
	half := b.Size() / 2
	size := 0
	for i := range b.streams {
		s := &b.streams[i]
		// Neither part may be left without a stream.
		if i == 0 || size+s.contentSize()/2 <= half && i < len(b.streams)-1 {
			first.append(s.labels, s.runs...)
		} else {
			second.append(s.labels, s.runs...)
		}
		size += s.contentSize()
	}
	return first, second
}

// cut divides a batch in a first part of at most limit bytes, but at least one line, and the rest, which may be empty.
func (b *Batch) cut(limit int) (first, rest *Batch) {
	p := partition{limit: limit, measure: MeasureBytes, current: new(Batch)}
	rest = new(Batch)
	for i := range b.streams {
		s := &b.streams[i]
		for _, r := range s.runs {
			if rest.streams == nil {
				var piece run
				if piece, r = p.take(s.labels, r); piece.lines > 0 {
					p.add(s.labels, piece)
				}
			}
			if r.lines > 0 {
				rest.append(s.labels, r)
			}
		}
	}
	return p.current, rest
}

// byStream makes a batch of each stream.
func (b *Batch) byStream() []*Batch {
	batches := make([]*Batch, len(b.streams))
	for i := range b.streams {
		batches[i] = &Batch{streams: b.streams[i : i+1 : i+1]}
	}
	return batches
}

// divideBy divides a batch in the lines that belong and the others.
func (b *Batch) divideBy(belongs func(entry) bool) (in, out *Batch) {
	in, out = new(Batch), new(Batch)
	for i := range b.streams {
		for _, r := range b.streams[i].runs {
			for e := range eachEntry(r.entries) {
				part := out
				if belongs(e) {
					part = in
				}
				one := run{entries: e.field, unsure: r.unsure}
				one.note(e.nanos)
				part.append(b.streams[i].labels, one)
			}
		}
	}
	return in, out
}

func (e entry) hasMetadata() bool {
	_, metadata := e.parts()
	return len(metadata) > 0
}

// linesOf is the number of lines of a stream, 0 if there is none with such labels.
func (b *Batch) linesOf(labels string) int {
	if i, ok := b.lookup()[labels]; ok {
		return b.streams[i].lines
	}
	return 0
}

// withoutMetadata returns the batch without structured metadata, and how many pairs that were. It is the same batch if
// there is none.
func (b *Batch) withoutMetadata() (plain *Batch, dropped int) {
	plain = new(Batch)
	for i := range b.streams {
		r := run{unsure: b.streams[i].unsure()}
		for e := range b.streams[i].inOrder() {
			line, metadata := e.parts()
			for range eachPair(metadata) {
				dropped++
			}
			r.entries = appendEntry(r.entries, e.nanos, string(line))
			r.note(e.nanos)
		}
		plain.append(b.streams[i].labels, r)
	}
	if dropped == 0 {
		return b, 0
	}
	return plain, dropped
}
