// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/faultproxy"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

const (
	// nginxTooLarge and nginxBadRequest are what nginx says, which knows nothing of lines.
	nginxTooLarge   = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	nginxBadRequest = "<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)

// startProxy starts a proxy that does harm to requests on their way to Loki, and returns the push URL to use.
func startProxy(t *testing.T, loki *stack.Loki, decide func(*faultproxy.Request) faultproxy.Fault) (proxy *faultproxy.Proxy, pushURL string) {
	t.Helper()
	proxy, err := faultproxy.Start(loki.BaseURL(), decide)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, proxy.Close()) })
	return proxy, proxy.URL() + strings.TrimPrefix(loki.PushURL(), loki.BaseURL())
}

// first returns a decision that does harm to the first n requests.
func first(n int, fault faultproxy.Fault) func(*faultproxy.Request) faultproxy.Fault {
	return func(r *faultproxy.Request) faultproxy.Fault {
		if r.N <= n {
			return fault
		}
		return faultproxy.Fault{}
	}
}

// Each fault happens to the first three tries of a request. Everything arrives, once, and nothing is refused.
func TestFaults(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: "auth_enabled: true"})
	for name, tt := range map[string]struct {
		fault faultproxy.Fault
		// status is what the exporter has seen of the three: 0 is no answer.
		status string
	}{
		"500":                 {faultproxy.Fault{Kind: faultproxy.Answer, Status: 500, Body: "rpc error: code = Unknown desc = Ingester is shutting down"}, "500"},
		"502":                 {faultproxy.Fault{Kind: faultproxy.Answer, Status: 502, Body: "<html>Bad Gateway</html>"}, "502"},
		"503":                 {faultproxy.Fault{Kind: faultproxy.Answer, Status: 503, Body: "The server cannot accept more requests at this time."}, "503"},
		"503-retry-after":     {faultproxy.Fault{Kind: faultproxy.Answer, Status: 503, RetryAfter: "1"}, "503"},
		"504":                 {faultproxy.Fault{Kind: faultproxy.Answer, Status: 504}, "504"},
		"429-without-text":    {faultproxy.Fault{Kind: faultproxy.Answer, Status: 429}, "429"},
		"429-html":            {faultproxy.Fault{Kind: faultproxy.Answer, Status: 429, Body: "<html>429 Too Many Requests</html>"}, "429"},
		"400-of-a-gateway":    {faultproxy.Fault{Kind: faultproxy.Answer, Status: 400, Body: nginxBadRequest, ContentType: "text/html"}, "400"},
		"302":                 {faultproxy.Fault{Kind: faultproxy.Answer, Status: 302, Body: "Found"}, "302"},
		"403":                 {faultproxy.Fault{Kind: faultproxy.Answer, Status: 403, Body: "forbidden"}, "403"},
		"404":                 {faultproxy.Fault{Kind: faultproxy.Answer, Status: 404, Body: "404 page not found"}, "404"},
		"202":                 {faultproxy.Fault{Kind: faultproxy.Answer, Status: 202}, "202"},
		"reset":               {faultproxy.Fault{Kind: faultproxy.Reset}, "0"},
		"hang":                {faultproxy.Fault{Kind: faultproxy.Hang}, "0"},
		"answer-cut":          {faultproxy.Fault{Kind: faultproxy.CutAnswer}, "0"},
		"half-of-a-503":       {faultproxy.Fault{Kind: faultproxy.HalfAnswer, Status: 503, Body: "The server cannot accept more requests"}, "503"},
		"slow-beyond-timeout": {faultproxy.Fault{Kind: faultproxy.Slow, Delay: time.Hour}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			proxy, pushURL := startProxy(t, loki, first(3, tt.fault))
			settings := "tenant: {value: '" + name + "'}"
			// Only a timeout ends these. Then a request that meets no fault may be too slow for it, too.
			silent := tt.fault.Kind == faultproxy.Hang || tt.fault.Kind == faultproxy.Slow
			if silent {
				settings += ", timeout: 1s"
			}
			d := startDeliverer(t, pushURL, exporter(settings))
			now := time.Now()
			logs := []resource{service("a", apart(now, numbered("a", 100, 100)...)...), service("b", apart(now, numbered("b", 100, 100)...)...)}
			d.send(logs...)
			c := d.untilDone()
			d.checkAccount(c, nil)
			requireLines(t, loki.ForTenant(name), linesOf(logs)...)
			requests, counts := c.byLabel("requests", "http_response_status_code"), proxy.Counts()
			if silent {
				assert.GreaterOrEqual(t, requests[tt.status], 3)
				requests[tt.status], counts[faultproxy.None] = 3, 1
			}
			assert.Equal(t, map[string]int{tt.status: 3, "204": 1}, requests)
			assert.Equal(t, map[faultproxy.Kind]int{tt.fault.Kind: 3, faultproxy.None: 1}, counts)
			assert.Zero(t, c.of("divisions"))
		})
	}
}

// Answers that take their time are waited for.
func TestSlowAnswers(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	_, pushURL := startProxy(t, loki, first(3, faultproxy.Fault{Kind: faultproxy.Slow, Delay: 500 * time.Millisecond}))
	d := startDeliverer(t, pushURL)
	for n := range 3 {
		d.send(service(fmt.Sprint("service-", n), at(time.Now(), fmt.Sprint("line ", n))...))
	}
	c := d.untilDone()
	d.checkAccount(c, nil)
	requireLines(t, loki.LokiClient, "line 0", "line 1", "line 2")
	assert.Equal(t, c.of("requests"), c.requests(204))
}

// Half an answer names other lines, or fewer, than the whole: it is not relied on.
func TestHalfAnswer(t *testing.T) {
	const text = "2 errors like: entry for stream '{service_name=\"a\"}' has timestamp too old: 2000-01-01T00:00:00Z, oldest acceptable timestamp is: 2001-01-01T00:00:00Z"
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	_, pushURL := startProxy(t, loki, first(3, faultproxy.Fault{Kind: faultproxy.HalfAnswer, Status: 400, Body: text}))
	d := startDeliverer(t, pushURL)
	d.send(service("a", at(time.Now(), "1", "2", "3")...))
	c := d.untilDone()
	d.checkAccount(c, nil)
	requireLines(t, loki.LokiClient, "1", "2", "3")
	assert.Equal(t, map[string]int{"400": 3, "204": 1}, c.byLabel("requests", "http_response_status_code"))
}

// A gateway that takes no large requests: they are divided, and one line that is too large for it by itself is refused.
func TestGatewayLimit(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	const limit = 50_000
	proxy, pushURL := startProxy(t, loki, func(r *faultproxy.Request) faultproxy.Fault {
		if r.Bytes > limit {
			return faultproxy.Fault{Kind: faultproxy.Answer, Status: 413, Body: nginxTooLarge, ContentType: "text/html"}
		}
		return faultproxy.Fault{}
	})
	d := startDeliverer(t, pushURL)
	now := time.Now()
	lines := noise(300, 2000)
	d.send(service("a", apart(now, slices.Insert(slices.Clone(lines), 150, noise(1, 200_000)[0])...)...), service("b", at(now, "b")...))
	c := d.untilDone()
	d.checkAccount(c, map[string]int{"request_body_too_large": 1})
	requireLines(t, loki.LokiClient, append(lines, "b")...)
	assert.Positive(t, c.of("divisions"))
	assert.Equal(t, proxy.Counts()[faultproxy.Answer], c.requests(413))
	assert.Equal(t, c.of("requests"), c.requests(413)+c.requests(204))
}
