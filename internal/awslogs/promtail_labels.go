// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/awsloki/awsloki/internal/awslogs/s3log"
)

// PromtailSource is what there is to know about the labels of logs besides their resource.
type PromtailSource struct {
	// KinesisARN is the stream that the logs came by. Empty: none.
	KinesisARN string
	// KeepStream is lambda-promtail's KEEP_STREAM: the log stream becomes a label.
	KeepStream bool
}

// PromtailLabels are the labels that lambda-promtail gives the logs of a resource that this package has made, so that
// queries for them go on finding what they found. What is no resource of this package's has none.
//
// What lambda-promtail gives differs where that is of no use: no label is empty, the source of CloudTrail is not another
// name for every object, the owner of CloudFront's logs is the account and not the beginning of the key, and a classic
// load balancer has its whole name. Logs that lambda-promtail refuses have labels of the same form. Where events name the
// account that they are of, it is the owner, and not the account of the message.
func PromtailLabels(resource pcommon.Map, source PromtailSource) map[string]string {
	logType := stringOf(resource, AttributeLogType)
	labels := map[string]string{}
	put := func(name, value string) {
		if value != "" {
			labels[name] = value
		}
	}
	switch logType {
	case "":
	case TypeKinesis:
		put(labelLogType, TypeKinesis)
		put(labelKinesis, source.KinesisARN)
	case TypeCloudWatch:
		put(labelLogType, TypeCloudWatch)
		if source.KinesisARN != "" {
			put(labelLogType, TypeKinesis)
			put(labelKinesis, source.KinesisARN)
		}
		put(labelLogGroup, stringOf(resource, AttributeLogGroupNames))
		put(labelOwner, stringOf(resource, AttributeCloudAccountID))
		if source.KeepStream {
			put(labelLogStream, stringOf(resource, AttributeLogStreamNames))
		}
	default:
		logType = promtailType(s3log.Type(logType))
		put(labelLogType, logType)
		put(labelTypePrefix+logType, stringOf(resource, AttributeLogSource))
		put(labelTypePrefix+logType+labelOwnerSuffix, stringOf(resource, AttributeCloudAccountID))
	}
	return labels
}

// promtailType is what lambda-promtail calls a type, and lambdaPromtailType the way back as far as there is one.
func promtailType(logType s3log.Type) string {
	switch logType {
	case s3log.ALBAccess, s3log.ALBConnection, s3log.ALBHealthCheck, s3log.NLBTLS, s3log.CLBAccess:
		return typeBalancer
	case s3log.VPCFlow, s3log.TGWFlow: // their keys are alike
		return typeFlow
	case s3log.CloudTrail, s3log.CloudTrailInsight:
		return typeCloudTrail
	case s3log.MSKBroker:
		return typeMSK
	case s3log.S3Access:
		return typeAccess
	case s3log.Unknown:
		return string(s3log.Unknown)
	}
	return typePrefix + string(logType)
}

// stringOf is an attribute that is text, or the first of a list of texts.
func stringOf(attrs pcommon.Map, name string) string {
	v, ok := attrs.Get(name)
	if ok && v.Type() == pcommon.ValueTypeSlice && v.Slice().Len() > 0 {
		v = v.Slice().At(0)
	}
	if !ok || v.Type() != pcommon.ValueTypeStr {
		return ""
	}
	return v.Str()
}
