package identity

import (
	"context"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// OperatorCreateAdmin adds a Privileged Administrator for who runs the
// machine. With a password the user is active at once; without one the
// result holds a link and a code. No letter is sent either way. Before the
// Access URL is set the link has no host.
func (s *Service) OperatorCreateAdmin(ctx context.Context, by actor.Actor, n NewUser, password secret.Value) (Invited, error) {
	if err := operatorOnly(by); err != nil {
		return Invited{}, err
	}
	n.Role = actor.PrivilegedAdministrator
	var c fault.Check
	c.Add("name", n.tidy())
	if !password.IsZero() {
		_, err := s.CheckPassword([]string{n.Name, n.Login, n.Email}, password)
		c.Add("password", err)
	}
	if err := c.Err(); err != nil {
		return Invited{}, err
	}
	way, err := s.operatorWay(ctx, password)
	if err != nil {
		return Invited{}, err
	}
	var done Invited
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		u := User{ID: store.NewID(), Login: n.Login, Name: n.Name, Email: n.Email, Role: n.Role, State: Invitee, CreatedAt: tx.Now(), Revision: 1}
		if !way.hash.IsZero() {
			u.State, u.PasswordAt = Active, tx.Now()
		}
		if err := insertUser(tx, u, nil); err != nil {
			return taken(err)
		}
		if err := deleteSetupLinks(tx); err != nil {
			return err
		}
		if done, err = s.openWay(tx, u, way); err != nil {
			return err
		}
		return s.Audit.Append(tx, by, about(u, "user.created", audit.Detail{Name: "role", Value: u.Role.Title()}))
	})
	if err != nil {
		return Invited{}, err
	}
	return done, nil
}

// OperatorResetPassword gives any user a way in again for who runs the
// machine: the given password, or a link in the result. It ends the user's
// sessions, unlocks the account, and enables a disabled user.
func (s *Service) OperatorResetPassword(ctx context.Context, by actor.Actor, login string, password secret.Value) (Invited, error) {
	if err := operatorOnly(by); err != nil {
		return Invited{}, err
	}
	if !password.IsZero() {
		if _, err := s.CheckPassword([]string{login}, password); err != nil {
			return Invited{}, err
		}
	}
	way, err := s.operatorWay(ctx, password)
	if err != nil {
		return Invited{}, err
	}
	var done Invited
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		u, err := userBy(tx, "login", tidyLogin(login), tx.ForUpdate())
		if err != nil {
			return err
		}
		if err := s.endAccess(tx, u.ID); err != nil {
			return err
		}
		u.State = Active
		if way.hash.IsZero() && u.PasswordAt.IsZero() {
			u.State = Invitee
		}
		if err := updateUser(tx, u); err != nil {
			return err
		}
		if err := s.settle(tx, byAccount(u.Login)); err != nil {
			return err
		}
		if done, err = s.openWay(tx, u, way); err != nil {
			return err
		}
		if !way.hash.IsZero() {
			if err := s.tellChanged(tx, by, u); err != nil {
				return err
			}
		}
		return s.Audit.Append(tx, by, about(u, "password.reset"))
	})
	if err != nil {
		return Invited{}, err
	}
	return done, nil
}

func operatorOnly(by actor.Actor) error {
	if by.Kind != actor.KindOperator {
		return fault.Denied("This is for who runs the machine, at its shell.")
	}
	return nil
}

// way is a password's hash, or a token for a link.
type way struct {
	hash      secret.Value
	token     secret.Value
	tokenHash []byte
}

func (s *Service) operatorWay(ctx context.Context, password secret.Value) (w way, err error) {
	if password.IsZero() {
		w.token, w.tokenHash, err = s.newToken(linkSize)
		return w, err
	}
	w.hash, err = s.hash(ctx, password)
	return w, err
}

// openWay stores the password or the link.
func (s *Service) openWay(tx *store.Tx, u User, w way) (Invited, error) {
	done := Invited{User: u}
	if !w.hash.IsZero() {
		return done, s.storePassword(tx, u.ID, w.hash)
	}
	site, err := s.Letters.Site(tx)
	if err != nil {
		return done, err
	}
	purpose, path, life := purposeReset, "/reset", ResetLife
	if u.State == Invitee {
		purpose, path, life = purposeInvite, "/invite", InvitationLife
	}
	done.Expires = tx.Now().Add(life)
	link := site.Link(path, w.token)
	done.Link, done.Code = link.URL, link.Code
	return done, putLink(tx, u.ID, purpose, w.tokenHash, done.Expires)
}
