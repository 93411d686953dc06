package mail_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
)

func (r *rig) imports(by actor.Actor, mode trust.Mode, typed secret.Value, certs ...*smtptest.Cert) (mail.TrustChange, error) {
	var files [][]byte
	for _, c := range certs {
		files = append(files, c.PEM())
	}
	return r.mail.TrustImport(r.t.Context(), by, files, mode, typed)
}

// A server whose certificate a private authority signed is believed once that
// is trusted, and by this profile alone.
func TestAnImportedAuthorityIsBelieved(t *testing.T) {
	each(t, func(r *rig) {
		r.cfg.Roots = x509.NewCertPool() // nobody else vouches
		r.mail = mail.New(r.cfg)
		r.save(typed())
		if err := r.signIn(r.open()); err == nil {
			r.t.Fatal("an unknown authority was believed")
		}
		change, err := r.imports(admin, trust.ModeAnchor, secret.New(password), r.ca)
		r.must(err)
		if len(change.Changed) != 1 || len(change.Trusted) != 1 || change.Paused != "" || change.Trusted[0].AddedBy != "grace" || change.Trusted[0].Mode != trust.ModeAnchor {
			r.t.Errorf("got %+v", change)
		}
		r.must(r.signIn(r.open()))
		entries := r.audited("mail.trust_changed")
		if len(entries) != 1 || !strings.HasPrefix(entries[0].Detail[0].After, "anchor "+change.Trusted[0].Hex[:16]) {
			r.t.Errorf("the audit says %+v", entries)
		}
		if p := r.wantState(mail.Working); !p.TestedAt.IsZero() || p.Revision != 2 {
			r.t.Errorf("a test of before still counts: %+v", p)
		}
		// Trusted no more, it is not believed any more.
		change, err = r.mail.TrustRemove(r.t.Context(), admin, change.Trusted[0].Hex, secret.New(password))
		r.must(err)
		if len(change.Changed) != 1 || len(change.Trusted) != 0 {
			r.t.Errorf("got %+v", change)
		}
		if err := r.signIn(r.open()); err == nil {
			r.t.Error("an authority that was removed is believed")
		}
	})
}

func TestAPinNeedsNoNameAndNoAuthority(t *testing.T) {
	each(t, func(r *rig) {
		r.cfg.Roots = x509.NewCertPool()
		r.mail = mail.New(r.cfg)
		r.save(typed())
		leaf := r.lab.Make(smtptest.Order{Name: "old appliance"})
		change, err := r.imports(admin, trust.ModePin, secret.New(password), leaf)
		r.must(err)
		if change.Trusted[0].Mode != trust.ModePin {
			r.t.Errorf("got %+v", change)
		}
		if err := r.signIn(r.open()); err == nil {
			r.t.Error("a pin of another key lets this one pass")
		}
		// The same certificate in another mode is a change.
		change, err = r.imports(admin, trust.ModeAnchor, secret.New(password), leaf)
		r.must(err)
		if len(change.Trusted) != 1 || change.Trusted[0].Mode != trust.ModeAnchor || len(change.Changed) != 1 {
			r.t.Errorf("got %+v", change)
		}
		if _, err := r.imports(admin, "blindly", secret.New(password), leaf); err == nil {
			r.t.Error("an unknown mode was taken")
		}
	})
}

func TestAChangeOfTrustPausesUntilThePasswordIsTyped(t *testing.T) {
	each(t, func(r *rig) {
		r.save(typed())
		before := r.active()
		change, err := r.imports(admin, trust.ModeAnchor, secret.Value{}, r.ca)
		r.must(err)
		p := r.wantState(mail.Paused)
		if change.Paused == "" || p.Problem != mail.RowSecretRequired || p.Revision != before.Revision+1 {
			r.t.Errorf("got %+v, %+v", change, p)
		}
		var problem *mail.Problem
		if _, err := r.mail.Open(r.t.Context()); !errors.As(err, &problem) {
			r.t.Errorf("the password opens for another set: %v", err)
		}
		// Typed for the set as it is now, mail goes on.
		change, err = r.imports(admin, trust.ModeAnchor, secret.New(password), r.ca)
		r.must(err)
		if change.Paused != "" || len(change.Changed) != 0 {
			r.t.Errorf("got %+v", change)
		}
		r.wantState(mail.Working)
		r.must(r.signIn(r.open()))
		if len(r.audited("mail.paused")) != 1 {
			r.t.Error("the pause is not audited")
		}
		// The same again changes nothing.
		revision := r.active().Revision
		if _, err := r.imports(admin, trust.ModeAnchor, secret.Value{}, r.ca); err != nil || r.active().Revision != revision {
			r.t.Errorf("importing the same certificate again: %v", err)
		}
	})
}

func TestAChangeOfTrustTakesTheConsentOfWhoMayUseTheAccount(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		change, err := r.imports(admin, trust.ModeAnchor, secret.Value{}, r.ca)
		r.must(err)
		if change.Paused != "" {
			r.t.Errorf("paused although who may use the account asked: %s", change.Paused)
		}
		r.must(r.signIn(r.open()))
		change, err = r.mail.TrustRemove(r.t.Context(), other, change.Trusted[0].Hex[:8], secret.Value{})
		r.must(err)
		if p := r.wantState(mail.Paused); change.Paused == "" || p.Problem != mail.RowConsentRequired {
			r.t.Errorf("got %+v, %+v", change, p)
		}
		r.save(keep(account())) // by somebody who may
		r.wantState(mail.Working)
		r.must(r.signIn(r.open()))
	})
}

func TestCertificatesAreNamedByTheirFingerprint(t *testing.T) {
	each(t, func(r *rig) {
		none := secret.Value{}
		ctx := r.t.Context()
		if _, err := r.imports(admin, trust.ModeAnchor, none, r.ca); !fault.Is(err, fault.KindNotFound) {
			r.t.Errorf("trusting for no server: %v", err)
		}
		c := keep(typed())
		c.Auth = mail.AuthNone
		r.save(c)
		one, two := r.anchor("One"), r.anchor("Two")
		_, err := r.imports(admin, trust.ModeAnchor, none, one, two)
		r.must(err)
		list, err := r.mail.TrustList(ctx, admin)
		r.must(err)
		if len(list) != 2 {
			r.t.Fatalf("got %+v", list)
		}
		for text, want := range map[string]fault.Kind{list[0].Hex[:7]: fault.KindInvalid, "": fault.KindInvalid, strings.Repeat("0", 64): fault.KindNotFound} {
			if _, err := r.mail.TrustRemove(ctx, admin, text, none); !fault.Is(err, want) {
				r.t.Errorf("%q: %v", text, err)
			}
		}
		change, err := r.mail.TrustRemove(ctx, admin, " "+strings.ToUpper(trust.Colons(list[0].Hex))+" ", none)
		r.must(err)
		if len(change.Changed) != 1 || change.Changed[0].Hex != list[0].Hex || len(change.Trusted) != 1 || change.Trusted[0].Hex != list[1].Hex {
			r.t.Errorf("got %+v", change)
		}
		if _, err := r.mail.TrustImport(ctx, admin, nil, trust.ModeAnchor, none); !fault.Is(err, fault.KindInvalid) {
			r.t.Errorf("no file: %v", err)
		}
		// A form removes by the whole fingerprint.
		c.Distrust = []string{list[1].Hex}
		r.save(c)
		if list, _ := r.mail.TrustList(ctx, admin); len(list) != 0 {
			r.t.Errorf("got %+v", list)
		}
	})
}

func TestAPrivateKeyIsNotKept(t *testing.T) {
	each(t, func(r *rig) {
		r.save(typed())
		key, err := x509.MarshalPKCS8PrivateKey(r.ca.Key)
		r.must(err)
		file := append(r.ca.PEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
		for door, err := range map[string]error{
			"import": second(r.mail.TrustImport(r.t.Context(), admin, [][]byte{file}, trust.ModeAnchor, secret.New(password))),
			"save": func() error {
				c := typed()
				c.Trust = []mail.Candidate{{DER: file, Mode: trust.ModeAnchor}}
				return second(r.mail.Save(r.t.Context(), admin, c))
			}(),
		} {
			if got := r.against(err, "certificate"); !strings.Contains(got.Sentence, "private key") {
				r.t.Errorf("%s: %v", door, err)
			}
		}
		if list, err := r.mail.TrustList(r.t.Context(), admin); err != nil || len(list) != 0 {
			r.t.Errorf("something of it was kept: %+v", list)
		}
	})
}

func TestNoMoreThan50CertificatesAreTrusted(t *testing.T) {
	each(t, func(r *rig) {
		c := keep(typed())
		c.Auth = mail.AuthNone
		r.save(c)
		var many []*smtptest.Cert
		for i := range 51 {
			many = append(many, r.anchor(fmt.Sprint("CA ", i)))
		}
		if _, err := r.imports(admin, trust.ModeAnchor, secret.Value{}, many[:50]...); err != nil {
			r.t.Fatal(err)
		}
		_, err := r.imports(admin, trust.ModeAnchor, secret.Value{}, many[50])
		r.against(err, "certificate")
	})
}
