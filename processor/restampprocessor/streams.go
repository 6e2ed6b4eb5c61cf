// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"hash/maphash"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/awsloki/awsloki/internal/lokipush"
)

// stream is what is known of one of Loki's streams.
type stream struct {
	newest int64 // the latest time of its records in nanoseconds since 1970. 0: none
	used   time.Time
}

// streams remembers a bounded number of streams, those used last. It tells them
// apart by a hash. Of two of Loki's streams with the same one, timestamps are
// replaced that Loki would take, and no more. It is not safe for concurrent use.
type streams struct {
	// attributes are those that make a stream, by their place in the list. values
	// are those of the resource at hand.
	attributes  map[string]int
	seeds       []maphash.Seed
	values      []pcommon.Value
	text        []byte // one of them as a label's value
	serviceName int    // its place in the list, which does not count. -1: it is not there

	idleTimeout time.Duration
	byHash      *simplelru.LRU[uint64, *stream]
	evicted     int64 // how many were forgotten for want of room, since count was called
}

// What is beyond these is no label: by default Loki takes no more labels beside
// service_name, and no longer values (max_label_names_per_series,
// max_label_value_length).
const (
	maxLabels     = 15
	maxLabelValue = 2048
)

func newStreams(attributes []string, maxStreams int, idleTimeout time.Duration) *streams {
	s := &streams{
		attributes:  make(map[string]int, len(attributes)),
		seeds:       make([]maphash.Seed, len(attributes)),
		values:      make([]pcommon.Value, len(attributes)),
		serviceName: slices.Index(attributes, "service.name"),
		idleTimeout: idleTimeout,
	}
	for i, name := range attributes {
		s.attributes[name] = i
		s.seeds[i] = maphash.MakeSeed()
	}
	// The only error is that of a size below 1.
	s.byHash, _ = simplelru.NewLRU[uint64, *stream](max(maxStreams, 1), nil)
	return s
}

// get returns the stream of a resource's records.
func (s *streams) get(resource pcommon.Map, now time.Time) *stream {
	key := s.hash(resource)
	found, ok := s.byHash.Get(key)
	if !ok {
		found = new(stream)
		if s.byHash.Add(key, found) {
			s.evicted++
		}
	}
	found.used = now
	return found
}

func (s *streams) forgetIdle(now time.Time) {
	for {
		_, oldest, ok := s.byHash.GetOldest()
		if !ok || now.Sub(oldest.used) <= s.idleTimeout {
			return
		}
		s.byHash.RemoveOldest()
	}
}

// count returns how many streams are remembered, and how many have been forgotten
// for want of room since it was called last.
func (s *streams) count() (remembered, evicted int64) {
	evicted, s.evicted = s.evicted, 0
	return int64(s.byHash.Len()), evicted
}

// hash is that of the attributes of which the Loki exporter makes labels.
func (s *streams) hash(resource pcommon.Map) (sum uint64) {
	none := pcommon.Value{}
	for name, v := range resource.All() {
		if i, ok := s.attributes[name]; ok && s.values[i] == none {
			s.values[i] = v
		}
	}
	labels := 0
	for i, v := range s.values {
		if v == none || labels == maxLabels {
			continue
		}
		s.text = lokipush.AppendValue(s.text[:0], v)
		if len(s.text) == 0 || len(s.text) > maxLabelValue {
			continue
		}
		sum += maphash.Bytes(s.seeds[i], s.text)
		if i != s.serviceName {
			labels++
		}
	}
	// The values are parts of a request's memory.
	clear(s.values)
	return sum
}
