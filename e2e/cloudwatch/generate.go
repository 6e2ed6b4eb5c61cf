// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// lineLength is the usual length of a generated line, the one that the benchmarks are stated for.
const lineLength = 264

// Source says which events Generate makes. Equal sources give equal messages.
type Source struct {
	Owner     string // default: 123456789012
	LogGroup  string // default: /aws/lambda/orders
	LogStream string // default: one of a Lambda function
	Start     time.Time
	Step      time.Duration // from each event to the next; zero: all are of one time
	Events    int
	Seed      uint64
}

// Generate returns a message of lines like those of a Lambda function that serves a shop. Event ids do not repeat between
// messages of different streams, starts or seeds.
func Generate(s Source) Message {
	m := Message{
		MessageType:         DataMessage,
		Owner:               cmp.Or(s.Owner, "123456789012"),
		LogGroup:            cmp.Or(s.LogGroup, "/aws/lambda/orders"),
		LogStream:           cmp.Or(s.LogStream, "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef"),
		SubscriptionFilters: []string{"awsloki"},
		LogEvents:           make([]Event, s.Events),
	}
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, m.Owner, "\n", m.LogGroup, "\n", m.LogStream, "\n", s.Start.UnixNano(), "\n", s.Seed)
	id := h.Sum64()
	random := rand.New(rand.NewPCG(s.Seed, id)) //nolint:gosec // equal seeds are to give equal lines
	for i := range m.LogEvents {
		at := s.Start.Add(time.Duration(i) * s.Step).UnixMilli()
		m.LogEvents[i] = Event{
			// As AWS's, ids have 56 digits and grow with time.
			ID:        fmt.Sprintf("3%014d%020d%021d", at, id, i),
			Timestamp: at,
			Message:   line(random, time.UnixMilli(at).UTC()),
		}
	}
	return m
}

var (
	levels  = []string{"INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "ERROR"}
	methods = []string{"GET", "GET", "GET", "POST", "PUT", "DELETE"}
	paths   = []string{"/orders", "/orders/%d", "/orders/%d/items", "/customers/%d", "/carts/%d/checkout", "/invoices/%d/pdf"}
	results = []string{"200", "200", "200", "201", "204", "404", "409", "500"}
	words   = strings.Fields(`order accepted payment authorised stock reserved invoice created address checked voucher applied
		retry upstream timeout cache hit miss customer returning parcel label printed carrier notified`)
)

// line returns a line in the text format of Lambda's Node.js runtime: time, request id, level and text with tabs
// between them, and a newline.
func line(random *rand.Rand, at time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t%s\t%s\t", at.Format("2006-01-02T15:04:05.000Z"), uuid(random), pick(random, levels))
	path := pick(random, paths)
	if strings.Contains(path, "%d") {
		path = fmt.Sprintf(path, 100000+random.IntN(900000))
	}
	fmt.Fprintf(&b, "%s %s status=%s duration_ms=%d customer=%d trace=%016x msg=\"",
		pick(random, methods), path, pick(random, results), 1+random.IntN(900), 10000+random.IntN(90000), random.Uint64())
	for end := lineLength - 16 + random.IntN(16); ; {
		b.WriteString(pick(random, words))
		if b.Len() >= end {
			break
		}
		b.WriteByte(' ')
	}
	b.WriteString("\"\n")
	return b.String()
}

func uuid(random *rand.Rand) string {
	high, low := random.Uint64(), random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", high>>32, high>>16&0xffff, high&0xfff, low>>48&0xfff, low&0xffffffffffff)
}

func pick(random *rand.Rand, from []string) string { return from[random.IntN(len(from))] }
