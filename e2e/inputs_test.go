// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/firehose"
	"github.com/awsloki/awsloki/e2e/lambdapromtail"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// The other paths of the receiver.
const (
	firehosePath = "/firehose/v1"
	lokiPushPath = "/loki/api/v1/push"
)

const (
	// soon makes the exporter try again soon, and send what there is after a moment.
	soon = "exporters: {loki: {retry_on_failure: {initial_interval: 10ms, max_interval: 200ms}, sending_queue: {batch: {flush_timeout: 100ms}}}}"
	// doublesShow gives every delivery of a line a time of its own, so that Loki does not recognise a second one itself.
	doublesShow = "processors: {restamp: {timestamps: always}}"
	// fast makes Loki take what comes as fast as it can.
	fast = "limits_config: {ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB}"
)

// startReceiver starts a collector with the shipped configuration and configs laid over it one after another, before a
// Loki of its own. Nothing is between the test and the collector. Other than with the shipped configuration, lines have their
// times of arrival: doubles show.
func startReceiver(t *testing.T, lokiConfig string, configs ...string) *pipeline {
	t.Helper()
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: lokiConfig})
	return startReceiverBefore(t, loki, nil, configs...)
}

func startReceiverBefore(t *testing.T, loki *stack.Loki, env map[string]string, configs ...string) *pipeline {
	t.Helper()
	var args []string
	for _, config := range append([]string{soon, doublesShow}, configs...) {
		args = append(args, "--config", "yaml:"+config)
	}
	all := map[string]string{"LOKI_URL": loki.PushURL()}
	maps.Copy(all, env)
	p := &pipeline{T: t, loki: loki, started: time.Now()}
	p.collector = stacktest.StartCollector(t, shippedConfig, all, stack.CollectorOptions{Args: args})
	return p
}

const receiverMetrics = "otelcol_receiver_cloudwatchsubscription_"

// received is one of the receiver's own metrics.
func (p *pipeline) received(name string, labels ...string) int {
	p.Helper()
	metrics, err := p.collector.Metrics(p.Context())
	require.NoError(p, err)
	return int(metrics.Sum(receiverMetrics+name, labels...))
}

// untilSent waits until the exporter has nothing left to send: what came in before is in Loki.
func (p *pipeline) untilSent() {
	p.Helper()
	require.NoError(p, stack.Eventually(p.Context(), settled, func(ctx context.Context) error {
		metrics, err := p.collector.Metrics(ctx)
		if err != nil {
			return err
		}
		if queued := (counters{metrics}).queued(); queued > 0 {
			return fmt.Errorf("%d bytes are queued", queued)
		}
		return nil
	}))
}

// count is how many lines a tenant of Loki has; a metric query counts what is stored twice twice.
func (p *pipeline) count(loki *stack.LokiClient, query string) int {
	p.Helper()
	n, err := loki.Count(p.Context(), query, p.started.Add(-time.Hour), time.Now().Add(time.Minute))
	require.NoError(p, err)
	return n
}

// everything selects every line.
const everything = `{service_name=~".+"}`

func compress(data []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	// Writing to a buffer does not fail.
	_, _ = w.Write(data)
	_ = w.Close()
	return buf.Bytes()
}

// postFirehose sends a request as Firehose does, and checks what Firehose checks of an answer.
func (p *pipeline) postFirehose(r firehose.Request, inGzip bool, more map[string]string) response {
	p.Helper()
	body, header := r.Body(), r.Header()
	maps.Copy(header, more)
	if inGzip {
		body = compress(body)
		header["Content-Encoding"] = "gzip"
	}
	got := p.send(http.MethodPost, firehosePath, body, header)
	requireFirehoseAnswer(p.T, r, got)
	return got
}

func requireFirehoseAnswer(t *testing.T, r firehose.Request, got response) {
	t.Helper()
	assert.Equal(t, "application/json", got.header.Get("Content-Type"))
	assert.Equal(t, strconv.Itoa(len(got.body)), got.header.Get("Content-Length"))
	answer, err := firehose.ParseAnswer([]byte(got.body))
	require.NoError(t, err)
	assert.Equal(t, r.ID, answer.RequestID)
	assert.WithinDuration(t, time.Now(), time.UnixMilli(*answer.Timestamp), time.Minute)
	assert.Equal(t, got.status != http.StatusOK, answer.ErrorMessage != "")
}

// postPush sends streams as lambda-promtail does.
func (p *pipeline) postPush(more map[string]string, streams ...push.Stream) response {
	p.Helper()
	body, err := lambdapromtail.Encode(streams...)
	require.NoError(p, err)
	header := map[string]string{"Content-Type": lambdapromtail.ContentType, "User-Agent": "lambda-promtail"}
	maps.Copy(header, more)
	return p.send(http.MethodPost, lokiPushPath, body, header)
}

// variedMessages returns 10,000 events of five streams of four log groups, with what could be spoilt on the way.
func variedMessages(start time.Time) []cloudwatch.Message {
	odd := []string{
		"ünï→cödé 日本 \U0001f600 \u2028 \ufffd\n",
		`"quoted" 'so' \and\ {"so":"\"on\""}` + "\n",
		"\ttabs\tand \x01 controls\r\n",
		"<html> & no newline",
		"several\nlines\n\n",
		" ",
	}
	var messages []cloudwatch.Message
	for i, group := range []string{"/aws/lambda/orders", "/aws/eks/prod/cluster", "plain", `odd "group" \with\ ünï→cödé 日本 'and' {braces="x"}`} {
		for j := range 5 {
			m := cloudwatch.Generate(cloudwatch.Source{
				LogGroup: group, LogStream: fmt.Sprintf("stream-%d-[$LATEST] \"é\"", j), Start: start, Step: 3 * time.Millisecond, Events: 500, Seed: uint64(5*i + j),
			})
			for n := range m.LogEvents {
				event := &m.LogEvents[n]
				switch n % 10 {
				case 3:
					event.Message = odd[n/10%len(odd)]
				case 7: // the same line in the same millisecond
					event.Message, event.Timestamp = m.LogEvents[n-1].Message, m.LogEvents[n-1].Timestamp
				}
			}
			messages = append(messages, m)
		}
	}
	return messages
}

// The same events, by three inputs and for a tenant each, are the same lines in the same streams in the same order, with
// the same structured metadata, as far as the input carries them.
func TestInputsAgree(t *testing.T) {
	p := startReceiver(t, "auth_enabled: true\n"+fast, exporter("tenant: {metadata_key: X-Scope-OrgID}"))
	messages := variedMessages(p.started)
	events := 0
	for _, m := range messages {
		events += len(m.LogEvents)
	}
	require.Equal(t, 10_000, events)
	as := func(tenant string) map[string]string { return map[string]string{"X-Scope-OrgID": tenant} }

	for _, m := range messages {
		header := as("subscription")
		header["X-Awsloki-Region"] = "us-east-1"
		got := p.post(m.Gzip(), header)
		require.Equal(t, 200, got.status)
		require.JSONEq(t, fmt.Sprintf(`{"accepted": %d}`, len(m.LogEvents)), got.body)
	}
	// Before its first message, CloudWatch Logs sends one that only tries whether it arrives.
	control := cloudwatch.Message{MessageType: cloudwatch.ControlMessage, Owner: "CloudwatchLogs", LogEvents: []cloudwatch.Event{
		{Message: "CWL CONTROL MESSAGE: Checking health of destination Firehose."},
	}}
	records := [][]byte{control.Gzip()}
	for i, m := range messages {
		records = append(records, m.Gzip())
		if i%4 == 3 {
			request := firehose.Request{ID: fmt.Sprintf("ed4acda5-034f-9f42-bba1-%012d", i), Time: time.Now(), Records: records}
			require.Equal(t, 200, p.postFirehose(request, i%8 == 3, as("firehose")).status)
			records = nil
		}
	}
	for i := range messages {
		if i%4 == 3 {
			var streams []push.Stream
			for _, m := range messages[i-3 : i+1] {
				streams = append(streams, lambdapromtail.Stream(m))
			}
			got := p.postPush(as("push"), streams...)
			require.Equal(t, 204, got.status)
			require.Empty(t, got.body)
		}
	}
	p.untilSent()

	want := map[string][]stack.Line{}
	for _, m := range messages {
		for _, event := range m.LogEvents {
			want[m.LogGroup] = append(want[m.LogGroup], stack.Line{Line: strings.TrimSuffix(event.Message, "\n"), StructuredMetadata: map[string]string{
				"aws_log_stream_names":              m.LogStream,
				"aws_log_subscription_filter_names": "awsloki",
				"cloud_provider":                    "aws",
				"log_record_uid":                    event.ID,
				"log_record_original_timestamp":     event.Time().Format(time.RFC3339Nano),
			}})
		}
	}
	subscription := p.streams("subscription", events)
	viaFirehose := p.streams("firehose", events)
	pushed := p.streams("push", events)
	require.Len(t, subscription, len(want))
	require.Len(t, viaFirehose, len(want))
	require.Len(t, pushed, len(want))
	for group, lines := range want {
		for n, line := range lines {
			one := subscription[group][n]
			line.StructuredMetadata["detected_level"] = one.StructuredMetadata["detected_level"] // what it is, other tests show
			require.Equal(t, line.Line, one.Line)
			require.Equal(t, line.StructuredMetadata, one.StructuredMetadata)
			require.Equal(t, one, viaFirehose[group][n])

			// What lambda-promtail does not pass on.
			for _, name := range []string{"log_record_uid", "aws_log_subscription_filter_names"} {
				require.NotEmpty(t, one.StructuredMetadata[name])
				delete(one.StructuredMetadata, name)
			}
			require.Equal(t, "us-east-1", one.Labels["cloud_region"])
			one.Labels = maps.Clone(one.Labels)
			delete(one.Labels, "cloud_region")
			require.Equal(t, one, pushed[group][n])
		}
	}
	assert.Equal(t, 1, p.received("control_messages", "input", "firehose"))
	for _, input := range []string{"subscription", "firehose", "loki_push"} {
		assert.Equal(t, len(messages), p.received("documents", "input", input, "outcome", "accepted"), input)
		assert.Equal(t, events, p.received("records", "input", input, "outcome", "accepted"), input)
		assert.Zero(t, p.received("documents", "input", input, "outcome", "repeated"), "what another tenant has is no repeat")
	}
}

// streams returns all lines of a tenant by their log groups, in their order, without timestamps, which are those of arrival.
func (p *pipeline) streams(tenant string, n int) map[string][]stack.Line {
	p.Helper()
	loki := p.loki.ForTenant(tenant)
	require.Equal(p, n, p.count(loki, everything))
	streams := map[string][]stack.Line{}
	labels := map[string]map[string]string{}
	for _, line := range stored(p.T, loki) {
		group := line.Labels["log_group"]
		if labels[group] == nil {
			labels[group] = line.Labels
		}
		require.Equal(p, labels[group], line.Labels, "a stream for each log group")
		line.Timestamp = time.Time{}
		streams[group] = append(streams[group], line)
	}
	return streams
}
