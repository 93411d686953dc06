package sasl

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealpost/sealpost/internal/secret"
)

// The names of the mechanisms, as servers announce them.
const (
	Plain       = "PLAIN"
	Login       = "LOGIN"
	CRAMMD5     = "CRAM-MD5"
	SCRAMSHA1   = "SCRAM-SHA-1"
	SCRAMSHA256 = "SCRAM-SHA-256"
)

// ErrChallenge is wrapped by errors about a challenge that does not fit the
// mechanism.
var ErrChallenge = errors.New("sasl: the server's challenge does not fit the mechanism")

// ErrServer is wrapped when a server could not prove that it knows the
// password.
var ErrServer = errors.New("sasl: the server could not prove that it knows the password")

// Credential is what a client proves to hold: a password or a token, never
// both.
type Credential struct {
	Username string
	Password secret.Value
	// Token is a bearer token (RFC 6750). A credential with one is used with
	// the mechanisms of [Bearer] and with no other.
	Token secret.Value
	// Host and Port are where the client is connected to, which OAUTHBEARER
	// tells the server. Empty ones are left out.
	Host string
	Port int
}

// bears tells that the credential is a token.
func (c Credential) bears() bool { return !c.Token.IsZero() }

// Mechanism is one exchange. Call Start once, Next for each challenge, Done
// when the server said that it succeeded.
type Mechanism interface {
	// Name is the mechanism's name.
	Name() string
	// Start returns the initial response; nil means that there is none and
	// the server speaks first.
	Start() (secret.Value, bool, error)
	// Next answers a challenge.
	Next(challenge []byte) (secret.Value, error)
	// Done reports whether the exchange may end in success now. A server that
	// says so too early has not proven itself.
	Done() error
}

// Strength lists the mechanisms for passwords from the strongest to the weakest. In SCRAM the
// password does not leave the client and the server proves itself; CRAM-MD5
// hides it, weakly; PLAIN and LOGIN send it, which only TLS makes safe.
func Strength() []string { return []string{SCRAMSHA256, SCRAMSHA1, CRAMMD5, Plain, Login} }

// Choose returns the mechanism to use with a server that offers the given
// ones: fixed, where it is not empty, or the first of those for the credential
// that both know. A token never goes where a password belongs, nor a password
// where a token does, whatever is offered. CRAM-MD5 is taken by itself only
// without TLS: inside TLS, PLAIN lets the server keep the password hashed well,
// which CRAM-MD5 does not.
func (c Credential) Choose(offered []string, fixed string, encrypted bool) (string, error) {
	has := func(name string) bool {
		return slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, name) })
	}
	known := Strength()
	if c.bears() {
		known = Bearer()
	}
	if fixed != "" {
		switch {
		case !has(fixed):
			return "", fmt.Errorf("sasl: the server does not offer %s", fixed)
		case !slices.Contains(known, fixed):
			return "", fmt.Errorf("sasl: %s does not go with this credential", fixed)
		}
		return fixed, nil
	}
	for _, name := range known {
		if !has(name) || name == CRAMMD5 && encrypted && (has(Plain) || has(Login)) {
			continue
		}
		return name, nil
	}
	if c.bears() {
		return "", errors.New("sasl: the server offers no sign-in with OAuth 2.0")
	}
	return "", errors.New("sasl: the server offers no mechanism that is known here")
}

// New returns a new exchange of the mechanism. It refuses credentials that
// cannot be carried: empty ones, those with NUL or line breaks, tokens with a
// character outside of RFC 6750, and a token for a mechanism of passwords or the
// reverse.
func New(name string, c Credential) (Mechanism, error) {
	if slices.Contains(Bearer(), name) {
		return newBearer(name, c)
	}
	if c.bears() {
		return nil, fmt.Errorf("sasl: %s does not carry a token", name)
	}
	if c.Username == "" || c.Password.IsZero() {
		return nil, errors.New("sasl: user name or password is empty")
	}
	if strings.ContainsAny(c.Username, "\x00\r\n") || strings.Contains(c.Password.Reveal(), "\x00") {
		return nil, errors.New("sasl: the user name or password holds a character that cannot be sent")
	}
	switch name {
	case Plain:
		return &plain{c: c}, nil
	case Login:
		return &login{c: c}, nil
	case CRAMMD5:
		return &cramMD5{c: c}, nil
	case SCRAMSHA1, SCRAMSHA256:
		return newSCRAM(name, c, nil), nil
	}
	return nil, fmt.Errorf("sasl: the mechanism %q is not known here", name)
}

type plain struct {
	c Credential
}

func (*plain) Name() string { return Plain }

func (p *plain) Start() (secret.Value, bool, error) {
	return secret.New("\x00" + p.c.Username + "\x00" + p.c.Password.Reveal()), true, nil
}

func (p *plain) Next(challenge []byte) (secret.Value, error) {
	return secret.Value{}, fmt.Errorf("%w: PLAIN has none", ErrChallenge)
}

func (*plain) Done() error { return nil }

// login is the mechanism of the expired draft-murchison-sasl-login: two
// prompts, whose text servers word as they like.
type login struct {
	c    Credential
	step int
}

func (*login) Name() string { return Login }

func (*login) Start() (secret.Value, bool, error) { return secret.Value{}, false, nil }

func (l *login) Next([]byte) (secret.Value, error) {
	l.step++
	switch l.step {
	case 1:
		return secret.New(l.c.Username), nil
	case 2:
		return l.c.Password, nil
	}
	return secret.Value{}, fmt.Errorf("%w: LOGIN has two", ErrChallenge)
}

func (l *login) Done() error {
	if l.step < 2 {
		return fmt.Errorf("%w: the exchange ended before the password was asked for", ErrChallenge)
	}
	return nil
}

type cramMD5 struct {
	c    Credential
	done bool
}

func (*cramMD5) Name() string { return CRAMMD5 }

func (*cramMD5) Start() (secret.Value, bool, error) { return secret.Value{}, false, nil }

func (m *cramMD5) Next(challenge []byte) (secret.Value, error) {
	if m.done || len(challenge) == 0 {
		return secret.Value{}, fmt.Errorf("%w: CRAM-MD5 has exactly one", ErrChallenge)
	}
	m.done = true
	mac := hmac.New(md5.New, []byte(m.c.Password.Reveal()))
	mac.Write(challenge)
	return secret.New(m.c.Username + " " + hex.EncodeToString(mac.Sum(nil))), nil
}

func (m *cramMD5) Done() error {
	if !m.done {
		return fmt.Errorf("%w: the exchange ended before a challenge", ErrChallenge)
	}
	return nil
}
