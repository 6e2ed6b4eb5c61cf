// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"bytes"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Whatever a key and a head are: no panic, the same answer each time and below any prefix, one that attributes can hold,
// that is not in the caller's buffer, and leaves that as it is.
func FuzzIdentify(f *testing.F) {
	types := Types()
	for _, key := range []string{
		"conn_log_123456789012_elasticloadbalancing_us-east-2_app.lb.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz",
		"123456789012_elasticloadbalancing_us-east-2_net.lb.1234567890abcdef_201605010000Z_2soosksi.log.gz",
		"123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.parquet",
		"123456789012_CloudTrail-Digest_us-east-2_trail_us-east-1_20150817T064128Z.json.gz",
		"123456789012_waflogs_cloudfront_acl_20211028T1950Z_e0ca43b5.log.gz",
		"AWSLogs/123456789012/CloudFront/distributionid=EMLARXS9EXAMPLE/part-0.gz",
		"logs123456789012/us-west-2/my.bucket/2023/03/01/2023-03-01-21-32-16-E568B2907131C0C0",
		"AWSLogs/111111111111/KafkaBrokerLogs/eu-south-2/c-7f6b9b77-24f9-4921-87b6-d29a6401e292-3/2025-07-04-11/Broker-1_11-55_c.log.gz",
		"AWSLogs/123456789012/GuardDuty/us-east-1/2024/05/30/07a3f2ce-1485-3031-b842-e1f324c4a48d.jsonl.gz",
		"2020/10/02/21/aws-waf-logs-testing-1-2020-10-02-21-25-30-x",
		"AWSLogs/123456789012/ELBAccessLogTestFile",
	} {
		f.Add(key, []byte{})
	}
	for _, tt := range contentTests {
		f.Add("app/server.log", []byte(tt.head))
		f.Add("s-1-2020-10-02-21-25-30-x", []byte(tt.head))
	}
	f.Fuzz(func(t *testing.T, key string, head []byte) {
		before := bytes.Clone(head)
		got := Identify(key, head)
		require.Equal(t, before, head)
		require.True(t, slices.Contains(types, got.Type), got.Type)
		for _, s := range []string{got.Source, got.AccountID, got.Region} {
			require.True(t, utf8.ValidString(s) && len(s) <= 255, "%q", s)
		}
		require.Equal(t, got, Identify("some/prefix/"+key, head))

		for i := range head {
			head[i] = 'x'
		}
		require.Equal(t, got, Identify(key, before))
	})
}
