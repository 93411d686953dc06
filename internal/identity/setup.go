package identity

import (
	"bytes"
	"context"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// SetupNeeded reports whether there is no user yet.
func (s *Service) SetupNeeded(ctx context.Context) (bool, error) {
	var n int
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		n, err = countUsers(tx)
		return err
	})
	return n == 0, err
}

// SetupLink returns a new token for the page /setup, to be printed where only
// the operator reads it. Older ones go on working, so that several nodes may
// print theirs; the first one used ends all. It is refused once there is a
// user.
func (s *Service) SetupLink(ctx context.Context) (secret.Value, error) {
	token, hash, err := s.newToken(linkSize)
	if err != nil {
		return secret.Value{}, err
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if n, err := countUsers(tx); err != nil || n > 0 {
			return orSetUp(err)
		}
		return putSetupLink(tx, hash)
	})
	if err != nil {
		return secret.Value{}, err
	}
	return token, nil
}

func orSetUp(err error) error {
	if err != nil {
		return err
	}
	return fault.Conflict("Sealpost is set up already. Sign in.")
}

// CheckSetup reports by its error whether a token opens the set-up. It
// consumes nothing.
func (s *Service) CheckSetup(ctx context.Context, from actor.Actor, token secret.Value) error {
	network := byNetwork(from)
	if err := s.DB.Update(ctx, func(tx *store.Tx) error { return s.reserve(tx, network) }); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := mayWithToken(tx, token, ""); err != nil {
			return err
		}
		return s.settle(tx, network)
	})
}

func mayWithToken(tx *store.Tx, token secret.Value, words string) error {
	links, err := liveSetupLinks(tx, words)
	if err != nil {
		return err
	}
	if n, err := countUsers(tx); err != nil || n > 0 {
		return orSetUp(err)
	}
	for _, hash := range links {
		if bytes.Equal(hash, hashToken(token)) {
			return nil
		}
	}
	return fault.Invalid("code", "This code does not work. Restart Sealpost: it prints a new link at its start.")
}

// SetupRequest is what the first page asks for.
type SetupRequest struct {
	// Name, Login and Email are the first Privileged Administrator's.
	Name, Login, Email string
	Password           secret.Value
	// AccessURL and Organisation are as in letter.Site.
	AccessURL, Organisation string
}

// Setup makes the first user, a Privileged Administrator, stores what letters
// and pages say of this installation, and signs the user in. Faults stand
// against the fields of the request and "code".
func (s *Service) Setup(ctx context.Context, from actor.Actor, token secret.Value, r SetupRequest) (Session, User, error) {
	if err := s.CheckSetup(ctx, from, token); err != nil {
		return Session{}, User{}, err
	}
	n := NewUser{Name: r.Name, Login: r.Login, Email: r.Email, Role: actor.PrivilegedAdministrator}
	var c fault.Check
	c.Add("name", n.tidy())
	_, err := letter.CheckAccessURL(r.AccessURL)
	c.Add("access_url", err)
	_, err = s.CheckPassword([]string{n.Name, n.Login, n.Email, r.Organisation}, r.Password)
	c.Add("password", err)
	if err := c.Err(); err != nil {
		return Session{}, User{}, err
	}
	hash, err := s.hash(ctx, r.Password)
	if err != nil {
		return Session{}, User{}, err
	}
	fresh, err := s.newCookies()
	if err != nil {
		return Session{}, User{}, err
	}
	var session Session
	var u User
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := mayWithToken(tx, token, tx.ForUpdate()); err != nil {
			return err
		}
		if err := deleteSetupLinks(tx); err != nil {
			return err
		}
		if err := s.Letters.SetSite(tx, letter.Site{AccessURL: r.AccessURL, Organisation: r.Organisation}); err != nil {
			return err
		}
		u = User{
			ID: store.NewID(), Login: n.Login, Name: n.Name, Email: n.Email, Role: n.Role, State: Active,
			CreatedAt: tx.Now(), PasswordAt: tx.Now(), Revision: 1,
		}
		if err := insertUser(tx, u, nil); err != nil {
			return err
		}
		if err := s.storePassword(tx, u.ID, hash); err != nil {
			return err
		}
		if session, err = s.begin(tx, from, u, fresh); err != nil {
			return err
		}
		return s.Audit.Append(tx, asUser(from, u, session.ID), about(u, "setup.completed", audit.Detail{Name: "access url", Value: r.AccessURL}))
	})
	if err != nil {
		return Session{}, User{}, err
	}
	return session, u, nil
}

// Site returns what letters and pages say of this installation.
func (s *Service) Site(ctx context.Context) (letter.Site, error) {
	var site letter.Site
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		site, err = s.Letters.Site(tx)
		return err
	})
	return site, err
}

// SaveSite changes it. A new Access URL needs a fresh proof of who asks, since
// every link in a letter starts with it.
func (s *Service) SaveSite(ctx context.Context, by actor.Actor, site letter.Site) error {
	if !by.May(actor.ManageSettings) {
		return fault.Denied("Only administrators change the settings.")
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := s.Letters.Site(tx)
		if err != nil {
			return err
		}
		if err := s.Letters.SetSite(tx, site); err != nil {
			return err
		}
		after, err := s.Letters.Site(tx)
		if err != nil {
			return err
		}
		if before.AccessURL != after.AccessURL {
			if err := RequireProof(by, s.Now()); err != nil {
				return err
			}
		}
		detail := siteDifferences(before, after)
		if len(detail) == 0 {
			return nil
		}
		return s.Audit.Append(tx, by, audit.Event{Action: "settings.edited", Kind: "settings", ID: "site", Name: "General settings", Detail: detail})
	})
}

func siteDifferences(before, after letter.Site) []audit.Detail {
	var d []audit.Detail
	if before.AccessURL != after.AccessURL {
		d = append(d, audit.Detail{Name: "access url", Before: before.AccessURL, After: after.AccessURL})
	}
	if before.Organisation != after.Organisation {
		d = append(d, audit.Detail{Name: "organisation", Before: before.Organisation, After: after.Organisation})
	}
	if !bytes.Equal(before.Logo, after.Logo) {
		d = append(d, audit.Detail{Name: "logo", Value: "changed"})
	}
	return d
}
