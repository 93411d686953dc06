package smtp_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nsmtp "net/smtp"

	"github.com/jhillyerd/enmime/v2"

	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// maxGrowth is how much memory a hostile server may cost.
const maxGrowth = 8 << 20

// endless are servers whose reply never comes to its end, at each step.
func (r rig) endless(reply smtptest.Step) map[string]smtptest.Script {
	return map[string]smtptest.Script{
		"greeting":        {reply},
		"EHLO":            {smtptest.Say("220 hi"), smtptest.ExpectPrefix("EHLO "), reply},
		"STARTTLS":        {smtptest.Greet("STARTTLS"), smtptest.Expect("STARTTLS"), reply},
		"EHLO inside TLS": r.secure().Then(smtptest.ExpectPrefix("EHLO "), reply),
	}
}

// P1: replies without end in length or in lines cost no memory.
func TestLongRepliesAreCut(t *testing.T) {
	r := newRig(t)
	const gigabyte = 1 << 30
	for what, flood := range map[string]smtptest.Step{
		"lines without end":      smtptest.Flood("220-mail.example.org and so on\r\n", gigabyte),
		"a line without end":     smtptest.Flood("220 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", gigabyte),
		"lines of two kilobytes": smtptest.Flood("220-"+strings.Repeat("a", 2000)+"\r\n", gigabyte),
		"garbage":                smtptest.Garbage(1 << 20),
	} {
		for where, script := range r.endless(flood) {
			s := smtptest.Start(t, script)
			var e *smtp.Error
			grown := growth(func() { _, e = deliver(t.Context(), r.config(s, smtp.STARTTLS)) })
			if e == nil || e.Kind != smtp.KindProtocol {
				t.Errorf("%s at %s: %v", what, where, e)
			}
			if grown > maxGrowth {
				t.Errorf("%s at %s: memory grew by %d bytes", what, where, grown)
			}
			if leaked := s.Leak(login, password) + s.LeakInside(login, password); leaked != "" {
				t.Errorf("%s at %s: %s was said", what, where, leaked)
			}
		}
	}
}

// P1: replies without end in time do not hold the client, although each byte
// comes within the wait for one.
func TestSlowRepliesAreCut(t *testing.T) {
	r := newRig(t)
	const hold = 400 * time.Millisecond
	for what, reply := range map[string]smtptest.Step{
		"one byte now and then":       smtptest.Drip("220-"+strings.Repeat("a", 2000), hold/20),
		"one short line now and then": smtptest.Drip(strings.Repeat("220-\r\n", 90), hold/20),
		"nothing":                     smtptest.Silence(),
		"half a reply":                smtptest.Raw("220-mail\r\n220"),
	} {
		for where, script := range r.endless(reply) {
			t.Run(what+" at "+where, func(t *testing.T) {
				t.Parallel()
				s := smtptest.Start(t, script)
				cfg := r.config(s, smtp.STARTTLS)
				cfg.Timeouts.Greeting, cfg.Timeouts.Command = hold, hold
				began := time.Now()
				_, e := deliver(t.Context(), cfg)
				if e == nil || e.Kind != smtp.KindTimeout {
					t.Errorf("got %v", e)
				}
				if took := time.Since(began); took > 10*hold {
					t.Errorf("let go after %s", took)
				}
				if leaked := s.Leak(login, password) + s.LeakInside(login, password); leaked != "" {
					t.Errorf("%s was said", leaked)
				}
			})
		}
	}
}

// P1 in time without the guard: a deadline that starts anew with each byte, as
// many clients have it, never comes.
func TestADeadlineForEachByteIsNoGuard(t *testing.T) {
	const hold = 600 * time.Millisecond
	s := smtptest.Start(t, smtptest.Script{smtptest.Drip(strings.Repeat("220-\r\n", 1000), hold/60)})
	conn, err := s.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	began := time.Now()
	for time.Since(began) < 2*hold {
		if err := conn.SetReadDeadline(time.Now().Add(hold)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatalf("control: let go after %s: %v", time.Since(began), err)
		}
	}
}

// growth returns how many bytes were allocated while f ran. Nothing that is
// allocated can be less than what memory grows by.
func growth(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// P1 as the standard library takes it.
func TestMemoryGrowthIsMeasured(t *testing.T) {
	s := smtptest.Start(t, smtptest.Script{smtptest.Raw("220 "), smtptest.Flood(strings.Repeat("a", 1000), 16<<20), smtptest.Drop()})
	r := newRig(t)
	grown := growth(func() { _ = throughStandardLibrary(s, r) })
	if grown < maxGrowth {
		t.Errorf("control: net/smtp grew by %d bytes only", grown)
	}
}

// P2: replies that break the protocol end the connection without another word.
func TestBrokenRepliesEndTheConnection(t *testing.T) {
	r := newRig(t)
	for what, reply := range map[string]string{
		"two codes":                  "220-mail\r\n250 mail\r\n",
		"two codes of one class":     "220-mail\r\n221 mail\r\n",
		"a line feed alone":          "220 mail\n",
		"a line feed alone, inside":  "220-mail\n220 mail\r\n",
		"a carriage return alone":    "220 mail\rmore\r\n",
		"NUL":                        "220 ma\x00il\r\n",
		"no code":                    "hello\r\n",
		"two digits":                 "22 hi\r\n",
		"four digits":                "2200 hi\r\n",
		"a code out of bounds":       "199 hi\r\n",
		"a code above":               "600 hi\r\n",
		"an empty line":              "\r\n",
		"digits of another script":   "٢٢٠ hi\r\n",
		"a code with a sign":         "+22 hi\r\n",
		"no mark behind the code":    "220hi\r\n",
		"a line of another protocol": "* OK IMAP4rev1\r\n",
		"a web server":               "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		s := smtptest.Start(t, smtptest.Script{smtptest.Raw(reply), trap()})
		_, e := deliver(t.Context(), r.config(s, smtp.STARTTLS))
		if e == nil || e.Kind != smtp.KindProtocol || e.Stage != smtp.StageGreeting {
			t.Errorf("%s: %v", what, e)
		}
		if said := s.Wire(); len(said) > 0 {
			t.Errorf("%s: answered with %q", what, said)
		}
		s = smtptest.Start(t, smtptest.Script{smtptest.Raw(reply), trap()})
		naive{dial: s.Dial}.sends(t)
		if s.Leak(password) == "" {
			t.Errorf("control: %s: the flawed client minds", what)
		}
	}
}

// P3: when the answer to the content is lost, nothing is claimed, and the same
// letter goes out again.
func TestALostAnswerIsUncertain(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		verb      string
		uncertain bool
		arrived   int
	}{
		{"CONTENT", true, 2},
		// The control: what breaks before the end of the content is certain.
		{"DATA", false, 1},
		{"RCPT", false, 1},
		{"MAIL", false, 1},
	} {
		var broken atomic.Bool
		s := smtptest.StartSink(t, smtptest.SinkConfig{
			Certificate: &r.cert, Mechanisms: []string{"PLAIN"}, Login: login, Password: password,
			Answer: func(a smtptest.Asked) string {
				if a.Verb == tt.verb && broken.CompareAndSwap(false, true) {
					return smtptest.Hangup
				}
				return ""
			},
		})
		cfg := r.config(s.Server, smtp.STARTTLS)
		_, e := deliver(t.Context(), cfg)
		if e == nil || e.Kind != smtp.KindNetwork || e.Uncertain != tt.uncertain {
			t.Errorf("%s: %v, uncertain %v, want %v", tt.verb, e, e != nil && e.Uncertain, tt.uncertain)
		}
		if _, e := deliver(t.Context(), cfg); e != nil {
			t.Errorf("%s: the second try: %v", tt.verb, e)
		}
		for _, l := range s.Wait(t, tt.arrived) {
			if string(l.Data) != body {
				t.Errorf("%s: another letter arrived: %q", tt.verb, l.Data)
			}
		}
		if leaked := s.Leak(login, password); leaked != "" {
			t.Errorf("%s: %s went out in clear", tt.verb, leaked)
		}
	}
}

// P4: each recipient has an answer of its own.
func TestSomeRecipientsAreRefused(t *testing.T) {
	r := newRig(t)
	sink := func() *smtptest.Sink {
		return smtptest.StartSink(t, smtptest.SinkConfig{
			Certificate: &r.cert, Mechanisms: []string{"PLAIN"}, Login: login, Password: password,
			Answer: func(a smtptest.Asked) string {
				switch {
				case a.Verb == "RCPT" && strings.Contains(a.Line, "gone"):
					return "550 5.1.1 no such mailbox"
				case a.Verb == "RCPT" && strings.Contains(a.Line, "full"):
					return "452 4.2.2 full"
				}
				return ""
			},
		})
	}
	s := sink()
	c, err := smtp.Dial(t.Context(), r.config(s.Server, smtp.STARTTLS))
	if err != nil {
		t.Fatal(err)
	}
	some := letter()
	some.To = []string{"gone@example.org", "ada@example.org", "full@example.org", "grace@example.org"}
	none := letter()
	none.To = some.To[:1]
	var results []smtp.Result
	if err := c.Send(t.Context(), smtp.Each(some, none, letter()), func(_ int, r smtp.Result) { results = append(results, r) }); err != nil {
		t.Fatal(err)
	}
	got := results[0]
	if got.Err != nil || len(got.Refused) != 2 || got.Refused["gone@example.org"].Code != 550 || got.Refused["full@example.org"].Enhanced != "4.2.2" || got.QueueID == "" {
		t.Errorf("some: %+v", got)
	}
	if results[1].Err == nil || results[1].Err.Code != 550 || results[1].Err.Stage != smtp.StageRcpt {
		t.Errorf("none: %+v", results[1])
	}
	if results[2].Err != nil {
		t.Errorf("the letter behind: %v", results[2].Err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	letters := s.Wait(t, 2)
	if fmt.Sprint(letters[0].To) != "[ada@example.org grace@example.org]" || len(letters) != 2 || s.Leak(login, password) != "" {
		t.Errorf("arrived: %+v", letters)
	}

	s = sink()
	conn, err := s.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	n, err := nsmtp.NewClient(conn, smtptest.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	if err := n.Rcpt("gone@example.org"); err == nil || len(s.Letters()) != 0 {
		t.Error("control: net/smtp does not stop at the first refusal")
	}
}

// smuggled are ways to end the content early and slip a second letter in
// (SMTP smuggling, 2023).
func smuggled() []string {
	const second = "MAIL FROM:<evil@example.net>\r\nRCPT TO:<ada@example.org>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n"
	var all []string
	for _, end := range []string{"\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r\n.\r\n", "\r.\r\n", "\n\n.\n\n", "\r\n.\x00\r\n"} {
		all = append(all, "hello"+end+second)
	}
	return all
}

// P5: a letter stays one letter.
func TestNoSecondLetterIsSmuggled(t *testing.T) {
	r := newRig(t)
	for _, payload := range smuggled() {
		s := smtptest.StartSink(t, smtptest.SinkConfig{Certificate: &r.cert, Mechanisms: []string{"PLAIN"}, Login: login, Password: password, Lax: true})
		c, err := smtp.Dial(t.Context(), r.config(s.Server, smtp.STARTTLS))
		if err != nil {
			t.Fatal(err)
		}
		raw := letter()
		raw.Body = []byte("Subject: x\r\n\r\n" + payload)
		built := letter()
		built.Body, err = message.Build(message.Parts{
			From: message.Address{Local: "vault", Domain: "example.org"}, To: message.Address{Local: "ada", Domain: "example.org"},
			Subject: "x", Text: payload, HTML: payload, MessageID: "<1@example.org>", Date: r.lab.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		var results []smtp.Result
		if err := c.Send(t.Context(), smtp.Each(raw, built), func(_ int, r smtp.Result) { results = append(results, r) }); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		clean := strings.Contains(payload, "hello\r\n.\r\n")
		if (results[0].Err == nil) != clean || !clean && results[0].Err.Kind != smtp.KindInput {
			t.Errorf("%q as it is: %v", payload[:12], results[0].Err)
		}
		if results[1].Err != nil {
			t.Errorf("%q in a built letter: %v", payload[:12], results[1].Err)
		}
		letters := s.Letters()
		for _, l := range letters {
			if l.From != "vault@example.org" {
				t.Errorf("%q: a letter from %s arrived", payload[:12], l.From)
			}
		}
		last := letters[len(letters)-1]
		env, err := enmime.ReadEnvelope(bytes.NewReader(last.Data))
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(payload, "\r\n", "\n"), "\r", "\n")
		if got := strings.ReplaceAll(env.Text, "\r\n", "\n"); got != want {
			t.Errorf("%q arrived as %q", payload[:12], got)
		}
		if leaked := s.Leak(login, password); leaked != "" {
			t.Errorf("%q: %s went out in clear", payload[:12], leaked)
		}
	}
}

// P5 without the guards: written as it is, the payload makes a second letter.
func TestSmugglingWorksWithoutTheGuard(t *testing.T) {
	s := smtptest.StartSink(t, smtptest.SinkConfig{Lax: true})
	conn, err := s.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"EHLO x\r\n", "MAIL FROM:<a@example.org>\r\n", "RCPT TO:<ada@example.org>\r\n", "DATA\r\n", "x\r\n\r\n" + smuggled()[0] + ".\r\n", "QUIT\r\n"} {
		if _, err := conn.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Wait(t, 2); got[1].From != "evil@example.net" {
		t.Errorf("control: %+v", got)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// P6: an address cannot carry a command or a parameter.
func TestAddressesCarryNothingElse(t *testing.T) {
	r := newRig(t)
	for _, address := range []string{
		"a@b\u2028.org", "a\u00a0a@b.org", "a\u200b@b.org", "a@b.org>\r\nRCPT TO:<evil@example.net", "a@b.org> NOTIFY=NEVER", "a@b.org> SIZE=1", "a@b.org>\nDATA", "a@b.org\x00",
		"a(comment)@b.org", `"a b"@b.org`, `"a>"@b.org`, `a\@b@c.org`, "<a@b.org", "a@b.org>", "@relay:a@b.org", "a@b@c.org", "a@b.org,c@d.org",
		"a b@c.org", "a\t@b.org", "", "a", "@", "a@", "@b", "a@[127.0.0.1]", strings.Repeat("a", 400) + "@b.org", "\xff@b.org",
	} {
		if a, err := message.ParseAddress(address); err == nil {
			t.Errorf("%q was taken as %q", address, a)
		}
		s := smtptest.StartSink(t, smtptest.SinkConfig{Certificate: &r.cert, Mechanisms: []string{"PLAIN"}, Login: login, Password: password, Announce: []string{"SMTPUTF8"}})
		c, err := smtp.Dial(t.Context(), r.config(s.Server, smtp.STARTTLS))
		if err != nil {
			t.Fatal(err)
		}
		from, to := letter(), letter()
		from.From, to.To = address, []string{"ada@example.org", address}
		var results []smtp.Result
		if err := c.Send(t.Context(), smtp.Each(from, to), func(_ int, r smtp.Result) { results = append(results, r) }); err != nil {
			t.Fatal(err)
		}
		for _, result := range results {
			if result.Err == nil || result.Err.Kind != smtp.KindInput {
				t.Errorf("%q: %v", address, result.Err)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if n := count(s.Inside(), "MAIL ") + count(s.Inside(), "RCPT "); n != 0 {
			t.Errorf("%q: %d words of an envelope were said", address, n)
		}
		if leaked := s.Leak(login, password); leaked != "" {
			t.Errorf("%q: %s went out in clear", address, leaked)
		}
	}

	s := smtptest.StartSink(t, smtptest.SinkConfig{})
	conn, err := s.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	n, err := nsmtp.NewClient(conn, smtptest.Host)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Mail("a@b.org> SIZE=1"); err != nil {
		t.Fatal(err)
	}
	_ = n.Close()
	if !strings.Contains(string(s.Wire()), "MAIL FROM:<a@b.org> SIZE=1>") {
		t.Errorf("control: net/smtp lets no parameter through any more: %s", s.Wire())
	}
}

// P7: names and subjects cannot add a header to the letter that arrives.
func TestHeadersStayAsTheyAre(t *testing.T) {
	r := newRig(t)
	payloads := []string{
		"x\r\nBcc: evil@example.net", "x\nBcc: evil@example.net", "x\rBcc: evil@example.net", "x\r\n\r\n<script>", "x\x00Bcc: e", "x\u2028Bcc: e@example.net",
		"=?utf-8?q?x=0D=0ABcc:_evil@example.net?=", `x" <evil@example.net>, "y`, "x, evil@example.net", "x;y:z <evil@example.net>", strings.Repeat("x ", 60) + "\tBcc: e@example.net",
	}
	s := smtptest.StartSink(t, smtptest.SinkConfig{Certificate: &r.cert, Mechanisms: []string{"PLAIN"}, Login: login, Password: password})
	c, err := smtp.Dial(t.Context(), r.config(s.Server, smtp.STARTTLS))
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for _, payload := range payloads {
		for field := range 4 {
			parts := message.Parts{
				From: message.Address{Local: "vault", Domain: "example.org"}, To: message.Address{Local: "ada", Domain: "example.org"},
				ReplyTo: message.Address{Local: "help", Domain: "example.org"}, Subject: "x", Text: payload, MessageID: "<1@example.org>", Date: r.lab.Now(),
			}
			*[]*string{&parts.From.Name, &parts.To.Name, &parts.ReplyTo.Name, &parts.Subject}[field] = payload
			built, err := message.Build(parts)
			if err != nil {
				continue // refused: it cannot do harm
			}
			one := letter()
			one.Body = built
			if err := c.Send(t.Context(), smtp.Each(one), func(_ int, r smtp.Result) {
				if r.Err != nil {
					t.Errorf("%q: %v", payload, r.Err)
				}
			}); err != nil {
				t.Fatal(err)
			}
			sent++
			checkHeaders(t, payload, s.Wait(t, sent)[sent-1].Data)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if sent < 10 {
		t.Errorf("only %d letters were harmless enough to be sent", sent)
	}
	if leaked := s.Leak(login, password); leaked != "" {
		t.Errorf("%s went out in clear", leaked)
	}

	// The control: headers put together by hand.
	env, err := enmime.ReadEnvelope(strings.NewReader("From: vault@example.org\r\nSubject: " + payloads[0] + "\r\n\r\nx\r\n"))
	if err != nil || env.GetHeader("Bcc") == "" {
		t.Errorf("control: no header was added: %v", err)
	}
}

func checkHeaders(t *testing.T, payload string, data []byte) {
	t.Helper()
	env, err := enmime.ReadEnvelope(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	keys := env.GetHeaderKeys()
	for _, key := range keys {
		if !strings.Contains(" Date From Reply-To To Subject Message-Id Auto-Submitted X-Auto-Response-Suppress Mime-Version Content-Type Content-Transfer-Encoding ", " "+key+" ") {
			t.Errorf("%q added the header %s", payload, key)
		}
	}
	for key, want := range map[string]string{"From": "vault@example.org", "To": "ada@example.org", "Reply-To": "help@example.org"} {
		list, err := env.AddressList(key)
		if err != nil || len(list) != 1 || list[0].Address != want {
			t.Errorf("%q: %s is %v, %v", payload, key, list, err)
		}
	}
}

// Whatever goes wrong at whichever step, an error with the right facts comes in
// time, and nothing claims a letter that may not have arrived, or gives one up
// that may have.
func TestFaultsAtEveryStep(t *testing.T) {
	r := newRig(t)
	type step struct {
		stage smtp.Stage
		steps smtptest.Script
	}
	in := r.secure().Then(smtptest.Hello("AUTH LOGIN"))
	signed := in.Then(smtptest.ExpectPrefix("AUTH "), smtptest.Say("334 VXNlcm5hbWU6"), smtptest.ExpectPrefix(""), smtptest.Say("334 UGFzc3dvcmQ6"), smtptest.ExpectPrefix(""), smtptest.Say("235 ok"))
	data := signed.Then(smtptest.ExpectPrefix("MAIL "), smtptest.Say("250 ok"), smtptest.ExpectPrefix("RCPT "), smtptest.Say("250 ok"), smtptest.Expect("DATA"))
	steps := []step{
		{smtp.StageGreeting, smtptest.Script{}},
		{smtp.StageEHLO, smtptest.Script{smtptest.Say("220 hi"), smtptest.ExpectPrefix("EHLO ")}},
		{smtp.StageTLS, smtptest.Script{smtptest.Greet("STARTTLS"), smtptest.Expect("STARTTLS")}},
		{smtp.StageTLS, smtptest.Script{smtptest.Greet("STARTTLS"), smtptest.Expect("STARTTLS"), smtptest.Say("220 go"), smtptest.Receive(5)}},
		{smtp.StageEHLO, r.secure().Then(smtptest.ExpectPrefix("EHLO "))},
		{smtp.StageAuth, in.Then(smtptest.ExpectPrefix("AUTH "))},
		{smtp.StageAuth, in.Then(smtptest.ExpectPrefix("AUTH "), smtptest.Say("334 VXNlcm5hbWU6"), smtptest.ExpectPrefix(""))},
		{smtp.StageAuth, in.Then(smtptest.ExpectPrefix("AUTH "), smtptest.Say("334 VXNlcm5hbWU6"), smtptest.ExpectPrefix(""), smtptest.Say("334 UGFzc3dvcmQ6"), smtptest.ExpectPrefix(""))},
		{smtp.StageMail, signed.Then(smtptest.ExpectPrefix("MAIL "))},
		{smtp.StageRcpt, signed.Then(smtptest.ExpectPrefix("MAIL "), smtptest.Say("250 ok"), smtptest.ExpectPrefix("RCPT "))},
		{smtp.StageData, data},
		{smtp.StageContent, data.Then(smtptest.Say("354 go"), smtptest.Receive(len(body)+3))},
	}
	faults := map[string]smtptest.Step{
		"drop": smtptest.Drop(), "reset": smtptest.Reset(), "silence": smtptest.Silence(), "garbage": smtptest.Garbage(5000),
		"drip": smtptest.Drip(strings.Repeat("x", 1000), 20*time.Millisecond), "421": smtptest.Say("421 4.3.2 going down"),
		"half a line": smtptest.Raw("25"), "half a line and gone": func(talk *smtptest.Talk) error {
			if err := smtptest.Raw("250")(talk); err != nil {
				return err
			}
			return smtptest.Drop()(talk)
		},
		"an odd code": smtptest.Say("299 what?"), "code and line feed": smtptest.Raw("250 ok\n"),
	}
	var waiting sync.WaitGroup
	for i, at := range steps {
		for what, fault := range faults {
			f := faultAt{r: r, number: i, stage: at.stage, what: what, script: at.steps.Then(fault)}
			if what == "silence" || what == "drip" || what == "half a line" {
				// These take their time and no work: all at once.
				waiting.Go(func() { f.run(t, time.Second) })
				continue
			}
			t.Run(f.name(), func(t *testing.T) {
				t.Parallel()
				f.run(t, 5*time.Second)
			})
		}
	}
	waiting.Wait()
}

// faultAt is something that goes wrong at a step.
type faultAt struct {
	r      rig
	number int
	stage  smtp.Stage
	what   string
	script smtptest.Script
}

func (f faultAt) name() string { return fmt.Sprintf("%d %s %s", f.number, f.stage, f.what) }

func (f faultAt) run(t *testing.T, patience time.Duration) {
	s := smtptest.Start(t, f.script)
	cfg := f.r.config(s, smtp.STARTTLS)
	cfg.Timeouts = smtp.Timeouts{Connect: patience, Greeting: patience, Command: patience, Final: patience}
	began := time.Now()
	_, e := deliver(t.Context(), cfg)
	switch {
	case e == nil:
		t.Errorf("%s: the letter was sent", f.name())
		return
	case e.Kind == smtp.KindTimeout && e.Stage != f.stage && patience < 10*time.Second:
		f.run(t, 10*time.Second) // the machine is slow: the step was not reached in time
		return
	case e.Stage != f.stage && !(f.number == 0 && f.what == "reset"): // which may come while the client connects
		t.Errorf("%s: %v: the step is %s", f.name(), e, e.Stage)
	}
	if took := time.Since(began); took > 4*patience {
		t.Errorf("%s: let go after %s", f.name(), took)
	}
	if want := f.stage == smtp.StageContent && f.what != "421"; e.Uncertain != want {
		t.Errorf("%s: %v: uncertain %v, want %v", f.name(), e, e.Uncertain, want)
	}
	if leaked := s.Leak(login, password); leaked != "" {
		t.Errorf("%s: %s went out in clear", f.name(), leaked)
	}
	if said := string(s.Inside()); f.stage == smtp.StageContent && strings.Contains(said, "QUIT") {
		t.Errorf("%s: QUIT was said where it would count as content: %q", f.name(), said)
	}
	if text := cfg.Transcript.String(); strings.Contains(text, password) || strings.Contains(e.Error(), password) {
		t.Errorf("%s: the password is told: %s\n%v", f.name(), text, e)
	}
}

// A server that stops reading in the middle of a large letter does not hold the
// client, and the letter is not uncertain: no server takes half of one.
func TestAServerThatStopsReading(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	s := smtptest.Start(t, r.secure().Then(smtptest.Hello("AUTH PLAIN"), smtptest.ExpectPrefix("AUTH "), smtptest.Say("235 ok"),
		smtptest.ExpectPrefix("MAIL "), smtptest.Say("250 ok"), smtptest.ExpectPrefix("RCPT "), smtptest.Say("250 ok"), smtptest.Expect("DATA"), smtptest.Say("354 go"),
		func(*smtptest.Talk) error {
			time.AfterFunc(200*time.Millisecond, giveUp)
			<-release
			return nil
		}))
	cfg := r.config(s, smtp.STARTTLS)
	c, err := smtp.Dial(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	large := letter()
	large.Body = append(large.Body, bytes.Repeat([]byte("0123456789012345678901234567890123456789012345678901234567890\r\n"), 1<<18)...)
	var began time.Time
	large.BeforeContent = func() bool { began = time.Now(); return true }
	var result smtp.Result
	if err := c.Send(ctx, smtp.Each(large), func(_ int, r smtp.Result) { result = r }); err == nil {
		t.Error("the letter was sent")
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("held for %s", took)
	}
	if result.Err == nil || result.Err.Uncertain || result.Err.Stage != smtp.StageContent || c.Usable() {
		t.Errorf("got %+v", result.Err)
	}
	close(release)
}
