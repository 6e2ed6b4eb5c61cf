// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/lambdaruntime"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

const (
	shippedConfig = "../config.yaml"
	// functionTimeout is the timeout of the Lambda function.
	functionTimeout = time.Minute
)

// pipeline is everything between a Lambda event and LogQL.
type pipeline struct {
	*testing.T
	loki      *stack.Loki
	collector *stack.Collector
	function  *lambdaruntime.Server
	started   time.Time
}

func startPipeline(t *testing.T, config string, opts stack.CollectorOptions) *pipeline {
	t.Helper()
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	return startBefore(t, loki, config, nil, opts)
}

// startBefore starts collector and forwarder before a Loki. variables are for both of them.
func startBefore(t *testing.T, loki *stack.Loki, config string, variables map[string]string, opts stack.CollectorOptions) *pipeline {
	t.Helper()
	env := map[string]string{"LOKI_URL": loki.PushURL()}
	for name, value := range variables {
		env[name] = value
	}
	p := &pipeline{T: t, loki: loki, started: time.Now()}
	p.collector = stacktest.StartCollector(t, config, env, opts)

	function, err := lambdaruntime.Start()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, function.Close()) })
	p.function = function
	env["WRITE_ADDRESS"] = p.collector.URL()
	stacktest.StartForwarder(t, function.Addr(), env, stack.ForwarderOptions{})
	return p
}

// forward has the Lambda forwarder handle one event with these messages, which must succeed.
func (p *pipeline) forward(messages ...cloudwatch.Message) {
	p.Helper()
	result, err := p.function.Invoke(p.Context(), cloudwatch.LambdaEvent(messages...), functionTimeout)
	require.NoError(p, err)
	require.Nil(p, result.FunctionError)
}

// await waits until a query gives at least n lines and returns all of them.
func (p *pipeline) await(query string, n int) []stack.Line {
	p.Helper()
	lines, err := p.loki.WaitForLines(p.Context(), query, p.started.Add(-time.Hour), n, settled)
	require.NoError(p, err)
	return lines
}

func TestEveryLineOnce(t *testing.T) {
	t.Run("one Lambda event", func(t *testing.T) {
		testEveryLineOnce(t, 1, func(p *pipeline, messages []cloudwatch.Message) { p.forward(messages...) })
	})
	t.Run("an event for each log stream", func(t *testing.T) {
		testEveryLineOnce(t, 6, func(p *pipeline, messages []cloudwatch.Message) {
			for _, m := range messages {
				p.forward(m)
			}
		})
	})
}

// testEveryLineOnce has 1,000 events from each of two streams of three log groups forwarded, in as many requests as stated.
func testEveryLineOnce(t *testing.T, requests float64, forward func(*pipeline, []cloudwatch.Message)) {
	t.Helper()
	p := startPipeline(t, shippedConfig, stack.CollectorOptions{})
	hostname, err := os.Hostname()
	require.NoError(t, err)

	const events = 1000
	groups := []string{"/aws/lambda/orders", "/aws/eks/prod/cluster", `odd "group" \with\ ünï→cödé 日本 'and' {braces="x"}`}
	services := []string{"orders", "prod", groups[2]}
	want := make([]map[string]cloudwatch.Event, len(groups))
	streams := map[string]string{}
	var messages []cloudwatch.Message
	for i, group := range groups {
		want[i] = map[string]cloudwatch.Event{}
		for j := range 2 {
			m := cloudwatch.Generate(cloudwatch.Source{
				LogGroup: group, LogStream: fmt.Sprintf("stream-%d-[$LATEST]", j), Start: p.started, Step: time.Millisecond, Events: events,
			})
			messages = append(messages, m)
			for _, event := range m.LogEvents {
				want[i][event.ID] = event
				streams[event.ID] = m.LogStream
			}
		}
	}
	forward(p, messages)
	for i, group := range groups {
		lines := p.await(fmt.Sprintf("{log_group=%q}", group), 2*events)
		require.Len(t, lines, 2*events)
		for _, line := range lines {
			event, wanted := want[i][line.StructuredMetadata["log_record_uid"]]
			require.True(t, wanted)
			delete(want[i], event.ID)
			require.Equal(t, event.Time(), line.Timestamp.UTC())
			require.Equal(t, strings.TrimSuffix(event.Message, "\n"), line.Line)
			require.Equal(t, map[string]string{
				"aws_log_type":     "cloudwatch",
				"cloud_account_id": "123456789012",
				"cloud_region":     "us-east-1",
				"collector":        hostname,
				"log_group":        group,
				"service_name":     services[i],
			}, line.Labels)
			metadata := map[string]string{
				"aws_log_stream_names":              streams[event.ID],
				"aws_log_subscription_filter_names": "awsloki",
				"cloud_provider":                    "aws",
				"log_record_uid":                    event.ID,
			}
			// Loki looks for a level itself in lines that come without one.
			metadata["detected_level"] = line.StructuredMetadata["detected_level"]
			if i == 0 {
				metadata["detected_level"] = levelOf(event.Message)
			}
			require.Equal(t, metadata, line.StructuredMetadata)
		}
	}
	total, err := p.loki.Count(t.Context(), `{service_name=~".+"}`, p.started.Add(-time.Hour), time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, len(groups)*2*events, total)

	metrics, err := p.collector.Metrics(t.Context())
	require.NoError(t, err)
	assert.InDelta(t, total, metrics.Sum("otelcol_receiver_accepted_log_records"), 0)
	assert.Zero(t, metrics.Sum("otelcol_processor_restamp_replaced"))
	assert.InDelta(t, total, metrics.Sum("otelcol_exporter_loki_delivered_lines"), 0)
	assert.Zero(t, metrics.Sum("otelcol_exporter_loki_refused_lines"))
	assert.InDelta(t, requests, metrics.Sum("otelcol_receiver_cloudwatchsubscription_requests", "http_response_status_code", "200"), 0)
	assert.InDelta(t, 6, metrics.Sum("otelcol_receiver_cloudwatchsubscription_documents"), 0)
}

// levelOf is the level in a line of a Lambda function, by Loki's names.
func levelOf(message string) string {
	return strings.ToLower(strings.Split(message, "\t")[2])
}

// Two events of one millisecond with the same text are both stored, though their timestamps are CloudWatch's own. That
// it is their ids which tell them apart shows in a second delivery, which Loki recognises.
func TestEqualLines(t *testing.T) {
	p := startPipeline(t, "../examples/in-memory.yaml", stack.CollectorOptions{
		Args: []string{"--config", "yaml:receivers: {cloudwatchsubscription: {dedup: {window: 0}}}"},
	})
	m := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 2})
	m.LogEvents[1].Message = m.LogEvents[0].Message
	require.Equal(t, m.LogEvents[0].Timestamp, m.LogEvents[1].Timestamp)
	require.NotEqual(t, m.LogEvents[0].ID, m.LogEvents[1].ID)
	p.forward(m)
	p.forward(m)
	last := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 1, Seed: 1, LogStream: "last"})
	p.forward(last)
	assert.Equal(t, 5, p.received("records", "outcome", "accepted"), "the second delivery goes on to Loki")

	lines := p.await(`{job="cloudwatch", log_group="/aws/lambda/orders"}`, 3)
	ids := map[string]bool{}
	for _, line := range lines {
		assert.Equal(t, m.LogEvents[0].Time(), line.Timestamp.UTC())
		ids[line.StructuredMetadata["log_record_uid"]] = true
	}
	assert.Len(t, lines, 3)
	assert.Equal(t, map[string]bool{m.LogEvents[0].ID: true, m.LogEvents[1].ID: true, last.LogEvents[0].ID: true}, ids)
}

// The forwarder's own log group, which an account-level policy sends as well, makes no loop.
func TestOwnLogGroup(t *testing.T) {
	p := startPipeline(t, shippedConfig, stack.CollectorOptions{})
	p.forward(cloudwatch.Generate(cloudwatch.Source{LogGroup: "/aws/lambda/awsloki-forwarder", Start: p.started, Events: 3}))
	p.forward(cloudwatch.Generate(cloudwatch.Source{LogGroup: "/aws/lambda/other", Start: p.started, Events: 1}))
	p.await(`{log_group="/aws/lambda/other"}`, 1)
	lines, err := p.loki.Count(t.Context(), `{log_group="/aws/lambda/awsloki-forwarder"}`, p.started.Add(-time.Hour), time.Now())
	require.NoError(t, err)
	assert.Zero(t, lines)
	metrics, err := p.collector.Metrics(t.Context())
	require.NoError(t, err)
	assert.InDelta(t, 3, metrics.Sum("otelcol_receiver_cloudwatchsubscription_records", "outcome", "excluded"), 0)
}
