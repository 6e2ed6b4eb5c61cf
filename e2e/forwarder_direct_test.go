// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/awsevents"
	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/faultproxy"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// direct is a forwarder that pushes to Loki itself.
type direct struct {
	*pipeline
	s3 *stack.S3
}

func startDirect(t *testing.T) *direct {
	t.Helper()
	s3 := stacktest.StartS3(t)
	require.NoError(t, s3.CreateBucket(t.Context(), bucket))
	return &direct{&pipeline{T: t, loki: stacktest.StartLoki(t, stack.LokiOptions{Config: fast}), started: time.Now()}, s3}
}

// labels are those that Loki does not add itself.
func labelsOf(line stack.Line) map[string]string {
	labels := maps.Clone(line.Labels)
	delete(labels, "service_name")
	for name := range line.StructuredMetadata {
		delete(labels, name)
	}
	return labels
}

// The labels that lambda-promtail documents for the same events, and that ours are, but for what differs.
func TestDirectLabels(t *testing.T) {
	d := startDirect(t)
	const elb = "AWSLogs/123456789012/elasticloadbalancing/us-east-1/2022/01/24/123456789012_elasticloadbalancing_us-east-1_"
	now := time.Now()
	alb := "http " + now.UTC().Format("2006-01-02T15:04:05.000000Z") + ` app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - -`
	flow := fmt.Sprintf("version account-id start end\n2 123456789012 %d %d", now.Unix()-60, now.Unix())
	trail := `{"Records":[{"eventVersion":"1.08","eventTime":"` + now.UTC().Format(time.RFC3339) + `","eventName":"AssumeRole"}]}`

	f := func(name string, env map[string]string, event func(m *eventMaker) []byte, documented, differs map[string]string) {
		t.Helper()
		labels := maps.Clone(documented)
		maps.Copy(labels, differs)
		t.Run(name, func(t *testing.T) {
			m := &eventMaker{T: t, s3: d.s3, mark: name}
			all := map[string]string{"TENANT_ID": "fake"}
			maps.Copy(all, env)
			function := startFunction(t, d.loki.PushURL(), d.s3, all)
			var matchers []string
			for label, value := range labels {
				matchers = append(matchers, fmt.Sprintf("%s=%q", label, value))
			}
			selector := "{" + strings.Join(matchers, ",") + "}"
			before := d.count(d.loki.LokiClient, selector)
			answer := answerTo(t, function, event(m))
			assert.Contains(t, []string{whole, noFailures}, answer)
			lines := d.await(selector, before+1)
			assert.Equal(t, labels, labelsOf(lines[len(lines)-1]))
		})
	}
	object := func(key, content string) func(m *eventMaker) []byte {
		return func(*eventMaker) []byte {
			etag, err := d.s3.Put(t.Context(), bucket, key, bytes.NewReader([]byte(content)))
			require.NoError(t, err)
			return awsevents.S3("ObjectCreated:Put", awsevents.Object{Bucket: bucket, Key: key, ETag: etag, Size: len(content), Time: now})
		}
	}
	cloudWatch := func(m *eventMaker) []byte { return cloudwatch.LambdaEvent(m.message()) }
	kinesis := func(m *eventMaker) []byte { return awsevents.Kinesis(now, m.message().Gzip()) }

	f("CloudWatch", nil, cloudWatch, map[string]string{
		"__aws_log_type": "cloudwatch", "__aws_cloudwatch_log_group": "/app", "__aws_cloudwatch_owner": "123456789012",
	}, nil)
	f("CloudWatch, KEEP_STREAM", map[string]string{"KEEP_STREAM": "true"}, cloudWatch, map[string]string{
		"__aws_log_type": "cloudwatch", "__aws_cloudwatch_log_group": "/app", "__aws_cloudwatch_owner": "123456789012",
		"__aws_cloudwatch_log_stream": "CloudWatch, KEEP_STREAM",
	}, nil)
	f("CloudWatch, more labels", map[string]string{
		"EXTRA_LABELS": "env,prod,team,a", "DROP_LABELS": "__aws_cloudwatch_owner,__extra_team",
		"RELABEL_CONFIGS": `[{"source_labels":["__aws_cloudwatch_log_group"],"target_label":"log_group"},{"regex":"__aws_.*","action":"labeldrop"}]`,
	}, cloudWatch, map[string]string{"log_group": "/app", "__extra_env": "prod"}, nil)
	f("CloudWatch, without the prefix", map[string]string{"EXTRA_LABELS": "env,staging", "OMIT_EXTRA_LABELS_PREFIX": "true"}, cloudWatch,
		map[string]string{
			"__aws_log_type": "cloudwatch", "__aws_cloudwatch_log_group": "/app", "__aws_cloudwatch_owner": "123456789012", "env": "staging",
		}, nil)
	f("Kinesis", nil, kinesis, map[string]string{
		"__aws_log_type": "kinesis", "__aws_kinesis_event_source_arn": awsevents.Stream,
		"__aws_cloudwatch_log_group": "/app", "__aws_cloudwatch_owner": "123456789012",
	}, nil)
	f("ALB", nil, object(elb+"app.my-loadbalancer.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz", alb), map[string]string{
		"__aws_log_type": "s3_lb", "__aws_s3_lb": "my-loadbalancer", "__aws_s3_lb_owner": "123456789012",
	}, nil)
	f("VPC", nil, object("AWSLogs/123456789012/vpcflowlogs/us-east-1/2022/01/24/123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz", flow),
		map[string]string{"__aws_log_type": "s3_vpc_flow", "__aws_s3_vpc_flow": "fl-1234abcd", "__aws_s3_vpc_flow_owner": "123456789012"}, nil)
	f("CloudTrail", nil, object("AWSLogs/123456789012/CloudTrail/us-east-1/2022/01/24/123456789012_CloudTrail_us-east-1_20220124T0000Z_4jhzXFO2Jlvu2b3y.json.gz", trail),
		map[string]string{"__aws_log_type": "s3_cloudtrail", "__aws_s3_cloudtrail": "4jhzXFO2Jlvu2b3y", "__aws_s3_cloudtrail_owner": "123456789012"},
		map[string]string{"__aws_s3_cloudtrail": "cloudtrail"}) // and not another name for every object
}

// All events that the forwarder knows come to Loki without a collector, too, with ids and streams as structured metadata.
func TestDirectEvents(t *testing.T) {
	d := startDirect(t)
	function := startFunction(t, d.loki.PushURL(), d.s3, nil)
	m := &eventMaker{T: t, s3: d.s3, mark: "direct"}
	damaged := m.message().Gzip()
	m.lines = m.lines[:0]

	for _, event := range []struct {
		want    string
		payload []byte
	}{
		{whole, cloudwatch.LambdaEvent(m.message())},
		{whole, awsevents.S3("ObjectCreated:Put", m.object("direct/1"), m.object("direct/2"))},
		{whole, awsevents.EventBridge("Object Created", m.object("direct/3"))},
		{failed("m2"), awsevents.SQS(cloudwatch.LambdaEvent(m.message()), []byte("text"), awsevents.S3("ObjectCreated:Put", m.object("direct/4")))},
		{failed("3"), awsevents.Kinesis(time.Now(), m.message().Gzip(), []byte(m.line()), damaged[:len(damaged)-9], m.message().JSON(), m.message().Gzip())},
		{"ObjectError", awsevents.S3("ObjectCreated:Put", awsevents.Object{Bucket: bucket, Key: "direct/never", Size: 1})},
		{malformed, awsevents.SNS([]byte("text"))},
	} {
		assert.Equal(t, event.want, answerTo(t, function, event.payload))
	}
	// The forwarder's own log group makes no loop.
	own := cloudwatch.Generate(cloudwatch.Source{LogGroup: "/aws/lambda/awsloki-forwarder", Start: d.started, Events: 3})
	assert.Equal(t, whole, answerTo(t, function, cloudwatch.LambdaEvent(own)))
	assert.Zero(t, d.count(d.loki.LokiClient, `{__aws_cloudwatch_log_group="/aws/lambda/awsloki-forwarder"}`))

	var got []string
	for _, line := range d.await(everything, len(m.lines)) {
		got = append(got, line.Line)
		assert.NotEmpty(t, line.StructuredMetadata["log_record_uid"])
		if line.Labels["__aws_log_type"] == "cloudwatch" {
			assert.Equal(t, "direct", line.StructuredMetadata["aws_log_stream_names"])
		}
	}
	assert.ElementsMatch(t, m.lines, got)
}

// What Loki, or what is before it, does to requests: the answer is what Loki has.
func TestDirectFaults(t *testing.T) {
	d := startDirect(t)
	f := func(name, want string, lines int, decide func(*faultproxy.Request) faultproxy.Fault) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			_, url := startProxy(t, d.loki, decide)
			env := maps.Clone(quickRetries)
			env["DEADLINE_MARGIN"] = "50s" // of a minute
			function := startFunction(t, url, d.s3, env)
			m := &eventMaker{T: t, s3: d.s3, mark: fmt.Sprintf("[%s]", name)}
			assert.Equal(t, want, answerTo(t, function, cloudwatch.LambdaEvent(m.message())))
			assert.Equal(t, want, answerTo(t, function, awsevents.S3("ObjectCreated:Put", m.object("faults/"+name))))
			assert.Equal(t, lines, d.count(d.loki.LokiClient, fmt.Sprintf("%s |= `%s`", everything, m.mark)))
		})
	}
	f("503", whole, 4, first(2, faultproxy.Fault{Kind: faultproxy.Answer, Status: http.StatusServiceUnavailable, RetryAfter: "1"}))
	f("reset", whole, 4, first(2, faultproxy.Fault{Kind: faultproxy.Reset}))
	f("413 for both lines at once", whole, 4, func(r *faultproxy.Request) faultproxy.Fault {
		if r.N == 1 {
			return faultproxy.Fault{Kind: faultproxy.Answer, Status: http.StatusRequestEntityTooLarge, Body: nginxTooLarge}
		}
		return faultproxy.Fault{}
	})
	every := func(fault faultproxy.Fault) func(*faultproxy.Request) faultproxy.Fault {
		return func(*faultproxy.Request) faultproxy.Fault { return fault }
	}
	f("always 503", "UnavailableError", 0, every(faultproxy.Fault{Kind: faultproxy.Answer, Status: http.StatusServiceUnavailable}))
	f("401", "RefusedError", 0, every(faultproxy.Fault{Kind: faultproxy.Answer, Status: http.StatusUnauthorized, Body: "no org id"}))
	f("404", "RefusedError", 0, every(faultproxy.Fault{Kind: faultproxy.Answer, Status: http.StatusNotFound, Body: "404 page not found"}))
}
