// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind is what goes wrong.
type Kind string

// The kinds.
const (
	CollectorKill         Kind = "collector-kill"          // SIGKILL, and a start
	CollectorKillStarting Kind = "collector-kill-starting" // SIGKILL, another while it starts, and a start
	CollectorTerm         Kind = "collector-term"          // SIGTERM, and a start
	RollingRestart        Kind = "rolling-restart"         // the same, of all collectors one after another
	LokiKill              Kind = "loki-kill"               // SIGKILL, and a start
	LokiAway              Kind = "loki-away"               // SIGTERM, and a start after some seconds
	LokiAwayKill          Kind = "loki-away-kill"          // the same, and the collector is killed meanwhile
	NetForwarder          Kind = "net-forwarder"           // requests to the collector fail
	NetLoki               Kind = "net-loki"                // requests to Loki fail before Loki has them, or are slow
	NetLokiCut            Kind = "net-loki-cut"            // the connection ends once Loki has answered
	DiskFull              Kind = "disk-full"               // the collector's largest file, its queue, cannot grow, while Loki is away
	DiskFullAll           Kind = "disk-full-all"           // none of its files can be written, while Loki is away
	ForwarderKill         Kind = "forwarder-kill"          // SIGKILL while its request is under way, which is invoked again
)

// Kinds are all kinds.
var Kinds = []Kind{
	CollectorKill, CollectorKillStarting, CollectorTerm, RollingRestart, LokiKill, LokiAway, LokiAwayKill, NetForwarder, NetLoki, NetLokiCut,
	DiskFull, DiskFullAll, ForwarderKill,
}

// endsCollector reports whether a collector's process ends.
func (k Kind) endsCollector() bool {
	switch k {
	case CollectorKill, CollectorKillStarting, CollectorTerm, RollingRestart, LokiAwayKill:
		return true
	default:
		return false
	}
}

// needsLoad reports whether it is nothing unless lines come while it lasts.
func (k Kind) needsLoad() bool {
	switch k {
	case LokiAwayKill, NetForwarder, NetLoki, NetLokiCut, DiskFull, DiskFullAll, ForwarderKill:
		return true
	default:
		return false
	}
}

// Fault is one thing that goes wrong.
type Fault struct {
	Kind   Kind
	At     int           // once so many lines are acknowledged
	After  time.Duration // and so long after that; zero: right after the acknowledgement
	Target int           // which of the collectors
	For    time.Duration // how long it lasts, of those that last; how long a start does until it is killed
	// Requests is for how many requests the network fails, and Seed tells which of them.
	Requests int
	Seed     uint64
}

func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "at %d lines", f.At)
	if f.After > 0 {
		fmt.Fprintf(&b, " + %s", f.After)
	}
	fmt.Fprintf(&b, ": %s", f.Kind)
	switch f.Kind {
	case CollectorKill, CollectorKillStarting, CollectorTerm, LokiAwayKill, DiskFull, DiskFullAll:
		fmt.Fprintf(&b, " %d", f.Target)
	}
	if f.For > 0 {
		fmt.Fprintf(&b, " for %s", f.For)
	}
	if f.Requests > 0 {
		fmt.Fprintf(&b, " for %d requests, seed %d", f.Requests, f.Seed)
	}
	return b.String()
}

// DefaultFaults are those of a run of a million lines.
var DefaultFaults = map[Kind]int{
	CollectorKill: 20, CollectorKillStarting: 5, CollectorTerm: 3, LokiKill: 5, LokiAway: 2, LokiAwayKill: 2,
	NetForwarder: 6, NetLoki: 6, NetLokiCut: 6, DiskFull: 2, DiskFullAll: 2, ForwarderKill: 6,
}

// ParseFaults reads counts such as loki-kill=2,disk-full=1, or none.
func ParseFaults(text string) (map[Kind]int, error) {
	faults := map[Kind]int{}
	for pair := range strings.SplitSeq(text, ",") {
		if pair == "none" {
			continue
		}
		name, number, _ := strings.Cut(pair, "=")
		if !slices.Contains(Kinds, Kind(name)) {
			return nil, fmt.Errorf("no fault is called %q: there are %q", name, Kinds)
		}
		var n int
		if _, err := fmt.Sscan(cmp.Or(number, "1"), &n); err != nil || n < 0 {
			return nil, fmt.Errorf("faults: %q is no number of %s", number, name)
		}
		faults[Kind(name)] = n
	}
	return faults, nil
}

// newSchedule spreads the faults of a run over it, those of each kind evenly. Equal options give equal schedules.
func newSchedule(o Options) []Fault {
	random := rand.New(rand.NewPCG(o.Seed, 2)) //nolint:gosec // equal seeds are to give equal schedules
	var schedule []Fault
	for _, kind := range slices.Sorted(maps.Keys(o.Faults)) {
		for i := range o.Faults[kind] {
			// Not in the very end, so that what goes wrong does so under load.
			at := (float64(i) + random.Float64()) / float64(o.Faults[kind]) * 0.95
			schedule = append(schedule, newFault(random, kind, int(at*float64(o.Lines)), o.Collectors))
		}
	}
	if o.Outage > 0 {
		missed := int(o.Outage.Seconds() * float64(o.Rate))
		schedule = append(schedule, Fault{Kind: LokiAway, At: max(0, (o.Lines-missed)/2), For: o.Outage})
	}
	slices.SortStableFunc(schedule, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return schedule
}

func newFault(random *rand.Rand, kind Kind, at, collectors int) Fault {
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(random.Int64N(int64(most-least)))).Round(time.Millisecond)
	}
	f := Fault{Kind: kind, At: at}
	switch kind {
	case CollectorKill:
		f.Target = random.IntN(collectors)
		if random.IntN(2) == 0 {
			f.After = between(0, 200*time.Millisecond)
		}
	case CollectorKillStarting:
		f.Target, f.For = random.IntN(collectors), between(0, 300*time.Millisecond)
	case CollectorTerm:
		f.Target = random.IntN(collectors)
	case LokiAway, LokiAwayKill, DiskFull, DiskFullAll:
		f.Target, f.For = random.IntN(collectors), between(2*time.Second, 5*time.Second)
	case NetForwarder:
		f.Requests, f.Seed = 5+random.IntN(20), uint64(random.Uint32())
	case NetLoki, NetLokiCut: // of which there are fewer
		f.Requests, f.Seed = 4+random.IntN(8), uint64(random.Uint32())
	case ForwarderKill:
		f.After = between(0, 50*time.Millisecond)
	}
	return f
}
