// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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

	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/lokipush"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
)

const streamARN = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"

func TestSendMessages(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, logs := f.served(nil, "TENANT_ID=team-1", "HEADERS=X-Extra=a%20b")
	message := newMessage(t, "/aws/lambda/checkout", "2026/10/12/[$LATEST]94fa", "first\n", "second")
	size := int64(len(message))
	tally, err := client.SendMessages(t.Context(), message, "")
	require.NoError(t, err)
	assert.Equal(t, delivery.Tally{Bytes: size, Lines: 2}, tally)
	entry := func(n int, line string) push.Entry {
		return push.Entry{
			Timestamp: firstEvent.Add(time.Duration(n) * time.Second), Line: line,
			StructuredMetadata: push.LabelsAdapter{
				{Name: "aws_log_stream_names", Value: "2026/10/12/[$LATEST]94fa"}, {Name: "log_record_uid", Value: fmt.Sprint("id", n)},
			},
		}
	}
	require.Len(t, f.taken, 1)
	f.taken[0].Hash = 0
	assert.Equal(t, push.Stream{
		Labels: `{__aws_cloudwatch_log_group="/aws/lambda/checkout", __aws_cloudwatch_owner="123456789012",` +
			` __aws_log_type="cloudwatch"}`,
		Entries: []push.Entry{entry(0, "first"), entry(1, "second")},
	}, f.taken[0])
	assert.Equal(t, "team-1", f.headers[0].Get("X-Scope-OrgID"))
	assert.Equal(t, "a b", f.headers[0].Get("X-Extra"))
	assert.Equal(t, "forwarder/test", f.headers[0].Get("User-Agent"))
	assert.Empty(t, logs.String())
}

func TestWithoutTenant(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, _ := f.served(nil)
	_, err := client.SendMessages(t.Context(), newMessage(t, "g", "s", "line"), "")
	require.NoError(t, err)
	assert.NotContains(t, f.headers[0], http.CanonicalHeaderKey("X-Scope-OrgID"))
}

func TestLabels(t *testing.T) {
	t.Parallel()
	g := func(streamARN, want string, environment ...string) {
		t.Helper()
		f := &fake{tb: t}
		client, _ := f.direct(nil, environment...)
		_, err := client.SendMessages(t.Context(), newMessage(t, "/g", "s", "line"), streamARN)
		require.NoError(t, err)
		assert.Equal(t, []string{want}, f.labels())
	}
	const (
		group      = `__aws_cloudwatch_log_group="/g"`
		owner      = `__aws_cloudwatch_owner="123456789012"`
		cloudwatch = `__aws_log_type="cloudwatch"`
		rest       = `}`
	)
	g("", `{`+group+`, `+owner+`, `+cloudwatch+rest)
	g(streamARN, `{`+group+`, `+owner+`, __aws_kinesis_event_source_arn="`+streamARN+`", __aws_log_type="kinesis"`+rest)
	g("", `{`+group+`, __aws_cloudwatch_log_stream="s", `+owner+`, `+cloudwatch+rest, "KEEP_STREAM=true")
	g("", `{`+group+`, `+owner+`, `+cloudwatch+`, __extra_env="prod", __extra_team="a b"`+rest, "EXTRA_LABELS=env,prod,team,a b")
	g("", `{`+group+`, `+owner+`, `+cloudwatch+`, env="prod"`+rest, "EXTRA_LABELS=env,prod", "OMIT_EXTRA_LABELS_PREFIX=true")
	g("", `{`+cloudwatch+rest, "DROP_LABELS=__aws_cloudwatch_log_group,__aws_cloudwatch_owner,absent")
	g("", `{`+group+`, `+owner+`, `+cloudwatch+rest, "EXTRA_LABELS=env,prod", "DROP_LABELS=__extra_env")
	g("", `{service_name="shop"}`, "EXTRA_LABELS=service_name,shop", "OMIT_EXTRA_LABELS_PREFIX=true",
		"DROP_LABELS=__aws_cloudwatch_log_group,__aws_cloudwatch_owner,__aws_log_type")
	// The rules come last, whatever the names of labels begin with.
	g("", `{env="PROD", group="g", log_type="cloudwatch"`+rest, "EXTRA_LABELS=env,prod", `RELABEL_CONFIGS=[
		{"source_labels":["__aws_cloudwatch_log_group"],"regex":"/(.*)","target_label":"group"},
		{"action":"labelmap","regex":"__aws_(log_type)"},
		{"action":"uppercase","source_labels":["__extra_env"],"target_label":"env"},
		{"action":"labeldrop","regex":"__.*"}]`)
	g(streamARN, `{stream="lambda-stream"}`,
		`RELABEL_CONFIGS=[{"source_labels":["__aws_kinesis_event_source_arn"],"regex":".*/(.*)","target_label":"stream"},
		{"action":"labelkeep","regex":"stream"}]`)
}

// The labels are the client's for all messages: those of one do not reach the next.
func TestLabelsOfOneMessage(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, _ := f.direct(nil, "EXTRA_LABELS=env,prod", "OMIT_EXTRA_LABELS_PREFIX=true",
		`RELABEL_CONFIGS=[{"source_labels":["__aws_cloudwatch_log_group"],"regex":"/one","target_label":"env","replacement":"test"}]`)
	for _, arn := range []string{"", streamARN, ""} {
		for _, group := range []string{"/one", "/two"} {
			_, err := client.SendMessages(t.Context(), newMessage(t, group, "s", "line"), arn)
			require.NoError(t, err)
		}
	}
	require.Len(t, f.taken, 6)
	for i, labels := range f.labels() {
		env := `env="test"`
		if i%2 == 1 {
			env = `env="prod"`
		}
		assert.Contains(t, labels, env)
		assert.Equal(t, i/2 == 1, strings.Contains(labels, streamARN))
	}
}

// What the rules leave without labels is not sent, but counted.
func TestUnlabeled(t *testing.T) {
	t.Parallel()
	g := func(rules string) {
		t.Helper()
		f := &fake{tb: t}
		client, _ := f.direct(nil, "RELABEL_CONFIGS="+rules)
		tally, err := client.SendMessages(t.Context(), newMessage(t, "/g", "s", "1", "2", "3"), "")
		require.NoError(t, err)
		assert.Equal(t, 3, tally.Unlabeled)
		assert.Zero(t, tally.Lines)
		assert.Empty(t, f.requests)
	}
	g(`[{"action":"drop","source_labels":["__aws_cloudwatch_log_group"],"regex":"/g"}]`)
	g(`[{"action":"keep","source_labels":["__aws_cloudwatch_log_group"],"regex":"/other"}]`)
	g(`[{"action":"labeldrop","regex":".*"}]`)

	// Of several messages, only what the rules are about.
	f := &fake{tb: t}
	client, _ := f.direct(nil, `RELABEL_CONFIGS=[{"action":"drop","source_labels":["__aws_cloudwatch_log_group"],"regex":"/g"}]`)
	documents := append(newMessage(t, "/g", "s", "1", "2"), newMessage(t, "/h", "s", "3")...)
	tally, err := client.SendMessages(t.Context(), documents, "")
	require.NoError(t, err)
	assert.Equal(t, 2, tally.Unlabeled)
	assert.Equal(t, []string{"3"}, f.lines())
}

// What the function writes itself would come round for ever.
func TestOwnLogGroup(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, _ := f.direct(nil, "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/forwarder")
	tally, err := client.SendMessages(t.Context(), newMessage(t, "/aws/lambda/forwarder", "s", "1", "2"), "")
	require.NoError(t, err)
	assert.Equal(t, 2, tally.Excluded)
	assert.Zero(t, tally.Lines)
	assert.Empty(t, f.requests)

	documents := append(newMessage(t, "/aws/lambda/forwarder", "s", "1", "2"), newMessage(t, "/aws/lambda/forwarder2", "s", "3")...)
	tally, err = client.SendMessages(t.Context(), documents, "")
	require.NoError(t, err)
	assert.Equal(t, 2, tally.Excluded)
	assert.Equal(t, 1, tally.Lines)
	assert.Equal(t, []string{"3"}, f.lines())
}

func TestNothingToSend(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, _ := f.direct(nil)
	for _, text := range []string{
		messageText(t, "/g", "s"),
		`{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],` +
			`"logEvents":[{"id":"","timestamp":1741312971934,"message":"CWL CONTROL MESSAGE: Checking health of destination."}]}`,
	} {
		message := compress(t, text)
		tally, err := client.SendMessages(t.Context(), message, "")
		require.NoError(t, err)
		assert.Equal(t, delivery.Tally{Bytes: int64(len(message))}, tally)
	}
	assert.Empty(t, f.requests)
}

// Captured events are taken as they are.
func TestCapturedEvents(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join("..", "..", "..", "testdata", "events", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	f := &fake{tb: t}
	client, _ := f.direct(nil)
	lines := 0
	for _, path := range paths {
		payload, err := os.ReadFile(path)
		require.NoError(t, err)
		e := event.Parse(payload)
		tally, err := client.SendMessages(t.Context(), e.Items[0].Message, "")
		require.NoError(t, err, path)
		lines += tally.Lines
	}
	assert.Len(t, f.lines(), lines)
	assert.Positive(t, lines)
	for _, labels := range f.labels() {
		assert.Contains(t, labels, `__aws_log_type="cloudwatch"`)
	}
}

// Records of Kinesis that are no messages are lines of their stream.
func TestKinesisLines(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, _ := f.direct(nil)
	var documents []byte
	for i, data := range []string{"1\n2\n", "1607374005.123\t203.0.113.1\n", messageText(t, "/g", "s", "3")} {
		record := event.Record{
			Data: []byte(data), SequenceNumber: strconv.Itoa(7 + i), StreamARN: streamARN, EventID: fmt.Sprint("shard:", 7+i),
			Arrival: "1545084650.987",
		}
		documents = record.AppendDocument(documents)
	}
	tally, err := client.SendMessages(t.Context(), documents, streamARN)
	require.NoError(t, err)
	assert.Equal(t, 4, tally.Lines)
	byLabels := map[string][]push.Entry{}
	for _, stream := range f.taken {
		byLabels[stream.Labels] = stream.Entries
	}
	lines := byLabels[`{__aws_kinesis_event_source_arn="`+streamARN+`", __aws_log_type="kinesis"}`]
	require.Len(t, lines, 3)
	assert.Equal(t, time.UnixMilli(1545084650_987).UTC(), lines[0].Timestamp)
	assert.Equal(t, push.LabelsAdapter{{Name: "log_record_uid", Value: "shard:7:1"}}, lines[0].StructuredMetadata)
	assert.Equal(t, time.UnixMilli(1607374005_123).UTC(), lines[2].Timestamp)
	require.Len(t, byLabels[`{__aws_cloudwatch_log_group="/g", __aws_cloudwatch_owner="123456789012",`+
		` __aws_kinesis_event_source_arn="`+streamARN+`", __aws_log_type="kinesis"}`], 1)
}

func TestBatchSize(t *testing.T) {
	t.Parallel()
	lines := numbered(200)
	for i := range lines {
		lines[i] += strings.Repeat(".", 100)
	}
	lines[77] += strings.Repeat(".", 5000)
	g := func(least, most int, environment ...string) *fake {
		t.Helper()
		f := &fake{tb: t}
		client, _ := f.direct(nil, environment...)
		tally, err := client.SendMessages(t.Context(), newMessage(t, "/g", "s", lines...), "")
		require.NoError(t, err)
		assert.Equal(t, 200, tally.Lines)
		assert.Equal(t, lines, f.lines())
		assert.GreaterOrEqual(t, len(f.requests), least)
		assert.LessOrEqual(t, len(f.requests), most)
		return f
	}
	g(1, 1)
	for _, size := range g(15, 30, "BATCH_SIZE=2000").sizes {
		if size > 2000 {
			assert.Greater(t, size, 5000, "the one line that is longer goes alone")
		}
	}
	g(200, 200, "BATCH_SIZE=1")
}

// tooOld is Loki's text about that many lines, as in the tests of lokipush.
func tooOld(lines int) string {
	return fmt.Sprintf("%d errors like: entry for stream '{service_name=\"a\"}' has timestamp too old: 2020-01-01T00:00:00Z, "+
		"oldest acceptable timestamp is: 2026-11-15T00:00:00Z\n", lines)
}

// Lines that Loki does not want are counted, and told of once: sending them again is of no use.
func TestPartlyRefused(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t, answer: func(n int, _ push.PushRequest) answer {
		if n%2 == 1 {
			return answer{status: 400, text: tooOld(3)}
		}
		return answer{}
	}}
	client, logs := f.served(nil, "BATCH_SIZE=1500")
	lines := numbered(100)
	tally, err := client.SendMessages(t.Context(), newMessage(t, "/g", "s", lines...), "")
	require.NoError(t, err)
	require.Greater(t, len(f.requests), 3)
	refused := (len(f.requests) + 1) / 2 * 3
	assert.Equal(t, map[string]int{"greater_than_max_sample_age": refused}, tally.Refused)
	assert.Equal(t, 100-refused, tally.Lines)
	assert.Equal(t, 1, strings.Count(logs.String(), "\n"))
	assert.Contains(t, logs.String(), "level=WARN")
	assert.Contains(t, logs.String(), fmt.Sprintf("lines=%d", refused))
	assert.Contains(t, logs.String(), "has timestamp too old")
	assert.NotContains(t, logs.String(), "line 1")
}

// If Loki wants none of them the event has failed: it goes where failed events go.
func TestAllRefused(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t, answer: func(int, push.PushRequest) answer { return answer{status: 400, text: tooOld(2)} }}
	client, logs := f.served(nil)
	tally, err := client.SendMessages(t.Context(), newMessage(t, "/g", "s", "line 0", "line 1"), "")
	refused := requireRefused(t, err)
	assert.Equal(t, "loki", refused.To)
	require.ErrorContains(t, err, "has timestamp too old")
	assert.NotContains(t, err.Error(), "line 1")
	assert.Equal(t, map[string]int{"greater_than_max_sample_age": 2}, tally.Refused)
	assert.Zero(t, tally.Lines)
	assert.Len(t, f.requests, 1)
	assert.Empty(t, logs.String(), "it is the handler that logs errors")
}

func requireRefused(tb testing.TB, err error) *delivery.RefusedError {
	tb.Helper()
	var refused *delivery.RefusedError
	require.ErrorAs(tb, err, &refused)
	return refused
}

func requireUnavailable(tb testing.TB, err error) *delivery.UnavailableError {
	tb.Helper()
	var unavailable *delivery.UnavailableError
	require.ErrorAs(tb, err, &unavailable)
	return unavailable
}

// One line that Loki chokes on takes no other with it.
func TestPoisonLine(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t, answer: func(_ int, request push.PushRequest) answer {
		for _, stream := range request.Streams {
			for _, entry := range stream.Entries {
				if entry.Line == "line 33" {
					return answer{status: 400, text: "something about the body"}
				}
			}
		}
		return answer{}
	}}
	client, _ := f.direct(nil)
	tally, err := client.SendMessages(t.Context(), newMessage(t, "/g", "s", numbered(64)...), "")
	require.NoError(t, err)
	assert.Equal(t, 63, tally.Lines)
	assert.Equal(t, map[string]int{"bad_request": 1}, tally.Refused)
	assert.Len(t, f.lines(), 63)
	assert.NotContains(t, f.lines(), "line 33")
}

// Wrong credentials and addresses are nothing that waiting helps against.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403, 404, 405, 302} {
		f := &fake{tb: t, answer: func(int, push.PushRequest) answer { return answer{status: status, text: "no"} }}
		client, _ := f.served(nil)
		tally, err := client.SendMessages(t.Context(), newMessage(t, "/g", "s", "line"), "")
		refused := requireRefused(t, err)
		assert.Equal(t, status, refused.Status)
		assert.False(t, refused.OfContent())
		assert.Len(t, f.requests, 1)
		assert.Zero(t, tally.Lines)
		assert.Zero(t, tally.RefusedLines(), "it is not the lines that are refused")
	}
}

// What Loki has said stands, also if it was said at the last moment.
func TestRefusedAtTheLastMoment(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := &fake{tb: t, answer: func(int, push.PushRequest) answer {
		cancel()
		return answer{status: http.StatusUnauthorized}
	}}
	client, _ := f.direct(nil)
	_, err := client.SendMessages(ctx, newMessage(t, "/g", "s", "line"), "")
	assert.Equal(t, http.StatusUnauthorized, requireRefused(t, err).Status)
	require.ErrorContains(t, err, "loki answered 401")
}

// What comes later than the answer asks for is sent once more, and stored once.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 500, 502, 503, 504, 408} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{tb: t, answer: func(n int, _ push.PushRequest) answer {
				if n < 3 {
					return answer{status: status, text: "later", retryAfter: "7"}
				}
				return answer{}
			}}
			client, _ := f.direct(nil)
			tally, err := client.SendMessages(t.Context(), newMessage(t, "/g", "s", "1", "2"), "")
			require.NoError(t, err)
			assert.Equal(t, 2, tally.Lines)
			assert.Equal(t, []string{"1", "2"}, f.lines())
			require.Len(t, f.times, 3)
			for i := range 2 {
				assert.InDelta(t, 7, f.times[i+1].Sub(f.times[i]).Seconds(), 0.01)
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	g := func(answered func(int, push.PushRequest) answer, status int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f := &fake{tb: t, answer: answered}
			client, _ := f.direct(nil, "DEADLINE_MARGIN=2s", "MAX_BACKOFF=1s", "REQUEST_TIMEOUT=3s")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			start := time.Now()
			tally, err := client.SendMessages(ctx, newMessage(t, "/g", "s", "1"), "")
			unavailable := requireUnavailable(t, err)
			assert.Equal(t, status, unavailable.Status)
			assert.Equal(t, "loki", unavailable.To)
			assert.Greater(t, unavailable.Attempts, 1)
			assert.LessOrEqual(t, time.Since(start), 8*time.Second)
			assert.Greater(t, time.Since(start), 4*time.Second)
			assert.Zero(t, tally.Lines)
		})
	}
	g(func(int, push.PushRequest) answer { return answer{status: 503} }, 503)
	g(func(int, push.PushRequest) answer { return answer{status: 503, retryAfter: "2"} }, 503)
}

// Without an answer there is another attempt, as long as there is time.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{tb: t}
		attempts := 0
		hanging := roundTripper(func(r *http.Request) (*http.Response, error) {
			attempts++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		client, _ := f.client("http://loki", hanging, nil, "DEADLINE_MARGIN=2s", "REQUEST_TIMEOUT=3s")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := client.SendMessages(ctx, newMessage(t, "/g", "s", "1"), "")
		unavailable := requireUnavailable(t, err)
		require.ErrorIs(t, err, delivery.ErrDeadline)
		assert.Equal(t, 3, unavailable.Attempts)
		assert.Equal(t, 3, attempts)
		assert.Equal(t, 8*time.Second, time.Since(start))
	})
}

type roundTripper func(r *http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNoTime(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, _ := f.direct(nil, "DEADLINE_MARGIN=10m")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := client.SendMessages(ctx, newMessage(t, "/g", "s", "1"), "")
	assert.Zero(t, requireUnavailable(t, err).Attempts)
	assert.Empty(t, f.requests)
}

// A limit on one stream holds up none of the others, and is no refusal: what was too much is sent again.
func TestStreamLimit(t *testing.T) {
	t.Parallel()
	const limit = "entry with timestamp 2026-10-12 08:27:15 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 3MB/sec) " +
		"while attempting to ingest for stream '{}' totaling 1536KB, consider splitting a stream via additional labels',\n"
	const behind = "entry with timestamp 2026-11-22 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: " +
		"2026-11-22T00:00:00Z, oldest acceptable timestamp is: 2026-11-22T02:00:00Z',\n"
	g := func(limited answer) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			alone := 0
			f := &fake{tb: t, answer: func(_ int, request push.PushRequest) answer {
				for _, stream := range request.Streams {
					if strings.Contains(stream.Labels, `"/a"`) && alone < 2 {
						if len(request.Streams) == 1 {
							alone++
						}
						return limited
					}
				}
				return answer{}
			}}
			client, _ := f.direct(nil)
			documents := append(newMessage(t, "/a", "s", "1", "2"), newMessage(t, "/b", "s", "3")...)
			tally, err := client.SendMessages(t.Context(), documents, "")
			require.NoError(t, err)
			assert.Equal(t, 3, tally.Lines)
			assert.Zero(t, tally.RefusedLines())
			assert.ElementsMatch(t, []string{"1", "2", "3"}, f.lines())
		})
	}
	const total = "user 'fake', total ignored: 2 out of 2 for stream: {}"
	g(answer{status: 429, text: limit + total})
	g(answer{status: 429, text: "Per stream rate limit exceeded"})
	g(answer{status: 400, text: limit + behind + total})
}

// Errors are logged and handed to other services, and the content of messages is not.
func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	const secret = "p4ssword"
	f := &fake{tb: t}
	client, logs := f.direct(nil)
	whole := newMessage(t, "/g", "s", secret)
	corrupt := bytes.Clone(whole)
	corrupt[len(corrupt)-5] ^= 0xff
	documents := map[string][]byte{
		"nothing":         nil,
		"empty gzip":      compress(t, ""),
		"cut short":       whole[:len(whole)-9],
		"corrupt":         corrupt,
		"no gzip header":  append([]byte("\x1f\x8b\x08"), secret...),
		"garbage behind":  append(bytes.Clone(whole), secret...),
		"too many layers": compress(t, string(compress(t, string(compress(t, string(whole)))))),
	}
	for _, text := range []string{
		secret, `"` + secret + `"`, `["` + secret + `"]`, `{"` + secret + `":1}`, `{"messageType":"` + secret + `"}`,
		`{"messageType":"DATA_MESSAGE","logEvents":"` + secret + `"}`,
		strings.Replace(messageText(t, "/g", "s", secret), "1791798435523", `"`+secret+`"`, 1),
		strings.Replace(messageText(t, "/g", "s", secret), `"timestamp"`, `"`+secret+`"`, 1),
		messageText(t, "/g", "s", secret) + secret,
		messageText(t, "/g", "s", secret)[1:],
		`{"kinesis":{"sequenceNumber":"1","data":"` + secret + `!"},"eventSourceARN":"a"}`,
		`{"kinesis":{"sequenceNumber":"1"},"eventSourceARN":"` + secret + `"}`,
	} {
		documents[text] = []byte(text)
		documents["gzip of "+text] = compress(t, text)
	}
	for name, document := range documents {
		size := int64(len(document))
		tally, err := client.SendMessages(t.Context(), document, "")
		if err == nil {
			require.Empty(t, name, "was taken")
		}
		refused := requireRefused(t, err)
		assert.True(t, refused.OfContent(), name)
		assert.Equal(t, "the forwarder", refused.To, name)
		assert.NotContains(t, err.Error(), secret, name)
		assert.Equal(t, delivery.Tally{Bytes: size}, tally, name)
	}
	assert.Empty(t, f.requests)
	assert.Empty(t, logs.String())
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	object := newObject(numbered(5000)...)
	client, _ := f.served(object.open, "BATCH_SIZE=20000", "EXTRA_LABELS=env,prod",
		`RELABEL_CONFIGS=[{"source_labels":["__aws_cloudwatch_log_group"],"target_label":"group"}]`)
	const goroutines, rounds = 16, 5
	var all sync.WaitGroup
	for n := range goroutines {
		all.Go(func() {
			for round := range rounds {
				arn := ""
				if round%2 == 1 {
					arn = fmt.Sprint(streamARN, n)
				}
				tally, err := client.SendMessages(t.Context(), newMessage(t, fmt.Sprint("/g", n), "s", numbered(500)...), arn)
				assert.NoError(t, err)
				assert.Equal(t, 500, tally.Lines)
			}
			tally, err := client.SendObject(t.Context(), event.Object{Bucket: "b", Key: fmt.Sprint("k", n)})
			assert.NoError(t, err)
			assert.Equal(t, 5000, tally.Lines)
		})
	}
	all.Wait()
	assert.Len(t, f.lines(), goroutines*(rounds*500+5000))
}

// What is beyond Loki's limits is changed, and counted, and said once.
func TestChangedLines(t *testing.T) {
	t.Parallel()
	extra := make([]string, 0, 32)
	for i := range 16 {
		extra = append(extra, fmt.Sprintf("l%02d", i), "x")
	}
	f := &fake{tb: t}
	client, logs := f.direct(nil, "EXTRA_LABELS="+strings.Join(extra, ","))
	for range 2 {
		tally, err := client.SendMessages(t.Context(), newMessage(t, "/g", "s", strings.Repeat("x", 300<<10), "line"), "")
		require.NoError(t, err)
		assert.Equal(t, 2, tally.Lines)
		assert.Equal(t, 1, tally.Truncated)
		assert.Equal(t, 2*4, tally.Demoted, "15 of 19 labels remain")
	}
	assert.Equal(t, 1, strings.Count(logs.String(), "\n"))
	assert.Contains(t, logs.String(), "truncatedLines=1 demotedLabels=8")
}

// A small function decodes no more than it has memory for.
func TestMemory(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	message := newMessage(t, "/g", "s", strings.Repeat("x", 17<<20))
	client, _ := f.direct(nil, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128")
	_, err := client.SendMessages(t.Context(), slices.Clone(message), "")
	require.ErrorIs(t, requireRefused(t, err), decompress.ErrTooLarge)
	client, _ = f.direct(nil, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256")
	_, err = client.SendMessages(t.Context(), message, "")
	require.NoError(t, err)
}

// Nor may lines be so many that their records take more: a few kilobytes of gzip can be millions of lines.
func TestMemoryOfManyLines(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, _ := f.direct(nil, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128")
	record := event.Record{
		Data: compress(t, strings.Repeat("a\n", 1<<20)), SequenceNumber: "1", StreamARN: streamARN, EventID: "shardId-0:1",
	}
	_, err := client.SendMessages(t.Context(), record.AppendDocument(nil), streamARN)
	require.ErrorIs(t, requireRefused(t, err), decompress.ErrTooLarge)
	assert.Empty(t, f.requests)
}

func TestIsFinal(t *testing.T) {
	t.Parallel()
	f := func(want bool, status int, report lokipush.Report) {
		t.Helper()
		assert.Equal(t, want, isFinal(&report, status))
	}
	f(true, 401, lokipush.Report{})
	f(true, 302, lokipush.Report{})
	f(false, 400, lokipush.Report{}) // which Loki does not say of lines that it may take another time
	f(false, 0, lokipush.Report{})
	f(false, 503, lokipush.Report{})
	f(false, 429, lokipush.Report{})
	f(false, 204, lokipush.Report{Delivered: lokipush.Count{Lines: 1}})
	f(false, 401, lokipush.Report{Delivered: lokipush.Count{Lines: 1}})
	f(false, 400, lokipush.Report{RetryAfter: time.Second})
	f(false, 400, lokipush.Report{Divisions: 1000})
	f(false, 400, lokipush.Report{Refused: []lokipush.Refusal{{Reason: lokipush.BadRequest, Lines: 1, Err: errors.New("no")}}})
}
