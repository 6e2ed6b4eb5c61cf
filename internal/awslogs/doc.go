// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package awslogs turns what AWS sends into OpenTelemetry log records: the line as it came, its own time, a stable
// id, and the attributes that say where it is from.
//
// It reads bytes and knows nothing of how they travelled: no HTTP, no Collector component.
package awslogs
