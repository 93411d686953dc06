package blueprint

import (
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
)

const oauthKey = "mail.authentication.oauth"

func (o *OAuth) check(c *fault.Check, microsoft bool) {
	oneOf := func(value, key, sentence string, words ...string) {
		ok := value == ""
		for _, w := range words {
			ok = ok || value == w
		}
		c.That(ok, oauthKey+"."+key, sentence)
	}
	if microsoft {
		c.That(o.Provider == "", oauthKey+".provider", "Exchange Online has one provider. Leave it out.")
		oneOf(o.SignIn, "sign_in", `Write "mailbox" or "application".`, "mailbox", "application")
	} else {
		c.That(o.Provider == "google" || o.Provider == "generic", oauthKey+".provider", `Write "google" or "generic".`)
		oneOf(o.SignIn, "sign_in", `Write "mailbox", "application" or "service_account".`, "mailbox", "application", "service_account")
		c.That(o.Cloud == "" && o.Tenant == "" && o.GraphURL == "" && o.Via == "", oauthKey, "cloud, tenant, via and graph_url belong to Exchange Online alone: server: microsoft.")
	}
	oneOf(o.Via, "via", `Write "smtp" or "graph".`, "smtp", "graph")
	oneOf(o.Redirect, "redirect", `Write "sealpost" or "pmp".`, "sealpost", "pmp")
	proofs := 0
	for _, r := range []Ref{o.ClientSecret, o.Certificate, o.Key} {
		if r != "" {
			proofs++
		}
	}
	c.That(proofs <= 1, oauthKey, "Give one of client_secret, certificate and key.")
	c.That((o.Key != "") == (o.SignIn == "service_account"), oauthKey+".key", "A service account signs in with the key file that Google made, and nobody else does.")
	_, err := time.Parse(time.DateOnly, o.SecretEnds)
	c.That(o.SecretEnds == "" || err == nil && o.ClientSecret != "", oauthKey+".secret_ends", "Write the day on which the client secret ends as 2028-11-30.")
}

// settings returns what the file says of tokens.
func (o *OAuth) settings(microsoft bool) mail.OAuth {
	out := mail.OAuth{
		Settings: oauth.Settings{
			Provider: oauth.Provider(o.Provider), Cloud: o.Cloud, Grant: oauth.Consent, Tenant: o.Tenant, ClientID: o.ClientID, ClientAuth: oauth.BySecret,
			AuthorizeURL: o.AuthorizeURL, TokenURL: o.TokenURL, Scopes: strings.Join(o.Scopes, " "), Mailbox: o.Mailbox,
		},
		Via: mail.ViaSMTP, GraphURL: o.GraphURL,
	}
	if microsoft {
		out.Provider = oauth.Microsoft
	}
	switch o.SignIn {
	case "application":
		out.Grant = oauth.Application
	case "service_account":
		out.Grant, out.ClientAuth = oauth.ServiceAccount, ""
	}
	switch {
	case o.Certificate != "":
		out.ClientAuth = oauth.ByCertificate
	case out.Grant == oauth.Consent && out.Provider == oauth.Generic && o.ClientSecret == "":
		out.ClientAuth = oauth.ByNothing
	}
	if o.Via == "graph" {
		out.Via = mail.ViaGraph
	}
	if out.Grant == oauth.Consent {
		out.RedirectPath = mail.RedirectOwn
		if o.Redirect == "pmp" {
			out.RedirectPath = mail.RedirectPMP
		}
	}
	// It was checked when the file was read.
	out.SecretEnds, _ = time.Parse(time.DateOnly, o.SecretEnds)
	return out
}

// proof returns what proves the client, with the key that it stands under.
func (o *OAuth) proof() (Ref, string) {
	switch {
	case o.Certificate != "":
		return o.Certificate, "certificate"
	case o.Key != "":
		return o.Key, "key"
	}
	return o.ClientSecret, "client_secret"
}

// byToken fills in how tokens are got. ok is false where something is wrong
// with the file.
func (m *maker) byToken(on side, o *OAuth, have mail.Profile, c *mail.Change) (ok bool) {
	ref, key := o.proof()
	proof, ok := m.secret(on.key("authentication.oauth."+key), ref)
	c.Auth, c.OAuth = mail.AuthOAuth, o.settings(c.Kind == mail.KindMicrosoft)
	if c.OAuth.Mailbox == "" && sameSignIn(have, *c) {
		// An administrator may have accepted on the page that another mailbox
		// signs in, as it is with a shared one. Taken back, its tokens would go.
		c.OAuth.Mailbox = have.OAuth.Mailbox
	}
	// Nobody can sign in at the provider here.
	c.SignInLater = true
	if ref != "" {
		c.Client = mail.Password{Action: mail.Replace, Value: proof}
	}
	return ok
}

// sameSignIn tells that a mailbox signs in for the same sender, at the same
// directory and for the same client as before.
func sameSignIn(have mail.Profile, c mail.Change) bool {
	a, b := have.OAuth, c.OAuth
	return have.WantsSignIn() && b.Grant == oauth.Consent && strings.EqualFold(have.SenderAddress, c.SenderAddress) &&
		a.Provider == b.Provider && strings.EqualFold(a.Tenant, b.Tenant) && a.ClientID == b.ClientID
}

// oauthPlace returns where in the file a field of the tokens stands, and ""
// for other fields.
func oauthPlace(field string) string {
	switch field {
	case "tenant", "cloud", "client_id", "client_secret", "secret_ends", "mailbox", "via", "authorize_url", "token_url", "scopes", "graph_url", "provider":
		return oauthKey + "." + field
	case "client_key":
		return oauthKey // a certificate or a service account's key
	case "grant":
		return oauthKey + ".sign_in"
	case "redirect_path":
		return oauthKey + ".redirect"
	case "client_auth", "oauth":
		return oauthKey
	}
	return ""
}
