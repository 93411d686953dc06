package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/web/page"
)

// The values of the field "provider" for servers that are not Microsoft's.
const (
	providerGoogle  = "google"
	providerService = "google_service"
	providerGeneric = "generic"
)

// fieldSecretEnds is the day on which what proves the client ends.
const fieldSecretEnds = "secret_ends"

// maxKey bounds a file with a private key, in bytes.
const maxKey = 64 << 10

// usualOAuth is the part of the form that nobody has touched.
func usualOAuth() page.MailOAuth {
	return page.MailOAuth{
		Provider: providerGoogle, Cloud: "global", Grant: string(oauth.Consent), ClientAuth: string(oauth.BySecret), Via: string(mail.ViaSMTP),
		RedirectPath: mail.RedirectOwn,
	}
}

// storedOAuth is the part as the stored settings fill it.
func storedOAuth(p mail.Profile) page.MailOAuth {
	f := usualOAuth()
	if p.Auth != mail.AuthOAuth {
		return f
	}
	o := p.OAuth
	f.Cloud, f.Tenant, f.ClientID, f.Mailbox = o.Cloud, o.Tenant, o.ClientID, o.Mailbox
	f.AuthorizeURL, f.TokenURL, f.Scopes, f.GraphURL = o.AuthorizeURL, o.TokenURL, o.Scopes, o.GraphURL
	switch {
	case o.Grant == oauth.ServiceAccount:
		f.Provider = providerService
	case o.Provider == oauth.Google:
		f.Provider = providerGoogle
	case o.Provider == oauth.Generic:
		f.Provider = providerGeneric
	}
	if o.Grant != oauth.ServiceAccount {
		f.Grant = string(o.Grant)
		f.ClientAuth = string(o.ClientAuth)
	}
	if o.RedirectPath != "" {
		f.RedirectPath = o.RedirectPath
	}
	if o.Via != "" {
		f.Via = string(o.Via)
	}
	if !o.SecretEnds.IsZero() {
		f.SecretEnds = o.SecretEnds.UTC().Format(time.DateOnly)
		f.EndsBefore = f.SecretEnds
	}
	return f
}

// unfinishedForm is the form as it was typed for a sign-in that came to nothing;
// a secret has to be typed again.
func unfinishedForm(c mail.Change, stored mail.Profile) page.MailForm {
	f := storedForm(mail.Profile{
		Kind: c.Kind, Host: c.Host, Port: c.Port, Security: c.Security, SenderAddress: c.SenderAddress, SenderName: c.SenderName, ReplyTo: c.ReplyTo,
		Auth: c.Auth, Mechanism: c.Mechanism, LocalName: c.LocalName, Timeouts: c.Timeouts, OAuth: c.OAuth, Pace: c.Pace,
	}, true)
	f.Revision, f.Tested, f.OAuth.EndsBefore = stored.Revision, false, ""
	if c.Client.Action == mail.Replace {
		f.OAuth.SecretLost, f.OAuth.KeyLost = true, true
		f.OAuth.SecretAction, f.OAuth.KeyAction = string(mail.Replace), string(mail.Replace)
	}
	return f
}

// typedOAuth is the part as it was sent, without what no page shows again.
func typedOAuth(v *visit) page.MailOAuth {
	f := page.MailOAuth{
		Provider: v.text("provider"), Cloud: v.text("cloud"), Grant: v.text("grant"), ClientAuth: v.text("client_auth"), Via: v.text("via"),
		Tenant: v.text("tenant"), ClientID: v.text("client_id"), Mailbox: v.text("mailbox"), SecretEnds: v.text(fieldSecretEnds), EndsBefore: v.text("secret_ends_before"),
		SecretAction: v.text("client_secret_action"), KeyAction: v.text("client_key_action"), RedirectPath: v.text("redirect_path"),
		AuthorizeURL: v.text("authorize_url"), TokenURL: v.text("token_url"), Scopes: v.text("scopes"), GraphURL: v.text("graph_url"),
	}
	f.SecretLost = f.SecretAction == string(mail.Replace) && v.values.Get("client_secret") != ""
	f.KeyLost = f.KeyAction == string(mail.Replace) && (v.values.Get("client_key") != "" || v.hasFile("client_key_file"))
	usual := usualOAuth()
	for _, c := range []struct{ field, usual *string }{
		{&f.Provider, &usual.Provider},
		{&f.Cloud, &usual.Cloud},
		{&f.Grant, &usual.Grant},
		{&f.ClientAuth, &usual.ClientAuth},
		{&f.Via, &usual.Via},
		{&f.RedirectPath, &usual.RedirectPath},
	} {
		if *c.field == "" {
			*c.field = *c.usual
		}
	}
	return f
}

// withEndpoints adds what the clouds and providers have to the part.
func withEndpoints(f *page.MailForm) {
	o := &f.OAuth
	o.OwnPath, o.PMPPath = mail.RedirectOwn, mail.RedirectPMP
	for _, c := range oauth.Clouds() {
		o.Clouds = append(o.Clouds, page.CloudChoice{
			Key: c.Key, Name: c.Name, Host: c.SMTPHost, Note: c.Note, Unsure: c.Unsure, AuthorizeURL: c.AuthorizeURL, TokenURL: c.TokenURL,
			GraphURL: c.GraphURL, Scopes: c.Scopes, AppScopes: c.AppScopes, GraphScopes: c.GraphScopes, GraphAppScopes: c.GraphAppScopes,
		})
	}
	s := oauth.Settings{Provider: oauth.Microsoft, Cloud: o.Cloud, Grant: oauth.Grant(o.Grant), Tenant: o.Tenant}
	if f.Kind != string(mail.KindMicrosoft) {
		s = settingsOf(o.Provider, oauth.Grant(o.Grant), "")
	}
	s = s.Complete(f.Kind == string(mail.KindMicrosoft) && o.Via == string(mail.ViaGraph))
	o.Usual = endpoints(s)
	o.Google = endpoints(settingsOf(providerGoogle, "", "").Complete(false))
	if c, ok := oauth.CloudOf(o.Cloud); ok {
		o.Usual.GraphURL = c.GraphURL
	}
	withPace(f)
}

func endpoints(s oauth.Settings) page.Endpoints {
	return page.Endpoints{AuthorizeURL: s.AuthorizeURL, TokenURL: s.TokenURL, Scopes: s.Scopes}
}

// withPace adds the pace that holds where none is typed.
func withPace(f *page.MailForm) {
	p := mail.Profile{Kind: mail.Kind(f.Kind), Host: f.Host}
	if f.Kind == string(mail.KindSMTP) && f.SignIn && f.Auth == string(mail.AuthOAuth) {
		p.Auth, p.OAuth.Settings = mail.AuthOAuth, settingsOf(f.OAuth.Provider, "", "")
	}
	word := func(n int) string {
		if n == 0 {
			return "no limit"
		}
		return strconv.Itoa(n)
	}
	l := p.Limits()
	f.UsualConnections, f.UsualPerMinute, f.UsualPerDay = word(l.Connections), word(l.PerMinute), word(l.PerDay)
}

// settingsOf says what a value of the field "provider" means.
func settingsOf(provider string, grant oauth.Grant, by oauth.ClientAuth) oauth.Settings {
	switch provider {
	case providerGoogle:
		return oauth.Settings{Provider: oauth.Google, Grant: oauth.Consent, ClientAuth: oauth.BySecret}
	case providerService:
		return oauth.Settings{Provider: oauth.Google, Grant: oauth.ServiceAccount}
	case providerGeneric:
		return oauth.Settings{Provider: oauth.Generic, Grant: grant, ClientAuth: by}
	}
	return oauth.Settings{Provider: oauth.Provider(provider)}
}

// oauthChange reads the part into what the settings are to be.
func oauthChange(v *visit, c *mail.Change) error {
	if c.Kind == mail.KindMicrosoft {
		c.Auth, c.Security = mail.AuthOAuth, smtp.STARTTLS
		c.OAuth.Settings = oauth.Settings{
			Provider: oauth.Microsoft, Cloud: v.text("cloud"), Grant: oauth.Grant(v.text("grant")), Tenant: v.text("tenant"),
			ClientAuth: oauth.ClientAuth(v.text("client_auth")),
		}
		c.OAuth.Via, c.OAuth.GraphURL = mail.Via(v.text("via")), v.text("graph_url")
	} else {
		c.OAuth.Settings = settingsOf(v.text("provider"), oauth.Grant(v.text("grant")), oauth.ClientAuth(v.text("client_auth")))
	}
	o := &c.OAuth
	if o.Grant != oauth.ServiceAccount {
		o.ClientID = v.text("client_id")
	}
	o.Mailbox, o.AuthorizeURL, o.TokenURL, o.Scopes = v.text("mailbox"), v.text("authorize_url"), v.text("token_url"), v.text("scopes")
	o.RedirectPath = v.text("redirect_path")
	if ends := v.text(fieldSecretEnds); ends != "" && o.Provider != oauth.Google {
		at, err := time.Parse(time.DateOnly, ends)
		if err != nil {
			return fault.Invalid(fieldSecretEnds, "Type the day as year, month and day: 2028-11-30.")
		}
		o.SecretEnds = at
	}
	var err error
	c.Client, err = typedClient(v, *o)
	if err == nil && o.ClientAuth == oauth.BySecret && c.Client.Action == mail.Replace && !o.SecretEnds.IsZero() && v.text(fieldSecretEnds) == v.text("secret_ends_before") {
		// Our script takes the old day out of the form; without it, it stays.
		return fault.Invalid(fieldSecretEnds, "The old secret ends on this day. Type the day on which the new one ends, or this one once more if it is the same.")
	}
	return err
}

// pasted is a text of several lines as its file has it: forms send other ends of
// lines.
func pasted(text secret.Value) secret.Value {
	return secret.New(strings.ReplaceAll(text.Reveal(), "\r\n", "\n"))
}

// typedClient reads what to do with what proves the client.
func typedClient(v *visit, o mail.OAuth) (mail.Password, error) {
	switch {
	case o.Grant == oauth.ServiceAccount || o.ClientAuth == oauth.ByCertificate:
		p := typedSecret(v, "client_key")
		p.Value = pasted(p.Value)
		if p.Action != mail.Replace || !p.Value.IsZero() {
			return p, nil
		}
		files, err := v.files("client_key_file", maxKey)
		if err != nil || len(files) == 0 {
			return p, err
		}
		if len(files) > 1 || len(files[0]) > maxKey {
			return p, fault.Invalid("client_key", "Choose the one file with the key; it has a few kilobytes.")
		}
		p.Value = secret.FromBytes(files[0])
		return p, nil
	case o.ClientAuth == oauth.BySecret:
		p := typedSecret(v, "client_secret")
		// A secret that was copied often comes with the end of its line.
		p.Value = secret.New(strings.TrimSpace(p.Value.Reveal()))
		return p, nil
	}
	return mail.Password{}, nil
}

// hasFile reports whether a file came with the form.
func (v *visit) hasFile(name string) bool {
	return v.r.MultipartForm != nil && len(v.r.MultipartForm.File[name]) > 0
}

// withStoredClient adds to the form what is known of the stored client.
func withStoredClient(f *page.MailForm, h mail.Health) {
	p := h.Profile
	o := &f.OAuth
	if !h.Set || p.Auth != mail.AuthOAuth {
		return
	}
	stored := storedForm(p, true)
	if p.OAuth.Grant == oauth.ServiceAccount || p.OAuth.ClientAuth == oauth.ByCertificate {
		o.KeySetAt = p.OAuth.SecretSetAt
	} else if p.OAuth.ClientAuth == oauth.BySecret {
		o.SecretSetAt = p.OAuth.SecretSetAt
	}
	o.Bound = strings.Join([]string{
		stored.Kind, stored.Host, stored.Port, stored.Security, stored.Mechanism, stored.OAuth.Provider, stored.OAuth.Grant, stored.OAuth.ClientAuth,
		stored.OAuth.Via, stored.OAuth.Cloud, stored.OAuth.Tenant, stored.OAuth.ClientID, stored.OAuth.AuthorizeURL, stored.OAuth.TokenURL,
		stored.OAuth.Scopes, stored.OAuth.GraphURL,
	}, "\n")
	o.SignedIn = h.SignedIn && p.Remedy != verdict.RemedySignIn && f.Kind == stored.Kind && o.Grant == stored.OAuth.Grant && o.Provider == stored.OAuth.Provider
}

// movable tells that the form signs in to Exchange Online with a password. The
// service for mass mail keeps passwords for longer, and personal mailboxes are
// in nobody's directory.
func movable(f page.MailForm) bool {
	host := strings.ToLower(f.Host)
	exchange := strings.HasSuffix(host, ".office365.com") || strings.HasSuffix(host, ".office365.us") || strings.HasSuffix(host, "partner.outlook.cn")
	return f.Kind == string(mail.KindSMTP) && f.SignIn && f.Auth != string(mail.AuthOAuth) && exchange && !strings.HasPrefix(host, "smtp-hve.")
}

// presetMove turns a form for a password into one for OAuth 2.0.
const presetMove = "move"

func move(f *page.MailForm) {
	f.Kind, f.Port, f.Security = string(mail.KindMicrosoft), "587", string(smtp.STARTTLS)
	if f.SenderAddress == "" && strings.Contains(f.Username, "@") {
		f.SenderAddress = f.Username
	}
}

// limits reads how fast letters are to leave; what is no number is out of
// every range.
func limits(v *visit) pace.Limits {
	number := func(name string) int {
		text := v.text(name)
		if text == "" {
			return 0
		}
		n, err := strconv.Atoi(text)
		if err != nil || n == 0 {
			return -1
		}
		return n
	}
	return pace.Limits{Connections: number("pace_connections"), PerMinute: number("pace_per_minute"), PerDay: number("pace_per_day")}
}

// withLimits writes them into the form.
func withLimits(f *page.MailForm, l pace.Limits) {
	word := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	f.PaceConnections, f.PacePerMinute, f.PacePerDay = word(l.Connections), word(l.PerMinute), word(l.PerDay)
}

// browserOf says where the person is: our script tells, and without it the
// request does.
func browserOf(v *visit) mail.Browser {
	origin := browserAddress(v.r)
	if v.r.Method == http.MethodPost && v.text("origin") != "" {
		origin = v.text("origin")
	}
	return mail.Browser{SessionID: v.session.ID, Origin: origin}
}
