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
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/awsloki/awsloki/internal/awslogs"
	"github.com/awsloki/awsloki/internal/decompress"
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
			r.answerError(w, req, status, message)
		}),
	)
	if err != nil {
		return nil, err
	}
	guarded := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.serving.Add(1)
		defer r.serving.Done()
		if req.URL.Path == readyPath {
			ready(w, req)
			return
		}
		guarded.ServeHTTP(w, withArrival(req))
	})
	return server, nil
}

// arrival is a request's body as it comes from the network, before confighttp decodes it.
type arrival struct {
	io.ReadCloser
	// length is what the sender states, -1 if it does not.
	length int64
	// read is how many bytes came, and err why no more did, if not because that was all.
	read int64
	err  error
}

type arrivalKey struct{}

// withArrival makes the request's arrival known to the handler that reads it. A gzip body is left to that handler too,
// which inflates what is gzip anyway: along with gzip within gzip, and by one limit.
func withArrival(req *http.Request) *http.Request {
	body := &arrival{ReadCloser: req.Body, length: req.ContentLength}
	req = req.WithContext(context.WithValue(req.Context(), arrivalKey{}, body))
	req.Body = body
	switch strings.ToLower(req.Header.Get("Content-Encoding")) {
	case "gzip", "x-gzip", "identity": // RFC 9110, section 8.4.1
		req.Header.Del("Content-Encoding")
	}
	return req
}

// Read implements io.Reader.
func (a *arrival) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	a.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		a.err = err
	}
	return n, err
}

func ready(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

func (r *subscriptionReceiver) route(w http.ResponseWriter, req *http.Request) {
	switch {
	case req.URL.Path != r.config.SubscriptionPath:
		r.answerError(w, req, http.StatusNotFound, "no such path")
	case req.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		r.answerError(w, req, http.StatusMethodNotAllowed, "method not allowed")
	default:
		r.subscription(w, req)
	}
}

// subscription takes subscription messages. All are decoded before any is handed on, so that nothing was taken of a
// request that is malformed.
func (r *subscriptionReceiver) subscription(w http.ResponseWriter, req *http.Request) {
	ctx := req.Context()
	body, status, err := r.readBody(req)
	if err != nil {
		r.refuse(w, req, status, err)
		return
	}
	batch, err := awslogs.DecodeSubscription(body, awslogs.Options{
		MaxDecodedBytes: r.config.MaxDecodedBytes,
		Region:          req.Header.Get(regionHeader),
		ExcludeLogGroup: req.Header.Get(forwarderLogGroupHeader),
		ObservedAt:      time.Now(),
	})
	switch {
	case errors.Is(err, decompress.ErrTooLarge):
		r.refuse(w, req, http.StatusRequestEntityTooLarge, err)
		return
	case err != nil:
		r.refuse(w, req, http.StatusBadRequest, err)
		return
	}
	records := batch.Logs.LogRecordCount()
	if err := r.consume(ctx, batch.Logs); err != nil {
		r.answerConsumeError(w, req, err)
		return
	}
	r.countDocuments(ctx, batch)
	r.answer(w, req, http.StatusOK, answer{Accepted: records})
}

// firstRead bounds the memory that a request gets for a length that it only states.
const firstRead = 1 << 20

// readBody reads the whole body, which the server has limited. An error comes with the answer to it.
func (r *subscriptionReceiver) readBody(req *http.Request) (data []byte, status int, err error) {
	arrived := req.Context().Value(arrivalKey{}).(*arrival)
	stated := min(max(arrived.length, 0), firstRead)
	// With room for one read more, the buffer need not grow to find the end.
	body := bytes.NewBuffer(make([]byte, 0, stated+bytes.MinRead))
	_, err = body.ReadFrom(req.Body)
	r.metrics.ReceiverCloudwatchsubscriptionRequestBytes.Add(req.Context(), arrived.read, r.attributes())
	if err == nil {
		return body.Bytes(), 0, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", r.config.ServerConfig.MaxRequestBodySize)
	}
	if arrived.err != nil {
		// The network's own words name addresses. Who sent this may send it again.
		return nil, http.StatusRequestTimeout, errors.New("the body did not arrive in whole, or not in time")
	}
	return nil, http.StatusBadRequest, fmt.Errorf("decode the body: %w", err)
}

// refuse answers what the sender is to blame for, and tells the operator.
func (r *subscriptionReceiver) refuse(w http.ResponseWriter, req *http.Request, status int, err error) {
	r.telemetry.Logger.Warn("Refused a request.", zap.Int("http.response.status_code", status), zap.Error(err),
		zap.String("client.address", req.RemoteAddr), zap.String("forwarder.region", req.Header.Get(regionHeader)))
	r.answerError(w, req, status, err.Error())
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

// answerConsumeError keeps to itself what the pipeline said: a component may quote a line, or name other hosts.
func (r *subscriptionReceiver) answerConsumeError(w http.ResponseWriter, req *http.Request, err error) {
	if consumererror.IsPermanent(err) {
		r.telemetry.Logger.Error("The pipeline will not take a request.", zap.Error(err))
		r.answerError(w, req, http.StatusUnprocessableEntity, "the pipeline will not take this")
		return
	}
	r.telemetry.Logger.Warn("The pipeline cannot take a request now.", zap.Error(err))
	w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	r.answerError(w, req, http.StatusServiceUnavailable, "the pipeline cannot take this now")
}

func (r *subscriptionReceiver) countDocuments(ctx context.Context, batch awslogs.Batch) {
	m, attributes := r.metrics, r.attributes()
	m.ReceiverCloudwatchsubscriptionDecodedBytes.Add(ctx, int64(batch.DecodedBytes), attributes)
	m.ReceiverCloudwatchsubscriptionDocuments.Add(ctx, int64(len(batch.Documents)), attributes)
	m.ReceiverCloudwatchsubscriptionControlMessages.Add(ctx, int64(batch.ControlMessages), attributes)
	m.ReceiverCloudwatchsubscriptionExcludedRecords.Add(ctx, int64(batch.ExcludedRecords), attributes)
}

func (r *subscriptionReceiver) attributes(more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, r.id)...))
}

// answer is the body of every answer but that of the health check.
type answer struct {
	// Accepted is how many records the pipeline has.
	Accepted int `json:"accepted"`
	// Error says why there are no more. It holds nothing of the request's payload.
	Error string `json:"error,omitempty"`
}

func (r *subscriptionReceiver) answerError(w http.ResponseWriter, req *http.Request, status int, message string) {
	r.answer(w, req, status, answer{Error: message})
}

func (r *subscriptionReceiver) answer(w http.ResponseWriter, req *http.Request, status int, a answer) {
	r.metrics.ReceiverCloudwatchsubscriptionRequests.Add(req.Context(), 1, r.attributes(attribute.Int("http.response.status_code", status)))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The sender may have gone by now. It will send again.
	_ = json.NewEncoder(w).Encode(a)
}
