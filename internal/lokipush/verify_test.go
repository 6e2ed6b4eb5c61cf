// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// memoryLoki stores what is pushed, and answers questions about it. Each entry is one copy.
type memoryLoki struct {
	// answer, if it is not nil, may answer a request instead: with status 0, the answer is lost.
	answer func(r *http.Request, body []byte) (status int, text string, instead bool)

	// mostBytes is how much of lines one answer has. 0: 4 MiB.
	mostBytes int

	mu      sync.Mutex
	streams map[string][]push.Entry
	// labels are the streams', by their text, with those that Loki adds.
	labels    map[string]map[string]string
	questions []url.Values
	header    http.Header
}

// RoundTrip implements http.RoundTripper: no network, so that a test can have a clock of its own.
func (l *memoryLoki) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var body bytes.Buffer
	if r.Body != nil {
		if _, err := body.ReadFrom(r.Body); err != nil {
			return nil, err
		}
	}
	var status int
	var text string
	instead := false
	if l.answer != nil {
		status, text, instead = l.answer(r, body.Bytes())
	}
	switch {
	case instead:
	case strings.HasSuffix(r.URL.Path, "/query_range"):
		l.questions, l.header = append(l.questions, r.URL.Query()), r.Header
		status, text = 200, l.query(r.URL.Query())
	default:
		status = l.store(body.Bytes())
	}
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(status)
	recorder.Body.WriteString(text)
	return recorder.Result(), nil
}

func (l *memoryLoki) store(body []byte) int {
	var request push.PushRequest
	if err := request.Unmarshal(mustDecompress(body)); err != nil {
		return 400
	}
	if len(request.Streams) == 0 {
		return 422
	}
	if l.streams == nil {
		l.streams, l.labels = map[string][]push.Entry{}, map[string]map[string]string{}
	}
	for _, stream := range request.Streams {
		if l.labels[stream.Labels] == nil {
			labels, err := streamLabels(stream.Labels)
			if err != nil {
				return 400
			}
			if labels["service_name"] == "" {
				labels["service_name"] = "unknown_service"
			}
			labels["__stream_shard__"] = "1"
			l.labels[stream.Labels] = labels
		}
		l.streams[stream.Labels] = append(l.streams[stream.Labels], stream.Entries...)
	}
	return 204
}

// query answers as Loki 3 does: with the streams that have all the labels of the selector, and maybe more.
func (l *memoryLoki) query(params url.Values) string {
	wanted, err := streamLabels(params.Get("query"))
	if err != nil {
		return err.Error()
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(params.Get(name), 10, 64)
		return n
	}
	type found struct {
		text   string
		labels map[string]string
		entry  push.Entry
	}
	var all []found
	for text, entries := range l.streams {
		labels := l.labels[text]
		if !maps.Equal(wanted, intersection(wanted, labels)) {
			continue
		}
		for _, e := range entries {
			if at := e.Timestamp.UnixNano(); at >= number("start") && at < number("end") {
				all = append(all, found{text, labels, e})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b found) int {
		return cmp.Or(a.entry.Timestamp.Compare(b.entry.Timestamp), cmp.Compare(a.text, b.text))
	})
	all = all[:min(len(all), int(number("limit")))]
	size := 0
	for _, f := range all {
		size += len(f.entry.Line)
	}
	if size > cmp.Or(l.mostBytes, 4<<20) {
		all = nil // without a word
	}
	result := []any{}
	for _, f := range all {
		metadata := map[string]string{"detected_level": "info"}
		for _, pair := range f.entry.StructuredMetadata {
			if f.labels[pair.Name] != "" {
				pair.Name += "_extracted"
			}
			metadata[pair.Name] = pair.Value
		}
		value := []any{strconv.FormatInt(f.entry.Timestamp.UnixNano(), 10), f.entry.Line, map[string]any{"structuredMetadata": metadata}}
		result = append(result, map[string]any{"stream": f.labels, "values": []any{value}})
	}
	text, _ := json.Marshal(map[string]any{"status": "success", "data": map[string]any{
		"resultType": "streams", "encodingFlags": []string{"categorize-labels"}, "result": result, "stats": map[string]any{},
	}})
	return string(text)
}

func intersection(a, b map[string]string) map[string]string {
	both := map[string]string{}
	for name, value := range a {
		if b[name] == value {
			both[name] = value
		}
	}
	return both
}

// sender returns one that has run for a while.
func (l *memoryLoki) sender() *Sender {
	client := NewClient(&http.Client{Transport: l}, "http://loki/loki/api/v1/push", http.Header{"X-Test": {"yes"}}, Protobuf)
	s := NewSender(client, SenderOptions{Tenant: "team-1", QueryURL: "http://loki/loki/api/v1/query_range"})
	s.started = time.Now().Add(-settle)
	return s
}

// stored returns the lines of all copies.
func (l *memoryLoki) stored() (lines []string) {
	for labels, entries := range l.streams {
		for _, e := range entries {
			lines = append(lines, labels+" "+e.Line)
		}
	}
	slices.Sort(lines)
	return lines
}

// has stores what nobody is to know of.
func (l *memoryLoki) has(b *Batch) { l.store(b.AppendCompressed(nil)) }

// addEntry adds one entry with structured metadata.
func addEntry(b *Batch, labels string, nanos int64, line string, metadata ...string) {
	var fields []byte
	for i := 0; i < len(metadata); i += 2 {
		fields = appendMetadata(fields, metadata[i], metadata[i+1])
	}
	r := run{entries: appendEntry(nil, nanos, line, fields)}
	r.note(nanos)
	b.append(labels, r)
}

// unsure returns a batch as one of which Loki may have a part.
func unsure(b *Batch) *Batch {
	b.SetUnsure()
	return b
}

func TestVerify(t *testing.T) {
	type line struct {
		labels   string
		nanos    int64
		text     string
		metadata []string
	}
	batch := func(lines ...line) *Batch {
		b := new(Batch)
		for _, l := range lines {
			addEntry(b, l.labels, l.nanos, l.text, l.metadata...)
		}
		return b
	}
	one := line{`{a="1"}`, 1000, "one", []string{"b", "2", "c", "3"}}
	f := func(name string, want Resent, has, sent *Batch, copies int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			loki := new(memoryLoki)
			loki.has(has)
			lines := sent.Lines()
			report := loki.sender().Deliver(t.Context(), unsure(sent))
			require.NoError(t, report.Err)
			assert.Nil(t, report.Remaining)
			assert.Equal(t, want, report.Resent)
			assert.Equal(t, lines, report.Delivered.Lines)
			assert.Positive(t, report.Delivered.Bytes)
			assert.Len(t, loki.stored(), copies)
			assert.Equal(t, "yes", loki.header.Get("X-Test"))
			assert.Equal(t, "team-1", loki.header.Get("X-Scope-OrgID"))
		})
	}
	missing := Resent{Missing: 1}
	found := Resent{Found: 1}
	with := func(change func(*line)) *Batch {
		other := one
		other.metadata = slices.Clone(one.metadata)
		change(&other)
		return batch(other)
	}
	f("nothing", missing, batch(), batch(one), 1)
	f("the same", found, batch(one), batch(one), 1)
	f("another order of metadata", found, batch(one), with(func(l *line) { l.metadata = []string{"c", "3", "b", "2"} }), 1)
	f("a level that Loki names otherwise", found, batch(one), with(func(l *line) { l.metadata = append(l.metadata, "detected_level", "WARNING") }), 1)
	f("empty metadata", found, batch(one), with(func(l *line) { l.metadata = append(l.metadata, "d", "") }), 1)
	f("another time", missing, batch(one), with(func(l *line) { l.nanos++ }), 2)
	f("another line", missing, batch(one), with(func(l *line) { l.text += " " }), 2)
	f("another metadata", missing, batch(one), with(func(l *line) { l.metadata[1] = "other" }), 2)
	f("no metadata", missing, batch(one), with(func(l *line) { l.metadata = nil }), 2)
	f("another stream", missing, batch(one), with(func(l *line) { l.labels = `{a="2"}` }), 2)
	f("a stream with one label more", missing, with(func(l *line) { l.labels = `{a="1", b="2"}` }), batch(one), 2)
	f("service name given", found, with(func(l *line) { l.labels = `{service_name="s"}` }), with(func(l *line) { l.labels = `{service_name="s"}` }), 1)
	f("odd labels", found, with(func(l *line) { l.labels = `{a="\"\\\n日"}` }), with(func(l *line) { l.labels = `{a="\"\\\n日"}` }), 1)

	id := func(uid, text string) line { return line{`{a="1"}`, 1000, text, []string{recordUID, uid}} }
	f("the same id", found, batch(id("1", "one")), batch(id("1", "one")), 1)
	f("the same id, cut off by Loki", found, batch(id("1", "o")), batch(id("1", "one")), 1)
	f("the same id in another log stream", missing, batch(line{`{a="1"}`, 1000, "one", []string{recordUID, "1", "s", "1"}}),
		batch(line{`{a="1"}`, 1000, "one", []string{recordUID, "1", "s", "2"}}), 2)
	f("another id", missing, batch(id("1", "one")), batch(id("2", "one")), 2)
	f("some of many", Resent{Found: 2, Missing: 1}, batch(id("1", ""), id("3", "")), batch(id("1", ""), id("2", ""), id("3", "")), 3)
	f("twice in the batch", Resent{Repeated: 1, Missing: 1}, batch(), batch(id("1", ""), id("1", "")), 1)
	f("twice in the batch, and in Loki", Resent{Found: 2}, batch(id("1", "")), batch(id("1", ""), id("1", "")), 1)
	f("two equal lines without an id", Resent{Missing: 2}, batch(), batch(one, one), 2)
	f("two equal lines without an id, one in Loki", Resent{Found: 1, Missing: 1}, batch(one), batch(one, one), 2)
	f("the name of a label", found, with(func(l *line) { l.metadata = []string{"a", "2"} }), with(func(l *line) { l.metadata = []string{"a", "2"} }), 1)
	f("not UTF-8", found, with(func(l *line) { l.text = "a\xff\xfeb" }), with(func(l *line) { l.text = "a\xff\xfeb" }), 1)
	f("no length is taken for a part", missing,
		with(func(l *line) { l.metadata = []string{"b", "21:c1:3"} }), with(func(l *line) { l.metadata = []string{"b", "2", "c", "3"} }), 2)
}

// What is sure is sent without a question, and what is not is not sent beside it.
func TestVerifyOnlyUnsure(t *testing.T) {
	loki := new(memoryLoki)
	b := new(Batch)
	addEntry(b, `{a="1"}`, 1, "first", recordUID, "1")
	addEntry(b, `{a="1"}`, 2, "second", recordUID, "2")
	again := new(Batch)
	addEntry(again, `{a="1"}`, 1, "first", recordUID, "1")
	b = b.Merge(unsure(again), 0, MeasureBytes)[0]
	report := loki.sender().Deliver(t.Context(), b)
	assert.Equal(t, Resent{Repeated: 1}, report.Resent)
	assert.Equal(t, 3, report.Delivered.Lines)
	assert.Equal(t, []string{`{a="1"} first`, `{a="1"} second`}, loki.stored())
	assert.Len(t, loki.questions, 2, "that there is nothing is asked twice")

	report = loki.sender().Deliver(t.Context(), batchOf("sure"))
	assert.Empty(t, report.Resent)
	assert.Len(t, loki.questions, 2)
}

// After an answer was lost, what is left is unsure, and waits until Loki has settled.
func TestVerifyLostAnswer(t *testing.T) {
	loki := new(memoryLoki)
	lost := true
	loki.answer = func(_ *http.Request, body []byte) (int, string, bool) {
		if !lost {
			return 0, "", false
		}
		lost = false
		return loki.store(body) - 204, "", true
	}
	sender := loki.sender()
	report := sender.Deliver(t.Context(), batchAt(1, 2, 3))
	require.NotNil(t, report.Remaining)
	assert.True(t, report.Remaining.Unsure())
	assert.Equal(t, settle, report.RetryAfter)
	report = sender.Deliver(t.Context(), report.Remaining)
	assert.Nil(t, report.Remaining)
	assert.Equal(t, Resent{Found: 3}, report.Resent)
	assert.Len(t, loki.stored(), 3)
}

func TestLeavesOpen(t *testing.T) {
	for status, want := range map[int]bool{202: true, 400: false, 401: false, 404: false, 429: false, 499: true, 500: false, 502: true, 503: false, 504: true} {
		assert.Equal(t, want, answer{status: status}.leavesOpen(), status)
	}
	assert.True(t, answer{err: http.ErrHandlerTimeout}.leavesOpen())
	assert.True(t, answer{status: 400, err: http.ErrHandlerTimeout}.leavesOpen())
	assert.False(t, answer{err: http.ErrHandlerTimeout, unsent: true}.leavesOpen())

	client := NewClient(http.DefaultClient, "http://127.0.0.1:1/push", nil, Protobuf)
	assert.False(t, client.push(t.Context(), "", batchOf("a")).leavesOpen(), "nobody listens there")
}

// What is unsure when the process starts is asked for when the requests of the process before it have ended.
func TestVerifyAfterStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loki := new(memoryLoki)
		sender := loki.sender()
		sender.started = time.Now()
		began := time.Now()
		report := sender.Deliver(t.Context(), unsure(batchOf("a")))
		assert.Equal(t, settle, time.Since(began))
		assert.Equal(t, Resent{Missing: 1}, report.Resent)

		sender = loki.sender()
		sender.started = time.Now()
		sender.Close()
		began = time.Now()
		report = sender.Deliver(t.Context(), unsure(batchOf("b")))
		assert.Zero(t, time.Since(began))
		assert.Equal(t, Resent{Missing: 1}, report.Resent)

		sender = loki.sender()
		sender.started = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), settle/2)
		defer cancel()
		report = sender.Deliver(ctx, unsure(batchOf("c")))
		require.ErrorIs(t, report.Err, context.DeadlineExceeded)
		assert.Equal(t, 1, report.Remaining.Lines())
		assert.True(t, report.Remaining.Unsure())
	})
}

// Where Loki cannot be asked now, the batch waits. Where it cannot be asked at all, it is sent.
func TestVerifyCannotAsk(t *testing.T) {
	const pause = 8 * time.Second
	f := func(name string, status int, text string, taking bool, waits int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				loki := new(memoryLoki)
				loki.answer = func(r *http.Request, _ []byte) (int, string, bool) {
					if strings.HasSuffix(r.URL.Path, "/query_range") {
						return status, text, true
					}
					return 503, "", !taking
				}
				sender := loki.sender()
				left := unsure(batchOf("a", "b"))
				for range waits {
					report := sender.Deliver(t.Context(), left)
					require.ErrorContains(t, report.Err, "ask loki which lines it has: ")
					assert.NotContains(t, report.Err.Error(), "secret")
					assert.Empty(t, report.Resent)
					left = report.Remaining
					require.Equal(t, 2, left.Lines())
					require.True(t, left.Unsure())
					time.Sleep(pause)
				}
				if !taking {
					return
				}
				report := sender.Deliver(t.Context(), left)
				assert.Equal(t, 2, report.Resent.Unasked)
				require.Error(t, report.Resent.Err)
				assert.Len(t, loki.stored(), 2)
				// Another is not waited for as long.
				report = sender.Deliver(t.Context(), unsure(batchOf("c")))
				assert.Equal(t, 1, report.Resent.Unasked)
			})
		})
	}
	const long = int(patience/pause) + 1
	f("forbidden", 403, "forbidden", true, 0)
	f("not found", 404, "", true, 0)
	f("no JSON", 200, "secret", true, 0)
	f("no streams", 200, `{"data":{"resultType":"matrix","result":[]}}`, true, 0)
	f("an old Loki", 200, `{"data":{"resultType":"streams","result":[{"stream":{"a":"1","uid":"2"},"values":[["1","secret"]]}]}}`, true, 0)
	f("failing", 500, "no", true, long)
	f("no answer", 0, "", true, long)
	f("too many questions", 429, "too many outstanding requests", true, long)
	f("away", 503, "", false, 100)
}

// Many batches that ask at the same moment are no reason to give up, and what was found out is not asked for again.
func TestVerifyFailsOnce(t *testing.T) {
	loki := new(memoryLoki)
	two := func() *Batch {
		b := batchAt(1, 2)
		addEntry(b, `{b="2"}`, 3, "third")
		return unsure(b)
	}
	loki.has(two())
	loki.answer = func(r *http.Request, _ []byte) (int, string, bool) {
		return 503, "", r.Method == http.MethodGet && strings.Contains(r.URL.RawQuery, "b%3D")
	}
	sender := loki.sender()
	var reports [10]Report
	var wg sync.WaitGroup
	for i := range reports {
		wg.Go(func() { reports[i] = sender.Deliver(t.Context(), two()) })
	}
	wg.Wait()
	for _, report := range reports {
		require.Error(t, report.Err)
		assert.Equal(t, Resent{Found: 2}, report.Resent)
		assert.Equal(t, 1, report.Remaining.Lines())
		assert.True(t, report.Remaining.Unsure())
	}
	loki.answer = nil
	report := sender.Deliver(t.Context(), reports[0].Remaining)
	assert.Equal(t, Resent{Found: 1}, report.Resent)
	assert.Len(t, loki.stored(), 3)
}

// A sender that is closed asks no more than it has time for.
func TestVerifyAfterClose(t *testing.T) {
	loki := new(memoryLoki)
	sender := loki.sender()
	sender.Close()
	report := sender.Deliver(t.Context(), unsure(streamsOf(100, 1, 10)))
	assert.Nil(t, report.Remaining)
	assert.Equal(t, 100, report.Resent.Missing+report.Resent.Unasked)
	assert.Positive(t, report.Resent.Unasked)
	assert.Len(t, loki.questions, maxDivisionsClosed)
}

// A batch of many streams costs a question for each, and one more where Loki has nothing.
func TestVerifyManyStreams(t *testing.T) {
	loki := new(memoryLoki)
	loki.has(streamsOf(510, 1, 10))
	report := loki.sender().Deliver(t.Context(), unsure(streamsOf(510, 1, 10)))
	assert.Equal(t, Resent{Found: 510}, report.Resent)
	assert.Len(t, loki.questions, 510)
}

// Of an answer that is too large, Loki may say that there is nothing.
func TestVerifyAmongLongLines(t *testing.T) {
	loki := &memoryLoki{mostBytes: 40_000}
	long := strings.Repeat("x", 1000)
	all, part := new(Batch), new(Batch)
	for i := range int64(60) {
		addEntry(all, `{a="1"}`, i, long)
	}
	for _, at := range []int64{0, 20, 59} {
		addEntry(all, `{a="1"}`, at, "own")
		addEntry(part, `{a="1"}`, at, "own")
	}
	loki.has(all)
	report := loki.sender().Deliver(t.Context(), unsure(part))
	assert.Equal(t, Resent{Found: 3}, report.Resent)
}

// Other lines of the stream, and those of streams with more labels, may be more than Loki answers with.
func TestVerifyAmongOthers(t *testing.T) {
	f := func(name string, others, step, own int, want Resent) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			loki := new(memoryLoki)
			all, part := new(Batch), new(Batch)
			for i := range others {
				addEntry(all, `{a="1", b="2"}`, int64(i*step), "other", recordUID, fmt.Sprint("other ", i))
			}
			for i := range own {
				at := int64(i * step * max(1, others/own))
				addEntry(part, `{a="1"}`, at, "own", recordUID, fmt.Sprint("own ", i))
				if i%2 == 0 {
					addEntry(all, `{a="1"}`, at, "own", recordUID, fmt.Sprint("own ", i))
				}
			}
			loki.has(all)
			report := loki.sender().Deliver(t.Context(), unsure(part))
			report.Resent.Err = nil
			assert.Equal(t, want, report.Resent)
			assert.LessOrEqual(t, len(loki.questions), maxQuestions+1)
			for _, q := range loki.questions {
				limit, err := strconv.Atoi(q.Get("limit"))
				require.NoError(t, err)
				assert.LessOrEqual(t, limit, maxLimit)
			}
		})
	}
	f("none", 0, 1, 1200, Resent{Found: 600, Missing: 600})
	f("many", 3000, 1, 30, Resent{Found: 15, Missing: 15})
	f("very many", 3000, 1, 150, Resent{Found: 75, Missing: 75})
	f("of one time", 3000, 0, 30, Resent{Found: 15, Missing: 15})
	f("too many of one time", 2*maxLimit, 0, 10, Resent{Unasked: 10})
}

// What cannot be asked for in time is sent, and what was found until then is not.
func TestVerifyTooManyQuestions(t *testing.T) {
	loki := new(memoryLoki)
	const own = 100
	all, part := new(Batch), new(Batch)
	for i := range int64(own) {
		addEntry(part, `{a="1"}`, i, "own")
		addEntry(all, `{a="1"}`, i, "own")
		for range 50 {
			addEntry(all, `{a="1"}`, i, "other")
		}
	}
	loki.has(all)
	loki.answer = func(r *http.Request, _ []byte) (int, string, bool) {
		// What is told at once is less than there is at one time, so that each time is asked for by itself.
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		return 500, "larger than max", limit > 40
	}
	report := loki.sender().Deliver(t.Context(), unsure(part))
	assert.Positive(t, report.Resent.Found)
	assert.Positive(t, report.Resent.Unasked)
	assert.Equal(t, own, report.Resent.Found+report.Resent.Unasked)
	require.ErrorContains(t, report.Resent.Err, "questions about one stream")
}

// The mark stays with the lines, however a batch is divided.
func TestUnsureParts(t *testing.T) {
	lines := func() *Batch {
		b := batchAt(1, 2, 3, 4)
		addEntry(b, `{z="1"}`, 5, "fifth", "a", "b")
		return unsure(b)
	}
	first, second := lines().halves()
	cut, rest := lines().cut(60)
	in, out := lines().divideBy(func(e entry) bool { return e.nanos%2 == 0 })
	plain, _ := lines().withoutMetadata()
	parts := []*Batch{first, second, cut, rest, in, out, plain}
	parts = append(parts, lines().Merge(lines(), 2, MeasureLines)...)
	parts = append(parts, lines().byStream()...)
	for i, part := range parts {
		assert.Positive(t, part.Lines(), i)
		for _, s := range part.streams {
			for _, r := range s.runs {
				assert.True(t, r.unsure, i)
			}
		}
	}
	for _, part := range batchAt(1, 2, 3).Merge(unsure(batchAt(4)), 2, MeasureLines) {
		for _, r := range part.streams[0].runs {
			assert.Equal(t, r.oldest == 4, r.unsure)
		}
	}
}

func FuzzQueryAnswer(f *testing.F) {
	loki := new(memoryLoki)
	loki.has(batchAt(1, 2, 3))
	f.Add(loki.query(url.Values{"query": {`{}`}, "start": {"0"}, "end": {"10"}, "limit": {"10"}}))
	f.Add(`{"data":{"resultType":"streams","result":[{"stream":{"a":"1","uid":"2"},"values":[["1","a"]]}]}}`)
	f.Add(`{"data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"a":"1"},"values":[["1","a"],[],["x","y"]]}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		q := querier{labels: map[string]string{"a": "1"}}
		lines, err := q.read(text)
		if err != nil && (len(lines) > 0 || strings.Contains(err.Error(), text) && len(text) > 10) {
			t.Errorf("the error has the answer: %v", err)
		}
		if limit := strings.Count(text, "["); len(lines) > limit {
			t.Errorf("%d lines of %d arrays", len(lines), limit)
		}
	})
}
