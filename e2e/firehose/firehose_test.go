// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package firehose

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRequest(t *testing.T) {
	r := Request{ID: "ed4acda5-034f-9f42-bba1-f29aea6d7d8f", Time: time.UnixMilli(1578090901599), Records: [][]byte{[]byte("a"), {}}}
	assert.JSONEq(t, `{"requestId":"ed4acda5-034f-9f42-bba1-f29aea6d7d8f","timestamp":1578090901599,"records":[{"data":"YQ=="},{"data":""}]}`,
		string(r.Body()), "as AWS shows it")
	assert.Equal(t, r.ID, r.Header()["X-Amz-Firehose-Request-Id"])
	assert.NotContains(t, r.Header(), "X-Amz-Firehose-Access-Key")
	r.AccessKey = "secret"
	assert.Equal(t, "secret", r.Header()["X-Amz-Firehose-Access-Key"])
}

func TestParseAnswer(t *testing.T) {
	a, err := ParseAnswer([]byte(`{"requestId":"a","timestamp":1578109801599,"errorMessage":"no"}`))
	require.NoError(t, err)
	assert.Equal(t, int64(1578109801599), *a.Timestamp)
	assert.Equal(t, "a", a.RequestID)
	assert.Equal(t, "no", a.ErrorMessage)
	for _, bad := range []string{
		``, `{}`, `{"requestId":"a"}`, `{"timestamp":1}`, `{"requestId":"a","timestamp":1.5}`,
		`{"requestId":"a","timestamp":"1"}`, `{"requestId":"a","timestamp":1,"accepted":1}`, `{"requestId":"a","timestamp":1}{}`,
	} {
		_, err := ParseAnswer([]byte(bad))
		assert.ErrorContains(t, err, "answer to Firehose: ", bad)
	}
}
