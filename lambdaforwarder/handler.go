// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"reflect"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/collector"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
)

// handler passes on the events of one function. It implements lambda.Handler,
// which gets the payload as it came, and may be used by many invocations at once.
type handler struct {
	client *collector.Client
	logger *slog.Logger
}

// Invoke passes one event on. After an error Lambda invokes the function again
// with the same event, twice by default, and then hands it to the on-failure destination:
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
func (h *handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if err := h.forward(ctx, payload); err != nil {
		h.logFailure(ctx, err)
		return nil, err
	}
	return []byte("null"), nil
}

// forward returns errors as their packages made them, not wrapped: Lambda
// shows the name of the error's type as errorType.
func (h *handler) forward(ctx context.Context, payload []byte) error {
	message, err := decode(payload)
	if err != nil {
		return err
	}
	if err := h.client.Send(ctx, message); err != nil {
		return err
	}
	h.logger.DebugContext(ctx, "forwarded", "requestId", requestID(ctx), "bytes", len(message))
	return nil
}

// decode returns the message that the event in payload carries, in a buffer of
// its own: payload is used again after the invocation.
func decode(payload []byte) ([]byte, error) {
	parser := event.GetParser()
	defer parser.Put()
	e, err := parser.Parse(payload)
	if err != nil {
		return nil, err
	}
	return e.Message()
}

// logFailure writes the one line that an invocation may write at the default
// level. The function's own log group may be among those that are forwarded.
func (h *handler) logFailure(ctx context.Context, err error) {
	attrs := []any{"requestId", requestID(ctx), "errorType", errorType(err), "error", err.Error()}
	if refused, ok := errors.AsType[*collector.RefusedError](err); ok {
		attrs = append(attrs, "attempts", refused.Attempts, "status", refused.Status)
	}
	if unavailable, ok := errors.AsType[*collector.UnavailableError](err); ok {
		attrs = append(attrs, "attempts", unavailable.Attempts, "status", unavailable.Status)
	}
	h.logger.ErrorContext(ctx, "invocation failed", attrs...)
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
