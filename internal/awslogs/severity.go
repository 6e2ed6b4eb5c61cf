// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"strings"
	"unicode/utf8"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/jsonscan"
)

const lambdaLogGroupPrefix = "/aws/lambda/"

// lambdaSeverity finds the level that a line of a Lambda function states, in the formats of the managed runtimes:
//
//	{"timestamp":"...","level":"INFO","message":"...","requestId":"..."}   JSON, all runtimes
//	2024-09-05T13:47:15.523Z\t8f5c1d2e-...\tINFO\tmessage                   text, Node.js and .NET
//	[INFO]\t2024-09-05T13:47:15.523Z\t8f5c1d2e-...\tmessage                 text, Python
//
// text is the level as it stands in the line. A line that states none gives SeverityNumberUnspecified.
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
func lambdaSeverity(line string) (number plog.SeverityNumber, text string) {
	switch {
	case strings.HasPrefix(line, "{"):
		text = jsonLevel(line)
	case strings.HasPrefix(line, "["):
		text = bracketedLevel(line)
	default:
		text = thirdColumn(line)
	}
	number = severityNumber(text)
	if number == plog.SeverityNumberUnspecified {
		return number, ""
	}
	return number, text
}

// jsonLevel returns the value of the outermost key "level", as long as it is a string.
func jsonLevel(line string) string {
	if !strings.Contains(line, `"level"`) {
		return ""
	}
	// The line is somebody else's string: the scanner may only look at it, which is all that Key, Raw and Skip do.
	s := jsonscan.New(unsafe.Slice(unsafe.StringData(line), len(line))) //nolint:gosec // nothing is written to it
	var level string
	// A line that is no JSON after all has the level that was seen up to there.
	_ = s.Object(func(key string) error {
		if key != "level" || s.Peek() != '"' {
			return s.Skip()
		}
		raw, _, err := s.Raw()
		if len(raw) <= maxLevelLen {
			level = string(raw)
		}
		return err
	})
	return level
}

func bracketedLevel(line string) string {
	level, _, found := strings.Cut(line[1:], "]")
	if !found {
		return ""
	}
	return level
}

// thirdColumn returns the third of the columns between tabs, as long as the first looks like a time: other programs
// write columns as well.
func thirdColumn(line string) string {
	first, rest, _ := strings.Cut(line, "\t")
	if len(first) < len("2006-01-02T") || first[4] != '-' || first[7] != '-' || first[10] != 'T' {
		return ""
	}
	_, rest, _ = strings.Cut(rest, "\t")
	level, _, found := strings.Cut(rest, "\t")
	if !found {
		return ""
	}
	return level
}

// maxLevelLen is the length of the longest level known.
const maxLevelLen = len("CRITICAL")

func severityNumber(level string) plog.SeverityNumber {
	if len(level) > maxLevelLen || strings.ContainsFunc(level, notASCII) {
		return plog.SeverityNumberUnspecified
	}
	switch strings.ToUpper(level) {
	case "TRACE":
		return plog.SeverityNumberTrace
	case "DEBUG":
		return plog.SeverityNumberDebug
	case "INFO":
		return plog.SeverityNumberInfo
	case "WARN", "WARNING":
		return plog.SeverityNumberWarn
	case "ERROR":
		return plog.SeverityNumberError
	case "FATAL", "CRITICAL":
		return plog.SeverityNumberFatal
	default:
		return plog.SeverityNumberUnspecified
	}
}

// notASCII guards against letters of other scripts of which the upper case is ASCII.
func notASCII(r rune) bool { return r >= utf8.RuneSelf }
