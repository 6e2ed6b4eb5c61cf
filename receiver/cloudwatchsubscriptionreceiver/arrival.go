// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// arrival is a request's body as it comes from the network.
type arrival struct {
	io.ReadCloser
	input      *input
	connection *http.ResponseController
	// length is what the sender states, -1 if it does not.
	length int64
	// idle is how long each read may wait; 0: there is no limit but that on the request.
	idle time.Duration
	// stopping is done when the receiver has no time for streams any more.
	stopping context.Context
	// encoding is the Content-Encoding.
	encoding string
	// lingers says whether the sender has to be heard out when it is answered early.
	lingers bool
	// read is how many bytes came, ended whether that was all, and err why no more did otherwise.
	read  int64
	ended bool
	err   error
}

type arrivalKey struct{}

func arrivalOf(req *http.Request) *arrival {
	return req.Context().Value(arrivalKey{}).(*arrival)
}

// withArrival makes the request's arrival known to its input, which decodes the body by itself: what is gzip is seen by its
// first bytes.
func (r *subscriptionReceiver) withArrival(w http.ResponseWriter, req *http.Request, in *input) *http.Request {
	a := &arrival{
		ReadCloser: req.Body,
		input:      in,
		connection: http.NewResponseController(w),
		length:     req.ContentLength,
		stopping:   r.stopping,
		encoding:   req.Header.Get("Content-Encoding"),
		lingers:    req.ProtoMajor == 1,
		ended:      req.Body == http.NoBody,
	}
	if in.streams {
		a.idle = r.config.ServerConfig.ReadTimeout
	}
	// It would run from the beginning of the request, and HTTP/2 ends the request by it. It is set when there is an answer.
	_ = a.connection.SetWriteDeadline(time.Time{})
	req = req.WithContext(context.WithValue(req.Context(), arrivalKey{}, a))
	req.Body = a
	req.Header.Del("Content-Encoding")
	return req
}

var (
	// errBodyTooLarge is arrival.err where the input's limit was met.
	errBodyTooLarge = errors.New("the body is too large")
	// errStopping is arrival.err of streams when the receiver stops.
	errStopping = errors.New("the receiver is stopping")
)

// Read implements io.Reader.
func (a *arrival) Read(p []byte) (int, error) {
	if a.idle > 0 {
		// What comes as a stream may take longer in all than requests may. Between reads nothing may end it; but when one has
		// failed, nobody is to wait for more.
		_ = a.connection.SetReadDeadline(time.Now().Add(a.idle))
		defer func() {
			if a.err == nil {
				_ = a.connection.SetReadDeadline(time.Time{})
			}
		}()
	}
	if a.input.streams && a.stopping.Err() != nil {
		a.err = errStopping
		return 0, a.err
	}
	n, err := a.ReadCloser.Read(p)
	a.read += int64(n)
	switch limit := a.input.maxBody; {
	case limit > 0 && a.read > limit:
		err = errBodyTooLarge
		a.err = err
	case errors.Is(err, io.EOF):
		a.ended = true
	case err != nil && a.input.streams && a.stopping.Err() != nil:
		err = errStopping
		a.err = err
	case err != nil:
		a.err = err
	}
	return n, err
}

// endReadsWhenStopping has a read that waits for the sender fail when the receiver stops, until the function is called that it
// returns.
func (a *arrival) endReadsWhenStopping() (end func()) {
	ended := make(chan struct{})
	stop := context.AfterFunc(a.stopping, func() {
		_ = a.connection.SetReadDeadline(time.Now())
		close(ended)
	})
	return func() {
		if !stop() {
			<-ended // so that it sets no deadline on what comes later
		}
	}
}

// lingering is how long what a sender still sends is read when it has its answer.
const lingering = 500 * time.Millisecond

// answerEarly calls answer. If the sender still sends, it is heard out for a while, for it might otherwise see its
// connection broken and not the answer (RFC 9112, section 9.6). The server does so by itself, but not for senders that want
// the connection closed.
func (a *arrival) answerEarly(w http.ResponseWriter, answer func()) {
	if a.ended || !a.lingers {
		answer()
		return
	}
	w.Header().Set("Connection", "close")
	if a.err != nil && !errors.Is(a.err, errBodyTooLarge) && !errors.Is(a.err, errStopping) {
		answer() // nothing comes any more
		return
	}
	// A failure of any of these means that the connection can do without, or that it is gone.
	_ = a.connection.EnableFullDuplex()
	answer()
	_ = a.connection.Flush()
	_ = a.connection.SetReadDeadline(time.Now().Add(lingering))
	_, _ = io.Copy(io.Discard, a.ReadCloser)
}
