// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/awslogs/s3log"
	"github.com/awsloki/awsloki/internal/decompress"
)

// Whatever an object holds, whatever its key says, and however it arrives: no panic, the same pieces at every delivery, and
// with Skip the same records without the first ones. Lines are those of bytes.Split.
func FuzzObject(f *testing.F) {
	names := slices.Sorted(maps.Keys(sampleKeys))
	for i, name := range names {
		content := readFile(f, testdata+"/s3/"+name+".log")
		f.Add(content, uint(i), 1, false, uint64(1))
		f.Add(content[:len(content)/2], uint(i), 0, true, uint64(2))
	}
	unknown := uint(slices.Index(names, "line-ends"))
	f.Add([]byte("a\nb\r\n\nc"), unknown, 1, false, uint64(1))
	f.Add(bytes.Repeat([]byte("\n"), 100), unknown, 0, false, uint64(3))
	f.Add(bytes.Repeat([]byte("x"), 1000), unknown, -1, true, uint64(4))
	f.Add(compress(f, "a\nb\n"), unknown, 0, false, uint64(5))
	f.Fuzz(func(t *testing.T, content []byte, name uint, skip int, zipped bool, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		maxBytes, maxRecords := 1+random.IntN(64), 1+random.IntN(8)
		body := content
		if zipped {
			body = compress(t, string(content))
		}
		object := sampleObject(names[name%uint(len(names))])
		read := func(src io.Reader, skip int) ([]Batch, error) {
			object.Skip = skip
			return readAllOf(newObjectReaderOf(src, object, maxBytes, maxRecords))
		}
		pieces, err := read(&randomReader{bytes.NewReader(body), random}, skip)
		again, errAgain := read(iotest.DataErrReader(bytes.NewReader(body)), skip)
		require.Equal(t, fmt.Sprint(err), fmt.Sprint(errAgain))
		require.Equal(t, describe(pieces), describe(again))

		whole, _ := read(bytes.NewReader(body), 0)
		all, left := uidsAndBodies(whole), uidsAndBodies(pieces)
		require.Equal(t, append([]string{}, all[min(max(skip, 0), len(all)):]...), append([]string{}, left...))
		if names[name%uint(len(names))] == "line-ends" && s3log.Identify(object.Key, content[:min(len(content), headBytes)]).Type == s3log.Unknown && !decompress.IsGzip(content) {
			require.NoError(t, err)
			require.Equal(t, append([]string{}, wantLines(string(content))...), append([]string{}, numbered(t, whole)...))
		}
	})
}

// uidsAndBodies are those of all records.
func uidsAndBodies(pieces []Batch) (records []string) {
	for _, p := range pieces {
		for _, rl := range p.Logs.ResourceLogs().All() {
			for _, record := range rl.ScopeLogs().At(0).LogRecords().All() {
				uid, _ := record.Attributes().Get(AttributeLogRecordUID)
				records = append(records, fmt.Sprint(uid.Str(), record.Timestamp(), record.Body().Str()))
			}
		}
	}
	return records
}
