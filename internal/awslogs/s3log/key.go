// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Types are all types, in the order of the constants.
func Types() []Type {
	return []Type{
		ALBAccess, ALBConnection, ALBHealthCheck, NLBTLS, CLBAccess, CloudFront, VPCFlow, TGWFlow,
		CloudTrail, CloudTrailInsight, CloudTrailDigest, WAF, S3Access, Route53Resolver,
		NetworkFirewallAlert, NetworkFirewallFlow, NetworkFirewallTLS, GuardDuty, MSKBroker,
		RedshiftConnection, RedshiftUser, RedshiftUserActivity, ELBTest, CloudWatch, Firehose, Unknown,
	}
}

// The parts that keys have in common, with the names of the parts of Object that they are.
const (
	// AWS's own have twelve digits, examples and tests other numbers of them.
	accountPart = `(?P<account>\d{10,14})`
	// There is no list of regions: it would be too short one day.
	regionPart = `(?P<region>` + regionName + `)`
	regionName = `[a-z]+(?:-[a-z]+)+-\d+`
	// Load balancers lack the T in AWS's own examples, and only digests have seconds.
	timePart = `(?P<time>\d{8}T?\d{4}(?:\d\d)?Z)`
	// A name in a place where no underscore can be, and one that ends at the last place possible.
	sourcePart = `(?P<source>[^/_]+)`
	namePart   = `(?P<source>[^/]+)`
	uuidPart   = `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`
	// Random letters, an address before them, and suffixes that say what the object's first bytes say better.
	tailPart = `_[^/]+`

	distributionPart = `(?P<source>E[A-Z0-9]{7,})`
	secondPart       = `(?P<time>\d{4}(?:-\d\d){5})`

	balancers      = accountPart + `_elasticloadbalancing_` + regionPart + `_`
	application    = `app\.(?P<source>[^/_.]+)\.[^/_.]+_` + timePart + tailPart
	firewall       = accountPart + `_network-firewall_`
	inFirewall     = `_` + regionPart + `_` + namePart + `_` + timePart + tailPart
	redshift       = accountPart + `_redshift_` + regionPart + `_` + sourcePart + `_`
	redshiftTime   = `_(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d)(?:\.[^/]*)?`
	cloudFrontPath = `AWSLogs/(?:aws-account-id=)?\d{10,14}/CloudFront/`
	cloudFrontFile = distributionPart + `\.(?P<time>\d{4}(?:-\d\d){3})\.[0-9A-Za-z]{8,}(?:\.gz|\.parquet)?`
	uniqueString   = `-[0-9A-F]{16}`

	firehoseVersion = `-\d+-` + secondPart + `-`
	firehoseSuffix  = `(?:\.[^/]+)?`
)

// format is how the objects of a log are named.
type format struct {
	logType Type
	framing Framing
	// pattern names what it finds as in the constants above. The parts of a time, without what is not a digit, are year,
	// month, day, hour and so on.
	pattern *regexp.Regexp
}

// formats are tried in this order. Most know a log by the name of its file alone, which says all that the folders do:
// those may be organized by hour, for Hive, below an organization's id, or in a way of the customer's own.
var formats = []format{
	{ALBAccess, Lines, endOfKey(balancers + application)},
	{ALBConnection, Lines, endOfKey(`conn_log[_.]` + balancers + application)},
	{ALBHealthCheck, Lines, endOfKey(`health_check_log[_.]` + balancers + application)},
	{NLBTLS, Lines, endOfKey(balancers + `net\.(?P<source>[^/_.]+)\.[^/_.]+_` + timePart + tailPart)},
	// A classic load balancer's name has no dots, and may well begin with app or net.
	{CLBAccess, Lines, endOfKey(balancers + `(?P<source>[^/_.]+)_` + timePart + tailPart)},
	{ELBTest, NoRecords, endOfKey(`(?:` + accountPart + `/)?ELB[A-Za-z]*LogTestFile`)},
	{VPCFlow, Lines, endOfKey(accountPart + `_vpcflowlogs_` + regionPart + `_(?P<source>fl-[^/_]+)_` + timePart + tailPart)},
	{CloudTrail, JSONRecords, endOfKey(accountPart + `_CloudTrail(?:-NetworkActivity|-Aggregated)?_` + regionPart + `_` + timePart + tailPart)},
	{CloudTrailInsight, JSONRecords, endOfKey(accountPart + `_CloudTrail-Insight_` + regionPart + `_` + timePart + tailPart)},
	{CloudTrailDigest, NoRecords, endOfKey(accountPart + `_CloudTrail-Digest_` + regionPart + `_[^/]+_` + regionName + `_` + timePart + `(?:\.[^/]*)?`)},
	{WAF, Lines, endOfKey(accountPart + `_waflogs_(?P<region>` + regionName + `|` + cloudFrontScope + `)_` + namePart + `_` + timePart + tailPart)},
	{NetworkFirewallAlert, Lines, endOfKey(firewall + `alert` + inFirewall)},
	{NetworkFirewallFlow, Lines, endOfKey(firewall + `flow` + inFirewall)},
	{NetworkFirewallTLS, Lines, endOfKey(firewall + `tls` + inFirewall)},
	{Route53Resolver, Lines, endOfKey(`(?P<source>vpc-[^/_]+)_vpcdnsquerylogs_` + accountPart + `_` + timePart + tailPart)},
	{RedshiftConnection, Lines, endOfKey(redshift + `connectionlog` + redshiftTime)},
	{RedshiftUser, Lines, endOfKey(redshift + `userlog` + redshiftTime)},
	{RedshiftUserActivity, JoinedLines, endOfKey(redshift + `useractivitylog` + redshiftTime)},
	// Standard logging v2 lets the customer choose the folders below these.
	{CloudFront, Lines, endOfKey(cloudFrontPath + `(?:[^/]+/)*` + cloudFrontFile)},
	{CloudFront, Lines, endOfKey(cloudFrontPath + `(?:[^/]+/)*?(?:(?i:distributionid)=)?` + distributionPart + `/.+`)},
	{CloudFront, Lines, endOfKey(cloudFrontPath + `.+`)},
	{GuardDuty, Lines, endOfKey(accountPart + `/GuardDuty/` + regionPart + `/\d{4}/\d\d/\d\d/[^/]+\.jsonl(?:\.gz)?`)},
	// The file's name has the hour and the minute, the folder before it the day.
	{MSKBroker, JoinedLines, endOfKey(accountPart + `/KafkaBrokerLogs/` + regionPart + `/` + namePart + `-` + uuidPart + `(?:-\d+)?` +
		`/(?P<day>\d{4}-\d\d-\d\d)-\d\d/Broker-\d+_(?P<time>\d\d-\d\d)` + tailPart)},
	// The customer's prefix comes before the account's id, or before the year, with no slash in between. A folder of
	// nothing but digits is taken to be the id.
	{S3Access, Lines, endOfKey(partitioned(accountPart))},
	{S3Access, Lines, regexp.MustCompile(partitioned(`(?P<account>\d{12})`) + `$`)},
	// Last, because names of streams can be anything. Without Firehose's own folders, only its UUID tells its objects from
	// those of others.
	{Firehose, JSONDocuments, endOfKey(namePart + firehoseVersion + uuidPart + firehoseSuffix)},
	{Firehose, JSONDocuments, regexp.MustCompile(`\d{4}/\d\d/\d\d/\d\d/` + namePart + firehoseVersion + `[0-9A-Za-z-]+` + firehoseSuffix + `$`)},
}

// doubtful are names that others may well give to their files. So it counts what the object begins with as well.
var doubtful = []struct {
	format
	head *regexp.Regexp
}{
	{format{CloudFront, Lines, endOfKey(cloudFrontFile)}, regexp.MustCompile(
		`^(?:#(?:Version|Fields):|PAR1|\{(?s:.*)"(?:x-edge-|sc-|cs-|cs\(|date":"\d{4}-)|\d{4}-\d\d-\d\d(?:\t|[^0-9A-Za-z]\d\d:\d\d:\d\d[^0-9A-Za-z][A-Z]{3}\d))`)},
	{format{S3Access, Lines, regexp.MustCompile(secondPart + uniqueString + `$`)}, regexp.MustCompile(`^[^ \n]+ [^ \n]+ \[\d\d/[A-Z][a-z]{2}/\d{4}:`)},
}

// endOfKey is for keys that end with whole folders and a file's name.
func endOfKey(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?:^|/)` + pattern + `$`) }

// partitioned is a key with date-based partitioning.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html#server-access-logging-overview
func partitioned(account string) string {
	return account + `/` + regionPart + `/` + namePart + `/\d{4}/\d\d/\d\d/` + secondPart + uniqueString
}

// cloudFrontScope stands for the region in the keys of web ACLs that are for CloudFront, all of which are in us-east-1.
// https://docs.aws.amazon.com/waf/latest/developerguide/logging-s3.html
// https://docs.aws.amazon.com/waf/latest/APIReference/API_CreateWebACL.html
const (
	cloudFrontScope  = "cloudfront"
	cloudFrontRegion = "us-east-1"
)

// firehoseWAFPrefix begins the name of every stream that WAF writes to.
// https://docs.aws.amazon.com/waf/latest/developerguide/logging-kinesis.html
const firehoseWAFPrefix = "aws-waf-logs-"

// cloudFrontAccount finds the account among the folders: the names of CloudFront's files do not have it.
var cloudFrontAccount = regexp.MustCompile(`(?:^|/)(?:AWSLogs/(\d{10,14})/CloudFront|aws-account-id=(\d{10,14}))/`)

// Identify says which log an object holds, by its key, and by head, its first decoded bytes: up to 4096 of them, which
// may end within a line. head stays the caller's, and nothing of the result is in it.
//
// The key is as S3 has it, not as its notifications encode it. What a key says is not doubted; where it says nothing, or
// only that Firehose wrote the object, the content decides.
func Identify(key string, head []byte) Object {
	start := trimStart(head)
	object := fromKey(key, start)
	switch {
	case isParquet(key, start):
		object.Framing = Parquet
	case object.Type == Firehose:
		object = fromFirehose(object, start)
	case object.Type == Unknown:
		object = fromContent(start)
	}
	return object
}

func fromKey(key string, head []byte) Object {
	for _, f := range formats {
		if o, ok := f.find(key); ok && isName(o.Source) && isName(o.Region) {
			return completed(o, key, head)
		}
	}
	for _, f := range doubtful {
		if o, ok := f.find(key); ok && isName(o.Source) && (len(head) == 0 || f.head.Match(head)) {
			return completed(o, key, head)
		}
	}
	return Object{Type: Unknown}
}

// completed is o with what its type and its head say beyond the pattern.
func completed(o Object, key string, head []byte) Object {
	switch o.Type {
	case VPCFlow:
		o.Type = flowType(head)
	case CloudTrail, CloudTrailInsight:
		o.Source = string(CloudTrail)
		if _, ok := afterTokens(head, `{`, `"Records"`, `:`); !ok && len(head) > 0 {
			o.Framing = JSONDocuments
		}
	case CloudTrailDigest:
		o.Source = string(CloudTrail)
	case GuardDuty:
		o.Source = string(GuardDuty)
	case WAF:
		if o.Region == cloudFrontScope {
			o.Region = cloudFrontRegion
		}
	case CloudFront:
		if m := cloudFrontAccount.FindStringSubmatch(key); m != nil {
			o.AccountID = m[1] + m[2] // one of them is empty
		}
		if isJSON(head) {
			o.Framing = JSONDocuments
		}
	case S3Access:
		if said := fromContent(head); o.Source == "" && said.Type == S3Access {
			o.Source = said.Source
		}
	case Route53Resolver:
		o.Region = membersOf(head).region("region")
	case Firehose:
		if strings.HasPrefix(o.Source, firehoseWAFPrefix) && (len(head) == 0 || isParquet(key, head)) {
			o.Type = WAF
		}
	}
	return o
}

// fromFirehose is what the content says of an object that Firehose wrote, which is all that makes the logs of AWS's
// services different from any other there.
func fromFirehose(o Object, head []byte) Object {
	said := fromContent(head)
	said.Time = o.Time
	if said.Source == "" {
		said.Source = o.Source
	}
	if said.Type == Unknown {
		said.Type = Firehose
	}
	// Firehose puts nothing between records unless it is told to. The first of those that nothing is known of says nothing
	// about the others.
	if said.Framing == Lines && (said.Type == Firehose || isJSON(head)) {
		said.Framing = JSONDocuments
	}
	return said
}

// find returns what the pattern finds in s, and whether it does.
func (f format) find(s string) (Object, bool) {
	m := f.pattern.FindStringSubmatch(s)
	if m == nil {
		return Object{}, false
	}
	group := func(name string) string {
		if i := f.pattern.SubexpIndex(name); i >= 0 {
			return m[i]
		}
		return ""
	}
	return Object{
		Type:      f.logType,
		Framing:   f.framing,
		Source:    group("source"),
		AccountID: group("account"),
		Region:    group("region"),
		Time:      timeOf(group("day") + group("time")),
	}, true
}

// timeOf reads year, month, day, hour, and minute and second if they are there, whatever stands between them. What is no
// valid time is zero.
func timeOf(s string) time.Time {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || '9' < r {
			return -1
		}
		return r
	}, s)
	const layout = "20060102150405"
	t, err := time.Parse(layout[:min(len(digits), len(layout))], digits)
	if err != nil || t.Year() < minYear || maxYear < t.Year() {
		return time.Time{}
	}
	return t
}

// isName says whether s can be a part of an Object.
func isName(s string) bool {
	const maxNameBytes = 255
	return len(s) <= maxNameBytes && utf8.ValidString(s)
}
