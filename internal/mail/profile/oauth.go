package profile

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
)

// Via is how letters travel.
type Via string

// The ways.
const (
	// ViaSMTP: over SMTP, like everywhere.
	ViaSMTP Via = "smtp"
	// ViaGraph: through Microsoft Graph, where SMTP with a sign-in is
	// forbidden.
	ViaGraph Via = "graph"
)

// The paths to which an authority sends a person back.
const (
	RedirectOwn = "/oauth/mail/callback"
	// RedirectPMP is that of Password Manager Pro: an app that was registered
	// for it keeps working.
	RedirectPMP = "/pmpredirect/AzureOAuth"
)

// OAuth is how a profile gets its tokens, as it was typed. What is empty takes
// what the provider has: see [Profile.Authority].
type OAuth struct {
	oauth.Settings
	// RedirectPath is RedirectOwn or RedirectPMP; for Consent alone.
	RedirectPath string
	Via          Via
	// GraphURL is the root of Microsoft Graph; empty takes the cloud's.
	GraphURL string
	// SecretEnds is when the client secret or certificate ends, zero where
	// nobody knows; SecretSetAt is when it was typed.
	SecretEnds, SecretSetAt time.Time
}

// usualCloud is the key of Microsoft's worldwide cloud.
const usualCloud = "global"

// Authority returns p.OAuth with everything filled in that is used. The mailbox
// is the sender unless one was typed.
func (p Profile) Authority() OAuth {
	o := p.OAuth
	o.Settings = o.Settings.Complete(o.Via == ViaGraph)
	if c, ok := oauth.CloudOf(o.Cloud); ok && o.Via == ViaGraph && o.GraphURL == "" {
		o.GraphURL = c.GraphURL
	}
	if o.Mailbox == "" {
		o.Mailbox = p.SenderAddress
	}
	return o
}

// Credential puts the client's secret where its settings want it.
func (o OAuth) Credential(v secret.Value) oauth.Credential {
	if o.Grant == oauth.ServiceAccount || o.ClientAuth == oauth.ByCertificate {
		return oauth.Credential{Key: v}
	}
	return oauth.Credential{Secret: v}
}

// HasCredential tells that the client proves itself by something.
func (o OAuth) HasCredential() bool {
	return o.Grant == oauth.ServiceAccount || o.ClientAuth != oauth.ByNothing
}

// SecretField is the field in which the client's secret is typed.
func (o OAuth) SecretField() string {
	if o.Grant == oauth.ServiceAccount || o.ClientAuth == oauth.ByCertificate {
		return "client_key"
	}
	return "client_secret"
}

// SecretName is what a person calls the client's secret.
func (o OAuth) SecretName() string {
	switch {
	case o.Grant == oauth.ServiceAccount:
		return "service account key"
	case o.ClientAuth == oauth.ByCertificate:
		return "client certificate"
	}
	return "client secret"
}

// TokenBind is what a profile's tokens are bound to. What proves the client is
// not among it, so that a secret is replaced without a new sign-in.
func TokenBind(p Profile, anchors []trust.Anchor) string {
	o := p.Authority()
	mailbox := p.OAuth.Mailbox
	if o.Grant == oauth.Consent {
		// Another sender signs in as somebody else, unless it is typed who.
		mailbox = o.Mailbox
	}
	return quoted(append([]string{"mail token 1", p.ID}, append(destination(p, anchors), strings.ToLower(mailbox))...))
}

// destination is everything that says where and how a token may be used.
func destination(p Profile, anchors []trust.Anchor) []string {
	o := p.Authority()
	return []string{
		string(o.Via), p.Host, strconv.Itoa(p.Port), string(p.Security), trust.SetDigest(anchors), p.Mechanism,
		string(o.Provider), string(o.Grant), strings.ToLower(o.Tenant), o.ClientID, o.AuthorizeURL, o.TokenURL, o.Scopes, o.GraphURL,
	}
}

// User is who signs in with a token that was given to who.
func (p Profile) User(who string) string {
	o := p.Authority()
	if o.Grant == oauth.Consent && who != "" {
		return who
	}
	return o.Mailbox
}

// oauth takes over how tokens are got.
func (c Change) oauth(p *Profile, was Profile, check *fault.Check, allowed oauth.Authorities) {
	o := c.OAuth
	for _, s := range []*string{&o.Tenant, &o.ClientID, &o.AuthorizeURL, &o.TokenURL, &o.GraphURL, &o.Mailbox} {
		*s = strings.TrimSpace(*s)
	}
	o.Scopes = strings.Join(strings.Fields(o.Scopes), " ")
	o.SecretSetAt = was.OAuth.SecretSetAt
	if c.Kind == KindMicrosoft {
		o.Provider = oauth.Microsoft
	} else {
		check.That(o.Provider == oauth.Google || o.Provider == oauth.Generic, "provider", "Choose who gives out the tokens.")
	}
	switch {
	case o.Provider != oauth.Microsoft:
		o.Cloud, o.Tenant = "", ""
	case o.Cloud == "":
		o.Cloud = usualCloud
	}
	switch {
	case o.Grant == oauth.ServiceAccount:
		o.ClientAuth = ""
	case o.ClientAuth == "":
		o.ClientAuth = oauth.BySecret
	}
	if o.Via == "" {
		o.Via = ViaSMTP
	}
	check.That(o.Via == ViaSMTP || o.Via == ViaGraph && o.Provider == oauth.Microsoft, "via", "Letters leave over SMTP, or through Microsoft Graph for Exchange Online.")
	if o.Via != ViaGraph {
		o.GraphURL = ""
	}
	o.GraphURL = strings.TrimRight(o.GraphURL, "/")
	if o.Grant == oauth.Consent {
		if o.RedirectPath == "" {
			o.RedirectPath = RedirectOwn
		}
		check.That(o.RedirectPath == RedirectOwn || o.RedirectPath == RedirectPMP, "redirect_path", "Choose one of the two redirect addresses.")
	} else {
		o.RedirectPath = ""
	}
	if !o.HasCredential() || o.ClientAuth == oauth.ByCertificate {
		o.SecretEnds = time.Time{} // a certificate tells its end itself
	}
	p.OAuth = o
	full := p.Authority()
	full.Settings.Check(check, allowed)
	if o.Via == ViaGraph {
		u, err := url.Parse(full.GraphURL)
		check.That(err == nil && full.GraphURL != "" && u.RawQuery == "" && allowed.Allows(u), "graph_url", "Tokens go to the addresses of Microsoft Graph alone, or to those that who runs Sealpost allowed.")
		p.toGraph(u)
	}
}

// toGraph makes the profile one whose server is Microsoft Graph.
func (p *Profile) toGraph(u *url.URL) {
	if u == nil {
		return
	}
	p.Host, p.Port, p.Security, p.Mechanism, p.LocalName, p.Timeouts = u.Hostname(), 443, smtp.Implicit, "", "", smtp.Timeouts{}
	if n, err := strconv.Atoi(u.Port()); err == nil {
		p.Port = n
	}
}

// microsoft fills in what Exchange Online leaves no choice about.
func (c Change) microsoft(check *fault.Check) Change {
	c.Auth, c.Security = AuthOAuth, smtp.STARTTLS
	if c.Port == 0 {
		c.Port = 587
	}
	key := c.OAuth.Cloud
	if key == "" {
		key = usualCloud
	}
	if cloud, ok := oauth.CloudOf(key); ok && strings.TrimSpace(c.Host) == "" {
		c.Host = cloud.SMTPHost
	}
	if c.OAuth.Via != ViaGraph {
		_, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(c.Host), "[]"))
		check.That(err != nil, "host", "Exchange Online has no fixed addresses. Type the server's name, usually smtp.office365.com.")
	}
	return c
}

// word is a field as the audit log names it.
type word struct{ name, value string }

// words lists the fields, always in the same order. None is a secret.
func (o OAuth) words() []word {
	ends := ""
	if !o.SecretEnds.IsZero() {
		ends = o.SecretEnds.UTC().Format(time.DateOnly)
	}
	return []word{
		{"token provider", string(o.Provider)},
		{"cloud", o.Cloud},
		{"token grant", string(o.Grant)},
		{"tenant ID", o.Tenant},
		{"client ID", o.ClientID},
		{"client proof", string(o.ClientAuth)},
		{"authorize URL", o.AuthorizeURL},
		{"token URL", o.TokenURL},
		{"scopes", o.Scopes},
		{"mailbox", o.Mailbox},
		{"redirect path", o.RedirectPath},
		{"letters leave via", string(o.Via)},
		{"Graph URL", o.GraphURL},
		{"client secret ends", ends},
	}
}
