package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// NewAccount is an account to be added.
type NewAccount struct {
	// ID may be an UUID that the form was given, as in [NewResource].
	ID string
	// Name is what one signs in with; unique under its resource, whatever its
	// case.
	Name  string
	Notes string
	// Password may be empty; Reason says why it was set.
	Password secret.Value
	Reason   string
}

// Account is one way to sign in to a resource.
type Account struct {
	ID, ResourceID, ResourceName, OwnerID string
	Name, Notes                           string
	// Version numbers the current password; 0 while there is none.
	Version int64
	// PasswordAt is when it was set, PasswordBy the login of who did.
	PasswordAt           time.Time
	PasswordBy           string
	CreatedAt, ChangedAt time.Time
	// Revision counts the edits of name and notes.
	Revision int64
	// AskReason is the resource's. CanEdit tells that who asked may edit and
	// delete the account.
	AskReason, CanEdit bool

	level level
}

// about returns an event whose object is a.
func (a Account) about(action string, detail ...audit.Detail) audit.Event {
	return audit.Event{Action: action, Kind: "account", ID: a.ID, Name: a.ResourceName + " / " + a.Name, Detail: detail}
}

// AddAccount adds an account under a resource. The ID of a form that was sent
// before gives what it added then.
func (s *Service) AddAccount(ctx context.Context, by actor.Actor, resourceID string, n NewAccount) (Account, error) {
	if err := n.tidy(); err != nil {
		return Account{}, s.orHidden(ctx, by, resourceID, err)
	}
	id, err := formID(n.ID)
	if err != nil {
		return Account{}, err
	}
	var added Account
	add := func(tx *store.Tx) (err error) {
		added, err = s.addAccount(tx, by, resourceID, id, n)
		return err
	}
	err = s.DB.Update(ctx, add)
	if n.ID != "" && fault.Is(err, fault.KindConflict) {
		err = s.DB.Update(ctx, add) // as in AddResource
	}
	if err != nil {
		return Account{}, err
	}
	failpoint.Hit("vault.add-account.after-commit")
	return added, nil
}

func (s *Service) addAccount(tx *store.Tx, by actor.Actor, resourceID, id string, n NewAccount) (Account, error) {
	r, err := s.held(tx, by, resourceID)
	if err != nil {
		return Account{}, err
	}
	stored, err := accountBy(tx, id)
	switch {
	case err == nil:
		return s.addedBefore(tx, by, r, stored, n)
	case !fault.Is(err, fault.KindNotFound):
		return Account{}, err
	}
	if err := insertAccount(tx, id, r.ID, n.Name, n.Notes); err != nil {
		return Account{}, takenAccount(err)
	}
	if err := renewNames(tx, r.ID); err != nil {
		return Account{}, err
	}
	events := []audit.Event{Account{ID: id, ResourceName: r.Name, Name: n.Name}.about("account.added")}
	if !n.Password.IsZero() {
		e, err := s.addVersion(tx, by, Account{ID: id, ResourceName: r.Name, Name: n.Name}, n.Password, howSet, n.Reason)
		if err != nil {
			return Account{}, err
		}
		events = append(events, e)
	}
	a, err := s.seenAccount(tx, by, id)
	if err != nil {
		return Account{}, err
	}
	for _, e := range events {
		if err := s.Audit.Append(tx, by, e); err != nil {
			return Account{}, err
		}
	}
	failpoint.Hit("vault.add-account.before-commit")
	return a, nil
}

// addedBefore returns what a form added when it was sent first, if it says the
// same again: a password typed since must not be lost without a word.
func (s *Service) addedBefore(tx *store.Tx, by actor.Actor, r Resource, stored Account, n NewAccount) (Account, error) {
	if stored.ResourceID != r.ID || nameKey(stored.Name) != nameKey(n.Name) {
		return Account{}, errSentBefore("name")
	}
	if !n.Password.IsZero() {
		first, err := s.open(tx, stored.ID, 1)
		if err != nil && !fault.Is(err, fault.KindNotFound) {
			return Account{}, err
		}
		if !first.Equal(n.Password) {
			return Account{}, errSentBefore("password")
		}
	}
	return s.gradeAccount(tx, by, stored)
}

func takenAccount(err error) error {
	if broke(err, "vault_account", "name_key") {
		return asConflict("name", "The resource has an account of this name already. Choose another name.", err)
	}
	return err
}

// EditAccount changes name and notes of an account. revision is the one that
// the form showed; 0 takes whatever is there.
func (s *Service) EditAccount(ctx context.Context, by actor.Actor, id, name, notes string, revision int64) (Account, error) {
	name, notes = tidyLine(name), tidyNotes(notes)
	var c fault.Check
	checkAccount(&c, name, notes)
	if err := c.Err(); err != nil {
		return Account{}, s.orHiddenAccount(ctx, by, id, err)
	}
	var after Account
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := s.heldAccount(tx, by, id)
		if err != nil {
			return err
		}
		if revision != 0 && revision != before.Revision {
			return errStale
		}
		after = before
		detail := differences(Fields{Name: before.Name, Notes: before.Notes}, Fields{Name: name, Notes: notes})
		if len(detail) == 0 {
			return nil
		}
		if err := updateAccount(tx, id, name, notes); err != nil {
			return takenAccount(err)
		}
		if err := renewNames(tx, before.ResourceID); err != nil {
			return err
		}
		if after, err = s.seenAccount(tx, by, id); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, after.about("account.edited", detail...))
	})
	if err != nil {
		return Account{}, err
	}
	return after, nil
}

// orHiddenAccount is orHidden for an account.
func (s *Service) orHiddenAccount(ctx context.Context, by actor.Actor, id string, err error) error {
	if _, hidden := s.Account(ctx, by, id); hidden != nil {
		return hidden
	}
	return err
}

// DeleteAccount removes an account and all its passwords for good. A fresh
// proof of who asks is needed. It is refused while the account is in use.
func (s *Service) DeleteAccount(ctx context.Context, by actor.Actor, id string) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		a, err := s.heldAccount(tx, by, id)
		if err != nil {
			return err
		}
		if err := identity.RequireProof(by, s.Now()); err != nil {
			return err
		}
		if err := s.refuseUsed(tx, a); err != nil {
			return err
		}
		if err := deleteAccount(tx, id); err != nil {
			return err
		}
		if err := renewNames(tx, a.ResourceID); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, a.about("account.deleted", audit.Detail{Name: "passwords", Value: fmt.Sprint(a.Version)}))
	})
}

// refuseUsed refuses to let an account go that is in use, and says where.
func (s *Service) refuseUsed(tx *store.Tx, a Account) error {
	uses, err := s.Config.Uses(tx, a.ID)
	if err != nil || len(uses) == 0 {
		return err
	}
	return fault.Conflict(fmt.Sprintf("The account %s is used by: %s. Choose another account there first.", a.Name, uses[0].Label)).
		WithCode(fault.CodeInUse)
}

// Uses returns where an account is used.
func (s *Service) Uses(ctx context.Context, by actor.Actor, accountID string) ([]Use, error) {
	var uses []Use
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		a, err := s.seenAccount(tx, by, accountID)
		if err != nil {
			return err
		}
		uses, err = s.Config.Uses(tx, a.ID)
		return err
	})
	return uses, err
}

// Account returns one account.
func (s *Service) Account(ctx context.Context, by actor.Actor, id string) (Account, error) {
	var a Account
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		a, err = s.seenAccount(tx, by, id)
		return err
	})
	return a, err
}

// Accounts returns the accounts under a resource, by name.
func (s *Service) Accounts(ctx context.Context, by actor.Actor, resourceID string) ([]Account, error) {
	var accounts []Account
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		r, err := s.seen(tx, by, resourceID)
		if err != nil {
			return err
		}
		accounts, err = accountsOf(tx, r.ID)
		for i := range accounts {
			accounts[i].level, accounts[i].CanEdit = r.level, r.CanEdit
		}
		return err
	})
	return accounts, err
}

// FindAccount returns the account of a name under a resource.
func (s *Service) FindAccount(ctx context.Context, by actor.Actor, resourceID, name string) (Account, error) {
	var a Account
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		if _, err := s.seen(tx, by, resourceID); err != nil {
			return err
		}
		found, err := accountNamed(tx, resourceID, nameKey(tidyLine(name)))
		if err == nil {
			a, err = s.gradeAccount(tx, by, found)
		}
		return err
	})
	return a, err
}
