// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/event"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
)

var (
	lines  = strings.Repeat("a line of a log\n", 1<<16)
	object = event.Object{Bucket: "logs", Key: "file.log"}

	errNotFound  = &s3object.ObjectError{Bucket: "logs", Key: "file.log", Status: http.StatusNotFound}
	errS3Is503   = &s3object.ObjectError{Bucket: "logs", Key: "file.log", Status: http.StatusServiceUnavailable}
	errCutOff    = &s3object.ObjectError{Bucket: "logs", Key: "file.log"}
	errForbidden = &s3object.ObjectError{Bucket: "logs", Key: "file.log", Status: http.StatusForbidden}
)

// version is what S3 answers once.
type version struct {
	etag    string
	content io.Reader
	size    int64
	err     error
}

func whole(etag, content string) func(context.Context) version {
	return func(context.Context) version {
		return version{etag: etag, content: strings.NewReader(content), size: int64(len(content))}
	}
}

// chunked is an object of which S3 does not say how long it is.
func chunked(etag, content string) func(context.Context) version {
	return func(ctx context.Context) version {
		v := whole(etag, content)(ctx)
		v.size = -1
		return v
	}
}

// cut breaks off after the first 1,000 bytes.
func cut(v func(context.Context) version) func(context.Context) version {
	return func(ctx context.Context) version {
		v := v(ctx)
		v.content = io.MultiReader(io.LimitReader(v.content, 1000), iotest.ErrReader(errCutOff))
		return v
	}
}

func unreadable(err error) func(context.Context) version {
	return func(context.Context) version { return version{err: err} }
}

// fakeS3 gives one version after another, the last of them again and again.
type fakeS3 struct {
	versions      []func(context.Context) version
	opens, opened atomic.Int32
}

func newS3(t *testing.T, versions ...func(context.Context) version) *fakeS3 {
	t.Helper()
	s := &fakeS3{versions: versions}
	t.Cleanup(func() { assert.Zero(t, s.opened.Load(), "bodies that were not closed") })
	return s
}

func (s *fakeS3) open(ctx context.Context, _ event.Object) (*s3object.Body, error) {
	n := int(s.opens.Add(1))
	v := s.versions[min(n, len(s.versions))-1](ctx)
	if v.err != nil {
		return nil, v.err
	}
	s.opened.Add(1)
	closed := sync.OnceFunc(func() { s.opened.Add(-1) })
	return &s3object.Body{ReadCloser: closer{Reader: v.content, closed: closed}, Size: v.size, ETag: v.etag}, nil
}

type closer struct {
	io.Reader
	closed func()
}

func (c closer) Close() error {
	c.closed()
	return nil
}

// answerTo writes an answer as the receiver does. A negative number leaves accepted out.
func answerTo(w http.ResponseWriter, status, accepted int, problem string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	switch {
	case accepted < 0:
		_, _ = fmt.Fprintf(w, `{"error":%q}`, problem)
	default:
		_, _ = fmt.Fprintf(w, `{"accepted":%d,"error":%q}`, accepted, problem)
	}
}

// got is what the server knows of a request.
type got struct {
	etag, skip string
	bytes      int
	err        error
}

// objectServer reads each request's object and answers with the next of the answers.
func objectServer(t *testing.T, answers ...func(http.ResponseWriter)) (address string, requests func() []got) {
	t.Helper()
	var mu sync.Mutex
	var all []got
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		q := r.URL.Query()
		all = append(all, got{etag: q.Get("etag"), skip: q.Get("skip"), bytes: len(content), err: err})
		if n := len(all); assert.LessOrEqual(t, n, len(answers), "requests") {
			answers[n-1](w)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []got {
		srv.Close() // waits for all requests
		return all
	}
}

func answers(status, accepted int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { answerTo(w, status, accepted, "why") }
}

func TestObjectRequest(t *testing.T) {
	t.Parallel()
	f := func(o event.Object, etag, want string) {
		t.Helper()
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				assert.Equal(t, http.MethodPost, r.Method)
				assert.Equal(t, "/prefix/s3/v1/object?"+want, r.RequestURI)
				q, err := url.ParseQuery(r.URL.RawQuery)
				assert.NoError(t, err)
				assert.Equal(t, o.Key, q.Get("key"))
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, lines, string(body))
				assert.Empty(t, r.TransferEncoding)
				assert.Equal(t, http.Header{
					"Content-Length":                {"1048576"},
					"Content-Type":                  {"application/octet-stream"},
					"Expect":                        {"100-continue"},
					"User-Agent":                    {"agent/1"},
					"X-Awsloki-Region":              {"eu-central-1"},
					"X-Awsloki-Forwarder-Log-Group": {"/aws/lambda/forwarder"},
					"X-Scope-Orgid":                 {"team-1"},
					"X-Team":                        {"a"},
				}, r.Header)
			}))
			defer srv.Close()
			c := newClient(t, srv.URL+"/prefix/", func(cfg *config.Config) {
				cfg.Region, cfg.LogGroup, cfg.TenantID = "eu-central-1", "/aws/lambda/forwarder", "team-1"
				cfg.Headers = http.Header{"X-Team": {"a"}}
			}, newS3(t, whole(etag, lines)).open)
			tally, err := c.SendObject(t.Context(), o)
			require.NoError(t, err)
			assert.Equal(t, delivery.Tally{Bytes: int64(len(lines))}, tally)
		})
	}
	f(event.Object{Bucket: "logs", Key: "file.log"}, "", "bucket=logs&key=file.log")
	f(event.Object{
		Bucket: "my-logs",
		Key:    "AWSLogs/123456789012/file.log.gz",
		// Neither the version that the event names, nor its etag: the object is sent as it is now.
		VersionID: "v1",
		Region:    "us-gov-west-1",
		Time:      time.Date(2026, 10, 12, 10, 27, 20, 123_000_000, time.FixedZone("", 2*60*60)),
	}, `"9bb58f26192e4ba00f01e2e7b136bbd8"`,
		"bucket=my-logs&etag=%229bb58f26192e4ba00f01e2e7b136bbd8%22&event_time=2026-10-12T08%3A27%3A20.123Z"+
			"&key=AWSLogs%2F123456789012%2Ffile.log.gz&region=us-gov-west-1")
	f(event.Object{Bucket: "logs", Key: "a+b%2Fc d"}, "", "bucket=logs&key=a%2Bb%252Fc+d")
	f(event.Object{Bucket: "logs", Key: "Größe/日本.log"}, "", "bucket=logs&key=Gr%C3%B6%C3%9Fe%2F%E6%97%A5%E6%9C%AC.log")
	f(event.Object{Bucket: "logs", Key: "a=1&skip=2;#?"}, "", "bucket=logs&key=a%3D1%26skip%3D2%3B%23%3F")
	f(event.Object{Bucket: "logs", Key: "../line\nbreak"}, "", "bucket=logs&key=..%2Fline%0Abreak")
}

func TestObjectOfUnknownSize(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, []string{"chunked"}, r.TransferEncoding)
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, lines, string(body))
	}))
	defer srv.Close()
	tally, err := newClient(t, srv.URL, nil, newS3(t, chunked("e", lines)).open).SendObject(t.Context(), object)
	require.NoError(t, err)
	assert.Equal(t, int64(len(lines)), tally.Bytes)
}

// What comes of an object after answers and errors of S3: which requests there are, and how it ends.
func TestObjectAgain(t *testing.T) {
	t.Parallel()
	type versions = []func(context.Context) version
	type server = []func(http.ResponseWriter)
	size := len(lines)
	f := func(name string, versions versions, server server, maxRetries int, want []got, wantErr string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s3 := newS3(t, versions...)
			address, requests := objectServer(t, server...)
			c := newClient(t, address, func(cfg *config.Config) { cfg.MaxRetries = maxRetries }, s3.open)
			tally, err := c.SendObject(t.Context(), object)
			if wantErr == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, wantErr)
			}
			all := requests()
			assert.Equal(t, want, all)
			var sum int
			for _, r := range all {
				sum += r.bytes
			}
			assert.EqualValues(t, sum, tally.Bytes)
		})
	}
	gaveUp := func(attempts int, status string) string {
		return fmt.Sprintf("the collector has not taken the object (attempts: %d): the last answer was %s: why", attempts, status)
	}
	one := versions{whole("e1", lines)}
	f("what was taken is skipped", one,
		server{answers(503, 3), answers(408, 7), answers(500, -1), answers(200, 9)}, config.UnlimitedRetries,
		[]got{{"e1", "", size, nil}, {"e1", "3", size, nil}, {"e1", "7", size, nil}, {"e1", "7", size, nil}}, "")
	f("after progress it is as at first", one,
		server{answers(503, 3), answers(503, 4), answers(503, 5), answers(200, 9)}, 1,
		[]got{{"e1", "", size, nil}, {"e1", "3", size, nil}, {"e1", "4", size, nil}, {"e1", "5", size, nil}}, "")
	f("no progress", one,
		server{answers(503, 3), answers(503, 3)}, 1,
		[]got{{"e1", "", size, nil}, {"e1", "3", size, nil}}, gaveUp(2, "503 Service Unavailable"))
	f("less than there was is no progress", one,
		server{answers(503, 3), answers(503, 2), answers(503, 0)}, 2,
		[]got{{"e1", "", size, nil}, {"e1", "3", size, nil}, {"e1", "3", size, nil}}, gaveUp(3, "503 Service Unavailable"))
	f("nothing taken", one,
		server{answers(503, 0), answers(200, 9)}, config.UnlimitedRetries,
		[]got{{"e1", "", size, nil}, {"e1", "", size, nil}}, "")
	f("replaced meanwhile", versions{whole("e1", lines), whole("e2", "other\n"), whole("e2", "other\n")},
		server{answers(503, 3), answers(503, 1), answers(200, 2)}, config.UnlimitedRetries,
		[]got{{"e1", "", size, nil}, {"e2", "", 6, nil}, {"e2", "1", 6, nil}}, "")
	f("refused", one, server{answers(422, 5)}, config.UnlimitedRetries,
		[]got{{"e1", "", size, nil}}, "the collector refused the object (attempts: 1): 422 Unprocessable Entity: why")
	f("refused after a part was taken", one, server{answers(503, 3), answers(400, 5)}, config.UnlimitedRetries,
		[]got{{"e1", "", size, nil}, {"e1", "3", size, nil}}, "the collector refused the object (attempts: 2): 400 Bad Request: why")
	f("redirected", one, server{answers(307, -1)}, config.UnlimitedRetries,
		[]got{{"e1", "", size, nil}}, "the collector refused the object (attempts: 1): 307 Temporary Redirect: why")
	f("S3 is away at first", versions{unreadable(errS3Is503), unreadable(errCutOff), whole("e1", lines)},
		server{answers(200, 9)}, 2, []got{{"e1", "", size, nil}}, "")

	// The collector must not take what it has got for the whole.
	aborted := got{"e1", "", 1000, io.ErrUnexpectedEOF}
	noAnswer := func(http.ResponseWriter) {}
	f("S3 breaks off", versions{cut(whole("e1", lines)), whole("e1", lines)},
		server{noAnswer, answers(200, 9)}, 1, []got{aborted, {"e1", "", size, nil}}, "")
	f("S3 breaks off an object of unknown size", versions{cut(chunked("e1", lines)), chunked("e1", lines)},
		server{noAnswer, answers(200, 9)}, 1, []got{aborted, {"e1", "", size, nil}}, "")
	f("S3 breaks off after a part was taken",
		versions{whole("e1", lines), cut(whole("e1", lines)), whole("e1", lines)},
		server{answers(503, 3), noAnswer, answers(200, 9)}, 2,
		[]got{{"e1", "", size, nil}, {"e1", "3", 1000, io.ErrUnexpectedEOF}, {"e1", "3", size, nil}}, "")
	f("S3 keeps breaking off", versions{cut(whole("e1", lines))},
		server{noAnswer, noAnswer}, 1, []got{aborted, aborted},
		"the collector has not taken the object (attempts: 2): "+errCutOff.Error())
	f("S3 has less than it says", versions{func(ctx context.Context) version {
		v := whole("e1", lines)(ctx)
		v.size++
		return v
	}}, server{noAnswer}, 0, []got{{"e1", "", size, io.ErrUnexpectedEOF}},
		"the collector has not taken the object (attempts: 1): the request failed: "+
			"net/http: HTTP/1.x transport connection broken: http: ContentLength=1048577 with Body length 1048576")
}

func TestObjectThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := func(name string, want *s3object.ObjectError, server []func(http.ResponseWriter), versions ...func(context.Context) version) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, requests := objectServer(t, server...)
			s3 := newS3(t, versions...)
			_, err := newClient(t, address, nil, s3.open).SendObject(t.Context(), object)
			assert.Same(t, want, err)
			assert.Len(t, requests(), len(server))
			assert.EqualValues(t, len(versions), s3.opens.Load())
		})
	}
	f("not found", errNotFound, nil, unreadable(errNotFound))
	f("forbidden", errForbidden, nil, unreadable(errForbidden))
	f("S3 is away before", errNotFound, nil, unreadable(errS3Is503), unreadable(errNotFound))
	f("it goes between attempts", errNotFound, []func(http.ResponseWriter){answers(503, 1)},
		whole("e", lines), unreadable(errNotFound))
}

// As long as S3 may still answer, the error says that another time may do, and why.
func TestObjectS3IsAway(t *testing.T) {
	t.Parallel()
	s3 := newS3(t, unreadable(errS3Is503))
	c := newClient(t, "http://collector", func(cfg *config.Config) { cfg.MaxRetries = 2 }, s3.open)
	tally, err := c.SendObject(t.Context(), object)
	var unavailable *delivery.UnavailableError
	require.ErrorAs(t, err, &unavailable)
	assert.Equal(t, 3, unavailable.Attempts)
	assert.Zero(t, unavailable.Status)
	require.ErrorIs(t, err, errS3Is503)
	assert.Zero(t, tally)
}

// The collector may have an answer before it has read anything: then nothing is sent.
func TestObjectEarlyAnswer(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerTo(w, 413, 0, "too large") }))
	defer srv.Close()
	tally, err := newClient(t, srv.URL, nil, newS3(t, whole("e", lines)).open).SendObject(t.Context(), object)
	require.EqualError(t, err, "the collector refused the object (attempts: 1): 413 Request Entity Too Large: too large")
	assert.Zero(t, tally)
}

// Something on the way may not know what it means to expect 100 Continue: it is left out then.
func TestObjectExpectationFailed(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1); r.Header.Get("Expect") != "" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		_, err := io.Copy(io.Discard, r.Body)
		assert.NoError(t, err)
		answerTo(w, 200, 3, "")
	}))
	defer srv.Close()
	_, err := newClient(t, srv.URL, nil, newS3(t, whole("e", lines)).open).SendObject(t.Context(), object)
	require.NoError(t, err)
	assert.EqualValues(t, 2, requests.Load())
}

// The collector may answer in the middle, while S3 takes its time.
func TestObjectAnswerInTheMiddle(t *testing.T) {
	t.Parallel()
	const start = "the first line\n"
	var requests atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			assert.Equal(t, "1", r.URL.Query().Get("skip"))
			_, err := io.Copy(io.Discard, r.Body)
			assert.NoError(t, err)
			return
		}
		_, err := io.ReadFull(r.Body, make([]byte, len(start)))
		assert.NoError(t, err)
		answerTo(w, 503, 1, "the queue is full")
	}))
	defer srv.Close()
	s3 := newS3(t, func(ctx context.Context) version {
		return version{etag: "e", content: io.MultiReader(strings.NewReader(start), waiting{ctx}), size: int64(len(lines))}
	}, whole("e", lines))
	_, err := newClient(t, srv.URL, nil, s3.open).SendObject(t.Context(), object)
	require.NoError(t, err)
	assert.EqualValues(t, 2, requests.Load())
}

// waiting is a reader to which nothing comes.
type waiting struct{ ctx context.Context }

func (w waiting) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, context.Cause(w.ctx)
}

// slow is a reader that takes its time for each byte.
type slow struct {
	ctx   context.Context
	pause time.Duration
	left  int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(s.pause):
		s.left--
		p[0] = 'x'
		return 1, nil
	case <-s.ctx.Done():
		return 0, context.Cause(s.ctx)
	}
}

// readingTransport reads the body, as net/http does, and answers 200.
type readingTransport struct{ pause time.Duration }

func (tr readingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	select {
	case <-time.After(tr.pause):
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// The time without progress is bounded, and not the time of the whole.
func TestObjectStalls(t *testing.T) {
	t.Parallel()
	const (
		gaveUp     = "the collector has not taken the object (attempts: 1): "
		stalled    = "no progress within `REQUEST_TIMEOUT` (2s) and what the receiver may need"
		noTime     = "no answer before the invocation's deadline less `DEADLINE_MARGIN`"
		ownTimeout = 2 * time.Second
	)
	f := func(name string, content func(context.Context) io.Reader, answerAfter, invocation time.Duration, took time.Duration, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s3 := newS3(t, func(ctx context.Context) version { return version{content: content(ctx), size: -1} })
				c := newTimedClient(t, readingTransport{pause: answerAfter}, s3.open)
				c.policy.MaxRetries = 0
				ctx, cancel := context.WithTimeout(t.Context(), invocation)
				defer cancel()
				start := time.Now()
				_, err := c.SendObject(ctx, object)
				assert.Equal(t, took, time.Since(start))
				if want == "" {
					require.NoError(t, err)
					return
				}
				require.EqualError(t, err, want)
			})
		})
	}
	const allowed = ownTimeout + 10*time.Second
	waits := func(ctx context.Context) io.Reader { return waiting{ctx} }
	slowly := func(pause time.Duration, n int) func(context.Context) io.Reader {
		return func(ctx context.Context) io.Reader { return &slow{ctx, pause, n} }
	}
	f("slow, and longer than any timeout", slowly(allowed-time.Second, 20), 0, time.Hour, 20*(allowed-time.Second), "")
	f("slow until the deadline", slowly(allowed-time.Second, 20), 0, time.Minute, 59*time.Second, gaveUp+noTime)
	f("S3 gives nothing", waits, 0, time.Hour, allowed, gaveUp+stalled)
	f("S3 gives nothing more", func(ctx context.Context) io.Reader { return io.MultiReader(slowly(time.Second, 3)(ctx), waits(ctx)) },
		0, time.Hour, 3*time.Second+allowed, gaveUp+stalled)
	const answer = ownTimeout + 20*time.Second
	f("the collector takes its time to answer", slowly(time.Second, 1), answer-time.Second, time.Hour, answer, "")
	f("the collector does not answer", slowly(time.Second, 1), time.Hour, time.Hour, time.Second+answer,
		gaveUp+"the request failed: "+stalled)
	f("the collector does not answer before the deadline", slowly(time.Second, 1), time.Hour, 5*time.Second, 4*time.Second,
		gaveUp+"the request failed: "+noTime)
}

// S3 may also hang before it gives anything of the object.
func TestObjectOpenStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := func(ctx context.Context, _ event.Object) (*s3object.Body, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		c := newTimedClient(t, readingTransport{}, open)
		c.policy.MaxRetries = 0
		start := time.Now()
		_, err := c.SendObject(t.Context(), object)
		require.EqualError(t, err,
			"the collector has not taken the object (attempts: 1): no progress within `REQUEST_TIMEOUT` (2s) and what the receiver may need")
		assert.Equal(t, 12*time.Second, time.Since(start))
	})
}

func TestObjectCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s3 := newS3(t, func(ctx context.Context) version { return version{content: waiting{ctx}, size: -1} })
		c := newTimedClient(t, readingTransport{}, s3.open)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := c.SendObject(ctx, object)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

// A connection that has died since the last object costs no object.
func TestConnectionLostBetweenObjects(t *testing.T) {
	t.Parallel()
	var received atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && string(body) == lines {
			received.Add(1)
		}
	}))
	defer srv.Close()
	c := newClient(t, srv.URL, nil, newS3(t, whole("e", lines)).open)
	for range 20 {
		_, err := c.SendObject(t.Context(), object)
		require.NoError(t, err)
		srv.CloseClientConnections()
	}
	assert.EqualValues(t, 20, received.Load())
}

// An object is sent again with new credentials, unless it is another by then.
func TestObjectAfterRotation(t *testing.T) {
	t.Parallel()
	f := func(name string, readAll bool, opens int32, want string, versions ...func(context.Context) version) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var accepted atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer new" {
					if readAll {
						_, _ = io.Copy(io.Discard, r.Body)
					}
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, lines, string(body))
				accepted.Add(1)
			}))
			defer srv.Close()
			tokens := []string{"old", "new"}
			read := func(context.Context, arn.ARN) (string, error) {
				token := tokens[0]
				tokens = tokens[1:]
				return token, nil
			}
			s3 := newS3(t, versions...)
			cfg := newConfig(t, srv.URL, func(cfg *config.Config) {
				cfg.Credentials.BearerToken = credentials.Secret{ARN: arn.ARN{Service: credentials.SSM, Resource: "parameter/token"}}
			})
			_, err := newClientWith(t, cfg, read, s3.open).SendObject(t.Context(), object)
			assert.Equal(t, opens, s3.opens.Load())
			if want != "" {
				require.EqualError(t, err, want)
				assert.Zero(t, accepted.Load())
				return
			}
			require.NoError(t, err)
			assert.EqualValues(t, 1, accepted.Load())
		})
	}
	const refused = "the collector refused the object (attempts: 1): 401 Unauthorized"
	f("early", false, 2, "", whole("e", lines))
	f("late", true, 2, "", whole("e", lines))
	f("replaced", false, 2, refused, whole("e", lines), whole("e2", lines))
	f("gone", true, 2, refused, whole("e", lines), unreadable(errNotFound))
}

// One process may serve many invocations at once.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	first := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		key := r.URL.Query().Get("key")
		if key == "" {
			assert.Equal(t, message, string(body))
			return
		}
		assert.True(t, bytes.Equal(bytes.Repeat([]byte(key), 1<<14), body), key)
		mu.Lock()
		defer mu.Unlock()
		if !first[key] {
			first[key] = true
			answerTo(w, 503, 1, "later")
			return
		}
		assert.Equal(t, "1", r.URL.Query().Get("skip"))
	}))
	defer srv.Close()
	open := func(_ context.Context, o event.Object) (*s3object.Body, error) {
		if o.Key == "" {
			return nil, errors.New("no key")
		}
		content := strings.Repeat(o.Key, 1<<14)
		return &s3object.Body{ReadCloser: io.NopCloser(strings.NewReader(content)), Size: int64(len(content)), ETag: o.Key}, nil
	}
	c := newClient(t, srv.URL, nil, open)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 8 {
				assert.NoError(t, send(t.Context(), c))
				o := event.Object{Bucket: "logs", Key: fmt.Sprintf("key %d-%d", i, j)}
				tally, err := c.SendObject(t.Context(), o)
				assert.NoError(t, err)
				assert.EqualValues(t, 2*len(o.Key)<<14, tally.Bytes)
			}
		})
	}
	wg.Wait()
	assert.Len(t, first, 16*8)
}
