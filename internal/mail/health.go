package mail

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
)

// Health is what pages and metrics show of the mail server.
type Health struct {
	Profile Profile
	Set     bool
	// Ends are sorted, the next one first.
	Ends []End
	// Notes are further sentences that an administrator should read.
	Notes []string
	// SignedIn tells that there are tokens of the provider's, OAuth what is
	// known of them.
	SignedIn bool
	OAuth    token.Facts
	// FromAuthority tells that the reply of the profile's problem is the
	// authority's, and not the mail server's.
	FromAuthority bool
	// SentToday counts the recipients of the last day; the limit is that of
	// Profile.Limits.
	SentToday int
	// Connections are those that all nodes have open, as far as the profile
	// limits them; else 0.
	Connections int
}

// Health returns the state of mail and what ends when.
func (s *Service) Health(ctx context.Context, by actor.Actor) (Health, error) {
	if err := manage(by); err != nil {
		return Health{}, err
	}
	var h Health
	var anchors []trust.Anchor
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if h.Profile, h.Set, err = s.active(tx, false); err != nil || !h.Set {
			return err
		}
		if anchors, err = record.Anchors(tx, h.Profile.ID); err != nil {
			return err
		}
		if h.Profile.Auth == AuthOAuth {
			if h.OAuth, h.SignedIn, err = s.tokens.Facts(tx, h.Profile.ID); err != nil {
				return err
			}
		}
		if h.Connections, err = s.paces.Held(tx, h.Profile.ID); err != nil {
			return err
		}
		h.SentToday, err = s.paces.Today(tx, h.Profile.ID)
		return err
	})
	if err != nil || !h.Set {
		return h, err
	}
	h.FromAuthority = h.Profile.Auth == AuthOAuth && s.table.OfGrant(h.Profile.Problem)
	var own time.Time
	if s.showsTo(h.Profile) {
		own = s.shows.Ends()
	}
	h.Ends = h.Profile.Ends(anchors, h.OAuth.RefreshAt, own)
	h.Notes = h.Profile.Notes(h.SignedIn, h.SentToday)
	return h, nil
}
