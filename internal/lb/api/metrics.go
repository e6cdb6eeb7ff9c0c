package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what Prometheus is told of requests.
type metrics struct{ requests *prometheus.HistogramVec }

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	m := &metrics{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "updraft_lb_api_request_duration_seconds",
		Help:    "Time from a request of the load-balancing API to its answer, by method, route and status code.",
		Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5},
	}, []string{"method", "route", "code"})}
	if to == nil {
		return m, nil
	}
	if err := to.Register(m.requests); err != nil {
		return nil, fmt.Errorf("cannot register metrics of the load-balancing API: %w", err)
	}
	return m, nil
}

func (m *metrics) observe(method, route string, status int, took time.Duration) {
	switch method { // what strangers send is no label
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}
