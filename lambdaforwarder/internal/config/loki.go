// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/awsloki/awsloki/internal/lokipush"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/relabel"
)

const (
	defaultBatchSize = 1 << 20
	extraLabelPrefix = "__extra_"
)

// Loki is how lines are labelled and sent without a collector. The variables are those of lambda-promtail, in its meaning:
// https://github.com/grafana/lambda-promtail
type Loki struct {
	// KeepStream makes the log stream a label.
	KeepStream bool
	// ExtraLabels are added to those of each event, with the prefix that their names have in Loki.
	ExtraLabels map[string]string
	// DropLabels are removed, after the extra labels are added and before Relabel.
	DropLabels []string
	Relabel    []relabel.Rule
	// BatchSize is about how many bytes a request has, uncompressed.
	BatchSize int
	// PrintLogLine writes each line of objects in S3 to the function's log.
	PrintLogLine bool
}

// lokiVariables have a meaning only where the forwarder pushes to Loki itself.
var lokiVariables = []string{
	"KEEP_STREAM", "EXTRA_LABELS", "OMIT_EXTRA_LABELS_PREFIX", "DROP_LABELS", "RELABEL_CONFIGS", "BATCH_SIZE",
	"PRINT_LOG_LINE", "LOKI_STAGE_CONFIGS", "PIPELINE_TIMEOUT",
}

func (e *environment) loki() Loki {
	e.refuseStages("LOKI_STAGE_CONFIGS")
	_ = e.getenv("PIPELINE_TIMEOUT") // of stages, of which there are none
	l := Loki{
		KeepStream:   e.boolean("KEEP_STREAM", false),
		ExtraLabels:  e.extraLabels("EXTRA_LABELS", e.boolean("OMIT_EXTRA_LABELS_PREFIX", false)),
		DropLabels:   e.labelNames("DROP_LABELS"),
		Relabel:      e.relabel("RELABEL_CONFIGS"),
		BatchSize:    e.integer("BATCH_SIZE", defaultBatchSize, 1),
		PrintLogLine: e.boolean("PRINT_LOG_LINE", false),
	}
	l.BatchSize = min(l.BatchSize, lokipush.MaxRequestSize)
	return l
}

func (e *environment) refuseStages(key string) {
	if e.getenv(key) != "" {
		e.refuse("`%s` is set: the forwarder has no pipeline stages; send to a collector and use its transform processor", key)
	}
}

// extraLabels reads name1,value1,name2,value2.
func (e *environment) extraLabels(key string, omitPrefix bool) map[string]string {
	value := e.getenv(key)
	if value == "" {
		return nil
	}
	parts := strings.Split(strings.TrimSuffix(value, ","), ",")
	if len(parts)%2 != 0 {
		e.refuse("`%s` must be name,value pairs with commas between all of them, found %d parts", key, len(parts))
		return nil
	}
	labels := map[string]string{}
	for pair := range slices.Chunk(parts, 2) {
		name, value := pair[0], pair[1]
		if !omitPrefix {
			name = extraLabelPrefix + name
		}
		switch {
		case !relabel.IsLabelName(name) || pair[0] == "":
			e.refuse("`%s`: %q is no name of a label", key, pair[0])
		case !utf8.ValidString(value):
			e.refuse("`%s`: the value of %q is not UTF-8", key, pair[0])
		default:
			labels[name] = value
		}
	}
	return labels
}

func (e *environment) labelNames(key string) []string {
	value := e.getenv(key)
	if value == "" {
		return nil
	}
	names := map[string]bool{}
	for name := range strings.SplitSeq(value, ",") {
		if name == "" {
			continue
		}
		if !relabel.IsLabelName(name) {
			e.refuse("`%s`: %q is no name of a label", key, name)
		}
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// relabel reads Prometheus's rules.
func (e *environment) relabel(key string) []relabel.Rule {
	value := e.getenv(key)
	if value == "" {
		return nil
	}
	rules, err := relabel.Parse(value)
	if err != nil {
		e.refuse("`%s`: %w", key, err)
	}
	return rules
}
