// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/firehose"
)

const (
	loadSenders = 64
	loadEvents  = 500
	// loadTime is how long the load lasts, at least.
	loadTime = 4 * time.Second
	// hung is an answer that waits for Loki. How long the others take is a matter of how fast the machine is.
	hung = time.Minute
	// mostMemory is how much the collector may take, at most, whatever comes.
	mostMemory = 256 << 20
)

// requireMemory checks that the collector never took more than it may.
func (p *pipeline) requireMemory() {
	p.Helper()
	memory, err := p.collector.Memory()
	require.NoError(p, err)
	p.Logf("the collector: %s", memory)
	require.Less(p, memory.Peak, int64(mostMemory))
}

// loadSender sends messages of its own one after another, and keeps account of the answers.
type loadSender struct {
	*testing.T
	url        string
	client     *http.Client
	name       string
	byFirehose bool
	// patient senders wait after a 503 for as long as it says, as the protocol wants it.
	patient bool
	// events are the same in all messages, compressed once: each message is two gzip members, of which the first is new.
	events []byte

	acknowledged, refused []string
	slowest               time.Duration
}

// message returns a message whose log stream is named.
func (s *loadSender) message(stream string) []byte {
	head := fmt.Sprintf(`{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/load","logStream":%q,"subscriptionFilters":["awsloki"],`, stream)
	return append(compress([]byte(head)), s.events...)
}

func (s *loadSender) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil && !s.Failed(); n++ {
		stream := fmt.Sprintf("%s-%d", s.name, n)
		began := time.Now()
		got, err := s.send(context.WithoutCancel(ctx), stream) // what has begun is answered
		took := time.Since(began)
		if !assert.NoError(s, err) {
			return
		}
		s.slowest = max(s.slowest, took)
		switch got.status {
		case http.StatusOK:
			s.acknowledged = append(s.acknowledged, stream)
			if !s.byFirehose {
				assert.Equal(s, fmt.Sprintf("{\"accepted\":%d}\n", loadEvents), got.body)
			}
		case http.StatusServiceUnavailable:
			s.refused = append(s.refused, stream)
			seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
			if assert.NoError(s, err) && s.patient {
				pause(ctx, time.Duration(seconds)*time.Second)
			}
		default:
			assert.Fail(s, "an answer that was not expected", got)
		}
	}
}

// pause waits as long as a sender was asked to, or until the load is over.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *loadSender) send(ctx context.Context, stream string) (response, error) {
	path, body := subscriptionPath, s.message(stream)
	header := map[string]string{"Content-Type": "application/gzip"}
	if s.byFirehose {
		r := firehose.Request{ID: stream, Time: time.Now(), Records: [][]byte{body}}
		path, body, header = firehosePath, r.Body(), r.Header()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return response{}, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(text)}, err
}

// Loki is away while many senders send more than the queue holds: no answer waits for it, memory stays bounded, and
// what was acknowledged, that and nothing else, is in Loki once afterwards.
func TestLokiDownUnderLoad(t *testing.T) {
	t.Run("senders wait as asked", func(t *testing.T) { testLokiDown(t, true) })
	t.Run("senders do not wait", func(t *testing.T) { testLokiDown(t, false) })
}

func testLokiDown(t *testing.T, patient bool) {
	t.Helper()
	p := startReceiver(t, fast, "exporters: {loki: {sending_queue: {queue_size: 20000000}}}")
	require.NoError(t, p.loki.Stop())
	m := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Step: time.Millisecond, Events: loadEvents})
	_, events, _ := strings.Cut(string(m.JSON()), `"logEvents":`)
	compressed := compress([]byte(`"logEvents":` + events))
	client := &http.Client{Timeout: hung, Transport: &http.Transport{MaxIdleConnsPerHost: loadSenders}}
	t.Cleanup(client.CloseIdleConnections)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	senders := make([]*loadSender, loadSenders)
	var running sync.WaitGroup
	for i := range senders {
		senders[i] = &loadSender{
			T: t, url: p.collector.URL(), client: client, name: fmt.Sprint("sender-", i), byFirehose: i%4 == 3, patient: patient, events: compressed,
		}
		running.Go(func() { senders[i].run(ctx) })
	}
	pause(ctx, loadTime)
	assert.NoError(t, p.awaitReceived("requests", "http_response_status_code", "503"))
	cancel()
	running.Wait()
	var acknowledged, refused []string
	var slowest time.Duration
	for _, s := range senders {
		acknowledged = append(acknowledged, s.acknowledged...)
		refused = append(refused, s.refused...)
		slowest = max(slowest, s.slowest)
	}
	t.Logf("%d messages acknowledged, %d refused, the slowest answer took %s", len(acknowledged), len(refused), slowest)
	require.False(t, t.Failed())
	require.NotEmpty(t, acknowledged)
	require.NotEmpty(t, refused)
	p.requireMemory()
	assert.Equal(t, len(acknowledged), p.received("requests", "http_response_status_code", "200"))
	assert.Equal(t, len(refused), p.received("requests", "http_response_status_code", "503"))
	assert.Equal(t, len(acknowledged)*loadEvents, p.received("records", "outcome", "accepted"))

	require.NoError(t, p.loki.Start(t.Context()))
	p.untilSent()
	found := map[string]map[string]int{}
	for _, line := range stored(t, p.loki.LokiClient) {
		stream := line.StructuredMetadata["aws_log_stream_names"]
		if found[stream] == nil {
			found[stream] = map[string]int{}
		}
		found[stream][line.StructuredMetadata["log_record_uid"]]++
	}
	once := map[string]int{}
	for _, event := range m.LogEvents {
		once[event.ID] = 1
	}
	slices.Sort(acknowledged)
	missing, more := difference(acknowledged, slices.Sorted(maps.Keys(found)))
	require.Empty(t, missing, "acknowledged, and not in Loki")
	require.Empty(t, more, "not acknowledged, and in Loki")
	for stream, ids := range found {
		require.Equal(t, once, ids, stream)
	}
	// Metric queries count what log queries may show as one.
	assert.Equal(t, len(acknowledged)*loadEvents, p.count(p.loki.LokiClient, everything))
	p.requireMemory()
}
