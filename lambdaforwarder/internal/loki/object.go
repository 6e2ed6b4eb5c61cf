// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"context"
	"errors"
	"io"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/awslogs"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

// SendObject sends the lines of an object to Loki, while it reads them. If S3 fails in the middle it goes on behind those
// that Loki has. The error is as that of SendMessages, or an s3object.ObjectError if there is no reading the object.
func (c *Client) SendObject(ctx context.Context, o event.Object) (delivery.Tally, error) {
	tally := delivery.Tally{}
	reads, sends := c.policy, c.policy
	reads.To = "the forwarder" // what is refused is what it cannot read
	sends.DeadlineMargin = 0   // the context of an attempt to read ends early already
	r := reading{sending: sending{client: c, policy: sends, encoder: c.encoder, tally: &tally}, object: o}
	err := reads.Do(ctx, "the object", r.attempt)
	if unreadable, ok := errors.AsType[*s3object.ObjectError](err); ok && unreadable.Final() {
		err = unreadable
	}
	if r.failed != nil { // to send the lines, for as long as there was time
		err = r.failed
	}
	return tally, r.finish(ctx, "the object", err)
}

// reading is an object on its way to Loki.
type reading struct {
	sending
	object event.Object

	// etag is that of the content of which Loki has taken records, or refused them.
	etag  string
	taken int
	// excluded is how many records of that content are counted as excluded.
	excluded int
	// failed is why Loki has not taken more.
	failed error
}

func (r *reading) attempt(ctx context.Context) delivery.Outcome {
	before := r.taken
	err := r.read(ctx)
	if err == nil || r.failed != nil {
		return delivery.Outcome{}
	}
	if cause := context.Cause(ctx); cause != nil {
		return delivery.Outcome{Err: cause}
	}
	unreadable, ok := errors.AsType[*s3object.ObjectError](err)
	return delivery.Outcome{Err: err, Final: !ok || unreadable.Final(), Progress: r.taken > before}
}

// read reads the object and sends its lines.
func (r *reading) read(ctx context.Context) error {
	body, err := r.client.open(ctx, r.object)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if body.ETag != r.etag { // it was replaced meanwhile, and its records are others
		r.etag, r.taken, r.excluded = body.ETag, 0, 0
	}
	opts := r.client.options()
	if r.object.Region != "" {
		opts.Region = r.object.Region
	}
	counted := &countingReader{Reader: body, bytes: &r.tally.Bytes}
	reader := awslogs.NewObjectReader(counted, awslogs.Object{
		Bucket:    r.object.Bucket,
		Key:       r.object.Key,
		ETag:      r.etag,
		EventTime: r.object.Time,
		Skip:      r.taken,
	}, opts)
	defer reader.Close()
	excluded := 0
	for {
		piece, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		excluded += piece.ExcludedRecords
		r.tally.Excluded += max(0, excluded-r.excluded) // they are read again with what is skipped
		r.excluded = max(excluded, r.excluded)
		records := piece.Records()
		if r.client.settings.PrintLogLine {
			r.print(ctx, piece.Logs)
		}
		if r.failed = r.send(ctx, piece.Logs); r.failed != nil {
			return r.failed
		}
		r.taken += records
	}
}

func (r *reading) print(ctx context.Context, logs plog.Logs) {
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				r.client.logger.InfoContext(ctx, "line", "bucket", r.object.Bucket, "key", r.object.Key, "line", record.Body().Str())
			}
		}
	}
}

// countingReader counts what is read.
type countingReader struct {
	io.Reader
	bytes *int64
}

// Read implements io.Reader.
func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	*r.bytes += int64(n)
	return n, err
}
