package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
)

// sink is a server that takes letters from who knows the password.
func (r rig) sink(t *testing.T, change func(*smtptest.SinkConfig)) *smtptest.Sink {
	t.Helper()
	cfg := smtptest.SinkConfig{Certificate: &r.cert, Mechanisms: sasl.Strength(), Login: login, Password: password}
	if change != nil {
		change(&cfg)
	}
	return smtptest.StartSink(t, cfg)
}

// Every mechanism over every kind of TLS hands a letter over, and is refused
// with a wrong password.
func TestLettersArrive(t *testing.T) {
	r := newRig(t)
	for _, security := range []smtp.Security{smtp.STARTTLS, smtp.Implicit} {
		for _, mechanism := range append(sasl.Strength(), "") {
			t.Run(string(security)+" "+mechanism, func(t *testing.T) {
				s := r.sink(t, func(c *smtptest.SinkConfig) { c.Implicit = security == smtp.Implicit })
				cfg := r.config(s.Server, security)
				cfg.Auth.Mechanism = mechanism
				result, err := deliver(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				if result.QueueID != "0001" || result.Reply.Code != 250 || result.Took <= 0 {
					t.Errorf("got %+v", result)
				}
				got := s.Wait(t, 1)[0]
				if string(got.Data) != body || got.From != "vault@example.org" || fmt.Sprint(got.To) != "[ada@example.org]" || got.Login != login || !got.Encrypted {
					t.Errorf("arrived: %+v", got)
				}
				cfg.Auth.Password = secret.New("wrong-" + password)
				if _, err := deliver(t.Context(), cfg); err == nil || err.Kind != smtp.KindReply || err.Code != 535 || err.Stage != smtp.StageAuth {
					t.Errorf("with a wrong password: %v", err)
				}
				if leaked := s.Leak(login, password); leaked != "" {
					t.Errorf("%s went out in clear", leaked)
				}
				checkTranscript(t, cfg.Transcript)
			})
		}
	}
}

// checkTranscript wants a dialogue that names no credential in any form.
func checkTranscript(t *testing.T, transcript *smtp.Transcript) {
	t.Helper()
	text := transcript.String()
	for _, want := range []string{"C: EHLO vault.example.net", "C: [letter of ", "S: 235 2.7.0 welcome", "-- TLS", "C: QUIT"} {
		if !strings.Contains(text, want) {
			t.Errorf("the transcript lacks %q:\n%s", want, text)
		}
	}
	s := smtptest.Start(t, smtptest.Script{})
	conn, err := s.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(strings.ReplaceAll(text, "C: AUTH ", "C: "))); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if leaked := s.Leak(login, password); leaked != "" {
		t.Errorf("the transcript tells %s:\n%s", leaked, text)
	}
}

// The strongest mechanism is taken, whatever the order of the announcements.
func TestTheStrongestMechanismIsTaken(t *testing.T) {
	r := newRig(t)
	s := r.sink(t, func(c *smtptest.SinkConfig) {
		c.Mechanisms = []string{"LOGIN", "PLAIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}
	})
	if _, err := deliver(t.Context(), r.config(s.Server, smtp.STARTTLS)); err != nil {
		t.Fatal(err)
	}
	if count(s.Inside(), "AUTH SCRAM-SHA-256") != 1 || s.LeakInside(password) != "AUTH" {
		t.Errorf("inside: %s", s.Inside())
	}
}

// A password too long for the AUTH line follows behind it (RFC 4954 4).
func TestALongPasswordFollowsTheCommand(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("0123456789", 1000)
	s := r.sink(t, func(c *smtptest.SinkConfig) { c.Password = long })
	cfg := r.config(s.Server, smtp.STARTTLS)
	cfg.Auth.Mechanism, cfg.Auth.Password = sasl.Plain, secret.New(long)
	if _, err := deliver(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(s.Inside()), "AUTH PLAIN\r\n") {
		t.Error("the command was longer than 512 octets")
	}
	if strings.Contains(cfg.Transcript.String(), "MDEyMzQ1") {
		t.Error("the transcript tells the password")
	}
}

// No certificate that does not stand the test gets to hear a credential.
func TestCertificatesOnTheWire(t *testing.T) {
	r := newRig(t)
	for _, c := range r.lab.Cases() {
		policy := trust.Policy{Host: c.Host, Roots: newRoots(), Now: r.lab.Now}
		for _, cert := range c.Import {
			policy.Anchors = append(policy.Anchors, trust.Anchor{DER: cert.Raw, Mode: trust.ModeAnchor})
		}
		for _, cert := range c.Pin {
			policy.Anchors = append(policy.Anchors, trust.Anchor{DER: cert.Raw, Mode: trust.ModePin})
		}
		for security, script := range map[smtp.Security]smtptest.Script{
			smtp.STARTTLS: {smtptest.Greet("STARTTLS"), smtptest.Expect("STARTTLS"), smtptest.Say("220 go"), smtptest.Handshake(c.Config()), trap()},
			smtp.Implicit: {smtptest.Handshake(c.Config()), smtptest.Say("220 hi"), trap()},
		} {
			what := fmt.Sprintf("%s (%s) %s", c.ID, c.What, security)
			s := smtptest.Start(t, script)
			cfg := r.config(s, security)
			cfg.Host, cfg.TLS = c.Host, policy.TLSConfig()
			_, e := deliver(t.Context(), cfg)
			switch {
			case c.Good && (e != nil || s.LeakInside(password) == ""):
				t.Errorf("%s: %v", what, e)
			case !c.Good && (e == nil || e.Kind != smtp.KindTLS || e.Stage != smtp.StageTLS):
				t.Errorf("%s: %v", what, e)
			case !c.Good && s.LeakInside(login, password) != "":
				t.Errorf("%s: a credential reached a server that proved nothing", what)
			}
			if refused := (*trust.Verdict)(nil); !c.Good && !c.Old && !errors.As(e, &refused) {
				t.Errorf("%s: %v is no verdict", what, e)
			}
			if leaked := s.Leak(login, password); leaked != "" {
				t.Errorf("%s: %s went out in clear", what, leaked)
			}
			if c.Good || c.Old || security == smtp.Implicit {
				continue
			}
			s = smtptest.Start(t, script)
			naive{dial: s.Dial}.sends(t)
			if s.LeakInside(password) == "" {
				t.Errorf("%s: control: a client that believes any certificate did not sign in", what)
			}
		}
	}
}

// The wrong kind of port: each way round is told apart.
func TestTheWrongKindOfPort(t *testing.T) {
	r := newRig(t)
	s := smtptest.Start(t, smtptest.Script{smtptest.Say("220 mail.example.org ESMTP")})
	if _, e := deliver(t.Context(), r.config(s, smtp.Implicit)); e == nil || e.Kind != smtp.KindTLS || e.Stage != smtp.StageTLS {
		t.Errorf("TLS at once to a server that greets: %v", e)
	}
	s = smtptest.Start(t, smtptest.Script{smtptest.Handshake(r.tls())})
	cfg := r.config(s, smtp.STARTTLS)
	cfg.Timeouts.Greeting = 100 * time.Millisecond
	if _, e := deliver(t.Context(), cfg); e == nil || e.Kind != smtp.KindTimeout || e.Stage != smtp.StageGreeting {
		t.Errorf("STARTTLS to a server that waits for TLS: %v", e)
	}
}

func TestSettingsThatCannotBeUsed(t *testing.T) {
	r := newRig(t)
	s := smtptest.Start(t, smtptest.Script{trap()})
	for what, tt := range map[string]struct {
		change func(*smtp.Config)
		kind   smtp.Kind
	}{
		"no host":             {func(c *smtp.Config) { c.Host = "" }, smtp.KindInput},
		"no port":             {func(c *smtp.Config) { c.Port = 0 }, smtp.KindInput},
		"port too high":       {func(c *smtp.Config) { c.Port = 65536 }, smtp.KindInput},
		"unknown security":    {func(c *smtp.Config) { c.Security = "opportunistic" }, smtp.KindInput},
		"no security":         {func(c *smtp.Config) { c.Security = "" }, smtp.KindInput},
		"TLS without policy":  {func(c *smtp.Config) { c.TLS = nil }, smtp.KindInput},
		"no EHLO name":        {func(c *smtp.Config) { c.LocalName = "" }, smtp.KindInput},
		"two lines in EHLO":   {func(c *smtp.Config) { c.LocalName = "a\r\nMAIL" }, smtp.KindInput},
		"password in clear":   {func(c *smtp.Config) { c.Security = smtp.None }, smtp.KindPolicy},
		"password in clear 2": {func(c *smtp.Config) { c.Security, c.TLS = smtp.None, nil }, smtp.KindPolicy},
	} {
		cfg := r.config(s, smtp.STARTTLS)
		tt.change(&cfg)
		if _, err := smtp.Dial(t.Context(), cfg); asError(err).Kind != tt.kind {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s.Connections() != 0 {
		t.Error("a connection was made with settings that cannot be used")
	}
	cfg := r.config(s, smtp.STARTTLS)
	cfg.Auth.Password = secret.Value{}
	s2 := smtptest.Start(t, r.secure().Then(smtptest.Trap("AUTH PLAIN")))
	cfg.Dial = s2.Dial
	if _, err := smtp.Dial(t.Context(), cfg); asError(err).Kind != smtp.KindInput || asError(err).Stage != smtp.StageAuth {
		t.Errorf("an empty password: %v", err)
	}
}

// A password in clear takes the administrator's word for it.
func TestClearSignInTakesConsent(t *testing.T) {
	r := newRig(t)
	s := r.sink(t, func(c *smtptest.SinkConfig) { c.Certificate, c.Mechanisms = nil, []string{"PLAIN"} })
	cfg := r.config(s.Server, smtp.None)
	cfg.AllowClearAuth = true
	if _, err := deliver(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if s.Leak(password) == "" {
		t.Error("control: the password was not seen")
	}
	if strings.Contains(cfg.Transcript.String(), password) {
		t.Error("the transcript tells the password")
	}
}

// A caller that gives up is obeyed at once, at each step.
func TestGivingUp(t *testing.T) {
	r := newRig(t)
	signed := r.secure().Then(smtptest.Hello("AUTH PLAIN"), smtptest.ExpectPrefix("AUTH "), smtptest.Say("235 ok"))
	for stage, script := range map[smtp.Stage]smtptest.Script{
		smtp.StageGreeting: {},
		smtp.StageEHLO:     {smtptest.Say("220 hi"), smtptest.ExpectPrefix("EHLO ")},
		smtp.StageAuth:     r.secure().Then(smtptest.Hello("AUTH PLAIN"), smtptest.ExpectPrefix("AUTH ")),
		smtp.StageMail:     signed.Then(smtptest.ExpectPrefix("MAIL ")),
		smtp.StageContent: signed.Then(smtptest.ExpectPrefix("MAIL "), smtptest.Say("250 ok"), smtptest.ExpectPrefix("RCPT "), smtptest.Say("250 ok"),
			smtptest.Expect("DATA"), smtptest.Say("354 go"), smtptest.Receive(len(body)+3)),
	} {
		ctx, giveUp := context.WithCancel(t.Context())
		s := smtptest.Start(t, script.Then(func(*smtptest.Talk) error { giveUp(); return nil }))
		began := time.Now()
		_, e := deliver(ctx, r.config(s, smtp.STARTTLS))
		early := stage == smtp.StageGreeting && e != nil && e.Stage == smtp.StageConnect // the client may not have noticed that it is connected
		if e == nil || e.Kind != smtp.KindCancelled || e.Stage != stage && !early || e.Uncertain != (stage == smtp.StageContent) {
			t.Errorf("%s: %v", stage, e)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: obeyed after %s", stage, took)
		}
		giveUp()
	}
	ctx, giveUp := context.WithCancel(t.Context())
	giveUp()
	s := smtptest.Start(t, smtptest.Script{trap()})
	if _, e := deliver(ctx, r.config(s, smtp.STARTTLS)); e == nil || e.Kind != smtp.KindCancelled {
		t.Errorf("given up before: %v", e)
	}
}

// One connection serves several letters, in their order, and tells when it is
// of no use any more.
func TestAConnectionIsUsedAgain(t *testing.T) {
	r := newRig(t)
	s := r.sink(t, func(c *smtptest.SinkConfig) {
		n := 0
		c.Answer = func(a smtptest.Asked) string {
			if a.Verb == "MAIL" {
				n++
			}
			switch {
			case n == 2 && a.Verb == "CONTENT":
				return "554 5.7.1 not this one"
			case n == 4 && a.Verb == "MAIL":
				return "421 4.3.2 going down"
			}
			return ""
		}
	})
	c, err := smtp.Dial(t.Context(), r.config(s.Server, smtp.STARTTLS))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Alive(t.Context()) || !c.Usable() || c.Idle() > time.Minute {
		t.Error("a fresh connection is of no use")
	}
	var codes []int
	err = c.Send(t.Context(), smtp.Each(letter(), letter(), letter(), letter(), letter()), func(i int, r smtp.Result) {
		code := r.Reply.Code
		if r.Err != nil {
			code = r.Err.Code
		}
		codes = append(codes, code)
	})
	if fmt.Sprint(codes) != "[250 554 250 421]" || asError(err).Code != 421 {
		t.Errorf("got %v, %v", codes, err)
	}
	if c.Usable() || c.Alive(t.Context()) {
		t.Error("a closed connection says that it can be used")
	}
	if err := c.Send(t.Context(), smtp.Each(letter()), func(int, smtp.Result) { t.Error("tried on a closed connection") }); err == nil {
		t.Error("a letter was sent on a closed connection")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if n := len(s.Letters()); n != 2 {
		t.Errorf("%d letters arrived, want 2", n)
	}
}

// A connection that died while it was idle is noticed before a letter is begun.
func TestADeadConnectionIsNoticed(t *testing.T) {
	r := newRig(t)
	for what, end := range map[string]smtptest.Script{
		"gone": {smtptest.Drop()}, "421 while idle": {smtptest.Say("421 4.4.2 idle for too long"), smtptest.Drop()},
		"RSET refused": {smtptest.Expect("RSET"), smtptest.Say("503 what")}, "RSET unheard": {smtptest.Expect("RSET"), smtptest.Drop()},
	} {
		s := smtptest.Start(t, r.secure().Then(smtptest.Hello("AUTH PLAIN"), smtptest.ExpectPrefix("AUTH "), smtptest.Say("235 ok")).Then(end...))
		c, err := smtp.Dial(t.Context(), r.config(s, smtp.STARTTLS))
		if err != nil {
			t.Fatal(err)
		}
		if c.Alive(t.Context()) || c.Usable() {
			t.Errorf("%s: not noticed", what)
		}
		if s.Wire(); count(s.Inside(), "MAIL ") > 0 {
			t.Errorf("%s: a letter was begun", what)
		}
	}
}

// What a letter needs of the server is asked for, and nothing else.
func TestParametersOfMAIL(t *testing.T) {
	r := newRig(t)
	plain, eight, utf8 := letter(), letter(), letter()
	eight.Body = []byte("Subject: x\r\n\r\nräksmörgås\r\n")
	utf8.To = []string{"zoë@example.org"}
	for _, tt := range []struct {
		announce string
		letter   smtp.Submission
		params   string
		kind     smtp.Kind
	}{
		{"", plain, "", ""},
		{"SIZE", plain, "", ""},
		{"SIZE 1000", plain, fmt.Sprintf("SIZE=%d", len(body)), ""},
		{"SIZE 10", plain, "", smtp.KindInput},
		{"8BITMIME", eight, "BODY=8BITMIME", ""},
		{"", eight, "", smtp.KindInput},
		{"SMTPUTF8", plain, "", ""},
		{"SMTPUTF8", utf8, "SMTPUTF8", ""},
		{"", utf8, "", smtp.KindInput},
		{"", smtp.Submission{From: "a@b.org", To: []string{"c@d.org"}}, "", smtp.KindInput},
		{"", smtp.Submission{From: "a@b.org", Body: []byte(body)}, "", smtp.KindInput},
		{"", smtp.Submission{From: "a@b.org", To: []string{"c@d.org"}, Body: []byte(strings.Repeat("x", 999) + "\r\n")}, "", smtp.KindInput},
		{"", smtp.Submission{From: "a@b.org", To: []string{"c@d.org"}, Body: []byte(strings.Repeat("x", 998) + "\r\n")}, "", ""},
		{"", smtp.Submission{From: "a@b.org", To: []string{"c@d.org"}, Body: []byte("no line end")}, "", smtp.KindInput},
	} {
		s := r.sink(t, func(c *smtptest.SinkConfig) { c.Announce = []string{tt.announce, "PIPELINING", "CHUNKING"} })
		c, err := smtp.Dial(t.Context(), r.config(s.Server, smtp.STARTTLS))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(t.Context(), smtp.Each(tt.letter), func(_ int, r smtp.Result) {
			if r.Err == nil && tt.kind != "" || r.Err != nil && r.Err.Kind != tt.kind {
				t.Errorf("%q, %.20q: %v, want %q", tt.announce, tt.letter.Body, r.Err, tt.kind)
			}
		}); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for _, l := range s.Letters() {
			if got := strings.Join(l.Params, " "); got != tt.params {
				t.Errorf("%q: the parameters are %q, want %q", tt.announce, got, tt.params)
			}
		}
	}
}

// The steps are told in their order, with what a person wants to know.
func TestStepsAreTold(t *testing.T) {
	r := newRig(t)
	for security, want := range map[smtp.Security][]smtp.Stage{
		smtp.STARTTLS: {smtp.StageConnect, smtp.StageGreeting, smtp.StageEHLO, smtp.StageTLS, smtp.StageEHLO, smtp.StageAuth},
		smtp.Implicit: {smtp.StageConnect, smtp.StageTLS, smtp.StageGreeting, smtp.StageEHLO, smtp.StageAuth},
	} {
		s := r.sink(t, func(c *smtptest.SinkConfig) { c.Implicit = security == smtp.Implicit })
		cfg := r.config(s.Server, security)
		var got []smtp.Stage
		cfg.Observe = func(e smtp.Event) {
			got = append(got, e.Stage)
			if e.Stage == smtp.StageTLS && (e.TLS == nil || len(e.TLS.PeerCertificates) != 1) || e.Took < 0 {
				t.Errorf("%s: %+v", e.Stage, e)
			}
			if e.Stage == smtp.StageAuth && fmt.Sprint(e.Detail) != "[SCRAM-SHA-256]" {
				t.Errorf("signed in with %v", e.Detail)
			}
		}
		if _, err := deliver(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", security, got, want)
		}
	}
}

// Without a dialer of the caller's, names are looked up first and told.
func TestNamesAreLookedUp(t *testing.T) {
	s := r0(t)
	cfg := newRig(t).config(s, smtp.None)
	cfg.Auth, cfg.Dial, cfg.Host = nil, nil, "localhost"
	var found []string
	cfg.Observe = func(e smtp.Event) {
		if e.Stage == smtp.StageResolve {
			found = e.Detail
		}
	}
	if _, err := deliver(t.Context(), cfg); err != nil || !slices.Contains(found, "127.0.0.1") {
		t.Errorf("%v, found %v", err, found)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for _, observe := range []func(smtp.Event){nil, func(smtp.Event) {}} {
		cfg.Host, cfg.Observe = "no-such-host.invalid", observe
		if _, err := deliver(ctx, cfg); err == nil || err.Stage != smtp.StageResolve && err.Kind != smtp.KindTimeout {
			t.Errorf("got %v", err)
		}
	}
}

// r0 takes letters in clear from everybody.
func r0(t *testing.T) *smtptest.Server {
	t.Helper()
	return smtptest.StartSink(t, smtptest.SinkConfig{}).Server
}
