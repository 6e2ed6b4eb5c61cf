// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever comes in, DecodeSubscription returns: no panic, and no records along with an error. What encoding/json can
// read, it reads to the same lines.
func FuzzDecodeSubscription(f *testing.F) {
	files, err := filepath.Glob(testdata + "/subscription/*.json")
	require.NoError(f, err)
	for _, file := range files {
		f.Add(readFile(f, file))
		f.Add(compress(f, string(readFile(f, file))))
	}
	f.Add([]byte(document("g", "a\n") + document("h", `\ud83d\ude00 \ud83d \u65e5`)))
	f.Add([]byte(`{"messageType":"DATA_MESSAGE","logEvents":[{"extractedFields":{"a":"b"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		logs, _, err := DecodeSubscription(bytes.Clone(data), testOptions())
		if err != nil {
			return
		}
		var want struct {
			LogEvents []struct {
				Message string `json:"message"`
			} `json:"logEvents"`
		}
		var kind struct {
			MessageType string `json:"messageType"`
		}
		if !json.Valid(data) || json.Unmarshal(data, &want) != nil || json.Unmarshal(data, &kind) != nil ||
			kind.MessageType != dataMessage || !bytes.Equal(data, bytes.ToValidUTF8(data, nil)) {
			return
		}
		got := bodies(logs)
		if len(got) != len(want.LogEvents) {
			return // keys given twice, or in another case, which encoding/json takes as well
		}
		for i, event := range want.LogEvents {
			line := event.Message
			if n := len(line); n > 0 && line[n-1] == '\n' {
				line = line[:n-1]
			}
			assert.Contains(t, got, line, "event %d", i)
		}
	})
}

// The scanner takes all that encoding/json takes, and reads strings to the same text.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,-3e7,"x\n",null,true,false,{}]}`, `"\u65e5\ud83d\ude00\ud83d"`, `[[[]]]`, `""`, `{"a\u0062":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := scanner{buf: bytes.Clone(data)}
		skipped := s.skip()
		if json.Valid(data) && skipped != nil {
			require.ErrorContains(t, skipped, "nested more than")
		}
		s = scanner{buf: bytes.Clone(data)}
		got, err := s.str()
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
