// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/awslogs/s3log"
)

const receiverReadme = "../../receiver/cloudwatchsubscriptionreceiver/README.md"

// formatRow is a row of the README's table of logs in S3.
type formatRow struct{ log, logType, objects, source, time, status string }

func formatRows(t *testing.T) (rows []formatRow) {
	t.Helper()
	_, table, ok := strings.Cut(string(readFile(t, receiverReadme)), "## Logs in S3\n")
	require.True(t, ok)
	for line := range strings.Lines(strings.TrimSpace(table)) {
		cells := strings.Split(strings.Trim(line, "| \n"), "|")
		if len(cells) < 4 {
			break // behind the table
		}
		for len(cells) < 6 {
			cells = append(cells, "")
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, formatRow{cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]})
	}
	require.Greater(t, len(rows), 2)
	return rows[2:]
}

var inBackquotes = regexp.MustCompile("`([^`]+)`")

// The README's table of logs in S3 has every type, in the order of the code; the names of objects in it are recognised as
// what it says, with the sources that it shows; and it says of which logs the records have a time and a status.
func TestReadmeFormats(t *testing.T) {
	rows := formatRows(t)
	var types []string
	for _, logType := range s3log.Types() {
		types = append(types, "`"+string(logType)+"`")
	}
	var documented []string
	for _, row := range rows {
		documented = append(documented, row.logType)
	}
	assert.ElementsMatch(t, types, documented)

	for _, row := range rows {
		logType := strings.Trim(row.logType, "`")
		for _, name := range inBackquotes.FindAllStringSubmatch(row.objects, -1) {
			object := s3log.Identify(name[1], nil)
			assert.Equal(t, logType, string(object.Type), name[1])
			if source := inBackquotes.FindStringSubmatch(row.source); source != nil && !strings.HasPrefix(name[1], "logs/") {
				assert.Equal(t, source[1], object.Source, name[1])
			} else {
				assert.Empty(t, strings.TrimPrefix(object.Source, "cloudtrail"), name[1])
			}
		}
		if logType == string(s3log.Unknown) {
			continue
		}
		content := readFile(t, testdata+"/s3/"+logType+".log")
		object := testObject()
		object.Key = sampleKeys[logType]
		pieces, err := readObject(bytes.NewReader(content), object, testOptions())
		require.NoError(t, err)
		passedOver := strings.Contains(row.source, "passed over")
		assert.Equal(t, passedOver, len(pieces) == 0, logType)
		if passedOver {
			continue
		}
		record := pieces[0].Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		_, hasStatus := record.Attributes().Get(AttributeHTTPResponseStatusCode)
		assert.Equal(t, hasStatus, row.status != "", "%s: status", logType)
		stated := s3log.Identify(object.Key, content).Time
		hasTime := record.Timestamp().AsTime() != stated && record.Timestamp().AsTime() != object.EventTime
		assert.Equal(t, hasTime, !strings.HasPrefix(row.time, "none"), "%s: time", logType)
	}
}
