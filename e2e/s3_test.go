// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// s3Object is an object whose lines begin with their number, and go on with text that hardly compresses. It is written anew
// each time, and always the same.
type s3Object struct {
	key   string
	lines int
	// noise is how many random bytes a line has, before base64. It is a multiple of three.
	noise int
}

// write writes the object, as gzip.
func (o s3Object) write(w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	compressed, err := gzip.NewWriterLevel(buffered, gzip.HuffmanOnly)
	if err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{})
	noise := make([]byte, o.noise)
	var line []byte
	for n := range o.lines {
		_, _ = random.Read(noise) // never fails
		line = fmt.Appendf(line[:0], "%06d ", n)
		line = append(base64.StdEncoding.AppendEncode(line, noise), '\n')
		if _, err := compressed.Write(line); err != nil {
			return err
		}
	}
	if err := compressed.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// counter counts bytes.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// put sends an object while write writes it.
func (p *pipeline) put(o s3Object, skip int, write func(io.Writer) error) (response, error) {
	p.Helper()
	reader, writer := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = writer.CloseWithError(write(writer))
	}()
	defer func() {
		_ = reader.Close() // the rest, if it was answered before it had all
		<-written
	}()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.collector.URL()+objectURL(o.key, skip), reader)
	require.NoError(p, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(body)}, err
}

// try sends an object and returns the answer, with how many records are accepted.
func (p *pipeline) try(o s3Object, skip int) (got response, accepted int) {
	p.Helper()
	got, err := p.put(o, skip, o.write)
	require.NoError(p, err)
	var answer struct{ Accepted int }
	require.NoError(p, json.Unmarshal([]byte(got.body), &answer), got.body)
	require.GreaterOrEqual(p, answer.Accepted, skip)
	return got, answer.Accepted
}

// deliver sends an object until all of it is accepted, as the protocol says, and returns how often it was sent again.
func (p *pipeline) deliver(o s3Object, skip int) (again int) {
	p.Helper()
	for ; ; again++ {
		got, accepted := p.try(o, skip)
		if got.status == http.StatusOK {
			require.Equal(p, o.lines, accepted)
			return again
		}
		require.Equal(p, http.StatusServiceUnavailable, got.status, got.body)
		seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
		require.NoError(p, err)
		pause(p.Context(), time.Duration(seconds)*time.Second)
		skip = accepted
	}
}

// requireObject checks that each line of an object is in Loki once, under its own number. So many lines are not fetched:
// Loki adds up for each ten thousand of them, by the number in the line, one million and the number in the id.
func (p *pipeline) requireObject(o s3Object) {
	p.Helper()
	selector := fmt.Sprintf(`{aws_log_type="s3"} | aws_s3_key=%q`, o.key)
	require.Equal(p, o.lines, p.count(p.loki.LokiClient, selector))
	query := selector + fmt.Sprintf(
		` | regexp "^(?P<part>[0-9]{2})[0-9]{4} " | label_format sum="{{add 1000000 (trimPrefix \"%s:\" .log_record_uid)}}" | unwrap sum`, o.key)
	now := time.Now()
	sums, err := p.loki.Values(p.Context(), fmt.Sprintf("sum by (part) (sum_over_time(%s[%ds]))", query, int(now.Sub(p.started).Seconds())+1), "part", now)
	require.NoError(p, err)
	want := map[string]float64{}
	for n := range o.lines {
		want[fmt.Sprintf("%02d", n/10_000)] += 1_000_000 + float64(n+1)
	}
	require.Equal(p, want, sums)
}

// smallMemory is the memory_limiter of a collector that has little.
const smallMemory = "processors: {memory_limiter: {limit_mib: 128, limit_percentage: 0, spike_limit_percentage: 0}}"

// An object much larger than what the collector may have in memory.
func TestS3Object(t *testing.T) {
	p := startReceiver(t, fast+"\ningester: {chunk_encoding: snappy, wal: {enabled: false}}", smallMemory)
	o := s3Object{key: "large.gz", lines: 800_000, noise: 126}
	var size counter
	require.NoError(t, o.write(&size))
	require.Greater(t, size.n, int64(100<<20))
	began := time.Now()
	again := p.deliver(o, 0)
	t.Logf("%d bytes of gzip, sent again %d times, taken after %s", size.n, again, time.Since(began))
	p.untilSent()
	t.Logf("in Loki after %s", time.Since(began))
	p.requireMemory()
	p.requireObject(o)
	assert.Equal(t, o.lines, p.received("records", "input", "s3", "outcome", "accepted"))
}

// Whoever was told how much was taken leaves that out. It does not need dedup.
func TestS3ObjectContinued(t *testing.T) {
	p := startReceiver(t, fast, "receivers: {cloudwatchsubscription: {dedup: {window: 0}}}",
		"exporters: {loki: {sending_queue: {queue_size: 4000000, batch: {min_size: 100000, max_size: 1000000}}}}")
	o := s3Object{key: "continued.gz", lines: 30_000, noise: 126}
	require.NoError(t, p.loki.Stop())
	got, accepted := p.try(o, 0)
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Positive(t, accepted)
	require.Less(t, accepted, o.lines)
	// There is no more room yet.
	got, still := p.try(o, accepted)
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.NoError(t, p.loki.Start(t.Context()))
	again := p.deliver(o, still)
	t.Logf("%d and %d of %d lines were taken before, then it was sent again %d times", accepted, still, o.lines, again)
	p.untilSent()
	p.requireObject(o)
	assert.Equal(t, o.lines, p.received("records", "input", "s3", "outcome", "accepted"))
	assert.Zero(t, p.received("records", "input", "s3", "outcome", "repeated"))
}
