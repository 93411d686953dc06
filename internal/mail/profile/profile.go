package profile

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

// Slot says which of the two mail servers a profile is.
type Slot string

// The slots.
const (
	// Main is the first server: all letters leave through it but for those that
	// a route leads to the other one.
	Main Slot = "main"
	// Second is the server beside it.
	Second Slot = "second"
)

// Slots returns all slots, the first server's first.
func Slots() []Slot { return []Slot{Main, Second} }

// Other returns the slot of the other server.
func (s Slot) Other() Slot {
	if s == Second {
		return Main
	}
	return Second
}

// Ordinal is the word by which people know a server of the two.
func (s Slot) Ordinal() string {
	if s == Second {
		return "second"
	}
	return "first"
}

// SettingsPath is the page with the settings of the server.
func (s Slot) SettingsPath() string {
	if s == Second {
		return "/admin/settings/mail/second"
	}
	return "/admin/settings/mail"
}

// Kind is the sort of a mail server.
type Kind string

// The kinds of mail servers.
const (
	// KindSMTP is a server that speaks SMTP, somewhere.
	KindSMTP Kind = "smtp"
	// KindMicrosoft is Exchange Online, which is signed in to with OAuth 2.0.
	KindMicrosoft Kind = "microsoft"
	// KindCapture is the capture mailbox on this machine: mail does not leave.
	KindCapture Kind = "capture"
)

// AuthKind is how the server is signed in to.
type AuthKind string

// The ways to sign in.
const (
	// AuthNone: the server wants no sign-in.
	AuthNone AuthKind = "none"
	// AuthTyped: user name and password were typed here.
	AuthTyped AuthKind = "typed"
	// AuthAccount: an account stored in Sealpost.
	AuthAccount AuthKind = "account"
	// AuthOAuth: a token of the provider's, got as Profile.OAuth says.
	AuthOAuth AuthKind = "oauth"
)

// State says whether letters leave.
type State string

// The states of a profile.
const (
	// Working: letters leave.
	Working State = "working"
	// Paused: a problem keeps all letters back. It is probed now and then.
	Paused State = "paused"
	// Stopped: a person keeps all letters back until a person lets them go.
	Stopped State = "stopped"
)

// Profile is the mail server as it is set up. It holds no secret.
type Profile struct {
	// Slot is the one it is stored in; empty for what is not stored.
	Slot     Slot
	ID       string
	Kind     Kind
	Host     string
	Port     int
	Security smtp.Security
	// SenderAddress is the address that letters come from, SenderName the name
	// beside it, ReplyTo where answers go; the last two may be empty.
	SenderAddress, SenderName, ReplyTo string

	Auth AuthKind
	// Username is set for AuthTyped, AccountID for AuthAccount.
	Username, AccountID string
	// OAuth is set for AuthOAuth.
	OAuth OAuth
	// Pace is how fast letters leave, as typed; zero values take the usual:
	// see [Profile.Limits].
	Pace pace.Limits
	// RequireTLS asks the server to pass letters with one-time links on over TLS
	// only (RFC 8689), where it offers that.
	RequireTLS bool
	// Mechanism fixes the SASL mechanism; empty takes the strongest offered.
	Mechanism string
	// LocalName is what the client calls itself in EHLO; empty takes the host
	// of the Access URL.
	LocalName string
	// Timeouts that are zero take the client's defaults.
	Timeouts smtp.Timeouts
	// ClearConfirmed tells that an administrator accepted by typing the
	// server's name that letters, and the password where there is one, travel
	// in clear.
	ClearConfirmed bool

	// Revision counts the changes, those of trusted certificates too.
	Revision  int64
	ChangedAt time.Time
	// ChangedBy is the login of who made the last change.
	ChangedBy string
	// TestedAt is when a test of exactly these settings passed; zero means
	// that they were saved without.
	TestedAt time.Time
	// PasswordSetAt is when a typed password was last typed.
	PasswordSetAt time.Time
	// ServerCertificateEnds is the end of the server's own certificate as the
	// last test or connection saw it; zero without TLS, where its key is pinned
	// and while nobody has seen it.
	ServerCertificateEnds time.Time

	State State
	// Problem is the row of the table of replies that paused the profile,
	// Reason and Advice its sentences, Command what to type for it elsewhere,
	// Reply what the server said, Link the provider's page about it.
	Problem, Reason, Advice, Command, Reply, Link string
	// Remedy is what a person does about the problem, where that is known.
	Remedy verdict.Remedy
	// Since is when the state began.
	Since time.Time
	// Probes counts the tries since the pause; the next one is due at
	// NextProbe.
	Probes    int
	NextProbe time.Time
	// LastAccepted is when the server last took a letter.
	LastAccepted time.Time
}

// Server returns "host:port", or the capture mailbox's name.
func (p Profile) Server() string {
	if p.Kind == KindCapture {
		return "capture mailbox"
	}
	return net.JoinHostPort(p.Host, strconv.Itoa(p.Port))
}

// SavedAnyway tells that the settings were saved without a passed test.
// Those for which somebody signed in were tried by that.
func (p Profile) SavedAnyway() bool {
	return p.TestedAt.IsZero() && p.Kind != KindCapture && !p.WantsSignIn()
}

// Means returns a verdict on p as it is to be acted on: where an application
// signs in, nobody is asked to, and the values of p stand in what is to be done.
func (p Profile) Means(v verdict.Verdict) verdict.Verdict {
	if !p.WantsSignIn() {
		v = v.ForApplication()
	}
	v.Mend, v.Command = p.Filled(v.Mend), p.Filled(v.Command)
	return v
}

// WantsSignIn tells that a person signs in once, at the provider.
func (p Profile) WantsSignIn() bool {
	return p.Auth == AuthOAuth && p.OAuth.Grant == oauth.Consent
}

// Limits returns how fast letters leave: what was typed, and else what the
// provider of the mailbox allows, with room to spare. A mailbox of Exchange
// Online takes 3 connections, 30 messages a minute and 10,000 recipients a day,
// one of Google Workspace 2,000 recipients a day and its relay 10,000. Servers
// of theirs that are no mailboxes have other limits, far beyond what Sealpost
// sends: connectors, the way to the organisation's own recipients, and High
// Volume Email. A server of which nothing is known gets 4 connections at most,
// where letters keep so many busy and it takes them.
func (p Profile) Limits() pace.Limits {
	l := pace.Limits{Connections: 2}
	host := strings.ToLower(p.Host)
	switch {
	case p.Kind == KindCapture:
		return pace.Limits{}
	case p.mailbox():
		l.PerMinute, l.PerDay = 25, 10000
	case p.Kind == KindSMTP && host == "smtp-relay.gmail.com":
		l.PerDay = 10000
	case p.Kind == KindSMTP && (host == "smtp.gmail.com" || p.Auth == AuthOAuth && p.OAuth.Provider == oauth.Google):
		l.PerDay = 2000
	case p.Kind == KindSMTP && verdict.Provider(p.Host) == "":
		l.Connections = 4
	}
	if p.Pace.Connections > 0 {
		l.Connections = p.Pace.Connections
	}
	if p.Pace.PerMinute > 0 {
		l.PerMinute = p.Pace.PerMinute
	}
	if p.Pace.PerDay > 0 {
		l.PerDay = p.Pace.PerDay
	}
	return l
}

// mailbox tells that letters leave through a mailbox of Microsoft's. A server
// that Microsoft does not document is taken for one where the settings say that
// it is Exchange Online.
func (p Profile) mailbox() bool {
	switch strings.ToLower(p.Host) {
	case "smtp.office365.com", "smtp-legacy.office365.com", "smtp.office365.us", "outlook-dod.office365.us",
		"smtp.partner.outlook.cn", "partner.outlook.cn", "smtp-mail.outlook.com":
		return p.Kind != KindCapture
	}
	return p.Kind == KindMicrosoft && !p.highVolume() && !strings.HasSuffix(strings.ToLower(p.Host), ".mail.protection.outlook.com")
}

// highVolume tells Microsoft's High Volume Email, which is for recipients of the
// organisation and has rules of its own.
func (p Profile) highVolume() bool {
	host := strings.ToLower(p.Host)
	return p.Kind != KindCapture && (host == "smtp.hve.mx.microsoft" || host == "smtp-hve.office365.com")
}

// microsoft tells that the server is one of Microsoft's.
func (p Profile) microsoft() bool {
	return p.Kind == KindMicrosoft || p.Kind == KindSMTP && verdict.Provider(p.Host) == "microsoft"
}

func (p Profile) google() bool {
	return p.Kind == KindSMTP && (verdict.Provider(p.Host) == "google" || p.Auth == AuthOAuth && p.OAuth.Provider == oauth.Google)
}

// Provider names who stands behind the mail server, as package verdict does, or
// is "". The settings know it where the host has a name of its own.
func (p Profile) Provider() string {
	switch {
	case p.microsoft():
		return "microsoft"
	case p.google():
		return "google"
	}
	return verdict.Provider(p.Host)
}

// Exposed tells that letters, and the links in them, travel without encryption
// to another machine.
func (p Profile) Exposed() bool {
	return p.Kind == KindSMTP && p.Security == smtp.None && !OnThisMachine(p.Host)
}

// OnThisMachine tells a host that nothing leaves this machine for.
func OnThisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// InClear tells that a password travels without encryption.
func (p Profile) InClear() bool {
	return p.Kind == KindSMTP && p.Security == smtp.None && p.Auth != AuthNone
}

// Filled puts a profile's values into a command that a person copies, or an
// address that a person opens. What could mean something to a shell is left to
// the person.
func (p Profile) Filled(command string) string {
	o := p.Authority()
	authority := ""
	if u, err := url.Parse(o.AuthorizeURL); err == nil {
		authority = u.Host
	}
	mailbox, account := p.SenderAddress, ""
	switch p.Auth {
	case AuthTyped:
		mailbox, account = p.Username, p.Username
	case AuthOAuth:
		mailbox, account = o.Mailbox, o.Mailbox
	}
	var pairs []string
	for _, w := range []word{{"MAILBOX", mailbox}, {"SENDER", p.SenderAddress}, {"ACCOUNT", account}, {"TENANT", o.Tenant}, {"CLIENT_ID", o.ClientID}, {"AUTHORITY", authority}} {
		if w.value != "" && !strings.ContainsAny(w.value[:1], "-@") && strings.Trim(w.value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_+@") == "" {
			pairs = append(pairs, w.name, w.value)
		}
	}
	return strings.NewReplacer(pairs...).Replace(command)
}
