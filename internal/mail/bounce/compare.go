package bounce

import (
	"context"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/store"
)

// Differences returns what Save of c would change, in the words of its audit
// entry, and nothing where all is as c says. A password to be replaced by the same
// one is no difference. It answers the operator alone: asked by others, it would
// be a way to guess the stored password.
func (s *Service) Differences(ctx context.Context, by actor.Actor, c Change) ([]audit.Detail, error) {
	if by.Kind != actor.KindOperator && by.Kind != actor.KindSystem {
		return nil, fault.Denied("Only the operator compares settings with a password.")
	}
	var out []audit.Detail
	err := s.db.View(ctx, func(tx *store.Tx) error {
		was, _, err := selectSettings(tx, "")
		if err != nil {
			return err
		}
		d, err := s.settle(tx, by, c, was)
		if err != nil {
			return err
		}
		before, err := selectAnchors(tx)
		if err != nil {
			return err
		}
		if d.resealed && c.Password.Action == mail.Replace {
			have, err := s.opens(tx, d, was.sealed)
			if err != nil {
				return err
			}
			d.resealed = !have.Equal(d.bound)
		}
		out = differences(was.Settings, d, before, func(id string) string { return id })
		if d.consent && was.AccountID == d.AccountID {
			out = append(out, audit.Detail{Name: "account", Value: "allowed with these settings"})
		}
		return nil
	})
	return out, err
}
