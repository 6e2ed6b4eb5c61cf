// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/awsloki/awsloki/internal/awslogs"
)

const readyPath = "/ready"

// Headers of docs/forwarding-protocol.md.
const (
	regionHeader            = "X-Awsloki-Region"
	forwarderLogGroupHeader = "X-Awsloki-Forwarder-Log-Group"
)

// retryAfter is what senders are asked to wait while the pipeline cannot take more. A forwarder is billed for the time
// that it waits.
const retryAfter = time.Second

// newServer has the health check answer anybody, and everything else behind what the configuration says.
func (r *subscriptionReceiver) newServer(ctx context.Context, host component.Host) (*http.Server, error) {
	server, err := r.config.ServerConfig.ToServer(ctx, host.GetExtensions(), r.telemetry, http.HandlerFunc(r.route),
		confighttp.WithErrorHandler(func(w http.ResponseWriter, req *http.Request, message string, status int) {
			r.answerError(req.Context(), w, status, errors.New(message))
		}),
		// A gzip body is inflated along with what is gzip within it, and by the same limit.
		confighttp.WithDecoder("gzip", func(body io.ReadCloser) (io.ReadCloser, error) { return body, nil }),
	)
	if err != nil {
		return nil, err
	}
	guarded := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == readyPath {
			ready(w, req)
			return
		}
		guarded.ServeHTTP(w, req)
	})
	return server, nil
}

func ready(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

func (r *subscriptionReceiver) route(w http.ResponseWriter, req *http.Request) {
	ctx := req.Context()
	switch {
	case req.URL.Path != r.config.SubscriptionPath:
		r.answerError(ctx, w, http.StatusNotFound, errors.New("no such path"))
	case req.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		r.answerError(ctx, w, http.StatusMethodNotAllowed, errors.New("method not allowed"))
	default:
		r.subscription(w, req)
	}
}

// subscription takes subscription messages. All are decoded before any is handed on, so that an error answer means
// that nothing was taken.
func (r *subscriptionReceiver) subscription(w http.ResponseWriter, req *http.Request) {
	ctx := req.Context()
	body, err := readBody(req)
	if err != nil {
		r.answerError(ctx, w, statusOf(err), err)
		return
	}
	r.metrics.ReceiverCloudwatchsubscriptionRequestBytes.Add(ctx, int64(len(body)))
	logs, stats, err := awslogs.DecodeSubscription(body, awslogs.SubscriptionOptions{
		MaxDecodedBytes: r.config.MaxDecodedBytes,
		Region:          req.Header.Get(regionHeader),
		ExcludeLogGroup: req.Header.Get(forwarderLogGroupHeader),
		ObservedAt:      time.Now(),
	})
	if err != nil {
		r.answerError(ctx, w, statusOf(err), err)
		return
	}
	records := logs.LogRecordCount()
	if err := r.consume(ctx, logs); err != nil {
		r.answerConsumeError(ctx, w, err)
		return
	}
	r.countDocuments(ctx, stats)
	r.answer(ctx, w, http.StatusOK, answer{Accepted: records})
}

// firstRead bounds the memory that a request gets for a length that it only states.
const firstRead = 1 << 20

// readBody reads the whole body, which the server has limited.
func readBody(req *http.Request) ([]byte, error) {
	stated := min(max(req.ContentLength, 0), firstRead)
	// With room for one read more, the buffer need not grow to find the end.
	body := bytes.NewBuffer(make([]byte, 0, stated+bytes.MinRead))
	if _, err := body.ReadFrom(req.Body); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	return body.Bytes(), nil
}

// statusOf says which answer an error is that the sender is to blame for.
func statusOf(err error) int {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || errors.Is(err, awslogs.ErrTooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// consume hands records on. Control messages and empty batches have none.
func (r *subscriptionReceiver) consume(ctx context.Context, logs plog.Logs) error {
	records := logs.LogRecordCount()
	if records == 0 {
		return nil
	}
	ctx = r.obsreport.StartLogsOp(ctx)
	err := r.next.ConsumeLogs(ctx, logs)
	r.obsreport.EndLogsOp(ctx, "cloudwatch", records, err)
	return err
}

func (r *subscriptionReceiver) answerConsumeError(ctx context.Context, w http.ResponseWriter, err error) {
	if consumererror.IsPermanent(err) {
		r.answerError(ctx, w, http.StatusUnprocessableEntity, fmt.Errorf("the pipeline will not take this: %w", err))
		return
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	r.answerError(ctx, w, http.StatusServiceUnavailable, fmt.Errorf("the pipeline cannot take this now: %w", err))
}

func (r *subscriptionReceiver) countDocuments(ctx context.Context, stats awslogs.SubscriptionStats) {
	m := r.metrics
	m.ReceiverCloudwatchsubscriptionDecodedBytes.Add(ctx, int64(stats.DecodedBytes))
	m.ReceiverCloudwatchsubscriptionDocuments.Add(ctx, int64(stats.Documents-stats.ControlMessages))
	m.ReceiverCloudwatchsubscriptionControlMessages.Add(ctx, int64(stats.ControlMessages))
	m.ReceiverCloudwatchsubscriptionExcludedRecords.Add(ctx, int64(stats.ExcludedRecords))
}

// answer is the body of every answer but that of the health check.
type answer struct {
	// Accepted is how many records the pipeline has.
	Accepted int `json:"accepted"`
	// Error says why there are no more. It holds nothing of the request's payload.
	Error string `json:"error,omitempty"`
}

func (r *subscriptionReceiver) answerError(ctx context.Context, w http.ResponseWriter, status int, err error) {
	r.answer(ctx, w, status, answer{Error: err.Error()})
}

func (r *subscriptionReceiver) answer(ctx context.Context, w http.ResponseWriter, status int, a answer) {
	r.metrics.ReceiverCloudwatchsubscriptionRequests.Add(ctx, 1,
		metric.WithAttributeSet(attribute.NewSet(attribute.Int("http.response.status_code", status))))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The sender may have gone by now. It will send again.
	_ = json.NewEncoder(w).Encode(a)
}
