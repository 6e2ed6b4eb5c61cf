// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
)

const readyPath = "/ready"

// newServer has the health check answer anybody, and everything else behind what the configuration says.
func (r *subscriptionReceiver) newServer(ctx context.Context, host component.Host) (*http.Server, error) {
	server, err := r.chain(ctx, host, r.config.ServerConfig)
	if err != nil {
		return nil, err
	}
	decoding := server.Handler

	// Inputs that have limits and encodings of their own get bodies as they came.
	config := r.config.ServerConfig
	config.MaxRequestBodySize = math.MaxInt64
	config.CompressionAlgorithms = []string{""}
	raw, err := r.chain(ctx, host, config)
	if err != nil {
		return nil, err
	}
	config.Auth = configoptional.None[confighttp.AuthConfig]()
	keyed, err := r.chain(ctx, host, config)
	if err != nil {
		return nil, err
	}

	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.serving.Add(1)
		defer r.serving.Done()
		if req.URL.Path == readyPath {
			ready(w, req)
			return
		}
		in := r.inputOf(req)
		req = r.withArrival(w, req, in)
		switch {
		case in.keyed:
			keyed.Handler.ServeHTTP(w, req)
		case in.raw:
			raw.Handler.ServeHTTP(w, req)
		default:
			decoding.ServeHTTP(w, req)
		}
	})
	return server, nil
}

// chain is what confighttp puts before the inputs.
func (r *subscriptionReceiver) chain(ctx context.Context, host component.Host, config confighttp.ServerConfig) (*http.Server, error) {
	return config.ToServer(ctx, host.GetExtensions(), r.telemetry, http.HandlerFunc(r.serve),
		confighttp.WithErrorHandler(func(w http.ResponseWriter, req *http.Request, message string, status int) {
			r.answer(w, req, outcome{status: status, message: message})
		}),
	)
}

// arrival is a request's body as it comes from the network, before confighttp decodes it.
type arrival struct {
	io.ReadCloser
	connection *http.ResponseController
	// length is what the sender states, -1 if it does not.
	length int64
	// limit is the most bytes that may come, and idle how long each read may wait; 0: no limit.
	limit int64
	idle  time.Duration
	// encoding is the Content-Encoding of a body that confighttp is to leave as it is.
	encoding string
	// read is how many bytes came, ended whether that was all, and err why no more did otherwise.
	read  int64
	ended bool
	err   error
}

type arrivalKey struct{}

func arrivalOf(req *http.Request) *arrival {
	return req.Context().Value(arrivalKey{}).(*arrival)
}

// withArrival makes the request's arrival known to the handler that reads it. A gzip body is left to that handler too,
// which inflates what is gzip anyway: along with gzip within gzip, and by one limit.
func (r *subscriptionReceiver) withArrival(w http.ResponseWriter, req *http.Request, in *input) *http.Request {
	body := &arrival{
		ReadCloser: req.Body,
		connection: http.NewResponseController(w),
		length:     req.ContentLength,
		limit:      in.maxBody,
	}
	if in.streams {
		body.idle = r.config.ServerConfig.ReadTimeout
	}
	req = req.WithContext(context.WithValue(req.Context(), arrivalKey{}, body))
	req.Body = body
	encoding := req.Header.Get("Content-Encoding")
	switch strings.ToLower(encoding) {
	case "gzip", "x-gzip", "identity": // RFC 9110, section 8.4.1
		req.Header.Del("Content-Encoding")
	}
	if in.raw {
		body.encoding = encoding
		req.Header.Del("Content-Encoding")
	}
	return req
}

// errBodyTooLarge is arrival.err where the limit was met.
var errBodyTooLarge = errors.New("the body is too large")

// Read implements io.Reader.
func (a *arrival) Read(p []byte) (int, error) {
	if a.idle > 0 {
		// What comes as a stream may take longer in all than requests may.
		_ = a.connection.SetReadDeadline(time.Now().Add(a.idle))
	}
	n, err := a.ReadCloser.Read(p)
	a.read += int64(n)
	if a.limit > 0 && a.read > a.limit {
		err = errBodyTooLarge
	}
	switch {
	case errors.Is(err, io.EOF):
		a.ended = true
	case err != nil:
		a.err = err
	}
	return n, err
}

// lingering is how long what a sender still sends is read when it has its answer.
const lingering = 500 * time.Millisecond

// answerEarly calls answer. If the sender still sends, it is heard out for a while, for it might otherwise see its
// connection broken and not the answer (RFC 9112, section 9.6). The server does so by itself, but not for senders that want
// the connection closed.
func (a *arrival) answerEarly(w http.ResponseWriter, answer func()) {
	if a.ended || a.err != nil && !errors.Is(a.err, errBodyTooLarge) {
		answer()
		return
	}
	// A failure of any of these means that the connection can do without, or that it is gone.
	_ = a.connection.EnableFullDuplex()
	w.Header().Set("Connection", "close")
	answer()
	_ = a.connection.Flush()
	_ = a.connection.SetReadDeadline(time.Now().Add(lingering))
	_, _ = io.Copy(io.Discard, a.ReadCloser)
}

func ready(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	_, _ = io.WriteString(w, "ready")
}
