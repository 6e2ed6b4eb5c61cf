// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

func TestOriginals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ts   pcommon.Timestamp
		want string
	}{
		{1, "1970-01-01T00:00:00.000000001Z"},
		{1_772_600_767_000_000_000, "2026-03-04T05:06:07Z"},
		{1_772_600_767_100_000_000, "2026-03-04T05:06:07.1Z"},
		{1_772_600_767_089_000_000, "2026-03-04T05:06:07.089Z"},
		{1_772_600_767_999_999_999, "2026-03-04T05:06:07.999999999Z"},
		{math.MaxInt64, "2262-04-11T23:47:16.854775807Z"},
	} {
		o := newOriginals("", 1)
		assert.Equal(t, tt.want, o.format(tt.ts))
	}
}

// TestOriginalsAgreeWithTime compares with the standard library, for times that
// share their second with the one before and for times that do not, over more
// strings than one chunk holds.
func TestOriginalsAgreeWithTime(t *testing.T) {
	t.Parallel()
	const n = 3*maxPerChunk + 1
	rnd := rand.New(rand.NewPCG(1, 2))
	o := newOriginals("", n)
	got, want := make([]string, n), make([]string, n)
	var ts uint64
	for i := range n {
		switch rnd.IntN(4) {
		case 0:
			ts = rnd.Uint64() // half of these are before 1970
		case 1:
			ts = ts / 1e9 * 1e9
		default:
			ts += rnd.Uint64N(uint64(time.Second / 4))
		}
		got[i] = o.format(pcommon.Timestamp(ts))
		want[i] = pcommon.Timestamp(ts).AsTime().Format(time.RFC3339Nano)
	}
	// Compared at the end: later strings must not have touched earlier ones.
	require.Equal(t, want, got)
}

func TestOriginalsBeyondTheAnnouncedNumber(t *testing.T) {
	t.Parallel()
	o := newOriginals("", 1)
	for range 3 {
		assert.Equal(t, "1970-01-01T00:00:00.000000007Z", o.format(7))
	}
}
