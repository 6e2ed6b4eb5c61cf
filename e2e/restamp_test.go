// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/lambdapromtail"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

const (
	// wantsOrder leaves lines a window of one millisecond behind the newest of their stream. (unordered_writes: false
	// refuses nothing any more.)
	wantsOrder = "ingester: {max_chunk_age: 2ms}\n" + patient
	// patient has Loki not give up on itself after 5 s, for it may have stored by then what it says that it has not.
	patient = "ingester_client: {remote_timeout: 1m}\n"
	// unsharded has Loki keep streams whole: of one that it has divided it says what it refused of one part only.
	unsharded = "limits_config: {ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, shard_streams: {enabled: false}}\n"

	lambdaGroup = "/aws/lambda/orders"
	originalKey = "log_record_original_timestamp"
)

// instances are collectors that write to the same Loki.
type instances struct {
	*testing.T
	loki       *stack.Loki
	collectors []*stack.Collector
	sent       int
}

// startInstances starts collectors with a configuration and another laid over it. Each has a name of its own in
// AWSLOKI_INSTANCE.
func startInstances(t *testing.T, n int, lokiConfig, config, over string) *instances {
	t.Helper()
	s := &instances{T: t, loki: stacktest.StartLoki(t, stack.LokiOptions{Config: lokiConfig})}
	args := []string{"--config", "yaml:" + soon, "--config", "yaml:" + over}
	for i := range n {
		env := map[string]string{"LOKI_URL": s.loki.PushURL(), "AWSLOKI_INSTANCE": fmt.Sprint("collector-", i)}
		s.collectors = append(s.collectors, stacktest.StartCollector(t, config, env, stack.CollectorOptions{Args: args}))
	}
	return s
}

// sendersOfEach is how many send to a collector at once.
const sendersOfEach = 8

// send sends messages, one after another to one collector after another, many at once, and waits until the exporters are
// done with them.
func (s *instances) send(messages ...cloudwatch.Message) {
	s.Helper()
	queues := make([]chan cloudwatch.Message, len(s.collectors))
	var wg sync.WaitGroup
	for i, collector := range s.collectors {
		queues[i] = make(chan cloudwatch.Message, len(messages))
		for range sendersOfEach {
			wg.Go(func() {
				for m := range queues[i] {
					status, err := postMessage(s.Context(), collector, m)
					assert.NoError(s, err)
					assert.Equal(s, http.StatusOK, status)
				}
			})
		}
	}
	for i, m := range messages {
		queues[i%len(queues)] <- m
		s.sent += len(m.LogEvents)
	}
	for _, queue := range queues {
		close(queue)
	}
	wg.Wait()
	require.NoError(s, stack.Eventually(s.Context(), settled, func(ctx context.Context) error {
		c, err := s.metrics(ctx)
		if err != nil {
			return err
		}
		if done := c.of("delivered_lines") + c.of("refused_lines"); done < s.sent {
			return fmt.Errorf("%d of %d lines are delivered or refused", done, s.sent)
		}
		return nil
	}))
}

func postMessage(ctx context.Context, collector *stack.Collector, m cloudwatch.Message) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, collector.URL()+subscriptionPath, bytes.NewReader(m.Gzip()))
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// metrics are those of all instances, added up.
func (s *instances) metrics(ctx context.Context) (counters, error) {
	all := stack.Metrics{}
	for _, collector := range s.collectors {
		own, err := collector.Metrics(ctx)
		if err != nil {
			return counters{}, err
		}
		for series, value := range own {
			all[series] += value
		}
	}
	return counters{all}, nil
}

// checkRefused checks the account of the exporters, and that Loki agrees: all lines are delivered but those that were
// refused, for one reason, whose number it returns. Loki counts them twice where an answer came too late.
func (s *instances) checkRefused() (refused int) {
	s.Helper()
	c, err := s.metrics(s.Context())
	require.NoError(s, err)
	refused = c.of("refused_lines", "reason", "too_far_behind")
	assert.Equal(s, refused, c.of("refused_lines"))
	assert.Equal(s, s.sent-refused, c.of("delivered_lines"))
	metrics, err := s.loki.Metrics(s.Context())
	require.NoError(s, err)
	discarded := int(metrics.Sum("loki_discarded_samples_total"))
	assert.GreaterOrEqual(s, discarded, refused)
	assert.Equal(s, refused == 0, discarded == 0)
	return refused
}

// checkStored checks that Loki has all lines but the refused ones, once.
func (s *instances) checkStored(since time.Time, refused int) {
	s.Helper()
	stored, err := s.loki.Count(s.Context(), everything, since, time.Now().Add(time.Minute))
	require.NoError(s, err)
	assert.Equal(s, s.sent-refused, stored)
}

// interleaved are messages of 100 log streams of one Lambda function: each message's events lie between those of many
// others, most of which come before it and some after it.
func interleaved(rounds int, start time.Time) (messages []cloudwatch.Message) {
	random := rand.New(rand.NewPCG(1, 2))
	const streams, events = 100, 20
	for round := range rounds {
		for _, stream := range random.Perm(streams) {
			messages = append(messages, cloudwatch.Generate(cloudwatch.Source{
				LogGroup:  lambdaGroup,
				LogStream: fmt.Sprintf("2026/01/01/[$LATEST]%032x", stream),
				Start:     start.Add(time.Duration(random.IntN(rounds*1000)) * time.Millisecond),
				Step:      7 * time.Millisecond,
				Events:    events,
				Seed:      uint64(round),
			}))
		}
	}
	return messages
}

// eachBatchAlone has the exporter send what it gets as it gets it, so that a batch which has passed another is refused.
// (With in_order: false some are, 360 of 20,000 lines in one run.)
const eachBatchAlone = "exporters: {loki: {sending_queue: {batch: {min_size: 1, flush_timeout: 10ms}}}}"

// TestLokiWantsOrder has 100 log streams of one log group go through three collectors at once to a Loki that wants lines
// in order.
func TestLokiWantsOrder(t *testing.T) {
	const rounds = 10
	for _, tt := range []struct {
		name    string
		over    string
		loki    string
		refuses bool
		streams int
	}{
		{name: "times of arrival and a label for each instance", over: "{}", loki: fast, streams: 3},
		{name: "each batch alone", over: eachBatchAlone, loki: fast, streams: 3},
		{name: "times of the source", over: "processors: {restamp: {timestamps: never}}", loki: unsharded, refuses: true, streams: 3},
		{name: "no label for the instance", over: "processors: {restamp: {instance: {enabled: false}}}", loki: unsharded, refuses: true, streams: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now().Add(-time.Minute)
			s := startInstances(t, 3, wantsOrder+tt.loki, "../examples/loki-ordered.yaml", tt.over)
			messages := interleaved(rounds, start)
			s.send(messages[:len(messages)/2]...)
			s.send(messages[len(messages)/2:]...)

			refused := s.checkRefused()
			s.checkStored(start.Add(-time.Minute), refused)
			t.Logf("%d of %d lines refused", refused, s.sent)
			series, err := s.loki.Series(t.Context(), everything, start.Add(-time.Minute), time.Now().Add(time.Minute))
			require.NoError(t, err)
			assert.Len(t, series, tt.streams)
			if tt.refuses {
				assert.Positive(t, refused)
				return
			}
			assert.Zero(t, refused)
			lines, err := s.loki.Lines(t.Context(), everything, start, time.Now().Add(time.Minute))
			require.NoError(t, err)
			ids := map[string]int{}
			for _, line := range lines {
				ids[line.StructuredMetadata["log_record_uid"]]++
			}
			for _, m := range messages {
				for _, event := range m.LogEvents {
					assert.Equal(t, 1, ids[event.ID])
				}
			}
		})
	}
}

// mixedAges are messages of one log stream with events of now among others that are up to three days old.
func mixedAges(n int, now time.Time) (messages []cloudwatch.Message) {
	random := rand.New(rand.NewPCG(3, 4))
	const events = 50
	for i := range n {
		m := cloudwatch.Generate(cloudwatch.Source{LogGroup: lambdaGroup, Start: now, Step: time.Millisecond, Events: events, Seed: uint64(i)})
		for e := range m.LogEvents {
			event := &m.LogEvents[e]
			// The first is new, so that the stream is of the present from the start.
			if e > 0 && random.IntN(2) == 0 {
				event.Timestamp = now.Add(-time.Duration(random.Int64N(int64(72 * time.Hour)))).UnixMilli()
			}
		}
		messages = append(messages, m)
	}
	return messages
}

// TestMixedAges has events up to three days old among new ones in one stream of a Loki with default settings.
func TestMixedAges(t *testing.T) {
	const unordered = "../examples/loki-unordered.yaml"
	for _, tt := range []struct {
		name, config, over string
		instances          int
		refuses            bool
		// reason is why timestamps are replaced, and within says how late an event may be to keep its own for certain.
		reason string
		within time.Duration
	}{
		{
			name: "never", config: unordered, over: "processors: {restamp: {timestamps: never}}",
			instances: 1, refuses: true,
		},
		{
			name: "as_needed with the limits of Loki and one request at a time", config: unordered,
			over:      "processors: {restamp: {max_age_absolute: 168h, in_order: true}}",
			instances: 1, reason: "too_far_behind", within: 50 * time.Minute,
		},
		{
			name: "as_needed by several instances and several requests at a time", config: unordered,
			over:      "exporters: {loki: {sending_queue: {num_consumers: 4}}}",
			instances: 3, reason: "greater_than_max_sample_age", within: 40 * time.Minute,
		},
		{
			name: "the shipped configuration", config: shippedConfig, over: "{}",
			instances: 1, reason: "greater_than_max_sample_age", within: 40 * time.Minute,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startInstances(t, tt.instances, patient+unsharded, tt.config, tt.over)
			now := time.Now()
			messages := mixedAges(60, now)
			s.send(messages[:len(messages)/2]...)
			s.send(messages[len(messages)/2:]...)

			since := now.Add(-80 * time.Hour)
			refused := s.checkRefused()
			if tt.refuses {
				t.Logf("%d of %d lines refused", refused, s.sent)
				assert.Positive(t, refused)
				return
			}
			assert.Zero(t, refused)
			s.checkStored(since, 0)
			late := checkTimes(t, s.loki, messages, now, since, tt.within)
			t.Logf("%d of %d timestamps replaced", len(late), s.sent)
			assert.NotEmpty(t, late)
			c, err := s.metrics(t.Context())
			require.NoError(t, err)
			assert.InDelta(t, len(late), c.Sum("otelcol_processor_restamp_replaced", "reason", tt.reason), 0)
			assert.InDelta(t, len(late), c.Sum("otelcol_processor_restamp_replaced"), 0)

			// As a user finds it: by the time at which it happened.
			event := late[0]
			found, err := s.loki.Lines(t.Context(), fmt.Sprintf("%s | %s=%q", everything, originalKey, event.Time().Format(time.RFC3339Nano)),
				now.Add(-time.Minute), time.Now().Add(time.Minute))
			require.NoError(t, err)
			assert.True(t, slices.ContainsFunc(found, func(line stack.Line) bool { return line.StructuredMetadata["log_record_uid"] == event.ID }))
		})
	}
}

// checkTimes checks that each event has its own time in Loki, or the time of its arrival with its own beside it, and
// returns these. Those that are new enough must have their own.
func checkTimes(t *testing.T, loki *stack.Loki, messages []cloudwatch.Message, now, since time.Time, within time.Duration) (late []cloudwatch.Event) {
	t.Helper()
	lines, err := loki.Lines(t.Context(), everything, since, time.Now().Add(time.Minute))
	require.NoError(t, err)
	byID := map[string]stack.Line{}
	for _, line := range lines {
		byID[line.StructuredMetadata["log_record_uid"]] = line
	}
	for _, m := range messages {
		for _, event := range m.LogEvents {
			line := byID[event.ID]
			original, replaced := line.StructuredMetadata[originalKey]
			if !replaced {
				require.Equal(t, event.Time(), line.Timestamp.UTC())
				continue
			}
			require.Equal(t, event.Time().Format(time.RFC3339Nano), original)
			require.True(t, line.Timestamp.After(now), "the time of arrival")
			require.Greater(t, now.Sub(event.Time()), within)
			late = append(late, event)
		}
	}
	return late
}

// TestPromtailLambda has lambda-promtail push to the collector in Promtail's place. The streams have the labels that
// Promtail gave them, and one for the instance, which it was meant to give them.
func TestPromtailLambda(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	p := startBefore(t, loki, "../examples/promtail-lambda.yaml", map[string]string{"AWSLOKI_INSTANCE": "collector-0"}, stack.CollectorOptions{})
	m := cloudwatch.Generate(cloudwatch.Source{LogGroup: lambdaGroup, Start: p.started.Add(-24 * time.Hour), Step: time.Hour, Events: 48})
	require.Equal(t, http.StatusNoContent, p.postPush(nil, lambdapromtail.Stream(m)).status)

	lines := p.await(`{promtail="lambda-promtail"}`, len(m.LogEvents))
	require.Len(t, lines, len(m.LogEvents))
	for i, line := range lines {
		assert.Equal(t, strings.TrimSuffix(m.LogEvents[i].Message, "\n"), line.Line)
		assert.True(t, line.Timestamp.After(p.started), "the time of arrival")
		delete(line.StructuredMetadata, "detected_level") // Loki's own
		assert.Empty(t, line.StructuredMetadata)
		assert.Equal(t, map[string]string{
			"promtail": "lambda-promtail", "log_group": lambdaGroup, "collector": "collector-0",
			"service_name": "unknown_service", // as Loki adds it to streams that come without
		}, line.Labels)
	}
}
