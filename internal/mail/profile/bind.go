package profile

import (
	"strconv"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
)

// maxPassword bounds a typed password, in bytes.
const maxPassword = 1024

// Place is where a profile's secret is sealed: bound to everything that says
// where and how it may be used.
func Place(p Profile, anchors []trust.Anchor) keyring.Place {
	if p.Auth == AuthOAuth {
		fields := append([]string{"mail client 1", p.ID}, destination(p, anchors)...)
		fields = append(fields, string(p.OAuth.ClientAuth), strings.ToLower(p.OAuth.Mailbox))
		return keyring.Place{Table: "mail_oauth", Row: p.ID, Column: "sealed", Bind: quoted(fields)}
	}
	fields := []string{
		"mail 1", p.ID, "smtp", p.Host, strconv.Itoa(p.Port), string(p.Security), trust.SetDigest(anchors),
		p.Mechanism, string(p.Auth), p.Username, p.AccountID,
	}
	return keyring.Place{Table: "mail_profile", Row: p.ID, Column: "sealed", Bind: quoted(fields)}
}

func quoted(fields []string) string {
	for i := range fields {
		fields[i] = strconv.Quote(fields[i])
	}
	return strings.Join(fields, " ")
}

// CheckPassword refuses what cannot be a password.
func CheckPassword(v secret.Value) error {
	refuse := func(sentence string) error { return fault.Invalid("password", sentence) }
	text := v.Reveal()
	switch {
	case text == "":
		return refuse("Type the password.")
	case len(text) > maxPassword:
		return refuse("The password is longer than 1024 bytes.")
	case strings.ContainsAny(text, "\x00\r\n"):
		return refuse("The password holds a line break or NUL, which cannot be sent.")
	case Masked(v):
		return refuse("These are the marks that are shown in place of a password. Type the password itself, or leave it as it is.")
	}
	return nil
}

// Masked tells the marks that are shown in place of a secret.
func Masked(v secret.Value) bool {
	text := v.Reveal()
	return strings.Trim(text, "*•●·∙⬤") == "" || text == secret.Redacted
}
