// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/awslogs/s3log"
	"github.com/awsloki/awsloki/internal/decompress"
)

// Objects of each framing.
var (
	lineObject     = s3log.Object{Framing: s3log.Lines}
	joinedObject   = s3log.Object{Framing: s3log.JoinedLines, Type: s3log.MSKBroker}
	documentObject = s3log.Object{Framing: s3log.JSONDocuments}
	arrayObject    = s3log.Object{Framing: s3log.JSONRecords}
)

func TestFraming(t *testing.T) {
	const at = "[2025-07-04 11:57:55,83"
	long := strings.Repeat("x", maxJoinedBytes-len(at)-10)
	for name, tt := range map[string]struct {
		object  s3log.Object
		content string
		// want has each record's number before it.
		want []string
		err  string
	}{
		"joined, nothing":             {joinedObject, "", nil, ""},
		"joined, one line":            {joinedObject, at + "6] a", []string{"1 " + at + "6] a"}, ""},
		"joined, single lines":        {joinedObject, at + "6] a\r\n" + at + "7] b\n", []string{"1 " + at + "6] a", "2 " + at + "7] b"}, ""},
		"joined, several lines":       {joinedObject, at + "6] a\n\tb\r\n\tc\n" + at + "7] d\n", []string{"1 " + at + "6] a\n\tb\r\n\tc", "4 " + at + "7] d"}, ""},
		"joined, at the end":          {joinedObject, at + "6] a\nb\nc", []string{"1 " + at + "6] a\nb\nc"}, ""},
		"joined, blank lines":         {joinedObject, at + "6] a\n\n b\n\n\n" + at + "7] c\n\n", []string{"1 " + at + "6] a\n\n b", "6 " + at + "7] c"}, ""},
		"joined, lines before":        {joinedObject, "a\n\nb\n" + at + "7] c\nd", []string{"1 a", "3 b", "4 " + at + "7] c\nd"}, ""},
		"joined, no time at all":      {joinedObject, "a\nb\nc", []string{"1 a", "2 b", "3 c"}, ""},
		"joined, more than a line":    {joinedObject, at + "6] " + long + "\nb\nc\nd\ne\nf\n", []string{"1 " + at + "6] " + long + "\nb\nc\nd", "5 e", "6 f"}, ""},
		"documents, nothing":          {documentObject, " \n\t\n ", nil, ""},
		"documents, one a line":       {documentObject, "{\"a\":1}\r\n{\"b\":{}}\n", []string{`1 {"a":1}`, `2 {"b":{}}`}, ""},
		"documents, not delimited":    {documentObject, `{"a":1}{"b":[{}]}{}`, []string{`1 {"a":1}`, `2 {"b":[{}]}`, `3 {}`}, ""},
		"documents, with spaces":      {documentObject, ` {"a":1} {} ` + "\n\n" + `  {"b":2}`, []string{`1 {"a":1}`, `2 {}`, `3 {"b":2}`}, ""},
		"documents, brackets in text": {documentObject, `{"a}":"{[\"}\\"}{"b":"\\\""}`, []string{`1 {"a}":"{[\"}\\"}`, `2 {"b":"\\\""}`}, ""},
		"documents, and lines":        {documentObject, "text {\n{}\n  text\n[1]\n{}", []string{"1 text {", "2 {}", "3   text", "4 [1]", "5 {}"}, ""},
		"documents, text behind":      {documentObject, "{} text\n{}{\"a\":1}, {}\n", []string{"1 {} text", "2 {}", `3 {"a":1}, {}`}, ""},
		"documents, line ends":        {documentObject, "a\r\r\n\rb\r\nc\r", []string{"1 a\r", "2 \rb", "3 c\r"}, ""},
		"documents, broken":           {documentObject, "{\"a\":\n{\"b\n{}\n{\"c\":[}", []string{`1 {"a":`, `2 {"b`, "3 {}", `4 {"c":[}`}, ""},
		"array, no object":            {arrayObject, "", nil, ""},
		"array, blank":                {arrayObject, " \r\n", nil, ""},
		"array, empty":                {arrayObject, `{"Records":[]}`, nil, ""},
		"array":                       {arrayObject, `{"Records":[{"a":"]},{"},{"b":[1,2]}]}`, []string{`1 {"a":"]},{"}`, `2 {"b":[1,2]}`}, ""},
		"array, indented":             {arrayObject, " \n{\n \"Records\" : [\n  {\n   \"a\": 1\n  } ,\n  { }\n ]\n}\n", []string{"1 {\n   \"a\": 1\n  }", "2 { }"}, ""},
		"array, other elements":       {arrayObject, `{"Records":[1,"a,]",null,[2,3],{}]}`, []string{"1 1", `2 "a,]"`, "3 null", "4 [2,3]", "5 {}"}, ""},
		"array, other members":        {arrayObject, `{"Records":[{}],"a":{"b":["]}"]}}`, []string{"1 {}"}, ""},
		"array, and another":          {arrayObject, `{"Records":[{}]}` + "\n" + `{"Records":[{"a":1}]}`, []string{"1 {}", `2 {"a":1}`}, ""},
		"array, cut behind a record":  {arrayObject, `{"Records":[{},{}`, []string{"1 {}"}, "record 2: corrupt: the array of records is cut short"},
		"array, cut behind a comma":   {arrayObject, `{"Records":[{},`, []string{"1 {}"}, "record 2: corrupt: the array of records is cut short"},
		"array, cut in a record":      {arrayObject, `{"Records":[{},{"a`, []string{"1 {}"}, "record 2: corrupt: the array of records is cut short"},
		"array, cut behind the array": {arrayObject, `{"Records":[{}]`, []string{"1 {}"}, "record 2: corrupt: the array of records is cut short"},
		"array, cut before it":        {arrayObject, `{"Recor`, nil, "record 1: corrupt: the array of records is cut short"},
		"array, closed twice":         {arrayObject, `{"Records":[{}}]}`, []string{"1 {}"}, `record 2: corrupt: expected a record or the end of the array`},
		"array, none":                 {arrayObject, `{"Records":null}`, []string{`1 {"Records":null}`}, ""},
		"array, text behind":          {arrayObject, "{\"Records\":[{}]}text\n{\"a\":1}{}", []string{"1 {}", "2 text", `3 {"a":1}`, "4 {}"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for reading, wrap := range readings {
				if len(tt.content) > 10_000 && reading == "one byte at a time" {
					continue // takes long
				}
				for _, maxBytes := range []int{1, 2, 7, 20, maxPieceBytes} {
					got, err := frameAll(wrap(strings.NewReader(tt.content)), tt.object, maxBytes)
					assert.Equal(t, tt.want, got, "%s, %d", reading, maxBytes)
					if tt.err == "" {
						require.NoError(t, err)
					} else {
						require.EqualError(t, err, tt.err, "%s, %d", reading, maxBytes)
						require.ErrorIs(t, err, decompress.ErrCorrupt)
					}
				}
			}
		})
	}
}

// frameAll returns each record after its number.
func frameAll(src io.Reader, object s3log.Object, maxBytes int) (records []string, err error) {
	opts := testOptions()
	opts.MaxDecodedBytes = 8 << 20
	r := newPieceReader(src, opts)
	r.framer, r.maxBytes = newFramer(object), maxBytes
	for {
		p, err := r.next()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			what, number := r.framer.place()
			return records, fmt.Errorf("%s %d: %w", what, number, err)
		}
		for _, f := range p.frames {
			records = append(records, fmt.Sprintf("%d %s", f.number, p.data[f.start:f.end]))
		}
	}
}

// JSON of any shape comes as encoding/json wrote it, delimited or not, in an array or not.
func TestFramingOfJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var values, want []string
		for range random.IntN(20) {
			values = append(values, randomJSON(t, random))
			want = append(want, fmt.Sprintf("%d %s", len(values), values[len(values)-1]))
		}
		maxBytes := 1 + random.IntN(300)
		for delimiter, object := range map[string]s3log.Object{"": documentObject, "\n": documentObject, " ": documentObject, ",": arrayObject, " , ": arrayObject} {
			content := strings.Join(values, delimiter)
			if object == arrayObject {
				content = `{"Records":[` + content + "]}"
			}
			got, err := frameAll(&randomReader{strings.NewReader(content), random}, object, maxBytes)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

// randomJSON returns an object.
func randomJSON(tb testing.TB, random *rand.Rand) string {
	tb.Helper()
	var value func(depth int) any
	value = func(depth int) any {
		switch random.IntN(6 - depth) {
		case 0:
			return nil
		case 1:
			return strings.Repeat("\\\"{}[],:\n\x00é", random.IntN(3))
		case 2:
			return random.Int()
		case 3:
			return []any{value(depth + 1), value(depth + 1)}
		default:
			return map[string]any{"a\"}": value(depth + 1), "b": value(depth + 1)}
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(random.IntN(2) == 0)
	require.NoError(tb, encoder.Encode(map[string]any{"value": value(0)}))
	return strings.TrimSuffix(b.String(), "\n")
}

// Whatever comes, however it arrives: no panic, the same records and the same end.
func FuzzFraming(f *testing.F) {
	f.Add([]byte(`{"Records":[{"a":"]},{"},{"b":[1,2]}],"c":{}} {"Records":[]}`), uint(3), uint(9))
	f.Add([]byte("[2025-07-04 11:57:55,836] a\n\tb\n\n[2025-07-04 11:57:55,836] a\n"), uint(1), uint(30))
	f.Add([]byte("{\"a\":1}{\"b\n{} text\n\n  {}"), uint(2), uint(5))
	f.Add([]byte("a\r\n\nb"), uint(0), uint(2))
	objects := []s3log.Object{lineObject, joinedObject, documentObject, arrayObject}
	f.Fuzz(func(t *testing.T, content []byte, which, maxBytes uint) {
		object := objects[which%uint(len(objects))]
		whole, err := frameAll(bytes.NewReader(content), object, maxPieceBytes)
		size := 0
		for _, record := range whole {
			_, text, _ := strings.Cut(record, " ")
			require.NotEmpty(t, text)
			require.Contains(t, string(content), text)
			size += len(text)
		}
		require.LessOrEqual(t, size, len(content))
		for _, src := range []io.Reader{bytes.NewReader(content), iotest.OneByteReader(bytes.NewReader(content)), iotest.DataErrReader(bytes.NewReader(content))} {
			got, errAgain := frameAll(src, object, 1+int(maxBytes%1000))
			require.Equal(t, whole, got)
			require.Equal(t, fmt.Sprint(err), fmt.Sprint(errAgain))
		}
	})
}

// Bytes that come a few at a time are not searched again and again: that would take many minutes here.
func TestFramingIsLinear(t *testing.T) {
	const size, step = 4 << 20, 64
	for name, tt := range map[string]struct {
		object       s3log.Object
		before, text string
	}{
		"a line":                    {lineObject, "", "x"},
		"blanks before a document":  {documentObject, "", " "},
		"blanks and newlines":       {documentObject, "", " \n"},
		"blanks behind a document":  {documentObject, "{}", " "},
		"text behind a document":    {documentObject, "{} x", " "},
		"a document without end":    {documentObject, `{"a":"`, `\"`},
		"brackets":                  {documentObject, "", "{"},
		"blanks before an array":    {arrayObject, "", " "},
		"blanks in an array":        {arrayObject, `{"Records":[`, " "},
		"commas in an array":        {arrayObject, `{"Records":[`, ","},
		"an element without end":    {arrayObject, `{"Records":["`, `\\`},
		"blanks behind an element":  {arrayObject, `{"Records":[{}`, " "},
		"blanks behind an array":    {arrayObject, `{"Records":[]`, " "},
		"more lines than joined":    {joinedObject, "[2025-07-04 11:57:55,836] a", "\nb"},
		"a continued line":          {joinedObject, "[2025-07-04 11:57:55,836] a\n", "b"},
		"blank lines behind a line": {joinedObject, "[2025-07-04 11:57:55,836] a\n", "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			content := []byte(tt.before + strings.Repeat(tt.text, size/len(tt.text)))
			framer := newFramer(tt.object)
			start := 0
			for end := step; end <= len(content); end += step {
				for {
					_, n, err := framer.next(content[start:end], false)
					if err != nil {
						require.NoError(t, err) // which is slow, so often
					}
					if n == 0 {
						break
					}
					start += n
				}
			}
		})
	}
}

func BenchmarkFraming(b *testing.B) {
	record := strings.TrimSpace(sampleCloudTrail)
	for name, tt := range map[string]struct {
		object               s3log.Object
		before, text, behind string
	}{
		"lines":     {lineObject, "", record + "\n", ""},
		"documents": {documentObject, "", record, ""},
		"array":     {arrayObject, `{"Records":[{}`, "," + record, "]}"},
	} {
		b.Run(name, func(b *testing.B) {
			const records = 1000
			content := tt.before + strings.Repeat(tt.text, records) + tt.behind
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				r := newPieceReader(strings.NewReader(content), Options{MaxDecodedBytes: 8 << 20})
				r.framer = newFramer(tt.object)
				found := 0
				for {
					p, err := r.next()
					if errors.Is(err, io.EOF) {
						break
					}
					require.NoError(b, err)
					found += len(p.frames)
				}
				require.GreaterOrEqual(b, found, records)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
		})
	}
}

// sampleCloudTrail is a record of CloudTrail of the usual size.
const sampleCloudTrail = `{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLEID:i-0a1b2c3d4e5f67890","arn":"arn:aws:sts::123456789012:assumed-role/app-role/i-0a1b2c3d4e5f67890","accountId":"123456789012","accessKeyId":"ASIAEXAMPLEKEY","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLEID","arn":"arn:aws:iam::123456789012:role/app-role","accountId":"123456789012","userName":"app-role"},"attributes":{"creationDate":"2023-05-19T07:12:01Z","mfaAuthenticated":"false"}}},"eventTime":"2023-05-19T07:44:30Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","awsRegion":"eu-west-3","sourceIPAddress":"198.51.100.7","userAgent":"aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5","requestParameters":{"roleArn":"arn:aws:iam::123456789012:role/reader","roleSessionName":"reader-session","durationSeconds":3600},"responseElements":{"credentials":{"accessKeyId":"ASIAEXAMPLEKEY2","expiration":"May 19, 2023, 8:44:30 AM"}},"requestID":"a1b2c3d4-5678-90ab-cdef-EXAMPLE11111","eventID":"a1b2c3d4-5678-90ab-cdef-EXAMPLE22222","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"123456789012","eventCategory":"Management"}
`
