// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import "unicode/utf8"

// Limits are those that Loki has for each line and each stream, under its own names for them
// (https://grafana.com/docs/loki/latest/configure/#limits_config). What is over them is sent in another form, not
// refused by Loki. 0 is no limit.
type Limits struct {
	// MaxLineSize is in bytes. A longer line is cut off at the end of a character.
	MaxLineSize int
	// MaxLabelNamesPerSeries counts all labels but service_name. Those beyond become structured metadata.
	MaxLabelNamesPerSeries int
	// MaxLabelNameLength and MaxLabelValueLength are in bytes. Longer labels become structured metadata.
	MaxLabelNameLength, MaxLabelValueLength int
	// MaxStructuredMetadataSize is in bytes, names and values of one line together, and MaxStructuredMetadataEntries
	// the number of pairs of one line. Pairs beyond are left out.
	MaxStructuredMetadataSize, MaxStructuredMetadataEntries int
}

// DefaultLimits are Loki's own defaults (pkg/validation/limits.go).
func DefaultLimits() Limits {
	return Limits{
		MaxLineSize:                  256 << 10,
		MaxLabelNamesPerSeries:       15,
		MaxLabelNameLength:           1024,
		MaxLabelValueLength:          2048,
		MaxStructuredMetadataSize:    64 << 10,
		MaxStructuredMetadataEntries: 128,
	}
}

// originalSize is the structured metadata of a line that was cut off: how many bytes it had.
const originalSize = "log_record_original_size"

// cut returns the longest beginning of a line that is within the limit and does not end within a character.
func cut(line string, limit int) string {
	// A character has at most four bytes. Where none begins within that many, the line is not text.
	for n := limit; n > 0 && n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(line[n]) {
			return line[:n]
		}
	}
	return line[:limit]
}

// pairList is structured metadata: fields of entries, and what Loki's limits count of them.
type pairList struct {
	fields []byte
	// n is the number of pairs, and size that of their names and values.
	n, size int
}

func (p *pairList) reset() { *p = pairList{fields: p.fields[:0]} }

// addPair appends one pair.
func addPair[T string | []byte](p *pairList, name string, value T) {
	p.fields = appendMetadata(p.fields, name, value)
	p.n++
	p.size += len(name) + len(value)
}

// over says whether n is more than a limit, where there is one.
func over(n, limit int) bool { return limit > 0 && n > limit }

// fits says whether so many pairs of structured metadata are within the limits.
func (l *Limits) fits(n, size int) bool {
	return !over(n, l.MaxStructuredMetadataEntries) && !over(size, l.MaxStructuredMetadataSize)
}

// trim returns as many of the pairs of parts as fit, those of the first part before those of the next, and how many did
// not. The result aliases p.
func (p *pairList) trim(limits *Limits, parts ...*pairList) (trimmed [][]byte, dropped int) {
	p.reset()
	for _, part := range parts {
		from := len(p.fields)
		for name, value := range eachPair(part.fields) {
			if limits.fits(p.n+1, p.size+len(name)+len(value)) {
				addPair(p, string(name), value)
			} else {
				dropped++
			}
		}
		trimmed = append(trimmed, p.fields[from:])
	}
	return trimmed, dropped
}
