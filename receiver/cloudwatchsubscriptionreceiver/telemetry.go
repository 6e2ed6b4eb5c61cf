// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

// Values of the attribute outcome (metadata.yaml).
const (
	outcomeAccepted  = "accepted"
	outcomeRepeated  = "repeated"
	outcomeExcluded  = "excluded"
	outcomeNoLog     = "no_log"
	outcomePostponed = "postponed"
	outcomeRefused   = "refused"
)

// Values of the attribute reason.
const (
	reasonMalformed  = "malformed"
	reasonCorrupt    = "corrupt"
	reasonTooLarge   = "too_large"
	reasonIncomplete = "incomplete"
)
