// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nanos is the time of an RFC 3339 text in a test's table.
func nanos(tb testing.TB, text string) int64 {
	tb.Helper()
	if text == "" {
		return 0
	}
	t, err := time.Parse(time.RFC3339, text)
	require.NoError(tb, err)
	return t.UnixNano()
}

// parsedNanos is what rfc3339 is to return for text.
func parsedNanos(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Unix() < 0 {
		return 0
	}
	return t.UnixNano()
}

func TestEveryDayOfEveryMonthLikeTimeParse(t *testing.T) {
	for year := minYear; year <= maxYear; year++ {
		for month := range 14 {
			for day := range 33 {
				text := fmt.Sprintf("%04d-%02d-%02dT23:59:59.999999999Z", year, month, day)
				require.Equal(t, parsedNanos(text), rfc3339([]byte(text)), text)
			}
		}
	}
}

func TestEverySecondOfADayLikeTimeParse(t *testing.T) {
	for hour := range 26 {
		for minute := range 62 {
			for second := range 62 {
				text := fmt.Sprintf("2024-02-29T%02d:%02d:%02dZ", hour, minute, second)
				require.Equal(t, parsedNanos(text), rfc3339([]byte(text)), text)
			}
		}
	}
}

func TestEveryOffsetLikeTimeParse(t *testing.T) {
	for hour := range 27 {
		for minute := range 63 {
			for _, sign := range "+-" {
				text := fmt.Sprintf("2023-12-31T23:30:00%c%02d:%02d", sign, hour, minute)
				require.Equal(t, parsedNanos(text), rfc3339([]byte(text)), text)
			}
		}
	}
}

func TestRFC3339(t *testing.T) {
	for _, text := range []string{
		"2018-07-02T22:23:00Z", "2018-07-02T22:23:00.1Z", "2018-07-02T22:23:00.18Z", "2018-07-02T22:23:00.186Z",
		"2018-07-02T22:23:00.1866Z", "2018-07-02T22:23:00.18664Z", "2018-07-02T22:23:00.186641Z",
		"2018-07-02T22:23:00.1866412Z", "2018-07-02T22:23:00.18664123Z", "2018-07-02T22:23:00.186641234Z",
		"2018-07-02T22:23:00.18664123456Z", "2018-07-02T22:23:00.000000001Z", "2018-07-02T22:23:00.010+05:30",
		"1970-01-01T00:00:00.000000001Z", "1970-01-01T01:00:00+00:30", "1999-12-31T23:59:59-24:60",
	} {
		require.NotZero(t, parsedNanos(text), text)
		assert.Equal(t, parsedNanos(text), rfc3339([]byte(text)), text)
	}
	for _, text := range []string{
		"", "-", "2018", "2018-07-02", "2018-07-02T22:23:00", "2018-07-02T22:23:00.", "2018-07-02T22:23:00.Z",
		"2018-07-02T22:23:00.1", "2018-07-02t22:23:00Z", "2018-07-02T22:23:00z", "2018-07-02 22:23:00Z",
		"2018-07-02T22:23:00Z ", " 2018-07-02T22:23:00Z", "2018/07/02T22:23:00Z", "2018-07-02T22.23.00Z",
		"2018-07-02T22:23:00+0000", "2018-07-02T22:23:00+00:0", "2018-07-02T22:23:00+00-00", "2018-07-02T22:23:00 00:00",
		"2018-07-02T22:23:60Z", "2018-07-02T22:60:00Z", "2018-07-02T24:00:00Z", "2018-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z", "2018-00-01T00:00:00Z", "2018-13-01T00:00:00Z", "2018-04-31T00:00:00Z",
		"2018-07-00T00:00:00Z", "2018-0a-02T22:23:00Z", "2018-07-02T22:2a:00Z", "+018-07-02T22:23:00Z",
		"20\xff8-07-02T22:23:00Z",
	} {
		require.Zero(t, parsedNanos(text), text)
		assert.Zero(t, rfc3339([]byte(text)), text)
	}
	// What time.Parse takes, and AWS does not write.
	for _, text := range []string{
		"1969-12-31T23:59:59Z", "1970-01-01T00:59:59+01:00", "2262-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
		"2018-07-02T2:23:00Z", "2018-07-02T22:23:00,5Z",
	} {
		assert.Zero(t, rfc3339([]byte(text)), text)
	}
}

func TestZonesThatMayLackSomething(t *testing.T) {
	want := nanos(t, "2018-12-20T02:59:40Z")
	assert.Equal(t, want, rfc3339OrUTC([]byte("2018-12-20T02:59:40")))
	assert.Equal(t, want, rfc3339OrUTC([]byte("2018-12-20T02:59:40Z")))
	assert.Equal(t, want, rfc3339OrUTC([]byte("2018-12-20T04:59:40+02:00")))
	assert.Zero(t, rfc3339OrUTC([]byte("2018-12-20T04:59:40+0200")))
	assert.Zero(t, rfc3339OrUTC([]byte("2018-12-20T04:59")))

	assert.Equal(t, want, rfc3339OrBasicZone([]byte("2018-12-20T00:29:40-0230")))
	assert.Equal(t, want, rfc3339OrBasicZone([]byte("2018-12-20T00:29:40-02:30")))
	assert.Equal(t, want, rfc3339OrBasicZone([]byte("2018-12-20T02:59:40Z")))
	assert.Zero(t, rfc3339OrBasicZone([]byte("2018-12-20T02:59:40")))
	assert.Zero(t, rfc3339OrBasicZone([]byte("2018-12-20T02:59:40=0000")))
	assert.Zero(t, rfc3339OrBasicZone([]byte("2018-12-20T02:59:40+00a0")))
	assert.Zero(t, rfc3339OrBasicZone([]byte("2018-12-32T02:59:40+0000")))
}

func TestEpoch(t *testing.T) {
	for text, want := range map[string]int64{
		"1":                     1e9,
		"1418530010":            1418530010e9,
		"1607374005.123":        1607374005123e6,
		"1684226820.0000000019": 1684226820000000001,
		"9214646399.999999999":  9214646399999999999,
		"00001":                 1e9,
	} {
		assert.Equal(t, want, epochSeconds([]byte(text)), text)
	}
	for text, want := range map[string]int64{
		"1693457862729": 1693457862729e6,
		"1693457862045": 1693457862045e6,
		"1693457862005": 1693457862005e6,
		"1693457862000": 1693457862000e6,
		"9214646399999": 9214646399999e6,
	} {
		assert.Equal(t, want, epochMilliseconds([]byte(text)), text)
	}
	for _, text := range []string{
		"", "0", "-", "-1", "+1", ".", "1.", "1.5x", "1e9", "1 ", " 1", "NODATA", strings.Repeat("9", 14),
		strings.Repeat("9", 100),
	} {
		assert.Zero(t, epochSeconds([]byte(text)), text)
		assert.Zero(t, epochMilliseconds([]byte(text)), text)
	}
	assert.Zero(t, epochSeconds([]byte("9214646400")))
	assert.Zero(t, epochMilliseconds([]byte("9214646400000")))
	assert.Zero(t, epochMilliseconds([]byte("1693457862.5")))
}
