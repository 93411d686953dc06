package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/secret"
)

// rsaBits is the size of RSA keys: larger ones do not fit into one string of a
// record, and many verifiers take no more (RFC 8301, section 3.2).
const rsaBits = 2048

// generate makes a key.
func generate(a Algorithm) (crypto.Signer, error) {
	if a == Ed25519 {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return rsa.GenerateKey(rand.Reader, rsaBits)
}

// lock returns a private key as it is sealed: PKCS #8.
func lock(private crypto.Signer) (secret.Value, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return secret.FromBytes(der), err
}

// unlock is the inverse of lock.
func unlock(v secret.Value) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey([]byte(v.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("dkim: a stored key cannot be read: %w", err)
	}
	private, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("dkim: a stored key of type %T signs nothing", key)
	}
	return private, nil
}

// published is the key as it stands in p=: bare for Ed25519 (RFC 8463, section
// 4.2), with its kind for RSA (RFC 6376, erratum 3017).
func published(public crypto.PublicKey) (string, error) {
	if bare, ok := public.(ed25519.PublicKey); ok {
		return base64.StdEncoding.EncodeToString(bare), nil
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	return base64.StdEncoding.EncodeToString(der), err
}

// Record is what stands in the DNS for a key.
type Record struct {
	// Name is the whole name, without a dot at the end; Host is Name without the
	// domain, as forms of providers want it.
	Name, Host string
	// Value is the record's text in one piece, Strings in pieces of at most 255
	// bytes (RFC 1035, section 3.3), which the DNS joins again.
	Value   string
	Strings []string
}

// maxString is how long a string of a TXT record may be.
const maxString = 255

func recordOf(a Algorithm, selector, dkimDomain, public string) Record {
	kind := domain.RSA
	if a == Ed25519 {
		kind = domain.Ed25519
	}
	r := Record{Host: selector + "._domainkey", Value: "v=DKIM1; k=" + kind + "; p=" + public}
	r.Name = r.Host + "." + dkimDomain
	for rest := r.Value; rest != ""; {
		n := min(len(rest), maxString)
		r.Strings = append(r.Strings, rest[:n])
		rest = rest[n:]
	}
	return r
}

// Zone is the record as it stands in a zone file (RFC 1035, section 5.1).
func (r Record) Zone() string {
	quoted := make([]string, len(r.Strings))
	for i, s := range r.Strings {
		quoted[i] = `"` + s + `"`
	}
	return r.Name + ". IN TXT ( " + strings.Join(quoted, "\n    ") + " )"
}
