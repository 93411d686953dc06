package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/sealpost/sealpost/internal/fault"
)

const (
	// MaxImport is the largest file, in bytes, and MaxCertificates the most
	// certificates, that are taken at once.
	MaxImport       = 1 << 20
	MaxCertificates = 20
	minRSA          = 2048
)

// Parse reads certificates from PEM, one or several, or from DER. Faults stand
// against the field "certificate". Nothing of a private key is kept or
// repeated.
func Parse(data []byte) ([]*x509.Certificate, error) {
	refuse := func(sentence string) ([]*x509.Certificate, error) { return nil, fault.Invalid("certificate", sentence) }
	if len(data) > MaxImport {
		return refuse("The file is larger than 1 MiB. Is it a certificate?")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return refuse("The file is empty.")
	}
	if holdsKey(data) {
		return refuse("The file holds a private key, which must not leave the mail server. Nothing of it was kept. Choose the file with the certificate alone.")
	}
	var ders [][]byte
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		rest := data
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type == "CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE" {
				ders = append(ders, block.Bytes)
			}
			if len(ders) > MaxCertificates {
				return refuse("The file holds more than 20 certificates. Choose the one of your own authority.")
			}
		}
	} else {
		ders = [][]byte{data}
	}
	var certs []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return refuse("This is not a certificate in PEM or DER form. A .pfx or .p12 file holds a private key and is not taken: export the certificate alone.")
		}
		if why := weakKey(c); why != "" {
			return refuse(fmt.Sprintf("The certificate of %s cannot be trusted: %s.", name(c), why))
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return refuse("The file holds no certificate.")
	}
	return certs, nil
}

// holdsKey finds private keys: in PEM wherever they stand, also where their
// armour is broken, and alone in DER.
func holdsKey(data []byte) bool {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return true
	}
	if _, err := x509.ParsePKCS8PrivateKey(data); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PrivateKey(data); err == nil {
		return true
	}
	_, err := x509.ParseECPrivateKey(data)
	return err == nil
}

// weakKey says why the key of c is too weak, or "".
func weakKey(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA {
			return fmt.Sprintf("its RSA key has %d bits, 2048 is the least", n)
		}
	case *ecdsa.PublicKey:
		if n := k.Curve.Params().BitSize; n < 256 {
			return fmt.Sprintf("its elliptic curve has %d bits, 256 is the least", n)
		}
	case ed25519.PublicKey:
	default:
		return "its kind of key is not supported"
	}
	return ""
}

// Fingerprint returns the SHA-256 of a certificate in lower-case hexadecimal.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// SPKI returns the SHA-256 of a certificate's public key (RFC 7469 2.4) in
// lower-case hexadecimal.
func SPKI(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Card is everything that a page shows of a certificate.
type Card struct {
	Subject, Issuer     string
	Names               []string
	NotBefore, NotAfter time.Time
	// Key is for example "RSA 2048" or "ECDSA P-256".
	Key       string
	Signature string
	// Fingerprint is the SHA-256 as people compare it: pairs with colons.
	Fingerprint string
	Serial      string
	SelfSigned  bool
	IsCA        bool
	DER         []byte
}

// Describe returns the card of c. Its texts hold no control characters.
func Describe(c *x509.Certificate) Card {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for i := range names {
		names[i] = clean(names[i])
	}
	return Card{
		Subject: name(c), Issuer: clean(orCommon(c.Issuer.CommonName, c.Issuer.String())), Names: names,
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Key: keyText(c), Signature: c.SignatureAlgorithm.String(),
		Fingerprint: Colons(Fingerprint(c.Raw)), Serial: c.SerialNumber.Text(16),
		SelfSigned: bytes.Equal(c.RawIssuer, c.RawSubject),
		IsCA:       c.IsCA, DER: c.Raw,
	}
}

func name(c *x509.Certificate) string {
	return clean(orCommon(c.Subject.CommonName, c.Subject.String()))
}

func orCommon(common, whole string) string {
	if common != "" {
		return common
	}
	if whole != "" {
		return whole
	}
	return "(no name)"
}

func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return '·'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

func keyText(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}

// Colons writes a fingerprint in pairs.
func Colons(fingerprint string) string {
	var b strings.Builder
	for i := 0; i+1 < len(fingerprint); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(fingerprint[i : i+2]))
	}
	return b.String()
}

// Mode is in which way a certificate is trusted.
type Mode string

// The modes.
const (
	ModeAnchor Mode = "anchor"
	ModePin    Mode = "pin"
)

// Anchor is a certificate that is trusted for a profile.
type Anchor struct {
	DER     []byte
	Mode    Mode
	AddedBy string
	AddedAt time.Time
}

// SetDigest identifies a set of anchors, whatever their order.
func SetDigest(anchors []Anchor) string {
	parts := make([]string, len(anchors))
	for i, a := range anchors {
		parts[i] = string(a.Mode) + ":" + Fingerprint(a.DER)
	}
	sort.Strings(parts)
	return strings.Join(parts, ",")
}
