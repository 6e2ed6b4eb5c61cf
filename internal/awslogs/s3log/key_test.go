// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTypesAreTheConstants(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "s3log.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var constants []Type
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Type" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			constants = append(constants, Type(value))
		}
		return true
	})
	require.NotEmpty(t, constants)
	assert.Equal(t, constants, Types())
}

func at(year int, month time.Month, day, hour, minute, second int) time.Time {
	return time.Date(year, month, day, hour, minute, second, 0, time.UTC)
}

// Keys of load balancers: AWS's examples, and names that look like another kind's.
func TestIdentifyLoadBalancerKeys(t *testing.T) {
	const folders = "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2022/05/01/"
	time2340 := at(2022, 2, 15, 23, 40, 0)
	for key, want := range map[string]Object{
		"my-bucket/AWSLogs/123456789012/elasticloadbalancing/us-east-1/2022/01/24/123456789012_elasticloadbalancing_us-east-1_app.my-loadbalancer.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz": {
			Type: ALBAccess, Source: "my-loadbalancer", AccountID: "123456789012", Region: "us-east-1", Time: at(2022, 1, 24, 0, 0, 0),
		},
		// An account of tests; the suffix and the folders do not matter.
		"11111111111_elasticloadbalancing_us-east-1_app.my-loadbalancer.b13ea9d19f16d015_20220215T2340Z_0.0.0.0_2et2e1mx.json": {
			Type: ALBAccess, Source: "my-loadbalancer", AccountID: "11111111111", Region: "us-east-1", Time: time2340,
		},
		folders + "health_check_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz": {
			Type: ALBHealthCheck, Source: "my-loadbalancer", AccountID: "123456789012", Region: "us-east-2", Time: time2340,
		},
		folders + "health_check_log.123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz": {
			Type: ALBHealthCheck, Source: "my-loadbalancer", AccountID: "123456789012", Region: "us-east-2", Time: time2340,
		},
		folders + "conn_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz": {
			Type: ALBConnection, Source: "my-loadbalancer", AccountID: "123456789012", Region: "us-east-2", Time: time2340,
		},
		folders + "conn_log.123456789012_elasticloadbalancing_us-gov-east-1_app.net-x.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz": {
			Type: ALBConnection, Source: "net-x", AccountID: "123456789012", Region: "us-gov-east-1", Time: time2340,
		},
		"prefix/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2016/05/01/123456789012_elasticloadbalancing_us-east-2_net.my-loadbalancer.1234567890abcdef_201605010000Z_2soosksi.log.gz": {
			Type: NLBTLS, Source: "my-loadbalancer", AccountID: "123456789012", Region: "us-east-2", Time: at(2016, 5, 1, 0, 0, 0),
		},
		folders + "123456789012_elasticloadbalancing_cn-north-1_net.app-x.1234567890abcdef_20220215T2340Z_2soosksi.log.gz": {
			Type: NLBTLS, Source: "app-x", AccountID: "123456789012", Region: "cn-north-1", Time: time2340,
		},
		"AWSLogs/123456789012/elasticloadbalancing/us-west-2/2014/02/15/123456789012_elasticloadbalancing_us-west-2_my-loadbalancer_20140215T2340Z_172.160.001.192_20sg8hgm.log": {
			Type: CLBAccess, Source: "my-loadbalancer", AccountID: "123456789012", Region: "us-west-2", Time: at(2014, 2, 15, 23, 40, 0),
		},
		"prefix/AWSLogs/123456789012/ELBAccessLogTestFile":             {Type: ELBTest, Framing: NoRecords, AccountID: "123456789012"},
		"AWSLogs/123456789012/ELBConnectionLogTestFile":                {Type: ELBTest, Framing: NoRecords, AccountID: "123456789012"},
		"AWSLogs/123456789012/ELBHealthCheckLogTestFile":               {Type: ELBTest, Framing: NoRecords, AccountID: "123456789012"},
		"AWSLogs/o-abcdefghij/ELBAccessLogTestFile":                    {Type: ELBTest, Framing: NoRecords},
		"ELBAccessLogTestFile":                                         {Type: ELBTest, Framing: NoRecords},
		folders + "ELBAccessLogTestFile.gz":                            {Type: Unknown},
		folders + "MyELBAccessLogTestFile":                             {Type: Unknown},
		"AWSLogs/123456789012/ELBAccessLogTestFile/" + "1234_log.json": {Type: Unknown},
	} {
		assert.Equal(t, want, Identify(key, nil), key)
	}
	for _, name := range []string{"network-edge", "application-lb", "app", "net", "app-x", "net-x", "x"} {
		want := Object{Type: CLBAccess, Source: name, AccountID: "123456789012", Region: "eusc-de-east-1", Time: time2340}
		key := folders + "123456789012_elasticloadbalancing_eusc-de-east-1_" + name + "_20220215T2340Z_172.160.001.192_20sg8hgm.log"
		assert.Equal(t, want, Identify(key, nil), key)
	}
}

// Keys below AWSLogs, with the folders that organizations, Control Tower, hours and Hive make.
func TestIdentifyKeysOfServices(t *testing.T) {
	const account = "123456789012"
	records := []byte(`{"Records":[{"eventVersion":"1.08"`)
	flow := Object{Type: VPCFlow, Source: "fl-1234abcd", AccountID: account, Region: "us-east-1", Time: at(2018, 6, 20, 16, 20, 0)}
	flowIn := func(region string) Object { o := flow; o.Region = region; return o }
	trail := Object{Type: CloudTrail, Framing: JSONRecords, Source: "cloudtrail", AccountID: account, Region: "us-east-1", Time: at(2022, 1, 24, 0, 0, 0)}
	webACL := Object{Type: WAF, Source: "TEST-WEBACL", AccountID: "11111111111", Region: "us-east-1", Time: at(2021, 10, 28, 19, 50, 0)}
	for _, tt := range []struct {
		key, head string
		want      Object
	}{
		{key: "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz", want: flow},
		{key: "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/16/123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz", want: flow},
		{key: "p/AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2018/month=06/day=20/hour=16/123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz", want: flow},
		{key: "123456789012_vpcflowlogs_us-gov-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz", want: flowIn("us-gov-east-1")},
		{key: "123456789012_vpcflowlogs_cn-northwest-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz", want: flowIn("cn-northwest-1")},
		{key: "123456789012_vpcflowlogs_us-isob-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz", want: flowIn("us-isob-east-1")},
		{key: "AWSLogs/123456789012/CloudTrail/us-east-1/2022/01/24/123456789012_CloudTrail_us-east-1_20220124T0000Z_4jhzXFO2Jlvu2b3y.json.gz", head: string(records), want: trail},
		{key: "AWSLogs/o-abcdefghij/123456789012/CloudTrail/us-east-1/2022/01/24/123456789012_CloudTrail_us-east-1_20220124T0000Z_Mu0KsOhtH1ar15ZZ.json.gz", want: trail},
		{key: "o-abcdefghij/AWSLogs/o-abcdefghij/123456789012/CloudTrail/us-east-1/2022/01/24/123456789012_CloudTrail_us-east-1_20220124T0000Z_Mu0KsOhtH1ar15ZZ.json.gz", want: trail},
		{
			key: "AWSLogs/123456789012/CloudTrail-Insight/us-east-1/2022/01/24/123456789012_CloudTrail-Insight_us-east-1_20220124T0000Z_4jhzXFO2Jlvu2b3y.json.gz", head: string(records),
			want: Object{Type: CloudTrailInsight, Framing: JSONRecords, Source: "cloudtrail", AccountID: account, Region: "us-east-1", Time: at(2022, 1, 24, 0, 0, 0)},
		},
		{
			key:  "AWSLogs/123456789012/CloudTrail-Digest/us-east-2/2015/08/17/123456789012_CloudTrail-Digest_us-east-2_your_trail_us-west-2_name_us-east-1_20150817T064128Z.json.gz",
			want: Object{Type: CloudTrailDigest, Framing: NoRecords, Source: "cloudtrail", AccountID: account, Region: "us-east-2", Time: at(2015, 8, 17, 6, 41, 28)},
		},
		{key: "prefix/AWSLogs/11111111111/WAFLogs/us-east-1/TEST-WEBACL/2021/10/28/19/50/11111111111_waflogs_us-east-1_TEST-WEBACL_20211028T1950Z_e0ca43b5.log.gz", want: webACL},
		{key: "AWSLogs/11111111111/WAFLogs/cloudfront/TEST-WEBACL/2021/10/28/19/50/11111111111_waflogs_cloudfront_TEST-WEBACL_20211028T1950Z_e0ca43b5.log.gz", want: webACL},
		{
			key:  "11111111111_waflogs_us-gov-west-1_my_web_acl_20211028T1950Z_e0ca43b5.log.gz",
			want: Object{Type: WAF, Source: "my_web_acl", AccountID: "11111111111", Region: "us-gov-west-1", Time: at(2021, 10, 28, 19, 50, 0)},
		},
		{
			key:  "AWSLogs/123456789012/network-firewall/alert/us-east-2/fw-1/2023/04/05/06/123456789012_network-firewall_alert_us-east-2_fw-1_202304050607Z_6e5b4c3a.log.gz",
			want: Object{Type: NetworkFirewallAlert, Source: "fw-1", AccountID: account, Region: "us-east-2", Time: at(2023, 4, 5, 6, 7, 0)},
		},
		{
			key:  "AWSLogs/123456789012/network-firewall/flow/us-east-2/fw-1/2023/04/05/06/123456789012_network-firewall_flow_us-east-2_fw-1_20230405T0607Z_6e5b4c3a.log.gz",
			want: Object{Type: NetworkFirewallFlow, Source: "fw-1", AccountID: account, Region: "us-east-2", Time: at(2023, 4, 5, 6, 7, 0)},
		},
		{
			key:  "AWSLogs/123456789012/network-firewall/tls/us-east-2/fw-1/2023/04/05/06/123456789012_network-firewall_tls_us-east-2_fw-1_20230405T0607Z_6e5b4c3a.log.gz",
			want: Object{Type: NetworkFirewallTLS, Source: "fw-1", AccountID: account, Region: "us-east-2", Time: at(2023, 4, 5, 6, 7, 0)},
		},
		{
			key:  "AWSLogs/123456779121/vpcdnsquerylogs/vpc-7example/2021/05/11/vpc-7example_vpcdnsquerylogs_123456779121_20210511T0910Z_71584702.log.gz",
			want: Object{Type: Route53Resolver, Source: "vpc-7example", AccountID: "123456779121", Time: at(2021, 5, 11, 9, 10, 0)},
		},
		{
			key: "vpc-7example_vpcdnsquerylogs_123456779121_20210511T0910Z_71584702.log.gz", head: `{"srcaddr":"4.5.64.102","region":"us-east-1"}` + "\n",
			want: Object{Type: Route53Resolver, Source: "vpc-7example", AccountID: "123456779121", Region: "us-east-1", Time: at(2021, 5, 11, 9, 10, 0)},
		},
		{
			key:  "AWSLogs/123456779121/redshift/us-east-1/2020/10/21/123456779121_redshift_us-east-1_mycluster_connectionlog_2020-10-21T18:01.gz",
			want: Object{Type: RedshiftConnection, Source: "mycluster", AccountID: "123456779121", Region: "us-east-1", Time: at(2020, 10, 21, 18, 1, 0)},
		},
		{
			key:  "AWSLogs/123456779121/redshift/us-east-1/2020/10/21/123456779121_redshift_us-east-1_mycluster_userlog_2020-10-21T18:01.gz",
			want: Object{Type: RedshiftUser, Source: "mycluster", AccountID: "123456779121", Region: "us-east-1", Time: at(2020, 10, 21, 18, 1, 0)},
		},
		{
			key:  "AWSLogs/123456779121/redshift/us-east-1/2020/10/21/123456779121_redshift_us-east-1_mycluster_useractivitylog_2020-10-21T18:01.gz",
			want: Object{Type: RedshiftUserActivity, Framing: JoinedLines, Source: "mycluster", AccountID: "123456779121", Region: "us-east-1", Time: at(2020, 10, 21, 18, 1, 0)},
		},
		{
			key:  "AWSLogs/123456789012/GuardDuty/us-east-1/2024/05/30/07a3f2ce-1485-3031-b842-e1f324c4a48d.jsonl.gz",
			want: Object{Type: GuardDuty, Source: "guardduty", AccountID: account, Region: "us-east-1"},
		},
		{
			key:  "AWSLogs/o-abcdefghij/123456789012/GuardDuty/us-gov-west-1/2024/05/30/07a3f2ce-1485-3031-b842-e1f324c4a48d.jsonl.gz",
			want: Object{Type: GuardDuty, Source: "guardduty", AccountID: account, Region: "us-gov-west-1"},
		},
		{
			key:  "prefix/AWSLogs/111111111111/KafkaBrokerLogs/eu-south-2/msk-test-name-7f6b9b77-24f9-4921-87b6-d29a6401e292-3/2025-07-04-11/Broker-1_11-55_cab960bb.log.gz",
			want: Object{Type: MSKBroker, Framing: JoinedLines, Source: "msk-test-name", AccountID: "111111111111", Region: "eu-south-2", Time: at(2025, 7, 4, 11, 55, 0)},
		},
		{
			key:  "AWSLogs/111111111111/KafkaBrokerLogs/eu-south-2/c-7f6b9b77-24f9-4921-87b6-d29a6401e292/2025-07-04-11/Broker-12_11-55_cab960bb.log.gz",
			want: Object{Type: MSKBroker, Framing: JoinedLines, Source: "c", AccountID: "111111111111", Region: "eu-south-2", Time: at(2025, 7, 4, 11, 55, 0)},
		},
		{
			key:  "123456789012_waflogs_us-east-1_" + strings.Repeat("x", 255) + "_20211028T1950Z_e0ca43b5.log.gz",
			want: Object{Type: WAF, Source: strings.Repeat("x", 255), AccountID: account, Region: "us-east-1", Time: at(2021, 10, 28, 19, 50, 0)},
		},
	} {
		assert.Equal(t, tt.want, Identify(tt.key, []byte(tt.head)), tt.key)
	}
}

func TestIdentifyCloudFrontKeys(t *testing.T) {
	const account = "123456789012"
	legacy := Object{Type: CloudFront, Source: "EMLARXS9EXAMPLE", Time: at(2019, 11, 14, 20, 0, 0)}
	ofAccount := Object{Type: CloudFront, Source: "EMLARXS9EXAMPLE", AccountID: account, Time: at(2019, 11, 14, 20, 0, 0)}
	timeless := Object{Type: CloudFront, Source: "EMLARXS9EXAMPLE", AccountID: account}
	for key, want := range map[string]Object{
		"prefix/E2K2LNL5N3WR51.2022-07-18-12.a10a8496.gz":                                                                           {Type: CloudFront, Source: "E2K2LNL5N3WR51", Time: at(2022, 7, 18, 12, 0, 0)},
		"EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9.gz":                                                                              legacy,
		"EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9":                                                                                 legacy,
		"example.com/2019/11/14/20/EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9.gz":                                                    legacy,
		"AWSLogs/123456789012/CloudFront/EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9.gz":                                              ofAccount,
		"p/AWSLogs/123456789012/CloudFront/E1/2019/11/14/EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SG.gz":                                ofAccount,
		"AWSLogs/aws-account-id=123456789012/CloudFront/distributionid=E2K2LNL5N3WR51/EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9.gz": ofAccount,
		"aws-account-id=123456789012/aws-service=cloudfront/EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9.gz":                           ofAccount,
		"AWSLogs/123456789012/CloudFront/EMLARXS9EXAMPLE/2019/11/14/20/part-0.gz":                                                   timeless,
		"AWSLogs/123456789012/CloudFront/dt=1/EMLARXS9EXAMPLE/E2K2LNL5N3WR51/2019/part-0.gz":                                        timeless,
		"AWSLogs/123456789012/CloudFront/DistributionId=EMLARXS9EXAMPLE/year=2019/part-0.gz":                                        timeless,
		"AWSLogs/aws-account-id=123456789012/CloudFront/distributionid=EMLARXS9EXAMPLE/part-0.gz":                                   timeless,
		"EMLARXS9.2019-11-14-20.RT4KCN4SGK9.gz":                                                                                     {Type: CloudFront, Source: "EMLARXS9", Time: at(2019, 11, 14, 20, 0, 0)},
		"AWSLogs/11111111111/CloudFront/2019/part-0.gz":                                                                             {Type: CloudFront, AccountID: "11111111111"},
		"AWSLogs/123456789012/CloudFront/2019/part-0.gz":                                                                            {Type: CloudFront, AccountID: account},
		"AWSLogs/123456789012/CloudFront":                                                                                           {Type: Unknown},
		"AWSLogs/12345678901x/CloudFront/2019/part-0.gz":                                                                            {Type: Unknown},
		"DMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9.gz":                                                                              {Type: Unknown},
		"xEMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9.gz":                                                                             {Type: Unknown},
		"EMLARXS.2019-11-14-20.RT4KCN4SGK9.gz":                                                                                      {Type: Unknown},
		"EMLARXS9EXAMPLE.2019-11-14.RT4KCN4SGK9.gz":                                                                                 {Type: Unknown},
	} {
		assert.Equal(t, want, Identify(key, nil), key)
	}
}

func TestIdentifyS3AccessKeys(t *testing.T) {
	const (
		name = "2023-03-01-21-32-16-E568B2907131C0C0"
		line = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be amzn-s3-demo-bucket1 [06/Feb/2019:00:00:38 +0000] 192.0.2.3"
	)
	written := at(2023, 3, 1, 21, 32, 16)
	partitioned := func(account, region, bucket string) Object {
		return Object{Type: S3Access, Source: bucket, AccountID: account, Region: region, Time: written}
	}
	simple := Object{Type: S3Access, Source: "amzn-s3-demo-bucket1", Time: written}
	for _, tt := range []struct {
		key, head string
		want      Object
	}{
		{"123456789012/us-west-2/amzn-s3-demo-source-bucket/2023/03/01/" + name, line, partitioned("123456789012", "us-west-2", "amzn-s3-demo-source-bucket")},
		{"p/123456789012/us-gov-west-1/my.bucket.example.com/2023/03/01/" + name, "", partitioned("123456789012", "us-gov-west-1", "my.bucket.example.com")},
		// The prefix need not end with a slash.
		{"logs2123456789012/us-west-2/amzn-s3-demo-source-bucket/2023/03/01/" + name, "", partitioned("123456789012", "us-west-2", "amzn-s3-demo-source-bucket")},
		{"11111111111/us-west-2/amzn-s3-demo-source-bucket/2023/03/01/" + name, "", partitioned("11111111111", "us-west-2", "amzn-s3-demo-source-bucket")},
		// Without one of the parts it is the simple layout, below some prefix.
		{"12345678901x/us-west-2/amzn-s3-demo-source-bucket/2023/03/01/" + name, line, simple},
		{"123456789012/us-west/amzn-s3-demo-source-bucket/2023/03/01/" + name, line, simple},
		{name, line, simple},
		{"logs/" + name, line, simple},
		{"mylogs-" + name, line, simple},
		{"a/access_log" + name, line, simple},
		{"my-stream-1-" + name, line, simple},
		{"logs1" + name, line, simple},
		{"logs/" + name, "", Object{Type: S3Access, Time: written}},
		{"logs/" + name, "an application wrote this", Object{Type: Unknown}},
		{"logs/2023-02-30-21-32-16-E568B2907131C0C0", line, Object{Type: S3Access, Source: "amzn-s3-demo-bucket1"}},
		{"logs/" + name + ".gz", "", Object{Type: Unknown}},
		{"logs/2023-03-01-21-32-16-e568b2907131c0c0", "", Object{Type: Unknown}},
		{"logs/2023-03-01-21-32-16-E568B2907131C0C", "", Object{Type: Unknown}},
		{"logs/2023-03-01-21-32-16-E568B2907131C0C01", "", Object{Type: Unknown}},
	} {
		assert.Equal(t, tt.want, Identify(tt.key, []byte(tt.head)), tt.key)
	}
}

// What the first bytes say of an object of which the key says the type.
func TestIdentifyHeadOfKnownKeys(t *testing.T) {
	const (
		flow  = "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log"
		trail = "123456789012_CloudTrail_us-east-1_20220124T0000Z_4jhzXFO2Jlvu2b3y.json.gz"
		front = "EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9"
	)
	for _, tt := range []struct {
		key, head string
		logType   Type
		framing   Framing
	}{
		{flow + ".gz", "version account-id interface-id srcaddr resource-id\n2 tgw-id", VPCFlow, Lines},
		{flow + ".gz", "version vpc-id transit-gateway tgw-0abc12345def67890\n", VPCFlow, Lines},
		{flow + ".gz", "version resource-type account-id", TGWFlow, Lines},
		{flow + ".gz", "\ufeffversion account-id tgw-id\r\n6 123456789012", TGWFlow, Lines},
		{flow + ".gz", "tgw-src-vpc-account-id start end\n", TGWFlow, Lines},
		{flow + ".gz", "start end packets-lost-no-route\n", TGWFlow, Lines},
		{flow + ".gz", "PAR1\x15\x04", VPCFlow, Parquet},
		{flow + ".parquet", "PAR1\x15\x04", VPCFlow, Parquet},
		{flow + ".parquet", "version resource-type", TGWFlow, Parquet},
		{flow + ".parquet", "", VPCFlow, Lines},
		{trail, "", CloudTrail, JSONRecords},
		{trail, "\ufeff {\n\t\"Records\" : [", CloudTrail, JSONRecords},
		{trail, `{"eventVersion":"1.08"`, CloudTrail, JSONDocuments},
		{trail, `{"records":[`, CloudTrail, JSONDocuments},
		{trail, `{"a":1,"Records":[`, CloudTrail, JSONDocuments},
		{strings.ReplaceAll(trail, "CloudTrail", "CloudTrail-Insight"), `{"eventVersion":"1.08"`, CloudTrailInsight, JSONDocuments},
		{front + ".gz", "#Version: 1.0\n#Fields: date time", CloudFront, Lines},
		{front + ".gz", `{"date":"2019-11-14","time":"20:00:01"}`, CloudFront, JSONDocuments},
		{front + ".parquet", "PAR1", CloudFront, Parquet},
		{"some/where/part-0.parquet", "PAR1", Unknown, Parquet},
		{"some/where/part-0.parquet", "text", Unknown, Parquet},
		{"some/where/part-0.parquet", "", Unknown, Lines},
		{"some/where/part-0", "PAR1\x15\x04", Unknown, Parquet},
		{"some/where/part-0", "PAR1 is a text", Unknown, Lines},
		{"some/where/part-0.parquet.gz", "text", Unknown, Lines},
	} {
		got := Identify(tt.key, []byte(tt.head))
		assert.Equal(t, []any{tt.logType, tt.framing}, []any{got.Type, got.Framing}, "%s %q", tt.key, tt.head)
	}
}

// Keys that are nearly those of a log.
func TestIdentifyNearMisses(t *testing.T) {
	for _, key := range []string{
		"",
		"/",
		"app/2024/05/30/server.log.gz",
		"12345678901x_elasticloadbalancing_us-east-1_app.lb.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz",
		"123456789_elasticloadbalancing_us-east-1_app.lb.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz",
		"123456789012345_elasticloadbalancing_us-east-1_app.lb.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz",
		"x123456789012_elasticloadbalancing_us-east-1_app.lb.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz",
		"123456789012_elasticloadbalancing_us-east_app.lb.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz",
		"123456789012_elasticloadbalancing_US-EAST-1_app.lb.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz",
		"123456789012_elasticloadbalancing_us-east-1_app.lb_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz",
		"123456789012_elasticloadbalancing_us-east-1_app.lb.b13ea9d19f16d015_20220124T0000Z.log.gz",
		"123456789012_elasticloadbalancing_us-east-1_gwy.lb.b13ea9d19f16d015_20220124T0000Z_2et2e1mx.log.gz",
		"123456789012_elasticloadbalancing_us-east-1_20220124T0000Z_2et2e1mx.log.gz",
		"conn_log_123456789012_elasticloadbalancing_us-east-1_net.lb.b13ea9d19f16d015_20220124T0000Z_2et2e1mx.log.gz",
		"conn_log-123456789012_elasticloadbalancing_us-east-1_app.lb.b13ea9d19f16d015_20220124T0000Z_2et2e1mx.log.gz",
		"123456789012_vpcflowlogs_us-east-1_1234abcd_20180620T1620Z_fe123456.log.gz",
		"123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z.log.gz",
		"123456789012_vpcflowlogs_us-east-1_fl-1234abcd_2018-06-20T1620Z_fe123456.log.gz",
		"123456789012_vpcflowlogs_cloudfront_fl-1234abcd_20180620T1620Z_fe123456.log.gz",
		"123456789012_cloudtrail_us-east-1_20220124T0000Z_4jhzXFO2Jlvu2b3y.json.gz",
		"123456789012_CloudTrail_20220124T0000Z_4jhzXFO2Jlvu2b3y.json.gz",
		"123456789012_CloudTrail-Digest_us-east-1_trail_20220124T000000Z.json.gz",
		"123456789012_waflogs_us-east-1_20211028T1950Z_e0ca43b5.log.gz",
		"123456789012_network-firewall_dns_us-east-2_fw-1_20230405T0607Z_6e5b4c3a.log.gz",
		"vpc-x_vpcdnsquerylogs_acct_20210511T0910Z_71584702.log.gz",
		"x_vpcdnsquerylogs_123456779121_20210511T0910Z_71584702.log.gz",
		"123456779121_redshift_us-east-1_mycluster_otherlog_2020-10-21T18:01.gz",
		"123456779121_redshift_us-east-1_mycluster_userlog_2020-10-21T18:01/x",
		"AWSLogs/123456789012/GuardDuty/us-east-1/2024/05/07a3f2ce-1485-3031-b842-e1f324c4a48d.jsonl.gz",
		"AWSLogs/123456789012/GuardDuty/us-east-1/2024/05/30/07a3f2ce-1485-3031-b842-e1f324c4a48d.json",
		"AWSLogs/111111111111/KafkaBrokerLogs/eu-south-2/msk-7f6b9b77-24f9-4921-87b6-3/2025-07-04-11/Broker-1_11-55_cab960bb.log.gz",
		"AWSLogs/111111111111/KafkaBrokerLogs/eu-south-2/7f6b9b77-24f9-4921-87b6-d29a6401e292/2025-07-04-11/Broker-1_11-55_cab960bb.log.gz",
		// A name that is too long to be one.
		"123456789012_waflogs_us-east-1_" + strings.Repeat("x", 256) + "_20211028T1950Z_e0ca43b5.log.gz",
		"123456789012_waflogs_us-east-1_\xff_20211028T1950Z_e0ca43b5.log.gz",
		"123456789012_waflogs_us-" + strings.Repeat("x", 255) + "-1_acl_20211028T1950Z_e0ca43b5.log.gz",
		// The folders of a log do not make one of every file.
		"AWSLogs/123456789012/elasticloadbalancing/us-east-1/2022/01/24/notes.txt",
	} {
		assert.Equal(t, Object{Type: Unknown}, Identify(key, nil), key)
	}
}

func TestIdentifyTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		"20240229T2359Z":   at(2024, 2, 29, 23, 59, 0),
		"202402292359Z":    at(2024, 2, 29, 23, 59, 0),
		"20240229T235958Z": at(2024, 2, 29, 23, 59, 58),
		"22611231T2359Z":   at(2261, 12, 31, 23, 59, 0),
		"19700101T0001Z":   at(1970, 1, 1, 0, 1, 0),
		"20230229T0000Z":   {},
		"20231301T0000Z":   {},
		"20230001T0000Z":   {},
		"20230101T2400Z":   {},
		"20230101T0060Z":   {},
		"20230101T000060Z": {},
		"19691231T2359Z":   {},
		"22620101T0000Z":   {},
		"00000000T0000Z":   {},
	} {
		o := Identify("123456789012_vpcflowlogs_us-east-1_fl-1234abcd_"+text+"_fe123456.log.gz", nil)
		assert.Equal(t, VPCFlow, o.Type, text)
		assert.Equal(t, want, o.Time, text)
	}
}

// What others call their files, and what they hold, is not CloudFront's.
func TestIdentifyNotCloudFront(t *testing.T) {
	for key, head := range map[string]string{
		"app/ERRORLOG.2019-11-14-20.gz":                  "",
		"app/EXCEPTIONS.2026-01-02-03.log":               "",
		"app/EVENTLOG1.2019-11-14-20.txt":                "2019-11-14 started",
		"app/ERRORLOG1.2019-11-14-20.RT4KCN4SGK9.gz":     "# FATAL: disk is full",
		"app/EXAMPLE12.2020-01-01-00.abcdefgh":           `{"level":"info","timestamp":"1573761601"}`,
		"app/ERRORLOGS.2020-01-01-00.backup12.gz":        "2020-01-01 10:00:00 hello",
		"exports/E0010000000000.2026-01-02-03.json":      `{"a":1}`,
		"exports/E0010000000000.2026-01-02-03.part0.csv": "date,time",
	} {
		assert.Equal(t, Object{Type: Unknown}, Identify(key, []byte(head)), key)
	}
	for _, head := range []string{"", "#Version: 1.0", "#Fields: date", "2019-11-14\t", "2019-11-14,20:00:01,LAX1,", `{"date":"2019-11-14","time"`, `{"c-ip":"192.0.2.1","sc-status":"200"`, "PAR1\x15"} {
		assert.Equal(t, CloudFront, Identify("p/EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9.gz", []byte(head)).Type, head)
	}
}

func TestIdentifyOtherCloudTrailKeys(t *testing.T) {
	for _, kind := range []string{"CloudTrail", "CloudTrail-NetworkActivity", "CloudTrail-Aggregated"} {
		key := "AWSLogs/123456789012/" + kind + "/eu-west-1/2026/01/24/123456789012_" + kind + "_eu-west-1_20260124T0000Z_4jhzXFO2Jlvu2b3y.json.gz"
		assert.Equal(t, Object{
			Type: CloudTrail, Framing: JSONRecords, Source: "cloudtrail", AccountID: "123456789012", Region: "eu-west-1", Time: at(2026, 1, 24, 0, 0, 0),
		}, Identify(key, []byte(`{"Records":[{"a`)), key)
	}
}

func TestWithColumns(t *testing.T) {
	flow := Object{Type: VPCFlow, Source: "fl-1"}
	assert.Equal(t, flow, flow.WithColumns([]string{"version", "account_id", "srcaddr"}))
	assert.Equal(t, Object{Type: TGWFlow, Source: "fl-1"}, flow.WithColumns([]string{"version", "resource_type", "account_id"}))
	assert.Equal(t, Object{Type: Unknown}, Object{Type: Unknown}.WithColumns([]string{"tgw_id"}))
}
