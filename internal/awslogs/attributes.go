// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

// Attributes of the OpenTelemetry semantic conventions.
// https://opentelemetry.io/docs/specs/semconv/registry/attributes/
const (
	AttributeCloudProvider  = "cloud.provider"
	AttributeCloudAccountID = "cloud.account.id"
	AttributeCloudRegion    = "cloud.region"
	AttributeServiceName    = "service.name"

	// The two names of CloudWatch Logs are string slices, as the conventions have them.
	AttributeLogGroupNames  = "aws.log.group.names"
	AttributeLogStreamNames = "aws.log.stream.names"

	// The object in S3 that a line is from.
	AttributeS3Bucket = "aws.s3.bucket"
	AttributeS3Key    = "aws.s3.key"

	// AttributeHTTPResponseStatusCode is on the record, where it is that of an access log.
	AttributeHTTPResponseStatusCode = "http.response.status_code"

	// AttributeLogRecordUID is on the record: an id that is the same at every delivery of one event.
	AttributeLogRecordUID = "log.record.uid"
)

// Attributes that the conventions do not have yet.
const (
	// AttributeSubscriptionFilterNames holds the subscription filters, or the account-level policies, that matched.
	AttributeSubscriptionFilterNames = "aws.log.subscription_filter.names"
	// AttributePolicyLevel is set where an account-level policy, and no filter of the log group, sent the event.
	AttributePolicyLevel = "aws.log.subscription_filter.policy_level"
	// AttributeLogType says what kind of log this is: TypeCloudWatch, TypeFirehose, TypeKinesis, or for objects
	// in S3 an s3log.Type.
	AttributeLogType = "aws.log.type"
	// AttributeLogSource says which of the sources of its type a log is from.
	AttributeLogSource = "aws.log.source"
	// extractedFieldPrefix stands before the names of the fields that a filter pattern captured.
	extractedFieldPrefix = "aws.log.extracted_fields."
)

const (
	providerAWS = "aws"
	// TypeCloudWatch is the AttributeLogType of events from CloudWatch Logs.
	TypeCloudWatch = "cloudwatch"
	// TypeFirehose is that of lines which Firehose delivers without a message of CloudWatch Logs around them.
	TypeFirehose = "firehose"
	// TypeKinesis is that of lines which come in records of a Kinesis stream, likewise.
	TypeKinesis = "kinesis"
)
