// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the built binaries against the real Loki. Its tests need _build/loki, _build/versitygw,
// _build/otelcol-awsloki and _build/lambdaforwarder, which make e2e sees to.
package e2e
