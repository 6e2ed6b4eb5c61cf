// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3Options changes how StartS3 starts the S3 server. The zero value is usual.
type S3Options struct {
	Binary string // default: _build/versitygw in the repository
	Region string // the one region that requests may be signed for; default: us-east-1, the forwarder's
}

// S3 is an S3 server that runs as a child process. After Stop or Kill, Start and Restart bring it back on the same port
// with the same access key and the objects it had. Since an object is a file, there cannot be one called a beside one
// called a/b, no part of a key between slashes may be longer than 255 bytes, and none may be empty, "." or "..".
type S3 struct {
	*Process
	Endpoint  string // base URL; a bucket is the first part of the path
	AccessKey string
	SecretKey string
	Region    string

	client *s3.Client
}

// StartS3 starts the S3 server with its objects and its log in dir, and waits until it answers.
func StartS3(ctx context.Context, dir string, opts S3Options) (*S3, error) {
	binary, err := findBinary(opts.Binary, "versitygw", "versitygw")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	objects, metadata := filepath.Join(dir, "s3-objects"), filepath.Join(dir, "s3-metadata")
	accounts := filepath.Join(dir, "s3-accounts")
	for _, folder := range []string{objects, metadata, accounts} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("folder of the S3 server: %w", err)
		}
	}
	addr, err := FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	s := &S3{
		Endpoint:  "http://" + addr,
		AccessKey: "AKIA" + rand.Text()[:16],
		SecretKey: rand.Text(),
		Region:    cmp.Or(opts.Region, "us-east-1"),
	}
	s.client = s3.New(s3.Options{
		BaseEndpoint: &s.Endpoint,
		Region:       s.Region,
		Credentials:  credentials(s.AccessKey, s.SecretKey),
	})
	s.Process, err = StartProcess(ctx, Command{
		Name: "versitygw",
		Path: binary,
		Args: []string{
			"--port", addr, "--region", s.Region,
			"--keep-alive",        // as AWS does
			"--iam-dir", accounts, // stays empty; without it, an unknown access key is not answered as AWS does
			// Not every file system has extended attributes: the etags are kept in files.
			"posix", "--sidecar", metadata, objects,
		},
		// Unlike arguments, these are hidden from others on the machine.
		Env:   map[string]string{"ROOT_ACCESS_KEY_ID": s.AccessKey, "ROOT_SECRET_ACCESS_KEY": s.SecretKey},
		Dir:   dir,
		Ready: s.ready,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func credentials(accessKey, secretKey string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}, nil
	})
}

func (s *S3) ready(ctx context.Context) error {
	_, err := s.client.ListBuckets(ctx, &s3.ListBucketsInput{}, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
	return err
}

// Env returns the variables with which an AWS SDK, the forwarder's for one, uses this server and may read all of it.
func (s *S3) Env() map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL_S3":   s.Endpoint,
		"AWS_ACCESS_KEY_ID":     s.AccessKey,
		"AWS_SECRET_ACCESS_KEY": s.SecretKey,
	}
}

// Client returns a client for what S3 has no method for.
func (s *S3) Client() *s3.Client { return s.client }

// CreateBucket makes an empty bucket.
func (s *S3) CreateBucket(ctx context.Context, bucket string) error {
	if _, err := s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		return fmt.Errorf("create bucket %s: %w", bucket, err)
	}
	return nil
}

// Put makes an object, or replaces it. The etag it returns has no quotes around it, as in S3's event notifications.
func (s *S3) Put(ctx context.Context, bucket, key string, body io.ReadSeeker) (etag string, err error) {
	for part := range strings.SplitSeq(strings.TrimSuffix(key, "/"), "/") {
		if part == "" || part == "." || part == ".." { // the server would take the key for another, and not say so
			return "", fmt.Errorf("put s3://%s/%s: a key cannot have the part %q here", bucket, key, part)
		}
	}
	out, err := s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: body})
	if err != nil {
		return "", fmt.Errorf("put s3://%s/%s: %w", bucket, key, err)
	}
	return strings.Trim(aws.ToString(out.ETag), `"`), nil
}
