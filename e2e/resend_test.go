// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/faultproxy"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

const (
	queryPath = "/loki/api/v1/query_range"
	verify    = "resend: {verify: true}"
)

// defaultMessages has Loki pass on messages of the size that it does by default.
const defaultMessages = "server: {grpc_server_max_send_msg_size: 4194304}"

// pushes returns a decision that does harm to the n-th pushes only, from 1 on.
func pushes(fault faultproxy.Fault, numbers ...int) func(*faultproxy.Request) faultproxy.Fault {
	n := 0
	return func(r *faultproxy.Request) faultproxy.Fault {
		if r.Path == queryPath {
			return faultproxy.Fault{}
		}
		if n++; slices.Contains(numbers, n) {
			return fault
		}
		return faultproxy.Fault{}
	}
}

// heavy returns lines of ten streams, in each of which there is more than Loki recognises when it comes again: the head
// block of a chunk is cut at 256 KB.
func heavy(now time.Time) (logs []resource) {
	for i := range 10 {
		logs = append(logs, service(fmt.Sprint("service-", i), apart(now, numbered(fmt.Sprint("service-", i), 600, 1000)...)...))
	}
	return logs
}

// requireOnce checks that Loki has all lines, each once: by metric queries as well, since log queries may show two as one.
func (d *deliverer) requireOnce(loki *stack.Loki, logs ...resource) {
	d.Helper()
	requireLines(d.T, loki.LokiClient, linesOf(logs)...)
	n, err := loki.Count(d.Context(), everything, time.Now().Add(-24*time.Hour), time.Now().Add(time.Minute))
	require.NoError(d, err)
	assert.Equal(d, len(linesOf(logs)), n)
}

// An answer is lost, and Loki has what it was about.
func TestResendVerified(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: defaultMessages})
	_, pushURL := startProxy(t, loki, pushes(faultproxy.Fault{Kind: faultproxy.CutAnswer}, 1, 2, 4))
	d := startDeliverer(t, pushURL, exporter(verify+", sending_queue: {num_consumers: 1}"))
	logs := heavy(time.Now())
	d.send(logs...)
	c := d.untilDone()
	d.checkAccount(c, nil)
	d.requireOnce(loki, logs...)
	resent := c.byLabel("resent_lines", "outcome")
	assert.Positive(t, resent["found"])
	assert.Zero(t, resent["missing"])
	assert.Zero(t, resent["unasked"])
}

// A request is lost before Loki has it: it is asked, and the lines are sent.
func TestResendMissing(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	_, pushURL := startProxy(t, loki, pushes(faultproxy.Fault{Kind: faultproxy.Reset}, 1, 2))
	d := startDeliverer(t, pushURL, exporter(verify))
	logs := heavy(time.Now())[:1]
	d.send(logs...)
	c := d.untilDone()
	d.checkAccount(c, nil)
	d.requireOnce(loki, logs...)
	assert.Equal(t, map[string]int{"missing": 1200}, c.byLabel("resent_lines", "outcome"), "asked after each of the two")
}

// What Loki has of a batch is told apart from what it does not have, and from what is like it.
func TestResendPart(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	now := time.Now().Add(-time.Minute)
	strange := []record{
		{at: now, line: "equal", attributes: map[string]string{"log.record.uid": "1"}},
		{at: now, line: "equal", attributes: map[string]string{"log.record.uid": "2"}},
		{at: now, line: "without an id", attributes: map[string]string{"a.b": "1", "empty": ""}},
		{at: now, line: "without an id", attributes: map[string]string{"a.b": "2"}},
		{at: now, line: "ERROR a level that Loki finds itself"},
		{at: now, line: `"quotes" \ and {braces} = 日本` + "\n\ttwo lines"},
		{at: now, line: ""},
		{at: now, line: "an attribute with the name of a label", attributes: map[string]string{"service.name": "other", "level": "debug"}},
		{at: now, line: strings.Repeat("long ", 60_000)},
	}
	odd := map[string]string{"service.name": `odd "name" \ {x="y"} 日本`}
	first := []resource{service("a", strange[:4]...), {odd, strange[4:]}, {nil, at(now, "no labels")}}
	// Streams with one label more, and the same lines at other times, are not the same.
	var second []resource
	for _, r := range first {
		more := map[string]string{"aws.log.source": "other"}
		for name, value := range r.attributes {
			more[name] = value
		}
		later := slices.Clone(r.records)
		for i := range later {
			later[i].at = later[i].at.Add(time.Nanosecond)
		}
		second = append(second, r, resource{more, r.records}, resource{r.attributes, later})
	}
	d := startDeliverer(t, loki.PushURL())
	d.send(first...)
	d.untilDone()

	// The first push of the second collector is lost, as is every one's that Loki is not asked about.
	_, pushURL := startProxy(t, loki, pushes(faultproxy.Fault{Kind: faultproxy.Reset}, 1))
	d = startDeliverer(t, pushURL, exporter(verify))
	d.send(second...)
	c := d.untilDone()
	d.checkAccount(c, nil)
	all := append(linesOf(first), linesOf(first)...)
	all = append(all, linesOf(first)...)
	for i, line := range all {
		if len(line) > 256<<10 {
			all[i] = line[:256<<10]
		}
	}
	requireLines(t, loki.LokiClient, all...)
	n := len(linesOf(first))
	assert.Equal(t, map[string]int{"found": n, "missing": 2 * n}, c.byLabel("resent_lines", "outcome"))
}

// Between two lines there are others of the same stream that are more than Loki can pass on at once, of which it says that
// there is nothing.
func TestResendAmongLongLines(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: defaultMessages + "\n" + fast})
	now := time.Now()
	var others []record
	for i, line := range noise(60, 200_000) {
		others = append(others, record{at: now.Add(time.Duration(i-60) * time.Millisecond), line: line})
	}
	own := service("a", at(now.Add(-time.Minute), "first")[0], at(now, "last")[0])
	d := startDeliverer(t, loki.PushURL())
	d.send(service("a", others...), own)
	d.untilDone()

	_, pushURL := startProxy(t, loki, pushes(faultproxy.Fault{Kind: faultproxy.Reset}, 1))
	d = startDeliverer(t, pushURL, exporter(verify))
	d.send(own)
	c := d.untilDone()
	assert.Equal(t, map[string]int{"found": 2}, c.byLabel("resent_lines", "outcome"))
	n, err := loki.Count(t.Context(), everything, now.Add(-time.Hour), now.Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, len(others)+2, n)
}

// Loki cannot be asked: everything is sent, and that is counted.
func TestResendUnasked(t *testing.T) {
	for name, tt := range map[string]struct {
		answer faultproxy.Fault
		config string
	}{
		"forbidden":        {faultproxy.Fault{Kind: faultproxy.Answer, Status: 403, Body: "forbidden"}, ""},
		"no such path":     {faultproxy.Fault{Kind: faultproxy.Answer, Status: 404, Body: "404 page not found"}, ""},
		"another server's": {faultproxy.Fault{Kind: faultproxy.Answer, Status: 200, Body: "<html>"}, ""},
		"failing":          {faultproxy.Fault{Kind: faultproxy.Answer, Status: 500, Body: "querier is away"}, ""},
		"nobody there":     {faultproxy.Fault{}, "query_endpoint: http://localhost:1" + queryPath},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loki := stacktest.StartLoki(t, stack.LokiOptions{})
			decide := pushes(faultproxy.Fault{Kind: faultproxy.CutAnswer}, 1)
			_, pushURL := startProxy(t, loki, func(r *faultproxy.Request) faultproxy.Fault {
				if r.Path == queryPath {
					return tt.answer
				}
				return decide(r)
			})
			d := startDeliverer(t, pushURL, exporter("resend: {verify: true, "+tt.config+"}"))
			d.send(service("a", apart(time.Now(), numbered("a", 10, 100)...)...))
			c := d.untilDone()
			assert.Equal(t, 10, c.of("delivered_lines"))
			assert.Equal(t, map[string]int{"unasked": 10}, c.byLabel("resent_lines", "outcome"))
			log, err := d.collector.Log()
			require.NoError(t, err)
			assert.Contains(t, log, "Loki could not be asked which lines it has.")
			assert.NotContains(t, log, "a 000001")
		})
	}
}

// Loki goes away with an answer that it owes, and is away for longer than it may fail to be asked.
func TestResendAfterOutage(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	var away atomic.Bool
	proxy, pushURL := startProxy(t, loki, func(*faultproxy.Request) faultproxy.Fault {
		if away.Swap(true) {
			return faultproxy.Fault{}
		}
		return faultproxy.Fault{Kind: faultproxy.CutAnswer}
	})
	d := startDeliverer(t, pushURL, exporter(verify))
	logs := heavy(time.Now())[:1]
	d.send(logs...)
	d.until(func(c counters) error {
		if c.requests(0) == 0 {
			return fmt.Errorf("no answer is lost yet: %v", proxy.Counts())
		}
		return nil
	})
	require.NoError(t, loki.Kill())
	before := proxy.Counts()[faultproxy.None]
	require.NoError(t, stack.Eventually(t.Context(), settled, func(context.Context) error {
		if asked := proxy.Counts()[faultproxy.None] - before; asked < 20 {
			return fmt.Errorf("asked %d times", asked)
		}
		return nil
	}))
	require.NoError(t, loki.Start(t.Context()))
	c := d.untilDone()
	d.requireOnce(loki, logs...)
	assert.Equal(t, map[string]int{"found": 600}, c.byLabel("resent_lines", "outcome"))
}

// The collector is killed while Loki, which has stored the request, is about to answer.
func TestResendAfterKill(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	proxy, pushURL := startProxy(t, loki, first(1, faultproxy.Fault{Kind: faultproxy.Slow, Delay: time.Hour}))
	d := startDeliverer(t, pushURL, exporter(verify+", sending_queue: {num_consumers: 1}"))
	logs := heavy(time.Now())
	for _, one := range logs {
		d.send(one)
	}
	require.NoError(t, stack.Eventually(t.Context(), settled, func(ctx context.Context) error {
		n, err := loki.Count(ctx, everything, time.Now().Add(-time.Hour), time.Now().Add(time.Minute))
		if err == nil && (n == 0 || proxy.Counts()[faultproxy.Slow] == 0) {
			err = fmt.Errorf("%d lines in Loki", n)
		}
		return err
	}))
	require.NoError(t, d.collector.Kill())
	require.NoError(t, d.collector.Start(t.Context()))
	c := d.untilDone()
	d.requireOnce(loki, logs...)
	assert.Positive(t, c.byLabel("resent_lines", "outcome")["found"])
	log, err := d.collector.Log()
	require.NoError(t, err)
	assert.Contains(t, log, "What was under way when the process ended is sent first.")
}
