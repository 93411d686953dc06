package page

import (
	"net"
	"net/url"
	"strings"
	"time"
)

// MailOAuth is the part of the mail settings that is about tokens.
type MailOAuth struct {
	// Provider is "google", "google_service" or "generic"; Exchange Online has
	// no choice.
	Provider string
	// Cloud is a key of Clouds.
	Cloud  string
	Clouds []CloudChoice
	// Grant is "consent" or "application", ClientAuth "secret", "certificate"
	// or "none", Via "smtp" or "graph".
	Grant, ClientAuth, Via string

	Tenant, ClientID, Mailbox string
	// SecretEnds is the day on which the secret ends, as a date field has it.
	SecretEnds string
	// EndsBefore is that of the stored secret, until somebody was asked about it.
	EndsBefore string
	// SecretSetAt is when the stored client secret was typed, KeySetAt the same
	// for a certificate or the key of a service account; zero without one.
	SecretSetAt, KeySetAt   time.Time
	SecretAction, KeyAction string
	// SecretLost and KeyLost tell that one was typed, which no page shows again.
	SecretLost, KeyLost bool
	// Bound is what the stored secret is bound to, for the script.
	Bound string

	// RedirectPath is the chosen one of OwnPath and PMPPath.
	RedirectPath, OwnPath, PMPPath string

	// AuthorizeURL, TokenURL, Scopes and GraphURL are as typed, Usual what is
	// used where they are empty, Google the same at Google.
	AuthorizeURL, TokenURL, Scopes, GraphURL string
	Usual, Google                            Endpoints

	// SignedIn tells that the stored settings have what a sign-in gave, so that
	// they can be changed without another one.
	SignedIn bool
}

// Endpoints are the addresses of a provider and what is asked for there.
type Endpoints struct{ AuthorizeURL, TokenURL, Scopes, GraphURL string }

// CloudChoice is one of Microsoft's clouds, with what the script fills in.
type CloudChoice struct {
	Key, Name, Host, Note                          string
	AuthorizeURL, TokenURL, GraphURL               string
	Scopes, AppScopes, GraphScopes, GraphAppScopes string
	// Unsure tells that sources disagree about these.
	Unsure bool
}

// Providers are the ways to sign in with a token to servers that are not
// Microsoft's.
func (MailOAuth) Providers() []Option {
	return []Option{
		{Value: "google", Label: "Google", Help: "a person signs in once"},
		{Value: "google_service", Label: "Google service account", Help: "no person"},
		{Value: "generic", Label: "Another provider", Help: "you type its addresses"},
	}
}

// Grants are the ways to get a token.
func (MailOAuth) Grants() []Option {
	return []Option{
		{Value: "consent", Label: "A mailbox signs in once", Help: "on a page of the provider's"},
		{Value: "application", Label: "The application alone", Help: "no person, no such page"},
	}
}

// Vias are the ways for letters to travel to Exchange Online.
func (MailOAuth) Vias() []Option {
	return []Option{
		{Value: "smtp", Label: "SMTP", Help: "as everywhere"},
		{Value: "graph", Label: "Microsoft Graph", Help: "where authenticated SMTP is forbidden"},
	}
}

// Chosen is the chosen cloud.
func (o MailOAuth) Chosen() CloudChoice {
	for _, c := range o.Clouds {
		if c.Key == o.Cloud {
			return c
		}
	}
	return CloudChoice{}
}

// Plain tells that nothing is chosen but the usual.
func (o MailOAuth) Plain() bool {
	usual := func(value, word string) bool { return value == "" || value == word }
	return usual(o.Cloud, "global") && usual(o.ClientAuth, "secret") && usual(o.Via, "smtp") &&
		o.Mailbox == "" && o.AuthorizeURL == "" && o.TokenURL == "" && o.Scopes == "" && o.GraphURL == ""
}

// RedirectURI is the address that the provider sends people back to.
func (f MailForm) RedirectURI() string {
	return strings.TrimRight(f.AccessURL, "/") + f.OAuth.RedirectPath
}

// RedirectWarning says what will keep the redirect address from working, or
// "". The script says the same while somebody types.
func (f MailForm) RedirectWarning() string {
	u, err := url.Parse(f.AccessURL)
	if err != nil || u.Host == "" {
		return "Type the Access URL first: the provider sends you back there."
	}
	name := u.Hostname()
	ip := net.ParseIP(name)
	local := name == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case u.Scheme == "http" && !local:
		return "Providers send people back to https alone. Give Sealpost a certificate and an Access URL with https."
	case f.Elsewhere():
		return "The provider sends you back to " + u.Scheme + "://" + u.Host + ", and you are at " + f.Browser + ". Open Sealpost there before you sign in, or correct the Access URL."
	}
	return ""
}

// RedirectPort is the port that is part of the redirect address, "" where it
// need not be told.
func (f MailForm) RedirectPort() string {
	u, err := url.Parse(f.AccessURL)
	if err != nil {
		return ""
	}
	return u.Port()
}

// Signer is the mailbox that signs in.
func (f MailForm) Signer() string {
	if f.OAuth.Mailbox != "" {
		return f.OAuth.Mailbox
	}
	return f.SenderAddress
}

// Fill returns a value for a script that is ready to copy, or the words that
// stand in its place: whatever a shell could take for more than a word is left
// out.
func (MailForm) Fill(value, words string) string {
	if value == "" || len(value) > 300 {
		return words
	}
	for _, r := range value {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("@._:/+-", r) {
			return words
		}
	}
	return value
}

// MailSignedIn is who signed in for the stored settings.
type MailSignedIn struct {
	Who, Tenant, By string
	At              time.Time
	// Expires is the end of the token at hand, Renewed when it was got.
	Expires, Renewed time.Time
}

// MailGoing leads to a provider's sign-in page: by itself, and by a link.
type MailGoing struct {
	Base
	// At is the page with the settings.
	At                                    string
	URL, Host, Provider, Mailbox, Warning string
}

// Template names the file.
func (*MailGoing) Template() string { return "mail_going" }

// MailNotIn tells why a provider let nobody in.
type MailNotIn struct {
	Base
	// At is the page with the settings.
	At string
	// Provider is its name, Text what happened.
	Provider, Text string
	// Advice is what to do, Command what to type for it elsewhere, Reply what
	// the provider said, Link its page about that.
	Advice, Command, Reply, Link string
	// Again is the sign-in that can be begun once more as it was; "" where it
	// cannot.
	Again string
	// Browser is the address that the page was asked for by.
	Browser string
	// RedirectURI is shown where it could be what is wrong.
	RedirectURI string
}

// Template names the file.
func (*MailNotIn) Template() string { return "mail_not_in" }

// MailDecide asks whether somebody else than expected is right.
type MailDecide struct {
	Base
	// At is the page with the settings.
	At                               string
	ID, Provider, Who, WhoTenant     string
	Sender, Mailbox, Tenant, Browser string
	// OtherTenant tells that there is nothing to accept.
	OtherTenant bool
	// Microsoft tells that the command is one for Exchange Online.
	Microsoft bool
}

// Template names the file.
func (*MailDecide) Template() string { return "mail_decide" }

// Fill is that of [MailForm.Fill].
func (*MailDecide) Fill(value, words string) string { return MailForm{}.Fill(value, words) }
