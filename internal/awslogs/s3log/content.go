// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/awsloki/awsloki/internal/jsonscan"
)

// contents are what the logs that no key tells begin with. What other programs may write as well is not among them.
var contents = []format{
	{ALBAccess, Lines, regexp.MustCompile(`^(?:https?|h2|grpcs|wss?) ` + clockPart + ` app/` + balancerPart)},
	{NLBTLS, Lines, regexp.MustCompile(`^tls \d+\.\d+ ` + clockPart + ` net/` + balancerPart)},
	// The owner's canonical id, the bucket, and the time.
	{S3Access, Lines, regexp.MustCompile(`^[0-9a-f]{64} (?P<source>[A-Za-z0-9._-]{3,}) \[\d\d/[A-Z][a-z]{2}/\d{4}:`)},
	// The first two lines are what all logs in W3C's format have.
	{CloudFront, Lines, regexp.MustCompile(`^#Version:[^\n]*\n#Fields:[^\n]*[ \t]x-edge-`)},
	{VPCFlow, Lines, regexp.MustCompile(`^(?:` + flowWord + ` )*` + flowName + `(?: ` + flowWord + `)* ` + flowName + `(?: ` + flowWord + `)*\r?(?:\n|$)`)},
}

const (
	clockPart    = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?`
	balancerPart = `(?P<source>[^/ \n]+)/[^/ \n]+ `

	// A header of flow logs: words like names of fields, two of them at least such as stand in no other text.
	flowWord = `[a-z][a-z0-9-]*`
	flowName = `(?:account-id|interface-id|srcaddr|dstaddr|srcport|dstport|log-status|vpc-id|subnet-id|pkt-srcaddr|` +
		`pkt-dstaddr|flow-direction|traffic-path|` + transitName + `)`
	// The fields that only transit gateways' flow logs have.
	// https://docs.aws.amazon.com/vpc/latest/tgw/tgw-flow-logs.html#flow-logs-fields
	transitName = `(?:tgw-id|tgw-attachment-id|tgw-pair-attachment-id|tgw-(?:src|dst)-[a-z-]+|resource-type|packets-lost-[a-z-]+)`
)

var (
	transitHeader = regexp.MustCompile(`^(?:` + flowWord + ` )*` + transitName + `(?:[ \r\n]|$)`)
	accountID     = regexp.MustCompile(`^\d{10,14}$`)
	regionID      = regexp.MustCompile(`^` + regionName + `$`)
	uuid          = regexp.MustCompile(`^` + uuidPart + `$`)
	webACL        = format{WAF, JSONDocuments, regexp.MustCompile(
		`^arn:[a-z-]+:wafv2:` + regionPart + `:` + accountPart + `:(?:regional|global)/webacl/(?P<source>[^/]+)/[^/]+$`)}
	flowLine         = regexp.MustCompile(`^2 \d{10,14} eni-[0-9a-f]+ `)
	guardDutyFinding = regexp.MustCompile(`^arn:[a-z-]+:guardduty:[^:]+:[^:]+:detector/`)
)

// trimStart is head without what may stand before the first record.
func trimStart(head []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
}

func isJSON(head []byte) bool { return bytes.HasPrefix(head, []byte("{")) }

// isParquet goes by the format's first bytes, and by the one behind them, with which the header of a page begins, or else
// the metadata, so that no text is taken for it.
// https://parquet.apache.org/docs/file-format/
func isParquet(key string, head []byte) bool {
	return bytes.HasPrefix(head, []byte("PAR1\x15")) || len(head) > 0 && strings.HasSuffix(key, ".parquet")
}

// fromContent is what head alone says of an object.
func fromContent(head []byte) Object {
	read := fromText
	if isJSON(head) {
		read = fromJSON
	}
	o := read(head)
	o.Source, o.AccountID, o.Region = nameIn(o.Source), nameIn(o.AccountID), nameIn(o.Region)
	return o
}

// nameIn is s if it is a name, as a copy: what it was cut from is much larger.
func nameIn(s string) string {
	if !isName(s) {
		return ""
	}
	return strings.Clone(s)
}

func fromText(head []byte) Object {
	text := string(head)
	for _, f := range contents {
		o, ok := f.find(text)
		if !ok {
			continue
		}
		if o.Type == VPCFlow {
			o.Type = flowType(head)
		}
		return o
	}
	return Object{Type: Unknown}
}

// flowType tells the two flow logs apart by the names of their fields.
func flowType(head []byte) Type {
	if transitHeader.Match(head) {
		return TGWFlow
	}
	return VPCFlow
}

// WithColumns is o with what the names of its columns say, for a Parquet file: it has no other header.
func (o Object) WithColumns(names []string) Object {
	if o.Type == VPCFlow {
		o.Type = flowType([]byte(strings.ReplaceAll(strings.Join(names, " "), "_", "-")))
	}
	return o
}

// jsonLogs are asked in this order what a JSON object's members say.
var jsonLogs = []func(members) (Object, bool){cloudTrail, cloudWatch, waf, route53Resolver, networkFirewall, findingOfGuardDuty, flowMessage}

func fromJSON(head []byte) Object {
	if first, ok := afterTokens(head, `{`, `"Records"`, `:`, `[`); ok {
		if o, ok := cloudTrail(membersOf(first)); ok {
			o.Framing = JSONRecords
			return o
		}
		return Object{Type: Unknown}
	}
	m := membersOf(head)
	for _, recognise := range jsonLogs {
		if o, ok := recognise(m); ok {
			o.Framing = JSONDocuments
			return o
		}
	}
	return Object{Type: Unknown}
}

// cloudTrail takes care not to take notifications of S3 for events: they are in {"Records":[...]} as well, and have an
// eventVersion and next to it an eventSource, aws:s3. Events of Insights have none, and others may be cut short before it. The account is not read: it stands at the end of
// an event, where head has it for one object and lacks it for the next.
func cloudTrail(m members) (Object, bool) {
	insight := m.text("eventType") == "AwsCloudTrailInsight" || m.text("eventCategory") == "Insight"
	source := m.text("eventSource")
	isEvent := strings.HasSuffix(source, ".amazonaws.com") || source == "" && m.cut && m.have("userIdentity")
	if !m.have("eventVersion") || !insight && !isEvent {
		return Object{}, false
	}
	if insight {
		return Object{Type: CloudTrailInsight, Source: string(CloudTrail)}, true
	}
	return Object{Type: CloudTrail, Source: string(CloudTrail)}, true
}

func cloudWatch(m members) (Object, bool) {
	messageType := m.text("messageType")
	ok := (messageType == "DATA_MESSAGE" || messageType == "CONTROL_MESSAGE") && (m.have("logGroup") || m.have("logEvents"))
	return Object{Type: CloudWatch}, ok
}

// waf reads the web ACL's ARN; AWS WAF Classic has its id in the same place.
// https://docs.aws.amazon.com/waf/latest/developerguide/classic-logging.html
func waf(m members) (Object, bool) {
	if !m.have("timestamp", "formatVersion") {
		return Object{}, false
	}
	acl := m.text("webaclId")
	if uuid.MatchString(acl) {
		return Object{Type: WAF, Source: acl}, true
	}
	return webACL.find(acl)
}

func route53Resolver(m members) (Object, bool) {
	return Object{
		Type:      Route53Resolver,
		Source:    m.text("vpc_id"),
		AccountID: m.account("account_id"),
		Region:    m.region("region"),
	}, m.have("query_timestamp", "query_name", "vpc_id")
}

func networkFirewall(m members) (Object, bool) {
	logType, ok := firewallLog(membersOf(m.values["event"]))
	return Object{Type: logType, Source: m.text("firewall_name")}, ok && m.have("firewall_name", "event_timestamp")
}

// firewallLog is the log that an event is of. Those of TLS have no type in AWS's examples.
// https://docs.aws.amazon.com/network-firewall/latest/developerguide/tls-inspection-logging.html
func firewallLog(event members) (Type, bool) {
	switch event.text("event_type") {
	case "alert":
		return NetworkFirewallAlert, true
	case "netflow":
		return NetworkFirewallFlow, true
	case "tls":
		return NetworkFirewallTLS, true
	default:
		return NetworkFirewallTLS, !event.have("event_type") && (event.have("tls_error") || event.have("revocation_check"))
	}
}

func findingOfGuardDuty(m members) (Object, bool) {
	ok := m.have("schemaVersion") &&
		(guardDutyFinding.MatchString(m.text("arn")) || membersOf(m.values["service"]).text("serviceName") == "guardduty")
	return Object{
		Type:      GuardDuty,
		Source:    string(GuardDuty),
		AccountID: m.account("accountId"),
		Region:    m.region("region"),
	}, ok
}

// flowMessage is what VPC flow logs are when Firehose delivers them: a line of the default format in a JSON object.
// https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-firehose.html
func flowMessage(m members) (Object, bool) {
	return Object{Type: VPCFlow}, flowLine.MatchString(m.text("message"))
}

// members are those of a JSON object.
type members struct {
	// values are their values by their names, as they stand in a buffer.
	values map[string][]byte
	// cut says that there is no end of the object: the last value may be cut short, and others may lack.
	cut bool
}

// membersOf reads the JSON object that head begins with, as far as it goes, and leaves head as it is.
func membersOf(head []byte) members {
	m := members{values: map[string][]byte{}}
	s := jsonscan.New(head)
	// Those that are no JSON after all have the members that were seen up to there.
	err := s.Object(func(name string) error {
		s.Peek()
		start := s.Offset()
		err := s.Skip()
		if err != nil {
			m.values[name] = head[start:]
			return err
		}
		m.values[name] = head[start:s.Offset()]
		return nil
	})
	m.cut = err != nil
	return m
}

func (m members) have(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return m.values[name] == nil })
}

// text is the value of a string, as a copy. Empty: it is none, or is cut short.
func (m members) text(name string) string {
	s := jsonscan.New(bytes.Clone(m.values[name]))
	text, err := s.Str()
	if err != nil {
		return ""
	}
	return text
}

func (m members) account(name string) string { return matching(accountID, m.text(name)) }

func (m members) region(name string) string { return matching(regionID, m.text(name)) }

// matching is s, or nothing if it is not as pattern says.
func matching(pattern *regexp.Regexp, s string) string {
	if !pattern.MatchString(s) {
		return ""
	}
	return s
}

// afterTokens is what follows tokens at the start of head, with white space before each or not.
func afterTokens(head []byte, tokens ...string) (rest []byte, ok bool) {
	for _, token := range tokens {
		head, ok = bytes.CutPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte(token))
		if !ok {
			return nil, false
		}
	}
	return head, true
}
