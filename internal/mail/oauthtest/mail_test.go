package oauthtest_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/secret"
)

// wire is a client that says what it is told, inside TLS.
type wire struct {
	t *testing.T
	*textproto.Conn
}

func connect(t *testing.T, s *oauthtest.Stand, server *smtptest.Server) wire {
	t.Helper()
	raw, err := s.Dial(t.Context(), "tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	w := wire{t, textproto.NewConn(raw)}
	w.want(220, "")
	w.say(250, "EHLO vault.example.org")
	w.say(220, "STARTTLS")
	conn := tls.Client(raw, &tls.Config{ServerName: "localhost", RootCAs: s.Roots()})
	w.Conn = textproto.NewConn(conn)
	return w
}

// want reads a reply and returns its text.
func (w wire) want(code int, about string) string {
	w.t.Helper()
	_ = w.W.Flush()
	got, text, err := w.ReadResponse(0)
	var e *textproto.Error
	if err != nil && !errors.As(err, &e) {
		w.t.Fatal(err)
	}
	if got != code {
		w.t.Errorf("%s: got %d %s, want %d", about, got, text, code)
	}
	return text
}

func (w wire) say(code int, line string) string {
	w.t.Helper()
	if err := w.PrintfLine("%s", line); err != nil {
		w.t.Fatal(err)
	}
	return w.want(code, line)
}

func xoauth2(user, token string) string {
	return base64.StdEncoding.EncodeToString([]byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01"))
}

func TestExchangeSpeaksAsItDoes(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	token := tokens(t, s, oauthtest.Alerts).Access
	raw, err := s.Dial(t.Context(), "tcp", "smtp.office365.com:587")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	clear := wire{t, textproto.NewConn(raw)}
	clear.want(220, "greeting")
	if got := clear.say(250, "EHLO vault.example.org"); !strings.HasSuffix(got,
		"\nSIZE 157286400\nPIPELINING\nDSN\nENHANCEDSTATUSCODES\nSTARTTLS\n8BITMIME\nBINARYMIME\nCHUNKING\nSMTPUTF8") {
		t.Errorf("in clear: %q", got)
	}
	clear.say(504, "AUTH XOAUTH2 "+xoauth2(oauthtest.Alerts, token))
	clear.say(530, "MAIL FROM:<"+oauthtest.Alerts+">")
	clear.say(250, "HELO vault.example.org")
	clear.say(221, "QUIT")

	w := connect(t, s, s.Exchange())
	if got := w.say(250, "EHLO vault.example.org"); !strings.Contains(got, "\nAUTH LOGIN XOAUTH2\n") || strings.Contains(got, "STARTTLS") {
		t.Errorf("inside TLS: %q", got)
	}
	w.say(503, "STARTTLS")
	w.say(530, "MAIL FROM:<"+oauthtest.Alerts+">")
	w.say(504, "AUTH PLAIN AGEAYg==")
	w.say(504, "AUTH OAUTHBEARER eA==")
	w.say(504, "AUTH")
	w.say(501, "AUTH XOAUTH2 !")
	w.say(334, "AUTH XOAUTH2")
	w.say(501, "*")
	if got := w.say(535, "AUTH XOAUTH2 "+xoauth2(oauthtest.Alerts, "dead")); !strings.HasPrefix(got,
		"5.7.3 Authentication unsuccessful [AM0PR04CA0001.eurprd04.prod.outlook.com 2026-11-24T09:00:00.000Z ") {
		t.Errorf("got %q", got)
	}
	for _, wrong := range []string{
		"user=" + oauthtest.Alerts + "\x01auth=Bearer " + token + "\x01",
		"user=" + oauthtest.Alerts + "\x01auth=" + token + "\x01\x01",
		"user=" + oauthtest.Alerts + "\x01x=y\x01auth=Bearer " + token + "\x01\x01",
		"auth=Bearer " + token + "\x01\x01", "\x01\x01",
	} {
		w.say(535, "AUTH XOAUTH2 "+base64.StdEncoding.EncodeToString([]byte(wrong)))
	}
	w.say(334, "AUTH XOAUTH2")
	w.say(235, xoauth2(oauthtest.Alerts, token))
	w.say(503, "AUTH XOAUTH2 "+xoauth2(oauthtest.Alerts, token))
	w.say(503, "RCPT TO:<ada@example.org>")
	w.say(503, "DATA")
	w.say(501, "MAIL FROM:"+oauthtest.Alerts)
	w.say(552, "MAIL FROM:<"+oauthtest.Alerts+"> SIZE=157286401")
	w.say(250, "MAIL FROM:<"+oauthtest.Alerts+"> SIZE=99999999")
	w.say(250, "RSET")
	w.say(503, "RCPT TO:<ada@example.org>")
	w.say(250, "MAIL FROM:<"+oauthtest.Alerts+">")
	for range 500 {
		w.say(250, "RCPT TO:<ada@example.org>")
	}
	w.say(452, "RCPT TO:<ada@example.org>")
	w.say(354, "DATA")
	for _, line := range []string{"From: <" + oauthtest.Alerts + ">", "Message-ID: <a@b>", "", "..dot", "."} {
		_ = w.PrintfLine("%s", line)
	}
	if got := w.want(250, "letter"); !strings.HasPrefix(got, "2.0.0 OK <") || !strings.Contains(got, "[Hostname=") {
		t.Errorf("got %q", got)
	}
	w.say(250, "NOOP")
	w.say(500, "BDAT 3 LAST")
	w.say(221, "QUIT")
	got := s.Wait(t, 1)[0]
	if got.Via != "exchange" || got.Login != oauthtest.Alerts || len(got.To) != 500 || got.MessageID != "<a@b>" || !bytes.HasSuffix(got.Raw, []byte("\r\n.dot\r\n")) {
		t.Errorf("got %+v", got)
	}
}

func TestExchangeLetsInWhomItShould(t *testing.T) {
	put := func(name string, f func(*oauthtest.User)) func(*oauthtest.Stand) {
		return func(s *oauthtest.Stand) {
			u := s.User(name)
			f(&u)
			s.PutUser(u)
		}
	}
	tenant := func(f func(*oauthtest.Tenant)) func(*oauthtest.Stand) {
		return func(s *oauthtest.Stand) {
			c := s.Tenant(oauthtest.Contoso)
			f(&c)
			s.PutTenant(c)
		}
	}
	off := tenant(func(c *oauthtest.Tenant) { c.SMTPOff = true })
	app := func(roles, full, scoped []string) func(*oauthtest.Stand) {
		return func(s *oauthtest.Stand) {
			a := s.App(oauthtest.ClientID)
			a.Roles, a.FullAccess, a.Scoped = roles, full, scoped
			s.PutApp(a)
		}
	}
	const none = "5.7.3 Authentication unsuccessful ["
	for _, tt := range []struct {
		name   string
		before func(*oauthtest.Stand)
		app    bool
		person string // whose token, else Alerts'
		scope  string
		user   string
		text   string // of the refusal; empty is let in
	}{
		{"mailbox", nil, false, "", "", oauthtest.Alerts, ""},
		{"in capitals", nil, false, "", "", strings.ToUpper(oauthtest.Alerts), ""},
		{"another mailbox", nil, false, "", "", oauthtest.Grace, none},
		{"shared mailbox as user", nil, false, "", "", oauthtest.Shared, none},
		{"token of Graph", nil, false, "", graphScopes, oauthtest.Alerts, none},
		{"another permission", nil, false, "", "https://outlook.office.com/IMAP.AccessAsUser.All offline_access", oauthtest.Alerts, none},
		{"no licence", put(oauthtest.Alerts, func(u *oauthtest.User) { u.Mailbox = false }), false, "", "", oauthtest.Alerts, none},
		{"tenant off", off, false, "", "", oauthtest.Alerts, "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."},
		{"tenant off, mailbox on", func(s *oauthtest.Stand) {
			off(s)
			put(oauthtest.Alerts, func(u *oauthtest.User) { u.SMTP = oauthtest.Open })(s)
		}, false, "", "", oauthtest.Alerts, ""},
		{"mailbox off", put(oauthtest.Alerts, func(u *oauthtest.User) { u.SMTP = oauthtest.Closed }), false, "", "", oauthtest.Alerts, "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."},
		{"tokens made invalid", nil, false, "", "invalidate", oauthtest.Alerts, none},
		{"application", nil, true, "", "", oauthtest.Alerts, ""},
		{"application without a role", app(nil, []string{oauthtest.Alerts}, nil), true, "", "", oauthtest.Alerts, none},
		{"application with a scoped role", app(nil, nil, []string{oauthtest.Alerts}), true, "", "", oauthtest.Alerts, ""},
		{"application in another scope", app(nil, nil, []string{oauthtest.Grace}), true, "", "", oauthtest.Alerts, none},
		{"application for a mailbox of another tenant", nil, true, "", "", oauthtest.Visitor, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := open(t, oauthtest.Options{})
			if tt.before != nil {
				tt.before(s)
			}
			var token string
			switch {
			case tt.app:
				token = post(t, s, s.TokenURL(oauthtest.Contoso), obtaining()).Access
			case tt.scope == "" || tt.scope == "invalidate":
				token = tokens(t, s, oauthtest.Alerts).Access
			default:
				token = tokens(t, s, oauthtest.Alerts, "scope", tt.scope).Access
			}
			if tt.scope == "invalidate" {
				s.Invalidate()
			}
			_, err := dial(t, s, s.Exchange(), bearer(tt.user, token), sasl.XOAuth2)
			checkRefusal(t, err, tt.text)
		})
	}
	t.Run("a token that has expired", func(t *testing.T) {
		s, c := open(t, oauthtest.Options{TokenLife: time.Minute})
		token := tokens(t, s, oauthtest.Alerts).Access
		if _, err := dial(t, s, s.Exchange(), bearer(oauthtest.Alerts, token), ""); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Minute)
		_, err := dial(t, s, s.Exchange(), bearer(oauthtest.Alerts, token), "")
		checkRefusal(t, err, none)
	})
	t.Run("a token longer than a line", func(t *testing.T) {
		s, _ := open(t, oauthtest.Options{TokenSize: 16_000})
		token := tokens(t, s, oauthtest.Alerts).Access
		_, err := dial(t, s, s.Exchange(), bearer(oauthtest.Alerts, token), "")
		checkRefusal(t, err, "")
	})
	for _, tt := range []struct {
		name     string
		before   func(*oauthtest.Stand)
		password string
		text     string
	}{
		{"password", nil, oauthtest.Password, "5.7.139 Authentication unsuccessful, basic authentication is disabled."},
		{"password with security defaults", tenant(func(c *oauthtest.Tenant) { c.SecurityDefaults = true }), oauthtest.Password, "5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy."},
		{"password where they are taken", tenant(func(c *oauthtest.Tenant) { c.Passwords = true }), oauthtest.Password, ""},
		{"wrong password where they are taken", tenant(func(c *oauthtest.Tenant) { c.Passwords = true }), "wrong", "5.7.139 Authentication unsuccessful, the user credentials were incorrect."},
		{"password with the tenant off", off, oauthtest.Password, "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := open(t, oauthtest.Options{})
			if tt.before != nil {
				tt.before(s)
			}
			_, err := dial(t, s, s.Exchange(), sasl.Credential{Username: oauthtest.Alerts, Password: secret.New(tt.password)}, sasl.Login)
			checkRefusal(t, err, tt.text)
		})
	}
}

func checkRefusal(t *testing.T, err error, text string) {
	t.Helper()
	var e *smtp.Error
	switch {
	case text == "" && err != nil:
		t.Errorf("refused: %v", err)
	case text != "" && (!errors.As(err, &e) || e.Code != 535 || !strings.HasPrefix(e.Enhanced+" "+e.Text, text) && !strings.HasPrefix(e.Text, text)):
		t.Errorf("got %v, want 535 %s", err, text)
	}
}

func TestExchangeTakesLettersItShould(t *testing.T) {
	for _, tt := range []struct {
		name     string
		before   func(*oauthtest.Stand)
		app      bool
		envelope string
		header   string
		body     string
		code     int
		enhanced string
		text     string
	}{
		{"own address", nil, false, oauthtest.Alerts, oauthtest.Alerts, "", 0, "", ""},
		{"shared mailbox with Send As", nil, false, oauthtest.Shared, oauthtest.Shared, "", 0, "", ""},
		{"somebody else in the envelope", nil, false, oauthtest.Grace, oauthtest.Alerts, "", 554, "5.2.252", "SendAsDenied"},
		{"somebody else in the letter", nil, false, oauthtest.Alerts, oauthtest.Grace, "", 554, "5.2.252", "alerts@contoso.example not allowed to send as grace@contoso.example"},
		{"no sender in the letter", nil, false, oauthtest.Alerts, "", "", 550, "5.7.512", ""},
		{"bare line feed", nil, false, oauthtest.Alerts, oauthtest.Alerts, "a\nb\r\n", 550, "5.6.11", ""},
		{"mailbox full", func(s *oauthtest.Stand) {
			u := s.User(oauthtest.Alerts)
			u.Full = true
			s.PutUser(u)
		}, false, oauthtest.Alerts, oauthtest.Alerts, "", 554, "5.2.2", "QuotaExceeded"},
		{"application with a mailbox permission", nil, true, oauthtest.Alerts, oauthtest.Alerts, "", 0, "", ""},
		{"application without one", func(s *oauthtest.Stand) {
			a := s.App(oauthtest.ClientID)
			a.FullAccess, a.Scoped = nil, []string{oauthtest.Alerts}
			s.PutApp(a)
		}, true, oauthtest.Alerts, oauthtest.Alerts, "", 430, "4.2.0", "MapiExceptionLogonFailed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := open(t, oauthtest.Options{})
			if tt.before != nil {
				tt.before(s)
			}
			token := tokens(t, s, oauthtest.Alerts).Access
			if tt.app {
				token = post(t, s, s.TokenURL(oauthtest.Contoso), obtaining()).Access
			}
			w := connect(t, s, s.Exchange())
			w.say(250, "EHLO vault.example.org")
			w.say(235, "AUTH XOAUTH2 "+xoauth2(oauthtest.Alerts, token))
			w.say(250, "MAIL FROM:<"+tt.envelope+">")
			w.say(250, "RCPT TO:<ada@example.org>")
			w.say(354, "DATA")
			_, _ = io.WriteString(w.W, "From: "+tt.header+"\r\nMessage-ID: <x@y>\r\n\r\n"+tt.body+".\r\n")
			want := tt.code
			if want == 0 {
				want = 250
			}
			got := w.want(want, "content")
			if !strings.HasPrefix(got, tt.enhanced) || !strings.Contains(got, tt.text) {
				t.Errorf("got %q", got)
			}
			if n := len(s.Letters()); (n == 1) != (tt.code == 0) {
				t.Errorf("%d letters taken", n)
			}
		})
	}
}

func TestTheLimitsOfAMailboxHold(t *testing.T) {
	sendOne := func(t *testing.T, c *smtp.Conn) int {
		t.Helper()
		if e := send(t, c, letter(oauthtest.Alerts, "ada@example.org", "limit")); e != nil {
			return e.Code
		}
		return 0
	}
	t.Run("three connections", func(t *testing.T) {
		s, _ := open(t, oauthtest.Options{})
		token := tokens(t, s, oauthtest.Alerts).Access
		var conns []*smtp.Conn
		for range 4 {
			c, err := dial(t, s, s.Exchange(), bearer(oauthtest.Alerts, token), "")
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		if got := sendOne(t, conns[3]); got != 432 {
			t.Errorf("with four: got %d", got)
		}
		_ = conns[0].Close()
		// QUIT was answered, so the server knows.
		if got := sendOne(t, conns[3]); got != 0 {
			t.Errorf("with three: got %d", got)
		}
		if got := s.Throttled(oauthtest.Alerts); got != 1 {
			t.Errorf("throttled %d times", got)
		}
	})
	t.Run("thirty in a minute", func(t *testing.T) {
		s, c := open(t, oauthtest.Options{})
		conn, err := dial(t, s, s.Exchange(), bearer(oauthtest.Alerts, tokens(t, s, oauthtest.Alerts).Access), "")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			if got := sendOne(t, conn); got != 0 {
				t.Fatalf("letter %d: %d", i, got)
			}
			c.Advance(time.Second)
		}
		if got := sendOne(t, conn); got != 432 {
			t.Errorf("letter 31: %d", got)
		}
		c.Advance(30 * time.Second)
		if got := sendOne(t, conn); got != 0 {
			t.Errorf("a minute after the first: %d", got)
		}
		if got := sendOne(t, conn); got != 432 {
			t.Errorf("right after it: %d", got)
		}
	})
	t.Run("recipients in a day", func(t *testing.T) {
		s, c := open(t, oauthtest.Options{Limits: &oauthtest.Limits{PerDay: 2}})
		conn, err := dial(t, s, s.Exchange(), bearer(oauthtest.Alerts, tokens(t, s, oauthtest.Alerts).Access), "")
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{0, 0, 554} {
			if got := sendOne(t, conn); got != want {
				t.Errorf("letter %d: got %d, want %d", i, got, want)
			}
		}
		c.Advance(24 * time.Hour)
		if got := sendOne(t, conn); got != 0 {
			t.Errorf("a day later: %d", got)
		}
	})
}

// A stand-in that is slow would make slow tests.
func TestThousandsOfLettersAreTaken(t *testing.T) {
	s, _ := open(t, oauthtest.Options{Limits: &oauthtest.Limits{}})
	conn, err := dial(t, s, s.Exchange(), bearer(oauthtest.Alerts, tokens(t, s, oauthtest.Alerts).Access), "")
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000
	subs := make([]smtp.Submission, n)
	for i := range subs {
		subs[i] = letter(oauthtest.Alerts, "ada@example.org", fmt.Sprint(i))
	}
	if err := conn.Send(t.Context(), smtp.Each(subs...), func(int, smtp.Result) {}); err != nil {
		t.Fatal(err)
	}
	letters := s.Wait(t, n)
	if got := letters[n-1].MessageID; got != fmt.Sprintf("<%d@example.org>", n-1) {
		t.Errorf("got %s", got)
	}
}

func TestGraphTakesWhatItShould(t *testing.T) {
	s, c := open(t, oauthtest.Options{Limits: &oauthtest.Limits{PerMinute: 2, PerDay: 3}})
	me := tokens(t, s, oauthtest.Alerts, "scope", graphScopes).Access
	outlook := tokens(t, s, oauthtest.Alerts).Access
	app := post(t, s, s.TokenURL(oauthtest.Contoso), obtaining("scope", "https://graph.microsoft.com/.default")).Access
	u := s.User(oauthtest.Grace)
	u.Name, u.Mailbox = "unlicensed@contoso.example", false
	s.PutUser(u)
	u = s.User(oauthtest.Grace)
	u.Name, u.Full = "full@contoso.example", true
	s.PutUser(u)
	encode := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	ours := encode(mime(oauthtest.Alerts, "ada@example.org", "graph"))
	user := func(name string) string { return "/users/" + name + "/sendMail" }
	for _, tt := range []struct {
		name, path, token, kind, body string
		status                        int
		code                          string
	}{
		{"no token", "/me/sendMail", "", "text/plain", ours, 401, "InvalidAuthenticationToken"},
		{"dead token", "/me/sendMail", "dead", "text/plain", ours, 401, "InvalidAuthenticationToken"},
		{"token of Outlook", "/me/sendMail", outlook, "text/plain", ours, 401, "InvalidAuthenticationToken"},
		{"application as me", "/me/sendMail", app, "text/plain", ours, 400, "BadRequest"},
		{"unknown mailbox", user("nobody@contoso.example"), app, "text/plain", ours, 404, "ErrorInvalidUser"},
		{"mailbox of another tenant", user(oauthtest.Visitor), app, "text/plain", ours, 404, "ErrorInvalidUser"},
		{"no licence", user("unlicensed@contoso.example"), app, "text/plain", ours, 404, "MailboxNotEnabledForRESTAPI"},
		{"somebody else's mailbox", user(oauthtest.Grace), me, "text/plain", ours, 403, "ErrorAccessDenied"},
		{"JSON", "/me/sendMail", me, "application/json", ours, 400, "UnableToDeserializePostBody"},
		{"no base64", "/me/sendMail", me, "text/plain", "!", 400, "ErrorMimeContentInvalidBase64String"},
		{"nothing", "/me/sendMail", me, "text/plain", "", 400, "ErrorMimeContentInvalidBase64String"},
		{"no letter", "/me/sendMail", me, "text/plain", encode([]byte("x")), 400, "ErrorMimeContentInvalid"},
		{"no recipient", "/me/sendMail", me, "text/plain", encode([]byte("From: a@b\r\n\r\n")), 400, "ErrorInvalidRecipients"},
		{"as somebody else", "/me/sendMail", me, "text/plain", encode(mime(oauthtest.Grace, "ada@example.org", "x")), 403, "ErrorSendAsDenied"},
		{"mailbox full", user("full@contoso.example"), app, "text/plain", encode(mime("full@contoso.example", "ada@example.org", "x")), 507, "ErrorQuotaExceeded"},
		{"too large", "/me/sendMail", me, "text/plain", strings.Repeat("A", 4<<20+4), 413, "RequestEntityTooLarge"},
		{"me", "/me/sendMail", me, "text/plain", ours, 202, ""},
		{"application", user(oauthtest.Alerts), app, "text/plain", ours, 202, ""},
		{"a third in the minute", "/me/sendMail", me, "text/plain", ours, 429, "ApplicationThrottled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, code, after := postGraph(t, s, tt.path, tt.token, tt.kind, strings.NewReader(tt.body))
			if status != tt.status || code != tt.code || (after != "") != (status == 429) {
				t.Errorf("got %d %s, after %q", status, code, after)
			}
		})
	}
	c.Advance(time.Minute)
	t.Run("the third of the day", func(t *testing.T) {
		if status, _, _ := postGraph(t, s, "/me/sendMail", me, "text/plain", strings.NewReader(ours)); status != 202 {
			t.Errorf("got %d", status)
		}
	})
	t.Run("the fourth of the day", func(t *testing.T) {
		if _, code, _ := postGraph(t, s, "/me/sendMail", me, "text/plain", strings.NewReader(ours)); code != "ErrorSubmissionQuotaExceeded" {
			t.Errorf("got %s", code)
		}
	})
	t.Run("an application without a role", func(t *testing.T) {
		a := s.App(oauthtest.ClientID)
		a.Roles = nil
		s.PutApp(a)
		app := post(t, s, s.TokenURL(oauthtest.Contoso), obtaining("scope", "https://graph.microsoft.com/.default")).Access
		if _, code, _ := postGraph(t, s, user(oauthtest.Grace), app, "text/plain", strings.NewReader(ours)); code != "ErrorAccessDenied" {
			t.Errorf("got %s", code)
		}
	})
	t.Run("a failure of the test", func(t *testing.T) {
		s.FailGraph(oauthtest.Failure{Status: 503, Header: http.Header{"Retry-After": {"7"}}, Body: `{"error":{"code":"serviceNotAvailable"}}`})
		if status, _, after := postGraph(t, s, "/me/sendMail", me, "text/plain", strings.NewReader(ours)); status != 503 || after != "7" {
			t.Errorf("got %d %q", status, after)
		}
	})
	letters := s.Letters()
	if len(letters) != 3 || letters[0].Via != "graph" || letters[0].MessageID != "<graph@example.org>" || letters[0].To[0] != "ada@example.org" {
		t.Errorf("got %+v", letters)
	}
}

func TestGmailSaysWhyNot(t *testing.T) {
	s, c := open(t, oauthtest.Options{})
	token := googleTokens(t, s).Access
	for _, mechanism := range sasl.Bearer() {
		t.Run(mechanism, func(t *testing.T) {
			conn, err := dial(t, s, s.Gmail(), bearer(oauthtest.Robot, token), mechanism)
			if err != nil {
				t.Fatal(err)
			}
			if e := send(t, conn, letter(oauthtest.Robot, "ada@example.org", mechanism)); e != nil {
				t.Error(e)
			}
			for _, wrong := range []sasl.Credential{bearer(oauthtest.Robot, "dead"), bearer(oauthtest.Alerts, token)} {
				_, err = dial(t, s, s.Gmail(), wrong, mechanism)
				var e *smtp.Error
				if !errors.As(err, &e) || e.Code != 535 || !strings.Contains(err.Error(), "https://mail.google.com/") {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	if got := s.Wait(t, 2); got[0].Via != "gmail" || got[0].Login != oauthtest.Robot {
		t.Errorf("got %+v", got)
	}
	t.Run("a challenge answered wrongly", func(t *testing.T) {
		w := connect(t, s, s.Gmail())
		w.say(250, "EHLO vault.example.org")
		w.say(334, "AUTH XOAUTH2 "+xoauth2(oauthtest.Robot, "dead"))
		w.say(501, "AQ==")
		w.say(334, "AUTH OAUTHBEARER "+base64.StdEncoding.EncodeToString([]byte("n,a="+oauthtest.Robot+",\x01auth=Bearer dead\x01\x01")))
		w.say(501, "")
	})
	t.Run("a password", func(t *testing.T) {
		for _, mechanism := range []string{sasl.Plain, sasl.Login} {
			_, err := dial(t, s, s.Gmail(), sasl.Credential{Username: oauthtest.Robot, Password: secret.New(oauthtest.Password)}, mechanism)
			var e *smtp.Error
			if !errors.As(err, &e) || e.Code != 534 {
				t.Errorf("%s: got %v", mechanism, err)
			}
		}
	})
	t.Run("in clear", func(t *testing.T) {
		raw, err := s.Dial(t.Context(), "tcp", "smtp.gmail.com:587")
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		w := wire{t, textproto.NewConn(raw)}
		w.want(220, "greeting")
		w.say(530, "AUTH XOAUTH2 "+xoauth2(oauthtest.Robot, token))
	})
	t.Run("two thousand in a day", func(t *testing.T) {
		conn, err := dial(t, s, s.Gmail(), bearer(oauthtest.Robot, token), "")
		if err != nil {
			t.Fatal(err)
		}
		many := letter(oauthtest.Robot, "ada@example.org", "many")
		for range 99 {
			many.To = append(many.To, "ada@example.org")
		}
		for i := range 20 {
			e := send(t, conn, many)
			if (e != nil) != (i == 19) {
				t.Fatalf("%d: %v", i, e)
			}
		}
		c.Advance(24 * time.Hour)
	})
}

func TestRepliesOfATestComeOnce(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	token := tokens(t, s, oauthtest.Alerts).Access
	for _, tt := range []struct {
		verb, reply string
		stage       smtp.Stage
	}{
		{"CONNECT", "421 4.3.2 Service not active", smtp.StageGreeting},
		{"EHLO", "421 4.3.2 Service not active", smtp.StageEHLO},
		{"STARTTLS", "454 4.7.0 TLS not available", smtp.StageTLS},
		{"AUTH", "454 4.7.0 Temporary authentication failure", smtp.StageAuth},
		{"MAIL", "451 4.7.0 Temporary server error. Please try again later. PRX2", smtp.StageMail},
		{"RCPT", "550 5.1.1 nobody", smtp.StageRcpt},
		{"DATA", "451 4.3.0 later", smtp.StageData},
		{"CONTENT", "550 5.7.233 too many\n550 5.7.233 for today", smtp.StageContent},
	} {
		t.Run(tt.verb, func(t *testing.T) {
			s.SayNext(tt.verb, strings.Replace(tt.reply, "550 5.7.233 too", "550-5.7.233 too", 1))
			e := attempt(t, s, token)
			if e == nil || e.Stage != tt.stage || fmt.Sprint(e.Code) != tt.reply[:3] {
				t.Errorf("got %v", e)
			}
			if e := attempt(t, s, token); e != nil {
				t.Errorf("the second time: %v", e)
			}
		})
	}
	t.Run("hang up with the letter taken", func(t *testing.T) {
		n := len(s.Letters())
		s.SayNext("CONTENT", smtptest.Hangup)
		if e := attempt(t, s, token); e == nil || !e.Uncertain {
			t.Errorf("got %v", e)
		}
		if got := len(s.Letters()); got != n+1 {
			t.Errorf("%d letters, want %d", got, n+1)
		}
	})
}

// attempt signs in and sends a letter.
func attempt(t *testing.T, s *oauthtest.Stand, token string) *smtp.Error {
	t.Helper()
	conn, err := dial(t, s, s.Exchange(), bearer(oauthtest.Alerts, token), "")
	if err != nil {
		var e *smtp.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		return e
	}
	defer conn.Close()
	return send(t, conn, letter(oauthtest.Alerts, "ada@example.org", "attempt"))
}

func TestCredentialsAreSeenWhereTheyGo(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	r := tokens(t, s, oauthtest.Alerts)
	if got := s.WhoSaw(oauthtest.ClientSecret); len(got) != 1 || got[0] != s.Host() {
		t.Errorf("the secret was seen by %v", got)
	}
	if e := attempt(t, s, r.Access); e != nil {
		t.Fatal(e)
	}
	if got := s.WhoSaw(r.Access); len(got) != 1 || got[0] != "smtp:exchange" {
		t.Errorf("the token was seen by %v", got)
	}
	if leak := s.Exchange().Leak(r.Access); leak != "" {
		t.Errorf("in clear: %s", leak)
	}
	s.Redirect307(s.Elsewhere() + "/token")
	// This client follows, as ours must not.
	c := s.HTTP()
	c.CheckRedirect = nil
	resp, err := c.PostForm(s.TokenURL(oauthtest.Contoso), renewing(r.Refresh))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := bufio.NewReader(resp.Body).ReadString('}'); !strings.Contains(body, "trapped") {
		t.Errorf("got %s", body)
	}
	if got := s.WhoSaw(r.Refresh); len(got) != 2 || "https://"+got[1] != s.Elsewhere() {
		t.Errorf("the refresh token was seen by %v", got)
	}
	if got := s.WhoSaw("nobody said this"); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestRequestsGoWrongAsTheyAreTold(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	token := tokens(t, s, oauthtest.Alerts).Refresh
	address := s.TokenURL(oauthtest.Contoso)
	s.FailNext(oauthtest.Failure{Status: 429, Header: http.Header{"Retry-After": {"60"}}, Body: "<html>"}, oauthtest.Failure{Number: 90033})
	resp, err := s.HTTP().PostForm(address, renewing(token))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "60" {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
	if r := post(t, s, address, renewing(token)); r.number() != 90033 || r.Status != 503 {
		t.Errorf("got %+v", r)
	}
	code := codeFor(t, s, oauthtest.Alerts)
	s.DropReply()
	if resp, err := s.HTTP().PostForm(address, redeeming(code)); err == nil {
		_ = resp.Body.Close()
		t.Errorf("got %d, want no answer", resp.StatusCode)
	}
	if r := post(t, s, address, redeeming(code)); r.number() != 54005 {
		t.Errorf("the request whose answer was lost was not done: %+v", r)
	}
	waits, release := s.Slow()
	done := make(chan int)
	go func() {
		resp, err := s.HTTP().PostForm(address, renewing(token))
		if err != nil {
			done <- 0
			return
		}
		_ = resp.Body.Close()
		done <- resp.StatusCode
	}()
	<-waits
	if got := s.Count("refresh_token"); got != 2 {
		t.Errorf("%d refreshes answered, want 2", got)
	}
	release()
	release()
	if got := <-done; got != 200 {
		t.Errorf("got %d", got)
	}
	all := s.Requests()
	last := all[len(all)-1]
	if last.Endpoint != "token" || last.Grant != "refresh_token" || last.ClientID != oauthtest.ClientID || last.Tenant != oauthtest.Contoso || last.Status != 200 {
		t.Errorf("got %+v", last)
	}
}
