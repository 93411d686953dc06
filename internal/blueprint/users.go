package blueprint

import (
	"context"
	"fmt"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
)

func loginKey(login string) string { return strings.ToLower(strings.TrimSpace(login)) }

// users compares the users of the file.
func (m *maker) users(ctx context.Context) error {
	site, err := m.Users.Site(ctx)
	if err != nil {
		return err
	}
	invitable := site.AccessURL != "" || m.spec.AccessURL != ""
	for i, u := range m.spec.Users {
		at := fmt.Sprintf("users[%d]", i)
		have, err := m.Users.UserByLogin(ctx, m.by, u.Login)
		switch {
		case fault.Is(err, fault.KindNotFound):
			m.check.That(invitable, "users", "Set access_url as well: the links in invitations start with it.")
			err = m.newUser(at, u)
		case err == nil:
			err = m.oldUser(at, u, have)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newUser plans an invitation. Nobody is invited in order to be kept out.
func (m *maker) newUser(at string, u User) error {
	if u.Disabled != nil && *u.Disabled {
		return nil
	}
	n := identity.NewUser{Login: u.Login, Name: u.Name, Email: u.Email, Role: actor.Role(u.Role)}
	n, err := n.Tidy()
	if err != nil {
		return m.wrong(err, under(at))
	}
	m.people[n.Login] = identity.User{Login: n.Login, Role: n.Role, State: identity.Invitee}
	lines := []string{"name: " + n.Name, "e-mail: " + n.Email, "role: " + n.Role.Title(), "an invitation is sent"}
	m.step(verbCreate, fmt.Sprintf("user %q", n.Login), lines, func(ctx context.Context) ([]string, error) {
		invited, err := m.Users.Invite(ctx, m.by, n)
		if err != nil {
			return nil, err
		}
		m.plan.users[n.Login] = invited.User.ID
		if invited.Held && m.spec.Mail == nil {
			return []string{"the invitation waits: " + invited.HeldWhy}, nil
		}
		return nil, nil
	})
	return nil
}

// oldUser plans what brings a user to what the file says.
func (m *maker) oldUser(at string, u User, have identity.User) error {
	m.people[have.Login] = have
	m.plan.users[have.Login] = have.ID
	want := identity.NewUser{
		Login: have.Login, Name: or(u.Name, have.Name), Email: or(u.Email, have.Email), Role: actor.Role(or(u.Role, string(have.Role))),
	}
	want, err := want.Tidy()
	if err != nil {
		return m.wrong(err, under(at))
	}
	var lines []string
	lines = append(lines, change("name", have.Name, want.Name)...)
	lines = append(lines, change("e-mail", have.Email, want.Email)...)
	lines = append(lines, change("role", have.Role.Title(), want.Role.Title())...)
	edited := len(lines) > 0
	disabled := have.State == identity.Disabled
	turn := u.Disabled != nil && *u.Disabled != disabled
	if turn && !disabled {
		lines = append(lines, "is disabled and signed out")
	} else if turn {
		lines = append(lines, "is enabled")
	}
	if len(lines) == 0 {
		return nil
	}
	m.step(verbChange, fmt.Sprintf("user %q", have.Login), lines, func(ctx context.Context) ([]string, error) {
		if edited {
			if _, err := m.Users.EditUser(ctx, m.by, have.ID, identity.UserChange{NewUser: want, Revision: have.Revision}); err != nil {
				return nil, err
			}
		}
		switch {
		case turn && disabled:
			return nil, m.Users.Enable(ctx, m.by, have.ID)
		case turn:
			return nil, m.Users.Disable(ctx, m.by, have.ID)
		}
		return nil, nil
	})
	return nil
}

// person returns a user that is there or will be; found is false where there
// is none and none will be.
func (m *maker) person(ctx context.Context, login string) (u identity.User, found bool, err error) {
	if u, found = m.people[loginKey(login)]; found {
		return u, true, nil
	}
	u, err = m.Users.UserByLogin(ctx, m.by, login)
	if fault.Is(err, fault.KindNotFound) {
		return identity.User{}, false, nil
	}
	if err != nil {
		return identity.User{}, false, err
	}
	m.people[u.Login], m.plan.users[u.Login] = u, u.ID
	return u, true, nil
}
