// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/awsloki/awsloki/internal/retryafter"
)

const (
	maxAnswerBytes = 64 << 10 // read of an answer, so that its connection can be used again
	maxReasonBytes = 512      // passed on of an answer
)

// answer is what is kept of a response. One that is no success is an error.
type answer struct {
	status int
	// accepted is how many records the collector has. Negative: the answer does not say.
	accepted int
	// foreign says that it is a success, and of a kind that is not the receiver's. An answer without content is not known to be.
	foreign    bool
	reason     string // why, in the receiver's words; empty when it gave none
	retryAfter time.Duration
}

func readAnswer(resp *http.Response) answer {
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, accepted: -1}
	limited := io.LimitReader(resp.Body, maxAnswerBytes)
	a.readContent(resp.Header.Get("Content-Type"), limited)
	if !a.isSuccess() {
		a.retryAfter = retryafter.Parse(resp.Header, time.Now())
	}
	// Read to its end the connection can be used again. The status has decided what happens, so an error here is of no
	// consequence.
	_, _ = io.Copy(io.Discard, limited)
	return a
}

// readContent reads the receiver's own kind of answer, {"accepted": 1, "error": "..."}, of which it takes the error's
// first line. Any other server's answer may echo what it was sent, and log content must not end up in errors.
func (a *answer) readContent(contentType string, body io.Reader) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "application/json" {
		a.foreign = a.isSuccess() && mediaType == "text/html"
		return
	}
	content, err := io.ReadAll(body)
	if err != nil || len(content) == 0 {
		return
	}
	var got struct {
		Accepted *int   `json:"accepted"`
		Error    string `json:"error"`
	}
	err = json.Unmarshal(content, &got)
	if err == nil && got.Accepted != nil && *got.Accepted >= 0 {
		a.accepted = *got.Accepted
	} else {
		a.foreign = a.isSuccess()
	}
	if a.isSuccess() || err != nil {
		return
	}
	line, _, _ := strings.Cut(got.Error, "\n")
	line = line[:min(len(line), maxReasonBytes)]
	a.reason = strings.TrimSpace(strings.ToValidUTF8(line, ""))
}

func (a answer) isSuccess() bool { return a.status >= 200 && a.status < 300 }

// Error tells of an answer that is no success.
func (a answer) Error() string {
	s := strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
	if a.reason != "" {
		s += ": " + a.reason
	}
	return s
}
