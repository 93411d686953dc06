package mail_test

import (
	"errors"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// field is something that a secret is bound to, with the way in which each door
// would change it.
type field struct {
	name string
	// form changes it in a change; nil where no form can.
	form func(r *rig, c *mail.Change)
	// row changes it in the database, as a restored or forged row would.
	row string
	arg any
}

func fields() []field {
	return []field{
		{"host", func(_ *rig, c *mail.Change) { c.Host = newHost }, `UPDATE mail_profile SET host = $1`, newHost},
		{"port", func(_ *rig, c *mail.Change) { c.Port = 2525 }, `UPDATE mail_profile SET port = $1`, 2525},
		{"implicit TLS", func(_ *rig, c *mail.Change) { c.Security = smtp.Implicit }, `UPDATE mail_profile SET security = $1`, "implicit"},
		{"no TLS", func(_ *rig, c *mail.Change) { c.Security, c.ConfirmClear = smtp.None, oldHost }, `UPDATE mail_profile SET clear_confirmed = true, security = $1`, "none"},
		{"mechanism", func(_ *rig, c *mail.Change) { c.Mechanism = "LOGIN" }, `UPDATE mail_profile SET mechanism = $1`, "LOGIN"},
		{"trusted certificates", func(r *rig, c *mail.Change) {
			c.Trust = []mail.Candidate{{DER: r.anchor("Evil CA").Raw, Mode: trust.ModeAnchor}}
		}, "", nil},
		{"profile", nil, `UPDATE mail_profile SET id = $1`, "another"},
	}
}

// forTyped and forAccount are the fields that only one way to sign in has.
func forTyped() []field {
	return append(fields(), field{"user name", func(_ *rig, c *mail.Change) { c.Username = "another" }, `UPDATE mail_profile SET username = $1`, "another"})
}

func forAccount() []field {
	return append(fields(), field{"account", func(_ *rig, c *mail.Change) { c.AccountID = "second" }, `UPDATE mail_profile SET account_id = $1`, "second"})
}

// forge changes a field behind the service's back.
func (r *rig) forge(f field) {
	r.update(func(tx *store.Tx) error {
		if f.row != "" {
			_, err := tx.Exec(f.row, f.arg)
			return err
		}
		evil := r.anchor("Evil CA").Raw
		_, err := tx.Exec(`INSERT INTO mail_anchor (profile_id, fingerprint, mode, der, added_by, added_at) SELECT id, $1, 'anchor', $2, 'nobody', 0 FROM mail_profile`,
			trust.Fingerprint(evil), evil)
		return err
	})
}

// The control: nothing changed, and the password goes to its server.
func TestAStoredSecretSignsInWhereItBelongs(t *testing.T) {
	for name, change := range map[string]func() mail.Change{"typed": typed, "account": account} {
		t.Run(name, func(t *testing.T) {
			each(t, func(r *rig) {
				r.save(change())
				again := keep(change())
				again.SenderName, again.ReplyTo, again.LocalName = "Another", "help@example.org", "vault.example.org"
				r.save(again)
				r.must(r.signIn(r.open()))
				if got := r.mine.LeakInside(password); got == "" {
					t.Error("the test would not see a password that is sent")
				}
			})
		})
	}
}

func TestATypedPasswordReachesNoOtherServer(t *testing.T) {
	each(t, func(r *rig) {
		for _, f := range forTyped() {
			r.save(typed())
			token := r.pass(typed())
			if f.form != nil {
				c := keep(typed())
				f.form(r, &c)
				c.TestToken = token
				for door, err := range map[string]error{"save": second(r.mail.Save(r.t.Context(), admin, c)), "test": second(r.mail.Draft(r.t.Context(), admin, c, "ada@example.org"))} {
					if got := r.against(err, "password"); got.Code != fault.CodeSecretRequired {
						r.t.Errorf("%s of another %s: %+v", door, f.name, got)
					}
				}
				r.must(r.signIn(r.open())) // what is stored still works
			}
			r.forge(f)
			_, err := r.mail.Open(r.t.Context())
			var problem *mail.Problem
			if !errors.As(err, &problem) || problem.Row != mail.RowSecretRequired || problem.Advice == "" {
				r.t.Errorf("a row with another %s: %v", f.name, err)
			}
			r.must(r.mail.Remove(r.t.Context(), admin))
			r.clock.Advance(testPause)
		}
		r.wantNoLeak()
		if r.theirs.Connections() != 0 {
			r.t.Error("the other server was called")
		}
	})
}

// testPause is longer than the time for which tests are counted.
const testPause = 61e9

func second[T any](_ T, err error) error { return err }

func TestAnAccountsPasswordReachesNoOtherServerWithoutConsent(t *testing.T) {
	each(t, func(r *rig) {
		for _, f := range forAccount() {
			r.save(account())
			if f.form != nil {
				c := keep(account())
				f.form(r, &c)
				for door, err := range map[string]error{"save": second(r.mail.Save(r.t.Context(), other, c)), "test": second(r.mail.Draft(r.t.Context(), other, c, "ada@example.org"))} {
					r.against(err, "account")
					if fault.Is(err, fault.KindDenied) {
						r.t.Errorf("%s of another %s: %v", door, f.name, err)
					}
				}
			}
			r.forge(f)
			_, err := r.mail.Open(r.t.Context())
			var problem *mail.Problem
			if !errors.As(err, &problem) || problem.Row != mail.RowConsentRequired {
				r.t.Errorf("a row with another %s: %v", f.name, err)
			}
			r.must(r.mail.Remove(r.t.Context(), admin))
			r.clock.Advance(testPause)
		}
		r.wantNoLeak()
	})
}

func TestWhoMayUseTheAccountMayTakeItElsewhere(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		// Somebody else may change what the account is not bound to.
		c := keep(account())
		c.SenderName = "Another"
		_, err := r.mail.Save(r.t.Context(), other, c)
		r.must(err)
		c.Host = newHost
		r.save(c)
		if got := r.open().Config.Host; got != newHost {
			r.t.Errorf("it goes to %s", got)
		}
	})
}

func TestWithoutAccountsNoneCanBeUsed(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		r.cfg.Secrets = nil
		r.mail = mail.New(r.cfg)
		var problem *mail.Problem
		if _, err := r.mail.Open(r.t.Context()); !errors.As(err, &problem) || problem.Row != mail.RowAccountGone {
			r.t.Errorf("got %v", err)
		}
		c := account()
		c.AccountID = "second"
		r.refuse(admin, c, "account")
	})
}

func TestAMaskIsNoPassword(t *testing.T) {
	each(t, func(r *rig) {
		r.save(typed())
		for _, mask := range []string{"**********", "••••••••", "●●●●", secret.Redacted, "", "a\r\nb", "a\x00b", string(make([]byte, 2000))} {
			c := typed()
			c.Password.Value = secret.New(mask)
			r.refuse(admin, c, "password")
			if mask == "" {
				continue // nothing typed means keep, for a file of certificates
			}
			_, err := r.mail.TrustImport(r.t.Context(), admin, [][]byte{r.anchor("CA").Raw}, trust.ModeAnchor, secret.New(mask))
			r.against(err, "password")
		}
		r.must(r.signIn(r.open()))
	})
}

func TestAPasswordIsKeptReplacedOrCleared(t *testing.T) {
	each(t, func(r *rig) {
		if got := r.refuse(admin, keep(typed()), "password"); got.Code != fault.CodeSecretRequired {
			r.t.Errorf("keeping what never was: %+v", got)
		}
		first := r.save(typed())
		r.clock.Advance(testPause)
		if kept := r.save(keep(typed())); !kept.PasswordSetAt.Equal(first.PasswordSetAt) {
			r.t.Error("keeping the password changed when it was set")
		}
		if replaced := r.save(typed()); !replaced.PasswordSetAt.Equal(r.clock.Now()) {
			r.t.Error("replacing the password did not change when it was set")
		}
		c := typed()
		c.Password = mail.Password{Action: mail.Clear}
		r.refuse(admin, c, "password")
		c.Password.Action = "something else"
		r.refuse(admin, c, "password")
		c = keep(typed())
		c.Auth = mail.AuthNone
		if p := r.save(c); p.Username != "" || !p.PasswordSetAt.IsZero() || r.open().Config.Auth != nil {
			r.t.Errorf("without a sign-in the profile is %+v", p)
		}
		// The password of before is gone: it cannot be had back.
		r.refuse(admin, keep(typed()), "password")
		r.update(func(tx *store.Tx) error {
			return tx.Each(func(row store.Row) error {
				var n int
				err := row.Scan(&n)
				if n != 0 {
					r.t.Error("a cleared password lies in the database")
				}
				return err
			}, `SELECT length(sealed) FROM mail_profile`)
		})
	})
}

func TestThePasswordIsSentWhereItWasTyped(t *testing.T) {
	each(t, func(r *rig) {
		d, err := r.mail.Draft(r.t.Context(), admin, typed(), "ada@example.org")
		r.must(err)
		transport, err := r.mail.OpenDraft(r.t.Context(), d)
		r.must(err)
		r.must(r.signIn(transport))
		r.save(typed())
		if got := r.open(); got.Config.Host != oldHost || got.From.String() != "Vault <vault@example.org>" || got.SecretVersion != 0 || got.Server() != oldHost+":587" {
			r.t.Errorf("the transport is %+v", got)
		}
	})
}

func TestClearTextIsConfirmedByTypingTheServersName(t *testing.T) {
	each(t, func(r *rig) {
		c := typed()
		c.Security, c.Port = smtp.None, 25
		for _, wrong := range []string{"", "yes", newHost} {
			c.ConfirmClear = wrong
			r.refuse(admin, c, "confirm_clear")
		}
		c.ConfirmClear = " Mail.Example.ORG "
		if p := r.save(c); !p.ClearConfirmed || !p.InClear() || !r.open().Config.AllowClearAuth {
			r.t.Error("the confirmation is not kept")
		}
		// Once is enough, for the same server.
		c.ConfirmClear = ""
		r.save(keep(c))
		c.Port = 26
		r.refuse(admin, c, "confirm_clear")
		c.Port, c.Host = 25, newHost
		r.refuse(admin, c, "confirm_clear")
		// Without a sign-in letters travel, with links that let people in: the
		// same is asked, but of a relay on this machine.
		c.Auth = mail.AuthNone
		r.refuse(admin, c, "confirm_clear")
		c.ConfirmClear = newHost
		if p := r.save(c); !p.ClearConfirmed || p.InClear() || !p.Exposed() {
			r.t.Error("the confirmation is not kept")
		}
		for _, near := range []string{"localhost", "127.0.0.1", "::1"} {
			c.Host, c.ConfirmClear = near, ""
			if p := r.save(c); p.ClearConfirmed || p.Exposed() {
				r.t.Errorf("%s: nothing was to be confirmed", near)
			}
		}
		// Back to TLS and again to clear: it is asked again.
		c = typed()
		r.save(c)
		c.Security, c.Port = smtp.None, 25
		r.refuse(admin, c, "confirm_clear")
	})
}

func TestARowThatSaysNoTLSIsNotBelieved(t *testing.T) {
	each(t, func(r *rig) {
		r.save(typed())
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE mail_profile SET security = 'none', auth = 'none'`)
			return err
		})
		if transport := r.open(); transport.Config.Auth != nil {
			r.t.Error("a password is at hand for a connection in clear")
		}
	})
}

func TestNobodyElseManagesMail(t *testing.T) {
	each(t, func(r *rig) {
		r.save(typed())
		for _, by := range []actor.Actor{{}, {Kind: actor.KindUser, UserID: "u", Role: actor.PasswordAdministrator}, {Kind: actor.KindUser, UserID: "u", Role: actor.PasswordAuditor}} {
			ctx := r.t.Context()
			for what, err := range map[string]error{
				"save": second(r.mail.Save(ctx, by, typed())), "test": second(r.mail.Draft(ctx, by, typed(), "")), "remove": r.mail.Remove(ctx, by),
				"stop": r.mail.Stop(ctx, by, ""), "resume": r.mail.Resume(ctx, by), "health": second(r.mail.Health(ctx, by)),
				"list": second(r.mail.TrustList(ctx, by)), "remove trust": second(r.mail.TrustRemove(ctx, by, "0123456789", secret.Value{})),
				"import": second(r.mail.TrustImport(ctx, by, [][]byte{r.ca.Raw}, trust.ModeAnchor, secret.Value{})),
			} {
				if !fault.Is(err, fault.KindDenied) {
					r.t.Errorf("%s may %s: %v", by.Role, what, err)
				}
			}
		}
		if got := len(r.audited("mail.tested")); got != 0 {
			r.t.Errorf("%d tests of people who may not", got)
		}
	})
}
