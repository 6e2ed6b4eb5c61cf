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
	// maxQuestions bounds what one piece may cost where other lines are between its own.
	maxQuestions = 500
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
	client      *Client
	url, tenant string

	// selector is the stream's labels as they are written, and labels what they are.
	selector string
	labels   map[string]string
	// found is what Loki has.
	found identities
	// questions is how many were asked.
	questions int
}

// look finds which of these entries, in the order of their timestamps, Loki has.
func (q *querier) look(ctx context.Context, entries []entry) error {
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && n < maxAskedLines && (n == 0 || size < maxAskedBytes) {
			size += len(entries[n].field)
			n++
		}
		if err := q.lookAt(ctx, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// lookAt asks for the time in which the entries are. Where there are so many others that Loki does not tell of all, each
// half is asked for.
func (q *querier) lookAt(ctx context.Context, entries []entry) error {
	first, last := entries[0].nanos, entries[len(entries)-1].nanos
	limit := min(2*len(entries)+100, maxLimit)
	if first == last {
		limit = maxLimit
	}
	if q.questions++; q.questions > maxQuestions {
		return &queryError{err: fmt.Errorf("more than %d questions, since other lines are between those asked for", maxQuestions)}
	}
	lines, err := q.ask(ctx, first, last, limit)
	switch {
	case err != nil:
		return err
	case lines < limit:
		return nil
	case first == last:
		return &queryError{err: fmt.Errorf("more than %d lines of one time", limit)}
	}
	half := len(entries) / 2
	if err := q.lookAt(ctx, entries[:half]); err != nil {
		return err
	}
	return q.lookAt(ctx, entries[half:])
}

// ask asks for the lines from first to last, in nanoseconds, and returns how many Loki told of.
func (q *querier) ask(ctx context.Context, first, last int64, limit int) (lines int, err error) {
	params := url.Values{
		"query":     {q.selector},
		"start":     {strconv.FormatInt(first, 10)},
		"end":       {strconv.FormatInt(last+1, 10)}, // which it leaves out
		"limit":     {strconv.Itoa(limit)},
		"direction": {"forward"},
	}
	req, err := q.client.request(ctx, http.MethodGet, q.url+"?"+params.Encode(), q.tenant, nil)
	if err != nil {
		return 0, &queryError{err: err}
	}
	req.Header.Set(encodingFlagsHeader, categorizeLabels)
	req.Header.Set("Cache-Control", "no-cache")
	a := q.client.do(req, maxAnswer)
	switch {
	case a.status >= http.StatusInternalServerError && containsAny(a.text, sizeTexts), len(a.text) == maxAnswer:
		// As good as full: there are too many others, or they are too long.
		return limit, nil
	case a.err != nil || a.status >= http.StatusInternalServerError || a.status == http.StatusTooManyRequests:
		return 0, &queryError{err: a.error(), temporary: true}
	case a.status != http.StatusOK:
		return 0, &queryError{err: a.error()}
	}
	lines, err = q.note(a.text)
	if err != nil {
		return 0, &queryError{err: fmt.Errorf("read the answer: %w", err)}
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

// note notes the lines of an answer that are the stream's own, and returns how many there are of all streams. Its errors
// hold none of the answer.
func (q *querier) note(text string) (lines int, err error) {
	var a queryAnswer
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&a); err != nil {
		return 0, errors.New("it is not what Loki's query API answers")
	}
	if a.Data.ResultType != "streams" {
		return 0, errors.New("it has no streams")
	}
	categorized := slices.Contains(a.Data.EncodingFlags, categorizeLabels)
	for _, stream := range a.Data.Result {
		if !categorized {
			return 0, errNotCategorized
		}
		lines += len(stream.Values)
		if !q.isOwn(stream.Stream) {
			continue
		}
		for _, v := range stream.Values {
			q.found[identityOf(v.nanos, v.line, v.metadata)] = true
		}
	}
	return lines, nil
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
