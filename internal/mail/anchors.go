package mail

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// Trusted is a certificate that is trusted for the profile.
type Trusted struct {
	trust.Card
	Mode trust.Mode
	// Hex is the SHA-256 of the certificate in lower-case hexadecimal.
	Hex     string
	AddedBy string
	AddedAt time.Time
}

// TrustChange is what came of a change of the trusted certificates.
type TrustChange struct {
	// Changed are the certificates added or removed.
	Changed []Trusted
	// Trusted are all that are trusted now.
	Trusted []Trusted
	// Paused says why mail is paused since, or is empty.
	Paused string
}

func trusted(anchors []trust.Anchor) []Trusted {
	out := make([]Trusted, 0, len(anchors))
	for _, a := range anchors {
		c, err := x509.ParseCertificate(a.DER)
		if err != nil {
			continue
		}
		out = append(out, Trusted{Card: trust.Describe(c), Mode: a.Mode, Hex: trust.Fingerprint(a.DER), AddedBy: a.AddedBy, AddedAt: a.AddedAt})
	}
	return out
}

// TrustList returns the certificates that are trusted for the profile.
func (s *Service) TrustList(ctx context.Context, by actor.Actor) ([]Trusted, error) {
	if err := manage(by); err != nil {
		return nil, err
	}
	var out []Trusted
	err := s.db.View(ctx, func(tx *store.Tx) error {
		p, ok, err := s.active(tx, false)
		if err != nil || !ok {
			return err
		}
		anchors, err := record.Anchors(tx, p.ID)
		out = trusted(anchors)
		return err
	})
	return out, err
}

// TrustImport trusts the certificates in files, each PEM or DER, in the given
// mode for the profile. The typed password of the profile is bound to the set
// of trusted certificates: without it, mail is paused until it is typed again.
// The same holds for an account that by may not use. Another set than before
// wants a fresh proof of who asks.
//
// Where the profile signs in with OAuth 2.0, password is the client's secret:
// who knows it takes along the tokens to the new set. Without it, or where the
// client has none, mail is paused until somebody types it or signs in at the
// provider; nothing is forgotten, so that the set of before works again. A secret
// that is typed after that is a new one, whose tokens nobody has yet.
func (s *Service) TrustImport(ctx context.Context, by actor.Actor, files [][]byte, mode trust.Mode, password secret.Value) (TrustChange, error) {
	c := Change{}
	for _, f := range files {
		c.Trust = append(c.Trust, Candidate{DER: f, Mode: mode})
	}
	if len(files) == 0 {
		return TrustChange{}, fault.Invalid("certificate", "Choose a file with a certificate.")
	}
	return s.changeTrust(ctx, by, c, password)
}

// minPrefix is how many digits of a fingerprint name a certificate.
const minPrefix = 8

// TrustRemove stops trusting the certificate whose SHA-256 begins with the
// given hexadecimal digits, colons allowed, at least eight of them. For the
// password see [Service.TrustImport].
func (s *Service) TrustRemove(ctx context.Context, by actor.Actor, fingerprint string, password secret.Value) (TrustChange, error) {
	prefix := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(fingerprint), ":", ""))
	list, err := s.TrustList(ctx, by)
	if err != nil {
		return TrustChange{}, err
	}
	var found []string
	for _, t := range list {
		if strings.HasPrefix(t.Hex, prefix) {
			found = append(found, t.Hex)
		}
	}
	switch {
	case len(prefix) < minPrefix:
		return TrustChange{}, fault.Invalid("fingerprint", "Give at least the first eight digits of the fingerprint.")
	case len(found) == 0:
		return TrustChange{}, fault.NotFound("No trusted certificate has this fingerprint.")
	case len(found) > 1:
		return TrustChange{}, fault.Invalid("fingerprint", "Several certificates begin like this. Give more digits.")
	}
	return s.changeTrust(ctx, by, Change{Distrust: found}, password)
}

func (s *Service) changeTrust(ctx context.Context, by actor.Actor, c Change, password secret.Value) (TrustChange, error) {
	if err := manage(by); err != nil {
		return TrustChange{}, err
	}
	now, ok, err := s.Active(ctx)
	if err != nil {
		return TrustChange{}, err
	}
	switch {
	case !ok || now.Kind == KindCapture:
		return TrustChange{}, fault.NotFound("Set up a mail server first: certificates are trusted for it.")
	case now.OAuth.Via == ViaGraph:
		return TrustChange{}, fault.Invalid("certificate", "Letters leave through Microsoft Graph, for which the system's authorities vouch alone.")
	case password.IsZero():
	case now.Auth == AuthOAuth:
		if profile.Masked(password) {
			return TrustChange{}, fault.Invalid("password", "Type the "+now.OAuth.SecretName()+" itself. Marks that are shown in its place are not it.")
		}
	default:
		if err := profile.CheckPassword(password); err != nil {
			return TrustChange{}, err
		}
	}
	// Asked before the transaction: the vault reads the same database.
	consent := now.Auth == AuthAccount && MayUse(ctx, s.secrets, by, now.AccountID) == nil
	var out TrustChange
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		st, ok, err := s.find(tx, true)
		if err != nil {
			return err
		}
		if !ok || st.Revision != now.Revision {
			return errStale
		}
		out, err = s.storeTrust(tx, by, st, c, password, consent)
		return err
	})
	return out, err
}

// storeTrust writes the changed set, binds the secret to it where that can be
// done, and pauses where it cannot.
func (s *Service) storeTrust(tx *store.Tx, by actor.Actor, st record.Row, c Change, password secret.Value, consent bool) (TrustChange, error) {
	before, err := record.Anchors(tx, st.ID)
	if err != nil {
		return TrustChange{}, err
	}
	after, err := c.Anchors(before, by.Login, tx.Now())
	if err != nil {
		return TrustChange{}, err
	}
	out := TrustChange{Trusted: trusted(after), Changed: changed(before, after)}
	same := trust.SetDigest(before) == trust.SetDigest(after)
	if same && password.IsZero() {
		return out, nil
	}
	if !same {
		// Whoever is trusted can read the links that let people in.
		if err := s.prove(by); err != nil {
			return TrustChange{}, err
		}
	}
	st.Revision++
	st.ChangedAt, st.ChangedBy, st.TestedAt = tx.Now(), by.Login, time.Time{}
	if pinned(after) {
		// Whether the server's certificate matches a pin, the next connection
		// tells.
		st.ServerCertificateEnds = time.Time{}
	}
	d := Draft{Profile: st.Profile, Anchors: after, password: password}
	if st.Auth == AuthOAuth {
		if err := s.takeAlong(tx, &st, before, d); err != nil {
			return out, err
		}
	}
	if st.Auth == AuthTyped && !password.IsZero() || st.Auth == AuthAccount && consent {
		if st.Sealed, err = s.seal(tx, d); err != nil {
			return out, err
		}
	}
	if d.password, err = s.opens(tx, st.Profile, after, st.Sealed); err != nil {
		return out, err
	}
	if err := record.WriteAnchors(tx, st.ID, after); err != nil {
		return out, err
	}
	why := bound(d)
	if why == nil {
		if why, err = s.missing(tx, d, Draft{}); err != nil {
			return out, err
		}
	}
	if why != nil && st.State != Stopped {
		out.Paused = why.Reason + " " + why.Advice
		if err := s.pause(tx, by, &st, *why); err != nil {
			return out, err
		}
	} else if err := s.rework(tx, st); err != nil {
		return out, err
	}
	return out, s.audit.Append(tx, by, audit.Event{
		Action: "mail.trust_changed", Kind: "mail_server", ID: st.ID, Name: st.Server(),
		Detail: []audit.Detail{{Name: "trusted certificates", Before: profile.Fingerprints(before), After: profile.Fingerprints(after)}},
	})
}

// takeAlong binds the client's secret, and the tokens, to the certificates that
// are trusted from now on, for who typed the secret. Tokens go with the secret
// that was proved to be theirs, and with no other: see [Service.moveTokens].
func (s *Service) takeAlong(tx *store.Tx, st *record.Row, before []trust.Anchor, d Draft) error {
	if d.password.IsZero() || !st.OAuth.HasCredential() {
		return nil
	}
	opened, err := s.opens(tx, st.Profile, before, st.Sealed)
	if err != nil {
		return err
	}
	known := !opened.IsZero()
	if known && !opened.Equal(d.password) {
		return fault.Invalid("password", "This is not the "+st.OAuth.SecretName()+" that is stored. Type that one, or replace it in the mail server settings first.")
	}
	if st.Sealed, err = s.seal(tx, d); err != nil {
		return err
	}
	if err := record.WriteOAuth(tx, *st); err != nil {
		return err
	}
	d.moves, d.resealed = known, true
	return s.moveTokens(tx, Draft{Profile: st.Profile, Anchors: before}, d)
}

func pinned(anchors []trust.Anchor) bool {
	return slices.ContainsFunc(anchors, func(a trust.Anchor) bool { return a.Mode == trust.ModePin })
}

// rework stores a profile that can be tried now, unless a person stopped it.
func (s *Service) rework(tx *store.Tx, st record.Row) error {
	if st.State != Stopped {
		work(&st, tx.Now())
		if err := s.gate.OpenGate(tx); err != nil {
			return err
		}
	}
	return record.Write(tx, st)
}

// changed returns what is in one set and not in the other.
func changed(before, after []trust.Anchor) []Trusted {
	has := func(set []trust.Anchor, a trust.Anchor) bool {
		return slices.ContainsFunc(set, func(b trust.Anchor) bool {
			return a.Mode == b.Mode && trust.Fingerprint(a.DER) == trust.Fingerprint(b.DER)
		})
	}
	var diff []trust.Anchor
	for _, a := range after {
		if !has(before, a) {
			diff = append(diff, a)
		}
	}
	for _, b := range before {
		if !slices.ContainsFunc(after, func(a trust.Anchor) bool { return trust.Fingerprint(a.DER) == trust.Fingerprint(b.DER) }) {
			diff = append(diff, b)
		}
	}
	return trusted(diff)
}
