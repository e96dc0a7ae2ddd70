package telemetry

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Emit takes one value of a gauge, with the values of its labels in the order of its Definition.
type Emit func(name string, value float64, labels ...string)

// Source looks up the values of gauges, before its context ends. What it does not emit is absent: nobody knows it. What it emitted before an error
// counts, unless it took too long.
type Source func(ctx context.Context, emit Emit) error

// usualLookupLimit is how long a scrape waits for one source; a scraper waits for ten seconds by default.
const usualLookupLimit = 3 * time.Second

// lateness is what a source may take to notice that its time is up.
const lateness = 100 * time.Millisecond

// errHangs: a source did not answer in time, or has not answered an earlier question yet.
var errHangs = errors.New("it hangs")

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
	open  chan saying // of a question that is not answered yet; nil is none
}

// saying is what a source said to one question.
type saying struct {
	values []prometheus.Metric
	err    error
}

// Describe implements prometheus.Collector: what there will be, nobody knows.
func (w *watched) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (w *watched) Collect(to chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked.IsZero() || time.Since(w.asked) >= w.every {
		said := w.ask()
		if said.err != nil {
			w.metrics.add(lookupErrors, 1, w.name)
		}
		w.last, w.asked = said.values, time.Now()
	}
	for _, metric := range w.last {
		to <- metric
	}
}

// ask asks the source. One that hangs, as what looks at a broken disk does whatever its context says, must not take the other metrics with it: it
// is left alone until it has answered, and that answer is too old for anybody.
func (w *watched) ask() saying {
	if w.open != nil {
		select {
		case <-w.open:
			w.open = nil
		default:
			return saying{err: errHangs}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.metrics.lookupLimit)
	answer := make(chan saying, 1)
	go func() {
		defer cancel()
		answer <- w.look(ctx)
	}()
	timer := time.NewTimer(w.metrics.lookupLimit + lateness)
	defer timer.Stop()
	select {
	case said := <-answer:
		return said
	case <-timer.C:
		w.open = answer
		return saying{err: errHangs}
	}
}

// look has the source look its values up.
func (w *watched) look(ctx context.Context) (said saying) {
	said.err = w.source(ctx, func(name string, value float64, labels ...string) {
		said.values = append(said.values, prometheus.MustNewConstMetric(w.metrics.described[name], prometheus.GaugeValue, value, labels...))
	})
	return said
}
