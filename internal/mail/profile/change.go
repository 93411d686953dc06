package profile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/mail/wire"
	"github.com/sealpost/sealpost/internal/secret"
)

// SecretAction is what to do with the stored password.
type SecretAction string

// The actions. The zero one keeps what is stored.
const (
	Keep    SecretAction = ""
	Replace SecretAction = "replace"
	Clear   SecretAction = "clear"
)

// Password is how a password travels into the service.
type Password struct {
	Action SecretAction
	// Value is set for Replace.
	Value secret.Value
}

// Candidate is a certificate to trust.
type Candidate struct {
	DER  []byte
	Mode trust.Mode
}

// Change is what somebody wants the profile to be.
type Change struct {
	// Revision is that of the profile on which the change was based; 0 does
	// not compare.
	Revision int64

	Kind                               Kind
	Host                               string
	Port                               int
	Security                           smtp.Security
	SenderAddress, SenderName, ReplyTo string
	Auth                               AuthKind
	Username                           string
	AccountID                          string
	Mechanism                          string
	LocalName                          string
	Timeouts                           smtp.Timeouts
	Password                           Password
	// OAuth is how tokens are got, for AuthOAuth; Client what proves the
	// client to the authority: its secret, the PEM of its certificate and key,
	// or the key file of a service account.
	OAuth  OAuth
	Client Password
	Pace   pace.Limits
	// RequireTLS is as in Profile.
	RequireTLS bool

	// Trust are certificates to trust beside those that are already;
	// Distrust are fingerprints of those to trust no more.
	Trust    []Candidate
	Distrust []string

	// ConfirmClear repeats the server's name, to accept that the password or
	// letters travel in clear. It is wanted once.
	ConfirmClear string
	// SignInLater saves a profile for which nobody has signed in at the
	// provider yet. Mail is paused until somebody does.
	SignInLater bool
	// Anyway saves without a passed test.
	Anyway bool
	// TestToken is what a passed test of exactly these values gave.
	TestToken string
}

// Change returns the profile as a change that changes nothing.
func (p Profile) Change() Change {
	return Change{
		Revision: p.Revision, Kind: p.Kind, Host: p.Host, Port: p.Port, Security: p.Security, SenderAddress: p.SenderAddress,
		SenderName: p.SenderName, ReplyTo: p.ReplyTo, Auth: p.Auth, Username: p.Username, AccountID: p.AccountID,
		Mechanism: p.Mechanism, LocalName: p.LocalName, Timeouts: p.Timeouts, OAuth: p.OAuth, Pace: p.Pace, RequireTLS: p.RequireTLS,
	}
}

const (
	maxUsername = 320
	minTimeout  = time.Second
	maxTimeout  = 30 * time.Minute
	// maxAnchors bounds the certificates trusted for a profile.
	maxAnchors = 50
)

// Rules are what the operator decided.
type Rules struct {
	// Deny are addresses that no mail server may have.
	Deny []netip.Prefix
	// Authorities are the hosts that tokens may come from.
	Authorities oauth.Authorities
}

// Apply returns what was becomes, and notes in check what is wrong.
func (c Change) Apply(was Profile, check *fault.Check, rules Rules) Profile {
	p := was
	p.Kind = c.Kind
	c.sender(&p, check)
	switch c.Kind {
	case KindCapture:
		p.Host, p.Port, p.Security, p.Auth = "", 0, smtp.None, AuthNone
		p.Username, p.AccountID, p.Mechanism, p.LocalName, p.Timeouts = "", "", "", "", smtp.Timeouts{}
		p.ClearConfirmed, p.OAuth, p.Pace, p.RequireTLS = false, OAuth{}, pace.Limits{}, false
		return p
	case KindMicrosoft:
		c = c.microsoft(check)
	case KindSMTP:
	default:
		check.That(false, "kind", "Choose a mail server.")
		return p
	}
	c.server(&p, check, rules.Deny)
	p.OAuth = OAuth{}
	if c.Auth == AuthOAuth {
		c.oauth(&p, was, check, rules.Authorities)
	}
	c.pace(&p, check)
	c.confirm(&p, was, check)
	return p
}

// server takes over how the server is reached and signed in to. What letters
// through Microsoft Graph do not have is not looked at.
func (c Change) server(p *Profile, check *fault.Check, deny []netip.Prefix) {
	if c.Kind == KindMicrosoft && c.OAuth.Via == ViaGraph {
		p.Auth, p.Username, p.AccountID, p.RequireTLS = AuthOAuth, "", "", false
		return
	}
	p.Host = host(c.Host, check, deny)
	p.Port = c.Port
	check.That(c.Port >= 1 && c.Port <= 65535, "port", "The port is a number from 1 to 65535; 587, 465 and 25 are usual.")
	p.Security = c.Security
	check.That(c.Security == smtp.None || c.Security == smtp.STARTTLS || c.Security == smtp.Implicit, "security", "Choose how to connect: None, SSL or TLS.")
	check.That(c.Auth != AuthOAuth || c.Security != smtp.None, "security", "A token never travels in clear. Choose SSL or TLS.")
	p.RequireTLS = c.RequireTLS
	check.That(!c.RequireTLS || c.Security != smtp.None, "require_tls", "A server promises that inside TLS only. Choose SSL or TLS, or do not ask for it.")
	c.signIn(p, check)
	p.LocalName = localName(c.LocalName, check)
	p.Timeouts = c.Timeouts
	for _, t := range []struct {
		field string
		d     time.Duration
	}{
		{"timeout_connect", c.Timeouts.Connect},
		{"timeout_greeting", c.Timeouts.Greeting},
		{"timeout_command", c.Timeouts.Command},
		{"timeout_final", c.Timeouts.Final},
	} {
		check.That(t.d == 0 || t.d >= minTimeout && t.d <= maxTimeout, t.field, "A timeout is between 1 second and 30 minutes; leave it empty for the usual one.")
	}
}

// pace takes over how fast letters leave.
func (c Change) pace(p *Profile, check *fault.Check) {
	p.Pace = c.Pace
	for _, n := range []struct {
		field      string
		value, max int
	}{
		{"pace_connections", c.Pace.Connections, 10},
		{"pace_per_minute", c.Pace.PerMinute, 10_000},
		{"pace_per_day", c.Pace.PerDay, 10_000_000},
	} {
		check.That(n.value >= 0 && n.value <= n.max, n.field, fmt.Sprintf("Type a number from 1 to %d, or leave it empty for the usual.", n.max))
	}
}

// confirm wants the server's name typed before anything that lets somebody in
// travels in clear.
func (c Change) confirm(p *Profile, was Profile, check *fault.Check) {
	p.ClearConfirmed = false
	if !p.InClear() && !p.Exposed() || p.Auth == AuthOAuth {
		return
	}
	same := was.ClearConfirmed && was.Host == p.Host && was.Port == p.Port && was.Security == p.Security
	p.ClearConfirmed = same || p.Host != "" && strings.EqualFold(strings.TrimSpace(c.ConfirmClear), p.Host)
	what := "The password"
	if !p.InClear() {
		what = "Every letter, with the links that let people in,"
	}
	check.That(p.ClearConfirmed, "confirm_clear", what+" would travel in clear, for everybody on the way to read. Choose SSL or TLS, or type the server's name here to accept it.")
}

func (c Change) sender(p *Profile, check *fault.Check) {
	p.SenderAddress = mailbox(c.SenderAddress, "sender_address", check)
	p.SenderName = strings.TrimSpace(c.SenderName)
	check.That(message.CheckName(p.SenderName) == nil, "sender_name", "The name is too long or holds a line break. Type it anew.")
	p.ReplyTo = ""
	if strings.TrimSpace(c.ReplyTo) != "" {
		p.ReplyTo = mailbox(c.ReplyTo, "reply_to", check)
	}
}

// mailbox returns the bare address; a name in front of it is refused, since
// the name has its own field.
func mailbox(text, field string, check *fault.Check) string {
	a, err := message.ParseAddress(text)
	if err != nil {
		check.That(false, field, fault.Sentence(err))
		return strings.TrimSpace(text)
	}
	check.That(a.Name == "", field, "Type the address alone; the name has a field of its own.")
	return a.Spec()
}

func host(text string, check *fault.Check, deny []netip.Prefix) string {
	h := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(text), "."))
	if !check.That(h != "", "host", "Type the mail server's name, for example mail.example.org.") {
		return h
	}
	if a, err := netip.ParseAddr(strings.Trim(h, "[]")); err == nil {
		check.That(a.Zone() == "" && !wire.Denied(deny, a), "host", "Mail servers on this address are not allowed here. Use the server's name, or ask who runs Sealpost.")
		return a.Unmap().String()
	}
	ascii, err := message.DomainToASCII(h)
	if !check.That(err == nil, "host", "This is not a host name. Leave out \"smtp://\", the port and spaces.") {
		return h
	}
	return ascii
}

// Denied tells an address that no mail server may have.
func Denied(deny []netip.Prefix, a netip.Addr) bool { return wire.Denied(deny, a) }

func (c Change) signIn(p *Profile, check *fault.Check) {
	p.Auth, p.Username, p.AccountID, p.Mechanism = c.Auth, "", "", ""
	mechanisms := sasl.Strength()
	switch c.Auth {
	case AuthNone:
		return
	case AuthTyped:
		p.Username = strings.TrimSpace(c.Username)
		ok := p.Username != "" && len(p.Username) <= maxUsername && !strings.ContainsFunc(p.Username, func(r rune) bool { return r < ' ' || r == 0x7f })
		check.That(ok, "username", "Type the user name that the mail server knows.")
	case AuthAccount:
		p.AccountID = c.AccountID
		check.That(p.AccountID != "", "account", "Choose the account to sign in with.")
	case AuthOAuth:
		mechanisms = sasl.Bearer()
	default:
		check.That(false, "auth", "Choose whether and how to sign in.")
		return
	}
	p.Mechanism = strings.ToUpper(strings.TrimSpace(c.Mechanism))
	check.That(p.Mechanism == "" || slices.Contains(mechanisms, p.Mechanism), "mechanism", "Choose one of the mechanisms in the list.")
}

func localName(text string, check *fault.Check) string {
	n := strings.ToLower(strings.TrimSpace(text))
	if n == "" {
		return ""
	}
	if literal := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(n, "["), "ipv6:"), "]"); literal != n {
		a, err := netip.ParseAddr(literal)
		if check.That(err == nil && a.Zone() == "", "local_name", "An address here has the form [192.0.2.1].") {
			return AddressLiteral(a)
		}
		return n
	}
	ascii, err := message.DomainToASCII(n)
	check.That(err == nil, "local_name", "The EHLO name is this machine's host name, for example vault.example.org.")
	return ascii
}

// AddressLiteral writes an address as RFC 5321 4.1.3 wants it in EHLO.
func AddressLiteral(a netip.Addr) string {
	if a = a.Unmap(); a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.String() + "]"
}

// Anchors returns the set that is trusted after the change.
func (c Change) Anchors(have []trust.Anchor, by string, now time.Time) ([]trust.Anchor, error) {
	drop := map[string]bool{}
	for _, f := range c.Distrust {
		drop[f] = true
	}
	set := map[string]int{}
	var out []trust.Anchor
	for _, a := range have {
		if f := trust.Fingerprint(a.DER); !drop[f] {
			set[f] = len(out)
			out = append(out, a)
		}
	}
	for _, n := range c.Trust {
		if n.Mode != trust.ModeAnchor && n.Mode != trust.ModePin {
			return nil, fault.Invalid("certificate", "Choose whether to trust the certificate or to pin its key.")
		}
		certs, err := trust.Parse(n.DER)
		if err != nil {
			return nil, err
		}
		for _, cert := range certs {
			a := trust.Anchor{DER: cert.Raw, Mode: n.Mode, AddedBy: by, AddedAt: now}
			f := trust.Fingerprint(a.DER)
			if i, ok := set[f]; ok {
				if out[i].Mode != a.Mode {
					out[i] = a
				}
				continue
			}
			set[f] = len(out)
			out = append(out, a)
		}
	}
	if len(out) > maxAnchors {
		return nil, fault.Invalid("certificate", "No more than 50 certificates can be trusted for a mail server. Remove some first.")
	}
	return out, nil
}
