package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/mail/wire"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Transport is everything that a connection and the letters on it need, as it
// is at one moment.
type Transport struct {
	// Profile is the one that it was made from.
	Profile Profile
	// Config connects and signs in.
	Config smtp.Config
	// From and ReplyTo stand in letters; ReplyTo may be zero.
	From, ReplyTo message.Address
	// SecretVersion is that of the account's password or of the token; 0 for
	// other sign-ins.
	SecretVersion int64
	// SignedIn tells of the token; zero for other sign-ins.
	SignedIn SignedIn

	// trust decides about the server's certificate.
	trust trust.Policy
	// bearer is the token, source where it came from; graph talks to Microsoft
	// Graph, and is nil for SMTP.
	bearer secret.Value
	source token.Source
	graph  *http.Client
}

// SignedIn is what is known of a token, never the token itself.
type SignedIn struct {
	// Who signs in to the server with it.
	Who     string
	Expires time.Time
	// Scopes are those granted, where the authority named them.
	Scopes string
	// SendAsApp tells that Microsoft's token for an application names the
	// permission oauth.SendAsApp.
	SendAsApp bool
}

// Key names what a connection was made with. One that was made with another
// key must not be used any more.
func (t Transport) Key() string {
	return fmt.Sprintf("%s/%d/%d", t.Profile.ID, t.Profile.Revision, t.SecretVersion)
}

// CertificateEnds returns when the certificate of a server that was connected
// to with t ends, and the zero time where nothing hangs on that: the certificate
// is nil, as it is without TLS, or its key is pinned.
func (t Transport) CertificateEnds(server *x509.Certificate) time.Time {
	if server == nil {
		return time.Time{}
	}
	return t.trust.Ends(server)
}

// Server returns "host:port" for the journal.
func (t Transport) Server() string { return t.Profile.Server() }

// Problem keeps all letters back. As an error of [Service.Open] it tells why
// there is no transport; hand it to [Service.Pause].
type Problem struct {
	// Revision is that of the profile that met the problem, SecretVersion that
	// of its account's password.
	Revision, SecretVersion int64
	// Row, Reason, Advice, Command, Reply, Link and Remedy are as in Profile.
	Row, Reason, Advice, Command, Reply, Link string
	Remedy                                    verdict.Remedy
	// Passing tells that it goes by: the server is left alone, for After at
	// least, and mail is paused only once that has lasted.
	Passing bool
	After   time.Duration
}

// Error returns the reason.
func (p *Problem) Error() string { return "mail: " + p.Row + ": " + p.Reason }

// The rows of problems that no table has.
const (
	RowSecretRequired  = "secret-required"
	RowConsentRequired = "consent-required"
	RowAccountGone     = "account-gone"
	RowNoCapture       = "no-capture"
	// RowSignIn: nobody has signed in at the provider for these settings.
	RowSignIn = "sign-in"
	// RowDailyLimit: the recipients of a day are used up. Nothing is wrong.
	RowDailyLimit = "daily-limit"
)

// Open returns what is needed to send now. The account's password is read anew
// on each call, and a token that ends is replaced. Without a profile the fault
// is of kind not found; a *Problem tells what a person must mend, or what goes
// by.
func (s *Service) Open(ctx context.Context) (Transport, error) {
	d, host, err := s.current(ctx)
	if err != nil {
		return Transport{}, err
	}
	if why := bound(d); why != nil {
		return Transport{}, why
	}
	return s.transport(ctx, d, host, s.access)
}

// current returns what is stored with what it signs in with, which is empty
// where that is bound to something else, and what the client calls itself.
func (s *Service) current(ctx context.Context) (d Draft, host string, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		st, ok, err := s.find(tx, false)
		if err != nil {
			return err
		}
		if !ok {
			return errNoServer
		}
		if d, err = s.storedDraft(tx, st); err != nil {
			return err
		}
		d.password, err = s.opens(tx, d.Profile, d.Anchors, st.Sealed)
		if err == nil {
			host = s.localName(tx, d.Profile)
		}
		return err
	})
	return d, host, err
}

// bound tells what keeps a stored secret from being used.
func bound(d Draft) *Problem {
	auth, o := d.Profile.Auth, d.Profile.OAuth
	if auth == AuthNone || !d.password.IsZero() || auth == AuthOAuth && o.Provider != "" && !o.HasCredential() {
		return nil
	}
	p := &Problem{Revision: d.Profile.Revision, Row: RowSecretRequired}
	if d.Profile.Auth == AuthAccount {
		p.Row = RowConsentRequired
		p.Reason = "The settings or trusted certificates changed since somebody allowed the account to be used with them."
		p.Advice = "Save the mail server settings again as somebody who may use the account."
		return p
	}
	if auth == AuthOAuth {
		p.Reason = "The stored " + o.SecretName() + " is for other settings or other trusted certificates than those there are now."
		p.Advice = "Type the " + o.SecretName() + " again in the mail server settings."
		p.Remedy = verdict.RemedySettings
		return p
	}
	p.Reason = "The stored password is for other settings or other trusted certificates than those there are now."
	p.Advice = "Type the password again in the mail server settings."
	return p
}

// OpenDraft returns what is needed to test a draft.
func (s *Service) OpenDraft(ctx context.Context, d Draft) (Transport, error) {
	var host string
	err := s.db.View(ctx, func(tx *store.Tx) error {
		host = s.localName(tx, d.Profile)
		return nil
	})
	if err != nil {
		return Transport{}, err
	}
	return s.transport(ctx, d, host, s.tryAccess)
}

func (s *Service) transport(ctx context.Context, d Draft, local string, access func(context.Context, Draft) (token.Access, error)) (Transport, error) {
	p := d.Profile
	t := Transport{Profile: p}
	var err error
	if t.From, err = message.ParseAddress(p.SenderAddress); err != nil {
		return t, err
	}
	t.From.Name = p.SenderName
	if p.ReplyTo != "" {
		if t.ReplyTo, err = message.ParseAddress(p.ReplyTo); err != nil {
			return t, err
		}
	}
	t.Config = smtp.Config{Host: p.Host, Port: p.Port, Security: p.Security, LocalName: local, Timeouts: p.Timeouts, Dial: s.dialAllowed, Memory: &s.memory}
	if p.Kind == KindCapture {
		return t, s.toCapture(&t)
	}
	if p.Security != smtp.None {
		t.trust = trust.Policy{Host: p.Host, Anchors: d.Anchors, Roots: s.roots, Now: s.now}
		t.Config.TLS = t.trust.TLSConfig()
		if s.showsTo(p) {
			t.Config.TLS.GetClientCertificate = s.shows.Show
		}
	}
	if p.Auth == AuthNone {
		return t, nil
	}
	if p.Auth == AuthOAuth {
		a, err := access(ctx, d)
		if err == nil {
			s.signIn(&t, d, a)
		}
		return t, err
	}
	c, err := s.credential(ctx, d)
	if err != nil {
		return t, err
	}
	t.SecretVersion = c.Version
	t.Config.Auth = &smtp.Auth{Credential: sasl.Credential{Username: c.Login, Password: c.Password}, Mechanism: p.Mechanism}
	t.Config.AllowClearAuth = p.ClearConfirmed
	return t, nil
}

// showsTo reports whether the server of a profile is shown a certificate of this
// machine where it asks for one.
func (s *Service) showsTo(p Profile) bool {
	return s.shows != nil && p.Kind != KindCapture && p.OAuth.Via != ViaGraph && p.Security != smtp.None && s.shows.For(p.Host)
}

// toCapture points the transport at the capture mailbox.
func (s *Service) toCapture(t *Transport) error {
	address, err := netip.ParseAddrPort(s.capture())
	if err != nil {
		return &Problem{
			Revision: t.Profile.Revision, Row: RowNoCapture,
			Reason: "The capture mailbox is not running.",
			Advice: "Choose another mail server, or let who runs Sealpost switch the capture mailbox on.",
		}
	}
	t.Config.Host, t.Config.Port = address.Addr().String(), int(address.Port())
	t.Config.Dial = (&net.Dialer{}).DialContext
	return nil
}

// credential returns what the draft signs in with.
func (s *Service) credential(ctx context.Context, d Draft) (Credential, error) {
	p := d.Profile
	if p.Auth == AuthTyped {
		return Credential{Login: p.Username, Password: d.password}, nil
	}
	gone := &Problem{
		Revision: p.Revision, Row: RowAccountGone,
		Reason: "The account that signs in to the mail server is gone or has no password.",
		Advice: "Choose another account in the mail server settings, or give this one a password.",
	}
	if s.secrets == nil {
		return Credential{}, gone
	}
	c, err := s.secrets.Current(ctx, p.AccountID)
	if fault.Is(err, fault.KindNotFound) || err == nil && c.Password.IsZero() {
		gone.SecretVersion = c.Version
		return Credential{}, gone
	}
	return c, err
}

// localName is what the client calls itself (RFC 5321 4.1.4): what was typed,
// the Access URL's host, or this machine's name.
func (s *Service) localName(tx *store.Tx, p Profile) string {
	if p.LocalName != "" {
		return p.LocalName
	}
	if site, err := s.letters.Site(tx); err == nil {
		if u, err := url.Parse(site.AccessURL); err == nil && u.Hostname() != "" && u.Hostname() != "localhost" {
			if a, err := netip.ParseAddr(u.Hostname()); err == nil {
				return profile.AddressLiteral(a)
			}
			return u.Hostname()
		}
	}
	if name, err := os.Hostname(); err == nil {
		if ascii, err := message.DomainToASCII(name); err == nil {
			return ascii
		}
	}
	return "[127.0.0.1]"
}

// dialAllowed connects unless the operator forbade the address that the name
// leads to.
func (s *Service) dialAllowed(ctx context.Context, network, address string) (net.Conn, error) {
	if s.dial == nil {
		conn, err := s.wire.DialContext(ctx, network, address)
		if errors.Is(err, wire.ErrDenied) {
			err = errAddress()
		}
		return conn, err
	}
	conn, err := s.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if remote, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil && wire.Denied(s.rules.Deny, remote.Addr()) {
		return nil, errors.Join(errAddress(), conn.Close())
	}
	return conn, nil
}

func errAddress() error {
	return &smtp.Error{Stage: smtp.StageConnect, Kind: smtp.KindInput, Text: "mail servers on this address are not allowed here"}
}
