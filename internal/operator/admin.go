package operator

import (
	"context"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/secret"
)

func (c *commands) adminCreate(ctx context.Context, by actor.Actor, a AdminCreate, _ Sink) (AdminDone, error) {
	n := identity.NewUser{Login: a.Login, Name: a.Name, Email: a.Email}
	in, err := c.Users.OperatorCreateAdmin(ctx, by, n, secret.New(a.Password))
	if err != nil {
		return AdminDone{}, err
	}
	return c.adminDone(in), nil
}

func (c *commands) adminReset(ctx context.Context, by actor.Actor, a AdminReset, _ Sink) (AdminDone, error) {
	in, err := c.Users.OperatorResetPassword(ctx, by, a.Login, secret.New(a.Password))
	if err != nil {
		return AdminDone{}, err
	}
	return c.adminDone(in), nil
}

// adminDone tells of a way in. Its link is opened here: who runs the machine
// asked for it and reads it on their terminal.
func (c *commands) adminDone(in identity.Invited) AdminDone {
	done := AdminDone{Login: in.User.Login, Link: in.Link.Reveal(), Expires: in.Expires}
	if strings.HasPrefix(done.Link, "/") {
		done.Link = c.LocalURL() + done.Link
	}
	return done
}
