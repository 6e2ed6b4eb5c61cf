// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package faultproxy

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Kind is what becomes of a request.
type Kind int

// The kinds. Of Answer, Reset, Hang and HalfAnswer, nothing reaches the target; of the others, everything does.
const (
	None       Kind = iota // forwarded, and answered as the target answers
	Answer                 // answered as Fault says
	Reset                  // the connection is reset
	Hang                   // never answered: the client gives up, or the proxy is closed
	CutAnswer              // forwarded; once the target has answered, the connection is reset
	Slow                   // forwarded; the target's answer is held back for Fault.Delay
	HalfAnswer             // answered as Fault says, but the connection is closed halfway through the body
)

func (k Kind) String() string {
	names := [...]string{"None", "Answer", "Reset", "Hang", "CutAnswer", "Slow", "HalfAnswer"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return names[k]
}

// Fault is what is done to a request. The zero value does no harm.
type Fault struct {
	Kind Kind

	// Of Answer and HalfAnswer.
	Status      int    // default: 503
	Body        string // HalfAnswer needs one, and a Status that may have one
	ContentType string // default: none
	RetryAfter  string // default: none

	Delay time.Duration // of Slow
}

// Request is what a decision is made from.
type Request struct {
	N      int    // 1, 2, 3, ... in the order in which requests had come in whole
	Tenant string // X-Scope-OrgID
	Path   string
	Bytes  int // size of the body as it came, compressed if it was
}

// Seeded returns a decision that fails the given share of requests (0 to 1), each with one of faults, of which there must
// be one at least. With one seed, the n-th request always meets the same.
func Seeded(seed uint64, share float64, faults ...Fault) func(*Request) Fault {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // equal seeds are to give equal faults
	return func(*Request) Fault {
		if random.Float64() >= share {
			return Fault{}
		}
		return faults[random.IntN(len(faults))]
	}
}
