// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// outage is how long Loki is away while events go in.
const outage = 20 * time.Second

const outageEvents = 200

// outageMessage is the n-th message of a test, with a log group for each of a few.
func (p *pipeline) outageMessage(n int) cloudwatch.Message {
	return cloudwatch.Generate(cloudwatch.Source{
		LogGroup: fmt.Sprintf("/aws/lambda/outage-%d", n%3), LogStream: fmt.Sprint("stream-", n), Start: p.started, Step: time.Millisecond, Events: outageEvents,
	})
}

// requireAll checks that every event of the messages is in Loki, and logs how many lines are there more than once: those
// whose answer was lost when Loki or the collector went away are sent again, and Loki does not recognise all of them.
func (p *pipeline) requireAll(messages []cloudwatch.Message) {
	p.Helper()
	lines := p.await(`{log_group=~"/aws/lambda/outage-.*"}`, len(messages)*outageEvents)
	found := map[string]int{}
	for _, line := range lines {
		found[line.StructuredMetadata["log_record_uid"]]++
	}
	missing := 0
	for _, m := range messages {
		for _, event := range m.LogEvents {
			if found[event.ID] == 0 {
				missing++
			}
		}
	}
	p.Logf("acknowledged %d, missing %d, doubled %d", len(messages)*outageEvents, missing, len(lines)-len(found))
	require.Zero(p, missing)
}

func TestLokiAway(t *testing.T) {
	p := startPipeline(t, shippedConfig, stack.CollectorOptions{})
	messages := []cloudwatch.Message{p.outageMessage(0)}
	p.forward(messages[0])
	p.await(`{log_group="/aws/lambda/outage-0"}`, outageEvents)

	require.NoError(t, p.loki.Stop())
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for away := time.Now(); time.Since(away) < outage; {
		<-ticker.C
		m := p.outageMessage(len(messages))
		p.forward(m)
		messages = append(messages, m)
	}
	require.NoError(t, p.loki.Start(t.Context()))
	p.requireAll(messages)
}

// TestOutageBeyondTheWindow: Loki is away for longer than its window for lines that come out of order, which is 10 s here
// instead of an hour, and restamp's limits fit into that. What waits to be sent again is not overtaken by what came later, so
// that Loki takes it all. (With four requests at a time, Loki refused 123 of 8,200 lines.)
func TestOutageBeyondTheWindow(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: "ingester: {max_chunk_age: 20s}"})
	p := startBefore(t, loki, shippedConfig, nil, stack.CollectorOptions{Args: []string{"--config", "yaml:" + `
processors: {restamp: {max_age: 10s, max_age_absolute: 7s, max_future: 2s}}
exporters: {loki: {sending_queue: {batch: {min_size: 10000, max_size: 20000}}}}
`}})
	var messages []cloudwatch.Message
	forward := func() {
		m := cloudwatch.Generate(cloudwatch.Source{
			LogGroup: "/aws/lambda/outage-0", LogStream: fmt.Sprint("stream-", len(messages)), Start: time.Now(), Step: time.Millisecond, Events: outageEvents,
		})
		p.forward(m)
		messages = append(messages, m)
	}
	forward()
	p.untilSent()
	require.NoError(t, loki.Stop())
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for away := time.Now(); time.Since(away) < outage; {
		<-ticker.C
		forward()
	}
	require.NoError(t, loki.Start(t.Context()))
	p.requireAll(messages)
	metrics, err := p.collector.Metrics(t.Context())
	require.NoError(t, err)
	assert.Zero(t, metrics.Sum("otelcol_exporter_loki_refused_lines"))
}

// The collector is away when an event comes: the forwarder tries again, and gives up before Lambda ends it.
func TestCollectorAway(t *testing.T) {
	p := startPipeline(t, shippedConfig, stack.CollectorOptions{})
	require.NoError(t, p.collector.Stop())
	m := p.outageMessage(0)
	result, err := p.function.Invoke(t.Context(), m.LambdaEvent(), 5*time.Second)
	require.NoError(t, err)
	require.NotNil(t, result.FunctionError)
	assert.Equal(t, "UnavailableError", result.FunctionError.Type)

	var wg sync.WaitGroup
	wg.Go(func() {
		result, err := p.function.Invoke(t.Context(), m.LambdaEvent(), functionTimeout)
		if assert.NoError(t, err) {
			assert.Nil(t, result.FunctionError)
		}
	})
	require.NoError(t, p.collector.Start(t.Context()))
	wg.Wait()
	p.requireAll([]cloudwatch.Message{m})
}

// What the collector holds when it is stopped is on disk, and goes to Loki after the next start.
func TestCollectorStopped(t *testing.T) {
	p := startPipeline(t, shippedConfig, stack.CollectorOptions{})
	require.NoError(t, p.loki.Stop())
	var messages []cloudwatch.Message
	for n := range 20 {
		m := p.outageMessage(n)
		p.forward(m)
		messages = append(messages, m)
	}
	require.NoError(t, p.collector.Stop())
	require.NoError(t, p.loki.Start(t.Context()))
	lines, err := p.loki.Count(t.Context(), `{service_name=~".+"}`, p.started.Add(-time.Hour), time.Now())
	require.NoError(t, err)
	require.Zero(t, lines, "the collector holds them all")

	require.NoError(t, p.collector.Start(t.Context()))
	p.requireAll(messages)
}

// The same when the collector is killed right after it has acknowledged.
func TestCollectorKilled(t *testing.T) {
	p := startPipeline(t, shippedConfig, stack.CollectorOptions{})
	require.NoError(t, p.loki.Stop())
	var messages []cloudwatch.Message
	for n := range 5 {
		m := p.outageMessage(n)
		p.forward(m)
		messages = append(messages, m)
		require.NoError(t, p.collector.Kill())
		require.NoError(t, p.collector.Start(t.Context()))
	}
	require.NoError(t, p.loki.Start(t.Context()))
	p.requireAll(messages)
}

// A queue that is full is no reason to lose or to wait: the sender hears about it, and sends again.
func TestQueueFull(t *testing.T) {
	overlay := writeFile(t, "exporters: {loki: {sending_queue: {queue_size: 200000, batch: {min_size: 100000, max_size: 100000}}}}")
	p := startPipeline(t, shippedConfig, stack.CollectorOptions{Args: []string{"--config", overlay}})
	require.NoError(t, p.loki.Stop())
	var accepted []cloudwatch.Message
	refused := false
	for n := 0; !refused; n++ {
		m := p.outageMessage(n)
		response := p.post(m.Gzip(), nil)
		switch response.status {
		case 200:
			accepted = append(accepted, m)
		case 503:
			refused = true
			assert.Equal(t, "1", response.header.Get("Retry-After"))
			assert.Contains(t, response.body, "the pipeline cannot take this now")
		default:
			require.Fail(t, "an answer that was not expected", response)
		}
	}
	require.NotEmpty(t, accepted)
	require.NoError(t, p.loki.Start(t.Context()))
	p.requireAll(accepted)
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := t.TempDir() + "/overlay.yaml"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
