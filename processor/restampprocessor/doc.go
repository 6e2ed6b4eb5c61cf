// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package restampprocessor makes every timestamp one that Loki takes: the time of
// arrival for all records, or a new one for those that Loki would refuse. It can
// mark resources with the instance that did so, so that several Collectors never
// write to the same stream.
package restampprocessor

//go:generate go tool -modfile=../../tools/go.mod mdatagen metadata.yaml
