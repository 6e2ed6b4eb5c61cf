// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"sync"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/forward"
)

// lockedWriter lets two loggers write to one place, a line at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// newLogger writes JSON with the field names by which Lambda and CloudWatch know the time, the level and the message.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level:       level,
		ReplaceAttr: lambdacontext.ReplaceAttr,
	}))
}

// logFailures writes a line for each failure, and one for those that follow each other for the same reason. The function's
// own log group may be among those that are forwarded.
func (h *handler) logFailures(ctx context.Context, failures []forward.Failure) {
	for len(failures) > 0 {
		n := 1
		for n < len(failures) && isSame(failures[n].Err, failures[0].Err) {
			n++
		}
		h.logFailure(ctx, failures[0], n)
		failures = failures[n:]
	}
}

func isSame(a, b error) bool {
	return a == b || errorType(a) == errorType(b) && a.Error() == b.Error() //nolint:errorlint // the very same
}

// logFailure writes the line for a failure of that many items, of which it names the first.
func (h *handler) logFailure(ctx context.Context, failure forward.Failure, items int) {
	err := failure.Err
	attrs := []any{"requestId", requestID(ctx), "errorType", errorType(err), "error", err.Error()}
	if id := failure.Item.ID; id != "" {
		attrs = append(attrs, "item", id)
	}
	if items > 1 {
		attrs = append(attrs, "items", items)
	}
	if object := failure.Item.Object; object != nil {
		attrs = append(attrs, "bucket", object.Bucket, "key", object.Key)
	}
	if refused, ok := errors.AsType[*delivery.RefusedError](err); ok {
		attrs = append(attrs, "attempts", refused.Attempts, "status", refused.Status)
	}
	if unavailable, ok := errors.AsType[*delivery.UnavailableError](err); ok {
		attrs = append(attrs, "attempts", unavailable.Attempts, "status", unavailable.Status)
	}
	h.logger.ErrorContext(ctx, "not forwarded", attrs...)
}

// errorType is the name that aws-lambda-go reports to Lambda for err.
func errorType(err error) string {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

func requestID(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}

// runtimeLog takes what aws-lambda-go writes with the log package: why its loop ended, panics with their stack, and every
// error that the handler returned. The handler has logged the last already, so those show at debug level only.
type runtimeLog struct{ logger *slog.Logger }

func (l runtimeLog) Write(p []byte) (int, error) {
	level := slog.LevelError
	if bytes.HasPrefix(p, []byte(`{"errorMessage":`)) && !bytes.Contains(p, []byte(`,"stackTrace":`)) {
		level = slog.LevelDebug
	}
	l.logger.Log(context.Background(), level, "lambda runtime", "output", string(bytes.TrimSpace(p)))
	return len(p), nil
}
