// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

// version is what an object gives when it is read once.
type version struct {
	etag, content string
	// openErr is that of opening it, and err is what comes behind the content. nil: io.EOF.
	openErr, err error
}

// object is one whose versions are read one after another, the last of them for ever.
type object struct {
	mu       sync.Mutex
	versions []version
	opened   int
	closed   int
}

func newObject(lines ...string) *object {
	return &object{versions: []version{{etag: "etag", content: strings.Join(lines, "\n")}}}
}

func (o *object) open(ctx context.Context, _ event.Object) (*s3object.Body, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.versions[min(o.opened, len(o.versions)-1)]
	o.opened++
	if v.openErr != nil {
		return nil, v.openErr
	}
	if err := ctx.Err(); err != nil {
		return nil, unreadable(0)
	}
	err := v.err
	if err == nil {
		err = io.EOF
	}
	content := io.MultiReader(strings.NewReader(v.content), ending{err})
	return &s3object.Body{ReadCloser: &body{Reader: content, object: o}, Size: -1, ETag: v.etag}, nil
}

type body struct {
	io.Reader
	object *object
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.object.mu.Lock()
	defer b.object.mu.Unlock()
	b.object.closed++
	return nil
}

// ending is the end of a body.
type ending struct{ err error }

// Read implements io.Reader.
func (e ending) Read([]byte) (int, error) { return 0, e.err }

// unreadable is what reading an object gives where S3 has answered this status. 0: none.
func unreadable(status int) error {
	return &s3object.ObjectError{Bucket: "logs", Key: vpcKey, Status: status}
}

const vpcKey = "AWSLogs/123456789012/vpcflowlogs/us-east-1/2022/01/24/" +
	"123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log.gz"

var vpcObject = event.Object{Bucket: "logs", Key: vpcKey, Region: "us-east-1", Time: time.Unix(1700000000, 0)}

func TestSendObject(t *testing.T) {
	t.Parallel()
	const (
		header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
		line   = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"
	)
	for _, content := range []string{header + "\n" + line + "\n", string(compress(t, header+"\n"+line+"\n"))} {
		f := &fake{tb: t}
		o := &object{versions: []version{{etag: `"9bb5"`, content: content}}}
		client, logs := f.served(o.open, "TENANT_ID=team-1")
		tally, err := client.SendObject(t.Context(), vpcObject)
		require.NoError(t, err)
		assert.Equal(t, delivery.Tally{Bytes: int64(len(content)), Lines: 1}, tally)
		require.Len(t, f.taken, 1)
		assert.Equal(t, `{__aws_log_type="s3_vpc_flow", __aws_s3_vpc_flow="fl-1234abcd", __aws_s3_vpc_flow_owner="123456789012"}`,
			f.taken[0].Labels)
		assert.Equal(t, []push.Entry{{
			Timestamp: time.Unix(1418530010, 0).UTC(), Line: line,
			StructuredMetadata: push.LabelsAdapter{{Name: "aws_s3_key", Value: vpcKey}, {Name: "log_record_uid", Value: "9bb5:2"}},
		}}, f.taken[0].Entries)
		assert.Equal(t, "team-1", f.headers[0].Get("X-Scope-OrgID"))
		assert.Equal(t, o.opened, o.closed)
		assert.Empty(t, logs.String())
	}
}

// Lines that state no time have that of the object's creation.
func TestObjectOfUnknownKind(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, _ := f.direct(newObject("1", "2").open)
	created := time.Unix(1700000000, 5000).UTC()
	_, err := client.SendObject(t.Context(), event.Object{Bucket: "b", Key: "k", Time: created})
	require.NoError(t, err)
	require.Len(t, f.taken, 1)
	assert.Equal(t, `{__aws_log_type="s3"}`, f.taken[0].Labels)
	require.Len(t, f.taken[0].Entries, 2)
	for _, entry := range f.taken[0].Entries {
		assert.Equal(t, created, entry.Timestamp)
	}
}

func TestSendObjectOfNothing(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "\n\n", string(compress(t, ""))} {
		f := &fake{tb: t}
		client, _ := f.direct(newObject(content).open)
		tally, err := client.SendObject(t.Context(), vpcObject)
		require.NoError(t, err)
		assert.Equal(t, delivery.Tally{Bytes: int64(len(content))}, tally)
		assert.Empty(t, f.requests)
	}
}

func TestUnlabeledObject(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	client, _ := f.direct(newObject(numbered(10)...).open,
		`RELABEL_CONFIGS=[{"action":"drop","source_labels":["__aws_log_type"],"regex":".*"}]`)
	tally, err := client.SendObject(t.Context(), event.Object{Bucket: "b", Key: "k"})
	require.NoError(t, err)
	assert.Equal(t, 10, tally.Unlabeled)
	assert.Empty(t, f.requests)
}

func TestPrintLogLine(t *testing.T) {
	t.Parallel()
	f := func(want int, environment ...string) {
		t.Helper()
		loki := &fake{tb: t}
		o := newObject(numbered(6000)...)
		o.versions = append([]version{{etag: "etag", content: o.versions[0].content, err: unreadable(0)}}, o.versions...)
		client, logs := loki.direct(o.open, environment...)
		_, err := client.SendObject(t.Context(), event.Object{Bucket: "b", Key: "k"})
		require.NoError(t, err)
		assert.Equal(t, want, strings.Count(logs.String(), "\n"))
		assert.Equal(t, min(want, 1), strings.Count(logs.String(), `msg=line bucket=b key=k line="line 5999"`))
		// Messages of CloudWatch Logs are in a log group already.
		logs.Reset()
		_, err = client.SendMessages(t.Context(), newMessage(t, "/g", "s", "line"), "")
		require.NoError(t, err)
		assert.Empty(t, logs.String())
	}
	f(0)
	f(0, "PRINT_LOG_LINE=false")
	f(6000, "PRINT_LOG_LINE=true")
}

// If S3 fails in the middle, what Loki has is not sent again.
func TestReadAgain(t *testing.T) {
	t.Parallel()
	lines := numbered(20_000)
	content := strings.Join(lines, "\n")
	f := func(name string, failures ...version) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loki := &fake{tb: t}
			o := &object{versions: append(failures, version{etag: "etag", content: content})}
			client, logs := loki.direct(o.open)
			tally, err := client.SendObject(t.Context(), vpcObject)
			require.NoError(t, err)
			assert.Equal(t, 20_000, tally.Lines)
			assert.Equal(t, lines, loki.lines())
			var read int
			for _, v := range o.versions {
				read += len(v.content)
			}
			assert.Equal(t, int64(read), tally.Bytes)
			assert.Equal(t, len(o.versions), o.opened)
			assert.Empty(t, logs.String())
			uids := map[string]bool{}
			for _, stream := range loki.taken {
				for _, entry := range stream.Entries {
					for _, pair := range entry.StructuredMetadata {
						if pair.Name == "log_record_uid" {
							uids[pair.Value] = true
						}
					}
				}
			}
			assert.Len(t, uids, 20_000)
			assert.True(t, uids["etag:20000"])
		})
	}
	f("not at all")
	f("before the first", version{openErr: unreadable(0)}, version{openErr: unreadable(503)}, version{openErr: unreadable(429)})
	f("at the beginning", version{etag: "etag", err: unreadable(0)})
	f("in the middle", version{etag: "etag", content: content[:len(content)/2], err: unreadable(0)})
	f("at the end", version{etag: "etag", content: content, err: unreadable(0)})
	f("again and again",
		version{etag: "etag", content: content[:len(content)/2], err: unreadable(0)}, version{openErr: unreadable(500)},
		version{etag: "etag", content: content[:len(content)/3], err: unreadable(0)},
		version{etag: "etag", content: content[:len(content)-5], err: unreadable(0)})
}

// What was read of another version is of no use: the records are others.
func TestReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	before, after := numbered(10_000), []string{"new 0", "new 1"}
	content := strings.Join(before, "\n")
	o := &object{versions: []version{
		{etag: "before", content: content[:len(content)-5], err: unreadable(0)}, {etag: "after", content: strings.Join(after, "\n")},
	}}
	client, _ := f.direct(o.open)
	tally, err := client.SendObject(t.Context(), vpcObject)
	require.NoError(t, err)
	got := f.lines()
	require.Greater(t, len(got), 4000)
	assert.Equal(t, after, got[len(got)-2:])
	assert.Equal(t, before[:len(got)-2], got[:len(got)-2])
	assert.Equal(t, len(got), tally.Lines)
	last := f.taken[len(f.taken)-1].Entries
	assert.Contains(t, last[len(last)-1].StructuredMetadata, push.LabelAdapter{Name: "log_record_uid", Value: "after:2"})
}

// Where an attempt got further than the last one, the retries are counted anew.
func TestReadingProgresses(t *testing.T) {
	t.Parallel()
	lines := numbered(20_000)
	content := strings.Join(lines, "\n")
	f := &fake{tb: t}
	o := &object{}
	for part := 1; part < 5; part++ {
		o.versions = append(o.versions, version{etag: "etag", content: content[:part*len(content)/5], err: unreadable(0)})
	}
	o.versions = append(o.versions, version{etag: "etag", content: content})
	client, _ := f.direct(o.open, "MAX_RETRIES=2")
	_, err := client.SendObject(t.Context(), vpcObject)
	require.NoError(t, err)
	assert.Equal(t, lines, f.lines())

	o = &object{versions: []version{{openErr: unreadable(500)}}}
	client, _ = f.direct(o.open, "MAX_RETRIES=2")
	_, err = client.SendObject(t.Context(), vpcObject)
	assert.Equal(t, 3, requireUnavailable(t, err).Attempts)
	assert.Equal(t, 3, o.opened)
}

// What S3 says once it says always.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, status := range []int{403, 404, 400, 416} {
		f := &fake{tb: t}
		o := &object{versions: []version{{openErr: unreadable(status)}}}
		client, _ := f.direct(o.open)
		tally, err := client.SendObject(t.Context(), vpcObject)
		assert.Equal(t, o.versions[0].openErr, err)
		assert.Equal(t, delivery.Tally{}, tally)
		assert.Equal(t, 1, o.opened)
		assert.Empty(t, f.requests)
	}
}

// The lines before the place where an object is broken are sent, and it is the object that is refused.
func TestCorruptObject(t *testing.T) {
	t.Parallel()
	const secret = "p4ssword"
	lines := numbered(3000)
	for i := range lines {
		lines[i] += " " + secret
	}
	whole := string(compress(t, strings.Join(lines, "\n")))
	f := func(content string, least int) {
		t.Helper()
		loki := &fake{tb: t}
		o := newObject(content)
		client, logs := loki.direct(o.open)
		tally, err := client.SendObject(t.Context(), vpcObject)
		refused := requireRefused(t, err)
		assert.True(t, refused.OfContent())
		assert.Equal(t, "the forwarder", refused.To)
		assert.Equal(t, "the object", refused.What)
		assert.NotContains(t, err.Error(), secret)
		assert.Equal(t, 1, o.opened, "it is broken every time")
		got := loki.lines()
		assert.GreaterOrEqual(t, len(got), least)
		assert.Equal(t, lines[:len(got)], got)
		assert.Equal(t, len(got), tally.Lines)
		assert.Empty(t, logs.String())
	}
	f(whole[:len(whole)-3], 2999)
	f(whole[:len(whole)/2], 100)
	f(whole[:len(whole)-5]+"\x00"+whole[len(whole)-4:], 2999)
	f(whole+secret, 2999)
	f(string(compress(t, strings.Join(lines[:10], "\n")+"\n"))+whole[:12]+strings.Repeat("\xff", 100), 10)
}

// A part that Loki does not want is told of once for the whole object.
func TestObjectPartlyRefused(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t, answer: func(n int, _ push.PushRequest) answer {
		if n%2 == 1 {
			return answer{status: 400, text: tooOld(3)}
		}
		return answer{}
	}}
	client, logs := f.direct(newObject(numbered(10_000)...).open, "BATCH_SIZE=100000")
	tally, err := client.SendObject(t.Context(), vpcObject)
	require.NoError(t, err)
	require.Greater(t, len(f.requests), 3)
	refused := (len(f.requests) + 1) / 2 * 3
	assert.Equal(t, map[string]int{"greater_than_max_sample_age": refused}, tally.Refused)
	assert.Equal(t, 10_000-refused, tally.Lines)
	assert.Equal(t, 1, strings.Count(logs.String(), "\n"))

	f.answer = func(_ int, request push.PushRequest) answer {
		return answer{status: 400, text: tooOld(len(request.Streams[0].Entries))}
	}
	tally, err = client.SendObject(t.Context(), vpcObject)
	assert.Equal(t, "loki", requireRefused(t, err).To)
	assert.Equal(t, 10_000, tally.RefusedLines())
}

// Also where the object fails in the end nothing is refused in silence.
func TestRefusalsBeforeAFailure(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t, answer: func(int, push.PushRequest) answer { return answer{status: 400, text: tooOld(3)} }}
	whole := string(compress(t, strings.Join(numbered(100), "\n")))
	client, logs := f.direct(newObject(whole[:len(whole)-3]).open)
	tally, err := client.SendObject(t.Context(), vpcObject)
	assert.Equal(t, "the forwarder", requireRefused(t, err).To)
	assert.Equal(t, 3, tally.RefusedLines())
	assert.Equal(t, 1, strings.Count(logs.String(), "lines refused"))
}

func TestObjectRefusedForGood(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t, answer: func(int, push.PushRequest) answer { return answer{status: http.StatusUnauthorized} }}
	o := newObject(numbered(10_000)...)
	client, _ := f.direct(o.open)
	_, err := client.SendObject(t.Context(), vpcObject)
	refused := requireRefused(t, err)
	assert.Equal(t, http.StatusUnauthorized, refused.Status)
	assert.Equal(t, "loki", refused.To)
	assert.Equal(t, 1, o.opened)
	assert.Equal(t, 1, o.closed)
	assert.Len(t, f.requests, 1)
}

// Loki may be away for a while in the middle: it is not S3 that is read again.
func TestLokiAwayInTheMiddle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{tb: t, answer: func(n int, _ push.PushRequest) answer {
			if n%3 == 2 {
				return answer{status: 503, retryAfter: "1"}
			}
			return answer{}
		}}
		o := newObject(numbered(20_000)...)
		client, _ := f.direct(o.open)
		tally, err := client.SendObject(t.Context(), vpcObject)
		require.NoError(t, err)
		assert.Equal(t, numbered(20_000), f.lines())
		assert.Equal(t, 20_000, tally.Lines)
		assert.Equal(t, 1, o.opened)
	})
}

func TestObjectDeadline(t *testing.T) {
	t.Parallel()
	f := func(o *object, answered func(int, push.PushRequest) answer, to string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			loki := &fake{tb: t, answer: answered}
			client, _ := loki.direct(o.open, "DEADLINE_MARGIN=6s", "MAX_BACKOFF=1s")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			start := time.Now()
			_, err := client.SendObject(ctx, vpcObject)
			if to == "" {
				require.NoError(t, err, "the margin is kept free once")
				return
			}
			assert.Equal(t, to, requireUnavailable(t, err).To)
			assert.LessOrEqual(t, time.Since(start), 4*time.Second)
			assert.Greater(t, time.Since(start), 2*time.Second)
		})
	}
	f(newObject("line"), nil, "")
	f(newObject("line"), func(int, push.PushRequest) answer { return answer{status: 503} }, "loki")
	f(&object{versions: []version{{openErr: unreadable(503)}}}, nil, "the forwarder")
}

// What was excluded is counted once, however often the object is read.
func TestExcludedOfObject(t *testing.T) {
	t.Parallel()
	const key = "2020/10/02/21/awsloki-1-2020-10-02-21-25-30-e0a5ad5c-7d6c-4d8f-a5c5-0123456789ab"
	var content strings.Builder
	for range 3000 {
		fmt.Fprintln(&content, messageText(t, "/own", "s", "1"))
		fmt.Fprintln(&content, messageText(t, "/other", "s", "2"))
	}
	f := &fake{tb: t}
	o := &object{versions: []version{
		{etag: "etag", content: content.String()[:content.Len()*9/10], err: unreadable(0)},
		{etag: "etag", content: content.String()},
	}}
	client, _ := f.direct(o.open, "AWS_LAMBDA_LOG_GROUP_NAME=/own")
	tally, err := client.SendObject(t.Context(), event.Object{Bucket: "b", Key: key})
	require.NoError(t, err)
	assert.Equal(t, 2, o.opened)
	assert.Equal(t, 3000, tally.Lines)
	assert.Equal(t, 3000, tally.Excluded)
}

// An error that is none of the object's is final: it comes again.
func TestOtherErrors(t *testing.T) {
	t.Parallel()
	f := &fake{tb: t}
	o := &object{versions: []version{{openErr: errors.New("no client")}}}
	client, _ := f.direct(o.open)
	_, err := client.SendObject(t.Context(), vpcObject)
	assert.Equal(t, 1, requireRefused(t, err).Attempts)
}
