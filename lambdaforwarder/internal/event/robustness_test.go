// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shapes are events of all kinds.
func shapes(tb testing.TB) []string {
	tb.Helper()
	s3, bridge := example(tb, "s3"), example(tb, "eventbridge")
	return []string{
		example(tb, "firehose-transform"), // the first, see TestUnknownFields
		example(tb, "cloudwatch-logs"), example(tb, "kinesis"), s3, example(tb, "s3-test"), bridge, example(tb, "sns"),
		example(tb, "sns-notification"), example(tb, "sns-confirmation"), example(tb, "sqs"),
		snsOf(tb, s3), snsOf(tb, bridge), notificationOf(tb, s3),
		sqsOf(tb, s3, example(tb, "s3-test"), example(tb, "cloudwatch-logs")),
		sqsOf(tb, notificationOf(tb, bridge)),
		queueOf(tb, "sqs-fifo", notificationOf(tb, s3), "text"),
	}
}

// mutator writes JSON again with changes, also in the JSON that its strings hold.
type mutator struct {
	random *rand.Rand
	// member may write more members of an object. nil: none.
	member func() string
	// value may put another value in the place of the n-th. Empty: it stays.
	value func(n int) string

	values int
}

func (m *mutator) write(value any) string {
	m.values++
	if m.value != nil {
		if other := m.value(m.values); other != "" {
			return other
		}
	}
	switch v := value.(type) {
	case map[string]any:
		members := []string{}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			members = append(members, fmt.Sprintf("%s:%s", quote(name), m.write(v[name])))
		}
		if m.member != nil {
			members = append(members, m.member(), m.member())
			m.random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		}
		return "{" + strings.Join(members, ",") + "}"
	case []any:
		elements := make([]string, len(v))
		for i := range v {
			elements[i] = m.write(v[i])
		}
		return "[" + strings.Join(elements, ",") + "]"
	case string:
		if inner, ok := decodeObject(v); ok {
			return quote(m.write(inner))
		}
		return quote(v)
	case json.Number:
		return v.String()
	case nil:
		return "null"
	default:
		return fmt.Sprint(v)
	}
}

func quote(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

func decodeObject(text string) (value map[string]any, ok bool) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	return value, decoder.Decode(&value) == nil && value != nil
}

func decodedShape(tb testing.TB, shape string) map[string]any {
	tb.Helper()
	value, ok := decodeObject(shape)
	require.True(tb, ok)
	return value
}

// eachReplaced is a shape with each of its values replaced by each of the others.
func eachReplaced(tb testing.TB, shape string, others ...string) iter.Seq[string] {
	tb.Helper()
	value, count := decodedShape(tb, shape), &mutator{}
	count.write(value)
	require.Greater(tb, count.values, 2)
	return func(yield func(string) bool) {
		for at := 1; at <= count.values; at++ {
			for _, other := range others {
				m := &mutator{value: func(n int) string {
					if n == at {
						return other
					}
					return ""
				}}
				if !yield(m.write(value)) {
					return
				}
			}
		}
	}
}

// AWS adds fields without notice, and in any order.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	for i, shape := range shapes(t) {
		want, value := Parse([]byte(shape)), decodedShape(t, shape)
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 1))
			added := 0
			m := &mutator{random: random, member: func() string {
				added++
				values := []string{
					"null", "true", "0", "-1.5e3", `""`, `"aws:s3"`, "[]", "{}", `{"Records":[{"eventSource":"aws:s3"}]}`,
					`[{"awslogs":{"data":""}}]`, `"{\"awslogs\":{}}"`,
				}
				names := []string{"awsGeneratedTags", "newField", "x-", "records", "Awslogs", "DATA", "s4", "größe", ""}
				return quote(names[random.IntN(len(names))]+strconv.Itoa(added)) + ":" + values[random.IntN(len(values))]
			}}
			payload := m.write(value)
			got := Parse([]byte(payload))
			if i == 0 { // the message names the keys of what is not known
				require.Len(t, got.Items, 1)
				require.Error(t, got.Items[0].Err)
				continue
			}
			require.Equal(t, describeItems(want), describeItems(got), payload)
			require.Positive(t, added)
		}
	}
}

// describeItems leaves out what errors say of places in payloads.
func describeItems(e Event) Event {
	e.Items = slices.Clone(e.Items)
	for i := range e.Items {
		if e.Items[i].Err != nil {
			e.Items[i].Err = &MalformedError{problem: fmt.Sprintf("%T", e.Items[i].Err)}
		}
	}
	return e
}

// Whatever stands in the place of any value, nothing panics, and the other messages of a batch are as they were.
func TestWrongTypes(t *testing.T) {
	t.Parallel()
	others := []string{
		"null", "true", "0", "-1", `""`, `"text"`, "[]", "[null]", `[[["x"]]]`, "{}", `{"key":1}`, `"{}"`,
		`"{\"Records\":[{}]}"`, "1e999", `"\ud800"`,
	}
	for _, shape := range shapes(t) {
		for payload := range eachReplaced(t, shape, others...) {
			e := Parse([]byte(payload))
			checkInvariants(t, &e)
		}
	}
}

func TestWrongTypesAreOfOneMessage(t *testing.T) {
	t.Parallel()
	good := s3Of(t, "k")
	for bad := range eachReplaced(t, good, "null", "7", `"x"`, "[]", "{}") {
		e := Parse([]byte(sqsOf(t, good, bad, good)))
		checkInvariants(t, &e)
		require.GreaterOrEqual(t, len(e.Items), 2, bad)
		first, last := e.Items[0], e.Items[len(e.Items)-1]
		require.Equal(t, "m1", first.ID)
		require.Equal(t, "m3", last.ID)
		require.Equal(t, "k", first.Object.Key)
		require.Equal(t, "k", last.Object.Key)
		for _, item := range e.Items[1 : len(e.Items)-1] {
			require.Equal(t, "m2", item.ID)
		}
	}
}

// The errors are logged and handed to other services: no content may be in them.
func TestErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	const secret = "user=p4ssword!"
	check := func(payload string) {
		t.Helper()
		for _, item := range Parse([]byte(payload)).Items {
			if item.Err != nil {
				assert.NotContains(t, item.Err.Error(), "p4ssword", payload)
			}
		}
	}
	f := func(payload string) {
		t.Helper()
		require.Error(t, only(t, payload).Err, payload)
		check(payload)
		check(snsOf(t, payload))
		check(sqsOf(t, payload, notificationOf(t, payload)))
	}
	f(secret)
	f(`"` + secret + `"`)
	f(`{"awslogs":{"data":"` + secret + `"}}`)
	f(`{"awslogs":{"data":"` + base64.StdEncoding.EncodeToString([]byte(secret)) + `"}}`)
	f(`{"awslogs":{"data":"` + secret)
	f(`{"awslogs":{"` + secret + `":1}}`)
	f(`{"awslogs":` + secret + `}`)
	f(`{"` + secret + `":1}`)
	f(`{"source":"` + secret + `","detail-type":"x"}`)
	f(`{"source":"x","detail-type":"` + secret + `"}`)
	f(`{"Records":[{"body":"` + secret + `"}]}`)
	f(`{"Records":[{"eventSource":"` + secret + `"}]}`)
	f(`{"message":"` + secret + `"}`)
	f(s3Of(t, secret+"%"))
	f(s3Of(t, strings.Repeat(secret, 1000)))
	// In the place of any value of any event.
	for _, shape := range shapes(t) {
		others := []string{quote(secret), quote(`{"` + secret + `":1`), quote(`{"awslogs":{"data":"` + secret + `"}}`)}
		for payload := range eachReplaced(t, shape, others...) {
			check(payload)
		}
	}
}

func TestCutShort(t *testing.T) {
	t.Parallel()
	for _, shape := range append(shapes(t), awslogsOf(message)) {
		shape = strings.TrimSpace(shape)
		for n := 0; n < len(shape); n += 1 + len(shape)/2000 {
			var malformed *MalformedError
			require.ErrorAs(t, only(t, shape[:n]).Err, &malformed, "the first %d bytes", n)
		}
	}
	// Of a message of SQS it is the message's problem.
	s3 := strings.TrimSpace(example(t, "s3"))
	for n := range s3 {
		e := Parse([]byte(sqsOf(t, s3[:n], s3)))
		require.Len(t, e.Items, 2)
		require.Error(t, e.Items[0].Err)
		require.Equal(t, Item{ID: "m2", Object: &fromS3}, e.Items[1])
	}
}

// An event outlives its payload, and the parsers that others use next.
func TestParseKeepsPayload(t *testing.T) {
	t.Parallel()
	for _, shape := range append(shapes(t), `{"aws\u006cogs":{"data":"H4sI\/\u0041=="}}`) {
		payload := []byte(shape)
		got := Parse(payload)
		assert.Equal(t, shape, string(payload), "fastjson unescapes in its own copy")
		want := fmt.Sprintf("%+v", dump(got))
		clear(payload)
		// The same places of the same buffers get other content.
		other := []byte(strings.Map(func(r rune) rune {
			switch {
			case 'a' <= r && r <= 'y', 'A' <= r && r <= 'Y', '0' <= r && r <= '8':
				return r + 1
			default:
				return r
			}
		}, shape))
		for range 20 {
			Parse(other)
		}
		assert.Equal(t, want, fmt.Sprintf("%+v", dump(got)))
	}
}

// dump has all there is in an event by value.
func dump(e Event) []any {
	all := []any{e.Source, e.Ordered, e.Ignored}
	for _, item := range e.Items {
		all = append(all, item.ID, string(item.Message), item.Err)
		if item.Record != nil {
			all = append(all, *item.Record)
		}
		if item.Object != nil {
			all = append(all, *item.Object)
		}
	}
	return all
}

func TestParseConcurrently(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for _, shape := range shapes(t) {
				want := Parse([]byte(shape))
				for range 20 {
					assert.Equal(t, want, Parse([]byte(shape)))
				}
			}
		})
	}
	all.Wait()
}

func FuzzParse(f *testing.F) {
	for _, shape := range shapes(f) {
		f.Add([]byte(shape))
	}
	text := base64.StdEncoding.EncodeToString(message)
	for _, seed := range []string{
		"", "null", "{}", "[]", `{"awslogs":null}`, `{"awslogs":{"data":1}}`, `{"Records":[]}`, `{"Records":[null,1,{}]}`,
		`{"awslogs":{"data":"` + strings.ReplaceAll(text, "/", `\/`) + `"},"awslogs":{"data":"\ud800"}}`,
		`{"a":[1,-2.5e-3,true,false,null,"\"\\\u00e9"],"awslogs":{"x":{},"data":"\u0048` + text[1:] + `"}}`,
		`{"Records":[{"eventSource":"aws:sqs","messageId":"m","body":"{\"TopicArn\":\"t\",\"Type\":\"\",\"Message\":\"\"}"}]}`,
		`{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"YQ==","approximateArrivalTimestamp":nan}}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		e := Parse(payload)
		require.Equal(t, before, payload, "the payload is not changed")
		checkInvariants(t, &e)
		require.Equal(t, dump(e), dump(Parse(before)))
		if !json.Valid(payload) {
			return // Lambda passes on JSON only
		}
		var outer map[string]json.RawMessage
		if json.Unmarshal(payload, &outer) != nil || outer["awslogs"] == nil {
			return
		}
		// What encoding/json reads as awslogs.data is what comes out, and nothing comes out of anything else.
		require.Len(t, e.Items, 1)
		want, ok := oracle(outer["awslogs"])
		if !ok {
			require.Error(t, e.Items[0].Err)
			return
		}
		require.NoError(t, e.Items[0].Err)
		require.Equal(t, want, e.Items[0].Message)
	})
}

// oracle decodes with the standard library alone.
func oracle(awslogs []byte) ([]byte, bool) {
	var inner map[string]json.RawMessage
	if json.Unmarshal(awslogs, &inner) != nil {
		return nil, false
	}
	var text *string
	if json.Unmarshal(inner["data"], &text) != nil || text == nil {
		return nil, false
	}
	data, err := base64.StdEncoding.DecodeString(*text)
	ok := err == nil && len(data) > 2 && string(data[:3]) == "\x1f\x8b\x08"
	return data, ok
}
