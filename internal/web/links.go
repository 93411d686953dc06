package web

import (
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/web/page"
)

// The pages behind one-time links. Looking at one, sending it empty, or
// sending the code alone uses nothing up: scanners of mail do all of that.
// Only a password good enough to be taken does.

func codeForm(invitation bool) *page.Code {
	p := &page.Code{Invitation: invitation}
	p.Title, p.Bare = "Choose a new password", true
	if invitation {
		p.Title = "Accept your invitation"
	}
	return p
}

func chooseForm(v *visit, invitation bool, info identity.LinkInfo) *page.Choose {
	p := &page.Choose{
		Invitation: invitation, Name: info.Name, Login: info.Login, Email: info.Email, Role: info.Role.Title(),
		Code: v.text("code"), MinLength: identity.MinPassword,
	}
	p.Title, p.Bare = codeForm(invitation).Title, true
	return p
}

func (s *Site) invitePage(v *visit) error { return v.render(codeForm(true)) }

func (s *Site) invite(v *visit) error {
	info, err := s.Users.InviteInfo(v.ctx(), v.by, v.secret("code"))
	if err != nil {
		return v.again(codeForm(true), err)
	}
	form := chooseForm(v, true, info)
	if !v.has("password") {
		return v.render(form)
	}
	session, _, err := s.Users.AcceptInvite(v.ctx(), v.by, v.secret("code"), v.secret("password"))
	if err != nil {
		return v.again(form, err)
	}
	v.signedInAs(session)
	return v.redirect("/", "Welcome to "+v.site.Title()+". Your account is ready.")
}

func (s *Site) resetPage(v *visit) error { return v.render(codeForm(false)) }

func (s *Site) reset(v *visit) error {
	info, err := s.Users.ResetInfo(v.ctx(), v.by, v.secret("code"))
	if err != nil {
		return v.again(codeForm(false), err)
	}
	form := chooseForm(v, false, info)
	if !v.has("password") {
		return v.render(form)
	}
	if _, err := s.Users.ResetPassword(v.ctx(), v.by, v.secret("code"), v.secret("password")); err != nil {
		return v.again(form, err)
	}
	v.setCookie(cookieSession, "", -1)
	return v.redirect("/sign-in", "Your new password is set. Sign in with it.")
}

func forgotForm(v *visit) *page.Forgot {
	p := &page.Forgot{Login: v.text("login")}
	p.Title, p.Bare = "Forgot your password?", true
	return p
}

func (s *Site) forgotPage(v *visit) error { return v.render(forgotForm(v)) }

// forgot says the same whether there is such a user or not.
func (s *Site) forgot(v *visit) error {
	p := forgotForm(v)
	if err := s.Users.RequestReset(v.ctx(), v.by, v.text("login")); err != nil {
		return v.again(p, err)
	}
	p.Sent, p.Title = true, "Look into your mailbox"
	return v.render(p)
}

// passwordStrength tells a script how good a new password is. It asks for no
// session, since people choose their first password without one; it looks at
// nothing but what was sent and this installation's public name.
func (s *Site) passwordStrength(v *visit) error {
	words := []string{v.site.Organisation, v.site.AccessURL, v.by.Name, v.by.Login}
	for _, name := range []string{"name", "login", "email", "organisation"} {
		words = append(words, v.text(name))
	}
	strength, err := s.Users.CheckPassword(words, v.secret("password"))
	answer := struct {
		Score    int    `json:"score"`
		Sentence string `json:"sentence"`
		Accepted bool   `json:"accepted"`
	}{strength.Score, strength.Sentence, err == nil}
	if answer.Sentence == "" {
		answer.Sentence = fault.Sentence(err)
	}
	return v.json(200, answer)
}
