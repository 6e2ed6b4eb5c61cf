// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package firehose makes the requests that Amazon Data Firehose sends to an HTTP endpoint, and reads the answers.
// https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
package firehose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// SourceARN is that of the delivery stream which all requests are from.
const SourceARN = "arn:aws:firehose:us-east-1:123456789012:deliverystream/awsloki"

// Request is one request.
type Request struct {
	ID        string
	Time      time.Time
	Records   [][]byte
	AccessKey string // default: none
}

type record struct {
	Data []byte `json:"data"` // in base64, as encoding/json has bytes
}

// Body returns the body as it is before compression.
func (r Request) Body() []byte {
	records := make([]record, len(r.Records))
	for i, data := range r.Records {
		records[i].Data = data
	}
	// There is nothing in it that could fail to be encoded.
	body, _ := json.Marshal(struct {
		RequestID string   `json:"requestId"`
		Timestamp int64    `json:"timestamp"`
		Records   []record `json:"records"`
	}{r.ID, r.Time.UnixMilli(), records})
	return body
}

// Header returns the headers. A body that is compressed has Content-Encoding: gzip besides.
func (r Request) Header() map[string]string {
	header := map[string]string{
		"Content-Type":                    "application/json",
		"User-Agent":                      "Amazon Kinesis Data Firehose Agent/1.0",
		"X-Amz-Firehose-Protocol-Version": "1.0",
		"X-Amz-Firehose-Request-Id":       r.ID,
		"X-Amz-Firehose-Source-Arn":       SourceARN,
	}
	if r.AccessKey != "" {
		header["X-Amz-Firehose-Access-Key"] = r.AccessKey
	}
	return header
}

// Answer is what Firehose wants to be answered with.
type Answer struct {
	RequestID    string `json:"requestId"`
	Timestamp    *int64 `json:"timestamp"`
	ErrorMessage string `json:"errorMessage"`
}

// ParseAnswer reads an answer as strictly as AWS describes it: with both fields, the timestamp an integer, and nothing
// else.
func ParseAnswer(body []byte) (Answer, error) {
	var a Answer
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return Answer{}, fmt.Errorf("answer to Firehose: %w", err)
	}
	if a.RequestID == "" || a.Timestamp == nil || decoder.More() {
		return Answer{}, fmt.Errorf("answer to Firehose: %q", body)
	}
	return a, nil
}
