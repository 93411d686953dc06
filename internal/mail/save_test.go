package mail_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// pass returns the token of a test of c that passed.
func (r *rig) pass(c mail.Change) string {
	r.t.Helper()
	d, err := r.mail.Draft(r.t.Context(), admin, c, "ada@example.org")
	r.must(err)
	token, err := r.mail.Passed(r.t.Context(), d, r.clock.Now().Add(100*24*time.Hour))
	r.must(err)
	return token
}

func TestWithoutATestSavingTakesAWord(t *testing.T) {
	each(t, func(r *rig) {
		c := typed()
		c.Anyway = false
		r.refuse(admin, c, "anyway")
		c.Anyway = true
		if p := r.save(c); !p.SavedAnyway() || !p.TestedAt.IsZero() || p.State != mail.Working || p.Revision != 1 || p.ChangedBy != "grace" {
			r.t.Errorf("saved as %+v", p)
		}
		if len(r.audited("mail.saved_untested")) != 1 || len(r.audited("mail.saved")) != 0 || !r.gate.open {
			r.t.Error("it is not audited, or mail does not leave")
		}
	})
}

func TestAPassedTestVouchesForItsValues(t *testing.T) {
	each(t, func(r *rig) {
		c := typed()
		c.Anyway, c.TestToken = false, r.pass(typed())
		c.SenderName, c.ReplyTo = "Another", "help@example.org" // no test is about these
		p := r.save(c)
		if p.SavedAnyway() || !p.TestedAt.Equal(r.clock.Now()) || !p.ServerCertificateEnds.Equal(r.clock.Now().Add(100*24*time.Hour)) {
			r.t.Errorf("saved as %+v", p)
		}
		if len(r.audited("mail.saved")) != 1 {
			r.t.Error("it is not audited")
		}
		// What the test was about is the same: it still counts, with its time.
		r.clock.Advance(time.Hour)
		c.TestToken, c.SenderName = "", "Third"
		if again := r.save(keep(c)); !again.TestedAt.Equal(p.TestedAt) {
			r.t.Errorf("tested at %v", again.TestedAt)
		}
		// A new password was in no test.
		r.refuse(admin, c, "anyway")
	})
}

func TestATestVouchesForNothingElse(t *testing.T) {
	each(t, func(r *rig) {
		token := r.pass(typed())
		for name, change := range map[string]func(*mail.Change){
			"host":      func(c *mail.Change) { c.Host = newHost },
			"port":      func(c *mail.Change) { c.Port = 2525 },
			"security":  func(c *mail.Change) { c.Security = smtp.Implicit },
			"sender":    func(c *mail.Change) { c.SenderAddress = "other@example.org" },
			"user":      func(c *mail.Change) { c.Username = "other" },
			"mechanism": func(c *mail.Change) { c.Mechanism = "LOGIN" },
			"EHLO name": func(c *mail.Change) { c.LocalName = "other.example.org" },
			"password":  func(c *mail.Change) { c.Password.Value = secret.New("another password") },
			"account":   func(c *mail.Change) { *c = account() },
			"no auth":   func(c *mail.Change) { c.Auth = mail.AuthNone },
			"trust":     func(c *mail.Change) { c.Trust = []mail.Candidate{{DER: r.ca.Raw, Mode: "anchor"}} },
			"token":     func(c *mail.Change) { c.TestToken = flip(c.TestToken) },
			"nonsense":  func(c *mail.Change) { c.TestToken = "nonsense" },
			"short":     func(c *mail.Change) { c.TestToken = c.TestToken[:20] },
		} {
			c := typed()
			c.TestToken = token
			change(&c)
			c.Anyway = false
			if _, err := r.mail.Save(r.t.Context(), admin, c); err == nil {
				r.t.Errorf("a token vouches for another %s", name)
			}
		}
		c := typed()
		c.Anyway, c.TestToken = false, token
		r.clock.Advance(31 * time.Minute)
		r.refuse(admin, c, "anyway")
		r.clock.Advance(-32 * time.Minute)
		r.refuse(admin, c, "anyway") // a token from the future
		r.clock.Advance(2 * time.Minute)
		r.save(c) // the control
	})
}

// flip changes a character in the middle.
func flip(s string) string {
	i := len(s) / 2
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

func TestTwoPeopleDoNotOverwriteEachOther(t *testing.T) {
	each(t, func(r *rig) {
		first := r.save(typed())
		c := first.Change()
		c.Anyway, c.SenderName = true, "Mine"
		if got := r.save(c); got.Revision != first.Revision+1 || got.SenderName != "Mine" {
			r.t.Errorf("saved as %+v", got)
		}
		c.SenderName = "Late"
		for door, err := range map[string]error{"save": second(r.mail.Save(r.t.Context(), other, c)), "test": second(r.mail.Draft(r.t.Context(), other, c, ""))} {
			if !fault.Is(err, fault.KindConflict) {
				r.t.Errorf("%s: %v", door, err)
			}
		}
		if got := r.active().SenderName; got != "Mine" {
			r.t.Errorf("the name is %q", got)
		}
		c.Revision = 0 // does not compare
		r.save(c)
	})
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	each(t, func(r *rig) {
		_, err := r.mail.Save(r.t.Context(), admin, mail.Change{
			Kind: mail.KindSMTP, Host: "smtp://mail", Port: 70000, Security: "maybe", SenderAddress: "nobody", SenderName: "a\nb",
			ReplyTo: "Help <help@example.org>", Auth: "never", Mechanism: "MAGIC", LocalName: "a b", Timeouts: smtp.Timeouts{Connect: time.Hour},
		})
		for _, field := range []string{"host", "port", "security", "sender_address", "sender_name", "reply_to", "auth", "local_name", "timeout_connect"} {
			r.against(err, field)
		}
		for field, change := range map[string]func(*mail.Change){
			"kind":       func(c *mail.Change) { c.Kind = "pigeon" },
			"username":   func(c *mail.Change) { c.Username = " " },
			"mechanism":  func(c *mail.Change) { c.Mechanism = "MAGIC" },
			"account":    func(c *mail.Change) { c.Auth, c.AccountID = mail.AuthAccount, "" },
			"host":       func(c *mail.Change) { c.Host = "" },
			"local_name": func(c *mail.Change) { c.LocalName = "[nonsense]" },
			"anyway":     func(c *mail.Change) { c.Anyway = false },
		} {
			c := typed()
			change(&c)
			r.refuse(admin, c, field)
		}
		if _, ok, _ := r.mail.Active(r.t.Context()); ok {
			r.t.Error("something of it was saved")
		}
	})
}

func TestWhatIsTypedIsBroughtIntoForm(t *testing.T) {
	each(t, func(r *rig) {
		c := typed()
		c.Host, c.LocalName, c.Mechanism, c.SenderAddress, c.Username = " BÜCHER.example. ", "[IPv6:2001:DB8::1]", "plain", "vault@BÜCHER.example", " robot "
		p := r.save(c)
		if p.Host != "xn--bcher-kva.example" || p.LocalName != "[IPv6:2001:db8::1]" || p.Mechanism != "PLAIN" || p.SenderAddress != "vault@xn--bcher-kva.example" || p.Username != "robot" {
			r.t.Errorf("saved as %+v", p)
		}
		c = typed()
		c.Host = "[::1]"
		if p := r.save(c); p.Host != "::1" || p.Server() != "[::1]:587" {
			r.t.Errorf("saved as %+v", p)
		}
	})
}

func TestPresetsFillWhatCanBeSaved(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range mail.Presets() {
		if p.Name == "" || p.Hint == "" || seen[p.Key] || p.Security == smtp.None || p.Host == "" && p.Key != "postfix" {
			t.Errorf("%+v", p)
		}
		seen[p.Key] = true
	}
}

func TestServersOnDeniedAddressesAreNotCalled(t *testing.T) {
	each(t, func(r *rig) {
		c := typed()
		for _, host := range []string{"169.254.169.254", "::ffff:169.254.169.254", "[fe80::1]", "fe80::1%eth0"} {
			c.Host = host
			r.refuse(admin, c, "host")
		}
		// A name can lead anywhere: the address is looked at when it is called.
		r.cfg.Deny = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		r.cfg.Dial = r.mine.Dial
		r.mail = mail.New(r.cfg)
		r.save(typed())
		for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){"its own dialer": nil, "a given one": r.mine.Dial} {
			r.cfg.Dial = dial
			transport, err := mail.New(r.cfg).Open(r.t.Context())
			r.must(err)
			transport.Config.Host, transport.Config.Port = "127.0.0.1", r.mine.Port()
			err = r.signIn(transport)
			var e *smtp.Error
			if !errors.As(err, &e) || e.Kind != smtp.KindInput || !strings.Contains(e.Text, "not allowed") {
				r.t.Errorf("%s: %v", name, err)
			}
		}
		if got := r.mine.Leak(password) + r.mine.LeakInside(password); got != "" {
			r.t.Errorf("the server heard %q", got)
		}
		// The control: allowed, it is called.
		r.cfg.Deny, r.cfg.Dial = []netip.Prefix{}, r.mine.Dial
		transport, err := mail.New(r.cfg).Open(r.t.Context())
		r.must(err)
		r.must(r.signIn(transport))
	})
}

func TestTestsAreCountedAndAudited(t *testing.T) {
	each(t, func(r *rig) {
		for i := range 10 {
			if _, err := r.mail.Draft(r.t.Context(), admin, typed(), fmt.Sprintf("user%d@example.org", i)); err != nil {
				r.t.Fatalf("test %d: %v", i+1, err)
			}
			r.clock.Advance(time.Second)
		}
		_, err := r.mail.Draft(r.t.Context(), admin, typed(), "ada@example.org")
		if !fault.Is(err, fault.KindUnavailable) || fault.CodeOf(err) != fault.CodeLimited {
			r.t.Errorf("an eleventh test: %v", err)
		}
		_, err = r.mail.Draft(r.t.Context(), other, typed(), "ada@example.org")
		r.must(err)
		r.clock.Advance(51 * time.Second) // the first is a minute old
		_, err = r.mail.Draft(r.t.Context(), admin, typed(), "ada@example.org")
		r.must(err)
		entries := r.audited("mail.tested")
		if len(entries) != 12 || !strings.Contains(audit.DetailText(entries[0].Detail), "ada@example.org") {
			r.t.Errorf("%d tests are audited, the last: %+v", len(entries), entries[0])
		}
		// What is wrong in the form is no test.
		c := typed()
		c.Port = 0
		_, err = r.mail.Draft(r.t.Context(), admin, c, "")
		r.against(err, "port")
		if len(r.audited("mail.tested")) != 12 {
			r.t.Error("a form with a mistake counts as a test")
		}
	})
}

func TestTheAuditTellsWhatChangedAndNoSecret(t *testing.T) {
	each(t, func(r *rig) {
		r.save(typed())
		c := keep(typed())
		c.SenderName, c.LocalName = "Another", "vault.example.org"
		r.save(c)
		c = typed()
		c.Password.Value = secret.New("another password")
		r.save(c)
		entries := r.audited("mail.saved_untested")
		text := audit.DetailText(entries[1].Detail)
		if want := `sender name: "Vault" to "Another"; EHLO name: "" to "vault.example.org"`; text != want {
			r.t.Errorf("got %s, want %s", text, want)
		}
		if text := audit.DetailText(entries[0].Detail); !strings.Contains(text, "password: replaced") {
			r.t.Errorf("got %s", text)
		}
		for _, e := range entries {
			if text := fmt.Sprintf("%+v", e); strings.Contains(text, password) || strings.Contains(text, "another password") {
				r.t.Errorf("the audit log holds a password: %s", text)
			}
		}
	})
}

func TestRemovingTheServerHoldsLetters(t *testing.T) {
	each(t, func(r *rig) {
		if err := r.mail.Remove(r.t.Context(), admin); !fault.Is(err, fault.KindNotFound) {
			r.t.Errorf("removing nothing: %v", err)
		}
		c := typed()
		c.Trust = []mail.Candidate{{DER: r.ca.Raw, Mode: "anchor"}}
		r.save(c)
		r.must(r.mail.Remove(r.t.Context(), admin))
		if r.gate.open || r.gate.reason != "no_server" || len(r.audited("mail.removed")) != 1 {
			r.t.Errorf("the gate says %+v", r.gate)
		}
		if _, err := r.mail.Open(r.t.Context()); !fault.Is(err, fault.KindNotFound) {
			r.t.Errorf("opening: %v", err)
		}
		if list, err := r.mail.TrustList(r.t.Context(), admin); err != nil || len(list) != 0 {
			r.t.Errorf("its certificates are left: %v, %v", list, err)
		}
		st, err := r.mail.Standing(r.t.Context())
		r.must(err)
		if st.Set || st.Send || st.Probe {
			r.t.Errorf("delivery is told %+v", st)
		}
	})
}

func TestTheCaptureMailboxIsAServerLikeAnother(t *testing.T) {
	each(t, func(r *rig) {
		r.save(mail.Change{Kind: mail.KindCapture, SenderAddress: "vault@example.org"})
		var problem *mail.Problem
		if _, err := r.mail.Open(r.t.Context()); !errors.As(err, &problem) || problem.Row != mail.RowNoCapture {
			r.t.Errorf("without the mailbox: %v", err)
		}
		r.cfg.CaptureAddr = func() string { return "127.0.0.1:7225" }
		r.mail = mail.New(r.cfg)
		got := r.open()
		if got.Config.Host != "127.0.0.1" || got.Config.Port != 7225 || got.Config.Security != smtp.None || got.Config.Auth != nil || got.Server() != "capture mailbox" {
			r.t.Errorf("the transport is %+v", got)
		}
		// Coming from a real server, nothing of it is left.
		r.save(typed())
		if p := r.save(mail.Change{Kind: mail.KindCapture, SenderAddress: "vault@example.org"}); p.Host != "" || p.Username != "" || p.SavedAnyway() || p.Auth != mail.AuthNone {
			r.t.Errorf("saved as %+v", p)
		}
	})
}

func TestAnAccountInUseIsNamed(t *testing.T) {
	each(t, func(r *rig) {
		uses := func(id string) (found []mail.Use) {
			r.update(func(tx *store.Tx) (err error) {
				found, err = r.mail.UsesOf(tx, id)
				return err
			})
			return found
		}
		if len(uses("account")) != 0 {
			r.t.Error("used before there is a server")
		}
		r.save(account())
		if got := uses("account"); len(got) != 1 || !strings.Contains(got[0].Label, oldHost) || got[0].Path == "" {
			r.t.Errorf("got %+v", got)
		}
		if len(uses("second")) != 0 {
			r.t.Error("another account is used")
		}
		r.save(typed())
		if len(uses("account")) != 0 {
			r.t.Error("used by a profile that has a typed password")
		}
	})
}

// Whoever chose the account did so while it was there.
func TestAnAccountThatWasJustDeletedIsNotUsed(t *testing.T) {
	each(t, func(r *rig) {
		r.vault.gone = true
		r.refuse(admin, account(), "account")
		if _, ok, _ := r.mail.Active(r.t.Context()); ok {
			r.t.Error("it is used")
		}
		r.vault.gone = false
		r.save(account())
	})
}

// As long as somebody deletes an account that nobody uses, nobody begins to.
func TestAnUnusedAccountStaysUnusedUntilItIsDeleted(t *testing.T) {
	each(t, func(r *rig) {
		if r.db.Engine() == store.SQLite {
			return // its writers take turns
		}
		r.save(typed())
		change := func() error {
			return r.db.Update(r.t.Context(), func(tx *store.Tx) error {
				_, err := store.One(tx, func(row store.Row) (id string, err error) { return id, row.Scan(&id) },
					`SELECT id FROM mail_profile WHERE slot = 'main' FOR UPDATE NOWAIT`)
				return err
			})
		}
		r.must(change())
		r.update(func(tx *store.Tx) error {
			uses, err := r.mail.UsesOf(tx, "account")
			if err != nil || len(uses) != 0 {
				r.t.Errorf("used by %v, %v", uses, err)
			}
			changed := make(chan error)
			go func() { changed <- change() }()
			if err := <-changed; err == nil {
				r.t.Error("the profile can change between the question and the deletion")
			}
			return nil
		})
	})
}

func TestTheAuditNamesAccounts(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		next := account()
		next.AccountID = "second"
		r.save(next)
		entries := r.audited("mail.saved_untested")
		if text, want := audit.DetailText(entries[0].Detail), `account: "Relay / account" to "Relay / second"`; text != want {
			r.t.Errorf("got %s, want %s", text, want)
		}
	})
}

func TestAnAccountsPasswordIsReadForEachConnection(t *testing.T) {
	each(t, func(r *rig) {
		r.save(account())
		reads := r.vault.reads
		first := r.open()
		r.vault.set("second password")
		next := r.open()
		if r.vault.reads != reads+2 || first.Config.Auth.Password.Reveal() != password || next.Config.Auth.Password.Reveal() != "second password" || next.Config.Auth.Username != "robot" {
			r.t.Error("the password was not read anew")
		}
		if first.Key() == next.Key() || next.SecretVersion != 2 {
			r.t.Error("connections of the old password could be used on")
		}
		if third := r.open(); third.Key() != next.Key() {
			r.t.Error("connections of the same password differ")
		}
		r.save(func() mail.Change { c := keep(account()); c.SenderName = "Another"; return c }())
		if r.open().Key() == next.Key() {
			r.t.Error("connections of other settings could be used on")
		}
		// An account without a password, or none at all.
		r.vault.set("")
		var problem *mail.Problem
		if _, err := r.mail.Open(r.t.Context()); !errors.As(err, &problem) || problem.Row != mail.RowAccountGone || problem.SecretVersion != 3 {
			r.t.Errorf("got %v", err)
		}
	})
}

func TestMailGoesAnotherWayAfterAProofOnly(t *testing.T) {
	each(t, func(r *rig) {
		first := typed()
		first.Trust = []mail.Candidate{{DER: r.ca.Raw, Mode: "anchor"}}
		r.save(first)
		refusal := fault.Denied("Type your password again to go on.").WithCode(fault.CodeReauthenticate)
		r.cfg.Prove = func(actor.Actor) error { return refusal }
		r.mail = mail.New(r.cfg)
		ctx := r.t.Context()
		for name, change := range map[string]func(*mail.Change){
			"host":     func(c *mail.Change) { c.Host = newHost },
			"port":     func(c *mail.Change) { c.Port = 2525 },
			"security": func(c *mail.Change) { c.Security = smtp.Implicit },
			"kind":     func(c *mail.Change) { c.Kind = mail.KindCapture },
			"trust":    func(c *mail.Change) { c.Trust = []mail.Candidate{{DER: r.anchor("Another").Raw, Mode: "anchor"}} },
			"distrust": func(c *mail.Change) { c.Distrust = []string{trust.Fingerprint(r.ca.Raw)} },
		} {
			c := typed()
			change(&c)
			if _, err := r.mail.Save(ctx, admin, c); fault.CodeOf(err) != fault.CodeReauthenticate {
				r.t.Errorf("another %s: %v", name, err)
			}
		}
		_, err := r.imports(admin, trust.ModePin, secret.New(password), r.anchor("Another"))
		if fault.CodeOf(err) != fault.CodeReauthenticate {
			r.t.Errorf("trusting one more: %v", err)
		}
		_, err = r.mail.TrustRemove(ctx, admin, trust.Fingerprint(r.ca.Raw), secret.New(password))
		if fault.CodeOf(err) != fault.CodeReauthenticate {
			r.t.Errorf("trusting one less: %v", err)
		}
		if list, err := r.mail.TrustList(ctx, admin); err != nil || len(list) != 1 || len(r.audited("mail.trust_changed")) != 0 {
			r.t.Errorf("trusted without a proof: %+v, %v", list, err)
		}
		if _, err := r.imports(admin, trust.ModeAnchor, secret.Value{}, r.ca); err != nil {
			r.t.Errorf("trusting what is trusted: %v", err)
		}
		if err := r.mail.Remove(ctx, admin); fault.CodeOf(err) != fault.CodeReauthenticate {
			r.t.Errorf("remove: %v", err)
		}
		c := keep(typed())
		c.SenderName = "Another"
		if _, err := r.mail.Save(ctx, admin, c); err != nil {
			r.t.Errorf("another name for the sender: %v", err)
		}
	})
}

// A test of what is stored is as good as one before saving. A test of anything
// else says nothing of it.
func TestAPassedTestOfWhatIsStoredCounts(t *testing.T) {
	each(t, func(r *rig) {
		for name, stored := range map[string]mail.Change{"typed": typed(), "account": account(), "none": func() mail.Change {
			c := keep(typed())
			c.Auth, c.Username, c.Mechanism = mail.AuthNone, "", ""
			return c
		}()} {
			saved := r.save(stored)
			for other, change := range map[string]func(*mail.Change){
				"port":   func(c *mail.Change) { c.Port = 2525 },
				"sender": func(c *mail.Change) { c.SenderAddress = "other@example.org" },
				"trust":  func(c *mail.Change) { c.Trust = []mail.Candidate{{DER: r.ca.Raw, Mode: "anchor"}} },
				"password": func(c *mail.Change) {
					c.Auth, c.Username, c.Password.Value = mail.AuthTyped, "robot", secret.New("another")
				},
			} {
				c := stored
				if c.Auth == mail.AuthTyped || other == "password" {
					c.Password = mail.Password{Action: mail.Replace, Value: secret.New(password)}
				}
				change(&c)
				r.pass(c)
				if !r.active().TestedAt.IsZero() {
					r.t.Fatalf("%s: a test of another %s counts", name, other)
				}
				r.clock.Advance(time.Minute)
			}
			r.pass(saved.Change())
			p := r.active()
			if p.SavedAnyway() || !p.TestedAt.Equal(r.clock.Now()) || !p.ServerCertificateEnds.Equal(r.clock.Now().Add(100*24*time.Hour)) || p.Revision != saved.Revision {
				r.t.Errorf("%s: after the test it is %+v", name, p)
			}
			entry := r.audited("mail.tested")[0]
			if text := audit.DetailText(entry.Detail); entry.Actor.Login != "grace" || text != "outcome: passed; saved settings: count as tested" {
				r.t.Errorf("%s: the audit says %+v", name, entry)
			}
		}
		// Nobody may use the account with these certificates yet.
		r.save(account())
		_, err := r.imports(other, trust.ModeAnchor, secret.Value{}, r.ca)
		r.must(err)
		c := r.active().Change()
		r.pass(c)
		if !r.active().TestedAt.IsZero() {
			r.t.Error("a test of what is not allowed yet counts")
		}
	})
}
