// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// answer is what Loki makes of lines that the exporter does not keep from it.
type answer struct {
	// limits are Loki's for the tenant, and settings the exporter's.
	limits, settings string
	// before is sent first and delivered.
	before []resource
	send   []resource
	// stored are the lines that are in Loki then, besides those sent before.
	stored []string
	// refused are lines by reason.
	refused map[string]int
	// requests by the status of their answers, for what was not sent before.
	requests map[string]int
}

// startTenants starts a Loki in which each tenant has limits of its own.
func startTenants(t *testing.T, limits map[string]string) *stack.Loki {
	t.Helper()
	var overrides strings.Builder
	overrides.WriteString("overrides:\n")
	for _, tenant := range slices.Sorted(maps.Keys(limits)) {
		fmt.Fprintf(&overrides, "  %s: {%s}\n", tenant, limits[tenant])
	}
	return stacktest.StartLoki(t, stack.LokiOptions{
		Config: "auth_enabled: true\nruntime_config: {file: " + writeFile(t, overrides.String()) + "}",
	})
}

// attributes returns n attributes with a value of some size.
func attributes(n, size int) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[fmt.Sprintf("a%03d", i)] = strings.Repeat("v", size)
	}
	return all
}

// labelled is service.name and n attributes as labels.
func labelled(n int) string {
	list := []string{"{attribute: service.name}"}
	for _, name := range slices.Sorted(maps.Keys(attributes(n, 0))) {
		list = append(list, "{attribute: "+name+"}")
	}
	return "labels: [" + strings.Join(list, ", ") + "]"
}

// with returns records of a service that has further attributes.
func with(name string, more map[string]string, records ...record) resource {
	r := service(name, records...)
	maps.Copy(r.attributes, more)
	return r
}

// blockedPolicy blocks the streams of one service.
const blockedPolicy = `policy_stream_mapping: {closed: [{selector: '{service_name="blocked"}', priority: 1}]}, block_ingestion_policy_until: {closed: 2100-01-01T00:00:00Z}`

func answers(now time.Time) map[string]answer {
	const hour = time.Hour
	good := service("good", at(now, "good 1", "good 2")...)
	one := map[string]int{"400": 1}
	return map[string]answer{
		"too-old": {
			send:     []resource{service("a", append(at(now.Add(-8*24*hour), "old"), at(now, "new")...)...), good},
			stored:   []string{"new", "good 1", "good 2"},
			refused:  map[string]int{"greater_than_max_sample_age": 1},
			requests: one,
		},
		"too-new": {
			send:     []resource{good, service("a", append(at(now.Add(hour), "future 1", "future 2"), at(now, "present")...)...)},
			stored:   []string{"present", "good 1", "good 2"},
			refused:  map[string]int{"too_far_in_future": 2},
			requests: one,
		},
		"line-too-long": {
			limits:   "max_line_size: 100B",
			settings: "max_line_size: 0",
			send:     []resource{service("a", at(now, strings.Repeat("x", 101), strings.Repeat("y", 100))...), good},
			stored:   []string{strings.Repeat("y", 100), "good 1", "good 2"},
			refused:  map[string]int{"line_too_long": 1},
			requests: one,
		},
		"metadata-too-large": {
			settings: "max_structured_metadata_size: 0",
			send:     []resource{service("a", record{now, "large", attributes(2, 40_000)}, record{now, "small", attributes(2, 30_000)}), good},
			stored:   []string{"small", "good 1", "good 2"},
			refused:  map[string]int{"structured_metadata_too_large": 1},
			requests: one,
		},
		"metadata-too-many": {
			settings: "max_structured_metadata_entries_count: 0",
			send:     []resource{service("a", record{now, "many", attributes(129, 1)}, record{now, "few", attributes(128, 1)}), good},
			stored:   []string{"few", "good 1", "good 2"},
			refused:  map[string]int{"structured_metadata_too_many": 1},
			requests: one,
		},
		// Sent again without it, but for what is refused for another reason.
		"metadata-not-allowed": {
			limits: "allow_structured_metadata: false",
			send: []resource{service("a", record{now, "with", attributes(1, 1)}, record{now, "without", nil},
				record{now.Add(-8 * 24 * hour), "old with", attributes(1, 1)}, record{now.Add(-8 * 24 * hour), "old", nil})},
			stored:   []string{"with", "without"},
			refused:  map[string]int{"greater_than_max_sample_age": 2},
			requests: map[string]int{"400": 2},
		},
		"metadata-not-sent": {
			limits:   "allow_structured_metadata: false",
			settings: "structured_metadata: {mode: none}",
			send:     []resource{service("a", record{now, "with", attributes(1, 1)}, record{now, "without", nil})},
			stored:   []string{"with", "without"},
			requests: map[string]int{"204": 1},
		},
		"several-reasons": {
			limits:   "max_line_size: 100B",
			settings: "max_line_size: 0, max_structured_metadata_entries_count: 0, max_label_value_length: 0",
			send: []resource{
				service("a", slices.Concat(at(now.Add(-8*24*hour), "old 1", "old 2", "old 3"), at(now.Add(hour), "future"), at(now, strings.Repeat("x", 101), "a"))...),
				service("b", record{now, "many", attributes(129, 1)}, record{now, "b", nil}),
				with("c", map[string]string{"cloud.region": strings.Repeat("r", 3000)}, at(now, "label 1", "label 2")...),
				service("d", at(now.Add(-8*24*hour), "old 4")...),
				good,
			},
			stored: []string{"a", "b", "good 1", "good 2"},
			refused: map[string]int{
				"greater_than_max_sample_age": 4, "too_far_in_future": 1, "line_too_long": 1, "structured_metadata_too_many": 1,
				"label_value_too_long": 2,
			},
			requests: one,
		},
		"too-many-labels": {
			settings: "max_label_names_per_series: 0, " + labelled(16),
			send:     []resource{with("a", attributes(16, 1), at(now, "16 labels", "16 labels, too")...), with("a", attributes(15, 1), at(now, "15 labels")...), good},
			stored:   []string{"15 labels", "good 1", "good 2"},
			refused:  map[string]int{"max_label_names_per_series": 2},
			requests: one,
		},
		"label-value-too-long": {
			settings: "max_label_value_length: 0, " + labelled(1),
			send:     []resource{with("a", attributes(1, 2049), at(now, "2049 bytes", "2049 bytes, too")...), with("a", attributes(1, 2048), at(now, "2048 bytes")...), good},
			stored:   []string{"2048 bytes", "good 1", "good 2"},
			refused:  map[string]int{"label_value_too_long": 2},
			requests: one,
		},
		"label-name-too-long": {
			settings: "max_label_name_length: 0, labels: [{attribute: service.name}, {attribute: a000, label: " + strings.Repeat("n", 1025) + "}]",
			send:     []resource{with("a", attributes(1, 1), at(now, "1025 bytes", "1025 bytes, too")...), good},
			stored:   []string{"good 1", "good 2"},
			refused:  map[string]int{"label_name_too_long": 2},
			requests: one,
		},
		"labels-missing": {
			limits:   "enforced_labels: [a000, a001]",
			settings: labelled(2),
			send:     []resource{with("a", attributes(2, 1), at(now, "both")...), with("a", attributes(1, 1), at(now, "one", "one, too")...), good},
			stored:   []string{"both"},
			refused:  map[string]int{"missing_enforced_labels": 4},
			requests: one,
		},
		"too-far-behind": {
			before:   []resource{service("a", at(now, "newest")...)},
			send:     []resource{service("a", append(at(now.Add(-2*hour), "behind 1", "behind 2"), at(now.Add(-time.Minute), "in time")...)...)},
			stored:   []string{"in time"},
			refused:  map[string]int{"too_far_behind": 2},
			requests: one,
		},
		// The last stream of a request decides what Loki says of it.
		"too-far-behind-last": {
			before:   []resource{service("a", at(now, "newest")...)},
			send:     []resource{good, service("a", at(now.Add(-2*hour), "behind 1", "behind 2")...)},
			stored:   []string{"good 1", "good 2"},
			refused:  map[string]int{"too_far_behind": 2},
			requests: one,
		},
		// More than the ten lines that Loki lists.
		"many-too-far-behind": {
			before:   []resource{service("a", at(now, "newest")...)},
			send:     []resource{service("a", append(at(now.Add(-2*hour), numbered("behind", 100, 0)...), at(now.Add(-time.Minute), "in time")...)...)},
			stored:   []string{"in time"},
			refused:  map[string]int{"too_far_behind": 100},
			requests: one,
		},
		// Of what Loki refuses before its ingesters do, it says nothing then.
		"too-far-behind-and-too-old": {
			before: []resource{service("a", at(now, "newest")...)},
			send: []resource{service("a", slices.Concat(at(now.Add(-8*24*hour), "old"), at(now.Add(-2*hour), "behind 1", "behind 2"),
				at(now.Add(-time.Minute), "in time"))...)},
			stored:   []string{"in time"},
			refused:  map[string]int{"too_far_behind": 2, "unnamed": 1},
			requests: one,
		},
		"strict": {
			settings: "strict: true",
			before:   []resource{service("a", at(now, "newest")...)},
			send: []resource{
				service("a", append(at(now.Add(-2*hour), "behind 1", "behind 2"), at(now, "in time")...)...),
				service("b", at(now.Add(-8*24*hour), "old")...),
				good,
			},
			stored:   []string{"in time", "good 1", "good 2"},
			refused:  map[string]int{"too_far_behind": 2, "greater_than_max_sample_age": 1},
			requests: map[string]int{"204": 1, "400": 2},
		},
		"blocked": {
			limits:   "block_ingestion_until: 2100-01-01T00:00:00Z",
			send:     []resource{good, service("a", at(now, "a")...)},
			refused:  map[string]int{"blocked_ingestion": 3},
			requests: map[string]int{"260": 1},
		},
		// Where only some streams are blocked, Loki's answer does not say which.
		"policy-blocked": {
			limits:   blockedPolicy,
			settings: "strict: true",
			send:     []resource{service("blocked", at(now, "a", "b")...), good},
			stored:   []string{"good 1", "good 2"},
			refused:  map[string]int{"blocked_ingestion": 2},
			requests: map[string]int{"204": 1, "260": 1},
		},
		"blocked-otherwise": {
			limits:   "block_ingestion_until: 2100-01-01T00:00:00Z, block_ingestion_status_code: 403",
			send:     []resource{good},
			refused:  map[string]int{"blocked_ingestion": 2},
			requests: map[string]int{"403": 1},
		},
	}
}

// Lines that Loki refuses for good: they are counted by reason, sent once, and take no others with them.
func TestAnswers(t *testing.T) {
	all := answers(time.Now())
	limits := map[string]string{}
	for tenant, a := range all {
		limits[tenant] = a.limits
	}
	loki := startTenants(t, limits)
	for tenant, a := range all {
		t.Run(tenant, func(t *testing.T) {
			d := startDeliverer(t, loki.PushURL(), exporter("tenant: {value: "+tenant+"}, "+a.settings))
			want := a.stored
			if len(a.before) > 0 {
				d.send(a.before...)
				d.untilDone()
				want = append(want, linesOf(a.before)...)
			}
			before := d.counters().byLabel("requests", "http_response_status_code")
			d.send(a.send...)
			c := d.untilDone()
			requireLines(t, loki.ForTenant(tenant), want...)
			d.checkAccount(c, a.refused)
			assert.Equal(t, a.requests, minus(c.byLabel("requests", "http_response_status_code"), before))
			assert.Zero(t, c.of("divisions"))
		})
	}
}

func linesOf(resources []resource) []string {
	var lines []string
	for _, r := range resources {
		for _, one := range r.records {
			lines = append(lines, one.line)
		}
	}
	return lines
}

// minus returns what of a is not in b.
func minus(a, b map[string]int) map[string]int {
	rest := map[string]int{}
	for name, n := range a {
		if n -= b[name]; n != 0 {
			rest[name] = n
		}
	}
	return rest
}

// What the README says under "What Loki does not say": a 204 hides what the ingesters have refused of a stream that is
// not the last of its request.
func TestHiddenRefusals(t *testing.T) {
	loki := startTenants(t, map[string]string{
		"behind":  "",
		"rate":    "per_stream_rate_limit: 1KB, per_stream_rate_limit_burst: 1KB, shard_streams: {enabled: false}",
		"streams": "max_global_streams_per_user: 2",
	})
	now := time.Now()
	for tenant, hidden := range map[string]resource{
		"behind":  service("other", at(now.Add(-2*time.Hour), "hidden")...),
		"rate":    service("other", at(now, "hidden "+strings.Repeat("x", 2000))...),
		"streams": service("new", at(now, "hidden")...),
	} {
		t.Run(tenant, func(t *testing.T) {
			d := startDeliverer(t, loki.PushURL(), exporter("tenant: {value: "+tenant+"}"))
			d.send(service("other", at(now, "first")...), service("last", at(now, "second")...))
			d.untilDone()
			d.send(hidden, service("last", at(now, "third")...))
			c := d.untilDone()
			requireLines(t, loki.ForTenant(tenant), "first", "second", "third")
			assert.Equal(t, map[string]int{"204": 2}, c.byLabel("requests", "http_response_status_code"))
			assert.Equal(t, 4, c.of("delivered_lines"), "also the one that Loki does not have")
			assert.Zero(t, c.of("refused_lines"))
		})
	}
}

// What Loki would refuse is changed so that it does not.
func TestWithinLimits(t *testing.T) {
	loki := stacktest.StartLoki(t, stack.LokiOptions{})
	d := startDeliverer(t, loki.PushURL(), exporter(labelled(20)))
	now := time.Now()
	long := "ab" + strings.Repeat("日", 100_000)
	d.send(
		service("long", record{at: now, line: long}),
		service("many", record{now, "many", attributes(130, 1)}),
		service("large", record{now, "large", map[string]string{"one": strings.Repeat("1", 40_000), "two": strings.Repeat("2", 40_000)}}),
		with("labels", attributes(17, 1), at(now, "labels")...),
		with("value", map[string]string{"a000": strings.Repeat("v", 2049)}, at(now, "value")...),
	)
	c := d.untilDone()
	d.checkAccount(c, nil)
	assert.Equal(t, map[string]int{"204": 1}, c.byLabel("requests", "http_response_status_code"))

	found := map[string]stack.Line{}
	for _, line := range stored(t, loki.LokiClient) {
		delete(line.StructuredMetadata, "collector_instance_id") // comes of restamp
		delete(line.StructuredMetadata, "detected_level")        // Loki's own
		found[line.Labels["service_name"]] = line
	}
	require.Len(t, found, 5)
	// 256 KiB, less the two bytes of a character that is not whole.
	assert.Equal(t, long[:256<<10-2], found["long"].Line)
	assert.Equal(t, map[string]string{"log_record_original_size": "300002"}, found["long"].StructuredMetadata)
	assert.Equal(t, 1, c.of("truncated_lines"))

	assert.Equal(t, attributes(128, 1), found["many"].StructuredMetadata)
	assert.Equal(t, map[string]string{"one": strings.Repeat("1", 40_000)}, found["large"].StructuredMetadata)
	// Two of the many, one of the large, and of the many what restamp gave them.
	assert.Equal(t, 4, c.of("dropped_metadata"))

	labels := attributes(15, 1)
	labels["service_name"] = "labels"
	assert.Equal(t, labels, found["labels"].Labels)
	assert.Equal(t, map[string]string{"a015": "v", "a016": "v"}, found["labels"].StructuredMetadata)
	assert.Equal(t, map[string]string{"service_name": "value"}, found["value"].Labels)
	assert.Equal(t, map[string]string{"a000": strings.Repeat("v", 2049)}, found["value"].StructuredMetadata)
	assert.Equal(t, 3, c.of("demoted_labels"))
}
