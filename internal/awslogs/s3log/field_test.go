// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// All numbers of fields of lines of all lengths, with bytes that are close to the separator's among the others.
func TestFieldLikeSplit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for length := range 200 {
		line := make([]byte, length)
		for range 20 {
			density := random.IntN(12)
			for i := range line {
				line[i] = "    !\x1f\xa0\x00\xffabc"[random.IntN(12)]
				if random.IntN(12) < density {
					line[i] = 'x'
				}
			}
			fields := strings.Split(string(line), " ")
			for n := 1; n <= len(fields)+1; n++ {
				value, ended := field(line, ' ', n)
				require.Equal(t, n < len(fields), ended, "%q %d", line, n)
				if n > len(fields) {
					require.Nil(t, value, "%q %d", line, n)
					continue
				}
				require.NotNil(t, value, "%q %d", line, n)
				require.Equal(t, fields[n-1], string(value), "%q %d", line, n)
			}
		}
	}
}

func TestHTTPStatus(t *testing.T) {
	for text, want := range map[string]int{
		"100": 100, "200": 200, "499": 499, "561": 561, "999": 999,
	} {
		assert.Equal(t, want, httpStatus([]byte(text)), text)
	}
	for _, text := range []string{"000", "099", "-", "", "20", "2000", "20x", "x00", "2x0", "-20", "200 ", "/00", ":00", "2/0", "20:"} {
		assert.Zero(t, httpStatus([]byte(text)), text)
	}
}
