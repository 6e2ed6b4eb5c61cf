// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"context"
	"time"

	"github.com/zeebo/xxh3"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"

	"github.com/awsloki/awsloki/internal/awslogs"
	"github.com/awsloki/awsloki/internal/redelivery"
	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/dedup"
)

// handOver hands on what is in a batch, except for documents that were acknowledged before. It returns nil when the
// pipeline has all of it, and else took nothing. Documents are recorded as begun before the pipeline gets them, and as
// acknowledged only once it has them.
func (x *exchange) handOver(batch *awslogs.Batch) error {
	r := x.receiver
	if r.dedup == nil {
		return x.consumeBatch(x.ctx, batch, func(int) bool { return false })
	}
	claim, err := r.dedup.Claim(x.ctx, x.keys(batch))
	if err != nil {
		x.count(outcomePostponed, tally{len(batch.Documents), batch.Records()})
		return err
	}
	defer claim.Release()
	x.begin(claim)
	ctx := x.ctx
	if isAnyUncertain(claim, len(batch.Documents)) {
		ctx = redelivery.Mark(ctx)
	}
	if err := x.consumeBatch(ctx, batch, claim.Repeated); err != nil {
		return err
	}
	x.commit(claim)
	return nil
}

// recordTimeout is how long a request waits for the storage, before it is handed on and before it is answered. What is not
// written by then goes on all the same.
const recordTimeout = 5 * time.Second

func (x *exchange) begin(claim *dedup.Claim) {
	ctx, cancel := context.WithTimeout(x.ctx, recordTimeout)
	defer cancel()
	claim.Begin(ctx)
}

// commit records documents also when the sender has gone by now: the pipeline has them. Once the sender has its answer, the
// documents are repeated, also after a crash.
func (x *exchange) commit(claim *dedup.Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), recordTimeout)
	defer cancel()
	written := claim.Commit(ctx)
	if written == nil {
		return
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// isAnyUncertain says whether the pipeline may have one of the documents already, from before a crash.
func isAnyUncertain(claim *dedup.Claim, documents int) bool {
	for i := range documents {
		if claim.Uncertain(i) {
			return true
		}
	}
	return false
}

// keys are what the documents are remembered by: their ids, for each tenant apart.
func (x *exchange) keys(batch *awslogs.Batch) []dedup.Key {
	keys := make([]dedup.Key, len(batch.Documents))
	for i, document := range batch.Documents {
		keys[i] = dedup.Key(document.ID)
		if document.ID != (awslogs.ID{}) && x.tenant != "" {
			keys[i] = xxh3.HashString128(string(document.ID[:]) + x.tenant).Bytes()
		}
	}
	return keys
}

// consumeBatch hands on the documents that are no repeats, and counts all.
func (x *exchange) consumeBatch(ctx context.Context, batch *awslogs.Batch, repeated func(document int) bool) error {
	var fresh, repeats tally
	for i, document := range batch.Documents {
		if repeated(i) {
			repeats.add(document)
		} else {
			fresh.add(document)
		}
	}
	if repeats.documents > 0 {
		batch.Drop(repeated)
	}
	err := x.consume(ctx, batch.Logs)
	switch {
	case err == nil:
		x.count(outcomeAccepted, fresh)
		x.count(outcomeRepeated, repeats)
		x.count(outcomeExcluded, tally{records: batch.ExcludedRecords})
		x.countAccepted(batch, fresh, repeats)
	case consumererror.IsPermanent(err):
		x.count(outcomeRefused, fresh)
	default:
		x.count(outcomePostponed, fresh)
	}
	return err
}

// consume hands records on. Control messages and empty batches have none.
func (x *exchange) consume(ctx context.Context, logs plog.Logs) error {
	records := logs.LogRecordCount()
	if records == 0 {
		return nil
	}
	ctx = x.receiver.obsreport.StartLogsOp(ctx)
	err := x.receiver.next.ConsumeLogs(ctx, logs)
	x.receiver.obsreport.EndLogsOp(ctx, x.arrived.input.name, records, err)
	if err != nil {
		return pipelineError{err}
	}
	return nil
}

// tally counts documents with the same outcome.
type tally struct{ documents, records int }

func (t *tally) add(document awslogs.Document) {
	t.documents++
	t.records += document.Records
}

func (x *exchange) count(result string, t tally) {
	m, attributes := x.receiver.metrics, x.receiver.attributes(x.arrived.input, attribute.String("outcome", result))
	if t.documents > 0 {
		m.ReceiverCloudwatchsubscriptionDocuments.Add(x.ctx, int64(t.documents), attributes)
	}
	if t.records > 0 {
		m.ReceiverCloudwatchsubscriptionRecords.Add(x.ctx, int64(t.records), attributes)
	}
}

// countAccepted counts the size of a batch as that of what is fresh in it, if anything is.
func (x *exchange) countAccepted(batch *awslogs.Batch, fresh, repeats tally) {
	result := outcomeAccepted
	if fresh.documents == 0 && repeats.documents > 0 {
		result = outcomeRepeated
	}
	m, attributes := x.receiver.metrics, x.receiver.attributes(x.arrived.input, attribute.String("outcome", result))
	m.ReceiverCloudwatchsubscriptionDecodedBytes.Add(x.ctx, int64(batch.DecodedBytes), attributes)
	if batch.ControlMessages > 0 {
		m.ReceiverCloudwatchsubscriptionControlMessages.Add(x.ctx, int64(batch.ControlMessages), x.receiver.attributes(x.arrived.input))
	}
}
