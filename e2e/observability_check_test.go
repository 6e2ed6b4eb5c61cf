// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/e2e/stack"
)

// The labels that Prometheus gives all that it scrapes from the job of the rules.
const (
	scrapeJob      = "awsloki"
	scrapeInstance = "collector-1:8888"
)

// metricName is the label that holds a metric's name.
const metricName = "__name__"

var promQL = parser.NewParser(parser.Options{})

// exposition is what collectors expose: the labels of each series, by the metric's name.
type exposition map[string][]labels.Labels

// add adds what a collector exposes.
func (e exposition) add(t *testing.T, metrics stack.Metrics) {
	t.Helper()
	for series := range metrics {
		found, err := promQL.ParseMetric(series)
		require.NoError(t, err, series)
		e.addSeries(found)
	}
}

func (e exposition) addSeries(series labels.Labels) {
	scraped := labels.NewBuilder(series).Set("job", scrapeJob).Set("instance", scrapeInstance).Labels()
	name := series.Get(metricName)
	e[name] = append(e[name], scraped)
}

// labelSet is labels by name.
type labelSet map[string]bool

func setOf(names ...string) labelSet {
	set := labelSet{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

func union(sets ...labelSet) labelSet {
	all := labelSet{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return all
}

// checker finds what an expression asks for and nobody exposes.
type checker struct {
	exposed  exposition
	problems []string
}

// check returns what is wrong with an expression, and the labels that its result has.
func (e exposition) check(expression string) (problems []string, result labelSet) {
	expr, err := promQL.ParseExpr(expression)
	if err != nil {
		return []string{err.Error()}, nil
	}
	c := &checker{exposed: e}
	result = c.labels(expr)
	return c.problems, result
}

func (c *checker) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// labels returns the labels that the series of a part of an expression have, but for the metric's name.
func (c *checker) labels(node parser.Node) labelSet {
	switch n := node.(type) {
	case *parser.VectorSelector:
		return c.selected(n)
	case *parser.AggregateExpr:
		return c.aggregated(n)
	case *parser.BinaryExpr:
		return c.combined(n)
	}
	all := labelSet{}
	for child := range parser.ChildrenIter(node) {
		all = union(all, c.labels(child))
	}
	return all
}

// selected checks that there is such a metric, that it has the labels that are asked for, and that the selector finds
// something.
func (c *checker) selected(selector *parser.VectorSelector) labelSet {
	all := labelSet{}
	found := false
	for _, series := range c.exposed[selector.Name] {
		series.Range(func(l labels.Label) { all[l.Name] = true })
		found = found || !slices.ContainsFunc(selector.LabelMatchers, func(m *labels.Matcher) bool { return !m.Matches(series.Get(m.Name)) })
	}
	for _, m := range selector.LabelMatchers {
		if len(all) > 0 && !all[m.Name] {
			c.problem("%s has no label %s", selector.Name, m.Name)
		}
	}
	if !found {
		c.problem("there is no %s", selector)
	}
	delete(all, metricName)
	return all
}

func (c *checker) aggregated(n *parser.AggregateExpr) labelSet {
	below := c.labels(n.Expr)
	c.requireLabels(n, below, n.Grouping)
	if !n.Without {
		return setOf(n.Grouping...)
	}
	for _, name := range n.Grouping {
		delete(below, name)
	}
	return below
}

// combined checks that series of both sides can meet.
func (c *checker) combined(n *parser.BinaryExpr) labelSet {
	left, right := c.labels(n.LHS), c.labels(n.RHS)
	vectors := n.LHS.Type() == parser.ValueTypeVector && n.RHS.Type() == parser.ValueTypeVector
	switch {
	case !vectors:
		return union(left, right)
	case n.Op == parser.LOR:
		return union(left, right)
	case len(n.VectorMatching.MatchingLabels) > 0:
		c.requireLabels(n, left, n.VectorMatching.MatchingLabels)
		c.requireLabels(n, right, n.VectorMatching.MatchingLabels)
	case !maps.Equal(left, right):
		c.problem("the sides of %s have different labels: %v and %v", n.Op, slices.Sorted(maps.Keys(left)), slices.Sorted(maps.Keys(right)))
	}
	return left
}

func (c *checker) requireLabels(where parser.Node, have labelSet, names []string) {
	for _, name := range names {
		if !have[name] {
			c.problem("nothing in %s has the label %s", where, name)
		}
	}
}

// The check itself fails where it should.
func TestExpressionCheck(t *testing.T) {
	e := exposition{}
	for _, series := range []string{
		`lines{exporter="loki", reason="too_old"}`, `lines{exporter="loki", reason="too_long"}`, `size{exporter="loki"}`, `capacity{exporter="loki"}`,
		`uptime`,
	} {
		found, err := promQL.ParseMetric(series)
		require.NoError(t, err)
		e.addSeries(found)
	}
	for expression, want := range map[string]string{
		`sum by (job, reason) (rate(lines{job="awsloki", reason="too_old"}[5m])) > 0`: "",
		`size / capacity > 0.5 or lines unless lines offset 15m`:                      "",
		`sum(rate(lines[5m])) - (sum(rate(size[5m])) or vector(0))`:                   "",
		`max(uptime) without (instance)`:                                              "",
		`rate(made_up_lines[5m]) > 0`:                                                 "there is no made_up_lines",
		`absent(made_up_lines)`:                                                       "there is no made_up_lines",
		`lines or made_up_lines`:                                                      "there is no made_up_lines",
		`lines{reason="too_short"}`:                                                   `there is no lines{reason="too_short"}`,
		`lines{cause!="x"}`:                                                           "lines has no label cause",
		`sum by (cause) (lines)`:                                                      "has the label cause",
		`sum by (reason) (sum by (exporter) (lines))`:                                 "has the label reason",
		`size / lines`:                                                                "the sides of / have different labels",
		`size / on (reason) lines`:                                                    "has the label reason",
		`rate(lines)`:                                                                 "expected type range vector",
	} {
		t.Run(expression, func(t *testing.T) {
			problems, _ := e.check(expression)
			if want == "" {
				assert.Empty(t, problems)
				return
			}
			require.NotEmpty(t, problems)
			assert.Contains(t, problems[0], want)
		})
	}
	_, result := e.check(`sum by (job, reason) (rate(lines[5m])) > 0`)
	assert.Equal(t, setOf("job", "reason"), result)
}
