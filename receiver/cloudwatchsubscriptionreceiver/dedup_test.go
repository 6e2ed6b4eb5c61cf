// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/awsloki/awsloki/internal/redelivery"
	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/metadata"
)

func TestSecondDelivery(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, nil, nil, componenttest.NewNopHost())
	take := func(records int, body []byte, header ...string) {
		t.Helper()
		sink.Reset()
		resp, text := s.post(body, header...)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Contains(t, text, `{"accepted":`)
		assert.Equal(t, records, sink.LogRecordCount())
	}
	one, two, three := document("1"), document("2"), document("3")
	take(1, one)
	take(0, one)
	take(0, compress(t, one))
	// With others, of which one is new; and twice in one request.
	take(1, append(append(bytes.Clone(one), two...), two...))
	take(0, append(bytes.Clone(two), one...))
	// A tenant of its own.
	take(1, one, "X-Scope-OrgID", "a")
	take(0, one, "X-Scope-OrgID", "a")
	take(1, one, "X-Scope-OrgID", "b")
	// Without AWS's ids the same line may well have been logged twice.
	noID := bytes.Replace(three, []byte(`"id":"0",`), nil, 1)
	take(1, noID)
	take(1, noID)

	resp, text := s.post(one)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.JSONEq(t, `{"accepted":1}`, text, "the pipeline has it")

	sink.Reset()
	lines := firehoseBody([]byte("a\nb\n"))
	for range 2 {
		resp, text := s.deliver(lines)
		requireFirehoseAnswer(t, resp, text, 200, "")
	}
	assert.Equal(t, 2, sink.LogRecordCount())
	resp, _ = s.deliver(bytes.ReplaceAll(lines, []byte(testRequestID), []byte("another")), "X-Amz-Firehose-Request-Id", "another")
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, 4, sink.LogRecordCount())
	resp, _ = s.deliver(firehoseBody(one))
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, 4, sink.LogRecordCount(), "the same message in another way")

	sink.Reset()
	for _, query := range []string{testObject, testObject, strings.Replace(testObject, "9bb5", "0000", 1), "?bucket=b&key=k", "?bucket=b&key=k"} {
		resp, text := s.object(strings.NewReader("a\nb\n"), query)
		assert.Equal(t, 200, resp.StatusCode)
		assert.JSONEq(t, `{"accepted":2}`, text)
	}
	assert.Equal(t, 8, sink.LogRecordCount(), "objects without an etag are not recognised")

	off := new(consumertest.LogsSink)
	s = startReceiver(t, off, func(c *Config) { c.Dedup.Window = 0 }, nil, componenttest.NewNopHost())
	s.post(one)
	s.post(one)
	assert.Equal(t, 2, off.LogRecordCount())
}

// What the pipeline did not take is not remembered.
func TestSecondDeliveryAfterRefusal(t *testing.T) {
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, failing(t, sink, map[int]error{1: errors.New("full")}), nil, nil, componenttest.NewNopHost())
	resp, _ := s.post(document("a"))
	assert.Equal(t, 503, resp.StatusCode)
	resp, _ = s.post(document("a"))
	assert.Equal(t, 200, resp.StatusCode)
	resp, _ = s.post(document("a"))
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, 1, sink.LogRecordCount())
}

// Of deliveries at the same moment one is handed on. Should it fail, the next one is.
func TestDeliveriesAtOnce(t *testing.T) {
	const deliveries = 8
	for name, failures := range map[string]int{"the first is taken": 0, "three fail": 3} {
		t.Run(name, func(t *testing.T) {
			sink := new(consumertest.LogsSink)
			entered, leave := make(chan struct{}, deliveries), make(chan struct{})
			var mu sync.Mutex
			calls := 0
			next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
				mu.Lock()
				defer mu.Unlock() // fails the test by its being held: never two at once
				entered <- struct{}{}
				<-leave
				if calls++; calls <= failures {
					return errors.New("full")
				}
				return sink.ConsumeLogs(ctx, ld)
			})
			require.NoError(t, err)
			s := startReceiver(t, next, nil, nil, componenttest.NewNopHost())
			statuses := make(chan int, deliveries)
			var wg sync.WaitGroup
			for range deliveries {
				wg.Go(func() {
					resp, _ := s.post(document("a"))
					statuses <- resp.StatusCode
				})
			}
			<-entered
			close(leave)
			wg.Wait()
			close(statuses)
			got := map[int]int{}
			for status := range statuses {
				got[status]++
			}
			want := map[int]int{200: deliveries}
			if failures > 0 {
				want = map[int]int{200: deliveries - failures, 503: failures}
			}
			assert.Equal(t, want, got)
			assert.Equal(t, 1, sink.LogRecordCount())
			assert.Equal(t, failures+1, calls)
		})
	}
}

// memoryStorage keeps what several receivers, one after another, write.
type memoryStorage struct {
	component.StartFunc
	component.ShutdownFunc
	data map[string][]byte
}

func (m *memoryStorage) GetClient(_ context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	if kind != component.KindReceiver || id.Type() != metadata.Type || name != "dedup" {
		return nil, errors.New("not the receiver's")
	}
	return memoryClient{m}, nil
}

type memoryClient struct{ *memoryStorage }

func (c memoryClient) Get(_ context.Context, key string) ([]byte, error) { return c.data[key], nil }

func (c memoryClient) Set(_ context.Context, key string, value []byte) error {
	c.data[key] = bytes.Clone(value)
	return nil
}

func (c memoryClient) Delete(_ context.Context, key string) error {
	delete(c.data, key)
	return nil
}

func (c memoryClient) Batch(_ context.Context, ops ...*storage.Operation) error {
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = c.data[op.Key]
		case storage.Set:
			c.data[op.Key] = bytes.Clone(op.Value)
		case storage.Delete:
			delete(c.data, op.Key)
		}
	}
	return nil
}

func (memoryClient) Close(context.Context) error { return nil }

func TestSecondDeliveryAfterRestart(t *testing.T) {
	id := component.MustNewID("file_storage")
	h := host{map[component.ID]component.Component{id: &memoryStorage{data: map[string][]byte{}}}}
	for name, stored := range map[string]bool{"kept": true, "in memory": false} {
		t.Run(name, func(t *testing.T) {
			sink := new(consumertest.LogsSink)
			for range 2 {
				config := createDefaultConfig().(*Config)
				config.ServerConfig.NetAddr.Endpoint = freeAddress(t)
				if stored {
					config.Dedup.Storage = &id
				}
				r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), config, sink)
				require.NoError(t, err)
				require.NoError(t, r.Start(t.Context(), h))
				s := &started{t: t, base: "http://" + config.ServerConfig.NetAddr.Endpoint}
				resp, _ := s.post(document("a"))
				assert.Equal(t, 200, resp.StatusCode)
				require.NoError(t, r.Shutdown(t.Context()))
			}
			assert.Equal(t, map[bool]int{true: 1, false: 2}[stored], sink.LogRecordCount())
		})
	}

	config := createDefaultConfig().(*Config)
	config.ServerConfig.NetAddr.Endpoint = freeAddress(t)
	config.Dedup.Storage = &id
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), config, consumertest.NewNop())
	require.NoError(t, err)
	require.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), "`dedup::storage`: \"file_storage\" is no storage extension that the service has")
	require.NoError(t, r.Shutdown(t.Context()))
}

// Whatever the process dies after, the next delivery is handed on if the first may not have been, and marked if it may.
func TestSecondDeliveryAfterCrash(t *testing.T) {
	id := component.MustNewID("file_storage")
	for name, tt := range map[string]struct {
		inMemory bool
		refusal  error
		// again is what is delivered after the crash, which was while the pipeline was given the first delivery, or after
		// the receiver had ended.
		again    []byte
		ended    bool
		records  int
		isMarked bool
	}{
		"in the pipeline":                  {again: document("a"), records: 1, isMarked: true},
		"in the pipeline, which refuses":   {again: document("a"), records: 1, isMarked: true, refusal: errors.New("full")},
		"after all":                        {again: document("a"), ended: true, records: 0},
		"refused":                          {again: document("a"), ended: true, records: 1, refusal: errors.New("full")},
		"another document":                 {again: document("b"), records: 1},
		"one of two":                       {again: append(document("b"), document("a")...), records: 2, isMarked: true},
		"twice in one":                     {again: append(document("a"), document("a")...), records: 1, isMarked: true},
		"without storage, in the pipeline": {again: document("a"), inMemory: true, records: 1},
	} {
		t.Run(name, func(t *testing.T) {
			first := &memoryStorage{data: map[string][]byte{}}
			second := &memoryStorage{data: map[string][]byte{}}
			change := func(c *Config) {
				if !tt.inMemory {
					c.Dedup.Storage = &id
				}
			}
			pipeline, err := consumer.NewLogs(func(ctx context.Context, _ plog.Logs) error {
				assert.False(t, redelivery.Marked(ctx))
				second.data = maps.Clone(first.data)
				return tt.refusal
			})
			require.NoError(t, err)
			s := startReceiver(t, pipeline, change, nil, host{map[component.ID]component.Component{id: first}})
			s.post(document("a"), "X-Scope-OrgID", "team")
			if tt.ended {
				require.NoError(t, s.receiver.Shutdown(t.Context()))
				second.data = first.data
			}

			sink := new(consumertest.LogsSink)
			s = startReceiver(t, sink, change, nil, host{map[component.ID]component.Component{id: second}})
			for range 2 { // the second time it is repeated
				resp, _ := s.post(tt.again, "X-Scope-OrgID", "team")
				assert.Equal(t, 200, resp.StatusCode)
				assert.Equal(t, tt.records, sink.LogRecordCount())
			}
			for _, ctx := range sink.Contexts() {
				assert.Equal(t, tt.isMarked, redelivery.Marked(ctx))
				assert.Equal(t, []string{"team"}, client.FromContext(ctx).Metadata.Get("X-Scope-OrgID"))
			}
		})
	}
}

// What is begun is written before the pipeline gets it. That it is acknowledged is not waited for.
func TestAnswerDoesNotWaitForStorage(t *testing.T) {
	id := component.MustNewID("file_storage")
	stuck := &stuckStorage{memoryStorage: memoryStorage{data: map[string][]byte{}}, let: make(chan struct{})}
	sink := new(consumertest.LogsSink)
	s := startReceiver(t, sink, func(c *Config) { c.Dedup.Storage = &id }, nil, host{map[component.ID]component.Component{id: stuck}})
	answered := make(chan int)
	go func() {
		resp, _ := s.post(document("a"))
		answered <- resp.StatusCode
	}()
	stuck.let <- struct{}{} // when it is to be written that the document is begun
	assert.Zero(t, sink.LogRecordCount())
	stuck.let <- struct{}{} // has it written
	assert.Equal(t, 200, <-answered)
	assert.Equal(t, 1, sink.LogRecordCount())
	close(stuck.let)
}

// stuckStorage writes when it is let, twice each time.
type stuckStorage struct {
	memoryStorage
	let chan struct{}
}

func (s *stuckStorage) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return stuckClient{memoryClient{&s.memoryStorage}, s.let}, nil
}

type stuckClient struct {
	memoryClient
	let chan struct{}
}

func (c stuckClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if ops[0].Type == storage.Set {
		<-c.let
		<-c.let
	}
	return c.memoryClient.Batch(ctx, ops...)
}
