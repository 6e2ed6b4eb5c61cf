// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const logBucket = "log-bucket"

func startS3(tb testing.TB, opts S3Options) *S3 {
	tb.Helper()
	s, err := StartS3(tb.Context(), tb.TempDir(), opts)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		assert.NoError(tb, s.Stop())
		if tb.Failed() {
			tb.Log(s.Tail())
		}
	})
	require.NoError(tb, s.CreateBucket(tb.Context(), logBucket))
	return s
}

// requireObject fails unless the object has this content and this etag.
func requireObject(tb testing.TB, s *S3, key string, body []byte, etag string) {
	tb.Helper()
	out, err := s.Client().GetObject(tb.Context(), &s3.GetObjectInput{Bucket: aws.String(logBucket), Key: &key})
	require.NoError(tb, err, key)
	got, err := io.ReadAll(out.Body)
	require.NoError(tb, err, key)
	require.NoError(tb, out.Body.Close(), key)
	require.True(tb, bytes.Equal(body, got), key)
	require.Equal(tb, int64(len(body)), aws.ToInt64(out.ContentLength), key)
	require.Equal(tb, `"`+etag+`"`, aws.ToString(out.ETag), key)
}

func TestS3Server(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{})
	const key = "AWSLogs/123456789012/elasticloadbalancing/us-east-1/2026/01/31/a.log.gz"
	put := func(body []byte) string {
		t.Helper()
		etag, err := s.Put(t.Context(), logBucket, key, bytes.NewReader(body))
		require.NoError(t, err)
		sum := md5.Sum(body)
		require.Equal(t, hex.EncodeToString(sum[:]), etag)
		requireObject(t, s, key, body, etag)
		return etag
	}
	put(nil)
	small := put([]byte("one line\n"))
	require.Equal(t, small, put([]byte("one line\n")))
	large := bytes.Repeat([]byte("0123456789abcde\n"), 1<<20)
	etag := put(large)
	require.NotEqual(t, small, etag)

	require.NoError(t, s.Restart(t.Context()))
	requireObject(t, s, key, large, etag)

	pid := s.PID()
	require.NoError(t, s.Kill())
	requireGone(t, pid)
	require.NoError(t, s.Start(t.Context()))
	requireObject(t, s, key, large, etag)

	pid = s.PID()
	require.NoError(t, s.Stop())
	requireGone(t, pid)
}

func TestS3Keys(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{})
	keys := []string{
		"two words.log",
		" at both ends ",
		"a+b.log",
		"100%.log",
		"%41%2F%2b%20.log",
		"year=2026/month=01/day=31/x.log",
		"folder with spaces+pluses/b c+d%20e=f&g?h#i.log",
		"größe/журнал/日誌/🪵.log",
		"e\u0301 is not \u00e9.log",
		"quotes'\"`.log",
		"brackets[{(<>)}].log",
		`back\slash.log`,
		".hidden/..also/...log",
		"punctuation!$@*,:;~^|_-.log",
		strings.Repeat("long/", 150) + "name.log",
	}
	etags := map[string]string{}
	for _, key := range keys {
		etag, err := s.Put(t.Context(), logBucket, key, strings.NewReader("body of "+key))
		require.NoError(t, err, key)
		etags[key] = etag
	}
	for _, key := range keys {
		requireObject(t, s, key, []byte("body of "+key), etags[key])
		// What is on disk shows that the server has the key itself, not an encoding that the client undoes.
		file, err := os.ReadFile(filepath.Join(filepath.Dir(s.LogPath()), "s3-objects", logBucket, filepath.FromSlash(key)))
		require.NoError(t, err, key)
		require.Equal(t, "body of "+key, string(file), key)
	}
	listed, err := s.Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(logBucket)})
	require.NoError(t, err)
	got := make([]string, len(listed.Contents))
	for i, object := range listed.Contents {
		got[i] = aws.ToString(object.Key)
	}
	assert.ElementsMatch(t, keys, got)
}

func TestS3Errors(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{})
	_, err := s.Put(t.Context(), logBucket, "there.log", strings.NewReader("line\n"))
	require.NoError(t, err)
	// f gets an object with these keys and this region, and wants an answer with this status and this code.
	f := func(bucket, key, accessKey, secretKey, region string, status int, code string) {
		t.Helper()
		// A copy of the server's own client would sign as before: it remembers the key that it derived from the secret.
		client := s3.New(s3.Options{
			BaseEndpoint: &s.Endpoint, Region: region, Credentials: credentials(accessKey, secretKey),
		})
		_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		var api smithy.APIError
		require.ErrorAs(t, err, &api)
		assert.Equal(t, code, api.ErrorCode())
		var response interface{ HTTPStatusCode() int }
		require.ErrorAs(t, err, &response)
		assert.Equal(t, status, response.HTTPStatusCode())
	}
	f(logBucket, "missing.log", s.AccessKey, s.SecretKey, s.Region, http.StatusNotFound, "NoSuchKey")
	f(logBucket, "missing folder/a+b.log", s.AccessKey, s.SecretKey, s.Region, http.StatusNotFound, "NoSuchKey")
	f("missing-bucket", "there.log", s.AccessKey, s.SecretKey, s.Region, http.StatusNotFound, "NoSuchBucket")
	f(logBucket, "there.log", s.AccessKey, "another", s.Region, http.StatusForbidden, "SignatureDoesNotMatch")
	f(logBucket, "there.log", "another", s.SecretKey, s.Region, http.StatusForbidden, "InvalidAccessKeyId")
	f(logBucket, "there.log", s.AccessKey, s.SecretKey, "eu-central-1", http.StatusBadRequest, "AuthorizationHeaderMalformed")

	var noSuchKey *types.NoSuchKey
	missing := &s3.GetObjectInput{Bucket: aws.String(logBucket), Key: aws.String("missing.log")}
	_, err = s.Client().GetObject(t.Context(), missing)
	require.ErrorAs(t, err, &noSuchKey)

	_, err = s.Put(t.Context(), "missing-bucket", "a b.log", strings.NewReader("line\n"))
	require.ErrorContains(t, err, "put s3://missing-bucket/a b.log: ")
	for _, key := range []string{"", "/a", "a//b", "a/./b", "../a", "a/.."} {
		_, err = s.Put(t.Context(), logBucket, key, strings.NewReader("line\n"))
		require.ErrorContains(t, err, "put s3://log-bucket/"+key+": a key cannot have the part ")
	}
	require.ErrorContains(t, s.CreateBucket(t.Context(), "No Bucket"), "create bucket No Bucket: ")
}

func TestS3Region(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Options{Region: "eu-central-1"})
	assert.Equal(t, "eu-central-1", s.Region)
	etag, err := s.Put(t.Context(), logBucket, "a.log", strings.NewReader("line\n"))
	require.NoError(t, err)
	requireObject(t, s, "a.log", []byte("line\n"), etag)
}

func TestS3Env(t *testing.T) {
	t.Parallel()
	a, b := startS3(t, S3Options{}), startS3(t, S3Options{})
	assert.Equal(t, map[string]string{
		"AWS_ENDPOINT_URL_S3":   a.Endpoint,
		"AWS_ACCESS_KEY_ID":     a.AccessKey,
		"AWS_SECRET_ACCESS_KEY": a.SecretKey,
	}, a.Env())
	assert.Equal(t, "us-east-1", a.Region)
	for name, value := range b.Env() {
		assert.NotEqual(t, value, a.Env()[name], name)
	}
	log, err := a.Log()
	require.NoError(t, err)
	assert.NotContains(t, log, a.SecretKey)
	assert.False(t, slices.ContainsFunc(a.cmd.Args, func(arg string) bool { return strings.Contains(arg, a.SecretKey) }))
}
