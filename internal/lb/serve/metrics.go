package serve

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/updraft-cloud/updraft/internal/lb/control"
)

func (s *service) metricsHandler() http.Handler {
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	return mux
}

// observe registers what a controller counts.
func (s *service) observe(c *control.Controller) {
	counter := func(name, help string, v *atomic.Int64, factor float64) {
		s.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "updraft_lb", Subsystem: "controller", Name: name, Help: help},
			func() float64 { return float64(v.Load()) * factor }))
	}
	gauge := func(name, help string, f func() float64) {
		s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "updraft_lb", Subsystem: "controller", Name: name, Help: help}, f))
	}
	m := &c.Metrics
	counter("passes_total", "Looks at a load balancer.", &m.Passes, 1)
	counter("pass_failures_total", "Looks that did not come to their end.", &m.Failures, 1)
	counter("pass_seconds_total", "Time that all looks took.", &m.Nanoseconds, 1e-9)
	counter("amphorae_given_up_total", "Amphorae that another replaced because they did not live any longer.", &m.Condemned, 1)
	counter("replacements_held_back_total", "Replacements that the circuit breaker did not let begin.", &m.HeldBack, 1)
	counter("heartbeats_total", "Heartbeats of amphorae of this controller's shards.", &m.Heartbeats, 1)
	gauge("amphorae_silent", "Amphorae that were not heard of for too long.", func() float64 { return float64(m.Silent.Load()) })
	gauge("amphorae_watched", "Amphorae that this controller watches.", func() float64 { return float64(m.Watched.Load()) })
	gauge("shards", "Shards that this controller has.", func() float64 { return float64(c.Shards()) })
	gauge("queue_ready", "Load balancers that are due.", func() float64 { n, _ := c.Queue(); return float64(n) })
	gauge("queue_working", "Load balancers that are worked on.", func() float64 { _, n := c.Queue(); return float64(n) })
	gauge("breaker_open", "1 while many amphorae are silent and replacements go one at a time.", func() float64 {
		if c.Held() {
			return 1
		}
		return 0
	})
}
