// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

// NewParser returns a parser of the records of o, as o.Framing says that they stand in it; those of Parquet files are to
// be given as JSON objects with the columns' names. The parser's work is linear in a record, and it reads no further
// than it has to.
func (o Object) NewParser() Parser {
	switch o.Type {
	case ALBAccess:
		return albAccess
	case ALBConnection:
		return albConnection
	case ALBHealthCheck:
		return albHealthCheck
	case NLBTLS:
		return nlbTLS
	case CLBAccess:
		return clbAccess
	case CloudFront:
		return newCloudFrontParser()
	case VPCFlow, TGWFlow:
		return newFlowParser()
	case CloudTrail, CloudTrailInsight:
		return newCloudTrailParser()
	case WAF:
		return newWAFParser()
	case S3Access:
		return s3Access
	case Route53Resolver:
		return newRoute53ResolverParser()
	case NetworkFirewallAlert, NetworkFirewallFlow, NetworkFirewallTLS:
		return newNetworkFirewallParser()
	case GuardDuty:
		return newGuardDutyParser()
	case MSKBroker:
		return mskBroker
	case RedshiftConnection:
		return redshiftConnection
	case RedshiftUser:
		return redshiftUser
	case RedshiftUserActivity:
		return redshiftUserActivity
	default:
		return func([]byte) Record { return Record{} }
	}
}

// StartsRecord says whether a line begins a record, rather than being one more line of the record before it. It does in
// all logs of which records have one line.
func (o Object) StartsRecord(line []byte) bool {
	switch o.Type {
	case MSKBroker:
		return startsLike(line, mskStart)
	case RedshiftUserActivity:
		return startsLike(line, redshiftUserActivityStart)
	default:
		return true
	}
}
