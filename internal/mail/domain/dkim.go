package domain

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"strings"
)

// The algorithms of keys.
const (
	RSA     = "rsa"
	Ed25519 = "ed25519"
)

// Key is the public half of what letters are signed with (RFC 6376 3.6.1).
type Key struct {
	// Name is where it stands: selector._domainkey.domain.
	Name, Record string
	// Algorithm is RSA or Ed25519, Public the key: an *rsa.PublicKey or an
	// ed25519.PublicKey. Bits is its size.
	Algorithm string
	Public    crypto.PublicKey
	Bits      int
	// Hashes are those that signatures may use; empty means all.
	Hashes []string
	// Testing tells that receivers are to make nothing of signatures (t=y);
	// Strict that the domain of the identity must be the key's own (t=s).
	Testing, Strict bool
}

// DKIMKey returns the key of a selector. Beside [ErrNone] and [ErrUnsure] the
// error is a *[Wrong] that says what receivers cannot use.
func (r *Resolver) DKIMKey(ctx context.Context, selector, domain string) (Key, error) {
	name := selector + "._domainkey." + domain
	texts, err := r.TXT(ctx, name)
	if err != nil {
		return Key{Name: name}, err
	}
	var found []string
	for _, text := range texts {
		if tags, _ := readTags(text); len(tags) > 0 {
			if _, ok := valueOf(tags, "p"); ok {
				found = append(found, text)
			}
		}
	}
	switch {
	case len(found) == 0 && len(texts) > 0:
		return Key{Name: name}, &Wrong{Record: tame(texts[0]), Why: "What stands there is no key for signatures: it has no p=."}
	case len(found) == 0:
		return Key{Name: name}, ErrNone
	case len(found) > 1:
		return Key{Name: name}, &Wrong{Record: tame(found[0]), Why: "Several keys stand there; receivers want exactly one."}
	}
	key, err := ParseKey(found[0])
	key.Name = name
	return key, err
}

// minKey is the least that receivers take of RSA (RFC 8301 3.2).
const minKey = 1024

// ParseKey reads a key record. The error is a *[Wrong].
func ParseKey(record string) (Key, error) {
	k := Key{Record: tame(record), Algorithm: RSA}
	wrong := func(why string) (Key, error) { return k, &Wrong{Record: k.Record, Why: why} }
	tags, odd := readTags(record)
	if odd != "" {
		return wrong("The key record has a part that cannot be read: " + odd)
	}
	if v, ok := valueOf(tags, "v"); ok && (v != "DKIM1" || tags[0].name != "v") {
		return wrong("The key record does not begin with v=DKIM1.")
	}
	if v, ok := valueOf(tags, "k"); ok {
		k.Algorithm = strings.ToLower(v)
	}
	if v, ok := valueOf(tags, "h"); ok {
		for h := range strings.SplitSeq(without(v), ":") {
			k.Hashes = append(k.Hashes, strings.ToLower(tame(h)))
		}
	}
	v, _ := valueOf(tags, "t")
	for flag := range strings.SplitSeq(without(v), ":") {
		k.Testing = k.Testing || flag == "y"
		k.Strict = k.Strict || flag == "s"
	}
	if v, ok := valueOf(tags, "s"); ok && !forMail(v) {
		return wrong("The key is for another service than e-mail.")
	}
	p, ok := valueOf(tags, "p")
	switch {
	case !ok:
		return wrong("The key record has no key: p= is missing.")
	case without(p) == "":
		return wrong("The key was taken back: p= is empty.")
	}
	data, err := base64.StdEncoding.DecodeString(without(p))
	if err != nil {
		return wrong("The key in p= is not base64. Perhaps a part of the record is missing.")
	}
	return k.open(data)
}

func forMail(services string) bool {
	for s := range strings.SplitSeq(without(services), ":") {
		if s == "*" || strings.EqualFold(s, "email") {
			return true
		}
	}
	return false
}

// open takes over the key itself.
func (k Key) open(data []byte) (Key, error) {
	wrong := func(why string) (Key, error) { return k, &Wrong{Record: k.Record, Why: why} }
	switch k.Algorithm {
	case Ed25519:
		if len(data) != ed25519.PublicKeySize { // RFC 8463 4.2: the bare key
			return wrong("The Ed25519 key does not have 32 bytes.")
		}
		k.Public, k.Bits = ed25519.PublicKey(data), 256
		return k, nil
	case RSA:
		// RFC 6376 says RSAPublicKey and means SubjectPublicKeyInfo; both are out
		// there (erratum 3017).
		if public, err := x509.ParsePKIXPublicKey(data); err == nil {
			if rsaKey, ok := public.(*rsa.PublicKey); ok {
				k.Public, k.Bits = rsaKey, rsaKey.N.BitLen()
			}
		} else if rsaKey, err := x509.ParsePKCS1PublicKey(data); err == nil {
			k.Public, k.Bits = rsaKey, rsaKey.N.BitLen()
		}
		switch {
		case k.Public == nil:
			return wrong("The key in p= is no RSA key. Perhaps a part of the record is missing.")
		case k.Bits < minKey:
			return wrong("The RSA key is shorter than 1024 bits, which receivers do not take.")
		}
		return k, nil
	}
	return wrong("Receivers do not know the kind of key " + tame(k.Algorithm) + ".")
}
