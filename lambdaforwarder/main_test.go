// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// asProgram makes the test binary the program itself, see runProgram.
const asProgram = "LAMBDAFORWARDER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// runProgram runs main in a process of its own, with no other environment.
func runProgram(t *testing.T, environment ...string) (exitCode int, output string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = slices.Concat(environment, []string{asProgram + "=1", "GOCOVERDIR=" + t.TempDir()})
	content, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
		return 0, string(content)
	}
	return exit.ExitCode(), string(content)
}

func TestProgramOutsideLambda(t *testing.T) {
	t.Parallel()
	code, output := runProgram(t, "WRITE_ADDRESS=http://collector:3500")
	assert.Equal(t, 1, code)
	assert.Equal(t, "lambdaforwarder: this program runs as an AWS Lambda function, and `AWS_LAMBDA_RUNTIME_API`, "+
		"which Lambda sets, is not set: deploy it as README.md describes\n", output)
}

// A bad configuration ends the process, and Lambda is told why.
func TestProgramRefusesConfiguration(t *testing.T) {
	t.Parallel()
	reported := make(chan string, 1)
	runtimeAPI := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "POST /2018-06-01/runtime/init/error", r.Method+" "+r.URL.Path)
		assert.Equal(t, "Runtime.ConfigInvalid", r.Header.Get("Lambda-Runtime-Function-Error-Type"))
		content, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		reported <- string(content)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer runtimeAPI.Close()
	addr := strings.TrimPrefix(runtimeAPI.URL, "http://")
	code, output := runProgram(t, "AWS_LAMBDA_RUNTIME_API="+addr, "WRITE_ADDRESS=http://u:s3cret@collector", "LOG_LEVEL=loud")
	assert.Equal(t, 1, code)
	assert.Equal(t, "lambdaforwarder: `WRITE_ADDRESS` holds a user or a password: set `USERNAME` and `PASSWORD` instead\n"+
		"`LOG_LEVEL` (\"loud\") must be debug, info, warn or error\n", output)
	assert.JSONEq(t, "{\"errorType\":\"ConfigurationError\",\"errorMessage\":\""+
		"`WRITE_ADDRESS` holds a user or a password: set `USERNAME` and `PASSWORD` instead\\n"+
		"`LOG_LEVEL` (\\\"loud\\\") must be debug, info, warn or error\"}", <-reported)
}

func TestInitErrorCannotBeReported(t *testing.T) {
	t.Parallel()
	code, output := runProgram(t, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1")
	assert.Equal(t, 1, code)
	assert.Contains(t, output, "lambdaforwarder: `WRITE_ADDRESS` is not set: ")
	assert.Contains(t, output, "\nreport the error to Lambda: ")
}

// aws-lambda-go ends the process when the Runtime API is gone; the reason must be in the log.
func TestProgramLosesRuntimeAPI(t *testing.T) {
	t.Parallel()
	code, output := runProgram(t, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1", "WRITE_ADDRESS=http://collector:3500")
	assert.Equal(t, 1, code)
	lines := strings.Split(strings.TrimSpace(output), "\n")
	require.Len(t, lines, 2, output)
	assert.Contains(t, lines[0], `"message":"started"`)
	assert.Contains(t, lines[1], `"level":"ERROR","message":"lambda runtime","output":"failed to get the next invoke: `)
}

func TestStartIsLogged(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "WRITE_ADDRESS": "https://lb/awsloki/",
		"USERNAME": "user", "PASSWORD": "s3cret", "TENANT_ID": "team-1",
	}
	var logs bytes.Buffer
	_, err := setUp(func(key string) string { return env[key] }, &logs)
	require.NoError(t, err)
	assert.JSONEq(t, `{"level":"INFO","message":"started","version":"`+version()+`",
		"address":"https://lb/awsloki/cloudwatch/v1/subscription","tenant":"team-1"}`, withoutTime(t, &logs))
}

func TestVersion(t *testing.T) {
	t.Parallel()
	assert.Regexp(t, `^(dev|v\d+\.\d+\.\d+\S*)$`, version())
}

func TestRuntimeLog(t *testing.T) {
	t.Parallel()
	const returned = `{"errorMessage":"why","errorType":"RefusedError"}`
	const panicked = `{"errorMessage":"index out of range","errorType":"boundsError","stackTrace":[{"path":"p","line":1,"label":"l"}]}`
	for line, level := range map[string]string{returned: "DEBUG", panicked: "ERROR", "lost the runtime API": "ERROR"} {
		var logs bytes.Buffer
		log.New(runtimeLog{newLogger(&logs, slog.LevelDebug)}, "", 0).Print(line)
		var got struct{ Level, Output string }
		require.NoError(t, json.Unmarshal(logs.Bytes(), &got))
		assert.Equal(t, level, got.Level)
		assert.Equal(t, line, got.Output)
	}
}
