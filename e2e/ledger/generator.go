// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/firehose"
	"github.com/awsloki/awsloki/e2e/lambdapromtail"
)

const (
	// An id takes the place of a trace's in the line, which is as long.
	idMark   = " trace="
	idDigits = 16

	// The lines of a group are so far apart from each other, which is the least that CloudWatch Logs knows: Loki can answer
	// with few lines of one time.
	lineStep = time.Millisecond

	// repeatedFor is how long the same lines are sent, where they are sent over and over: what is older than 45 minutes
	// would get another time.
	repeatedFor = time.Minute
)

// parcel is a document with its lines, as its input wants them. It is the same each time that it is sent.
type parcel struct {
	document
	body []byte
	name string    // of the request or the object
	key  string    // of the object
	at   time.Time // of the first line
}

// generator makes the lines. Its methods may be called concurrently.
type generator struct {
	seed   uint64
	groups []group
	begun  time.Time // of the run: the lines that are told apart are before that
	repeat bool      // the same lines over and over, which costs next to nothing; they have no ids

	mu       sync.Mutex
	repeated map[int]repeated // by the number of lines
}

// repeated are lines that are sent over and over.
type repeated struct {
	at         time.Time
	events     []cloudwatch.Event
	compressed []byte // the end of the message, from the events on, as a gzip member
}

// make makes a document's lines.
func (g *generator) make(d document) (*parcel, error) {
	p := &parcel{document: d, name: g.name(d), at: g.start(d)}
	var err error
	switch d.input {
	case Forwarder:
		p.body, err = json.Marshal(map[string]any{"awslogs": map[string]any{"data": g.compressed(p)}})
	case Firehose:
		p.body = firehose.Request{ID: p.name, Time: p.at, Records: [][]byte{g.compressed(p)}}.Body()
	case S3:
		p.key, p.body = g.object(p)
	case Push:
		p.body, err = lambdapromtail.Encode(lambdapromtail.Stream(g.message(p)))
	default:
		p.body = g.compressed(p)
	}
	if err != nil {
		return nil, fmt.Errorf("make document %d: %w", d.number, err)
	}
	return p, nil
}

func (g *generator) name(d document) string { return fmt.Sprintf("%d-%d", g.seed, d.number) }

// start returns the time of a document's first line.
func (g *generator) start(d document) time.Time {
	if g.repeat {
		return time.Now()
	}
	return g.begun.Add(time.Duration(d.before-g.groups[d.group].lines) * lineStep)
}

// recordUIDs returns what log_record_uid says of each line of a document in the end.
func (g *generator) recordUIDs(d document) []string {
	ids := make([]string, d.lines)
	switch d.input {
	case Push: // which has none
	case S3:
		for i := range ids {
			ids[i] = fmt.Sprint(g.name(d), ":", i+1)
		}
	default:
		for i, event := range g.message(&parcel{document: d, name: g.name(d), at: g.start(d)}).LogEvents {
			ids[i] = event.ID
		}
	}
	return ids
}

// message returns the message of a subscription that has the document's lines.
func (g *generator) message(p *parcel) cloudwatch.Message {
	m := cloudwatch.Message{
		MessageType:         cloudwatch.DataMessage,
		Owner:               "123456789012",
		LogGroup:            "/aws/lambda/" + g.groups[p.group].name,
		LogStream:           "stream-" + p.name,
		SubscriptionFilters: []string{"awsloki"},
	}
	if g.repeat {
		m.LogEvents = g.events(p).events
		return m
	}
	m.LogEvents = cloudwatch.Generate(cloudwatch.Source{
		LogGroup: m.LogGroup, LogStream: m.LogStream, Start: p.at, Step: lineStep,
		Events: p.lines, Seed: g.seed,
	}).LogEvents
	for i := range m.LogEvents {
		m.LogEvents[i].Message = withID(m.LogEvents[i].Message, p.first+i)
	}
	return m
}

// events returns the lines that are sent over and over at present.
func (g *generator) events(p *parcel) repeated {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.repeated[p.lines]
	if !ok || p.at.Sub(r.at) > repeatedFor {
		m := cloudwatch.Generate(cloudwatch.Source{Start: p.at, Step: lineStep, Events: p.lines, Seed: g.seed})
		_, end, _ := strings.Cut(string(m.JSON()), `"logEvents":`)
		r = repeated{p.at, m.LogEvents, compress([]byte(`"logEvents":` + end))}
		g.repeated[p.lines] = r
	}
	return r
}

// compressed returns the message as gzip.
func (g *generator) compressed(p *parcel) []byte {
	m := g.message(p)
	if !g.repeat {
		return compress(m.JSON())
	}
	m.LogEvents = nil
	head := bytes.TrimSuffix(m.JSON(), []byte(`"logEvents":null}`))
	return append(compress(head), g.events(p).compressed...)
}

// object returns the lines as an object that an MSK cluster's broker writes: those say their own times.
func (g *generator) object(p *parcel) (key string, body []byte) {
	var text bytes.Buffer
	for _, event := range g.message(p).LogEvents {
		_, _ = fmt.Fprintf(&text, "[%s] %s", event.Time().Format("2006-01-02 15:04:05,000"), event.Message)
	}
	const uuid = "7f6b9b77-24f9-4921-87b6-d29a6401e292"
	key = fmt.Sprintf("AWSLogs/123456789012/KafkaBrokerLogs/us-east-1/%s-%s-3/%s/Broker-1_%s_%s.log.gz",
		g.groups[p.group].name, uuid, p.at.UTC().Format("2006-01-02-15"), p.at.UTC().Format("15-04"), p.name)
	return key, compress(text.Bytes())
}

// withID returns the line with an id in it.
func withID(line string, id int) string {
	at := strings.Index(line, idMark) + len(idMark)
	return line[:at] + fmt.Sprintf("%0*d", idDigits, id) + line[at+idDigits:]
}

// idOf returns the id in a line.
func idOf(line string) (id int, ok bool) {
	_, rest, ok := strings.Cut(line, idMark)
	if !ok || len(rest) < idDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(rest[:idDigits], 10, 63)
	return int(n), err == nil
}

var compressors = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one that there is
	return w
}}

func compress(data []byte) []byte {
	var buf bytes.Buffer
	w := compressors.Get().(*gzip.Writer)
	defer compressors.Put(w)
	w.Reset(&buf)
	// Writing to a buffer does not fail.
	_, _ = w.Write(data)
	_ = w.Close()
	return buf.Bytes()
}
