// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
)

const testRequestID = "ed4acda5-034f-9f42-bba1-f29aea6d7d8f"

func firehoseBody(records ...[]byte) []byte {
	var encoded []string
	for _, record := range records {
		encoded = append(encoded, `{"data":"`+base64.StdEncoding.EncodeToString(record)+`"}`)
	}
	return []byte(`{"requestId":"` + testRequestID + `","timestamp":1760257640000,"records":[` + strings.Join(encoded, ",") + `]}`)
}

// deliver posts as Firehose does.
func (s *started) deliver(body []byte, header ...string) (*http.Response, string) {
	s.t.Helper()
	return s.do(http.MethodPost, defaultFirehosePath, bytes.NewReader(body), append([]string{
		"X-Amz-Firehose-Protocol-Version", "1.0",
		"X-Amz-Firehose-Request-Id", testRequestID,
		"X-Amz-Firehose-Source-Arn", "arn:aws:firehose:us-east-1:123456789012:deliverystream/logs",
		"Content-Type", "application/json",
		"User-Agent", "Amazon Kinesis Data Firehose Agent/1.0",
	}, header...)...)
}

// requireFirehoseAnswer checks that Firehose takes an answer for one.
func requireFirehoseAnswer(t *testing.T, resp *http.Response, text string, status int, message string) {
	t.Helper()
	require.Equal(t, status, resp.StatusCode, text)
	assert.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	assert.Empty(t, resp.Header.Get("Content-Encoding"))
	assert.Equal(t, strconv.Itoa(len(text)), resp.Header.Get("Content-Length"))
	var answer map[string]any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&answer))
	assert.Equal(t, testRequestID, answer["requestId"])
	timestamp, err := answer["timestamp"].(json.Number).Int64()
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), time.UnixMilli(timestamp), time.Minute)
	if message == "" {
		assert.NotContains(t, answer, "errorMessage")
	} else {
		assert.Equal(t, message, answer["errorMessage"])
	}
}

// The bytes of every payload in testdata, as Firehose sends them.
func TestFirehose(t *testing.T) {
	for name, lines := range map[string]int{"cloudwatch": 8, "cloudwatch-control": 0, "cloudwatch-several": 11, "cloudwatch-decompressed": 2, "lines": 6, "mixed": 6} {
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile("../../testdata/firehose/" + name + ".json")
			require.NoError(t, err)
			var request struct {
				RequestID string `json:"requestId"`
			}
			require.NoError(t, json.Unmarshal(body, &request))
			for encoding, encoded := range map[string][]byte{"": body, "gzip": compress(t, body)} {
				sink := new(consumertest.LogsSink)
				s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
				resp, text := s.do(http.MethodPost, defaultFirehosePath, bytes.NewReader(encoded),
					"Content-Encoding", encoding, "X-Amz-Firehose-Request-Id", request.RequestID)
				require.Equal(t, http.StatusOK, resp.StatusCode, text)
				assert.Contains(t, text, request.RequestID)
				assert.Equal(t, lines, sink.LogRecordCount())
			}
		})
	}
}

func TestFirehoseAnswers(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, func(c *Config) { c.MaxDecodedBytes = 10_000 }, nil, componenttest.NewNopHost())
	good := firehoseBody(document("a", "b"))
	f := func(body []byte, status int, message string, header ...string) {
		t.Helper()
		resp, text := s.deliver(body, header...)
		requireFirehoseAnswer(t, resp, text, status, message)
	}
	f(good, 200, "")
	assert.Equal(t, 2, sink.LogRecordCount())
	sink.Reset()
	f([]byte("secret"), 400, "offset 0: expected an object")
	f(good[:len(good)-1], 400, fmt.Sprintf("offset %d: cut short, expected a comma or '}'", len(good)-1))
	resp, text := s.deliver(good, "X-Amz-Firehose-Request-Id", "another")
	assert.Equal(t, 400, resp.StatusCode)
	assert.Contains(t, text, `{"requestId":"another",`)
	assert.Contains(t, text, "requestId is not that of the header")
	// Firehose throws the records away after 413.
	f(firehoseBody(document("a"), bytes.Repeat([]byte("x"), 10_001)), 400, "record 2: input too large: it decodes to more than 10000 bytes")
	f(bytes.Repeat([]byte(" "), 64<<20+1), 400, "the body has more than 67108864 bytes")
	f(compress(t, bytes.Repeat([]byte(" "), 64<<20+1)), 400, "input too large: it decodes to more than 67108864 bytes")
	f(good, 400, "X-Amz-Firehose-Protocol-Version is not 1.0", "X-Amz-Firehose-Protocol-Version", "2.0")
	f(good, 400, "Content-Encoding is not gzip", "Content-Encoding", "zstd")
	f(good, 400, "common attributes: offset 0: expected an object", "X-Amz-Firehose-Common-Attributes", "secret")
	assert.Empty(t, sink.AllLogs())

	resp, text = s.do(http.MethodGet, defaultFirehosePath, nil, "X-Amz-Firehose-Request-Id", testRequestID)
	requireFirehoseAnswer(t, resp, text, 405, "method not allowed")

	for err, status := range map[error]int{errors.New("full"): 503, consumererror.NewPermanent(errors.New("bad")): 422} {
		s := startReceiver(t, consumertest.NewErr(err), nil, nil, componenttest.NewNopHost())
		resp, text := s.deliver(good)
		require.Equal(t, status, resp.StatusCode)
		assert.Contains(t, text, testRequestID)
		assert.Equal(t, status == 503, resp.Header.Get("Retry-After") == "1")
	}
}

// requireFirehoseAnswer wants the id from the test's own header, so that this one looks itself: without the header, the
// body says which request is answered.
func TestFirehoseWithoutRequestIDHeader(t *testing.T) {
	s := startReceiver(t, consumertest.NewNop(), nil, nil, componenttest.NewNopHost())
	resp, text := s.do(http.MethodPost, defaultFirehosePath, bytes.NewReader(firehoseBody(document("a"))))
	requireFirehoseAnswer(t, resp, text, 200, "")
}

// The key guards Firehose's path, and nothing else; where there is none, auth does.
func TestFirehoseAccessKey(t *testing.T) {
	authenticator := component.MustNewID("refuseall")
	withAuth := host{map[component.ID]component.Component{authenticator: refuseAll{}}}
	auth := configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: authenticator}})
	good := firehoseBody(document("a"))

	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, func(c *Config) { c.ServerConfig.Auth, c.FirehoseAccessKey = auth, "secret" }, nil, withAuth)
	resp, text := s.deliver(good)
	requireFirehoseAnswer(t, resp, text, 401, "the access key is missing or wrong")
	for _, wrong := range []string{"", "Secret", "secret1", "secre"} {
		resp, text = s.deliver(good, "X-Amz-Firehose-Access-Key", wrong)
		requireFirehoseAnswer(t, resp, text, 401, "the access key is missing or wrong")
	}
	assert.Empty(t, sink.AllLogs())
	resp, text = s.deliver(good, "X-Amz-Firehose-Access-Key", "secret")
	requireFirehoseAnswer(t, resp, text, 200, "")
	assert.Equal(t, 1, sink.LogRecordCount())
	for _, path := range []string{defaultSubscriptionPath, defaultS3Path, defaultLokiPushPath, "/elsewhere"} {
		resp, _ := s.do(http.MethodPost, path, bytes.NewReader(good), "X-Amz-Firehose-Access-Key", "secret")
		assert.Equal(t, 401, resp.StatusCode, path)
	}

	s = startReceiver(t, sink, func(c *Config) { c.ServerConfig.Auth = auth }, nil, withAuth)
	resp, text = s.deliver(good, "X-Amz-Firehose-Access-Key", "secret")
	requireFirehoseAnswer(t, resp, text, 401, "unauthorized")
}

// A request of as much as Firehose sends: 10,000 records, 64 MiB.
func TestFirehoseLargest(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	var b bytes.Buffer
	b.WriteString(`{"requestId":"` + testRequestID + `","timestamp":1760257640000,"records":[`)
	for i := range 10_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		line := fmt.Sprintf("%04999d\n", i)
		b.WriteString(`{"data":"` + base64.StdEncoding.EncodeToString([]byte(line)) + `"}`)
	}
	b.WriteString("]}")
	b.WriteString(strings.Repeat(" ", 64<<20-b.Len()))
	resp, text := s.deliver(b.Bytes())
	requireFirehoseAnswer(t, resp, text, 200, "")
	require.Equal(t, 10_000, sink.LogRecordCount())
	next := 0
	for _, logs := range sink.AllLogs() {
		for _, record := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			if want := fmt.Sprintf("%04999d", next); want != record.Body().Str() {
				require.Equal(t, want, record.Body().Str())
			}
			next++
		}
	}
}

// As many messages as Firehose sends, each of one event, which is what quiet log groups have.
func TestManySmallMessages(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	const messages = 10_000
	records := make([][]byte, messages)
	for i := range records {
		records[i] = document(strconv.Itoa(i))
	}
	resp, text := s.deliver(firehoseBody(records...))
	requireFirehoseAnswer(t, resp, text, 200, "")
	assert.Equal(t, messages, sink.LogRecordCount())

	sink.Reset()
	s = startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	resp, text = s.post(bytes.Join(records, nil))
	assert.Equal(t, 200, resp.StatusCode)
	assert.JSONEq(t, fmt.Sprintf(`{"accepted":%d}`, messages), text)
	assert.Equal(t, messages, sink.LogRecordCount())
}

// Portions that are alike are each handed on.
func TestFirehosePortionsAlike(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	alike := bytes.Repeat([]byte("OK\n"), 1<<16)
	for range 2 {
		resp, text := s.deliver(firehoseBody(alike, alike, alike))
		requireFirehoseAnswer(t, resp, text, 200, "")
		assert.Equal(t, 3<<16, sink.LogRecordCount())
	}
}

// Of a request that is handed on in portions, one is refused. It comes again, and every line is there once.
func TestFirehosePortionRefused(t *testing.T) {
	sink := new(consumertest.LogsSink)
	calls := 0
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		if calls++; calls == 2 {
			return errors.New("full")
		}
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	s := startReceiver(t, next, nil, nil, componenttest.NewNopHost())
	var records [][]byte
	for i := range 9 {
		record := document(strings.Repeat(strconv.Itoa(i), 4<<20))
		if i%2 == 0 {
			record = append(bytes.Repeat([]byte(strconv.Itoa(i)), 4<<20), '\n')
		}
		records = append(records, compress(t, record))
	}
	body := firehoseBody(records...)
	resp, _ := s.deliver(body)
	require.Equal(t, 503, resp.StatusCode)
	taken := sink.LogRecordCount()
	assert.Positive(t, taken)
	assert.Less(t, taken, len(records))
	resp, text := s.deliver(body)
	requireFirehoseAnswer(t, resp, text, 200, "")
	assert.Equal(t, len(records), sink.LogRecordCount())

	// One bad record among those of the last portion, and nothing is taken of any.
	sink.Reset()
	resp, text = s.deliver(firehoseBody(append(records, []byte(`{"messageType":"DATA_MESSAGE","owner":"o","logGroup":"g","logEvents":[]`))...))
	requireFirehoseAnswer(t, resp, text, 400, "record 10: document 1: offset 71: cut short, expected a comma or '}'")
	assert.Empty(t, sink.AllLogs())
}
