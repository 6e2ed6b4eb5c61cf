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

// MergeSplit implements xexporterhelper.Request. A line that is larger than maxSize is sent by itself.
func (r *request) MergeSplit(_ context.Context, maxSize int, sizer exporterhelper.RequestSizerType, other xexporterhelper.Request) ([]xexporterhelper.Request, error) {
	if other != nil {
		r.batch.Merge(other.(*request).batch)
	}
	if maxSize == 0 {
		return []xexporterhelper.Request{r}, nil
	}
	measure := lokipush.MeasureBytes
	if sizer == exporterhelper.RequestSizerTypeItems {
		measure = lokipush.MeasureLines
	}
	parts := r.batch.Split(maxSize, measure)
	requests := make([]xexporterhelper.Request, len(parts))
	for i, part := range parts {
		requests[i] = &request{part}
	}
	return requests, nil
}

// requestEncoding is the form of a request on disk: a byte that says which form it is, and the body of a push request.
// That is a quarter of the uncompressed one, and it is by the byte that the queue on disk costs CPU.
type requestEncoding struct{}

var _ exporterhelper.QueueBatchEncoding[xexporterhelper.Request] = requestEncoding{}

const diskFormat = 1

// Marshal implements exporterhelper.QueueBatchEncoding.
func (requestEncoding) Marshal(_ context.Context, r xexporterhelper.Request) ([]byte, error) {
	return r.(*request).batch.AppendCompressed([]byte{diskFormat}), nil
}

// Unmarshal implements exporterhelper.QueueBatchEncoding.
func (requestEncoding) Unmarshal(data []byte) (context.Context, xexporterhelper.Request, error) {
	ctx := context.Background()
	if len(data) == 0 {
		return ctx, nil, errors.New("read a batch from the queue: it is empty")
	}
	if data[0] != diskFormat {
		return ctx, nil, fmt.Errorf("read a batch from the queue: its format is %d and not %d", data[0], diskFormat)
	}
	batch, err := lokipush.ParseCompressed(data[1:])
	if err != nil {
		return ctx, nil, fmt.Errorf("read a batch from the queue: %w", err)
	}
	return ctx, &request{batch}, nil
}
