// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// A batch that is several times what the tenant's limit ever lets through at once, and twenty more requests' worth at the
// same time: all of it is delivered once.
func TestTenantRate(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: "limits_config: {ingestion_rate_mb: 0.1, ingestion_burst_size_mb: 0.15}"})
	d := startDeliverer(t, loki.PushURL(), exporter("sending_queue: {batch: {min_size: 20000}}"))
	now := time.Now()
	large := numbered("large", 500, 1000)
	d.send(service("large", at(now, large...)...))
	all := large
	for n := range 20 {
		name := fmt.Sprint("small-", n)
		lines := numbered(name, 10, 1000)
		d.send(service(name, at(now, lines...)...))
		all = append(all, lines...)
	}
	c := d.untilDone()
	d.checkAccount(c, nil)
	requireLines(t, loki.LokiClient, all...)
	t.Logf("requests %v, divisions %d, held back %v s", c.byLabel("requests", "http_response_status_code"), c.of("divisions"),
		c.Sum("otelcol_exporter_loki_held_back_seconds"))
	assert.Positive(t, c.requests(429))
	assert.Less(t, 3*c.requests(429), c.of("requests"))
	assert.Positive(t, c.of("divisions"))
	assert.Greater(t, c.Sum("otelcol_exporter_loki_held_back_seconds"), 1.0)
}

// One line that is larger than the tenant's limit ever lets through waits, for others may be using up the limit. It keeps
// no others from Loki.
func TestLineAboveTenantRate(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: "limits_config: {ingestion_rate_mb: 0.1, ingestion_burst_size_mb: 0.1}"})
	d := startDeliverer(t, loki.PushURL())
	now := time.Now()
	lines := numbered("line", 20, 1000)
	d.send(service("a", at(now, slices.Concat(lines[:10], []string{strings.Repeat("x", 200_000)}, lines[10:])...)...))
	c := d.until(func(c counters) error {
		if delivered := c.of("delivered_lines"); delivered < len(lines) {
			return fmt.Errorf("%d of %d lines are delivered", delivered, len(lines))
		}
		return nil
	})
	requireLines(t, loki.LokiClient, lines...)
	assert.Empty(t, c.byLabel("refused_lines", "reason"))
	assert.Positive(t, c.queued())
	assert.Less(t, c.requests(429), 30)
}

// A stream that is over the rate of a stream, and another that is not: all of both is delivered.
func TestStreamRate(t *testing.T) {
	const limits = "per_stream_rate_limit: 50KB, per_stream_rate_limit_burst: 100KB, "
	loki := startTenants(t, map[string]string{
		"parts":  limits + "shard_streams: {enabled: false}",
		"shards": limits + "shard_streams: {enabled: true, desired_rate: 20KB}",
		"strict": limits,
	})
	for tenant, settings := range map[string]string{"parts": "", "shards": "", "strict": "strict: true"} {
		t.Run(tenant, func(t *testing.T) {
			d := startDeliverer(t, loki.PushURL(), exporter("tenant: {value: "+tenant+"}, "+settings))
			busy, quiet := service("busy", apart(time.Now(), numbered("busy", 200, 1000)...)...), service("quiet", apart(time.Now(), numbered("quiet", 10, 1000)...)...)
			if settings == "" {
				// Loki tells about the last stream of a request.
				d.send(quiet, busy)
			} else {
				d.send(busy, quiet)
			}
			c := d.untilDone()
			d.checkAccount(c, nil)
			assert.Positive(t, c.requests(429))
			found := texts(stored(t, loki.ForTenant(tenant)))
			missing, _ := difference(slices.Sorted(slices.Values(linesOf([]resource{busy, quiet}))), found)
			assert.Empty(t, missing)
			t.Logf("requests %v, doubled %d", c.byLabel("requests", "http_response_status_code"), len(found)-len(slices.Compact(found)))
		})
	}
}

// Streams beyond the limit wait until there is room for them, and hold up none of the others.
func TestStreamLimit(t *testing.T) {
	loki := startTenants(t, map[string]string{"whole": "max_global_streams_per_user: 3", "strict": "max_global_streams_per_user: 3"})
	now := time.Now()
	beyond := func(n int) resource { return service(fmt.Sprint("beyond-", n), at(now, fmt.Sprint("waits ", n))...) }
	within := func(n int, line string) resource { return service(fmt.Sprint("within-", n), at(now, line)...) }
	for tenant, tt := range map[string]struct {
		settings string
		send     []resource
	}{
		// Loki tells about the last stream of a request.
		"whole":  {"", []resource{within(0, "more 0"), beyond(1)}},
		"strict": {"strict: true", []resource{beyond(1), within(0, "more 0"), beyond(2)}},
	} {
		t.Run(tenant, func(t *testing.T) {
			d := startDeliverer(t, loki.PushURL(), exporter("tenant: {value: "+tenant+"}, "+tt.settings))
			d.send(within(0, "0"), within(1, "1"), within(2, "2"))
			d.untilDone()
			d.send(tt.send...)
			d.until(func(c counters) error {
				if n := c.requests(429); n < 5 {
					return fmt.Errorf("%d requests were refused", n)
				}
				return nil
			})
			d.send(within(1, "more 1"))
			c := d.until(func(c counters) error {
				if n := c.of("delivered_lines"); n < 5 {
					return fmt.Errorf("%d lines are delivered", n)
				}
				return nil
			})
			requireLines(t, loki.ForTenant(tenant), "0", "1", "2", "more 0", "more 1")
			assert.Equal(t, 5, c.of("delivered_lines"))
			assert.Zero(t, c.of("refused_lines"))
			assert.Positive(t, c.queued())
		})
	}
}

// noise returns lines that do not become smaller by compression.
func noise(n, size int) []string {
	random := rand.New(rand.NewPCG(1, 2))
	lines := make([]string, n)
	for i := range lines {
		text := make([]byte, size)
		for j := range text {
			text[j] = byte('!' + random.IntN('~'-'!'))
		}
		lines[i] = string(text)
	}
	return lines
}

// Requests that are larger than Loki takes, or can pass on between its parts, are divided until they are not.
func TestSizes(t *testing.T) {
	for name, tt := range map[string]struct {
		config string
		lines  []string
		tooBig string
		status int
	}{
		"between its parts": {"server: {grpc_server_max_recv_msg_size: 100000}", numbered("line", 1000, 1000), strings.Repeat("x", 150_000), 500},
		"compressed":        {"distributor: {max_recv_msg_size: 50000}", noise(200, 2000), noise(1, 150_000)[0], 413},
		"uncompressed":      {"distributor: {max_decompressed_size: 100000}", numbered("line", 1000, 1000), strings.Repeat("x", 150_000), 400},
	} {
		t.Run(name, func(t *testing.T) {
			loki := stacktest.StartLoki(t, stack.LokiOptions{Config: tt.config})
			d := startDeliverer(t, loki.PushURL(), exporter("max_line_size: 0"))
			now := time.Now()
			lines := slices.Insert(slices.Clone(tt.lines), len(tt.lines)/2, tt.tooBig)
			d.send(service("a", apart(now, lines...)...), service("b", at(now, "b")...))
			c := d.untilDone()
			d.checkAccount(c, map[string]int{"request_body_too_large": 1})
			requireLines(t, loki.LokiClient, append(slices.Clone(tt.lines), "b")...)
			t.Logf("requests %v, divisions %d", c.byLabel("requests", "http_response_status_code"), c.of("divisions"))
			assert.Positive(t, c.of("divisions"))
			assert.Equal(t, c.of("requests"), c.requests(204)+c.requests(tt.status))

			// The size that Loki takes is remembered.
			failed := c.requests(tt.status)
			more := numbered("more", 100, 1000)
			d.send(service("more", at(now, more...)...))
			c = d.untilDone()
			assert.Equal(t, failed, c.requests(tt.status))
		})
	}
}
