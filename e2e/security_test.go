// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/faultproxy"
	"github.com/awsloki/awsloki/e2e/lambdapromtail"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// requireLoopback checks that nobody on another machine can connect to the collector.
func requireLoopback(t *testing.T, collector *stack.Collector) {
	t.Helper()
	listeners, err := collector.Listeners()
	require.NoError(t, err)
	require.NotEmpty(t, listeners)
	for _, listener := range listeners {
		assert.True(t, listener.Addr().IsLoopback(), listener)
	}
}

const (
	canaryLine     = "canary-in-a-line"
	canaryPassword = "canary-of-a-password"
)

// inBasic is how the forwarder's password stands in an Authorization header.
func inBasic(password string) string {
	return base64.StdEncoding.EncodeToString([]byte("forwarder:" + password))
}

// Whatever goes wrong with lines and credentials, neither is in a log, in a metric or in an answer. Lines that Loki refuses are
// the likeliest: what it says of them is logged.
func TestNothingLeaks(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{Config: "limits_config: {max_line_size: 1KB}"})
	_, pushURL := startProxy(t, loki, pushes(faultproxy.Fault{Kind: faultproxy.HalfAnswer, Status: 500, Body: "a half"}, 1))
	withPassword := strings.Replace(pushURL, "://", "://forwarder:"+canaryPassword+"@", 1)
	p := startReceiverBefore(t, loki, map[string]string{"LOKI_URL": withPassword},
		guarded+"basicauth}, firehose_access_key: "+canaryPassword+", max_decoded_bytes: 1000000}}\n"+strings.Replace(basicAuth, "change-me", canaryPassword, 1),
		"exporters: {loki: {resend: {verify: true}, headers: {X-Key: "+canaryPassword+"}}}\nprocessors: {restamp: {timestamps: never}}\nservice: {telemetry: {logs: {level: debug}}}")

	var answers []string
	send := func(path string, body []byte, header map[string]string, password string) {
		g := guest{t, http.DefaultClient, p.collector.URL(), header}
		got, err := g.request(http.MethodPost, path, body, map[string]string{authorization: "Basic " + inBasic(password)})
		require.NoError(t, err)
		answers = append(answers, got.body)
	}
	m := oneLine()
	m.LogEvents[0].Message = canaryLine
	old := m
	old.LogEvents = []cloudwatch.Event{{ID: "1", Timestamp: time.Now().Add(-30 * 24 * time.Hour).UnixMilli(), Message: canaryLine + " of old"}}
	long := m
	long.LogEvents = []cloudwatch.Event{{ID: "2", Timestamp: time.Now().UnixMilli(), Message: strings.Repeat(canaryLine, 1000)}}
	push, err := lambdapromtail.Encode(lambdapromtail.Stream(m))
	require.NoError(t, err)
	text := m.JSON()
	passwords := []string{"wrong-" + canaryPassword, canaryPassword}
	for _, password := range passwords {
		for _, body := range [][]byte{m.Gzip(), old.Gzip(), long.Gzip(), text[:len(text)-5], []byte(canaryLine), []byte(`{"messageType":"` + canaryLine + `"}`)} {
			send(subscriptionPath, body, nil, password)
			send(objectURL(canaryLine[:6], 0), body, nil, password)
			send(firehosePath, body, map[string]string{"X-Amz-Firehose-Access-Key": password, "X-Amz-Firehose-Request-Id": "1"}, password)
		}
		send(lokiPushPath, push, map[string]string{"Content-Type": lambdapromtail.ContentType}, password)
		send(lokiPushPath, []byte(`{"streams":[{"stream":{"a":"b"},"values":[["x","`+canaryLine+`"]]}]}`), map[string]string{"Content-Type": "application/json"}, password)
		send(lokiPushPath, []byte(canaryLine), nil, password)
	}
	p.untilSent()
	log, err := p.collector.Log()
	require.NoError(t, err)
	metrics, err := p.collector.Metrics(t.Context())
	require.NoError(t, err)
	for series := range metrics {
		answers = append(answers, series)
	}
	for _, text := range append(answers, log) {
		for _, canary := range []string{canaryLine, canaryPassword, inBasic(passwords[0]), inBasic(passwords[1])} {
			if i := strings.Index(text, canary); i >= 0 {
				assert.Fail(t, "leaked", "%s", text[max(0, i-300):min(len(text), i+300)])
			}
		}
	}
	assert.Positive(t, metrics.Sum("otelcol_exporter_loki_delivered_lines"))
	for _, reason := range []string{"greater_than_max_sample_age", "line_too_long"} {
		assert.Positive(t, metrics.Sum("otelcol_exporter_loki_refused_lines", "reason", reason), reason)
		assert.Contains(t, log, reason)
	}
	assert.Contains(t, log, "Refused a request.")
}

// What stands before Loki wants TLS, a certificate and a password: of questions as of lines. The first answer is lost, so
// that there is a question.
func TestLokiByTLS(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	base, err := url.Parse(loki.BaseURL())
	require.NoError(t, err)
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others'")
	certificate, _, _ := ours.issue("gateway", x509.ExtKeyUsageServerAuth)
	_, shownCert, shownKey := ours.issue("collector", x509.ExtKeyUsageClientAuth)
	var mu sync.Mutex
	asked := map[string]int{}
	gateway := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "collector" || password != canaryPassword {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mu.Lock()
		asked[r.URL.Path]++
		isFirst := asked[r.URL.Path] == 1
		mu.Unlock()
		if isFirst && r.URL.Path != queryPath {
			w = httptest.NewRecorder()
			defer panic(http.ErrAbortHandler)
		}
		httputil.NewSingleHostReverseProxy(base).ServeHTTP(w, r)
	}))
	gateway.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: ours.pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	gateway.Config.ErrorLog = log.New(io.Discard, "", 0)
	gateway.StartTLS()
	t.Cleanup(gateway.Close)
	pushURL := gateway.URL + strings.TrimPrefix(loki.PushURL(), loki.BaseURL())
	start := func(authority *authority, password string) *deliverer {
		return startDeliverer(t, pushURL, "extensions: {basicauth/loki: {client_auth: {username: collector, password: "+password+"}}}\n"+
			"service: {extensions: [file_storage, health_check, basicauth/loki]}",
			exporter(verify+", auth: {authenticator: basicauth/loki}, tls: {ca_file: "+authority.file()+", cert_file: "+shownCert+", key_file: "+shownKey+"}"))
	}
	logs := service("a", apart(time.Now(), numbered("a", 10, 100)...)...)

	for _, stranger := range []*deliverer{start(others, canaryPassword), start(ours, "wrong")} {
		stranger.send(logs)
		stranger.until(func(c counters) error {
			if c.requests(0)+c.requests(401) == 0 {
				return errors.New("nothing was sent yet")
			}
			return nil
		})
		require.NoError(t, stranger.collector.Kill())
	}
	assert.Empty(t, asked)

	d := start(ours, canaryPassword)
	d.send(logs)
	c := d.untilDone()
	d.requireOnce(loki, logs)
	assert.Equal(t, map[string]int{"found": 10}, c.byLabel("resent_lines", "outcome"))
	text, err := d.collector.Log()
	require.NoError(t, err)
	assert.NotContains(t, text, canaryPassword)
}
