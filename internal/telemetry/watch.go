package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Emit takes one value of a gauge, with the values of its labels in the order of its Definition.
type Emit func(name string, value float64, labels ...string)

// Source looks up the values of gauges, before its context ends. What it does not emit is absent: nobody knows it. What it emitted before an error
// counts.
type Source func(ctx context.Context, emit Emit) error

// lookupLimit is how long a scrape waits for one source; a scraper waits for ten seconds by default.
const lookupLimit = 3 * time.Second

// Watch has a source asked when somebody scrapes, but not more often than every so long: any number of scrapers cost the same.
func (m *Metrics) Watch(name string, every time.Duration, source Source) {
	m.registry.MustRegister(&watched{metrics: m, name: name, every: every, source: source})
	m.add(lookupErrors, 0, name)
}

// watched is a source with what it said last.
type watched struct {
	metrics *Metrics
	name    string
	every   time.Duration
	source  Source

	mu    sync.Mutex
	asked time.Time
	last  []prometheus.Metric
}

// Describe implements prometheus.Collector: what there will be, nobody knows.
func (w *watched) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (w *watched) Collect(to chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked.IsZero() || time.Since(w.asked) >= w.every {
		w.ask()
	}
	for _, metric := range w.last {
		to <- metric
	}
}

func (w *watched) ask() {
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	w.last = nil
	err := w.source(ctx, func(name string, value float64, labels ...string) {
		w.last = append(w.last, prometheus.MustNewConstMetric(w.metrics.described[name], prometheus.GaugeValue, value, labels...))
	})
	if err != nil {
		w.metrics.add(lookupErrors, 1, w.name)
	}
	w.asked = time.Now()
}
