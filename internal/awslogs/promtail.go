// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"iter"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Labels that lambda-promtail sets (its pkg/main.go, cw.go, kinesis.go and s3.go).
const (
	labelLogType   = "__aws_log_type"
	labelLogGroup  = "__aws_cloudwatch_log_group"
	labelLogStream = "__aws_cloudwatch_log_stream"
	labelOwner     = "__aws_cloudwatch_owner"
	labelKinesis   = "__aws_kinesis_event_source_arn"
	// labelExtraPrefix stands before the names of the operator's own labels, EXTRA_LABELS.
	labelExtraPrefix = "__extra_"
	// internalPrefix is that of labels which Promtail never sends on.
	internalPrefix = "__"

	labelServiceName = "service_name"
)

// SetStreamAttributes sets the attributes of the resource that a stream of Loki's push API is from. Those labels that
// lambda-promtail sets become what the same logs have when they come by subscription; other labels become attributes of
// their name. Labels that begin with two underscores go no further, as in Promtail, except that __extra_NAME becomes NAME
// where there is no such label.
//
// Region is where the stream comes from, if its labels do not say. labels is read more than once.
func SetStreamAttributes(attrs pcommon.Map, labels iter.Seq2[string, string], region string) {
	var logType string
	for name, value := range labels {
		if name == labelLogType {
			logType = value
		}
	}
	if region != "" {
		attrs.PutStr(AttributeCloudRegion, region)
	}
	if logType != "" {
		attrs.PutStr(AttributeCloudProvider, providerAWS)
		attrs.PutStr(AttributeLogType, lambdaPromtailType(logType))
	}
	for name, value := range labels {
		setStreamAttribute(attrs, logType, name, value)
	}
}

func setStreamAttribute(attrs pcommon.Map, logType, name, value string) {
	switch name {
	case labelLogGroup:
		attrs.PutEmptySlice(AttributeLogGroupNames).AppendEmpty().SetStr(value)
		putNew(attrs, AttributeServiceName, serviceName(value))
	case labelLogStream:
		attrs.PutEmptySlice(AttributeLogStreamNames).AppendEmpty().SetStr(value)
	case labelOwner, "__aws_" + logType + "_owner":
		// For CloudFront lambda-promtail takes the beginning of the key for the owner.
		if isAccountID(value) {
			attrs.PutStr(AttributeCloudAccountID, value)
		}
	case labelKinesis:
		if region := parseARN(value).region; region != "" {
			attrs.PutStr(AttributeCloudRegion, region)
		}
	case "__aws_" + logType:
		setLambdaPromtailSource(attrs, logType, value)
	case labelServiceName:
		attrs.PutStr(AttributeServiceName, value)
	default:
		if extra, ok := strings.CutPrefix(name, labelExtraPrefix); ok {
			putNew(attrs, extra, value)
		} else if !strings.HasPrefix(name, internalPrefix) {
			attrs.PutStr(name, value)
		}
	}
}

// setLambdaPromtailSource sets the load balancer, distribution, web ACL and so on. What lambda-promtail takes for the
// source of CloudTrail is another random name for every object.
func setLambdaPromtailSource(attrs pcommon.Map, logType, source string) {
	if source == "" || logType == "s3_cloudtrail" {
		return
	}
	attrs.PutStr(AttributeLogSource, source)
	putNew(attrs, AttributeServiceName, source)
}

// lambdaPromtailType is the AttributeLogType of what lambda-promtail calls a type.
func lambdaPromtailType(logType string) string {
	switch logType {
	case "kinesis": // messages of CloudWatch Logs that came by way of Kinesis
		return TypeCloudWatch
	case "s3_access":
		return logType
	}
	return strings.TrimPrefix(logType, "s3_")
}

// putNew sets an attribute unless there is one of that name.
func putNew(attrs pcommon.Map, name, value string) {
	if _, ok := attrs.Get(name); !ok {
		attrs.PutStr(name, value)
	}
}
