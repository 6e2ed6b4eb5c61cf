// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/awsloki/awsloki/internal/lokipush"
)

// request is a batch on its way through the Collector's queue and batcher. Log records become one as soon as they come
// in, so that the queue holds them, in memory and on disk, in the form in which they are sent.
type request struct{ batch *lokipush.Batch }

var _ xexporterhelper.Request = (*request)(nil)

func (r *request) ItemsCount() int { return r.batch.Lines() }

func (r *request) BytesSize() int { return r.batch.Size() }

// MergeSplit implements xexporterhelper.Request. The batcher wants all that r has in the first of the results, and only
// what other has in the rest: it reports on the lines of r when the first is done.
func (r *request) MergeSplit(_ context.Context, maxSize int, sizer exporterhelper.RequestSizerType, other xexporterhelper.Request) ([]xexporterhelper.Request, error) {
	measure := lokipush.MeasureBytes
	if sizer == exporterhelper.RequestSizerTypeItems {
		measure = lokipush.MeasureLines
	}
	var added *lokipush.Batch
	if other != nil {
		added = other.(*request).batch
	}
	parts := r.batch.Merge(added, maxSize, measure)
	requests := make([]xexporterhelper.Request, len(parts))
	for i, part := range parts {
		requests[i] = &request{part}
	}
	return requests, nil
}

// requestEncoding is the form of a request on disk: a byte that says which form it is, and the body of a push request.
// That is a quarter of the uncompressed one, and it is by the byte that the queue on disk costs CPU.
type requestEncoding struct {
	// unreadable is told of what could not be read. The queue drops it without a word.
	unreadable func(error)
}

var _ exporterhelper.QueueBatchEncoding[xexporterhelper.Request] = requestEncoding{}

const diskFormat = 1

// Marshal implements exporterhelper.QueueBatchEncoding.
func (requestEncoding) Marshal(_ context.Context, r xexporterhelper.Request) ([]byte, error) {
	return r.(*request).batch.AppendCompressed([]byte{diskFormat}), nil
}

// Unmarshal implements exporterhelper.QueueBatchEncoding.
func (e requestEncoding) Unmarshal(data []byte) (context.Context, xexporterhelper.Request, error) {
	batch, err := parseRequest(data)
	if err != nil {
		err = fmt.Errorf("read a batch from the queue: %w", err)
		e.unreadable(err)
		return context.Background(), nil, err
	}
	return context.Background(), &request{batch}, nil
}

func parseRequest(data []byte) (*lokipush.Batch, error) {
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	if data[0] != diskFormat {
		return nil, fmt.Errorf("its format is %d and not %d", data[0], diskFormat)
	}
	return lokipush.ParseCompressed(data[1:])
}
