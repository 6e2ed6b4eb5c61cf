// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const (
	// A question is about so many lines of ours at most, and so many bytes. Loki passes on 4 MiB between its parts, and of
	// an answer that is larger it may say that there is nothing (grpc_server_max_send_msg_size).
	maxAskedLines = 1000
	maxAskedBytes = 512 << 10
	// maxLimit is the most lines that Loki answers with, by default (max_entries_limit_per_query).
	maxLimit = 5000
	// maxQuestions bounds what one stream may cost where other lines are between those asked for.
	maxQuestions = 200
	// maxAnswer bounds the memory for an answer.
	maxAnswer = 32 << 20
)

// encodingFlags asks for structured metadata apart from the labels, and names what an answer has that does so (Loki 3.0
// and later: pkg/util/httpreq/encoding_flags.go).
const (
	encodingFlagsHeader = "X-Loki-Response-Encoding-Flags"
	categorizeLabels    = "categorize-labels"
)

// queryError says that Loki did not answer a question.
type queryError struct {
	err error
	// temporary says that it may answer another time.
	temporary bool
}

func (e *queryError) Error() string { return "ask loki which lines it has: " + e.err.Error() }

func (e *queryError) Unwrap() error { return e.err }

// querier finds lines of one stream.
type querier struct {
	*delivery
	// selector is the stream's labels as they are written, and labels what they are.
	selector string
	labels   map[string]string

	// wanted are the lines that are looked for.
	wanted map[identity]bool
	finding
	// questions is how many were asked.
	questions int
}

func (d *delivery) newQuerier(s *stream) (*querier, error) {
	labels, err := streamLabels(s.labels)
	if err != nil {
		return nil, &queryError{err: err}
	}
	return &querier{delivery: d, selector: s.labels, labels: labels, wanted: map[identity]bool{}, finding: finding{copies: map[identity]int{}}}, nil
}

// look finds which of these entries, in the order of their timestamps, Loki has. Its error is about Loki; that there are too
// many other lines is the finding's.
func (q *querier) look(ctx context.Context, entries []entry) error {
	for _, e := range entries {
		q.wanted[e.identity()] = true
	}
	for len(entries) > 0 {
		if q.questions >= maxQuestions {
			q.partial = fmt.Errorf("after %d questions about one stream, since other lines are between those asked for", q.questions)
			return nil
		}
		next, err := q.lookAt(ctx, firstOf(entries))
		if err != nil {
			return err
		}
		entries = entries[sort.Search(len(entries), func(i int) bool { return entries[i].nanos >= next }):]
	}
	return nil
}

// firstOf returns as many entries as are asked for at once.
func firstOf(entries []entry) []entry {
	n, size := 0, 0
	for n < len(entries) && n < maxAskedLines && (n == 0 || size < maxAskedBytes) {
		size += len(entries[n].field)
		n++
	}
	return entries[:n]
}

// lookAt finds entries, and returns the time from which on is still to be asked for.
func (q *querier) lookAt(ctx context.Context, entries []entry) (next int64, err error) {
	first, last := entries[0].nanos, entries[len(entries)-1].nanos
	lines, isFull, err := q.lines(ctx, first, last, min(2*len(entries)+100, maxLimit))
	switch {
	case err != nil:
		return 0, err
	case !isFull:
		q.note(lines, last+1)
		return last + 1, nil
	}
	// There may be more at the time of the last line.
	if end := newest(lines); end > first {
		q.note(lines, end)
		return end, nil
	}
	lines, isFull, err = q.lines(ctx, first, first, maxLimit)
	if err != nil {
		return 0, err
	}
	if isFull {
		q.partial = fmt.Errorf("more than %d lines of one time, or too long ones", len(lines))
	}
	q.note(lines, first+1)
	return first + 1, nil
}

func newest(lines []queryLine) int64 {
	end := lines[0].nanos
	for _, line := range lines {
		end = max(end, line.nanos)
	}
	return end
}

// note notes those lines before end that are looked for.
func (q *querier) note(lines []queryLine, end int64) {
	for _, line := range lines {
		if line.nanos < end && q.wanted[line.identity] {
			q.copies[line.identity]++
		}
	}
}

// lines asks for the lines from first to last, in nanoseconds: the first of them, at most limit. isFull says that there may
// be more. Where they are too long to be told of at once, it asks for fewer. Loki may say then that there is nothing: that
// is believed only if it says the same of a single line.
func (q *querier) lines(ctx context.Context, first, last int64, limit int) (lines []queryLine, isFull bool, err error) {
	for {
		lines, err = q.ask(ctx, first, last, limit)
		isTooLarge := errors.Is(err, errAnswerTooLarge)
		if err == nil && len(lines) == 0 && limit > 1 {
			one, err := q.ask(ctx, first, last, 1)
			if err != nil {
				return nil, false, err
			}
			isTooLarge = len(one) > 0
		}
		if !isTooLarge || limit == 1 {
			return lines, len(lines) >= limit, err
		}
		limit = max(1, limit/16)
	}
}

var errAnswerTooLarge = errors.New("the answer would be too large")

// ask asks one question.
func (q *querier) ask(ctx context.Context, first, last int64, limit int) ([]queryLine, error) {
	q.questions++
	if q.delivery.questions++; q.gate.isClosed() && q.delivery.questions > maxDivisionsClosed {
		return nil, &queryError{err: errClosed}
	}
	params := url.Values{
		"query":     {q.selector},
		"start":     {strconv.FormatInt(first, 10)},
		"end":       {strconv.FormatInt(last+1, 10)}, // which it leaves out
		"limit":     {strconv.Itoa(limit)},
		"direction": {"forward"},
	}
	req, err := q.client.request(ctx, http.MethodGet, q.options.QueryURL+"?"+params.Encode(), q.options.Tenant, nil)
	if err != nil {
		return nil, &queryError{err: err}
	}
	req.Header.Set(encodingFlagsHeader, categorizeLabels)
	req.Header.Set("Cache-Control", "no-cache")
	a := q.client.do(req, maxAnswer)
	switch {
	case a.status >= http.StatusInternalServerError && containsAny(a.text, sizeTexts), len(a.text) == maxAnswer:
		return nil, &queryError{err: errAnswerTooLarge}
	case a.err != nil || a.status >= http.StatusInternalServerError || a.status == http.StatusTooManyRequests:
		return nil, &queryError{err: a.error(), temporary: true}
	case a.status != http.StatusOK:
		return nil, &queryError{err: a.error()}
	}
	lines, err := q.read(a.text)
	if err != nil {
		return nil, &queryError{err: fmt.Errorf("read the answer: %w", err)}
	}
	return lines, nil
}

// queryAnswer is an answer of Loki's query_range API (pkg/util/marshal).
type queryAnswer struct {
	Data struct {
		ResultType    string
		EncodingFlags []string
		Result        []struct {
			Stream map[string]string
			Values []queryValue
		}
	}
}

// queryValue is [time, line, {"structuredMetadata": {name: value}}], of which the last may be missing.
type queryValue struct {
	nanos    int64
	line     string
	metadata map[string]string
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *queryValue) UnmarshalJSON(data []byte) error {
	var at string
	var categorized struct{ StructuredMetadata map[string]string }
	if err := json.Unmarshal(data, &[]any{&at, &v.line, &categorized}); err != nil {
		return err
	}
	v.metadata = categorized.StructuredMetadata
	var err error
	v.nanos, err = strconv.ParseInt(at, 10, 64)
	return err
}

var errNotCategorized = errors.New("it does not keep structured metadata apart, as Loki 3.0 and later do")

// queryLine is a line that Loki tells of. Those of other streams have no identity.
type queryLine struct {
	nanos    int64
	identity identity
}

// read reads an answer. Its errors hold none of it.
func (q *querier) read(text string) (lines []queryLine, err error) {
	var a queryAnswer
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&a); err != nil {
		return nil, errors.New("it is not what Loki's query API answers")
	}
	if a.Data.ResultType != "streams" {
		return nil, errors.New("it has no streams")
	}
	if len(a.Data.Result) > 0 && !slices.Contains(a.Data.EncodingFlags, categorizeLabels) {
		return nil, errNotCategorized
	}
	for _, stream := range a.Data.Result {
		isOwn := q.isOwn(stream.Stream)
		for _, v := range stream.Values {
			line := queryLine{nanos: v.nanos}
			if isOwn {
				line.identity = identityOf(v.nanos, v.line, q.asSent(v.metadata))
			}
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// extracted is what Loki adds to the name of a pair that has the name of a label of the stream
// (pkg/logql/log/labels.go).
const extracted = "_extracted"

// asSent returns structured metadata under the names under which it was sent.
func (q *querier) asSent(metadata map[string]string) map[string]string {
	for name, value := range metadata {
		base, ok := strings.CutSuffix(name, extracted)
		if _, isLabel := q.labels[base]; ok && (isLabel || base == serviceNameLabel) {
			delete(metadata, name)
			metadata[base] = value
		}
	}
	return metadata
}

// isOwn says whether these are the stream's labels, besides those that Loki adds: a service name where there is none
// (discover_service_name), and what it divides streams by. A selector selects streams that have more as well.
func (q *querier) isOwn(labels map[string]string) bool {
	maps.DeleteFunc(labels, func(name, _ string) bool {
		_, asked := q.labels[name]
		return !asked && (name == serviceNameLabel || strings.HasPrefix(name, reservedPrefix))
	})
	return maps.Equal(labels, q.labels)
}

// streamLabels reads labels as they are written. Loki drops those without a value.
func streamLabels(text string) (map[string]string, error) {
	list, err := parseLabels([]byte(text), nil)
	if err != nil {
		return nil, fmt.Errorf("read the labels of a stream: %w", err)
	}
	labels := make(map[string]string, len(list))
	for _, label := range list {
		if label.value != "" {
			labels[label.name] = label.value
		}
	}
	return labels, nil
}
