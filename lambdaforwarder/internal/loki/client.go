// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package loki sends lines to Loki itself, where there is no collector: what a collector does with them is done here, with
// lambda-promtail's labels.
package loki

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/internal/awslogs"
	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/lokipush"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

const (
	// defaultDecodedBytes is the most that one message, record or line may decode to, as in the receiver. A small function
	// has memory for less: a line is there several times, as it was and as it is sent.
	defaultDecodedBytes = 64 << 20
	memoryPerDecoded    = 8
	// reservedPerDecoded is how much memory a message or a piece of an object may take with its records, which may be many and
	// short.
	reservedPerDecoded = 2

	// maxRecordBytes is less than what goes to a collector in one request, since it is decoded here.
	maxRecordBytes = 128 << 10
)

// metadata is what lines have beside labels.
var metadata = []string{awslogs.AttributeLogRecordUID, awslogs.AttributeLogStreamNames, awslogs.AttributeS3Key}

// Client sends to one Loki. It may be used by many goroutines.
type Client struct {
	settings config.Loki
	url      string
	sender   *lokipush.Sender
	encoder  *lokipush.Encoder
	policy   delivery.Policy
	open     s3object.Open
	logger   *slog.Logger
	// region and logGroup are the function's own.
	region, logGroup string
	maxDecodedBytes  int64
	// changed says once what lines were changed for.
	changed sync.Once
}

// NewClient returns a client for the Loki that cfg names. Requests go by transport, which adds the credentials, and
// objects are read by open.
func NewClient(cfg *config.Config, transport http.RoundTripper, policy delivery.Policy, userAgent string, open s3object.Open,
	logger *slog.Logger,
) (*Client, error) {
	policy.To = "loki"
	header := http.Header{"User-Agent": {userAgent}}
	for name, values := range cfg.Headers {
		header[name] = values
	}
	client := &http.Client{Transport: transport, Timeout: cfg.RequestTimeout}
	c := &Client{
		settings: cfg.Loki,
		url:      cfg.WriteAddress.String(),
		sender:   lokipush.NewSender(lokipush.NewClient(client, cfg.WriteAddress.String(), header, lokipush.Protobuf), lokipush.SenderOptions{Tenant: cfg.TenantID}),
		policy:   policy,
		open:     open,
		logger:   logger,
		region:   cfg.Region,
		logGroup: cfg.LogGroup,

		maxDecodedBytes: defaultDecodedBytes,
	}
	if cfg.Memory > 0 {
		c.maxDecodedBytes = min(c.maxDecodedBytes, cfg.Memory/memoryPerDecoded)
	}
	var err error
	c.encoder, err = c.newEncoder("")
	return c, err
}

// MaxRecordBytes is how many bytes of Kinesis records are to be sent at once.
func (*Client) MaxRecordBytes() int { return maxRecordBytes }

// URL is where the client sends lines; it holds no credentials.
func (c *Client) URL() string { return c.url }

func (c *Client) newEncoder(streamARN string) (*lokipush.Encoder, error) {
	return lokipush.NewEncoder(lokipush.Mapping{
		ResourceLabels:     labeler{settings: &c.settings, streamARN: streamARN}.labels,
		Metadata:           lokipush.MetadataList,
		MetadataAttributes: metadata,
		Limits:             lokipush.DefaultLimits(),
	})
}

func (c *Client) options() awslogs.Options {
	left := reservedPerDecoded * c.maxDecodedBytes
	return awslogs.Options{
		MaxDecodedBytes: c.maxDecodedBytes,
		Reserve: func(bytes int64) error {
			if left -= bytes; left < 0 {
				return fmt.Errorf("%w for the function's memory", decompress.ErrTooLarge)
			}
			return nil
		},
		Region:          c.region,
		ExcludeLogGroup: c.logGroup,
		ObservedAt:      time.Now(),
	}
}

// SendMessages sends the lines of the documents to Loki. The documents belong to it from then on. Lines that Loki does not
// want are counted and logged, and are no error unless they are all. The error is a delivery.RefusedError or a
// delivery.UnavailableError.
func (c *Client) SendMessages(ctx context.Context, documents []byte, streamARN string) (delivery.Tally, error) {
	if err := c.policy.Check(ctx, "the lines"); err != nil {
		return delivery.Tally{}, err
	}
	tally := delivery.Tally{Bytes: int64(len(documents))}
	batch, err := awslogs.DecodeSubscription(documents, c.options())
	if err != nil {
		return tally, delivery.NewRefusedError("the forwarder", "the message", err)
	}
	tally.Excluded = batch.ExcludedRecords
	encoder := c.encoder
	if streamARN != "" {
		if encoder, err = c.newEncoder(streamARN); err != nil {
			return tally, delivery.NewRefusedError("the forwarder", "the message", err)
		}
	}
	s := sending{client: c, policy: c.policy, encoder: encoder, tally: &tally}
	err = s.send(ctx, batch.Logs)
	return tally, s.finish(ctx, "the message", err)
}

// sending is a message or an object on its way.
type sending struct {
	client  *Client
	policy  delivery.Policy
	encoder *lokipush.Encoder
	tally   *delivery.Tally
	// sample is what Loki said of a line that it does not want.
	sample error
}

// send sends lines, in as many requests as their size makes of them.
func (s *sending) send(ctx context.Context, logs plog.Logs) error {
	encoded := s.encoder.Encode(logs)
	s.tally.Unlabeled += encoded.UnlabeledLines
	s.noteChanges(ctx, &encoded.Changes)
	for _, part := range encoded.Parts {
		for _, batch := range part.Batch.Merge(nil, s.client.settings.BatchSize, lokipush.MeasureBytes) {
			if err := s.deliver(ctx, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// noteChanges counts lines that are not what they were, and says once in the life of the process what may be the matter.
func (s *sending) noteChanges(ctx context.Context, changes *lokipush.Changes) {
	s.tally.Truncated += changes.TruncatedLines
	s.tally.Demoted += changes.DemotedLabels
	if changes.TruncatedLines+changes.DemotedLabels == 0 {
		return
	}
	s.client.changed.Do(func() {
		s.client.logger.WarnContext(ctx, "lines are beyond loki's default limits, and were changed; from here on they are only counted",
			"truncatedLines", changes.TruncatedLines, "demotedLabels", changes.DemotedLabels)
	})
}

func (s *sending) deliver(ctx context.Context, batch *lokipush.Batch) error {
	return s.policy.Do(ctx, "the lines", func(ctx context.Context) delivery.Outcome {
		report := s.client.sender.Deliver(ctx, batch)
		s.tally.Lines += report.Delivered.Lines
		for _, refusal := range report.Refused {
			s.tally.Refuse(string(refusal.Reason), refusal.Lines)
			s.sample = refusal.Err
		}
		if report.Remaining == nil {
			return delivery.Outcome{}
		}
		batch = report.Remaining
		outcome := delivery.Outcome{Err: report.Err, RetryAfter: report.RetryAfter, Progress: report.Delivered.Lines > 0}
		if n := len(report.Requests); n > 0 {
			outcome.Status = report.Requests[n-1].Status
		}
		outcome.Final = isFinal(&report, outcome.Status)
		if cause := context.Cause(ctx); cause != nil && !outcome.Final {
			outcome.Err = join(cause, report.Err)
		}
		if outcome.Err == nil {
			outcome.Err = errors.New("loki has not taken all lines")
		}
		return outcome
	})
}

// join is the cause of an end, and what there was to say before it.
func join(cause, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("%w; before it %w", cause, err)
}

// isFinal says whether the lines that remain need not be sent again. A report of several requests may end with the status of
// one that is not theirs, and so does one that was over a limit of Loki's: only where nothing came of all it is Loki's word.
// A 400 that leaves lines is none of Loki's that is known.
func isFinal(report *lokipush.Report, status int) bool {
	nothing := report.Delivered.Lines == 0 && len(report.Refused) == 0 && report.Divisions == 0 && report.RetryAfter == 0
	return nothing && status != http.StatusBadRequest && !delivery.Retryable(status)
}

// finish says what Loki did not want of what was sent until err.
func (s *sending) finish(ctx context.Context, what string, err error) error {
	lines := s.tally.RefusedLines()
	if lines == 0 {
		return err
	}
	if err == nil && s.tally.Lines == 0 {
		return delivery.NewRefusedError("loki", what, s.sample)
	}
	s.client.logger.WarnContext(ctx, "lines refused", "lines", lines, "reasons", s.tally.Refused, "sample", fmt.Sprint(s.sample))
	return err
}
