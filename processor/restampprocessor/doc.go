// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package restampprocessor gives log records the time at which they arrived,
// strictly increasing within one Collector, and marks their resources with the
// instance that did so, so that Loki takes every record and drops none as a
// duplicate.
package restampprocessor

//go:generate go tool -modfile=../../tools/go.mod mdatagen metadata.yaml
