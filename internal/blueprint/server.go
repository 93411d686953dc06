package blueprint

import (
	"context"
	"fmt"
	"strings"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
)

// side is one of the two mail servers while it is compared.
type side struct {
	// at is its key in the file, what its name for people.
	at, what string
	mail     *mail.Service
	spec     *Mail
}

// key is where something of the server stands in the file.
func (s side) key(name string) string { return s.at + "." + name }

// server compares the mail servers, and which of them letters leave through.
func (m *maker) server(ctx context.Context) error {
	spec := m.spec.Mail
	if spec == nil || !spec.describesServer() {
		return nil
	}
	if err := m.oneServer(ctx, side{at: mailKey, what: "mail server", mail: m.Mail, spec: spec}); err != nil {
		return err
	}
	if spec.Second != nil {
		if err := m.oneServer(ctx, side{at: secondKey, what: "second mail server", mail: m.Second, spec: spec.Second}); err != nil {
			return err
		}
	}
	return m.routes(ctx, spec)
}

// routes compares which server letters leave through.
func (m *maker) routes(ctx context.Context, spec *Mail) error {
	if spec.Fallback == "" && spec.Routes == nil {
		return nil
	}
	have, err := m.Servers.Settings(ctx, m.by)
	if err != nil {
		return err
	}
	want := have
	if spec.Fallback != "" {
		want.After, _ = servers.RuleOf(spec.Fallback)
	}
	if spec.Routes != nil {
		want.Routes = spec.Routes
	}
	place := under(mailKey)
	if want, err = servers.Clean(want); err != nil {
		return m.wrong(err, place)
	}
	_, set, err := m.Second.Active(ctx)
	if err != nil {
		return err
	}
	set = set || spec.Second != nil
	m.check.That(set || len(want.Routes) == 0, place("routes"), "Describe the second mail server as well: there is none.")
	m.check.That(set || want.After < 0, place("fallback"), "Describe the second mail server as well: there is none.")
	details := servers.Differences(have, want)
	if len(details) == 0 {
		return nil
	}
	var lines []string
	for _, d := range details {
		if d.Value != "" {
			lines = append(lines, d.Name+": "+d.Value)
			continue
		}
		lines = append(lines, change(d.Name, d.Before, d.After)...)
	}
	m.step(verbChange, "which mail server letters leave through", lines, func(ctx context.Context) ([]string, error) {
		_, err := m.Servers.Save(ctx, m.by, want)
		return nil, err
	})
	return nil
}

// oneServer compares a mail server. Its part of the file is taken as a whole:
// what it leaves out has its default, but for certificates and timeouts, which
// stay.
func (m *maker) oneServer(ctx context.Context, on side) error {
	spec := on.spec
	have, set, err := on.mail.Active(ctx)
	if err != nil {
		return err
	}
	c := spec.change(have)
	trusted := m.certificates(on, &c)
	gone, err := m.distrust(ctx, on, &c)
	if err != nil {
		return err
	}
	account, ok, err := m.signIn(ctx, on, have, &c)
	if err != nil || !ok || !trusted {
		return err
	}
	details, err := on.mail.Differences(ctx, m.by, c)
	if err != nil {
		return m.wrong(err, func(field string) string { return on.at + strings.TrimPrefix(mailPlace(field), mailKey) })
	}
	if len(details) == 0 {
		return nil
	}
	lines, replaced := m.serverLines(ctx, on, details)
	lines = append(lines, gone...)
	if !replaced {
		// What is stored is the same password. Keeping it keeps what is known
		// of tests with it.
		c.Password, c.Client = mail.Password{}, mail.Password{}
	}
	verb := verbChange
	if !set {
		verb = verbCreate
	}
	m.step(verb, on.what, lines, func(ctx context.Context) ([]string, error) {
		if account != "" {
			c.AccountID = m.plan.accounts[account]
		}
		saved, err := on.mail.Save(ctx, m.by, c)
		if err != nil {
			return nil, err
		}
		return m.afterwards(ctx, on, saved)
	})
	return nil
}

// afterwards tells what is left to do for a mail server that was saved.
func (m *maker) afterwards(ctx context.Context, on side, saved mail.Profile) ([]string, error) {
	if saved.WantsSignIn() {
		h, err := on.mail.Health(ctx, m.by)
		switch {
		case err != nil:
			return nil, err
		case saved.State == mail.Paused:
			return []string{"mail is paused until somebody signs in at the provider: press Sign in again on the settings page, " + on.mail.Slot().SettingsPath()}, nil
		case !h.SignedIn:
			return []string{"mail is stopped, and somebody has to sign in at the provider before it is resumed: on the settings page, " + on.mail.Slot().SettingsPath()}, nil
		}
	}
	if saved.SavedAnyway() {
		return []string{"saved without a test: run sealpost mail test" + serverFlag(on) + ", or test it on the settings page"}, nil
	}
	return nil, nil
}

// serverFlag names the server to the command line.
func serverFlag(on side) string {
	if on.mail.Slot() == mail.Second {
		return " --server second"
	}
	return ""
}

// change returns the profile that the file describes, but for what has to be
// looked up.
func (s *Mail) change(have mail.Profile) mail.Change {
	c := mail.Change{
		Revision: have.Revision, Kind: mail.KindSMTP, Host: s.Host, Port: s.Port,
		SenderAddress: s.Sender.Address, SenderName: s.Sender.Name, ReplyTo: s.ReplyTo,
		Auth: mail.AuthNone, Mechanism: s.Mechanism, LocalName: s.EHLOName, Timeouts: have.Timeouts,
		ConfirmClear: s.SendInClear, Anyway: true, RequireTLS: s.RequireTLS,
		Pace: pace.Limits{Connections: s.Pace.Connections, PerMinute: s.Pace.PerMinute, PerDay: s.Pace.PerDay},
	}
	if s.Server == "capture" {
		c.Kind = mail.KindCapture
		return c
	}
	if t := s.Timeouts; t != nil {
		c.Timeouts = smtp.Timeouts{Connect: t.Connect, Greeting: t.Greeting, Command: t.Command, Final: t.Final}
	}
	if s.Server == "microsoft" {
		c.Kind, c.Security = mail.KindMicrosoft, smtp.STARTTLS
		return c // the rest is filled in where it is left out
	}
	usual := map[smtp.Security]int{smtp.None: 25, smtp.STARTTLS: 587, smtp.Implicit: 465}
	switch s.Security {
	case "none":
		c.Security = smtp.None
	case "ssl":
		c.Security = smtp.Implicit
	default:
		c.Security = smtp.STARTTLS
	}
	if c.Port == 0 {
		c.Port = usual[c.Security]
	}
	return c
}

// certificates fills in what to trust. ok is false where something is wrong
// with the file.
func (m *maker) certificates(on side, c *mail.Change) (ok bool) {
	ok = true
	for _, list := range []struct {
		key  string
		refs []Ref
		mode trust.Mode
	}{
		{on.key("trusted_certificates"), on.spec.TrustedCertificates, trust.ModeAnchor},
		{on.key("pinned_certificates"), on.spec.PinnedCertificates, trust.ModePin},
	} {
		for i, r := range list.refs {
			at := fmt.Sprintf("%s[%d]", list.key, i)
			if _, there := m.secret(at, r); !there {
				ok = false
				continue
			}
			_, err := trust.Parse(m.secrets[r])
			if !m.check.That(err == nil, at, fault.Sentence(err)) {
				ok = false
				continue
			}
			c.Trust = append(c.Trust, mail.Candidate{DER: m.secrets[r], Mode: list.mode})
		}
	}
	return ok
}

// distrust fills in which trusted certificates the file leaves out of a list
// that it has, and returns them in words.
func (m *maker) distrust(ctx context.Context, on side, c *mail.Change) (lines []string, err error) {
	listed := map[trust.Mode]bool{trust.ModeAnchor: on.spec.TrustedCertificates != nil, trust.ModePin: on.spec.PinnedCertificates != nil}
	stays := map[string]bool{}
	for _, t := range c.Trust {
		certs, err := trust.Parse(t.DER)
		if err != nil {
			continue // told already
		}
		for _, cert := range certs {
			stays[trust.Fingerprint(cert.Raw)] = true
		}
	}
	have, err := on.mail.TrustList(ctx, m.by)
	if err != nil {
		return nil, err
	}
	for _, t := range have {
		if listed[t.Mode] && !stays[t.Hex] {
			c.Distrust = append(c.Distrust, t.Hex)
			lines = append(lines, fmt.Sprintf("trusted no more: %s (%s)", t.Subject, t.Hex[:16]))
		}
	}
	return lines, nil
}

// signIn fills in how the server is signed in to. It returns the key of an
// account where one is used; ok is as in certificates.
func (m *maker) signIn(ctx context.Context, on side, have mail.Profile, c *mail.Change) (account string, ok bool, err error) {
	a := on.spec.Authentication
	switch {
	case a == nil:
		return "", true, nil
	case a.Account != nil:
		c.Auth = mail.AuthAccount
		account, err = m.findAccount(ctx, on, *a.Account)
		c.AccountID = m.plan.accounts[account]
		return account, account != "", err
	case a.OAuth != nil:
		return "", m.byToken(on, a.OAuth, have, c), nil
	}
	password, ok := m.secret(on.key("authentication.password"), a.Password)
	c.Auth, c.Username = mail.AuthTyped, a.User
	c.Password = mail.Password{Action: mail.Replace, Value: password}
	return "", ok, nil
}

// findAccount returns the key of the account that a reference names, "" where
// there is none.
func (m *maker) findAccount(ctx context.Context, on side, ref AccountRef) (string, error) {
	at := on.key("authentication.account")
	var owners []string
	for _, r := range m.spec.Resources {
		if store.Fold(r.Name) == store.Fold(ref.Resource) {
			owners = append(owners, r.Owner)
		}
	}
	owner := ref.Owner
	if owner == "" {
		if !m.check.That(len(owners) == 1, at, "Add the owner: the login of who owns the resource.") {
			return "", nil
		}
		owner = owners[0]
	}
	resource := resourceKey(owner, ref.Resource)
	key := accountKey(resource, ref.Account)
	if m.plan.accounts[key] != "" {
		m.needsThings = m.needsThings || m.plan.accounts[key] == planned
		return key, nil
	}
	r, err := m.Vault.FindResource(ctx, m.by, loginKey(owner), ref.Resource)
	var a vault.Account
	if err == nil {
		a, err = m.Vault.FindAccount(ctx, m.by, r.ID, ref.Account)
	}
	if fault.Is(err, fault.KindNotFound) {
		m.check.That(false, at, "There is no such account, and the file makes none.")
		return "", nil
	}
	m.plan.accounts[key] = a.ID
	return key, err
}

// serverLines tells the differences in words, and whether the password is one
// of them.
func (m *maker) serverLines(ctx context.Context, on side, details []audit.Detail) (lines []string, replaced bool) {
	for _, d := range details {
		switch {
		case d.Name == "password":
			replaced = true
			lines = append(lines, "password: set from "+string(on.spec.Authentication.Password))
		case d.Name == "client secret" || d.Name == "client certificate" || d.Name == "service account key":
			replaced = true
			ref, _ := on.spec.Authentication.OAuth.proof()
			lines = append(lines, d.Name+": set from "+string(ref))
		case d.Value != "":
			lines = append(lines, d.Name+": "+d.Value)
		case d.Name == "account":
			lines = append(lines, change(d.Name, m.accountName(ctx, on, d.Before), m.accountName(ctx, on, d.After))...)
		default:
			lines = append(lines, change(d.Name, asInFile(d.Name, d.Before), asInFile(d.Name, d.After))...)
		}
	}
	return lines, replaced
}

// asInFile returns a value in the word that the file has for it.
func asInFile(name, value string) string {
	if word, ok := fileWords[name+" "+value]; ok {
		return word
	}
	return value
}

var fileWords = map[string]string{
	"mail server " + string(mail.KindSMTP):       "other",
	"secure connection " + string(smtp.STARTTLS): "tls",
	"secure connection " + string(smtp.Implicit): "ssl",
	"sign-in " + string(mail.AuthTyped):          "user name and password",
	"sign-in " + string(mail.AuthAccount):        "a stored account",
	"sign-in " + string(mail.AuthOAuth):          "a token",
	"token grant " + string(oauth.Consent):       "mailbox",
	"redirect path " + mail.RedirectOwn:          "sealpost",
	"redirect path " + mail.RedirectPMP:          "pmp",
}

// accountName is how a person knows an account.
func (m *maker) accountName(ctx context.Context, on side, id string) string {
	ref := on.spec.Authentication
	switch {
	case id == "":
		return ""
	case id == planned && ref != nil && ref.Account != nil:
		return ref.Account.Resource + " / " + ref.Account.Account
	}
	a, err := m.Vault.Account(ctx, m.by, id)
	if err != nil {
		return "one that is gone"
	}
	return a.ResourceName + " / " + a.Name
}

// mailPlace returns where in the file a field of the mail server stands.
func mailPlace(field string) string {
	if place := oauthPlace(field); place != "" {
		return place
	}
	switch field {
	case "pace_connections":
		return "mail.pace.connections"
	case "pace_per_minute":
		return "mail.pace.letters_a_minute"
	case "pace_per_day":
		return "mail.pace.recipients_a_day"
	case "sender_address":
		return "mail.sender.address"
	case "sender_name":
		return "mail.sender.name"
	case "username":
		return "mail.authentication.user"
	case "password", "account":
		return "mail.authentication." + field
	case "auth":
		return "mail.authentication"
	case "local_name":
		return "mail.ehlo_name"
	case "timeout_connect", "timeout_greeting", "timeout_command", "timeout_final":
		return "mail.timeouts." + strings.TrimPrefix(field, "timeout_")
	case "confirm_clear":
		return "mail.send_in_clear"
	case "certificate":
		return "mail.trusted_certificates"
	}
	return "mail." + field
}
