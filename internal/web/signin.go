package web

import (
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/web/page"
)

func (s *Site) signInPage(v *visit) error {
	if v.by.Kind == actor.KindUser {
		return v.redirect(local(v.text("to")), "")
	}
	needed, err := s.Users.SetupNeeded(v.ctx())
	if err != nil {
		return err
	}
	if needed && s.open(v.by, "/setup") {
		return v.redirect("/setup", "")
	}
	return v.render(signInForm(v))
}

func signInForm(v *visit) *page.SignIn {
	p := &page.SignIn{Login: v.text("login")}
	p.Title = "Sign in"
	if to := local(v.text("to")); to != "/" {
		p.To = to
	}
	return p
}

func (s *Site) signIn(v *visit) error {
	session, _, err := s.Users.SignIn(v.ctx(), v.by, v.text("login"), v.secret("password"), v.device())
	if err != nil {
		return v.again(signInForm(v), err)
	}
	v.signedInAs(session)
	return v.redirect(local(v.text("to")), "")
}

func (s *Site) signOut(v *visit) error {
	if err := s.Users.SignOut(v.ctx(), v.by); err != nil {
		return err
	}
	v.setCookie(cookieSession, "", -1)
	return v.redirect("/sign-in", "You are signed out.")
}

// prove takes a fresh proof by itself, for forms that could not be carried.
func (s *Site) prove(v *visit) error {
	if err := s.Users.Reauthenticate(v.ctx(), v.by, v.secret("password")); err != nil {
		return &wrongProof{err}
	}
	return v.redirect(local(v.text("to")), "Thank you. You can do it now.")
}

// theme keeps the chosen appearance in the browser.
func (s *Site) theme(v *visit) error {
	switch choice := v.text("theme"); choice {
	case "light", "dark":
		v.setCookie(cookieTheme, choice, themeAge)
	default:
		v.setCookie(cookieTheme, "", -time.Second)
	}
	return v.redirect(local(v.text("to")), "")
}
