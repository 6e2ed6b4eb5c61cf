// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
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
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/metadata"
	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/metadatatest"
)

// host is a Collector with one extension.
type host struct {
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

// started is a receiver that listens on a port of its own.
type started struct {
	t        *testing.T
	base     string
	receiver component.Component
	id       string
}

func startReceiver(t *testing.T, next consumer.Logs, change func(*Config), tel *componenttest.Telemetry, h component.Host) *started {
	t.Helper()
	config := createDefaultConfig().(*Config)
	config.ServerConfig.NetAddr.Endpoint = freeAddress(t)
	if change != nil {
		change(config)
	}
	set := receivertest.NewNopSettings(metadata.Type)
	if tel != nil {
		set.TelemetrySettings = tel.NewTelemetrySettings()
	}
	r, err := NewFactory().CreateLogs(t.Context(), set, config, next)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), h))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	return &started{t, "http://" + config.ServerConfig.NetAddr.Endpoint, r, set.ID.String()}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

func (s *started) do(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, body)
	require.NoError(s.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp, strings.TrimSpace(string(text))
}

func (s *started) post(body []byte, header ...string) (*http.Response, string) {
	s.t.Helper()
	return s.do(http.MethodPost, defaultSubscriptionPath, bytes.NewReader(body), header...)
}

func document(messages ...string) []byte {
	var events []string
	for i, message := range messages {
		encoded, _ := json.Marshal(message)
		events = append(events, fmt.Sprintf(`{"id":"%d","timestamp":1725544035523,"message":%s}`, i, encoded))
	}
	return []byte(`{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/f","logStream":"s","logEvents":[` +
		strings.Join(events, ",") + `]}`)
}

func compress(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, err := zw.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, zw.Close())
	return b.Bytes()
}

func TestAccepted(t *testing.T) {
	control, err := os.ReadFile("../../testdata/subscription/control-message.json")
	require.NoError(t, err)
	two := document("a", "b")
	for name, tt := range map[string]struct {
		body     []byte
		header   []string
		accepted int
	}{
		"plain":                      {two, nil, 2},
		"gzip":                       {compress(t, two), nil, 2},
		"gzip, and the header says":  {compress(t, two), []string{"Content-Encoding", "gzip"}, 2},
		"plain, but the header lies": {two, []string{"Content-Encoding", "gzip"}, 2},
		"gzip by another name":       {compress(t, two), []string{"Content-Encoding", "X-GZip"}, 2},
		"no encoding, and says so":   {two, []string{"Content-Encoding", "identity"}, 2},
		"gzip within gzip":           {compress(t, compress(t, two)), []string{"Content-Encoding", "gzip"}, 2},
		"many members":               {append(compress(t, two), compress(t, document("c"))...), nil, 3},
		"control message":            {compress(t, control), nil, 0},
		"empty batch":                {document(), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			sink := new(consumertest.LogsSink)
			s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
			resp, text := s.post(tt.body, tt.header...)
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			assert.Equal(t, "application/json", resp.Header.Get("Content-Type"))
			assert.JSONEq(t, fmt.Sprintf(`{"accepted":%d}`, tt.accepted), text)
			assert.Equal(t, tt.accepted, sink.LogRecordCount())
			assert.Len(t, sink.AllLogs(), min(tt.accepted, 1), "what is empty is not handed on")
		})
	}
}

func TestHeaders(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	before := time.Now()
	resp, _ := s.post(document("a"), regionHeader, "eu-central-1", forwarderLogGroupHeader, "/aws/lambda/forwarder")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, 1, sink.LogRecordCount())
	rl := sink.AllLogs()[0].ResourceLogs().At(0)
	region, _ := rl.Resource().Attributes().Get("cloud.region")
	assert.Equal(t, "eu-central-1", region.Str())
	assert.WithinRange(t, rl.ScopeLogs().At(0).LogRecords().At(0).ObservedTimestamp().AsTime(), before, time.Now())

	resp, text := s.post(document("own"), forwarderLogGroupHeader, "/aws/lambda/f")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.JSONEq(t, `{"accepted":0}`, text)
	assert.Equal(t, 1, sink.LogRecordCount())
}

// Whatever is wrong with a request: the answer says so, nothing of the payload, and nothing is handed on.
func TestRefused(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, func(c *Config) {
		c.MaxDecodedBytes = 10_000
		c.ServerConfig.MaxRequestBodySize = 20_000
	}, nil, componenttest.NewNopHost())
	good := document("secret line")
	f := func(body []byte, status int, message string) {
		t.Helper()
		resp, text := s.post(body)
		assert.Equal(t, status, resp.StatusCode)
		assert.Equal(t, "application/json", resp.Header.Get("Content-Type"))
		encoded, _ := json.Marshal(message)
		assert.JSONEq(t, fmt.Sprintf(`{"accepted":0,"error":%s}`, encoded), text)
		assert.NotContains(t, text, "secret")
	}
	f(nil, 400, "no document")
	f([]byte("secret"), 400, "document 1: offset 0: expected an object")
	f(compress(t, []byte("secret")), 400, "document 1: offset 0: expected an object")
	f(compress(t, good)[:50], 400, "gzip, after 0 decoded bytes: unexpected EOF")
	f(good[:len(good)-1], 400, "document 1: offset 170: cut short, expected a comma or '}'")
	f([]byte(`{"Records":[{"body":"secret"}]}`), 400, "document 1: messageType is missing")
	f([]byte(`[]`), 400, "document 1: offset 0: expected an object")
	f(append(good, "secret"...), 400, "document 2: offset 171: expected an object")
	f(document(strings.Repeat("x", 10_000)), 413, "input too large: it decodes to more than 10000 bytes")
	f(compress(t, document(strings.Repeat("x", 1_000_000))), 413, "input too large: it decodes to more than 10000 bytes")
	f(document(strings.Repeat("x", 20_000)), 413, "the body has more than 20000 bytes")

	for _, encoding := range []string{"br", "zstd", "snappy", "deflate", "secret"} {
		for _, path := range []string{defaultSubscriptionPath, defaultS3Path + testObject} {
			resp, text := s.do(http.MethodPost, path, bytes.NewReader(good), "Content-Encoding", encoding)
			assert.Equal(t, 400, resp.StatusCode)
			assert.JSONEq(t, `{"accepted":0,"error":"Content-Encoding is not gzip"}`, text)
		}
	}
	resp, text := s.do(http.MethodGet, defaultSubscriptionPath, nil)
	assert.Equal(t, 405, resp.StatusCode)
	assert.Equal(t, "POST", resp.Header.Get("Allow"))
	assert.JSONEq(t, `{"accepted":0,"error":"method not allowed"}`, text)
	resp, text = s.do(http.MethodPost, "/elsewhere", bytes.NewReader(good))
	assert.Equal(t, 404, resp.StatusCode)
	assert.JSONEq(t, `{"accepted":0,"error":"no such path"}`, text)

	assert.Empty(t, sink.AllLogs())
}

// What the pipeline says stays here: it may quote a line.
func TestPipelineErrors(t *testing.T) {
	f := func(err error, status int, retryAfter, text string) {
		t.Helper()
		s := startReceiver(t, consumertest.NewErr(err), nil, nil, componenttest.NewNopHost())
		resp, got := s.post(document("a"))
		assert.Equal(t, status, resp.StatusCode)
		assert.Equal(t, retryAfter, resp.Header.Get("Retry-After"))
		assert.JSONEq(t, text, got)
	}
	f(errors.New("cannot parse secret"), 503, "1", `{"accepted":0,"error":"the pipeline cannot take this now"}`)
	f(consumererror.NewPermanent(errors.New("bad secret")), 422, "", `{"accepted":0,"error":"the pipeline will not take this"}`)
}

// A body that does not arrive is nobody's mistake: the sender may try again.
func TestBodyDoesNotArrive(t *testing.T) {
	sink := new(consumertest.LogsSink)
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	s := startReceiver(t, sink, func(c *Config) { c.ServerConfig.ReadTimeout = 50 * time.Millisecond }, tel, componenttest.NewNopHost())
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST "+defaultSubscriptionPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "408 Request Timeout")
	assert.Contains(t, string(answer), `{"accepted":0,"error":"the body did not arrive in whole, or not in time"}`)

	gone, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	require.NoError(t, err)
	_, err = io.WriteString(gone, "POST "+defaultSubscriptionPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	require.Eventually(t, func() bool { return requestsByStatus(t, tel)[408] == 2 }, 10*time.Second, time.Millisecond)
	assert.Empty(t, sink.AllLogs())
}

func requestsByStatus(t *testing.T, tel *componenttest.Telemetry) map[int64]int64 {
	t.Helper()
	requests, err := tel.GetMetric("otelcol_receiver_cloudwatchsubscription_requests")
	require.NoError(t, err)
	byStatus := map[int64]int64{}
	for _, point := range requests.Data.(metricdata.Sum[int64]).DataPoints {
		status, _ := point.Attributes.Value("http.response.status_code")
		byStatus[status.AsInt64()] = point.Value
	}
	return byStatus
}

// The operator hears why a request was refused.
func TestRefusalIsLogged(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	config := createDefaultConfig().(*Config)
	config.ServerConfig.NetAddr.Endpoint = freeAddress(t)
	set := receivertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	r, err := NewFactory().CreateLogs(t.Context(), set, config, consumertest.NewErr(errors.New("full")))
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, r.Shutdown(context.Background())) }()
	s := &started{t, "http://" + config.ServerConfig.NetAddr.Endpoint, r, set.ID.String()}
	s.post([]byte(`{"messageType":"secret"}`), regionHeader, "eu-west-1")
	s.post(document("secret"))
	s.object(strings.NewReader("secret"), "?bucket=logs&key=a%2Fb.parquet")
	s.object(strings.NewReader("secret"), "?bucket=logs&key=a%2Fb.log")
	require.Len(t, logs.All(), 4)
	assert.Equal(t, "Refused a request.", logs.All()[0].Message)
	fields := logs.All()[0].ContextMap()
	assert.Equal(t, "document 1: messageType is neither DATA_MESSAGE nor CONTROL_MESSAGE", fields["error"])
	assert.Equal(t, "eu-west-1", fields["forwarder.region"])
	assert.Equal(t, "The pipeline cannot take a request now.", logs.All()[1].Message)
	for i, key := range []string{"a/b.parquet", "a/b.log"} {
		fields = logs.All()[2+i].ContextMap()
		assert.Equal(t, "logs", fields["aws.s3.bucket"])
		assert.Equal(t, key, fields["aws.s3.key"])
	}
}

func TestReady(t *testing.T) {
	authenticator := component.MustNewID("refuseall")
	s := startReceiver(t, consumertest.NewNop(), func(c *Config) {
		c.ServerConfig.Auth = configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: authenticator}})
	}, nil, host{map[component.ID]component.Component{authenticator: refuseAll{}}})
	resp, text := s.do(http.MethodGet, readyPath, nil)
	assert.Equal(t, http.StatusOK, resp.StatusCode, "a health check has no credentials")
	assert.Equal(t, "ready", text)
	resp, _ = s.do(http.MethodPost, readyPath, nil)
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)

	resp, text = s.post(document("a"))
	assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	assert.JSONEq(t, `{"accepted":0,"error":"unauthorized"}`, text)
	resp, _ = s.do(http.MethodGet, "/elsewhere", nil)
	assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}

// refuseAll is an authenticator that nobody satisfies.
type refuseAll struct {
	component.StartFunc
	component.ShutdownFunc
}

func (refuseAll) Authenticate(context.Context, map[string][]string) (context.Context, error) {
	return nil, errors.New("no credentials")
}

func TestStartFailures(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	f := func(change func(*Config), want string) {
		t.Helper()
		config := createDefaultConfig().(*Config)
		config.ServerConfig.NetAddr.Endpoint = taken.Addr().String()
		change(config)
		r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), config, consumertest.NewNop())
		require.NoError(t, err)
		require.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), want)
		require.NoError(t, r.Shutdown(t.Context()))
	}
	f(func(*Config) {}, "listen on `endpoint` "+taken.Addr().String())
	f(func(c *Config) {
		c.ServerConfig.Auth = configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: component.MustNewID("missing")}})
	}, "make the HTTP server")
}

func TestMetrics(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	s := startReceiver(t, consumertest.NewNop(), nil, tel, componenttest.NewNopHost())
	control, err := os.ReadFile("../../testdata/subscription/control-message.json")
	require.NoError(t, err)
	two, own := document("a", "b"), document("own")
	body := compress(t, bytes.Join([][]byte{two, control}, nil))
	s.post(body)
	s.post(own, forwarderLogGroupHeader, "/aws/lambda/f")
	s.post([]byte("nonsense"))
	s.post(two)

	points := func(values map[string]int64) (points []metricdata.DataPoint[int64]) {
		for outcome, value := range values {
			set := []attribute.KeyValue{attribute.String("receiver", s.id), attribute.String("input", "subscription")}
			if outcome != "" {
				set = append(set, attribute.String("outcome", outcome))
			}
			points = append(points, metricdata.DataPoint[int64]{Value: value, Attributes: attribute.NewSet(set...)})
		}
		return points
	}
	ignore := []metricdatatest.Option{metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars()}
	metadatatest.AssertEqualReceiverCloudwatchsubscriptionDocuments(t, tel, points(map[string]int64{"accepted": 1, "repeated": 1}), ignore...)
	metadatatest.AssertEqualReceiverCloudwatchsubscriptionRecords(t, tel, points(map[string]int64{"accepted": 2, "repeated": 2, "excluded": 1}), ignore...)
	metadatatest.AssertEqualReceiverCloudwatchsubscriptionControlMessages(t, tel, points(map[string]int64{"": 1}), ignore...)
	metadatatest.AssertEqualReceiverCloudwatchsubscriptionRequestBytes(t, tel,
		points(map[string]int64{"": int64(len(body) + len(own) + len("nonsense") + len(two))}), ignore...)
	metadatatest.AssertEqualReceiverCloudwatchsubscriptionDecodedBytes(t, tel,
		points(map[string]int64{"accepted": int64(len(two) + len(control) + len(own)), "repeated": int64(len(two))}), ignore...)
	metadatatest.AssertEqualReceiverCloudwatchsubscriptionDecodeFailures(t, tel, []metricdata.DataPoint[int64]{{Value: 1, Attributes: attribute.NewSet(
		attribute.String("receiver", s.id), attribute.String("input", "subscription"), attribute.String("reason", "malformed"))}}, ignore...)
	assert.Equal(t, map[int64]int64{200: 3, 400: 1}, requestsByStatus(t, tel))
}

// Shutdown waits for the answers to the requests that are there.
func TestShutdownWaits(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	next, err := consumer.NewLogs(func(context.Context, plog.Logs) error {
		close(entered)
		<-leave
		return nil
	})
	require.NoError(t, err)
	s := startReceiver(t, next, nil, nil, componenttest.NewNopHost())
	var wg sync.WaitGroup
	wg.Go(func() {
		resp, _ := s.post(document("a"))
		assert.Equal(t, http.StatusOK, resp.StatusCode)
	})
	<-entered
	down := make(chan error)
	go func() { down <- s.receiver.Shutdown(context.Background()) }()
	// New connections are refused from the moment that the shutdown has begun.
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, 10*time.Second, time.Millisecond)
	select {
	case <-down:
		t.Fatal("down before the request was answered")
	default:
	}
	close(leave)
	require.NoError(t, <-down)
	wg.Wait()
}

// A sender that takes its time keeps the Collector from stopping no longer than it has time to stop.
func TestShutdownCutsConnections(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	body := document("late")
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", defaultSubscriptionPath, len(body))
	require.NoError(t, err)
	// The answer to Expect shows that the handler reads.
	_, err = io.ReadFull(conn, make([]byte, len("HTTP/1.1 100 Continue")))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.receiver.Shutdown(ctx), context.DeadlineExceeded)
	_, _ = conn.Write(body)
	assert.Empty(t, sink.AllLogs())
}
