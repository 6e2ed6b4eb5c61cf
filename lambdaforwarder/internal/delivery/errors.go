// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"net/http"
)

// RefusedError is returned when an answer says that sending the same again is of no use.
type RefusedError struct {
	// To is who refused what.
	To, What string
	Attempts int
	// Status is the HTTP status of the answer, 0 if there was none.
	Status int

	cause error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s refused %s (attempts: %d): %s", e.To, e.What, e.Attempts, e.cause)
}

func (e *RefusedError) Unwrap() error { return e.cause }

// OfContent says whether it is what was sent that is refused, and not who sent it, or where.
func (e *RefusedError) OfContent() bool {
	switch e.Status {
	case 0, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	default:
		return false
	}
}

// NewRefusedError is for what is refused before it is sent.
func NewRefusedError(to, what string, cause error) *RefusedError {
	return &RefusedError{To: to, What: what, cause: cause}
}

// UnavailableError is returned when the invocation's time, or the number of retries, was up before all was taken. Sending
// it again later may help.
type UnavailableError struct {
	// To is who has not taken what.
	To, What string
	// Attempts is 0 when there was no time for any.
	Attempts int
	// Status is the HTTP status of the last answer, 0 when the last attempt got none.
	Status int

	cause error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%s has not taken %s (attempts: %d): %s", e.To, e.What, e.Attempts, e.cause)
}

func (e *UnavailableError) Unwrap() error { return e.cause }
