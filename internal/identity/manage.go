package identity

import (
	"context"
	"fmt"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/store"
)

// UserChange is what a user shall be like. All fields count.
type UserChange struct {
	NewUser
	// Revision is the one that the form showed; 0 takes whatever is there.
	Revision int64
}

// EditUser changes a user. A new role, sign-in name or e-mail address needs a
// fresh proof of who asks: with each of them somebody can get into an account.
// Nobody changes their own role, and who owns resources keeps one that may.
func (s *Service) EditUser(ctx context.Context, by actor.Actor, id string, change UserChange) (User, error) {
	if !by.May(actor.ManageUsers) {
		return User{}, CanManage(by, User{})
	}
	if err := change.tidy(); err != nil {
		return User{}, err
	}
	var after User
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := s.managed(tx, by, id)
		if err != nil {
			return err
		}
		if change.Revision != 0 && change.Revision != before.Revision {
			return fault.Conflict("Somebody else changed this user meanwhile. Look at the page again, then repeat your change.")
		}
		if change.Login != before.Login || change.Email != before.Email {
			if err := RequireProof(by, s.Now()); err != nil {
				return err
			}
		}
		if change.Role != before.Role {
			if err := s.mayGive(tx, by, before, change.Role); err != nil {
				return err
			}
		}
		after = before
		after.Login, after.Name, after.Email, after.Role = change.Login, change.Name, change.Email, change.Role
		return s.saveUser(tx, by, before, after)
	})
	return after, err
}

// mayGive holds the rules about roles.
func (s *Service) mayGive(tx *store.Tx, by actor.Actor, u User, role actor.Role) error {
	if by.Is(u.ID) {
		return fault.Denied("Nobody changes their own role. Ask another administrator.")
	}
	if err := CanManage(by, User{Role: role}); err != nil {
		return err
	}
	if err := RequireProof(by, s.Now()); err != nil {
		return err
	}
	if err := s.keepsOwners(tx, u, role); err != nil {
		return err
	}
	return s.lastStays(tx, u)
}

// keepsOwners refuses a role that may not own what the user owns: nobody could
// change or delete it then.
func (s *Service) keepsOwners(tx *store.Tx, u User, role actor.Role) error {
	if s.Holdings == nil || mayOwn(role) {
		return nil
	}
	owned, err := s.Holdings.Owned(tx, u.ID)
	if err != nil || owned == 0 {
		return err
	}
	sentence := fmt.Sprintf("%s owns %s, which this role may not. Let them transfer that first, under Resources.", u.Name, resources(owned))
	e := fault.Conflict(sentence).WithCode(fault.CodeInUse)
	e.Fields = []fault.FieldError{{Field: "role", Sentence: sentence}}
	return e
}

func mayOwn(role actor.Role) bool {
	return actor.Actor{Kind: actor.KindUser, Role: role}.May(actor.ManageResources)
}

func resources(n int) string {
	if n == 1 {
		return "one resource"
	}
	return fmt.Sprintf("%d resources", n)
}

// lastStays refuses to lose the last active Privileged Administrator.
func (s *Service) lastStays(tx *store.Tx, u User) error {
	if u.Role != actor.PrivilegedAdministrator || u.State != Active {
		return nil
	}
	others, err := otherPrivileged(tx, u.ID)
	if err != nil {
		return err
	}
	if others == 0 {
		return fault.Conflict("This is the last active Privileged Administrator. Make somebody else one first.")
	}
	return nil
}

// saveUser writes an edit, its consequences and its audit entry.
func (s *Service) saveUser(tx *store.Tx, by actor.Actor, before, after User) error {
	detail := differences(before, after)
	if len(detail) == 0 {
		return nil
	}
	if err := updateUser(tx, after); err != nil {
		return taken(err)
	}
	if before.Login != after.Login || before.Email != after.Email || before.Role != after.Role {
		// Who sits in a session of theirs must not rise with them.
		if err := s.endSessions(tx, by, after.ID); err != nil {
			return err
		}
	}
	if before.Email != after.Email {
		// A link sent to the old address must not work for whoever reads it.
		if err := s.endLinks(tx, after.ID); err != nil {
			return err
		}
	}
	return s.Audit.Append(tx, by, about(after, "user.edited", detail...))
}

// endSessions ends all sessions of a user but the one that asks, and forgets
// their browsers where somebody else asks.
func (s *Service) endSessions(tx *store.Tx, by actor.Actor, id string) error {
	if by.Is(id) {
		_, err := deleteSessions(tx, id, by.SessionID)
		return err
	}
	if _, err := deleteSessions(tx, id, ""); err != nil {
		return err
	}
	return deleteDevices(tx, id)
}

func differences(before, after User) []audit.Detail {
	var d []audit.Detail
	note := func(name, b, a string) {
		if a != b {
			d = append(d, audit.Detail{Name: name, Before: b, After: a})
		}
	}
	note("sign-in name", before.Login, after.Login)
	note("name", before.Name, after.Name)
	note("e-mail", before.Email, after.Email)
	note("role", before.Role.Title(), after.Role.Title())
	return d
}

// Profile is what people change about themselves.
type Profile struct{ Name, Email string }

// EditProfile changes one's own name and e-mail address. A new address needs
// a fresh proof, since a new password can be asked for there.
func (s *Service) EditProfile(ctx context.Context, by actor.Actor, p Profile) (User, error) {
	if by.Kind != actor.KindUser {
		return User{}, errSignedOut
	}
	p.Name = strings.TrimSpace(p.Name)
	var c fault.Check
	checkName(&c, p.Name)
	p.Email = checkEmail(&c, strings.TrimSpace(p.Email))
	if err := c.Err(); err != nil {
		return User{}, err
	}
	var after User
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := userBy(tx, "id", by.UserID, tx.ForUpdate())
		if err != nil {
			return err
		}
		if p.Email != before.Email {
			if err := RequireProof(by, s.Now()); err != nil {
				return err
			}
		}
		after = before
		after.Name, after.Email = p.Name, p.Email
		return s.saveUser(tx, by, before, after)
	})
	return after, err
}

// Disable keeps a user from signing in and ends their sessions and links.
// What they own stays theirs.
func (s *Service) Disable(ctx context.Context, by actor.Actor, id string) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		u, err := s.managed(tx, by, id)
		if err != nil {
			return err
		}
		if by.Is(id) {
			return fault.Denied("Nobody disables themselves. Ask another administrator.")
		}
		if u.State == Disabled {
			return nil
		}
		if err := s.lastStays(tx, u); err != nil {
			return err
		}
		u.State = Disabled
		if err := updateUser(tx, u); err != nil {
			return err
		}
		if err := s.endAccess(tx, u.ID); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, about(u, "user.disabled"))
	})
}

// Enable lets a disabled user in again. One who never chose a password is
// invited again by [Service.ResendInvitation].
func (s *Service) Enable(ctx context.Context, by actor.Actor, id string) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		u, err := s.managed(tx, by, id)
		if err != nil {
			return err
		}
		if u.State != Disabled {
			return nil
		}
		u.State = Active
		if u.PasswordAt.IsZero() {
			u.State = Invitee
		}
		if err := updateUser(tx, u); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, about(u, "user.enabled"))
	})
}

// endAccess ends sessions, known browsers and links.
func (s *Service) endAccess(tx *store.Tx, id string) error {
	if _, err := deleteSessions(tx, id, ""); err != nil {
		return err
	}
	if err := deleteDevices(tx, id); err != nil {
		return err
	}
	return s.endLinks(tx, id)
}

// endLinks ends a user's links and the letters that carry them.
func (s *Service) endLinks(tx *store.Tx, id string) error {
	if err := deleteLinks(tx, id); err != nil {
		return err
	}
	return s.Outbox.CancelFor(tx, id, letter.KindInvitation, letter.KindPasswordReset)
}

// Owned counts what a user owns, for the page that asks who takes it over.
func (s *Service) Owned(ctx context.Context, by actor.Actor, id string) (int, error) {
	if !by.May(actor.ManageUsers) {
		return 0, CanManage(by, User{})
	}
	if s.Holdings == nil {
		return 0, nil
	}
	var n int
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		n, err = s.Holdings.Owned(tx, id)
		return err
	})
	return n, err
}

// Delete removes a user for good. What they own goes to the user handOverTo
// first, who must be active and may own resources; it may be empty where
// nothing is owned. It needs a fresh proof of who asks.
func (s *Service) Delete(ctx context.Context, by actor.Actor, id, handOverTo string) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		u, err := s.managed(tx, by, id)
		if err != nil {
			return err
		}
		if by.Is(id) {
			return fault.Denied("Nobody deletes themselves. Ask another administrator.")
		}
		if err := RequireProof(by, s.Now()); err != nil {
			return err
		}
		if err := s.lastStays(tx, u); err != nil {
			return err
		}
		detail, err := s.handOver(tx, by, u, handOverTo)
		if err != nil {
			return err
		}
		if err := s.Outbox.CancelFor(tx, id, letter.KindInvitation, letter.KindPasswordReset, letter.KindPasswordChanged, letter.KindNewDevice, letter.KindExpiryReminder); err != nil {
			return err
		}
		if err := deleteUser(tx, id); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, about(u, "user.deleted", detail...))
	})
}

func (s *Service) handOver(tx *store.Tx, by actor.Actor, u User, to string) ([]audit.Detail, error) {
	if s.Holdings == nil {
		return nil, nil
	}
	owned, err := s.Holdings.Owned(tx, u.ID)
	if err != nil || owned == 0 {
		return nil, err
	}
	if to == "" {
		sentence := fmt.Sprintf("%s owns %s. Choose who takes over.", u.Name, resources(owned))
		e := fault.Conflict(sentence).WithCode(fault.CodeInUse)
		e.Fields = []fault.FieldError{{Field: "hand_over_to", Sentence: sentence}}
		return nil, e
	}
	receiver, err := userBy(tx, "id", to, tx.ForUpdate())
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return nil, err
	}
	if err != nil || receiver.ID == u.ID || receiver.State != Active || !mayOwn(receiver.Role) {
		return nil, fault.Invalid("hand_over_to", "Choose an active administrator or Password Administrator.")
	}
	n, err := s.Holdings.Handover(tx, by, u.ID, receiver.ID)
	if err != nil {
		return nil, err
	}
	return []audit.Detail{{Name: "handed over to", Value: receiver.Login}, {Name: "resources", Value: fmt.Sprint(n)}}, nil
}

// SignOutEverywhere ends all sessions of a user. For oneself the session that
// asks goes on.
func (s *Service) SignOutEverywhere(ctx context.Context, by actor.Actor, id string) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		u, err := s.selfOrManaged(tx, by, id)
		if err != nil {
			return err
		}
		keep := ""
		if by.Is(id) {
			keep = by.SessionID
		}
		n, err := deleteSessions(tx, id, keep)
		if err != nil {
			return err
		}
		return s.Audit.Append(tx, by, about(u, "user.signed_out", audit.Detail{Name: "sessions", Value: fmt.Sprint(n)}))
	})
}

// selfOrManaged returns the user, locked: oneself, or one by may manage.
func (s *Service) selfOrManaged(tx *store.Tx, by actor.Actor, id string) (User, error) {
	if by.Is(id) {
		return userBy(tx, "id", id, tx.ForUpdate())
	}
	if !by.May(actor.ManageUsers) {
		return User{}, errNoUser()
	}
	return s.managed(tx, by, id)
}
