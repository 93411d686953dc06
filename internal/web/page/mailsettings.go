package page

import (
	"time"
)

// MailSettings is the page of the mail server: how it stands, its settings,
// their test, and the certificates that are trusted for it.
type MailSettings struct {
	Base
	// At is the address of the page; Second tells that it is about the second
	// mail server, Two that there is one.
	At          string
	Second, Two bool
	State       MailState
	Form        MailForm
	Test        MailTest
	Trust       MailTrust
	// Set tells that there is a mail server.
	Set bool
	// Ask names the dialog that is open, for browsers without scripts.
	Ask string
}

// Template names the file.
func (*MailSettings) Template() string { return "mail_settings" }

// MailForm is what was typed, or what is stored.
type MailForm struct {
	// At is the page that the form is on.
	At       string
	Revision int64
	// Kind is "microsoft", "smtp" or "capture". HasCapture tells that the last
	// can be chosen.
	Kind       string
	HasCapture bool

	Host, Port                         string
	SenderAddress, SenderName, ReplyTo string
	// AccessURL is the site's; Browser is the address that the page was asked
	// for by.
	AccessURL, Browser string
	// AskOwnPassword tells that the change wants a proof of who one is.
	AskOwnPassword bool

	// SignIn tells that the server wants a sign-in, Auth which: "typed",
	// "account" or "oauth".
	SignIn         bool
	Auth, Username string
	// PasswordSetAt is when the stored password was typed; zero without one.
	PasswordSetAt  time.Time
	PasswordAction string
	// PasswordLost tells that one was typed, which no page ever shows again.
	PasswordLost bool
	// Bound is what the stored password is bound to, for the script.
	Bound string
	// Account is the chosen one's id; AccountText is what Accounts were
	// searched by.
	Account, AccountText string
	Accounts             []AccountChoice

	// OAuth is where tokens come from, for Exchange Online and for Auth "oauth".
	OAuth MailOAuth
	// Move offers to move to OAuth 2.0 in one step.
	Move bool

	Security string
	// ClearAccepted tells that somebody accepted that the password travels in
	// clear.
	ConfirmClear  string
	ClearAccepted bool

	Mechanism, LocalName                                          string
	TimeoutConnect, TimeoutGreeting, TimeoutCommand, TimeoutFinal string

	// PaceConnections, PacePerMinute and PacePerDay are how fast letters leave,
	// as typed; Usual is what holds where they are empty.
	PaceConnections, PacePerMinute, PacePerDay    string
	UsualConnections, UsualPerMinute, UsualPerDay string

	// RequireTLS asks for TLS on the whole way.
	RequireTLS bool

	// Candidates are certificates that will be trusted once this is saved.
	Candidates []Certificate
	// TestToken vouches for a test that these values passed.
	TestToken string
	// Tested tells that the stored settings passed a test.
	Tested bool
	// OfferAnyway shows the button that saves without one.
	OfferAnyway bool

	Presets []Preset
	// PresetHint is what the chosen preset says.
	PresetHint string
}

// Plain tells that nothing under Advanced is set.
func (f MailForm) Plain() bool {
	return !f.RequireTLS && f.Mechanism == "" && f.LocalName == "" && f.ReplyTo == "" && f.PaceConnections == "" && f.PacePerMinute == "" && f.PacePerDay == "" &&
		f.TimeoutConnect == "" && f.TimeoutGreeting == "" && f.TimeoutCommand == "" && f.TimeoutFinal == ""
}

// Elsewhere tells that the Access URL is not the address in the browser.
func (f MailForm) Elsewhere() bool { return f.AccessURL != "" && f.AccessURL != f.Browser }

// Kinds are the mail servers to choose from.
func (f MailForm) Kinds() []Option {
	kinds := []Option{
		{Value: "microsoft", Label: "Microsoft Exchange Online", Help: "Microsoft 365"},
		{Value: "smtp", Label: "Other SMTP server", Help: "your own or a provider's"},
	}
	if f.HasCapture {
		kinds = append(kinds, Option{Value: "capture", Label: "Capture mailbox", Help: "for trying out"})
	}
	return kinds
}

// Securities are the ways to connect, named by what happens on the wire.
func (f MailForm) Securities() []Option {
	return []Option{
		{Value: "none", Label: "None", Help: "nothing is encrypted"},
		{Value: "implicit", Label: "SSL", Help: "TLS from the start"},
		{Value: "starttls", Label: "TLS", Help: "STARTTLS, required"},
	}
}

// Mechanisms are the ways to sign in.
func (f MailForm) Mechanisms() []Option {
	return []Option{
		{Value: "", Label: "The strongest that is offered"},
		{Value: "SCRAM-SHA-256", Label: "SCRAM-SHA-256"},
		{Value: "SCRAM-SHA-1", Label: "SCRAM-SHA-1"},
		{Value: "CRAM-MD5", Label: "CRAM-MD5"},
		{Value: "PLAIN", Label: "PLAIN"},
		{Value: "LOGIN", Label: "LOGIN"},
	}
}

// Preset fills the form for a provider.
type Preset struct {
	Key, Name, Host, Port, Security string
	SignIn                          bool
	// Auth and Provider are set for one that signs in with a token.
	Auth, Provider string
	Hint           string
}

// AccountChoice is an account that can sign in to the mail server.
type AccountChoice struct {
	ID, Resource, Name string
	// PasswordAt is when its password was set, and PasswordBy by whom; zero
	// while there is none.
	PasswordAt time.Time
	PasswordBy string
	// Foreign tells that it is somebody else's: it stays, but shows nothing.
	Foreign bool
}

// MailTrust are the certificates that are trusted for the mail server.
type MailTrust struct {
	Certificates []Certificate
	// Can tells that there is a server to trust them for.
	Can bool
	// Graph tells that letters travel over Microsoft Graph, where none is.
	Graph bool
	// Secret names what was typed and is bound to them, "" where nothing was;
	// SecretLines tells that it is a text of several lines. SignsInAgain tells
	// that only another sign-in at the provider does instead.
	Secret                    string
	SecretLines, SignsInAgain bool
	// NeedsOwn tells that a change wants a proof of who one is.
	NeedsOwn bool
	// Mode is the choice that was made for an upload.
	Mode string
	// Alert is why a change was not made.
	Alert string
}

// For is the field for Secret in the form of a certificate.
func (t MailTrust) For(id string) TrustSecret { return TrustSecret{MailTrust: t, ID: id} }

// TrustSecret is a field for what is bound to the trusted certificates.
type TrustSecret struct {
	MailTrust
	ID string
}

// Certificate is everything that a page shows of one.
type Certificate struct {
	// At is the page of the server that it could be trusted for.
	At                  string
	Subject, Issuer     string
	Names               []string
	NotBefore, NotAfter time.Time
	Key, Signature      string
	Fingerprint         string
	SelfSigned, CA      bool
	// Ends is a word about its end, EndsTone how it is meant.
	Ends, EndsTone string

	// Hex is the fingerprint without colons; Mode, AddedBy and AddedAt are of
	// one that is trusted.
	Hex, Mode, AddedBy string
	AddedAt            time.Time

	// Place says what it is in the chain that a server showed.
	Place string
	// Trust and Pin are what the buttons send, empty where they would not
	// help.
	Trust, Pin string
	// Value is what a form carries of a certificate that will be trusted.
	Value string
}

// Pinned tells that the key is pinned, whatever the certificate says.
func (c Certificate) Pinned() bool { return c.Mode == "pin" }
