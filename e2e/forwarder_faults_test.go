// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/awsevents"
	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/faultproxy"
	"github.com/awsloki/awsloki/e2e/lambdaruntime"
)

// quickRetries make the forwarder try again soon.
var quickRetries = map[string]string{"MIN_BACKOFF": "10ms", "MAX_BACKOFF": "50ms", "REQUEST_TIMEOUT": "1s"}

// What happens to the first requests between forwarder and collector does no harm: everything is there, once, and the answer
// is a success.
func TestForwarderRetries(t *testing.T) {
	p, s3 := startWithS3(t)
	for name, fault := range map[string]faultproxy.Fault{
		"reset":      {Kind: faultproxy.Reset},
		"hang":       {Kind: faultproxy.Hang},
		"half":       {Kind: faultproxy.HalfAnswer, Status: 503, Body: `{"accepted":0,"error":"full"}`},
		"503":        {Kind: faultproxy.Answer, Status: 503, Body: `{"accepted":0,"error":"full"}`, ContentType: "application/json", RetryAfter: "1"},
		"429":        {Kind: faultproxy.Answer, Status: 429},
		"502":        {Kind: faultproxy.Answer, Status: 502, Body: "<html>Bad Gateway</html>", ContentType: "text/html"},
		"lost":       {Kind: faultproxy.CutAnswer}, // the collector has taken it, and the forwarder does not know
		"slow":       {Kind: faultproxy.Slow, Delay: 100 * time.Millisecond},
		"slow, lost": {Kind: faultproxy.Slow, Delay: 2 * time.Second}, // longer than REQUEST_TIMEOUT
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := p.in(t)
			m := &eventMaker{T: t, s3: s3, mark: fmt.Sprintf("[retry %s]", name)}
			for kind, event := range map[string]struct {
				want    string
				payload []byte
			}{
				"message": {whole, cloudwatch.LambdaEvent(m.message())},
				"object":  {whole, awsevents.S3("ObjectCreated:Put", m.object("retry/"+name))},
				"batch":   {noFailures, awsevents.SQS(cloudwatch.LambdaEvent(m.message()), awsevents.S3("ObjectCreated:Put", m.object("retry/batch/"+name)))},
				"stream":  {noFailures, awsevents.Kinesis(time.Now(), m.message().Gzip(), []byte(m.line()), m.message().Gzip())},
			} {
				requests := 2
				if fault.Kind == faultproxy.Hang { // which takes an object twenty seconds more
					requests = 1
				}
				proxy, err := faultproxy.Start(p.collector.URL(), first(requests, fault))
				require.NoError(t, err)
				function := startFunction(t, proxy.URL(), s3, quickRetries)
				assert.Equal(t, event.want, answerTo(t, function, event.payload), kind)
				assert.Positive(t, proxy.Counts()[fault.Kind], "the fault has happened")
				require.NoError(t, proxy.Close())
			}
			p.untilSent()
			assert.Equal(t, len(m.lines), p.count(p.loki.LokiClient, fmt.Sprintf("%s |= `%s`", everything, m.mark)))
		})
	}
}

// in is the pipeline for a subtest.
func (p *pipeline) in(t *testing.T) *pipeline {
	t.Helper()
	own := *p
	own.T = t
	return &own
}

// Where there is no help, the answer comes before the deadline, and says what Lambda has to know.
func TestForwarderFails(t *testing.T) {
	p, s3 := startWithS3(t)
	env := maps.Clone(quickRetries)
	env["REQUEST_TIMEOUT"], env["DEADLINE_MARGIN"] = "2s", "27s" // of thirty, so that what the machine adds does not matter
	const timeout = 30 * time.Second

	down, err := faultproxy.Start("http://127.0.0.1:1", first(0, faultproxy.Fault{}))
	require.NoError(t, err)
	require.NoError(t, down.Close())
	always := func(fault faultproxy.Fault) string {
		proxy, err := faultproxy.Start(p.collector.URL(), func(*faultproxy.Request) faultproxy.Fault { return fault })
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, proxy.Close()) })
		return proxy.URL()
	}
	answer := func(status int) faultproxy.Fault { return faultproxy.Fault{Kind: faultproxy.Answer, Status: status} }
	later := answer(503)
	later.RetryAfter = "3600"
	for name, tt := range map[string]struct{ address, want string }{
		"down":              {down.URL(), "UnavailableError"},
		"hangs":             {always(faultproxy.Fault{Kind: faultproxy.Hang}), "UnavailableError"},
		"resets":            {always(faultproxy.Fault{Kind: faultproxy.Reset}), "UnavailableError"},
		"503":               {always(answer(503)), "UnavailableError"},
		"503, in an hour":   {always(later), "UnavailableError"},
		"never the answer":  {always(faultproxy.Fault{Kind: faultproxy.CutAnswer}), "UnavailableError"},
		"400":               {always(answer(400)), "RefusedError"},
		"401":               {always(answer(401)), "RefusedError"},
		"404, a wrong path": {p.collector.URL() + "/wrong", "RefusedError"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &eventMaker{T: t, s3: s3, mark: fmt.Sprintf("[fails %s]", name)}
			function := startFunction(t, tt.address, s3, env)
			invoke := func(payload []byte) lambdaruntime.Result {
				result, err := function.Invoke(t.Context(), payload, timeout)
				require.NoError(t, err, "the answer must come before the deadline")
				return result
			}
			for _, payload := range [][]byte{
				cloudwatch.LambdaEvent(m.message()),
				awsevents.S3("ObjectCreated:Put", m.object("fails/"+name)),
			} {
				got := invoke(payload)
				require.NotNil(t, got.FunctionError, "%s", got.Payload)
				assert.Equal(t, tt.want, got.FunctionError.Type)
			}
			got := invoke(awsevents.SQS(cloudwatch.LambdaEvent(m.message()), awsevents.TestEvent(), cloudwatch.LambdaEvent(m.message())))
			assert.Equal(t, failed("m1", "m3"), string(got.Payload))
			got = invoke(awsevents.Kinesis(time.Now(), m.message().Gzip(), m.message().Gzip()))
			assert.Equal(t, failed("1"), string(got.Payload))
		})
	}
}
