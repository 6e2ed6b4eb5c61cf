// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Command nooplambda is a Lambda function that does nothing with its events: what it costs is what every function in Go
// costs. The forwarder is measured beside it.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

// With TYPED=true the function takes CloudWatch's events as functions usually do, decoded by aws-lambda-go from JSON.
func main() {
	if os.Getenv("TYPED") == "true" {
		lambda.Start(func(context.Context, events.CloudwatchLogsEvent) error { return nil })
	}
	lambda.StartWithOptions(noop{})
}

// noop gets the events as they came, as the forwarder does.
type noop struct{}

func (noop) Invoke(context.Context, []byte) ([]byte, error) { //nolint:unparam // implements lambda.Handler
	return []byte("null"), nil
}
