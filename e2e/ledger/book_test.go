// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// twoGroups is a plan of two documents for a group that comes by subscription, and one that is pushed.
func twoGroups() *plan {
	return &plan{
		groups: []group{{Subscription, "a", 7}, {Push, "b", 3}},
		documents: []document{
			{number: 0, input: Subscription, group: 0, first: 0, lines: 4},
			{number: 1, input: Push, group: 1, first: 4, lines: 3},
			{number: 2, input: Subscription, group: 0, first: 7, lines: 3, before: 4},
		},
		lines: 10,
	}
}

// entries is what is written in a book.
type entries struct {
	sent         int            // so many documents, from the first
	acknowledged map[int]int    // lines, by document
	found        map[int]string // digits are ids, by group
	counted      map[int]int    // lines, by group
}

func (e entries) book() *book {
	b := newBook(twoGroups())
	for n, d := range b.plan.documents {
		if n < e.sent {
			b.send(d)
			b.acknowledge(d, e.acknowledged[n])
		}
	}
	for group, ids := range e.found {
		for _, id := range ids {
			b.find(group, int(id-'0'), true)
		}
		b.count(group, len(ids))
	}
	for group, lines := range e.counted {
		b.count(group, lines)
	}
	return b
}

func TestBalance(t *testing.T) {
	whole := map[int]int{0: 4, 1: 3, 2: 3}
	for name, tt := range map[string]struct {
		entries entries
		want    []Row // of subscription and push
	}{
		"every line once": {
			entries{sent: 3, acknowledged: whole, found: map[int]string{0: "0123789", 1: "456"}},
			[]Row{{Sent: 7, Acknowledged: 7}, {Sent: 3, Acknowledged: 3}},
		},
		"lost": {
			entries{sent: 3, acknowledged: whole, found: map[int]string{0: "012", 1: "4"}},
			[]Row{{Sent: 7, Acknowledged: 7, Lost: 4}, {Sent: 3, Acknowledged: 3, Lost: 2}},
		},
		"all lost": {
			entries{sent: 3, acknowledged: whole},
			[]Row{{Sent: 7, Acknowledged: 7, Lost: 7}, {Sent: 3, Acknowledged: 3, Lost: 3}},
		},
		"doubled": {
			entries{sent: 3, acknowledged: whole, found: map[int]string{0: "001237899", 1: "455566"}},
			[]Row{{Sent: 7, Acknowledged: 7, Doubled: 2}, {Sent: 3, Acknowledged: 3, Doubled: 3}},
		},
		"doubled, and shown as one": {
			entries{sent: 3, acknowledged: whole, found: map[int]string{0: "0123789", 1: "4556"}, counted: map[int]int{0: 10, 1: 4}},
			[]Row{{Sent: 7, Acknowledged: 7, Doubled: 3}, {Sent: 3, Acknowledged: 3, Doubled: 1}},
		},
		"doubled does not make up for lost": {
			entries{sent: 3, acknowledged: whole, found: map[int]string{0: "0012378", 1: "456"}},
			[]Row{{Sent: 7, Acknowledged: 7, Lost: 1, Doubled: 1}, {Sent: 3, Acknowledged: 3}},
		},
		"not acknowledged": {
			entries{sent: 3, acknowledged: map[int]int{0: 4}, found: map[int]string{0: "012389", 1: ""}},
			[]Row{{Sent: 7, Acknowledged: 4, Unacknowledged: 3, UnacknowledgedInLoki: 2}, {Sent: 3, Unacknowledged: 3}},
		},
		"acknowledged in part": {
			entries{sent: 3, acknowledged: map[int]int{0: 2, 1: 3, 2: 3}, found: map[int]string{0: "023789", 1: "456"}},
			[]Row{{Sent: 7, Acknowledged: 5, Unacknowledged: 2, UnacknowledgedInLoki: 2, Lost: 1}, {Sent: 3, Acknowledged: 3}},
		},
		"not sent": {
			entries{sent: 1, acknowledged: whole, found: map[int]string{0: "0123"}},
			[]Row{{Sent: 4, Acknowledged: 4}, {}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.want[0].Input, tt.want[1].Input = Subscription, Push
			b := tt.entries.book()
			rows := b.balance()
			assert.Equal(t, tt.want, []Row{rows[Subscription], rows[Push]})
			assert.Zero(t, b.foreign)
			for _, input := range []Input{Forwarder, Firehose, S3} {
				assert.Equal(t, Row{Input: input}, rows[input])
			}
		})
	}
}

func TestForeignLines(t *testing.T) {
	b := entries{sent: 1}.book()
	b.find(0, 0, true)
	assert.Zero(t, b.foreign)
	b.find(0, 0, false) // has no id
	b.find(1, 0, true)  // is of another group
	b.find(0, 7, true)  // was not sent
	b.find(0, 10, true) // is beyond all
	assert.Equal(t, 4, b.foreign)
	assert.Equal(t, 1, b.balance()[Subscription].UnacknowledgedInLoki)
}

func TestBalanceCounts(t *testing.T) {
	f := func(acknowledged map[int]int, delivered int, want Row) {
		t.Helper()
		rows, all := entries{sent: 3, acknowledged: acknowledged}.book().balanceCounts(delivered)
		assert.Equal(t, 7, rows[Subscription].Sent)
		assert.Equal(t, 3, rows[Push].Sent)
		assert.Equal(t, acknowledged[0]+acknowledged[2], rows[Subscription].Acknowledged)
		assert.Equal(t, want, all)
	}
	whole := map[int]int{0: 4, 1: 3, 2: 3}
	f(whole, 10, Row{})
	f(whole, 8, Row{Lost: 2})
	f(whole, 12, Row{Doubled: 2})
	f(map[int]int{0: 4}, 4, Row{})
	f(map[int]int{0: 4}, 6, Row{UnacknowledgedInLoki: 2})
	f(map[int]int{0: 4}, 11, Row{UnacknowledgedInLoki: 6, Doubled: 1})
}

// What is acknowledged stays so, and whoever waits for it is told.
func TestAwait(t *testing.T) {
	b := newBook(twoGroups())
	documents := b.plan.documents
	assert.True(t, b.await(t.Context(), 0))
	b.acknowledge(documents[0], 3)
	b.acknowledge(documents[0], 1)
	assert.Equal(t, 3, b.progress())

	reached := make(chan bool)
	go func() { reached <- b.await(t.Context(), 5) }()
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.waiters) == 1
	}, time.Minute, time.Millisecond)
	b.acknowledge(documents[0], 4)
	b.acknowledge(documents[1], 3)
	assert.True(t, <-reached)
	assert.Equal(t, 7, b.progress())

	ended, end := context.WithCancel(t.Context())
	end()
	assert.False(t, b.await(ended, 8))
	for range 50 {
		require.True(t, b.await(ended, 7), "both are so")
	}
}

func TestPrint(t *testing.T) {
	b := entries{
		sent: 3, acknowledged: map[int]int{0: 4, 1: 3}, found: map[int]string{0: "0012", 1: "4566"},
	}.book()
	r := &Result{
		Rows: b.balance(), Refused: 1, Foreign: 2, Altered: 3, Took: time.Second,
		Done: map[Kind]int{LokiKill: 2, CollectorKill: 1}, Failures: map[string]int{"503": 3},
	}
	var out strings.Builder
	require.NoError(t, r.Print(&out))
	assert.Equal(t, `         input  sent  acknowledged  unacknowledged  of these in Loki  lost  doubled
  subscription     7             4               3                 0     1        1
          push     3             3               0                 0     0        1
  all but push     7             4               3                 0     1        1
           all    10             7               3                 0     1        2

lost 1, doubled 1, unacknowledged 3; of those pushed, doubled 1; refused by Loki 1; in Loki and never sent 2; with another time or log_record_uid 3
took 1s; deliveries that failed map[503:3]; faults that happened map[collector-kill:1 loki-kill:2]
`, out.String())
}
