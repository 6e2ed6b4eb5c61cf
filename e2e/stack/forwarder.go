// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"cmp"
	"context"
	"maps"
	"path/filepath"
)

// ForwarderOptions changes how StartForwarder starts the forwarder. The zero value is usual.
type ForwarderOptions struct {
	Binary   string // default: _build/lambdaforwarder in the repository
	Function string // name of the Lambda function, and of the log file; default: awsloki-forwarder
}

// StartForwarder starts the Lambda forwarder, to take its events from the Lambda Runtime API at runtimeAPIAddr
// (host:port). env has its configuration, WRITE_ADDRESS above all; the variables that Lambda sets are set unless env has
// them. Its log is in dir. StartForwarder does not wait until the forwarder asks for an event: the Runtime API's Invoke
// does.
func StartForwarder(ctx context.Context, dir, runtimeAPIAddr string, env map[string]string, opts ForwarderOptions) (*Process, error) {
	binary, err := findBinary(opts.Binary, "lambdaforwarder", "lambda")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	function := cmp.Or(opts.Function, "awsloki-forwarder")
	all := map[string]string{
		"AWS_LAMBDA_RUNTIME_API":          runtimeAPIAddr,
		"AWS_LAMBDA_FUNCTION_NAME":        function,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + function,
		"AWS_LAMBDA_LOG_STREAM_NAME":      "2026/01/01/[$LATEST]00000000000000000000000000000000",
		"AWS_EXECUTION_ENV":               "AWS_Lambda_provided.al2023",
		"AWS_REGION":                      "us-east-1",
		"AWS_DEFAULT_REGION":              "us-east-1",
		"_HANDLER":                        "bootstrap",
		"LAMBDA_TASK_ROOT":                dir,
	}
	maps.Copy(all, env)
	return StartProcess(ctx, Command{Name: function, Path: binary, Env: all, Dir: dir, DiesOfSIGTERM: true})
}
