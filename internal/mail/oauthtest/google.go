package oauthtest

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	googleMail   = "https://mail.google.com/"
	googleIssuer = "https://accounts.google.com"
	jwtBearer    = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// googleError is a refusal in Google's words.
func googleError(status int, code, text string) *sts {
	return &sts{status: status, code: code, text: text, page: true}
}

// googleAsking reads a request to sign somebody in. Google shows every error of
// it itself.
func (s *Stand) googleAsking(r *http.Request) (asking, *sts) {
	v := r.URL.Query()
	app, ok := s.apps[v.Get("client_id")]
	q := newAsking(v)
	q.google, q.app, q.offline = true, app, v.Get("access_type") == "offline"
	switch {
	case !ok || !s.tenants[app.Tenant].Google:
		return q, googleError(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	case app.Disabled:
		return q, googleError(http.StatusBadRequest, "admin_policy_enforced", "Access to your account data is restricted by policies within your organization.")
	case !slices.Contains(app.Redirects, q.redirect):
		return q, googleError(http.StatusBadRequest, "redirect_uri_mismatch",
			"You can't sign in to this app because it doesn't comply with Google's OAuth 2.0 policy. Register the redirect URI in the Google Cloud Console: redirect_uri="+q.redirect)
	case v.Get("response_type") != "code":
		return q, googleError(http.StatusBadRequest, "invalid_request", "Required parameter is missing: response_type")
	case q.challenge == "" || v.Get("code_challenge_method") != "S256":
		return q, googleError(http.StatusBadRequest, "invalid_request", "Parameter not allowed for this message type: code_challenge_method")
	}
	var e *sts
	q.scopes, e = googleScopes(v.Get("scope"))
	return q, e
}

func googleScopes(text string) (scopes, *sts) {
	var g scopes
	for _, v := range strings.Fields(text) {
		switch v {
		case "openid", "email", "profile":
			g.about = append(g.about, v)
		case googleMail, "https://www.googleapis.com/auth/gmail.send":
			g.permissions = append(g.permissions, v)
		default:
			return g, googleError(http.StatusBadRequest, "invalid_scope", "Some requested scopes were invalid. {valid=[], invalid=["+v+"]}")
		}
	}
	if text == "" {
		return g, googleError(http.StatusBadRequest, "invalid_request", "Missing required parameter: scope")
	}
	return g, nil
}

// googleAdmitted says why a user may not use the app, or nil.
func (s *Stand) googleAdmitted(_ *http.Request, q asking, u User) *sts {
	if !q.app.MultiTenant && u.Tenant != q.app.Tenant {
		return googleError(http.StatusForbidden, "org_internal", "This client is restricted to users within its organization.")
	}
	return nil
}

// googleGive gives tokens of Google's.
func (s *Stand) googleGive(r *http.Request) (given, *sts) {
	if r.Method != http.MethodPost {
		return given{}, googleError(http.StatusMethodNotAllowed, "invalid_request", "Only POST is supported.")
	}
	grant := r.PostFormValue("grant_type")
	if grant == jwtBearer {
		return s.delegate(r)
	}
	app, ok := s.apps[r.PostFormValue("client_id")]
	if !ok || !s.tenants[app.Tenant].Google {
		return given{}, googleError(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	}
	if e := s.checkSecret(r, app, r.PostFormValue("client_secret")); e != nil {
		return given{}, googleError(http.StatusUnauthorized, "invalid_client", "The provided client secret is invalid.")
	}
	switch grant {
	case "authorization_code":
		return s.googleRedeem(r, app)
	case "refresh_token":
		return s.googleRenew(r, app)
	}
	return given{}, googleError(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+grant)
}

func (s *Stand) googleRedeem(r *http.Request, app App) (given, *sts) {
	bad := func(text string) (given, *sts) {
		return given{}, googleError(http.StatusBadRequest, "invalid_grant", text)
	}
	c, ok := s.grants.codes[r.PostFormValue("code")]
	switch {
	case !ok || c.app != app.ID:
		return bad("Malformed auth code.")
	case c.used || s.now().Sub(c.at) > codeLife:
		return bad("Bad Request")
	case r.PostFormValue("redirect_uri") != c.redirect:
		return given{}, googleError(http.StatusBadRequest, "redirect_uri_mismatch", "Bad Request")
	case r.PostFormValue("code_verifier") == "":
		return bad("Missing code verifier.")
	case !c.proves(r.PostFormValue("code_verifier")):
		return bad("Invalid code verifier.")
	}
	c.used = true
	g := s.googleBearer(access{app: app.ID, user: c.user, permissions: c.scopes.permissions})
	g.Scope = strings.Join(append(slices.Clone(c.scopes.permissions), "openid", "https://www.googleapis.com/auth/userinfo.email"), " ")
	if c.offline {
		g.Refresh = s.keep(refresh{app: app.ID, user: c.user, tenant: c.tenant, scopes: c.scopes})
	}
	if c.scopes.has("openid") {
		g.ID = s.identify(c, map[string]any{"iss": googleIssuer, "azp": c.app, "hd": c.tenant})
	}
	return g, nil
}

// googleRenew gives a new access token. The refresh token stays the same.
func (s *Stand) googleRenew(r *http.Request, app App) (given, *sts) {
	t, ok := s.grants.refresh[r.PostFormValue("refresh_token")]
	switch {
	case !ok || t.app != app.ID:
		return given{}, googleError(http.StatusBadRequest, "invalid_grant", "Bad Request")
	case t.number != 0 || s.now().Sub(t.used) >= googleIdle:
		return given{}, googleError(http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	}
	t.used = s.now()
	g := s.googleBearer(access{app: app.ID, user: t.user, permissions: t.scopes.permissions})
	g.Scope = strings.Join(t.scopes.permissions, " ")
	return g, nil
}

func (s *Stand) googleBearer(a access) given {
	a.kind, a.expires = "google", s.now().Add(s.life())
	token := "ya29.a0" + chance(max(160, s.opts.TokenSize*3/4))
	s.grants.access[token] = &a
	return given{Type: "Bearer", Expires: int(s.life() / time.Second), Access: token}
}

// delegate gives a token to a service account in the name of a mailbox.
func (s *Stand) delegate(r *http.Request) (given, *sts) {
	bad := func(text string) (given, *sts) {
		return given{}, googleError(http.StatusBadRequest, "invalid_grant", text)
	}
	a, ok := readAssertion(r.PostFormValue("assertion"))
	if !ok {
		return bad("Invalid JWT: the assertion cannot be read.")
	}
	account, ok := s.accounts[a.Claims.Issuer]
	u, found := s.users[strings.ToLower(a.Claims.Subject)]
	switch {
	case !ok:
		return bad("Invalid grant: account not found")
	case a.Header.Algorithm != "RS256" || a.Header.KeyID != account.keyID || !a.signedBy(&account.key.PublicKey):
		return bad("Invalid JWT Signature.")
	case a.Claims.Audience != "https://"+r.Host+r.URL.Path:
		return bad("Invalid JWT: Failed audience check. The right audience is https://" + r.Host + r.URL.Path)
	case !a.current(s.now()) || a.Claims.Expires-a.Claims.IssuedAt > 3600:
		return bad("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
	case !found || u.Tenant != account.domain:
		return bad("Invalid email or User ID")
	}
	for _, v := range strings.Fields(a.Claims.Scope) {
		if !slices.Contains(account.scopes, v) {
			return given{}, googleError(http.StatusUnauthorized, "unauthorized_client",
				"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.")
		}
	}
	return s.googleBearer(access{app: account.email, user: u.Name, permissions: strings.Fields(a.Claims.Scope)}), nil
}

// Delegate makes a service account to which Workspace delegated the scopes, and
// returns its key file. Without scopes it gets that of mail.
func (s *Stand) Delegate(t testing.TB, scopes ...string) []byte {
	t.Helper()
	if len(scopes) == 0 {
		scopes = []string{googleMail}
	}
	a := account{email: "stand-in@project.iam.gserviceaccount.com", keyID: "f00dcafe", key: s.key, domain: Workspace, scopes: scopes}
	s.mu.Lock()
	s.accounts[a.email] = a
	s.mu.Unlock()
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatalf("oauthtest: %v", err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "project", "private_key_id": a.keyID,
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": a.email, "client_id": "103456789012345678901",
		"auth_uri": googleIssuer + "/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token",
		"universe_domain": "googleapis.com",
	})
	if err != nil {
		t.Fatalf("oauthtest: %v", err)
	}
	return file
}
