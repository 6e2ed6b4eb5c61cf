// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

func TestSetStreamAttributes(t *testing.T) {
	f := func(labels map[string]string, want map[string]any) {
		t.Helper()
		attrs := pcommon.NewMap()
		SetStreamAttributes(attrs, maps.All(labels), "")
		assert.Equal(t, want, attrs.AsRaw())
	}
	f(map[string]string{}, map[string]any{})
	f(map[string]string{"__aws_": "x", "__aws__owner": "123456789012", "__aws_s3_lb_owner": "123456789012"}, map[string]any{})
	f(map[string]string{"job": "varlogs", "filename": "/var/log/syslog", "service_name": "web", "__path__": "/x", "__tenant_id__": "a"},
		map[string]any{"job": "varlogs", "filename": "/var/log/syslog", "service.name": "web"})

	cloudwatch := map[string]any{
		"cloud.provider": "aws", "cloud.account.id": "123456789012", "aws.log.type": "cloudwatch", "service.name": "checkout",
		"aws.log.group.names": []any{"/aws/lambda/checkout"}, "aws.log.stream.names": []any{"2026/10/12/[$LATEST]94fa"},
	}
	labels := map[string]string{
		"__aws_log_type": "cloudwatch", "__aws_cloudwatch_owner": "123456789012",
		"__aws_cloudwatch_log_group": "/aws/lambda/checkout", "__aws_cloudwatch_log_stream": "2026/10/12/[$LATEST]94fa",
	}
	f(labels, cloudwatch)
	labels["__aws_log_type"] = "kinesis"
	labels["__aws_kinesis_event_source_arn"] = "arn:aws:kinesis:eu-west-1:123456789012:stream/logs"
	cloudwatch["cloud.region"] = "eu-west-1"
	f(labels, cloudwatch)
	// What the operator says is the service, is.
	labels["service_name"], cloudwatch["service.name"] = "orders", "orders"
	f(labels, cloudwatch)

	f(map[string]string{"__aws_log_type": "s3_lb", "__aws_s3_lb": "my-loadbalancer", "__aws_s3_lb_owner": "123456789012"},
		map[string]any{"cloud.provider": "aws", "cloud.account.id": "123456789012", "aws.log.type": "lb", "aws.log.source": "my-loadbalancer", "service.name": "my-loadbalancer"})
	f(map[string]string{"__aws_log_type": "s3_vpc_flow", "__aws_s3_vpc_flow": "fl-1234abcd", "__aws_s3_vpc_flow_owner": "123456789012"},
		map[string]any{"cloud.provider": "aws", "cloud.account.id": "123456789012", "aws.log.type": "vpc_flow", "aws.log.source": "fl-1234abcd", "service.name": "fl-1234abcd"})
	f(map[string]string{"__aws_log_type": "s3_access", "__aws_s3_access": "my-bucket", "__aws_s3_access_owner": "123456789012"},
		map[string]any{"cloud.provider": "aws", "cloud.account.id": "123456789012", "aws.log.type": "s3_access", "aws.log.source": "my-bucket", "service.name": "my-bucket"})
	// Neither a name that is another one for each object, nor an owner that is none, nor an empty source.
	f(map[string]string{"__aws_log_type": "s3_cloudtrail", "__aws_s3_cloudtrail": "4jhzXFO2Jlvu2b3y", "__aws_s3_cloudtrail_owner": "123456789012"},
		map[string]any{"cloud.provider": "aws", "cloud.account.id": "123456789012", "aws.log.type": "cloudtrail", "aws.log.source": "cloudtrail", "service.name": "cloudtrail"})
	f(map[string]string{"__aws_log_type": "s3_cloudfront", "__aws_s3_cloudfront": "E2K2LNL5N3WR51", "__aws_s3_cloudfront_owner": "prefix"},
		map[string]any{"cloud.provider": "aws", "aws.log.type": "cloudfront", "aws.log.source": "E2K2LNL5N3WR51", "service.name": "E2K2LNL5N3WR51"})
	f(map[string]string{"__aws_log_type": "s3_guardduty", "__aws_s3_guardduty": "", "__aws_s3_guardduty_owner": "123456789012"},
		map[string]any{"cloud.provider": "aws", "cloud.account.id": "123456789012", "aws.log.type": "guardduty", "aws.log.source": "guardduty", "service.name": "guardduty"})
	f(map[string]string{"__aws_log_type": "s3_msk", "__aws_s3_msk": ""},
		map[string]any{"cloud.provider": "aws", "aws.log.type": "msk_broker"})

	// The operator's extra labels, whichever comes first.
	for range 20 {
		f(map[string]string{"__extra_env": "prod", "__extra_team": "a", "team": "b"}, map[string]any{"env": "prod", "team": "b"})
		// Neither an attribute without a name, nor one that Promtail would keep to itself.
		f(map[string]string{"__extra_": "x", "__extra___x": "x", "__extra___aws_log_type": "x", "__extra__x": "x"}, map[string]any{"_x": "x"})
	}
}

// A type may be as long as a request. No label takes memory of that size, then.
func TestStreamOfLongType(t *testing.T) {
	labels := map[string]string{"__aws_log_type": strings.Repeat("x", 1<<20)}
	for i := range 100 {
		labels[fmt.Sprintf("__aws_%d", i)] = "v"
	}
	attrs := pcommon.NewMap()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	SetStreamAttributes(attrs, maps.All(labels), "")
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	assert.Equal(t, 2, attrs.Len())
}

// What says the most of the service counts, in whatever order the labels come.
func TestServiceOfStream(t *testing.T) {
	steps := []struct {
		label, value, want string
	}{
		{"__aws_s3_lb", "my-loadbalancer", "my-loadbalancer"},
		{"__aws_cloudwatch_log_group", "/aws/lambda/checkout", "checkout"},
		{"__extra_service_name", "orders", "orders"},
		{"service.name", "shop", "shop"},
		{"service_name", "web", "web"},
	}
	labels := map[string]string{"__aws_log_type": "s3_lb"}
	for _, step := range steps {
		labels[step.label] = step.value
		for range 20 {
			attrs := pcommon.NewMap()
			SetStreamAttributes(attrs, maps.All(labels), "")
			service, _ := attrs.Get("service.name")
			assert.Equal(t, step.want, service.Str(), step.label)
			_, ok := attrs.Get("service_name")
			assert.False(t, ok)
		}
	}
}

// A label that has the name of an attribute is the operator's own, too.
func TestStreamLabelNamedAsAttribute(t *testing.T) {
	for range 20 {
		attrs := pcommon.NewMap()
		SetStreamAttributes(attrs, maps.All(map[string]string{
			"__aws_cloudwatch_owner": "123456789012", "cloud.account.id": "210987654321", "__extra_cloud.account.id": "0",
		}), "")
		assert.Equal(t, map[string]any{"cloud.account.id": "210987654321"}, attrs.AsRaw())
	}
}

func TestRegionOfStream(t *testing.T) {
	f := func(labels map[string]string, want string) {
		t.Helper()
		attrs := pcommon.NewMap()
		SetStreamAttributes(attrs, maps.All(labels), "us-east-1")
		region, _ := attrs.Get("cloud.region")
		assert.Equal(t, want, region.Str())
	}
	f(nil, "us-east-1")
	f(map[string]string{"__aws_kinesis_event_source_arn": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs"}, "eu-west-1")
	f(map[string]string{"__aws_kinesis_event_source_arn": "no ARN"}, "us-east-1")
}
