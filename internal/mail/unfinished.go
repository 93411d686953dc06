package mail

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/consent"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// A sign-in that came to nothing keeps what was typed for it, sealed and for the
// same person in the same session: a client secret is shown once by who made it,
// and nobody types a form twice because a consent was missing.

// unfinishedLife is for how long. Somebody else grants the consent in that time.
const unfinishedLife = time.Hour

var errNoUnfinished = fault.NotFound("What was typed for this sign-in is kept no more: for an hour, in the browser session in which it was begun. Begin again in the mail server settings.")

// keepUnfinished keeps the settings of a sign-in that came to nothing.
func (s *Service) keepUnfinished(tx *store.Tx, w consent.Waiting, n consent.Note) (err error) {
	n.Access, n.Refresh, n.State, n.Nonce, n.Verifier = "", "", "", "", ""
	w.Stage, w.Expires = consent.Done, tx.Now().Add(unfinishedLife)
	if err = w.Seal(tx, s.keys, n); err != nil {
		return err
	}
	return consent.Update(tx, w)
}

// unfinished returns the settings of a sign-in that came to nothing, or that
// waits for a decision.
func (s *Service) unfinished(ctx context.Context, by actor.Actor, id string, b Browser) (Change, error) {
	n, err := s.noted(ctx, by, id, consent.Done, b)
	if fault.Is(err, fault.KindNotFound) {
		n, err = s.noted(ctx, by, id, consent.Deciding, b)
	}
	if fault.Is(err, fault.KindNotFound) {
		err = errNoUnfinished
	}
	if err != nil {
		return Change{}, err
	}
	c := n.Change
	c.Client = Password{}
	if n.Typed && n.Client != "" {
		c.Client = Password{Action: Replace, Value: secret.New(n.Client)}
	}
	return c, nil
}

// Unfinished returns what was typed for a sign-in that came to nothing, to who
// typed it. Client says whether there was a secret among it, and holds none.
func (s *Service) Unfinished(ctx context.Context, by actor.Actor, id string, b Browser) (Change, error) {
	c, err := s.unfinished(ctx, by, id, b)
	c.Client.Value = secret.Value{}
	return c, err
}

// BeginOnceMore begins a sign-in that came to nothing once more, with all that
// was typed for it.
func (s *Service) BeginOnceMore(ctx context.Context, by actor.Actor, id string, b Browser) (string, error) {
	c, err := s.unfinished(ctx, by, id, b)
	if err != nil {
		return "", err
	}
	return s.BeginConsent(ctx, by, c, b)
}
