// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import "testing"

func TestCloudTrail(t *testing.T) {
	const at = "2023-05-19T07:44:30Z"
	for _, kind := range []Type{CloudTrail, CloudTrailInsight} {
		assertSaid(
			t, kind,
			said{record: cloudTrailSample, time: at},
			// Other eventTimes, before and after.
			said{record: `{"requestParameters":{"eventTime":"2001-01-01T00:00:00Z","a":[{"eventTime":1}]},"eventTime":"2023-05-19T07:44:30Z","additionalEventData":{"eventTime":"2002-01-01T00:00:00Z"}}`, time: at},
			said{record: `{"requestParameters":{"eventTime":"2001-01-01T00:00:00Z"}}`},
			said{record: `{"a":"\"eventTime\":\"2001-01-01T00:00:00Z\"","eventTime" : "2023-05-19T07:44:30Z" }`, time: at},
			said{record: `{"event\u0054ime":"2023-05-19T07:44:30Z"}`, time: at},
			said{record: `{"":{"eventTime":"2001-01-01T00:00:00Z"}}`},
			said{record: `{"eventTime":"19 May 2023"}`},
			said{record: `{"eventTime":1684482270}`},
			said{record: `{"eventTime":null}`},
			said{record: `{"eventTime":["2023-05-19T07:44:30Z"]}`},
			said{record: `["eventTime","2023-05-19T07:44:30Z"]`},
			said{record: `{"a":tru,"eventTime":"2023-05-19T07:44:30Z"}`},
			said{record: `{"eventTime":"2023-05-19T07:44:30Z","not":JSON`, time: at}, // nobody reads so far
		)
	}
}

func TestWAF(t *testing.T) {
	assertSaid(
		t, WAF,
		said{record: wafSample, time: "2023-08-31T04:57:42.729Z"},
		said{record: `{"timestamp":1693457862045,"formatVersion":1}`, time: "2023-08-31T04:57:42.045Z"},
		said{record: `{"timestamp":1693457862005,"formatVersion":1}`, time: "2023-08-31T04:57:42.005Z"},
		said{record: `{"timestamp":1693457862000,"formatVersion":1}`, time: "2023-08-31T04:57:42Z"},
		said{record: `{"formatVersion":1,"timestamp":1693457862729}`, time: "2023-08-31T04:57:42.729Z"},
		said{record: `{"httpRequest":{"timestamp":1},"timestamp": 1693457862729 }`, time: "2023-08-31T04:57:42.729Z"},
		said{record: `{"timestamp":0}`},
		said{record: `{"timestamp":-1693457862729}`},
		said{record: `{"timestamp":1.693457862729e12}`},
		said{record: `{"timestamp":99999999999999999999}`},
	)
}

func TestRoute53Resolver(t *testing.T) {
	assertSaid(
		t, Route53Resolver,
		said{record: resolverSample, time: "2021-02-04T17:51:55Z"},
		said{record: `{"answers":[{"query_timestamp":"2001-01-01T00:00:00Z"}]}`},
	)
}

func TestNetworkFirewall(t *testing.T) {
	for _, kind := range []Type{NetworkFirewallAlert, NetworkFirewallFlow, NetworkFirewallTLS} {
		assertSaid(
			t, kind,
			said{record: firewallSample, time: "2020-10-13T22:10:01.006481Z"},
			said{record: `{"event":{"tls":{"timestamp":"2001-01-01T00:00:00Z"},"timestamp":"2026-01-02T03:04:05.123456+0100"}}`, time: "2026-01-02T02:04:05.123456Z"},
			said{record: `{"event_timestamp":"1700000000","event":{"flow_id":1}}`, time: "2023-11-14T22:13:20Z"},
			said{record: `{"event":{"timestamp":"…"},"event_timestamp":1700000000}`, time: "2023-11-14T22:13:20Z"},
			said{record: `{"event":"timestamp","event_timestamp":1700000000}`, time: "2023-11-14T22:13:20Z"},
			said{record: `{"timestamp":"2026-01-02T03:04:05Z"}`},
			said{record: `{"event":{"event_timestamp":1700000000}}`},
			said{record: `{"event":{"event":{"timestamp":"2026-01-02T03:04:05Z"}}}`},
		)
	}
}

func TestGuardDuty(t *testing.T) {
	const at = "2024-05-30T01:02:03Z"
	assertSaid(
		t, GuardDuty,
		said{record: guardDutySample, time: at},
		said{record: `{"schemaVersion":"2.0","updatedAt":"2024-05-30T01:02:03.000Z","service":{"eventLastSeen":"2001-01-01T00:00:00Z"}}`, time: at},
		said{record: `{"createdAt":"2024-05-30T01:02:03.000Z","service":{"eventLastSeen":"2001-01-01T00:00:00Z","updatedAt":"2001-01-01T00:00:00Z"}}`, time: at},
		said{record: `{"service":{"eventLastSeen":"2001-01-01T00:00:00Z"},"createdAt":"2024-05-30T01:02:03.000Z"}`, time: at},
		said{record: `{"updatedAt":"-","service":{"eventLastSeen":"2024-05-30T01:02:03.000Z"}}`, time: at},
		said{record: `{"eventTime":"2024-05-30T01:02:03.000Z"}`},
	)
}

// Aggregated events have no time of their own, but a window.
func TestCloudTrailAggregated(t *testing.T) {
	const window = `"timeWindow":{"windowStart":"2025-11-03T10:00:00Z","windowEnd":"2025-11-03T10:05:00Z"}`
	assertSaid(
		t, CloudTrail,
		said{record: `{"eventVersion":"1.0",` + window + `}`, time: "2025-11-03T10:00:00Z"},
		said{record: `{` + window + `,"eventTime":"2025-11-03T10:01:00Z"}`, time: "2025-11-03T10:01:00Z"},
		said{record: `{"requestParameters":{` + window + `}}`},
	)
}
