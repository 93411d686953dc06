package app

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/notify"
	"github.com/sealpost/sealpost/internal/server"
)

// metrics counts what happens and asks the domains for the rest when a monitor
// comes. Labels are taken from fixed sets: none holds a name of somebody.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	attempts *prometheus.CounterVec
	// waited, took and tries are of letters that a server accepted.
	waited, took, tries *prometheus.HistogramVec
}

func newMetrics(a *App) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sealpost_http_requests_total", Help: "Requests answered.",
		}, []string{"method", "pattern", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sealpost_http_request_seconds", Help: "Time to answer a request.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"pattern"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sealpost_delivery_total", Help: "Attempts of delivery by what was tried, through which server, and what came of it.",
		}, []string{"what", "result", serverLabel}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sealpost_letter_wait_seconds", Help: "Time from adding a letter to its acceptance.", Buckets: []float64{0.1, 0.3, 1, 3, 10, 30, 60, 300, 900, 3600, 21600, 86400},
		}, []string{serverLabel}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sealpost_letter_send_seconds", Help: "Time that the mail server took for a letter that it accepted.", Buckets: []float64{0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60},
		}, []string{serverLabel}),
		tries: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sealpost_letter_attempts", Help: "Attempts that a letter needed until it was accepted.", Buckets: []float64{1, 2, 3, 4, 6, 10},
		}, []string{serverLabel}),
	}
	for _, slot := range mail.Slots() {
		// They are there before the first letter, so that a rule finds them.
		m.waited.WithLabelValues(string(slot))
		m.took.WithLabelValues(string(slot))
		m.tries.WithLabelValues(string(slot))
	}
	m.registry.MustRegister(m.requests, m.seconds, m.attempts, m.waited, m.took, m.tries,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newMailCollector(a), newBounceCollector(a), a.events, a.grants, a.alerts)
	return m
}

func newGrants() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sealpost_oauth_requests_total", Help: "Requests for tokens by who was asked, how, and what came of it.",
	}, []string{"provider", "grant", "result"})
}

func newAlerts() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sealpost_alerts_total", Help: "Alerts to the webhook: posted, failed attempts, and given up after a day.",
	}, []string{"result"})
}

// fromZero lets counters be seen before they count: the first failure is an
// increase only where there was a zero before.
func fromZero(grants, alerts *prometheus.CounterVec) {
	for _, result := range []string{notify.Posted, notify.Failed, notify.GivenUp} {
		alerts.WithLabelValues(result)
	}
	results := []token.Outcome{token.Got, token.Refused, token.Failed, token.Unstored}
	for _, pair := range []struct {
		provider oauth.Provider
		grants   []oauth.Grant
	}{
		{oauth.Microsoft, []oauth.Grant{oauth.Consent, oauth.Application}},
		{oauth.Google, []oauth.Grant{oauth.Consent, oauth.ServiceAccount}},
		{oauth.Generic, []oauth.Grant{oauth.Consent, oauth.Application}},
	} {
		for _, grant := range pair.grants {
			for _, result := range results {
				grants.WithLabelValues(string(pair.provider), string(grant), string(result))
			}
		}
	}
}

// handler answers the monitor.
func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}

// answered counts a request.
func (m *metrics) answered(a server.Answered) {
	m.requests.WithLabelValues(a.Method, a.Pattern, strconv.Itoa(a.Status)).Inc()
	m.seconds.WithLabelValues(a.Pattern).Observe(a.Took.Seconds())
}

// delivered counts what delivery did.
func (m *metrics) delivered(e delivery.Event) {
	server := string(e.Slot)
	m.attempts.WithLabelValues(e.What, e.Result, server).Inc()
	if e.What == "letter" && e.Result == string(outbox.Accepted) {
		m.waited.WithLabelValues(server).Observe(e.Waited.Seconds())
		m.took.WithLabelValues(server).Observe(e.Took.Seconds())
		m.tries.WithLabelValues(server).Observe(float64(e.Attempt))
	}
}

// eventCounter is the log of audit entries. It counts them by action and
// outcome on their way, signing in among them, whatever the level of the log.
type eventCounter struct {
	slog.Handler
	events *eventCounts
}

type eventCounts struct {
	desc *prometheus.Desc
	mu   sync.Mutex
	n    map[[2]string]float64
}

func newEventCounter(next slog.Handler) *eventCounter {
	return &eventCounter{Handler: next, events: &eventCounts{
		n: map[[2]string]float64{},
		desc: prometheus.NewDesc("sealpost_audit_events_total",
			"Entries of the audit log by action and outcome; session.started and session.refused are sign-ins.", []string{"action", "outcome"}, nil),
	}}
}

// Enabled takes every line, to count it.
func (c *eventCounter) Enabled(context.Context, slog.Level) bool { return true }

// Handle counts the entry and hands its line on.
func (c *eventCounter) Handle(ctx context.Context, r slog.Record) error {
	var key [2]string
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "action":
			key[0] = a.Value.String()
		case "outcome":
			key[1] = a.Value.String()
		}
		return true
	})
	if key[1] == "" {
		key[1] = "done"
	}
	c.events.add(key)
	if !c.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return c.Handler.Handle(ctx, r)
}

func (e *eventCounts) add(key [2]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n[key]++
}

// Describe names the metric.
func (c *eventCounter) Describe(ch chan<- *prometheus.Desc) { ch <- c.events.desc }

// Collect tells the counts.
func (c *eventCounter) Collect(ch chan<- prometheus.Metric) {
	c.events.mu.Lock()
	defer c.events.mu.Unlock()
	for key, n := range c.events.n {
		ch <- prometheus.MustNewConstMetric(c.events.desc, prometheus.CounterValue, n, key[0], key[1])
	}
}
