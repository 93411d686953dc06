package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Policy decides about a server.
type Policy struct {
	// Host is the name or address that the administrator typed.
	Host string
	// Anchors are trusted beside the roots.
	Anchors []Anchor
	// Roots are the system's where it is nil.
	Roots *x509.CertPool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// The codes of verdicts.
const (
	CodeUnknown    = "unknown_authority"
	CodeName       = "wrong_name"
	CodeLegacyName = "legacy_name"
	CodeExpired    = "expired"
	CodeNotYet     = "not_yet_valid"
	CodeWeakKey    = "weak_key"
	CodeWeakSign   = "weak_signature"
	CodeUsage      = "bad_usage"
	CodeConstraint = "name_constraint"
	CodePinChanged = "pin_changed"
	CodeOther      = "not_valid"
)

// Verdict is a refusal with its reason. It is the error of the handshake.
type Verdict struct {
	Code string
	// Sentence says what is wrong, Advice what to do.
	Sentence, Advice string
	// Chain are the certificates that the server sent, its own first.
	Chain []Card
	// CanTrust tells that trusting the server's certificate, or the last one
	// of the chain, would settle it; CanPin that pinning its key would.
	CanTrust, CanPin bool
}

// Error returns the sentence.
func (v *Verdict) Error() string { return "trust: " + v.Code + ": " + v.Sentence }

// TLSConfig returns the client's side of TLS 1.2 or later with this policy.
func (p Policy) TLSConfig() *tls.Config {
	return &tls.Config{
		ServerName: p.Host,
		MinVersion: tls.VersionTLS12,
		// The library's own verification cannot be explained or pinned.
		// VerifyConnection runs for every handshake, resumed ones included.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if v := p.Check(s.PeerCertificates); v != nil {
				return v
			}
			return nil
		},
	}
}

// Check returns nil when the chain proves the host, else why not.
func (p Policy) Check(chain []*x509.Certificate) *Verdict {
	if len(chain) == 0 {
		return &Verdict{Code: CodeOther, Sentence: "The server showed no certificate.", Advice: "Give the mail server a certificate."}
	}
	v := p.check(chain)
	if v == nil {
		return nil
	}
	for i, c := range chain {
		if i == 10 {
			break
		}
		v.Chain = append(v.Chain, Describe(c))
	}
	return v
}

// Ends returns when a server's certificate stops proving the host: never, which
// is the zero time, where its key is pinned, for a pin does not look at dates.
func (p Policy) Ends(leaf *x509.Certificate) time.Time {
	for _, a := range p.Anchors {
		if c, err := x509.ParseCertificate(a.DER); err == nil && a.Mode == ModePin && SPKI(c) == SPKI(leaf) {
			return time.Time{}
		}
	}
	return leaf.NotAfter
}

func (p Policy) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

func (p Policy) check(chain []*x509.Certificate) *Verdict {
	leaf := chain[0]
	for _, c := range chain {
		if why := weakKey(c); why != "" {
			return &Verdict{
				Code: CodeWeakKey, Sentence: fmt.Sprintf("The certificate of %s is too weak: %s.", name(c), why),
				Advice: "Give the mail server a certificate with an RSA key of 2048 bits or an ECDSA key of 256 bits or more.",
			}
		}
	}
	var pinned string
	var imported []*x509.Certificate
	for _, a := range p.Anchors {
		c, err := x509.ParseCertificate(a.DER)
		switch {
		case err != nil:
		case a.Mode != ModePin:
			imported = append(imported, c)
		case SPKI(c) == SPKI(leaf):
			return nil
		default:
			pinned = Colons(Fingerprint(a.DER))
		}
	}
	roots, err := p.roots(pinned != "")
	if err != nil {
		return &Verdict{Code: CodeOther, Sentence: "The system's list of authorities cannot be read.", Advice: "Install the system's CA certificates (ca-certificates)."}
	}
	for _, c := range imported {
		roots.AddCert(c)
	}
	v := p.verify(leaf, chain[1:], roots)
	if v != nil && pinned != "" {
		return &Verdict{
			Code:     CodePinChanged,
			Sentence: fmt.Sprintf("The server shows another key than the one that is pinned. Pinned: %s. Shown: %s.", pinned, Colons(Fingerprint(leaf.Raw))),
			Advice:   "If the mail server got a new certificate, compare the fingerprint there, pin the new one and remove the old. If not, somebody may be in between: do not pin it.",
			CanPin:   true,
		}
	}
	return v
}

// roots returns who vouches for servers beside what was imported: nobody where
// a key is pinned, since whoever holds the server's name for a minute gets a
// certificate for it from a public authority.
func (p Policy) roots(pins bool) (*x509.CertPool, error) {
	if pins {
		return x509.NewCertPool(), nil
	}
	if p.Roots != nil {
		return p.Roots.Clone(), nil
	}
	return x509.SystemCertPool()
}

func (p Policy) verify(leaf *x509.Certificate, rest []*x509.Certificate, roots *x509.CertPool) *Verdict {
	between := x509.NewCertPool()
	for _, c := range rest {
		between.AddCert(c)
	}
	now := p.now()
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, DNSName: p.dnsName(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err == nil {
		return nil
	}
	return p.explain(err, leaf, now)
}

// dnsName writes an IP address the way x509 wants it.
func (p Policy) dnsName() string {
	if a, err := netip.ParseAddr(p.Host); err == nil {
		return "[" + a.Unmap().String() + "]"
	}
	return p.Host
}

func (p Policy) explain(err error, leaf *x509.Certificate, now time.Time) *Verdict {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var weak x509.InsecureAlgorithmError
	var constraint x509.ConstraintViolationError
	switch {
	case errors.As(err, &host):
		return p.explainName(leaf)
	case errors.As(err, &weak):
		return weakSignature()
	case errors.As(err, &constraint):
		return &Verdict{Code: CodeConstraint, Sentence: "The authority may not vouch for this name.", Advice: "Ask for a certificate from an authority that may."}
	case errors.As(err, &invalid):
		return p.explainInvalid(invalid, leaf, now)
	case errors.As(err, &unknown):
		if strings.Contains(err.Error(), "insecure algorithm") {
			return weakSignature()
		}
		// The library reports the name last; who is asked to trust a
		// certificate should hear of everything that is wrong with it.
		if leaf.VerifyHostname(p.dnsName()) != nil {
			v := p.explainName(leaf)
			v.Sentence = "Nobody known here vouches for the server's certificate, and " + strings.ToLower(v.Sentence[:1]) + v.Sentence[1:]
			return v
		}
		return &Verdict{
			Code:     CodeUnknown,
			Sentence: fmt.Sprintf("Nobody known here vouches for the certificate of %s.", name(leaf)),
			Advice:   "If this is your own server, compare the fingerprint with the one shown there, and trust the certificate for this server, or import the certificate of the authority that issued it.",
			CanTrust: true, CanPin: true,
		}
	}
	return &Verdict{Code: CodeOther, Sentence: "The server's certificate is not valid: " + clean(err.Error()) + ".", Advice: "Give the mail server a valid certificate."}
}

func weakSignature() *Verdict {
	return &Verdict{
		Code: CodeWeakSign, Sentence: "The certificate is signed with SHA-1 or MD5, which can be forged.",
		Advice: "Give the mail server a certificate signed with SHA-256.",
	}
}

func (p Policy) explainName(leaf *x509.Certificate) *Verdict {
	card := Describe(leaf)
	if len(card.Names) == 0 {
		return &Verdict{
			Code:     CodeLegacyName,
			Sentence: fmt.Sprintf("The certificate names %s in an outdated way that cannot be checked.", card.Subject),
			Advice:   "Give the mail server a certificate with a subject alternative name, or pin this certificate's key.",
			CanPin:   true,
		}
	}
	advice := "Type the server's name as the certificate has it, or pin this certificate's key."
	if _, err := netip.ParseAddr(p.Host); err == nil {
		advice = "Type the server's name instead of its address, or pin this certificate's key."
	}
	names := card.Names
	if len(names) > 10 {
		names = append(names[:10:10], "…")
	}
	return &Verdict{
		Code:     CodeName,
		Sentence: fmt.Sprintf("The certificate is for %s, not for %s.", strings.Join(names, ", "), clean(p.Host)),
		Advice:   advice, CanPin: true,
	}
}

func (p Policy) explainInvalid(e x509.CertificateInvalidError, leaf *x509.Certificate, now time.Time) *Verdict {
	c := e.Cert
	if c == nil {
		c = leaf
	}
	const day = "2 January 2006"
	switch e.Reason {
	case x509.Expired:
		whose := "The server's certificate"
		if !c.Equal(leaf) {
			whose = "The certificate of the authority " + name(c)
		}
		if now.Before(c.NotBefore) {
			return &Verdict{
				Code:     CodeNotYet,
				Sentence: fmt.Sprintf("%s is valid from %s on; here it is %s.", whose, c.NotBefore.UTC().Format(day), now.UTC().Format(day)),
				Advice:   "Check the clock of this machine and of the mail server.",
			}
		}
		return &Verdict{
			Code: CodeExpired, Sentence: fmt.Sprintf("%s expired on %s.", whose, c.NotAfter.UTC().Format(day)),
			Advice: "Renew it on the mail server.", CanPin: c.Equal(leaf) && Describe(leaf).SelfSigned,
		}
	case x509.IncompatibleUsage:
		return &Verdict{Code: CodeUsage, Sentence: "The certificate is not meant for a server.", Advice: "Give the mail server a certificate with the usage \"server authentication\"."}
	case x509.CANotAuthorizedForThisName, x509.UnconstrainedName, x509.TooManyConstraints, x509.CANotAuthorizedForExtKeyUsage:
		return &Verdict{Code: CodeConstraint, Sentence: "The authority may not vouch for this name.", Advice: "Ask for a certificate from an authority that may."}
	}
	return &Verdict{Code: CodeOther, Sentence: "The server's certificate is not valid: " + clean(e.Error()) + ".", Advice: "Give the mail server a valid certificate."}
}
