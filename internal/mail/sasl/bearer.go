package sasl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/sealpost/sealpost/internal/secret"
)

// The names of the mechanisms that carry a token.
const (
	// XOAuth2 is what Microsoft and Google document for IMAP, POP and SMTP.
	XOAuth2 = "XOAUTH2"
	// OAuthBearer is the standard (RFC 7628).
	OAuthBearer = "OAUTHBEARER"
)

// Bearer lists the mechanisms that carry a token, the one to take first at the
// beginning: every server that takes tokens knows XOAUTH2.
func Bearer() []string { return []string{XOAuth2, OAuthBearer} }

// Refuser is a mechanism that hears in a challenge why it is refused, before
// the protocol says that it is.
type Refuser interface {
	// Refusal is what the server said in one line, or "" as long as it has not
	// refused, or gave no reason that can be read.
	Refusal() string
}

// separator stands between the parts of a bearer message.
const separator = "\x01"

// bearer is one exchange of XOAUTH2 or OAUTHBEARER. The client speaks once. A
// challenge is a refusal, which the client takes note of; the protocol's own
// refusal follows.
type bearer struct {
	name    string
	c       Credential
	refused bool
	reason  string
}

// newBearer refuses what could end a part of the message, or add one.
func newBearer(name string, c Credential) (*bearer, error) {
	switch {
	case c.Username == "":
		return nil, errors.New("sasl: the user name is empty")
	case !isToken(c.Token.Reveal()):
		return nil, errors.New("sasl: the token is empty or holds a character that no token has")
	case strings.ContainsFunc(c.Username+c.Host, unicode.IsControl):
		return nil, errors.New("sasl: the user name or the server's name holds a character that cannot be sent")
	}
	return &bearer{name: name, c: c}, nil
}

// isToken reports whether s is a b64token (RFC 6750 2.1).
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	})
}

func (b *bearer) Name() string { return b.name }

func (b *bearer) Start() (secret.Value, bool, error) {
	auth := "auth=Bearer " + b.c.Token.Reveal() + separator + separator
	if b.name == XOAuth2 {
		return secret.New("user=" + b.c.Username + separator + auth), true, nil
	}
	// RFC 5801 4: the name stands in a list with commas.
	header := "n,a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(b.c.Username) + "," + separator
	if b.c.Host != "" {
		header += "host=" + b.c.Host + separator
	}
	if b.c.Port != 0 {
		header += "port=" + strconv.Itoa(b.c.Port) + separator
	}
	return secret.New(header + auth), true, nil
}

// Next takes note of a refusal. XOAUTH2 wants an empty line for it, OAUTHBEARER
// a lone separator (RFC 7628 3.2.3).
func (b *bearer) Next(challenge []byte) (secret.Value, error) {
	if b.refused {
		return secret.Value{}, fmt.Errorf("%w: %s has one, for a refusal", ErrChallenge, b.name)
	}
	b.refused, b.reason = true, refusal(challenge)
	if b.name == XOAuth2 {
		return secret.Value{}, nil
	}
	return secret.New(separator), nil
}

func (b *bearer) Done() error {
	if b.refused {
		return fmt.Errorf("%w: the token was refused and then taken", ErrChallenge)
	}
	return nil
}

func (b *bearer) Refusal() string { return b.reason }

// maxWord bounds a word of a refusal.
const maxWord = 120

// refusal reads the JSON of RFC 7628 3.2.2, which XOAUTH2 has alike. Where the
// server's settings can be found is left out: nobody goes there.
func refusal(challenge []byte) string {
	var r struct {
		Status  word `json:"status"`
		Schemes word `json:"schemes"`
		Scope   word `json:"scope"`
	}
	if json.Unmarshal(challenge, &r) != nil {
		return ""
	}
	var parts []string
	for _, p := range []struct {
		name  string
		value word
	}{{"status", r.Status}, {"schemes", r.Schemes}, {"scope", r.Scope}} {
		if value := printable(string(p.value)); value != "" {
			parts = append(parts, p.name+" "+value)
		}
	}
	return strings.Join(parts, ", ")
}

// word is a text that some servers write as something else, a number for
// example.
type word string

// UnmarshalJSON takes what is no text as it stands.
func (w *word) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = string(b)
	}
	*w = word(s)
	return nil
}

// printable leaves out of a server's word what does not show, and cuts it.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxWord {
		return string(r[:maxWord]) + "…"
	}
	return s
}
