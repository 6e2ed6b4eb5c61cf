// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package lokiexporter is the Collector's exporter for Grafana Loki: log records go to Loki's push API, as protobuf
// compressed by snappy.
//
// The package holds configuration and lifecycle. What is sent and what the answers mean is in internal/lokipush.
package lokiexporter

//go:generate go tool -modfile=../../tools/go.mod mdatagen metadata.yaml
