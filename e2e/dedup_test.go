// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
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

const objectPath = "/s3/v1/object"

// objectURL is the path and the query for an object whose etag is its key.
func objectURL(key string, skip int) string {
	query := url.Values{
		"bucket": {"logs"}, "key": {key}, "region": {"us-east-1"}, "etag": {key}, "event_time": {time.Now().UTC().Format(time.RFC3339)},
	}
	if skip > 0 {
		query.Set("skip", strconv.Itoa(skip))
	}
	return objectPath + "?" + query.Encode()
}

// delivery is something that AWS delivers at least once.
type delivery struct {
	input string
	// send delivers it for the n-th time.
	send func(p *pipeline, n int) response
	// query selects its lines, of which there are lines, in so many documents.
	query            string
	lines, documents int
}

// deliveries returns one for each input that has ids of AWS's.
func deliveries(start time.Time) []delivery {
	message := cloudwatch.Generate(cloudwatch.Source{LogGroup: "/aws/lambda/repeated", Start: start, Events: 400})
	viaFirehose := cloudwatch.Generate(cloudwatch.Source{LogGroup: "/aws/lambda/repeated-firehose", Start: start, Events: 400})
	lines := strings.Join(numbered("line", 1000, 100), "\n")
	object := compress([]byte(strings.Join(numbered("record", 10_000, 100), "\n")))
	return []delivery{
		{
			input: "subscription",
			send: func(p *pipeline, n int) response {
				if n == 1 {
					return p.post(message.Gzip(), nil)
				}
				return p.post(message.JSON(), nil) // it is the document that counts
			},
			query: `{log_group="/aws/lambda/repeated"}`, lines: 400, documents: 1,
		},
		{
			input: "firehose",
			send: func(p *pipeline, n int) response {
				return p.postFirehose(firehose.Request{
					ID: "ed4acda5-034f-9f42-bba1-f29aea6d7d8f", Time: time.Now(), Records: [][]byte{viaFirehose.Gzip(), []byte(lines)},
				}, n%2 == 0, nil)
			},
			query: `{log_group="/aws/lambda/repeated-firehose"} or {aws_log_type="firehose"}`, lines: 1400, documents: 2,
		},
		{
			input: "s3",
			send: func(p *pipeline, _ int) response {
				return p.send(http.MethodPost, objectURL("object", 0), object, nil)
			},
			query: `{aws_log_type="s3"}`, lines: 10_000, documents: 3, // pieces of 4,096 lines
		},
	}
}

// requireTimes checks that each line of a delivery is in Loki as often as stated.
func (p *pipeline) requireTimes(d delivery, times int) {
	p.Helper()
	p.untilSent()
	uids := map[string]int{}
	for query := range strings.SplitSeq(d.query, " or ") {
		lines, err := p.loki.Lines(p.Context(), query, p.started.Add(-time.Hour), time.Now().Add(time.Minute))
		require.NoError(p, err)
		for _, line := range lines {
			uids[line.StructuredMetadata["log_record_uid"]]++
		}
	}
	require.Len(p, uids, d.lines, d.input)
	for uid, n := range uids {
		require.Equal(p, times, n, "%s: %s", d.input, uid)
	}
}

// requireAnswer checks that a delivery is answered as one that was taken in whole.
func requireAnswer(t *testing.T, d delivery, got response) {
	t.Helper()
	require.Equal(t, 200, got.status, d.input)
	if d.input != "firehose" { // whose answer says no more, and was checked
		require.JSONEq(t, fmt.Sprintf(`{"accepted": %d}`, d.lines), got.body, d.input)
	}
}

// What AWS delivers twice is in Loki once, and answered alike: also if the collector was stopped or killed in between. That
// this is what dedup does shows where it cannot.
func TestSecondDeliveries(t *testing.T) {
	restart := func(p *pipeline) error { return p.collector.Restart(p.Context()) }
	kill := func(p *pipeline) error { return errors.Join(p.collector.Kill(), p.collector.Start(p.Context())) }
	for name, tt := range map[string]struct {
		config   string
		between  func(p *pipeline) error
		lokiAway bool
		times    int
	}{
		"one after another":         {times: 1},
		"without storage":           {config: "dedup: {storage: null}", times: 1},
		"off":                       {config: "dedup: {window: 0}", times: 2},
		"stopped":                   {between: restart, times: 1},
		"stopped without storage":   {config: "dedup: {storage: null}", between: restart, times: 2},
		"killed":                    {between: kill, times: 1},
		"killed while Loki is away": {between: kill, lokiAway: true, times: 1}, // right after it has answered
		"killed without storage":    {config: "dedup: {storage: null}", between: kill, lokiAway: true, times: 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := startReceiver(t, fast, "receivers: {cloudwatchsubscription: {"+tt.config+"}}")
			if tt.lokiAway {
				require.NoError(t, p.loki.Stop())
			}
			all := deliveries(p.started)
			for _, d := range all {
				requireAnswer(t, d, d.send(p, 1))
			}
			if !tt.lokiAway {
				p.untilSent() // so that the queue has nothing that it would send again
			}
			if tt.between != nil {
				require.NoError(t, tt.between(p))
			}
			for _, d := range all {
				accepted, repeated := p.received("documents", "input", d.input, "outcome", "accepted"), p.received("documents", "input", d.input, "outcome", "repeated")
				requireAnswer(t, d, d.send(p, 2))
				if tt.times == 1 {
					repeated += d.documents
				} else {
					accepted += d.documents
				}
				assert.Equal(t, accepted, p.received("documents", "input", d.input, "outcome", "accepted"), d.input)
				assert.Equal(t, repeated, p.received("documents", "input", d.input, "outcome", "repeated"), d.input)
			}
			if tt.lokiAway {
				require.NoError(t, p.loki.Start(t.Context()))
			}
			for _, d := range all {
				p.requireTimes(d, tt.times)
			}
		})
	}
}

// Of several deliveries at the same moment one is handed on. The others are acknowledged once it is.
func TestDeliveriesAtOnce(t *testing.T) {
	p := startReceiver(t, fast)
	for _, d := range deliveries(p.started) {
		var senders sync.WaitGroup
		answers := make([]response, 8)
		for i := range answers {
			senders.Go(func() { answers[i] = d.send(p, i) })
		}
		senders.Wait()
		for _, got := range answers {
			requireAnswer(t, d, got)
		}
		assert.Equal(t, d.documents, p.received("documents", "input", d.input, "outcome", "accepted"), d.input)
		assert.Equal(t, 7*d.documents, p.received("documents", "input", d.input, "outcome", "repeated"), d.input)
		p.requireTimes(d, 1)
	}
}

// What was refused is not remembered: it is taken when it comes again, and only then known.
func TestRefusedDeliveries(t *testing.T) {
	p := startReceiver(t, fast, "exporters: {loki: {sending_queue: {queue_size: 4000000, batch: {min_size: 100000, max_size: 1000000}}}}")
	require.NoError(t, p.loki.Stop())
	// What fills the queue is smaller than any of the deliveries, which then find no room.
	for n, status := 0, 200; status != 503; n++ {
		filler := cloudwatch.Generate(cloudwatch.Source{LogGroup: "/aws/lambda/filler", LogStream: strconv.Itoa(n), Start: p.started, Events: 200})
		status = p.post(filler.Gzip(), nil).status
		require.Contains(t, []int{200, 503}, status)
	}
	all := deliveries(p.started)
	for _, d := range all {
		got := d.send(p, 1)
		require.Equal(t, 503, got.status, d.input)
		assert.NotEmpty(t, got.header.Get("Retry-After"), d.input)
		if d.input != "firehose" {
			assert.Contains(t, got.body, `"accepted":0`, d.input)
		}
	}
	require.NoError(t, p.loki.Start(t.Context()))
	p.untilSent()
	for _, d := range all {
		assert.Zero(t, p.count(p.loki.LokiClient, strings.Split(d.query, " or ")[0]), d.input)
		requireAnswer(t, d, d.send(p, 2))
		requireAnswer(t, d, d.send(p, 3))
		p.requireTimes(d, 1)
		assert.Equal(t, d.documents, p.received("documents", "input", d.input, "outcome", "repeated"), d.input)
	}
}
