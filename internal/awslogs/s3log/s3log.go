// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package s3log knows the logs that AWS writes to S3: which of them an object holds, as its key and its first bytes say,
// and what each of its records says of itself. It takes no record apart further than that, changes none, and knows
// nothing of how records become telemetry.
package s3log

import "time"

// Type is the name of a log's format: the attribute aws.log.type.
type Type string

// The logs that AWS writes to S3. The address at each is where AWS describes the names of its objects and its fields.
const (
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
	ALBAccess Type = "alb_access"
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
	ALBConnection Type = "alb_connection"
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-health-check-logs.html
	ALBHealthCheck Type = "alb_health_check"
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-access-logs.html
	NLBTLS Type = "nlb_tls"
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/access-log-collection.html
	CLBAccess Type = "clb_access"
	// Standard logging, legacy and v2.
	// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html
	CloudFront Type = "cloudfront"
	// https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
	VPCFlow Type = "vpc_flow"
	// https://docs.aws.amazon.com/vpc/latest/tgw/tgw-flow-logs.html
	TGWFlow Type = "tgw_flow"
	// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html
	CloudTrail Type = "cloudtrail"
	// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-insights-events-with-cloudtrail.html
	CloudTrailInsight Type = "cloudtrail_insight"
	// Hashes of the log files; no log.
	// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html
	CloudTrailDigest Type = "cloudtrail_digest"
	// https://docs.aws.amazon.com/waf/latest/developerguide/logging-fields.html
	WAF Type = "waf"
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
	S3Access Type = "s3_access"
	// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-query-logs-format.html
	Route53Resolver Type = "route53_resolver"
	// https://docs.aws.amazon.com/network-firewall/latest/developerguide/firewall-logging-contents.html
	NetworkFirewallAlert Type = "network_firewall_alert"
	NetworkFirewallFlow  Type = "network_firewall_flow"
	NetworkFirewallTLS   Type = "network_firewall_tls"
	// https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_exportfindings.html
	GuardDuty Type = "guardduty"
	// https://docs.aws.amazon.com/msk/latest/developerguide/msk-logging.html
	MSKBroker Type = "msk_broker"
	// https://docs.aws.amazon.com/redshift/latest/mgmt/db-auditing.html
	RedshiftConnection   Type = "redshift_connection"
	RedshiftUser         Type = "redshift_user"
	RedshiftUserActivity Type = "redshift_user_activity"
	// What a load balancer writes when its logs are enabled, to see whether it may; no log.
	ELBTest Type = "elb_test"

	// CloudWatch is for messages of CloudWatch Logs' subscription filters, which Firehose has written one after another.
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html#FirehoseExample
	CloudWatch Type = "cloudwatch"
	// Firehose is for what else Firehose has written.
	// https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html
	Firehose Type = "firehose"
	// Unknown is for all else: lines.
	Unknown Type = "s3"
)

// Framing is how records stand in the bytes of an object.
type Framing int

// The framings there are.
const (
	// Lines: a record is a line.
	Lines Framing = iota
	// JoinedLines: a record is a line that StartsRecord says begins one, and the lines after it that do not.
	JoinedLines
	// JSONDocuments: a record is a line, or each of the JSON objects that stand one after another in a line.
	JSONDocuments
	// JSONRecords: a record is an element of the array in {"Records":[...]}.
	JSONRecords
	// NoRecords: the object is no log.
	NoRecords
	// Parquet: an Apache Parquet file.
	Parquet
)

// Object is what an object's key and its first bytes say about it.
type Object struct {
	Type    Type
	Framing Framing
	// Source is which of the sources of such a log this one is from: the name of a load balancer, the id of a
	// distribution or of a flow log, .... It never differs between the objects of one source. Where an account has one
	// such log for each region, it is the name of the log. Empty: not known.
	Source string
	// AccountID and Region are those that the log is of. Empty: not known.
	AccountID, Region string
	// Time is when the log was written, as far as the key says. Zero: it does not.
	Time time.Time
}

// Record is what a record says of itself.
type Record struct {
	// Time is in nanoseconds since 1970-01-01T00:00:00Z. Zero: the record does not say.
	Time int64
	// Status is that of the HTTP response that the record is about. Zero: none.
	Status int
	// Header: this is no record, it names the fields of those after it.
	Header bool
}

// A Parser reads the records of one object in their order, without their line ends. It keeps none of them, changes
// none, and takes whatever comes: what it cannot read is not said. It may be given records a second time. Not to be used
// by several goroutines at once.
type Parser func(record []byte) Record
