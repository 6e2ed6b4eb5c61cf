// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// s3Format is a log that AWS writes to S3.
type s3Format struct {
	logType string
	// key is that of its nth object.
	key func(n int) string
	// before and behind are what an object has around its records, and between is what it has between two.
	before, between, behind string
	// line is a record of this time.
	line func(n int, at time.Time) string
	// step is how exactly it states times.
	step time.Duration
	// status is that of each record, "" if it has none.
	status string
	// labels are those of all its records.
	labels map[string]string
}

const s3Account = "123456789012"

var s3Formats = []s3Format{
	{
		logType: "alb_access",
		key: func(n int) string {
			return fmt.Sprintf("lb/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/01/24/123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.50dc6c495c0c9188_20260124T0000Z_192.0.2.%d_%08x.log.gz", n, n)
		},
		between: "\n",
		behind:  "\n",
		line: func(n int, at time.Time) string {
			return fmt.Sprintf(`http %s app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:%d 10.0.0.1:80 0.000 0.001 0.000 502 - 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0 \"q\"" - - arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 2026-01-24T22:22:48.364000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1 "-" "-" "-"`,
				at.Format("2006-01-02T15:04:05.000000Z"), 1024+n)
		},
		step:   time.Microsecond,
		status: "502",
		labels: map[string]string{"service_name": "my-loadbalancer", "aws_log_source": "my-loadbalancer", "cloud_account_id": s3Account, "cloud_region": "us-east-2"},
	},
	{
		logType: "cloudfront",
		key:     func(n int) string { return fmt.Sprintf("cdn/E2K2LNL5N3WR51.2026-07-18-12.a10a%04x.gz", n) },
		before: "#Version: 1.0\n" + "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) " +
			"x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version " +
			"fle-status fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end\n",
		between: "\n",
		behind:  "\n",
		line: func(n int, at time.Time) string {
			return at.Format("2006-01-02\t15:04:05") + fmt.Sprintf("\tLAX1\t392\t192.0.2.100\tGET\td111111abcdef8.cloudfront.net\t/index-%04d.html\t404\t-\tMozilla/5.0%%20(x)\t-\t-\tError\tSOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==\td111111abcdef8.cloudfront.net\thttps\t23\t0.001\t-\tTLSv1.2\tECDHE-RSA-AES128-GCM-SHA256\tError\tHTTP/2.0\t-\t-\t11040\t0.001\tError\ttext/html\t78\t-\t-", n)
		},
		step:   time.Second,
		status: "404",
		labels: map[string]string{"service_name": "E2K2LNL5N3WR51", "aws_log_source": "E2K2LNL5N3WR51"},
	},
	{
		logType: "vpc_flow",
		key: func(n int) string {
			return fmt.Sprintf("AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=eu-central-1/year=2026/month=06/day=20/hour=16/123456789012_vpcflowlogs_eu-central-1_fl-0a1b2c3d_20260620T1620Z_%08x.log.gz", n)
		},
		before:  "version account-id interface-id end start action log-status\n",
		between: "\n",
		behind:  "\n",
		line: func(n int, at time.Time) string {
			return fmt.Sprintf("2 123456789012 eni-%08x %d %d ACCEPT OK", n, at.Unix()+60, at.Unix())
		},
		step:   time.Second,
		labels: map[string]string{"service_name": "fl-0a1b2c3d", "aws_log_source": "fl-0a1b2c3d", "cloud_account_id": s3Account, "cloud_region": "eu-central-1"},
	},
	{
		logType: "cloudtrail",
		key: func(n int) string {
			return fmt.Sprintf("AWSLogs/o-abcdefghij/123456789012/CloudTrail/us-gov-east-1/2026/01/24/123456789012_CloudTrail_us-gov-east-1_20260124T0000Z_4jhzXFO2Jlvu%04x.json.gz", n)
		},
		before:  `{"Records":[`,
		between: ",",
		behind:  "]}",
		line: func(n int, at time.Time) string {
			return fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"},"requestParameters":{"eventTime":"2020-01-01T00:00:00Z","big":9007199254740993,"exp":1.2300e+29,"b":"\u003c&\/]},{"},"eventTime":%q,"eventSource":"sts.amazonaws.com","eventName":"AssumeRole%04d","awsRegion":"us-gov-east-1"}`,
				at.Format(time.RFC3339), n)
		},
		step:   time.Second,
		labels: map[string]string{"service_name": "cloudtrail", "aws_log_source": "cloudtrail", "cloud_account_id": s3Account, "cloud_region": "us-gov-east-1"},
	},
	{
		logType: "waf",
		key: func(n int) string {
			return fmt.Sprintf("AWSLogs/123456789012/WAFLogs/cloudfront/my_web_acl/2026/10/28/19/50/123456789012_waflogs_cloudfront_my_web_acl_20261028T1950Z_%08x.log.gz", n)
		},
		between: "\n",
		line: func(n int, at time.Time) string {
			return fmt.Sprintf(`{"timestamp":%d,"formatVersion":1,"webaclId":"arn:aws:wafv2:us-east-1:123456789012:global/webacl/my_web_acl/770a0000-0000-0000-0000-000000000000","terminatingRuleId":"Default_Action","action":"ALLOW","httpRequest":{"clientIp":"127.0.0.1","n":%d}}`,
				at.UnixMilli(), n)
		},
		step:   time.Millisecond,
		labels: map[string]string{"service_name": "my_web_acl", "aws_log_source": "my_web_acl", "cloud_account_id": s3Account, "cloud_region": "us-east-1"},
	},
}

const (
	objectsPerFormat = 3
	linesPerObject   = 40
)

// object returns the content of the nth object, and the lines that are to be in Loki, without labels and metadata.
func (f s3Format) object(n int, start time.Time) (content string, want []stack.Line) {
	var lines []string
	for i := range linesPerObject {
		i += n * linesPerObject
		at := start.Add(time.Duration(i) * 7_001_001 * time.Microsecond / 10).Truncate(f.step)
		lines = append(lines, f.line(i, at))
		want = append(want, stack.Line{Timestamp: at, Line: lines[len(lines)-1]})
	}
	return f.before + strings.Join(lines, f.between) + f.behind, want
}

// postObjects sends the objects of a format, each twice, and returns the lines of all.
func (p *pipeline) postObjects(f s3Format) (want []stack.Line) {
	p.Helper()
	for n := range objectsPerFormat {
		content, lines := f.object(n, p.started.UTC().Add(-10*time.Minute))
		for range 2 {
			got := p.send(http.MethodPost, objectURL(f.key(n), 0), compress([]byte(content)), nil)
			require.Equal(p, http.StatusOK, got.status, got.body)
			require.JSONEq(p, fmt.Sprintf(`{"accepted": %d}`, linesPerObject), got.body)
		}
		want = append(want, lines...)
	}
	return want
}

// The logs that AWS writes to S3 are in Loki as they are in the objects, each with its own time, in one stream for each
// source however many objects there are, and once however often they are delivered.
func TestS3Formats(t *testing.T) {
	p := startReceiver(t, "", "processors: {restamp: {timestamps: never, instance: {enabled: false}}}")
	for _, f := range s3Formats {
		t.Run(f.logType, func(t *testing.T) {
			p := &pipeline{T: t, loki: p.loki, collector: p.collector, started: p.started}
			want := p.postObjects(f)
			selector := fmt.Sprintf("{aws_log_type=%q}", f.logType)
			got := p.await(selector, len(want))
			require.Len(t, got, len(want))
			for i, line := range got {
				require.True(t, want[i].Timestamp.Equal(line.Timestamp), "%s and not %s", line.Timestamp, want[i].Timestamp)
				require.Equal(t, want[i].Line, line.Line)
				require.Equal(t, f.status, line.StructuredMetadata["http_response_status_code"])
				key := f.key(i / linesPerObject)
				require.Equal(t, key, line.StructuredMetadata["aws_s3_key"])
				require.True(t, strings.HasPrefix(line.StructuredMetadata["log_record_uid"], key+":")) // the tests' etag
			}
			series, err := p.loki.Series(t.Context(), selector, p.started.Add(-time.Hour), time.Now().Add(time.Minute))
			require.NoError(t, err)
			labels := map[string]string{"aws_log_type": f.logType, "cloud_region": "us-east-1"} // that of the bucket
			for name, value := range f.labels {
				labels[name] = value
			}
			assert.Equal(t, []map[string]string{labels}, series)
		})
	}
	assert.Equal(t, len(s3Formats)*objectsPerFormat*linesPerObject, p.received("records", "input", "s3", "outcome", "accepted"))
	assert.Equal(t, len(s3Formats)*objectsPerFormat*linesPerObject, p.received("records", "input", "s3", "outcome", "repeated"))
}

// The example has the labels of the Lambda function that it takes the place of.
func TestS3AccessLogsExample(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	p := &pipeline{T: t, loki: loki, started: time.Now()}
	p.collector = stacktest.StartCollector(t, "../examples/s3-access-logs.yaml", map[string]string{"LOKI_URL": loki.PushURL()}, stack.CollectorOptions{})
	lines := 0
	for _, f := range s3Formats {
		lines += len(p.postObjects(f))
	}
	// A status of something else is no label.
	clb := p.started.UTC().Format("2006-01-02T15:04:05.000000Z") + ` my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000086 0.001048 0.001337 503 503 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.38.0" - -`
	got := p.send(http.MethodPost, objectURL("AWSLogs/123456789012/elasticloadbalancing/us-west-2/2014/02/15/123456789012_elasticloadbalancing_us-west-2_my-loadbalancer_20140215T2340Z_172.160.001.192_20sg8hgm.log", 0), []byte(clb), nil)
	require.Equal(t, http.StatusOK, got.status, got.body)
	p.await(`{source=~".+"}`, lines+1)
	series, err := loki.Series(t.Context(), `{source=~".+"}`, p.started.Add(-time.Hour), time.Now().Add(time.Minute))
	require.NoError(t, err)
	for _, labels := range series {
		delete(labels, "service_name") // which Loki adds
	}
	assert.ElementsMatch(t, []map[string]string{
		{"source": "alb", "status_code": "502"},
		{"source": "cloudfront", "status_code": "404"},
		{"source": "Unknown", "status_code": "Unknown"},
	}, series)
}
