// Parses PromQL as Prometheus does. It reads expressions, a file of rules as text, and series to evaluate the expressions
// on from standard input. It writes the selectors and the result of each expression or its parse error, and all errors
// of the rules.
package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

type question struct {
	Expressions []string `json:"expressions"`
	Rules       string   `json:"rules"`
	Series      []string `json:"series"`
	// When to evaluate the expressions.
	Minute int `json:"minute"`
}

type answer struct {
	Expressions []reading `json:"expressions"`
	Rules       []string  `json:"rules"`
}

type reading struct {
	Selectors []selector `json:"selectors"`
	Result    []element  `json:"result"`
	Error     string     `json:"error"`
}

// One selector: `up{job="x"}` has the metric up and the label job.
type selector struct {
	Metric string   `json:"metric"`
	Labels []string `json:"labels"`
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fail(err)
	}
	prometheus := parser.NewParser(parser.Options{})
	told := answer{Expressions: []reading{}, Rules: []string{}}
	given, err := parse(prometheus, asked.Series)
	if err != nil {
		fail(err)
	}
	for _, expression := range asked.Expressions {
		one := read(prometheus, expression)
		if one.Error == "" {
			if one.Result, err = given.evaluate(prometheus, expression, asked.Minute); err != nil {
				one.Error = err.Error()
			}
		}
		told.Expressions = append(told.Expressions, one)
	}
	_, errs := rulefmt.Parse([]byte(asked.Rules), false, model.UTF8Validation, prometheus, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		told.Rules = append(told.Rules, err.Error())
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		fail(err)
	}
}

func read(prometheus parser.Parser, expression string) reading {
	found := reading{Selectors: []selector{}, Result: []element{}}
	parsed, err := prometheus.ParseExpr(expression)
	if err != nil {
		found.Error = err.Error()
		return found
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if one, ok := node.(*parser.VectorSelector); ok {
			found.Selectors = append(found.Selectors, selects(one))
		}
		return nil
	})
	return found
}

func selects(one *parser.VectorSelector) selector {
	named := selector{Labels: []string{}}
	for _, matcher := range one.LabelMatchers {
		if matcher.Name != labels.MetricName {
			named.Labels = append(named.Labels, matcher.Name)
		} else if matcher.Type == labels.MatchEqual {
			named.Metric = matcher.Value
		}
	}
	return named
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
