// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const initErrorTimeout = 2 * time.Second

var errNotInLambda = errors.New("this program runs as an AWS Lambda function, and `AWS_LAMBDA_RUNTIME_API`, which Lambda sets, is not set: deploy it as README.md describes")

// reportInitError hands err to Lambda, which gives it to whoever waits for the
// first invocation and to the on-failure destination. Without it they would
// learn no more than "Runtime exited with error: exit status 1".
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-initerror
func reportInitError(runtimeAPI string, err error) error {
	content, marshalErr := json.Marshal(map[string]string{
		"errorMessage": err.Error(),
		"errorType":    "ConfigurationError",
	})
	if marshalErr != nil {
		return marshalErr
	}
	ctx, cancel := context.WithTimeout(context.Background(), initErrorTimeout)
	defer cancel()
	url := "http://" + runtimeAPI + "/2018-06-01/runtime/init/error"
	req, reqErr := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(content))
	if reqErr != nil {
		return reqErr
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Lambda-Runtime-Function-Error-Type", "Runtime.ConfigInvalid")
	// The Runtime API is local to the execution environment: no proxy.
	transport := &http.Transport{DisableKeepAlives: true}
	resp, doErr := transport.RoundTrip(req)
	if doErr != nil {
		return fmt.Errorf("report the error to Lambda: %w", doErr)
	}
	return resp.Body.Close()
}
