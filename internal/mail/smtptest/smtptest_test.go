package smtptest_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

const (
	login    = "vault@example.org"
	password = "tangerine-7-harbour"
)

// A test that finds no leak is worth something only if one would be found.
func TestALeakIsFound(t *testing.T) {
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + login + "\x00" + password))
	for what, said := range map[string]string{
		"as it is":              "PASS " + password + "\r\n",
		"in PLAIN":              "x " + plain + "\r\n",
		"alone in base64":       base64.StdEncoding.EncodeToString([]byte(password)) + "\r\n",
		"one byte into base64":  base64.StdEncoding.EncodeToString([]byte("a"+password+"z")) + "\r\n",
		"two bytes into base64": base64.StdEncoding.EncodeToString([]byte("ab"+password+"yz")) + "\r\n",
		"a sign-in begun":       "auth LOGIN\r\n",
	} {
		s := smtptest.Start(t, smtptest.Script{})
		say(t, s.Addr(), said)
		if s.Leak(password) == "" {
			t.Errorf("%s: not found", what)
		}
	}
	s := smtptest.Start(t, smtptest.Script{})
	say(t, s.Addr(), "EHLO vault.example.org\r\n250 AUTH PLAIN\r\n")
	if got := s.Leak(login, password); got != "" {
		t.Errorf("found %q where nothing leaked", got)
	}
}

func say(t *testing.T, addr, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAScriptIsFollowed(t *testing.T) {
	s := smtptest.Start(t,
		smtptest.Script{
			smtptest.Raw("220 a\r\n"), smtptest.ExpectMatch("^(EHLO|HELO) "), smtptest.ExpectQuiet(time.Millisecond),
			smtptest.Drip("250 b\r\n", time.Millisecond), smtptest.Receive(3), smtptest.Garbage(5), smtptest.Drop(),
		},
		smtptest.Script{smtptest.Reset()},
	)
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for _, step := range []struct{ want, say string }{{"220 a\r\n", "EHLO x\r\n"}, {"250 b\r\n", "xyz"}} {
		if got, err := r.ReadString('\n'); err != nil || got != step.want {
			t.Fatalf("got %q, %v", got, err)
		}
		if _, err := io.WriteString(conn, step.say); err != nil {
			t.Fatal(err)
		}
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 5 {
		t.Fatalf("got %q, %v", rest, err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := string(s.Wire()); got != "EHLO x\r\nxyz" {
		t.Errorf("seen: %q", got)
	}
	second, err := net.Dial("tcp", s.Addr())
	if err == nil {
		_, err = io.ReadAll(second)
	}
	if err == nil {
		t.Error("the connection ended without an error")
	}
	if s.Connections() != 2 {
		t.Errorf("%d connections", s.Connections())
	}
}

// The standard library's client stands in for clients that behave.
func TestASinkTakesLettersInsideTLSOnly(t *testing.T) {
	lab := smtptest.NewLab(t, time.Now())
	cert := lab.Make(smtptest.Order{DNS: []string{"localhost"}})
	shown := cert.TLS()
	s := smtptest.StartSink(t, smtptest.SinkConfig{
		Certificate: &shown, Mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5"}, Login: login, Password: password,
	})
	roots := x509.NewCertPool()
	roots.AddCert(cert.Certificate)
	for i, auth := range []smtp.Auth{
		smtp.PlainAuth("", login, password, "127.0.0.1"), smtp.CRAMMD5Auth(login, password),
		smtp.PlainAuth("", login, "changed", "127.0.0.1"),
	} {
		if i == 2 {
			s.SetPassword("changed")
		}
		c, err := smtp.Dial(s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(auth); err == nil {
			t.Error("a sign-in was offered in clear")
		}
		if c, err = smtp.Dial(s.Addr()); err != nil {
			t.Fatal(err)
		}
		if err := c.StartTLS(&tls.Config{ServerName: "localhost", RootCAs: roots}); err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(auth); err != nil {
			t.Fatal(err)
		}
		if err := c.Mail("a@example.org"); err != nil {
			t.Fatal(err)
		}
		if err := c.Rcpt("b@example.org"); err != nil {
			t.Fatal(err)
		}
		w, err := c.Data()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, ".dot\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Quit(); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range s.Wait(t, 3) {
		if string(l.Data) != ".dot\r\n" || l.From != "a@example.org" || len(l.To) != 1 || l.Login != login || !l.Encrypted {
			t.Errorf("arrived: %+v", l)
		}
	}
	if s.LeakInside(password) == "" {
		t.Error("what was said inside TLS was not kept")
	}
}

func TestTheLabMakesEveryCase(t *testing.T) {
	began := time.Now()
	seen := map[string]bool{}
	for _, c := range smtptest.NewLab(t, time.Now()).Cases() {
		if seen[c.ID] || c.Leaf() == nil || c.What == "" || c.Host == "" {
			t.Errorf("%s (%s) is not complete, or there twice", c.ID, c.What)
		}
		seen[c.ID] = true
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the lab took %s", took)
	}
	for _, id := range strings.Fields("C1 C4 C5 C6 C7 C10 C13 C14 C15 C16 C20 C21") {
		if !seen[id] {
			t.Errorf("there is no case %s", id)
		}
	}
}
