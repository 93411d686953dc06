package vault

import (
	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// level is what somebody may do with a resource and the accounts under it.
// Each includes those before it.
type level int

const (
	// hidden: it is not there for them.
	hidden level = iota
	// view: see it, and take out passwords.
	view
	// modify: set new passwords.
	modify
	// full: edit, add accounts, delete, transfer.
	full
)

// may is the one place that decides what by may do with a resource, of which
// it needs id and owner. Whoever owns something keeps seeing it when their
// role is taken down, but changes nothing any more. The operator and the
// system manage everything; that they are shown no password is said by
// [Service.Reveal].
//
// [visible] has to say the same of lists: the two change together.
func (s *Service) may(_ *store.Tx, by actor.Actor, r Resource) (level, error) {
	switch {
	case by.Kind == actor.KindOperator, by.Kind == actor.KindSystem:
		return full, nil
	case !by.Is(r.OwnerID):
		return hidden, nil
	case by.May(actor.ManageResources):
		return full, nil
	default:
		return view, nil
	}
}

// visible adds to c the condition that by may see the resource r of a
// statement.
func visible(c *conditions, by actor.Actor) {
	switch by.Kind {
	case actor.KindOperator, actor.KindSystem:
	case actor.KindUser:
		c.add("r.owner_id = ?", by.UserID)
	default:
		c.add("1 = 0")
	}
}

// What one may not see is answered like what is not there.
var (
	errNoResource = fault.NotFound("There is no such resource, or it is not yours to see.")
	errNoAccount  = fault.NotFound("There is no such account, or it is not yours to see.")
	errMayNot     = fault.Denied("You may see this but not change it.")
)

// seen returns the resource if by may see it.
func (s *Service) seen(tx *store.Tx, by actor.Actor, id string) (Resource, error) {
	if !isID(id) {
		return Resource{}, errNoResource
	}
	r, err := resourceBy(tx, id)
	if err != nil {
		return Resource{}, err
	}
	return s.grade(tx, by, r)
}

// grade notes on r what by may do with it, and hides what by may not see.
func (s *Service) grade(tx *store.Tx, by actor.Actor, r Resource) (Resource, error) {
	var err error
	if r.level, err = s.may(tx, by, r); err != nil {
		return Resource{}, err
	}
	if r.level == hidden {
		return Resource{}, errNoResource
	}
	r.CanEdit = r.level >= full
	return r, nil
}

// held returns the resource, locked, if by may change it.
func (s *Service) held(tx *store.Tx, by actor.Actor, id string) (Resource, error) {
	if !isID(id) {
		return Resource{}, errNoResource
	}
	if err := lockResource(tx, id); err != nil {
		return Resource{}, err
	}
	r, err := s.seen(tx, by, id)
	if err == nil && r.level < full {
		err = errMayNot
	}
	return r, err
}

// seenAccount returns the account if by may see it.
func (s *Service) seenAccount(tx *store.Tx, by actor.Actor, id string) (Account, error) {
	if !isID(id) {
		return Account{}, errNoAccount
	}
	a, err := accountBy(tx, id)
	if err != nil {
		return Account{}, err
	}
	return s.gradeAccount(tx, by, a)
}

// gradeAccount is grade for an account: it has what its resource has.
func (s *Service) gradeAccount(tx *store.Tx, by actor.Actor, a Account) (Account, error) {
	var err error
	if a.level, err = s.may(tx, by, Resource{ID: a.ResourceID, OwnerID: a.OwnerID}); err != nil {
		return Account{}, err
	}
	if a.level == hidden {
		return Account{}, errNoAccount
	}
	a.CanEdit = a.level >= full
	return a, nil
}

// heldAccount returns the account, with its resource locked, if by may change
// it. What was read before the lock was had may be old by then.
func (s *Service) heldAccount(tx *store.Tx, by actor.Actor, id string) (Account, error) {
	a, err := s.seenAccount(tx, by, id)
	if err != nil {
		return Account{}, err
	}
	if err := lockResource(tx, a.ResourceID); err != nil {
		return Account{}, err
	}
	if a, err = s.seenAccount(tx, by, id); err != nil {
		return Account{}, err
	}
	if a.level < full {
		return Account{}, errMayNot
	}
	return a, nil
}

// heldPassword returns the account, locked, if by may set its password.
func (s *Service) heldPassword(tx *store.Tx, by actor.Actor, id string) (Account, error) {
	if !isID(id) {
		return Account{}, errNoAccount
	}
	if err := lockAccount(tx, id); err != nil {
		return Account{}, err
	}
	a, err := s.seenAccount(tx, by, id)
	if err == nil && a.level < modify {
		err = errMayNot
	}
	return a, err
}
