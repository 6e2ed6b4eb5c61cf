// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/stack"
)

const subscriptionPath = "/cloudwatch/v1/subscription"

type response struct {
	status int
	header http.Header
	body   string
}

// send sends a request to the collector as it is.
func (p *pipeline) send(method, path string, body []byte, header map[string]string) response {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), method, p.collector.URL()+path, bytes.NewReader(body))
	require.NoError(p, err)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(p, err)
	return response{resp.StatusCode, resp.Header, string(text)}
}

func (p *pipeline) post(body []byte, header map[string]string) response {
	p.Helper()
	return p.send(http.MethodPost, subscriptionPath, body, header)
}

// Bad input: the answer of the design, and nothing handed on, neither to the pipeline nor to Loki.
func TestBadInput(t *testing.T) {
	overlay := writeFile(t, "receivers: {cloudwatchsubscription: {max_decoded_bytes: 100000, max_request_body_size: 200000}}")
	p := startPipeline(t, shippedConfig, stack.CollectorOptions{Args: []string{"--config", overlay}})
	good := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 10})
	large := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 400})
	huge := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 1000})
	for name, tt := range map[string]struct {
		method, path string
		body         []byte
		status       int
		message      string
	}{
		"empty body":             {"", "", nil, 400, "no document"},
		"not gzip and not JSON":  {"", "", []byte("\x1f\x8c nonsense"), 400, "document 1: offset 0: expected an object"},
		"gzip cut short":         {"", "", good.Gzip()[:200], 400, "unexpected EOF"},
		"JSON cut short":         {"", "", good.JSON()[:200], 400, "document 1: logEvents: event 1: offset 200: cut short"},
		"not JSON":               {"", "", []byte("messageType=DATA_MESSAGE"), 400, "document 1: offset 0: expected an object"},
		"JSON of another shape":  {"", "", []byte(`{"Records":[{"eventSource":"aws:s3"}]}`), 400, "document 1: messageType is missing"},
		"second document is bad": {"", "", append(good.JSON(), "{}"...), 400, "document 2: messageType is missing"},
		"decodes to too much":    {"", "", large.Gzip(), 413, "input too large: it decodes to more than 100000 bytes"},
		"body too large":         {"", "", huge.JSON(), 413, "the body has more than 200000 bytes"},
		"wrong path":             {"", "/loki/api/v1/pull", good.Gzip(), 404, "no such path"},
		"wrong method":           {http.MethodPut, "", good.Gzip(), 405, "method not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			method, path := tt.method, tt.path
			if method == "" {
				method = http.MethodPost
			}
			if path == "" {
				path = subscriptionPath
			}
			got := p.send(method, path, tt.body, nil)
			assert.Equal(t, tt.status, got.status)
			assert.Contains(t, got.body, tt.message)
			assert.Contains(t, got.body, `"accepted":0`)
		})
	}
	metrics, err := p.collector.Metrics(t.Context())
	require.NoError(t, err)
	assert.Zero(t, metrics.Sum("otelcol_receiver_accepted_log_records"))

	// The good part of all that, sent by itself, is all that there is in Loki then.
	require.Equal(t, 200, p.post(good.Gzip(), nil).status)
	assert.Len(t, p.await(`{service_name=~".+"}`, len(good.LogEvents)), len(good.LogEvents))
	log, err := p.collector.Log()
	require.NoError(t, err)
	assert.NotContains(t, log, strings.TrimSpace(good.LogEvents[0].Message), "the collector's own log holds no lines")
}

// Records that Loki would refuse a whole request for reach it, and so do their neighbours.
func TestRecordsThatLokiDislikes(t *testing.T) {
	overlay := writeFile(t, "processors: {restamp: {timestamps: never}}")
	p := startPipeline(t, shippedConfig, stack.CollectorOptions{Args: []string{"--config", overlay}})
	resource := func(service, record string) string {
		return `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"` + service + `"}}]},"scopeLogs":[{"logRecords":[` + record + `]}]}`
	}
	now := strconv.FormatInt(time.Now().UnixNano(), 10)
	logs := `{"resourceLogs":[` + strings.Join([]string{
		resource("good", `{"timeUnixNano":"`+now+`","body":{"stringValue":"good"}}`),
		resource("label \ufffd", `{"timeUnixNano":"`+now+`","body":{"stringValue":"label"}}`),
		resource("good", `{"timeUnixNano":"11651379494838206464","body":{"stringValue":"time"}}`),
		resource("good", `{"timeUnixNano":"`+now+`","body":{"stringValue":"names"},"attributes":[`+
			`{"key":"_","value":{"stringValue":"a"}},{"key":"","value":{"stringValue":"b"}},{"key":"日本","value":{"stringValue":"c"}},`+
			`{"key":"__error__","value":{"stringValue":"d"}}]}`),
	}, ",") + `]}`
	resp, err := http.Post(p.collector.OTLPHTTP()+"/v1/logs", "application/json", strings.NewReader(logs))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var found []string
	for _, line := range p.await(`{service_name=~".+"}`, 4) {
		found = append(found, line.Line)
	}
	assert.ElementsMatch(t, []string{"good", "label", "time", "names"}, found)
	metrics, err := p.collector.Metrics(t.Context())
	require.NoError(t, err)
	assert.InDelta(t, 4, metrics.Sum("otelcol_exporter_loki_delivered_lines"), 0)
	assert.Zero(t, metrics.Sum("otelcol_exporter_loki_refused_lines"))
}

// What Loki refuses is counted.
func TestRefusedByLoki(t *testing.T) {
	p := startPipeline(t, "../examples/in-memory.yaml", stack.CollectorOptions{})
	old := cloudwatch.Generate(cloudwatch.Source{LogStream: "old", Start: p.started.AddDate(0, 0, -30), Events: 3})
	require.Equal(t, 200, p.post(old.Gzip(), nil).status)
	require.NoError(t, stack.Eventually(t.Context(), settled, func(ctx context.Context) error {
		metrics, err := p.collector.Metrics(ctx)
		if err == nil && metrics.Sum("otelcol_exporter_loki_refused_lines", "reason", "greater_than_max_sample_age", "exporter", "loki") != 3 {
			err = errors.New("not counted")
		}
		return err
	}))
	log, err := p.collector.Log()
	require.NoError(t, err)
	assert.Contains(t, log, "has timestamp too old")
}

func TestCredentials(t *testing.T) {
	p := startPipeline(t, "../examples/basic-auth.yaml", stack.CollectorOptions{})
	m := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 10})
	f := func(authorization string, status int) {
		t.Helper()
		header := map[string]string{}
		if authorization != "" {
			header["Authorization"] = authorization
		}
		assert.Equal(t, status, p.post(m.Gzip(), header).status)
	}
	f("", 401)
	f("Basic d3Jvbmc6d3Jvbmc=", 401)
	f("Bearer token", 401)
	assert.Equal(t, 200, p.send(http.MethodGet, "/ready", nil, nil).status)

	// The forwarder of this pipeline has no credentials: the event fails, so that Lambda keeps it.
	result, err := p.function.Invoke(t.Context(), m.LambdaEvent(), functionTimeout)
	require.NoError(t, err)
	require.NotNil(t, result.FunctionError)
	assert.Contains(t, result.FunctionError.Message, "401")

	lines, err := p.loki.Count(t.Context(), `{service_name=~".+"}`, p.started.Add(-time.Hour), time.Now())
	require.NoError(t, err)
	assert.Zero(t, lines)
	f("Basic Zm9yd2FyZGVyOmNoYW5nZS1tZQ==", 200) // forwarder:change-me
	assert.Len(t, p.await(`{service_name=~".+"}`, 10), 10)
}
