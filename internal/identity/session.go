package identity

import (
	"context"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Session is one sign-in in one browser.
type Session struct {
	ID, UserID string
	// Token is the cookie of the session, and Device the cookie by which the
	// browser is known for half a year. Both are set only by the call that
	// began the session.
	Token, Device secret.Value
	// Name is the browser as a person says it; From the address it was last
	// used from.
	Name, From        string
	CreatedAt, SeenAt time.Time
	// Expires is the latest end; Proved is when the user last proved who
	// they are.
	Expires, Proved time.Time

	agent string
}

// touchAfter is how old "last seen" may get: a write for every page would be
// too many.
const touchAfter = time.Minute

// maxPassword bounds what is hashed, in characters.
const maxPassword = 200

// cookies are the two values of a new session with their hashes.
type cookies struct {
	token, device secret.Value
	hash, known   []byte
}

func (s *Service) newCookies() (c cookies, err error) {
	if c.token, c.hash, err = s.newToken(sessionSize); err != nil {
		return c, err
	}
	c.device, c.known, err = s.newToken(sessionSize)
	return c, err
}

// errBadSignIn is the one answer to a wrong name and to a wrong password.
func errBadSignIn() error {
	e := fault.Denied("The sign-in name or the password is not right.")
	e.Fields = []fault.FieldError{{Field: "password", Sentence: e.Sentence}}
	return e
}

// SignIn begins a session for who knows the password. device is the browser's
// Device of an earlier session, or empty. A browser not seen before is told to
// the user by letter, except the first.
//
// Unknown, invited and disabled users are answered like a wrong password,
// after the same work. The error has the code fault.CodeLimited while the
// account is locked or the network has failed too often.
func (s *Service) SignIn(ctx context.Context, from actor.Actor, login string, password, device secret.Value) (Session, User, error) {
	login = tidyLogin(login)
	if login == "" || password.IsZero() || tooLong(password) || len(login) > maxEmail {
		return Session{}, User{}, errBadSignIn()
	}
	try, err := s.reserveSignIn(ctx, from, login, device)
	if err != nil {
		return Session{}, User{}, err
	}
	ok, outdated, err := s.fits(ctx, try.hash, password)
	if err != nil {
		s.giveBack(ctx, try.guards)
		return Session{}, User{}, err
	}
	if !ok || try.user.State != Active {
		return Session{}, User{}, s.refuseSignIn(ctx, from, try)
	}
	var fresh secret.Value
	if outdated {
		if fresh, err = s.hash(ctx, password); err != nil {
			return Session{}, User{}, err
		}
	}
	c, err := s.newCookies()
	if err != nil {
		return Session{}, User{}, err
	}
	if try.known {
		c.device, c.known = device, hashToken(device)
	}
	var session Session
	err = s.DB.Update(ctx, func(tx *store.Tx) (err error) {
		session, err = s.completeSignIn(tx, from, try, c, fresh)
		return err
	})
	if err != nil {
		return Session{}, User{}, err
	}
	return session, try.user, nil
}

func tooLong(password secret.Value) bool { return len(password.Reveal()) > 4*maxPassword }

// signInTry is what is known before the password is looked at.
type signInTry struct {
	user   User
	hash   secret.Value
	known  bool
	guards []guard
}

func (s *Service) reserveSignIn(ctx context.Context, from actor.Actor, login string, device secret.Value) (signInTry, error) {
	var try signInTry
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		try = signInTry{}
		u, err := userBy(tx, "login", login, "")
		if err != nil && !fault.Is(err, fault.KindNotFound) {
			return err
		}
		if err == nil {
			try.user = u
			if try.hash, err = s.readPassword(tx, u.ID); err != nil {
				return err
			}
		}
		// The query runs for unknown users too: the same work.
		if try.known, err = knowsDevice(tx, u.ID, hashToken(device)); err != nil {
			return err
		}
		try.guards = []guard{byAccount(login), byNetwork(from)}
		if try.known {
			// Here the user's own password alone can be guessed at, and few
			// times: what others behind the same address do is no reason to
			// keep them out.
			try.guards = []guard{byDevice(u.ID, hashToken(device))}
		}
		return s.reserve(tx, try.guards...)
	})
	return try, err
}

// refuseSignIn records a failed sign-in. What was typed as a name is recorded
// only where it is one.
func (s *Service) refuseSignIn(ctx context.Context, from actor.Actor, try signInTry) error {
	e := audit.Event{Action: "session.refused", Kind: "user", Outcome: audit.Refused, Reason: "No user has this sign-in name."}
	if u := try.user; u.ID != "" {
		e.ID, e.Name, e.Reason = u.ID, u.Login, "The password was wrong."
		if u.State != Active {
			e.Reason = "The user is " + string(u.State) + "."
		}
	}
	if err := s.DB.Update(ctx, func(tx *store.Tx) error { return s.Audit.Append(tx, from, e) }); err != nil {
		return err
	}
	return errBadSignIn()
}

// completeSignIn does all that a right password causes, unless the user was
// changed while it was checked.
func (s *Service) completeSignIn(tx *store.Tx, from actor.Actor, try signInTry, c cookies, fresh secret.Value) (Session, error) {
	u, err := userBy(tx, "id", try.user.ID, tx.ForUpdate())
	if err != nil || u.State != Active || !u.PasswordAt.Equal(try.user.PasswordAt) {
		if err == nil || fault.Is(err, fault.KindNotFound) {
			err = errBadSignIn()
		}
		return Session{}, err
	}
	if err := s.settle(tx, try.guards...); err != nil {
		return Session{}, err
	}
	if !fresh.IsZero() {
		if err := s.storePassword(tx, u.ID, fresh); err != nil {
			return Session{}, err
		}
	}
	session, err := s.begin(tx, from, u, c)
	if err != nil {
		return Session{}, err
	}
	if !try.known && !u.LastSignIn.IsZero() {
		if _, err := s.Outbox.Add(tx, outbox.Recipient{UserID: u.ID, Name: u.Name, Address: u.Email}, letter.NewDevice{
			Name: u.Name, When: tx.Now(), From: addrText(from), Agent: DeviceName(from.Agent),
		}); err != nil {
			return Session{}, err
		}
	}
	return session, s.Audit.Append(tx, asUser(from, u, session.ID), audit.Event{
		Action: "session.started", Kind: "user", ID: u.ID, Name: u.Login,
		Detail: []audit.Detail{{Name: "browser", Value: session.Name}, {Name: "known", Value: yesNo(try.known)}},
	})
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// begin stores a session and remembers the browser.
func (s *Service) begin(tx *store.Tx, from actor.Actor, u User, c cookies) (Session, error) {
	now := tx.Now()
	session := Session{
		ID: store.NewID(), UserID: u.ID, Token: c.token, Device: c.device, Name: DeviceName(from.Agent), From: addrText(from),
		CreatedAt: now, SeenAt: now, Expires: now.Add(s.Absolute), Proved: now, agent: cut(from.Agent, 200),
	}
	if err := insertSession(tx, session, c.hash); err != nil {
		return Session{}, err
	}
	if err := putDevice(tx, u.ID, c.known); err != nil {
		return Session{}, err
	}
	return session, touchSignIn(tx, u.ID)
}

// cut keeps what can be stored of a header, n bytes at most.
func cut(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "")
	}
	return text
}

// Authenticate returns who holds the session cookie, acting from where from
// says. It fails with the code [CodeSignedOut] where the session does not
// exist, was idle too long, is too old, or the user is not active.
func (s *Service) Authenticate(ctx context.Context, token secret.Value, from actor.Actor) (actor.Actor, Session, error) {
	if token.IsZero() || len(token.Reveal()) > 100 {
		return actor.Actor{}, Session{}, errSignedOut
	}
	var row sessionRow
	var stale bool
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		row, err = liveSession(tx, hashToken(token), s.Idle)
		stale = tx.Now().Sub(row.SeenAt) >= touchAfter
		return err
	})
	if fault.Is(err, fault.KindNotFound) || err == nil && row.user.State != Active {
		return actor.Actor{}, Session{}, errSignedOut
	}
	if err != nil {
		return actor.Actor{}, Session{}, err
	}
	if stale {
		if err := s.DB.Update(ctx, func(tx *store.Tx) error {
			return touchSession(tx, row.ID, addrText(from), cut(from.Agent, 200))
		}); err != nil {
			return actor.Actor{}, Session{}, err
		}
	}
	by := asUser(from, row.user, row.ID)
	by.Proved = row.Proved
	return by, row.Session, nil
}

// Reauthenticate proves again who by is, for [ProofLife].
func (s *Service) Reauthenticate(ctx context.Context, by actor.Actor, password secret.Value) error {
	u, err := s.provePassword(ctx, by, "password", password)
	if err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		found, err := proveSession(tx, by.SessionID)
		if err != nil {
			return err
		}
		if !found {
			return errSignedOut
		}
		return s.Audit.Append(tx, by, about(u, "session.proved"))
	})
}

// provePassword checks the password of who is signed in already. The count
// is the session's own, without the network's, so that nobody else can lock
// it.
func (s *Service) provePassword(ctx context.Context, by actor.Actor, field string, password secret.Value) (User, error) {
	if by.Kind != actor.KindUser {
		return User{}, errSignedOut
	}
	wrong := fault.Invalid(field, "The password is not right.")
	if password.IsZero() || tooLong(password) {
		return User{}, wrong
	}
	own := byDevice(by.UserID, []byte(by.SessionID))
	var u User
	var hash secret.Value
	err := s.DB.Update(ctx, func(tx *store.Tx) (err error) {
		if u, err = userBy(tx, "id", by.UserID, ""); err != nil {
			return err
		}
		if hash, err = s.readPassword(tx, u.ID); err != nil {
			return err
		}
		return s.reserve(tx, own)
	})
	if err != nil {
		return User{}, err
	}
	ok, _, err := s.fits(ctx, hash, password)
	if err != nil {
		s.giveBack(ctx, []guard{own})
		return User{}, err
	}
	if !ok {
		e := about(u, "session.refused")
		e.Outcome, e.Reason = audit.Refused, "The password typed again was wrong."
		if err := s.DB.Update(ctx, func(tx *store.Tx) error { return s.Audit.Append(tx, by, e) }); err != nil {
			return User{}, err
		}
		return User{}, wrong
	}
	return u, s.DB.Update(ctx, func(tx *store.Tx) error { return s.settle(tx, own) })
}

// ChangePassword replaces one's own password, ends one's other sessions and
// tells the user by letter. Faults stand against "old_password" and
// "password".
func (s *Service) ChangePassword(ctx context.Context, by actor.Actor, old, password secret.Value) error {
	u, err := s.provePassword(ctx, by, "old_password", old)
	if err != nil {
		return err
	}
	if old.Equal(password) {
		return fault.Invalid("password", "This is the password you have. Choose another one.")
	}
	if _, err := s.checkPassword(ctx, u, password); err != nil {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		now, err := userBy(tx, "id", u.ID, tx.ForUpdate())
		if err != nil {
			return err
		}
		if now.State != Active || !now.PasswordAt.Equal(u.PasswordAt) {
			return fault.Conflict("The password was changed elsewhere meanwhile. Sign in again.")
		}
		if err := s.storePassword(tx, u.ID, hash); err != nil {
			return err
		}
		if _, err := deleteSessions(tx, u.ID, by.SessionID); err != nil {
			return err
		}
		// Who knew the old password may have a browser among them.
		if err := deleteDevices(tx, u.ID); err != nil {
			return err
		}
		if err := s.endLinks(tx, u.ID); err != nil {
			return err
		}
		if _, err := proveSession(tx, by.SessionID); err != nil {
			return err
		}
		if err := s.tellChanged(tx, by, u); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, about(u, "password.changed"))
	})
}

// SignOut ends the session by which by acts.
func (s *Service) SignOut(ctx context.Context, by actor.Actor) error {
	if by.Kind != actor.KindUser || by.SessionID == "" {
		return nil
	}
	return s.EndSession(ctx, by, by.SessionID)
}

// Sessions lists the live sessions of a user, the one used last first: one's
// own, or those of a user by may manage.
func (s *Service) Sessions(ctx context.Context, by actor.Actor, userID string) ([]Session, error) {
	if !by.Is(userID) && !by.May(actor.ManageUsers) {
		return nil, errNoUser()
	}
	var sessions []Session
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		u, err := userBy(tx, "id", userID, "")
		if err != nil {
			return err
		}
		if !by.Is(userID) {
			if err := CanManage(by, u); err != nil {
				return err
			}
		}
		sessions, err = listSessions(tx, userID, s.Idle)
		return err
	})
	return sessions, err
}

// EndSession ends one of one's own sessions.
func (s *Service) EndSession(ctx context.Context, by actor.Actor, id string) error {
	if by.Kind != actor.KindUser {
		return errSignedOut
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		found, err := deleteSession(tx, by.UserID, id)
		if err != nil {
			return err
		}
		if !found {
			return fault.NotFound("This session has ended already.")
		}
		return s.Audit.Append(tx, by, audit.Event{Action: "session.ended", Kind: "user", ID: by.UserID, Name: by.Login})
	})
}
