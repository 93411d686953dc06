package oauthtest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

func TestTheSignInPageRefusesWhatMicrosoftRefuses(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	nowhere := "1c2d3e4f-0000-4000-8000-000000000000"
	type row struct {
		name    string
		tenant  string
		changes []string
		number  int
		shown   bool // on the page, and not sent back
		code    string
	}
	for _, tt := range []row{
		{"unknown tenant", nowhere, nil, 90002, true, ""},
		{"another tenant", oauthtest.Fabrikam, nil, 700016, true, ""},
		{"single tenant and common", "common", nil, 50194, true, ""},
		{"unknown client", oauthtest.Contoso, []string{"client_id", nowhere}, 700016, true, ""},
		{"no client", oauthtest.Contoso, []string{"client_id", "-"}, 900144, true, ""},
		{"other redirect", oauthtest.Contoso, []string{"redirect_uri", callback + "/"}, 50011, true, ""},
		{"redirect with another scheme", oauthtest.Contoso, []string{"redirect_uri", strings.Replace(callback, "https", "http", 1)}, 50011, true, ""},
		{"no redirect", oauthtest.Contoso, []string{"redirect_uri", "-"}, 900971, true, ""},
		{"no scope", oauthtest.Contoso, []string{"scope", "-"}, 900144, false, "invalid_request"},
		{"nonsense for a scope", oauthtest.Contoso, []string{"scope", "mail"}, 70011, false, "invalid_scope"},
		{"unknown service", oauthtest.Contoso, []string{"scope", "https://mail.example.org/SMTP.Send"}, 500011, false, "invalid_resource"},
		{"service of another cloud", oauthtest.Contoso, []string{"scope", "https://outlook.office365.us/SMTP.Send"}, 500011, false, "invalid_resource"},
		{"unknown permission", oauthtest.Contoso, []string{"scope", "https://outlook.office.com/Smtp.Sends"}, 650053, false, "invalid_client"},
		{"no PKCE", oauthtest.Contoso, []string{"code_challenge", "-"}, 9002325, false, "invalid_request"},
		{"plain PKCE", oauthtest.Contoso, []string{"code_challenge_method", "plain"}, 9002325, false, "invalid_request"},
		{"short challenge", oauthtest.Contoso, []string{"code_challenge", "abc"}, 50147, false, "invalid_request"},
		{"token right away", oauthtest.Contoso, []string{"response_type", "token"}, 70005, false, "unsupported_response_type"},
		{"form_post", oauthtest.Contoso, []string{"response_mode", "form_post"}, 90023, false, "invalid_request"},
		{"unknown prompt", oauthtest.Contoso, []string{"prompt", "please"}, 90023, false, "invalid_request"},
		{"silently, with nobody signed in", oauthtest.Contoso, []string{"prompt", "none"}, 50058, false, "login_required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := s.SignIn(t, s.AuthorizeURL(tt.tenant)+"?"+asking(tt.changes...).Encode(), oauthtest.Person{Name: oauthtest.Alerts})
			if tt.shown {
				if v.Back != nil || numberIn(v.Page) != tt.number {
					t.Errorf("got %+v, want a page with %d", v, tt.number)
				}
				return
			}
			if v.Back == nil {
				t.Fatalf("got a page: %s", v.Page)
			}
			q := v.Back.Query()
			if got := numberIn(q.Get("error_description")); got != tt.number || q.Get("error") != tt.code || q.Get("state") != "the-state" || q.Has("code") {
				t.Errorf("got %v, want %d %s", q, tt.number, tt.code)
			}
		})
	}
	t.Run("no redirect registered", func(t *testing.T) {
		a := s.App(oauthtest.ClientID)
		a.Redirects = nil
		s.PutApp(a)
		v := s.SignIn(t, s.AuthorizeURL(oauthtest.Contoso)+"?"+asking().Encode(), oauthtest.Person{Name: oauthtest.Alerts})
		if numberIn(v.Page) != 500113 {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("disabled", func(t *testing.T) {
		a := s.App(oauthtest.ClientID)
		a.Disabled = true
		s.PutApp(a)
		v := s.SignIn(t, s.AuthorizeURL(oauthtest.Contoso)+"?"+asking().Encode(), oauthtest.Person{Name: oauthtest.Alerts})
		if numberIn(v.Page) != 7000112 {
			t.Errorf("got %+v", v)
		}
	})
}

func TestPeopleAreTurnedAway(t *testing.T) {
	block := func(n int) func(*oauthtest.Stand) {
		return func(s *oauthtest.Stand) {
			u := s.User(oauthtest.Alerts)
			u.Block = n
			s.PutUser(u)
		}
	}
	for _, tt := range []struct {
		name   string
		person oauthtest.Person
		before func(*oauthtest.Stand)
		number int
		code   string
	}{
		{"unknown", oauthtest.Person{Name: "nobody@contoso.example"}, nil, 50034, ""},
		{"wrong password", oauthtest.Person{Name: oauthtest.Alerts, Password: "wrong"}, nil, 50126, ""},
		{"of another tenant", oauthtest.Person{Name: oauthtest.Visitor}, nil, 50020, ""},
		{"with a personal account", oauthtest.Person{Name: oauthtest.Personal}, nil, 50020, ""},
		{"a shared mailbox", oauthtest.Person{Name: oauthtest.Shared}, nil, 50057, ""},
		{"disabled", oauthtest.Person{Name: oauthtest.Alerts}, block(50057), 50057, ""},
		{"blocked by a policy", oauthtest.Person{Name: oauthtest.Alerts}, block(53003), 53003, ""},
		{"not assigned", oauthtest.Person{Name: oauthtest.Alerts}, func(s *oauthtest.Stand) {
			a := s.App(oauthtest.ClientID)
			a.Assigned = []string{oauthtest.Grace}
			s.PutApp(a)
		}, 50105, ""},
		{"where an administrator agrees", oauthtest.Person{Name: oauthtest.Alerts}, func(s *oauthtest.Stand) {
			c := s.Tenant(oauthtest.Contoso)
			c.AdminConsent = true
			s.PutTenant(c)
		}, 90094, ""},
		{"who declines", oauthtest.Person{Name: oauthtest.Alerts, Declines: true}, nil, 65004, "access_denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := open(t, oauthtest.Options{})
			if tt.before != nil {
				tt.before(s)
			}
			v := s.SignIn(t, s.AuthorizeURL(oauthtest.Contoso)+"?"+asking().Encode(), tt.person)
			if tt.code == "" {
				if v.Back != nil || numberIn(v.Page) != tt.number {
					t.Errorf("got %+v, want a page with %d", v, tt.number)
				}
				return
			}
			q := v.Back.Query()
			if q.Get("error") != tt.code || numberIn(q.Get("error_description")) != tt.number || q.Get("error_subcode") != "cancel" {
				t.Errorf("got %v", q)
			}
		})
	}
	t.Run("who is asked for a second factor has it", func(t *testing.T) {
		s, _ := open(t, oauthtest.Options{})
		block(50076)(s)
		tokens(t, s, oauthtest.Alerts)
	})
}

func TestABrowserStaysSignedInUnlessAsked(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	jar := browser{t: t, s: s}
	page := func(changes ...string) (*url.URL, string) {
		return jar.get(s.AuthorizeURL(oauthtest.Contoso) + "?" + asking(changes...).Encode())
	}
	address := s.AuthorizeURL(oauthtest.Contoso) + "?" + asking().Encode()
	_, text := jar.post(address, url.Values{"loginfmt": {oauthtest.Grace}, "passwd": {oauthtest.Password}})
	flow := regexp.MustCompile(`name="flow" value="([^"]+)"`).FindStringSubmatch(text)[1]
	if back, _ := jar.post(address, url.Values{"flow": {flow}, "accept": {"1"}}); !back.Query().Has("code") {
		t.Fatalf("got %s", back)
	}
	if _, text = jar.post(address, url.Values{"flow": {flow}, "accept": {"1"}}); numberIn(text) != 50089 {
		t.Error("a consent was taken twice")
	}
	if back, _ := page("prompt", "-", "login_hint", "-"); back == nil || !back.Query().Has("code") {
		t.Error("the browser did not go through")
	}
	if back, text := page(); back != nil || !strings.Contains(text, "Pick an account") || !strings.Contains(text, oauthtest.Grace) {
		t.Errorf("select_account did not let pick: %v %s", back, text)
	}
	if back, _ := jar.post(address, url.Values{"pick": {oauthtest.Grace}}); back == nil || !back.Query().Has("code") {
		t.Error("the account that was picked did not go through")
	}
	if back, text := jar.post(address, url.Values{"pick": {oauthtest.Alerts}}); back != nil || strings.Contains(text, "Permissions") {
		t.Error("an account that is not signed in was picked")
	}
	if back, text := page("prompt", "login"); back != nil || !strings.Contains(text, `id="passwd"`) {
		t.Error("prompt=login did not ask for the password")
	}
	if back, text := page("prompt", "consent", "login_hint", oauthtest.Grace); back != nil || !strings.Contains(text, `id="accept"`) {
		t.Error("prompt=consent did not ask")
	}
	if back, _ := page("prompt", "none", "login_hint", "-"); !back.Query().Has("code") {
		t.Error("prompt=none did not go through")
	}
	if back, _ := page("prompt", "none", "login_hint", "-", "scope", graphScopes); numberIn(back.Query().Get("error_description")) != 65001 {
		t.Error("prompt=none went through without a consent")
	}
	s.Revoke(oauthtest.Grace)
	if _, text := page("prompt", "-"); !strings.Contains(text, `id="loginfmt"`) {
		t.Error("the session survived the end of all sessions")
	}
}

// browser keeps the cookie of the authority.
type browser struct {
	t      *testing.T
	s      *oauthtest.Stand
	cookie string
}

func (b *browser) get(address string) (*url.URL, string) { return b.do(http.MethodGet, address, nil) }

func (b *browser) post(address string, f url.Values) (*url.URL, string) {
	return b.do(http.MethodPost, address, f)
}

func (b *browser) do(method, address string, form url.Values) (*url.URL, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", b.cookie)
	resp, err := b.s.HTTP().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		b.cookie = c.Name + "=" + c.Value
	}
	var text strings.Builder
	_ = resp.Write(&text)
	back, _ := resp.Location()
	return back, text.String()
}

func TestTheTokenEndpointRefusesWhatMicrosoftRefuses(t *testing.T) {
	s, c := open(t, oauthtest.Options{})
	s.AddSecret(oauthtest.ClientID, "an-old-secret", c.Now().Add(time.Hour))
	s.ExpireSecret(oauthtest.ClientID, "an-old-secret")
	contoso := s.TokenURL(oauthtest.Contoso)
	code := codeFor(t, s, oauthtest.Alerts)
	refresh := tokens(t, s, oauthtest.Alerts).Refresh
	other := s.App(oauthtest.ClientID)
	other.ID = "99999999-5b1c-4c7e-8f42-7e2f1f0c9d33"
	s.PutApp(other)
	public := oauthtest.App{ID: "88888888-5b1c-4c7e-8f42-7e2f1f0c9d33", Name: "Public", Tenant: oauthtest.Contoso, Public: true}
	s.PutApp(public)
	for _, tt := range []struct {
		name    string
		address string
		form    url.Values
		status  int
		code    string
		number  int
	}{
		{"unknown tenant", s.TokenURL("nowhere.example"), renewing(refresh), 400, "invalid_request", 90002},
		{"no grant", contoso, renewing(refresh, "grant_type", "-"), 400, "invalid_request", 900144},
		{"unknown grant", contoso, renewing(refresh, "grant_type", "password"), 400, "unsupported_grant_type", 70003},
		{"unknown client", contoso, renewing(refresh, "client_id", "11111111-0000-4000-8000-000000000000"), 400, "unauthorized_client", 700016},
		{"no secret", contoso, renewing(refresh, "client_secret", "-"), 401, "invalid_client", 7000218},
		{"wrong secret", contoso, renewing(refresh, "client_secret", "wrong"), 401, "invalid_client", 7000215},
		{"expired secret", contoso, renewing(refresh, "client_secret", "an-old-secret"), 401, "invalid_client", 7000222},
		{"a public client with a secret", contoso, renewing(refresh, "client_id", public.ID), 401, "invalid_client", 700025},
		{"a public client without the token of its own", contoso, renewing(refresh, "client_id", public.ID, "client_secret", "-"), 400, "invalid_grant", 70000},
		{"the token of another client", contoso, renewing(refresh, "client_id", other.ID), 400, "invalid_grant", 70000},
		{"a made-up token", contoso, renewing("1.AXoAnothing"), 400, "invalid_grant", 70000},
		{"no token", contoso, renewing("", "refresh_token", "-"), 400, "invalid_request", 900144},
		{"another service without consent", contoso, renewing(refresh, "scope", graphScopes), 400, "invalid_grant", 65001},
		{"two services", contoso, renewing(refresh, "scope", outlookScopes+" https://graph.microsoft.com/Mail.Send"), 400, "invalid_request", 700022},
		{"no service", contoso, renewing(refresh, "scope", "openid"), 400, "invalid_scope", 70011},
		{"no code", contoso, redeeming("", "code", "-"), 400, "invalid_request", 900144},
		{"a made-up code", contoso, redeeming("1.AXoAnothing"), 400, "invalid_grant", 70000},
		{"another redirect", contoso, redeeming(code, "redirect_uri", callback+"/"), 401, "invalid_client", 500112},
		{"no verifier", contoso, redeeming(code, "code_verifier", "-"), 400, "invalid_grant", 50148},
		{"another verifier", contoso, redeeming(code, "code_verifier", verifier+"x"), 400, "invalid_grant", 501481},
		{"another client's code", contoso, redeeming(code, "client_id", other.ID), 400, "invalid_grant", 70000},
		{"application with a whole permission", contoso, obtaining("scope", "https://outlook.office.com/SMTP.Send"), 400, "invalid_scope", 1002012},
		{"application for an unknown service", contoso, obtaining("scope", "https://mail.example.org/.default"), 400, "invalid_resource", 500011},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := post(t, s, tt.address, tt.form)
			if r.Status != tt.status || r.Error != tt.code || r.number() != tt.number || r.Access != "" {
				t.Errorf("got %d %s %d, want %d %s %d\n%s", r.Status, r.Error, r.number(), tt.status, tt.code, tt.number, r.Description)
			}
		})
	}
	t.Run("a code is good once", func(t *testing.T) {
		if r := post(t, s, contoso, redeeming(code)); r.Access == "" || r.Refresh == "" {
			t.Fatalf("got %+v", r)
		}
		if r := post(t, s, contoso, redeeming(code)); r.number() != 54005 || r.Error != "invalid_grant" {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("a code is good for ten minutes", func(t *testing.T) {
		code := codeFor(t, s, oauthtest.Alerts)
		c.Advance(10*time.Minute + time.Second)
		if r := post(t, s, contoso, redeeming(code)); r.number() != 70008 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("a code is good for its tenant", func(t *testing.T) {
		a := s.App(oauthtest.ClientID)
		a.MultiTenant = true
		s.PutApp(a)
		code := codeFor(t, s, oauthtest.Alerts)
		if r := post(t, s, s.TokenURL(oauthtest.Fabrikam), redeeming(code)); r.number() != 700005 {
			t.Errorf("got %+v", r)
		}
		if r := post(t, s, s.TokenURL("common"), obtaining()); r.number() != 9001023 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("GET", func(t *testing.T) {
		resp, err := s.HTTP().Get(contoso)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("got %d", resp.StatusCode)
		}
	})
	t.Run("a parameter twice", func(t *testing.T) {
		form := renewing(refresh)
		form.Add("scope", outlookScopes)
		if r := post(t, s, contoso, form); r.number() != 90023 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestAnErrorHasMicrosoftsForm(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	r := post(t, s, s.TokenURL(oauthtest.Contoso), obtaining("client_secret", "wrong"))
	want := regexp.MustCompile(`^AADSTS7000215: Invalid client secret provided\. .* for a secret added to app '` + oauthtest.ClientID +
		`'\. Trace ID: [0-9a-f-]{36} Correlation ID: [0-9a-f-]{36} Timestamp: 2026-11-24 09:00:00Z$`)
	if !want.MatchString(r.Description) {
		t.Errorf("error_description: %s", r.Description)
	}
	if !strings.Contains(r.Description, r.Trace) || !strings.Contains(r.Description, r.Correlation) || r.Timestamp != "2026-11-24 09:00:00Z" ||
		r.URI != "https://login.microsoftonline.com/error?code=7000215" || !slices.Equal(r.Codes, []int{7000215}) {
		t.Errorf("got %+v", r)
	}
}

// Every number that texts speak of can be provoked, and none has a hole.
func TestEveryErrorIsWhole(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	for _, n := range []int{
		90002, 90038, 900382, 900432, 700016, 700011, 70001, 7000112, 50194, 9001023, 7000215, 7000222, 70002, 7000218, 700025,
		700027, 700030, 50012, 50011, 500113, 900971, 700005, 54005, 70008, 501481, 50147, 65001, 65004, 90094, 90095, 65005,
		650056, 650057, 650052, 50001, 500011, 70011, 28002, 28003, 700022, 700023, 50020, 50034, 51004, 90072, 16000, 500208,
		50105, 50057, 50053, 50055, 50144, 50126, 50072, 50074, 50076, 50079, 50158, 50078, 70043, 53000, 53001, 53002, 53003,
		53004, 53011, 50131, 530032, 50005, 50097, 530035, 50173, 700082, 700084, 70000, 50132, 50133, 50089, 50196, 90033,
		90006, 90012, 90024, 50033, 50087, 90090, 50000,
	} {
		s.FailNext(oauthtest.Failure{Number: n})
		r := post(t, s, s.TokenURL(oauthtest.Contoso), obtaining())
		if r.number() != n || r.Error == "" || r.Status < 400 || strings.ContainsAny(r.Description, "{}") {
			t.Errorf("%d: %+v", n, r)
		}
	}
}

func TestTokensSayWhoseTheyAre(t *testing.T) {
	s, _ := open(t, oauthtest.Options{TokenLife: 90 * time.Second, TokenSize: 20_000})
	r := tokens(t, s, oauthtest.Alerts)
	id := claims(t, r.ID)
	want := map[string]any{
		"aud": oauthtest.ClientID, "tid": oauthtest.Contoso, "nonce": "the-nonce", "preferred_username": oauthtest.Alerts,
		"email": oauthtest.Alerts, "ver": "2.0", "iss": s.URL() + "/" + oauthtest.Contoso + "/v2.0",
	}
	for k, v := range want {
		if id[k] != v {
			t.Errorf("%s: got %v, want %v", k, id[k], v)
		}
	}
	if r.Expires != 90 || r.Type != "Bearer" || r.Scope != "https://outlook.office.com/SMTP.Send" || len(r.Access) < 20_000 {
		t.Errorf("got %d %s %s, %d bytes", r.Expires, r.Type, r.Scope, len(r.Access))
	}
	if a := claims(t, r.Access); a["aud"] != "https://outlook.office.com" || a["scp"] != "SMTP.Send" || a["upn"] != oauthtest.Alerts {
		t.Errorf("got %v", a)
	}
	bare := tokens(t, s, oauthtest.Alerts, "scope", "https://outlook.office.com/SMTP.Send openid", "nonce", "-")
	if id := claims(t, bare.ID); id["preferred_username"] != nil || id["email"] != nil || id["nonce"] != nil || bare.Refresh != "" {
		t.Errorf("more was said than was asked for: %v, refresh %q", id, bare.Refresh)
	}
	app := post(t, s, s.TokenURL("contoso.onmicrosoft.com"), obtaining())
	if app.Refresh != "" || app.ID != "" || claims(t, app.Access)["upn"] != nil {
		t.Errorf("an application got a person's tokens: %+v", app)
	}
}

func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestARefreshTokenLivesAsAtMicrosoft(t *testing.T) {
	const day = 24 * time.Hour
	t.Run("rotated, and the one before stays good", func(t *testing.T) {
		s, c := open(t, oauthtest.Options{})
		first := tokens(t, s, oauthtest.Alerts).Refresh
		second := post(t, s, s.TokenURL(oauthtest.Contoso), renewing(first)).Refresh
		if second == "" || second == first {
			t.Fatal("not rotated")
		}
		if r := post(t, s, s.TokenURL(oauthtest.Contoso), renewing(first, "scope", "-")); r.Access == "" {
			t.Errorf("the one before died: %+v", r)
		}
		c.Advance(80 * day)
		third := post(t, s, s.TokenURL(oauthtest.Contoso), renewing(second)).Refresh
		c.Advance(80 * day)
		if r := post(t, s, s.TokenURL(oauthtest.Contoso), renewing(second)); r.number() != 700082 {
			t.Errorf("unused for 160 days: %+v", r)
		}
		if r := post(t, s, s.TokenURL(oauthtest.Contoso), renewing(third)); r.Access == "" {
			t.Errorf("used in time: %+v", r)
		}
	})
	t.Run("strictly", func(t *testing.T) {
		s, _ := open(t, oauthtest.Options{StrictRotation: true})
		first := tokens(t, s, oauthtest.Alerts).Refresh
		post(t, s, s.TokenURL(oauthtest.Contoso), renewing(first))
		if r := post(t, s, s.TokenURL(oauthtest.Contoso), renewing(first)); r.number() != 70000 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("of a single-page application", func(t *testing.T) {
		s, c := open(t, oauthtest.Options{})
		a := s.App(oauthtest.ClientID)
		a.Redirects, a.SPA = nil, []string{callback}
		s.PutApp(a)
		token := tokens(t, s, oauthtest.Alerts).Refresh
		c.Advance(23 * time.Hour)
		token = post(t, s, s.TokenURL(oauthtest.Contoso), renewing(token)).Refresh
		c.Advance(time.Hour)
		if r := post(t, s, s.TokenURL(oauthtest.Contoso), renewing(token)); r.number() != 700084 {
			t.Errorf("got %+v", r)
		}
	})
	for _, tt := range []struct {
		name   string
		after  func(*oauthtest.Stand)
		number int
	}{
		{"revoked", func(s *oauthtest.Stand) { s.Revoke(oauthtest.Alerts) }, 50173},
		{"consent taken back", func(s *oauthtest.Stand) { s.RevokeConsent(oauthtest.Alerts) }, 65001},
		{"user gone wrong", func(s *oauthtest.Stand) {
			u := s.User(oauthtest.Alerts)
			u.Block = 50076
			s.PutUser(u)
		}, 50076},
		{"sign-in frequency", func(s *oauthtest.Stand) {
			u := s.User(oauthtest.Alerts)
			u.Block = 70043
			s.PutUser(u)
		}, 70043},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := open(t, oauthtest.Options{})
			token := tokens(t, s, oauthtest.Alerts).Refresh
			tt.after(s)
			if r := post(t, s, s.TokenURL(oauthtest.Contoso), renewing(token)); r.number() != tt.number || r.Error != "invalid_grant" {
				t.Errorf("got %+v", r)
			}
			again := tokens(t, s, oauthtest.Alerts).Refresh
			if r := post(t, s, s.TokenURL(oauthtest.Contoso), renewing(again)); r.Access == "" {
				t.Errorf("signing in again did not help: %+v", r)
			}
		})
	}
}

func TestAuthoritiesOfOtherCloudsSendAway(t *testing.T) {
	s, _ := open(t, oauthtest.Options{})
	get := func(host, tenant string) reply {
		return post(t, s, "https://"+host+"/"+tenant+"/oauth2/v2.0/token", obtaining())
	}
	if r := get("login.microsoftonline.us", oauthtest.Contoso); r.number() != 90038 {
		t.Errorf("got %+v", r)
	}
	if r := get("login.microsoftonline.com", oauthtest.Contoso); r.Access == "" {
		t.Errorf("got %+v", r)
	}
}

// assertion signs claims for the token endpoint as a client does.
func assertion(t *testing.T, key *rsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(header) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	var opts crypto.SignerOpts = crypto.SHA256
	if header["alg"] == "PS256" {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	signature, err := key.Sign(rand.Reader, sum[:], opts)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestACertificateProvesTheClient(t *testing.T) {
	s, c := open(t, oauthtest.Options{})
	lab := smtptest.NewLab(t, c.Now())
	cert := lab.Make(smtptest.Order{Name: "client", Key: smtptest.RSA2048})
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := s.App(oauthtest.ClientID)
	a.Secrets, a.Certificates = nil, []*x509.Certificate{cert.Certificate}
	s.PutApp(a)
	sum := sha256.Sum256(cert.Raw)
	key := cert.Key.(*rsa.PrivateKey)
	for _, tt := range []struct {
		name   string
		key    *rsa.PrivateKey
		header []any
		claims []any
		number int
	}{
		{"right", key, nil, nil, 0},
		{"RS256", key, []any{"alg", "RS256"}, nil, 0},
		{"another algorithm", key, []any{"alg", "none"}, nil, 50012},
		{"another certificate", key, []any{"x5t#S256", "AAAA"}, nil, 700027},
		{"another key", stranger, nil, nil, 50012},
		{"another issuer", key, nil, []any{"iss", "somebody"}, 700021},
		{"no id", key, nil, []any{"jti", ""}, 700021},
		{"another audience", key, nil, []any{"aud", "https://example.org"}, 700023},
		{"too late", key, nil, []any{"exp", c.Now().Add(-6 * time.Minute).Unix()}, 700024},
		{"too early", key, nil, []any{"nbf", c.Now().Add(6 * time.Minute).Unix()}, 700024},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := map[string]any{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
			body := map[string]any{
				"iss": oauthtest.ClientID, "sub": oauthtest.ClientID, "aud": s.TokenURL(oauthtest.Contoso), "jti": "1",
				"iat": c.Now().Unix(), "nbf": c.Now().Unix(), "exp": c.Now().Add(5 * time.Minute).Unix(),
			}
			for i := 0; i+1 < len(tt.header); i += 2 {
				header[tt.header[i].(string)] = tt.header[i+1]
			}
			for i := 0; i+1 < len(tt.claims); i += 2 {
				body[tt.claims[i].(string)] = tt.claims[i+1]
			}
			r := post(t, s, s.TokenURL(oauthtest.Contoso), obtaining("client_secret", "-",
				"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
				"client_assertion", assertion(t, tt.key, header, body)))
			if r.number() != tt.number || (r.Access == "") != (tt.number != 0) {
				t.Errorf("got %+v, want %d", r, tt.number)
			}
		})
	}
	t.Run("no token at all", func(t *testing.T) {
		r := post(t, s, s.TokenURL(oauthtest.Contoso), obtaining("client_secret", "-", "client_assertion", "x.y"))
		if r.number() != 9002313 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("ended", func(t *testing.T) {
		c.Advance(91 * 24 * time.Hour)
		header := map[string]any{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
		r := post(t, s, s.TokenURL(oauthtest.Contoso), obtaining("client_secret", "-",
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			"client_assertion", assertion(t, key, header, map[string]any{"iss": oauthtest.ClientID})))
		if r.number() != 700027 {
			t.Errorf("got %+v", r)
		}
	})
}
