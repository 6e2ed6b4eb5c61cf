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

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/awsloki/awsloki/internal/awslogs"
	"github.com/awsloki/awsloki/internal/clientmetadata"
	"github.com/awsloki/awsloki/internal/decompress"
	"github.com/awsloki/awsloki/internal/tenant"
	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/budget"
)

// Headers of docs/forwarding-protocol.md.
const (
	regionHeader            = "X-Awsloki-Region"
	forwarderLogGroupHeader = "X-Awsloki-Forwarder-Log-Group"
)

// retryAfter is what senders are asked to wait while the pipeline cannot take more. A forwarder is billed for the time
// that it waits.
const retryAfter = time.Second

// input is one of the ways in which logs arrive.
type input struct {
	// name is what metrics call it.
	name string
	// take takes what a request brings.
	take func(x *exchange) outcome
	// write writes an answer.
	write func(w http.ResponseWriter, req *http.Request, o outcome)

	// keyed inputs check credentials themselves.
	keyed bool
	// streams is of inputs that hand on while they read.
	streams bool
	// maxBody is the most bytes that a body may have as it comes. 0: any number.
	maxBody int64
}

// nowhere is the input of requests to other paths.
var nowhere = &input{
	name:  "none",
	take:  func(*exchange) outcome { return outcome{status: http.StatusNotFound, message: "no such path"} },
	write: writeJSON,
}

// makeInputs returns the inputs by their paths.
func (r *subscriptionReceiver) makeInputs() map[string]*input {
	config := r.config
	maxBody := config.ServerConfig.MaxRequestBodySize
	if maxBody == 0 {
		maxBody = defaultMaxRequestBody
	}
	inputs := map[string]*input{
		config.SubscriptionPath: {name: "subscription", take: r.takeSubscription, write: writeJSON, maxBody: maxBody},
		config.FirehosePath: {
			name: "firehose", take: r.takeFirehose, write: writeFirehose, maxBody: awslogs.MaxFirehoseBody,
			keyed: config.FirehoseAccessKey != "",
		},
		config.S3Path:       {name: "s3", take: r.takeObject, write: writeJSON, streams: true},
		config.LokiPushPath: {name: "loki_push", take: r.takeLokiPush, write: writeLokiPush, maxBody: maxBody},
	}
	delete(inputs, "")
	return inputs
}

// exchange is one request that is being served.
type exchange struct {
	receiver *subscriptionReceiver
	req      *http.Request
	arrived  *arrival
	// ctx is the request's, with the tenant among the client's metadata.
	ctx    context.Context
	tenant string
	lease  *budget.Lease
	// of says, for the operator, which object this is about, if any.
	of []zap.Field
}

// outcome is what became of a request.
type outcome struct {
	status int
	// accepted is how many records the pipeline has. For an S3 object they are counted from its beginning.
	accepted int
	// message says why there are no more. It holds nothing of the request's payload.
	message string
	// requestID is that of Firehose, where the header did not say.
	requestID string
}

func (r *subscriptionReceiver) serve(w http.ResponseWriter, req *http.Request) {
	arrived := arrivalOf(req)
	in := arrived.input
	if in != nowhere && req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		r.answer(w, req, outcome{status: http.StatusMethodNotAllowed, message: "method not allowed"})
		return
	}
	tenantID := req.Header.Get(tenant.Header)
	ctx, cancel := context.WithCancel(withTenant(req.Context(), tenantID))
	defer cancel()
	// The server notices only after a body has ended that the connection is cut.
	defer context.AfterFunc(r.cutting, cancel)() //nolint:contextcheck // it only ends the request's own
	x := &exchange{
		receiver: r,
		req:      req,
		arrived:  arrived,
		ctx:      ctx,
		tenant:   tenantID,
		lease:    r.budget.Lease(ctx),
	}
	if in.streams {
		x.lease = r.streams.Lease(ctx)
	}
	r.answer(w, req, x.take())
}

// take holds memory no longer than it has to.
func (x *exchange) take() outcome {
	defer x.lease.Release()
	return x.arrived.input.take(x)
}

// withTenant returns ctx with the tenant that the sender names, if it does, among the client's metadata, where an
// exporter finds it.
func withTenant(ctx context.Context, tenantID string) context.Context {
	if tenantID == "" {
		return ctx
	}
	return clientmetadata.With(ctx, tenant.Header, tenantID)
}

// options are what the request says of its payload besides the bytes.
func (x *exchange) options() awslogs.Options {
	return awslogs.Options{
		MaxDecodedBytes: x.receiver.config.MaxDecodedBytes,
		Reserve:         x.lease.Reserve,
		Region:          x.region(),
		ExcludeLogGroup: x.req.Header.Get(forwarderLogGroupHeader),
		ObservedAt:      time.Now(),
	}
}

// maxRegion is longer than the name of any region is.
const maxRegion = 64

// region is that of the sender, if it says.
func (x *exchange) region() string {
	region := x.req.Header.Get(regionHeader)
	if len(region) > maxRegion {
		return ""
	}
	return region
}

// firstRead bounds the memory that a request gets for a length that it only states.
const firstRead = 1 << 20

// readBody reads the whole body, and waits for the request's turn then.
func (x *exchange) readBody() ([]byte, error) {
	limit := x.arrived.input.maxBody
	if x.arrived.length > limit {
		x.arrived.err = errBodyTooLarge
		return nil, errBodyTooLarge
	}
	// With room for one read more, the buffer need not grow to find the end.
	most := limit + bytes.MinRead
	if x.arrived.length >= 0 {
		most = x.arrived.length + bytes.MinRead
	}
	var body []byte
	for size := min(most, firstRead); ; size = min(most, 2*size) {
		before := x.lease.Used()
		if err := x.lease.Reserve(size); err != nil {
			return nil, err
		}
		smaller := int64(cap(body))
		body = append(make([]byte, 0, size), body...)
		x.lease.ShrinkTo(before + size - smaller)
		for int64(len(body)) < size {
			n, err := x.req.Body.Read(body[len(body):cap(body)])
			body = body[:len(body)+n]
			if errors.Is(err, io.EOF) {
				return body, x.lease.Begin()
			}
			if err != nil {
				return nil, fmt.Errorf("read the body: %w", err)
			}
		}
	}
}

// errEncoding says that a body is compressed in a way that nobody sends whom this is for.
var errEncoding = errors.New("Content-Encoding is not gzip")

// readGzip reads the whole body of an input that takes gzip. Whether it is, its first bytes say.
func (x *exchange) readGzip() ([]byte, error) {
	if !x.isGzip() {
		return nil, errEncoding
	}
	return x.readBody()
}

func (x *exchange) isGzip() bool {
	switch strings.ToLower(x.arrived.encoding) {
	case "", "gzip", "x-gzip", "identity": // RFC 9110, section 8.4.1
		return true
	}
	return false
}

// pipelineError is what the pipeline says to records.
type pipelineError struct{ error }

func (e pipelineError) Unwrap() error { return e.error }

// isTemporary says whether the pipeline may take the same records another time.
func isTemporary(err error) bool {
	_, ok := errors.AsType[pipelineError](err)
	return ok && !consumererror.IsPermanent(err)
}

// failure is the outcome of a request that err ended. It counts what could not be decoded, and tells the operator.
func (x *exchange) failure(err error) outcome {
	if pipeline, ok := errors.AsType[pipelineError](err); ok {
		return x.pipelineFailure(pipeline)
	}
	o := outcome{message: err.Error()}
	var reason string
	switch {
	case errors.Is(x.arrived.err, errBodyTooLarge):
		o.status, reason = http.StatusRequestEntityTooLarge, reasonTooLarge
		o.message = fmt.Sprintf("the body has more than %d bytes", x.arrived.input.maxBody)
	case errors.Is(x.arrived.err, errStopping):
		o.status, o.message = http.StatusServiceUnavailable, errStopping.Error()
	case x.arrived.err != nil:
		// The network's own words name addresses. Who sent this may send it again.
		o.status, reason = http.StatusRequestTimeout, reasonIncomplete
		o.message = "the body did not arrive in whole, or not in time"
	case errors.Is(err, budget.ErrBusy):
		o.status, o.message = http.StatusServiceUnavailable, budget.ErrBusy.Error()
	case x.ctx.Err() != nil:
		o.status, o.message = http.StatusServiceUnavailable, "the sender has gone, or waited too long"
	case errors.Is(err, decompress.ErrTooLarge), errors.Is(err, budget.ErrTooLarge):
		o.status, reason = http.StatusRequestEntityTooLarge, reasonTooLarge
	case errors.Is(err, decompress.ErrCorrupt):
		o.status, reason = http.StatusBadRequest, reasonCorrupt
	default:
		o.status, reason = http.StatusBadRequest, reasonMalformed
	}
	if reason != "" {
		x.receiver.metrics.ReceiverCloudwatchsubscriptionDecodeFailures.Add(x.ctx, 1,
			x.receiver.attributes(x.arrived.input, attribute.String("reason", reason)))
	}
	x.receiver.telemetry.Logger.With(x.of...).Warn("Refused a request.", zap.String("input", x.arrived.input.name),
		zap.Int("http.response.status_code", o.status), zap.String("error", o.message),
		zap.String("client.address", x.req.RemoteAddr), zap.String("forwarder.region", x.region()))
	return o
}

// pipelineFailure keeps to itself what the pipeline said: a component may quote a line, or name other hosts.
func (x *exchange) pipelineFailure(err pipelineError) outcome {
	log := x.receiver.telemetry.Logger.With(x.of...).With(zap.String("input", x.arrived.input.name), zap.Error(err))
	if consumererror.IsPermanent(err) {
		log.Error("The pipeline will not take a request.")
		return outcome{status: http.StatusUnprocessableEntity, message: "the pipeline will not take this"}
	}
	log.Warn("The pipeline cannot take a request now.")
	return outcome{status: http.StatusServiceUnavailable, message: "the pipeline cannot take this now"}
}

func (r *subscriptionReceiver) attributes(in *input, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, attribute.String("input", in.name), r.id)...))
}

// answer answers a request in the way of its input, and counts it.
func (r *subscriptionReceiver) answer(w http.ResponseWriter, req *http.Request, o outcome) {
	arrived := arrivalOf(req)
	if o.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	if timeout := r.config.ServerConfig.WriteTimeout; timeout > 0 {
		_ = arrived.connection.SetWriteDeadline(time.Now().Add(timeout))
	}
	r.metrics.ReceiverCloudwatchsubscriptionRequests.Add(req.Context(), 1,
		r.attributes(arrived.input, attribute.Int("http.response.status_code", o.status)))
	r.metrics.ReceiverCloudwatchsubscriptionRequestBytes.Add(req.Context(), arrived.read, r.attributes(arrived.input))
	arrived.answerEarly(w, func() { arrived.input.write(w, req, o) })
}

// writeJSON writes the answers of docs/forwarding-protocol.md.
func writeJSON(w http.ResponseWriter, _ *http.Request, o outcome) {
	// There is nothing in it that could fail to be encoded.
	body, _ := json.Marshal(struct {
		Accepted int    `json:"accepted"`
		Error    string `json:"error,omitempty"`
	}{o.accepted, o.message})
	writeBody(w, o.status, "application/json", append(body, '\n'))
}

// writeBody states the length, so that an answer is whole as soon as it is there.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// The sender may have gone by now. It will send again.
	_, _ = w.Write(body)
}
