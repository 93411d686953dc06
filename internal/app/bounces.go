package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/worker"
)

// buildBounces makes what reads what comes back.
func (a *App) buildBounces(secrets mail.Secrets) (err error) {
	a.bounces, err = bounce.New(bounce.Config{
		DB: a.db, Keys: a.keys, Audit: a.audit, Outbox: a.outbox, Secrets: secrets, Prove: a.prove, Deny: a.cfg.DenyMailTo, Roots: a.out.MailRoots,
		Dial: a.dialMail(), Now: a.out.Now, Log: a.log, Wake: func() {
			if loop := a.mailbox.Load(); loop != nil {
				loop.Wake()
			}
		},
	})
	return err
}

// returnOf tells delivery how a letter leaves.
func (a *App) returnOf(letterID, from string) delivery.Return {
	ctx, cancel := context.WithTimeout(context.Background(), returnWait)
	defer cancel()
	return delivery.Return(a.bounces.Return(ctx, letterID, from))
}

// returnWait is how long the settings for bounces may take to be read. A letter
// that is about to leave waits no longer for them.
const returnWait = 5 * time.Second

// addBounceLoops adds what reads the bounce mailbox.
func (a *App) addBounceLoops(g loops) {
	a.mailbox.Store(g.Add(worker.Loop{Name: "bounces", Every: bounce.ReadEvery, Run: a.bounces.Read}))
}

// bounceCollector asks what came back when a monitor comes.
type bounceCollector struct {
	app                     *App
	read, marked, unreading *prometheus.Desc
}

func newBounceCollector(a *App) *bounceCollector {
	return &bounceCollector{
		app: a,
		read: prometheus.NewDesc("sealpost_bounces_total",
			"Messages of the bounce mailbox, and recipients refused at once, by what they said.", []string{"kind"}, nil),
		marked:    prometheus.NewDesc("sealpost_bounced_addresses", "Addresses that mail came back from, and nobody wanted tried again.", nil, nil),
		unreading: prometheus.NewDesc("sealpost_bounce_mailbox_failing", "1 while the bounce mailbox should be read and cannot be.", nil, nil),
	}
}

// Describe names the metrics.
func (c *bounceCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.read, c.marked, c.unreading} {
		ch <- d
	}
}

// Collect asks. What cannot be had is missing in the answer.
func (c *bounceCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
	defer cancel()
	counts, marked, failing, err := c.app.bounces.Numbers(ctx)
	if err != nil {
		c.app.log.Error("metrics: what came back", "err", err)
		return
	}
	for _, kind := range bounce.Counts() {
		ch <- prometheus.MustNewConstMetric(c.read, prometheus.CounterValue, float64(counts[kind]), kind)
	}
	bad := 0.0
	if failing {
		bad = 1
	}
	ch <- prometheus.MustNewConstMetric(c.marked, prometheus.GaugeValue, float64(marked))
	ch <- prometheus.MustNewConstMetric(c.unreading, prometheus.GaugeValue, bad)
}
