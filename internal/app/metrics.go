package app

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/server"
	"github.com/sealpost/sealpost/internal/store"
)

// metrics counts what happens and asks the domains for the rest when a monitor
// comes. Labels are taken from fixed sets: none holds a name of somebody.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	attempts *prometheus.CounterVec
	waited   prometheus.Histogram
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
			Name: "sealpost_delivery_total", Help: "Attempts of delivery by what was tried and what came of it.",
		}, []string{"what", "result"}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sealpost_letter_wait_seconds", Help: "Time from adding a letter to its acceptance.", Buckets: prometheus.ExponentialBuckets(0.1, 4, 10),
		}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.attempts, m.waited,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newMailCollector(a), a.events, a.grants, a.alerts)
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
	m.attempts.WithLabelValues(e.What, e.Result).Inc()
	if e.Waited > 0 {
		m.waited.Observe(e.Waited.Seconds())
	}
}

// mailCollector asks for the state of mail when a monitor comes.
type mailCollector struct {
	app *App

	letters, oldest, state, remedy, accepted, next, ends *prometheus.Desc
	recipients, limit, token                             *prometheus.Desc
}

func newMailCollector(a *App) *mailCollector {
	return &mailCollector{
		app: a,
		letters: prometheus.NewDesc("sealpost_letters",
			"Letters that wait, and those accepted, delayed and failed in the last 24 hours.", []string{"state"}, nil),
		oldest:   prometheus.NewDesc("sealpost_letters_oldest_seconds", "Age of the oldest letter that waits.", nil, nil),
		state:    prometheus.NewDesc("sealpost_mail_state", "1 for the state that mail is in.", []string{"state"}, nil),
		remedy:   prometheus.NewDesc("sealpost_mail_remedy", "1 for what somebody must do so that mail leaves: sign in again, or change the settings.", []string{"remedy"}, nil),
		accepted: prometheus.NewDesc("sealpost_mail_last_accepted_timestamp_seconds", "When the mail server last took a letter; 0 for never.", nil, nil),
		next:     prometheus.NewDesc("sealpost_mail_next_end_timestamp_seconds", "When the next thing of the mail server ends; 0 for none known.", nil, nil),
		ends:     prometheus.NewDesc("sealpost_mail_end_timestamp_seconds", "When a thing of the mail server ends, the first of its kind.", []string{"what"}, nil),
		recipients: prometheus.NewDesc("sealpost_mail_recipients",
			"Recipients that mail went to in the last 24 hours.", nil, nil),
		limit: prometheus.NewDesc("sealpost_mail_recipients_limit", "Recipients a day that the mailbox takes; 0 for no limit known.", nil, nil),
		token: prometheus.NewDesc("sealpost_oauth_token_timestamp_seconds", "When the provider last gave a token for the mailbox; 0 for never.", nil, nil),
	}
}

// Describe names the metrics.
func (c *mailCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.letters, c.oldest, c.state, c.remedy, c.accepted, c.next, c.ends, c.recipients, c.limit, c.token} {
		ch <- d
	}
}

// scrapeWait is how long the database may take for a monitor.
const scrapeWait = 5 * time.Second

// Collect asks the domains. What cannot be had is missing in the answer, which
// is what a monitor watches for.
func (c *mailCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
	defer cancel()
	var n outbox.Counts
	err := c.app.db.View(ctx, func(tx *store.Tx) (err error) {
		n, err = c.app.outbox.Counts(tx)
		return err
	})
	if err != nil {
		c.app.log.Error("metrics: counting letters", "err", err)
		return
	}
	h, err := c.app.mail.Health(ctx, actor.System("metrics"))
	if err != nil {
		c.app.log.Error("metrics: the state of mail", "err", err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.letters, float64(n.Waiting), "waiting")
	gauge(c.letters, float64(n.Accepted24h), "accepted")
	gauge(c.letters, float64(n.Delayed24h), "delayed")
	gauge(c.letters, float64(n.Failed24h), "failed")
	age := 0.0
	if !n.Oldest.IsZero() {
		age = c.app.out.Now().Sub(n.Oldest).Seconds()
	}
	gauge(c.oldest, age)
	c.collectState(gauge, h)
}

func (c *mailCollector) collectState(gauge func(d *prometheus.Desc, v float64, labels ...string), h mail.Health) {
	const unset = "none"
	now := unset
	if h.Set {
		now = string(h.Profile.State)
	}
	for _, s := range []string{unset, string(mail.Working), string(mail.Paused), string(mail.Stopped)} {
		v := 0.0
		if s == now {
			v = 1
		}
		gauge(c.state, v, s)
	}
	gauge(c.accepted, unix(h.Profile.LastAccepted))
	for _, r := range []verdict.Remedy{verdict.RemedySignIn, verdict.RemedySettings} {
		v := 0.0
		if h.Profile.Remedy == r {
			v = 1
		}
		gauge(c.remedy, v, string(r))
	}
	end := time.Time{}
	if len(h.Ends) > 0 {
		end = h.Ends[0].At
	}
	gauge(c.next, unix(end))
	for _, kind := range mail.EndKinds() {
		// They are sorted: the first of a kind is the next one.
		if i := slices.IndexFunc(h.Ends, func(e mail.End) bool { return e.Kind == kind }); i >= 0 {
			gauge(c.ends, unix(h.Ends[i].At), string(kind))
		}
	}
	gauge(c.recipients, float64(h.SentToday))
	gauge(c.limit, float64(h.Profile.Limits().PerDay))
	gauge(c.token, unix(h.OAuth.GotAt))
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
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
