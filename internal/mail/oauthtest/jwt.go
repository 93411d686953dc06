package oauthtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// chance returns n random bytes in base64url.
func chance(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it does not fail
	return base64.RawURLEncoding.EncodeToString(b)
}

// sign returns a JSON Web Token with these claims.
func (s *Stand) sign(claims map[string]any) string {
	head := map[string]string{"typ": "JWT", "alg": "RS256", "kid": "stand-in"}
	text := part(head) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, sum[:])
	if err != nil {
		s.t.Errorf("oauthtest: %v", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func part(v any) string {
	b, _ := json.Marshal(v) // maps of strings and numbers
	return base64.RawURLEncoding.EncodeToString(b)
}

// assertion is a JSON Web Token that somebody else signed.
type assertion struct {
	Header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		SHA256    string `json:"x5t#S256"`
	}
	Claims struct {
		Issuer    string `json:"iss"`
		Subject   string `json:"sub"`
		Audience  string `json:"aud"`
		Scope     string `json:"scope"`
		ID        string `json:"jti"`
		IssuedAt  int64  `json:"iat"`
		NotBefore int64  `json:"nbf"`
		Expires   int64  `json:"exp"`
	}
	text      string
	signature []byte
}

// readAssertion takes a token apart; false for what is none.
func readAssertion(token string) (assertion, bool) {
	var a assertion
	p := strings.Split(token, ".")
	if len(p) != 3 {
		return a, false
	}
	head, err1 := base64.RawURLEncoding.DecodeString(p[0])
	claims, err2 := base64.RawURLEncoding.DecodeString(p[1])
	signature, err3 := base64.RawURLEncoding.DecodeString(p[2])
	if err1 != nil || err2 != nil || err3 != nil || json.Unmarshal(head, &a.Header) != nil || json.Unmarshal(claims, &a.Claims) != nil {
		return a, false
	}
	a.text, a.signature = p[0]+"."+p[1], signature
	return a, true
}

// signedBy tells whether the key signed it.
func (a assertion) signedBy(key any) bool {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return false
	}
	sum := sha256.Sum256([]byte(a.text))
	if a.Header.Algorithm == "PS256" {
		return rsa.VerifyPSS(k, crypto.SHA256, sum[:], a.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return a.Header.Algorithm == "RS256" && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], a.signature) == nil
}

// names tells whether it names the certificate by its SHA-256.
func (a assertion) names(c *x509.Certificate) bool {
	sum := sha256.Sum256(c.Raw)
	return a.Header.SHA256 == base64.RawURLEncoding.EncodeToString(sum[:])
}

// clockSkew is how far clocks may be apart at both authorities.
const clockSkew = 5 * time.Minute

// current tells whether the token is in its time.
func (a assertion) current(now time.Time) bool {
	return now.Add(clockSkew).Unix() >= max(a.Claims.NotBefore, a.Claims.IssuedAt) && now.Add(-clockSkew).Unix() < a.Claims.Expires
}
