package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// How a version came to be, as History tells.
const (
	howSet      = "set"
	howRestored = "restored"
)

// The ways in which a person takes a password out, as Reveal records them.
const (
	// ShowIt: on the page.
	ShowIt = "reveal"
	// CopyIt: to the clipboard.
	CopyIt = "copy"
)

// Version is one of the passwords that an account has had.
type Version struct {
	Version int64
	At      time.Time
	// By is the login of who set it, Reason what they gave as one.
	By, Reason string
	// How is "set" or "restored".
	How string
	// Current tells that it is the account's password now.
	Current bool
}

var (
	errNoPassword = fault.NotFound("This account has no password yet.")
	errNoVersion  = fault.NotFound("This account has no password of that number.")
)

// SetPassword gives an account a new password. version is the number of the
// one that the form showed, so that nobody overwrites what they have not seen;
// 0 takes whatever is there.
func (s *Service) SetPassword(ctx context.Context, by actor.Actor, accountID string, password secret.Value, reason string, version int64) (Account, error) {
	reason = tidyLine(reason)
	var c fault.Check
	checkPassword(&c, password)
	checkLine(&c, "reason", "The reason", reason, maxReason)
	if err := c.Err(); err != nil {
		return Account{}, s.orHiddenAccount(ctx, by, accountID, err)
	}
	var after Account
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := s.heldPassword(tx, by, accountID)
		if err != nil {
			return err
		}
		if version != 0 && version != before.Version {
			if same, err := s.sentTwice(tx, by, before, password, version); err != nil || same {
				after = before
				return err
			}
			return errPasswordMoved
		}
		after, err = s.replace(tx, by, before, password, howSet, reason)
		failpoint.Hit("vault.set-password.before-commit")
		return err
	})
	if err != nil {
		return Account{}, err
	}
	failpoint.Hit("vault.set-password.after-commit")
	return after, nil
}

var errPasswordMoved = fault.Conflict("Somebody else changed this password meanwhile. Look at the page again before you set another one.")

// sentTwice reports whether by has just set this very password through the
// same form, whose answer was lost on its way.
func (s *Service) sentTwice(tx *store.Tx, by actor.Actor, a Account, password secret.Value, version int64) (bool, error) {
	if a.Version != version+1 {
		return false, nil
	}
	v, err := versionOf(tx, a.ID, a.Version)
	if err != nil || v.byID != by.UserID || v.By != by.Login || v.How != howSet {
		return false, err
	}
	have, err := s.Keys.Open(tx, place(a.ID, a.Version), v.sealed)
	return err == nil && have.Equal(password), err
}

// replace stores a new version with its audit entry and returns the account
// as it is then.
func (s *Service) replace(tx *store.Tx, by actor.Actor, a Account, password secret.Value, how, reason string, detail ...audit.Detail) (Account, error) {
	e, err := s.addVersion(tx, by, a, password, how, reason)
	if err != nil {
		return Account{}, err
	}
	after, err := s.seenAccount(tx, by, a.ID)
	if err != nil {
		return Account{}, err
	}
	e.Detail = append(e.Detail, detail...)
	return after, s.Audit.Append(tx, by, e)
}

// addVersion seals and stores a password and returns the event of it.
func (s *Service) addVersion(tx *store.Tx, by actor.Actor, a Account, password secret.Value, how, reason string) (audit.Event, error) {
	number := a.Version + 1
	sealed, err := s.Keys.Seal(tx, keyring.PurposeVault, place(a.ID, number), password)
	if err != nil {
		return audit.Event{}, err
	}
	v := storedVersion{Version: Version{Version: number, By: by.Login, Reason: reason, How: how}, byID: by.UserID, sealed: sealed}
	if err := insertVersion(tx, a.ID, v); err != nil {
		return audit.Event{}, err
	}
	e := a.about("password."+how, audit.Detail{Name: "version", Value: fmt.Sprint(number)})
	e.Reason = reason
	return e, nil
}

// maxHistory bounds how many versions a page gets.
const maxHistory = 500

// History returns what is known of an account's passwords, the newest first;
// of more than 500 the newest 500.
func (s *Service) History(ctx context.Context, by actor.Actor, accountID string) ([]Version, error) {
	var versions []Version
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		a, err := s.seenAccount(tx, by, accountID)
		if err != nil {
			return err
		}
		versions, err = listVersions(tx, a.ID, maxHistory)
		for i := range versions {
			versions[i].Current = versions[i].Version == a.Version
		}
		return err
	})
	return versions, err
}

// Restore makes an old password the current one again, as a new version.
func (s *Service) Restore(ctx context.Context, by actor.Actor, accountID string, version int64, reason string) (Account, error) {
	reason = tidyLine(reason)
	var c fault.Check
	checkLine(&c, "reason", "The reason", reason, maxReason)
	if err := c.Err(); err != nil {
		return Account{}, s.orHiddenAccount(ctx, by, accountID, err)
	}
	var after Account
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := s.heldPassword(tx, by, accountID)
		if err != nil {
			return err
		}
		if version == before.Version && version != 0 {
			return fault.Conflict("This is the current password already.")
		}
		old, err := s.open(tx, before.ID, version)
		if err != nil {
			return err
		}
		after, err = s.replace(tx, by, before, old, howRestored, reason, audit.Detail{Name: "from version", Value: fmt.Sprint(version)})
		failpoint.Hit("vault.restore.before-commit")
		return err
	})
	if err != nil {
		return Account{}, err
	}
	return after, nil
}

// open unseals one of an account's passwords.
func (s *Service) open(tx *store.Tx, accountID string, version int64) (secret.Value, error) {
	v, err := versionOf(tx, accountID, version)
	if err != nil {
		return secret.Value{}, err
	}
	return s.Keys.Open(tx, place(accountID, version), v.sealed)
}

// Reveal takes a password out for the person who asks: the current one, or
// the one that version numbers. how is [ShowIt] or [CopyIt]. The resource may
// ask for a reason. The value is returned after the audit entry is on disk,
// and not at all where that fails.
func (s *Service) Reveal(ctx context.Context, by actor.Actor, accountID string, version int64, how, reason string) (secret.Value, error) {
	action := map[string]string{ShowIt: "password.revealed", CopyIt: "password.copied"}[how]
	if action == "" {
		return secret.Value{}, fault.Internal(errors.New("vault: a password is revealed or copied"))
	}
	if by.Kind != actor.KindUser {
		return secret.Value{}, fault.Denied("Passwords are shown to people who have signed in, and to nobody else.")
	}
	reason = tidyLine(reason)
	var password secret.Value
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		a, err := s.seenAccount(tx, by, accountID)
		if err != nil {
			return err
		}
		if err := checkReason(a, reason); err != nil {
			return err
		}
		number := version
		if number == 0 {
			number = a.Version
		}
		if a.Version == 0 {
			return errNoPassword
		}
		if password, err = s.open(tx, a.ID, number); err != nil {
			return err
		}
		e := a.about(action, audit.Detail{Name: "version", Value: fmt.Sprint(number)})
		e.Reason = reason
		if err := s.Audit.Append(tx, by, e); err != nil {
			return err
		}
		failpoint.Hit("vault.reveal.before-commit")
		return nil
	})
	if err != nil {
		return secret.Value{}, err
	}
	return password, nil
}

// checkReason refuses a reason that does not serve, and none where one is
// asked for.
func checkReason(a Account, reason string) error {
	var c fault.Check
	if c.That(reason != "" || !a.AskReason, "reason", "Say why you need this password: its owner asks for a reason.") {
		checkLine(&c, "reason", "The reason", reason, maxReason)
	}
	return c.Err()
}

// PasswordIs reports whether an account's current password is this one. It
// answers the operator alone: asked often enough it would be a way around
// Reveal.
func (s *Service) PasswordIs(ctx context.Context, by actor.Actor, accountID string, password secret.Value) (bool, error) {
	if by.Kind != actor.KindOperator && by.Kind != actor.KindSystem {
		return false, fault.Denied("Only the operator compares passwords.")
	}
	same := false
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		a, err := s.seenAccount(tx, by, accountID)
		if err != nil || a.Version == 0 {
			return err
		}
		have, err := s.open(tx, a.ID, a.Version)
		same = err == nil && have.Equal(password)
		return err
	})
	return same, err
}

// CurrentCredential returns what an account signs in with, for Sealpost's own
// use: it asks for no permission and records nothing. Whoever ties an account
// to a use asks [Service.MayUse] first. Without a password yet, password is
// empty and version 0.
func (s *Service) CurrentCredential(ctx context.Context, accountID string) (login string, password secret.Value, version int64, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		a, err := s.seenAccount(tx, actor.System("credential"), accountID)
		if err != nil {
			return err
		}
		login, version = a.Name, a.Version
		if version > 0 {
			password, err = s.open(tx, a.ID, version)
		}
		return err
	})
	if err != nil {
		return "", secret.Value{}, 0, err
	}
	return login, password, version, nil
}

// HoldAccount keeps an account from being deleted before tx ends, for Sealpost's
// own use as CurrentCredential, and returns what a person calls it.
func (s *Service) HoldAccount(tx *store.Tx, accountID string) (name string, err error) {
	if !isID(accountID) {
		return "", errNoAccount
	}
	return holdAccount(tx, accountID)
}

// MayUse returns nil when by may let Sealpost use the account's password,
// which is when they could take it out themselves, or are the operator.
func (s *Service) MayUse(ctx context.Context, by actor.Actor, accountID string) error {
	_, err := s.Account(ctx, by, accountID)
	return err
}
