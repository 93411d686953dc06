package mail

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// place is where a profile's secret is sealed: bound to everything that says
// where and how it may be used.
func place(p Profile, anchors []trust.Anchor) keyring.Place {
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

// settleSecret finds the password of a typed sign-in or the client's secret, or
// learns whether an account needs consent.
func (s *Service) settleSecret(tx *store.Tx, c Change, was stored, d *Draft) error {
	p := d.Profile
	switch p.Auth {
	case AuthTyped:
		return s.settleTyped(tx, c.Password, was, d)
	case AuthAccount:
		opened, err := s.opens(tx, p, d.Anchors, was.sealed)
		d.consent = err == nil && opened.IsZero()
		d.resealed = d.consent
		return err
	case AuthOAuth:
		return s.settleClient(tx, c.Client, was, d)
	}
	return nil
}

func (s *Service) settleTyped(tx *store.Tx, given Password, was stored, d *Draft) error {
	switch given.Action {
	case Replace:
		if err := checkPassword(given.Value); err != nil {
			return err
		}
		d.password, d.resealed = given.Value, true
		return nil
	case Clear:
		return fault.Invalid("password", "A sign-in with user name needs a password. Type it, or choose no sign-in.")
	case Keep:
	default:
		return fault.Invalid("password", "Say whether to keep, replace or clear the password.")
	}
	if was.Auth != AuthTyped || len(was.sealed) == 0 {
		return fault.Invalid("password", "Type the password.").WithCode(fault.CodeSecretRequired)
	}
	opened, err := s.opens(tx, d.Profile, d.Anchors, was.sealed)
	if err != nil {
		return err
	}
	if opened.IsZero() {
		return fault.Invalid("password", "The stored password is kept for the server, the certificates and the user name that it was typed for. Type it again for the changed ones.").
			WithCode(fault.CodeSecretRequired)
	}
	d.password = opened
	return nil
}

// opens returns what is sealed for exactly this destination, and the empty
// value when it is sealed for another one.
func (s *Service) opens(tx *store.Tx, p Profile, anchors []trust.Anchor, sealed []byte) (secret.Value, error) {
	if p.ID == "" || len(sealed) == 0 {
		return secret.Value{}, nil
	}
	v, err := s.keys.Open(tx, place(p, anchors), sealed)
	if errors.Is(err, keyring.ErrSealed) {
		return secret.Value{}, nil
	}
	return v, err
}

// seal binds what the draft signs in with to its destination.
func (s *Service) seal(tx *store.Tx, d Draft) ([]byte, error) {
	switch d.Profile.Auth {
	case AuthTyped:
		return s.keys.Seal(tx, keyring.PurposeMail, place(d.Profile, d.Anchors), d.password)
	case AuthAccount:
		// Not the password but the consent to use it with this destination.
		return s.keys.Seal(tx, keyring.PurposeMail, place(d.Profile, d.Anchors), secret.New(d.Profile.AccountID))
	case AuthOAuth:
		if d.Profile.OAuth.hasCredential() {
			return s.keys.Seal(tx, keyring.PurposeMail, place(d.Profile, d.Anchors), d.password)
		}
	}
	return nil, nil
}

func checkPassword(v secret.Value) error {
	refuse := func(sentence string) error { return fault.Invalid("password", sentence) }
	text := v.Reveal()
	switch {
	case text == "":
		return refuse("Type the password.")
	case len(text) > maxPassword:
		return refuse("The password is longer than 1024 bytes.")
	case strings.ContainsAny(text, "\x00\r\n"):
		return refuse("The password holds a line break or NUL, which cannot be sent.")
	case masked(v):
		return refuse("These are the marks that are shown in place of a password. Type the password itself, or leave it as it is.")
	}
	return nil
}

// masked tells the marks that are shown in place of a secret.
func masked(v secret.Value) bool {
	text := v.Reveal()
	return strings.Trim(text, "*•●·∙⬤") == "" || text == secret.Redacted
}

// settleClient finds what proves the client to the authority.
func (s *Service) settleClient(tx *store.Tx, given Password, was stored, d *Draft) error {
	o := &d.Profile.OAuth
	if !o.hasCredential() {
		o.SecretSetAt, d.password = time.Time{}, secret.Value{}
		return nil
	}
	field, name := o.secretField(), o.secretName()
	required := func(sentence string) error {
		return fault.Invalid(field, sentence).WithCode(fault.CodeSecretRequired)
	}
	switch given.Action {
	case Replace:
		if masked(given.Value) {
			return fault.Invalid(field, "Type the "+name+" itself. Marks that are shown in its place are not it.")
		}
		c := o.credential(given.Value)
		if err := o.CheckCredential(c, s.now()); err != nil {
			return err
		}
		if ends := o.CredentialEnds(c); !ends.IsZero() {
			o.SecretEnds = ends
		}
		d.password, d.resealed, o.SecretSetAt = given.Value, true, tx.Now()
		return s.compareClient(tx, was, d)
	case Clear:
		return required("This sign-in needs the " + name + ". Type it.")
	case Keep:
	default:
		return fault.Invalid(field, "Say whether to keep, replace or clear the "+name+".")
	}
	if was.Auth != AuthOAuth || len(was.sealed) == 0 {
		return required("Type the " + name + ".")
	}
	opened, err := s.opens(tx, d.Profile, d.Anchors, was.sealed)
	if err != nil {
		return err
	}
	if opened.IsZero() {
		return required("The stored " + name + " is kept for the addresses, the client and the certificates that it was typed for. Type it again for the changed ones.")
	}
	d.password = opened
	if ends := o.CredentialEnds(o.credential(opened)); !ends.IsZero() {
		o.SecretEnds = ends
	}
	return nil
}

// compareClient learns what a typed secret of the client is beside the stored
// one.
func (s *Service) compareClient(tx *store.Tx, was stored, d *Draft) error {
	if was.Auth != AuthOAuth || len(was.sealed) == 0 {
		return nil
	}
	before, err := s.storedDraft(tx, was)
	if err != nil {
		return err
	}
	old, now := tokenBind(before.Profile, before.Anchors), tokenBind(d.Profile, d.Anchors)
	d.replaces = old == now
	if d.replaces || old != tokenBind(d.Profile, before.Anchors) {
		return nil
	}
	opened, err := s.opens(tx, before.Profile, before.Anchors, was.sealed)
	d.moves = err == nil && !opened.IsZero() && opened.Equal(d.password)
	return err
}
