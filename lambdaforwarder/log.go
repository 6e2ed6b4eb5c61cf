// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// newLogger writes JSON with the field names by which Lambda and CloudWatch
// know the time, the level and the message.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level:       level,
		ReplaceAttr: lambdacontext.ReplaceAttr,
	}))
}

// runtimeLog takes what aws-lambda-go writes with the log package: why its loop
// ended, panics with their stack, and every error that the handler returned. The
// handler has logged the last already, so those show at debug level only.
type runtimeLog struct{ logger *slog.Logger }

func (l runtimeLog) Write(p []byte) (int, error) {
	level := slog.LevelError
	if bytes.HasPrefix(p, []byte(`{"errorMessage":`)) && !bytes.Contains(p, []byte(`,"stackTrace":`)) {
		level = slog.LevelDebug
	}
	l.logger.Log(context.Background(), level, "lambda runtime", "output", string(bytes.TrimSpace(p)))
	return len(p), nil
}
