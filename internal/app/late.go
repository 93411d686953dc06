package app

import (
	"context"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
)

// lateVault is the vault for rooms that are built before it and that it needs
// itself. It is filled before anybody can ask.
type lateVault struct{ *vault.Service }

// Current returns what an account signs in with now.
func (l *lateVault) Current(ctx context.Context, accountID string) (mail.Credential, error) {
	login, password, version, err := l.CurrentCredential(ctx, accountID)
	return mail.Credential{Login: login, Password: password, Version: version}, err
}

// usesOf tells the vault where mail uses an account.
func (a *App) usesOf(tx *store.Tx, accountID string) ([]vault.Use, error) {
	var out []vault.Use
	for _, m := range []*mail.Service{a.mail, a.second} {
		uses, err := m.UsesOf(tx, accountID)
		if err != nil {
			return nil, err
		}
		for _, u := range uses {
			out = append(out, vault.Use(u))
		}
	}
	uses, err := a.bounces.UsesOf(tx, accountID)
	for _, u := range uses {
		out = append(out, vault.Use(u))
	}
	return out, err
}

// noteTest writes a test mail that went through the server of a slot into the
// journal of letters.
func (a *App) noteTest(ctx context.Context, slot outbox.Slot, s diagnose.Sent) error {
	state := outbox.Failed
	if s.Accepted {
		state = outbox.Accepted
	}
	return a.outbox.Note(ctx, outbox.Sent{
		Kind: letter.KindTest, MessageID: s.MessageID, To: outbox.Recipient{Address: s.To.Spec()}, Subject: s.Subject, Took: s.Took, Route: slot,
		MaybeSent: s.MaybeSent, Outcome: outbox.Outcome{
			State: state, Stage: s.Stage, Code: s.Code, Enhanced: s.Enhanced, Reply: s.Reply, Advice: s.Advice, QueueID: s.QueueID, Server: s.Server,
		},
	})
}
