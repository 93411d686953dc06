package peers_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/test/peers"
)

const password = "pass:word with space, äöü and \\"

// settings are for the server's port as an administrator would fill them in
// who imported the private authority.
func settings(m *peers.MailServer, port int, security smtp.Security) smtp.Config {
	policy := trust.Policy{
		Host: peers.Host, Roots: x509.NewCertPool(),
		Anchors: []trust.Anchor{{DER: m.Authority.Root.Raw, Mode: trust.ModeAnchor}},
	}
	return smtp.Config{
		Host: peers.Host, Port: port, Security: security, LocalName: "vault.example.org",
		TLS: policy.TLSConfig(), Transcript: &smtp.Transcript{},
	}
}

func credential(login, password string) sasl.Credential {
	return sasl.Credential{Username: login, Password: secret.New(password)}
}

func body(id, text string) []byte {
	lines := []string{
		"From: Sealpost <vault@example.org>", "To: somebody@example.org", "Subject: " + id,
		"Date: Sun, 01 Mar 2026 09:00:00 +0000", "Message-ID: <" + id + "@example.org>",
		"MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit",
		"", text, "",
	}
	return []byte(strings.Join(lines, "\r\n"))
}

func send(t *testing.T, c *smtp.Conn, to string, content []byte) smtp.Result {
	t.Helper()
	var got smtp.Result
	err := c.Send(t.Context(), smtp.Each(smtp.Submission{From: "vault@example.org", To: []string{to}, Body: content}),
		func(_ int, r smtp.Result) { got = r })
	if err != nil {
		t.Fatalf("the connection ended: %v", err)
	}
	return got
}

func TestPostfixTakesALetterInEveryWayToConnect(t *testing.T) {
	m := peers.Postfix(t)
	m.AddUser(t, "sender", password)
	type way struct {
		name     string
		port     int
		security smtp.Security
		mech     string
		auth     bool
	}
	ways := []way{
		{"relay without sign-in", m.Relay, smtp.None, "", false},
		{"clear with CRAM-MD5", m.Relay, smtp.None, sasl.CRAMMD5, true},
		{"clear, strongest", m.Relay, smtp.None, "", true},
		{"STARTTLS, strongest", m.Submission, smtp.STARTTLS, "", true},
		{"implicit, strongest", m.Implicit, smtp.Implicit, "", true},
	}
	for _, mech := range sasl.Strength() {
		ways = append(ways, way{"STARTTLS with " + mech, m.Submission, smtp.STARTTLS, mech, true},
			way{"implicit with " + mech, m.Implicit, smtp.Implicit, mech, true})
	}
	for i, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			cfg := settings(m, w.port, w.security)
			if w.auth {
				cfg.Auth = &smtp.Auth{Credential: credential("sender", password), Mechanism: w.mech}
				cfg.AllowClearAuth = w.security == smtp.None
			}
			c, err := smtp.Dial(t.Context(), cfg)
			if err != nil {
				t.Fatalf("%v\n%s", err, cfg.Transcript)
			}
			defer c.Close()
			if got, want := c.Encrypted(), w.security != smtp.None; got != want {
				t.Errorf("encrypted: got %v, want %v", got, want)
			}
			to := fmt.Sprintf("way-%d@example.org", i)
			r := send(t, c, to, body(fmt.Sprintf("way-%d", i), "Grüße.\r\n.a line with a dot\r\n..\r\n.\r\nend"))
			if r.Err != nil || r.QueueID == "" {
				t.Fatalf("not accepted with an id: %+v", r)
			}
			mail := m.Wait(t, to, 1)[0]
			if got, want := mail.MessageID(), fmt.Sprintf("<way-%d@example.org>", i); got != want {
				t.Errorf("Message-ID: got %s, want %s", got, want)
			}
			// The mailbox keeps lines as files do.
			if got, want := mail.Text, "Grüße.\n.a line with a dot\n..\n.\nend\n"; got != want {
				t.Errorf("text: got %q, want %q", got, want)
			}
			if shown := cfg.Transcript.String(); strings.Contains(shown, "pass:word") {
				t.Errorf("the transcript holds the password:\n%s", shown)
			}
		})
	}
}

func TestOneConnectionCarriesManyLettersPastRefusals(t *testing.T) {
	m := peers.Postfix(t)
	m.AddUser(t, "sender", password)
	cfg := settings(m, m.Submission, smtp.STARTTLS)
	cfg.Auth = &smtp.Auth{Credential: credential("sender", password)}
	c, err := smtp.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, tt := range []struct {
		to       string
		code     int
		enhanced string
	}{
		{"first@example.org", 0, ""},
		{"refused@example.org", 550, "5.1.1"},
		{"second@example.org", 0, ""},
		{"later@example.org", 450, "4.2.1"},
		{"third@example.org", 0, ""},
	} {
		r := send(t, c, tt.to, body("many", "Hello."))
		var code int
		var enhanced string
		if r.Err != nil {
			code, enhanced = r.Err.Code, r.Err.Enhanced
		}
		if code != tt.code || enhanced != tt.enhanced {
			t.Errorf("%s: got %d %s, want %d %s", tt.to, code, enhanced, tt.code, tt.enhanced)
		}
		if tt.code == 0 {
			m.Wait(t, tt.to, 1)
		}
	}
	if !c.Alive(t.Context()) {
		t.Error("the connection did not survive the refusals")
	}
}

func TestAWrongPasswordIsRefusedUntilItIsRight(t *testing.T) {
	m := peers.Postfix(t)
	try := func(mech, pw string) error {
		cfg := settings(m, m.Submission, smtp.STARTTLS)
		cfg.Auth = &smtp.Auth{Credential: credential("moving", pw), Mechanism: mech}
		c, err := smtp.Dial(t.Context(), cfg)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	// All have the same length: neither time nor size of Dovecot's file gives
	// the change away by themselves.
	for _, pw := range []string{"first-password", "other-password", "third-password"} {
		for _, mech := range sasl.Strength() {
			if err := refused(try(mech, pw)); err != nil {
				t.Errorf("%s before the change: %v", mech, err)
			}
		}
		m.AddUser(t, "moving", pw)
		for _, mech := range sasl.Strength() {
			if err := try(mech, pw); err != nil {
				t.Errorf("%s after the change: %v", mech, err)
			}
		}
	}
}

// refused returns nil for a refusal of the sign-in.
func refused(err error) error {
	var e *smtp.Error
	if !errors.As(err, &e) || e.Stage != smtp.StageAuth || e.Code != 535 {
		return fmt.Errorf("not refused at the sign-in: %w", err)
	}
	return nil
}

func TestAnUnknownAuthorityIsExplained(t *testing.T) {
	m := peers.Postfix(t)
	for _, tt := range []struct {
		port     int
		security smtp.Security
	}{{m.Submission, smtp.STARTTLS}, {m.Implicit, smtp.Implicit}} {
		cfg := settings(m, tt.port, tt.security)
		cfg.TLS = trust.Policy{Host: peers.Host, Roots: x509.NewCertPool()}.TLSConfig()
		cfg.Auth = &smtp.Auth{Credential: credential("sender", password)}
		_, err := smtp.Dial(t.Context(), cfg)
		var v *trust.Verdict
		if !errors.As(err, &v) {
			t.Fatalf("%s: %v", tt.security, err)
		}
		if v.Code != trust.CodeUnknown || !v.CanTrust || len(v.Chain) != 2 {
			t.Errorf("%s: got %s, can trust %v, chain of %d", tt.security, v.Code, v.CanTrust, len(v.Chain))
		}
		if strings.Contains(cfg.Transcript.String(), "AUTH") {
			t.Errorf("%s: signed in to a server that nobody vouches for", tt.security)
		}
	}
}

func TestASubmissionPortGivesNothingWithoutTLSOrSignIn(t *testing.T) {
	m := peers.Postfix(t)
	m.AddUser(t, "sender", password)
	t.Run("sign-in in clear", func(t *testing.T) {
		cfg := settings(m, m.Submission, smtp.None)
		cfg.Auth, cfg.AllowClearAuth = &smtp.Auth{Credential: credential("sender", password)}, true
		_, err := smtp.Dial(t.Context(), cfg)
		var e *smtp.Error
		if !errors.As(err, &e) || e.Kind != smtp.KindPolicy {
			t.Errorf("got %v, want a refusal to go on", err)
		}
	})
	t.Run("no sign-in", func(t *testing.T) {
		c, err := smtp.Dial(t.Context(), settings(m, m.Submission, smtp.STARTTLS))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if r := send(t, c, "anybody@example.org", body("no-sign-in", "Hello.")); r.Err == nil || r.Err.Code != 554 {
			t.Errorf("got %+v, want 554", r)
		}
	})
	t.Run("relay in place of STARTTLS", func(t *testing.T) {
		_, err := smtp.Dial(t.Context(), settings(m, m.Relay, smtp.STARTTLS))
		var e *smtp.Error
		if !errors.As(err, &e) || e.Stage != smtp.StageTLS || e.Kind != smtp.KindPolicy {
			t.Errorf("got %v, want a refusal to go on in clear", err)
		}
	})
}

// The rig itself: what it serves is what it says.
func TestTheMailServerSpeaksModernTLS(t *testing.T) {
	m := peers.Postfix(t)
	roots := x509.NewCertPool()
	roots.AddCert(m.Authority.Root)
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots}}
	conn, err := d.DialContext(context.Background(), "tcp", fmt.Sprintf("%s:%d", peers.Host, m.Implicit))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if v := conn.(*tls.Conn).ConnectionState().Version; v != tls.VersionTLS13 {
		t.Errorf("got %s", tls.VersionName(v))
	}
}
