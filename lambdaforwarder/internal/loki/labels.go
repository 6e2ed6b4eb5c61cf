// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"maps"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/awsloki/awsloki/internal/awslogs"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/relabel"
)

// labeler gives resources their labels: lambda-promtail's, those of EXTRA_LABELS beside them, without those of DROP_LABELS,
// and what RELABEL_CONFIGS makes of these.
type labeler struct {
	settings  *config.Loki
	streamARN string
}

// labels of nothing mean that the lines are not wanted.
func (l labeler) labels(resource pcommon.Map) map[string]string {
	set := awslogs.PromtailLabels(resource, awslogs.PromtailSource{KinesisARN: l.streamARN, KeepStream: l.settings.KeepStream})
	maps.Copy(set, l.settings.ExtraLabels)
	for _, name := range l.settings.DropLabels {
		delete(set, name)
	}
	if !relabel.Apply(set, l.settings.Relabel) {
		return nil
	}
	return set
}
