// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Command lambdaforwarder is the Lambda function that passes CloudWatch Logs
// subscription events on to the awsloki collector, byte for byte.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/collector"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
)

func main() {
	h, err := setUp(os.Getenv, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "lambdaforwarder: %s\n", err)
		os.Exit(1)
	}
	log.SetFlags(0)
	log.SetOutput(runtimeLog{h.logger})
	lambda.StartWithOptions(h)
}

// setUp makes the handler from the environment. An error ends the process, and
// Lambda then fails the invocations that wait for it.
func setUp(getenv func(string) string, logs io.Writer) (*handler, error) {
	runtimeAPI := getenv("AWS_LAMBDA_RUNTIME_API")
	if runtimeAPI == "" {
		return nil, errNotInLambda
	}
	cfg, err := config.Load(getenv)
	if err != nil {
		return nil, errors.Join(err, reportInitError(runtimeAPI, err))
	}
	logger := newLogger(logs, cfg.LogLevel)
	client := collector.NewClient(cfg, "awsloki-lambdaforwarder/"+version())
	logger.InfoContext(context.Background(), "started", "version", version(), "address", client.URL(), "tenant", cfg.TenantID)
	return &handler{client: client, logger: logger}, nil
}

// version is that of the module this program was built from, or "dev".
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
