package mail

import (
	"context"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Draft is a change that was checked: what a test connects with. It holds the
// secret, out of reach.
type Draft struct {
	Profile Profile
	Anchors []trust.Anchor
	// password is the typed one, or what proves the client for AuthOAuth; empty
	// for an account.
	password secret.Value
	// resealed tells that the secret must be bound anew; rebound that nobody
	// typed it for that.
	resealed, rebound bool
	// replaces tells that the client's secret is another one for the same
	// client: it is tried before it is stored. moves tells that who knows the
	// secret takes the tokens along to other trusted certificates.
	replaces, moves bool
	// proven tells that the authority took the secret for the tokens that there
	// are; ended that it wants a person to sign in again.
	proven, ended bool
	// consent tells that somebody who may use the account must be asking.
	consent bool
	// tester is who wants it tested.
	tester actor.Actor
}

// settle checks c against what is stored. All faults of fields come at once;
// those of the password, which need the rest to be right, come after.
func (s *Service) settle(tx *store.Tx, by actor.Actor, c Change) (Draft, record.Row, error) {
	if err := manage(by); err != nil {
		return Draft{}, record.Row{}, err
	}
	was, exists, err := s.find(tx, false)
	if err != nil {
		return Draft{}, was, err
	}
	if c.Revision != 0 && c.Revision != was.Revision {
		return Draft{}, was, errStale
	}
	var anchors []trust.Anchor
	if exists {
		if anchors, err = record.Anchors(tx, was.ID); err != nil {
			return Draft{}, was, err
		}
	}
	var check fault.Check
	d := Draft{Profile: c.Apply(was.Profile, &check, s.rules)}
	d.Anchors, err = c.Anchors(anchors, by.Login, tx.Now())
	check.Add("certificate", err)
	if err := check.Err(); err != nil {
		return d, was, err
	}
	err = s.settleSecret(tx, c, was, &d)
	return d, was, err
}

// Draft checks c and returns what a test connects with. It counts as a test:
// at most ten a minute for each actor, and each is audited with the address
// that its mail goes to.
func (s *Service) Draft(ctx context.Context, by actor.Actor, c Change, to string) (Draft, error) {
	d, err := s.preview(ctx, by, c)
	if err != nil {
		return Draft{}, err
	}
	if err := s.allowTest(ctx, by, d.Profile, to); err != nil {
		return Draft{}, err
	}
	d.tester = by
	return d, nil
}

// preview settles c and asks for the consent that it needs.
func (s *Service) preview(ctx context.Context, by actor.Actor, c Change) (Draft, error) {
	var d Draft
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if d, _, err = s.settle(tx, by, c); err == nil && d.Profile.ID == "" {
			err = s.mayBegin(tx, "")
		}
		return err
	})
	if err == nil && d.consent {
		err = MayUse(ctx, s.secrets, by, d.Profile.AccountID)
	}
	return d, err
}

// MayUse returns nil when by may let the password of an account be used, and
// else a fault that stands at the field "account". Nil secrets have none.
func MayUse(ctx context.Context, secrets Secrets, by actor.Actor, accountID string) error {
	if secrets == nil {
		return fault.Invalid("account", "There are no stored accounts here. Type user name and password.")
	}
	err := secrets.MayUse(ctx, by, accountID)
	if fault.Is(err, fault.KindDenied) || fault.Is(err, fault.KindNotFound) {
		return fault.Invalid("account", "You may not use this account, or it is gone. Choose one of yours.").Because(err)
	}
	return err
}
