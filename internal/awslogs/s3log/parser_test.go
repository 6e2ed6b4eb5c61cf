// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// said is what a parser is to say of a record. The time is RFC 3339; empty: none.
type said struct {
	record string
	time   string
	status int
	header bool
}

// assertSaid gives the records to one parser, in their order.
func assertSaid(t *testing.T, kind Type, records ...said) {
	t.Helper()
	parse := Object{Type: kind}.NewParser()
	for _, want := range records {
		record := []byte(want.record)
		got := parse(record)
		assert.Equal(t, Record{Time: nanos(t, want.time), Status: want.status, Header: want.header}, got, want.record)
		assert.Equal(t, want.record, string(record), "the parser has changed the record")
	}
}

// sample is a record with the header before it, if it has one.
type sample struct {
	kind           Type
	header, record string
}

func samples() []sample {
	return []sample{
		{ALBAccess, "", albSample},
		{ALBConnection, "", connectionSample},
		{ALBHealthCheck, "", healthCheckSample},
		{NLBTLS, "", nlbSample},
		{CLBAccess, "", clbSample},
		{CloudFront, cloudFrontFields, cloudFrontSample},
		{CloudFront, "", cloudFrontSample},
		{CloudFront, "", cloudFrontJSONSample},
		{CloudFront, "", `{"timestamp(ms)":1573761601500,"timestamp":"1573761601","date":"2019-11-14","sc-status":200,"time":"20:00:01"}`},
		{CloudFront, "#Fields: timestamp(ms) sc-status timestamp date time", "1573761601500\t200\t1573761601\t2019-11-14\t20:00:01"},
		{CloudFront, "#Fields: timestamp(ms) sc-status", "1573761601500\t200"},
		{VPCFlow, vpcHeader, vpcSample},
		{VPCFlow, vpcHeader, vpcNoDataSample},
		{VPCFlow, "", vpcSample},
		{VPCFlow, "", `{"message":"` + vpcSample + `"}`},
		{VPCFlow, "", `{"end":1418530070,"start":1418530010,"version":2}`},
		{VPCFlow, "", `{"version":2,"end":"1418530070"}`},
		{VPCFlow, "end start action", "1418530070 1418530010 ACCEPT"},
		{VPCFlow, "end start action", "1418530070 - ACCEPT"},
		{TGWFlow, tgwHeader, tgwSample},
		{CloudTrail, "", cloudTrailSample},
		{CloudTrailInsight, "", cloudTrailSample},
		{WAF, "", wafSample},
		{WAF, "", `{"action":"ALLOW","timestamp":1693457862729}`},
		{S3Access, "", s3AccessSample},
		{Route53Resolver, "", resolverSample},
		{NetworkFirewallAlert, "", firewallSample},
		{NetworkFirewallFlow, "", `{"firewall_name":"f","event_timestamp":1602627001,"event":{"flow_id":1}}`},
		{NetworkFirewallTLS, "", firewallSample},
		{GuardDuty, "", guardDutySample},
		{MSKBroker, "", mskSample},
		{RedshiftConnection, "", redshiftConnectionSample},
		{RedshiftUser, "", redshiftUserSample},
		{RedshiftUserActivity, "", redshiftUserActivitySample},
	}
}

// parser is one that has seen the header.
func (s sample) parser() Parser {
	parse := Object{Type: s.kind}.NewParser()
	if s.header != "" {
		parse([]byte(s.header))
	}
	return parse
}

// A record that was cut short says its own time and status, or none. This cannot hold where the time is a number that
// ends the line, as in a flow log of which start is the last field: no sample is such a record.
func TestRecordsCutShortSayNothingElse(t *testing.T) {
	for _, s := range samples() {
		parse := s.parser()
		want := parse([]byte(s.record))
		require.NotZero(t, want.Time, s.record)
		for n := range len(s.record) {
			got := parse([]byte(s.record[:n]))
			if got.Time != 0 {
				require.Equal(t, want.Time, got.Time, s.record[:n])
			}
			if got.Status != 0 {
				require.Equal(t, want.Status, got.Status, s.record[:n])
			}
			require.False(t, got.Header, s.record[:n])
		}
	}
}

func TestParsersAllocateNothing(t *testing.T) {
	for _, s := range samples() {
		parse := s.parser()
		header, record := []byte(s.header), []byte(s.record)
		assert.Zero(t, testing.AllocsPerRun(10, func() {
			if len(header) > 0 {
				parse(header)
			}
			parse(record)
		}), s.record)
	}
}

// Parsers say the same of records that they are given again, whatever was between.
func TestRecordsAgain(t *testing.T) {
	for _, s := range samples() {
		parse := s.parser()
		want := parse([]byte(s.record))
		for _, other := range samples() {
			if other.kind == s.kind && other.header == "" {
				parse([]byte(other.record))
				parse([]byte(other.record[:len(other.record)/2]))
			}
		}
		assert.Equal(t, want, parse([]byte(s.record)), s.record)
	}
}

func TestNothingIsSaid(t *testing.T) {
	for _, kind := range []Type{CloudWatch, Firehose, Unknown, CloudTrailDigest, ELBTest, "", "another"} {
		for _, s := range samples() {
			assertSaid(t, kind, said{record: s.header}, said{record: s.record})
		}
	}
	for _, s := range samples() {
		assertSaid(t, s.kind, said{}, said{record: " "}, said{record: "-"}, said{record: "{"}, said{record: "[]"},
			said{record: "null"}, said{record: "\x00\xff"}, said{record: strings.Repeat(" ", 300)},
			said{record: strings.Repeat(`"`, 300)}, said{record: strings.Repeat("-\t", 300)},
			said{record: strings.Repeat("- ", 300)}, said{record: strings.Repeat("|", 300)})
	}
}

// Nested values are passed over, however deep they are.
func TestDeepNesting(t *testing.T) {
	for _, brackets := range []string{"[]", "{}"} {
		for _, depth := range []int{100, 1 << 20} {
			open := brackets[:1]
			if open == "{" {
				open = `{"a":`
			}
			nested := strings.Repeat(open, depth) + "1" + strings.Repeat(brackets[1:], depth)
			record := []byte(`{"a":` + nested + `,"eventTime":"2023-05-19T07:44:30Z"}`)
			assert.Equal(t, nanos(t, "2023-05-19T07:44:30Z"), Object{Type: CloudTrail}.NewParser()(record).Time, "%s %d", brackets, depth)
		}
	}
}

func TestStartsRecord(t *testing.T) {
	msk, activity := Object{Type: MSKBroker}, Object{Type: RedshiftUserActivity}
	for line := range strings.SplitSeq(mskSample, "\n") {
		assert.Equal(t, strings.HasPrefix(line, "[2025"), msk.StartsRecord([]byte(line)), line)
	}
	for line := range strings.SplitSeq(redshiftUserActivitySample, "\n") {
		assert.Equal(t, strings.HasPrefix(line, "'2020"), activity.StartsRecord([]byte(line)), line)
	}
	for _, line := range []string{
		"", "[", "[2025-07-04 11:57:55,836", "[2025-07-04 11:57:55.836]", "[2025-07-04T11:57:55,836]",
		" [2025-07-04 11:57:55,836]", "[2025-07-04 11:57:5x,836]", "[1, 2, 3]", "java.lang.Exception: [2025-07-04 11:57:55,836]",
		"'2020-12-08T22:01:55Z UTC [",
	} {
		assert.False(t, msk.StartsRecord([]byte(line)), line)
	}
	for _, line := range []string{
		"", "'", "'2020-12-08T22:01:55Z'", "2020-12-08T22:01:55Z UTC [ db=dev", "'2020-12-08T22:01:55Z CET [ db=dev",
		"'2020-12-08 22:01:55Z UTC [ db=dev", "[2025-07-04 11:57:55,836]",
	} {
		assert.False(t, activity.StartsRecord([]byte(line)), line)
	}
	for _, s := range samples() {
		if s.kind == MSKBroker || s.kind == RedshiftUserActivity {
			continue
		}
		o := Object{Type: s.kind}
		assert.True(t, o.StartsRecord([]byte(s.record)) && o.StartsRecord([]byte("\tat java.lang")) && o.StartsRecord(nil), s.kind)
	}
}

// The rest of a long record does not make what is read another.
func TestLongRecords(t *testing.T) {
	for _, s := range samples() {
		if s.record[0] == '{' || s.header != "" || s.kind == VPCFlow || s.kind == RedshiftUser {
			continue
		}
		parse := s.parser()
		long := append([]byte(s.record), bytes.Repeat([]byte(` "x\" 999 |`), 1<<12)...)
		assert.Equal(t, parse([]byte(s.record)), parse(long), s.record)
	}
}
