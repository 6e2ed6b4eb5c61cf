// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// always gives every record the time of its arrival.
type always struct {
	clock             *arrivalClock
	originalAttribute string
}

func (s *always) stamp(ld plog.Logs) outcome {
	n := ld.LogRecordCount()
	if n == 0 {
		return outcome{}
	}
	arrival := pcommon.Timestamp(s.clock.reserve(s.clock.now(), n))
	originals := newOriginals(s.originalAttribute, n)
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				originals.replace(lr, lr.Timestamp(), arrival)
				arrival++
			}
		}
	}
	var done outcome
	done.replaced[reasonAlways] = int64(n)
	return done
}
