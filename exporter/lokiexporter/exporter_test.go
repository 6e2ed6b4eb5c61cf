// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/awsloki/awsloki/exporter/lokiexporter/internal/metadata"
	"github.com/awsloki/awsloki/exporter/lokiexporter/internal/metadatatest"
)

// lines are log records with these bodies, of one service.
func lines(bodies ...string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "checkout")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for i, body := range bodies {
		record := records.AppendEmpty()
		record.SetTimestamp(1_000_000_000)
		record.Body().SetStr(body)
		record.Attributes().PutInt("n", int64(i))
	}
	return ld
}

// fakeLoki answers as it is told and notes what came.
type fakeLoki struct {
	*httptest.Server
	status atomic.Int64

	mu       sync.Mutex
	requests []*http.Request
	streams  []push.Stream
}

func newFakeLoki(t *testing.T, status int) *fakeLoki {
	t.Helper()
	l := &fakeLoki{}
	l.status.Store(int64(status))
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		streams, err := readPush(r.Body)
		assert.NoError(t, err)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.requests = append(l.requests, r)
		l.streams = append(l.streams, streams...)
		w.WriteHeader(int(l.status.Load()))
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *fakeLoki) lines() (bodies []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, stream := range l.streams {
		for _, entry := range stream.Entries {
			bodies = append(bodies, entry.Line)
		}
	}
	return bodies
}

func readPush(body io.Reader) ([]push.Stream, error) {
	compressed, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	plain, err := snappy.Decode(nil, compressed)
	if err != nil {
		return nil, err
	}
	var request push.PushRequest
	err = proto.Unmarshal(plain, &request)
	return request.Streams, err
}

func startExporter(t *testing.T, loki *fakeLoki, tel *componenttest.Telemetry, change func(*Config)) exporter.Logs {
	t.Helper()
	config := createDefaultConfig().(*Config)
	config.ClientConfig.Endpoint = loki.URL + "/loki/api/v1/push"
	config.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]()
	config.RetryConfig.Enabled = false
	if change != nil {
		change(config)
	}
	set := exportertest.NewNopSettings(metadata.Type)
	set.ID = component.NewIDWithName(metadata.Type, "test")
	set.BuildInfo = component.BuildInfo{Command: "otelcol-awsloki", Version: "1.2.3"}
	if tel != nil {
		set.TelemetrySettings = tel.NewTelemetrySettings()
	}
	e, err := NewFactory().CreateLogs(t.Context(), set, config)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	return e
}

func TestExport(t *testing.T) {
	loki := newFakeLoki(t, http.StatusNoContent)
	e := startExporter(t, loki, nil, func(c *Config) { c.Tenant.Value = "team-1" })
	require.NoError(t, e.ConsumeLogs(t.Context(), lines("one", "two")))
	require.Len(t, loki.requests, 1)
	header := loki.requests[0].Header
	assert.Equal(t, "team-1", header.Get("X-Scope-OrgID"))
	assert.Regexp(t, `^otelcol-awsloki/1\.2\.3 \(\w+/\w+\)$`, header.Get("User-Agent"))
	require.Len(t, loki.streams, 1)
	assert.Equal(t, `{service_name="checkout"}`, loki.streams[0].Labels)
	assert.Equal(t, []string{"one", "two"}, loki.lines())
	assert.Equal(t, push.LabelsAdapter{{Name: "n", Value: "1"}}, loki.streams[0].Entries[1].StructuredMetadata)
}

// The default labels: every one of them at most once, whatever the resource has.
func TestDefaultLabels(t *testing.T) {
	loki := newFakeLoki(t, http.StatusNoContent)
	e := startExporter(t, loki, nil, nil)
	ld := lines("one")
	attrs := ld.ResourceLogs().At(0).Resource().Attributes()
	attrs.PutStr("cloud.provider", "aws")
	attrs.PutStr("cloud.account.id", "123456789012")
	attrs.PutStr("cloud.region", "us-east-1")
	attrs.PutStr("aws.log.type", "cloudwatch")
	attrs.PutEmptySlice("aws.log.group.names").AppendEmpty().SetStr("/aws/lambda/checkout")
	attrs.PutEmptySlice("aws.log.stream.names").AppendEmpty().SetStr("stream")
	attrs.PutStr("collector.instance.id", "host-1")
	require.NoError(t, e.ConsumeLogs(t.Context(), ld))
	assert.Equal(t, `{aws_log_type="cloudwatch", cloud_account_id="123456789012", cloud_region="us-east-1", `+
		`collector="host-1", log_group="/aws/lambda/checkout", service_name="checkout"}`, loki.streams[0].Labels)
	assert.Equal(t, push.LabelsAdapter{{Name: "cloud_provider", Value: "aws"}, {Name: "aws_log_stream_names", Value: "stream"}, {Name: "n", Value: "0"}},
		loki.streams[0].Entries[0].StructuredMetadata)
}

func TestAnswers(t *testing.T) {
	loki := newFakeLoki(t, 0)
	e := startExporter(t, loki, nil, nil)
	f := func(status int, delivered, permanent bool) {
		t.Helper()
		loki.status.Store(int64(status))
		err := e.ConsumeLogs(t.Context(), lines("one"))
		assert.Equal(t, delivered, err == nil)
		assert.Equal(t, permanent, consumererror.IsPermanent(err))
	}
	f(204, true, false)
	f(260, false, true)
	f(400, false, true)
	f(429, false, false)
	f(500, false, false)
}

func TestNothingToSend(t *testing.T) {
	loki := newFakeLoki(t, http.StatusNoContent)
	e := startExporter(t, loki, nil, nil)
	require.NoError(t, e.ConsumeLogs(t.Context(), plog.NewLogs()))
	require.NoError(t, e.ConsumeLogs(t.Context(), lines()))
	assert.Empty(t, loki.requests)
}

// Small batches become one request, and a large one several.
func TestBatching(t *testing.T) {
	loki := newFakeLoki(t, http.StatusNoContent)
	e := startExporter(t, loki, nil, func(c *Config) {
		queue := exporterhelper.NewDefaultQueueConfig()
		queue.Batch = configoptional.Some(exporterhelper.BatchConfig{
			FlushTimeout: time.Minute, Sizer: exporterhelper.RequestSizerTypeItems, MinSize: 3, MaxSize: 3,
		})
		c.QueueConfig = configoptional.Some(queue)
	})
	require.NoError(t, e.ConsumeLogs(t.Context(), lines("1", "2")))
	require.NoError(t, e.ConsumeLogs(t.Context(), lines("3", "4", "5", "6", "7", "8", "9")))
	require.Eventually(t, func() bool { return len(loki.lines()) == 9 }, 10*time.Second, time.Millisecond)
	loki.mu.Lock()
	defer loki.mu.Unlock()
	assert.Len(t, loki.streams, 3)
	for _, stream := range loki.streams {
		assert.Len(t, stream.Entries, 3)
	}
}

func requestOf(e *lokiExporter, ld plog.Logs) *request {
	return &request{batch: e.encoder.Encode(ld).Parts[0].Batch}
}

// The batcher reports on the lines of a request when the first of the results is done: all of them must be in there, also
// where streams are merged.
func TestMergeSplit(t *testing.T) {
	e, err := newLokiExporter(exportertest.NewNopSettings(metadata.Type), createDefaultConfig().(*Config))
	require.NoError(t, err)
	waiting := lines("a", "b")
	rl := waiting.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "another")
	rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("c")
	current := requestOf(e, waiting)
	large := make([]string, 20)
	for i := range large {
		large[i] = strings.Repeat("x", 400)
	}
	added := requestOf(e, lines(large...))

	results, err := current.MergeSplit(t.Context(), 1000, exporterhelper.RequestSizerTypeBytes, added)
	require.NoError(t, err)
	require.Greater(t, len(results), 5)
	total := 0
	for i, result := range results {
		assert.LessOrEqual(t, result.BytesSize(), 1000)
		total += result.ItemsCount()
		var found []string
		streams, err := readPush(bytes.NewReader(result.(*request).batch.AppendCompressed(nil)))
		require.NoError(t, err)
		for _, stream := range streams {
			for _, entry := range stream.Entries {
				found = append(found, entry.Line)
			}
		}
		if i == 0 {
			assert.Subset(t, found, []string{"a", "b", "c"})
		} else {
			assert.NotContains(t, found, "c")
		}
	}
	assert.Equal(t, 23, total)
}

// A request comes back from disk as it went there.
func TestRequestEncoding(t *testing.T) {
	e, err := newLokiExporter(exportertest.NewNopSettings(metadata.Type), createDefaultConfig().(*Config))
	require.NoError(t, err)
	r := requestOf(e, lines("one", "two"))
	var unreadable []error
	encoding := requestEncoding{nil, true, func(err error) { unreadable = append(unreadable, err) }}
	data, err := encoding.Marshal(t.Context(), r)
	require.NoError(t, err)
	_, back, err := encoding.Unmarshal(bytes.Clone(data))
	require.NoError(t, err)
	assert.Equal(t, r.ItemsCount(), back.ItemsCount())
	assert.Equal(t, r.BytesSize(), back.BytesSize())
	again, err := encoding.Marshal(t.Context(), back)
	require.NoError(t, err)
	assert.Equal(t, data, again)
	_, back, err = encoding.Unmarshal(markUnsure(bytes.Clone(data)))
	require.NoError(t, err)
	assert.True(t, back.(*request).batch.Unsure())
	again, err = encoding.Marshal(t.Context(), back)
	require.NoError(t, err)
	assert.Equal(t, markUnsure(data), again)
	assert.Equal(t, again, markUnsure(again))

	f := func(data []byte, want string) {
		t.Helper()
		_, _, err := encoding.Unmarshal(data)
		require.ErrorContains(t, err, want)
	}
	f(nil, "nothing is stored at this place of the queue")
	f([]byte{diskUnsure}, "read a batch from the queue: it is cut short")
	f([]byte{9}, "read a batch from the queue: its format is 9, which is none of 1 and 2")
	f(data[:len(data)-1], "read a batch from the queue: decompress")
	assert.Len(t, unreadable, 3)
}

func TestMetrics(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	loki := newFakeLoki(t, http.StatusNoContent)
	e := startExporter(t, loki, tel, nil)
	require.NoError(t, e.ConsumeLogs(t.Context(), lines("1", "2")))
	loki.status.Store(http.StatusBadRequest)
	require.Error(t, e.ConsumeLogs(t.Context(), lines("3")))
	loki.status.Store(http.StatusServiceUnavailable)
	require.Error(t, e.ConsumeLogs(t.Context(), lines("4")))
	loki.Close()
	require.Error(t, e.ConsumeLogs(t.Context(), lines("5")))

	id := attribute.NewSet(attribute.String("exporter", "loki/test"))
	metadatatest.AssertEqualExporterLokiDeliveredLines(t, tel, []metricdata.DataPoint[int64]{{Value: 2, Attributes: id}},
		metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	assert.Equal(t, map[string]int64{"bad_request": 1}, by(t, tel, "reason", "otelcol_exporter_loki_refused_lines"))
	assert.Equal(t, map[string]int64{"204": 1, "400": 1, "503": 1, "0": 1}, by(t, tel, "http.response.status_code", "otelcol_exporter_loki_requests"))
	for status, size := range by(t, tel, "http.response.status_code", "otelcol_exporter_loki_request_bytes") {
		assert.Positive(t, size, status)
	}
}

// by returns the values of a counter by one of its attributes.
func by(t *testing.T, tel *componenttest.Telemetry, name attribute.Key, metric string) map[string]int64 {
	t.Helper()
	m, err := tel.GetMetric(metric)
	require.NoError(t, err)
	values := map[string]int64{}
	for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
		value, _ := point.Attributes.Value(name)
		values[value.String()] = point.Value
	}
	return values
}

// The exporter keeps the contract of exporters, against a Loki that answers 400 to what the checker wants refused for
// good and 503 to what it wants refused for the moment.
func TestConsumeContract(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	config := createDefaultConfig().(*Config)
	config.ClientConfig.Endpoint = "http://" + address + "/loki/api/v1/push"
	// The checker's records are told apart by an attribute, and one that is refused must not take another with it.
	config.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]()
	config.RetryConfig = configretry.NewDefaultBackOffConfig()
	config.RetryConfig.InitialInterval = time.Millisecond
	config.RetryConfig.MaxInterval = 10 * time.Millisecond
	exportertest.CheckConsumeContract(exportertest.CheckConsumeContractParams{
		T:                    t,
		NumberOfTestElements: 100,
		Signal:               pipeline.SignalLogs,
		ExporterFactory:      NewFactory(),
		ExporterConfig:       config,
		ReceiverFactory: receiver.NewFactory(component.MustNewType("fakeloki"), func() component.Config { return &struct{}{} },
			receiver.WithLogs(func(_ context.Context, _ receiver.Settings, _ component.Config, next consumer.Logs) (receiver.Logs, error) {
				return &lokiReceiver{address: address, next: next}, nil
			}, component.StabilityLevelAlpha)),
		ReceiverConfig: &struct{}{},
	})
}

// lokiReceiver is a Loki that asks the checker's consumer what to answer.
type lokiReceiver struct {
	address string
	next    consumer.Logs
	server  *http.Server
}

func (r *lokiReceiver) Start(context.Context, component.Host) error {
	listener, err := net.Listen("tcp", r.address)
	if err != nil {
		return err
	}
	r.server = &http.Server{Handler: r}
	go func() { _ = r.server.Serve(listener) }()
	return nil
}

func (r *lokiReceiver) Shutdown(ctx context.Context) error { return r.server.Shutdown(ctx) }

func (r *lokiReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	streams, err := readPush(req.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, stream := range streams {
		for _, entry := range stream.Entries {
			record := records.AppendEmpty()
			for _, pair := range entry.StructuredMetadata {
				record.Attributes().PutStr(pair.Name, pair.Value)
			}
		}
	}
	switch err := r.next.ConsumeLogs(req.Context(), ld); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case consumererror.IsPermanent(err):
		w.WriteHeader(http.StatusBadRequest)
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}
