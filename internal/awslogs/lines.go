// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"iter"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/jsonscan"
)

// linesOf gives the lines of data that are not empty, with their numbers, counted from 1. They end with LF or CRLF, the
// last one also without.
func linesOf(data []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for number := 1; len(data) > 0; number++ {
			line, rest, _ := bytes.Cut(data, []byte("\n"))
			data = rest
			line = bytes.TrimSuffix(line, []byte("\r"))
			if len(line) > 0 && !yield(number, line) {
				return
			}
		}
	}
}

// lineMemory is about what the record of a line takes whose id has this prefix.
func lineMemory(prefix string) int64 {
	const maxDigits = 10 // of the line's number
	return recordMemory + int64(len(prefix)+maxDigits)
}

// appendLine appends the record of a line, which it aliases. Its id is prefix and number.
func appendLine(records plog.LogRecordSlice, line []byte, prefix string, number int) plog.LogRecord {
	record := records.AppendEmpty()
	record.Body().SetStr(jsonscan.Alias(line))
	record.Attributes().PutStr(AttributeLogRecordUID, prefix+strconv.Itoa(number))
	return record
}

// setLinesResource says of lines what is known of the stream with this name that they came by. What is empty is not known.
func setLinesResource(attrs pcommon.Map, logType, account, region, name string) {
	attrs.EnsureCapacity(6)
	attrs.PutStr(AttributeCloudProvider, providerAWS)
	attrs.PutStr(AttributeLogType, logType)
	if account != "" {
		attrs.PutStr(AttributeCloudAccountID, account)
	}
	if region != "" {
		attrs.PutStr(AttributeCloudRegion, region)
	}
	if name != "" {
		attrs.PutStr(AttributeLogSource, name)
		attrs.PutStr(AttributeServiceName, name)
	}
}
