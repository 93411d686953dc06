package app

import (
	"context"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/outbox"
)

// tendEvery is how often keys for signing are looked after.
const tendEvery = time.Minute

// buildDKIM makes what signs letters.
func (a *App) buildDKIM() {
	a.dkim = dkim.NewService(dkim.Config{DB: a.db, Keys: a.keys, Audit: a.audit, DNS: a.dns, Sender: a.senderDomain, Prove: a.prove, Log: a.log})
}

// senderDomain is the domain that letters of a slot come from.
func (a *App) senderDomain(ctx context.Context, slot dkim.Slot) (string, error) {
	service := a.mail
	if slot == dkim.Second {
		service = a.second
	}
	p, set, err := service.Active(ctx)
	if err != nil || !set {
		return "", err
	}
	_, host, _ := strings.Cut(p.SenderAddress, "@")
	return host, nil
}

// signer signs for delivery.
type signer struct{ keys *dkim.Service }

// Key names the keys that sign letters from a domain.
func (s signer) Key(ctx context.Context, slot outbox.Slot, from string) (string, error) {
	return s.keys.Key(ctx, dkim.Slot(slot), from)
}

// Sign puts the signatures in front of a message.
func (s signer) Sign(ctx context.Context, keyID string, message []byte, at time.Time) ([]byte, error) {
	return s.keys.Sign(ctx, keyID, message, at)
}

// signingOf tells a test of a server with which keys its letters are signed.
func (a *App) signingOf(slot mail.Slot) func(context.Context, actor.Actor, string) ([]diagnose.Signing, error) {
	return func(ctx context.Context, _ actor.Actor, from string) ([]diagnose.Signing, error) {
		signed, keys, err := a.dkim.Public(ctx, dkim.Slot(slot), from)
		out := make([]diagnose.Signing, len(keys))
		for i, k := range keys {
			out[i] = diagnose.Signing{Domain: signed, Selector: k.Selector, Value: k.Record.Value}
		}
		return out, err
	}
}

// signAs signs the letter of a test as delivery would.
func (a *App) signAs(slot mail.Slot) func(context.Context, string, []byte, time.Time) ([]byte, error) {
	return func(ctx context.Context, from string, message []byte, at time.Time) ([]byte, error) {
		id, err := a.dkim.Key(ctx, dkim.Slot(slot), from)
		if err != nil || id == "" {
			return message, err
		}
		return a.dkim.Sign(ctx, id, message, at)
	}
}
