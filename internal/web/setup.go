package web

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/web/page"
)

func setupForm(v *visit) *page.Setup {
	p := &page.Setup{
		Code: v.text("code"), Name: v.text("name"), Login: v.text("login"), Email: v.text("email"),
		OrganisationName: v.text("organisation"), AccessURL: v.text("access_url"), MinLength: identity.MinPassword,
	}
	p.Title, p.Bare = "Set up Sealpost", true
	return p
}

func (s *Site) setupPage(v *visit) error {
	needed, err := s.Users.SetupNeeded(v.ctx())
	if err != nil {
		return err
	}
	if !needed {
		return v.redirect("/sign-in", "")
	}
	return v.render(setupForm(v))
}

func (s *Site) setup(v *visit) error {
	p := setupForm(v)
	session, _, err := s.Users.Setup(v.ctx(), v.by, v.secret("code"), identity.SetupRequest{
		Name: p.Name, Login: p.Login, Email: p.Email, Password: v.secret("password"),
		AccessURL: p.AccessURL, Organisation: p.OrganisationName,
	})
	if err != nil {
		return v.again(p, err)
	}
	v.signedInAs(session)
	return v.redirect("/setup/mail", "")
}

// The ways to have mail that the second step offers.
const (
	mailMicrosoft = "microsoft"
	mailOther     = "other"
	mailCapture   = "capture"
	mailLater     = "later"
)

func (s *Site) setupMailForm(v *visit) (*page.SetupMail, error) {
	me, err := s.Users.User(v.ctx(), v.by, v.by.UserID)
	if err != nil {
		return nil, err
	}
	p := &page.SetupMail{How: v.text("how"), Email: me.Email, CanCapture: s.Capture != nil && s.Capture.Addr() != ""}
	p.Title, p.Bare = "How does mail leave?", true
	if p.How == "" {
		p.How = mailOther
	}
	return p, nil
}

func (s *Site) setupMailPage(v *visit) error {
	p, err := s.setupMailForm(v)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (s *Site) setupMail(v *visit) error {
	p, err := s.setupMailForm(v)
	if err != nil {
		return err
	}
	switch p.How {
	case mailCapture:
		if !p.CanCapture {
			return v.again(p, fault.Conflict("The capture mailbox is off on this machine. Choose another way, or ask who runs Sealpost to switch it on."))
		}
		_, err := s.Mail.Save(v.ctx(), v.by, mail.Change{
			Kind: mail.KindCapture, SenderAddress: senderFor(v.site.AccessURL, p.Email), SenderName: v.site.Organisation,
		})
		if err != nil {
			return v.again(p, err)
		}
		return v.redirect("/", "Sealpost is set up. Mail stays in the capture mailbox on this machine.")
	case mailMicrosoft:
		return v.redirect(mailSettingsPath+"?kind=microsoft", "Your account is ready. Now tell Sealpost about your mailbox.")
	case mailOther:
		return v.redirect(mailSettingsPath, "Your account is ready. Now tell Sealpost about your mail server.")
	}
	return v.redirect("/", "Sealpost is set up. Mail waits until a mail server is set.")
}

// senderFor returns an address for a sender: on the host that people know, or
// the administrator's own where that host has no domain.
func senderFor(accessURL, email string) string {
	u, err := url.Parse(accessURL)
	if err != nil || !strings.Contains(u.Hostname(), ".") {
		return email
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return email
	}
	return "sealpost@" + u.Hostname()
}
