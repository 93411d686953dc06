package identity

import (
	"context"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// The purposes of links, as the database has them.
const (
	purposeInvite = "invite"
	purposeReset  = "reset"
)

// errBadCode is the one answer to every code that does not work, whatever the
// reason.
func errBadCode() error {
	return fault.Invalid("code", "This code does not work. It was used already, has run out, or was replaced by a newer one. Ask for a new one.")
}

// LinkInfo is what a page shows to who holds a live link.
type LinkInfo struct {
	Name, Login, Email string
	Role               actor.Role
	Organisation       string
}

// InviteInfo returns whom an invitation is for. It consumes nothing.
func (s *Service) InviteInfo(ctx context.Context, from actor.Actor, token secret.Value) (LinkInfo, error) {
	return s.linkInfo(ctx, from, purposeInvite, token)
}

// ResetInfo returns whose password a reset link replaces. It consumes nothing.
func (s *Service) ResetInfo(ctx context.Context, from actor.Actor, token secret.Value) (LinkInfo, error) {
	return s.linkInfo(ctx, from, purposeReset, token)
}

func (s *Service) linkInfo(ctx context.Context, from actor.Actor, purpose string, token secret.Value) (LinkInfo, error) {
	u, err := s.tryLink(ctx, from, purpose, token)
	if err != nil {
		return LinkInfo{}, err
	}
	info := LinkInfo{Name: u.Name, Login: u.Login, Email: u.Email, Role: u.Role}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		site, err := s.Letters.Site(tx)
		info.Organisation = site.Title()
		return err
	})
	return info, err
}

// tryLink counts an attempt against the network and returns the link's user.
// Wrong codes stay counted, right ones do not.
func (s *Service) tryLink(ctx context.Context, from actor.Actor, purpose string, token secret.Value) (User, error) {
	network := byNetwork(from)
	if err := s.DB.Update(ctx, func(tx *store.Tx) error { return s.reserve(tx, network) }); err != nil {
		return User{}, err
	}
	var u User
	err := s.DB.Update(ctx, func(tx *store.Tx) (err error) {
		if u, err = holder(tx, purpose, token, ""); err != nil {
			return err
		}
		return s.settle(tx, network)
	})
	return u, err
}

// holder returns the user whom a live link belongs to.
func holder(tx *store.Tx, purpose string, token secret.Value, words string) (User, error) {
	id, err := linkUser(tx, purpose, hashToken(token), words)
	if err != nil {
		return User{}, orBadCode(err)
	}
	u, err := userBy(tx, "id", id, words)
	if err != nil {
		return User{}, orBadCode(err)
	}
	fits := purpose == purposeInvite && u.State == Invitee || purpose == purposeReset && u.State == Active
	if !fits {
		return User{}, errBadCode()
	}
	return u, nil
}

func orBadCode(err error) error {
	if fault.Is(err, fault.KindNotFound) {
		return errBadCode()
	}
	return err
}

// AcceptInvite takes the password that an invited user chose, makes them
// active and signs them in. It alone consumes the invitation.
func (s *Service) AcceptInvite(ctx context.Context, from actor.Actor, token, password secret.Value) (Session, User, error) {
	hash, err := s.newPassword(ctx, from, purposeInvite, token, password)
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
		if u, err = holder(tx, purposeInvite, token, tx.ForUpdate()); err != nil {
			return err
		}
		u.State, u.PasswordAt = Active, tx.Now()
		if err := updateUser(tx, u); err != nil {
			return err
		}
		if err := s.storePassword(tx, u.ID, hash); err != nil {
			return err
		}
		if err := s.endLinks(tx, u.ID); err != nil {
			return err
		}
		if session, err = s.begin(tx, from, u, fresh); err != nil {
			return err
		}
		return s.Audit.Append(tx, asUser(from, u, session.ID), about(u, "user.joined"))
	})
	if err != nil {
		return Session{}, User{}, err
	}
	return session, u, nil
}

// newPassword checks link and password, and hashes the password, before the
// transaction that uses both.
func (s *Service) newPassword(ctx context.Context, from actor.Actor, purpose string, token, password secret.Value) (secret.Value, error) {
	u, err := s.tryLink(ctx, from, purpose, token)
	if err != nil {
		return secret.Value{}, err
	}
	if _, err := s.checkPassword(ctx, u, password); err != nil {
		return secret.Value{}, err
	}
	return s.hash(ctx, password)
}

// storePassword seals a hash and makes it the user's.
func (s *Service) storePassword(tx *store.Tx, userID string, hash secret.Value) error {
	sealed, err := s.Keys.Seal(tx, keyring.PurposeIdentity, passwordPlace(userID), hash)
	if err != nil {
		return err
	}
	return setPassword(tx, userID, sealed, tx.Now())
}

func passwordPlace(userID string) keyring.Place {
	return keyring.Place{Table: "identity_user", Row: userID, Column: "sealed_password"}
}

// readPassword returns the stored hash; empty where there is none.
func (s *Service) readPassword(tx *store.Tx, userID string) (secret.Value, error) {
	sealed, err := sealedPassword(tx, userID)
	if err != nil || len(sealed) == 0 {
		return secret.Value{}, err
	}
	return s.Keys.Open(tx, passwordPlace(userID), sealed)
}

// RequestReset adds a letter with a link to a new password for the active
// user with this sign-in name or e-mail address. The answer is the same
// without one; only too many requests are told apart, alike for all.
//
// For nobody the same statements run: a link for no row, and a letter that is
// taken out again before the end of the transaction. The time of the answer
// tells no more than its words.
func (s *Service) RequestReset(ctx context.Context, from actor.Actor, loginOrEmail string) error {
	who := tidyLogin(loginOrEmail)
	if who == "" || len(who) > maxEmail {
		return fault.Invalid("login", "Type your sign-in name or e-mail address.")
	}
	token, hash, err := s.newToken(linkSize)
	if err != nil {
		return err
	}
	if err := s.DB.Update(ctx, func(tx *store.Tx) error {
		return s.reserve(tx, byRequest(who), byNetwork(from))
	}); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error { return s.addReset(tx, from, who, token, hash) })
}

func (s *Service) addReset(tx *store.Tx, from actor.Actor, who string, token secret.Value, hash []byte) error {
	u, err := userToReset(tx, who)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	site, err := s.Letters.Site(tx)
	if err != nil {
		return err
	}
	to, event := outbox.Recipient{UserID: u.ID, Name: u.Name, Address: u.Email}, about(u, "password.reset_requested")
	pretend := u.State != Active || site.AccessURL == ""
	if pretend {
		to, event = nobody, refusedReset
	}
	expires := tx.Now().Add(ResetLife)
	if err := putLink(tx, to.UserID, purposeReset, hash, expires); err != nil {
		return err
	}
	id, err := s.Outbox.Add(tx, to, letter.PasswordReset{
		Name: to.Name, Link: site.Link("/reset", token), Expires: expires, From: addrText(from), Agent: DeviceName(from.Agent),
	})
	if err != nil {
		return err
	}
	if !pretend {
		id = ""
	}
	if err := s.Outbox.Drop(tx, id); err != nil {
		return err
	}
	return s.Audit.Append(tx, from, event)
}

var (
	// nobody gets the letters that never leave.
	nobody = outbox.Recipient{UserID: "nobody", Name: "Nobody", Address: "nobody@sealpost.invalid"}
	// refusedReset does not hold what was typed: people type passwords into
	// the wrong field.
	refusedReset = audit.Event{
		Action: "password.reset_requested", Kind: "user", Outcome: audit.Refused, Reason: "No active user has this sign-in name or address.",
	}
)

// ResetPassword takes a new password for the holder of a reset link, ends all
// their sessions and known browsers, and tells them by letter.
func (s *Service) ResetPassword(ctx context.Context, from actor.Actor, token, password secret.Value) (User, error) {
	hash, err := s.newPassword(ctx, from, purposeReset, token, password)
	if err != nil {
		return User{}, err
	}
	var u User
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if u, err = holder(tx, purposeReset, token, tx.ForUpdate()); err != nil {
			return err
		}
		if err := s.storePassword(tx, u.ID, hash); err != nil {
			return err
		}
		if err := s.endAccess(tx, u.ID); err != nil {
			return err
		}
		if err := s.settle(tx, byAccount(u.Login), byRequest(u.Login), byRequest(emailKey(u.Email))); err != nil {
			return err
		}
		if err := s.tellChanged(tx, from, u); err != nil {
			return err
		}
		return s.Audit.Append(tx, asUser(from, u, ""), about(u, "password.reset"))
	})
	return u, err
}

// tellChanged adds the letter about a changed password.
func (s *Service) tellChanged(tx *store.Tx, from actor.Actor, u User) error {
	_, err := s.Outbox.Add(tx, outbox.Recipient{UserID: u.ID, Name: u.Name, Address: u.Email}, letter.PasswordChanged{
		Name: u.Name, When: tx.Now(), From: addrText(from), Agent: DeviceName(from.Agent),
	})
	return err
}

func addrText(a actor.Actor) string {
	if !a.From.IsValid() {
		return ""
	}
	return a.From.Unmap().String()
}

// Sweep removes sessions, links, known browsers and counts that have no
// effect any more. Call it now and then.
func (s *Service) Sweep(ctx context.Context) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error { return sweep(tx, s.Idle) })
}

// SweepEvery is how often Sweep is worth calling.
const SweepEvery = 10 * time.Minute

// DeviceName returns a browser's User-Agent as a person says it, for example
// "Firefox on Windows", and "Unknown browser" where it tells nothing.
func DeviceName(agent string) string {
	browser := firstIn(agent, []named{
		{"Edg/", "Edge"},
		{"OPR/", "Opera"},
		{"Vivaldi/", "Vivaldi"},
		{"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"},
		{"Chromium/", "Chromium"},
		{"Chrome/", "Chrome"},
		{"Safari/", "Safari"},
		{"curl/", "curl"},
	})
	system := firstIn(agent, []named{
		{"Windows", "Windows"},
		{"iPhone", "iPhone"},
		{"iPad", "iPad"},
		{"Android", "Android"},
		{"CrOS", "ChromeOS"},
		{"Mac OS X", "macOS"},
		{"Linux", "Linux"},
		{"FreeBSD", "FreeBSD"},
	})
	switch {
	case browser == "" && system == "":
		return "Unknown browser"
	case system == "":
		return browser
	case browser == "":
		return "Browser on " + system
	}
	return browser + " on " + system
}

type named struct{ mark, name string }

func firstIn(text string, marks []named) string {
	for _, m := range marks {
		if strings.Contains(text, m.mark) {
			return m.name
		}
	}
	return ""
}
