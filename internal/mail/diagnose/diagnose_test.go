package diagnose_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// A good server, in each of the ways to reach one: every step is told, and a
// letter arrives.
func TestAGoodServerPasses(t *testing.T) {
	for _, tt := range []struct {
		what   string
		sink   func(*smtptest.SinkConfig)
		change func(*mail.Change)
		want   string
	}{
		{"TLS", nil, nil, "resolve:ok connect:ok greeting:ok tls:ok hello:ok signin:ok sender:ok recipient:ok mail:ok"},
		{
			"SSL", func(c *smtptest.SinkConfig) { c.Implicit = true }, func(c *mail.Change) { c.Port, c.Security = 465, smtp.Implicit },
			"resolve:ok connect:ok tls:ok greeting:ok hello:ok signin:ok sender:ok recipient:ok mail:ok",
		},
		{
			"an account", nil, func(c *mail.Change) { c.Auth, c.AccountID, c.Password = mail.AuthAccount, "account-1", mail.Password{} },
			"resolve:ok connect:ok greeting:ok tls:ok hello:ok signin:ok sender:ok recipient:ok mail:ok",
		},
		{
			"none", func(c *smtptest.SinkConfig) { c.Certificate, c.Mechanisms = nil, nil },
			func(c *mail.Change) {
				c.Port, c.Security, c.ConfirmClear, c.Auth, c.Password = 25, smtp.None, smtptest.Host, mail.AuthNone, mail.Password{}
			},
			"resolve:ok connect:ok greeting:ok tls:warn hello:ok signin:skip sender:ok recipient:ok mail:ok",
		},
		{
			"a password in clear", func(c *smtptest.SinkConfig) { c.Certificate = nil },
			func(c *mail.Change) { c.Port, c.Security, c.ConfirmClear = 25, smtp.None, smtptest.Host },
			"resolve:ok connect:ok greeting:ok tls:warn hello:ok signin:warn sender:ok recipient:ok mail:ok",
		},
		{
			"TLS without a sign-in", func(c *smtptest.SinkConfig) { c.Mechanisms = nil },
			func(c *mail.Change) { c.Auth, c.Password = mail.AuthNone, mail.Password{} },
			"resolve:ok connect:ok greeting:ok tls:ok hello:ok signin:skip sender:ok recipient:ok mail:ok",
		},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := plain(t)
			sink := r.sink(tt.sink)
			report := r.run(t.Context(), change(tt.change))
			if got := states(report); got != tt.want || !report.Passed {
				t.Errorf("got  %s\nwant %s\n%+v", got, tt.want, report)
			}
			if raw := step(t, report, diagnose.StepMail).Raw; !strings.HasPrefix(raw, "250 2.0.0 Ok: queued as 0001") {
				t.Errorf("the server's last word is %q", raw)
			}
			if len(report.Transcript) == 0 || report.To != to || !strings.HasPrefix(report.Server, smtptest.Host+":") || report.Took <= 0 {
				t.Errorf("got %+v", report)
			}
			checkLetter(t, sink.Wait(t, 1)[0])
		})
	}
}

// checkLetter reads the test letter as its receiver does.
func checkLetter(t *testing.T, l smtptest.Letter) {
	t.Helper()
	env, err := enmime.ReadEnvelope(bytes.NewReader(l.Data))
	if err != nil {
		t.Fatal(err)
	}
	if l.From != "vault@example.org" || fmt.Sprint(l.To) != "["+to+"]" {
		t.Errorf("the envelope is from %s to %v", l.From, l.To)
	}
	for key, want := range map[string]string{
		"From": `"Example Vault" <vault@example.org>`, "To": "<" + to + ">", "Reply-To": "<help@example.org>", "Subject": "Test letter from Example Ltd",
		"Auto-Submitted": "auto-generated",
	} {
		if got := env.GetHeader(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if !strings.Contains(env.Text, "Grace Hopper") || !strings.Contains(env.HTML, "Grace Hopper") || !strings.HasSuffix(env.GetHeader("Message-Id"), "@vault.example.org>") {
		t.Errorf("the letter says %q", env.Text)
	}
}

// signed are the steps of a server up to a sign-in.
func (r *rig) signed(cert tls.Certificate) smtptest.Script {
	return smtptest.Script{
		smtptest.Greet("STARTTLS"), smtptest.StartTLS(cert), smtptest.Hello("AUTH PLAIN"), smtptest.ExpectPrefix("AUTH "), smtptest.Say("235 2.7.0 ok"),
	}
}

// Each way in which a server fails ends at its step, with what it means and
// what to do; what comes after is not tried.
func TestFailures(t *testing.T) {
	ok, mailOK, rcptOK := smtptest.Say("250 ok"), smtptest.ExpectPrefix("MAIL "), smtptest.ExpectPrefix("RCPT ")
	const before = "resolve:ok connect:ok greeting:ok tls:ok hello:ok "
	for _, tt := range []struct {
		what   string
		script func(r *rig) smtptest.Script
		change func(*mail.Change)
		want   string
		// detail, advice and raw are words of the failed step.
		detail, advice, raw string
		trust, pin          bool
	}{
		{
			what: "no such name", change: func(c *mail.Change) { c.Host = "mail.invalid" },
			want: "resolve:bad", detail: "no host with this name", advice: "DNS",
		},
		{
			what: "name server out of order", change: func(c *mail.Change) { c.Host = "slow.example.org" },
			want: "resolve:bad", detail: "cannot be looked up", advice: "DNS",
		},
		{
			what: "TLS at once on a port that greets", change: func(c *mail.Change) { c.Security = smtp.Implicit },
			script: func(*rig) smtptest.Script { return smtptest.Script{smtptest.Say("220 mail.example.org ESMTP")} },
			want:   "resolve:ok connect:ok tls:bad", detail: "does not begin with TLS", advice: "STARTTLS",
		},
		{
			what: "STARTTLS on a port that waits for TLS", script: func(r *rig) smtptest.Script {
				return smtptest.Script{smtptest.Handshake(&tls.Config{Certificates: []tls.Certificate{r.cert().TLS()}})}
			},
			want: "resolve:ok connect:ok greeting:bad", detail: "says nothing", advice: "SSL",
		},
		{
			what: "not a mail server", script: func(*rig) smtptest.Script { return smtptest.Script{smtptest.Raw("SSH-2.0-OpenSSH_9.6\r\n")} },
			want: "resolve:ok connect:ok greeting:bad", detail: "rules of SMTP", advice: "port is a mail server's",
		},
		{
			what: "refused at the door", script: func(*rig) smtptest.Script { return smtptest.Script{smtptest.Say("554 5.7.1 go away")} },
			want: "resolve:ok connect:ok greeting:bad", detail: "refuses connections", advice: "address", raw: "554 5.7.1 go away",
		},
		{
			what: "no STARTTLS", script: func(*rig) smtptest.Script { return smtptest.Script{smtptest.Greet("AUTH PLAIN"), smtptest.Trap()} },
			want: "resolve:ok connect:ok greeting:ok tls:bad", detail: "does not offer encryption", advice: "465",
		},
		{
			what: "words slipped in", script: func(*rig) smtptest.Script {
				return smtptest.Script{smtptest.Greet("STARTTLS"), smtptest.Expect("STARTTLS"), smtptest.Raw("220 go\r\n250 ok\r\n")}
			},
			want: "resolve:ok connect:ok greeting:ok tls:bad", detail: "attack", advice: "between",
		},
		{
			what: "sign-in refused", script: func(r *rig) smtptest.Script {
				return r.signed(r.cert().TLS())[:4].Then(smtptest.Say("535 5.7.8 Error: authentication failed"))
			},
			want: before + "signin:bad", detail: "user name or password", advice: "Check user name", raw: "535 5.7.8 Error",
		},
		{
			what: "no sign-in offered", script: func(r *rig) smtptest.Script {
				return smtptest.Script{smtptest.Greet("STARTTLS"), smtptest.StartTLS(r.cert().TLS()), smtptest.Hello("SIZE 1000")}
			},
			want: before + "signin:bad", detail: "offers no sign-in", advice: "587",
		},
		{
			what: "chosen mechanism missing", change: func(c *mail.Change) { c.Mechanism = "SCRAM-SHA-256" },
			script: func(r *rig) smtptest.Script { return r.signed(r.cert().TLS())[:3] },
			want:   before + "signin:bad", detail: "does not offer SCRAM-SHA-256", advice: "Choose a mechanism",
		},
		{
			what: "sender refused", script: func(r *rig) smtptest.Script {
				return r.signed(r.cert().TLS()).Then(mailOK, smtptest.Say("550 5.7.60 not your address"), smtptest.Trap())
			},
			want: before + "signin:ok sender:bad", detail: "may not send as this sender", advice: "Send As", raw: "550 5.7.60 not your address",
		},
		{
			what: "recipient refused", script: func(r *rig) smtptest.Script {
				return r.signed(r.cert().TLS()).Then(mailOK, ok, rcptOK, smtptest.Say("550 5.1.1 no such mailbox"), smtptest.Trap())
			},
			want: before + "signin:ok sender:ok recipient:bad", detail: "no mailbox with this address", advice: "e-mail address", raw: "550 5.1.1 no such mailbox",
		},
		{
			what: "content refused", script: func(r *rig) smtptest.Script {
				r.sink(func(c *smtptest.SinkConfig) {
					c.Answer = func(a smtptest.Asked) string {
						return map[string]string{"CONTENT": "554 5.2.252 SendAsDenied; a not allowed to send as b"}[a.Verb]
					}
				})
				return nil
			},
			want: before + "signin:ok sender:ok recipient:ok mail:bad", detail: "may not send as this sender", advice: "Send As", raw: "554 5.2.252 SendAsDenied",
		},
		{
			what: "DATA refused", script: func(r *rig) smtptest.Script {
				return r.signed(r.cert().TLS()).Then(mailOK, ok, rcptOK, ok, smtptest.Expect("DATA"), smtptest.Say("554 no valid recipients"), smtptest.Trap())
			},
			want: before + "signin:ok sender:ok recipient:ok mail:bad", detail: "refused this letter", advice: "server said", raw: "554 no valid recipients",
		},
		{
			what: "closed after the letter", script: func(r *rig) smtptest.Script {
				return r.signed(r.cert().TLS()).Then(mailOK, ok, rcptOK, ok, smtptest.Expect("DATA"), smtptest.Say("354 go"), smtptest.Receive(1000), smtptest.Drop())
			},
			want: before + "signin:ok sender:ok recipient:ok mail:bad", detail: "broke", advice: "log",
		},
		{
			what: "only old TLS", script: func(r *rig) smtptest.Script {
				return starttls(&tls.Config{Certificates: []tls.Certificate{r.cert().TLS()}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
			},
			want: "resolve:ok connect:ok greeting:ok tls:bad", detail: "TLS 1.1", advice: "TLS 1.2",
		},
		{
			what: "unknown authority", script: func(r *rig) smtptest.Script {
				own := r.lab.Make(smtptest.Order{Name: "Own Root", CA: true})
				return show(r.lab.Make(smtptest.Order{Name: smtptest.Host, DNS: []string{smtptest.Host}, By: own}).TLS(own))
			},
			want: "resolve:ok connect:ok greeting:ok tls:bad", detail: "vouches", advice: "fingerprint", trust: true, pin: true,
		},
		{
			what: "wrong name", script: func(r *rig) smtptest.Script {
				return show(r.lab.Make(smtptest.Order{DNS: []string{"mx1.example.org", "mx2.example.org"}, By: r.root}).TLS())
			},
			want: "resolve:ok connect:ok greeting:ok tls:bad", detail: "mx1.example.org, mx2.example.org", advice: "pin", pin: true,
		},
		{
			what: "expired", script: func(r *rig) smtptest.Script {
				return show(r.lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: r.root, From: -48 * time.Hour, Until: -24 * time.Hour}).TLS())
			},
			want: "resolve:ok connect:ok greeting:ok tls:bad", detail: "expired on 28 February 2026", advice: "Renew",
		},
		{
			what: "not yet valid", script: func(r *rig) smtptest.Script {
				return show(r.lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: r.root, From: 24 * time.Hour}).TLS())
			},
			want: "resolve:ok connect:ok greeting:ok tls:bad", detail: "valid from 2 March 2026", advice: "clock",
		},
		{
			what: "a short key", script: func(r *rig) smtptest.Script {
				return show(r.lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: r.root, Key: smtptest.RSA1024}).TLS())
			},
			want: "resolve:ok connect:ok greeting:ok tls:bad", detail: "1024 bits", advice: "2048",
		},
		{
			what: "the account is gone", change: func(c *mail.Change) { c.Auth, c.AccountID, c.Password = mail.AuthAccount, "account-2", mail.Password{} },
			want: "resolve:ok connect:bad", detail: "gone or has no password", advice: "Choose another account",
		},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := plain(t)
			r.script()
			if tt.script != nil {
				if steps := tt.script(r); steps != nil {
					r.script(steps...)
				}
			}
			report := r.run(t.Context(), change(tt.change))
			got := states(report)
			if !strings.HasPrefix(got, tt.want) || report.Passed {
				t.Fatalf("got  %s\nwant %s\n%+v", got, tt.want, report)
			}
			bad := report.Steps[strings.Count(tt.want, " ")]
			if !strings.Contains(bad.Detail, tt.detail) || !strings.Contains(bad.Advice, tt.advice) || !strings.HasPrefix(bad.Raw, tt.raw) || tt.raw == "" && bad.Raw != "" {
				t.Errorf("got %q, %q, %q", bad.Detail, bad.Advice, bad.Raw)
			}
			if bad.CanTrust != tt.trust || bad.CanPin != tt.pin || (tt.trust || tt.pin) && len(bad.Chain) == 0 {
				t.Errorf("trust %v, pin %v, %d certificates", bad.CanTrust, bad.CanPin, len(bad.Chain))
			}
			if leaked := r.server.Leak(login, password); leaked != "" {
				t.Errorf("%s went out in clear", leaked)
			}
		})
	}
}

func starttls(cfg *tls.Config) smtptest.Script {
	return smtptest.Script{smtptest.Greet("STARTTLS"), smtptest.Expect("STARTTLS"), smtptest.Say("220 go"), smtptest.Handshake(cfg)}
}

// show is a server up to its certificate, which is not good enough.
func show(cert tls.Certificate) smtptest.Script {
	return starttls(&tls.Config{Certificates: []tls.Certificate{cert}})
}

// A certificate that nobody vouches for: the test shows it, and passes once it,
// or the one it hangs on, is trusted.
func TestTrustingWhatTheTestShowed(t *testing.T) {
	r := plain(t)
	own := r.lab.Make(smtptest.Order{Name: "Own Root", CA: true})
	leaf := r.lab.Make(smtptest.Order{Name: smtptest.Host, DNS: []string{smtptest.Host}, By: own})
	nameless := r.lab.Make(smtptest.Order{Name: "appliance"})
	for _, tt := range []struct {
		what  string
		shown tls.Certificate
		pick  func([]trust.Card) trust.Card
		mode  trust.Mode
	}{
		{"the authority", leaf.TLS(own), func(c []trust.Card) trust.Card { return c[1] }, trust.ModeAnchor},
		{"the certificate itself", leaf.TLS(own), func(c []trust.Card) trust.Card { return c[0] }, trust.ModeAnchor},
		{"a pin", leaf.TLS(own), func(c []trust.Card) trust.Card { return c[0] }, trust.ModePin},
		{"a pin without a name", nameless.TLS(), func(c []trust.Card) trust.Card { return c[0] }, trust.ModePin},
	} {
		r.sink(func(c *smtptest.SinkConfig) { c.Certificate = &tt.shown })
		c := change(nil)
		first := r.run(t.Context(), c)
		failed := step(t, first, diagnose.StepTLS)
		if first.Passed || len(failed.Chain) != len(tt.shown.Certificate) {
			t.Fatalf("%s: %s", tt.what, states(first))
		}
		c.Trust = []mail.Candidate{{DER: tt.pick(failed.Chain).DER, Mode: tt.mode}}
		second := r.run(t.Context(), c)
		if !second.Passed {
			t.Errorf("%s: %+v", tt.what, second)
		}
		if shown := step(t, second, diagnose.StepTLS); len(shown.Chain) != len(tt.shown.Certificate) {
			t.Errorf("%s: the certificate is not shown when it is good", tt.what)
		}
	}
	// Another key than the pinned one.
	other := r.lab.Make(smtptest.Order{Name: smtptest.Host, DNS: []string{smtptest.Host}}).TLS()
	r.sink(func(c *smtptest.SinkConfig) { c.Certificate = &other })
	c := change(func(c *mail.Change) { c.Trust = []mail.Candidate{{DER: leaf.Raw, Mode: trust.ModePin}} })
	changed := step(t, r.run(t.Context(), c), diagnose.StepTLS)
	if !strings.Contains(changed.Detail, trust.Colons(trust.Fingerprint(leaf.Raw))) || !strings.Contains(changed.Detail, "Shown: ") || changed.CanTrust {
		t.Errorf("a pinned key that changed: %+v", changed)
	}
}

// A certificate that ends soon passes with a warning.
func TestACertificateThatEndsSoon(t *testing.T) {
	r := plain(t)
	soon := r.lab.Make(smtptest.Order{DNS: []string{smtptest.Host}, By: r.root, Until: 10 * 24 * time.Hour}).TLS()
	r.sink(func(c *smtptest.SinkConfig) { c.Certificate = &soon })
	report := r.run(t.Context(), change(nil))
	s := step(t, report, diagnose.StepTLS)
	if !report.Passed || s.State != diagnose.Warn || !strings.Contains(s.Advice, "11 March 2026") {
		t.Errorf("got %+v", s)
	}
	// A pin does not look at dates.
	pinned := change(func(c *mail.Change) { c.Trust = []mail.Candidate{{DER: soon.Certificate[0], Mode: trust.ModePin}} })
	if s := step(t, r.run(t.Context(), pinned), diagnose.StepTLS); s.State != diagnose.OK || s.Advice != "" {
		t.Errorf("pinned: %+v", s)
	}
}

// A passed test lets exactly these values be saved, for half an hour.
func TestTheTokenIsForTheTestedValues(t *testing.T) {
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := newRig(t, db, clock)
		r.sink(nil)
		token := r.run(t.Context(), change(nil)).TestToken
		for what, edit := range map[string]func(*mail.Change){
			"host":           func(c *mail.Change) { c.Host = "other.example.org" },
			"port":           func(c *mail.Change) { c.Port = 2525 },
			"security":       func(c *mail.Change) { c.Security = smtp.Implicit },
			"user":           func(c *mail.Change) { c.Username = "other" },
			"password":       func(c *mail.Change) { c.Password.Value = secret.New("another-one") },
			"sender":         func(c *mail.Change) { c.SenderAddress = "other@example.org" },
			"mechanism":      func(c *mail.Change) { c.Mechanism = "PLAIN" },
			"EHLO name":      func(c *mail.Change) { c.LocalName = "other.example.org" },
			"trust":          func(c *mail.Change) { c.Trust = []mail.Candidate{{DER: r.root.Raw, Mode: trust.ModeAnchor}} },
			"account":        func(c *mail.Change) { c.Auth, c.AccountID = mail.AuthAccount, "account-1" },
			"no token":       func(c *mail.Change) { c.TestToken = "" },
			"part of it":     func(c *mail.Change) { c.TestToken = token[:len(token)-2] },
			"another token":  func(c *mail.Change) { c.TestToken = turned(token, len(token)-3) },
			"later end":      func(c *mail.Change) { c.TestToken = turned(token, 30) },
			"no base64":      func(c *mail.Change) { c.TestToken = "???" },
			"nothing at all": func(c *mail.Change) { c.TestToken = "AAAA" },
		} {
			c := change(edit)
			if c.TestToken == "" && what != "no token" {
				c.TestToken = token
			}
			if _, err := r.mail.Save(t.Context(), grace, c); !fault.Is(err, fault.KindInvalid) || fault.Fields(err)[0].Field != "anyway" {
				t.Errorf("%s changed: %v", what, err)
			}
		}
		clock.Advance(31 * time.Minute)
		c := change(func(c *mail.Change) { c.TestToken = token })
		if _, err := r.mail.Save(t.Context(), grace, c); err == nil {
			t.Error("the token of half an hour ago was taken")
		}
		c.TestToken = r.run(t.Context(), change(nil)).TestToken
		clock.Advance(29 * time.Minute)
		c.SenderName, c.Timeouts.Final = "Another name", time.Minute // what no test is about
		p, err := r.mail.Save(t.Context(), grace, c)
		r.must(err)
		if p.SavedAnyway() || p.ServerCertificateEnds.IsZero() {
			t.Errorf("saved as %+v", p)
		}
	})
}

// turned is a token with one character changed.
func turned(token string, at int) string {
	other := "A"
	if token[at] == 'A' {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}

// A test does not take longer than it may, whatever the server does.
func TestATestHasItsTime(t *testing.T) {
	r := plain(t)
	r.config.Limit = 300 * time.Millisecond
	var err error
	r.doctor, err = diagnose.New(r.config)
	r.must(err)
	for what, script := range map[string]smtptest.Script{
		"silence":         {},
		"a slow greeting": {smtptest.Drip("220 "+strings.Repeat("a", 2000), 10*time.Millisecond)},
		"a slow EHLO":     {smtptest.Say("220 hi"), smtptest.ExpectPrefix("EHLO "), smtptest.Drip("250-"+strings.Repeat("a", 2000), 10*time.Millisecond)},
	} {
		r.script(script...)
		began := time.Now()
		report := r.run(t.Context(), change(func(c *mail.Change) { c.Timeouts = smtp.Timeouts{Greeting: time.Minute, Command: time.Minute} }))
		if took := time.Since(began); report.Passed || took > 5*time.Second {
			t.Errorf("%s: took %s: %s", what, took, states(report))
		}
	}
}

// Who asked for the test may go: it ends with them.
func TestATestEndsWithWhoAskedForIt(t *testing.T) {
	r := plain(t)
	ctx, leave := context.WithCancel(t.Context())
	r.script(smtptest.Say("220 hi"), smtptest.ExpectPrefix("EHLO "), func(*smtptest.Talk) error { leave(); return nil })
	began := time.Now()
	report := r.run(ctx, change(func(c *mail.Change) { c.Timeouts = smtp.Timeouts{Command: time.Minute} }))
	if took := time.Since(began); report.Passed || took > 5*time.Second {
		t.Errorf("ended after %s: %s", took, states(report))
	}
	if s := step(t, report, diagnose.StepTLS); s.State != diagnose.Bad && step(t, report, diagnose.StepHello).State != diagnose.Bad {
		t.Errorf("got %s", states(report))
	}
}

// Nobody makes a port scanner of the test: ten in a minute, each in the audit
// log with where its mail was to go.
func TestTestsAreCountedAndAudited(t *testing.T) {
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := newRig(t, db, clock)
		r.script(smtptest.Say("554 no"))
		c := change(nil)
		for range 10 {
			r.run(t.Context(), c)
		}
		_, err := r.doctor.Run(t.Context(), grace, c, to, nil)
		if fault.CodeOf(err) != fault.CodeLimited {
			t.Errorf("the eleventh test: %v", err)
		}
		if n := r.server.Connections(); n != 10 {
			t.Errorf("%d connections, want 10", n)
		}
		other := grace
		other.UserID, other.Login = "u-2", "ada"
		if _, err := r.doctor.Run(t.Context(), other, c, to, nil); err != nil {
			t.Errorf("somebody else's first test: %v", err)
		}
		clock.Advance(61 * time.Second)
		r.run(t.Context(), c)
		page, err := r.audit.Search(t.Context(), grace, audit.Filter{Action: "mail.tested", Limit: 100})
		r.must(err)
		if len(page.Entries) != 12 || page.Entries[0].Name != smtptest.Host+":587" || page.Entries[0].Detail[0].Value != to {
			t.Errorf("%d entries: %+v", len(page.Entries), page.Entries[0])
		}
	})
}

// Requests that make no sense end before a connection is made.
func TestRequestsThatAreRefused(t *testing.T) {
	r := plain(t)
	r.script(smtptest.Trap())
	user := grace
	user.Role = actor.PasswordUser
	for _, tt := range []struct {
		what string
		by   actor.Actor
		edit func(*mail.Change)
		to   string
		kind fault.Kind
		// field is the first that is wrong.
		field string
	}{
		{"no address", grace, nil, "", fault.KindInvalid, "test_to"},
		{"two addresses", grace, nil, "a@example.org, b@example.org", fault.KindInvalid, "test_to"},
		{"an address with a command", grace, nil, "a@example.org>\r\nRCPT TO:<b@example.org", fault.KindInvalid, "test_to"},
		{"a user", user, nil, to, fault.KindDenied, ""},
		{"nobody", actor.Actor{}, nil, to, fault.KindDenied, ""},
		{"no host", grace, func(c *mail.Change) { c.Host = "" }, to, fault.KindInvalid, "host"},
		{"a metadata service", grace, func(c *mail.Change) { c.Host = "169.254.169.254" }, to, fault.KindInvalid, "host"},
		{"a password in clear", grace, func(c *mail.Change) { c.Security = smtp.None }, to, fault.KindInvalid, "confirm_clear"},
		{"no password", grace, func(c *mail.Change) { c.Password = mail.Password{} }, to, fault.KindInvalid, "password"},
		{"asterisks", grace, func(c *mail.Change) { c.Password.Value = secret.New("**********") }, to, fault.KindInvalid, "password"},
		{"a private key", grace, func(c *mail.Change) {
			c.Trust = []mail.Candidate{{DER: []byte("-----BEGIN PRIVATE KEY-----\n"), Mode: trust.ModeAnchor}}
		}, to, fault.KindInvalid, "certificate"},
	} {
		_, err := r.doctor.Run(t.Context(), tt.by, change(tt.edit), tt.to, func(s diagnose.Step) { t.Errorf("%s: told %+v", tt.what, s) })
		if !fault.Is(err, tt.kind) || tt.field != "" && fault.Fields(err)[0].Field != tt.field {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
	if n := r.server.Connections(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	mallory := grace
	mallory.Login = "mallory"
	_, err := r.doctor.Run(t.Context(), mallory, change(func(c *mail.Change) { c.Auth, c.AccountID, c.Password = mail.AuthAccount, "account-1", mail.Password{} }), to, nil)
	if !fault.Is(err, fault.KindInvalid) || fault.Fields(err)[0].Field != "account" {
		t.Errorf("an account of somebody else: %v", err)
	}
}

// A name that leads to a forbidden address is refused where the address shows.
func TestANameThatLeadsToAForbiddenAddress(t *testing.T) {
	r := plain(t)
	r.script(smtptest.Trap())
	doctor := r.denying(t, "127.0.0.0/8")
	report, err := doctor.Run(t.Context(), grace, change(nil), to, nil)
	r.must(err)
	if got := states(report); !strings.HasPrefix(got, "resolve:ok connect:bad") || len(r.server.Wire()) > 0 {
		t.Errorf("got %s", got)
	}
}

// The capture mailbox is tested like any server.
func TestTheCaptureMailbox(t *testing.T) {
	r := plain(t)
	c := mail.Change{Kind: mail.KindCapture, SenderAddress: "vault@example.org"}
	report := r.run(t.Context(), c)
	if got := states(report); !strings.HasPrefix(got, "connect:bad") || !strings.Contains(report.Steps[0].Detail, "not running") {
		t.Errorf("without one: %s %+v", got, report.Steps[0])
	}
	sink := smtptest.StartSink(t, smtptest.SinkConfig{})
	r.capture = sink.Addr()
	report = r.run(t.Context(), c)
	if got := states(report); got != "connect:ok greeting:ok hello:ok sender:ok recipient:ok mail:ok" {
		t.Errorf("got %s: %+v", got, report)
	}
	sink.Wait(t, 1)
}

// An address in place of a name is not looked up; IPv6 in its brackets too.
func TestAnAddressIsNotLookedUp(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		r := plain(t)
		cert := r.lab.Make(smtptest.Order{IP: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, By: r.root}).TLS()
		r.sink(func(c *smtptest.SinkConfig) { c.Certificate = &cert })
		report := r.run(t.Context(), change(func(c *mail.Change) { c.Host = host }))
		if !report.Passed || step(t, report, diagnose.StepResolve).State != diagnose.Skipped {
			t.Errorf("%s: %s", host, states(report))
		}
	}
}
