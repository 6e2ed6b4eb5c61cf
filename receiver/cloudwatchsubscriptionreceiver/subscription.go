// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"net/http"

	"github.com/awsloki/awsloki/internal/awslogs"
)

// takeSubscription takes subscription messages. All are decoded before any is handed on, so that nothing was taken of a
// request that is malformed.
func (*subscriptionReceiver) takeSubscription(x *exchange) outcome {
	body, err := x.readGzip()
	if err != nil {
		return x.failure(err)
	}
	batch, err := awslogs.DecodeSubscription(body, x.options())
	if err != nil {
		return x.failure(err)
	}
	accepted := batch.Records()
	if err := x.handOver(&batch); err != nil {
		return x.failure(err)
	}
	return outcome{status: http.StatusOK, accepted: accepted}
}
