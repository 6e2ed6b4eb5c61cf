// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/awsevents"
	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/lambdaruntime"
	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

const (
	// lambdaPromtail names a lambda-promtail, built for this machine, that is to be measured as well.
	lambdaPromtail = "AWSLOKI_LAMBDA_PROMTAIL"

	// roundEvents is how many events each side gets in a round.
	roundEvents = 1000
	// kinesisRecords is how many records a batch has, of kinesisLines each.
	kinesisRecords, kinesisLines = 100, 50
	// objectSize is about how many bytes of lines an object has.
	objectSize = 100_000_000

	benchmarkBucket  = "benchmark"
	benchmarkTimeout = 5 * time.Minute
	clockTicks       = 100 // a second, in what Linux shows of processes
)

// function is a Lambda function's program, which a benchmark compares with others.
type function struct {
	name, binary string // binary: default, the forwarder
	env          map[string]string

	api     *lambdaruntime.Server
	process *stack.Process
	cpu     float64 // seconds, of all rounds
}

// start starts the function, whose first answer may be awaited then.
func (f *function) start(b *testing.B) {
	b.Helper()
	api, err := lambdaruntime.Start()
	require.NoError(b, err)
	b.Cleanup(func() { assert.NoError(b, api.Close()) })
	f.api = api
	f.process = stacktest.StartForwarder(b, api.Addr(), f.env, stack.ForwarderOptions{Binary: f.binary})
}

// invoke has the function handle an event, which it must not fail.
func (f *function) invoke(b *testing.B, event []byte) {
	b.Helper()
	result, err := f.api.Invoke(b.Context(), event, benchmarkTimeout)
	require.NoError(b, err, "%s", f.name)
	require.Nil(b, result.FunctionError, "%s", f.name)
	require.Contains(b, []string{"null", `{"batchItemFailures":[]}`}, string(result.Payload), "%s", f.name)
}

// cpuSeconds is the CPU time that the function's process has taken.
func (f *function) cpuSeconds(b *testing.B) float64 {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.process.PID()))
	require.NoError(b, err)
	// The second field is the name of the program in brackets, which may have anything in it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	require.Greater(b, len(fields), 12)
	user, err := strconv.Atoi(string(fields[11]))
	require.NoError(b, err)
	system, err := strconv.Atoi(string(fields[12]))
	require.NoError(b, err)
	return float64(user+system) / clockTicks
}

func (f *function) memory(b *testing.B) stack.Memory {
	b.Helper()
	memory, err := f.process.Memory()
	require.NoError(b, err)
	return memory
}

// compare has functions handle the same events in turn, count of them in a round, and reports for each its memory at the
// peak and its CPU seconds for 1,000 events, or for a GB of lines if an event has so many bytes of them. An iteration is a
// round.
func compare(b *testing.B, functions []*function, events [][]byte, count, bytesOfLines int) {
	b.Helper()
	for _, f := range functions {
		f.start(b)
		f.invoke(b, events[0])
	}
	for b.Loop() {
		for _, f := range functions {
			before := f.cpuSeconds(b)
			for n := range count {
				f.invoke(b, events[n%len(events)])
			}
			f.cpu += f.cpuSeconds(b) - before
		}
	}
	for _, f := range functions {
		if bytesOfLines > 0 {
			b.ReportMetric(f.cpu/float64(b.N*count*bytesOfLines)*1e9, f.name+"-cpu-s/GB")
		} else {
			b.ReportMetric(f.cpu/float64(b.N*count)*1000, f.name+"-cpu-s/1000")
		}
		b.ReportMetric(float64(f.memory(b).Peak)/1e6, f.name+"-peak-MB")
	}
	b.ReportMetric(0, "ns/op") // is that of all of them and of the server that answers
}

// The whole process of the forwarder, beside one that does nothing and, if its binary is given, lambda-promtail: what
// CloudWatch's events cost, of one line, ten and 500. The collector, or Loki, is a server that takes everything.
func BenchmarkForwarder(b *testing.B) {
	url, noop := startSink(b), buildNoop(b)
	for _, lines := range []int{1, 10, 500} {
		b.Run(fmt.Sprint("lines=", lines), func(b *testing.B) {
			functions := functions(url, noop)
			var events [][]byte
			for i := range 16 {
				events = append(events, cloudwatch.Generate(cloudwatch.Source{
					LogGroup: fmt.Sprint("/aws/lambda/function-", i), Start: time.Now(), Events: lines,
				}).LambdaEvent())
			}
			compare(b, functions, events, roundEvents, 0)
			for _, f := range functions[1:] {
				b.ReportMetric(f.cpu/functions[0].cpu, f.name+"/noop")
			}
			if promtail := functions[len(functions)-1]; promtail.name == "promtail" {
				for _, f := range functions[2 : len(functions)-1] {
					b.ReportMetric(promtail.cpu/f.cpu, "promtail/"+f.name)
				}
			}
		})
	}
}

// functions returns what is compared. The first does nothing, and the second does no more than decode the event.
func functions(url, noop string) []*function {
	toLoki := url + "/loki/api/v1/push"
	all := []*function{
		{name: "noop", binary: noop},
		{name: "typednoop", binary: noop, env: map[string]string{"TYPED": "true"}},
		{name: "forwarder", env: map[string]string{"WRITE_ADDRESS": url}},
		{name: "nometrics", env: map[string]string{"WRITE_ADDRESS": url, "METRICS": "false"}},
		{name: "direct", env: map[string]string{"WRITE_ADDRESS": toLoki}},
	}
	if binary := os.Getenv(lambdaPromtail); binary != "" {
		all = append(all, &function{name: "promtail", binary: binary, env: map[string]string{"WRITE_ADDRESS": toLoki}})
	}
	return all
}

// How long the functions take from their start to their first answer, the memory that they have then, and the size of their
// programs. An iteration is a start of each; what is reported is the one in the middle.
func BenchmarkForwarderStart(b *testing.B) {
	functions := functions(startSink(b), buildNoop(b))
	event := cloudwatch.Generate(cloudwatch.Source{Start: time.Now(), Events: 1}).LambdaEvent()
	took, idle := map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		for _, f := range functions {
			started := time.Now()
			f.start(b)
			f.invoke(b, event)
			took[f.name] = append(took[f.name], time.Since(started).Seconds()*1000)
			idle[f.name] = append(idle[f.name], float64(f.memory(b).Resident)/1e6)
			require.NoError(b, f.process.Stop())
		}
	}
	for _, f := range functions {
		program, err := os.Stat(cmp.Or(f.binary, "../_build/lambdaforwarder"))
		require.NoError(b, err)
		b.ReportMetric(middle(took[f.name]), f.name+"-ms")
		b.ReportMetric(middle(idle[f.name]), f.name+"-idle-MB")
		b.ReportMetric(float64(program.Size())/1e6, f.name+"-size-MB")
	}
	b.ReportMetric(0, "ns/op")
}

func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// What batches of Kinesis cost, to a collector and straight to Loki.
func BenchmarkForwarderKinesis(b *testing.B) {
	url := startSink(b)
	var records [][]byte
	lines := 0
	for i := range kinesisRecords {
		m := cloudwatch.Generate(cloudwatch.Source{
			LogGroup: fmt.Sprint("/aws/lambda/function-", i%16), Start: time.Now(), Events: kinesisLines,
		})
		records = append(records, m.Gzip())
		lines += len(textOf(m))
	}
	compare(b, pair(url, nil), [][]byte{awsevents.Kinesis(time.Now(), records...)}, 50, lines)
}

// What an object of 100 MB of lines costs, to a collector and straight to Loki, plain and compressed.
func BenchmarkForwarderS3(b *testing.B) {
	url, s3 := startSink(b), stacktest.StartS3(b)
	require.NoError(b, s3.CreateBucket(b.Context(), benchmarkBucket))
	var object bytes.Buffer
	for i := 0; object.Len() < objectSize; i++ {
		_, _ = object.Write(textOf(cloudwatch.Generate(cloudwatch.Source{Seed: uint64(i), Start: time.Now(), Events: 4000})))
	}
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err := w.Write(object.Bytes())
	require.NoError(b, err)
	require.NoError(b, w.Close())
	for _, kind := range []struct {
		name, key string
		content   []byte
	}{{"plain", "app.log", object.Bytes()}, {"gzip", "app.log.gz", compressed.Bytes()}} {
		b.Run(kind.name, func(b *testing.B) {
			etag, err := s3.Put(b.Context(), benchmarkBucket, kind.key, bytes.NewReader(kind.content))
			require.NoError(b, err)
			event := awsevents.S3("ObjectCreated:Put", awsevents.Object{
				Bucket: benchmarkBucket, Key: kind.key, ETag: etag, Size: len(kind.content), Time: time.Now(),
			})
			compare(b, pair(url, s3.Env()), [][]byte{event}, 1, object.Len())
		})
	}
}

// pair returns the forwarder with a collector, and without one.
func pair(url string, env map[string]string) []*function {
	with := func(address string) map[string]string {
		all := map[string]string{"WRITE_ADDRESS": address, "PRINT_LOG_LINE": "false"}
		maps.Copy(all, env)
		return all
	}
	return []*function{{name: "forwarder", env: with(url)}, {name: "direct", env: with(url + "/loki/api/v1/push")}}
}

// textOf returns a message's lines, one after another.
func textOf(m cloudwatch.Message) []byte {
	var all bytes.Buffer
	for _, event := range m.LogEvents {
		_, _ = all.WriteString(event.Message)
	}
	return all.Bytes()
}

// startSink starts a server that takes everything, as a collector or as Loki.
func startSink(b *testing.B) string {
	b.Helper()
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/loki/api/v1/push") {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"accepted":500}`)
	}))
	b.Cleanup(sink.Close)
	return sink.URL
}

// buildNoop builds the function that does nothing, as make lambda builds the forwarder.
func buildNoop(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "nooplambda")
	build := exec.CommandContext(context.WithoutCancel(b.Context()),
		"go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", path, "./nooplambda")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	require.NoError(b, err, "%s", output)
	return path
}
