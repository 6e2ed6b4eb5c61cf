// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/awsloki/awsloki/internal/lokipush"
)

// request is a batch on its way through the Collector's queue and batcher. Log records become one as soon as they come
// in, so that the queue holds them, in memory and on disk, in the form in which they are sent.
type request struct {
	batch *lokipush.Batch
	// delivered says that a part of it is delivered and no longer in batch.
	delivered bool
}

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
		requests[i] = &request{batch: part}
	}
	return requests, nil
}

// requestEncoding is the form of a request on disk: a byte that says which form it is, the client metadata if there is
// any, and the body of a push request. That is a quarter of the uncompressed one, and it is by the byte that the queue on
// disk costs CPU.
type requestEncoding struct {
	// metadataKeys are the client metadata by which batches are kept apart, and which are kept with them: extensions make
	// headers of it. There may be secrets in the rest.
	metadataKeys []string
	// verify says that what Loki may have already is marked. Versions that do not know the mark cannot read it.
	verify bool
	// unreadable is told of what could not be read. The queue drops it without a word.
	unreadable func(error)
}

var _ exporterhelper.QueueBatchEncoding[xexporterhelper.Request] = requestEncoding{}

// Forms of a request on disk.
const (
	diskPlain = 1
	// diskWithMetadata has the length of the client metadata, as a varint, and the metadata as JSON before the rest.
	diskWithMetadata = 2
	// diskUnsure says that Loki may have lines of it already. One of the others follows.
	diskUnsure = 3
)

// markUnsure returns a request on disk as one of which Loki may have lines already.
func markUnsure(data []byte) []byte {
	if len(data) > 0 && data[0] == diskUnsure {
		return data
	}
	return append([]byte{diskUnsure}, data...)
}

// Marshal implements exporterhelper.QueueBatchEncoding.
func (e requestEncoding) Marshal(ctx context.Context, r xexporterhelper.Request) ([]byte, error) {
	batch := r.(*request).batch
	kept := map[string][]string{}
	metadata := client.FromContext(ctx).Metadata
	for _, key := range e.metadataKeys {
		if values := metadata.Get(key); len(values) > 0 {
			kept[key] = values
		}
	}
	var data []byte
	if e.verify && batch.Unsure() {
		data = append(data, diskUnsure)
	}
	if len(kept) == 0 {
		return batch.AppendCompressed(append(data, diskPlain)), nil
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("write the client metadata: %w", err)
	}
	data = binary.AppendUvarint(append(data, diskWithMetadata), uint64(len(text)))
	return batch.AppendCompressed(append(data, text...)), nil
}

// Unmarshal implements exporterhelper.QueueBatchEncoding.
func (e requestEncoding) Unmarshal(data []byte) (context.Context, xexporterhelper.Request, error) {
	if len(data) == 0 {
		// The queue counts a place for what it could not write. Its sender was told so.
		return context.Background(), nil, errNotStored
	}
	ctx, batch, err := parseRequest(data)
	if err != nil {
		err = fmt.Errorf("read a batch from the queue: %w", err)
		e.unreadable(err)
		return context.Background(), nil, err
	}
	return ctx, &request{batch: batch}, nil
}

var errNotStored = errors.New("nothing is stored at this place of the queue")

func parseRequest(data []byte) (context.Context, *lokipush.Batch, error) {
	data, unsure := bytes.CutPrefix(data, []byte{diskUnsure})
	if len(data) == 0 {
		return nil, nil, errors.New("it is cut short")
	}
	form, data := data[0], data[1:]
	ctx := context.Background()
	switch form {
	case diskPlain:
	case diskWithMetadata:
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) {
			return nil, nil, errors.New("its client metadata is cut short")
		}
		var metadata map[string][]string
		if err := json.Unmarshal(data[n:n+int(size)], &metadata); err != nil {
			return nil, nil, fmt.Errorf("client metadata: %w", err)
		}
		ctx = client.NewContext(ctx, client.Info{Metadata: client.NewMetadata(metadata)})
		data = data[n+int(size):]
	default:
		return nil, nil, fmt.Errorf("its format is %d, which is none of %d and %d", form, diskPlain, diskWithMetadata)
	}
	batch, err := lokipush.ParseCompressed(data)
	if err == nil && unsure {
		batch.SetUnsure()
	}
	return ctx, batch, err
}
