// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever the lines of an object are, they stay as they are, and what is said of them is a time and a status.
func FuzzParsers(f *testing.F) {
	var types []Type
	for _, s := range samples() {
		if !slices.Contains(types, s.kind) {
			types = append(types, s.kind)
		}
		f.Add(uint8(slices.Index(types, s.kind)), []byte(s.header+"\n"+s.record+"\n"+s.record))
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		o := Object{Type: types[int(kind)%len(types)]}
		parse := o.NewParser()
		before := bytes.Clone(data)
		for record := range bytes.SplitSeq(data, []byte{'\n'}) {
			record = record[:len(record):len(record)]
			said := parse(record)
			require.GreaterOrEqual(t, said.Time, int64(0))
			require.True(t, said.Status == 0 || 100 <= said.Status && said.Status <= 999, said.Status)
			require.False(t, said.Header && (said.Time != 0 || said.Status != 0))
			require.Equal(t, said, parse(record), "the second time")
			o.StartsRecord(record)
		}
		require.Equal(t, before, data)
	})
}

// canonical is what AWS writes of RFC 3339.
var canonical = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)

// Times are accepted as time.Parse does, and are the same.
func FuzzTimes(f *testing.F) {
	f.Add("2018-07-02T22:23:00.186641Z", uint16(2018), uint64(0))
	f.Add("2018-07-02T22:23:00+05:30", uint16(2024), uint64(0x1234567890abcdef))
	f.Fuzz(func(t *testing.T, text string, year uint16, rest uint64) {
		for _, text := range []string{text, composed(year, rest)} {
			got := rfc3339([]byte(text))
			parsed, err := time.Parse(time.RFC3339, text)
			if err != nil {
				require.Zero(t, got, text)
				continue
			}
			inYears := text >= "1970" && text < "2262" && parsed.UnixNano() > 0
			switch {
			case canonical.MatchString(text) && inYears:
				require.Equal(t, parsed.UnixNano(), got, text)
			case !inYears:
				require.Zero(t, got, text)
			case got != 0:
				require.Equal(t, parsed.UnixNano(), got, text)
			}
		}
	})
}

// composed spreads bits over the fields of a time, so that each is now and then out of range.
func composed(year uint16, bits uint64) string {
	take := func(n uint64) uint64 {
		defer func() { bits /= n }()
		return bits % n
	}
	text := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d", 1960+year%310, take(14), take(33), take(25), take(62), take(62))
	if digits := take(10); digits > 0 {
		text += fmt.Sprintf(".%0*d", digits, take(1000))[:1+digits]
	}
	if take(2) == 0 {
		return text + "Z"
	}
	return text + fmt.Sprintf("%c%02d:%02d", "+-"[take(2)], take(26), take(62))
}
