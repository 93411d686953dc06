package oauth

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
)

// maxLife is the longest life of an access token that is believed. The longest
// known is 28 hours.
const maxLife = 366 * 24 * time.Hour

// answer is the success of RFC 6749 5.1. Numbers and strings are raw because
// some authorities write one as the other.
type answer struct {
	Access    string          `json:"access_token"`
	Type      string          `json:"token_type"`
	ExpiresIn json.RawMessage `json:"expires_in"`
	Refresh   string          `json:"refresh_token"`
	Scopes    string          `json:"scope"`
	ID        string          `json:"id_token"`
}

// readTokens reads an answer to a request that left at asked. The error repeats
// nothing of it. The id_token comes back unread.
func readTokens(body []byte, asked time.Time) (Tokens, string, error) {
	var a answer
	refuse := func(why string) (Tokens, string, error) { return Tokens{}, "", errors.New(why) }
	if json.Unmarshal(body, &a) != nil {
		return refuse(notAnswered)
	}
	life, ok := lifetime(a.ExpiresIn)
	switch {
	case a.Access == "":
		return refuse("the answer holds no access token")
	case !isToken(a.Access):
		return refuse("the access token holds a character that no token has (RFC 6750 2.1)")
	case !strings.EqualFold(a.Type, "bearer"):
		return refuse("the token is not a bearer token")
	case !ok:
		return refuse("the answer does not say how long the token lives")
	case !isVisible(a.Refresh):
		return refuse("the refresh token holds a character that no token has (RFC 6749 A.17)")
	}
	return Tokens{
		Access: secret.New(a.Access), Refresh: secret.New(a.Refresh),
		// Counted from when it was asked for, so that a slow answer does not
		// make it live longer.
		Expires: asked.Add(life), Scopes: granted(a.Scopes),
	}, a.ID, nil
}

// lifetime reads expires_in: whole seconds as a number, or in a string.
func lifetime(raw json.RawMessage) (time.Duration, bool) {
	digits := string(raw)
	if s := text(raw); s != "" {
		digits = s
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	d := time.Duration(n) * time.Second
	return d, err == nil && d > 0 && d <= maxLife
}

// isToken tells a b64token (RFC 6750 2.1).
func isToken(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if c := body[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return body != ""
}

// granted returns the scopes that an answer names, without those that are none.
func granted(scopes string) string {
	var kept []string
	for _, v := range strings.Split(scopes, " ") {
		if isScope(v) {
			kept = append(kept, v)
		}
	}
	return strings.Join(kept, " ")
}
