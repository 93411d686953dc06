package oauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
)

const (
	// skew is how far the authority's clock may be from ours.
	skew = 5 * time.Minute
	// maxSubject bounds the authority's id of a person (OpenID Connect Core 2).
	maxSubject = 255
)

// claims are what is read of an id_token.
type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Party    string   `json:"azp"`
	Expires  float64  `json:"exp"`
	Nonce    string   `json:"nonce"`
	Tenant   string   `json:"tid"`
	Name     string   `json:"preferred_username"`
	Email    string   `json:"email"`
}

// audience is one client or a list of them.
type audience []string

// UnmarshalJSON reads both forms.
func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	err := json.Unmarshal(raw, &many)
	*a = many
	return err
}

// readIdentity reads an id_token that answers a sign-in. Its signature is not
// looked at: it came from the authority itself over TLS, which OpenID Connect
// Core 3.1.3.7 (6) takes in its place. Everything else of 3.1.3.7 is looked at.
// The error repeats nothing of the token.
func readIdentity(token string, s Settings, nonce secret.Value, now time.Time) (Identity, error) {
	refuse := func(why string) (Identity, error) { return Identity{}, errors.New(why) }
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return refuse("the id_token cannot be read")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c claims
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return refuse("the id_token cannot be read")
	}
	expires := now.Add(-skew)
	switch {
	case c.Nonce == "" || !secret.New(c.Nonce).Equal(nonce):
		return refuse("the id_token answers another sign-in: its nonce is not ours")
	case !slices.Contains(c.Audience, s.ClientID), c.Party != "" && c.Party != s.ClientID:
		return refuse("the id_token is meant for another client")
	case !(c.Expires > float64(expires.Unix())):
		return refuse("the id_token has expired, or the clock of this server is wrong")
	case !issues(s, c):
		return refuse("the id_token comes from another issuer than the authority")
	case c.Subject == "" || len(c.Subject) > maxSubject || !isVisible(c.Subject):
		return refuse("the id_token does not say whose it is")
	case !isPlain(c.Name) || !isPlain(c.Email):
		return refuse("the id_token names somebody with characters that no name at a sign-in has")
	}
	id := Identity{Name: c.Name, Email: c.Email, Subject: c.Subject}
	if s.Provider == Microsoft {
		id.Tenant = strings.ToLower(c.Tenant)
	}
	if id.Name == "" || !isMailbox(id.Name) && id.Email != "" {
		// Some authorities call people by names that are no mailboxes.
		id.Name = id.Email
	}
	return id, nil
}

// issues tells that the authority of s is the issuer of c.
func issues(s Settings, c claims) bool {
	if s.Provider == Google && (c.Issuer == "https://accounts.google.com" || c.Issuer == "accounts.google.com") {
		return true
	}
	iss, err := url.Parse(c.Issuer)
	if err != nil || iss.Scheme != "https" || iss.User != nil || iss.RawQuery != "" || iss.Fragment != "" {
		return false
	}
	same := func(address string) bool {
		u, err := url.Parse(address)
		return err == nil && u.Host == iss.Host
	}
	if s.Provider != Microsoft {
		return same(s.TokenURL) || same(s.AuthorizeURL)
	}
	// In China the authority has had two names.
	u, err := url.Parse(s.TokenURL)
	known := err == nil && slices.Contains(entra(), u.Host) && slices.Contains(entra(), iss.Host)
	return (known || same(s.TokenURL) || same(s.AuthorizeURL)) && isGUID(c.Tenant) && strings.EqualFold(strings.Trim(iss.Path, "/"), c.Tenant+"/v2.0")
}
