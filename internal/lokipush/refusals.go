// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"iter"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Reason is why lines did not become Loki's, in Loki's own words where it has one (pkg/validation/validate.go).
type Reason string

// Reasons.
const (
	LineTooLong             Reason = "line_too_long"
	GreaterThanMaxSampleAge Reason = "greater_than_max_sample_age"
	TooFarInFuture          Reason = "too_far_in_future"
	TooFarBehind            Reason = "too_far_behind"
	OutOfOrder              Reason = "out_of_order"
	MaxLabelNames           Reason = "max_label_names_per_series"
	LabelNameTooLong        Reason = "label_name_too_long"
	LabelValueTooLong       Reason = "label_value_too_long"
	DuplicateLabelNames     Reason = "duplicate_label_names"
	MissingLabels           Reason = "missing_labels"
	MissingEnforcedLabels   Reason = "missing_enforced_labels"
	InvalidLabels           Reason = "invalid_labels"
	DisallowedMetadata      Reason = "disallowed_structured_metadata"
	MetadataTooLarge        Reason = "structured_metadata_too_large"
	MetadataTooMany         Reason = "structured_metadata_too_many"
	BlockedIngestion        Reason = "blocked_ingestion"
	RateLimited             Reason = "rate_limited"
	StreamRateLimit         Reason = "per_stream_rate_limit"
	StreamLimit             Reason = "stream_limit"
	RequestTooLarge         Reason = "request_body_too_large"

	// InvalidMetadata is a name of structured metadata that makes nothing valid.
	InvalidMetadata Reason = "invalid_structured_metadata"
	// InvalidTenant is a tenant that Loki does not take. Its lines are not sent.
	InvalidTenant Reason = "invalid_tenant"
	// TooManyTenants are the lines of a tenant for which there is no queue. They are not sent.
	TooManyTenants Reason = "too_many_tenants"
	// BadRequest is any other.
	BadRequest Reason = "bad_request"
	// Unnamed lines are those of which Loki says only how many they are.
	Unnamed Reason = "unnamed"
)

// message is one of Loki's messages about lines that it refuses while it stores the others. It begins with begin, and
// mark follows.
type message struct {
	reason      Reason
	begin, mark string
	// stream says that the message is about all lines of a stream, whose labels are between the two. Otherwise it is
	// about one line.
	stream bool
}

// messages are those of pkg/validation/validate.go. Label values may hold anything, also what looks like another
// message: hence what begins a message comes first, and the last mark counts.
var messages = []message{
	{GreaterThanMaxSampleAge, "entry for stream '", "' has timestamp too old: ", false},
	{TooFarInFuture, "entry for stream '", "' has timestamp too new: ", false},
	{LineTooLong, "max entry size '", "' bytes exceeded for stream '", false},
	{DisallowedMetadata, "stream '", "' includes structured metadata, but ", false},
	{MetadataTooLarge, "stream '", "' has structured metadata too large: '", false},
	{MetadataTooMany, "stream '", "' has too many structured metadata labels: '", false},
	{MaxLabelNames, "entry for stream '", "' has ", true},
	{LabelNameTooLong, "stream '", "' has label name too long: '", true},
	{LabelValueTooLong, "stream '", "' has label value too long: '", true},
	{DuplicateLabelNames, "stream '", "' has duplicate label name: '", true},
	{MissingEnforcedLabels, "missing required labels '", "' (policy", true},
	{MissingLabels, "error at least one label pair is required per stream", "", false},
	{InvalidLabels, "error parsing labels '", "' with error: ", true},
}

// match returns what is between the beginning and the mark.
func (m *message) match(text string) (between string, ok bool) {
	rest, ok := strings.CutPrefix(text, m.begin)
	if !ok {
		return "", false
	}
	i := strings.LastIndex(rest, m.mark)
	if i < 0 {
		return "", false
	}
	if m.reason == MissingEnforcedLabels {
		_, labels, _ := strings.Cut(rest[:i], "' for stream '")
		return labels, true
	}
	return rest[:i], true
}

// parseRefusals counts the lines of a batch that the text of a 400 names as refused. It returns nil if the text is none
// of those by which Loki says that it has stored the rest.
//
// The ingesters' word hides the distributor's: of lines that both refuse, only those of the ingesters are named, and of
// several streams only one is (pkg/ingester/instance.go, Push). Of the one, all are counted.
func parseRefusals(text string, b *Batch) map[Reason]int {
	text = strings.TrimSpace(text)
	if ignored, ok := parseIgnored(text); ok {
		refused := map[Reason]int{}
		ignored.count(refused, b)
		return capped(refused, b.Lines())
	}
	refused := map[Reason]int{}
	known := false
	for n, text := range eachGroup(text) {
		reason, lines := classify(text, n, b)
		known = known || reason != ""
		if reason == "" {
			reason, lines = BadRequest, n
		}
		refused[reason] += lines
	}
	if !known {
		return nil
	}
	return capped(refused, b.Lines())
}

// groupMark is between the number of equal messages and their text, where Loki has several to tell, and groupEnd between
// two such groups (pkg/util/errors.go, GroupedErrors).
const (
	groupMark = " errors like: "
	groupEnd  = "; "
)

// eachGroup yields the messages of a text, each with how often it came.
func eachGroup(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		n, _, rest := nextGroup(text, 0)
		if rest < 0 || !strings.HasPrefix(text[rest:], groupMark) || strings.TrimLeft(text[:rest], digits) != "" {
			yield(1, text)
			return
		}
		for {
			from := rest + len(groupMark)
			next, end, mark := nextGroup(text, from)
			if mark < 0 {
				yield(n, text[from:])
				return
			}
			if !yield(n, text[from:end]) {
				return
			}
			n, rest = next, mark
		}
	}
}

const digits = "0123456789"

// nextGroup finds the next number of equal messages at or after from: the number, where what is before it ends, and
// where the mark begins that follows it, or -1.
func nextGroup(text string, from int) (n, end, mark int) {
	for at := from; ; {
		i := strings.Index(text[at:], groupMark)
		if i < 0 {
			return 0, 0, -1
		}
		mark = at + i
		before := strings.TrimRight(text[from:mark], digits)
		number := text[from+len(before) : mark]
		if ahead, ok := strings.CutSuffix(before, groupEnd); number != "" && (ok || before == "" && from == 0) {
			return int(min(atoi(number), math.MaxInt32)), from + len(ahead), mark
		}
		at = mark + len(groupMark)
	}
}

// classify returns the reason of a message that came n times, and how many lines it is about.
func classify(text string, n int, b *Batch) (Reason, int) {
	for i := range messages {
		m := &messages[i]
		between, ok := m.match(text)
		if ok && m.stream {
			return m.reason, max(n, b.linesOf(between))
		}
		if ok {
			return m.reason, n
		}
	}
	return "", 0
}

// ignored is an ingester's message: how many lines of those that came to it it ignored. It names the first few.
type ignored struct {
	lines, of int
	named     []namedEntry
	// stream is the labels, without those by which Loki divides streams.
	stream string
	// shard says that the stream is a part of one of ours.
	shard bool
	// rate is the limit on the rate of the stream, in bytes per second, if that is a reason.
	rate int64
}

// namedEntry is a line that is ignored. ok says that its time could be read.
type namedEntry struct {
	reason Reason
	nanos  int64
	ok     bool
}

// Parts of an ingester's message (pkg/ingester/stream.go, errorForFailedEntries).
const (
	textEntry   = "entry with timestamp "
	textIgnored = " ignored, reason: '"
	textTotal   = "total ignored: "
	// textStream is there since 2.8. Before, the stream was named with each entry.
	textStream = " for stream: "
	// textRPC ends what a gateway between Loki's parts puts before.
	textRPC = " desc = "
	// maxNamed bounds how many lines are looked at. Loki names ten, by default (max_returned_stream_errors).
	maxNamed = 1000
)

var shardPattern = regexp.MustCompile(`(?:, )?__(?:stream|time)_shard__="[^"]*"`)

func parseIgnored(text string) (ignored, bool) {
	if strings.HasPrefix(text, "rpc error: ") {
		_, text, _ = strings.Cut(text, textRPC)
	}
	// The last: what came before may be a label's.
	total := strings.LastIndex(text, textTotal)
	if total < 0 || !strings.HasPrefix(text, textEntry) {
		return ignored{}, false
	}
	numbers, labels, _ := strings.Cut(strings.TrimSpace(text[total+len(textTotal):]), textStream)
	lines, of, _ := strings.Cut(numbers, " out of ")
	i := ignored{lines: int(atoi(lines)), of: int(atoi(of)), named: parseNamed(text[:total])}
	if m := streamRatePattern.FindStringSubmatch(text[:total]); m != nil {
		i.rate = parseSize(m[1])
	}
	i.stream = strings.Replace(shardPattern.ReplaceAllString(labels, ""), "{, ", "{", 1)
	i.shard = i.stream != labels
	return i, len(i.named) > 0
}

func parseNamed(text string) (named []namedEntry) {
	for len(named) < maxNamed {
		rest, ok := strings.CutPrefix(text, textEntry)
		at, reason, found := strings.Cut(rest, textIgnored)
		if !ok || !found {
			return named
		}
		e := namedEntry{reason: BadRequest}
		switch {
		case strings.HasPrefix(reason, "entry too far behind"):
			e.reason = TooFarBehind
		case strings.HasPrefix(reason, "entry out of order"):
			e.reason = OutOfOrder
		case strings.HasPrefix(reason, textStreamRate):
			e.reason = StreamRateLimit
		}
		t, err := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", at)
		e.nanos, e.ok = t.UnixNano(), err == nil
		named = append(named, e)
		_, text, _ = strings.Cut(reason, ",\n")
	}
	return named
}

func (i *ignored) has(reason Reason) bool {
	return slices.ContainsFunc(i.named, func(e namedEntry) bool { return e.reason == reason })
}

// limited is the verdict on a batch where a limit on the rate of a stream is a reason.
func (i *ignored) limited(b *Batch) verdict {
	v := verdict{meaning: streamLimited, reason: StreamRateLimit, rate: i.rate}
	v.again, v.refused = i.parts(b)
	return v
}

// parts divides the lines that are ignored in those that the limit refused and the others. It can only do so for a batch
// of one stream, all of which came to the ingester and is no shard there, if all lines that are ignored are named, for
// more reasons than one, and if their timestamps tell them from others: where an ingester takes all of a stream or
// nothing, it names the limit only, also for the lines that it would not have taken for another reason.
func (i *ignored) parts(b *Batch) (again *Batch, refused map[Reason]int) {
	if len(b.streams) != 1 || i.of != b.Lines() || i.shard || len(i.named) != i.lines {
		return nil, nil
	}
	times, limited := map[int64]bool{}, 0
	refused = map[Reason]int{}
	for _, e := range i.named {
		switch {
		case !e.ok:
			return nil, nil
		case e.reason == StreamRateLimit:
			times[e.nanos] = true
			limited++
		default:
			refused[e.reason]++
		}
	}
	again, _ = b.divideBy(func(e entry) bool { return times[e.nanos] })
	if len(refused) == 0 || again.Lines() != limited {
		return nil, nil
	}
	return again, refused
}

// count adds the lines that are ignored, and those of the stream that did not even come to the ingester.
func (i *ignored) count(refused map[Reason]int, b *Batch) {
	rest := i.lines
	for _, e := range i.named[:min(len(i.named), i.lines)] {
		refused[e.reason]++
		rest--
	}
	// Those that are not named are taken to be like the last.
	if rest > 0 {
		refused[i.named[len(i.named)-1].reason] += rest
	}
	if missing := b.linesOf(i.stream) - i.of; missing > 0 && !i.shard {
		refused[Unnamed] += missing
	}
}

// capped sees to it that no more lines are refused than there are.
func capped(refused map[Reason]int, lines int) map[Reason]int {
	for _, reason := range slices.Sorted(maps.Keys(refused)) {
		n := max(0, min(refused[reason], lines))
		refused[reason] = n
		lines -= n
	}
	return refused
}
