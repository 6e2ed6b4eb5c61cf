// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
	"github.com/awsloki/awsloki/e2e/stack/stacktest"
)

// settled is how long anything may take that a test waits for, on a machine as slow as can be. A test that passes does
// not wait for so long.
const settled = 5 * time.Minute

// resource is records that share their resource's attributes: in general, a stream.
type resource struct {
	attributes map[string]string
	records    []record
}

type record struct {
	at         time.Time
	line       string
	attributes map[string]string
}

// service returns records of one service.
func service(name string, records ...record) resource {
	return resource{map[string]string{"service.name": name}, records}
}

// at returns a record for each line.
func at(t time.Time, lines ...string) []record {
	records := make([]record, len(lines))
	for i, line := range lines {
		records[i] = record{at: t, line: line}
	}
	return records
}

// apart returns a record for each line, a millisecond from one to the next. Loki can answer with few of them at a time.
func apart(t time.Time, lines ...string) []record {
	records := at(t, lines...)
	for i := range records {
		records[i].at = t.Add(time.Duration(i-len(records)) * time.Millisecond)
	}
	return records
}

// numbered returns n lines of about size bytes, all of them different.
func numbered(prefix string, n, size int) []string {
	lines := make([]string, n)
	for i := range lines {
		line := fmt.Sprintf("%s %06d ", prefix, i)
		lines[i] = line + strings.Repeat("x", max(0, size-len(line)))
	}
	return lines
}

// encodeOTLP returns an ExportLogsServiceRequest.
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
func encodeOTLP(tb testing.TB, resources ...resource) []byte {
	tb.Helper()
	var all []any
	for _, r := range resources {
		var records []any
		for _, one := range r.records {
			records = append(records, map[string]any{
				"timeUnixNano": strconv.FormatInt(one.at.UnixNano(), 10),
				"body":         map[string]any{"stringValue": one.line},
				"attributes":   encodeAttributes(one.attributes),
			})
		}
		all = append(all, map[string]any{
			"resource":  map[string]any{"attributes": encodeAttributes(r.attributes)},
			"scopeLogs": []any{map[string]any{"logRecords": records}},
		})
	}
	text, err := json.Marshal(map[string]any{"resourceLogs": all})
	require.NoError(tb, err)
	return text
}

func encodeAttributes(attributes map[string]string) []any {
	encoded := []any{}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		encoded = append(encoded, map[string]any{"key": name, "value": map[string]any{"stringValue": attributes[name]}})
	}
	return encoded
}

// quick makes the exporter of the shipped configuration try again soon, and send what there is after a moment, several
// requests at a time.
const quick = `
processors: {restamp: {timestamps: never}}
exporters:
  loki:
    retry_on_failure: {initial_interval: 10ms, max_interval: 200ms}
    sending_queue: {num_consumers: 4, batch: {flush_timeout: 100ms}}
`

// deliverer is a collector with the shipped configuration that takes logs by OTLP.
type deliverer struct {
	*testing.T
	collector *stack.Collector
	// sent is the number of lines sent.
	sent int
}

// startDeliverer starts a collector before the Loki, or what stands for it, with that push URL. configs are laid over
// the configuration one after another.
func startDeliverer(t *testing.T, pushURL string, configs ...string) *deliverer {
	t.Helper()
	return startWith(t, map[string]string{"LOKI_URL": pushURL}, configs...)
}

func startWith(t *testing.T, env map[string]string, configs ...string) *deliverer {
	t.Helper()
	var args []string
	for _, config := range append([]string{quick}, configs...) {
		args = append(args, "--config", "yaml:"+config)
	}
	collector := stacktest.StartCollector(t, shippedConfig, env, stack.CollectorOptions{Args: args})
	return &deliverer{T: t, collector: collector}
}

// restart ends the collector and starts another with the same queue, and other configs.
func (d *deliverer) restart(pushURL string, configs ...string) *deliverer {
	d.Helper()
	require.NoError(d, d.collector.Stop())
	return startWith(d.T, map[string]string{"LOKI_URL": pushURL, "AWSLOKI_DATA": d.collector.DataDir()}, configs...)
}

// exporter is a configuration with settings of the exporter, in YAML's flow style.
func exporter(settings string) string { return "exporters: {loki: {" + settings + "}}" }

// send sends logs in one request, which must be taken.
func (d *deliverer) send(resources ...resource) {
	d.Helper()
	d.sendAs(nil, resources...)
}

func (d *deliverer) sendAs(header http.Header, resources ...resource) {
	d.Helper()
	status, text := d.try(header, resources...)
	require.Equal(d, http.StatusOK, status, text)
	for _, r := range resources {
		d.sent += len(r.records)
	}
}

// try sends logs in one request and returns the answer.
func (d *deliverer) try(header http.Header, resources ...resource) (status int, text string) {
	d.Helper()
	req, err := http.NewRequestWithContext(d.Context(), http.MethodPost, d.collector.OTLPHTTP()+"/v1/logs", bytes.NewReader(encodeOTLP(d, resources...)))
	require.NoError(d, err)
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(d, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(d, err)
	return resp.StatusCode, string(answer)
}

// counters are what the exporter has counted.
type counters struct{ stack.Metrics }

func (c counters) of(name string, labels ...string) int {
	return int(c.Sum("otelcol_exporter_loki_"+name, append(labels, "exporter", "loki")...))
}

func (c counters) requests(status int) int {
	return c.of("requests", "http_response_status_code", strconv.Itoa(status))
}

// queued is the number of bytes in the queues of all tenants.
func (c counters) queued() int { return int(c.Sum("otelcol_exporter_queue_size")) }

// byLabel returns a counter by the values of a label.
func (c counters) byLabel(name, label string) map[string]int {
	values := map[string]int{}
	for series, value := range c.Metrics {
		if strings.HasPrefix(series, "otelcol_exporter_loki_"+name+"{") {
			_, rest, _ := strings.Cut(series, label+`="`)
			of, _, _ := strings.Cut(rest, `"`)
			values[of] += int(value)
		}
	}
	return values
}

func (d *deliverer) counters() counters {
	d.Helper()
	metrics, err := d.collector.Metrics(d.Context())
	require.NoError(d, err)
	return counters{metrics}
}

// until waits until the counters are as wanted.
func (d *deliverer) until(want func(counters) error) counters {
	d.Helper()
	var last counters
	require.NoError(d, stack.Eventually(d.Context(), settled, func(ctx context.Context) error {
		metrics, err := d.collector.Metrics(ctx)
		if err != nil {
			return err
		}
		last = counters{metrics}
		return want(last)
	}))
	return last
}

// untilDone waits until the exporter is done with all that was sent: it is delivered or refused, and nothing is queued.
func (d *deliverer) untilDone() counters {
	d.Helper()
	return d.until(func(c counters) error {
		if done := c.of("delivered_lines") + c.of("refused_lines"); done < d.sent || c.queued() > 0 {
			return fmt.Errorf("%d of %d lines are delivered or refused, %d bytes queued", done, d.sent, c.queued())
		}
		return nil
	})
}

// checkAccount checks that every line is accounted for once, the refused ones by their reasons, and that nothing has been
// sent since the account was made.
func (d *deliverer) checkAccount(c counters, refused map[string]int) {
	d.Helper()
	lines := 0
	for _, n := range refused {
		lines += n
	}
	if refused == nil {
		refused = map[string]int{}
	}
	assert.Equal(d, refused, c.byLabel("refused_lines", "reason"))
	assert.Equal(d, d.sent-lines, c.of("delivered_lines"))
	assert.Zero(d, c.Sum("otelcol_exporter_loki_unreadable_batches"))
	later := d.counters()
	assert.Equal(d, c.byLabel("requests", "http_response_status_code"), later.byLabel("requests", "http_response_status_code"))
	assert.Zero(d, later.queued())
}

// stored returns all lines of a tenant.
func stored(t *testing.T, loki *stack.LokiClient) []stack.Line {
	t.Helper()
	now := time.Now()
	return storedBetween(t, loki, now.Add(-24*time.Hour), now.Add(30*time.Minute))
}

func storedBetween(t *testing.T, loki *stack.LokiClient, start, end time.Time) []stack.Line {
	t.Helper()
	lines, err := loki.Lines(t.Context(), `{service_name=~".+"}`, start, end)
	require.NoError(t, err)
	return lines
}

// texts returns the lines' texts, sorted.
func texts(lines []stack.Line) []string {
	all := make([]string, len(lines))
	for i, line := range lines {
		all[i] = line.Line
	}
	slices.Sort(all)
	return all
}

// requireLines checks that a tenant has exactly these lines.
func requireLines(t *testing.T, loki *stack.LokiClient, want ...string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	found := texts(stored(t, loki))
	// Of thousands of lines, only those that differ are worth showing.
	missing, more := difference(want, found)
	require.Empty(t, missing, "missing in Loki")
	require.Empty(t, more, "too many in Loki")
}

// difference returns what only a has, and what only b has. Both are sorted.
func difference(a, b []string) (onlyA, onlyB []string) {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			onlyA, a = append(onlyA, a[0]), a[1:]
		case a[0] > b[0]:
			onlyB, b = append(onlyB, b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return append(onlyA, a...), append(onlyB, b...)
}
