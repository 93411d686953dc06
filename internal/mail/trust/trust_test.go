package trust_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/trust"
)

// newLab is a lab at a time that does not change.
func newLab(t testing.TB) *smtptest.Lab {
	return smtptest.NewLab(t, time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
}

func policy(lab *smtptest.Lab, c smtptest.Case) trust.Policy {
	p := trust.Policy{Host: c.Host, Roots: x509.NewCertPool(), Now: lab.Now}
	for _, cert := range c.Import {
		p.Anchors = append(p.Anchors, trust.Anchor{DER: cert.Raw, Mode: trust.ModeAnchor})
	}
	for _, cert := range c.Pin {
		p.Anchors = append(p.Anchors, trust.Anchor{DER: cert.Raw, Mode: trust.ModePin})
	}
	return p
}

// chain is what a server shows.
func chain(t *testing.T, c smtptest.Case) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	for _, der := range c.Server.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cert)
	}
	return out
}

// plainGo is what the library alone says: "ok", "unknown", "host", "invalid"
// with the reason, or "weak".
func plainGo(t *testing.T, lab *smtptest.Lab, c smtptest.Case) string {
	t.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, cert := range c.Import {
		roots.AddCert(cert)
	}
	shown := chain(t, c)
	for _, cert := range shown[1:] {
		between.AddCert(cert)
	}
	name := c.Host
	if net.ParseIP(name) != nil {
		name = "[" + name + "]"
	}
	_, err := shown[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name, CurrentTime: lab.Now()})
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &host):
		return "host"
	case errors.As(err, &invalid):
		return fmt.Sprintf("invalid %d", invalid.Reason)
	case strings.Contains(err.Error(), "insecure algorithm"):
		return "weak"
	case errors.As(err, &unknown):
		return "unknown"
	}
	return err.Error()
}

// Each certificate of the world, and what is said about it. What plain Go says
// stands beside it: where that is another verdict, it is the guard's control.
func TestCertificateCases(t *testing.T) {
	lab := newLab(t)
	wants := map[string]struct {
		plain, code     string
		canTrust, canPn bool
		says            string
	}{
		"C1": {"ok", "", false, false, ""}, "C1b": {"ok", "", false, false, ""},
		"C2a":  {"unknown", trust.CodeUnknown, true, true, "vouches for the certificate of mail.example.org"},
		"C2b":  {"unknown", trust.CodeUnknown, true, true, "Nobody known here"},
		"C2c":  {"ok", "", false, false, ""},
		"C3a":  {"host", trust.CodeName, false, true, "other.example.org, smtp.example.net"},
		"C3b":  {"host", trust.CodeName, false, true, "*.example.org"},
		"C4":   {"invalid 1", trust.CodeExpired, false, false, "expired on 28 February 2026"},
		"C5":   {"invalid 1", trust.CodeNotYet, false, false, "valid from 2 March 2026 on"},
		"C6":   {"unknown", trust.CodeUnknown, true, true, "mail.example.org"},
		"C7":   {"ok", "", false, false, ""},
		"C7b":  {"unknown", "", false, false, ""},
		"C8a":  {"host", trust.CodeName, false, true, "appliance.lan"},
		"C8b":  {"invalid 1", trust.CodeExpired, false, true, "expired on"},
		"C8c":  {"host", "", false, false, ""},
		"C8d":  {"invalid 1", "", false, false, ""},
		"C9a":  {"host", trust.CodeLegacyName, false, true, "outdated way"},
		"C9b":  {"host", "", false, false, ""},
		"C10":  {"ok", "", false, false, ""},
		"C11a": {"host", trust.CodeName, false, true, "not for 127.0.0.1"},
		"C11b": {"host", trust.CodeName, false, true, "mail.example.org"},
		"C12a": {"invalid 4", trust.CodeUsage, false, false, "not meant for a server"},
		"C12b": {"invalid 4", trust.CodeUsage, false, false, "not meant for a server"},
		"C13":  {"invalid 2", trust.CodeConstraint, false, false, "may not vouch"},
		"C14":  {"ok", "", false, false, ""},
		"C15":  {"unknown", trust.CodeUnknown, true, true, ""},
		"C16":  {"invalid 1", trust.CodeExpired, false, false, "authority Old Root expired on"},
		"C17a": {"ok", trust.CodeWeakKey, false, false, "1024 bits, 2048"},
		"C17b": {"unknown", trust.CodeWeakKey, false, false, "1024 bits"},
		"C17c": {"ok", trust.CodeWeakKey, false, false, "224 bits, 256"},
		"C19a": {"weak", trust.CodeWeakSign, false, false, "SHA-1"},
		"C19b": {"weak", trust.CodeWeakSign, false, false, "MD5"},
		"C20":  {"ok", "", false, false, ""}, // the certificate is good, see TestOldTLSIsRefused
		"C21":  {"unknown", trust.CodePinChanged, false, true, "Pinned: "},
	}
	for _, c := range lab.Cases() {
		want, ok := wants[c.ID]
		if !ok {
			t.Errorf("%s (%s) has no expectation", c.ID, c.What)
			continue
		}
		delete(wants, c.ID)
		if got := plainGo(t, lab, c); got != want.plain {
			t.Errorf("%s (%s): plain Go says %q, want %q", c.ID, c.What, got, want.plain)
		}
		v := policy(lab, c).Check(chain(t, c))
		if (v == nil) != (c.Good || c.Old) {
			t.Errorf("%s (%s): got %v", c.ID, c.What, v)
		}
		if v == nil {
			continue
		}
		if v.Code != want.code || v.CanTrust != want.canTrust || v.CanPin != want.canPn || !strings.Contains(v.Sentence, want.says) {
			t.Errorf("%s (%s): got %s, trust %v, pin %v: %s\nwant %+v", c.ID, c.What, v.Code, v.CanTrust, v.CanPin, v.Sentence, want)
		}
		checkVerdict(t, c, v)
	}
	for id := range wants {
		t.Errorf("there is no case %s", id)
	}
}

// checkVerdict wants whole sentences and the certificate to show.
func checkVerdict(t *testing.T, c smtptest.Case, v *trust.Verdict) {
	t.Helper()
	for _, s := range []string{v.Sentence, v.Advice} {
		if !strings.HasSuffix(s, ".") || strings.Contains(s, "x509") {
			t.Errorf("%s: %q is no sentence for a person", c.ID, s)
		}
	}
	if len(v.Chain) != len(c.Server.Certificate) || v.Chain[0].Fingerprint != trust.Colons(trust.Fingerprint(c.Leaf().Raw)) {
		t.Errorf("%s: the chain to show is %v", c.ID, v.Chain)
	}
	if v.Code == trust.CodePinChanged {
		for _, cert := range []*x509.Certificate{c.Pin[0], c.Leaf()} {
			if !strings.Contains(v.Sentence, trust.Colons(trust.Fingerprint(cert.Raw))) {
				t.Errorf("%s: %q does not tell both fingerprints", c.ID, v.Sentence)
			}
		}
	}
}

// What the verdict offers settles the matter.
func TestWhatIsOfferedSettlesIt(t *testing.T) {
	lab := newLab(t)
	for _, c := range lab.Cases() {
		p := policy(lab, c)
		shown := chain(t, c)
		v := p.Check(shown)
		if v == nil {
			continue
		}
		with := func(cert *x509.Certificate, m trust.Mode) bool {
			q := p
			q.Anchors = append(q.Anchors[:len(q.Anchors):len(q.Anchors)], trust.Anchor{DER: cert.Raw, Mode: m})
			return q.Check(shown) == nil
		}
		for _, cert := range []*x509.Certificate{shown[0], shown[len(shown)-1]} {
			if v.CanTrust && !with(cert, trust.ModeAnchor) {
				t.Errorf("%s (%s): trusting %s was offered and does not settle it", c.ID, c.What, cert.Subject)
			}
		}
		if pinned := with(shown[0], trust.ModePin); v.CanPin && !pinned {
			t.Errorf("%s (%s): pinning was offered and does not settle it", c.ID, c.What)
		}
	}
}

// C20: TLS 1.1 is refused in the handshake. The control lets it through.
func TestOldTLSIsRefused(t *testing.T) {
	lab := newLab(t)
	for _, c := range lab.Cases() {
		if !c.Old {
			continue
		}
		cfg := policy(lab, c).TLSConfig()
		if err := handshake(t, cfg, c.Config()); err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("%s: %v", c.ID, err)
		}
		cfg.MinVersion = tls.VersionTLS10
		if err := handshake(t, cfg, c.Config()); err != nil {
			t.Errorf("control: %v", err)
		}
	}
}

// The policy is asked in the handshake itself, each time, and its verdict is
// the error.
func TestTheHandshakeAsksThePolicy(t *testing.T) {
	lab := newLab(t)
	for _, c := range lab.Cases() {
		if c.Old {
			continue
		}
		cfg := policy(lab, c).TLSConfig()
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for range 2 {
			err := handshake(t, cfg, c.Config())
			if v := (*trust.Verdict)(nil); (err == nil) != c.Good || err != nil && !errors.As(err, &v) {
				t.Errorf("%s (%s): %v", c.ID, c.What, err)
			}
		}
		if cfg.ServerName != c.Host {
			t.Errorf("%s: the server is asked for %q", c.ID, cfg.ServerName)
		}
		// The guard's control: without the policy everything is believed.
		cfg.VerifyConnection = nil
		if err := handshake(t, cfg, c.Config()); err != nil {
			t.Errorf("%s: control: %v", c.ID, err)
		}
	}
}

func handshake(t *testing.T, client, server *tls.Config) error {
	t.Helper()
	conn, err := smtptest.Start(t, smtptest.Script{smtptest.Handshake(server)}).Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return tls.Client(conn, client).HandshakeContext(t.Context())
}

// C18: Go makes no RSA key of 512 bits; a certificate with one is refused
// wherever it comes from.
func TestRSAOf512Bits(t *testing.T) {
	cert, err := x509.ParseCertificate(smtptest.RSA512())
	if err != nil {
		t.Fatal(err)
	}
	p := trust.Policy{
		Host: smtptest.Host, Roots: x509.NewCertPool(), Now: func() time.Time { return cert.NotBefore.Add(time.Hour) },
		Anchors: []trust.Anchor{{DER: cert.Raw, Mode: trust.ModeAnchor}, {DER: cert.Raw, Mode: trust.ModePin}},
	}
	if v := p.Check([]*x509.Certificate{cert}); v == nil || v.Code != trust.CodeWeakKey {
		t.Errorf("got %v", v)
	}
	if _, err := trust.Parse(cert.Raw); err == nil || !strings.Contains(fault.Sentence(err), "512 bits") {
		t.Errorf("the import says %v", err)
	}
}

// A server's certificate that is weak anywhere in its chain is refused although
// the system itself vouches for it.
func TestTheSystemsAuthoritiesDoNotMendWeakKeys(t *testing.T) {
	lab := newLab(t)
	root := lab.Make(smtptest.Order{Name: "System Root", CA: true})
	weak := lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: root, Key: smtptest.RSA1024})
	good := lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: root})
	p := trust.Policy{Host: smtptest.Host, Roots: x509.NewCertPool(), Now: lab.Now}
	p.Roots.AddCert(root.Certificate)
	if v := p.Check([]*x509.Certificate{good.Certificate}); v != nil {
		t.Errorf("control: %v", v)
	}
	if v := p.Check([]*x509.Certificate{weak.Certificate}); v == nil || v.Code != trust.CodeWeakKey {
		t.Errorf("got %v", v)
	}
	if v := p.Check(nil); v == nil || v.Code != trust.CodeOther {
		t.Errorf("no certificate at all: %v", v)
	}
}

// Whoever holds the server's name for a minute gets a certificate for it from
// a public authority: where a key is pinned, those are not asked.
func TestAPinLeavesNobodyElseToVouch(t *testing.T) {
	lab := newLab(t)
	public := lab.Make(smtptest.Order{Name: "Public Authority", CA: true})
	private := lab.Make(smtptest.Order{Name: "Own Authority", CA: true})
	own := lab.Make(smtptest.Order{DNS: []string{smtptest.Host}})
	p := trust.Policy{Host: smtptest.Host, Roots: x509.NewCertPool(), Now: lab.Now}
	p.Roots.AddCert(public.Certificate)
	taken := []*x509.Certificate{lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: public}).Certificate}
	if v := p.Check(taken); v != nil {
		t.Fatalf("control: %v", v)
	}
	p.Anchors = []trust.Anchor{{DER: own.Raw, Mode: trust.ModePin}}
	if v := p.Check(taken); v == nil || v.Code != trust.CodePinChanged {
		t.Errorf("beside the pin: %v", v)
	}
	if v := p.Check([]*x509.Certificate{own.Certificate}); v != nil {
		t.Errorf("the pinned one: %v", v)
	}
	// What was imported for this server vouches beside a pin.
	p.Anchors = append(p.Anchors, trust.Anchor{DER: private.Raw, Mode: trust.ModeAnchor})
	if v := p.Check([]*x509.Certificate{lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: private}).Certificate}); v != nil {
		t.Errorf("by the imported authority: %v", v)
	}
}

// What is trusted for a profile is no trust of its neighbour's, and an anchor
// that is no certificate any more is passed over.
func TestTheSystemsPoolIsNotChanged(t *testing.T) {
	lab := newLab(t)
	own := lab.Make(smtptest.Order{DNS: []string{smtptest.Host}})
	roots := x509.NewCertPool()
	p := trust.Policy{Host: smtptest.Host, Roots: roots, Now: lab.Now, Anchors: []trust.Anchor{{DER: []byte("junk")}, {DER: own.Raw, Mode: trust.ModeAnchor}}}
	if v := p.Check([]*x509.Certificate{own.Certificate}); v != nil {
		t.Errorf("got %v", v)
	}
	p.Anchors = nil
	if v := p.Check([]*x509.Certificate{own.Certificate}); v == nil {
		t.Error("the pool of the system kept a certificate of one profile")
	}
	if !roots.Equal(x509.NewCertPool()) {
		t.Error("the pool was changed")
	}
}

// C22: what is imported is a certificate, or refused in words. Nothing of a
// private key is said again.
func TestImportsAreRefused(t *testing.T) {
	lab := newLab(t)
	cert := lab.Make(smtptest.Order{Name: "Example Root", CA: true})
	many := bytes.Repeat(cert.PEM(), 500)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(cert.Key)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(cert.Key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	strong := lab.Make(smtptest.Order{CA: true, Key: smtptest.RSA2048})
	key := func(name string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: name, Bytes: der})
	}
	p12, err := os.ReadFile(filepath.Join("testdata", "key.p12"))
	if err != nil {
		t.Fatal(err)
	}
	weak := lab.Make(smtptest.Order{Key: smtptest.RSA1024})
	for what, tt := range map[string]struct {
		data []byte
		says string
	}{
		"a key, PKCS#8":             {key("PRIVATE KEY", pkcs8), "must not leave"},
		"a key, SEC 1":              {key("EC PRIVATE KEY", sec1), "must not leave"},
		"a key, PKCS#1":             {key("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(strong.Key.(*rsa.PrivateKey))), "must not leave"},
		"an encrypted key":          {key("ENCRYPTED PRIVATE KEY", pkcs8), "must not leave"},
		"a key, OpenSSH":            {key("OPENSSH PRIVATE KEY", pkcs8), "must not leave"},
		"a key behind the cert":     {append(cert.PEM(), key("PRIVATE KEY", pkcs8)...), "must not leave"},
		"a key before the cert":     {append(key("PRIVATE KEY", pkcs8), cert.PEM()...), "must not leave"},
		"a key after many others":   {append(bytes.Repeat(cert.PEM(), 20), key("PRIVATE KEY", pkcs8)...), "must not leave"},
		"a key with broken armour":  {[]byte(strings.Replace(string(key("PRIVATE KEY", pkcs8)), "-----END PRIVATE KEY-----", "", 1)), "must not leave"},
		"a key, DER PKCS#8":         {pkcs8, "must not leave"},
		"a key, DER SEC 1":          {sec1, "must not leave"},
		"a key, DER PKCS#1":         {x509.MarshalPKCS1PrivateKey(strong.Key.(*rsa.PrivateKey)), "must not leave"},
		"PKCS#12":                   {p12, ".p12"},
		"garbage":                   {[]byte("hello, this is a certificate"), "not a certificate"},
		"garbage in PEM":            {key("CERTIFICATE", []byte("junk")), "not a certificate"},
		"half a certificate":        {cert.Raw[:len(cert.Raw)/2], "not a certificate"},
		"a certificate and more":    {append(append([]byte{}, cert.Raw...), 0), "not a certificate"},
		"PEM of something else":     {key("CERTIFICATE REQUEST", []byte("junk")), "no certificate"},
		"PEM without an end":        {[]byte("-----BEGIN CERTIFICATE-----\nAAAA"), "no certificate"},
		"nothing":                   {nil, "empty"},
		"white space":               {[]byte(" \n\t"), "empty"},
		"ten megabytes":             {bytes.Repeat([]byte("A"), 10<<20), "larger than 1 MiB"},
		"a megabyte of PEM headers": {bytes.Repeat([]byte("-----BEGIN CERTIFICATE-----\n"), 30000), "no certificate"},
		"500 certificates":          {many, "more than 20"},
		"21 certificates":           {bytes.Repeat(cert.PEM(), 21), "more than 20"},
		"RSA of 1024 bits":          {weak.PEM(), "1024 bits"},
	} {
		began := time.Now()
		got, err := trust.Parse(tt.data)
		if err == nil || len(got) > 0 || !strings.Contains(fault.Sentence(err), tt.says) {
			t.Errorf("%s: %d certificates, %v; want %q", what, len(got), err, tt.says)
		}
		if f := fault.Fields(err); len(f) != 1 || f[0].Field != "certificate" {
			t.Errorf("%s: stands against %v", what, f)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: refused after %s", what, took)
		}
		if text := fmt.Sprint(err); len(text) > 400 {
			t.Errorf("%s: the error repeats what was pasted: %s", what, text)
		}
	}
	for what, data := range map[string][]byte{
		"PEM": cert.PEM(), "DER": cert.Raw, "PEM with words": append([]byte("subject=Example\n"), cert.PEM()...), "20 of them": bytes.Repeat(cert.PEM(), 20),
		"PEM of Windows": bytes.ReplaceAll(cert.PEM(), []byte("\n"), []byte("\r\n")),
		"OpenSSL's own":  key("TRUSTED CERTIFICATE", cert.Raw), "Ed25519": lab.Make(smtptest.Order{CA: true, Key: smtptest.Ed25519}).PEM(),
	} {
		got, err := trust.Parse(data)
		if err != nil || len(got) == 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What stands on a card is what an administrator compares.
func TestCards(t *testing.T) {
	lab := newLab(t)
	root := lab.Make(smtptest.Order{Name: "Example Root", CA: true, Key: smtptest.RSA2048})
	leaf := lab.Make(smtptest.Order{Name: "evil\x1b[2J\u202e\u200b", DNS: []string{"a.example.org"}, IP: []net.IP{net.IPv4(192, 0, 2, 1)}, By: root})
	c := trust.Describe(leaf.Certificate)
	if c.Issuer != "Example Root" || fmt.Sprint(c.Names) != "[a.example.org 192.0.2.1]" || c.Key != "ECDSA P-256" || c.IsCA || c.SelfSigned || len(c.Fingerprint) != 95 || c.Serial == "" {
		t.Errorf("got %+v", c)
	}
	if strings.ContainsFunc(c.Subject, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
		t.Errorf("the subject is %q", c.Subject)
	}
	c = trust.Describe(root.Certificate)
	if c.Key != "RSA 2048" || !c.IsCA || !c.SelfSigned || c.Signature != "SHA256-RSA" {
		t.Errorf("got %+v", c)
	}
	nameless := trust.Describe(lab.Make(smtptest.Order{Key: smtptest.Ed25519}).Certificate)
	if nameless.Subject != "(no name)" || nameless.Key != "Ed25519" {
		t.Errorf("got %+v", nameless)
	}
	if got := trust.Describe(&x509.Certificate{PublicKey: ed25519.PublicKey{}, SerialNumber: leaf.SerialNumber, PublicKeyAlgorithm: x509.Ed25519}); got.Key != "Ed25519" {
		t.Errorf("got %+v", got)
	}
}

func TestSetDigest(t *testing.T) {
	lab := newLab(t)
	a, b := lab.Make(smtptest.Order{}).Raw, lab.Make(smtptest.Order{}).Raw
	one := []trust.Anchor{{DER: a, Mode: trust.ModeAnchor}, {DER: b, Mode: trust.ModePin}}
	other := []trust.Anchor{one[1], one[0]}
	if trust.SetDigest(one) != trust.SetDigest(other) {
		t.Error("the order counts")
	}
	other[0].Mode = trust.ModeAnchor
	if trust.SetDigest(one) == trust.SetDigest(other) || trust.SetDigest(one) == trust.SetDigest(one[:1]) || trust.SetDigest(nil) != "" {
		t.Error("two sets have one digest")
	}
}

// Whatever is pasted: certificates of strong keys come out, or nothing.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := trust.Parse(data)
		if err != nil {
			if len(certs) > 0 || len(fault.Fields(err)) != 1 {
				t.Fatalf("%d certificates beside %v", len(certs), err)
			}
			return
		}
		if len(certs) == 0 || len(certs) > trust.MaxCertificates || bytes.Contains(data, []byte("PRIVATE KEY-----\n")) {
			t.Fatalf("%d certificates", len(certs))
		}
		for _, c := range certs {
			card := trust.Describe(c)
			for _, text := range append(card.Names, card.Subject, card.Issuer) {
				if strings.ContainsFunc(text, unicode.IsControl) {
					t.Fatalf("the card says %q", text)
				}
			}
		}
	})
}
