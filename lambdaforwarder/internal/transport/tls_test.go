// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package transport_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/transport"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

// sign returns a certificate and its key, in PEM. Without an authority it signs itself, and may sign others.
func sign(t *testing.T, by *authority) (a *authority, keyPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "awsloki test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  by == nil,
		BasicConstraintsValid: true,
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return &authority{cert: cert, key: key, pem: certPEM}, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func startTLS(t *testing.T, cert *authority, key string, clients *authority) (url string) {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(cert.pem), []byte(key))
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "HTTP/1.1", r.Proto)
	}))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it would print the handshakes that fail
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		srv.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		srv.TLS.ClientCAs = x509.NewCertPool()
		srv.TLS.ClientCAs.AddCert(clients.cert)
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL
}

func value(s string) credentials.Secret { return credentials.Secret{Value: credentials.Opaque(s)} }

func kept(name string) credentials.Secret {
	return credentials.Secret{ARN: arn.ARN{Partition: "aws", Service: credentials.SSM, Region: "r", AccountID: "1", Resource: "parameter/" + name}}
}

func inFile(t *testing.T, content string) credentials.Secret {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.pem")
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	return value(name)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, _ := sign(t, nil)
	other, _ := sign(t, nil)
	serverCert, serverKey := sign(t, ca)
	clientCert, clientKey := sign(t, ca)
	strangerCert, strangerKey := sign(t, other)
	open := startTLS(t, serverCert, serverKey, nil)
	guarded := startTLS(t, serverCert, serverKey, ca)
	read := func(_ context.Context, from arn.ARN) (string, error) {
		content, ok := map[string]string{
			"parameter/ca": ca.pem, "parameter/cert": clientCert.pem, "parameter/key": clientKey,
		}[from.Resource]
		if !ok {
			return "", errors.New("there is no such parameter")
		}
		return content, nil
	}
	f := func(name, url string, settings config.TLS, wantErr string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			carrier := newTransport(t, &config.Config{TLS: settings}, read)
			resp, err := carrier.RoundTrip(newRequest(t, url, strings.NewReader(message)))
			if wantErr != "" {
				require.ErrorContains(t, err, wantErr)
				return
			}
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, 200, resp.StatusCode)
		})
	}
	const unknown = "certificate signed by unknown authority"
	f("system's certificates", open, config.TLS{}, unknown)
	f("any certificate", open, config.TLS{SkipVerify: true}, "")
	f("CA", open, config.TLS{CA: value(ca.pem)}, "")
	f("CA behind text and another", open, config.TLS{CA: value("text\n" + other.pem + "text\n" + ca.pem)}, "")
	f("CA in a file", open, config.TLS{CA: inFile(t, ca.pem)}, "")
	f("CA kept elsewhere", open, config.TLS{CA: kept("ca")}, "")
	f("another CA", open, config.TLS{CA: value(other.pem)}, unknown)
	f("another host", strings.Replace(open, "127.0.0.1", "localhost", 1), config.TLS{CA: value(ca.pem)}, "not valid for any names")

	f("client certificate", guarded, config.TLS{CA: value(ca.pem), Cert: value(clientCert.pem), Key: value(clientKey)}, "")
	f("client certificate in files", guarded,
		config.TLS{CA: value(ca.pem), Cert: inFile(t, clientCert.pem), Key: inFile(t, clientKey)}, "")
	f("client certificate kept elsewhere", guarded, config.TLS{CA: kept("ca"), Cert: kept("cert"), Key: kept("key")}, "")
	f("no client certificate", guarded, config.TLS{CA: value(ca.pem)}, "tls: certificate required")
	f("another's client certificate", guarded,
		config.TLS{CA: value(ca.pem), Cert: value(strangerCert.pem), Key: value(strangerKey)}, "tls: unknown certificate authority")
}

func TestTLSRefuses(t *testing.T) {
	t.Parallel()
	cert, key := sign(t, nil)
	_, otherKey := sign(t, nil)
	denied := errors.New("denied")
	read := func(_ context.Context, from arn.ARN) (string, error) {
		switch from.Resource {
		case "parameter/junk":
			return "s3cret", nil
		case "parameter/empty":
			return "", nil
		default:
			return "", denied
		}
	}
	f := func(name string, settings config.TLS, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			creds, err := credentials.Load(t.Context(), credentials.Settings{}, nil)
			require.NoError(t, err)
			carrier, err := transport.New(t.Context(), &config.Config{TLS: settings}, creds, read)
			require.EqualError(t, err, want)
			assert.Nil(t, carrier)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
	const (
		neither = " is neither PEM nor the name of a file that can be read: no such file or directory"
		noCert  = "`TLS_CA` has no certificate in PEM"
		both    = "`TLS_CERT` and `TLS_KEY`: tls: "
		junk    = "-----BEGIN CERTIFICATE-----\ns3cret\n-----END CERTIFICATE-----\n"
	)
	// A key whose armour was forgotten is no name of a file, but must not be in the log for that.
	f("CA", config.TLS{CA: value("s3cret")}, "`TLS_CA`"+neither)
	f("certificate", config.TLS{Cert: value("s3cret"), Key: value(key)}, "`TLS_CERT`"+neither)
	f("key", config.TLS{Cert: value(cert.pem), Key: value("s3cret")}, "`TLS_KEY`"+neither)
	f("key with a zero byte", config.TLS{Cert: value(cert.pem), Key: value("s3cret\x00")},
		"`TLS_KEY` is neither PEM nor the name of a file that can be read: invalid argument")
	f("folder", config.TLS{CA: value(t.TempDir())}, "`TLS_CA` is neither PEM nor the name of a file that can be read: is a directory")

	f("CA that is junk", config.TLS{CA: value(junk)}, noCert)
	f("CA that is a key", config.TLS{CA: value(key)}, noCert)
	f("CA in a file without PEM", config.TLS{CA: inFile(t, "s3cret")}, noCert)
	f("CA in an empty file", config.TLS{CA: inFile(t, "")}, noCert)
	f("CA kept elsewhere that is none", config.TLS{CA: kept("junk")}, noCert)

	f("key of another", config.TLS{Cert: value(cert.pem), Key: value(otherKey)}, both+"private key does not match public key")
	f("the wrong way round", config.TLS{Cert: value(key), Key: value(cert.pem)},
		both+"failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched")
	f("key in a file without PEM", config.TLS{Cert: value(cert.pem), Key: inFile(t, "s3cret")},
		both+"failed to find any PEM data in key input")

	f("CA that cannot be read", config.TLS{CA: kept("x")}, "read `TLS_CA`: denied")
	f("certificate that cannot be read", config.TLS{Cert: kept("x"), Key: value(key)}, "read `TLS_CERT`: denied")
	f("key that cannot be read", config.TLS{Cert: value(cert.pem), Key: kept("x")}, "read `TLS_KEY`: denied")
	f("CA that is empty", config.TLS{CA: kept("empty")}, "read `TLS_CA`: arn:aws:ssm:r:1:parameter/empty is empty")
}
