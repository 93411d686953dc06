package web

import (
	"errors"
	"net/http"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/server"
	"github.com/sealpost/sealpost/internal/web/page"
)

const mailSignInPath = mailSettingsPath + "/sign-in"

// signInMail begins a sign-in at the provider: with what the form holds, with
// what is stored, or once more with what came to nothing. The browser gets there
// by a page of ours, since Chromium holds the redirects after a form to the
// hosts that forms may be sent to.
func (s *Site) signInMail(v *visit) error {
	id, err := s.beginSignIn(v)
	if fault.CodeOf(err) == fault.CodeReauthenticate {
		err = fault.Invalid(fieldOwnPassword, "Type your own password: with these settings mail goes another way.")
	}
	switch {
	case err != nil && (v.has("stored") || v.has("again")):
		return s.mailAgain(v, err)
	case err != nil:
		return s.mailRefused(v, diagnose.Report{}, err)
	case v.isScript():
		return v.json(http.StatusOK, answerTo{mailSignInPath + "/" + id})
	}
	return v.redirect(mailSignInPath+"/"+id, "")
}

// answerTo tells our script where to go.
type answerTo struct {
	To string `json:"to"`
}

func (s *Site) beginSignIn(v *visit) (string, error) {
	b := browserOf(v)
	if v.has("stored") {
		return s.Mail.BeginAgain(v.ctx(), v.by, b)
	}
	if again := v.text("again"); again != "" {
		return s.Mail.BeginOnceMore(v.ctx(), v.by, again, b)
	}
	c, err := mailChange(v)
	if err != nil {
		return "", err
	}
	if err := s.proveForMail(v); err != nil {
		return "", err
	}
	// The provider sends the person back to it, so that it is stored first.
	if err := s.saveAccessURL(v); err != nil {
		return "", err
	}
	return s.Mail.BeginConsent(v.ctx(), v.by, c, b)
}

// goingMail leads on to the provider.
func (s *Site) goingMail(v *visit) error {
	going, err := s.Mail.Going(v.ctx(), v.by, v.id("id"), browserOf(v))
	if err != nil {
		return s.notIn(v, "", err)
	}
	p := &page.MailGoing{URL: going.URL, Host: going.Host, Provider: providerName(going.Provider, going.Host), Mailbox: going.Mailbox, Warning: going.Warning}
	p.Title = "Sign in at " + p.Provider
	return v.render(p)
}

// providerName is what a person calls a provider.
func providerName(p oauth.Provider, host string) string {
	switch p {
	case oauth.Microsoft:
		return "Microsoft"
	case oauth.Google:
		return "Google"
	}
	if host == "" {
		return "the provider"
	}
	return host
}

// signedInMail takes a person who comes back from the provider. Nothing of the
// address is shown again: it holds the code.
func (s *Site) signedInMail(v *visit) error {
	done, err := s.Mail.FinishConsent(v.ctx(), v.by, mail.Callback{Path: v.route.path(), Query: v.values}, browserOf(v))
	switch {
	case err != nil:
		return s.notIn(v, done.ID, err)
	case !done.Live:
		return v.redirect(mailSignInPath+"/"+done.ID+"/decide", "")
	}
	return v.redirect(mailSettingsPath, signedInMark+signedInNotice(done.Who))
}

func signedInNotice(who string) string {
	if who == "" {
		return "Signed in. The settings are saved, and mail leaves with them."
	}
	return who + " is signed in. The settings are saved, and mail leaves with them."
}

// notIn shows why nobody is signed in. Again is the sign-in that can be begun
// once more, or "".
func (s *Site) notIn(v *visit, again string, err error) error {
	p := &page.MailNotIn{Provider: "The provider", Browser: browserOf(v).Origin}
	p.Title, p.Crumbs = "The sign-in did not work", mailCrumbs()
	var problem *mail.Problem
	status := http.StatusUnprocessableEntity
	switch {
	case errors.As(err, &problem):
		p.Again, p.Text, p.Advice, p.Command = again, problem.Reason, problem.Advice, problem.Command
		p.Reply, p.Link = page.SaidWhole(problem.Reply), problem.Link
		if problem.Remedy == verdict.RemedySettings && again != "" {
			p.RedirectURI = s.redirectOf(v, again)
		}
	case fault.Is(err, fault.KindNotFound):
		p.Text = fault.Sentence(err) // the address is there, the sign-in is not
	case shownInPlace(err):
		p.Text, status = fault.Sentence(err), server.StatusOf(err)
	default:
		return err
	}
	return v.renderAs(status, p)
}

// redirectOf is the redirect address of a sign-in that came to nothing.
func (s *Site) redirectOf(v *visit, id string) string {
	c, err := s.Mail.Unfinished(v.ctx(), v.by, id, browserOf(v))
	if err != nil || c.OAuth.RedirectPath == "" {
		return ""
	}
	return mail.RedirectURI(v.site.AccessURL, c.OAuth.RedirectPath)
}

// decidePage asks whether somebody else than expected is right.
func (s *Site) decidePage(v *visit) error {
	p, err := s.deciding(v)
	if err != nil {
		return s.notIn(v, "", err)
	}
	return v.render(p)
}

func (s *Site) deciding(v *visit) (*page.MailDecide, error) {
	b := browserOf(v)
	d, err := s.Mail.Deciding(v.ctx(), v.by, v.id("id"), b)
	if err != nil {
		return nil, err
	}
	p := &page.MailDecide{
		ID: d.ID, Who: d.Who, WhoTenant: d.WhoTenant, Sender: d.Sender, Mailbox: d.Mailbox, Tenant: d.Tenant, Browser: b.Origin,
		OtherTenant: d.OtherTenant, Microsoft: d.Tenant != "",
	}
	p.Title, p.Crumbs = "Somebody else signed in", mailCrumbs()
	if d.OtherTenant {
		p.Title = "Somebody of another directory signed in"
	}
	return p, nil
}

// decideMail accepts who signed in.
func (s *Site) decideMail(v *visit) error {
	saved, err := s.Mail.Decide(v.ctx(), v.by, v.id("id"), browserOf(v))
	if err == nil {
		return v.redirect(mailSettingsPath, signedInMark+signedInNotice(saved.OAuth.Mailbox))
	}
	if fault.Is(err, fault.KindNotFound) {
		return s.notIn(v, "", err)
	}
	p, pageErr := s.deciding(v)
	if pageErr != nil {
		return err
	}
	return v.again(p, err)
}

func mailCrumbs() []page.Crumb {
	return []page.Crumb{{Name: "Admin", Path: "/admin"}, {Name: "Settings", Path: "/admin"}, {Name: "Mail Server Settings", Path: mailSettingsPath}}
}
