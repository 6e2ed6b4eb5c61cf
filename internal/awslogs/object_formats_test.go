// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/decompress"
)

// sampleObject is an object of a format.
func sampleObject(name string) Object {
	object := testObject()
	object.Key = sampleKeys[name]
	return object
}

// readRecords returns all records of an object.
func readRecords(tb testing.TB, content string, object Object) (records []plog.LogRecord) {
	tb.Helper()
	opts := testOptions()
	opts.MaxDecodedBytes = 8 << 20
	pieces, err := readObject(strings.NewReader(content), object, opts)
	require.NoError(tb, err)
	for _, p := range pieces {
		for _, rl := range p.Logs.ResourceLogs().All() {
			for _, record := range rl.ScopeLogs().At(0).LogRecords().All() {
				records = append(records, record)
			}
		}
	}
	return records
}

// One line that cannot be read costs its own time and nothing else: it has the one in the key.
func TestObjectMalformedLine(t *testing.T) {
	start := time.Date(2022, 1, 24, 0, 0, 0, 0, time.UTC)
	const lines = 10_000
	for _, malformed := range []string{"", "http", "\x00\xff", `http 2022-13-24T00:00:00Z app/x 200 200 200 200 200 9`, strings.Repeat("a ", 40_000)} {
		var content strings.Builder
		for i := range lines {
			if i == lines/2 {
				content.WriteString(malformed + "x\n")
				continue
			}
			fmt.Fprintf(&content, "http %s app/lb/1 192.0.2.1:1 10.0.0.1:80 0.0 0.0 0.0 200 200 34 366 \"GET / HTTP/1.1\"\n",
				start.Add(time.Duration(i)*time.Millisecond).Format(time.RFC3339Nano))
		}
		records := readRecords(t, content.String(), sampleObject("alb_access"))
		require.Len(t, records, lines)
		for i, record := range records {
			want := start.Add(time.Duration(i) * time.Millisecond)
			status, ok := record.Attributes().Get(AttributeHTTPResponseStatusCode)
			if i == lines/2 {
				want = start // the key's
				require.False(t, ok)
				require.Equal(t, malformed+"x", record.Body().Str())
			} else {
				require.EqualValues(t, 200, status.Int())
			}
			require.Equal(t, want, record.Timestamp().AsTime(), i)
		}
	}
}

// Lines of any length are whole, and take nothing from those around them.
func TestObjectLongRecords(t *testing.T) {
	record := func(size int, second int) string {
		return fmt.Sprintf(`{"timestamp":%d,"formatVersion":1,"webaclId":"arn:aws:wafv2:us-east-1:111111111111:regional/webacl/a/1","uri":"%s"}`, 1_700_000_000_000+second, strings.Repeat(`\"}`, size/3))
	}
	sizes := []int{10, 70 << 10, 10, 256 << 10, 5 << 20, 10}
	var want []string
	for i, size := range sizes {
		want = append(want, record(size, i))
	}
	for name, content := range map[string]string{
		"waf":          strings.Join(want, "\r\n"),
		"waf.firehose": strings.Join(want, ""),
	} {
		records := readRecords(t, content, sampleObject(name))
		require.Len(t, records, len(sizes), name)
		for i, got := range records {
			require.Equal(t, want[i], got.Body().Str(), name)
			require.EqualValues(t, (1_700_000_000_000+i)*1e6, got.Timestamp(), name)
		}
	}
	content := `{"Records":[` + strings.Join(want, ",") + "]}"
	records := readRecords(t, content, sampleObject("cloudtrail"))
	require.Len(t, records, len(sizes))
	for i, got := range records {
		require.Equal(t, want[i], got.Body().Str())
	}
}

// Wherever CloudTrail's JSON ends early, also where gzip does not notice: an error, and the records before it.
func TestObjectCloudTrailCutShort(t *testing.T) {
	content := string(readFile(t, testdata+"/s3/cloudtrail.log"))
	all := readRecords(t, content, sampleObject("cloudtrail"))
	for n := len(`{"Records":`); n < len(content); n++ { // less than that might be anything, and is a line
		pieces, err := readObject(strings.NewReader(content[:n]), sampleObject("cloudtrail"), testOptions())
		require.ErrorIs(t, err, decompress.ErrCorrupt, n)
		got := numbered(t, pieces)
		require.ErrorContains(t, err, fmt.Sprintf("record %d: ", len(got)+1))
		for i, line := range got {
			require.Equal(t, fmt.Sprintf("%d %s", i+1, all[i].Body().Str()), line)
		}
	}
}

// An object whose fields are named again in its middle, as objects that were put together are.
func TestObjectHeaderTwice(t *testing.T) {
	content := "version start end\n5 1418530010 -\nend version start\n1418530070 5 -\n"
	r := NewObjectReader(strings.NewReader(content), sampleObject("vpc_flow"), testOptions())
	batch, err := r.Next()
	require.NoError(t, err)
	for range 2 {
		records := batch.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		require.Equal(t, 2, records.Len())
		assert.Equal(t, time.Unix(1418530010, 0).UTC(), records.At(0).Timestamp().AsTime())
		assert.Equal(t, time.Unix(1418530070, 0).UTC(), records.At(1).Timestamp().AsTime())
		batch = r.Again()
	}
	assert.Equal(t, 2, r.Records())
}

// A piece that is read again says what it did, whatever was named in pieces before.
func TestObjectAgainWithHeader(t *testing.T) {
	for name, content := range map[string]string{
		"vpc_flow":   "start version\n" + strings.Repeat("1418530010 5\n", 3*maxPieceRecords),
		"cloudfront": "#Fields: timestamp(ms) sc-status\n#Version: 1.0\n" + strings.Repeat("1418530010000\t200\n", 3*maxPieceRecords),
	} {
		r := NewObjectReader(strings.NewReader(content), sampleObject(name), testOptions())
		records := 0
		for {
			batch, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			again := r.Again()
			require.Equal(t, string(marshalJSON(t, batch.Logs)), string(marshalJSON(t, again.Logs)))
			for _, record := range again.Logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
				require.Equal(t, time.Unix(1418530010, 0).UTC(), record.Timestamp().AsTime())
			}
			records += again.Records()
		}
		assert.Equal(t, 3*maxPieceRecords, records)
	}
}

// No log: nothing is read of it beyond its beginning, and its end is no error, whatever comes.
func TestObjectNoLog(t *testing.T) {
	for _, name := range []string{"cloudtrail_digest", "elb_test"} {
		body := bytes.NewReader(bytes.Repeat([]byte("x"), 1<<20))
		r := NewObjectReader(body, sampleObject(name), testOptions())
		pieces, err := readAllOf(r)
		require.NoError(t, err)
		assert.Empty(t, pieces)
		assert.Positive(t, body.Len())
		assert.True(t, r.NoLog())
		_, err = readObject(bytes.NewReader([]byte("\x1f\x8bbroken")), sampleObject(name), testOptions())
		require.NoError(t, err)
	}
}

// For every format, any Skip leaves the records after it, as they are without.
func TestObjectFormatsSkip(t *testing.T) {
	for name := range sampleKeys {
		content := string(readFile(t, testdata+"/s3/"+name+".log"))
		all := readRecords(t, content, sampleObject(name))
		for skip := range len(all) + 2 {
			object := sampleObject(name)
			object.Skip = skip
			left := readRecords(t, content, object)
			require.Len(t, left, max(len(all)-skip, 0), name)
			for i, record := range left {
				want, got := plog.NewLogRecord(), plog.NewLogRecord()
				all[skip+i].CopyTo(want)
				record.CopyTo(got)
				require.Equal(t, want, got, name)
			}
		}
	}
}

// Messages of CloudWatch Logs in an object: what Skip leaves out, what a second delivery is known by, and memory.
func TestObjectMessages(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	var content strings.Builder
	var ids []string
	for m := range 300 {
		if m%50 == 7 {
			fmt.Fprintf(&content, "\nnot a message %d\n", m)
		}
		events := make([]string, random.IntN(5))
		for i := range events {
			id := fmt.Sprintf("id-%d-%d", m, i)
			events[i] = fmt.Sprintf(`{"id":%q,"timestamp":1760257640000,"message":"\u0065vent","extractedFields":{"@aws.account":"%d"}}`, id, i%2)
			ids = append(ids, id)
		}
		fmt.Fprintf(&content, `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[%s]}`, strings.Join(events, ","))
		content.WriteString([]string{"", "\n", " "}[random.IntN(3)])
	}
	read := func(skip, maxRecords int, again bool) (uids []string, documents map[ID]int) {
		object := sampleObject("cloudwatch")
		object.Skip = skip
		r := newObjectReaderOf(strings.NewReader(content.String()), object, maxPieceBytes, maxRecords)
		documents = map[ID]int{}
		for {
			batch, err := r.Next()
			if errors.Is(err, io.EOF) {
				require.Equal(t, len(ids)+6, r.Records())
				return uids, documents
			}
			require.NoError(t, err)
			if again {
				batch = r.Again()
			}
			require.Equal(t, batch.Logs.LogRecordCount(), batch.Records())
			resources := 0
			for _, document := range batch.Documents {
				documents[document.ID] += document.Records
				resources += document.Resources
			}
			require.Equal(t, batch.Logs.ResourceLogs().Len(), resources)
			for _, rl := range batch.Logs.ResourceLogs().All() {
				for _, record := range rl.ScopeLogs().At(0).LogRecords().All() {
					uid, _ := record.Attributes().Get(AttributeLogRecordUID)
					uids = append(uids, uid.Str())
				}
			}
		}
	}
	whole, documents := read(0, 20, false)
	assert.Len(t, whole, len(ids)+6)
	all := map[string]bool{}
	for _, id := range whole {
		all[id] = true
	}
	for _, id := range ids {
		assert.True(t, all[id], id)
	}
	again, documentsAgain := read(0, 20, true)
	assert.Equal(t, whole, again)
	assert.Equal(t, documents, documentsAgain)
	assert.NotContains(t, documents, ID{})
	for range 50 {
		skip := random.IntN(len(ids) + 10)
		left, documentsLeft := read(skip, 20, skip%2 == 0)
		require.Len(t, left, max(len(ids)+6-skip, 0))
		for _, id := range left {
			require.True(t, all[id], id)
		}
		cut := documentsLeft[ID{}]
		delete(documentsLeft, ID{})
		require.LessOrEqual(t, cut, 5)
		for id, records := range documentsLeft {
			if documents[id] != records {
				t.Logf("the lines of a piece that Skip begins within have an id of their own: %d of %d records", records, documents[id])
				require.Zero(t, documents[id])
			}
		}
	}
}

// Whatever else Firehose has written between them, messages are messages, and what is none of them is a line.
func TestObjectMessagesAmongOthers(t *testing.T) {
	message := func(id, group, text string) string {
		return fmt.Sprintf(`{"messageType":"DATA_MESSAGE","owner":"1","logGroup":%q,"logStream":"s","logEvents":[{"id":%q,"timestamp":1,"message":%q}]}`, group, id, text)
	}
	const control = `{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","logEvents":[]}`
	opts := testOptions()
	opts.ExcludeLogGroup = "own"
	three := message("1", "g", "one") + message("2", "g", "two") + message("3", "own", "mine")
	for first, lines := range map[string][]string{
		"":                                      nil,
		"hello\n":                               {"hello"},
		message("0", "g", "broken")[40:] + "\n": {message("0", "g", "broken")[40:]},
		`{"a":1}`:                               {`{"a":1}`},
		control:                                 nil,
		control + " text\n":                     {control + " text"},
		message("4", "own", "mine") + " text\n": {message("4", "own", "mine") + " text"},
		`{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[]}`: {`{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[]}`},
	} {
		for _, key := range []string{"cloudwatch", "firehose"} {
			pieces, err := readObject(strings.NewReader(first+three), sampleObject(key), opts)
			require.NoError(t, err)
			require.Len(t, pieces, 1)
			assert.Equal(t, append([]string{"one", "two"}, lines...), bodies(pieces[0].Logs), first)
			assert.Equal(t, 1, pieces[0].ExcludedRecords, first)
			want := 0
			if first == control {
				want = 1
			}
			assert.Equal(t, want, pieces[0].ControlMessages, first)
			for _, document := range pieces[0].Documents {
				assert.NotZero(t, document.ID)
			}
		}
	}
}

// What Skip leaves of a message is known again when it comes with the same Skip.
func TestObjectMessagePart(t *testing.T) {
	content := `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[` +
		`{"id":"1","timestamp":1,"message":"a"},{"id":"2","timestamp":1,"message":"b"},{"id":"3","timestamp":1,"message":"c"}]}`
	ids := map[ID]int{}
	for _, skip := range []int{0, 1, 2, 1, 2, 0} {
		object := sampleObject("cloudwatch")
		object.Skip = skip
		pieces, err := readObject(strings.NewReader(content), object, testOptions())
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "b", "c"}[skip:], bodies(pieces[0].Logs))
		require.Len(t, pieces[0].Documents, 1)
		require.NotZero(t, pieces[0].Documents[0].ID)
		ids[pieces[0].Documents[0].ID]++
	}
	assert.Len(t, ids, 3)
	for _, times := range ids {
		assert.Equal(t, 2, times)
	}
}

// A byte order mark is of no record, but where nothing is known of the object.
func TestObjectByteOrderMark(t *testing.T) {
	for name, want := range map[string][]string{
		"cloudtrail": {"{}"}, "vpc_flow": {"1418530010 5"}, "firehose": {"{}", "{}"}, "line-ends": {"\ufefftext"},
	} {
		content := map[string]string{"cloudtrail": `{"Records":[{}]}`, "vpc_flow": "start version\n1418530010 5\n", "firehose": "{}{}", "line-ends": "text"}[name]
		var got []string
		for _, record := range readRecords(t, "\ufeff"+content, sampleObject(name)) {
			got = append(got, record.Body().Str())
		}
		assert.Equal(t, want, got, name)
	}
}

// What messages take besides their bytes is asked for once for the largest piece, not for each.
func TestObjectMessagesReserve(t *testing.T) {
	event := `{"id":"1","timestamp":1,"message":""}`
	message := `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[` + strings.Repeat(event+",", 99) + event + "]}"
	opts := testOptions()
	asked := int64(0)
	opts.Reserve = func(n int64) error { asked += n; return nil }
	_, err := readObject(strings.NewReader(strings.Repeat(message, 2000)), sampleObject("cloudwatch"), opts)
	require.NoError(t, err)
	assert.Greater(t, asked, int64(maxPieceBytes/len(event)*recordMemory))
	assert.Less(t, asked, int64(20*maxPieceBytes))

	refused := errors.New("no memory now")
	calls := 0
	opts.Reserve = func(int64) error {
		calls++
		if calls > 1 {
			return refused
		}
		return nil
	}
	_, err = readObject(strings.NewReader(message), sampleObject("cloudwatch"), opts)
	require.ErrorIs(t, err, refused)
}
