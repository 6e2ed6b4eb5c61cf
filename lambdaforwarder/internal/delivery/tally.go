// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

// Tally counts what became of what was to be delivered, as far as the forwarder knows it.
type Tally struct {
	// Bytes is how many were sent, of messages and objects as AWS has them.
	Bytes int64
	// Lines is how many Loki has taken, where the forwarder pushes to it.
	Lines int
	// Refused is how many lines Loki does not want, by its reasons.
	Refused map[string]int
	// Excluded is how many lines of the function's own log group were left out.
	Excluded int
	// Unlabeled is how many lines were left out since the rules for labels left them none.
	Unlabeled int
	// Truncated is how many lines were cut off at Loki's default limit, and Demoted how many labels of lines are structured
	// metadata since there were too many or they were too long.
	Truncated, Demoted int
}

// Add adds the counts of another.
func (t *Tally) Add(other Tally) {
	t.Bytes += other.Bytes
	t.Lines += other.Lines
	t.Excluded += other.Excluded
	t.Unlabeled += other.Unlabeled
	t.Truncated += other.Truncated
	t.Demoted += other.Demoted
	for reason, lines := range other.Refused {
		t.Refuse(reason, lines)
	}
}

// Refuse counts refused lines.
func (t *Tally) Refuse(reason string, lines int) {
	if t.Refused == nil {
		t.Refused = map[string]int{}
	}
	t.Refused[reason] += lines
}

// RefusedLines is how many lines Loki does not want.
func (t *Tally) RefusedLines() (lines int) {
	for _, n := range t.Refused {
		lines += n
	}
	return lines
}
