// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package dedup

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkClaimCommit claims and commits keys that were not there before, with as many in memory as there may be.
func BenchmarkClaimCommit(b *testing.B) {
	const maxEntries = 1_000_000
	for _, size := range []int{1, 16} {
		b.Run(fmt.Sprintf("keys=%d", size), func(b *testing.B) {
			before := heap()
			s := New(window, maxEntries)
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
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
