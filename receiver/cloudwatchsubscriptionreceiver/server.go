// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"context"
	"io"
	"math"
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.uber.org/zap"
)

const readyPath = "/ready"

// newServer has the health check answer anybody, and everything else behind what the configuration says.
func (r *subscriptionReceiver) newServer(ctx context.Context, host component.Host) (*http.Server, error) {
	server, err := r.chain(ctx, host, r.config.ServerConfig)
	if err != nil {
		return nil, err
	}
	unguarded := r.config.ServerConfig
	unguarded.Auth = configoptional.None[confighttp.AuthConfig]()
	keyed, err := r.chain(ctx, host, unguarded)
	if err != nil {
		return nil, err
	}
	guarded := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.serving.RLock()
		defer r.serving.RUnlock()
		if r.closed {
			http.Error(w, errStopping.Error(), http.StatusServiceUnavailable)
			return
		}
		if req.URL.Path == readyPath {
			ready(w, req)
			return
		}
		in := r.inputOf(req)
		req = r.withArrival(w, req, in)
		if in.keyed {
			keyed.Handler.ServeHTTP(w, req)
		} else {
			guarded.ServeHTTP(w, req)
		}
	})
	return server, nil
}

// chain is what confighttp puts before the inputs: of what it does, decoding and the limit on bodies are left to the inputs,
// which count what they take of memory.
func (r *subscriptionReceiver) chain(ctx context.Context, host component.Host, config confighttp.ServerConfig) (*http.Server, error) {
	config.MaxRequestBodySize = math.MaxInt64
	config.CompressionAlgorithms = []string{""}
	return config.ToServer(ctx, host.GetExtensions(), r.telemetry, http.HandlerFunc(r.serve),
		confighttp.WithErrorHandler(func(w http.ResponseWriter, req *http.Request, message string, status int) {
			// What an authenticator says may quote what it was given.
			r.telemetry.Logger.Debug("Refused a request before its input.", zap.Int("http.response.status_code", status), zap.String("error", message))
			r.answer(w, req, outcome{status: status, message: strings.ToLower(http.StatusText(status))})
		}),
	)
}

func (r *subscriptionReceiver) inputOf(req *http.Request) *input {
	if in, ok := r.inputs[req.URL.Path]; ok {
		return in
	}
	return nowhere
}

func ready(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	_, _ = io.WriteString(w, "ready")
}
