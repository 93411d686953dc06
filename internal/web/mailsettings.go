package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/internal/web/checkup"
	"github.com/sealpost/sealpost/internal/web/page"
)

func (s *Site) mailSettings(v *visit) error {
	p, err := s.mailPage(v)
	if err != nil {
		return err
	}
	p.Ask = v.text("ask")
	p.Notice, p.Test.Now = v.takeSignedIn()
	return v.render(p)
}

// mailPage is the page with the stored settings.
func (s *Site) mailPage(v *visit) (*page.MailSettings, error) {
	health, err := v.mail().Health(v.ctx(), v.by)
	if err != nil {
		return nil, err
	}
	form := storedForm(health.Profile, health.Set)
	if !health.Set && v.text("kind") == string(mail.KindMicrosoft) {
		move(&form)
		form.Host = "smtp.office365.com"
	}
	gone := ""
	if from := cmp.Or(v.text("from"), v.text("again")); from != "" {
		// What was typed for a sign-in that came to nothing, as long as it is kept.
		c, err := v.mail().Unfinished(v.ctx(), v.by, from, browserOf(v))
		switch {
		case err == nil:
			form = unfinishedForm(c, health.Profile)
		case fault.Is(err, fault.KindNotFound):
			gone = "What was typed for that sign-in is kept no more. The form shows the settings that are stored."
		default:
			return nil, err
		}
	}
	form.AccessURL = v.site.AccessURL
	p, err := s.mailPageWith(v, health, form, "")
	if err == nil {
		p.Alert = gone
	}
	return p, err
}

// typedMailPage is the page with what was typed.
func (s *Site) typedMailPage(v *visit) (*page.MailSettings, error) {
	health, err := v.mail().Health(v.ctx(), v.by)
	if err != nil {
		return nil, err
	}
	form := typedForm(v)
	form.Candidates = candidates(v)
	return s.mailPageWith(v, health, form, v.text("test_to"))
}

func (s *Site) mailPageWith(v *visit, health mail.Health, form page.MailForm, to string) (*page.MailSettings, error) {
	state, _, err := s.mailNow(v, v.mail().slot)
	if err != nil {
		return nil, err
	}
	two, err := s.twoServers(v)
	if err != nil {
		return nil, err
	}
	if to == "" {
		me, err := s.Users.User(v.ctx(), v.by, v.by.UserID)
		if err != nil {
			return nil, err
		}
		to = me.Email
	}
	withStored(&form, health)
	form.At = v.mail().path
	form.Browser, form.Presets = browserOf(v).Origin, presets()
	form.HasCapture = form.Kind == string(mail.KindCapture) || s.Capture != nil && s.Capture.Addr() != ""
	if form.Accounts, err = s.mailAccounts(v, form.AccountText, form.Account); err != nil {
		return nil, err
	}
	p := &page.MailSettings{
		At: form.At, Second: v.mail().slot == mail.Second, Two: two, State: state, Form: form, Test: page.MailTest{To: to}, Set: health.Set,
	}
	p.State.Browser = form.Browser
	p.Title, p.Crumbs = "Mail Server Settings", []page.Crumb{{Name: "Admin", Path: "/admin"}, {Name: "Settings", Path: "/admin"}}
	if p.Second {
		p.Title, p.Crumbs = "Second mail server", append(p.Crumbs, page.Crumb{Name: "Mail Server Settings", Path: mailSettingsPath})
		if !p.Set {
			p.State.Title, p.State.Text = "There is no second mail server", "Set it up below. Then you say when letters leave through it."
		}
	}
	p.Trust, err = s.mailTrust(v, health)
	return p, err
}

// browserAddress is the address that the browser asked. It is shown, and
// nothing is built from it.
func browserAddress(r *http.Request) string {
	if r.TLS == nil {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// maxPicked is how many accounts the form shows at once.
const maxPicked = 20

// mailAccounts returns the accounts that fit text, the chosen one first.
func (s *Site) mailAccounts(v *visit, text, chosen string) ([]page.AccountChoice, error) {
	found, err := s.Vault.SearchAccounts(v.ctx(), v.by, text, maxPicked)
	if err != nil {
		return nil, err
	}
	var all []page.AccountChoice
	if chosen != "" {
		switch a, err := s.Vault.Account(v.ctx(), v.by, chosen); {
		case err == nil:
			all = append(all, accountChoice(a))
		case fault.Is(err, fault.KindNotFound):
			all = append(all, page.AccountChoice{ID: chosen, Foreign: true})
		default:
			return nil, err
		}
	}
	for _, a := range found {
		if a.ID != chosen {
			all = append(all, accountChoice(a))
		}
	}
	return all, nil
}

func accountChoice(a vault.Account) page.AccountChoice {
	return page.AccountChoice{ID: a.ID, Resource: a.ResourceName, Name: a.Name, PasswordAt: a.PasswordAt, PasswordBy: a.PasswordBy}
}

// mailAccountsPart answers with the accounts that fit what is typed.
func (s *Site) mailAccountsPart(v *visit) error {
	accounts, err := s.mailAccounts(v, v.text("q"), v.text("chosen"))
	if err != nil {
		return err
	}
	form := page.MailForm{Accounts: accounts, Account: v.text("chosen"), AccountText: v.text("q")}
	return v.part(&page.MailSettings{}, "accounts", form)
}

// fillMail changes the form without saving it: a preset, a search for an
// account, certificates from files, one that is left out.
func (s *Site) fillMail(v *visit) error {
	if err := takeAuthorities(v); err != nil {
		return s.mailRefused(v, diagnose.Report{}, err)
	}
	if v.isScript() {
		return v.part(&page.MailSettings{}, "candidates", page.MailForm{At: v.mail().path, Candidates: candidates(v)})
	}
	p, err := s.typedMailPage(v)
	if err != nil {
		return err
	}
	fill(&p.Form, v.text("preset"))
	return v.render(p)
}

// saveMail saves the settings. What was changed is tested first, unless a
// person wants it saved anyway; our script runs the test by itself, to show
// its steps.
func (s *Site) saveMail(v *visit) error {
	c, err := mailChange(v)
	if err == nil {
		_, err = s.proveForMail(v)
	}
	var report diagnose.Report
	var saved mail.Profile
	_, was, activeErr := v.mail().Active(v.ctx())
	if err == nil {
		err = activeErr
	}
	if err == nil {
		saved, report, err = s.testAndSave(v, c)
	}
	if err == nil {
		err = s.saveAccessURL(v)
	}
	if fault.CodeOf(err) == fault.CodeReauthenticate {
		err = fault.Invalid(fieldOwnPassword, "Type your own password: with these settings mail goes another way.")
	}
	if err != nil {
		return s.mailRefused(v, report, err)
	}
	to := v.mail().path
	v.setNotice(savedNotice(saved, report))
	if !was && v.mail().slot == mail.Second {
		to = mailServersPath
		v.setNotice(savedNotice(saved, report) + " Now say when letters leave through it.")
	}
	if v.isScript() {
		return v.json(http.StatusOK, answerTo{to})
	}
	return v.redirect(to, "")
}

func savedNotice(saved mail.Profile, r diagnose.Report) string {
	switch {
	case saved.SavedAnyway():
		return "The mail server settings are saved, without a passed test."
	case r.Passed:
		return "The mail server settings are saved. The test mail to " + r.To + " was accepted."
	}
	return "The mail server settings are saved."
}

func (s *Site) testAndSave(v *visit, c mail.Change) (mail.Profile, diagnose.Report, error) {
	saved, err := v.mail().Save(v.ctx(), v.by, c)
	if !untested(err) || v.isScript() {
		return saved, diagnose.Report{}, err
	}
	report, err := v.mail().doctor.Run(v.ctx(), v.by, c, v.text("test_to"), nil)
	if err != nil {
		return saved, report, err
	}
	if !report.Passed {
		return saved, report, fault.Invalid(fieldAnyway, "The test failed, so nothing was saved. Its steps say why.")
	}
	c.TestToken = report.TestToken
	saved, err = v.mail().Save(v.ctx(), v.by, c)
	return saved, report, err
}

// fieldAnyway is what stands against settings that passed no test.
const fieldAnyway = "anyway"

// untested reports whether err is the want of a passed test.
func untested(err error) bool {
	return slices.ContainsFunc(fault.Fields(err), func(f fault.FieldError) bool { return f.Field == fieldAnyway })
}

// mailRefused shows the form with what was typed, what is wrong with it, and
// the test where one was made.
func (s *Site) mailRefused(v *visit, report diagnose.Report, err error) error {
	p, pageErr := s.typedMailPage(v)
	if pageErr != nil {
		return pageErr
	}
	if len(report.Steps) > 0 {
		if p.Test, pageErr = checkup.Test(report, v.text("test_to"), s.Version, s.Now(), listenerTo(v)); pageErr != nil {
			return pageErr
		}
	}
	refuse(p, err)
	return v.again(p, err)
}

// refuse prepares the form for what is wrong with it.
func refuse(p *page.MailSettings, err error) {
	p.Form.OfferAnyway = untested(err)
	for _, f := range fault.Fields(err) {
		switch f.Field {
		case "password":
			p.Form.PasswordAction = string(mail.Replace)
		case "client_secret":
			p.Form.OAuth.SecretAction = string(mail.Replace)
		case "client_key":
			p.Form.OAuth.KeyAction = string(mail.Replace)
		case fieldOwnPassword:
			p.Form.AskOwnPassword = true
		case "access_url":
			p.Form.AskOwnPassword = false
		case fieldSecretEnds:
			p.Form.OAuth.EndsBefore = "" // asked once
		}
	}
}

// fieldOwnPassword is the password of who sends mail another way.
const fieldOwnPassword = "own_password"

// proveForMail takes the proof of who asks where one was typed, and wants one
// for a new Access URL before anything is saved. It returns that address.
func (s *Site) proveForMail(v *visit) (string, error) {
	address, err := letter.CheckAccessURL(v.text("access_url"))
	if err != nil {
		return "", err
	}
	if err := s.takeOwnPassword(v); err != nil {
		return "", err
	}
	if address != v.site.AccessURL && identity.RequireProof(v.by, s.Now()) != nil {
		return "", fault.Invalid(fieldOwnPassword, "Type your own password: a new Access URL changes every link in a mail.")
	}
	return address, nil
}

// takeOwnPassword takes the proof of who asks, where the form has one.
func (s *Site) takeOwnPassword(v *visit) error {
	own := v.secret(fieldOwnPassword)
	if own.IsZero() {
		return nil
	}
	err := s.Users.Reauthenticate(v.ctx(), v.by, own)
	if len(fault.Fields(err)) > 0 {
		return fault.Invalid(fieldOwnPassword, fault.Sentence(err))
	}
	if err == nil {
		v.by.Proved = s.Now()
	}
	return err
}

func (s *Site) saveAccessURL(v *visit) error {
	site := v.site
	if site.AccessURL == strings.TrimSpace(v.text("access_url")) {
		return nil
	}
	site.AccessURL = v.text("access_url")
	return s.Users.SaveSite(v.ctx(), v.by, site)
}
