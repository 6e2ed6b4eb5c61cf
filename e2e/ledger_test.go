// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/ledger"
)

// runLedger keeps the ledger of one run, in which lines come at a pace that leaves something to fail, and checks what holds
// for all of them: what was acknowledged is in Loki, and everything is acknowledged in the end.
func runLedger(t *testing.T, opts ledger.Options) *ledger.Result {
	t.Helper()
	result := keepLedger(t, opts)
	assert.Zero(t, result.Total().Lost, "lost")
	assert.Zero(t, result.Total().Unacknowledged, "unacknowledged")
	return result
}

func keepLedger(t *testing.T, opts ledger.Options) *ledger.Result {
	t.Helper()
	opts.Dir, opts.Progress, opts.Drain = t.TempDir(), t.Output(), settled
	opts.Overlay = append([]string{soon}, opts.Overlay...)
	result, err := ledger.Run(t.Context(), opts)
	require.NoError(t, err)
	require.NoError(t, result.Print(t.Output()))
	assert.Equal(t, opts.Lines, result.Total().Sent)
	assert.Zero(t, result.Foreign, "lines that were not sent")
	return result
}

// Whatever goes wrong, every line is in Loki once.
func TestLedger(t *testing.T) {
	result := runLedger(t, ledger.Options{
		Seed: 1, Lines: 50_000, Rate: 4000, Verify: true,
		Faults: map[ledger.Kind]int{
			ledger.CollectorKill: 3, ledger.CollectorTerm: 1, ledger.LokiKill: 1, ledger.LokiAwayKill: 1, ledger.NetForwarder: 2,
			ledger.NetLoki: 1, ledger.NetLokiCut: 2, ledger.DiskFull: 1, ledger.ForwarderKill: 2,
		},
	})
	assert.Zero(t, result.Promised().Doubled, "doubled")
}

func TestLedgerWithoutFaults(t *testing.T) {
	result := runLedger(t, ledger.Options{Seed: 2, Lines: 50_000})
	assert.Zero(t, result.Total().Doubled, "doubled")
}

// Each fault alone. Where no answer of Loki's is lost and the collector is not killed, no line is doubled.
func TestLedgerFaults(t *testing.T) {
	for kind, once := range map[ledger.Kind]bool{
		ledger.CollectorKill: false,
		ledger.CollectorTerm: true,
		ledger.LokiKill:      false,
		ledger.LokiAway:      false,
		ledger.LokiAwayKill:  false,
		ledger.NetForwarder:  true,
		ledger.NetLoki:       true,
		ledger.NetLokiCut:    false,
		ledger.DiskFull:      true,
		ledger.ForwarderKill: true,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			result := runLedger(t, ledger.Options{Seed: 3, Lines: 5000, Rate: 2500, Groups: 5, Faults: map[ledger.Kind]int{kind: 2}})
			assert.Positive(t, result.Done[kind], "it has happened")
			if kind == ledger.DiskFull {
				assert.Positive(t, result.Failures["503"], "the disk was full")
			}
			if once {
				assert.Zero(t, result.Promised().Doubled, "doubled")
			}
		})
	}
}

// Behind a balancer, what a collector that is killed has not answered goes to another, which does not know it. One that is
// stopped answers before.
func TestLedgerBalanced(t *testing.T) {
	t.Run("one of two is killed", func(t *testing.T) {
		t.Parallel()
		runLedger(t, ledger.Options{
			Seed: 4, Lines: 10_000, Rate: 2500, Collectors: 2, Faults: map[ledger.Kind]int{ledger.CollectorKill: 2},
		})
	})
	t.Run("three are restarted one after another", func(t *testing.T) {
		t.Parallel()
		result := runLedger(t, ledger.Options{
			Seed: 5, Lines: 10_000, Rate: 2500, Collectors: 3, Faults: map[ledger.Kind]int{ledger.RollingRestart: 1},
		})
		assert.Zero(t, result.Promised().Doubled, "doubled")
	})
}

// The ledger is able to fail: with a queue in memory, what was acknowledged while Loki was away is lost in a kill.
func TestLedgerCanFail(t *testing.T) {
	result := keepLedger(t, ledger.Options{
		Seed: 6, Lines: 10_000, Rate: 2500,
		Overlay:  []string{"exporters: {loki: {sending_queue: {storage: null}}}"},
		Schedule: []ledger.Fault{{Kind: ledger.LokiAwayKill, At: 2000, For: time.Second}},
	})
	assert.Positive(t, result.Total().Lost, "lost")
	assert.Zero(t, result.Total().Unacknowledged, "unacknowledged")
}
