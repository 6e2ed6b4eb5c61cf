// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// twoStreams has three lines of a and two of b.
func twoStreams() *Batch {
	b := new(Batch)
	for labels, lines := range map[string]int{`{service_name="a"}`: 3, `{service_name="b"}`: 2} {
		for i := range lines {
			r := run{entries: appendEntry(nil, int64(i), "line")}
			r.note(int64(i))
			b.append(labels, r)
		}
	}
	return b
}

// The texts are those of Loki 3.7.8, as it sent them.
func TestInterpret(t *testing.T) {
	const (
		old     = `entry for stream '{service_name="a"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-11-15T00:00:00Z`
		long    = `max entry size '262144' bytes exceeded for stream '{service_name="a"}' while adding an entry with length '300000' bytes`
		behind  = "entry with timestamp 2026-11-22 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2026-11-22T00:00:00Z, oldest acceptable timestamp is: 2026-11-22T02:00:00Z',\n"
		perRate = "entry with timestamp 1970-01-01 00:00:00.000000001 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for stream '{service_name=\"a\"}' totaling 1536KB, consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased',\n"
		rate    = "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '5' lines totaling '5000000' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased"
		streams = `maximum active stream limit exceeded when trying to create stream {service_name="b"}, reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: 'fake'`
	)
	some := func(reason Reason, lines int) verdict {
		return verdict{meaning: taken, refused: map[Reason]int{reason: lines}}
	}
	for _, tt := range []struct {
		name   string
		status int
		text   string
		want   verdict
	}{
		{"ok", 200, "", verdict{meaning: taken}},
		{"no content", 204, "", verdict{meaning: taken}},
		{"no answer", 0, "", verdict{}},
		{"another success", 202, "", verdict{}},
		{"blocked", 260, "ingestion blocked for user 'fake' until '2030-01-01T00:00:00Z' with status code '260'\n", verdict{meaning: blocked, reason: BlockedIngestion}},
		{"blocked by another status", 403, "ingestion blocked for user 'fake' until '2030-01-01T00:00:00Z' with status code '403'", verdict{meaning: blocked, reason: BlockedIngestion}},
		{"blocked for a while", 503, "ingestion blocked for user 'fake' until '2030-01-01T00:00:00Z' with status code '503'", verdict{}},
		{"redirect", 302, "", verdict{}},
		{"no tenant", 401, "no org id\n", verdict{}},
		{"forbidden", 403, "", verdict{}},
		{"wrong path", 404, "404 page not found\n", verdict{}},

		{"too old", 400, old + "\n", some(GreaterThanMaxSampleAge, 1)},
		{"two too old", 400, "2 errors like: " + old, some(GreaterThanMaxSampleAge, 2)},
		{"too new", 400, `entry for stream '{service_name="a"}' has timestamp too new: 2030-01-01T00:00:00Z`, some(TooFarInFuture, 1)},
		{"two reasons", 400, "1 errors like: " + old + "; 2 errors like: " + long, verdict{meaning: taken, refused: map[Reason]int{GreaterThanMaxSampleAge: 1, LineTooLong: 2}}},
		{"one known, one not", 400, "1 errors like: " + old + "; 2 errors like: something new", verdict{meaning: taken, refused: map[Reason]int{GreaterThanMaxSampleAge: 1, BadRequest: 2}}},
		{"more than there are", 400, "9 errors like: " + old, some(GreaterThanMaxSampleAge, 5)},
		{"metadata too large", 400, `stream '{service_name="a"}' has structured metadata too large: '70000' bytes, limit: '65536' bytes. Please see`, some(MetadataTooLarge, 1)},
		{"metadata too many", 400, `stream '{service_name="a"}' has too many structured metadata labels: '129', limit: '128'. Please see`, some(MetadataTooMany, 1)},
		{"metadata disallowed", 400, `stream '{service_name="a"}' includes structured metadata, but this feature is disallowed. Please see`, some(DisallowedMetadata, 1)},
		{"too many labels", 400, `entry for stream '{service_name="a"}' has 16 label names; limit 15`, some(MaxLabelNames, 3)},
		{"label value too long", 400, `stream '{service_name="b"}' has label value too long: 'xxx'`, some(LabelValueTooLong, 2)},
		{"label name too long", 400, `stream '{service_name="b"}' has label name too long: 'xxx'`, some(LabelNameTooLong, 2)},
		{"label twice", 400, `stream '{service_name="b"}' has duplicate label name: 'xxx'`, some(DuplicateLabelNames, 2)},
		{"label missing", 400, `missing required labels 'team' for user 'fake' for stream '{service_name="a"}' (policy: '')`, some(MissingEnforcedLabels, 3)},
		{"too far behind", 400, behind + `user 'fake', total ignored: 1 out of 3 for stream: {service_name="a"}`, some(TooFarBehind, 1)},
		{"through an ingester", 400, "rpc error: code = Code(400) desc = " + behind + `user 'fake', total ignored: 1 out of 3 for stream: {service_name="a"}`, some(TooFarBehind, 1)},
		{"of an old Loki", 400, "entry with timestamp 2026-11-22 00:00:00 +0000 UTC ignored, reason: 'entry out of order' for stream: {service_name=\"a\"},\ntotal ignored: 2 out of 3", some(OutOfOrder, 2)},
		{
			"behind, and more that did not come so far", 400, behind + `user 'fake', total ignored: 1 out of 2 for stream: {service_name="a"}`,
			verdict{meaning: taken, refused: map[Reason]int{TooFarBehind: 1, Unnamed: 1}},
		},
		{"a shard", 400, behind + `user 'fake', total ignored: 1 out of 2 for stream: {__stream_shard__="1", service_name="a"}`, some(TooFarBehind, 1)},
		{"labels", 400, `couldn't parse labels: 1:2: parse error: unexpected "-" in label set`, verdict{meaning: divisible, reason: InvalidLabels}},
		{"body", 400, "snappy: corrupt input", verdict{meaning: divisible, reason: BadRequest}},
		{"body too large, before 413", 400, "message size too large than max (5 vs 4)", verdict{meaning: divisible, reason: RequestTooLarge}},
		{"tenants", 400, "multiple org IDs present", verdict{}},
		{"gateway", 400, "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title>", verdict{}},
		{"gateway, by JSON", 400, `{"message":"bad request"}`, verdict{}},
		{"no TLS", 400, "Client sent an HTTP request to an HTTPS server.\n", verdict{}},
		{
			"a policy's streams are blocked", 260, "ingestion blocked for user 'fake' (policy: 'debug') until '2030-01-01T00:00:00Z' with status code '260'",
			verdict{meaning: blocked, reason: BlockedIngestion, some: true},
		},
		{
			"a policy's streams are blocked for a while", 429, "ingestion blocked for user 'fake' (policy: 'debug') until '2030-01-01T00:00:00Z' with status code '429'",
			verdict{meaning: blocked, reason: BlockedIngestion, some: true},
		},
		{"too large", 413, "<html>", verdict{meaning: divisible, reason: RequestTooLarge}},
		{"no streams", 422, "error at least one valid stream is required for ingestion", verdict{meaning: divisible, reason: BadRequest}},

		{"rate", 429, rate, verdict{meaning: limited, reason: RateLimited, rate: 4194304, total: 5000000}},
		{"rate of a gateway", 429, "slow down", verdict{}},
		{
			"rate of a stream", 429, perRate + `user 'fake', total ignored: 3 out of 3 for stream: {service_name="a"}`,
			verdict{meaning: streamLimited, reason: StreamRateLimit, rate: 3 << 20},
		},
		{
			"rate of lines", 429, perRate + `user 'fake', total ignored: 1 out of 3 for stream: {service_name="a"}`,
			verdict{meaning: streamLimited, reason: StreamRateLimit, rate: 3 << 20},
		},
		{
			"rate of more lines than are named", 429, perRate + `user 'fake', total ignored: 2 out of 3 for stream: {service_name="a"}`,
			verdict{meaning: streamLimited, reason: StreamRateLimit, rate: 3 << 20},
		},
		{
			"rate of lines, and one too far behind", 400, perRate + behind + `user 'fake', total ignored: 2 out of 3 for stream: {service_name="a"}`,
			verdict{meaning: streamLimited, reason: StreamRateLimit, rate: 3 << 20},
		},
		{
			"rate of a shard", 429, perRate + `user 'fake', total ignored: 1 out of 2 for stream: {__stream_shard__="0", service_name="a"}`,
			verdict{meaning: streamLimited, reason: StreamRateLimit, rate: 3 << 20},
		},
		{
			"ten lines too far behind, and maybe others over the rate", 429, strings.Repeat(behind, 10) + `user 'fake', total ignored: 11 out of 30 for stream: {service_name="a"}`,
			verdict{meaning: streamLimited, reason: StreamRateLimit},
		},
		{"rate of a stream, in other words", 429, "Per stream rate limit exceeded", verdict{meaning: streamLimited, reason: StreamRateLimit}},
		{"streams", 429, streams, verdict{meaning: streamLimited, reason: StreamLimit}},

		{"larger than Loki can pass on", 500, "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5041258 vs. 4194304)", verdict{meaning: divisible, reason: RequestTooLarge}},
		{"name", 500, `normalization for label name "_" resulted in invalid name "_"`, verdict{meaning: divisible, reason: InvalidMetadata}},
		{"no name", 500, "label name is empty", verdict{meaning: divisible, reason: InvalidMetadata}},
		{"shutting down", 500, "rpc error: code = Unknown desc = Ingester is shutting down", verdict{}},
		{"too busy", 503, "The server cannot accept more requests at this time.", verdict{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, answer{status: tt.status, text: tt.text}.interpret(twoStreams()))
		})
	}
}

// Of one stream, lines over its rate and lines too far behind are told apart where that is certain.
func TestInterpretParts(t *testing.T) {
	entry := func(nanos int, reason string) string {
		return fmt.Sprintf("entry with timestamp 1970-01-01 00:00:00.00000000%d +0000 UTC ignored, reason: '%s',\n", nanos, reason)
	}
	const rate, behind = "Per stream rate limit exceeded (limit: 3MB/sec)", "entry too far behind, x"
	f := func(named string, lines, of int, times []int64, again []int64, refused map[Reason]int) {
		t.Helper()
		text := named + fmt.Sprintf(`user 'x', total ignored: %d out of %d for stream: {service_name="s"}`, lines, of)
		v := answer{status: 400, text: text}.interpret(batchAt(times...))
		assert.Equal(t, streamLimited, v.meaning)
		assert.Equal(t, refused, v.refused)
		if again == nil {
			assert.Nil(t, v.again)
			return
		}
		var found []int64
		for e := range v.again.streams[0].inOrder() {
			found = append(found, e.nanos)
		}
		assert.Equal(t, again, found)
	}
	mixed := entry(2, rate) + entry(3, behind)
	f(mixed, 2, 3, []int64{1, 2, 3}, []int64{2}, map[Reason]int{TooFarBehind: 1})
	f(mixed, 2, 3, []int64{1, 2, 2}, nil, nil)          // another line has the same time
	f(mixed, 2, 2, []int64{1, 2, 3}, nil, nil)          // one did not come so far
	f(mixed, 3, 3, []int64{1, 2, 3}, nil, nil)          // one is not named
	f(entry(2, rate), 1, 3, []int64{1, 2, 3}, nil, nil) // all of the stream may be refused
}

// A label may hold what looks like one of Loki's messages.
func TestInterpretMisleadingLabels(t *testing.T) {
	labels := `{service_name="a'; 5 errors like: entry with timestamp ignored, reason: 'x', total ignored: 9 out of 9 for stream: {x}"}`
	b := new(Batch)
	r := run{entries: appendEntry(nil, 1, "line")}
	r.note(1)
	b.append(labels, r)
	text := "entry for stream '" + labels + "' has 16 label names; limit 15"
	assert.Equal(t, map[Reason]int{MaxLabelNames: 1}, parseRefusals(text, b))
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"3MB": 3 << 20, "1536KB": 1536 << 10, "1.5 KiB": 1536, "7B": 7, "7": 7, "": 0, "x": 0, "-1KB": 0, "9999999999EB": 1 << 62} {
		assert.Equal(t, want, parseSize(text), text)
	}
}

// Whatever Loki, or what stands before it, says: no more lines are refused than there are, and nothing panics.
func FuzzInterpret(f *testing.F) {
	f.Add(400, `2 errors like: entry for stream '{service_name="a"}' has timestamp too old: x; 1 errors like: stream '{service_name="b"}' has label value too long: 'x'`)
	f.Add(400, "entry with timestamp x ignored, reason: 'entry too far behind',\nuser 'fake', total ignored: 1 out of 3 for stream: {service_name=\"a\"}")
	f.Add(429, "ingestion rate limit exceeded (limit: 5 bytes/sec) totaling '7' bytes")
	f.Add(429, "entry with timestamp 1970-01-01 00:00:00.000000001 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 3MB/sec) totaling 1KB', total ignored: 1 out of 1 for stream: {__stream_shard__=\"1\", service_name=\"a\"}")
	f.Add(429, `maximum active stream limit exceeded when trying to create stream {service_name="b"}, reduce`)
	f.Add(500, "larger than max")
	f.Fuzz(func(t *testing.T, status int, text string) {
		b := twoStreams()
		a := answer{status: status, text: text}
		v := a.interpret(b)
		refused := 0
		for _, n := range v.refused {
			assert.GreaterOrEqual(t, n, 0)
			refused += n
		}
		assert.LessOrEqual(t, refused, b.Lines())
		assert.GreaterOrEqual(t, v.rate, int64(0))
		assert.GreaterOrEqual(t, v.total, int64(0))
		if status != 0 {
			assert.Less(t, len(a.error().Error()), 8*maxMessage)
		}
		if v.meaning == taken {
			assert.Contains(t, []int{http.StatusOK, http.StatusNoContent, http.StatusBadRequest}, status)
		}
	})
}

// Bodies with a message of its own for each line are read in a time that grows with their size only.
func BenchmarkParseRefusals(b *testing.B) {
	text := strings.Repeat("1 errors like: entry for stream '{service_name=\"a\"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-11-15T00:00:00Z; ", 10_000)
	batch := twoStreams()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if len(parseRefusals(text, batch)) == 0 {
			b.Fatal("nothing was found")
		}
	}
}
