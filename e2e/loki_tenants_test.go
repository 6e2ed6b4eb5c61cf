// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// What is wrong with the request and not with its lines: they wait until somebody has put it right.
func TestWaiting(t *testing.T) {
	loki := startTenants(t, map[string]string{"team": ""})
	now := time.Now()
	for name, tt := range map[string]struct {
		settings string
		status   int
	}{
		"no tenant":       {"", 401},
		"several tenants": {"headers: {X-Scope-OrgID: 'team|other'}", 400},
		"no such tenant":  {"headers: {X-Scope-OrgID: 'a b'}", 400},
		"wrong path":      {"endpoint: " + loki.BaseURL() + "/push", 404},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDeliverer(t, loki.PushURL(), exporter(tt.settings))
			d.send(service(name, at(now, name+" 1", name+" 2")...))
			c := d.until(func(c counters) error {
				if n := c.requests(tt.status); n < 3 {
					return fmt.Errorf("it was sent %d times", n)
				}
				return nil
			})
			assert.Positive(t, c.queued())
			assert.Zero(t, c.of("delivered_lines"))
			assert.Zero(t, c.of("refused_lines"))
			assert.Zero(t, c.of("divisions"))
			assert.Equal(t, c.of("requests"), c.requests(tt.status))

			right := d.restart(loki.PushURL(), exporter("tenant: {value: team}"))
			right.sent = d.sent
			right.checkAccount(right.untilDone(), nil)
		})
	}
	requireLines(t, loki.ForTenant("team"), "no tenant 1", "no tenant 2", "several tenants 1", "several tenants 2",
		"no such tenant 1", "no such tenant 2", "wrong path 1", "wrong path 2")
}

// The lines of one request are of several tenants, one of which Loki would not take.
func TestTenantAttribute(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: "auth_enabled: true"})
	d := startDeliverer(t, loki.PushURL(), exporter("tenant: {attribute: team}"))
	now := time.Now()
	of := func(team string, lines ...string) resource {
		return with("a", map[string]string{"team": team}, at(now, lines...)...)
	}
	d.send(of("red", "red 1"), of("a|b", "bad 1", "bad 2"), of("blue", "blue 1"), of("red", "red 2"), of(strings.Repeat("x", 151), "bad 3"),
		of("a/b", "bad 4"), of("..", "bad 5"))
	c := d.untilDone()
	d.checkAccount(c, map[string]int{"invalid_tenant": 5})
	requireLines(t, loki.ForTenant("red"), "red 1", "red 2")
	requireLines(t, loki.ForTenant("blue"), "blue 1")
	assert.Equal(t, map[string]int{"204": 2}, c.byLabel("requests", "http_response_status_code"))

	// The tenants' queues come back with the collector, also that of one whose name is none for a file.
	require.NoError(t, loki.Stop())
	odd := "it's(me)*!"
	d.send(of("red", "red 3"), of("blue", "blue 2"), of(odd, "odd"))
	again := d.restart(loki.PushURL(), exporter("tenant: {attribute: team}"))
	require.NoError(t, loki.Start(t.Context()))
	again.sent = 3
	again.checkAccount(again.untilDone(), nil)
	requireLines(t, loki.ForTenant("red"), "red 1", "red 2", "red 3")
	requireLines(t, loki.ForTenant("blue"), "blue 1", "blue 2")
	requireLines(t, loki.ForTenant(odd), "odd")
}

// The tenant is that of the request which brought the logs.
func TestTenantMetadataKey(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: "auth_enabled: true"})
	d := startDeliverer(t, loki.PushURL(), exporter("tenant: {metadata_key: X-Scope-OrgID}"),
		"receivers: {otlp: {protocols: {http: {include_metadata: true}}}}")
	now := time.Now()
	as := func(tenant string) http.Header { return http.Header{"X-Scope-Orgid": {tenant}} }
	d.sendAs(as("red"), service("a", at(now, "red 1")...))
	d.sendAs(as("blue"), service("a", at(now, "blue 1")...))
	d.sendAs(as("red"), service("a", at(now, "red 2")...))
	status, text := d.try(as("a|b"), service("a", at(now, "bad")...))
	assert.Equal(t, http.StatusInternalServerError, status, "which OTLP does not send again")
	assert.Contains(t, text, "a tenant holds only letters")
	d.checkAccount(d.untilDone(), nil)
	requireLines(t, loki.ForTenant("red"), "red 1", "red 2")
	requireLines(t, loki.ForTenant("blue"), "blue 1")
}

// What an extension makes headers of is kept with the batches through the queue on disk, also over a restart.
func TestHeadersFromMetadata(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: "auth_enabled: true"})
	configs := []string{
		exporter("auth: {authenticator: headers_setter}, sending_queue: {batch: {partition: {metadata_keys: [X-Scope-OrgID]}}}"),
		"extensions: {headers_setter: {headers: [{key: X-Scope-OrgID, from_context: X-Scope-OrgID}]}}",
		"service: {extensions: [file_storage, health_check, headers_setter]}",
		"receivers: {otlp: {protocols: {http: {include_metadata: true}}}}",
	}
	d := startDeliverer(t, "http://127.0.0.1:1/loki/api/v1/push", configs...)
	now := time.Now()
	for n := range 3 {
		for _, tenant := range []string{"red", "blue"} {
			d.sendAs(http.Header{"X-Scope-Orgid": {tenant}}, service("a", at(now, fmt.Sprint(tenant, " ", n))...))
		}
	}
	sent := d.sent
	d = d.restart(loki.PushURL(), configs...)
	d.sent = sent
	d.untilDone()
	requireLines(t, loki.ForTenant("red"), "red 0", "red 1", "red 2")
	requireLines(t, loki.ForTenant("blue"), "blue 0", "blue 1", "blue 2")
}

// JSON says the same as protobuf, and so do the answers to it.
func TestEncodings(t *testing.T) {
	loki := startTenants(t, map[string]string{"protobuf": "", "json": ""})
	now := time.Now()
	logs := []resource{
		with("a", map[string]string{"cloud.region": `odd "region" \with\ ünï→cödé`, "other": "shared"},
			record{now, "plain", nil},
			record{now.Add(1), "", nil},
			record{now.Add(2), "quotes \" \\ / \b\f\n\r\t and \x01 \x7f", map[string]string{"a.b": "x\ny", "": "empty", "日本": "Tōkyō"}},
			record{now.Add(3), "<html> & \u2028 \u2029 \U0001f600 日本 \ufffd", map[string]string{"html": "<&>\u2028\ufffd"}},
			record{now.Add(4), strings.Repeat("日", 100_000), nil},
			record{now.Add(-8 * 24 * time.Hour), "old", nil},
		),
		service("b", apart(now, numbered("line", 3000, 500)...)...),
	}
	var found [2][]stack.Line
	for i, encoding := range []string{"protobuf", "json"} {
		d := startDeliverer(t, loki.PushURL(), exporter(fmt.Sprintf("tenant: {value: %s}, encoding: %[1]s", encoding)))
		d.send(logs...)
		c := d.untilDone()
		d.checkAccount(c, map[string]int{"greater_than_max_sample_age": 1})
		assert.Equal(t, 1, c.of("truncated_lines"))
		found[i] = stored(t, loki.ForTenant(encoding))
	}
	require.Len(t, found[0], 3005)
	require.Len(t, found[1], 3005)
	for i, line := range found[0] {
		require.Equal(t, line, found[1][i])
	}
}

// A tenant that Loki takes nothing from holds up no other, however much of it is queued.
func TestTenantsApart(t *testing.T) {
	const workers = 10
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			var well atomic.Int64
			sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Scope-OrgID") == "stuck" {
					w.WriteHeader(status)
					return
				}
				well.Add(1)
				w.WriteHeader(http.StatusNoContent)
			}))
			defer sink.Close()
			// The pauses are long: a worker that waits for the next try is as good as none.
			d := startDeliverer(t, sink.URL+"/loki/api/v1/push", exporter(fmt.Sprintf(
				"tenant: {attribute: team}, sending_queue: {num_consumers: %d}, retry_on_failure: {initial_interval: 1h, max_interval: 1h, randomization_factor: 0}", workers)))
			of := func(team string, n int) resource {
				return with("a", map[string]string{"team": team}, at(time.Now(), numbered(team, n, 0)...)...)
			}
			for n := range 50 {
				d.send(of("stuck", 10))
				// A batch for each, as long as there are workers for it.
				d.until(func(c counters) error {
					if tried := c.requests(status); tried < min(n+1, workers) {
						return fmt.Errorf("%d batches were tried", tried)
					}
					return nil
				})
			}
			before := d.counters()
			assert.Equal(t, map[string]int{strconv.Itoa(status): workers}, before.byLabel("requests", "http_response_status_code"))
			for range 20 {
				d.send(of("well", 10))
			}
			c := d.until(func(c counters) error {
				if n := c.of("delivered_lines"); n < 200 || c.queued() > before.queued() {
					return fmt.Errorf("%d lines are delivered, %d bytes queued", n, c.queued())
				}
				return nil
			})
			assert.Equal(t, 200, c.of("delivered_lines"))
			assert.Zero(t, c.of("refused_lines"))
			assert.Equal(t, well.Load(), int64(c.requests(204)))
			assert.Equal(t, workers, c.requests(status), "none of the stuck tenant's")
			assert.Equal(t, before.queued(), c.queued(), "all of the stuck tenant's")
		})
	}
}
