// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
)

func inflate(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return text
}

// linesOf returns the lines of a document as its input has them, and the stream's name.
func linesOf(t *testing.T, p *parcel) (lines []string, stream string) {
	t.Helper()
	var m cloudwatch.Message
	switch p.input {
	case S3:
		return strings.SplitAfter(strings.TrimSuffix(string(inflate(t, p.body)), "\n"), "\n"), p.key
	case Push:
		text, err := snappy.Decode(nil, p.body)
		require.NoError(t, err)
		var request push.PushRequest
		require.NoError(t, request.Unmarshal(text))
		for _, entry := range request.Streams[0].Entries {
			lines = append(lines, entry.Line)
		}
		return lines, request.Streams[0].Labels
	case Forwarder:
		var err error
		m, err = cloudwatch.ParseLambdaEvent(p.body)
		require.NoError(t, err)
	case Firehose:
		var request struct{ Records []struct{ Data []byte } }
		require.NoError(t, json.Unmarshal(p.body, &request))
		require.Len(t, request.Records, 1)
		require.NoError(t, json.Unmarshal(inflate(t, request.Records[0].Data), &m))
	default:
		require.NoError(t, json.Unmarshal(inflate(t, p.body), &m))
	}
	for _, event := range m.LogEvents {
		lines = append(lines, event.Message)
	}
	return lines, m.LogGroup + m.LogStream
}

func newGenerator(p *plan, repeat bool) *generator {
	return &generator{seed: 1, groups: p.groups, begun: time.Now(), repeat: repeat, repeated: map[int]repeated{}}
}

// Every line says its id, whatever it comes by, and is the same when it is made again.
func TestGenerator(t *testing.T) {
	p := newPlan(1, 20_000, 5, DefaultMix, false)
	g := newGenerator(p, false)
	id, inputs := 0, map[Input]bool{}
	for _, d := range p.documents {
		made, err := g.make(d)
		require.NoError(t, err)
		again, err := g.make(d)
		require.NoError(t, err)
		require.Equal(t, made, again)
		lines, stream := linesOf(t, made)
		require.Len(t, lines, d.lines)
		assert.Contains(t, stream, p.groups[d.group].name)
		for _, line := range lines {
			got, ok := idOf(line)
			require.True(t, ok)
			require.Equal(t, id, got)
			id++
		}
		assert.InDelta(t, 264, len(lines[0]), 40)
		inputs[d.input] = true
	}
	assert.Len(t, inputs, int(numInputs))
}

// Lines that are sent over and over differ by their streams.
func TestRepeatedLines(t *testing.T) {
	p := newPlan(1, 20_000, 5, DefaultMix, true)
	g := newGenerator(p, true)
	streams, texts := map[string]bool{}, map[string]bool{}
	for _, d := range p.documents {
		made, err := g.make(d)
		require.NoError(t, err)
		lines, stream := linesOf(t, made)
		require.Len(t, lines, d.lines)
		streams[stream] = true
		if d.input != S3 { // where a line begins with its time
			texts[lines[0]] = true
		}
	}
	assert.Len(t, streams, len(p.documents))
	assert.Len(t, texts, 1)
}

func TestIDOf(t *testing.T) {
	f := func(line string, want int, wantOK bool) {
		t.Helper()
		id, ok := idOf(line)
		assert.Equal(t, wantOK, ok)
		assert.Equal(t, want, id)
	}
	f("GET / trace=0000000000000042 msg", 42, true)
	f("GET / trace=0000000000000042", 42, true)
	f("GET / trace=000000000000004", 0, false)
	f("GET / trace=abcdef0123456789 msg", 0, false)
	f("GET /", 0, false)
	f(withID("GET / trace=abcdef0123456789 msg", 7), 7, true)
}

// A million lines take seconds to make.
func BenchmarkGenerator(b *testing.B) {
	p := newPlan(1, 20_000, 5, map[Input]int{Subscription: 1}, true)
	for name, repeat := range map[string]bool{"told apart": false, "over and over": true} {
		b.Run(name, func(b *testing.B) {
			g, lines := newGenerator(p, repeat), 0
			for b.Loop() {
				d := p.documents[lines/repeatedEvents%len(p.documents)]
				if _, err := g.make(d); err != nil {
					b.Fatal(err)
				}
				lines += d.lines
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(lines), "µs/line")
		})
	}
}
