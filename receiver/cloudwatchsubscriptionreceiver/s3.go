// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/awsloki/awsloki/internal/awslogs"
)

// Query parameters of docs/forwarding-protocol.md.
const (
	bucketParameter    = "bucket"
	keyParameter       = "key"
	regionParameter    = "region"
	etagParameter      = "etag"
	eventTimeParameter = "event_time"
	skipParameter      = "skip"
)

// takeObject takes the bytes of one S3 object, and hands them on in pieces while it reads. What was taken of it before
// something failed, the sender skips when it sends the object again.
func (*subscriptionReceiver) takeObject(x *exchange) outcome {
	if !x.isGzip() {
		return x.failure(errEncoding)
	}
	query, err := url.ParseQuery(x.req.URL.RawQuery)
	if err != nil {
		return x.failure(errors.New("the query cannot be parsed"))
	}
	object, err := parseObject(query)
	if err != nil {
		return x.failure(err)
	}
	x.of = []zap.Field{zap.String(awslogs.AttributeS3Bucket, object.Bucket), zap.String(awslogs.AttributeS3Key, object.Key)}
	opts := x.options()
	if region := query.Get(regionParameter); region != "" {
		opts.Region = region
	}
	accepted, err := x.takePieces(object, opts)
	if err != nil {
		o := x.failure(err)
		o.accepted = accepted
		return o
	}
	return outcome{status: http.StatusOK, accepted: accepted}
}

// takePieces returns how many records of the object the pipeline has, those that were to be skipped among them.
func (x *exchange) takePieces(object awslogs.Object, opts awslogs.Options) (accepted int, err error) {
	defer x.arrived.endReadsWhenStopping()()
	body, err := begun(x.req.Body)
	if err != nil {
		return object.Skip, err
	}
	reader := awslogs.NewObjectReader(body, object, opts)
	defer reader.Close()
	accepted = object.Skip
	for patience := time.Duration(0); ; patience = x.receiver.piecePatience {
		piece, err := reader.Next()
		if errors.Is(err, io.EOF) {
			if reader.NoLog() {
				x.count(outcomeNoLog, tally{documents: 1})
			}
			return reader.Records(), nil // which are fewer than were to be skipped, if those were too many
		}
		if err != nil {
			return accepted, err
		}
		records := piece.Records()
		if err := x.handOverPiece(&piece, reader.Again, patience); err != nil {
			return accepted, err
		}
		accepted += records
	}
}

// begun returns body when something of it has come: a sender that sends nothing is to hold nothing.
func begun(body io.Reader) (io.Reader, error) {
	var first [512]byte
	n, err := io.ReadAtLeast(body, first[:], 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(first[:n]), body), nil
}

const (
	// piecePatience is how long the receiver tries to hand on a piece that the pipeline cannot take, once it has taken
	// others of the object: meanwhile the sender cannot send, which is better than to send all of them again.
	piecePatience = 10 * time.Second
	// The receiver tries again after firstInterval, and after twice as long each time, up to lastInterval.
	firstInterval = 50 * time.Millisecond
	lastInterval  = time.Second
)

// handOverPiece hands on a piece, for as long as patience lasts.
func (x *exchange) handOverPiece(piece *awslogs.Batch, again func() awslogs.Batch, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for interval := firstInterval; ; interval = min(2*interval, lastInterval) {
		err := x.handOver(piece)
		if !isTemporary(err) || time.Until(deadline) < interval {
			return err
		}
		select {
		case <-time.After(interval):
		case <-x.arrived.stopping.Done():
			return err
		case <-x.ctx.Done():
			return err
		}
		*piece = again()
	}
}

func parseObject(query url.Values) (awslogs.Object, error) {
	object := awslogs.Object{
		Bucket: query.Get(bucketParameter),
		Key:    query.Get(keyParameter),
		ETag:   query.Get(etagParameter),
	}
	if object.Bucket == "" {
		return object, fmt.Errorf("the parameter %s is missing", bucketParameter)
	}
	if object.Key == "" {
		return object, fmt.Errorf("the parameter %s is missing", keyParameter)
	}
	if text := query.Get(eventTimeParameter); text != "" {
		eventTime, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return object, fmt.Errorf("the parameter %s is no time as of RFC 3339", eventTimeParameter)
		}
		object.EventTime = eventTime
	}
	if text := query.Get(skipParameter); text != "" {
		skip, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return object, fmt.Errorf("the parameter %s is no number of records", skipParameter)
		}
		object.Skip = int(skip)
	}
	return object, nil
}
