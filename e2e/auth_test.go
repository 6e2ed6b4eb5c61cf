// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/firehose"
	"github.com/awsloki/awsloki/e2e/lambdapromtail"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// guest is somebody who sends a line by every input, with what he has for credentials.
type guest struct {
	*testing.T
	client *http.Client
	url    string
	header map[string]string
}

func (g guest) request(method, path string, body []byte, header map[string]string) (response, error) {
	g.Helper()
	req, err := http.NewRequestWithContext(g.Context(), method, g.url+path, bytes.NewReader(body))
	require.NoError(g, err)
	for _, all := range []map[string]string{header, g.header} {
		for name, value := range all {
			req.Header.Set(name, value)
		}
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(text)}, err
}

func (g guest) requireStatus(want int, method, path string, body []byte, header map[string]string) response {
	g.Helper()
	got, err := g.request(method, path, body, header)
	require.NoError(g, err)
	require.Equal(g, want, got.status, "%s: %s", path, got.body)
	return got
}

// oneLine is a message of one event, another one each time.
func oneLine() cloudwatch.Message {
	return cloudwatch.Generate(cloudwatch.Source{Start: time.Now(), Events: 1, Seed: uint64(time.Now().UnixNano())})
}

// isLetIn checks that a line is taken by each input but Firehose.
func (g guest) isLetIn() {
	g.Helper()
	push, err := lambdapromtail.Encode(lambdapromtail.Stream(oneLine()))
	require.NoError(g, err)
	g.requireStatus(200, http.MethodPost, subscriptionPath, oneLine().Gzip(), nil)
	g.requireStatus(204, http.MethodPost, lokiPushPath, push, map[string]string{"Content-Type": lambdapromtail.ContentType})
	g.requireStatus(200, http.MethodPost, objectURL("key", 0), []byte(oneLine().LogEvents[0].Message), nil)
}

// letIn is how many lines isLetIn sends.
const letIn = 3

// isKeptOut checks that no input but Firehose is open, and that health is known all the same.
func (g guest) isKeptOut() {
	g.Helper()
	push, err := lambdapromtail.Encode(lambdapromtail.Stream(oneLine()))
	require.NoError(g, err)
	got := g.requireStatus(401, http.MethodPost, subscriptionPath, oneLine().Gzip(), nil)
	assert.Contains(g, got.body, `"accepted":0`)
	g.requireStatus(401, http.MethodPost, lokiPushPath, push, map[string]string{"Content-Type": lambdapromtail.ContentType})
	g.requireStatus(401, http.MethodPost, objectURL("key", 0), []byte("line"), nil)
	g.requireStatus(401, http.MethodPost, "/elsewhere", nil, nil)
	g.requireStatus(200, http.MethodGet, "/ready", nil, nil)
}

// requireFirehose checks what becomes of a request of Firehose's, with or without a key.
func (g guest) requireFirehose(status int, key string) {
	g.Helper()
	r := firehose.Request{ID: "credentials", Time: time.Now(), AccessKey: key, Records: [][]byte{oneLine().Gzip()}}
	got := g.requireStatus(status, http.MethodPost, firehosePath, r.Body(), r.Header())
	requireFirehoseAnswer(g.T, r, got)
}

const (
	// guarded has the receiver ask the extension that follows.
	guarded       = "receivers: {cloudwatchsubscription: {auth: {authenticator: "
	basicAuth     = "extensions: {basicauth: {htpasswd: {inline: 'forwarder:change-me'}}}\nservice: {extensions: [file_storage, health_check, basicauth]}"
	bearerAuth    = "extensions: {bearertokenauth: {token: change-me}}\nservice: {extensions: [file_storage, health_check, bearertokenauth]}"
	authorization = "Authorization"
)

// requireStored checks that so many lines got through.
func (p *pipeline) requireStored(lines int) {
	p.Helper()
	p.untilSent()
	assert.Equal(p, lines, p.count(p.loki.LokiClient, everything))
}

func TestBasicAndBearer(t *testing.T) {
	for name, tt := range map[string]struct {
		config, right string
		wrong         []string
	}{
		"basic":  {guarded + "basicauth}}}\n" + basicAuth, "Basic Zm9yd2FyZGVyOmNoYW5nZS1tZQ==", []string{"Basic d3Jvbmc6d3Jvbmc=", "Bearer change-me", "Basic"}},
		"bearer": {guarded + "bearertokenauth}}}\n" + bearerAuth, "Bearer change-me", []string{"Bearer wrong", "Basic Zm9yd2FyZGVyOmNoYW5nZS1tZQ==", "Bearer"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := startReceiver(t, "", tt.config)
			for _, wrong := range append(tt.wrong, "") {
				stranger := guest{t, http.DefaultClient, p.collector.URL(), map[string]string{authorization: wrong}}
				stranger.isKeptOut()
				stranger.requireFirehose(401, "")
			}
			friend := guest{t, http.DefaultClient, p.collector.URL(), map[string]string{authorization: tt.right}}
			friend.isLetIn()
			friend.requireFirehose(200, "") // there is no key to guard it
			p.requireStored(letIn + 1)
		})
	}
}

// Firehose's key opens Firehose's path, and no other; and what opens the others does not open that.
func TestFirehoseKey(t *testing.T) {
	p := startReceiver(t, "", guarded+"basicauth}, firehose_access_key: secret}}\n"+basicAuth)
	url := p.collector.URL()
	nobody := guest{t, http.DefaultClient, url, nil}
	nobody.requireFirehose(200, "secret")
	nobody.requireFirehose(401, "wrong")
	nobody.requireFirehose(401, "secret2")
	nobody.requireFirehose(401, "")
	nobody.isKeptOut()
	guest{t, http.DefaultClient, url, map[string]string{"X-Amz-Firehose-Access-Key": "secret"}}.isKeptOut()
	guest{t, http.DefaultClient, url, map[string]string{authorization: "Basic Zm9yd2FyZGVyOnNlY3JldA=="}}.isKeptOut() // forwarder:secret
	forwarder := guest{t, http.DefaultClient, url, map[string]string{authorization: "Basic Zm9yd2FyZGVyOmNoYW5nZS1tZQ=="}}
	forwarder.isLetIn()
	forwarder.requireFirehose(401, "")
	forwarder.requireFirehose(401, "change-me")
	p.requireStored(letIn + 1)
	log, err := p.collector.Log()
	require.NoError(t, err)
	assert.NotContains(t, log, "secret")
}

// authority signs certificates.
type authority struct {
	*testing.T
	dir         string
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{t, t.TempDir(), key, certificate}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// write writes a PEM file and returns its path.
func (a *authority) write(name, kind string, der []byte) string {
	a.Helper()
	path := filepath.Join(a.dir, name)
	require.NoError(a, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// file is the authority's own certificate.
func (a *authority) file() string { return a.write("ca.pem", "CERTIFICATE", a.certificate.Raw) }

// issue returns a certificate for 127.0.0.1, and the files that it and its key are in.
func (a *authority) issue(name string, usage x509.ExtKeyUsage) (certificate tls.Certificate, certFile, keyFile string) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	require.NoError(a, err)
	secret, err := x509.MarshalECPrivateKey(key)
	require.NoError(a, err)
	certFile, keyFile = a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "EC PRIVATE KEY", secret)
	certificate, err = tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(a, err)
	return certificate, certFile, keyFile
}

// startWithTLS starts a receiver that serves HTTPS, and returns its URL.
func startWithTLS(t *testing.T, settings, config string) (p *pipeline, url string) {
	t.Helper()
	p = &pipeline{T: t, loki: stacktest.StartLoki(t, stack.LokiOptions{}), started: time.Now()}
	p.collector = stacktest.StartCollector(t, shippedConfig, map[string]string{"LOKI_URL": p.loki.PushURL()}, stack.CollectorOptions{
		Args: []string{"--config", "yaml:" + soon, "--config", "yaml:receivers: {cloudwatchsubscription: {tls: {" + settings + "}}}", "--config", "yaml:" + config},
	})
	return p, "https" + strings.TrimPrefix(p.collector.URL(), "http")
}

// client is one that trusts an authority, and shows certificates, if any.
func client(t *testing.T, trusted *authority, shown ...tls.Certificate) *http.Client {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted.pool(), Certificates: shown}}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestTLS(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others'")
	_, certFile, keyFile := ours.issue("server", x509.ExtKeyUsageServerAuth)
	p, url := startWithTLS(t, "cert_file: "+certFile+", key_file: "+keyFile, guarded+"bearertokenauth}}}\n"+bearerAuth)
	token := map[string]string{authorization: "Bearer change-me"}

	guest{t, client(t, ours), url, nil}.isKeptOut()
	guest{t, client(t, ours), url, token}.isLetIn()
	_, err := guest{t, client(t, others), url, token}.request(http.MethodPost, subscriptionPath, oneLine().Gzip(), nil)
	assert.ErrorContains(t, err, "certificate signed by unknown authority")
	got, _ := guest{t, client(t, ours), p.collector.URL(), token}.request(http.MethodPost, subscriptionPath, oneLine().Gzip(), nil)
	assert.NotEqual(t, 200, got.status, "without TLS there is an error, or an answer that says so")
	p.requireStored(letIn)
}

func TestClientCertificates(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others'")
	_, certFile, keyFile := ours.issue("server", x509.ExtKeyUsageServerAuth)
	p, url := startWithTLS(t, "cert_file: "+certFile+", key_file: "+keyFile+", client_ca_file: "+ours.file(), "")
	right, _, _ := ours.issue("client", x509.ExtKeyUsageClientAuth)
	wrong, _, _ := others.issue("client", x509.ExtKeyUsageClientAuth)
	server, _, _ := ours.issue("another server", x509.ExtKeyUsageServerAuth)

	for name, shown := range map[string][]tls.Certificate{"none": nil, "of others": {wrong}, "of a server": {server}} {
		stranger := guest{t, client(t, ours, shown...), url, nil}
		for _, path := range []string{subscriptionPath, lokiPushPath, "/ready"} {
			_, err := stranger.request(http.MethodPost, path, oneLine().Gzip(), nil)
			assert.Error(t, err, "%s: %s", name, path)
		}
	}
	assert.Zero(t, p.received("requests"))
	friend := guest{t, client(t, ours, right), url, nil}
	friend.isLetIn()
	friend.requireStatus(200, http.MethodGet, "/ready", nil, nil)
	p.requireStored(letIn)
}
