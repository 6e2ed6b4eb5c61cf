// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/forward"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

// newHandler sets the handler up as in Lambda. It returns what the handler logs
// after its start, which may be read between invocations.
func newHandler(tb testing.TB, writeAddress string, environment ...string) (*handler, *bytes.Buffer) {
	tb.Helper()
	env := map[string]string{"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "WRITE_ADDRESS": writeAddress, "METRICS": "false"}
	for _, variable := range environment {
		key, value, _ := strings.Cut(variable, "=")
		env[key] = value
	}
	logs := new(bytes.Buffer)
	h, err := setUp(func(key string) string { return env[key] }, logs)
	require.NoError(tb, err)
	logs.Reset()
	return h, logs
}

// newMessage returns the gzip bytes of a subscription message with that many
// lines of 264 bytes; equal arguments give equal messages.
func newMessage(tb testing.TB, seed uint64, lines int) []byte {
	tb.Helper()
	type logEvent struct {
		ID        string `json:"id"`
		Timestamp int64  `json:"timestamp"`
		Message   string `json:"message"`
	}
	words := rand.New(rand.NewPCG(seed, 0))
	events := make([]logEvent, lines)
	for i := range events {
		line := fmt.Sprintf("level=info method=GET path=/api/v1/orders/%d status=200 duration_ms=%d trace=%016x%016x",
			words.IntN(1e6), words.IntN(1000), words.Uint64(), words.Uint64())
		for len(line) < 264 {
			line += []string{" user=alice", " region=eu-central-1", " cache=hit", " retry=0", " upstream=orders"}[words.IntN(5)]
		}
		events[i] = logEvent{ID: fmt.Sprintf("%056d", i), Timestamp: 1725544035523 + int64(i), Message: line[:264]}
	}
	document, err := json.Marshal(map[string]any{
		"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/aws/lambda/x", "logStream": "s",
		"subscriptionFilters": []string{"f"}, "logEvents": events,
	})
	require.NoError(tb, err)
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err = w.Write(document)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return compressed.Bytes()
}

func newPayload(message []byte) []byte {
	return []byte(`{"awslogs":{"data":"` + base64.StdEncoding.EncodeToString(message) + `"}}`)
}

func withRequestID(ctx context.Context, id string) context.Context {
	return lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: id})
}

// answering starts a collector that answers every request alike.
func answering(tb testing.TB, status int, body string) *httptest.Server {
	tb.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "3600") // longer than any test lasts
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	tb.Cleanup(srv.Close)
	return srv
}

// One handler serves many invocations at once on Lambda Managed Instances; each
// message must arrive whole and once, whatever else is under way.
func TestInvokeConcurrently(t *testing.T) {
	t.Parallel()
	const goroutines, invocations = 16, 20
	var mu sync.Mutex
	received := map[string]int{}
	refusals := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			w.WriteHeader(http.StatusBadRequest)
		case refusals < goroutines: // some are sent twice, so that buffers are returned at other times
			refusals++
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			received[string(body)]++
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"accepted":1}`)
		}
	}))
	defer srv.Close()
	h, logs := newHandler(t, srv.URL)
	want := map[string]int{}
	var wg sync.WaitGroup
	for g := range goroutines {
		messages := make([][]byte, invocations)
		for i := range messages {
			messages[i] = newMessage(t, uint64(g*invocations+i), 1+(g+i)%7)
			want[string(messages[i])]++
		}
		wg.Go(func() {
			for _, message := range messages {
				response, err := h.Invoke(t.Context(), newPayload(message))
				assert.NoError(t, err)
				assert.Equal(t, "null", string(response))
			}
		})
	}
	wg.Wait()
	require.Len(t, want, goroutines*invocations, "the messages differ")
	assert.Equal(t, want, received)
	assert.Empty(t, logs.String(), "nothing is logged about a success")
}

func TestInvokeLogsSuccessAtDebugLevel(t *testing.T) {
	t.Parallel()
	h, logs := newHandler(t, answering(t, 200, `{"accepted":1}`).URL, "LOG_LEVEL=debug")
	_, err := h.Invoke(withRequestID(t.Context(), "id-1"), newPayload([]byte("\x1f\x8b\x08...")))
	require.NoError(t, err)
	assert.JSONEq(t, `{"level":"DEBUG","message":"forwarded","requestId":"id-1","items":1,"bytes":6}`, withoutTime(t, logs))
}

// What Lambda is told about a failure, and the one line about it in the log.
func TestInvokeFails(t *testing.T) {
	t.Parallel()
	message := newPayload([]byte("\x1f\x8b\x08..."))
	f := func(name string, status int, payload []byte, want, wantLog string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, logs := newHandler(t, answering(t, status, `{"accepted":0,"error":"why"}`).URL)
			ctx, cancel := context.WithTimeout(withRequestID(t.Context(), "id-1"), time.Minute)
			defer cancel()
			response, err := h.Invoke(ctx, payload)
			assert.Nil(t, response)
			require.EqualError(t, err, want)
			assert.JSONEq(t, wantLog, withoutTime(t, logs))
		})
	}
	f("malformed", 200, []byte(`{"awslogs":{}}`), "malformed event: `awslogs` has no `data`",
		`{"level":"ERROR","message":"not forwarded","requestId":"id-1","errorType":"MalformedError",
		  "error":"malformed event: `+"`awslogs` has no `data`"+`"}`)
	const unsupported = "unsupported event: found an empty object, want an event of CloudWatch Logs, Kinesis or S3, " +
		"or one of these by EventBridge, SNS or SQS"
	f("unsupported", 200, []byte(`{}`), unsupported,
		`{"level":"ERROR","message":"not forwarded","requestId":"id-1","errorType":"UnsupportedError","error":"`+unsupported+`"}`)
	f("refused", 400, message, "the collector refused the message (attempts: 1): 400 Bad Request: why",
		`{"level":"ERROR","message":"not forwarded","requestId":"id-1","errorType":"RefusedError","attempts":1,"status":400,
		  "error":"the collector refused the message (attempts: 1): 400 Bad Request: why"}`)
	f("unavailable", 503, message, "the collector has not taken the message (attempts: 1): the last answer was 503 Service Unavailable: why",
		`{"level":"ERROR","message":"not forwarded","requestId":"id-1","errorType":"UnavailableError","attempts":1,"status":503,
		  "error":"the collector has not taken the message (attempts: 1): the last answer was 503 Service Unavailable: why"}`)
}

// What Lambda is told about batches. Message 2 is none.
func TestAnswersToBatches(t *testing.T) {
	t.Parallel()
	message := base64.StdEncoding.EncodeToString(newMessage(t, 1, 1))
	sqs := func(id, arn, body string) string {
		content, err := json.Marshal(map[string]string{"messageId": id, "eventSource": "aws:sqs", "eventSourceARN": arn, "body": body})
		require.NoError(t, err)
		return string(content)
	}
	kinesis := func(sequence, data string) string {
		return `{"eventSource":"aws:kinesis","eventSourceARN":"arn:aws:kinesis:us-east-1:123456789012:stream/s",` +
			`"kinesis":{"sequenceNumber":"` + sequence + `","data":"` + data + `"}}`
	}
	logs := `{"awslogs":{"data":"` + message + `"}}`
	const queue, fifo = "arn:aws:sqs:us-east-1:123456789012:q", "arn:aws:sqs:us-east-1:123456789012:q.fifo"
	mixed := func(arn string) string {
		return `{"Records":[` + sqs("1", arn, logs) + "," + sqs("2", arn, "{}") + "," + sqs("3", arn, logs) + `]}`
	}
	f := func(name, payload, want, wantErr string, environment ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := newHandler(t, answering(t, 200, `{"accepted":1}`).URL, environment...)
			response, err := h.Invoke(t.Context(), []byte(payload))
			if wantErr != "" {
				require.ErrorContains(t, err, wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, want, string(response))
		})
	}
	f("no records", `{"Records":[]}`, "null", "")
	f("SQS", `{"Records":[`+sqs("1", queue, logs)+`]}`, `{"batchItemFailures":[]}`, "")
	f("SQS, one of three", mixed(queue), `{"batchItemFailures":[{"itemIdentifier":"2"}]}`, "")
	f("FIFO, all from the first on", mixed(fifo), `{"batchItemFailures":[{"itemIdentifier":"2"},{"itemIdentifier":"3"}]}`, "")
	f("one message with two that fail", `{"Records":[`+sqs("1", queue, `{"Records":[{},{}]}`)+`]}`,
		`{"batchItemFailures":[{"itemIdentifier":"1"}]}`, "")
	f("a message without an id", `{"Records":[`+sqs("", queue, logs)+`]}`, "", "malformed event: the message of SQS has no `messageId`")
	f("no items are to be reported", mixed(queue), "", "unsupported event", "REPORT_BATCH_ITEM_FAILURES=false")
	f("Kinesis", `{"Records":[`+kinesis("1", message)+`]}`, `{"batchItemFailures":[]}`, "")
	f("Kinesis, the first that fails", `{"Records":[`+kinesis("1", message)+","+kinesis("2", "!")+","+kinesis("3", "!")+`]}`,
		`{"batchItemFailures":[{"itemIdentifier":"2"}]}`, "")
}

// Failures that have one cause are logged once.
func TestFailuresAreLoggedOnce(t *testing.T) {
	t.Parallel()
	h, logs := newHandler(t, answering(t, 503, `{"error":"why"}`).URL)
	record := `{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"` + base64.StdEncoding.EncodeToString(newMessage(t, 1, 1)) + `"}}`
	ctx, cancel := context.WithTimeout(withRequestID(t.Context(), "id-1"), time.Minute)
	defer cancel()
	response, err := h.Invoke(ctx, []byte(`{"Records":[`+record+","+record+","+record+`]}`))
	require.NoError(t, err)
	assert.JSONEq(t, `{"batchItemFailures":[{"itemIdentifier":"1"}]}`, string(response))
	const why = "the collector has not taken the message (attempts: 1): the last answer was 503 Service Unavailable: why"
	assert.JSONEq(t, `{"level":"ERROR","message":"not forwarded","requestId":"id-1","errorType":"UnavailableError","item":"1","items":3,
		"attempts":1,"status":503,"error":"`+why+`"}`, withoutTime(t, logs))
}

// So are those of messages that are sent one by one.
func TestEqualFailuresAreLoggedOnce(t *testing.T) {
	t.Parallel()
	h, logs := newHandler(t, answering(t, 403, `{"error":"who?"}`).URL)
	var messages []string
	for i := range 10 {
		messages = append(messages, fmt.Sprintf(`{"messageId":"%d","eventSource":"aws:sqs","body":%q}`, i, newPayload(newMessage(t, uint64(i), 1))))
	}
	_, err := h.Invoke(t.Context(), []byte(`{"Records":[`+strings.Join(messages, ",")+`]}`))
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(logs.String(), "\n"))
	assert.Contains(t, logs.String(), `"item":"0","items":10`)
}

// withoutTime returns the one line that was logged, without its time.
func withoutTime(t *testing.T, logs *bytes.Buffer) string {
	t.Helper()
	var line map[string]any
	require.NoError(t, json.Unmarshal(logs.Bytes(), &line), "want one line: %s", logs)
	_, err := time.Parse(time.RFC3339Nano, line["timestamp"].(string))
	require.NoError(t, err)
	delete(line, "timestamp")
	content, err := json.Marshal(line)
	require.NoError(t, err)
	return string(content)
}

// Lambda shows the name of the error's type: it must be the one the README has.
func TestErrorTypes(t *testing.T) {
	t.Parallel()
	readme := readREADME(t)
	for _, err := range []error{
		&event.MalformedError{}, &event.UnsupportedError{}, &delivery.RefusedError{}, &delivery.UnavailableError{}, &s3object.ObjectError{},
		&forward.SkippedError{},
	} {
		assert.Contains(t, readme, "`"+errorType(err)+"`")
	}
}

var _ lambda.Handler = (*handler)(nil) // the handler gets the payload as it came

func BenchmarkInvoke(b *testing.B) {
	for _, lines := range []int{1, 500} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			message := newMessage(b, 1, lines)
			payload := newPayload(message)
			var received atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				received.Add(n)
			}))
			defer srv.Close()
			h, _ := newHandler(b, srv.URL)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Invoke(b.Context(), payload); err != nil {
					b.Fatal(err)
				}
			}
			require.Equal(b, int64(b.N*len(message)), received.Load())
		})
	}
}

// BenchmarkParse is the forwarder's own share of BenchmarkInvoke; the rest is HTTP.
func BenchmarkParse(b *testing.B) {
	message := newMessage(b, 1, 500)
	payload := newPayload(message)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	var got event.Event
	for b.Loop() {
		got = event.Parse(payload)
	}
	require.Len(b, got.Items, 1)
	require.Equal(b, message, got.Items[0].Message)
}
