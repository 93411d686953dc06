package oauth

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/sealpost/sealpost/internal/secret"
)

// SendAsApp is the permission of Microsoft Entra with which an application may
// send over SMTP from mailboxes that it was given rights on.
const SendAsApp = "SMTP.SendAsApp"

// HasRole reports whether an access token names a role, that is a permission
// that an application was given. A token is for the server that it is sent to
// (RFC 6749 1.4) and may be of a kind that nobody else can read: false says
// little, and nothing but advice may hang on what this says. Nothing of the
// token is kept.
func HasRole(access secret.Value, role string) bool {
	parts := strings.Split(access.Reveal(), ".")
	if len(parts) != 3 {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Roles []string `json:"roles"`
	}
	return err == nil && json.Unmarshal(raw, &claims) == nil && slices.Contains(claims.Roles, role)
}
