// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package redelivery

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/client"

	"github.com/awsloki/awsloki/internal/clientmetadata"
)

func TestMark(t *testing.T) {
	assert.False(t, Marked(t.Context()))
	ctx := clientmetadata.With(t.Context(), "X-Scope-OrgID", "a")
	assert.False(t, Marked(ctx))
	marked := Mark(ctx)
	assert.True(t, Marked(marked))
	assert.True(t, Marked(Mark(marked)))
	assert.False(t, Marked(ctx))
	assert.Equal(t, []string{"a"}, client.FromContext(marked).Metadata.Get("X-Scope-OrgID"))
	assert.True(t, Marked(clientmetadata.With(marked, "X-Scope-OrgID", "b")))
}
