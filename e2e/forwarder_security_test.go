// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/awsevents"
	"github.com/awsloki/awsloki/e2e/lambdaruntime"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// keeper stands in for Secrets Manager and SSM: what each ARN keeps.
type keeper struct {
	*httptest.Server
	mu    sync.Mutex
	kept  map[string]string
	reads atomic.Int32
}

func startKeeper(t *testing.T, kept map[string]string) *keeper {
	t.Helper()
	k := &keeper{kept: kept}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	return k
}

func (k *keeper) keep(arn, value string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept[arn] = value
}

// ServeHTTP speaks AWS's JSON 1.1.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.reads.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	var input struct {
		SecretID       string `json:"SecretId"`
		Name           string
		WithDecryption bool
	}
	err := json.NewDecoder(r.Body).Decode(&input)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	var answer any
	switch target := r.Header.Get("X-Amz-Target"); {
	case err == nil && target == "secretsmanager.GetSecretValue" && k.kept[input.SecretID] != "":
		answer = map[string]any{"ARN": input.SecretID, "Name": "x", "SecretString": k.kept[input.SecretID]}
	case err == nil && target == "AmazonSSM.GetParameter" && input.WithDecryption && k.kept[input.Name] != "":
		answer = map[string]any{"Parameter": map[string]any{"ARN": input.Name, "Value": k.kept[input.Name], "Type": "SecureString"}}
	default:
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"__type": "ResourceNotFoundException", "message": "there is none"}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (k *keeper) env() map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": k.URL, "AWS_ENDPOINT_URL_SSM": k.URL,
		"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
	}
}

const (
	secretARN    = "arn:aws:secretsmanager:us-east-1:123456789012:secret:collector-Ab1Cd2"
	parameterARN = "arn:aws:ssm:us-east-1:123456789012:parameter/awsloki/password"
)

// A password that is rotated while the function runs: what comes next is delivered with the new one.
func TestForwarderRotatedPassword(t *testing.T) {
	k := startKeeper(t, map[string]string{secretARN: "forwarder", parameterARN: "old"})
	s3 := stacktest.StartS3(t)
	require.NoError(t, s3.CreateBucket(t.Context(), bucket))
	p := startReceiver(t, "", guarded+"basicauth}}}\n"+basicAuth)
	env := k.env()
	for name, value := range s3.Env() {
		env[name] = value
	}
	env["USERNAME"], env["PASSWORD"] = secretARN, parameterARN
	function := startFunction(t, p.collector.URL(), nil, env)
	m := &eventMaker{T: t, s3: s3, mark: "rotated"}
	object := m.object("rotated")

	assert.Equal(t, "RefusedError", answerTo(t, function, m.message().LambdaEvent()), "the old password")
	m.lines = m.lines[:2]
	assert.EqualValues(t, 4, k.reads.Load(), "both at the start, and after the refusal")
	k.keep(parameterARN, "change-me")
	assert.Equal(t, whole, answerTo(t, function, awsevents.S3("ObjectCreated:Put", object)))
	assert.Equal(t, whole, answerTo(t, function, m.message().LambdaEvent()))
	assert.EqualValues(t, 6, k.reads.Load())
	p.await(everything, len(m.lines))
	assert.Equal(t, len(m.lines), p.count(p.loki.LokiClient, everything))
}

// The function shows a certificate, the key of which is kept as a secret, to a collector that it knows by a file.
func TestForwarderClientCertificate(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others'")
	_, certFile, keyFile := ours.issue("server", x509.ExtKeyUsageServerAuth)
	p, address := startWithTLS(t, "cert_file: "+certFile+", key_file: "+keyFile+", client_ca_file: "+ours.file(), "")
	_, clientCert, clientKey := ours.issue("client", x509.ExtKeyUsageClientAuth)
	cert, err := os.ReadFile(clientCert)
	require.NoError(t, err)
	key, err := os.ReadFile(clientKey)
	require.NoError(t, err)
	k := startKeeper(t, map[string]string{secretARN: string(key)})
	m := &eventMaker{T: t, mark: "certificate"}
	event := m.message().LambdaEvent()

	with := func(more map[string]string) *lambdaruntime.Server {
		env := k.env()
		env["DEADLINE_MARGIN"] = "58s" // of a minute
		for name, value := range more {
			env[name] = value
		}
		return startFunction(t, address, nil, env)
	}
	shown := map[string]string{"TLS_CERT": string(cert), "TLS_KEY": secretARN}
	assert.Equal(t, "UnavailableError", answerTo(t, with(shown), event), "the collector is not known")
	assert.Equal(t, "UnavailableError", answerTo(t, with(map[string]string{"TLS_CA": ours.file()}), event), "the function is not known")
	shown["TLS_CA"] = others.file()
	assert.Equal(t, "UnavailableError", answerTo(t, with(shown), event), "the collector is another")
	shown["TLS_CA"] = ours.file()
	assert.Equal(t, whole, answerTo(t, with(shown), event))
	delete(shown, "TLS_CA")
	shown["SKIP_TLS_VERIFY"] = "true"
	assert.Equal(t, whole, answerTo(t, with(shown), event))
	p.await(everything, len(m.lines))
}

// By a proxy that the environment names, with headers of the operator's.
func TestForwarderProxy(t *testing.T) {
	p := startReceiver(t, "")
	collector, err := url.Parse(p.collector.URL())
	require.NoError(t, err)
	var seen atomic.Pointer[http.Header]
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		assert.Equal(t, "collector.invalid:3500", r.In.URL.Host)
		seen.Store(&r.In.Header)
		r.SetURL(collector)
	}})
	defer proxy.Close()
	function := startFunction(t, "http://collector.invalid:3500", nil, map[string]string{
		"HTTP_PROXY": proxy.URL, "HEADERS": "X-Team=a%20b,X-Other=c", "TENANT_ID": "fake",
	})
	m := &eventMaker{T: t, mark: "proxy"}
	assert.Equal(t, whole, answerTo(t, function, m.message().LambdaEvent()))
	p.await(everything, 2)
	header := *seen.Load()
	assert.Equal(t, "a b", header.Get("X-Team"))
	assert.Equal(t, "c", header.Get("X-Other"))
	assert.True(t, strings.HasPrefix(header.Get("User-Agent"), "awsloki-lambdaforwarder/"))
}

// A wrong configuration ends the start with the names of the variables, and no secret: Lambda is told.
func TestForwarderRefusesConfiguration(t *testing.T) {
	k := startKeeper(t, map[string]string{})
	f := func(name, want string, env map[string]string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			all := k.env()
			all["WRITE_ADDRESS"] = "http://127.0.0.1:1"
			for key, value := range env {
				all[key] = value
			}
			function, err := lambdaruntime.Start()
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, function.Close()) })
			forwarder, err := stack.StartForwarder(t.Context(), t.TempDir(), function.Addr(), all, stack.ForwarderOptions{})
			require.NoError(t, err)
			select {
			case <-function.InitFailed():
			case <-time.After(settled):
				require.Fail(t, "the function takes the configuration")
			}
			_ = forwarder.Stop() // it has ended itself, or is about to
			assert.Equal(t, "ConfigurationError", function.InitError().Type)
			assert.Contains(t, function.InitError().Message, want)
			log, err := forwarder.Log()
			require.NoError(t, err)
			for _, text := range []string{log, function.InitError().Message} {
				assert.NotContains(t, text, "s3cret")
			}
		})
	}
	f("stages", "`LOKI_STAGE_CONFIGS` is set: the forwarder has no pipeline stages; send to a collector and use its transform processor",
		map[string]string{"LOKI_STAGE_CONFIGS": "[]"})
	f("a secret that is not there", "read `PASSWORD`: get the secret "+secretARN, map[string]string{"USERNAME": "u", "PASSWORD": secretARN})
	f("user in the address", "`WRITE_ADDRESS` holds a user or a password", map[string]string{"WRITE_ADDRESS": "http://u:s3cret@127.0.0.1:1"})
	f("a rule", "`RELABEL_CONFIGS`: rule 2: ", map[string]string{"RELABEL_CONFIGS": `[{"action":"labeldrop","regex":"a"},{"action":"explode"}]`})
	f("a key without a certificate", "`TLS_CERT` and `TLS_KEY` need each other", map[string]string{"TLS_KEY": "s3cret"})
}
