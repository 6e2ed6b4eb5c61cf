// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	pushPath = "/loki/api/v1/push"

	// pageSize is the number of lines that one query asks for at first. Loki cannot answer with more than 4 MiB; what
	// would be larger is asked for in smaller pages.
	pageSize = 2000

	// shardLabel is put by Loki itself on the parts into which it divides a busy stream, at a time of its own choosing.
	shardLabel = "__stream_shard__"

	// maxAhead is how far in the future Loki takes lines, by default.
	maxAhead = 10 * time.Minute
)

// LokiClient queries a Loki. It is all there is of a Loki that somebody else runs.
type LokiClient struct {
	base   string
	tenant string
}

// Line is one log line as Loki has it, without the label that Loki puts on the parts of a busy stream.
type Line struct {
	Timestamp          time.Time
	Line               string
	Labels             map[string]string
	StructuredMetadata map[string]string
}

// NewLokiClient returns a client for the Loki that has the given push URL (http://host:3100/loki/api/v1/push).
func NewLokiClient(pushURL string) (*LokiClient, error) {
	u, err := url.Parse(pushURL)
	if err != nil {
		return nil, fmt.Errorf("push URL of Loki: %w", err)
	}
	base, ok := strings.CutSuffix(u.Path, pushPath)
	if !ok || u.Scheme == "" || u.Host == "" {
		return nil, fmt.Errorf("push URL of Loki: %q is not of the form http://host:port%s", pushURL, pushPath)
	}
	u.Path = base
	return &LokiClient{base: u.String()}, nil
}

// ForTenant returns a client that queries as the given tenant.
func (c *LokiClient) ForTenant(tenant string) *LokiClient {
	t := *c
	t.tenant = tenant
	return &t
}

// BaseURL returns Loki's URL without a path.
func (c *LokiClient) BaseURL() string { return c.base }

// PushURL returns the URL that lines are pushed to.
func (c *LokiClient) PushURL() string { return c.base + pushPath }

// Ready returns nil when Loki answers that it is ready.
func (c *LokiClient) Ready(ctx context.Context) error {
	_, err := c.get(ctx, "/ready", nil)
	return err
}

// Lines returns all lines that query selects from start (inclusive) to end (exclusive), in the order of their
// timestamps; lines of one timestamp go by their labels, text and structured metadata. Labels that the query parses out
// of the lines are left out.
func (c *LokiClient) Lines(ctx context.Context, query string, start, end time.Time) ([]Line, error) {
	return collect(start, end, func(from, to time.Time, limit int) ([]Line, error) {
		return c.page(ctx, query, from, to, limit)
	})
}

// pageFunc returns the first lines from from (inclusive) to to (exclusive), at most limit of them.
type pageFunc func(from, to time.Time, limit int) ([]Line, error)

// collect puts the pages of a query together. A full page may have been cut between lines of one timestamp, so the next
// page begins with the last timestamp of the page before, and takes the place of what that page had of it.
func collect(from, end time.Time, page pageFunc) ([]Line, error) {
	var all []Line
	for limit := pageSize; ; {
		lines, err := page(from, end, limit)
		switch {
		case isTooLarge(err) && limit > 1:
			limit = max(1, limit/4)
			continue
		case err != nil:
			return nil, err
		case len(lines) < limit:
			return append(all, lines...), nil
		}
		from = lines[len(lines)-1].Timestamp
		cut := slices.IndexFunc(lines, func(l Line) bool { return l.Timestamp.Equal(from) })
		if cut == 0 {
			if lines, err = collectAt(from, page); err != nil {
				return nil, err
			}
			cut, from = len(lines), from.Add(1)
		}
		all = append(all, lines[:cut]...)
	}
}

// collectAt returns all lines of one timestamp, which cannot be divided into pages.
func collectAt(at time.Time, page pageFunc) ([]Line, error) {
	for limit := pageSize; ; limit *= 2 {
		lines, err := page(at, at.Add(1), limit)
		if err != nil || len(lines) < limit {
			return lines, err
		}
	}
}

// isTooLarge reports whether Loki could not answer because the answer exceeds its limit on gRPC messages.
func isTooLarge(err error) bool {
	return err != nil && strings.Contains(err.Error(), "larger than max")
}

type stream struct {
	Stream map[string]string
	Values []entry
}

type entry struct {
	nanos              string
	line               string
	structuredMetadata map[string]string
}

// UnmarshalJSON reads ["1700000000000000000","line",{"structuredMetadata":{...}}].
func (e *entry) UnmarshalJSON(data []byte) error {
	var categories struct{ StructuredMetadata map[string]string }
	if err := json.Unmarshal(data, &[]any{&e.nanos, &e.line, &categories}); err != nil {
		return err
	}
	e.structuredMetadata = categories.StructuredMetadata
	return nil
}

func (c *LokiClient) page(ctx context.Context, query string, from, to time.Time, limit int) ([]Line, error) {
	var streams []stream
	err := c.query(ctx, "/loki/api/v1/query_range", url.Values{
		"query":     {query},
		"start":     {nanos(from)},
		"end":       {nanos(to)},
		"limit":     {strconv.Itoa(limit)},
		"direction": {"forward"},
	}, "streams", &streams)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, s := range streams {
		delete(s.Stream, shardLabel)
		for _, e := range s.Values {
			ns, err := strconv.ParseInt(e.nanos, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("timestamp of a line: %w", err)
			}
			lines = append(lines, Line{
				Timestamp: time.Unix(0, ns).UTC(), Line: e.line, Labels: s.Stream, StructuredMetadata: e.structuredMetadata,
			})
		}
	}
	slices.SortFunc(lines, compareLines)
	return lines, nil
}

// compareLines gives lines of one timestamp an order too: Loki keeps none.
func compareLines(a, b Line) int {
	if c := a.Timestamp.Compare(b.Timestamp); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(fmt.Sprint(a.Labels), fmt.Sprint(b.Labels)),
		cmp.Compare(a.Line, b.Line),
		cmp.Compare(fmt.Sprint(a.StructuredMetadata), fmt.Sprint(b.StructuredMetadata)),
	)
}

// Count returns how many lines query selects from start (inclusive) to end (exclusive), by a metric query. LogQL has no
// ranges finer than a millisecond, so end is moved up until the range is a whole number of them.
func (c *LokiClient) Count(ctx context.Context, query string, start, end time.Time) (int, error) {
	span := (end.Sub(start) + time.Millisecond - 1).Truncate(time.Millisecond)
	// A metric query's range excludes its start and includes its end.
	at := start.Add(span - 1)
	n, err := c.Value(ctx, fmt.Sprintf("sum(count_over_time(%s[%dms]))", query, span.Milliseconds()), at)
	return int(n), err
}

// Value returns the value of a metric query that gives at most one series, at one time; 0 when it gives none.
func (c *LokiClient) Value(ctx context.Context, query string, at time.Time) (float64, error) {
	values, err := c.vector(ctx, query, at)
	switch {
	case err != nil:
		return 0, err
	case len(values) == 0:
		return 0, nil
	case len(values) > 1:
		return 0, fmt.Errorf("query %s: %d series, want one", query, len(values))
	}
	return float64(values[0].Value), nil
}

// Values returns the values of a metric query, at one time, by the label that tells its series apart.
func (c *LokiClient) Values(ctx context.Context, query, label string, at time.Time) (map[string]float64, error) {
	series, err := c.vector(ctx, query, at)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for _, one := range series {
		values[one.Metric[label]] = float64(one.Value)
	}
	if len(values) < len(series) {
		return nil, fmt.Errorf("query %s: several series have the same %s", query, label)
	}
	return values, nil
}

type vectorSample struct {
	Metric map[string]string
	Value  sample
}

func (c *LokiClient) vector(ctx context.Context, query string, at time.Time) ([]vectorSample, error) {
	var samples []vectorSample
	err := c.query(ctx, "/loki/api/v1/query", url.Values{"query": {query}, "time": {nanos(at)}}, "vector", &samples)
	return samples, err
}

type sample float64

// UnmarshalJSON reads [1700000000.123,"42"].
func (s *sample) UnmarshalJSON(data []byte) error {
	var at json.Number
	var value string
	if err := json.Unmarshal(data, &[]any{&at, &value}); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(value, 64)
	*s = sample(f)
	return err
}

// Series returns the labels of the streams that selector matches and that have lines from start to end, sorted.
func (c *LokiClient) Series(ctx context.Context, selector string, start, end time.Time) ([]map[string]string, error) {
	var series []map[string]string
	err := c.list(ctx, "/loki/api/v1/series", url.Values{
		"match[]": {selector}, "start": {nanos(start)}, "end": {nanos(end)},
	}, &series)
	for _, labels := range series {
		delete(labels, shardLabel)
	}
	slices.SortFunc(series, func(a, b map[string]string) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return slices.CompactFunc(series, maps.Equal[map[string]string, map[string]string]), err
}

// LabelNames returns the names of the labels of all streams from start to end, sorted.
func (c *LokiClient) LabelNames(ctx context.Context, start, end time.Time) ([]string, error) {
	var names []string
	err := c.list(ctx, "/loki/api/v1/labels", url.Values{"start": {nanos(start)}, "end": {nanos(end)}}, &names)
	return names, err
}

// LabelValues returns the values of a label over all streams from start to end, sorted.
func (c *LokiClient) LabelValues(ctx context.Context, name string, start, end time.Time) ([]string, error) {
	var values []string
	err := c.list(ctx, "/loki/api/v1/label/"+url.PathEscape(name)+"/values",
		url.Values{"start": {nanos(start)}, "end": {nanos(end)}}, &values)
	return values, err
}

// WaitForLines waits until query selects at least n lines from start on, and returns all it selects.
func (c *LokiClient) WaitForLines(ctx context.Context, query string, start time.Time, n int, timeout time.Duration) ([]Line, error) {
	var lines []Line
	err := Eventually(ctx, timeout, func(ctx context.Context) error {
		end := time.Now().Add(maxAhead)
		have, err := c.Count(ctx, query, start, end)
		if err != nil {
			return err
		}
		if have < n {
			return fmt.Errorf("%s has %d lines, want %d", query, have, n)
		}
		lines, err = c.Lines(ctx, query, start, end)
		return err
	})
	return lines, err
}

// Metrics returns the present values of Loki's own metrics.
func (c *LokiClient) Metrics(ctx context.Context) (Metrics, error) {
	body, err := c.get(ctx, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	return parseMetrics(string(body))
}

// query fetches the result of a LogQL query into result, after a check that it is of the type wanted.
func (c *LokiClient) query(ctx context.Context, path string, params url.Values, wantType string, result any) error {
	var data struct {
		ResultType string
		Result     json.RawMessage
	}
	if err := c.list(ctx, path, params, &data); err != nil {
		return fmt.Errorf("query %s: %w", params.Get("query"), err)
	}
	if data.ResultType != wantType {
		return fmt.Errorf("query %s: the result is of type %s, want %s", params.Get("query"), data.ResultType, wantType)
	}
	if err := json.Unmarshal(data.Result, result); err != nil {
		return fmt.Errorf("query %s: %w", params.Get("query"), err)
	}
	return nil
}

// list fetches the data of one of Loki's answers into data.
func (c *LokiClient) list(ctx context.Context, path string, params url.Values, data any) error {
	body, err := c.get(ctx, path, params)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, &struct{ Data any }{data})
}

func (c *LokiClient) get(ctx context.Context, path string, params url.Values) ([]byte, error) {
	header := http.Header{}
	// Keeps structured metadata apart from labels, so that it does not make each line a stream of its own.
	header.Set("X-Loki-Response-Encoding-Flags", "categorize-labels")
	if c.tenant != "" {
		header.Set("X-Scope-OrgID", c.tenant)
	}
	return get(ctx, c.base+path+"?"+params.Encode(), header)
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
