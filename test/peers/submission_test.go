package peers_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/test/peers"
)

const tokenUser = "sender@example.org"

// signIn connects to Dovecot's submission service with a token.
func signIn(t *testing.T, m *peers.MailServer, port int, security smtp.Security, user, token, mechanism string) (*smtp.Conn, smtp.Config, error) {
	t.Helper()
	cfg := settings(m, port, security)
	cfg.Auth = &smtp.Auth{
		Credential: sasl.Credential{Username: user, Token: secret.New(token), Host: peers.Host, Port: port},
		Mechanism:  mechanism,
	}
	c, err := smtp.Dial(t.Context(), cfg)
	return c, cfg, err
}

// Dovecot was written by others after the same pages: it takes our tokens.
func TestDovecotTakesALetterForAToken(t *testing.T) {
	m := peers.Postfix(t)
	s := peers.DovecotSubmission(t, m)
	// One fits into the command, the other follows it.
	const short = "a-token.of~somebody/with+every-letter_=="
	long := strings.Repeat("long-token.", 400) + "=="
	s.Grant(short, tokenUser)
	s.Grant(long, tokenUser)
	type way struct {
		name, mechanism, token string
		implicit               bool
	}
	ways := []way{{"whatever is offered", "", short, false}}
	for _, mechanism := range sasl.Bearer() {
		ways = append(ways,
			way{mechanism + " after STARTTLS", mechanism, short, false},
			way{mechanism + " in TLS from the start", mechanism, short, true},
			way{mechanism + " with a long token", mechanism, long, false},
		)
	}
	for i, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			port, security := s.STARTTLS, smtp.STARTTLS
			if w.implicit {
				port, security = s.Implicit, smtp.Implicit
			}
			c, cfg, err := signIn(t, m, port, security, tokenUser, w.token, w.mechanism)
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, cfg.Transcript, s.Log())
			}
			defer c.Close()
			to, id := fmt.Sprintf("token-%d@example.org", i), fmt.Sprintf("token-%d", i)
			if r := send(t, c, to, body(id, "Hello.\r\n.with a dot")); r.Err != nil {
				t.Fatalf("%v\n%s", r.Err, s.Log())
			}
			mail := m.Wait(t, to, 1)[0]
			if got, want := mail.MessageID(), "<"+id+"@example.org>"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if shown := cfg.Transcript.String(); strings.Contains(shown, "token.") {
				t.Errorf("the transcript holds the token:\n%s", shown)
			}
		})
	}
}

func TestDovecotSaysWhyATokenIsRefused(t *testing.T) {
	m := peers.Postfix(t)
	s := peers.DovecotSubmission(t, m)
	// The two mechanisms have other words for it there.
	words := map[string]string{
		sasl.XOAuth2:     "(status 401, schemes bearer, scope mail)",
		sasl.OAuthBearer: "(status invalid_token)",
	}
	for _, mechanism := range sasl.Bearer() {
		t.Run(mechanism, func(t *testing.T) {
			token := "a-token-that-ends-" + mechanism
			s.Grant(token, tokenUser)
			c, _, err := signIn(t, m, s.STARTTLS, smtp.STARTTLS, tokenUser, token, mechanism)
			if err != nil {
				t.Fatalf("%v\n%s", err, s.Log())
			}
			_ = c.Close()
			s.Revoke(token)
			before := s.Asked()
			_, cfg, err := signIn(t, m, s.STARTTLS, smtp.STARTTLS, tokenUser, token, mechanism)
			if err := refused(err); err != nil {
				t.Fatalf("%v\n%s", err, cfg.Transcript)
			}
			var e *smtp.Error
			errors.As(err, &e)
			if !strings.Contains(e.Text, words[mechanism]) {
				t.Errorf("%q does not say %q", e.Text, words[mechanism])
			}
			if s.Asked() == before {
				t.Error("Dovecot did not ask whether the token is good")
			}
			if shown := cfg.Transcript.String() + err.Error(); strings.Contains(shown, token) {
				t.Errorf("the token is shown:\n%s", shown)
			}
		})
		t.Run(mechanism+" as somebody else", func(t *testing.T) {
			token := "a-token-of-grace-" + mechanism
			s.Grant(token, "grace@example.org")
			_, _, err := signIn(t, m, s.STARTTLS, smtp.STARTTLS, tokenUser, token, mechanism)
			if err := refused(err); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("a password is not tried", func(t *testing.T) {
		before := s.Asked()
		cfg := settings(m, s.STARTTLS, smtp.STARTTLS)
		cfg.Auth = &smtp.Auth{Credential: credential(tokenUser, password)}
		_, err := smtp.Dial(t.Context(), cfg)
		var e *smtp.Error
		if !errors.As(err, &e) || e.Kind != smtp.KindPolicy || s.Asked() != before {
			t.Errorf("got %v", err)
		}
	})
}
