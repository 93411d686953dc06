package web_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/store/storetest"
)

const (
	tenantID     = "11111111-2222-3333-4444-555555555555"
	otherTenant  = "99999999-2222-3333-4444-555555555555"
	clientID     = "aaaaaaaa-2222-3333-4444-555555555555"
	clientSecret = "walnut~Secret.Of-the-client_8"
	sender       = "vault@example.org"
)

// authority gives out tokens as Microsoft does, as far as pages see it. Whoever
// opens its sign-in page is signed in.
type authority struct {
	*httptest.Server
	clock *storetest.Clock

	mu sync.Mutex
	// who signs in, of which directory.
	who, tenant string
	// refusal, if not empty, is the body of every answer to a request for a
	// token; denial the error that a person comes back with.
	refusal, denial string
	codes           map[string]url.Values
	given           int
}

func startAuthority(t *testing.T, clock *storetest.Clock) *authority {
	a := &authority{clock: clock, who: sender, tenant: tenantID, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/authorize", a.authorize)
	mux.HandleFunc("POST /{tenant}/token", a.token)
	a.Server = httptest.NewTLSServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *authority) host() string { return strings.TrimPrefix(a.URL, "https://") }

func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
	return pool
}

func (a *authority) set(f func(*authority)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

// signIn is what a person does at the address: it returns the query with which
// the browser comes back.
func (a *authority) signIn(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return a.admit(u.Query())
}

func (a *authority) admit(q url.Values) url.Values {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.denial != "" {
		return url.Values{"error": {a.denial}, "error_description": {"AADSTS65004: User declined to consent. Trace ID: 0f1e2d3c-0000-0000-0000-000000000001"}, "state": {q.Get("state")}}
	}
	code := fmt.Sprintf("code-%d", len(a.codes))
	a.codes[code] = q
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}

func (a *authority) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+a.admit(q).Encode(), http.StatusSeeOther)
}

func (a *authority) token(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		http.Error(w, "no form", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	refuse := func(body string) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(body))
	}
	switch {
	case a.refusal != "":
		refuse(a.refusal)
		return
	case r.PostForm.Get("client_secret") != clientSecret && !r.PostForm.Has("client_assertion"):
		refuse(`{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. <b>Click</b>. Trace ID: 0f1e2d3c-0000-0000-0000-000000000001 Correlation ID: 0f1e2d3c-0000-0000-0000-000000000002","error_codes":[7000215]}`)
		return
	}
	a.given++
	answer := map[string]any{"token_type": "Bearer", "access_token": fmt.Sprintf("access-token-%d", a.given), "expires_in": 3600}
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		q, ok := a.codes[r.PostForm.Get("code")]
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") || r.PostForm.Get("redirect_uri") != q.Get("redirect_uri") {
			refuse(`{"error":"invalid_grant","error_description":"AADSTS54005: OAuth2 Authorization code was already redeemed.","error_codes":[54005]}`)
			return
		}
		delete(a.codes, r.PostForm.Get("code"))
		answer["id_token"] = a.identity(q.Get("nonce"))
		answer["refresh_token"] = fmt.Sprintf("refresh-token-%d", a.given)
	case "refresh_token":
		answer["refresh_token"] = fmt.Sprintf("refresh-token-%d", a.given)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (a *authority) identity(nonce string) string {
	claims, _ := json.Marshal(map[string]any{
		"iss": a.URL + "/" + a.tenant + "/v2.0", "aud": clientID, "nonce": nonce, "tid": a.tenant, "preferred_username": a.who, "sub": "subject",
		"iat": a.clock.Now().Unix(), "exp": a.clock.Now().Add(time.Hour).Unix(),
	})
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part(claims) + "." + part([]byte("signature"))
}
