// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/faultproxy"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// Of the tests in which one request in five fails: 300,000 lines.
const (
	chaosTenants  = 5
	chaosStreams  = 40 // of each tenant
	chaosRequests = 300
	chaosLines    = 5 // of each stream in each request to the collector
	chaosShare    = 0.2
)

// beforeLoki are faults by which nothing reaches Loki.
var beforeLoki = []faultproxy.Fault{
	{Kind: faultproxy.Reset},
	{Kind: faultproxy.Hang},
	{Kind: faultproxy.Answer, Status: 500, Body: "rpc error: code = Unknown desc = Ingester is shutting down"},
	{Kind: faultproxy.Answer, Status: 503, Body: "The server cannot accept more requests at this time."},
	{Kind: faultproxy.Answer, Status: 503, RetryAfter: "1"},
	{Kind: faultproxy.Answer, Status: 429},
	{Kind: faultproxy.HalfAnswer, Status: 502, Body: "<html>Bad Gateway</html>"},
}

// One request in five fails before Loki has seen it: every line is there once.
func TestChaosBeforeLoki(t *testing.T) {
	assert.Zero(t, runChaos(t, beforeLoki...))
}

// One request in five fails, half of them after Loki has stored it: every line is there.
func TestChaosAfterLoki(t *testing.T) {
	faults := slices.Clone(beforeLoki)
	for range beforeLoki {
		faults = append(faults, faultproxy.Fault{Kind: faultproxy.CutAnswer})
	}
	runChaos(t, faults...)
}

func chaosTenant(n int) string { return fmt.Sprint("team-", n) }

// chaosLogs returns what the n-th request to the collector holds: lines of every stream of every tenant.
func chaosLogs(start time.Time, n int) []resource {
	var logs []resource
	for tenant := range chaosTenants {
		for stream := range chaosStreams {
			name := fmt.Sprint("service-", stream)
			r := with(name, map[string]string{"team": chaosTenant(tenant)})
			for i := range chaosLines {
				number := n*chaosLines + i
				r.records = append(r.records, record{
					at:   start.Add(time.Duration(number) * 100 * time.Millisecond),
					line: fmt.Sprintf("%s %s %06d request handled in 12 ms, status 200, nothing else to say", chaosTenant(tenant), name, number),
				})
			}
			logs = append(logs, r)
		}
	}
	return logs
}

// runChaos sends the lines while requests to Loki meet faults, checks that every line is there for its tenant and counted,
// and returns how many are there more than once.
func runChaos(t *testing.T, faults ...faultproxy.Fault) (doubled int) {
	t.Helper()
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: `
auth_enabled: true
limits_config: {ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB, max_query_series: 100000}
`})
	seed := rand.Uint64()
	proxy, pushURL := startProxy(t, loki, faultproxy.Seeded(seed, chaosShare, faults...))
	// The timeout is what Loki does not need by far, so that nothing is sent again that it has.
	d := startDeliverer(t, pushURL, exporter("tenant: {attribute: team}, timeout: 15s, sending_queue: {batch: {min_size: 50000, max_size: 100000}}"))
	start := time.Now().Add(-10 * time.Minute)
	want := map[string][]string{}
	for n := range chaosRequests {
		logs := chaosLogs(start, n)
		d.send(logs...)
		for _, r := range logs {
			want[r.attributes["team"]] = append(want[r.attributes["team"]], linesOf([]resource{r})...)
		}
	}
	c := d.untilDone()
	d.checkAccount(c, nil)
	for tenant, lines := range want {
		slices.Sort(lines)
		found := slices.Compact(texts(storedBetween(t, loki.ForTenant(tenant), start, time.Now())))
		missing, more := difference(lines, found)
		require.Empty(t, missing, tenant)
		require.Empty(t, more, tenant)
		// Log queries may show as one what is stored twice, metric queries do not.
		n, err := loki.ForTenant(tenant).Count(t.Context(), `{service_name=~".+"}`, start, time.Now())
		require.NoError(t, err)
		doubled += n - len(lines)
	}
	t.Logf("seed %d: %d lines, %d doubled, faults %v, requests %v", seed, d.sent, doubled, proxy.Counts(), c.byLabel("requests", "http_response_status_code"))
	counts := proxy.Counts()
	assert.Greater(t, c.of("requests")-counts[faultproxy.None], c.of("requests")/10)
	return doubled
}
