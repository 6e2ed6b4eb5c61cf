// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package transport_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
