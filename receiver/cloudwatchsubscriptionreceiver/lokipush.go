// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"iter"
	"net/http"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/awsloki/awsloki/internal/awslogs"
	"github.com/awsloki/awsloki/internal/lokipush"
)

// takeLokiPush takes a request of Loki's push API, as Promtail's push target does. All streams are decoded before any is
// handed on. Nothing in it is AWS's own, so that none is ever taken for a repeat.
func (*subscriptionReceiver) takeLokiPush(x *exchange) outcome {
	body, err := x.readBody()
	if err != nil {
		return pushFailure(x, err)
	}
	opts := x.options()
	push, err := lokipush.DecodePush(body, lokipush.DecodeOptions{
		ContentType:     x.req.Header.Get("Content-Type"),
		ContentEncoding: x.arrived.encoding,
		MaxDecodedBytes: opts.MaxDecodedBytes,
		Reserve:         opts.Reserve,
		ObservedAt:      opts.ObservedAt,
		Resource: func(attrs pcommon.Map, labels iter.Seq2[string, string]) {
			awslogs.SetStreamAttributes(attrs, labels, opts.Region)
		},
	})
	if err != nil {
		return x.failure(err)
	}
	batch := awslogs.Batch{Logs: push.Logs, DecodedBytes: push.DecodedBytes}
	for _, stream := range push.Logs.ResourceLogs().All() {
		awslogs.FinishStream(stream)
		batch.Documents = append(batch.Documents, awslogs.Document{Resources: 1, Records: stream.ScopeLogs().At(0).LogRecords().Len()})
	}
	if err := x.handOver(&batch); err != nil {
		return x.failure(err)
	}
	return outcome{status: http.StatusNoContent}
}

// pushFailure answers 503 for 408: Loki's clients send again after that, and give up after 4xx.
func pushFailure(x *exchange, err error) outcome {
	o := x.failure(err)
	if o.status == http.StatusRequestTimeout {
		o.status = http.StatusServiceUnavailable
	}
	return o
}

// writeLokiPush answers as Promtail does: 204 without a body, else text.
func writeLokiPush(w http.ResponseWriter, _ *http.Request, o outcome) {
	if o.status == http.StatusNoContent {
		w.WriteHeader(o.status)
		return
	}
	writeBody(w, o.status, "text/plain; charset=utf-8", []byte(o.message+"\n"))
}
