// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/awsloki/awsloki/internal/awslogs/s3log"
)

// resourceOfObject is the resource of the lines of an object.
func resourceOfObject(tb testing.TB, key, content string) pcommon.Map {
	tb.Helper()
	object := testObject()
	object.Key = key
	pieces, err := readObject(strings.NewReader(content), object, testOptions())
	require.NoError(tb, err)
	require.NotEmpty(tb, pieces, key)
	return pieces[0].Logs.ResourceLogs().At(0).Resource().Attributes()
}

// resourceOfMessage is the resource of the events of a subscription message.
func resourceOfMessage(tb testing.TB, message string) pcommon.Map {
	tb.Helper()
	batch, err := DecodeSubscription([]byte(message), testOptions())
	require.NoError(tb, err)
	return batch.Logs.ResourceLogs().At(0).Resource().Attributes()
}

// What lambda-promtail's file name patterns make of a key (its pkg/s3.go), and what becomes of it here. Where they
// differ, the difference is named.
func TestPromtailLabelsOfKeys(t *testing.T) {
	t.Parallel()
	labels := func(logType, source, owner string) map[string]string {
		return map[string]string{"__aws_log_type": logType, "__aws_" + logType: source, "__aws_" + logType + "_owner": owner}
	}
	lines, records := "a line\n", `{"Records":[{"eventVersion":"1.08"}]}`
	cloudFront := "#Version: 1.0\n2019-12-04\t21:02:31\tLAX1\n"
	f := func(key, content string, theirs, ours map[string]string, difference string) {
		t.Helper()
		got := PromtailLabels(resourceOfObject(t, key, content), PromtailSource{})
		assert.Equal(t, ours, got, key)
		if difference == "" {
			assert.Equal(t, theirs, got, key)
		} else {
			assert.NotEqual(t, theirs, got, "%s: no difference: %s", key, difference)
		}
	}
	alike := func(key, content, logType, source, owner string) {
		t.Helper()
		f(key, content, labels(logType, source, owner), labels(logType, source, owner), "")
	}
	const account, balancers = "123456789012", "AWSLogs/123456789012/elasticloadbalancing/"
	alike("my-bucket/"+balancers+"us-east-1/2022/01/24/123456789012_elasticloadbalancing_us-east-1_app.my-loadbalancer.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz",
		lines, "s3_lb", "my-loadbalancer", account)
	alike(balancers+"us-east-2/2022/05/01/health_check_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz",
		lines, "s3_lb", "my-loadbalancer", account)
	alike("prefix/"+balancers+"us-east-2/2016/05/01/123456789012_elasticloadbalancing_us-east-2_net.my-loadbalancer.1234567890abcdef_201605010000Z_2soosksi.log.gz",
		lines, "s3_lb", "my-loadbalancer", account)
	alike(balancers+"us-west-2/2014/02/15/123456789012_elasticloadbalancing_us-west-2_my-loadbalancer_20140215T2340Z_172.160.001.192_20sg8hgm.log",
		lines, "s3_lb", "my-loadbalancer", account)
	f(balancers+"us-west-2/2014/02/15/123456789012_elasticloadbalancing_us-west-2_network-edge_20140215T2340Z_172.160.001.192_20sg8hgm.log",
		lines, labels("s3_lb", "work-edge", account), labels("s3_lb", "network-edge", account), "the whole name of a classic load balancer")
	for _, name := range []string{"conn_log_", "conn_log."} {
		f(balancers+"us-east-2/2022/05/01/"+name+"123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz",
			lines, nil, labels("s3_lb", "my-loadbalancer", account), "refused by lambda-promtail")
	}

	alike("AWSLogs/123456789012/vpcflowlogs/us-east-1/2022/01/24/123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz",
		"version\n2\n", "s3_vpc_flow", "fl-1234abcd", account)
	alike("AWSLogs/123456789012/vpcflowlogs/us-gov-east-1/2022/01/24/123456789012_vpcflowlogs_us-gov-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz",
		"version\n2\n", "s3_vpc_flow", "fl-1234abcd", account)
	alike("AWSLogs/123456789012/vpcflowlogs/us-east-1/2023/11/14/123456789012_vpcflowlogs_us-east-1_fl-0tgw1234_20231114T2215Z_fe123456.log.gz",
		string(readFile(t, testdata+"/s3/tgw_flow.log")), "s3_vpc_flow", "fl-0tgw1234", account)
	f("AWSLogs/123456789012/vpcflowlogs/us-east-1/2022/01/24/12/123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz",
		"version\n2\n", nil, labels("s3_vpc_flow", "fl-1234abcd", account), "refused by lambda-promtail")

	f("AWSLogs/o-abcdefghij/123456789012/CloudTrail/us-east-1/2022/01/24/123456789012_CloudTrail_us-east-1_20220124T0000Z_4jhzXFO2Jlvu2b3y.json.gz",
		records, labels("s3_cloudtrail", "4jhzXFO2Jlvu2b3y", account), labels("s3_cloudtrail", "cloudtrail", account), "no stream for every object")
	f("AWSLogs/123456789012/CloudTrail-Insight/us-east-1/2022/01/24/123456789012_CloudTrail-Insight_us-east-1_20220124T0000Z_4jhzXFO2Jlvu2b3y.json.gz",
		records, nil, labels("s3_cloudtrail", "cloudtrail", account), "refused by lambda-promtail")

	withoutOwner := map[string]string{"__aws_log_type": "s3_cloudfront", "__aws_s3_cloudfront": "E2K2LNL5N3WR51"}
	f("prefix/E2K2LNL5N3WR51.2022-07-18-12.a10a8496.gz",
		cloudFront, labels("s3_cloudfront", "E2K2LNL5N3WR51", "prefix"), withoutOwner, "a folder is no owner")
	f("AWSLogs/123456789012/CloudFront/E2K2LNL5N3WR51.2019-11-14-20.RT4KCN4SGK9.gz",
		cloudFront, labels("s3_cloudfront", "E2K2LNL5N3WR51", "AWSLogs/123456789012/CloudFront"),
		labels("s3_cloudfront", "E2K2LNL5N3WR51", account), "the owner is the account")

	alike("prefix/AWSLogs/11111111111/WAFLogs/us-east-1/TEST-WEBACL/2021/10/28/19/50/11111111111_waflogs_us-east-1_TEST-WEBACL_20211028T1950Z_e0ca43b5.log.gz",
		lines, "s3_waf", "TEST-WEBACL", "11111111111")
	f("AWSLogs/123456789012/GuardDuty/us-east-1/2024/05/30/07a3f2ce-1485-3031-b842-e1f324c4a48d.jsonl.gz",
		lines, labels("s3_guardduty", "", account), labels("s3_guardduty", "guardduty", account), "no empty label")
	f("prefix/AWSLogs/111111111111/KafkaBrokerLogs/eu-south-2/msk-test-name-7f6b9b77-24f9-4921-87b6-d29a6401e292-3/2025-07-04-11/Broker-1_11-55_cab960bb.log.gz",
		lines, labels("s3_msk", "", "111111111111"), labels("s3_msk", "msk-test-name", "111111111111"), "no empty label")
	alike("123456789012/us-west-2/amzn-s3-demo-source-bucket/2023/03/01/2023-03-01-21-32-16-E568B2907131C0C0",
		lines, "s3_access", "amzn-s3-demo-source-bucket", account)

	f("AWSLogs/123456789012/vpcdnsquerylogs/vpc-7example/2021/05/11/vpc-7example_vpcdnsquerylogs_123456789012_20210511T0910Z_71584702.log.gz",
		lines, nil, labels("s3_route53_resolver", "vpc-7example", account), "refused by lambda-promtail")
	f("any/other/key", lines, nil, map[string]string{"__aws_log_type": "s3"}, "refused by lambda-promtail")
}

func TestPromtailLabelsOfMessages(t *testing.T) {
	t.Parallel()
	f := func(message string, source PromtailSource, want map[string]string) {
		t.Helper()
		assert.Equal(t, want, PromtailLabels(resourceOfMessage(t, message), source))
	}
	const stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/logs"
	message := `{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/checkout","logStream":"2026/10/12/[$LATEST]94fa",` +
		`"subscriptionFilters":["f"],"logEvents":[{"id":"1","timestamp":1,"message":"m"}]}`
	want := map[string]string{
		"__aws_log_type": "cloudwatch", "__aws_cloudwatch_log_group": "/aws/lambda/checkout", "__aws_cloudwatch_owner": "123456789012",
	}
	f(message, PromtailSource{}, want)
	want["__aws_log_type"], want["__aws_kinesis_event_source_arn"] = "kinesis", stream
	f(message, PromtailSource{KinesisARN: stream}, want)
	want["__aws_cloudwatch_log_stream"] = "2026/10/12/[$LATEST]94fa"
	f(message, PromtailSource{KinesisARN: stream, KeepStream: true}, want)
	// A difference: the owner is whose the events are.
	delete(want, "__aws_cloudwatch_log_stream")
	want["__aws_cloudwatch_owner"] = "210987654321"
	f(strings.Replace(message, `"message":"m"`, `"message":"m","extractedFields":{"@aws.account":"210987654321"}`, 1), PromtailSource{KinesisARN: stream}, want)
}

// What is no resource of this package's has no labels, and no label is empty.
func TestPromtailLabelsOfOthers(t *testing.T) {
	t.Parallel()
	f := func(attributes map[string]any, want map[string]string) {
		t.Helper()
		attrs := pcommon.NewMap()
		require.NoError(t, attrs.FromRaw(attributes))
		assert.Equal(t, want, PromtailLabels(attrs, PromtailSource{KeepStream: true}))
	}
	f(nil, map[string]string{})
	f(map[string]any{"service.name": "s", "aws.log.type": ""}, map[string]string{})
	f(map[string]any{"aws.log.type": 7}, map[string]string{})
	f(map[string]any{"aws.log.type": "cloudwatch", "aws.log.group.names": []any{}, "aws.log.stream.names": []any{7}, "cloud.account.id": ""},
		map[string]string{"__aws_log_type": "cloudwatch"})
	f(map[string]any{"aws.log.type": "waf", "aws.log.source": ""}, map[string]string{"__aws_log_type": "s3_waf"})
}

// The way from a resource to labels and back again leads to the resource, as far as lambda-promtail's labels go.
func TestPromtailLabelsAndBack(t *testing.T) {
	t.Parallel()
	f := func(name string, resource pcommon.Map, source PromtailSource) {
		t.Helper()
		got := pcommon.NewMap()
		region, _ := resource.Get(AttributeCloudRegion)
		SetStreamAttributes(got, maps.All(PromtailLabels(resource, source)), region.Str())
		want := resource.AsRaw()
		for _, lost := range []string{AttributeS3Bucket, AttributeS3Key, AttributeSubscriptionFilterNames, AttributePolicyLevel} {
			delete(want, lost)
		}
		if !source.KeepStream {
			delete(want, AttributeLogStreamNames)
		}
		if _, ok := want[AttributeLogSource]; !ok && want[AttributeLogType] != TypeCloudWatch {
			delete(want, AttributeServiceName) // it is the bucket
		}
		switch logType := want[AttributeLogType].(string); s3log.Type(logType) {
		case s3log.ALBAccess, s3log.ALBConnection, s3log.ALBHealthCheck, s3log.NLBTLS, s3log.CLBAccess:
			want[AttributeLogType] = "lb"
		case s3log.TGWFlow:
			want[AttributeLogType] = string(s3log.VPCFlow)
		case s3log.CloudTrailInsight:
			want[AttributeLogType] = string(s3log.CloudTrail)
		}
		assert.Equal(t, want, got.AsRaw(), name)
	}
	objects := 0
	for name, key := range sampleKeys {
		content, err := os.ReadFile(filepath.Join(testdata, "s3", name+".log"))
		require.NoError(t, err)
		object := testObject()
		object.Key = key
		pieces, err := readObject(strings.NewReader(string(content)), object, testOptions())
		require.NoError(t, err)
		for _, piece := range pieces {
			for _, rl := range piece.Logs.ResourceLogs().All() {
				f(name, rl.Resource().Attributes(), PromtailSource{KeepStream: true})
				objects++
			}
		}
	}
	assert.Greater(t, objects, len(sampleKeys)-3)
	for _, source := range []PromtailSource{
		{}, {KeepStream: true}, {KinesisARN: "arn:aws:kinesis:us-east-1:123456789012:stream/logs"},
	} {
		f("message", resourceOfMessage(t, document("/aws/lambda/checkout", "m")), source)
	}
}
