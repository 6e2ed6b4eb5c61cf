// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package restampprocessor

import (
	"testing"

	"github.com/awsloki/awsloki/internal/readmetest"
)

func TestReadme(t *testing.T) {
	readmetest.Settings(t, createDefaultConfig())
	readmetest.Examples(t, "processors::restamp", createDefaultConfig, 3)
}
