// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
)

// A length that is only stated costs nothing, however large.
func TestStatedLength(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	for _, path := range []string{defaultSubscriptionPath, defaultFirehosePath, defaultLokiPushPath} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\n", path)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		want := http.StatusRequestEntityTooLarge
		if path == defaultFirehosePath {
			want = http.StatusBadRequest
		}
		assert.Equal(t, want, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
		require.NoError(t, conn.Close())
	}
	resp, _ := s.post(document("a"))
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, 1, sink.LogRecordCount())
}

// An answer that comes before the body was sent arrives, and at once, also where the sender wants the connection closed.
func TestEarlyAnswers(t *testing.T) {
	authenticator := component.MustNewID("refuseall")
	withAuth := host{map[component.ID]component.Component{authenticator: refuseAll{}}}
	guarded := startReceiver(t, consumertest.NewNop(), func(c *Config) {
		c.ServerConfig.Auth = configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: authenticator}})
	}, nil, withAuth)
	open := startReceiver(t, consumertest.NewNop(), nil, nil, componenttest.NewNopHost())
	large := bytes.Repeat([]byte(" "), 30<<20)
	for _, keepAlive := range []bool{true, false} {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: !keepAlive}}
		for range 3 {
			for url, status := range map[string]int{
				guarded.base + defaultSubscriptionPath: 401,
				guarded.base + defaultS3Path:           401,
				open.base + defaultSubscriptionPath:    413,
				open.base + defaultS3Path:              400,
				open.base + "/elsewhere":               404,
			} {
				resp, err := client.Post(url, "", bytes.NewReader(large))
				require.NoError(t, err)
				assert.Equal(t, status, resp.StatusCode)
				assert.Positive(t, resp.ContentLength)
				_, err = io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
			}
		}
		client.CloseIdleConnections()
	}
}

// More requests at once than there are turns: each has an answer soon, and what was acknowledged is handed on.
func TestBusy(t *testing.T) {
	sink := new(consumertest.LogsSink)
	leave := make(chan struct{})
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		<-leave
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	s := startReceiver(t, next, nil, nil, componenttest.NewNopHost())
	most := turns()
	statuses := make(chan int, most+3)
	var wg sync.WaitGroup
	for i := range most + 3 {
		wg.Go(func() {
			resp, text := s.post(document(strconv.Itoa(i)))
			if resp.StatusCode == http.StatusServiceUnavailable {
				assert.JSONEq(t, `{"accepted":0,"error":"too many requests at once"}`, text)
				assert.Equal(t, "1", resp.Header.Get("Retry-After"))
			}
			statuses <- resp.StatusCode
		})
	}
	for range 3 {
		assert.Equal(t, 503, <-statuses, "while all others are being handed on")
	}
	close(leave)
	wg.Wait()
	assert.Equal(t, most, sink.LogRecordCount())
}

// A stream that never ends does not keep the receiver from stopping.
func TestShutdownEndsStreams(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	body, w := io.Pipe()
	defer w.Close()
	answered := make(chan string, 1)
	go func() {
		defer close(answered)
		_, text := s.object(body, testObject)
		answered <- text
	}()
	_, err := w.Write(numbered(20_000))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return sink.LogRecordCount() > 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.receiver.Shutdown(context.Background()))
	assert.JSONEq(t, fmt.Sprintf(`{"accepted":%d,"error":"the receiver is stopping"}`, sink.LogRecordCount()), <-answered)
}

// By HTTP/2 a request may take longer than an answer may, too.
func TestHTTP2(t *testing.T) {
	certificate, key, pool := selfSigned(t)
	s := startReceiver(t, consumertest.NewNop(), func(c *Config) {
		c.ServerConfig.ReadTimeout, c.ServerConfig.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
		c.ServerConfig.TLS = configoptional.Some(configtls.ServerConfig{Config: configtls.Config{
			CertPem: configopaque.String(certificate), KeyPem: configopaque.String(key),
		}})
	}, nil, componenttest.NewNopHost())
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	url := "https" + strings.TrimPrefix(s.base, "http")
	slow, w := io.Pipe()
	go func() {
		ticks := time.NewTicker(50 * time.Millisecond)
		defer ticks.Stop()
		for range 12 {
			<-ticks.C
			_, _ = w.Write([]byte("line\n"))
		}
		w.Close()
	}()
	resp, err := client.Post(url+defaultS3Path+testObject, "", slow)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, 2, resp.ProtoMajor)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.JSONEq(t, `{"accepted":12}`, string(text))

	// What is answered early leaves the connection to others.
	for range 3 {
		resp, err := client.Post(url+"/elsewhere", "", bytes.NewReader(make([]byte, 100_000)))
		require.NoError(t, err)
		assert.Equal(t, 404, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	}
}

func selfSigned(t *testing.T) (certificate, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
	return certificate, key, pool
}

// Where the sender has gone, or the pipeline was slow, nothing is wrong with the request.
func TestPushIsNeverTimedOut(t *testing.T) {
	s := startReceiver(t, consumertest.NewNop(), func(c *Config) { c.ServerConfig.ReadTimeout = 50 * time.Millisecond }, nil, componenttest.NewNopHost())
	stuck, w := io.Pipe()
	defer w.CloseWithError(errors.New("over"))
	resp, text := s.do(http.MethodPost, defaultLokiPushPath, stuck, "Content-Type", "application/x-protobuf")
	assert.Equal(t, 503, resp.StatusCode, "Loki's clients give up after 408")
	assert.Equal(t, "the body did not arrive in whole, or not in time", text)
}

// A sender that states a length and then falls silent has an answer, and keeps nobody waiting.
func TestSilentSender(t *testing.T) {
	s := startReceiver(t, consumertest.NewNop(), func(c *Config) { c.ServerConfig.ReadTimeout = 50 * time.Millisecond }, nil, componenttest.NewNopHost())
	for _, path := range []string{defaultSubscriptionPath, defaultS3Path + testObject} {
		for _, length := range []int{1000, 1_000_000} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
			require.NoError(t, err)
			_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nline\n", path, length)
			require.NoError(t, err)
			answer, err := io.ReadAll(conn)
			require.NoError(t, err)
			assert.Contains(t, string(answer), "408 Request Timeout")
			require.NoError(t, conn.Close())
		}
	}
}

// A pipeline that takes its time does not outlast the time that the receiver has to stop, whichever way the records came.
func TestShutdownCutsThePipeline(t *testing.T) {
	for _, path := range []string{defaultSubscriptionPath, defaultS3Path + testObject} {
		entered := make(chan struct{}, 10)
		next, err := consumer.NewLogs(func(ctx context.Context, _ plog.Logs) error {
			entered <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
		require.NoError(t, err)
		s := startReceiver(t, next, nil, nil, componenttest.NewNopHost())
		body, w := io.Pipe()
		go func() {
			if path == defaultSubscriptionPath {
				_, _ = w.Write(document("a"))
				w.Close()
				return
			}
			_, _ = w.Write(numbered(50_000))
		}()
		go func() {
			resp, err := http.Post(s.base+path, "", body)
			if err == nil {
				resp.Body.Close()
			}
		}()
		<-entered
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		require.ErrorIs(t, s.receiver.Shutdown(ctx), context.DeadlineExceeded)
		cancel()
		w.Close()
	}
}
