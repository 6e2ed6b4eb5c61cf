// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/metadatatest"
)

const testObject = "?bucket=logs&key=a%2Fb+c.log&region=eu-west-1&etag=%229bb58f26192e4ba00f01e2e7b136bbd8%22&event_time=2026-10-12T08:27:20.123Z"

func (s *started) object(body io.Reader, query string) (*http.Response, string) {
	s.t.Helper()
	return s.do(http.MethodPost, defaultS3Path+query, body)
}

// numbered are lines with their numbers, counted from 0.
func numbered(lines int) []byte {
	var b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&b, "%08d %s\n", i, strings.Repeat("x", 100))
	}
	return b.Bytes()
}

// failing hands on to next, but for those calls, counted from 1, that fail.
func failing(t *testing.T, next consumer.Logs, failures map[int]error) consumer.Logs {
	t.Helper()
	calls := 0
	logs, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		calls++
		if err := failures[calls]; err != nil {
			return err
		}
		return next.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	return logs
}

// requireNumbered checks that every line is there, in order and once.
func requireNumbered(t *testing.T, sink *consumertest.LogsSink, lines int) {
	t.Helper()
	next := 0
	for _, logs := range sink.AllLogs() {
		for _, record := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			if number, err := strconv.Atoi(record.Body().Str()[:8]); err != nil || number != next {
				require.Fail(t, "another number", "%d instead of %d: %v", number, next, err)
			}
			next++
		}
	}
	require.Equal(t, lines, next)
}

func TestObject(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	resp, text := s.object(strings.NewReader("first\r\n\nsecond"), testObject)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.JSONEq(t, `{"accepted":2}`, text)
	require.Len(t, sink.AllLogs(), 1)
	rl := sink.AllLogs()[0].ResourceLogs().At(0)
	assert.Equal(t, map[string]any{
		"cloud.provider": "aws", "cloud.region": "eu-west-1", "aws.s3.bucket": "logs", "aws.s3.key": "a/b c.log",
		"aws.log.type": "s3", "service.name": "logs",
	}, rl.Resource().Attributes().AsRaw())
	second := rl.ScopeLogs().At(0).LogRecords().At(1)
	assert.Equal(t, "second", second.Body().Str())
	assert.Equal(t, map[string]any{"log.record.uid": "9bb58f26192e4ba00f01e2e7b136bbd8:3"}, second.Attributes().AsRaw())
	assert.Equal(t, "2026-10-12T08:27:20.123Z", second.Timestamp().AsTime().Format(time.RFC3339Nano))

	for _, empty := range []string{"", "\n\n"} {
		resp, text = s.object(strings.NewReader(empty), testObject)
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.JSONEq(t, `{"accepted":0}`, text)
	}

	// Larger than other requests may be, and in pieces.
	sink.Reset()
	lines := 150_000
	resp, text = s.object(bytes.NewReader(numbered(lines)), testObject)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.JSONEq(t, fmt.Sprintf(`{"accepted":%d}`, lines), text)
	requireNumbered(t, sink, lines)
	assert.Greater(t, len(sink.AllLogs()), 30)
}

func TestObjectQuery(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	f := func(query, message string) {
		t.Helper()
		resp, text := s.object(strings.NewReader("line"), query)
		assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
		assert.JSONEq(t, fmt.Sprintf(`{"accepted":0,"error":%q}`, message), text)
	}
	f("", "the parameter bucket is missing")
	f("?bucket=b", "the parameter key is missing")
	f("?bucket=b&key=k&event_time=yesterday", "the parameter event_time is no time as of RFC 3339")
	f("?bucket=b&key=k&skip=-1", "the parameter skip is no number of records")
	f("?bucket=b&key=k&skip=9999999999999999999", "the parameter skip is no number of records")
	f("?bucket=b&key=%zz", "the query cannot be parsed")
	assert.Empty(t, sink.AllLogs())
}

// What was taken before something failed, the answer says and the sender skips.
func TestObjectSkip(t *testing.T) {
	const lines = 100_000
	for name, dedup := range map[string]bool{"with dedup": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			sink := new(consumertest.LogsSink)
			next := failing(t, sink, map[int]error{
				1: errors.New("full"), 4: errors.New("full"), 8: consumererror.NewPermanent(errors.New("bad")), 9: errors.New("full"),
			})
			s := startReceiver(t, next, func(c *Config) {
				if !dedup {
					c.Dedup.Window = 0
				}
			}, nil, componenttest.NewNopHost())
			s.receiver.(*subscriptionReceiver).piecePatience = 0
			accepted := 0
			for _, status := range []int{503, 503, 422, 503} {
				resp, text := s.object(bytes.NewReader(numbered(lines)), testObject+"&skip="+strconv.Itoa(accepted))
				require.Equal(t, status, resp.StatusCode)
				before := accepted
				_, err := fmt.Sscanf(text, `{"accepted":%d`, &accepted)
				require.NoError(t, err)
				assert.GreaterOrEqual(t, accepted, before)
				assert.Equal(t, sink.LogRecordCount(), accepted)
			}
			assert.Positive(t, accepted)
			resp, text := s.object(bytes.NewReader(numbered(lines)), testObject+"&skip="+strconv.Itoa(accepted))
			require.Equal(t, 200, resp.StatusCode)
			assert.JSONEq(t, fmt.Sprintf(`{"accepted":%d}`, lines), text)
			requireNumbered(t, sink, lines)

			// All of it another time.
			resp, text = s.object(bytes.NewReader(numbered(lines)), testObject)
			require.Equal(t, 200, resp.StatusCode)
			assert.JSONEq(t, fmt.Sprintf(`{"accepted":%d}`, lines), text)
			want := lines
			if !dedup {
				want += lines
			}
			assert.Equal(t, want, sink.LogRecordCount())
		})
	}
}

// Once it has begun, an object waits for the pipeline; before that, it is the sender who waits.
func TestObjectWaits(t *testing.T) {
	const lines = 50_000
	full := errors.New("full")
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, failing(t, sink, map[int]error{1: full, 3: full, 4: full, 6: full}), nil, nil, componenttest.NewNopHost())
	resp, text := s.object(bytes.NewReader(numbered(lines)), testObject)
	assert.Equal(t, 503, resp.StatusCode)
	assert.JSONEq(t, `{"accepted":0,"error":"the pipeline cannot take this now"}`, text)
	resp, text = s.object(bytes.NewReader(numbered(lines)), testObject)
	assert.Equal(t, 200, resp.StatusCode)
	assert.JSONEq(t, fmt.Sprintf(`{"accepted":%d}`, lines), text)
	requireNumbered(t, sink, lines)
}

// A receiver that stops does not wait for the pipeline.
func TestObjectEndsWithReceiver(t *testing.T) {
	calls := make(chan int, 100)
	next, err := consumer.NewLogs(func(context.Context, plog.Logs) error {
		calls <- 0
		if len(calls) == 1 {
			return nil
		}
		return errors.New("full")
	})
	require.NoError(t, err)
	s := startReceiver(t, next, nil, nil, componenttest.NewNopHost())
	s.receiver.(*subscriptionReceiver).piecePatience = time.Hour
	answered := make(chan int, 1)
	go func() {
		defer close(answered)
		resp, _ := s.object(bytes.NewReader(numbered(50_000)), testObject)
		answered <- resp.StatusCode
	}()
	require.Eventually(t, func() bool { return len(calls) > 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.receiver.Shutdown(t.Context()))
	assert.Equal(t, 503, <-answered)
}

// What cannot be read to its end is taken as far as it goes, and refused.
func TestObjectBroken(t *testing.T) {
	const lines = 50_000
	f := func(body []byte, change func(*Config), status int, message string) {
		t.Helper()
		sink := new(consumertest.LogsSink)
		s := startReceiver(t, sink, change, nil, componenttest.NewNopHost())
		resp, text := s.object(bytes.NewReader(body), testObject)
		assert.Equal(t, status, resp.StatusCode)
		assert.Contains(t, text, message)
		accepted := 0
		_, err := fmt.Sscanf(text, `{"accepted":%d`, &accepted)
		require.NoError(t, err)
		requireNumbered(t, sink, accepted)
	}
	whole := compress(t, numbered(lines))
	f(whole[:len(whole)-10], nil, 400, "unexpected EOF")
	f(append(whole, "more than ten bytes"...), nil, 400, "invalid header")
	long := append(numbered(lines), bytes.Repeat([]byte("x"), 3<<20)...)
	f(long, func(c *Config) { c.MaxDecodedBytes = 2 << 20 }, 413, "input too large")
}

// objectOf is the query of an object with this key.
func objectOf(key string) string {
	return "?" + url.Values{"bucket": {"logs"}, "key": {key}, "etag": {"e"}}.Encode()
}

// CloudTrail's records before the place where the array is cut short are taken, and the sender is told how many.
func TestObjectArrayCutShort(t *testing.T) {
	const key = "AWSLogs/123456789012/CloudTrail/us-east-1/2022/01/24/123456789012_CloudTrail_us-east-1_20220124T0000Z_4jhzXFO2Jlvu2b3y.json.gz"
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	resp, text := s.object(bytes.NewReader(compress(t, []byte(`{"Records":[{"eventTime":"2022-01-24T00:00:01Z"},{"eventTime":"2022-01-24T00:00:02Z"},`))), objectOf(key))
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
	assert.JSONEq(t, `{"accepted":2,"error":"record 3: corrupt: the array of records is cut short"}`, text)
	assert.Equal(t, 2, sink.LogRecordCount())
}

// What is known to be no log is passed over, and counted.
func TestObjectNoLog(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	s := startReceiver(t, consumertest.NewErr(errors.New("not to be called")), nil, tel, componenttest.NewNopHost())
	for _, key := range []string{
		"AWSLogs/123456789012/ELBAccessLogTestFile",
		"AWSLogs/123456789012/CloudTrail-Digest/us-east-2/2020/08/17/123456789012_CloudTrail-Digest_us-east-2_trail_us-east-2_20200817T150131Z.json.gz",
	} {
		resp, text := s.object(strings.NewReader(`{"logFiles":[]}`), objectOf(key))
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.JSONEq(t, `{"accepted":0}`, text)
	}
	metadatatest.AssertEqualReceiverCloudwatchsubscriptionDocuments(t, tel, []metricdata.DataPoint[int64]{{Value: 2, Attributes: attribute.NewSet(
		attribute.String("receiver", s.id), attribute.String("input", "s3"), attribute.String("outcome", "no_log"),
	)}}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
}

// An object may take longer than requests may, as long as something arrives.
func TestObjectTakesItsTime(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, func(c *Config) {
		c.ServerConfig.ReadTimeout, c.ServerConfig.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	}, nil, componenttest.NewNopHost())
	slow, w := io.Pipe()
	go func() {
		ticks := time.NewTicker(50 * time.Millisecond)
		defer ticks.Stop()
		for range 12 {
			<-ticks.C
			_, _ = w.Write([]byte("line\n"))
		}
		w.Close()
	}()
	resp, text := s.object(slow, testObject)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.JSONEq(t, `{"accepted":12}`, text)

	stuck, w := io.Pipe()
	defer w.Close()
	resp, text = s.object(stuck, testObject)
	assert.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
	assert.JSONEq(t, `{"accepted":0,"error":"the body did not arrive in whole, or not in time"}`, text)
}
