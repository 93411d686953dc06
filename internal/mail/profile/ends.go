package profile

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/trust"
)

// EndKind is the sort of thing that ends.
type EndKind string

// The things that end.
const (
	EndServerCertificate  EndKind = "server_certificate"
	EndTrustedCertificate EndKind = "trusted_certificate"
	EndClientSecret       EndKind = "client_secret"
	EndClientCertificate  EndKind = "client_certificate"
	EndSignIn             EndKind = "sign_in"
	// EndOwnCertificate is the certificate that this machine shows to servers
	// that ask for one.
	EndOwnCertificate EndKind = "own_certificate"
)

// EndKinds returns all of them.
func EndKinds() []EndKind {
	return []EndKind{EndServerCertificate, EndTrustedCertificate, EndClientSecret, EndClientCertificate, EndSignIn, EndOwnCertificate}
}

// End is something of the mail server that ends on a day.
type End struct {
	Kind EndKind
	What string
	At   time.Time
	// Advice says how it is renewed, in a sentence or two.
	Advice string
}

// advice says how something that ends is renewed without an interruption.
func (p Profile) advice(k EndKind) string {
	where := "at the provider"
	if p.OAuth.Provider == oauth.Microsoft {
		where = "in Microsoft Entra, under Certificates & secrets of the app registration,"
	}
	switch k {
	case EndServerCertificate:
		return "Whoever runs the mail server renews it there; nothing is to be done here if its authority stays the same. Large providers do so by themselves."
	case EndTrustedCertificate:
		return "Add the new certificate to those that are trusted for the mail server before the old one ends, and remove the old one afterwards."
	case EndClientSecret:
		return "Make a second client secret " + where + " and enter its value and its end in the mail server settings. The old one goes on working meanwhile, so that nothing stops; delete it afterwards."
	case EndClientCertificate:
		return "Add a second certificate " + where + " and enter it with its key in the mail server settings. The old one goes on working meanwhile, so that nothing stops; delete it afterwards."
	case EndOwnCertificate:
		return "Whoever runs Sealpost puts a new certificate and its key into the files that mail.client_certificate and mail.client_key name. Sealpost reads them by itself, without a restart."
	default:
		return "Sealpost uses the sign-in every day so that it does not end, and has not been able to for weeks. Look at what the mail server settings say, and sign in again there."
	}
}

// Warn tells that the end is near: 30 days or less away at now.
func (e End) Warn(now time.Time) bool { return e.At.Sub(now) <= 30*24*time.Hour }

const (
	// A refresh token that nobody uses ends after 90 days at Microsoft and
	// after six months at Google.
	microsoftIdle = 90 * 24 * time.Hour
	googleIdle    = 182 * 24 * time.Hour
	// busyShare is the part of the daily recipients from which on pages warn.
	busyShare = 0.8
)

// Ends lists what of the profile ends, the next first. RefreshAt is when the
// sign-in of a person was last used, own when the certificate ends that this
// machine shows to the server; both are zero where there is none.
func (p Profile) Ends(anchors []trust.Anchor, refreshAt, own time.Time) []End {
	var out []End
	add := func(k EndKind, what string, at time.Time) {
		if !at.IsZero() {
			out = append(out, End{Kind: k, What: what, At: at, Advice: p.advice(k)})
		}
	}
	add(EndServerCertificate, "The mail server's certificate", p.ServerCertificateEnds)
	for _, a := range anchors {
		// A pin does not look at dates.
		if c, err := x509.ParseCertificate(a.DER); err == nil && a.Mode == trust.ModeAnchor {
			add(EndTrustedCertificate, "The trusted certificate "+trust.Describe(c).Subject, c.NotAfter)
		}
	}
	if p.Auth == AuthOAuth {
		kind := EndClientSecret
		if p.OAuth.ClientAuth == oauth.ByCertificate {
			kind = EndClientCertificate
		}
		add(kind, "The "+p.OAuth.SecretName(), p.OAuth.SecretEnds)
	}
	if p.WantsSignIn() && !refreshAt.IsZero() {
		switch p.OAuth.Provider {
		case oauth.Microsoft:
			add(EndSignIn, "The sign-in at Microsoft (unless it is used)", refreshAt.Add(microsoftIdle))
		case oauth.Google:
			add(EndSignIn, "The sign-in at Google (unless it is used)", refreshAt.Add(googleIdle))
		}
	}
	add(EndOwnCertificate, "The client certificate for the mail server", own)
	slices.SortStableFunc(out, func(a, b End) int { return a.At.Compare(b.At) })
	return out
}

// Notes returns what an administrator should know about a profile that works:
// whether somebody has signed in for it, and how many recipients it sent to in
// the last day, the caller knows.
func (p Profile) Notes(signedIn bool, sentToday int) []string {
	var notes []string
	note := func(when bool, sentence string) {
		if when {
			notes = append(notes, sentence)
		}
	}
	note(p.InClear(), "The password travels in clear: everybody on the way to the mail server can read it.")
	note(!p.InClear() && p.Exposed(), "Letters and the links in them travel in clear. Choose TLS or SSL if the server offers it.")
	byPassword := p.Kind == KindSMTP && (p.Auth == AuthTyped || p.Auth == AuthAccount)
	note(byPassword && p.highVolume(), "Microsoft takes passwords for High Volume Email until September 2028. Move to OAuth 2.0 before.")
	note(byPassword && p.mailbox(), "Microsoft switches off the sign-in with a password by default at the end of December 2026. Choose Microsoft Exchange Online as the mail server to sign in with OAuth 2.0 instead.")
	o := p.OAuth
	note(p.Auth == AuthOAuth && o.Provider != oauth.Google && o.HasCredential() && o.SecretEnds.IsZero(), "Nobody knows here when the "+o.SecretName()+" ends. Type its end in the settings, so that Sealpost reminds you before.")
	note(p.SavedAnyway(), "These settings were saved without a passed test.")
	note(p.WantsSignIn() && signedIn && p.TestedAt.IsZero() && p.LastAccepted.IsZero(), "No letter has left with these settings yet. Send a test mail: only that shows whether the mailbox may send as the sender.")
	if day := p.Limits().PerDay; day > 0 && float64(sentToday) >= busyShare*float64(day) {
		note(true, fmt.Sprintf("Mail went to %d recipients in the last 24 hours. The mailbox takes %d.", sentToday, day))
	}
	return notes
}
