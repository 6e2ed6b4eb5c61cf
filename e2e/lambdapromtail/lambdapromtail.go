// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package lambdapromtail makes the push requests that Grafana's lambda-promtail makes of CloudWatch's messages, with Loki's
// own types.
package lambdapromtail

import (
	"fmt"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
)

// ContentType is that of the requests.
const ContentType = "application/x-protobuf"

// Stream returns the events of one message, with lambda-promtail's labels when KEEP_STREAM is true. A line is an event's
// message as it is, also where that ends with a newline.
func Stream(m cloudwatch.Message) push.Stream {
	s := push.Stream{Labels: fmt.Sprintf(
		"{__aws_cloudwatch_log_group=%q, __aws_cloudwatch_log_stream=%q, __aws_cloudwatch_owner=%q, __aws_log_type=\"cloudwatch\"}",
		m.LogGroup, m.LogStream, m.Owner)}
	for _, event := range m.LogEvents {
		s.Entries = append(s.Entries, push.Entry{Timestamp: event.Time(), Line: event.Message})
	}
	return s
}

// Encode returns a request with these streams: protobuf in a block of snappy.
func Encode(streams ...push.Stream) ([]byte, error) {
	body, err := (&push.PushRequest{Streams: streams}).Marshal()
	if err != nil {
		return nil, fmt.Errorf("push request: %w", err)
	}
	return snappy.Encode(nil, body), nil
}
