// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkClaimCommit claims, begins and commits keys that were not there before, with as many in memory as there may be. A
// storage that is a map takes what is written; it may be written once more after each commit, or together with the next ones.
func BenchmarkClaimCommit(b *testing.B) {
	const maxEntries = 1_000_000
	f := func(name string, size int, makeStore func() *Store) {
		b.Run(fmt.Sprintf("%s/keys=%d", name, size), func(b *testing.B) {
			before := heap()
			s := makeStore()
			keys := make([]Key, size)
			var next uint64
			once := func() {
				for i := range keys {
					next++
					binary.LittleEndian.PutUint64(keys[i][:], next)
				}
				c, err := s.Claim(b.Context(), keys)
				if err != nil {
					b.Fatal(err)
				}
				c.Begin(b.Context())
				c.Commit(b.Context())
			}
			for next < 2*maxEntries {
				once()
			}
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
			b.ReportMetric(float64(heap()-before)/maxEntries, "B/entry")
			runtime.KeepAlive(s)
			if err := s.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
	for _, size := range []int{1, 16} {
		f("memory", size, func() *Store { return New(window, maxEntries) })
		f("storage", size, func() *Store { return open(b, newFakeClient(), maxEntries) })
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
