package app

import (
	"context"
	"strings"
	"time"

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
