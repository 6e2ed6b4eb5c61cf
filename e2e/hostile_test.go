// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/firehose"
	"github.com/awsloki/awsloki/e2e/lambdapromtail"
)

// attack is a request that means no good.
type attack struct {
	path   string
	body   []byte
	header map[string]string
	status int
}

func (p *pipeline) attack(a attack) response {
	p.Helper()
	return p.send(http.MethodPost, a.path, a.body, a.header)
}

// viaFirehose is an attack by one record.
func viaFirehose(record []byte) attack {
	r := firehose.Request{ID: "hostile", Time: time.Now(), Records: [][]byte{record}}
	return attack{firehosePath, r.Body(), r.Header(), 400}
}

// pack returns so many zeros as w, which newWriter makes, compresses them.
func pack[W io.WriteCloser](t *testing.T, newWriter func(io.Writer) W, size int) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := newWriter(&buf)
	zeros := make([]byte, 1<<20)
	for range size / len(zeros) {
		_, err := w.Write(zeros)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func bombs(t *testing.T) map[string]attack {
	t.Helper()
	const size = 1 << 30
	bomb := pack(t, gzip.NewWriter, size)
	t.Logf("%d bytes decode to %d", len(bomb), size)
	gzipped := map[string]string{"Content-Encoding": "gzip", "Content-Type": lambdapromtail.ContentType}
	request := firehose.Request{ID: "hostile"}.Header()
	request["Content-Encoding"] = "gzip"
	return map[string]attack{
		"subscription":             {subscriptionPath, bomb, nil, 413},
		"subscription, two layers": {subscriptionPath, compress(bomb), nil, 413},
		"firehose, record":         viaFirehose(bomb),
		"firehose, body":           {firehosePath, bomb, request, 400},
		"s3":                       {objectURL("bomb", 0), bomb, nil, 413},
		"s3, two layers":           {objectURL("bomb", 0), compress(bomb), nil, 413},
		"push, gzip":               {lokiPushPath, bomb, gzipped, 413},
		// The length that a block of snappy states is believed before anything is decoded.
		"push, snappy": {lokiPushPath, append(binary.AppendUvarint(nil, size), make([]byte, 1<<20)...), map[string]string{"Content-Type": lambdapromtail.ContentType}, 413},
	}
}

// By how much the collector may grow over what it takes when idle: requests together hold 64 MiB, and one may hold more, a
// line of an object 64 MiB and the buffer that it has outgrown. As much again is garbage that is not collected yet.
const (
	mostBombMemory = 200 << 20
	mostLineMemory = 350 << 20
)

// A megabyte that decodes to a gigabyte is refused, and takes little memory, also if many come at once.
func TestBombs(t *testing.T) {
	p := startReceiver(t, fast)
	all := bombs(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a := all[name]
		require.NoError(t, p.collector.Restart(t.Context())) // memory is that of this attack
		idle, err := p.collector.Memory()
		require.NoError(t, err)
		assert.Equal(t, a.status, p.attack(a).status, name)
		one, err := p.collector.Memory()
		require.NoError(t, err)

		var senders sync.WaitGroup
		answers := make([]int, 32)
		for i := range answers {
			senders.Go(func() { answers[i] = p.attack(a).status })
		}
		senders.Wait()
		statuses := map[int]int{}
		for _, status := range answers {
			statuses[status]++
			assert.Contains(t, []int{a.status, 503}, status, name)
		}
		many, err := p.collector.Memory()
		require.NoError(t, err)
		t.Logf("%s: idle %d MiB, at the peak of one %d MiB, and of 32 %d MiB; answers %v", name, idle.Resident>>20, one.Peak>>20, many.Peak>>20, statuses)
		most := int64(mostBombMemory)
		if strings.HasPrefix(a.path, objectPath) {
			most = mostLineMemory
		}
		assert.Less(t, many.Peak-idle.Resident, most, name)
		assert.Zero(t, p.received("records"))
	}
	p.requireAlive()
}

// requireAlive checks that a good message gets through, and nothing else is in Loki.
func (p *pipeline) requireAlive() {
	p.Helper()
	m := cloudwatch.Generate(cloudwatch.Source{LogGroup: "/aws/lambda/alive", Start: p.started, Events: 10})
	require.Equal(p, 200, p.post(m.Gzip(), nil).status)
	p.untilSent()
	require.Equal(p, 10, p.count(p.loki.LokiClient, everything))
}

// What nobody understands is refused, and does no harm.
func TestRubbish(t *testing.T) {
	p := startReceiver(t, fast)
	random := rand.NewChaCha8([32]byte{})
	noise := make([]byte, 1<<20)
	_, _ = random.Read(noise)
	good := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 10}).Gzip()
	rubbish := map[string][]byte{
		"noise":                     noise,
		"noise that begins as gzip": append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), noise...),
		"gzip cut short":            good[:len(good)-20],
		"gzip of noise":             compress(noise),
		"gzip and noise":            append(slices.Clone(good), noise...),
		"zeros":                     make([]byte, 1<<20),
		"brackets":                  bytes.Repeat([]byte("["), 1<<20),
		"braces":                    bytes.Repeat([]byte(`{"a":`), 1<<18),
	}
	protobuf := map[string]string{"Content-Type": lambdapromtail.ContentType}
	inJSON := map[string]string{"Content-Type": "application/json"}
	for _, name := range slices.Sorted(maps.Keys(rubbish)) {
		body := rubbish[name]
		attacks := map[string]attack{
			"subscription":      {subscriptionPath, body, nil, 400},
			"firehose, body":    {firehosePath, body, firehose.Request{ID: "rubbish"}.Header(), 400},
			"push":              {lokiPushPath, body, protobuf, 400},
			"push in snappy":    {lokiPushPath, snappy.Encode(nil, body), protobuf, 400},
			"push as JSON":      {lokiPushPath, body, inJSON, 400},
			"push without type": {lokiPushPath, body, nil, 400},
		}
		if strings.Contains(name, "that begins as gzip") || strings.Contains(name, "cut short") {
			attacks["s3"] = attack{objectURL("rubbish", 0), body, nil, 400}
			attacks["firehose, record"] = viaFirehose(body)
		}
		for input, a := range attacks {
			got := p.attack(a)
			assert.Equal(t, a.status, got.status, "%s: %s: %s", input, name, got.body)
		}
	}
	p.requireAlive()
}

// A line that is longer than Loki takes is cut there, by whatever input it comes.
func TestLongLines(t *testing.T) {
	const most = 256 << 10 // Loki's, and the exporter's default
	p := startReceiver(t, fast)
	line := func(input string) string { return input + " " + strings.Repeat("x", 5_000_000) }
	m := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 1})
	m.LogEvents[0].Message = line("subscription")
	assert.Equal(t, 200, p.post(m.Gzip(), nil).status)
	m.LogEvents[0].Message = line("firehose")
	r := firehose.Request{ID: "long", Time: time.Now(), Records: [][]byte{m.Gzip(), []byte(line("direct"))}}
	assert.Equal(t, 200, p.postFirehose(r, false, nil).status)
	got := p.send(http.MethodPost, objectURL("long", 0), []byte("before\n"+line("s3")+"\nafter"), nil)
	assert.Equal(t, 200, got.status)
	assert.JSONEq(t, `{"accepted":3}`, got.body)
	m.LogEvents[0].Message = line("push")
	assert.Equal(t, 204, p.postPush(nil, lambdapromtail.Stream(m)).status)
	p.untilSent()

	var want []string
	for _, input := range []string{"subscription", "firehose", "direct", "s3", "push"} {
		want = append(want, line(input)[:most])
	}
	requireLines(t, p.loki.LokiClient, append(want, "before", "after")...)
	metrics, err := p.collector.Metrics(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 5, counters{metrics}.of("truncated_lines"))
	p.requireMemory()
}

// What no line of an object may exceed is what it is refused for, once it comes to that line.
func TestTooLongLine(t *testing.T) {
	p := startReceiver(t, fast, "receivers: {cloudwatchsubscription: {max_decoded_bytes: 100000}}")
	lines := numbered("line", 20, 100)
	object := strings.Join(slices.Concat(lines[:10], []string{strings.Repeat("x", 200_000)}, lines[10:]), "\n")
	for _, body := range [][]byte{[]byte(object), compress([]byte(object))} {
		got := p.send(http.MethodPost, objectURL("long", 0), body, nil)
		assert.Equal(t, 413, got.status)
		assert.Contains(t, got.body, `"accepted":10,`)
		assert.Contains(t, got.body, "line 11: ")
	}
	p.untilSent()
	requireLines(t, p.loki.LokiClient, lines[:10]...)

	m := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 400})
	assert.Equal(t, 413, p.post(m.Gzip(), nil).status)
	r := firehose.Request{ID: "long", Time: time.Now(), Records: [][]byte{[]byte("short"), m.Gzip()}}
	assert.Equal(t, 400, p.postFirehose(r, false, nil).status)
	got := p.postPush(nil, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{{Timestamp: time.Now(), Line: strings.Repeat("x", 200_000)}}})
	assert.Equal(t, 413, got.status, got.body)
	requireLines(t, p.loki.LokiClient, lines[:10]...)
}
