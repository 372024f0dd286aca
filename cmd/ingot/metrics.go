package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ingot/internal/image"
	"ingot/internal/importer"
	"ingot/internal/queue"
	"ingot/internal/refusal"
	"ingot/internal/store"
)

// metrics are what an operator watches. No label holds a name, a URL or anything else that a client chose.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec   // by code and method
	seconds  *prometheus.HistogramVec // by method
	imports  *prometheus.CounterVec   // attempts, by outcome: available, interrupted or a refusal's code
	running  prometheus.Gauge
	copies   *prometheus.CounterVec // attempts of transfers between stores, by outcome: copied, interrupted or a refusal's code
	copying  prometheus.Gauge
	copied   prometheus.Counter
	read     prometheus.Counter
	stored   prometheus.Counter
	shared   prometheus.Counter
	freed    prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ingot_http_requests_total", Help: "Requests answered."}, []string{"code", "method"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ingot_http_request_seconds", Help: "Time to the end of the answer."}, []string{"method"}),
		imports:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ingot_import_attempts_total", Help: "Attempts of imports that ended."}, []string{"outcome"}),
		running:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "ingot_imports_running", Help: "Imports that run in this process."}),
		copies:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ingot_transfer_attempts_total", Help: "Attempts of transfers between stores that ended."}, []string{"outcome"}),
		copying:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "ingot_transfers_running", Help: "Transfers between stores that run in this process."}),
		copied:   counter("ingot_transfer_stored_bytes_total", "Bytes written to stores by transfers that were completed."),
		read:     counter("ingot_import_read_bytes_total", "Bytes read from sources by imports that became available."),
		stored:   counter("ingot_import_stored_bytes_total", "Bytes written to the store by imports that became available."),
		shared:   counter("ingot_import_shared_bytes_total", "Guest bytes of imports that the store held already."),
		freed:    counter("ingot_sweep_freed_bytes_total", "Bytes of objects that sweeps of this process deleted."),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.imports, m.running, m.copies, m.copying, m.copied, m.read, m.stored, m.shared, m.freed,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// handler serves /metrics, and everything else by next, counted.
func (m *metrics) handler(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	counted := promhttp.InstrumentHandlerCounter(m.requests, promhttp.InstrumentHandlerDuration(m.seconds, next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			mux.ServeHTTP(w, r)
			return
		}
		counted.ServeHTTP(w, r)
	})
}

// measuredWork counts how attempts end.
type measuredWork struct {
	queue.Work
	running prometheus.Gauge
	ended   *prometheus.CounterVec
	good    string // the outcome of an attempt that ended well
}

func (m *metrics) ofImports(w queue.Work) measuredWork {
	return measuredWork{w, m.running, m.imports, "available"}
}

func (m *metrics) ofTransfers(w queue.Work) measuredWork {
	return measuredWork{w, m.copying, m.copies, "copied"}
}

func (w measuredWork) Run(ctx context.Context, c image.Claim) error {
	w.running.Inc()
	defer w.running.Dec()
	err := w.Work.Run(ctx, c)
	outcome := w.good
	switch r := refusal.As(err); {
	case err == nil:
	case r != nil:
		outcome = r.Code
	case ctx.Err() != nil || errors.Is(err, image.ErrLeaseLost):
		outcome = "interrupted"
	default:
		outcome = "internal"
	}
	w.ended.WithLabelValues(outcome).Inc()
	return err
}

// measuredCatalog counts the bytes of what is published.
type measuredCatalog struct {
	importer.Catalog
	m *metrics
}

func (c measuredCatalog) Publish(ctx context.Context, claim image.Claim, p image.Progress, w store.Written) error {
	if err := c.Catalog.Publish(ctx, claim, p, w); err != nil {
		return err
	}
	c.m.read.Add(float64(p.BytesRead))
	c.m.stored.Add(float64(w.StoredBytes))
	c.m.shared.Add(float64(w.SharedBytes))
	return nil
}

// sweepLoop frees what is not needed any more, whenever it is asked to and from time to time, until ctx ends.
func (s *service) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		report, err := s.stores.sweep(ctx)
		s.metrics.freed.Add(float64(report.Freed))
		if s.uploads != nil {
			err = errors.Join(err, s.uploads.Sweep(ctx))
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("sweep", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.sweep:
		}
	}
}
