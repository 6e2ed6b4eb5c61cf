// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package transport carries the forwarder's requests, with its credentials.
package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
)

const (
	// writeBufferSize lets the headers and most messages leave in one system call.
	writeBufferSize = 64 << 10

	// idleTimeout is below the 60 s after which an AWS load balancer closes an idle connection, so that it is the forwarder
	// that closes it.
	idleTimeout = 50 * time.Second

	// maxIdleConnections is the number of invocations that may share the process at a time without new connections for each.
	maxIdleConnections = 64

	// continueTimeout is how long a request that expects 100 Continue waits for a server that does not know of it.
	continueTimeout = time.Second

	maxDrainedBytes = 64 << 10
)

// New returns the transport that cfg asks for. It is to be used without an http.Client, or by one that follows no
// redirects, which would take the credentials to other hosts. Its error names the variable.
func New(ctx context.Context, cfg *config.Config, creds *credentials.Credentials, read credentials.Read) (http.RoundTripper, error) {
	tlsConfig, err := newTLSConfig(ctx, &cfg.TLS, read)
	if err != nil {
		return nil, err
	}
	// HTTP/1.1 only. Lambda freezes the process between invocations, and a connection that has died meanwhile then costs
	// one request, not all that share it.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &authenticated{
		credentials: creds,
		next: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: cfg.RequestTimeout}).DialContext,
			TLSClientConfig:       tlsConfig,
			TLSHandshakeTimeout:   cfg.RequestTimeout,
			ExpectContinueTimeout: continueTimeout,
			Protocols:             protocols,
			MaxIdleConnsPerHost:   maxIdleConnections,
			IdleConnTimeout:       idleTimeout,
			WriteBufferSize:       writeBufferSize,
			DisableCompression:    true,
		},
	}, nil
}

// authenticated sends requests with the credentials, and once more with new ones if they were refused and there are any.
type authenticated struct {
	credentials *credentials.Credentials
	next        *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (a *authenticated) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := a.credentials.Authorization()
	resp, err := a.next.RoundTrip(withAuthorization(req, sent))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || sent == "" || req.GetBody == nil && req.Body != nil {
		return resp, err
	}
	fresh, ok := a.credentials.Refresh(req.Context(), sent)
	if !ok {
		return resp, nil
	}
	again := withAuthorization(req, fresh)
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return resp, nil //nolint:nilerr // the answer stands
		}
	}
	// Read to its end the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrainedBytes)
	_ = resp.Body.Close()
	return a.next.RoundTrip(again)
}

// CloseIdleConnections is what http.Client's method of that name calls.
func (a *authenticated) CloseIdleConnections() { a.next.CloseIdleConnections() }

func withAuthorization(req *http.Request, authorization string) *http.Request {
	if authorization == "" {
		return req
	}
	own := req.Clone(req.Context())
	own.Header.Set("Authorization", authorization)
	return own
}

func newTLSConfig(ctx context.Context, settings *config.TLS, read credentials.Read) (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: settings.SkipVerify} //nolint:gosec // the operator's choice
	if settings.CA.IsSet() {
		pem, err := readPEM(ctx, "TLS_CA", settings.CA, read)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("`TLS_CA` has no certificate in PEM")
		}
	}
	if !settings.Cert.IsSet() {
		return c, nil
	}
	cert, err := readPEM(ctx, "TLS_CERT", settings.Cert, read)
	if err != nil {
		return nil, err
	}
	key, err := readPEM(ctx, "TLS_KEY", settings.Key, read)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("`TLS_CERT` and `TLS_KEY`: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// readPEM reads a setting that is PEM, the name of a file of it, or the ARN of where it is kept.
func readPEM(ctx context.Context, key string, setting credentials.Secret, read credentials.Read) ([]byte, error) {
	value, err := setting.Resolve(ctx, read)
	if err != nil {
		return nil, fmt.Errorf("read `%s`: %w", key, err)
	}
	if setting.IsKept() || strings.Contains(value, "-----BEGIN ") {
		return []byte(value), nil
	}
	pem, err := os.ReadFile(value) //nolint:gosec // the operator's choice
	if err != nil {
		// What is no name may be a key, so that it is not for errors.
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err
		}
		return nil, fmt.Errorf("`%s` is neither PEM nor the name of a file that can be read: %w", key, err)
	}
	return pem, nil
}
