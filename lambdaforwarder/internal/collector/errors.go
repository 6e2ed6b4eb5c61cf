// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import "fmt"

// RefusedError is returned when the collector's answer says that sending the
// message again is of no use.
type RefusedError struct {
	Attempts int
	// Status is the HTTP status of the answer.
	Status int

	answer string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the collector refused the message (attempts: %d): %s", e.Attempts, e.answer)
}

// UnavailableError is returned when the invocation's time was up before the
// collector took the message. Sending it again later may help.
type UnavailableError struct {
	// Attempts is 0 when there was no time for any.
	Attempts int
	// Status is the HTTP status of the last answer, 0 when the last attempt got none.
	Status int

	cause error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("the collector has not taken the message (attempts: %d): %s", e.Attempts, e.cause)
}

func (e *UnavailableError) Unwrap() error { return e.cause }
