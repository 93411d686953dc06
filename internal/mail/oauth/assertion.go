package oauth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
)

// assertionLife is how long an assertion is good for. It is used at once, so
// that only clocks need the time.
const assertionLife = 5 * time.Minute

// header and body are a JSON Web Token (RFC 7519) as it is signed here.
type header struct {
	Algorithm  string `json:"alg"`
	Type       string `json:"typ"`
	KeyID      string `json:"kid,omitempty"`
	Thumbprint string `json:"x5t#S256,omitempty"`
}

type body struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	Scope     string `json:"scope,omitempty"`
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
}

// clientAssertion proves the client by its certificate (RFC 7523 2.2), in the
// form that Microsoft asks for: PS256 and the certificate's SHA-256.
func (c *Client) clientAssertion(s Settings, p pair) (secret.Value, error) {
	sum := sha256.Sum256(p.certificate.Raw)
	return c.sign(header{Algorithm: "PS256", Thumbprint: base64.RawURLEncoding.EncodeToString(sum[:])},
		body{Issuer: s.ClientID, Subject: s.ClientID, Audience: s.TokenURL}, p.key)
}

// grantAssertion asks for a mailbox of the domain in the name of a service
// account (RFC 7523 2.1), in the form that Google asks for: RS256.
func (c *Client) grantAssertion(s Settings, a account) (secret.Value, error) {
	return c.sign(header{Algorithm: "RS256", KeyID: a.keyID},
		body{Issuer: a.email, Subject: s.Mailbox, Audience: s.TokenURL, Scope: s.Scopes}, a.key)
}

func (c *Client) sign(h header, b body, key *rsa.PrivateKey) (secret.Value, error) {
	id, err := c.chance()
	if err != nil {
		return secret.Value{}, err
	}
	now := c.now()
	h.Type, b.ID = "JWT", id
	b.IssuedAt, b.NotBefore, b.Expires = now.Unix(), now.Unix(), now.Add(assertionLife).Unix()
	head, err := json.Marshal(h)
	if err != nil {
		return secret.Value{}, err
	}
	claims, err := json.Marshal(b)
	if err != nil {
		return secret.Value{}, err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	var opts crypto.SignerOpts = crypto.SHA256
	if h.Algorithm == "PS256" {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	signature, err := key.Sign(rand.Reader, sum[:], opts)
	if err != nil {
		return secret.Value{}, err
	}
	return secret.New(text + "." + base64.RawURLEncoding.EncodeToString(signature)), nil
}

// chance returns 256 bits of chance in base64url.
func (c *Client) chance() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(c.random, b[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}
