// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package clientmetadata changes the client metadata that goes along with what a receiver hands on.
package clientmetadata

import (
	"context"
	"strings"

	"go.opentelemetry.io/collector/client"
)

// With returns ctx with value as the only one of key, whose case does not matter. All else that is known of the client stays
// as it is, and so does ctx itself.
func With(ctx context.Context, key, value string) context.Context {
	info := client.FromContext(ctx)
	data := map[string][]string{key: {value}}
	for other := range info.Metadata.Keys() {
		if !strings.EqualFold(other, key) {
			data[other] = info.Metadata.Get(other)
		}
	}
	info.Metadata = client.NewMetadata(data)
	return client.NewContext(ctx, info)
}
