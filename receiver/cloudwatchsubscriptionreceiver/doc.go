// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package cloudwatchsubscriptionreceiver is the Collector's receiver for forwarded CloudWatch Logs events: an HTTP
// server that takes the messages of subscription filters as AWS makes them.
//
// The package holds configuration, lifecycle and HTTP. What is in a message is the concern of internal/awslogs.
package cloudwatchsubscriptionreceiver

//go:generate go tool -modfile=../../tools/go.mod mdatagen metadata.yaml
