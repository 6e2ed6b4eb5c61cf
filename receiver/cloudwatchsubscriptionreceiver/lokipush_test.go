// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
)

func pushBody(t *testing.T, streams ...push.Stream) []byte {
	t.Helper()
	data, err := (&push.PushRequest{Streams: streams}).Marshal()
	require.NoError(t, err)
	return snappy.Encode(nil, data)
}

func stream(labels string, lines ...string) push.Stream {
	s := push.Stream{Labels: labels}
	for _, line := range lines {
		s.Entries = append(s.Entries, push.Entry{Line: line})
	}
	return s
}

func (s *started) push(body []byte, header ...string) (*http.Response, string) {
	s.t.Helper()
	return s.do(http.MethodPost, defaultLokiPushPath, bytes.NewReader(body), append([]string{"Content-Type", "application/x-protobuf"}, header...)...)
}

func TestLokiPush(t *testing.T) {
	const lambdaPromtail = `{__aws_log_type="cloudwatch", __aws_cloudwatch_log_group="/aws/lambda/f", __aws_cloudwatch_owner="123456789012", __tenant_id__="t"}`
	two := pushBody(t, stream(lambdaPromtail, "[ERROR] a\n", "b"), stream(`{job="x"}`), stream(`{job="y"}`, "c"))
	text := []byte(`{"streams":[{"stream":{"job":"x"},"values":[["1725544035523000000","a",{"trace":"1"}],["1725544035523000000","b"]]},{"stream":{"job":"y"},"values":[["1","c"]]}]}`)
	for name, tt := range map[string]struct {
		body    []byte
		header  []string
		records int
	}{
		"protobuf":          {two, nil, 3},
		"says snappy":       {two, []string{"Content-Encoding", "snappy"}, 3},
		"gzip around it":    {compress(t, two), []string{"Content-Encoding", "gzip"}, 3},
		"JSON":              {text, []string{"Content-Type", "application/json; charset=utf-8"}, 3},
		"JSON, gzip":        {compress(t, text), []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, 3},
		"no streams":        {pushBody(t), nil, 0},
		"stream of nothing": {pushBody(t, stream(`{job="x"}`)), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			sink := new(consumertest.LogsSink)
			s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
			// The same once more is no repeat: nothing in it is AWS's.
			for i := range 2 {
				resp, body := s.push(tt.body, tt.header...)
				require.Equal(t, http.StatusNoContent, resp.StatusCode, body)
				assert.Empty(t, body)
				assert.Equal(t, (i+1)*tt.records, sink.LogRecordCount())
			}
		})
	}

	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	s.push(two, regionHeader, "eu-central-1")
	attrs := sink.AllLogs()[0].ResourceLogs().At(0).Resource().Attributes().AsRaw()
	assert.Equal(t, map[string]any{
		"cloud.provider": "aws", "cloud.account.id": "123456789012", "cloud.region": "eu-central-1", "aws.log.type": "cloudwatch",
		"aws.log.group.names": []any{"/aws/lambda/f"}, "service.name": "f",
	}, attrs)
	record := sink.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	assert.Equal(t, "[ERROR] a", record.Body().Str())
	assert.Equal(t, plog.SeverityNumberError, record.SeverityNumber())
}

// Answers are those of Promtail, but none is 204 unless all of it is kept.
func TestLokiPushAnswers(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, func(c *Config) { c.MaxDecodedBytes = 10_000 }, nil, componenttest.NewNopHost())
	good := pushBody(t, stream(`{job="x"}`, "a"))
	f := func(body []byte, status int, message string, header ...string) {
		t.Helper()
		resp, text := s.push(body, header...)
		assert.Equal(t, status, resp.StatusCode)
		assert.Contains(t, text, message)
		assert.NotContains(t, text, "secret")
		assert.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
	}
	f([]byte("secret"), 400, "snappy: corrupt input")
	f(good, 400, "mime: no media type", "Content-Type", "")
	f(good, 400, "not supported", "Content-Encoding", "zstd")
	f(pushBody(t, stream(`{job="x"}`, "secret"), stream(`{secret}`, "secret"), stream(`{job="y"}`, "secret")), 400, "labels")
	f(pushBody(t, stream(`{job="x"}`, strings.Repeat("x", 10_000))), 413, "input too large")
	f([]byte(`{"streams":[{"stream":{},"values":[["1","secret"]`), 400, "cut short", "Content-Type", "application/json")
	assert.Empty(t, sink.AllLogs())
	resp, text := s.do(http.MethodGet, defaultLokiPushPath, nil)
	assert.Equal(t, 405, resp.StatusCode)
	assert.Equal(t, "method not allowed", text)

	for err, status := range map[error]int{errors.New("full of secret"): 503, consumererror.NewPermanent(errors.New("bad secret")): 422} {
		s := startReceiver(t, consumertest.NewErr(err), nil, nil, componenttest.NewNopHost())
		resp, text := s.push(good)
		assert.Equal(t, status, resp.StatusCode)
		assert.NotContains(t, text, "secret")
		assert.Equal(t, status == 503, resp.Header.Get("Retry-After") == "1")
	}
}

// The tenant that a sender names is where the exporter looks for it, along with what the server keeps of headers anyway.
func TestTenant(t *testing.T) {
	var got []client.Metadata
	next, err := consumer.NewLogs(func(ctx context.Context, _ plog.Logs) error {
		got = append(got, client.FromContext(ctx).Metadata)
		return nil
	})
	require.NoError(t, err)
	body := pushBody(t, stream(`{job="x"}`, "a"))
	s := startReceiver(t, next, nil, nil, componenttest.NewNopHost())
	s.push(body, "X-Scope-OrgID", "team-a", "X-Other", "o")
	s.push(body, "X-Other", "o")
	s.post(document("a"), "X-Scope-OrgID", "team-b")
	s = startReceiver(t, next, func(c *Config) { c.ServerConfig.IncludeMetadata = true }, nil, componenttest.NewNopHost())
	s.push(body, "X-Scope-OrgID", "team-c", "X-Other", "o")
	require.Len(t, got, 4)
	assert.Equal(t, []string{"team-a"}, got[0].Get("x-scope-orgid"))
	assert.Empty(t, got[0].Get("X-Other"))
	assert.Empty(t, got[1].Get("X-Scope-OrgID"))
	assert.Equal(t, []string{"team-b"}, got[2].Get("X-Scope-OrgID"))
	assert.Equal(t, []string{"team-c"}, got[3].Get("X-Scope-OrgID"))
	assert.Equal(t, []string{"o"}, got[3].Get("X-Other"))
}
