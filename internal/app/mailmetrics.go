package app

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
)

// serverLabel says through which of the two mail servers: "main" or "second".
const serverLabel = "server"

// mailCollector asks for the state of mail when a monitor comes. What it tells
// is of the database, and so the same on all nodes.
type mailCollector struct {
	app *App

	// letters and oldest are of all, queue and age by server and class.
	letters, oldest, queue, age *prometheus.Desc
	// The rest is by server.
	state, remedy, fallback, accepted, next, ends, recipients, limit, token, connections, most *prometheus.Desc
}

func newMailCollector(a *App) *mailCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &mailCollector{
		app: a,
		letters: desc("sealpost_letters",
			"Letters that wait, with those of them that are sent at this moment, delayed and uncertain; and those accepted, failed, expired and bounced in the last 24 hours.", "state"),
		oldest:      desc("sealpost_letters_oldest_seconds", "Age of the oldest letter that waits."),
		queue:       desc("sealpost_queue_letters", "Letters that wait for a server, by their urgency.", serverLabel, "class"),
		age:         desc("sealpost_queue_oldest_seconds", "Age of the oldest letter that waits for a server, by urgency; 0 where none waits.", serverLabel, "class"),
		state:       desc("sealpost_mail_state", "1 for the state that a mail server is in.", serverLabel, "state"),
		remedy:      desc("sealpost_mail_remedy", "1 for what somebody must do so that mail leaves: sign in again, or change the settings.", serverLabel, "remedy"),
		fallback:    desc("sealpost_mail_fallback", "1 while the other server sends the letters of this one.", serverLabel),
		accepted:    desc("sealpost_mail_last_accepted_timestamp_seconds", "When the mail server last took a letter; 0 for never.", serverLabel),
		next:        desc("sealpost_mail_next_end_timestamp_seconds", "When the next thing of the mail server ends; 0 for none known.", serverLabel),
		ends:        desc("sealpost_mail_end_timestamp_seconds", "When a thing of the mail server ends, the first of its kind.", serverLabel, "what"),
		recipients:  desc("sealpost_mail_recipients", "Recipients that mail went to in the last 24 hours.", serverLabel),
		limit:       desc("sealpost_mail_recipients_limit", "Recipients a day that the mailbox takes; 0 for no limit known.", serverLabel),
		token:       desc("sealpost_oauth_token_timestamp_seconds", "When the provider last gave a token for the mailbox; 0 for never.", serverLabel),
		connections: desc("sealpost_mail_connections", "Connections to the server that all nodes have open, where the profile limits them.", serverLabel),
		most:        desc("sealpost_mail_connections_limit", "Connections that the profile allows all nodes together; 0 for no limit.", serverLabel),
	}
}

// Describe names the metrics.
func (c *mailCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.letters, c.oldest, c.queue, c.age, c.state, c.remedy, c.fallback, c.accepted, c.next, c.ends, c.recipients, c.limit, c.token, c.connections, c.most,
	} {
		ch <- d
	}
}

// scrapeWait is how long the database may take for a monitor.
const scrapeWait = 5 * time.Second

// gauge tells a number.
type gauge func(d *prometheus.Desc, v float64, labels ...string)

// Collect asks the domains. What cannot be had is missing in the answer, which
// is what a monitor watches for.
func (c *mailCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
	defer cancel()
	tell := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if err := c.collectLetters(ctx, tell); err != nil {
		c.app.log.ErrorContext(ctx, "metrics: counting letters", "err", err)
		return
	}
	if err := c.collectServers(ctx, tell); err != nil {
		c.app.log.ErrorContext(ctx, "metrics: the state of mail", "err", err)
	}
}

// collectLetters tells how many letters are where.
func (c *mailCollector) collectLetters(ctx context.Context, tell gauge) error {
	var n outbox.Counts
	var lines []outbox.Line
	err := c.app.db.View(ctx, func(tx *store.Tx) (err error) {
		if n, err = c.app.outbox.Counts(tx); err != nil {
			return err
		}
		lines, err = c.app.outbox.Lines(tx)
		return err
	})
	if err != nil {
		return err
	}
	for state, count := range map[string]int{
		"waiting": n.Waiting, "sending": n.Sending, "delayed": n.Delayed, "uncertain": n.Uncertain,
		"accepted": n.Accepted24h, "failed": n.Failed24h, "expired": n.Expired24h, "bounced": n.Bounced24h,
	} {
		tell(c.letters, float64(count), state)
	}
	now := c.app.out.Now()
	tell(c.oldest, age(n.Oldest, now))
	for _, slot := range mail.Slots() {
		for _, class := range letter.Classes() {
			line := outbox.Line{}
			if i := slices.IndexFunc(lines, func(l outbox.Line) bool { return l.Class == class && string(l.Route) == string(slot) }); i >= 0 {
				line = lines[i]
			}
			tell(c.queue, float64(line.Waiting), string(slot), class.Key())
			tell(c.age, age(line.Oldest, now), string(slot), class.Key())
		}
	}
	return nil
}

// age is how long ago t was in seconds, 0 for the zero time.
func age(t, now time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t).Seconds(), 0)
}

// collectServers tells how the mail servers stand.
func (c *mailCollector) collectServers(ctx context.Context, tell gauge) error {
	both, err := c.app.servers.State(ctx)
	if err != nil {
		return err
	}
	for _, slot := range mail.Slots() {
		h, err := c.app.servers.Of(slot).Health(ctx, actor.System("metrics"))
		if err != nil {
			return err
		}
		tell(c.fallback, one(both.Of(slot).Covered), string(slot))
		c.collectServer(tell, string(slot), h)
	}
	return nil
}

func (c *mailCollector) collectServer(tell gauge, server string, h mail.Health) {
	const unset = "none"
	now := unset
	if h.Set {
		now = string(h.Profile.State)
	}
	for _, s := range []string{unset, string(mail.Working), string(mail.Paused), string(mail.Stopped)} {
		tell(c.state, one(s == now), server, s)
	}
	for _, r := range []verdict.Remedy{verdict.RemedySignIn, verdict.RemedySettings} {
		tell(c.remedy, one(h.Profile.Remedy == r), server, string(r))
	}
	tell(c.accepted, unix(h.Profile.LastAccepted), server)
	end := time.Time{}
	if len(h.Ends) > 0 {
		end = h.Ends[0].At
	}
	tell(c.next, unix(end), server)
	for _, kind := range mail.EndKinds() {
		// They are sorted: the first of a kind is the next one.
		if i := slices.IndexFunc(h.Ends, func(e mail.End) bool { return e.Kind == kind }); i >= 0 {
			tell(c.ends, unix(h.Ends[i].At), server, string(kind))
		}
	}
	limits := h.Profile.Limits()
	tell(c.recipients, float64(h.SentToday), server)
	tell(c.limit, float64(limits.PerDay), server)
	tell(c.token, unix(h.OAuth.GotAt), server)
	tell(c.connections, float64(h.Connections), server)
	tell(c.most, float64(limits.Connections), server)
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}
