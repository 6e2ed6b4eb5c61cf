// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const (
	s3Owner     = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"
	cloudTrail1 = `{"eventVersion":"1.08","userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"},"eventTime":"2023-05-19T07:44:30Z",` +
		`"eventSource":"sts.amazonaws.com","eventName":"AssumeRole","awsRegion":"eu-west-3","recipientAccountId":"123456789012"}`
	insight1 = `{"eventVersion":"1.07","eventTime":"2019-11-14T20:54:00Z","awsRegion":"us-east-1","eventID":"55ed45c5","eventType":"AwsCloudTrailInsight",` +
		`"recipientAccountId":"123456789012","insightDetails":{"state":"Start","eventSource":"autoscaling.amazonaws.com"},"eventCategory":"Insight"}`
	cloudWatch1 = `{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/f","logStream":"s","subscriptionFilters":["x"],"logEvents":[{"id":"1"`
	waf1        = `{"timestamp":1693457862729,"formatVersion":1,"webaclId":"arn:aws:wafv2:ap-southeast-2:111111111111:regional/webacl/TEST-WEBACL/770a1b2c",` +
		`"terminatingRuleId":"Default_Action","action":"ALLOW","httpRequest":{"clientIp":"127.0.0.1"`
	resolver1 = `{"srcaddr":"4.5.64.102","vpc_id":"vpc-7example","answers":[{"Rdata":"203.0.113.9","Type":"PTR","Class":"IN"}],"query_name":"15.3.4.32.in-addr.arpa.",` +
		`"query_class":"IN","srcids":{"instance":"i-0d15cd0d3example"},"rcode":"NOERROR","account_id":"111122223333","query_timestamp":"2021-02-04T17:51:55Z","region":"us-east-1"}`
	alert1 = `{"firewall_name":"fw-1","availability_zone":"us-west-2a","event_timestamp":"1700000000","event":{"timestamp":"2023-11-14T22:13:20.000000+0000","flow_id":1,` +
		`"event_type":"alert","src_ip":"10.0.0.1","alert":{"action":"blocked"`
	firewallTLS1 = `{ "firewall_name": "firewall-tls-test", "availability_zone": "us-east-1d", "event_timestamp": 1719943304, "event": { "timestamp": ` +
		`"2024-07-02T18:01:44.412778Z", "src_ip": "10.0.2.53", "sni": "-", "tls_error": { "error_message": "Server name is not found in client hello." } } }`
	guardDuty1 = `{"schemaVersion":"2.0","accountId":"123456789012","region":"us-west-2","partition":"aws","id":"16b","arn":` +
		`"arn:aws:guardduty:us-west-2:123456789012:detector/0ab1/finding/16b","type":"Recon:EC2/PortProbeUnprotectedPort","resource":{`
	s3Notification = `{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put"}`
)

// contentTests are what objects begin with of which the key says nothing.
var contentTests = []struct {
	head string
	want Object
}{
	{`{"Records":[` + cloudTrail1 + `,{"eventVersion"`, Object{Type: CloudTrail, Framing: JSONRecords, Source: "cloudtrail"}},
	{"\ufeff\n{ \"Records\" : [ " + cloudTrail1, Object{Type: CloudTrail, Framing: JSONRecords, Source: "cloudtrail"}},
	// The head ends before the account's id.
	{`{"Records":[` + strings.TrimSuffix(cloudTrail1, `,"recipientAccountId":"123456789012"}`), Object{Type: CloudTrail, Framing: JSONRecords, Source: "cloudtrail"}},
	{`{"Records":[` + insight1, Object{Type: CloudTrailInsight, Framing: JSONRecords, Source: "cloudtrail"}},
	// Cut short before it is said where the event is from, or while it is.
	{`{"Records":[{"eventVersion":"1.08","userIdentity":{"type":"x`, Object{Type: CloudTrail, Framing: JSONRecords, Source: "cloudtrail"}},
	{`{"Records":[{"eventVersion":"1.08","userIdentity":{},"eventSource":"sts.ama`, Object{Type: CloudTrail, Framing: JSONRecords, Source: "cloudtrail"}},
	{`{"Records":[{"eventVersion":"1.07","eventCategory":"Insight"`, Object{Type: CloudTrailInsight, Framing: JSONRecords, Source: "cloudtrail"}},
	{cloudTrail1 + "\n" + insight1, Object{Type: CloudTrail, Framing: JSONDocuments, Source: "cloudtrail"}},
	{cloudWatch1, Object{Type: CloudWatch, Framing: JSONDocuments}},
	{`{"logEvents":[{"id":"","message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}],"messageType":"CONTROL_MESSAGE"}`, Object{Type: CloudWatch, Framing: JSONDocuments}},
	{waf1, Object{Type: WAF, Framing: JSONDocuments, Source: "TEST-WEBACL", AccountID: "111111111111", Region: "ap-southeast-2"}},
	{
		`{"timestamp":1,"formatVersion":1,"webaclId":"arn:aws-us-gov:wafv2:us-gov-west-1:123456789012:global\/webacl\/a_b\/770a"}`,
		Object{Type: WAF, Framing: JSONDocuments, Source: "a_b", AccountID: "123456789012", Region: "us-gov-west-1"},
	},
	{
		`{"timestamp":1533689070589,"formatVersion":1,"webaclId":"385cb038-3a6f-4f2f-ac64-09ab912af590","terminatingRuleId":"Default_Action"}`,
		Object{Type: WAF, Framing: JSONDocuments, Source: "385cb038-3a6f-4f2f-ac64-09ab912af590"},
	},
	{
		`{"timestamp":1,"formatVersion":1,"webaclId":"arn:aws:wafv2:us-east-1:123456789012:global/webacl/` + strings.Repeat("x", 256) + `/770a"}`,
		Object{Type: WAF, Framing: JSONDocuments, AccountID: "123456789012", Region: "us-east-1"},
	},
	{strings.Replace(resolver1, "111122223333", "11112222333", 1), Object{Type: Route53Resolver, Framing: JSONDocuments, Source: "vpc-7example", AccountID: "11112222333", Region: "us-east-1"}},
	{resolver1, Object{Type: Route53Resolver, Framing: JSONDocuments, Source: "vpc-7example", AccountID: "111122223333", Region: "us-east-1"}},
	{strings.Replace(resolver1, "us-east-1", "us-"+strings.Repeat("x", 255)+"-1", 1), Object{Type: Route53Resolver, Framing: JSONDocuments, Source: "vpc-7example", AccountID: "111122223333"}},
	{strings.Replace(resolver1, "vpc-7", "vpc-\xff", 1), Object{Type: Route53Resolver, Framing: JSONDocuments, AccountID: "111122223333", Region: "us-east-1"}},
	{
		strings.NewReplacer("111122223333", "me", "us-east-1", "here").Replace(resolver1),
		Object{Type: Route53Resolver, Framing: JSONDocuments, Source: "vpc-7example"},
	},
	{alert1, Object{Type: NetworkFirewallAlert, Framing: JSONDocuments, Source: "fw-1"}},
	{strings.Replace(alert1, "alert", "netflow", 1), Object{Type: NetworkFirewallFlow, Framing: JSONDocuments, Source: "fw-1"}},
	{strings.Replace(alert1, "alert", "tls", 1), Object{Type: NetworkFirewallTLS, Framing: JSONDocuments, Source: "fw-1"}},
	{firewallTLS1, Object{Type: NetworkFirewallTLS, Framing: JSONDocuments, Source: "firewall-tls-test"}},
	{guardDuty1, Object{Type: GuardDuty, Framing: JSONDocuments, Source: "guardduty", AccountID: "123456789012", Region: "us-west-2"}},
	{`{"schemaVersion":"2.0","service":{"serviceName":"guardduty","detectorId":"0ab1"`, Object{Type: GuardDuty, Framing: JSONDocuments, Source: "guardduty"}},
	{"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n2 123456789010", Object{Type: VPCFlow}},
	{"srcaddr dstaddr start", Object{Type: VPCFlow}},
	{"version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id srcaddr dstaddr\r\n", Object{Type: TGWFlow}},
	{"#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host)\n2019-12-04\t21:02:31", Object{Type: CloudFront}},
	{"#Version: 1.0\r\n#Fields: date\ttime\tx-edge-location\r\n", Object{Type: CloudFront}},
	{"http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80", Object{Type: ALBAccess, Source: "my-loadbalancer"}},
	{"https 2018-07-02T22:23:00.186641Z app/net-x/50dc6c495c0c9188 192.168.131.39:2817", Object{Type: ALBAccess, Source: "net-x"}},
	{"h2 2018-07-02T22:23:00Z app/net-x/50dc6c495c0c9188 192.168.131.39:2817", Object{Type: ALBAccess, Source: "net-x"}},
	{"grpcs 2018-07-02T22:23:00Z app/net-x/50dc6c495c0c9188 192.168.131.39:2817", Object{Type: ALBAccess, Source: "net-x"}},
	{"ws 2018-07-02T22:23:00Z app/net-x/50dc6c495c0c9188 192.168.131.39:2817", Object{Type: ALBAccess, Source: "net-x"}},
	{"wss 2018-07-02T22:23:00Z app/net-x/50dc6c495c0c9188 192.168.131.39:2817", Object{Type: ALBAccess, Source: "net-x"}},
	{"tls 2.0 2020-04-01T08:51:42 net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd 72.21.218.154:51341", Object{Type: NLBTLS, Source: "my-network-loadbalancer"}},
	{s3Owner + " DOC-EXAMPLE-BUCKET1 [06/Feb/2019:00:00:38 +0000] 192.0.2.3", Object{Type: S3Access, Source: "DOC-EXAMPLE-BUCKET1"}},

	{"", Object{Type: Unknown}},
	{"\n\n", Object{Type: Unknown}},
	{"{", Object{Type: Unknown}},
	{"{}", Object{Type: Unknown}},
	{`{"level":"info","msg":"started"}`, Object{Type: Unknown}},
	// Notifications of S3, alone and as SQS or a Lambda function gets them.
	{`{"Records":[` + s3Notification + `]}`, Object{Type: Unknown}},
	{s3Notification, Object{Type: Unknown}},
	{`{"Records":[]}`, Object{Type: Unknown}},
	{`{"Records":[[` + cloudTrail1, Object{Type: Unknown}},
	// An application that has such a thing in its own.
	{`{"level":"info","request":` + waf1, Object{Type: Unknown}},
	{`{"event":` + alert1, Object{Type: Unknown}},
	{`{"message":"\"messageType\":\"DATA_MESSAGE\",\"logGroup\":"}`, Object{Type: Unknown}},
	{`[` + waf1, Object{Type: Unknown}},
	{`INFO ` + waf1, Object{Type: Unknown}},
	{"INFO starting\n" + cloudTrail1, Object{Type: Unknown}},
	// One thing is missing, or another.
	{strings.Replace(waf1, "formatVersion", "version", 1), Object{Type: Unknown}},
	{strings.Replace(waf1, "wafv2", "waf", 1), Object{Type: Unknown}},
	{`{"timestamp":1,"formatVersion":1,"webaclId":"my-acl"}`, Object{Type: Unknown}},
	{`{"timestamp":1,"formatVersion":1,"webaclId":"arn:aws:waf`, Object{Type: Unknown}},
	{strings.Replace(cloudWatch1, "DATA_MESSAGE", "OTHER", 1), Object{Type: Unknown}},
	{`{"messageType":"DATA_MESSAGE","text":"x"}`, Object{Type: Unknown}},
	{strings.Replace(cloudTrail1, "eventVersion", "version", 1), Object{Type: Unknown}},
	{strings.Replace(resolver1, "query_timestamp", "timestamp", 1), Object{Type: Unknown}},
	{strings.Replace(resolver1, "vpc_id", "vpc", 1), Object{Type: Unknown}},
	{strings.Replace(alert1, "alert", "http", 1), Object{Type: Unknown}},
	{strings.Replace(alert1, "event_timestamp", "timestamp", 1), Object{Type: Unknown}},
	{strings.Replace(firewallTLS1, "tls_error", "error", 1), Object{Type: Unknown}},
	{strings.Replace(guardDuty1, "arn:aws:guardduty", "arn:aws:inspector", 1), Object{Type: Unknown}},
	{strings.Replace(guardDuty1, "schemaVersion", "version", 1), Object{Type: Unknown}},
	{"the start and end of the action", Object{Type: Unknown}},
	{"srcaddr is what it says", Object{Type: Unknown}},
	{"srcaddr, dstaddr", Object{Type: Unknown}},
	{"2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK", Object{Type: Unknown}},
	{"#Version: 1.0\n#Fields: date time s-ip cs-method", Object{Type: Unknown}},
	{"#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n#Fields: date time x-edge-location", Object{Type: Unknown}},
	{"ftp 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817", Object{Type: Unknown}},
	{"http 2018-07-02T22:23:00.186641Z random/lb/50dc6c495c0c9188 192.168.131.39:2817", Object{Type: Unknown}},
	{"tls 2.0 2020-04-01T08:51:42 app/my-network-loadbalancer/c6e77e28c25b2234 g3d4", Object{Type: Unknown}},
	{s3Owner[1:] + " DOC-EXAMPLE-BUCKET1 [06/Feb/2019:00:00:38 +0000] 192.0.2.3", Object{Type: Unknown}},
	{s3Owner + " DOC-EXAMPLE-BUCKET1 06/Feb/2019:00:00:38 +0000 192.0.2.3", Object{Type: Unknown}},
	// Logs of which the lines are not told from those of others.
	{"2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000086", Object{Type: Unknown}},
	{"[2025-07-04 11:57:55,836] INFO AdminClientConfig values:", Object{Type: Unknown}},
}

func TestIdentifyContent(t *testing.T) {
	for _, tt := range contentTests {
		assert.Equal(t, tt.want, Identify("app/2024/05/30/server.log", []byte(tt.head)), tt.head)
	}
}

// A head may end anywhere: it then says less, and never another thing.
func TestIdentifyContentCutShort(t *testing.T) {
	for _, tt := range contentTests {
		for end := range len(tt.head) {
			got := Identify("server.log", []byte(tt.head[:end]))
			if got.Type == Unknown {
				assert.Equal(t, Object{Type: Unknown}, got)
				continue
			}
			assert.Equal(t, tt.want.Type, got.Type, tt.head[:end])
			assert.Contains(t, []string{tt.want.Source, ""}, got.Source, tt.head[:end])
			assert.Contains(t, []string{tt.want.AccountID, ""}, got.AccountID, tt.head[:end])
			assert.Contains(t, []string{tt.want.Region, ""}, got.Region, tt.head[:end])
		}
	}
}

func TestIdentifyFirehose(t *testing.T) {
	const (
		key    = "2020/10/02/21/my-app-1-2020-10-02-21-25-30-3f0f6b7e-8d4c-4c2a-9d5e-0a1b2c3d4e5f"
		wafKey = "2020/10/02/21/aws-waf-logs-testing-1-2020-10-02-21-25-30-x"
	)
	written := at(2020, 10, 2, 21, 25, 30)
	stream := Object{Type: Firehose, Framing: JSONDocuments, Source: "my-app", Time: written}
	text := stream // the first record says nothing about the others
	for _, tt := range []struct {
		key, head string
		want      Object
	}{
		{key, "", stream},
		{key, `{"a":1}{"a":2}`, stream},
		{key, "a line\n", text},
		{key, "[1]", text},
		{key + ".gz", "", stream},
		{"logs2020/10/02/21/my-app-1-2020-10-02-21-25-30-x.json.gz", "", stream},
		{"dt=2020-10-02/my-app-12-2020-10-02-21-25-30-3f0f6b7e-8d4c-4c2a-9d5e-0a1b2c3d4e5f", "", stream},
		// An application's own file may well be called so.
		{"app/host-1-2020-10-02-21-25-30-final.log", "", Object{Type: Unknown}},
		{key + ".parquet", "PAR1\x15", Object{Type: Firehose, Framing: Parquet, Source: "my-app", Time: written}},
		{"2020/10/02/21/my-app-1-2020-13-02-21-25-30-x", "", Object{Type: Firehose, Framing: JSONDocuments, Source: "my-app"}},
		{"2020/10/02/21/my-app-2020-10-02-21-25-30-x", "", Object{Type: Unknown}},
		{"2020/10/02/21/my-app-1-2020-10-02-21-25-30", "", Object{Type: Unknown}},
		{"2020/10/02/21/my-app-1-2020-10-02-21-25-30-x_y", "", Object{Type: Unknown}},
		{"2020/10/02/21/" + strings.Repeat("x", 256) + "-1-2020-10-02-21-25-30-x", "", Object{Type: Unknown}},
		// The content's own source is better, and the stream is one where there is none.
		{key, waf1, Object{Type: WAF, Framing: JSONDocuments, Source: "TEST-WEBACL", AccountID: "111111111111", Region: "ap-southeast-2", Time: written}},
		{key, cloudWatch1, Object{Type: CloudWatch, Framing: JSONDocuments, Source: "my-app", Time: written}},
		{key, `{"Records":[` + cloudTrail1, Object{Type: CloudTrail, Framing: JSONRecords, Source: "cloudtrail", Time: written}},
		{key, `{"message":"2 123456789012 eni-0123 10.0.0.1 `, Object{Type: Firehose, Framing: JSONDocuments, Source: "my-app", Time: written}},
		{key, `{"message":"2 123456789012 eni-0123 10.0.0.1"}{`, Object{Type: VPCFlow, Framing: JSONDocuments, Source: "my-app", Time: written}},
		{key, `{"message":"2 times eni-0123 failed"}`, stream},
		{key, "srcaddr dstaddr\n", Object{Type: VPCFlow, Source: "my-app", Time: written}},
		{key, "http 2018-07-02T22:23:00.186641Z app/lb/50dc6c495c0c9188 192.168.131.39:2817", Object{Type: ALBAccess, Source: "lb", Time: written}},
		{wafKey, waf1, Object{Type: WAF, Framing: JSONDocuments, Source: "TEST-WEBACL", AccountID: "111111111111", Region: "ap-southeast-2", Time: written}},
		{wafKey, "", Object{Type: WAF, Framing: JSONDocuments, Source: "aws-waf-logs-testing", Time: written}},
		{wafKey, "PAR1\x15", Object{Type: WAF, Framing: Parquet, Source: "aws-waf-logs-testing", Time: written}},
		{wafKey, `{"a":1}`, Object{Type: Firehose, Framing: JSONDocuments, Source: "aws-waf-logs-testing", Time: written}},
	} {
		assert.Equal(t, tt.want, Identify(tt.key, []byte(tt.head)), "%s %s", tt.key, tt.head)
	}
}

// What is there in whole, and does not say where it is from, is no event of CloudTrail's.
func TestIdentifyNotCloudTrail(t *testing.T) {
	for _, head := range []string{
		`{"Records":[{"eventVersion":"1.08","userIdentity":"bob"}],"x":1}`,
		`{"eventVersion":"1","userIdentity":"bob","msg":"x"}`,
		`{"Records":[{"eventVersion":"1.08","userIdentity":{},"eventSource":"aws:s3"`,
	} {
		assert.Equal(t, Object{Type: Unknown}, Identify("app.json", []byte(head)), head)
	}
}
