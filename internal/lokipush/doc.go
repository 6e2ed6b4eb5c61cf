// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package lokipush speaks Loki's push API: it turns log records into streams of the wire format, merges, splits and
// sends them, and says what Loki's answers mean.
//
// An Encoder makes batches of plog.Logs, once: a line is copied into the form that it has on the wire, and from there on
// only moved. A Sender delivers a tenant's batches by way of a Client, in as many requests as Loki's answers make of them,
// and reports what became of every line. The package knows no Collector component.
//
// The wire format is that of Loki's pkg/push/push.proto, snappy-compressed (block format):
// https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
package lokipush
