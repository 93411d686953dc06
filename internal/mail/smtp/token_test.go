package smtp_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
)

// token is shaped like one of Microsoft's, with no two places alike.
var token = "eyJ0eXAiOiJKV1Qi." + countTo(300) + ".c2lnbmF0dXJl_-~+/w"

// countTo returns a text in which every dozen characters are different.
func countTo(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Q%dz", 7919*(i+11))
	}
	return b.String()
}

// withToken signs in with the token instead of the password.
func withToken(cfg *smtp.Config) {
	cfg.Auth = &smtp.Auth{Credential: sasl.Credential{Username: login, Token: secret.New(token)}}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// hears takes the command and the words of a sign-in, wherever they stand.
func hears(t *smtptest.Talk) error {
	line, err := t.Line()
	if err != nil || len(strings.Fields(line)) != 2 {
		return err
	}
	return hearsBehind(t)
}

// hearsBehind asks for the words of a sign-in that do not fit into the command.
func hearsBehind(t *smtptest.Talk) error {
	if err := t.Say("334 "); err != nil {
		return err
	}
	_, err := t.Line()
	return err
}

// tellsToken reports whether a dozen characters of the token, as it is or as it
// is said, stand in a text.
func tellsToken(text string) bool {
	const some = 12
	said := b64("user=" + login + "\x01auth=Bearer " + token + "\x01\x01")
	for _, form := range []string{token, said} {
		for i := 0; i+some <= len(form); i++ {
			if strings.Contains(text, form[i:i+some]) {
				return true
			}
		}
	}
	return false
}

// Both mechanisms say what their pages show, inside TLS alone, and a letter
// follows.
func TestTokensSignIn(t *testing.T) {
	r := newRig(t)
	for _, security := range []smtp.Security{smtp.STARTTLS, smtp.Implicit} {
		for _, mechanism := range sasl.Bearer() {
			begin := r.secure()
			if security == smtp.Implicit {
				begin = smtptest.Script{smtptest.Handshake(r.tls()), smtptest.Say("220 hi")}
			}
			s := smtptest.Start(t, begin.Then(smtptest.Hello("AUTH LOGIN "+mechanism, "SIZE 157286400"), smtptest.Expect("AUTH "+mechanism), hearsBehind, smtptest.Say("235 2.7.0 Authentication successful"), smtptest.Trap()))
			cfg := r.config(s, security)
			withToken(&cfg)
			var steps []smtp.Event
			cfg.Observe = func(e smtp.Event) { steps = append(steps, e) }
			if _, err := deliver(t.Context(), cfg); err != nil {
				t.Fatalf("%s %s: %v", security, mechanism, err)
			}
			want := b64("user=" + login + "\x01auth=Bearer " + token + "\x01\x01")
			if mechanism == sasl.OAuthBearer {
				want = b64(fmt.Sprintf("n,a=%s,\x01host=%s\x01port=%d\x01auth=Bearer %s\x01\x01", login, smtptest.Host, s.Port(), token))
			}
			if !strings.Contains(string(s.Inside()), "\r\nAUTH "+mechanism+"\r\n"+want+"\r\n") || !before(s.Inside(), "AUTH ", "MAIL ") {
				t.Errorf("%s %s: inside: %s", security, mechanism, s.Inside())
			}
			if leaked := s.Leak(login, token); leaked != "" {
				t.Errorf("%s %s: %s went out in clear", security, mechanism, leaked)
			}
			text := cfg.Transcript.String()
			if tellsToken(text) || !strings.Contains(text, "C: AUTH "+mechanism+"\n") || !strings.Contains(text, "C: [credentials]\n") {
				t.Errorf("%s %s: the transcript is\n%s", security, mechanism, text)
			}
			if last := steps[len(steps)-1]; last.Stage != smtp.StageAuth || strings.Join(last.Detail, " ") != mechanism {
				t.Errorf("%s %s: the last step was %+v", security, mechanism, last)
			}
		}
	}
}

// S5: where no mechanism for tokens is offered, not a byte of a token leaves,
// whichever mechanism was fixed; nor does a password go to one for tokens.
func TestATokenIsNoPassword(t *testing.T) {
	r := newRig(t)
	table, err := verdict.New()
	if err != nil {
		t.Fatal(err)
	}
	asPassword := func(cfg *smtp.Config) { cfg.Auth.Password = secret.New(token) }
	for _, tt := range []struct {
		offered, fixed string
		change         func(*smtp.Config)
		refused        bool
	}{
		{"AUTH PLAIN LOGIN", "", withToken, true},
		{"AUTH PLAIN LOGIN", sasl.Plain, withToken, true},
		{"AUTH PLAIN LOGIN", sasl.Login, withToken, true},
		{"AUTH PLAIN LOGIN", sasl.XOAuth2, withToken, true},
		{"AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256", "", withToken, true},
		{"AUTH SCRAM-SHA-256", sasl.SCRAMSHA256, withToken, true},
		{"AUTH PLAIN OAUTHBEARER", sasl.XOAuth2, withToken, true},
		{"AUTH XOAUTH2", sasl.OAuthBearer, withToken, true},
		{"AUTH XOAUTH", "", withToken, true},
		{"AUTH", "", withToken, true},
		{"8BITMIME", "", withToken, true},
		{"AUTH XOAUTH2 OAUTHBEARER", "", func(*smtp.Config) {}, true},
		{"AUTH XOAUTH2 LOGIN", sasl.XOAuth2, func(*smtp.Config) {}, true},
		// Controls: what is looked for is found where it is.
		{"AUTH PLAIN LOGIN XOAUTH2", "", withToken, false},
		{"AUTH PLAIN LOGIN", "", asPassword, false},
	} {
		s := smtptest.Start(t, r.secure().Then(smtptest.Trap(tt.offered)))
		cfg := r.config(s, smtp.STARTTLS)
		tt.change(&cfg)
		cfg.Auth.Mechanism = tt.fixed
		_, e := deliver(t.Context(), cfg)
		if leaked := s.LeakInside(login, password, token); (leaked == "") != tt.refused {
			t.Errorf("%s fixed %q: %q was said: %s", tt.offered, tt.fixed, leaked, s.Inside())
		}
		if leaked := s.Leak(login, password, token); leaked != "" {
			t.Errorf("%s fixed %q: %s went out in clear", tt.offered, tt.fixed, leaked)
		}
		if !tt.refused {
			continue
		}
		bearer := !cfg.Auth.Token.IsZero()
		if e == nil || e.Kind != smtp.KindPolicy || e.Stage != smtp.StageAuth || e.Bearer != bearer {
			t.Errorf("%s fixed %q: %+v", tt.offered, tt.fixed, e)
			continue
		}
		if v := table.Decide(e, "smtp.office365.com"); v.Act != verdict.Pause || bearer && (v.Row != "no-auth-token" || v.Remedy != verdict.RemedySettings) {
			t.Errorf("%s fixed %q: %+v", tt.offered, tt.fixed, v)
		}
	}
}

// A token goes into TLS or nowhere, even where a password may go in clear.
func TestATokenNeverTravelsInClear(t *testing.T) {
	r := newRig(t)
	s := smtptest.Start(t, smtptest.Script{smtptest.Greet("AUTH PLAIN XOAUTH2"), smtptest.Trap("AUTH PLAIN XOAUTH2")})
	cfg := r.config(s, smtp.None)
	cfg.TLS, cfg.AllowClearAuth = nil, true
	withToken(&cfg)
	_, e := deliver(t.Context(), cfg)
	if e == nil || e.Kind != smtp.KindPolicy || e.Stage != smtp.StageAuth || s.Connections() != 0 {
		t.Errorf("%v, %d connections", e, s.Connections())
	}
	cfg = r.config(s, smtp.None)
	cfg.TLS, cfg.AllowClearAuth = nil, true
	if _, e := deliver(t.Context(), cfg); e != nil || s.Leak(password) == "" {
		t.Errorf("control: a password that may: %v", e)
	}
}

// What is no token is refused before AUTH is written.
func TestTokensThatCannotBeSentAreNotSent(t *testing.T) {
	r := newRig(t)
	for _, bad := range []string{
		"", token + "\r\nMAIL FROM:<x@example.org>", token + "\n", "\r" + token, token + "\x01auth=Bearer x", "\x01\x01" + token, token + "\x00", token + " x", " " + token, token + "é", "==",
	} {
		s := smtptest.Start(t, r.secure().Then(smtptest.Trap("AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER")))
		for _, mechanism := range append(sasl.Bearer(), "") {
			cfg := r.config(s, smtp.STARTTLS)
			withToken(&cfg)
			cfg.Auth.Token, cfg.Auth.Mechanism = secret.New(bad), mechanism
			_, e := deliver(t.Context(), cfg)
			if e == nil || e.Stage != smtp.StageAuth || e.Kind != smtp.KindInput && bad != "" {
				t.Errorf("%q: %v", bad, e)
				continue
			}
			if tellsToken(e.Error()) || tellsToken(cfg.Transcript.String()) {
				t.Errorf("%q: it is told: %v", bad, e)
			}
		}
		if count(s.Inside(), "AUTH") != 0 || count(s.Inside(), "MAIL") != 0 || tellsToken(string(s.Inside())) || s.Leak(login, token) != "" {
			t.Errorf("%q: inside: %s", bad, s.Inside())
		}
	}
}

// refuses is a server that refuses a token: with a challenge first, which has
// its answer, and then with a reply.
func refuses(r rig, mechanism, challenge, answer, reply string) smtptest.Script {
	return r.secure().Then(smtptest.Hello("AUTH "+mechanism), smtptest.Expect("AUTH "+mechanism), hearsBehind,
		smtptest.Say("334 "+challenge), smtptest.Expect(answer), smtptest.Say(reply))
}

// Google says in a challenge what is wrong, and RFC 7628 has it alike. The
// answer is an empty line for the one and a lone \x01 for the other; the final
// reply is the error, with what the challenge said.
func TestARefusalTellsWhy(t *testing.T) {
	r := newRig(t)
	const google = `{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`
	for _, tt := range []struct {
		what, mechanism, challenge, answer, reply, want string
	}{
		{
			"Google", sasl.XOAuth2, b64(google), "", "535-5.7.8 Username and Password not accepted.\r\n535 5.7.8 https://support.google.com/mail/?p=BadCredentials a1-20020a5d.1 - gsmtp",
			"535 5.7.8 Username and Password not accepted. https://support.google.com/mail/?p=BadCredentials a1-20020a5d.1 - gsmtp (status 400, schemes Bearer, scope https://mail.google.com/)",
		},
		{
			"RFC 7628", sasl.OAuthBearer, b64(`{"status":"invalid_token","scope":"mail","openid-configuration":"https://example.org/x"}`), "AQ==", "535 5.7.8 no",
			"535 5.7.8 no (status invalid_token, scope mail)",
		},
		{"an empty challenge", sasl.XOAuth2, "", "", "535 5.7.8 no", "535 5.7.8 no"},
		{"no JSON", sasl.OAuthBearer, b64("go away"), "AQ==", "535 5.7.8 no", "535 5.7.8 no"},
		{"no words in the reply", sasl.XOAuth2, b64(google), "", "535", "535 (status 400, schemes Bearer, scope https://mail.google.com/)"},
		{"controls", sasl.XOAuth2, b64("{\"status\":\"4\\u001b[31m00\\r\\n\"}"), "", "535 5.7.8 no", "535 5.7.8 no (status 4[31m00)"},
	} {
		s := smtptest.Start(t, refuses(r, tt.mechanism, tt.challenge, tt.answer, tt.reply))
		cfg := r.config(s, smtp.STARTTLS)
		withToken(&cfg)
		_, e := deliver(t.Context(), cfg)
		if e == nil || e.Kind != smtp.KindReply || e.Stage != smtp.StageAuth || !e.Bearer || e.Reply() != tt.want {
			t.Errorf("%s: got %+v\nwant %s", tt.what, e, tt.want)
		}
		if tellsToken(cfg.Transcript.String()) || s.Leak(login, token) != "" {
			t.Errorf("%s: the token is told:\n%s", tt.what, cfg.Transcript)
		}
	}
}

// Microsoft refuses without a challenge. The id in brackets is for its support.
func TestMicrosoftsRefusalKeepsItsID(t *testing.T) {
	r := newRig(t)
	const said = "535 5.7.3 Authentication unsuccessful [AM0PR02CA0001.eurprd02.prod.outlook.com 2026-03-01T09:00:00.000Z 08DE77A1B2C3D4E5]"
	s := smtptest.Start(t, r.secure().Then(smtptest.Hello("AUTH LOGIN XOAUTH2"), smtptest.Expect("AUTH XOAUTH2"), hearsBehind, smtptest.Say(said)))
	cfg := r.config(s, smtp.STARTTLS)
	withToken(&cfg)
	if _, e := deliver(t.Context(), cfg); e == nil || e.Reply() != said || !e.Bearer {
		t.Errorf("got %v", e)
	}
}

// S6: a server that goes on asking, or takes back its refusal, is left.
func TestChallengesToATokenEnd(t *testing.T) {
	r := newRig(t)
	var endless []smtptest.Step
	for range 20 {
		endless = append(endless, smtptest.Say("334 "+b64(`{"status":"400"}`)), smtptest.ExpectPrefix(""))
	}
	for _, tt := range []struct {
		what      string
		steps     []smtptest.Step
		cancelled bool
	}{
		{"endless", endless, true},
		{"no base64", []smtptest.Step{smtptest.Say("334 ???"), smtptest.ExpectPrefix(""), smtptest.Say("501 ok")}, true},
		{"refused and then taken", []smtptest.Step{smtptest.Say("334 "), smtptest.ExpectPrefix(""), smtptest.Say("235 2.7.0 welcome")}, false},
		{"a huge line", []smtptest.Step{smtptest.Say("334 " + strings.Repeat("QUJD", 1000)), smtptest.ExpectPrefix("")}, false},
		{"many lines", []smtptest.Step{smtptest.Flood("334-QUJD\r\n", 1<<20)}, false},
	} {
		for _, mechanism := range sasl.Bearer() {
			s := smtptest.Start(t, r.secure().Then(smtptest.Hello("AUTH "+mechanism), hears).Then(tt.steps...))
			cfg := r.config(s, smtp.STARTTLS)
			withToken(&cfg)
			_, e := deliver(t.Context(), cfg)
			if e == nil || e.Kind != smtp.KindProtocol || e.Stage != smtp.StageAuth {
				t.Errorf("%s, %s: %v", tt.what, mechanism, e)
			}
			said := string(s.Inside())
			if tt.cancelled != strings.HasSuffix(said, "\r\n*\r\n") || strings.Count(said, "\r\n") > 5 || count(s.Inside(), "MAIL ") > 0 {
				t.Errorf("%s, %s: was said: %s", tt.what, mechanism, said)
			}
			if tellsToken(cfg.Transcript.String()) || tellsToken(e.Error()) {
				t.Errorf("%s, %s: the token is told: %v\n%s", tt.what, mechanism, e, cfg.Transcript)
			}
		}
	}
}

// A token too long for the AUTH line follows behind it, and can be refused there
// as well. One that just fits does not.
func TestALongTokenFollowsTheCommand(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("0123456789", 2000)
	fits := strings.Repeat("x", (512-len("AUTH XOAUTH2 \r\n"))/4*3-len("user="+login+"\x01auth=Bearer \x01\x01"))
	for _, tt := range []struct {
		what, token string
		steps       []smtptest.Step
		code        int
	}{
		{"taken", long, []smtptest.Step{smtptest.Expect("AUTH XOAUTH2"), smtptest.Say("334 "), smtptest.ExpectPrefix("dXNlcj"), smtptest.Say("235 ok"), smtptest.Trap()}, 0},
		{"refused with a challenge", long, []smtptest.Step{smtptest.Expect("AUTH XOAUTH2"), smtptest.Say("334 "), smtptest.ExpectPrefix("dXNlcj"), smtptest.Say("334 " + b64(`{"status":"400"}`)), smtptest.Expect(""), smtptest.Say("535 5.7.8 no")}, 535},
		{"refused before it is said", long, []smtptest.Step{smtptest.Expect("AUTH XOAUTH2"), smtptest.Say("504 5.5.4 no")}, 504},
		{"just short enough", fits, []smtptest.Step{smtptest.ExpectPrefix("AUTH XOAUTH2 dXNlcj"), smtptest.Say("235 ok"), smtptest.Trap()}, 0},
		{"just too long", fits + "xxx", []smtptest.Step{smtptest.Expect("AUTH XOAUTH2"), smtptest.Say("334 "), smtptest.ExpectPrefix("dXNlcj"), smtptest.Say("235 ok"), smtptest.Trap()}, 0},
	} {
		s := smtptest.Start(t, r.secure().Then(smtptest.Hello("AUTH XOAUTH2")).Then(tt.steps...))
		cfg := r.config(s, smtp.STARTTLS)
		withToken(&cfg)
		cfg.Auth.Token = secret.New(tt.token)
		_, e := deliver(t.Context(), cfg)
		if got := asReply(e); got != tt.code {
			t.Errorf("%s: got %d (%v), want %d", tt.what, got, e, tt.code)
		}
		want := b64("user=" + login + "\x01auth=Bearer " + tt.token + "\x01\x01")
		if strings.Contains(string(s.Inside()), want+"\r\n") != (tt.code != 504) {
			t.Errorf("%s: the token did not arrive whole", tt.what)
		}
		if text := cfg.Transcript.String(); strings.Contains(text, "012345") || strings.Contains(text, b64("0123456789")[4:12]) {
			t.Errorf("%s: the transcript tells the token:\n%s", tt.what, text)
		}
	}
}

// S3: who is let in without a word has met no server that looks at tokens.
func TestASignInWithoutWordsIsNone(t *testing.T) {
	r := newRig(t)
	s := smtptest.Start(t, r.secure().Then(smtptest.Hello("AUTH XOAUTH2"), smtptest.Expect("AUTH XOAUTH2"), smtptest.Say("235 ok"), smtptest.Trap()))
	cfg := r.config(s, smtp.STARTTLS)
	withToken(&cfg)
	if _, e := deliver(t.Context(), cfg); e == nil || e.Kind != smtp.KindProtocol || e.Stage != smtp.StageAuth || count(s.Inside(), "MAIL ") > 0 {
		t.Errorf("got %v", e)
	}
}

// asReply is the code of an error, 0 for none.
func asReply(e *smtp.Error) int {
	if e == nil {
		return 0
	}
	return e.Code
}

// A server that repeats the token, whole, in part, in other lines or in its
// challenge, does not get it into transcript or error.
func TestARepeatedTokenIsHidden(t *testing.T) {
	r := newRig(t)
	said := b64("user=" + login + "\x01auth=Bearer " + token + "\x01\x01")
	inLines := func(text string) string {
		var lines []string
		for len(text) > 0 {
			n := min(400, len(text))
			lines = append(lines, "535-5.7.8 what is "+text[:n])
			text = text[n:]
		}
		return strings.Join(append(lines, "535 5.7.8 ?"), "\r\n")
	}
	for what, steps := range map[string][]smtptest.Step{
		"whole":           {smtptest.Say("535 5.7.8 what is " + said[:1500])},
		"its middle":      {smtptest.Say("535 5.7.8 what is " + token[700:900])},
		"in lines":        {smtptest.Say(inLines(token))},
		"as said":         {smtptest.Say(inLines(said))},
		"in JSON":         {smtptest.Say("334 " + b64(`{"status":"400","scope":"`+token[40:600]+`"}`)), smtptest.Expect(""), smtptest.Say("535 5.7.8 no")},
		"after the words": {smtptest.Say("501 5.5.2 cannot decode " + said[200:260] + " in your command")},
	} {
		s := smtptest.Start(t, r.secure().Then(smtptest.Hello("AUTH XOAUTH2"), hears).Then(steps...))
		cfg := r.config(s, smtp.STARTTLS)
		withToken(&cfg)
		_, e := deliver(t.Context(), cfg)
		if e == nil || e.Kind != smtp.KindReply {
			t.Errorf("%s: %v", what, e)
			continue
		}
		if tellsToken(e.Error()) || tellsToken(e.Reply()) || tellsToken(cfg.Transcript.String()) {
			t.Errorf("%s: it is told: %v\n%s", what, e, cfg.Transcript)
		}
		if !strings.Contains(e.Text, "[credentials]") {
			t.Errorf("%s: nothing stands for it: %v", what, e)
		}
	}
}

// Every error of a connection tells how it signs in, also those of letters.
func TestErrorsTellHowTheConnectionSignsIn(t *testing.T) {
	r := newRig(t)
	for stage, script := range map[smtp.Stage]smtptest.Script{
		smtp.StageGreeting: {smtptest.Say("554 no")},
		smtp.StageMail:     r.secure().Then(smtptest.Hello("AUTH PLAIN XOAUTH2"), hears, smtptest.Say("235 ok"), smtptest.ExpectPrefix("MAIL "), smtptest.Say("550 5.7.60 no"), smtptest.Trap()),
		smtp.StageRcpt:     r.secure().Then(smtptest.Hello("AUTH PLAIN XOAUTH2"), hears, smtptest.Say("235 ok"), smtptest.ExpectPrefix("MAIL "), smtptest.Say("250 ok"), smtptest.ExpectPrefix("RCPT "), smtptest.Say("550 no"), smtptest.Trap()),
	} {
		s := smtptest.Start(t, script)
		for _, bearer := range []bool{true, false} {
			cfg := r.config(s, smtp.STARTTLS)
			if bearer {
				withToken(&cfg)
			}
			result, e := deliver(t.Context(), cfg)
			if e == nil || e.Stage != stage || e.Bearer != bearer {
				t.Errorf("%s, token %v: %+v", stage, bearer, e)
			}
			for _, refused := range result.Refused {
				if refused.Bearer != bearer {
					t.Errorf("%s, token %v: %+v", stage, bearer, refused)
				}
			}
		}
	}
	cfg := r.config(smtptest.Start(t, smtptest.Script{smtptest.Drop()}), smtp.STARTTLS)
	withToken(&cfg)
	cfg.Port = 0
	var e *smtp.Error
	if _, err := smtp.Dial(t.Context(), cfg); !errors.As(err, &e) || !e.Bearer {
		t.Errorf("settings that cannot be used: %v", err)
	}
}
