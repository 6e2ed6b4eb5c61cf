// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package s3object reads objects in S3.
package s3object

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
)

// Store reads objects, by a client for each region. It may be used by many goroutines.
type Store struct {
	load    func() (aws.Config, error)
	region  string
	timeout time.Duration

	mu      sync.Mutex
	clients map[string]*s3.Client
}

// NewStore returns a store whose clients are made by what load returns, when they are first needed. Region is that of
// objects of which it is not known, and timeout how long S3 may let a reader wait.
func NewStore(load func() (aws.Config, error), region string, timeout time.Duration) *Store {
	return &Store{load: load, region: region, timeout: timeout, clients: map[string]*s3.Client{}}
}

// Body is the content of an object.
type Body struct {
	io.ReadCloser
	// Size is the number of bytes, negative if it is not known.
	Size int64
	// ETag is that of the content.
	ETag string
}

// ObjectError is why an object cannot be read.
type ObjectError struct {
	Bucket, Key string
	// Status is the HTTP status of S3's answer, 0 if there was none.
	Status int

	cause error
}

func (e *ObjectError) Error() string {
	return fmt.Sprintf("read the object %q of the bucket %q: %s", e.Key, e.Bucket, e.cause)
}

func (e *ObjectError) Unwrap() error { return e.cause }

// Final says whether S3 will say the same another time: there is no such object, the function may not read it, or the bucket
// is in another region.
func (e *ObjectError) Final() bool {
	return e.Status >= 300 && e.Status < 500 && e.Status != http.StatusRequestTimeout && e.Status != http.StatusTooManyRequests &&
		!isTemporary(e.cause)
}

// isTemporary goes by the code of S3's error, or of that of KMS which it passes on: some of these come with the status 400.
func isTemporary(err error) bool {
	coded, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	code := coded.ErrorCode()
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	_, retryable := retry.DefaultRetryableErrorCodes[code]
	return throttled || retryable || strings.HasSuffix(code, "ThrottlingException") ||
		code == "ExpiredToken" || code == "RequestTimeTooSkewed"
}

// Open is the type of Store.Open.
type Open func(ctx context.Context, o event.Object) (*Body, error)

// Open begins to read an object, as it is now, from its beginning. Its error is an *ObjectError, and so are those of the body, other than io.EOF.
func (s *Store) Open(ctx context.Context, o event.Object) (*Body, error) {
	client, err := s.client(cmp.Or(o.Region, s.region))
	if err != nil {
		return nil, newError(o, err)
	}
	input := &s3.GetObjectInput{Bucket: aws.String(o.Bucket), Key: aws.String(o.Key)}
	if o.VersionID != "" && o.VersionID != nullVersion {
		input.VersionId = aws.String(o.VersionID)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	b := &body{object: o, ctx: ctx, cancel: cancel, timeout: s.timeout}
	b.timer = time.AfterFunc(s.timeout, func() { cancel(errStalled) })
	got, err := client.GetObject(ctx, input)
	b.timer.Stop()
	if err != nil {
		err = b.error(err)
		cancel(nil)
		return nil, err
	}
	b.content = got.Body
	return &Body{
		ReadCloser: b,
		Size:       aws.ToInt64(cmp.Or(got.ContentLength, aws.Int64(-1))),
		ETag:       aws.ToString(got.ETag),
	}, nil
}

// nullVersion is the id of objects that were written while their bucket had no versions.
const nullVersion = "null"

func (s *Store) client(region string) (*s3.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if client, ok := s.clients[region]; ok {
		return client, nil
	}
	cfg, err := s.load()
	if err != nil {
		return nil, err
	}
	cfg.Region = region
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		// Names of buckets are no names of hosts where S3 is somebody else's.
		o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL_S3") != "" || os.Getenv("AWS_ENDPOINT_URL") != ""
		// A warning for each object whose checksum is of its parts would be a line of log for each.
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	s.clients[region] = client
	return client, nil
}

func newError(o event.Object, cause error) *ObjectError {
	e := &ObjectError{Bucket: o.Bucket, Key: o.Key, cause: cause}
	if response, ok := errors.AsType[*awshttp.ResponseError](cause); ok {
		e.Status = response.HTTPStatusCode()
	}
	return e
}

// body gives errors the name of the object, and does not wait for S3 forever.
type body struct {
	object  event.Object
	content io.ReadCloser
	timeout time.Duration

	// ctx is that of the request, which timer ends.
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

var errStalled = errors.New("S3 has sent nothing within `REQUEST_TIMEOUT`")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.timeout)
	n, err := b.content.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.error(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.cancel(nil)
	return b.content.Close()
}

func (b *body) error(err error) error {
	if errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	return newError(b.object, err)
}
