// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCollect(t *testing.T) {
	start := time.Unix(1000, 0)
	// f collects lines of which the first counts[0] have one timestamp, the next counts[1] the next, and so on, from a
	// server that cannot answer with more than most lines at once.
	f := func(most int, counts ...int) {
		t.Helper()
		var all []Line
		for i, n := range counts {
			for range n {
				all = append(all, Line{Timestamp: start.Add(time.Duration(i)), Line: string(rune(len(all)))})
			}
		}
		got, err := collect(start, start.Add(time.Hour), func(from, to time.Time, limit int) ([]Line, error) {
			var page []Line
			for _, l := range all {
				if len(page) < limit && !l.Timestamp.Before(from) && l.Timestamp.Before(to) {
					page = append(page, l)
				}
			}
			if len(page) > most {
				return nil, errors.New("received message larger than max")
			}
			return page, nil
		})
		require.NoError(t, err)
		assert.Equal(t, all, got)
	}
	const unlimited = 1 << 30
	f(unlimited)
	f(unlimited, 1)
	f(unlimited, pageSize-1, 1, 1)
	f(unlimited, pageSize-1, 5, 1)
	f(unlimited, pageSize)
	f(unlimited, pageSize, pageSize, 1)
	f(unlimited, 1, pageSize)
	f(unlimited, 5*pageSize+3, 2)
	f(10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	f(10, 9, 1, 10, 3, 7, 7)
	f(1, 1, 1, 1)

	_, err := collect(start, start.Add(1), func(time.Time, time.Time, int) ([]Line, error) {
		return nil, errors.New("received message larger than max")
	})
	require.EqualError(t, err, "received message larger than max")
}
