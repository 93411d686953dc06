package oauthtest_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauthtest"
)

const googleScopes = "https://mail.google.com/ openid email"

func googleAsking(changes ...string) url.Values {
	return asking(append([]string{
		"client_id", oauthtest.GoogleClientID, "scope", googleScopes, "prompt", "consent", "access_type", "offline", "login_hint", oauthtest.Robot,
	}, changes...)...)
}

func googleRedeeming(code string, changes ...string) url.Values {
	return redeeming(code, append([]string{
		"client_id", oauthtest.GoogleClientID, "client_secret", oauthtest.GoogleClientSecret, "scope", "-",
	}, changes...)...)
}

func googleRenewing(token string, changes ...string) url.Values {
	return renewing(token, append([]string{
		"client_id", oauthtest.GoogleClientID, "client_secret", oauthtest.GoogleClientSecret, "scope", "-",
	}, changes...)...)
}

func googleCode(t *testing.T, s *oauthtest.Stand, changes ...string) string {
	t.Helper()
	v := s.SignIn(t, s.GoogleAuthorizeURL()+"?"+googleAsking(changes...).Encode(), oauthtest.Person{Name: oauthtest.Robot})
	if v.Back == nil || !v.Back.Query().Has("code") {
		t.Fatalf("got %+v", v)
	}
	return v.Back.Query().Get("code")
}

func googleTokens(t *testing.T, s *oauthtest.Stand, changes ...string) reply {
	t.Helper()
	r := post(t, s, s.GoogleTokenURL(), googleRedeeming(googleCode(t, s, changes...)))
	if r.Access == "" {
		t.Fatalf("got %+v", r)
	}
	return r
}

func TestGoogleRefusesInItsWords(t *testing.T) {
	s, c := open(t, oauthtest.Options{})
	for _, tt := range []struct {
		name    string
		changes []string
		code    string
	}{
		{"unknown client", []string{"client_id", "nobody"}, "Error 401: invalid_client"},
		{"a client of Microsoft", []string{"client_id", oauthtest.ClientID}, "Error 401: invalid_client"},
		{"other redirect", []string{"redirect_uri", callback + "/"}, "Error 400: redirect_uri_mismatch"},
		{"no PKCE", []string{"code_challenge", "-"}, "Error 400: invalid_request"},
		{"token right away", []string{"response_type", "token"}, "Error 400: invalid_request"},
		{"no scope", []string{"scope", "-"}, "Error 400: invalid_request"},
		{"unknown scope", []string{"scope", "mail"}, "Error 400: invalid_scope"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := s.SignIn(t, s.GoogleAuthorizeURL()+"?"+googleAsking(tt.changes...).Encode(), oauthtest.Person{Name: oauthtest.Robot})
			if v.Back != nil || !strings.Contains(v.Page, tt.code) {
				t.Errorf("got %+v", v)
			}
		})
	}
	v := s.SignIn(t, s.GoogleAuthorizeURL()+"?"+googleAsking().Encode(), oauthtest.Person{Name: oauthtest.Robot, Declines: true})
	if q := v.Back.Query(); q.Get("error") != "access_denied" || q.Has("error_description") || q.Get("state") != "the-state" {
		t.Errorf("declined: %v", q)
	}
	v = s.SignIn(t, s.GoogleAuthorizeURL()+"?"+googleAsking().Encode(), oauthtest.Person{Name: oauthtest.Alerts})
	if v.Back != nil {
		t.Errorf("an account of Microsoft signed in at Google: %s", v.Back)
	}

	address, code, refresh := s.GoogleTokenURL(), googleCode(t, s), googleTokens(t, s).Refresh
	for _, tt := range []struct {
		name   string
		form   url.Values
		status int
		code   string
		text   string
	}{
		{"unknown client", googleRenewing(refresh, "client_id", "nobody"), 401, "invalid_client", "The OAuth client was not found."},
		{"wrong secret", googleRenewing(refresh, "client_secret", "wrong"), 401, "invalid_client", "The provided client secret is invalid."},
		{"client credentials", googleRenewing(refresh, "grant_type", "client_credentials"), 400, "unsupported_grant_type", "Invalid grant_type: client_credentials"},
		{"made-up token", googleRenewing("1//0nothing"), 400, "invalid_grant", "Bad Request"},
		{"made-up code", googleRedeeming("4/0nothing"), 400, "invalid_grant", "Malformed auth code."},
		{"other redirect", googleRedeeming(code, "redirect_uri", "https://example.org"), 400, "redirect_uri_mismatch", "Bad Request"},
		{"no verifier", googleRedeeming(code, "code_verifier", "-"), 400, "invalid_grant", "Missing code verifier."},
		{"wrong verifier", googleRedeeming(code, "code_verifier", "wrong"), 400, "invalid_grant", "Invalid code verifier."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := post(t, s, address, tt.form)
			if r.Status != tt.status || r.Error != tt.code || r.Description != tt.text || r.Codes != nil {
				t.Errorf("got %+v", r)
			}
		})
	}
	if r := post(t, s, address, googleRedeeming(code)); r.Access == "" {
		t.Errorf("got %+v", r)
	}
	if r := post(t, s, address, googleRedeeming(code)); r.Error != "invalid_grant" {
		t.Errorf("a code was taken twice: %+v", r)
	}
	c.Advance(100 * 24 * time.Hour)
	if r := post(t, s, address, googleRenewing(refresh)); r.Access == "" || r.Refresh != "" {
		t.Errorf("renewing: %+v", r)
	}
	c.Advance(183 * 24 * time.Hour)
	if r := post(t, s, address, googleRenewing(refresh)); r.Error != "invalid_grant" || r.Description != "Token has been expired or revoked." {
		t.Errorf("idle for half a year: %+v", r)
	}
	refresh = googleTokens(t, s).Refresh
	s.Revoke(oauthtest.Robot)
	if r := post(t, s, address, googleRenewing(refresh)); r.Error != "invalid_grant" {
		t.Errorf("revoked: %+v", r)
	}
	if r := googleTokens(t, s, "access_type", "-"); r.Refresh != "" {
		t.Error("a refresh token came without access_type=offline")
	}
}

func TestGoogleLetsInWhomTheClientIsFor(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	a := s.App(oauthtest.GoogleClientID)
	a.MultiTenant = false
	s.PutApp(a)
	s.PutTenant(oauthtest.Tenant{ID: "other.example", Google: true})
	s.PutUser(oauthtest.User{Name: "x@other.example", Password: oauthtest.Password, Tenant: "other.example"})
	address := s.GoogleAuthorizeURL() + "?" + googleAsking().Encode()
	if v := s.SignIn(t, address, oauthtest.Person{Name: "x@other.example"}); !strings.Contains(v.Page, "Error 403: org_internal") {
		t.Errorf("got %+v", v)
	}
	a.Disabled = true
	s.PutApp(a)
	if v := s.SignIn(t, address, oauthtest.Person{Name: oauthtest.Robot}); !strings.Contains(v.Page, "admin_policy_enforced") {
		t.Errorf("got %+v", v)
	}
	u := s.User("x@other.example")
	if got := claims(t, googleIdentity(t)); got["email"] != oauthtest.Robot || got["iss"] != "https://accounts.google.com" || got["hd"] != oauthtest.Workspace || u.Tenant == "" {
		t.Errorf("got %v", got)
	}
}

func googleIdentity(t *testing.T) string {
	t.Helper()
	s, _ := open(t, oauthtest.Options{})
	return googleTokens(t, s).ID
}

func TestAServiceAccountSignsForAMailbox(t *testing.T) {
	s, c := open(t, oauthtest.Options{})
	var file struct {
		Email string `json:"client_email"`
		KeyID string `json:"private_key_id"`
		Key   string `json:"private_key"`
	}
	if err := json.Unmarshal(s.Delegate(t), &file); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(file.Key))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := parsed.(*rsa.PrivateKey)
	for _, tt := range []struct {
		name   string
		kid    string
		change []any
		code   string
	}{
		{"right", file.KeyID, nil, ""},
		{"another key", "another", nil, "invalid_grant"},
		{"unknown account", file.KeyID, []any{"iss", "nobody@example.org"}, "invalid_grant"},
		{"another audience", file.KeyID, []any{"aud", "https://example.org"}, "invalid_grant"},
		{"too long", file.KeyID, []any{"exp", c.Now().Add(2 * time.Hour).Unix()}, "invalid_grant"},
		{"too late", file.KeyID, []any{"exp", c.Now().Add(-time.Hour).Unix()}, "invalid_grant"},
		{"unknown mailbox", file.KeyID, []any{"sub", "nobody@workspace.example"}, "invalid_grant"},
		{"mailbox of another domain", file.KeyID, []any{"sub", oauthtest.Alerts}, "invalid_grant"},
		{"scope that was not delegated", file.KeyID, []any{"scope", "https://www.googleapis.com/auth/gmail.send"}, "unauthorized_client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := map[string]any{
				"iss": file.Email, "sub": oauthtest.Robot, "aud": s.GoogleTokenURL(), "scope": "https://mail.google.com/",
				"iat": c.Now().Unix(), "exp": c.Now().Add(5 * time.Minute).Unix(),
			}
			for i := 0; i+1 < len(tt.change); i += 2 {
				body[tt.change[i].(string)] = tt.change[i+1]
			}
			r := post(t, s, s.GoogleTokenURL(), url.Values{
				"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
				"assertion":  {assertion(t, key, map[string]any{"alg": "RS256", "kid": tt.kid}, body)},
			})
			if r.Error != tt.code || (r.Access == "") != (tt.code != "") {
				t.Errorf("got %+v", r)
			}
		})
	}
	if r := post(t, s, s.GoogleTokenURL(), url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {"x"}}); r.Error != "invalid_grant" {
		t.Errorf("got %+v", r)
	}
}
