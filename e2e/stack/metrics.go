// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Metrics has the value of each series under its name and labels, written as name{a="1",b="2"} with the labels in order
// and without braces where there are none.
type Metrics map[string]float64

// Sum adds up the series of a metric that have all the given labels (name, value, name, value, ...). It is 0 when there
// are none: a counter that has not counted yet is not exported.
func (m Metrics) Sum(name string, labels ...string) float64 {
	var sum float64
	for series, value := range m {
		if matches(series, name, labels) {
			sum += value
		}
	}
	return sum
}

func matches(series, name string, labels []string) bool {
	found, pairs, _ := strings.Cut(series, "{")
	if found != name {
		return false
	}
	// A quote within a value is escaped, so ,name="value", can only be a whole pair.
	pairs = "," + strings.TrimSuffix(pairs, "}") + ","
	for i := 0; i+1 < len(labels); i += 2 {
		if !strings.Contains(pairs, ","+pair(labels[i], labels[i+1])+",") {
			return false
		}
	}
	return true
}

var (
	escaper   = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	unescaper = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")
)

func pair(name, value string) string { return name + `="` + escaper.Replace(value) + `"` }

// parseMetrics reads the Prometheus text format.
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
func parseMetrics(text string) (Metrics, error) {
	metrics := Metrics{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		series, value, err := parseSample(line)
		if err != nil {
			return nil, fmt.Errorf("metrics, line %d: %w", n, err)
		}
		metrics[series] = value
	}
	return metrics, nil
}

// parseSample reads name{labels} value timestamp, where labels and timestamp may be missing.
func parseSample(line string) (string, float64, error) {
	end := strings.IndexAny(line, "{ \t")
	if end < 0 {
		return "", 0, fmt.Errorf("%q has no value", line)
	}
	series, rest := line[:end], line[end:]
	if strings.HasPrefix(rest, "{") {
		labels, after, err := parseLabels(rest[1:])
		if err != nil {
			return "", 0, fmt.Errorf("labels of %s: %w", series, err)
		}
		series, rest = series+labels, after
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return "", 0, fmt.Errorf("%s has no value", series)
	}
	value, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return "", 0, fmt.Errorf("value of %s: %w", series, err)
	}
	return series, value, nil
}

// parseLabels reads a="1",b="2"} and returns the labels in braces and in order, and what follows.
func parseLabels(text string) (labels, rest string, err error) {
	values := map[string]string{}
	for {
		text = strings.TrimLeft(text, ", ")
		if after, ok := strings.CutPrefix(text, "}"); ok {
			return formatLabels(values), after, nil
		}
		name, after, ok := strings.Cut(text, `="`)
		if !ok {
			return "", "", fmt.Errorf("no label at %q", text)
		}
		end := closingQuote(after)
		if end < 0 {
			return "", "", fmt.Errorf("the value of %s does not end", name)
		}
		values[strings.TrimSpace(name)] = unescaper.Replace(after[:end])
		text = after[end+1:]
	}
}

func closingQuote(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

func formatLabels(values map[string]string) string {
	if len(values) == 0 {
		return ""
	}
	pairs := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, pair(name, values[name]))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}
