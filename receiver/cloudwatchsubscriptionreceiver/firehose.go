// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/awsloki/awsloki/internal/awslogs"
)

// Headers of Firehose's HTTP endpoint delivery.
// https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
const (
	firehoseProtocolHeader   = "X-Amz-Firehose-Protocol-Version"
	firehoseRequestIDHeader  = "X-Amz-Firehose-Request-Id"
	firehoseSourceARNHeader  = "X-Amz-Firehose-Source-Arn"
	firehoseAccessKeyHeader  = "X-Amz-Firehose-Access-Key"
	firehoseAttributesHeader = "X-Amz-Firehose-Common-Attributes"
)

// firehosePatience is less than the three minutes after which Firehose takes a request for failed.
const firehosePatience = 150 * time.Second

// takeFirehose takes a request of Firehose's. All records are decoded before any is handed on. Those that decode to
// much are handed on in portions: when one of them is not taken, Firehose sends the request again, and what was taken of it
// is recognised.
func (r *subscriptionReceiver) takeFirehose(x *exchange) outcome {
	if !r.hasAccessKey(x.req) {
		return outcome{status: http.StatusUnauthorized, message: "the access key is missing or wrong"}
	}
	var cancel context.CancelFunc
	x.ctx, cancel = context.WithTimeout(x.ctx, firehosePatience)
	defer cancel()

	request, err := x.readFirehose()
	if err != nil {
		return firehoseFailure(x, err)
	}
	o := x.takePortions(request)
	o.requestID = request.ID()
	return o
}

// firehoseFailure answers 400 for 413, after which Firehose would throw the records away.
func firehoseFailure(x *exchange, err error) outcome {
	o := x.failure(err)
	if o.status == http.StatusRequestEntityTooLarge {
		o.status = http.StatusBadRequest
	}
	return o
}

// hasAccessKey compares digests, so that the time it takes tells neither the key nor its length.
func (r *subscriptionReceiver) hasAccessKey(req *http.Request) bool {
	if r.config.FirehoseAccessKey == "" {
		return true
	}
	got := sha256.Sum256([]byte(req.Header.Get(firehoseAccessKeyHeader)))
	want := sha256.Sum256([]byte(r.config.FirehoseAccessKey))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

func (x *exchange) readFirehose() (*awslogs.FirehoseRequest, error) {
	header := x.req.Header
	if version := header.Get(firehoseProtocolHeader); version != "" && !strings.HasPrefix(version, "1.") {
		return nil, errors.New(firehoseProtocolHeader + " is not 1.0")
	}
	body, err := x.readGzip()
	if err != nil {
		return nil, err
	}
	return awslogs.ParseFirehose(body, awslogs.FirehoseHeader{
		RequestID:        header.Get(firehoseRequestIDHeader),
		SourceARN:        header.Get(firehoseSourceARNHeader),
		CommonAttributes: header.Get(firehoseAttributesHeader),
	}, x.options())
}

func (x *exchange) takePortions(request *awslogs.FirehoseRequest) outcome {
	whole := x.lease.Used()
	batch, next, err := request.Decode(0)
	held := x.lease.Used()
	for checked := next; err == nil && checked < request.Records(); {
		checked, err = request.Check(checked)
		x.lease.ShrinkTo(held)
	}
	for err == nil {
		if err = x.handOver(&batch); err != nil || next == request.Records() {
			break
		}
		batch = awslogs.Batch{} // nobody holds it any more, when its memory is given back
		x.lease.ShrinkTo(whole)
		batch, next, err = request.Decode(next)
	}
	if err != nil {
		return firehoseFailure(x, err)
	}
	return outcome{status: http.StatusOK}
}

// writeFirehose writes an answer that Firehose takes for one. It wants the request's id back, and the length stated.
func writeFirehose(w http.ResponseWriter, req *http.Request, o outcome) {
	id := req.Header.Get(firehoseRequestIDHeader)
	if id == "" {
		id = o.requestID
	}
	// There is nothing in it that could fail to be encoded.
	body, _ := json.Marshal(struct {
		RequestID    string `json:"requestId"`
		Timestamp    int64  `json:"timestamp"`
		ErrorMessage string `json:"errorMessage,omitempty"`
	}{id, time.Now().UnixMilli(), o.message})
	writeBody(w, o.status, "application/json", body)
}
