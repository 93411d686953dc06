package app

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/notify"
	"github.com/sealpost/sealpost/internal/secret"
)

// buildNotify makes what tells people of mail: reminders by letter, and alerts
// where the operator wants them.
func (r *Running) buildNotify() (err error) {
	a := r.app
	r.reminders, err = notify.NewReminders(notify.RemindersConfig{DB: a.db, Audit: a.audit, Users: a.users, Outbox: a.outbox, Ends: a.mailEnds})
	if err != nil || a.cfg.AlertsWebhook.IsZero() {
		return err
	}
	key, err := alertsKey(a.cfg.AlertsKey)
	if err != nil {
		return err
	}
	r.webhook, err = notify.NewWebhook(notify.WebhookConfig{
		DB: a.db, Audit: a.audit, Letters: a.letters, URL: a.cfg.AlertsWebhook, Key: key, Log: a.log,
		Observe: func(result string, n int) { a.alerts.WithLabelValues(result).Add(float64(n)) },
	})
	return err
}

// minAlertsKey is the shortest key that signs alerts, in bytes.
const minAlertsKey = 16

// alertsKey reads the key that signs alerts; an empty path is none. Line breaks
// at the end are an editor's.
func alertsKey(path string) (secret.Value, error) {
	if path == "" {
		return secret.Value{}, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return secret.Value{}, fault.Invalid("alerts.key", fmt.Sprintf("The key %s cannot be read.", path)).Because(err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) < minAlertsKey {
		return secret.Value{}, fault.Invalid("alerts.key", fmt.Sprintf("The key in %s is shorter than %d characters. Make one with openssl rand -hex 32.", path, minAlertsKey))
	}
	return secret.FromBytes(b), nil
}

// mailEnds tells what of the mail servers ends.
func (a *App) mailEnds(ctx context.Context) ([]notify.End, error) {
	var ends []notify.End
	for _, m := range []*mail.Service{a.mail, a.second} {
		apart := ""
		if m.Slot() != mail.Main {
			apart = " (" + string(m.Slot()) + ")"
		}
		h, err := m.Health(ctx, actor.System("reminders"))
		if err != nil {
			return nil, err
		}
		for _, e := range h.Ends {
			ends = append(ends, notify.End{What: e.What, Apart: apart, At: e.At, Advice: e.Advice, Theirs: e.Kind == mail.EndServerCertificate, Server: h.Profile.Server()})
		}
	}
	return ends, nil
}
