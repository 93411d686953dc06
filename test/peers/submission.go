package peers

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Submission is a running Dovecot that takes letters from whoever signs in with
// an access token, by XOAUTH2 or OAUTHBEARER alone, and hands them to a
// MailServer. Whether a token is good it asks an endpoint of the test each time
// (token introspection, RFC 7662).
type Submission struct {
	// STARTTLS and Implicit are its ports; the certificate is of the
	// MailServer's authority.
	STARTTLS, Implicit int

	dir    string
	ask    string
	gone   <-chan struct{}
	secret string

	mu     sync.Mutex
	tokens map[string]string
	asked  int
}

// relayed runs Dovecot with the folder $2 until standard input ends.
const relayed = `
trap '' HUP INT QUIT TERM
"$1" -F -c "$2/dovecot.conf" >"$2/dovecot.out" 2>&1 </dev/null &
dovecot=$!
read -r end
kill -TERM $dovecot
wait
rm -rf "$2"
`

// DovecotSubmission starts a Submission in front of m. It ends with the test.
func DovecotSubmission(t testing.TB, m *MailServer) *Submission {
	t.Helper()
	dovecot, err := program("dovecot", "/usr/sbin/dovecot")
	if err == nil {
		_, err = program("/usr/lib/dovecot/submission", "/usr/libexec/dovecot/submission")
	}
	if err != nil {
		Missing(t, "Dovecot's submission service", err)
	}
	s := &Submission{tokens: map[string]string{}, secret: rand.Text()}
	endpoint := httptest.NewServer(http.HandlerFunc(s.introspect))
	t.Cleanup(endpoint.Close)
	s.ask = endpoint.URL
	// A port that was free may be taken by the time Dovecot asks for it.
	for range 3 {
		var pipe *os.File
		if pipe, err = s.start(m, dovecot); err == nil {
			t.Cleanup(func() {
				_ = pipe.Close()
				<-s.gone
			})
			return s
		}
	}
	t.Fatalf("Dovecot's submission service: %v", err)
	return nil
}

func (s *Submission) start(m *MailServer, dovecot string) (*os.File, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	s.STARTTLS, s.Implicit = ports[0], ports[1]
	if s.dir, err = os.MkdirTemp("", "sealpost-submission-"); err != nil {
		return nil, err
	}
	if err := s.prepare(m); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	pipe, gone, err := supervised(relayed, dovecot, s.dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	s.gone = gone
	if !within(startWait, gone, func() bool { return greets(s.STARTTLS) }) {
		said := lastLines(s.Log(), 20)
		_ = pipe.Close()
		<-gone
		return nil, fmt.Errorf("it did not start: %s", said)
	}
	return pipe, nil
}

// Log returns what Dovecot said.
func (s *Submission) Log() string {
	out, _ := os.ReadFile(filepath.Join(s.dir, "dovecot.out"))
	text, _ := os.ReadFile(filepath.Join(s.dir, "dovecot.log"))
	return string(out) + string(text)
}

// Grant makes a token good for a user.
func (s *Submission) Grant(token, login string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = login
}

// Revoke ends a token.
func (s *Submission) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, token)
}

// Asked returns how often Dovecot asked about a token.
func (s *Submission) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// introspect answers as RFC 7662 2.2 has it.
func (s *Submission) introspect(w http.ResponseWriter, r *http.Request) {
	if user, secret, ok := r.BasicAuth(); !ok || user != "dovecot" || secret != s.secret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	login, active := s.tokens[r.PostFormValue("token")]
	answer := map[string]any{"active": active}
	if active {
		answer["username"], answer["scope"] = login, "mail"
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Submission) prepare(m *MailServer) error {
	chain, err := m.Authority.Issue(Host, "127.0.0.1")
	if err != nil {
		return err
	}
	nobody, err := idsOf("nobody")
	if err != nil {
		return err
	}
	home := filepath.Join(s.dir, "home")
	if err := errors.Join(os.Chmod(s.dir, 0o755), os.Mkdir(home, 0o700), os.Chown(home, nobody[0], nobody[1])); err != nil {
		return err
	}
	for name, text := range map[string]string{"dovecot.conf": s.conf(m), "oauth2.conf": s.oauth(), "chain.pem": string(chain)} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Submission) conf(m *MailServer) string {
	return strings.NewReplacer("$DIR", s.dir, "$STARTTLS", strconv.Itoa(s.STARTTLS), "$IMPLICIT", strconv.Itoa(s.Implicit),
		"$RELAY", strconv.Itoa(m.Relay)).Replace(`
base_dir = $DIR/run
state_dir = $DIR/run
log_path = $DIR/dovecot.log
protocols = submission
listen = 127.0.0.1
hostname = mail.example.org
ssl = required
ssl_cert = <$DIR/chain.pem
ssl_key = <$DIR/chain.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes
auth_mechanisms = xoauth2 oauthbearer
auth_failure_delay = 0
submission_relay_host = 127.0.0.1
submission_relay_port = $RELAY
mail_location = maildir:$DIR/home/%u
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = $DIR/oauth2.conf
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=$DIR/home/%u
}
service submission-login {
  inet_listener submission {
    port = $STARTTLS
  }
  inet_listener submissions {
    port = $IMPLICIT
    ssl = yes
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`)
}

func (s *Submission) oauth() string {
	return strings.NewReplacer("$URL", strings.Replace(s.ask, "http://", "http://dovecot:"+s.secret+"@", 1)).Replace(`
introspection_mode = post
introspection_url = $URL/introspect
force_introspection = yes
username_attribute = username
active_attribute = active
active_value = true
scope = mail
openid_configuration_url = https://login.example.org/.well-known/openid-configuration
`)
}
