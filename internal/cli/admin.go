package cli

import (
	"fmt"

	"github.com/sealpost/sealpost/internal/operator"
)

type adminCmd struct {
	Create        adminCreateCmd `cmd:"" help:"Add a Privileged Administrator, for instance when nobody can sign in."`
	ResetPassword adminResetCmd  `cmd:"" help:"Give a user a way in again. Ends all their sessions."`
}

type adminCreateCmd struct {
	Login        string `required:"" help:"Sign-in name."`
	Email        string `required:"" help:"E-mail address."`
	Name         string `help:"Full name. Default: the sign-in name."`
	PasswordFrom string `help:"File with the password, or - for standard input. Without it a one-time link is printed." placeholder:"FILE"`
}

// Run adds the administrator.
func (c *adminCreateCmd) Run(s *session) error {
	if c.Name == "" {
		c.Name = c.Login
	}
	password, err := s.optionalSecret(c.PasswordFrom)
	if err != nil {
		return err
	}
	var done operator.AdminDone
	err = s.operate(operator.CmdAdminCreate, operator.AdminCreate{
		Login: c.Login, Name: c.Name, Email: c.Email, Password: password,
	}, &done)
	if err != nil {
		return err
	}
	s.say("Added the Privileged Administrator %s.", done.Login)
	s.sayLink(done)
	return nil
}

type adminResetCmd struct {
	Login        string `arg:"" help:"Sign-in name."`
	PasswordFrom string `help:"File with the new password, or - for standard input. Without it a one-time link is printed." placeholder:"FILE"`
}

// Run resets the password.
func (c *adminResetCmd) Run(s *session) error {
	password, err := s.optionalSecret(c.PasswordFrom)
	if err != nil {
		return err
	}
	var done operator.AdminDone
	if err := s.operate(operator.CmdAdminReset, operator.AdminReset{Login: c.Login, Password: password}, &done); err != nil {
		return err
	}
	if password != "" {
		s.say("The password of %s is changed and all their sessions are ended.", done.Login)
	}
	s.sayLink(done)
	return nil
}

// sayLink prints a one-time link, if the result holds one.
func (s *session) sayLink(done operator.AdminDone) {
	if done.Link == "" {
		return
	}
	s.say("Open this one-time link to choose a password, until %s:", localTime(done.Expires))
	fmt.Fprintln(s.env.Out, done.Link)
}

// optionalSecret reads the secret at path, or nothing when path is empty.
func (s *session) optionalSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return s.readSecretFile(path)
}
