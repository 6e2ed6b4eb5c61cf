// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/awsloki/awsloki/e2e/balancer"
	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// instancesMessages is how many messages of benchmarkEvents lines all instances get together in a round: a million lines.
const instancesMessages = 2000

// fleet is some collectors with the shipped configuration, each with its own folder and name, behind a balancer.
type fleet struct {
	*testing.B
	collectors []*stack.Collector
	url        string
	client     *http.Client
}

// startFleet starts n collectors before a Loki that takes everything.
func startFleet(b *testing.B, n int, lokiURL string, configs ...string) *fleet {
	b.Helper()
	f := &fleet{B: b, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	b.Cleanup(f.client.CloseIdleConnections)
	var targets []string
	for i := range n {
		args := []string{"--config", fmt.Sprintf("yaml:processors::restamp::instance::value: collector-%d", i)}
		for _, config := range configs {
			args = append(args, "--config", "yaml:"+config)
		}
		collector := stacktest.StartCollector(b, shippedConfig, map[string]string{"LOKI_URL": lokiURL}, stack.CollectorOptions{Args: args})
		f.collectors = append(f.collectors, collector)
		targets = append(targets, collector.URL())
	}
	balance, err := balancer.Start(targets...)
	require.NoError(b, err)
	b.Cleanup(func() { assert.NoError(b, balance.Close()) })
	f.url = balance.URL()
	return f
}

// startSink starts a Loki that answers 204 to everything, and returns the URL to push to.
func startLokiSink(b *testing.B) string {
	b.Helper()
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	b.Cleanup(sink.Close)
	return sink.URL + "/loki/api/v1/push"
}

// send sends messages, some at a time, each until it is acknowledged. It returns how long each took to be.
func (f *fleet) send(messages [][]byte, atOnce int) (took []time.Duration) {
	f.Helper()
	next := make(chan []byte)
	var mu sync.Mutex
	var senders sync.WaitGroup
	for range atOnce {
		senders.Go(func() {
			for message := range next {
				began := time.Now()
				for !f.sendOnce(message) && !f.Failed() {
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	for _, message := range messages {
		next <- message
	}
	close(next)
	senders.Wait()
	require.False(f, f.Failed())
	return took
}

// sendOnce reports whether a message was acknowledged.
func (f *fleet) sendOnce(message []byte) bool {
	resp, err := f.client.Post(f.url+subscriptionPath, "application/gzip", bytes.NewReader(message))
	if !assert.NoError(f, err) {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	assert.NoError(f, err)
	assert.NoError(f, resp.Body.Close())
	return resp.StatusCode == http.StatusOK
}

// sum adds up a metric over all collectors.
func (f *fleet) sum(ctx context.Context, name string) (total float64, err error) {
	for _, collector := range f.collectors {
		metrics, err := collector.Metrics(ctx)
		if err != nil {
			return 0, err
		}
		total += metrics.Sum(name)
	}
	return total, nil
}

func (f *fleet) cpu() float64 {
	f.Helper()
	seconds, err := f.sum(f.Context(), "otelcol_process_cpu_seconds")
	require.NoError(f, err)
	return seconds
}

// awaitSent waits until so many lines are delivered.
func (f *fleet) awaitSent(lines int) {
	f.Helper()
	require.NoError(f, stack.Eventually(f.Context(), settled, func(ctx context.Context) error {
		sent, err := f.sum(ctx, "otelcol_exporter_loki_delivered_lines")
		if err == nil && sent < float64(lines) {
			err = fmt.Errorf("%.0f of %d lines are delivered", sent, lines)
		}
		return err
	}))
}

// stop ends the collectors, so that the next round has the machine for itself.
func (f *fleet) stop() {
	f.Helper()
	for _, collector := range f.collectors {
		require.NoError(f, collector.Stop())
	}
}

// manyMessages returns n messages of as many log streams, of 16 log groups, each of two gzip members: the lines, which would
// take long to make, are those of 16 messages.
func manyMessages(n int) [][]byte {
	lines := make([][]byte, 16)
	for i := range lines {
		m := cloudwatch.Generate(cloudwatch.Source{LogStream: strconv.Itoa(i), Start: time.Now(), Events: benchmarkEvents})
		_, events, _ := strings.Cut(string(m.JSON()), `"logEvents":`)
		lines[i] = compress([]byte(`"logEvents":` + events))
	}
	messages := make([][]byte, n)
	for i := range messages {
		head := fmt.Sprintf(`{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/function-%d","logStream":"stream-%d","subscriptionFilters":["awsloki"],`, i%16, i)
		messages[i] = append(compress([]byte(head)), lines[i%16]...)
	}
	return messages
}

// fleetSize is a number of instances, and what all rounds so far have cost.
type fleetSize struct {
	instances     int
	cpu, seconds  float64
	resident, max int64 // bytes: of one instance, on average, summed over rounds; of the largest
}

// What several instances cost behind a balancer: the same million lines in messages of 500, from eight senders, for one, two
// and four collectors with the shipped configuration, in turn. CPU is that of all collectors together, not that of the balancer
// and the senders, which share the cores with them. An iteration is a round of all three.
func BenchmarkInstances(b *testing.B) {
	loki := startLokiSink(b)
	messages := manyMessages(instancesMessages)
	sizes := []*fleetSize{{instances: 1}, {instances: 2}, {instances: 4}}
	for b.Loop() {
		for _, size := range sizes {
			size.measure(b, loki, messages)
		}
	}
	lines := float64(b.N * instancesMessages * benchmarkEvents)
	for _, size := range sizes {
		name := strconv.Itoa(size.instances)
		b.ReportMetric(size.cpu/lines*1e6, name+"-cpu-s/Mlines")
		b.ReportMetric(lines/size.seconds, name+"-lines/s")
		b.ReportMetric(float64(size.resident)/float64(b.N)/(1<<20), name+"-MiB")
		b.ReportMetric(float64(size.max)/(1<<20), name+"-peak-MiB")
		if size.instances > 1 {
			b.ReportMetric(size.cpu/sizes[0].cpu, name+"/1-cpu")
		}
	}
	b.ReportMetric(0, "ns/op") // is of all three
}

func (s *fleetSize) measure(b *testing.B, loki string, messages [][]byte) {
	b.Helper()
	f := startFleet(b, s.instances, loki)
	before, began := f.cpu(), time.Now()
	f.send(messages, 8)
	f.awaitSent(len(messages) * benchmarkEvents)
	s.seconds += time.Since(began).Seconds()
	s.cpu += f.cpu() - before
	for _, collector := range f.collectors {
		memory, err := collector.Memory()
		require.NoError(b, err)
		s.resident += memory.Resident / int64(s.instances)
		s.max = max(s.max, memory.Peak)
	}
	f.stop()
}

// What it costs to have the disk confirm each write: one collector with and without fsync, in turn, from eight senders that
// each wait for their answer. An iteration is a round of both.
func BenchmarkFsync(b *testing.B) {
	for _, size := range []struct{ events, messages int }{{10, 2000}, {500, 400}} {
		b.Run(fmt.Sprintf("lines=%d", size.events), func(b *testing.B) {
			benchmarkFsync(b, size.events, size.messages)
		})
	}
}

func benchmarkFsync(b *testing.B, events, count int) {
	b.Helper()
	loki := startLokiSink(b)
	messages := make([][]byte, count)
	for i := range messages {
		messages[i] = cloudwatch.Generate(cloudwatch.Source{LogStream: fmt.Sprint("stream-", i), Start: time.Now(), Events: events}).Gzip()
	}
	took, seconds := map[bool][]time.Duration{}, map[bool]float64{}
	for b.Loop() {
		for _, fsync := range []bool{false, true} {
			f := startFleet(b, 1, loki, fmt.Sprintf("extensions::file_storage::fsync: %v", fsync))
			began := time.Now()
			took[fsync] = append(took[fsync], f.send(messages, 8)...)
			seconds[fsync] += time.Since(began).Seconds()
			f.awaitSent(count * events)
			f.stop()
		}
	}
	for fsync, name := range map[bool]string{false: "without", true: "fsync"} {
		all := took[fsync]
		slices.Sort(all)
		b.ReportMetric(float64(len(all))/seconds[fsync], name+"-requests/s")
		b.ReportMetric(all[len(all)/2].Seconds()*1000, name+"-ms-median")
		b.ReportMetric(all[len(all)*99/100].Seconds()*1000, name+"-ms-99%")
	}
	b.ReportMetric(0, "ns/op") // is of both
}

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	// sections are the keys of the Collector's configuration.
	sections = []string{"receivers", "processors", "exporters", "extensions", "service"}
)

// Settings that the operator's pages show can be laid over the shipped configuration, and the collector starts with them.
func TestOperatorsPages(t *testing.T) {
	for page, want := range map[string]int{"../docs/scaling.md": 5, "../deploy/observability/README.md": 1} {
		t.Run(page, func(t *testing.T) {
			text, err := os.ReadFile(page)
			require.NoError(t, err)
			shown := 0
			for _, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
				var config map[string]any
				require.NoError(t, yaml.Unmarshal([]byte(block[1]), &config), block[1])
				if !isCollectors(config) {
					continue // Prometheus's, Kubernetes's
				}
				shown++
				startAndStop(t, block[1])
			}
			assert.Equal(t, want, shown)
		})
	}
}

func isCollectors(config map[string]any) bool {
	for key := range config {
		if !slices.Contains(sections, key) {
			return false
		}
	}
	return true
}

// startAndStop has a collector start with a configuration laid over the shipped one. Addresses stay on loopback.
func startAndStop(t *testing.T, config string) {
	t.Helper()
	config = strings.NewReplacer("0.0.0.0", "127.0.0.1", "port: 8888", "port: ${env:AWSLOKI_METRICS_PORT}").Replace(config)
	collector := stacktest.StartCollector(t, shippedConfig, map[string]string{"POD_NAME": "awsloki-0"},
		stack.CollectorOptions{Args: []string{"--config", writeFile(t, config)}})
	_, err := collector.Metrics(t.Context())
	require.NoError(t, err)
	require.NoError(t, collector.Stop())
}
