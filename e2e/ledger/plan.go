// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"math/rand/v2"
	"sort"
)

// Input is a way by which lines come to the collector.
type Input int

// The inputs.
const (
	Forwarder    Input = iota // messages of subscriptions, by the built Lambda forwarder
	Subscription              // the same, by HTTP
	Firehose
	S3
	Push // Loki's push API, as Promtail uses it
	numInputs
)

var inputNames = [numInputs]string{"forwarder", "subscription", "firehose", "s3", "push"}

func (i Input) String() string { return inputNames[i] }

// ParseInput is the opposite of String.
func ParseInput(name string) (Input, error) {
	for i, one := range inputNames {
		if one == name {
			return Input(i), nil
		}
	}
	return 0, fmt.Errorf("no input is called %q: there are %q", name, inputNames)
}

// Promised reports whether a second delivery is recognised: what comes by the push API has no ids of AWS's.
func (i Input) Promised() bool { return i != Push }

// DefaultMix is how many of a hundred lines come by each input.
var DefaultMix = map[Input]int{Forwarder: 40, Subscription: 25, Firehose: 15, S3: 15, Push: 5}

const (
	// Lines of one document: as CloudWatch Logs sends them, and objects of a few pieces of the receiver's.
	minEvents, maxEvents           = 200, 600
	minObjectLines, maxObjectLines = 1000, 10000
	// repeatedEvents is how many lines a document has where the same lines are sent over and over.
	repeatedEvents = 500
)

// document is what is sent and acknowledged as a whole, but for objects of S3, of which the first lines may be. The ids of
// its lines follow each other.
type document struct {
	number int
	input  Input
	group  int
	first  int // id of the first line
	lines  int
	before int // lines of the group in documents before this one
}

// group is a log group, or what stands for one in S3: a stream in Loki.
type group struct {
	input Input
	name  string // service_name in Loki
	lines int
}

// plan is what is sent, in which order.
type plan struct {
	documents []document // in the order in which they are sent, and of the ids
	groups    []group
	lines     int
}

// newPlan divides lines among the inputs and their groups. Equal arguments give equal plans. equal documents have the same
// number of lines.
func newPlan(seed uint64, lines, groups int, mix map[Input]int, equal bool) *plan {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // equal seeds are to give equal plans
	p := &plan{}
	shares := 0
	for _, share := range mix {
		shares += share
	}
	var numbers [numInputs][]int // the groups of each input
	for input := range numInputs {
		if mix[input] == 0 {
			continue
		}
		// Rounded up, so that there are no fewer in all.
		for n := range (groups*mix[input] + shares - 1) / shares {
			numbers[input] = append(numbers[input], len(p.groups))
			p.groups = append(p.groups, group{input: input, name: fmt.Sprintf("ledger-%s-%d", input, n)})
		}
	}
	var planned [numInputs]int
	for p.lines < lines {
		input := furthestBehind(mix, planned)
		size := repeatedEvents
		if !equal {
			size = documentSize(random, input, lines*mix[input]/shares)
		}
		size = min(size, lines-p.lines)
		number := numbers[input][random.IntN(len(numbers[input]))]
		of := &p.groups[number]
		p.documents = append(p.documents, document{len(p.documents), input, number, p.lines, size, of.lines})
		of.lines += size
		planned[input] += size
		p.lines += size
	}
	return p
}

// furthestBehind returns the input that has the least of its share so far.
func furthestBehind(mix map[Input]int, planned [numInputs]int) Input {
	var behind Input
	for input := range numInputs {
		if mix[input] > 0 && (mix[behind] == 0 || planned[input]*mix[behind] < planned[behind]*mix[input]) {
			behind = input
		}
	}
	return behind
}

// documentSize returns a usual number of lines, but not so many that an input with few lines would have but one document.
func documentSize(random *rand.Rand, input Input, lines int) int {
	least, most := minEvents, maxEvents
	if input == S3 {
		least, most = minObjectLines, maxObjectLines
	}
	return min(least+random.IntN(most-least), max(lines/4, 50))
}

// documentOf returns the document that has a line, by the line's id.
func (p *plan) documentOf(id int) document {
	n := sort.Search(len(p.documents), func(n int) bool { return p.documents[n].first > id })
	return p.documents[n-1]
}
