// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlan(t *testing.T) {
	const lines, groups = 100_000, 50
	p := newPlan(1, lines, groups, DefaultMix, false)
	assert.Equal(t, p, newPlan(1, lines, groups, DefaultMix, false))
	assert.NotEqual(t, p, newPlan(2, lines, groups, DefaultMix, false))
	assert.Equal(t, lines, p.lines)
	assert.GreaterOrEqual(t, len(p.groups), groups)
	assert.InDelta(t, groups, len(p.groups), float64(numInputs))

	next := 0
	ofGroups := make([]int, len(p.groups))
	inputs := map[Input]int{}
	for n, d := range p.documents {
		assert.Equal(t, n, d.number)
		assert.Equal(t, next, d.first, "ids follow each other")
		assert.Equal(t, p.groups[d.group].input, d.input)
		assert.Equal(t, ofGroups[d.group], d.before)
		assert.Equal(t, d, p.documentOf(d.first))
		assert.Equal(t, d, p.documentOf(d.first+d.lines-1))
		next += d.lines
		ofGroups[d.group] += d.lines
		inputs[d.input] += d.lines
	}
	assert.Equal(t, lines, next)
	for n, group := range p.groups {
		assert.Equal(t, ofGroups[n], group.lines)
	}
	for input, share := range DefaultMix {
		assert.InDelta(t, share*lines/100, inputs[input], maxObjectLines, input)
	}
}

func TestPlanOfOneInput(t *testing.T) {
	p := newPlan(1, 1200, 1, map[Input]int{S3: 1}, true)
	var sizes []int
	for _, d := range p.documents {
		assert.Equal(t, S3, d.input)
		sizes = append(sizes, d.lines)
	}
	assert.Equal(t, []int{500, 500, 200}, sizes)
	assert.Equal(t, []group{{S3, "ledger-s3-0", 1200}}, p.groups)
}

func TestInputNames(t *testing.T) {
	for input := range numInputs {
		parsed, err := ParseInput(input.String())
		require.NoError(t, err)
		assert.Equal(t, input, parsed)
		assert.Contains(t, DefaultMix, input)
		assert.Equal(t, input != Push, input.Promised())
	}
	_, err := ParseInput("fax")
	require.ErrorContains(t, err, `no input is called "fax"`)
}

func TestParseFaults(t *testing.T) {
	f := func(text string, want map[Kind]int, wantErr string) {
		t.Helper()
		got, err := ParseFaults(text)
		if wantErr != "" {
			assert.ErrorContains(t, err, wantErr)
			return
		}
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	f("none", map[Kind]int{}, "")
	f("loki-kill=2,disk-full", map[Kind]int{LokiKill: 2, DiskFull: 1}, "")
	f("fire=1", nil, `no fault is called "fire"`)
	f("loki-kill=many", nil, `"many" is no number of loki-kill`)
	f("loki-kill=-1", nil, `"-1" is no number of loki-kill`)
}

func TestSchedule(t *testing.T) {
	o := Options{Seed: 1, Lines: 100_000, Collectors: 2, Faults: map[Kind]int{}}
	for _, kind := range Kinds {
		o.Faults[kind] = 4
	}
	schedule := newSchedule(o)
	assert.Equal(t, schedule, newSchedule(o))
	assert.True(t, slices.IsSortedFunc(schedule, func(a, b Fault) int { return a.At - b.At }))
	counts, after := map[Kind]int{}, 0
	for _, f := range schedule {
		counts[f.Kind]++
		assert.Less(t, f.At, o.Lines)
		assert.Contains(t, f.String(), string(f.Kind))
		if f.Kind == CollectorKill && f.After > 0 {
			after++
		}
		assert.Less(t, f.Target, o.Collectors)
	}
	assert.Equal(t, o.Faults, counts)
	assert.Less(t, after, counts[CollectorKill], "some are right after an acknowledgement")
	assert.Subset(t, Kinds, slices.Collect(maps.Keys(DefaultFaults)))

	o.Seed = 2
	assert.NotEqual(t, schedule, newSchedule(o))
}

// In the middle of thirty minutes Loki is away for ten.
func TestScheduledOutage(t *testing.T) {
	o := Options{Lines: 30 * 60 * 20_000, Rate: 20_000, Outage: 10 * time.Minute}
	assert.Equal(t, []Fault{{Kind: LokiAway, At: 10 * 60 * 20_000, For: 10 * time.Minute}}, newSchedule(o))
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{},
		{Dir: "x"},
		{Lines: 1},
		{Dir: "x", Lines: 1, Outage: time.Second},
		{Dir: "x", Lines: 1, CountOnly: true, Faults: map[Kind]int{CollectorTerm: 1}},
	} {
		_, err := o.withDefaults()
		require.Error(t, err)
	}
	o, err := Options{Dir: "x", Lines: 1000, Faults: map[Kind]int{LokiKill: 2}}.withDefaults()
	require.NoError(t, err)
	assert.Len(t, o.Schedule, 2)
	assert.FileExists(t, o.Config)
	assert.Equal(t, 1, o.Collectors)
}
