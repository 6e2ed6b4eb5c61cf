// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/forward"
)

// handler passes on the events of one function. It implements lambda.Handler, which gets the payload as it came, and may
// be used by many invocations at once.
type handler struct {
	destination forward.Destination
	logger      *slog.Logger
	metrics     *metrics
	// reportItems says that the answer to a batch may name those of its items that failed.
	reportItems bool
	// memory is how many bytes the function has. 0: not known.
	memory int64
}

// Invoke passes one event on. After an error Lambda invokes the function again with the same event, twice by default where
// nobody waits for the answer, and then hands it to the on-failure destination:
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
func (h *handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	e := event.Parse(payload)
	result := forward.Event(ctx, &e, h.destination)
	h.logFailures(ctx, result.Failures)
	h.metrics.write(ctx, &result)
	if result.Failures == nil {
		h.logger.DebugContext(ctx, "forwarded", "requestId", requestID(ctx), "items", result.Forwarded, "bytes", result.Bytes)
	}
	return h.answer(&e, result.Failures)
}

// answer is what Lambda is told. Errors are as their packages made them, not wrapped: Lambda shows the name of the error's
// type as errorType.
func (h *handler) answer(e *event.Event, failures []forward.Failure) ([]byte, error) {
	if e.Source == event.Whole || !h.reportItems {
		if len(failures) > 0 {
			return nil, failures[0].Err
		}
		return []byte("null"), nil
	}
	failed := batchFailures{Items: []itemFailure{}}
	named := map[string]bool{}
	for _, failure := range failures {
		id := failure.Item.ID
		if id == "" { // there is no naming it: all must come again
			return nil, failure.Err
		}
		if named[id] {
			continue
		}
		named[id] = true
		failed.Items = append(failed.Items, itemFailure{ID: id})
		if e.Source == event.Kinesis { // all from here on come again
			break
		}
	}
	return json.Marshal(failed)
}

// batchFailures is the answer to a batch.
type batchFailures struct {
	Items []itemFailure `json:"batchItemFailures"`
}

type itemFailure struct {
	ID string `json:"itemIdentifier"`
}
