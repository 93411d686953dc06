package smtptest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// The kinds of keys of [Order].
const (
	P256    = "P-256"
	P224    = "P-224"
	Ed25519 = "Ed25519"
	RSA2048 = "RSA 2048"
	RSA1024 = "RSA 1024"
)

// Order says what a certificate is to be like. The zero Order is a server's,
// signed by itself, valid now, without any name.
type Order struct {
	// Name is the common name, DNS and IP the subject alternative names.
	Name string
	DNS  []string
	IP   []net.IP
	// CA makes an authority.
	CA bool
	// By signs it; nil signs with its own key.
	By *Cert
	// Key is the kind of key; empty means P256.
	Key string
	// From and Until are the dates, as distances from the lab's time; zero means
	// an hour before and ninety days after.
	From, Until time.Duration
	// Usage is the extended key usage; nil means server authentication for
	// servers and none for authorities.
	Usage []x509.ExtKeyUsage
	// Permitted are the domains that an authority may vouch for; none means
	// all.
	Permitted []string
	// Signature re-signs with "SHA-1" or "MD5", for which the signer needs an
	// RSA key.
	Signature string
}

// Cert is a certificate with its key.
type Cert struct {
	*x509.Certificate
	Key crypto.Signer
}

// TLS returns the certificate for a server that shows further ones behind it.
func (c *Cert) TLS(behind ...*Cert) tls.Certificate {
	chain := [][]byte{c.Raw}
	for _, b := range behind {
		chain = append(chain, b.Raw)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: c.Key}
}

// PEM returns the certificate as a file holds it.
func (c *Cert) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Lab makes certificates.
type Lab struct {
	t      testing.TB
	now    time.Time
	serial int64
	rsa    crypto.Signer
}

// NewLab returns a lab in which it is now.
func NewLab(t testing.TB, now time.Time) *Lab {
	return &Lab{t: t, now: now.UTC().Truncate(time.Second)}
}

// Now returns the lab's time. It fits where a clock is asked for.
func (l *Lab) Now() time.Time { return l.now }

func (l *Lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("smtptest: %v", err)
	}
}

// key makes a key. A large RSA key takes long and is made once.
func (l *Lab) key(kind string) crypto.Signer {
	l.t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case P224:
		key, err = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case RSA1024:
		key, err = rsa.GenerateKey(rand.Reader, 1024)
	case RSA2048:
		if l.rsa == nil {
			l.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
		}
		key = l.rsa
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	l.must(err)
	return key
}

// Make returns what was ordered.
func (l *Lab) Make(o Order) *Cert {
	l.t.Helper()
	l.serial++
	if o.From == 0 {
		o.From = -time.Hour
	}
	if o.Until == 0 {
		o.Until = 90 * 24 * time.Hour
	}
	if o.Usage == nil && !o.CA {
		o.Usage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(l.serial), Subject: pkix.Name{CommonName: o.Name},
		DNSNames: o.DNS, IPAddresses: o.IP, NotBefore: l.now.Add(o.From), NotAfter: l.now.Add(o.Until),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: o.Usage, BasicConstraintsValid: true, IsCA: o.CA,
		PermittedDNSDomains: o.Permitted, PermittedDNSDomainsCritical: len(o.Permitted) > 0,
	}
	if o.CA {
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	key := l.key(o.Key)
	signer, parent := key, template
	if o.By != nil {
		signer, parent = o.By.Key, o.By.Certificate
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	l.must(err)
	if o.Signature != "" {
		der = l.weaken(der, signer, o.Signature)
	}
	made, err := x509.ParseCertificate(der)
	l.must(err)
	return &Cert{Certificate: made, Key: key}
}

// weaken signs a certificate again with a digest that the library does not sign
// with any more. The names of the RSA signatures differ in their last byte
// alone (RFC 8017 A.2.4).
func (l *Lab) weaken(der []byte, signer crypto.Signer, digest string) []byte {
	l.t.Helper()
	oid := func(last byte) []byte { return []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last} }
	var c struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	_, err := asn1.Unmarshal(der, &c)
	l.must(err)
	hash, last := crypto.SHA1, byte(5)
	if digest == "MD5" {
		hash, last = crypto.MD5, 4
	}
	tbs := bytes.ReplaceAll(c.TBS.FullBytes, oid(11), oid(last))
	var sum []byte
	if hash == crypto.MD5 {
		s := md5.Sum(tbs)
		sum = s[:]
	} else {
		s := sha1.Sum(tbs)
		sum = s[:]
	}
	signature, err := signer.Sign(rand.Reader, sum, hash)
	l.must(err)
	c.TBS = asn1.RawValue{FullBytes: tbs}
	c.Algorithm.Algorithm[len(c.Algorithm.Algorithm)-1] = int(last)
	c.Signature = asn1.BitString{Bytes: signature, BitLength: len(signature) * 8}
	out, err := asn1.Marshal(c)
	l.must(err)
	return out
}
