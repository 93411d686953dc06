package web

import (
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/web/page"
)

func (s *Site) profilePage(v *visit) error {
	me, err := s.Users.User(v.ctx(), v.by, v.by.UserID)
	if err != nil {
		return err
	}
	return v.render(profileForm(me))
}

func profileForm(me identity.User) *page.Profile {
	p := &page.Profile{Name: me.Name, Email: me.Email, Login: me.Login, Role: me.Role.Title(), PasswordAt: me.PasswordAt}
	p.Title = "Profile"
	return p
}

func (s *Site) editProfile(v *visit) error {
	me, err := s.Users.User(v.ctx(), v.by, v.by.UserID)
	if err != nil {
		return err
	}
	p := profileForm(me)
	p.Name, p.Email = v.text("name"), v.text("email")
	if _, err := s.Users.EditProfile(v.ctx(), v.by, identity.Profile{Name: p.Name, Email: p.Email}); err != nil {
		return v.again(p, err)
	}
	return v.redirect("/profile", "Your profile is saved.")
}

func passwordForm(v *visit) *page.ChangePassword {
	p := &page.ChangePassword{Login: v.by.Login, Name: v.by.Name, MinLength: identity.MinPassword}
	p.Title, p.Crumbs = "Change password", []page.Crumb{{Name: "Profile", Path: "/profile"}}
	return p
}

func (s *Site) passwordPage(v *visit) error { return v.render(passwordForm(v)) }

func (s *Site) changePassword(v *visit) error {
	if err := s.Users.ChangePassword(v.ctx(), v.by, v.secret("old_password"), v.secret("password")); err != nil {
		return v.again(passwordForm(v), err)
	}
	return v.redirect("/profile", "Your password is changed. You are signed out everywhere else.")
}

func (s *Site) sessionsPage(v *visit) error {
	sessions, err := s.Users.Sessions(v.ctx(), v.by, v.by.UserID)
	if err != nil {
		return err
	}
	p := &page.Sessions{Sessions: sessionRows(sessions, v.by.SessionID)}
	p.Title, p.Crumbs = "Sessions", []page.Crumb{{Name: "Profile", Path: "/profile"}}
	return v.render(p)
}

func sessionRows(sessions []identity.Session, current string) []page.SessionRow {
	var rows []page.SessionRow
	for _, session := range sessions {
		rows = append(rows, page.SessionRow{
			ID: session.ID, Name: session.Name, From: session.From, Current: session.ID == current,
			CreatedAt: session.CreatedAt, SeenAt: session.SeenAt, Expires: session.Expires,
		})
	}
	return rows
}

func (s *Site) endSession(v *visit) error {
	id := v.id("id")
	if err := s.Users.EndSession(v.ctx(), v.by, id); err != nil {
		return err
	}
	if id == v.by.SessionID {
		v.setCookie(cookieSession, "", -1)
		return v.redirect("/sign-in", "You are signed out.")
	}
	return v.redirect("/profile/sessions", "The session is ended.")
}

func (s *Site) endOtherSessions(v *visit) error {
	if err := s.Users.SignOutEverywhere(v.ctx(), v.by, v.by.UserID); err != nil {
		return err
	}
	return v.redirect("/profile/sessions", "All your other sessions are ended.")
}
