// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// One record of each type, after the header that its file has.
func BenchmarkParser(b *testing.B) {
	for _, bench := range []struct {
		name   string
		kind   Type
		header string
		record string
	}{
		{"alb_access", ALBAccess, "", albSample},
		{"alb_connection", ALBConnection, "", connectionSample},
		{"alb_health_check", ALBHealthCheck, "", healthCheckSample},
		{"nlb_tls", NLBTLS, "", nlbSample},
		{"clb_access", CLBAccess, "", clbSample},
		{"cloudfront/w3c", CloudFront, cloudFrontFields, cloudFrontSample},
		{"cloudfront/plain", CloudFront, "", cloudFrontSample},
		{"cloudfront/json", CloudFront, "", cloudFrontJSONSample},
		{"vpc_flow/header", VPCFlow, vpcHeader, vpcSample},
		{"vpc_flow/default", VPCFlow, "", vpcSample},
		{"tgw_flow", TGWFlow, tgwHeader, tgwSample},
		{"cloudtrail", CloudTrail, "", cloudTrailSample},
		{"waf", WAF, "", wafSample},
		{"s3_access", S3Access, "", s3AccessSample},
		{"route53_resolver", Route53Resolver, "", resolverSample},
		{"network_firewall", NetworkFirewallAlert, "", firewallSample},
		{"guardduty", GuardDuty, "", guardDutySample},
		{"msk_broker", MSKBroker, "", mskSample},
		{"redshift_connection", RedshiftConnection, "", redshiftConnectionSample},
		{"redshift_user", RedshiftUser, "", redshiftUserSample},
		{"redshift_user_activity", RedshiftUserActivity, "", redshiftUserActivitySample},
	} {
		b.Run(bench.name, func(b *testing.B) {
			parse := Object{Type: bench.kind}.NewParser()
			if bench.header != "" {
				require.True(b, parse([]byte(bench.header)).Header)
			}
			record := []byte(bench.record)
			b.SetBytes(int64(len(record)))
			b.ReportAllocs()
			var said Record
			for b.Loop() {
				said = parse(record)
			}
			require.NotZero(b, said.Time)
		})
	}
}
