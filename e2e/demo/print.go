// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/stack"
)

const (
	width      = 120
	indent     = "  "
	timeLayout = "15:04:05.000000000"
)

// printer writes what the demo does, for a reader who sees awsloki for the first time. Errors of writing are passed over:
// the reader has gone away, and what was started must still be stopped.
type printer struct{ w io.Writer }

func (p printer) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.w, format, args...)
}

func (p printer) begin(dir string) {
	p.printf("CloudWatch Logs -> Lambda forwarder -> collector -> Loki, on this machine.\nLogs and data are in %s until the end.\n", dir)
}

func (p printer) step(title string) {
	p.printf("\n%s\n", title)
}

func (p printer) part(name, where, how string) {
	p.printf("%s%-10s %-41s %s\n", indent, name, where, how)
}

func (p printer) started(name, where string, process *stack.Process, begin time.Time) {
	p.part(name, where, fmt.Sprintf("pid %d, after %s", process.PID(), round(time.Since(begin))))
}

func (p printer) invoked(e event, answer []byte, took time.Duration) {
	m := e.message
	holds := fmt.Sprintf("%s of %s, %s", plural(len(m.LogEvents), "line"), m.LogGroup, m.LogStream)
	if m.MessageType != cloudwatch.DataMessage {
		holds = m.MessageType + ", no lines"
	}
	p.printf("%s%s\n", indent, e.file)
	p.wrapped(indent+indent+"holds    ", []string{clean(holds)}, "", "")
	p.wrapped(indent+indent+"answer   ", []string{clean(string(answer)), "after " + round(took)}, ", ", "")
}

func (p printer) lines(query string, start time.Time, lines []stack.Line) {
	var order []string // streams by their first line
	streams := map[string][]stack.Line{}
	for _, l := range lines {
		key := fmt.Sprint(l.Labels)
		if len(streams[key]) == 0 {
			order = append(order, key)
		}
		streams[key] = append(streams[key], l)
	}
	p.printf("%s%s  since %s: %s in %s\n", indent, query, start.UTC().Format(time.RFC3339),
		plural(len(lines), "line"), plural(len(streams), "stream"))
	for _, key := range order {
		p.stream(streams[key])
	}
}

// stream prints the labels that the lines share as a LogQL selector, then each line with its structured metadata below.
func (p printer) stream(lines []stack.Line) {
	p.printf("\n")
	labels := make([]string, 0, len(lines[0].Labels))
	for _, name := range slices.Sorted(maps.Keys(lines[0].Labels)) {
		labels = append(labels, fmt.Sprintf("%s=%q", name, lines[0].Labels[name]))
	}
	p.wrapped(indent+"{", labels, ", ", "}")
	for _, l := range lines {
		prefix := indent + indent + l.Timestamp.Format(timeLayout) + "  "
		for text := range strings.SplitSeq(l.Line, "\n") {
			p.wrapped(prefix, strings.SplitAfter(clean(text), " "), "", "")
			prefix = blank(prefix)
		}
		p.table(strings.Repeat(indent, 4)+"| ", l.StructuredMetadata)
	}
}

// table prints one name and value a row, by name.
func (p printer) table(prefix string, values map[string]string) {
	names := slices.Sorted(maps.Keys(values))
	longest := 0
	for _, name := range names {
		longest = max(longest, utf8.RuneCountInString(name))
	}
	for _, name := range names {
		p.wrapped(fmt.Sprintf("%s%-*s  ", prefix, longest, name), []string{clean(values[name])}, "", "")
	}
}

func (p printer) end() {
	p.printf("\nAll stopped, nothing is left running.\n")
}

// wrapped prints the words, with the separator between them and end after them, in rows of at most width columns. The
// first row begins with prefix, the others are indented as far. A word that is longer than a row is cut.
func (p printer) wrapped(prefix string, words []string, separator, end string) {
	room := width - utf8.RuneCountInString(prefix)
	var row []rune
	flush := func() {
		p.printf("%s\n", strings.TrimRight(prefix+string(row), " "))
		prefix, row = blank(prefix), nil
	}
	for i, word := range words {
		if i < len(words)-1 {
			word += separator
		} else {
			word += end
		}
		runes := []rune(word)
		if len(row)+len([]rune(strings.TrimRight(word, " "))) > room && len(row) > 0 {
			flush()
		}
		for len(runes) > room {
			row = runes[:room]
			flush()
			runes = runes[room:]
		}
		row = append(row, runes...)
	}
	if len(row) > 0 {
		flush()
	}
}

// clean makes text of a log safe and aligned on a terminal: a tab becomes two spaces, any other control character a mark.
func clean(text string) string {
	text = strings.ReplaceAll(text, "\t", "  ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func blank(prefix string) string { return strings.Repeat(" ", utf8.RuneCountInString(prefix)) }

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func round(d time.Duration) string {
	return cmp.Or(d.Round(time.Millisecond), time.Millisecond).String()
}
