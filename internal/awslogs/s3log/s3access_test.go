// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestS3Access(t *testing.T) {
	const (
		at  = "2019-02-06T00:00:38Z"
		uri = `"GET /DOC-EXAMPLE-BUCKET1?versioning HTTP/1.1"`
	)
	withURI := func(text string) string { return strings.Replace(s3AccessSample, uri, text, 1) }
	before := func(text string) string {
		record, _, _ := strings.Cut(s3AccessSample, text)
		return record
	}
	assertSaid(
		t, S3Access,
		said{record: s3AccessSample, time: at, status: 200},
		said{record: strings.Replace(s3AccessSample, "00:00:38 +0000", "00:00:38 +0130", 1), time: "2019-02-05T22:30:38Z", status: 200},
		said{record: strings.Replace(s3AccessSample, "[06/Feb", "[31/Feb", 1), status: 200},
		said{record: strings.Replace(s3AccessSample, "[06/Feb", "[06/feb", 1), status: 200},
		said{record: strings.Replace(s3AccessSample, "[06/Feb/2019:00:00:38 +0000]", "-", 1)},
		// Copies and lifecycle operations have no Request-URI.
		said{record: withURI("-"), time: at, status: 200},
		said{record: strings.Replace(withURI("-"), " - 200 - 113", " - - - -", 1), time: at},
		said{record: strings.Replace(s3AccessSample, "1.1\" 200 ", "1.1\" - ", 1), time: at},
		// Without HTTP's version.
		said{record: withURI(`"GET /mybucket/photos/2006/08/puppy.jpg?x-foo=bar"`), time: at, status: 200},
		// Quotation marks as they came, and as other servers escape them.
		said{
			record: `f383580bf9c9bd19055832f1bf43164c3e6c444a758287727f8f40ab00d461bc testing-1234xxx [20/Jun/2019:03:51:36 +0000] 1.2.3.4 - 63DAF67A2BC0B6C3 REST.GET.OBJECT %2522 "GET /" HTTP/1.1" 403 AccessDenied 243 - 8 - "referer test" "curl/7.38.0" - uidORkMVUSKEFetTC9FJG1qrSdT9DlxA97GPF8m2IsJlDxHLkV5VGzmkuTb8pXIym7B/J5XZlGU= - ECDHE-RSA-AES128-GCM-SHA256 - testing-1234xxx.s3.amazonaws.com TLSv1.2`,
			time:   "2019-06-20T03:51:36Z", status: 403,
		},
		said{record: withURI(`"GET /a\"b\x22" c"d HTTP/1.1"`), time: at, status: 200},
		said{record: withURI(`"GET /" 20 HTTP/1.1"`), time: at, status: 200},
		said{record: withURI(`"GET /a b HTTP/1.1"`), time: at, status: 200},
		// Cut short within the Request-URI, or after the status.
		said{record: before("GET /"), time: at},
		said{record: before(" - 113"), time: at, status: 200},
	)
}

func TestBracketedTimeLikeTimeParse(t *testing.T) {
	const layout = "[02/Jan/2006:15:04:05 -0700]"
	zone := time.FixedZone("", -(3*60+30)*60)
	for at := time.Date(2019, 1, 1, 22, 4, 5, 0, zone); at.Year() < 2021; at = at.Add(25 * time.Hour) {
		text := at.Format(layout)
		assert.Equal(t, at.UnixNano(), bracketedTime([]byte(text)), text)
		for i := range text {
			broken := []byte(text)
			broken[i] ^= 0x40
			want, err := time.Parse(layout, string(broken))
			if got := bracketedTime(broken); err != nil || got != 0 {
				assert.Equal(t, err == nil, got != 0, string(broken))
				assert.True(t, err != nil || want.UnixNano() == got, string(broken))
			}
		}
	}
}
