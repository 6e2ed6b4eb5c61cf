// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gogo/protobuf/proto"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

var labelPattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*=`)

// readLabelSet reads labels in the syntax of Prometheus, as strictly as Loki does.
func readLabelSet(t *testing.T, text string) map[string]string {
	t.Helper()
	require.True(t, strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}"), text)
	labels := map[string]string{}
	for rest := strings.TrimSuffix(text[1:], "}"); rest != ""; {
		name := labelPattern.FindString(rest)
		require.NotEmpty(t, name, text)
		quoted, err := strconv.QuotedPrefix(rest[len(name):])
		require.NoError(t, err, text)
		value, err := strconv.Unquote(quoted)
		require.NoError(t, err, text)
		name = strings.TrimSuffix(name, "=")
		require.NotContains(t, labels, name)
		labels[name] = value
		rest = strings.TrimPrefix(rest[len(name)+1+len(quoted):], ", ")
	}
	return labels
}

// Whatever a record holds: Loki's own types read what is sent, the line and its time are those of the record, and
// nothing is there for the sake of which Loki would refuse it, or the whole request.
func FuzzEncode(f *testing.F) {
	f.Add("service.name", "checkout", "log.record.uid", "38480", "a line", uint64(1791798435523000000), 3)
	f.Add("_", "\ufffd", "", "", "", uint64(0), 0)
	f.Add("日本", "\xff\"\\\n", "__error__", "x", strings.Repeat("é", 40), uint64(1)<<63, -5)
	f.Add("9", "v", "9", "w", "\x00", uint64(7), 1<<30)
	f.Add("9", "\xbe", "0", "0", "0", uint64(7), -92) // a label that is not UTF-8 becomes structured metadata
	f.Fuzz(func(t *testing.T, resourceName, resourceValue, name, value, line string, nanos uint64, severity int) {
		limits := Limits{
			MaxLineSize: 64, MaxLabelNamesPerSeries: 2, MaxLabelNameLength: 20, MaxLabelValueLength: 30,
			MaxStructuredMetadataSize: 100, MaxStructuredMetadataEntries: 4,
		}
		encoder, err := NewEncoder(Mapping{
			Labels: []LabelRule{
				{Attribute: "service.name"}, {Attribute: "x"}, {Attribute: "y", From: FromRecord}, {Attribute: "9", Label: "nine"},
			},
			Limits: limits,
		})
		require.NoError(t, err)
		ld := plog.NewLogs()
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("x", value)
		rl.Resource().Attributes().PutStr(resourceName, resourceValue)
		record := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		record.Attributes().PutStr("y", resourceValue)
		record.Attributes().PutStr(name, value)
		record.Attributes().PutEmptySlice("slice").AppendEmpty().SetStr(value)
		record.Body().SetStr(line)
		record.SetTimestamp(pcommon.Timestamp(nanos))
		record.SetSeverityNumber(plog.SeverityNumber(severity))

		encoded := encoder.Encode(ld)
		require.Len(t, encoded.Parts, 1)
		batch := encoded.Parts[0].Batch
		data := batch.AppendRequest(nil)
		require.Len(t, data, batch.Size())
		var request push.PushRequest
		require.NoError(t, proto.Unmarshal(data, &request))
		require.Len(t, request.Streams, 1)
		require.Len(t, request.Streams[0].Entries, 1)
		entry := request.Streams[0].Entries[0]

		if len(line) <= limits.MaxLineSize {
			assert.Equal(t, line, entry.Line)
		} else {
			assert.True(t, strings.HasPrefix(line, entry.Line))
			assert.LessOrEqual(t, len(entry.Line), limits.MaxLineSize)
			assert.True(t, !utf8.ValidString(line) || utf8.ValidString(entry.Line))
		}
		if nanos != 0 && nanos < 1<<63 {
			assert.Equal(t, time.Unix(0, int64(nanos)).UTC(), entry.Timestamp)
		}
		labels := readLabelSet(t, request.Streams[0].Labels)
		assert.NotEmpty(t, labels[serviceNameLabel])
		assert.LessOrEqual(t, len(labels), limits.MaxLabelNamesPerSeries+1)
		for _, value := range labels {
			assert.LessOrEqual(t, len(value), limits.MaxLabelValueLength)
			assert.NotEmpty(t, value)
			assert.NotContains(t, value, "\ufffd")
		}
		checkMetadata(t, entry.StructuredMetadata, limits)

		again, err := ParseBatch(data)
		require.NoError(t, err)
		assert.Equal(t, data, again.AppendRequest(nil))
	})
}

func checkMetadata(t *testing.T, metadata push.LabelsAdapter, limits Limits) {
	t.Helper()
	size := 0
	for _, pair := range metadata {
		assert.Regexp(t, `^[a-zA-Z_][a-zA-Z0-9_]*$`, pair.Name)
		assert.NotRegexp(t, `^_+$`, pair.Name)
		assert.True(t, utf8.ValidString(pair.Value))
		assert.NotContains(t, pair.Value, "\ufffd")
		size += len(pair.Name) + len(pair.Value)
	}
	assert.LessOrEqual(t, len(metadata), limits.MaxStructuredMetadataEntries)
	assert.LessOrEqual(t, size, limits.MaxStructuredMetadataSize)
}
