package mail

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
)

// End is something of the mail server that ends on a day.
type End struct {
	What string
	At   time.Time
}

// Warn tells that the end is near: 30 days or less away at now.
func (e End) Warn(now time.Time) bool { return e.At.Sub(now) <= 30*24*time.Hour }

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
	// SentToday counts the recipients of the last day; the limit is that of
	// Profile.Limits.
	SentToday int
}

// Health returns the state of mail and what ends when.
func (s *Service) Health(ctx context.Context, by actor.Actor) (Health, error) {
	if err := manage(by); err != nil {
		return Health{}, err
	}
	var h Health
	var anchors []trust.Anchor
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if h.Profile, h.Set, err = active(tx, false); err != nil || !h.Set {
			return err
		}
		if anchors, err = selectAnchors(tx, h.Profile.ID); err != nil {
			return err
		}
		if h.Profile.Auth == AuthOAuth {
			if h.OAuth, h.SignedIn, err = s.tokens.Facts(tx, h.Profile.ID); err != nil {
				return err
			}
		}
		h.SentToday, err = s.paces.Today(tx, h.Profile.ID)
		return err
	})
	if err != nil || !h.Set {
		return h, err
	}
	h.Ends = ends(h, anchors)
	h.Notes = h.notes()
	return h, nil
}

const (
	// A refresh token that nobody uses ends after 90 days at Microsoft and
	// after six months at Google.
	microsoftIdle = 90 * 24 * time.Hour
	googleIdle    = 182 * 24 * time.Hour
	// busyShare is the part of the daily recipients from which on pages warn.
	busyShare = 0.8
)

// ends lists what of the profile ends, the next first.
func ends(h Health, anchors []trust.Anchor) []End {
	p := h.Profile
	var out []End
	add := func(what string, at time.Time) {
		if !at.IsZero() {
			out = append(out, End{what, at})
		}
	}
	add("The mail server's certificate", p.ServerCertificateEnds)
	for _, t := range trusted(anchors) {
		// A pin does not look at dates.
		if t.Mode == trust.ModeAnchor {
			add("The trusted certificate "+t.Subject, t.NotAfter)
		}
	}
	if p.Auth == AuthOAuth {
		add("The "+p.OAuth.secretName(), p.OAuth.SecretEnds)
	}
	if p.wantsSignIn() && h.SignedIn && !h.OAuth.RefreshAt.IsZero() {
		switch p.OAuth.Provider {
		case oauth.Microsoft:
			add("The sign-in at Microsoft, unless it is used", h.OAuth.RefreshAt.Add(microsoftIdle))
		case oauth.Google:
			add("The sign-in at Google, unless it is used", h.OAuth.RefreshAt.Add(googleIdle))
		}
	}
	slices.SortStableFunc(out, func(a, b End) int { return a.At.Compare(b.At) })
	return out
}

// notes returns what an administrator should know about a profile that works.
func (h Health) notes() []string {
	p := h.Profile
	var notes []string
	note := func(when bool, sentence string) {
		if when {
			notes = append(notes, sentence)
		}
	}
	note(p.InClear(), "The password travels in clear: everybody on the way to the mail server can read it.")
	note(!p.InClear() && p.Exposed(), "Letters and the links in them travel in clear. Choose TLS or SSL if the server offers it.")
	byPassword := p.Kind == KindSMTP && (p.Auth == AuthTyped || p.Auth == AuthAccount)
	note(byPassword && p.microsoft(), "Microsoft switches off the sign-in with a password by default at the end of December 2026. Choose Microsoft Exchange Online as the mail server to sign in with OAuth 2.0 instead.")
	o := p.OAuth
	note(p.Auth == AuthOAuth && o.Grant != oauth.ServiceAccount && o.hasCredential() && o.SecretEnds.IsZero(), "Nobody knows here when the "+o.secretName()+" ends. Type its end in the settings, so that Sealpost reminds you before.")
	note(p.SavedAnyway(), "These settings were saved without a passed test.")
	note(p.wantsSignIn() && h.SignedIn && p.TestedAt.IsZero() && p.LastAccepted.IsZero(), "No letter has left with these settings yet. Send a test mail: only that shows whether the mailbox may send as the sender.")
	if day := p.Limits().PerDay; day > 0 && float64(h.SentToday) >= busyShare*float64(day) {
		note(true, fmt.Sprintf("Mail went to %d recipients in the last 24 hours. The mailbox takes %d.", h.SentToday, day))
	}
	return notes
}
