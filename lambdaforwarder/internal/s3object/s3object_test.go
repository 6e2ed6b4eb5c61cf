// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3object_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

const content = "a line of a log\n"

// fakeS3 answers all requests in the same way, whatever host they are for, and remembers them.
type fakeS3 struct {
	t      *testing.T
	answer http.HandlerFunc

	mu       sync.Mutex
	requests []request
	loads    atomic.Int32
	address  string
	client   *http.Client
}

// request is what S3 is asked for. Region is the one that it is signed for.
type request struct{ host, uri, region string }

func newS3(t *testing.T, answer http.HandlerFunc) *fakeS3 {
	t.Helper()
	s := &fakeS3{t: t, answer: answer}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.address = srv.URL
	// The names of buckets that are names of hosts lead here, too.
	carrier := srv.Client().Transport.(*http.Transport).Clone()
	dial := carrier.DialContext
	carrier.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, srv.Listener.Addr().String())
	}
	t.Cleanup(carrier.CloseIdleConnections)
	s.client = &http.Client{Transport: carrier}
	return s
}

// ServeHTTP implements http.Handler.
func (s *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	assert.Equal(s.t, http.MethodGet, r.Method)
	scope := strings.Split(r.Header.Get("Authorization"), "/")
	if assert.Greater(s.t, len(scope), 3) {
		assert.Equal(s.t, "s3", scope[3])
		s.mu.Lock()
		s.requests = append(s.requests, request{host: r.Host, uri: r.RequestURI, region: scope[2]})
		s.mu.Unlock()
	}
	s.answer(w, r)
}

func (s *fakeS3) load() (aws.Config, error) {
	s.loads.Add(1)
	return aws.Config{
		Region:       "not-used",
		BaseEndpoint: aws.String("http://s3.test"),
		HTTPClient:   s.client,
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "key"}, nil
		}),
	}, nil
}

func whole(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("ETag", `"e1"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = io.WriteString(w, content)
}

func problem(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>why</Message></Error>", code)
	}
}

func readAll(t *testing.T, store *s3object.Store, o event.Object) *s3object.Body {
	t.Helper()
	body, err := store.Open(t.Context(), o)
	require.NoError(t, err)
	got, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	assert.Equal(t, content, string(got))
	return body
}

func TestOpen(t *testing.T) {
	t.Parallel()
	f := func(name string, o event.Object, want request) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s3 := newS3(t, whole)
			body := readAll(t, s3object.NewStore(s3.load, "of-the-function", time.Minute), o)
			assert.EqualValues(t, len(content), body.Size)
			assert.Equal(t, `"e1"`, body.ETag)
			assert.Equal(t, []request{want}, s3.requests)
		})
	}
	const host = "logs.s3.test"
	f("least", event.Object{Bucket: "logs", Key: "file.log"}, request{host, "/file.log?x-id=GetObject", "of-the-function"})
	f("region", event.Object{Bucket: "logs", Key: "file.log", Region: "eu-central-1"},
		request{host, "/file.log?x-id=GetObject", "eu-central-1"})
	f("version", event.Object{Bucket: "logs", Key: "a/b", VersionID: "096fKKXTRTtl3on89fVO.nfljtsv6qko"},
		request{host, "/a/b?versionId=096fKKXTRTtl3on89fVO.nfljtsv6qko&x-id=GetObject", "of-the-function"})
	f("version from before there were any", event.Object{Bucket: "logs", Key: "a", VersionID: "null"},
		request{host, "/a?x-id=GetObject", "of-the-function"})
	f("key that needs escapes", event.Object{Bucket: "logs", Key: "a+b%2F c/ü?&#"},
		request{host, "/a%2Bb%252F%20c/%C3%BC%3F%26%23?x-id=GetObject", "of-the-function"})
	f("etag of the event", event.Object{Bucket: "logs", Key: "a"}, request{host, "/a?x-id=GetObject", "of-the-function"})
}

func TestOpenUnknownSize(t *testing.T) {
	t.Parallel()
	s3 := newS3(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, content)
	})
	body := readAll(t, s3object.NewStore(s3.load, "r", time.Minute), event.Object{Bucket: "logs", Key: "k"})
	assert.EqualValues(t, -1, body.Size)
	assert.Empty(t, body.ETag)
}

// Objects that are stored as gzip must stay it: nobody but the collector is to decompress.
func TestOpenDoesNotDecompress(t *testing.T) {
	t.Parallel()
	s3 := newS3(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		whole(w, r) // which is no gzip
	})
	readAll(t, s3object.NewStore(s3.load, "r", time.Minute), event.Object{Bucket: "logs", Key: "k.gz"})
}

// There is one client for each region, also where many ask at the same time.
func TestClients(t *testing.T) {
	t.Parallel()
	s3 := newS3(t, whole)
	store := s3object.NewStore(s3.load, "here", time.Minute)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j, region := range []string{"", "here", "eu-central-1", "us-east-1"} {
				key := fmt.Sprintf("%d-%d", i, j)
				body, err := store.Open(t.Context(), event.Object{Bucket: "logs", Key: key, Region: region})
				if !assert.NoError(t, err) {
					return
				}
				got, err := io.ReadAll(body)
				assert.NoError(t, err)
				assert.Equal(t, content, string(got))
				assert.NoError(t, body.Close())
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 3, s3.loads.Load())
	regions := map[string]int{}
	for _, r := range s3.requests {
		regions[r.region]++
	}
	assert.Equal(t, map[string]int{"here": 32, "eu-central-1": 16, "us-east-1": 16}, regions)
}

// Where S3 is somebody else's the bucket is part of the path.
func TestPathStyle(t *testing.T) {
	for _, key := range []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"} {
		t.Run(key, func(t *testing.T) {
			s3 := newS3(t, whole)
			t.Setenv("AWS_ENDPOINT_URL", "")
			t.Setenv("AWS_ENDPOINT_URL_S3", "")
			t.Setenv(key, s3.address)
			readAll(t, s3object.NewStore(s3.load, "r", time.Minute), event.Object{Bucket: "mylogs", Key: "a b"})
			require.Len(t, s3.requests, 1)
			assert.Equal(t, "/mylogs/a%20b?x-id=GetObject", s3.requests[0].uri)
			assert.NotContains(t, s3.requests[0].host, "mylogs")
		})
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	f := func(status int, code string, final bool) {
		t.Helper()
		t.Run(fmt.Sprint(status, code), func(t *testing.T) {
			t.Parallel()
			s3 := newS3(t, problem(status, code))
			body, err := s3object.NewStore(s3.load, "r", time.Minute).Open(t.Context(), event.Object{Bucket: "logs", Key: "a \"b\"\n"})
			assert.Nil(t, body)
			var unreadable *s3object.ObjectError
			require.ErrorAs(t, err, &unreadable)
			assert.Equal(t, "logs", unreadable.Bucket)
			assert.Equal(t, "a \"b\"\n", unreadable.Key)
			assert.Equal(t, status, unreadable.Status)
			assert.Equal(t, final, unreadable.Final())
			require.ErrorContains(t, err, `read the object "a \"b\"\n" of the bucket "logs": `)
			require.ErrorContains(t, err, code)
			assert.Len(t, s3.requests, 1)
		})
	}
	f(404, "NoSuchKey", true)
	f(404, "NoSuchBucket", true)
	f(403, "AccessDenied", true)
	f(403, "InvalidObjectState", true)
	f(400, "AuthorizationHeaderMalformed", true)
	f(405, "MethodNotAllowed", true)
	f(301, "PermanentRedirect", true)
	f(408, "RequestTimeout", false)
	f(429, "TooManyRequests", false)
	f(500, "InternalError", false)
	f(503, "SlowDown", false)
	// Some that pass have the status of those that do not.
	f(400, "RequestTimeout", false)
	f(400, "ThrottlingException", false)
	f(400, "KMS.ThrottlingException", false)
	f(400, "ExpiredToken", false)
	f(403, "RequestTimeTooSkewed", false)
}

func TestOpenWithoutAnswer(t *testing.T) {
	t.Parallel()
	o := event.Object{Bucket: "logs", Key: "k"}
	f := func(name string, s3 *fakeS3, load func() (aws.Config, error), ctx context.Context, want error) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s3object.NewStore(load, "r", time.Minute).Open(ctx, o)
			var unreadable *s3object.ObjectError
			require.ErrorAs(t, err, &unreadable)
			assert.Zero(t, unreadable.Status)
			assert.False(t, unreadable.Final())
			require.ErrorContains(t, err, `read the object "k" of the bucket "logs": `)
			if want != nil {
				require.ErrorIs(t, err, want)
			}
			assert.Empty(t, s3.requests)
		})
	}
	failed := errors.New("no configuration")
	s3 := newS3(t, whole)
	f("no configuration", s3, func() (aws.Config, error) { return aws.Config{}, failed }, t.Context(), failed)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	f("cancelled", s3, s3.load, cancelled, context.Canceled)
	f("no connection", s3, func() (aws.Config, error) {
		cfg, err := s3.load()
		cfg.HTTPClient = &http.Client{Transport: failing{}}
		return cfg, err
	}, t.Context(), errNoConnection)
}

var errNoConnection = errors.New("no connection")

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errNoConnection }

// What is cut off is no end.
func TestBodyFails(t *testing.T) {
	t.Parallel()
	f := func(name, length string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s3 := newS3(t, func(w http.ResponseWriter, _ *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				_, _ = io.WriteString(w, content)
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			})
			body, err := s3object.NewStore(s3.load, "r", time.Minute).Open(t.Context(), event.Object{Bucket: "logs", Key: "k"})
			require.NoError(t, err)
			defer body.Close()
			got, err := io.ReadAll(body)
			assert.Equal(t, content, string(got))
			var unreadable *s3object.ObjectError
			require.ErrorAs(t, err, &unreadable)
			assert.Equal(t, "logs", unreadable.Bucket)
			assert.Equal(t, "k", unreadable.Key)
			assert.False(t, unreadable.Final())
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.EqualError(t, err, `read the object "k" of the bucket "logs": unexpected EOF`)
		})
	}
	f("of known size", "1000")
	f("of unknown size", "")
}

func TestBodyCancelled(t *testing.T) {
	t.Parallel()
	s3 := newS3(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, content)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body, err := s3object.NewStore(s3.load, "r", time.Minute).Open(ctx, event.Object{Bucket: "logs", Key: "k"})
	require.NoError(t, err)
	defer body.Close()
	_, err = io.ReadFull(body, make([]byte, len(content)))
	require.NoError(t, err)
	cancel()
	_, err = body.Read(make([]byte, 1))
	var unreadable *s3object.ObjectError
	require.ErrorAs(t, err, &unreadable)
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, unreadable.Final())
}

// S3 that says nothing any more holds nobody up, before or in the middle of an object, and may be asked again.
func TestStalled(t *testing.T) {
	t.Parallel()
	f := func(name string, sent int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s3 := newS3(t, func(w http.ResponseWriter, r *http.Request) {
				if sent > 0 {
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
					_, _ = io.WriteString(w, content[:sent])
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
			})
			body, err := s3object.NewStore(s3.load, "here", 50*time.Millisecond).Open(t.Context(), event.Object{Bucket: "logs", Key: "k"})
			if err == nil {
				_, err = io.ReadAll(body)
				require.NoError(t, body.Close())
			}
			var unreadable *s3object.ObjectError
			require.ErrorAs(t, err, &unreadable)
			require.ErrorContains(t, err, "S3 has sent nothing within `REQUEST_TIMEOUT`")
			assert.False(t, unreadable.Final())
		})
	}
	f("before the answer", 0)
	f("in the middle", 5)
}
