package mail

import (
	"errors"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// settleSecret finds the password of a typed sign-in or the client's secret, or
// learns whether an account needs consent.
func (s *Service) settleSecret(tx *store.Tx, c Change, was record.Row, d *Draft) error {
	p := d.Profile
	switch p.Auth {
	case AuthTyped:
		return s.settleTyped(tx, c.Password, was, d)
	case AuthAccount:
		opened, err := s.opens(tx, p, d.Anchors, was.Sealed)
		d.consent = err == nil && opened.IsZero()
		d.resealed = d.consent
		return err
	case AuthOAuth:
		return s.settleClient(tx, c.Client, was, d)
	}
	return nil
}

func (s *Service) settleTyped(tx *store.Tx, given Password, was record.Row, d *Draft) error {
	switch given.Action {
	case Replace:
		if err := profile.CheckPassword(given.Value); err != nil {
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
	if was.Auth != AuthTyped || len(was.Sealed) == 0 {
		return fault.Invalid("password", "Type the password.").WithCode(fault.CodeSecretRequired)
	}
	opened, err := s.opens(tx, d.Profile, d.Anchors, was.Sealed)
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
	v, err := s.keys.Open(tx, profile.Place(p, anchors), sealed)
	if errors.Is(err, keyring.ErrSealed) {
		return secret.Value{}, nil
	}
	return v, err
}

// seal binds what the draft signs in with to its destination.
func (s *Service) seal(tx *store.Tx, d Draft) ([]byte, error) {
	switch d.Profile.Auth {
	case AuthTyped:
		return s.keys.Seal(tx, keyring.PurposeMail, profile.Place(d.Profile, d.Anchors), d.password)
	case AuthAccount:
		// Not the password but the consent to use it with this destination.
		return s.keys.Seal(tx, keyring.PurposeMail, profile.Place(d.Profile, d.Anchors), secret.New(d.Profile.AccountID))
	case AuthOAuth:
		if d.Profile.OAuth.HasCredential() {
			return s.keys.Seal(tx, keyring.PurposeMail, profile.Place(d.Profile, d.Anchors), d.password)
		}
	}
	return nil, nil
}

// settleClient finds what proves the client to the authority.
func (s *Service) settleClient(tx *store.Tx, given Password, was record.Row, d *Draft) error {
	o := &d.Profile.OAuth
	if !o.HasCredential() {
		o.SecretSetAt, d.password = time.Time{}, secret.Value{}
		return nil
	}
	field, name := o.SecretField(), o.SecretName()
	required := func(sentence string) error {
		return fault.Invalid(field, sentence).WithCode(fault.CodeSecretRequired)
	}
	switch given.Action {
	case Replace:
		if profile.Masked(given.Value) {
			return fault.Invalid(field, "Type the "+name+" itself. Marks that are shown in its place are not it.")
		}
		c := o.Credential(given.Value)
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
	if was.Auth != AuthOAuth || len(was.Sealed) == 0 {
		return required("Type the " + name + ".")
	}
	opened, err := s.opens(tx, d.Profile, d.Anchors, was.Sealed)
	if err != nil {
		return err
	}
	if opened.IsZero() {
		return required("The stored " + name + " is kept for the addresses, the client and the certificates that it was typed for. Type it again for the changed ones.")
	}
	d.password = opened
	if ends := o.CredentialEnds(o.Credential(opened)); !ends.IsZero() {
		o.SecretEnds = ends
	}
	return nil
}

// compareClient learns what a typed secret of the client is beside the stored
// one.
func (s *Service) compareClient(tx *store.Tx, was record.Row, d *Draft) error {
	if was.Auth != AuthOAuth || len(was.Sealed) == 0 {
		return nil
	}
	before, err := s.storedDraft(tx, was)
	if err != nil {
		return err
	}
	old, now := profile.TokenBind(before.Profile, before.Anchors), profile.TokenBind(d.Profile, d.Anchors)
	d.replaces = old == now
	if d.replaces || old != profile.TokenBind(d.Profile, before.Anchors) {
		return nil
	}
	opened, err := s.opens(tx, before.Profile, before.Anchors, was.Sealed)
	d.moves = err == nil && !opened.IsZero() && opened.Equal(d.password)
	return err
}
