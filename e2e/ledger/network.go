// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/awsloki/awsloki/e2e/faultproxy"
)

const (
	// faultShare is the share of requests that fail while the network does.
	faultShare = 0.7
	// gatewayLimit is how large a request may be for the gateway that answers 413, in bytes.
	gatewayLimit = 20_000
	pushPath     = "/loki/api/v1/push"
)

// faultyGateway is a fault that meets requests to push which are too large, the others none: such a gateway stands for one
// kind of fault of many, and a request is divided until it passes.
var faultyGateway = faultproxy.Fault{Kind: faultproxy.Answer, Status: 413, Body: "<html>413 Request Entity Too Large</html>", ContentType: "text/html"}

// networkFaults are what may meet a request.
var networkFaults = map[Kind][]faultproxy.Fault{
	NetForwarder: {
		{Kind: faultproxy.Reset},
		{Kind: faultproxy.Hang},
		{Kind: faultproxy.CutAnswer},
		{Kind: faultproxy.CutAnswer},
		{Kind: faultproxy.Slow, Delay: 300 * time.Millisecond},
		{Kind: faultproxy.HalfAnswer, Status: 503, Body: `{"accepted":0,"error":"full"}`, ContentType: "application/json"},
		{Kind: faultproxy.Answer, Status: 503, Body: `{"accepted":0,"error":"full"}`, ContentType: "application/json", RetryAfter: "1"},
		{Kind: faultproxy.Answer, Status: 503},
	},
	NetLoki: {
		{Kind: faultproxy.Reset},
		{Kind: faultproxy.Hang},
		{Kind: faultproxy.Slow, Delay: 500 * time.Millisecond},
		{Kind: faultproxy.HalfAnswer, Status: 502, Body: "<html>Bad Gateway</html>"},
		{Kind: faultproxy.Answer, Status: 429},
		{Kind: faultproxy.Answer, Status: 500, Body: "rpc error: code = Unknown desc = Ingester is shutting down"},
		{Kind: faultproxy.Answer, Status: 503, Body: "The server cannot accept more requests at this time."},
		faultyGateway,
		faultyGateway,
	},
	NetLokiCut: {{Kind: faultproxy.CutAnswer}},
}

// network decides what becomes of the requests that pass a proxy. Of the phases that were begun, one is under way at a time.
type network struct {
	mu     sync.Mutex
	phases []*phase // in the order in which they begin
	failed map[Kind]int
	hung   bool // one request has met a fault that only a timeout ends, and that is enough
}

// phase is a time in which requests fail.
type phase struct {
	kind   Kind
	random *rand.Rand
	faults []faultproxy.Fault
	left   int // requests
	failed int
	ended  chan struct{} // closed when no request is left
}

// disturb has requests fail as f says, and waits until it is over, or ctx is done: then it goes on as requests come. begun is
// called when the next request may fail. It returns how many requests have failed so far.
func (n *network) disturb(ctx context.Context, f Fault, begun func()) int {
	p := &phase{
		kind:   f.Kind,
		random: rand.New(rand.NewPCG(f.Seed, 3)), //nolint:gosec // equal seeds are to give equal faults
		faults: networkFaults[f.Kind],
		left:   f.Requests,
		ended:  make(chan struct{}),
	}
	n.mu.Lock()
	n.phases = append(n.phases, p)
	n.mu.Unlock()
	begun()
	select {
	case <-p.ended:
	case <-ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return p.failed
}

// addFailed adds how many requests have failed, by the kind of fault.
func (n *network) addFailed(done map[Kind]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for kind, requests := range n.failed {
		done[kind] += requests
	}
}

// decide is the proxy's.
func (n *network) decide(r *faultproxy.Request) faultproxy.Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.phases {
		if p.left > 0 {
			return n.decideIn(p, r)
		}
	}
	return faultproxy.Fault{}
}

func (n *network) decideIn(p *phase, r *faultproxy.Request) faultproxy.Fault {
	if p.left--; p.left == 0 {
		defer close(p.ended)
	}
	fault := p.faults[p.random.IntN(len(p.faults))]
	fails := p.random.Float64() < faultShare
	switch {
	case !fails,
		fault == faultyGateway && (!strings.HasSuffix(r.Path, pushPath) || r.Bytes < gatewayLimit),
		fault.Kind == faultproxy.Hang && n.hung:
		return faultproxy.Fault{}
	}
	if fault.Kind == faultproxy.Slow {
		return fault // which is no failure
	}
	n.hung = n.hung || fault.Kind == faultproxy.Hang
	p.failed++
	if n.failed == nil {
		n.failed = map[Kind]int{}
	}
	n.failed[p.kind]++
	return fault
}
