// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
	"github.com/awsloki/awsloki/e2e/faultproxy"
	"github.com/awsloki/awsloki/e2e/stack"
)

const observability = "../deploy/observability/"

// documented are metrics that no test can have a collector count. Instead of what is exposed, it is what is documented that
// they are compared with.
var documented = map[string]string{
	// Only a disk that gives back other bytes than were written makes one.
	"otelcol_exporter_loki_unreadable_batches": "../exporter/lokiexporter/documentation.md",
}

// ownDocumentation has the metrics of the components that are ours.
var ownDocumentation = []string{
	"../exporter/lokiexporter/documentation.md",
	"../processor/restampprocessor/documentation.md",
	"../receiver/cloudwatchsubscriptionreceiver/documentation.md",
}

type alertingRule struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

// alertingRules are those of rules.yaml.
func alertingRules(t *testing.T) (all []alertingRule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alertingRule }
	}
	readYAML(t, observability+"rules.yaml", &file)
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}

type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ UID string }
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct{ Expr, LegendFormat string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(observability + "dashboard.json")
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(text, &d))
	require.NotEmpty(t, d.Panels)
	return d
}

// withoutVariables puts what Grafana could put in the place of its variables.
var withoutVariables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", `"$instance"`, `".+"`, `"$exporter"`, `".+"`)

// question is an expression, where it is, and the labels that are shown of its result.
type question struct {
	where, expr string
	shown       []string
}

var (
	annotationLabel = regexp.MustCompile(`\$labels\.(\w+)`)
	legendLabel     = regexp.MustCompile(`{{(\w+)}}`)
	labelValues     = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
)

func namesIn(text string, reference *regexp.Regexp) (names []string) {
	for _, match := range reference.FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	return names
}

// questions are all that the rules and the dashboard ask Prometheus.
func questions(t *testing.T) (all []question) {
	t.Helper()
	for _, rule := range alertingRules(t) {
		all = append(all, question{rule.Alert, rule.Expr, namesIn(fmt.Sprint(rule.Annotations), annotationLabel)})
	}
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, question{p.Title, withoutVariables.Replace(target.Expr), namesIn(target.LegendFormat, legendLabel)})
		}
	}
	for _, variable := range d.Templating.List {
		if variable.Type == "query" {
			parts := labelValues.FindStringSubmatch(variable.Definition)
			require.NotNil(t, parts, variable.Definition)
			all = append(all, question{"$" + variable.Name, withoutVariables.Replace(parts[1]), parts[2:]})
		}
	}
	return all
}

// Collectors are made to count everything, and then all that the rules and the dashboard ask for is there: metrics, labels,
// and the values of labels that they look for.
func TestRulesAndDashboard(t *testing.T) {
	loki := startTenants(t, map[string]string{"lines": "", "rate": "ingestion_rate_mb: 0.1, ingestion_burst_size_mb: 0.15", "team": ""})
	exposed := exposition{}
	for name, count := range map[string]func(*testing.T, *stack.Loki) stack.Metrics{
		"lines":           countLines,
		"rate":            countRate,
		"requests":        countRequests,
		"full queue":      countFullQueue,
		"short of memory": countShortOfMemory,
	} {
		t.Run(name, func(t *testing.T) { exposed.add(t, count(t, loki)) })
	}
	exposed.addSeries(labels.FromStrings(metricName, "up")) // is Prometheus's own
	for name, file := range documented {
		require.NotContains(t, exposed, name, "is exposed and need not be taken from the documentation")
		exposed.addSeries(documentedSeries(t, name, file))
	}
	for _, q := range questions(t) {
		problems, result := exposed.check(q.expr)
		assert.Empty(t, problems, "%s: %s", q.where, q.expr)
		for _, name := range q.shown {
			assert.True(t, result[name], "%s shows the label %s, which its result does not have", q.where, name)
		}
	}
}

// documentedSeries returns a metric with the labels that its documentation has.
func documentedSeries(t *testing.T, name, file string) labels.Labels {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "### "+name+"\n")
	require.True(t, found, "%s does not have %s", file, name)
	section, _, _ = strings.Cut(section, "\n### ")
	_, attributes, _ := strings.Cut(section, "#### Attributes")
	series := labels.NewBuilder(labels.FromStrings(metricName, name))
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z._]+) \|`).FindAllStringSubmatch(attributes, -1) {
		series.Set(strings.ReplaceAll(row[1], ".", "_"), "documented")
	}
	return series.Labels()
}

// countLines has lines refused, changed, divided, and sent again after every kind of answer.
func countLines(t *testing.T, loki *stack.Loki) stack.Metrics {
	t.Helper()
	faults := []faultproxy.Fault{
		{Kind: faultproxy.Answer, Status: 413, Body: nginxTooLarge, ContentType: "text/html"},
		{Kind: faultproxy.Answer, Status: 401},
		{Kind: faultproxy.Answer, Status: 503},
		{Kind: faultproxy.CutAnswer},
	}
	_, pushURL := startProxy(t, loki, func(r *faultproxy.Request) (fault faultproxy.Fault) {
		switch {
		case r.Path == queryPath:
			fault = faultproxy.Fault{Kind: faultproxy.Answer, Status: 403}
		case len(faults) > 0:
			fault, faults = faults[0], faults[1:]
		}
		return fault
	})
	d := startDeliverer(t, pushURL, exporter("tenant: {value: lines}, "+verify+", "+labelled(20)),
		"processors: {restamp: {timestamps: as_needed, max_age_absolute: 87600h, max_streams: 1}}")
	now := time.Now()
	d.send(
		service("old", at(now.AddDate(0, 0, -30), "old")...),
		service("no time", record{at: time.Unix(0, 0), line: "no time"}),
		service("long", record{at: now, line: strings.Repeat("long ", 60_000)}),
		service("many", record{now, "many", attributes(130, 1)}),
		with("labels", attributes(17, 1), at(now, "labels")...),
	)
	return d.untilDone().Metrics
}

// countRate has lines held back by the limits that Loki states.
func countRate(t *testing.T, loki *stack.Loki) stack.Metrics {
	t.Helper()
	d := startDeliverer(t, loki.PushURL(), exporter("tenant: {value: rate}"))
	d.send(service("large", at(time.Now(), numbered("large", 500, 1000)...)...))
	return d.untilDone().Metrics
}

// countRequests has requests taken, recognised, and refused for what is in them and for who sends them.
func countRequests(t *testing.T, loki *stack.Loki) stack.Metrics {
	t.Helper()
	p := startReceiverBefore(t, loki, nil, exporter("tenant: {metadata_key: X-Scope-OrgID}"), guarded+"basicauth}}}\n"+basicAuth)
	as := func(tenant string) map[string]string {
		return map[string]string{authorization: "Basic Zm9yd2FyZGVyOmNoYW5nZS1tZQ==", "X-Scope-OrgID": tenant}
	}
	message := oneLine().Gzip()
	assert.Equal(t, http.StatusOK, p.post(message, as("team")).status)
	assert.Equal(t, http.StatusOK, p.post(message, as("team")).status)
	assert.Equal(t, http.StatusOK, p.post(cloudwatch.Message{MessageType: cloudwatch.ControlMessage, LogEvents: []cloudwatch.Event{}}.Gzip(), as("team")).status)
	assert.Equal(t, http.StatusBadRequest, p.post([]byte("no message"), as("team")).status)
	assert.Equal(t, http.StatusUnprocessableEntity, p.post(oneLine().Gzip(), as("a|b")).status)
	assert.Equal(t, http.StatusUnauthorized, p.post(message, nil).status)
	p.untilSent()
	return p.metricsNow()
}

// countFullQueue has a batch given up, and a message turned away, since it is larger than the queue.
func countFullQueue(t *testing.T, loki *stack.Loki) stack.Metrics {
	t.Helper()
	p := startReceiverBefore(t, loki, map[string]string{"LOKI_URL": "http://127.0.0.1:1/loki/api/v1/push"},
		exporter("retry_on_failure: {enabled: false}, sending_queue: {queue_size: 20000, batch: {min_size: 10000, max_size: 10000}}"))
	large := cloudwatch.Generate(cloudwatch.Source{Start: p.started, Events: 400})
	assert.Equal(t, http.StatusOK, p.post(oneLine().Gzip(), nil).status)
	assert.Equal(t, http.StatusServiceUnavailable, p.post(large.Gzip(), nil).status)
	p.untilSent()
	return p.metricsNow()
}

// countShortOfMemory has a message turned away by the memory limiter.
func countShortOfMemory(t *testing.T, loki *stack.Loki) stack.Metrics {
	t.Helper()
	p := startReceiverBefore(t, loki, nil, exporter("tenant: {value: team}"),
		"processors: {memory_limiter: {limit_mib: 20, spike_limit_mib: 19, check_interval: 50ms}}")
	// It looks at the memory every now and then.
	for p.post(oneLine().Gzip(), nil).status != http.StatusServiceUnavailable {
		require.NoError(t, t.Context().Err())
	}
	return p.metricsNow()
}

func (p *pipeline) metricsNow() stack.Metrics {
	p.Helper()
	metrics, err := p.collector.Metrics(p.Context())
	require.NoError(p, err)
	return metrics
}

// Every panel says what it shows and in what unit, and none lies on another.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		assert.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = true
		assert.NotEmpty(t, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				assert.Empty(t, taken[[2]int{x, y}], "%s lies on another panel", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type == "row" {
			continue
		}
		assert.NotEmpty(t, p.Description, p.Title)
		assert.NotEmpty(t, p.FieldConfig.Defaults.Unit, p.Title)
		assert.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		assert.NotEmpty(t, p.Targets, p.Title)
	}
}

// What our components count is on the dashboard.
func TestDashboardHasEverything(t *testing.T) {
	var shown strings.Builder
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			shown.WriteString(target.Expr)
		}
	}
	for _, file := range ownDocumentation {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		names := regexp.MustCompile(`(?m)^### (otelcol_\w+)$`).FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, names)
		for _, name := range names {
			assert.Contains(t, shown.String(), name[1]+"{")
		}
	}
}

// Each alert is tested: it fires in one test, and the first test, in which none does, has all metrics that alerts look at.
// And each has its row in the README.
func TestAlertsAreTested(t *testing.T) {
	var tests struct {
		Tests []struct {
			Name   string
			Series []struct{ Series string } `yaml:"input_series"`
			Exprs  []struct {
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	readYAML(t, observability+"rules_test.yaml", &tests)
	readme, err := os.ReadFile(observability + "README.md")
	require.NoError(t, err)
	fired, healthy := map[string]bool{}, exposition{}
	for n, test := range tests.Tests {
		for _, expr := range test.Exprs {
			for _, sample := range expr.Samples {
				fired[sample.Labels] = true
			}
			assert.False(t, n == 0 && len(expr.Samples) > 0, "the first test is of healthy series")
		}
		for _, one := range test.Series {
			series, err := promQL.ParseMetric(one.Series)
			require.NoError(t, err)
			if n == 0 {
				healthy.addSeries(series)
			}
		}
	}
	for _, rule := range alertingRules(t) {
		assert.True(t, fired[fmt.Sprintf("{alertname=%q}", rule.Alert)], "%s fires in no test", rule.Alert)
		problems, _ := healthy.check(rule.Expr)
		assert.Empty(t, problems, "%s: the test with healthy series lacks", rule.Alert)
		assert.Contains(t, string(readme), "| `"+rule.Alert+"` | "+rule.Labels["severity"]+" |")
		assert.ElementsMatch(t, []string{"description", "summary"}, slices.Collect(maps.Keys(rule.Annotations)), rule.Alert)
	}
}
