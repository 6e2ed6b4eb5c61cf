// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package jsonscan

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The scanner takes all that encoding/json takes, and reads strings to the same text.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,-3e7,"x\n",null,true,false,{}]}`, `"\u65e5\ud83d\ude00\ud83d"`, `[[[]]]`, `""`, `{"a\u0062":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New(bytes.Clone(data))
		skipped := s.Skip()
		if json.Valid(data) {
			require.NoError(t, skipped)
			assert.True(t, s.Done())
		}
		s = New(bytes.Clone(data))
		got, err := s.Str()
		var want string
		if json.Unmarshal(data, &want) != nil || !bytes.Equal(data, bytes.ToValidUTF8(data, nil)) || string(data) == "null" {
			return
		}
		if len(bytes.TrimSpace(data)) > 0 && bytes.TrimSpace(data)[0] == '"' {
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
	})
}
