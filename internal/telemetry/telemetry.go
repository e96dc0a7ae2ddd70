// Package telemetry counts and tells: the metrics of a worker, ours and the SDK's, behind one HTTP handler, and the fields of its log lines.
package telemetry

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"

	"talon/activities"
)

// Metrics are those of one process. It is the activities.Meter of its workers.
type Metrics struct {
	registry   *prometheus.Registry
	sdk        client.MetricsHandler
	counters   map[string]*prometheus.CounterVec
	histograms map[string]*prometheus.HistogramVec
	described  map[string]*prometheus.Desc // of the gauges

	codes       codes
	lookupLimit time.Duration // of one source
}

var _ activities.Meter = (*Metrics)(nil)

// buckets reach from what a local disk takes to an archive that takes an hour.
var buckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}

// New returns the metrics of a program of that version.
func New(version string) (*Metrics, error) {
	m := &Metrics{
		registry: prometheus.NewRegistry(), counters: map[string]*prometheus.CounterVec{}, histograms: map[string]*prometheus.HistogramVec{},
		described: map[string]*prometheus.Desc{}, lookupLimit: usualLookupLimit,
	}
	for _, d := range Definitions {
		m.define(d)
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Watch("build", time.Hour, func(_ context.Context, emit Emit) error {
		emit(buildInfo, 1, version)
		return nil
	})
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(m.registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	// The SDK's own boundaries are meant for milliseconds.
	seconds := metric.NewView(metric.Instrument{Name: "*", Unit: "s"}, metric.Stream{
		Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: buckets},
	})
	provider := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(seconds))
	m.sdk = opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter: provider.Meter("temporal-sdk-go"), UseMonotonicCounters: true,
		OnError: func(error) {}, // a metric is not worth a worker
	})
	return m, nil
}

// define registers what counts, and prepares what is looked up.
func (m *Metrics) define(d Definition) {
	switch d.Kind {
	case Counter:
		m.counters[d.Name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
		m.registry.MustRegister(m.counters[d.Name])
		if len(d.Labels) == 0 {
			m.add(d.Name, 0) // there from the beginning, so that the first one is seen as a rise
		}
	case Histogram:
		m.histograms[d.Name] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: buckets}, d.Labels)
		m.registry.MustRegister(m.histograms[d.Name])
	case Gauge:
		m.described[d.Name] = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
	}
}

// SDK is the metrics handler of Temporal clients and workers.
func (m *Metrics) SDK() client.MetricsHandler { return m.sdk }

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapesAtOnce})
}

// scrapesAtOnce bounds what a scraper that gives up and comes back can have going on.
const scrapesAtOnce = 4

// add counts. Prometheus panics over a counter that goes back, and the activity that tells of a file is worth more than a count.
func (m *Metrics) add(name string, n float64, labels ...string) {
	m.counters[name].WithLabelValues(labels...).Add(max(n, 0))
}

// Server implements activities.Meter.
func (m *Metrics) Server(row activities.ServerResult, outcomes []activities.Outcome) {
	m.add(serverResults, 1, row.Server, resultLabel(row.Result), m.codes.label(row.Reason))
	for _, o := range outcomes {
		reason := m.codes.label(o.Reason)
		m.add(files, float64(o.Files), row.Server, string(o.State), reason)
		m.add(fileBytes, float64(o.Bytes), row.Server, string(o.State), reason)
	}
}

// Run implements activities.Meter.
func (m *Metrics) Run(kind string, result int, reason string) {
	m.add(runResults, 1, kind, resultLabel(result), m.codes.label(reason))
}

// Leftovers implements activities.Meter.
func (m *Metrics) Leftovers(files int) { m.add(leftovers, float64(files)) }

// Archive implements activities.Meter.
func (m *Metrics) Archive(server string, result int, reason string, files int, bytes int64) {
	m.add(archives, 1, server, resultLabel(result), m.codes.label(reason))
	m.add(extractedFiles, float64(files))
	m.add(extractedBytes, float64(bytes))
}

// Layer implements activities.Meter.
func (m *Metrics) Layer(reason string) {
	m.add(layers, 1, m.codes.label(reason))
	if activities.IsLimit(reason) {
		m.add(limits, 1, m.codes.label(reason))
	}
	if reason == activities.ReasonCrashed {
		m.add(crashes, 1)
	}
}

// Took implements activities.Meter.
func (m *Metrics) Took(step string, duration time.Duration, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.histograms[steps].WithLabelValues(step, outcome).Observe(duration.Seconds())
}
