package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"time"
)

// SignWith signs with one key after the other.
func SignWith(message []byte, domain, selector string, at time.Time, keys ...crypto.Signer) ([]byte, error) {
	var all []signKey
	for _, k := range keys {
		a := RSA
		if _, ok := k.(ed25519.PrivateKey); ok {
			a = Ed25519
		}
		all = append(all, signKey{domain, selector, a, k})
	}
	return sign(message, all, at)
}

func published1(k crypto.Signer) string {
	text, _ := published(k.Public())
	return text
}

// BodyHash is what bh= holds for a message.
func BodyHash(message []byte) ([]byte, error) {
	_, body, err := split(message)
	sum := sha256.Sum256(relaxedBody(body))
	return sum[:], err
}

// RelaxedBody and RelaxedHeader are the relaxed forms of a message.
func RelaxedBody(body []byte) []byte { return relaxedBody(body) }

// RelaxedHeader is the relaxed form of all fields.
func RelaxedHeader(message []byte) (string, error) {
	fields, _, err := split(message)
	out := ""
	for _, f := range fields {
		out += string(relaxedField(f))
	}
	return out, err
}

// Signed is what is signed of a message by a signature field whose b= is empty.
func Signed(message []byte, names []string, signature []byte) ([]byte, error) {
	fields, _, err := split(message)
	return hash(selected(fields, names), field{"DKIM-Signature", signature}), err
}

// Published is what stands in p= for a key.
func Published(k crypto.Signer) string { return published1(k) }

// RecordOf is the record for a key.
func RecordOf(a Algorithm, selector, domain, public string) Record {
	return recordOf(a, selector, domain, public)
}

// DomainsOf lists what may be signed for.
func DomainsOf(sender string) []string { return domainsOf(sender) }
