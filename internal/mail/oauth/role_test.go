package oauth

import (
	"encoding/base64"
	"testing"

	"github.com/sealpost/sealpost/internal/secret"
)

// A token is read where it can be, and anything else is no token with a role.
func TestRolesAreReadFromATokenThatCanBeRead(t *testing.T) {
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for _, tt := range []struct {
		token string
		want  bool
	}{
		{jwt(`{"roles":["Mail.Send","SMTP.SendAsApp"]}`), true},
		{jwt(`{"roles":["Mail.Send"]}`), false},
		{jwt(`{"roles":"SMTP.SendAsApp"}`), false},
		{jwt(`{"scp":"SMTP.SendAsApp"}`), false},
		{jwt(`{`), false},
		{"e30.%%%.c2ln", false},
		{"opaque-SMTP.SendAsApp", false},
		{"", false},
	} {
		if got := HasRole(secret.New(tt.token), SendAsApp); got != tt.want {
			t.Errorf("%q: %v", tt.token, got)
		}
	}
}
