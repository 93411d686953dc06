package smtp_test

import (
	"context"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

// attack is a case: what somebody in between, or a hostile server, does, what
// has to come of it, and a client that falls for it.
type attack struct {
	id, what string
	// scripts are what happens on the first connection, the second, and so on.
	scripts []smtptest.Script
	// change, if not nil, alters the settings.
	change func(*smtp.Config)
	// kinds are the errors that are right, stage where, code the reply.
	kinds string
	stage smtp.Stage
	code  int
	act   verdict.Act
	// mayKnow: the server was verified, so the credentials may be there inside
	// TLS.
	mayKnow bool
	// flawed is who falls for it. fell tells that they did; nil means that the
	// credentials went out in clear.
	flawed naive
	fell   func(s *smtptest.Server, sent bool) bool
}

// run lets Sealpost's client, with a password and with a token, and the flawed
// one meet the same attack.
func (a attack) run(t *testing.T, r rig) {
	a.meet(t, r, "", a.change)
	if a.change == nil {
		a.meet(t, r, ", with a token", withToken)
	}
	t.Run(a.id+" "+a.what+", control", func(t *testing.T) {
		s := smtptest.Start(t, a.scripts...)
		a.flawed.dial = s.Dial
		sent := a.flawed.sends(t)
		if a.fell == nil {
			a.fell = func(s *smtptest.Server, _ bool) bool { return s.Leak(login, password) != "" }
		}
		if !a.fell(s, sent) {
			t.Errorf("the flawed client did not fall for it, so the case proves nothing; in clear:\n%s\ninside:\n%s", s.Wire(), s.Inside())
		}
	})
}

// meet lets Sealpost's client meet the attack with changed settings.
func (a attack) meet(t *testing.T, r rig, with string, change func(*smtp.Config)) {
	table, err := verdict.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Run(a.id+" "+a.what+with, func(t *testing.T) {
		s := smtptest.Start(t, a.scripts...)
		cfg := r.config(s, smtp.STARTTLS)
		if change != nil {
			change(&cfg)
		}
		result, e := deliver(t.Context(), cfg)
		if e == nil {
			t.Fatalf("the letter was sent: %v", result)
		}
		if !strings.Contains(" "+a.kinds+" ", " "+string(e.Kind)+" ") || e.Stage != a.stage || e.Code != a.code || e.Uncertain {
			t.Errorf("got %s %s %d (%v), want %s %s %d", e.Stage, e.Kind, e.Code, e, a.stage, a.kinds, a.code)
		}
		if got := table.Decide(e, smtptest.Host); got.Act != a.act || got.Meaning == "" || got.Mend == "" {
			t.Errorf("the verdict is %+v, want %s", got, a.act)
		}
		if n := s.Connections(); n != 1 {
			t.Errorf("%d connections were made, want 1", n)
		}
		if leaked := s.Leak(login, password, token); leaked != "" {
			t.Errorf("%s went out in clear:\n%s", leaked, s.Wire())
		}
		if leaked := s.LeakInside(login, password, token); leaked != "" && !a.mayKnow {
			t.Errorf("%s was said inside TLS:\n%s", leaked, s.Inside())
		}
		if count(s.Wire(), "MAIL ")+count(s.Inside(), "MAIL ") > 0 {
			t.Error("a letter was begun")
		}
		if text := cfg.Transcript.String(); strings.Contains(text, password) || tellsToken(text) {
			t.Errorf("the transcript tells a credential:\n%s", text)
		}
	})
}

// trap takes everything, in clear.
func trap() smtptest.Step { return smtptest.Trap("AUTH PLAIN LOGIN XOAUTH2") }

func once(steps ...smtptest.Step) []smtptest.Script { return []smtptest.Script{steps} }

// thenTrap is for attacks after which a flawed client comes back in clear.
func thenTrap(steps ...smtptest.Step) []smtptest.Script {
	return []smtptest.Script{steps, {smtptest.Greet("AUTH PLAIN LOGIN XOAUTH2"), trap()}}
}

func offered() smtptest.Step {
	return smtptest.Greet("STARTTLS", "AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER")
}

// N: somebody in between takes TLS away.
func TestTLSIsNotGivenUp(t *testing.T) {
	r := newRig(t)
	cases := []attack{
		{
			id: "N1", what: "STARTTLS stripped from the announcements", scripts: once(smtptest.Greet("AUTH PLAIN LOGIN XOAUTH2"), trap()),
			kinds: "policy", stage: smtp.StageTLS, act: verdict.Pause,
		},
		{
			id: "N2", what: "STARTTLS refused with 502", scripts: once(offered(), smtptest.Expect("STARTTLS"), smtptest.Say("502 5.5.1 no"), trap()),
			kinds: "reply", stage: smtp.StageTLS, code: 502, act: verdict.Pause,
		},
		{
			id: "N3", what: "not offered and refused when forced", scripts: once(smtptest.Greet("AUTH PLAIN LOGIN XOAUTH2"), trap()),
			kinds: "policy", stage: smtp.StageTLS, act: verdict.Pause, flawed: naive{forces: true},
		},
		{
			id: "N4", what: "refused for now with 454", scripts: once(offered(), smtptest.Expect("STARTTLS"), smtptest.Say("454 4.7.0 TLS not available"), trap()),
			kinds: "reply", stage: smtp.StageTLS, code: 454, act: verdict.Retry,
		},
		{
			id: "N5", what: "220 and no TLS behind it",
			scripts: thenTrap(offered(), smtptest.Expect("STARTTLS"), smtptest.Say("220 go"), smtptest.Receive(5), smtptest.Say("500 what?"), trap()),
			kinds:   "tls", stage: smtp.StageTLS, act: verdict.Pause,
		},
		{
			id: "N9", what: "closed right after 220", scripts: thenTrap(offered(), smtptest.Expect("STARTTLS"), smtptest.Say("220 go"), smtptest.Drop()),
			kinds: "network", stage: smtp.StageTLS, act: verdict.Retry,
		},
		{
			id: "N10", what: "garbage for a ServerHello", scripts: thenTrap(offered(), smtptest.Expect("STARTTLS"), smtptest.Say("220 go"), smtptest.Receive(5), smtptest.Garbage(3000)),
			kinds: "tls", stage: smtp.StageTLS, act: verdict.Pause,
		},
	}
	for _, code := range []int{200, 250, 354} {
		cases = append(cases, attack{
			id: "N5", what: fmt.Sprintf("%d to STARTTLS", code),
			scripts: thenTrap(offered(), smtptest.Expect("STARTTLS"), smtptest.Say(fmt.Sprintf("%d what", code)), trap()),
			kinds:   "reply", stage: smtp.StageTLS, code: code, act: verdict.Pause,
		})
	}
	for _, c := range cases {
		c.run(t, r)
	}
}

// N6 to N8: greetings and answers to EHLO that are not what they should be.
func TestOddGreetingsLeadNowhere(t *testing.T) {
	r := newRig(t)
	act := func(code int) verdict.Act {
		if code == 421 {
			return verdict.Retry
		}
		return verdict.Pause
	}
	for _, code := range []int{221, 354, 421, 500, 501, 530, 554} {
		attack{
			id: "N7", what: fmt.Sprintf("greeting %d", code), scripts: once(smtptest.Say(fmt.Sprintf("%d what", code)), trap()),
			kinds: "reply", stage: smtp.StageGreeting, code: code, act: act(code),
		}.run(t, r)
	}
	for _, code := range []int{220, 221, 354, 421, 500, 501, 502, 504, 530, 550} {
		odd := once(smtptest.Say("220 hi"), smtptest.ExpectPrefix("EHLO "), smtptest.Say(fmt.Sprintf("%d what", code)), trap())
		a := attack{
			id: "N8", what: fmt.Sprintf("%d to EHLO", code), scripts: odd,
			kinds: "reply", stage: smtp.StageEHLO, code: code, act: act(code),
		}
		a.run(t, r)
		if code/100 != 5 {
			continue
		}
		a.id, a.what = "N6", fmt.Sprintf("%d to EHLO, sign-in in clear allowed", code)
		a.change = func(cfg *smtp.Config) { cfg.Security, cfg.AllowClearAuth = smtp.None, true }
		a.run(t, r)
	}
	for what, text := range map[string]string{"nothing but a code": "250\r\n", "an empty line": "250 \r\n"} {
		attack{
			id: "N8", what: what + " to EHLO", scripts: once(smtptest.Say("220 hi"), smtptest.ExpectPrefix("EHLO "), smtptest.Raw(text), trap()),
			kinds: "policy", stage: smtp.StageTLS, act: verdict.Pause,
		}.run(t, r)
	}
}

// HELO is enough where nothing is wanted that EHLO announces.
func TestHELOIsEnoughWithoutTLSAndSignIn(t *testing.T) {
	s := smtptest.Start(t, smtptest.Script{smtptest.Say("220 hi"), smtptest.ExpectPrefix("EHLO "), smtptest.Say("502 what"), trap()})
	cfg := newRig(t).config(s, smtp.None)
	cfg.Auth = nil
	if _, err := deliver(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	if count(s.Wire(), "HELO ") != 1 {
		t.Errorf("said: %s", s.Wire())
	}
}

// B: words slipped in around STARTTLS.
func TestWordsSlippedInBeforeTLS(t *testing.T) {
	r := newRig(t)
	inject := func(after string) smtptest.Script {
		return smtptest.Script{offered(), smtptest.Expect("STARTTLS"), smtptest.Raw("220 go\r\n" + after), smtptest.Handshake(r.tls()), smtptest.Trap("AUTH CRAM-MD5")}
	}
	signedIn := func(s *smtptest.Server, _ bool) bool { return s.LeakInside(login, password) != "" }
	for _, a := range []attack{
		{
			id: "B1", what: "a reply in one piece with 220", scripts: []smtptest.Script{inject("250-x\r\n250 AUTH LOGIN\r\n")},
			kinds: "injection", stage: smtp.StageTLS, act: verdict.Pause,
			flawed: naive{oldBuffer: true}, fell: signedIn,
		},
		{
			id: "B2", what: "a reply in a second piece",
			scripts: thenTrap(offered(), smtptest.Expect("STARTTLS"), smtptest.Raw("220 go\r\n"), smtptest.Receive(1), smtptest.Raw("250 AUTH LOGIN\r\n"), smtptest.Handshake(r.tls())),
			kinds:   "tls injection", stage: smtp.StageTLS, act: verdict.Pause,
		},
		{
			id: "B3", what: "all the replies of a letter", scripts: []smtptest.Script{inject("250 hi\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n")},
			kinds: "injection", stage: smtp.StageTLS, act: verdict.Pause,
			flawed: naive{oldBuffer: true}, fell: func(_ *smtptest.Server, sent bool) bool { return sent },
		},
	} {
		a.run(t, r)
	}
}

// B1, as the standard library takes it: it drops what was slipped in and goes
// on, and nobody learns of the attack.
func TestInjectionIsReportedNotDropped(t *testing.T) {
	r := newRig(t)
	s := smtptest.Start(t, smtptest.Script{
		smtptest.Greet("STARTTLS"), smtptest.Expect("STARTTLS"), smtptest.Raw("220 go\r\n250-x\r\n250 AUTH LOGIN\r\n"),
		smtptest.Handshake(r.tls()), trap(),
	})
	if err := throughStandardLibrary(s, r); err != nil {
		t.Errorf("net/smtp notices by now (%v): the case needs another control", err)
	}
}

// B4: nothing may be said between STARTTLS and the handshake. A server that
// does not forget what came before TLS would take it for said inside.
func TestNothingIsSaidBehindSTARTTLS(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		what string
		run  func(s *smtptest.Server) *smtp.Error
		want string
	}{
		{"Sealpost", func(s *smtptest.Server) *smtp.Error {
			_, err := deliver(t.Context(), r.config(s, smtp.STARTTLS))
			return err
		}, ""},
		{"control", func(s *smtptest.Server) *smtp.Error {
			naive{dial: s.Dial, pipelines: true}.sends(t)
			return nil
		}, "EHLO naive\r\n"},
	} {
		var early string
		s := smtptest.Start(t, thenTrap(
			smtptest.Greet("STARTTLS"), smtptest.Expect("STARTTLS"),
			func(talk *smtptest.Talk) error {
				early = talk.Early(50 * time.Millisecond)
				return nil
			},
			smtptest.Say("220 go"), smtptest.Handshake(r.tls()), trap(),
		)...)
		if err := tt.run(s); err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
		s.Wire()
		if early != tt.want {
			t.Errorf("%s said %q before it was answered, want %q", tt.what, early, tt.want)
		}
	}
}

// S: what was known before TLS, and sign-ins that are none.
func TestNothingIsBelievedTooEarly(t *testing.T) {
	r := newRig(t)
	fixed := func(name string) func(*smtp.Config) { return func(cfg *smtp.Config) { cfg.Auth.Mechanism = name } }
	sentWithoutSignIn := func(s *smtptest.Server, sent bool) bool { return sent && count(s.Inside(), "AUTH ") == 0 }
	for _, a := range []attack{
		{
			id: "S2", what: "no answer to EHLO inside TLS", scripts: thenTrap(r.secure().Then(smtptest.ExpectPrefix(""), smtptest.Silence())...),
			change: func(cfg *smtp.Config) { cfg.Timeouts.Command = 1500 * time.Millisecond },
			kinds:  "timeout", stage: smtp.StageEHLO, act: verdict.Retry,
			flawed: naive{oldCaps: true}, fell: func(s *smtptest.Server, _ bool) bool { return s.LeakInside(password) != "" },
		},
		{
			id: "S3", what: "235 to EHLO, as if signed in", scripts: []smtptest.Script{r.secure().Then(smtptest.ExpectPrefix("EHLO "), smtptest.Say("235 2.7.0 welcome"), trap())},
			kinds: "reply", stage: smtp.StageEHLO, code: 235, act: verdict.Pause,
			flawed: naive{skips: true}, fell: sentWithoutSignIn,
		},
		{
			id: "S3", what: "235 behind the answer to EHLO",
			scripts: []smtptest.Script{r.secure().Then(smtptest.ExpectPrefix("EHLO "), smtptest.Raw("250-x\r\n250 AUTH PLAIN XOAUTH2\r\n235 2.7.0 welcome\r\n"), trap())},
			kinds:   "protocol", stage: smtp.StageAuth, act: verdict.Retry,
			flawed: naive{}, fell: func(s *smtptest.Server, _ bool) bool { return s.LeakInside(password) != "" },
		},
		{
			id: "S3", what: "no sign-in offered inside TLS", scripts: []smtptest.Script{r.secure().Then(smtptest.Hello("SIZE 1000"), smtptest.Trap())},
			kinds: "policy", stage: smtp.StageAuth, act: verdict.Pause,
			flawed: naive{skips: true}, fell: sentWithoutSignIn,
		},
		{
			id: "S3", what: "235 to SCRAM without a proof",
			scripts: []smtptest.Script{r.secure().Then(smtptest.Trap("AUTH SCRAM-SHA-256 PLAIN"))}, change: fixed(sasl.SCRAMSHA256),
			kinds: "protocol", stage: smtp.StageAuth, act: verdict.Retry, mayKnow: true,
			flawed: naive{}, fell: func(_ *smtptest.Server, sent bool) bool { return sent },
		},
		{
			id: "S5", what: "the chosen mechanism is missing", scripts: []smtptest.Script{r.secure().Then(smtptest.Trap("AUTH PLAIN LOGIN"))},
			change: fixed(sasl.SCRAMSHA256), kinds: "policy", stage: smtp.StageAuth, act: verdict.Pause,
			flawed: naive{}, fell: func(s *smtptest.Server, _ bool) bool { return s.LeakInside(password) != "" },
		},
	} {
		a.run(t, r)
	}
}

// S5 with the guard taken away: without a fixed mechanism, PLAIN is used.
func TestAFixedMechanismIsTheGuard(t *testing.T) {
	r := newRig(t)
	s := smtptest.Start(t, r.secure().Then(smtptest.Trap("AUTH PLAIN LOGIN")))
	if _, err := deliver(t.Context(), r.config(s, smtp.STARTTLS)); err != nil || s.LeakInside(password) == "" {
		t.Errorf("%v; inside: %s", err, s.Inside())
	}
	if leaked := s.Leak(login, password); leaked != "" {
		t.Errorf("%s went out in clear", leaked)
	}
}

// S1: only what was announced inside TLS counts.
func TestAnnouncementsBeforeTLSAreForgotten(t *testing.T) {
	r := newRig(t)
	script := smtptest.Script{
		smtptest.Greet("STARTTLS", "SIZE 1", "SMTPUTF8", "AUTH LOGIN"), smtptest.StartTLS(r.cert),
		smtptest.Trap("SIZE 100000", "AUTH PLAIN", "8BITMIME"),
	}
	s := smtptest.Start(t, script)
	c, err := smtp.Dial(t.Context(), r.config(s, smtp.STARTTLS))
	if err != nil {
		t.Fatal(err)
	}
	caps := c.Caps()
	if caps.Size != 100000 || caps.UTF8 || !caps.EightBit || strings.Join(caps.Auth, " ") != "PLAIN" || caps.StartTLS || !c.Encrypted() {
		t.Errorf("believed: %+v", caps)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if count(s.Inside(), "AUTH PLAIN") != 1 || s.Leak(login, password) != "" {
		t.Errorf("inside: %s", s.Inside())
	}

	s = smtptest.Start(t, script)
	naive{dial: s.Dial, oldCaps: true}.sends(t)
	if count(s.Inside(), "AUTH LOGIN") != 1 {
		t.Errorf("control: the flawed client did not believe the old announcements: %s", s.Inside())
	}
}

// S2: STARTTLS inside TLS is not followed.
func TestTLSIsNotNested(t *testing.T) {
	r := newRig(t)
	script := r.secure().Then(smtptest.Trap("STARTTLS", "AUTH PLAIN"))
	s := smtptest.Start(t, script)
	if _, err := deliver(t.Context(), r.config(s, smtp.STARTTLS)); err != nil {
		t.Error(err)
	}
	if n := count(s.Inside(), "STARTTLS"); n != 0 || s.Leak(login, password) != "" {
		t.Errorf("STARTTLS was said %d times inside TLS", n)
	}

	s = smtptest.Start(t, script)
	naive{dial: s.Dial, nests: true}.sends(t)
	if count(s.Inside(), "STARTTLS") != 1 {
		t.Errorf("control: %s", s.Inside())
	}
}

// S4: a server that takes mail without a sign-in does not get it without one.
func TestTheSignInComesFirst(t *testing.T) {
	r := newRig(t)
	script := r.secure().Then(smtptest.Trap("AUTH PLAIN"))
	s := smtptest.Start(t, script)
	if _, err := deliver(t.Context(), r.config(s, smtp.STARTTLS)); err != nil {
		t.Error(err)
	}
	if !before(s.Inside(), "AUTH ", "MAIL ") || s.Leak(login, password) != "" {
		t.Errorf("inside: %s", s.Inside())
	}

	s = smtptest.Start(t, script)
	naive{dial: s.Dial, lazy: true}.sends(t)
	if before(s.Inside(), "AUTH ", "MAIL ") {
		t.Errorf("control: %s", s.Inside())
	}
}

// S6: challenges that are too long, no base64, or without end.
func TestHostileChallengesAreCut(t *testing.T) {
	r := newRig(t)
	endless := make([]smtptest.Step, 0, 40)
	for range 20 {
		endless = append(endless, smtptest.Say("334 VXNlcm5hbWU6"), smtptest.ExpectPrefix(""))
	}
	for _, tt := range []struct {
		what, mechanism string
		steps           []smtptest.Step
		// cancelled tells that the exchange is taken back in order.
		cancelled bool
	}{
		{"endless", sasl.Login, endless, true},
		{"no base64", sasl.Login, []smtptest.Step{smtptest.Say("334 ???"), smtptest.ExpectPrefix(""), smtptest.Say("501 ok")}, true},
		{"a huge line", sasl.CRAMMD5, []smtptest.Step{smtptest.Say("334 " + strings.Repeat("QUJD", 1000)), smtptest.ExpectPrefix("")}, false},
		{"many lines", sasl.CRAMMD5, []smtptest.Step{smtptest.Flood("334-QUJD\r\n", 1<<20)}, false},
		{"more than SCRAM needs", sasl.SCRAMSHA1, []smtptest.Step{smtptest.Say("334 " + strings.Repeat("QUJD", 400)), smtptest.ExpectPrefix(""), smtptest.Say("501 ok")}, true},
		{"a challenge to PLAIN", sasl.Plain, []smtptest.Step{smtptest.Say("334 QUJD"), smtptest.ExpectPrefix(""), smtptest.Say("501 ok")}, true},
	} {
		script := r.secure().Then(smtptest.Hello("AUTH " + tt.mechanism)).Then(smtptest.ExpectPrefix("AUTH ")).Then(tt.steps...)
		s := smtptest.Start(t, script)
		cfg := r.config(s, smtp.STARTTLS)
		cfg.Auth.Mechanism = tt.mechanism
		_, e := deliver(t.Context(), cfg)
		if e == nil || e.Kind != smtp.KindProtocol || e.Stage != smtp.StageAuth {
			t.Errorf("%s: %v", tt.what, e)
		}
		said := string(s.Inside())
		if tt.cancelled != strings.HasSuffix(said, "\r\n*\r\n") {
			t.Errorf("%s: the last words are %q", tt.what, said[max(0, len(said)-80):])
		}
		if lines := strings.Count(said, "\r\n"); lines > 5 {
			t.Errorf("%s: %d lines were said", tt.what, lines)
		}
		if leaked := s.Leak(login, password); leaked != "" {
			t.Errorf("%s: %s went out in clear", tt.what, leaked)
		}
	}

	s := smtptest.Start(t, thenTrap(r.secure().Then(smtptest.Hello("AUTH LOGIN"), smtptest.ExpectPrefix("AUTH ")).Then(endless...)...)...)
	naive{dial: s.Dial}.sends(t)
	if n := strings.Count(string(s.Inside()), "\r\n"); n < 15 {
		t.Errorf("control: the flawed client stopped after %d lines", n)
	}
}

// S7: wherever a reply points, nobody goes.
func TestReferralsAreNotFollowed(t *testing.T) {
	r := newRig(t)
	elsewhere := smtptest.Start(t, smtptest.Script{smtptest.Greet("AUTH PLAIN"), trap()})
	url := regexp.MustCompile(`(?:smtp://|@)(127\.0\.0\.1:\d+)`)
	for what, script := range map[string]smtptest.Script{
		"551 to RCPT": r.secure().Then(smtptest.Hello("AUTH PLAIN"), smtptest.ExpectPrefix("AUTH "), smtptest.Say("235 ok"), smtptest.ExpectPrefix("MAIL "), smtptest.Say("250 ok"),
			smtptest.ExpectPrefix("RCPT "), smtptest.Say("551 5.1.6 User not local; please try <ada@"+elsewhere.Addr()+">"), trap()),
		"a greeting":     {smtptest.Say("554 moved to smtp://" + elsewhere.Addr()), trap()},
		"421 to EHLO":    {smtptest.Say("220 hi"), smtptest.ExpectPrefix("EHLO "), smtptest.Say("421 4.3.2 use smtp://" + elsewhere.Addr()), trap()},
		"an extension":   {smtptest.Greet("REFERRAL smtp://"+elsewhere.Addr(), "AUTH PLAIN"), trap()},
		"535 to sign-in": r.secure().Then(smtptest.Hello("AUTH PLAIN"), smtptest.ExpectPrefix("AUTH "), smtptest.Say("535 5.7.8 sign in at smtp://"+elsewhere.Addr()), trap()),
	} {
		s := smtptest.Start(t, script)
		cfg := r.config(s, smtp.STARTTLS)
		dialled := 0
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled++
			return s.Dial(ctx, network, address)
		}
		if _, err := deliver(t.Context(), cfg); err == nil {
			t.Errorf("%s: the letter was sent", what)
		}
		if dialled != 1 || elsewhere.Connections() != 0 {
			t.Errorf("%s: %d connections here, %d there", what, dialled, elsewhere.Connections())
		}
		if leaked := s.Leak(login, password); leaked != "" {
			t.Errorf("%s: %s went out in clear", what, leaked)
		}
	}

	s := smtptest.Start(t, smtptest.Script{smtptest.Say("554 moved to smtp://" + elsewhere.Addr()), trap()})
	conn, err := s.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	said, err := textproto.NewConn(conn).ReadLine()
	if err != nil {
		t.Fatal(err)
	}
	to := url.FindStringSubmatch(said)[1]
	naive{dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}}.sends(t)
	if elsewhere.Leak(password) == "" {
		t.Error("control: a client that follows was not caught")
	}
}

// U1: what a server says is shown to people. It stays one short line.
func TestWhatAServerSaysIsTamed(t *testing.T) {
	r := newRig(t)
	const evil = "\x1b[31m\ufeffYour account is locked\x1b[0m\x07 <a href='https://evil.example'>click here</a> \u202egnp.exe\u2066 \u2028next\u200b"
	lines := make([]string, 0, 90)
	for range 89 {
		lines = append(lines, "554-5.7.1 "+evil+strings.Repeat("!", 400))
	}
	lines = append(lines, "554 5.7.1 "+evil)
	s := smtptest.Start(t, smtptest.Script{smtptest.Say("220 " + evil), smtptest.ExpectPrefix("EHLO "), smtptest.Say(lines...)})
	cfg := r.config(s, smtp.STARTTLS)
	var shown []string
	cfg.Observe = func(e smtp.Event) { shown = append(shown, e.Detail...) }
	_, e := deliver(t.Context(), cfg)
	if e == nil || e.Code != 554 || e.Enhanced != "5.7.1" {
		t.Fatalf("got %v", e)
	}
	if !strings.Contains(e.Text, "Your account is locked") {
		t.Errorf("the words themselves are gone: %q", e.Text)
	}
	if n := len(e.Text); n > 600 {
		t.Errorf("the text of the error has %d bytes", n)
	}
	shown = append(shown, e.Text, e.Reply(), e.Error())
	shown = append(shown, cfg.Transcript.Lines()...)
	for _, text := range shown {
		if strings.ContainsFunc(text, untame) {
			t.Errorf("shown as it came: %q", text)
		}
	}
	if !strings.ContainsFunc(evil, untame) {
		t.Error("control: the check finds nothing")
	}
}

// untame is what must not stand in a line on a page or a terminal.
func untame(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0xfeff
}
