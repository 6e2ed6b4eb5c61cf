// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package secrets_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/secrets"
)

const (
	secretARN    = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:path/token-AbCdEf"
	parameterARN = "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/path/token"
	other        = "s3cret"
)

// request is what the services are asked: the operation, the region that it is signed for, and what for.
type request struct {
	target, region string
	input          map[string]any
}

// newReader returns a reader of what a server answers, which remembers the request.
func newReader(t *testing.T, status int, answer string) (credentials.Read, *request) {
	t.Helper()
	asked := &request{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.target = r.Header.Get("X-Amz-Target")
		// AWS4-HMAC-SHA256 Credential=id/date/region/service/aws4_request, ...
		if scope := strings.Split(r.Header.Get("Authorization"), "/"); assert.Len(t, scope, 5) {
			asked.region = scope[2] + " " + scope[3]
		}
		content, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.NoError(t, json.Unmarshal(content, &asked.input))
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	return secrets.NewReader(func() (aws.Config, error) {
		return aws.Config{
			Region:       "of-the-function",
			BaseEndpoint: aws.String(srv.URL),
			HTTPClient:   client,
			Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "id", SecretAccessKey: other}, nil
			}),
		}, nil
	}), asked
}

func read(t *testing.T, reader credentials.Read, from string) (string, error) {
	t.Helper()
	parsed, err := arn.Parse(from)
	require.NoError(t, err)
	return reader(t.Context(), parsed)
}

func TestRead(t *testing.T) {
	t.Parallel()
	f := func(name, from, answer, want string, wantRequest request) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader, asked := newReader(t, 200, answer)
			got, err := read(t, reader, from)
			require.NoError(t, err)
			assert.Equal(t, want, got)
			assert.Equal(t, wantRequest, *asked)
		})
	}
	getSecret := request{"secretsmanager.GetSecretValue", "eu-central-1 secretsmanager", map[string]any{"SecretId": secretARN}}
	f("secret", secretARN, `{"ARN":"a","Name":"n","VersionId":"v","SecretString":"the value ü\n"}`, "the value ü\n", getSecret)
	f("secret that is empty", secretARN, `{"SecretString":""}`, "", getSecret)
	f("binary secret", secretARN, `{"SecretBinary":"dGhlIHZhbHVl"}`, "the value", getSecret)
	f("neither", secretARN, `{}`, "", getSecret)

	getParameter := request{
		"AmazonSSM.GetParameter", "us-gov-west-1 ssm", map[string]any{"Name": parameterARN, "WithDecryption": true},
	}
	f("parameter", parameterARN, `{"Parameter":{"Name":"/path/token","Type":"SecureString","Value":"the value","Version":1}}`,
		"the value", getParameter)
	f("parameter without a value", parameterARN, `{"Parameter":{}}`, "", getParameter)
	f("no parameter", parameterARN, `{}`, "", getParameter)
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	f := func(name, from string, status int, answer string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader, _ := newReader(t, status, answer)
			got, err := read(t, reader, from)
			assert.Empty(t, got)
			for _, part := range append(want, from) {
				require.ErrorContains(t, err, part)
			}
			assert.NotContains(t, err.Error(), other)
		})
	}
	f("no such secret", secretARN, 400,
		`{"__type":"ResourceNotFoundException","Message":"Secrets Manager can't find the specified secret."}`,
		"get the secret ", "ResourceNotFoundException")
	f("denied", secretARN, 400, `{"__type":"AccessDeniedException","Message":"not authorized to perform: secretsmanager:GetSecretValue"}`,
		"get the secret ", "AccessDeniedException", "secretsmanager:GetSecretValue")
	f("an answer that is cut off", secretARN, 200, `{"SecretString":"`+other, "get the secret ")
	f("no such parameter", parameterARN, 400, `{"__type":"ParameterNotFound"}`, "get the parameter ", "ParameterNotFound")
	f("the service is away", parameterARN, 503, ``, "get the parameter ", "503")
	f("no parameter", "arn:aws:ssm:eu-central-1:123456789012:document/x", 200, `{}`, "is not the ARN of a parameter")
}

func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	failed := errors.New("no configuration")
	reader := secrets.NewReader(func() (aws.Config, error) { return aws.Config{}, failed })
	_, err := read(t, reader, secretARN)
	require.ErrorIs(t, err, failed)
}
