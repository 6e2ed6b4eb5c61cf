// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"cmp"
	"iter"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/awslogs/s3log"
)

// Labels that lambda-promtail sets (its pkg/main.go, cw.go, kinesis.go and s3.go).
const (
	labelLogType   = "__aws_log_type"
	labelLogGroup  = "__aws_cloudwatch_log_group"
	labelLogStream = "__aws_cloudwatch_log_stream"
	labelOwner     = "__aws_cloudwatch_owner"
	labelKinesis   = "__aws_kinesis_event_source_arn"
	// labelTypePrefix stands before the type of what is delivered to S3, as the name of the label that has its source, and
	// with labelOwnerSuffix behind it, its owner.
	labelTypePrefix, labelOwnerSuffix = "__aws_", "_owner"
	// labelExtraPrefix stands before the names of the operator's own labels, EXTRA_LABELS.
	labelExtraPrefix = "__extra_"
	// internalPrefix is that of labels which Promtail never sends on.
	internalPrefix = "__"

	labelServiceName = "service_name"
)

// Types of logs that lambda-promtail has names of its own for. Those of all others in S3 are typePrefix and the Type.
const (
	typePrefix     = "s3_"
	typeBalancer   = "s3_lb"
	typeFlow       = "s3_vpc_flow"
	typeCloudTrail = "s3_cloudtrail"
	typeGuardDuty  = "s3_guardduty"
	typeAccess     = "s3_access"
	typeMSK        = "s3_msk"
)

// FinishStream gives the lines of a stream what they have when they come by subscription: one newline less at their end, and
// the severity that lines of Lambda functions state. The attributes of the stream must be set.
func FinishStream(stream plog.ResourceLogs) {
	groups, ok := stream.Resource().Attributes().Get(AttributeLogGroupNames)
	lambda := ok && groups.Type() == pcommon.ValueTypeSlice && groups.Slice().Len() > 0 &&
		strings.HasPrefix(groups.Slice().At(0).Str(), lambdaLogGroupPrefix)
	for _, scope := range stream.ScopeLogs().All() {
		for _, record := range scope.LogRecords().All() {
			if line, ok := strings.CutSuffix(record.Body().Str(), "\n"); ok {
				record.Body().SetStr(line)
			}
		}
		if lambda {
			setLambdaSeverities(scope.LogRecords())
		}
	}
}

// SetStreamAttributes sets the attributes of the resource that a stream of Loki's push API is from. Those labels that
// lambda-promtail sets become what the same logs have when they come by subscription; other labels become attributes of
// their name. Labels that begin with two underscores go no further, as in Promtail, except that __extra_NAME becomes what
// NAME would where there is no such label: that is nothing where NAME is empty or begins with two underscores itself.
//
// The service is what the operator says that it is, by the label service_name or by __extra_service_name, and else what
// the log group or the source of the logs tells. Lines that came by Kinesis without a message of CloudWatch Logs around
// them, which have no log group, are as TypeKinesis has them.
//
// Region is where the stream comes from, if its labels do not say. The order of the labels, which are read more than once,
// does not matter.
func SetStreamAttributes(attrs pcommon.Map, labels iter.Seq2[string, string], region string) {
	s := streamAttributes{attrs: attrs}
	for name, value := range labels {
		if name == labelLogType {
			s.logType = value
		}
	}
	if region != "" {
		attrs.PutStr(AttributeCloudRegion, region)
	}
	if s.logType != "" {
		attrs.PutStr(AttributeCloudProvider, providerAWS)
		attrs.PutStr(AttributeLogType, lambdaPromtailType(s.logType))
	}
	for name, value := range labels {
		if strings.HasPrefix(name, internalPrefix) {
			s.setInternal(name, value)
		}
	}
	s.setStream()
	// Behind what is set of the others, for these win.
	for name, value := range labels {
		if !strings.HasPrefix(name, internalPrefix) {
			s.setOrdinary(name, value)
		}
	}
	s.setService()
}

// streamAttributes sets the attributes of one stream.
type streamAttributes struct {
	attrs   pcommon.Map
	logType string
	// stream is the Kinesis stream that it came by.
	stream arn
	// The service's name by what it is from, for which of them counts is known only after the last label.
	labelService, extraService, groupService, sourceService string
}

func (s *streamAttributes) setInternal(name, value string) {
	switch name {
	case labelLogGroup:
		s.attrs.PutEmptySlice(AttributeLogGroupNames).AppendEmpty().SetStr(value)
		s.groupService = serviceName(value)
	case labelLogStream:
		s.attrs.PutEmptySlice(AttributeLogStreamNames).AppendEmpty().SetStr(value)
	case labelOwner:
		s.setOwner(value)
	case labelKinesis:
		s.stream = parseARN(value)
		if s.stream.region != "" {
			s.attrs.PutStr(AttributeCloudRegion, s.stream.region)
		}
	default:
		if extra, ok := strings.CutPrefix(name, labelExtraPrefix); ok {
			s.setExtra(extra, value)
		} else if ofType, ok := strings.CutPrefix(name, labelTypePrefix); ok {
			s.setOfType(ofType, value)
		}
	}
}

// setOfType sets what a label gives whose name begins with the type of the logs. No name is made of the type: that can be
// as long as a request.
func (s *streamAttributes) setOfType(name, value string) {
	rest, ok := strings.CutPrefix(name, s.logType)
	switch {
	case !ok || s.logType == "":
	case rest == "":
		s.setSource(value)
	case rest == labelOwnerSuffix:
		s.setOwner(value)
	}
}

// setOwner sets the account. For CloudFront lambda-promtail takes the beginning of the key for the owner.
func (s *streamAttributes) setOwner(owner string) {
	if isAccountID(owner) {
		s.attrs.PutStr(AttributeCloudAccountID, owner)
	}
}

func (s *streamAttributes) setOrdinary(name, value string) {
	if name == labelServiceName {
		s.labelService = value
		return
	}
	s.attrs.PutStr(name, value)
}

func (s *streamAttributes) setExtra(name, value string) {
	switch {
	case name == labelServiceName:
		s.extraService = value
	case name != "" && !strings.HasPrefix(name, internalPrefix):
		putNew(s.attrs, name, value)
	}
}

// setSource sets the load balancer, distribution, web ACL and so on. What lambda-promtail takes for the source of
// CloudTrail is another random name for every object, and for GuardDuty it has none.
func (s *streamAttributes) setSource(source string) {
	switch s.logType {
	case typeCloudTrail:
		source = string(s3log.CloudTrail)
	case typeGuardDuty:
		source = string(s3log.GuardDuty)
	}
	if source == "" {
		return
	}
	s.attrs.PutStr(AttributeLogSource, source)
	s.sourceService = source
}

// setStream sets what is known of the stream that lines of no log group came by.
func (s *streamAttributes) setStream() {
	if s.logType != TypeKinesis || s.groupService != "" {
		return
	}
	s.attrs.PutStr(AttributeLogType, TypeKinesis)
	if isAccountID(s.stream.account) {
		s.attrs.PutStr(AttributeCloudAccountID, s.stream.account)
	}
	if name := s.stream.streamName(); name != "" {
		s.attrs.PutStr(AttributeLogSource, name)
		s.sourceService = name
	}
}

// setService sets the service's name. Where there is no label service_name, an attribute stays that a label of the
// attribute's own name has set, since that is the operator's too.
func (s *streamAttributes) setService() {
	if s.labelService != "" {
		s.attrs.PutStr(AttributeServiceName, s.labelService)
	} else if service := cmp.Or(s.extraService, s.groupService, s.sourceService); service != "" {
		putNew(s.attrs, AttributeServiceName, service)
	}
}

// lambdaPromtailType is the AttributeLogType of what lambda-promtail calls a type.
func lambdaPromtailType(logType string) string {
	switch logType {
	case TypeKinesis: // messages of CloudWatch Logs that came by way of Kinesis
		return TypeCloudWatch
	case typeAccess:
		return string(s3log.S3Access)
	case typeMSK:
		return string(s3log.MSKBroker)
	}
	return strings.TrimPrefix(logType, typePrefix)
}

// putNew sets an attribute unless there is one of that name.
func putNew(attrs pcommon.Map, name, value string) {
	if attr, ok := attrs.GetOrPutEmpty(name); !ok {
		attr.SetStr(value)
	}
}
