package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// One element of the result of an expression.
type element struct {
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// Series are the input of an expression, a sample a minute, as in promtool's tests of rules: `up{job="x"} 1x10 0`.
type series []storage.Series

func parse(prometheus parser.Parser, descriptions []string) (series, error) {
	var all series
	for _, description := range descriptions {
		named, values, err := prometheus.ParseSeriesDesc(description)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", description, err)
		}
		var samples []chunks.Sample
		for minute, value := range values {
			if !value.Omitted {
				at := (time.Duration(minute) * time.Minute).Milliseconds()
				samples = append(samples, sample{at, value.Value})
			}
		}
		all = append(all, storage.NewListSeries(named, samples))
	}
	return all, nil
}

// evaluate returns the result of an expression at a minute.
func (all series) evaluate(prometheus parser.Parser, expression string, minute int) ([]element, error) {
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples:    1_000_000,
		Timeout:       time.Minute,
		LookbackDelta: 5 * time.Minute,
		Parser:        prometheus,
	})
	ctx := context.Background()
	at := time.UnixMilli((time.Duration(minute) * time.Minute).Milliseconds())
	query, err := engine.NewInstantQuery(ctx, all, nil, expression, at)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	vector, err := query.Exec(ctx).Vector()
	if err != nil {
		return nil, err
	}
	found := []element{}
	for _, one := range vector {
		found = append(found, element{one.Metric.Map(), one.F})
	}
	return found, nil
}

func (all series) Querier(_, _ int64) (storage.Querier, error) { return all, nil }

func (all series) Select(
	_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher,
) storage.SeriesSet {
	found := &set{at: -1}
	for _, one := range all {
		if matches(one.Labels(), matchers) {
			found.series = append(found.series, one)
		}
	}
	return found
}

func matches(named labels.Labels, matchers []*labels.Matcher) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(named.Get(matcher.Name)) {
			return false
		}
	}
	return true
}

func (series) LabelValues(
	context.Context, string, *storage.LabelHints, ...*labels.Matcher,
) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (series) LabelNames(
	context.Context, *storage.LabelHints, ...*labels.Matcher,
) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (series) Close() error { return nil }

// set iterates over series.
type set struct {
	series series
	at     int
}

func (s *set) Next() bool {
	s.at++
	return s.at < len(s.series)
}
func (s *set) At() storage.Series              { return s.series[s.at] }
func (*set) Err() error                        { return nil }
func (*set) Warnings() annotations.Annotations { return nil }

// sample is a number at a time in milliseconds.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                    { return s.at }
func (sample) ST() int64                     { return 0 }
func (s sample) F() float64                  { return s.value }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }
