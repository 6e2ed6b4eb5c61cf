// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/awslogs/s3log"
	"github.com/awsloki/awsloki/internal/decompress"
)

func testObject() Object {
	return Object{
		Bucket:    "logs-bucket",
		Key:       "AWSLogs/123456789012/object.log.gz",
		ETag:      `"9b2cf535f27731c974343645a3985328"`,
		EventTime: time.Date(2026, 10, 12, 8, 25, 0, 0, time.UTC),
	}
}

// sampleKeys has the key of each object in testdata/s3. Those of a type are called by it.
var sampleKeys = map[string]string{
	"alb_access":             "my-bucket/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2022/01/24/123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.b13ea9d19f16d015_20220124T0000Z_0.0.0.0_2et2e1mx.log.gz",
	"alb_connection":         "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2022/05/01/conn_log.123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz",
	"alb_health_check":       "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2022/05/01/health_check_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz",
	"nlb_tls":                "prefix/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2016/05/01/123456789012_elasticloadbalancing_us-east-2_net.my-network-loadbalancer.1234567890abcdef_201605010000Z_2soosksi.log.gz",
	"clb_access":             "AWSLogs/123456789012/elasticloadbalancing/us-west-2/2014/02/15/123456789012_elasticloadbalancing_us-west-2_network-edge_20140215T2340Z_172.160.001.192_20sg8hgm.log",
	"cloudfront":             "prefix/EMLARXS9EXAMPLE.2019-12-04-21.RT4KCN4SGK9.gz",
	"cloudfront.json":        "AWSLogs/123456789012/CloudFront/EMLARXS9EXAMPLE.2019-11-14-20.RT4KCN4SGK9.gz",
	"cloudfront.plain":       "AWSLogs/123456789012/CloudFront/EMLARXS9EXAMPLE/2019/12/04/21/EMLARXS9EXAMPLE.2019-12-04-21.RT4KCN4SGK9.gz",
	"cloudtrail":             "o-abcdefghij/AWSLogs/o-abcdefghij/123456789012/CloudTrail/eu-west-3/2023/05/19/123456789012_CloudTrail_eu-west-3_20230519T0745Z_4jhzXFO2Jlvu2b3y.json.gz",
	"cloudtrail_digest":      "AWSLogs/123456789012/CloudTrail-Digest/us-east-2/2020/08/17/123456789012_CloudTrail-Digest_us-east-2_my_trail_us-east-2_20200817T150131Z.json.gz",
	"cloudtrail_insight":     "AWSLogs/123456789012/CloudTrail-Insight/us-east-1/2019/11/14/123456789012_CloudTrail-Insight_us-east-1_20191114T0055Z_ZjhzXFO2Jlvu2b3y.json.gz",
	"cloudwatch":             "2025/10/12/08/orders-1-2025-10-12-08-27-20-0b3c0a43-5ed8-4f95-a0a5-5e3c7bd0a1c2",
	"elb_test":               "AWSLogs/123456789012/ELBAccessLogTestFile",
	"firehose":               "2025/10/12/08/orders-1-2025-10-12-08-27-20-0b3c0a43-5ed8-4f95-a0a5-5e3c7bd0a1c2",
	"guardduty":              "AWSLogs/123456789012/GuardDuty/us-east-1/2024/05/30/07a3f2ce-1485-3031-b842-e1f324c4a48d.jsonl.gz",
	"line-ends":              "unknown.log",
	"msk_broker":             "prefix/AWSLogs/111111111111/KafkaBrokerLogs/eu-south-2/msk-test-name-7f6b9b77-24f9-4921-87b6-d29a6401e292-3/2025-07-04-11/Broker-1_11-55_cab960bb.log.gz",
	"network_firewall_alert": "AWSLogs/123456789012/network-firewall/alert/us-east-1/test-firewall/2020/10/13/22/123456789012_network-firewall_alert_us-east-1_test-firewall_202010132205_5a1f0b5c.log.gz",
	"network_firewall_flow":  "AWSLogs/123456789012/network-firewall/flow/us-east-1/test-firewall/2020/10/13/22/123456789012_network-firewall_flow_us-east-1_test-firewall_202010132205_5a1f0b5c.log.gz",
	"network_firewall_tls":   "AWSLogs/123456789012/network-firewall/tls/us-east-1/test-firewall/2021/12/03/16/123456789012_network-firewall_tls_us-east-1_test-firewall_202112031650_5a1f0b5c.log.gz",
	"redshift_connection":    "AWSLogs/123456789012/redshift/us-east-1/2020/12/07/123456789012_redshift_us-east-1_mycluster_connectionlog_2020-12-07T20:01.gz",
	"redshift_user":          "AWSLogs/123456789012/redshift/us-east-1/2020/12/03/123456789012_redshift_us-east-1_mycluster_userlog_2020-12-03T10:01.gz",
	"redshift_user_activity": "AWSLogs/123456789012/redshift/us-east-1/2020/12/08/123456789012_redshift_us-east-1_mycluster_useractivitylog_2020-12-08T22:01.gz",
	"route53_resolver":       "AWSLogs/111122223333/vpcdnsquerylogs/vpc-7example/2021/02/04/vpc-7example_vpcdnsquerylogs_111122223333_20210204T1750Z_71584702.log.gz",
	"s3_access":              "123456789012/us-west-1/my.bucket.example.com/2019/02/06/2019-02-06-01-32-16-E568B2907131C0C0",
	"tgw_flow":               "AWSLogs/123456789012/vpcflowlogs/us-east-1/2023/11/14/123456789012_vpcflowlogs_us-east-1_fl-0tgw1234_20231114T2215Z_fe123456.log.gz",
	"vpc_flow":               "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=cn-north-1/year=2014/month=12/day=14/hour=04/123456789012_vpcflowlogs_cn-north-1_fl-1234abcd_20141214T0405Z_fe123456.log.gz",
	"vpc_flow.custom":        "AWSLogs/123456789012/vpcflowlogs/us-gov-east-1/2014/12/14/04/123456789012_vpcflowlogs_us-gov-east-1_fl-1234abcd_20141214T0405Z_fe123456.log.gz",
	"waf":                    "AWSLogs/111111111111/WAFLogs/ap-southeast-2/TEST-WEBACL/2023/08/31/04/55/111111111111_waflogs_ap-southeast-2_TEST-WEBACL_20230831T0455Z_e0ca43b5.log.gz",
	"waf.firehose":           "2020/10/02/21/aws-waf-logs-testing-1-2020-10-02-21-25-30-0b3c0a43-5ed8-4f95-a0a5-5e3c7bd0a1c2",
}

// What becomes of an object of each format, most of them as AWS's documentation shows them.
func TestObjectGolden(t *testing.T) {
	files, err := filepath.Glob(testdata + "/s3/*.log")
	require.NoError(t, err)
	require.Len(t, files, len(sampleKeys))
	for _, logType := range s3log.Types() {
		if logType != s3log.Unknown {
			require.Contains(t, sampleKeys, string(logType))
		}
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".log")
		t.Run(name, func(t *testing.T) {
			content := readFile(t, file)
			object := testObject()
			object.Key = sampleKeys[name]
			for form, body := range forms(t, string(content)) {
				pieces, err := readObject(bytes.NewReader(body), object, testOptions())
				require.NoError(t, err)
				logs := plog.NewLogs()
				for _, piece := range pieces {
					piece.Logs.ResourceLogs().MoveAndAppendTo(logs.ResourceLogs())
				}
				got := marshalJSON(t, logs)
				expected := strings.TrimSuffix(file, ".log") + ".expected.json"
				if *update {
					require.NoError(t, os.WriteFile(expected, got, 0o600))
				}
				assert.Equal(t, string(readFile(t, expected)), string(got), form)
			}
		})
	}
}

func TestObjectLines(t *testing.T) {
	for name, tt := range map[string]struct {
		content string
		// lines has each record's line number before its body.
		lines []string
	}{
		"nothing":                         {"", nil},
		"one byte":                        {"a", []string{"1 a"}},
		"one newline":                     {"\n", nil},
		"empty lines only":                {"\n\r\n\n", nil},
		"LF":                              {"a\nb\n", []string{"1 a", "2 b"}},
		"CRLF":                            {"a\r\nb\r\n", []string{"1 a", "2 b"}},
		"both":                            {"a\r\nb\nc\r\n", []string{"1 a", "2 b", "3 c"}},
		"last line without newline":       {"a\nb", []string{"1 a", "2 b"}},
		"empty lines between":             {"\n\na\n\r\nb\n\n", []string{"3 a", "5 b"}},
		"CR before CRLF is of the line":   {"a\r\r\n\r\r\n", []string{"1 a\r", "2 \r"}},
		"CR within a line":                {"a\rb\n\rc\n", []string{"1 a\rb", "2 \rc"}},
		"CR at the end is no line end":    {"a\r", []string{"1 a\r"}},
		"white space is no empty line":    {" \n\t\n", []string{"1  ", "2 \t"}},
		"begins with one byte of gzip's":  {"\x1f\nb", []string{"1 \x1f", "2 b"}},
		"NUL, and bytes that are no text": {"a\x00b\n\xff\xfe\n", []string{"1 a\x00b", "2 \xff\xfe"}},
	} {
		t.Run(name, func(t *testing.T) {
			for form, body := range forms(t, tt.content) {
				for reading, wrap := range readings {
					pieces, err := readObject(wrap(bytes.NewReader(body)), testObject(), testOptions())
					require.NoError(t, err, "%s, %s", form, reading)
					assert.Equal(t, tt.lines, numbered(t, pieces), "%s, %s", form, reading)
				}
			}
		})
	}
}

// forms is how content may be stored, none of which its key says.
func forms(tb testing.TB, content string) map[string][]byte {
	tb.Helper()
	half := len(content) / 2
	members := append(compress(tb, content[:half]), compress(tb, "")...)
	members = append(members, compress(tb, content[half:])...)
	return map[string][]byte{
		"plain":            []byte(content),
		"gzip":             compress(tb, content),
		"many members":     members,
		"gzip within gzip": compress(tb, string(members)),
	}
}

// readings is how bytes may arrive.
var readings = map[string]func(io.Reader) io.Reader{
	"at once":              func(r io.Reader) io.Reader { return r },
	"one byte at a time":   iotest.OneByteReader,
	"half of what is left": iotest.HalfReader,
	"data along with EOF":  iotest.DataErrReader,
	"of random sizes":      func(r io.Reader) io.Reader { return &randomReader{r, rand.New(rand.NewPCG(1, 2))} },
}

// randomReader returns some of what is asked for, and sometimes nothing.
type randomReader struct {
	io.Reader
	random *rand.Rand
}

func (r *randomReader) Read(p []byte) (int, error) {
	return r.Reader.Read(p[:r.random.IntN(min(len(p), 5000)+1)])
}

func TestObjectAttributes(t *testing.T) {
	object, opts := testObject(), testOptions()
	read := func() (map[string]any, plog.LogRecord, Document) {
		t.Helper()
		pieces, err := readObject(strings.NewReader("a\n"), object, opts)
		require.NoError(t, err)
		require.Len(t, pieces, 1)
		rl := pieces[0].Logs.ResourceLogs().At(0)
		return rl.Resource().Attributes().AsRaw(), rl.ScopeLogs().At(0).LogRecords().At(0), pieces[0].Documents[0]
	}
	resource, record, document := read()
	assert.Equal(t, map[string]any{
		"cloud.provider": "aws", "cloud.region": "us-east-1", "service.name": "logs-bucket", "aws.log.type": "s3",
		"aws.s3.bucket": "logs-bucket", "aws.s3.key": "AWSLogs/123456789012/object.log.gz",
	}, resource)
	assert.Equal(t, map[string]any{"log.record.uid": "9b2cf535f27731c974343645a3985328:1"}, record.Attributes().AsRaw())
	assert.Equal(t, object.EventTime, record.Timestamp().AsTime())
	assert.Equal(t, opts.ObservedAt, record.ObservedTimestamp().AsTime())
	assert.Equal(t, 1, document.Resources)
	assert.NotZero(t, document.ID)

	unquoted := object
	unquoted.ETag = strings.Trim(object.ETag, `"`)
	object = unquoted
	_, _, same := read()
	assert.Equal(t, document.ID, same.ID)

	object, opts.Region = Object{Bucket: "b", Key: "k", ETag: `""`}, ""
	resource, record, document = read()
	assert.NotContains(t, resource, "cloud.region")
	assert.Zero(t, record.Attributes().Len())
	assert.Equal(t, opts.ObservedAt, record.Timestamp().AsTime())
	assert.Zero(t, document.ID)
}

// The same bytes in another place are another piece.
func TestObjectIDs(t *testing.T) {
	ids := map[ID]string{}
	f := func(change func(*Object)) {
		t.Helper()
		object := testObject()
		change(&object)
		pieces, err := readObject(strings.NewReader("a\na\na\na\n"), object, testOptions())
		require.NoError(t, err)
		id := pieces[0].Documents[0].ID
		assert.NotContains(t, ids, id)
		ids[id] = fmt.Sprint(object)
	}
	f(func(*Object) {})
	f(func(o *Object) { o.Bucket += "x" })
	f(func(o *Object) { o.Key = "x" + o.Key })
	f(func(o *Object) { o.Bucket, o.Key = o.Bucket+o.Key[:1], o.Key[1:] })
	f(func(o *Object) { o.ETag = "another" })
	f(func(o *Object) { o.Skip = 1 })
	f(func(o *Object) { o.Skip = 2 })
	f(func(o *Object) { o.Skip = 3 })
}

func describe(pieces []Batch) (ids []string) {
	for _, p := range pieces {
		ids = append(ids, fmt.Sprintf("%x %d", p.Documents, p.DecodedBytes))
	}
	return ids
}

// For random content, any Skip and any sizes of reads: the records are those after Skip, and each piece that begins where
// one of the whole object does is the same piece.
func TestObjectSkip(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		content := randomContent(random)
		maxBytes, maxLines := 1+random.IntN(200), 1+random.IntN(20)
		read := func(skip int) []Batch {
			object := testObject()
			object.Skip = skip
			r := newObjectReaderOf(&randomReader{strings.NewReader(content), random}, object, maxBytes, maxLines)
			pieces, err := readAllOf(r)
			require.NoError(t, err)
			return pieces
		}
		whole := read(0)
		all := numbered(t, whole)
		require.Equal(t, wantLines(content), all)
		for _, p := range whole {
			require.LessOrEqual(t, p.Documents[0].Records, maxLines)
			require.True(t, p.DecodedBytes <= maxBytes || p.Documents[0].Records == 1)
		}
		for range 10 {
			skip := random.IntN(len(all)+3) - 1
			left := read(skip)
			require.Equal(t, all[min(max(skip, 0), len(all)):], append([]string{}, numbered(t, left)...))
			expectPieces(t, whole, left, max(skip, 0))
		}
	}
}

// expectPieces checks left, which is whole without its first skip records.
func expectPieces(t *testing.T, whole, left []Batch, skip int) {
	t.Helper()
	record := 0
	for _, p := range whole {
		first := record
		record += p.Documents[0].Records
		if record <= skip {
			continue
		}
		require.NotEmpty(t, left)
		if first >= skip {
			require.Equal(t, p.Documents, left[0].Documents)
		} else {
			require.NotEqual(t, p.Documents[0].ID, left[0].Documents[0].ID)
		}
		left = left[1:]
	}
	require.Empty(t, left)
}

func randomContent(random *rand.Rand) string {
	var b strings.Builder
	for range random.IntN(300) {
		switch random.IntN(10) {
		case 0:
		case 1:
			b.WriteString(strings.Repeat("long ", random.IntN(200)))
		default:
			b.WriteString(strings.Repeat("x", random.IntN(20)))
		}
		b.WriteString([]string{"\n", "\r\n", "\n\n"}[random.IntN(3)])
	}
	b.WriteString([]string{"", "last", "\r"}[random.IntN(3)])
	return b.String()
}

// Wherever a gzip stream ends early: the first of the whole lines, and an error.
func TestObjectTruncated(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var content strings.Builder
	for i := range 60 {
		fmt.Fprintf(&content, "line %d %x\r\n", i, random.Uint64())
	}
	all := wantLines(content.String())
	for form, body := range forms(t, content.String()) {
		if form == "plain" {
			continue
		}
		most := 0
		for n := 2; n < len(body); n++ {
			for _, small := range []bool{false, true} {
				r := newObjectReaderOf(bytes.NewReader(body[:n]), testObject(), maxPieceBytes, maxPieceRecords)
				if small {
					r = newObjectReaderOf(bytes.NewReader(body[:n]), testObject(), 100, 3)
				}
				pieces, err := readAllOf(r)
				if err == nil && form == "many members" && memberEndsAt(body, n) {
					require.NotEmpty(t, pieces)
					continue // nothing says that there is to be another member
				}
				require.ErrorIs(t, err, decompress.ErrCorrupt, "%s cut at %d", form, n)
				require.NotErrorIs(t, err, io.EOF)
				got := numbered(t, pieces)
				require.True(t, len(got) <= len(all) && strings.Join(all[:len(got)], "\n") == strings.Join(got, "\n"), "%s cut at %d", form, n)
				require.ErrorContains(t, err, fmt.Sprintf("line %d: ", len(got)+1))
				most = max(most, len(got))
			}
		}
		assert.Len(t, all, most, "%s: what comes before the checksum is returned", form)
	}
}

// memberEndsAt says whether a new member begins at body[n].
func memberEndsAt(body []byte, n int) bool { return decompress.IsGzip(body[n:]) }

func TestObjectCorrupt(t *testing.T) {
	good := compress(t, "a\nb\n")
	flipped := bytes.Clone(good)
	flipped[len(flipped)-8] ^= 1
	thrice := compress(t, string(compress(t, string(compress(t, "a\n")))))
	for name, tt := range map[string]struct {
		body    []byte
		records int
		err     string
	}{
		"header only":        {[]byte("\x1f\x8b"), 0, "line 1: gzip, after 0 decoded bytes: header: unexpected EOF"},
		"not gzip after all": {[]byte("\x1f\x8bhello world"), 0, "line 1: gzip, after 0 decoded bytes: header: gzip: invalid header"},
		"checksum":           {flipped, 2, "line 3: gzip, after 4 decoded bytes: gzip: invalid checksum"},
		"followed by text":   {append(bytes.Clone(good), "followed by text"...), 2, "line 3: gzip, after 4 decoded bytes: gzip: invalid header"},
		"followed by a byte": {append(bytes.Clone(good), '\n'), 2, "line 3: gzip, after 4 decoded bytes: unexpected EOF"},
		"three layers":       {thrice, 0, "line 1: gzip within gzip, more than 2 times"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, wrap := range readings {
				pieces, err := readObject(wrap(bytes.NewReader(tt.body)), testObject(), testOptions())
				require.EqualError(t, err, tt.err)
				require.ErrorIs(t, err, decompress.ErrCorrupt)
				assert.Len(t, numbered(t, pieces), tt.records)
			}
		})
	}
}

// A body that fails in the middle is not corrupt. Of what came before there are only whole pieces: at another delivery it
// will not fail at the same place.
func TestObjectBodyFails(t *testing.T) {
	broken := errors.New("connection reset")
	for _, failure := range []error{broken, io.ErrUnexpectedEOF} {
		for form, body := range forms(t, "a\nb\nc") {
			for _, last := range []bool{false, true} {
				src := io.MultiReader(bytes.NewReader(body[:len(body)-1]), iotest.ErrReader(failure))
				if last {
					src = iotest.DataErrReader(src)
				}
				r := NewObjectReader(src, testObject(), testOptions())
				pieces, err := readAllOf(r)
				require.ErrorIs(t, err, failure, form)
				require.NotErrorIs(t, err, decompress.ErrCorrupt)
				assert.Empty(t, pieces, form)
				_, again := r.Next()
				assert.Equal(t, err, again)
			}
		}
	}
	whole := strings.Repeat("a\n", 2*maxPieceRecords)
	pieces, err := readObject(io.MultiReader(strings.NewReader(whole+"b\nc"), stuck{}), testObject(), testOptions())
	require.ErrorIs(t, err, io.ErrNoProgress)
	assert.Len(t, pieces, 2)
	complete, err := readObject(strings.NewReader(whole+"b\nc"), testObject(), testOptions())
	require.NoError(t, err)
	for i, piece := range pieces {
		assert.Equal(t, complete[i].Documents, piece.Documents)
	}
}

// stuck returns neither bytes nor an error.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestObjectReserve(t *testing.T) {
	opts := testOptions()
	opts.MaxDecodedBytes = 16 << 20
	var asked []int64
	opts.Reserve = func(n int64) error { asked = append(asked, n); return nil }
	wide := strings.Repeat(strings.Repeat("w", 1023)+"\n", 8<<10)
	long := strings.Repeat("l", 3<<20) + "\n"
	_, err := readObject(strings.NewReader(wide+long+wide+long+wide), testObject(), opts)
	require.NoError(t, err)
	require.NotEmpty(t, asked)
	assert.InDelta(t, maxPieceBytes+maxPieceRecords*(recordMemory+attributeMemory), asked[0], maxPieceRecords*112)
	assert.Equal(t, []int64{2 << 20, 4 << 20}, asked[1:], "once for a buffer of two and once for one of four MiB")

	refused := errors.New("no memory now")
	for refuseAt, records := range []int{0, 8 << 10, 8 << 10} {
		call := 0
		opts.Reserve = func(int64) error {
			call++
			if call > refuseAt {
				return refused
			}
			return nil
		}
		body := strings.NewReader(wide + long)
		pieces, err := readObject(body, testObject(), opts)
		require.ErrorIs(t, err, refused)
		assert.Len(t, numbered(t, pieces), records)
		if refuseAt == 0 {
			assert.Equal(t, len(wide)+len(long), body.Len(), "nothing is read before memory is there")
		}
	}
}

func TestObjectClose(t *testing.T) {
	r := NewObjectReader(bytes.NewReader(compress(t, strings.Repeat("a\n", 2*maxPieceRecords))), testObject(), testOptions())
	first, err := r.Next()
	require.NoError(t, err)
	r.Close()
	r.Close()
	_, err = r.Next()
	require.ErrorIs(t, err, fs.ErrClosed)
	other, err := readObject(bytes.NewReader(compress(t, strings.Repeat("b\n", 10))), testObject(), testOptions())
	require.NoError(t, err)
	assert.Equal(t, "a", bodies(first.Logs)[0])
	assert.Equal(t, "b", bodies(other[0].Logs)[0])

	r = NewObjectReader(strings.NewReader(""), testObject(), testOptions())
	r.Close()
	_, err = r.Next()
	require.ErrorIs(t, err, fs.ErrClosed)
}

// However large an object is, what it takes stays the same, also while it is skipped.
func TestObjectMemory(t *testing.T) {
	const size = 100 << 20
	line := strings.Repeat("x", 131) + "\n"
	member := compress(t, strings.Repeat(line, size/len(line)/100))
	for name, tt := range map[string]struct {
		body io.Reader
		skip int
	}{
		"plain":         {&endless{text: []byte(line), limit: size}, 0},
		"gzip, skipped": {&endless{text: member, limit: 100 * len(member)}, 500_000},
	} {
		t.Run(name, func(t *testing.T) {
			object := testObject()
			object.Skip = tt.skip
			r := NewObjectReader(tt.body, object, testOptions())
			defer r.Close()
			runtime.GC()
			before, most, records := heldMemory().HeapAlloc, uint64(0), tt.skip
			for n := 0; ; n++ {
				batch, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				records += batch.Documents[0].Records
				if n%40 == 0 {
					runtime.GC()
					most = max(most, heldMemory().HeapAlloc)
				}
				runtime.KeepAlive(batch)
			}
			assert.InDelta(t, size/len(line), records, 100)
			assert.Less(t, most, before+6<<20)
		})
	}
}

func readObject(body io.Reader, object Object, opts Options) ([]Batch, error) {
	return readAllOf(NewObjectReader(body, object, opts))
}

// readAllOf returns the pieces before the end or an error. None may change after it was returned.
func readAllOf(r *ObjectReader) (pieces []Batch, err error) {
	defer r.Close()
	for {
		batch, err := r.Next()
		if errors.Is(err, io.EOF) {
			return pieces, nil
		}
		if err != nil {
			return pieces, err
		}
		pieces = append(pieces, batch)
	}
}

// newObjectReaderOf makes pieces of another size.
func newObjectReaderOf(body io.Reader, object Object, maxBytes, maxLines int) *ObjectReader {
	r := NewObjectReader(body, object, testOptions())
	r.pieces.maxBytes, r.pieces.maxRecords = maxBytes, maxLines
	return r
}

// numbered returns the bodies of all records after their line numbers, and checks that pieces are as they say.
func numbered(tb testing.TB, pieces []Batch) (lines []string) {
	tb.Helper()
	for _, p := range pieces {
		require.Len(tb, p.Documents, 1)
		require.Equal(tb, Document{p.Documents[0].ID, 1, p.Logs.LogRecordCount()}, p.Documents[0])
		require.Positive(tb, p.Documents[0].Records)
		require.Positive(tb, p.DecodedBytes)
		for _, record := range p.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			uid, _ := record.Attributes().Get(AttributeLogRecordUID)
			_, number, _ := strings.Cut(uid.Str(), ":")
			lines = append(lines, number+" "+record.Body().Str())
		}
	}
	return lines
}

// wantLines is what numbered is to return for the records of content.
func wantLines(content string) (lines []string) {
	split := strings.Split(content, "\n")
	for i, line := range split {
		if i < len(split)-1 {
			line = strings.TrimSuffix(line, "\r")
		}
		if line != "" {
			lines = append(lines, strconv.Itoa(i+1)+" "+line)
		}
	}
	return lines
}

// A batch that was changed comes again as it was, and the object goes on after it.
func TestObjectAgain(t *testing.T) {
	content := strings.Repeat("some line\n\n", 3*maxPieceRecords)
	read := func(again bool) (lines []string, ids []ID) {
		r := NewObjectReader(strings.NewReader(content), Object{Bucket: "b", Key: "k", ETag: "e", Skip: 10}, testOptions())
		defer r.Close()
		for {
			batch, err := r.Next()
			if errors.Is(err, io.EOF) {
				return lines, ids
			}
			require.NoError(t, err)
			if again {
				batch.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().SetStr("changed")
				batch = r.Again()
			}
			lines = append(lines, bodies(batch.Logs)...)
			ids = append(ids, batch.Documents[0].ID)
		}
	}
	lines, ids := read(false)
	linesAgain, idsAgain := read(true)
	assert.Len(t, lines, 3*maxPieceRecords-10)
	assert.Equal(t, lines, linesAgain)
	assert.Equal(t, ids, idsAgain)
}
