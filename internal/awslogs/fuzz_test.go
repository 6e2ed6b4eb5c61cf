// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
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
	for _, content := range []string{"a line\nanother\r\n", "1607374005.123\t203.0.113.1", document("g", "a"), document("g", "a") + "{}"} {
		f.Add([]byte(kinesisDocument(content) + document("g", "b")))
		f.Add([]byte(kinesisDocument(string(compress(f, content)))))
	}
	f.Add([]byte(`{"eventID":"s:1","logEvents":[{"timestamp":1,"message":"a"}],"kinesis":{"data":"YQ==","sequenceNumber":"1"},"eventSourceARN":"a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		batch, err := DecodeSubscription(bytes.Clone(data), testOptions())
		if err != nil {
			assert.Zero(t, batch)
			return
		}
		assert.Equal(t, batch.Logs.LogRecordCount(), batch.Records())
		assert.LessOrEqual(t, int64(batch.DecodedBytes), testOptions().MaxDecodedBytes)
		var want struct {
			Kinesis     json.RawMessage
			MessageType string `json:"messageType"`
			LogEvents   []struct {
				Message string `json:"message"`
			} `json:"logEvents"`
		}
		if !json.Valid(data) || ambiguous(data) || json.Unmarshal(data, &want) != nil ||
			want.Kinesis != nil || want.MessageType != dataMessage || !bytes.Equal(data, bytes.ToValidUTF8(data, nil)) {
			return
		}
		var lines []string
		for _, event := range want.LogEvents {
			lines = append(lines, strings.TrimSuffix(event.Message, "\n"))
		}
		got := bodies(batch.Logs)
		if batch.Logs.ResourceLogs().Len() > 1 {
			// Events of several accounts keep their order within each.
			slices.Sort(got)
			slices.Sort(lines)
		}
		assert.Equal(t, lines, got)
	})
}

// ambiguous says whether keys of one object are the same to encoding/json, which does not mind their case.
func ambiguous(data []byte) bool {
	var objects []map[string]bool
	decoder := json.NewDecoder(bytes.NewReader(data))
	key := false
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				objects = append(objects, map[string]bool{})
			case '[':
				objects = append(objects, nil)
			default:
				objects = objects[:len(objects)-1]
			}
			key = len(objects) > 0 && objects[len(objects)-1] != nil
			continue
		case string:
			if key {
				seen, name := objects[len(objects)-1], strings.ToLower(token)
				if seen[name] {
					return true
				}
				seen[name] = true
				key = false
				continue
			}
		}
		key = len(objects) > 0 && objects[len(objects)-1] != nil
	}
}
