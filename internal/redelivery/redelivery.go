// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package redelivery marks what Loki may have already: a receiver handed it on, or was about to, and died before it could
// note that the pipeline had it. The mark is client metadata, which goes from the receiver to the exporter through all
// components that keep the context.
package redelivery

import (
	"context"

	"go.opentelemetry.io/collector/client"

	"github.com/awsloki/awsloki/internal/clientmetadata"
)

// key is the mark's. A sender whose headers become client metadata could set it, and would only have Loki asked.
const key = "awsloki.redelivered"

// Mark returns ctx with the mark.
func Mark(ctx context.Context) context.Context { return clientmetadata.With(ctx, key, "true") }

// Marked says whether ctx has the mark.
func Marked(ctx context.Context) bool { return len(client.FromContext(ctx).Metadata.Get(key)) > 0 }
