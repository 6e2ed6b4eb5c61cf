// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"os"
	"path/filepath"
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
	opts.Dir, opts.Progress, opts.Drain = cmp.Or(opts.Dir, t.TempDir()), t.Output(), settled
	opts.Overlay = append([]string{soon}, opts.Overlay...)
	result, err := ledger.Run(t.Context(), opts)
	require.NoError(t, err)
	require.NoError(t, result.Print(t.Output()))
	assert.Equal(t, opts.Lines, result.Total().Sent)
	assert.Zero(t, result.Foreign, "lines that were not sent")
	assert.Zero(t, result.Altered, "lines with another time or id")
	return result
}

// Whatever goes wrong, every line is in Loki once.
func TestLedger(t *testing.T) {
	t.Parallel()
	result := runLedger(t, ledger.Options{
		Seed: 1, Lines: 50_000, Rate: 4000, Verify: true,
		Faults: map[ledger.Kind]int{
			ledger.CollectorKill: 3, ledger.CollectorKillStarting: 1, ledger.CollectorTerm: 1, ledger.LokiKill: 1, ledger.LokiAwayKill: 1,
			ledger.NetForwarder: 2, ledger.NetLoki: 1, ledger.NetLokiCut: 2, ledger.DiskFull: 1, ledger.DiskFullAll: 1,
			ledger.ForwarderKill: 2,
		},
	})
	assert.Zero(t, result.Promised().Doubled, "doubled")
}

func TestLedgerWithoutFaults(t *testing.T) {
	t.Parallel()
	result := runLedger(t, ledger.Options{Seed: 2, Lines: 50_000})
	assert.Zero(t, result.Total().Doubled, "doubled")
}

// Each fault alone. No line is doubled where no answer of Loki's is lost and the collector is not killed, or where the exporter
// asks: a Loki that is stopped may have taken what it does not answer for any more.
func TestLedgerFaults(t *testing.T) {
	t.Parallel()
	for kind, tt := range map[ledger.Kind]struct{ verify, once bool }{
		ledger.CollectorKill:         {once: false},
		ledger.CollectorKillStarting: {once: false},
		ledger.CollectorTerm:         {once: true}, // it waits for Loki's answer, and keeps what it has recognised
		ledger.LokiKill:              {once: false},
		ledger.LokiAway:              {once: false},
		ledger.LokiAwayKill:          {once: false},
		ledger.NetForwarder:          {once: true}, // the receiver knows what it had
		ledger.NetLoki:               {once: true}, // what fails never came to Loki
		ledger.NetLokiCut:            {once: false},
		ledger.DiskFull:              {verify: true, once: true}, // Loki is away too
		ledger.DiskFullAll:           {verify: true, once: true},
		ledger.ForwarderKill:         {once: true}, // the receiver knows what it had
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			opts := ledger.Options{Dir: dir, Seed: 3, Lines: 5000, Rate: 2500, Groups: 5, Verify: tt.verify, Faults: map[ledger.Kind]int{kind: 2}}
			switch kind {
			case ledger.LokiAway, ledger.LokiAwayKill, ledger.DiskFull, ledger.DiskFullAll:
				// While there is more to come than the file that is full can have room for.
				opts.Schedule = []ledger.Fault{{Kind: kind, At: 500, For: 2 * time.Second}}
			}
			result := runLedger(t, opts)
			assert.Positive(t, result.Done[kind], "it has met something")
			if tt.once {
				assert.Zero(t, result.Promised().Doubled, "doubled")
			}
			if kind == ledger.DiskFullAll {
				log, err := os.ReadFile(filepath.Join(dir, "collectors", "collector-0.log"))
				require.NoError(t, err)
				assert.Contains(t, string(log), "could not be written", "the receiver's book met it too")
			}
		})
	}
}

// Behind a balancer, what a collector that is killed has not answered goes to another, which does not know it. One that is
// stopped answers before.
func TestLedgerBalanced(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	result := keepLedger(t, ledger.Options{
		Seed: 6, Lines: 10_000, Rate: 2500,
		Overlay:  []string{"exporters: {loki: {sending_queue: {storage: null}}}"},
		Schedule: []ledger.Fault{{Kind: ledger.LokiAwayKill, At: 2000, For: time.Second}},
	})
	assert.Positive(t, result.Total().Lost, "lost")
	assert.Zero(t, result.Total().Unacknowledged, "unacknowledged")
}

// The ledger sees what is there twice: a receiver that remembers nothing takes again what it did not get to answer for.
func TestLedgerCanDouble(t *testing.T) {
	t.Parallel()
	result := runLedger(t, ledger.Options{
		Seed: 7, Lines: 10_000, Rate: 2500,
		Overlay: []string{"receivers: {cloudwatchsubscription: {dedup: {window: 0}}}"},
		Faults:  map[ledger.Kind]int{ledger.NetForwarder: 4},
	})
	assert.Positive(t, result.Promised().Doubled, "doubled")
}
