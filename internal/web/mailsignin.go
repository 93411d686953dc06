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
	"github.com/sealpost/sealpost/internal/web/checkup"
	"github.com/sealpost/sealpost/internal/web/page"
)

// signInMail begins a sign-in at the provider: with what the form holds, with
// what is stored, or once more with what came to nothing. The browser gets there
// by a page of ours, since Chromium holds the redirects after a form to the
// hosts that forms may be sent to.
func (s *Site) signInMail(v *visit) error {
	id, err := s.beginSignIn(v)
	switch {
	case err != nil && (v.has("stored") || v.has("again")):
		return s.notBegun(v, err)
	case fault.CodeOf(err) == fault.CodeReauthenticate:
		err = fault.Invalid(fieldOwnPassword, "Type your own password: with these settings mail goes another way.")
		return s.mailRefused(v, diagnose.Report{}, err)
	case err != nil:
		return s.mailRefused(v, diagnose.Report{}, err)
	case v.isScript():
		return v.json(http.StatusOK, answerTo{v.mail().path + "/sign-in/" + id})
	}
	return v.redirect(v.mail().path+"/sign-in/"+id, "")
}

// notBegun says why a sign-in does not begin that one button asked for. A proof
// of who asks is asked for on a page of its own, which carries the button.
func (s *Site) notBegun(v *visit, err error) error {
	if fault.Is(err, fault.KindNotFound) {
		return s.notIn(v, "", err)
	}
	return s.settingsAgain(v, err)
}

// answerTo tells our script where to go.
type answerTo struct {
	To string `json:"to"`
}

func (s *Site) beginSignIn(v *visit) (string, error) {
	b := browserOf(v)
	if v.has("stored") {
		return v.mail().BeginAgain(v.ctx(), v.by, b)
	}
	if again := v.text("again"); again != "" {
		return v.mail().BeginOnceMore(v.ctx(), v.by, again, b)
	}
	c, err := mailChange(v)
	if err != nil {
		return "", err
	}
	if b.AccessURL, err = s.proveForMail(v); err != nil {
		return "", err
	}
	id, err := v.mail().BeginConsent(v.ctx(), v.by, c, b)
	if err != nil {
		return "", err
	}
	return id, s.saveAccessURL(v)
}

// goingMail leads on to the provider.
func (s *Site) goingMail(v *visit) error {
	going, err := v.mail().Going(v.ctx(), v.by, v.id("id"), browserOf(v))
	if err != nil {
		return s.notIn(v, "", err)
	}
	p := &page.MailGoing{At: v.mail().path, URL: going.URL, Host: going.Host, Provider: providerName(going.Provider, going.Host), Mailbox: going.Mailbox, Warning: going.Warning}
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
	back := mail.Callback{Path: v.route.path(), Query: v.values}
	slot, err := s.Mail.SlotOf(v.ctx(), back)
	if err != nil {
		return err
	}
	v.route.slot = slot // the address is the same for both servers
	done, err := v.mail().FinishConsent(v.ctx(), v.by, back, browserOf(v))
	switch {
	case err != nil:
		return s.notIn(v, done.ID, err)
	case !done.Live:
		return v.redirect(v.mail().path+"/sign-in/"+done.ID+"/decide", "")
	}
	saved, _, err := v.mail().Active(v.ctx())
	if err != nil {
		return err
	}
	return v.redirect(v.mail().path, signedInMark+signedInNotice(done.Who, saved))
}

func signedInNotice(who string, saved mail.Profile) string {
	text := "Signed in."
	if who != "" {
		text = who + " is signed in."
	}
	if saved.State == mail.Stopped {
		return text + " The settings are saved. Mail stays stopped until somebody resumes it."
	}
	return text + " The settings are saved, and mail leaves with them."
}

// notIn shows why nobody is signed in. Again is the sign-in that can be begun
// once more, or "".
func (s *Site) notIn(v *visit, again string, err error) error {
	p := &page.MailNotIn{At: v.mail().path, Provider: checkup.Speaker(""), Browser: browserOf(v).Origin}
	p.Title, p.Crumbs = "The sign-in did not work", mailCrumbs(v)
	var problem *mail.Problem
	status := http.StatusUnprocessableEntity
	switch {
	case errors.As(err, &problem):
		p.Again, p.Text, p.Advice, p.Command = again, problem.Reason, problem.Advice, problem.Command
		p.Reply, p.Link = page.SaidWhole(problem.Reply), problem.Link
		s.withUnfinished(v, p, problem.Remedy)
	case fault.Is(err, fault.KindNotFound):
		p.Text = fault.Sentence(err) // the address is there, the sign-in is not
	case shownInPlace(err):
		p.Again, p.Text, status = again, fault.Sentence(err), server.StatusOf(err)
		s.withUnfinished(v, p, verdict.RemedyNone)
	default:
		return err
	}
	return v.renderAs(status, p)
}

// withUnfinished adds what is known of the sign-in that came to nothing: whose
// words they are, and the redirect address where that could be what is wrong.
func (s *Site) withUnfinished(v *visit, p *page.MailNotIn, remedy verdict.Remedy) {
	if p.Again == "" {
		return
	}
	c, err := v.mail().Unfinished(v.ctx(), v.by, p.Again, browserOf(v))
	if err != nil {
		return
	}
	p.Provider = checkup.Speaker(c.OAuth.Provider)
	if remedy == verdict.RemedySettings && c.OAuth.RedirectPath != "" {
		p.RedirectURI = mail.RedirectURI(v.site.AccessURL, c.OAuth.RedirectPath)
	}
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
	d, err := v.mail().Deciding(v.ctx(), v.by, v.id("id"), b)
	if err != nil {
		return nil, err
	}
	p := &page.MailDecide{
		At: v.mail().path, ID: d.ID, Who: d.Who, WhoTenant: d.WhoTenant, Sender: d.Sender, Mailbox: d.Mailbox, Tenant: d.Tenant, Browser: b.Origin,
		OtherTenant: d.OtherTenant, Microsoft: d.Tenant != "",
	}
	p.Title, p.Crumbs = "Somebody else signed in", mailCrumbs(v)
	if d.OtherTenant {
		p.Title = "Somebody of another directory signed in"
	}
	return p, nil
}

// decideMail accepts who signed in.
func (s *Site) decideMail(v *visit) error {
	saved, err := v.mail().Decide(v.ctx(), v.by, v.id("id"), browserOf(v))
	if err == nil {
		return v.redirect(v.mail().path, signedInMark+signedInNotice(saved.OAuth.Mailbox, saved))
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

// mailCrumbs leads back to the settings of the server.
func mailCrumbs(v *visit) []page.Crumb {
	crumbs := []page.Crumb{{Name: "Admin", Path: "/admin"}, {Name: "Settings", Path: "/admin"}, {Name: "Mail Server Settings", Path: mailSettingsPath}}
	if v.mail().slot == mail.Second {
		crumbs = append(crumbs, page.Crumb{Name: "Second mail server", Path: v.mail().path})
	}
	return crumbs
}
