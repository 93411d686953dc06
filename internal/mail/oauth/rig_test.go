package oauth_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
)

const (
	tenant = "11111111-2222-3333-4444-555555555555"
	client = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	back   = "https://sealpost.example.org/oauth/mail/callback"

	// The credentials of the tests. None may ever stand in an error.
	clientSecret = "kA8~canary  client/secret+1=&?"
	oldRefresh   = "0.AAcanary-refresh-token"
	authCode     = "1.canary-authorization-code"
)

var canaries = []string{clientSecret, url.QueryEscape(clientSecret), oldRefresh, authCode, "canary"}

var now = time.Date(2026, 11, 5, 9, 0, 0, 0, time.UTC)

// authority is a TLS server on loopback that answers as it is told.
type authority struct {
	*httptest.Server
	answer http.HandlerFunc
	mu     sync.Mutex
	seen   []*http.Request
	forms  []url.Values
}

func serve(t *testing.T, answer http.HandlerFunc) *authority {
	t.Helper()
	a := &authority{answer: answer}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		a.mu.Lock()
		if err == nil {
			a.seen, a.forms = append(a.seen, r), append(a.forms, form)
		}
		a.mu.Unlock()
		a.answer(w, r)
	}))
	// What a server logs about broken handshakes is of no interest.
	a.Config.ErrorLog = quiet()
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

// form returns the only request's form.
func (a *authority) form(t *testing.T) url.Values {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.forms) != 1 {
		t.Fatalf("the authority saw %d requests, want 1", len(a.forms))
	}
	return a.forms[0]
}

func (a *authority) requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen)
}

func (a *authority) host() string { return strings.TrimPrefix(a.URL, "https://") }

// config is that of a client for a and the others.
func (a *authority) config(t *testing.T, others ...string) oauth.Config {
	t.Helper()
	allowed, err := oauth.NewAuthorities(append(others, a.host()))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	return oauth.Config{Authorities: allowed, Roots: roots, Now: func() time.Time { return now }}
}

// microsoft, google and generic are settings whose authority is a.
func (a *authority) microsoft(g oauth.Grant) oauth.Settings {
	return oauth.Settings{
		Provider: oauth.Microsoft, Cloud: "global", Grant: g, Tenant: tenant, ClientID: client, ClientAuth: oauth.BySecret,
		AuthorizeURL: a.URL + "/{tenant}/oauth2/v2.0/authorize", TokenURL: a.URL + "/{tenant}/oauth2/v2.0/token",
		Mailbox: "alerts@contoso.com",
	}
}

func (a *authority) google(g oauth.Grant) oauth.Settings {
	return oauth.Settings{
		Provider: oauth.Google, Grant: g, ClientID: "7.apps.googleusercontent.com", AuthorizeURL: a.URL + "/auth",
		TokenURL: a.URL + "/token", Mailbox: "alerts@example.org",
	}
}

func (a *authority) generic(g oauth.Grant) oauth.Settings {
	return oauth.Settings{
		Provider: oauth.Generic, Grant: g, ClientID: "sealpost", AuthorizeURL: a.URL + "/authorize", TokenURL: a.URL + "/token",
		Scopes: "smtp offline_access", Mailbox: "alerts@example.org",
	}
}

func bySecret() oauth.Credential { return oauth.Credential{Secret: secret.New(clientSecret)} }

// tokens is a good answer, with changes.
func tokens(changes map[string]any) string {
	answer := map[string]any{
		"token_type": "Bearer", "access_token": "eyJ0eXAi.new-access_token~+/==", "expires_in": 4711,
		"refresh_token": "0.new-refresh", "scope": "https://outlook.office.com/SMTP.Send",
	}
	maps.Copy(answer, changes)
	for k, v := range changes {
		if v == nil {
			delete(answer, k)
		}
	}
	b, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func say(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// idToken is one that fits the sign-in, with changes. Its signature is none.
func idToken(a *authority, nonce string, changes map[string]any) string {
	c := map[string]any{
		"iss": a.URL + "/" + tenant + "/v2.0", "aud": client, "exp": now.Add(time.Hour).Unix(), "nonce": nonce,
		"sub": "AAAAAsubject", "tid": tenant, "preferred_username": "alerts@contoso.com", "email": "alerts@contoso.com",
	}
	maps.Copy(c, changes)
	for k, v := range changes {
		if v == nil {
			delete(c, k)
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part(b) + "." + part([]byte("signature"))
}

// refused returns err as what it must be, and sees to it that it tells nothing.
func refused(t *testing.T, err error) *oauth.Error {
	t.Helper()
	var e *oauth.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *oauth.Error", err)
	}
	for chain := err; chain != nil; chain = errors.Unwrap(chain) {
		all := fmt.Sprintf("%v %+v %#v", chain, chain, chain)
		for _, c := range canaries {
			if strings.Contains(all, c) {
				t.Errorf("the error tells a credential: %s", all)
			}
		}
	}
	return e
}

// fields returns what Check says, by field.
func fields(s oauth.Settings, allowed oauth.Authorities) map[string]string {
	var check fault.Check
	s.Check(&check, allowed)
	found := map[string]string{}
	for _, f := range fault.Fields(check.Err()) {
		found[f.Field] = f.Sentence
	}
	return found
}

func names(m map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), " ")
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
