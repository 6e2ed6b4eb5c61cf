// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/decompress"
)

// benchmarkObject is an object of lines of 132 bytes, about as long as those of VPC flow logs.
func benchmarkObject(b *testing.B, lines int) (content string, zipped []byte) {
	b.Helper()
	var s strings.Builder
	for i := range lines {
		line := fmt.Sprintf("2 123456789012 eni-0a1b2c3d4e5f%05d 10.0.%d.%d 203.0.113.%d %d 443 6 %d %d 1725544035 1725544095 ACCEPT OK",
			i%977, i%7, i%251, i%241, 1024+i*7919%60000, i%37, i*7919%100_000)
		fmt.Fprintf(&s, "%-131s\n", line)
	}
	return s.String(), compress(b, s.String())
}

// The lines of an object, from its gzip bytes to log records.
func BenchmarkObject(b *testing.B) {
	for _, lines := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			content, zipped := benchmarkObject(b, lines)
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				require.Equal(b, lines, drainObject(b, zipped, testObject()))
			}
			reportPerEvent(b, lines)
		})
	}
}

// benchmarkFormat makes objects of a format with as many records as one wants.
type benchmarkFormat struct {
	// sample is the one of testdata that it is like.
	sample                  string
	before, between, behind string
	record                  func(i int) string
}

var benchmarkFormats = []benchmarkFormat{
	{"alb_access", "", "\n", "\n", func(i int) string {
		return fmt.Sprintf(`https %s app/my-loadbalancer/50dc6c495c0c9188 203.0.113.%d:%d 10.0.%d.%d:8080 0.00%d 0.%03d 0.000 %d 200 %d %d "GET https://shop.example.com:443/items/%d?page=%d HTTP/1.1" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc24d8a067 "Root=1-%08x-%024x" "shop.example.com" "-" 1 %s "forward" "-" "-" "10.0.1.5:8080" "200" "-" "-" TID_%032x`,
			benchmarkTime(i, "2006-01-02T15:04:05.000000Z"), i%241, 1024+i*7919%60000, i%7, i%251, i%9, i*31%1000, 200+i%5*100%400, i*7%900, i*7919%100_000, i*7919%50_000, i%40,
			i, i*7919, benchmarkTime(i, "2006-01-02T15:04:05.000000Z"), i*104729)
	}},
	{"vpc_flow", "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n", "\n", "\n", func(i int) string {
		return fmt.Sprintf("2 123456789012 eni-0a1b2c3d4e5f%05d 10.0.%d.%d 203.0.113.%d %d 443 6 %d %d %d %d ACCEPT OK",
			i%977, i%7, i%251, i%241, 1024+i*7919%60000, i%37, i*7919%100_000, 1725544035+i%300, 1725544095+i%300)
	}},
	{"cloudfront", string(cloudFrontHeader), "\n", "\n", func(i int) string {
		return fmt.Sprintf("%s\tLAX%d\t%d\t192.0.2.%d\tGET\td111111abcdef8.cloudfront.net\t/items/%d.html\t%d\t-\tMozilla/5.0%%20(Windows%%20NT%%2010.0;%%20Win64;%%20x64)\t-\t-\tHit\t%056x\td111111abcdef8.cloudfront.net\thttps\t23\t0.00%d\t-\tTLSv1.3\tTLS_AES_128_GCM_SHA256\tHit\tHTTP/2.0\t-\t-\t%d\t0.001\tHit\ttext/html\t78\t-\t-",
			benchmarkTime(i, "2006-01-02\t15:04:05"), i%60, i*7919%100_000, i%241, i*7919%50_000, 200+i%5*100%400, i*104729, i%9, 1024+i*7919%60000)
	}},
	{"cloudtrail", `{"Records":[`, ",", "]}", func(i int) string {
		return fmt.Sprintf(`{"eventVersion":"1.09","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLEID:i-%017x","arn":"arn:aws:sts::123456789012:assumed-role/app-role/i-%017x","accountId":"123456789012","accessKeyId":"ASIA%016X","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLEID","arn":"arn:aws:iam::123456789012:role/app-role","accountId":"123456789012","userName":"app-role"},"attributes":{"creationDate":"2024-09-05T13:12:01Z","mfaAuthenticated":"false"}}},"eventTime":"%s","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","awsRegion":"eu-west-3","sourceIPAddress":"198.51.100.%d","userAgent":"aws-sdk-go-v2/1.30.3 os/linux","requestParameters":{"roleArn":"arn:aws:iam::123456789012:role/reader","durationSeconds":%d},"responseElements":null,"requestID":"%08x-5678-90ab-cdef-%012x","eventID":"%08x-1234-90ab-cdef-%012x","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"123456789012","eventCategory":"Management"}`,
			i%97*104729, i%97*104729, i%89*7919, benchmarkTime(i, time.RFC3339), i%241, 900+i%40, i*7919, i*104729, i*104723, i*7907)
	}},
	{"waf", "", "\n", "\n", func(i int) string {
		return fmt.Sprintf(`{"timestamp":%d,"formatVersion":1,"webaclId":"arn:aws:wafv2:ap-southeast-2:111111111111:regional/webacl/TEST-WEBACL/770a","terminatingRuleId":"Default_Action","terminatingRuleType":"REGULAR","action":"ALLOW","terminatingRuleMatchDetails":[],"httpSourceName":"ALB","httpSourceId":"111111111111-app/my-loadbalancer/50dc6c495c0c9188","ruleGroupList":[],"rateBasedRuleList":[],"nonTerminatingMatchingRules":[],"httpRequest":{"clientIp":"203.0.113.%d","country":"DE","headers":[{"name":"Host","value":"shop.example.com"},{"name":"User-Agent","value":"curl/8.5.0"}],"uri":"/items/%d","args":"","httpVersion":"HTTP/2.0","httpMethod":"GET","requestId":"1-%08x-%024x"}}`,
			1725544035000+i*7, i%241, i*7919%50_000, i, i*7919)
	}},
	{"s3_access", "", "\n", "\n", func(i int) string {
		return fmt.Sprintf(`79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be amzn-s3-demo-bucket [%s +0000] 192.0.2.%d 79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be %016X REST.GET.OBJECT items/%d.json "GET /items/%d.json HTTP/1.1" 200 - %d %d 7 6 "-" "aws-sdk-go-v2/1.30.3" - %076x SigV4 TLS_AES_128_GCM_SHA256 AuthHeader amzn-s3-demo-bucket.s3.us-west-1.amazonaws.com TLSv1.3 - -`,
			benchmarkTime(i, "02/Jan/2006:15:04:05"), i%241, i*104729, i*7919%50_000, i*7919%50_000, i*7919%100_000, i*7919%100_000, i*104729)
	}},
	{"msk_broker", "", "\n", "\n", func(i int) string {
		return fmt.Sprintf("[%s] INFO [Log partition=orders-%d, dir=/kafka/datalogs] Rolled new log segment at offset %d in %d ms.\n\tat segment %d", benchmarkTime(i, "2006-01-02 15:04:05,000"), i%50, i*7919, i%9, i)
	}},
	{"route53_resolver", "", "\n", "\n", func(i int) string {
		return fmt.Sprintf(`{"version":"1.100000","account_id":"111122223333","region":"us-east-1","vpc_id":"vpc-7example","query_timestamp":"%s","query_name":"host-%d.example.com.","query_type":"A","query_class":"IN","rcode":"NOERROR","answers":[{"Rdata":"203.0.113.%d","Type":"A","Class":"IN"}],"srcaddr":"10.0.%d.%d","srcport":"%d","transport":"UDP","srcids":{"instance":"i-%017x"}}`,
			benchmarkTime(i, time.RFC3339), i*7919%5000, i%241, i%7, i%251, 1024+i*7919%60000, i%977*104729)
	}},
	{"guardduty", "", "\n", "\n", func(i int) string {
		return fmt.Sprintf(`{"schemaVersion":"2.0","accountId":"123456789012","region":"us-east-1","partition":"aws","id":"%032x","arn":"arn:aws:guardduty:us-east-1:123456789012:detector/1/finding/%032x","type":"Recon:EC2/PortProbeUnprotectedPort","resource":{"resourceType":"Instance","instanceDetails":{"instanceId":"i-%017x","instanceType":"t3.micro","launchTime":"2024-09-05T12:00:00Z","tags":[{"key":"Name","value":"web"}]}},"service":{"serviceName":"guardduty","detectorId":"1","action":{"actionType":"PORT_PROBE","portProbeAction":{"blocked":false,"portProbeDetails":[{"localPortDetails":{"port":22,"portName":"SSH"},"remoteIpDetails":{"ipAddressV4":"198.51.100.%d"}}]}},"eventFirstSeen":"2024-09-05T13:00:00Z","eventLastSeen":"2024-09-05T13:10:00Z","archived":false,"count":%d},"severity":2,"createdAt":"2024-09-05T13:12:00.000Z","updatedAt":"%s","title":"Unprotected port","description":"A port is being probed."}`,
			i*7919, i*104729, i%977*104729, i%241, i%40, benchmarkTime(i, "2006-01-02T15:04:05.000Z"))
	}},
}

var cloudFrontHeader = func() []byte {
	data, err := os.ReadFile(testdata + "/s3/cloudfront.log")
	if err != nil {
		panic(err)
	}
	return bytes.Join(bytes.SplitAfterN(data, []byte("\n"), 3)[:2], nil)
}()

func benchmarkTime(i int, layout string) string {
	return time.Date(2024, 9, 5, 13, 47, 15, 0, time.UTC).Add(time.Duration(i) * 7919 * time.Microsecond).Format(layout)
}

func (f benchmarkFormat) object(b *testing.B, records int) (content string, zipped []byte) {
	b.Helper()
	var s strings.Builder
	s.WriteString(f.before)
	for i := range records {
		if i > 0 {
			s.WriteString(f.between)
		}
		s.WriteString(f.record(i))
	}
	s.WriteString(f.behind)
	return s.String(), compress(b, s.String())
}

// Each format, from its gzip bytes to log records, and what only inflating them takes. "best" is the fastest iteration, which
// on a machine that others use as well says more than the mean does.
func BenchmarkFormats(b *testing.B) {
	const records = 4000
	for _, f := range benchmarkFormats {
		content, zipped := f.object(b, records)
		object := sampleObject(f.sample)
		run := func(name string, once func(b *testing.B)) {
			b.Run(name, func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				b.ReportAllocs()
				best := time.Duration(math.MaxInt64)
				for b.Loop() {
					start := time.Now()
					once(b)
					best = min(best, time.Since(start))
				}
				reportPerEvent(b, records)
				b.ReportMetric(float64(best.Nanoseconds())/records, "best-ns/record")
				b.ReportMetric(float64(len(content))/records, "B/record")
			})
		}
		run(f.sample, func(b *testing.B) {
			b.Helper()
			require.Equal(b, records, drainObject(b, zipped, object))
		})
		buf := make([]byte, 64<<10)
		run(f.sample+"/inflate", func(*testing.B) {
			r := decompress.NewReader(bytes.NewReader(zipped))
			for {
				if _, err := r.Read(buf); errors.Is(err, io.EOF) {
					break
				}
			}
			r.Close()
		})
	}
}

// drainObject returns how many records an object has.
func drainObject(tb testing.TB, body []byte, object Object) (records int) {
	tb.Helper()
	r := NewObjectReader(bytes.NewReader(body), object, testOptions())
	defer r.Close()
	for {
		batch, err := r.Next()
		if errors.Is(err, io.EOF) {
			return records
		}
		require.NoError(tb, err)
		records += batch.Records()
	}
}

// The lines that a sender asks to skip, on its way to those that are missing.
func BenchmarkObjectSkip(b *testing.B) {
	content, zipped := benchmarkObject(b, 100_000)
	object := testObject()
	object.Skip = 100_000
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewObjectReader(bytes.NewReader(zipped), object, testOptions())
		_, err := r.Next()
		require.ErrorIs(b, err, io.EOF)
		r.Close()
	}
	reportPerEvent(b, 100_000)
}

// What a reader of lines cannot do without: to inflate the object and find its newlines.
func BenchmarkInflateAndCutLines(b *testing.B) {
	content, zipped := benchmarkObject(b, 100_000)
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		r := decompress.NewReader(bytes.NewReader(zipped))
		newlines := 0
		for {
			n, err := r.Read(buf)
			for data := buf[:n]; ; newlines++ {
				i := bytes.IndexByte(data, '\n')
				if i < 0 {
					break
				}
				data = data[i+1:]
			}
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(b, err)
		}
		r.Close()
		require.Equal(b, 100_000, newlines)
	}
	reportPerEvent(b, 100_000)
}
