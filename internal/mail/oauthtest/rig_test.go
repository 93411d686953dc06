package oauthtest_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/mail/sasl"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/secret"
)

const (
	callback = "https://vault.example.org/oauth/mail/callback"
	verifier = "a-verifier-of-a-test-that-is-long-enough-for-everybody"

	outlookScopes = "https://outlook.office.com/SMTP.Send offline_access openid profile email"
	graphScopes   = "https://graph.microsoft.com/Mail.Send offline_access openid profile email"
)

// clock is moved by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// open starts a stand on a clock of the test, with the callback registered.
func open(t *testing.T, o oauthtest.Options) (*oauthtest.Stand, *clock) {
	t.Helper()
	c := newClock()
	o.Now = c.Now
	s := oauthtest.Start(t, o)
	s.Register(callback)
	return s, c
}

// with returns values with some of them changed; "-" takes one out.
func with(v url.Values, changes ...string) url.Values {
	v = maps.Clone(v)
	for i := 0; i+1 < len(changes); i += 2 {
		if changes[i+1] == "-" {
			v.Del(changes[i])
		} else {
			v.Set(changes[i], changes[i+1])
		}
	}
	return v
}

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asking are the parameters of a sign-in at Microsoft that is right.
func asking(changes ...string) url.Values {
	return with(url.Values{
		"client_id": {oauthtest.ClientID}, "response_type": {"code"}, "redirect_uri": {callback}, "scope": {outlookScopes},
		"state": {"the-state"}, "nonce": {"the-nonce"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
		"prompt": {"select_account"}, "login_hint": {oauthtest.Alerts},
	}, changes...)
}

// codeFor signs somebody in and returns the code.
func codeFor(t *testing.T, s *oauthtest.Stand, person string, changes ...string) string {
	t.Helper()
	v := s.SignIn(t, s.AuthorizeURL(oauthtest.Contoso)+"?"+asking(changes...).Encode(), oauthtest.Person{Name: person})
	if v.Back == nil || v.Back.Query().Get("code") == "" {
		t.Fatalf("no code for %s: %+v", person, v)
	}
	if got := v.Back.Query().Get("state"); got != "the-state" {
		t.Errorf("state: got %q", got)
	}
	return v.Back.Query().Get("code")
}

// reply is an answer of a token endpoint.
type reply struct {
	Status      int
	Access      string `json:"access_token"`
	Refresh     string `json:"refresh_token"`
	ID          string `json:"id_token"`
	Type        string `json:"token_type"`
	Scope       string `json:"scope"`
	Expires     int    `json:"expires_in"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
	Timestamp   string `json:"timestamp"`
	Trace       string `json:"trace_id"`
	Correlation string `json:"correlation_id"`
	URI         string `json:"error_uri"`
	Suberror    string `json:"suberror"`
}

func (r reply) number() int {
	if len(r.Codes) == 0 {
		return 0
	}
	return r.Codes[0]
}

func post(t *testing.T, s *oauthtest.Stand, address string, form url.Values) reply {
	t.Helper()
	resp, err := s.HTTP().PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := reply{Status: resp.StatusCode}
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatalf("%d: %v", resp.StatusCode, err)
	}
	return r
}

// redeeming is a right request for the tokens of a code.
func redeeming(code string, changes ...string) url.Values {
	return with(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {oauthtest.ClientID}, "client_secret": {oauthtest.ClientSecret},
		"code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}, "scope": {outlookScopes},
	}, changes...)
}

func renewing(token string, changes ...string) url.Values {
	return with(url.Values{
		"grant_type": {"refresh_token"}, "client_id": {oauthtest.ClientID}, "client_secret": {oauthtest.ClientSecret},
		"refresh_token": {token}, "scope": {outlookScopes},
	}, changes...)
}

func obtaining(changes ...string) url.Values {
	return with(url.Values{
		"grant_type": {"client_credentials"}, "client_id": {oauthtest.ClientID}, "client_secret": {oauthtest.ClientSecret},
		"scope": {"https://outlook.office365.com/.default"},
	}, changes...)
}

// tokens signs a person in and returns what that gives.
func tokens(t *testing.T, s *oauthtest.Stand, person string, changes ...string) reply {
	t.Helper()
	scope := with(asking(), changes...).Get("scope")
	r := post(t, s, s.TokenURL(oauthtest.Contoso), redeeming(codeFor(t, s, person, changes...), "scope", scope))
	if r.Access == "" {
		t.Fatalf("no token for %s: %+v", person, r)
	}
	return r
}

var aadsts = regexp.MustCompile(`AADSTS(\d+)`)

// numberIn returns the AADSTS number in a text, or 0.
func numberIn(text string) int {
	m := aadsts.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// dial connects to a mail server of the stand with our client.
func dial(t *testing.T, s *oauthtest.Stand, server *smtptest.Server, c sasl.Credential, mechanism string) (*smtp.Conn, error) {
	t.Helper()
	policy := trust.Policy{
		Host: "localhost", Roots: x509.NewCertPool(),
		Anchors: []trust.Anchor{{DER: s.CA().Raw, Mode: trust.ModeAnchor}},
	}
	conn, err := smtp.Dial(t.Context(), smtp.Config{
		Host: "localhost", Port: server.Port(), Security: smtp.STARTTLS, LocalName: "vault.example.org",
		TLS: policy.TLSConfig(), Auth: &smtp.Auth{Credential: c, Mechanism: mechanism},
	})
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

func bearer(user, token string) sasl.Credential {
	return sasl.Credential{Username: user, Token: secret.New(token), Host: "localhost", Port: 587}
}

func letter(from, to, id string) smtp.Submission {
	return smtp.Submission{From: from, To: []string{to}, Body: mime(from, to, id)}
}

func mime(from, to, id string) []byte {
	return []byte("From: <" + from + ">\r\nTo: <" + to + ">\r\nSubject: Hello\r\nDate: Tue, 24 Nov 2026 09:00:00 +0000\r\n" +
		"Message-ID: <" + id + "@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nHello.\r\n")
}

func send(t *testing.T, c *smtp.Conn, l smtp.Submission) *smtp.Error {
	t.Helper()
	var got smtp.Result
	if err := c.Send(t.Context(), smtp.Each(l), func(_ int, r smtp.Result) { got = r }); err != nil {
		t.Logf("the connection ended: %v", err)
	}
	return got.Err
}

// postGraph posts a letter to Graph.
func postGraph(t *testing.T, s *oauthtest.Stand, path, token, contentType string, body io.Reader) (status int, code, after string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.GraphURL()+"/v1.0"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := s.HTTP().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var e struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	text, _ := io.ReadAll(resp.Body)
	if len(text) > 0 {
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode, e.Error.Code, resp.Header.Get("Retry-After")
}
