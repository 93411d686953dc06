package oauth_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/secret"
)

func pending() oauth.Pending {
	return oauth.Pending{
		State: secret.New("the-state"), Nonce: secret.New("the-nonce"),
		// RFC 7636 appendix B.
		Verifier: secret.New("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
	}
}

func same(t *testing.T, got, want url.Values) {
	t.Helper()
	for name := range want {
		if got.Get(name) != want.Get(name) || len(got[name]) != 1 {
			t.Errorf("%s: got %q, want %q", name, got[name], want.Get(name))
		}
	}
	for name := range got {
		if !want.Has(name) {
			t.Errorf("%s is there, as %q", name, got[name])
		}
	}
}

func TestAPersonIsSentToSignIn(t *testing.T) {
	a := serve(t, say(200, ""))
	c := oauth.NewClient(a.config(t))
	const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	for _, tt := range []struct {
		name string
		s    oauth.Settings
		path string
		want url.Values
	}{
		{"Microsoft", a.microsoft(oauth.Consent), "/" + tenant + "/oauth2/v2.0/authorize", url.Values{
			"response_type": {"code"}, "response_mode": {"query"}, "client_id": {client}, "redirect_uri": {back},
			"scope": {"https://outlook.office.com/SMTP.Send offline_access openid profile email"}, "state": {"the-state"}, "nonce": {"the-nonce"},
			"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "login_hint": {"alerts@contoso.com"}, "prompt": {"select_account"},
		}},
		{"Google", a.google(oauth.Consent), "/auth", url.Values{
			"response_type": {"code"}, "client_id": {"7.apps.googleusercontent.com"}, "redirect_uri": {back},
			"scope": {"https://mail.google.com/ openid email"}, "state": {"the-state"}, "nonce": {"the-nonce"},
			"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "login_hint": {"alerts@example.org"},
			"access_type": {"offline"}, "prompt": {"consent"},
		}},
		{"another, whose address has a query", func() oauth.Settings {
			s := a.generic(oauth.Consent)
			s.AuthorizeURL += "?realm=mail&state=old"
			return s
		}(), "/authorize", url.Values{
			"realm": {"mail"}, "response_type": {"code"}, "client_id": {"sealpost"}, "redirect_uri": {back}, "scope": {"smtp offline_access"}, "state": {"the-state"},
			"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "login_hint": {"alerts@example.org"},
		}},
	} {
		got, err := c.AuthorizeURL(tt.s, pending(), back)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		u, err := url.Parse(got)
		if err != nil || u.Host != a.host() || u.Path != tt.path {
			t.Errorf("%s: the person is sent to %s", tt.name, got)
		}
		t.Run(tt.name, func(t *testing.T) { same(t, u.Query(), tt.want) })
	}
}

func TestNobodyIsSentToSignInForNothing(t *testing.T) {
	a := serve(t, say(200, ""))
	c := oauth.NewClient(a.config(t))
	s := a.microsoft(oauth.Consent)
	stranger, hostile := s, s
	stranger.AuthorizeURL = "https://evil.example/authorize"
	hostile.Tenant = "evil.com/"
	for name, try := range map[string]func() (string, error){
		"another host":              func() (string, error) { return c.AuthorizeURL(stranger, pending(), back) },
		"a hostile tenant":          func() (string, error) { return c.AuthorizeURL(hostile, pending(), back) },
		"no person":                 func() (string, error) { return c.AuthorizeURL(a.microsoft(oauth.Application), pending(), back) },
		"no state":                  func() (string, error) { return c.AuthorizeURL(s, oauth.Pending{}, back) },
		"no redirect URI":           func() (string, error) { return c.AuthorizeURL(s, pending(), "") },
		"a redirect URI with #":     func() (string, error) { return c.AuthorizeURL(s, pending(), back+"#x") },
		"a redirect URI of scripts": func() (string, error) { return c.AuthorizeURL(s, pending(), "javascript:alert(1)") },
	} {
		if got, err := try(); err == nil || got != "" {
			t.Errorf("%s: got %q, %v", name, got, err)
		} else if e := refused(t, err); e.Stage != oauth.StageSettings {
			t.Errorf("%s: stage %s", name, e.Stage)
		}
	}
}

func TestNoTwoSignInsAreTheSame(t *testing.T) {
	c := oauth.NewClient(oauth.Config{})
	seen := map[string]bool{}
	for range 20 {
		k, err := c.NewConsent()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []secret.Value{k.State, k.Nonce, k.Verifier} {
			// 43 characters hold 256 bits, and are the least that RFC 7636 4.1
			// takes.
			if text := v.Reveal(); len(text) != 43 || seen[text] {
				t.Fatalf("%q is short or was there before", text)
			}
			seen[v.Reveal()] = true
		}
	}
	if _, err := oauth.NewClient(oauth.Config{Random: strings.NewReader("too little")}).NewConsent(); err == nil {
		t.Fatal("a sign-in without chance")
	}
}

func TestACodeBecomesTokens(t *testing.T) {
	a := serve(t, nil)
	a.answer = say(200, tokens(map[string]any{"id_token": idToken(a, "the-nonce", nil)}))
	c := oauth.NewClient(a.config(t))
	got, err := c.Exchange(t.Context(), a.microsoft(oauth.Consent), bySecret(), pending(), back, secret.New(authCode))
	if err != nil {
		t.Fatal(err)
	}
	same(t, a.form(t), url.Values{
		"grant_type": {"authorization_code"}, "code": {authCode}, "redirect_uri": {back}, "code_verifier": {pending().Verifier.Reveal()},
		"client_id": {client}, "client_secret": {clientSecret}, "scope": {"https://outlook.office.com/SMTP.Send offline_access openid profile email"},
	})
	if got.Access.Reveal() != "eyJ0eXAi.new-access_token~+/==" || got.Refresh.Reveal() != "0.new-refresh" || !got.Expires.Equal(now.Add(4711*time.Second)) {
		t.Errorf("got %q, %q, %s", got.Access.Reveal(), got.Refresh.Reveal(), got.Expires)
	}
	if want := (oauth.Identity{Name: "alerts@contoso.com", Email: "alerts@contoso.com", Tenant: tenant, Subject: "AAAAAsubject"}); got.Identity != want {
		t.Errorf("signed in is %+v, want %+v", got.Identity, want)
	}
	r := a.seen[0]
	if r.Method != "POST" || r.URL.Path != "/"+tenant+"/oauth2/v2.0/token" || r.URL.RawQuery != "" || r.UserAgent() != "Sealpost" ||
		r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		t.Errorf("the request is %s %s with %v", r.Method, r.URL, r.Header)
	}
}

func TestARefreshAsksForTheSameScopes(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    func(*authority) oauth.Settings
		cred oauth.Credential
		want url.Values
	}{
		{"Microsoft", func(a *authority) oauth.Settings { return a.microsoft(oauth.Consent).Complete(true) }, bySecret(), url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {oldRefresh}, "client_id": {client}, "client_secret": {clientSecret},
			"scope": {"https://graph.microsoft.com/Mail.Send offline_access openid profile email"},
		}},
		{"Google", func(a *authority) oauth.Settings { return a.google(oauth.Consent) }, bySecret(), url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {oldRefresh}, "client_id": {"7.apps.googleusercontent.com"}, "client_secret": {clientSecret},
		}},
		{"a public client", func(a *authority) oauth.Settings {
			s := a.generic(oauth.Consent)
			s.ClientAuth = oauth.ByNothing
			return s
		}, oauth.Credential{}, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {oldRefresh}, "client_id": {"sealpost"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := serve(t, say(200, tokens(map[string]any{"refresh_token": nil, "expires_in": "3599", "token_type": "bearer", "id_token": "garbage"})))
			got, err := oauth.NewClient(a.config(t)).Refresh(t.Context(), tt.s(a), tt.cred, secret.New(oldRefresh))
			if err != nil {
				t.Fatal(err)
			}
			same(t, a.form(t), tt.want)
			if !got.Refresh.IsZero() || !got.Expires.Equal(now.Add(3599*time.Second)) || got.Identity != (oauth.Identity{}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAnApplicationNeedsNobody(t *testing.T) {
	a := serve(t, say(200, tokens(nil)))
	got, err := oauth.NewClient(a.config(t)).Obtain(t.Context(), a.microsoft(oauth.Application), bySecret())
	if err != nil {
		t.Fatal(err)
	}
	same(t, a.form(t), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {clientSecret}, "scope": {"https://outlook.office365.com/.default"},
	})
	if !got.Refresh.IsZero() {
		t.Error("a refresh token was kept that nobody needs")
	}
}

// Whatever is wrong with the settings, nothing is sent.
func TestNothingIsAskedThatCannotBe(t *testing.T) {
	a := serve(t, say(200, tokens(nil)))
	c := oauth.NewClient(a.config(t))
	person, app := a.microsoft(oauth.Consent), a.microsoft(oauth.Application)
	change := func(s oauth.Settings, f func(*oauth.Settings)) oauth.Settings { f(&s); return s }
	refresh := func(s oauth.Settings, cred oauth.Credential) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.Refresh(ctx, s, cred, secret.New(oldRefresh))
			return err
		}
	}
	for name, ask := range map[string]func(context.Context) error{
		"a hostile tenant": refresh(change(person, func(s *oauth.Settings) { s.Tenant = "evil.com/" }), bySecret()),
		"another host":     refresh(change(person, func(s *oauth.Settings) { s.TokenURL = "https://evil.example/token" }), bySecret()),
		"in clear":         refresh(change(person, func(s *oauth.Settings) { s.TokenURL = "http://" + a.host() + "/token" }), bySecret()),
		"no secret":        refresh(person, oauth.Credential{}),
		"a broken secret":  refresh(person, oauth.Credential{Secret: secret.New(clientSecret + "\r\n")}),
		"no certificate":   refresh(change(person, func(s *oauth.Settings) { s.ClientAuth = oauth.ByCertificate }), bySecret()),
		"a refresh without a person": func(ctx context.Context) error {
			_, err := c.Refresh(ctx, app, bySecret(), secret.New(oldRefresh))
			return err
		},
		"no refresh token": func(ctx context.Context) error {
			_, err := c.Refresh(ctx, person, bySecret(), secret.Value{})
			return err
		},
		"a person for an application": func(ctx context.Context) error {
			_, err := c.Obtain(ctx, person, bySecret())
			return err
		},
		"no key of a service account": func(ctx context.Context) error {
			_, err := c.Obtain(ctx, a.google(oauth.ServiceAccount), bySecret())
			return err
		},
		"a code without a person": func(ctx context.Context) error {
			_, err := c.Exchange(ctx, app, bySecret(), pending(), back, secret.New(authCode))
			return err
		},
		"a reach elsewhere": func(ctx context.Context) error {
			_, err := c.Reach(ctx, change(person, func(s *oauth.Settings) { s.TokenURL = "https://evil.example/token" }))
			return err
		},
	} {
		if e := refused(t, ask(t.Context())); e.Stage != oauth.StageSettings || e.Err == nil {
			t.Errorf("%s: stage %s, %v", name, e.Stage, e)
		}
	}
	for name, code := range map[string]string{"no code": "", "a code with a line break": authCode + "\r\n", "an endless code": strings.Repeat("a", 20<<10)} {
		_, err := c.Exchange(t.Context(), person, bySecret(), pending(), back, secret.New(code))
		if e := refused(t, err); e.Stage != oauth.StageAuthorize {
			t.Errorf("%s: stage %s", name, e.Stage)
		}
	}
	if n := a.requests(); n != 0 {
		t.Errorf("the authority saw %d requests", n)
	}
}

func TestWhoSignedInIsReadOnlyFromTheRightToken(t *testing.T) {
	other := "99999999-2222-3333-4444-555555555555"
	a := serve(t, nil)
	c := oauth.NewClient(a.config(t))
	for _, tt := range []struct {
		name    string
		changes map[string]any
		want    string
	}{
		{"everything right", nil, ""},
		{"a list of clients", map[string]any{"aud": []string{"x", client}, "azp": client}, ""},
		{"another tenant's token says so itself", map[string]any{"tid": other, "iss": a.URL + "/" + other + "/v2.0"}, ""},
		{"a clock that is a minute behind", map[string]any{"exp": now.Add(-time.Minute).Unix()}, ""},
		{"another nonce", map[string]any{"nonce": "another"}, "nonce"},
		{"no nonce", map[string]any{"nonce": nil}, "nonce"},
		{"another client", map[string]any{"aud": "x"}, "another client"},
		{"no client", map[string]any{"aud": nil}, "another client"},
		{"a list of others", map[string]any{"aud": []string{"x", "y"}}, "another client"},
		{"another party", map[string]any{"aud": []string{"x", client}, "azp": "x"}, "another client"},
		{"expired", map[string]any{"exp": now.Add(-6 * time.Minute).Unix()}, "expired"},
		{"no end", map[string]any{"exp": nil}, "expired"},
		{"an end in words", map[string]any{"exp": "tomorrow"}, "cannot be read"},
		{"another issuer", map[string]any{"iss": "https://evil.example/" + tenant + "/v2.0"}, "issuer"},
		{"no issuer", map[string]any{"iss": nil}, "issuer"},
		{"an issuer in clear", map[string]any{"iss": strings.Replace(a.URL, "https", "http", 1) + "/" + tenant + "/v2.0"}, "issuer"},
		{"an issuer of another tenant", map[string]any{"iss": a.URL + "/" + other + "/v2.0"}, "issuer"},
		{"a tenant that is none", map[string]any{"tid": "contoso", "iss": a.URL + "/contoso/v2.0"}, "issuer"},
		{"no tenant", map[string]any{"tid": nil}, "issuer"},
		{"nobody", map[string]any{"sub": ""}, "whose it is"},
		{"a name that ends a field", map[string]any{"preferred_username": "a@contoso.com\x01auth=Bearer x"}, "characters"},
		{"an address with a line break", map[string]any{"email": "a@contoso.com\r\n"}, "characters"},
		{"an endless name", map[string]any{"preferred_username": strings.Repeat("a", 400)}, "characters"},
	} {
		a.answer = say(200, tokens(map[string]any{"id_token": idToken(a, "the-nonce", tt.changes)}))
		got, err := c.Exchange(t.Context(), a.microsoft(oauth.Consent), bySecret(), pending(), back, secret.New(authCode))
		if tt.want == "" {
			if err != nil || got.Identity.Name != "alerts@contoso.com" {
				t.Errorf("%s: %+v, %v", tt.name, got.Identity, err)
			}
			continue
		}
		if e := refused(t, err); e.Stage != oauth.StageToken || !strings.Contains(e.Text, tt.want) || !got.Access.IsZero() {
			t.Errorf("%s: got %q, want %q", tt.name, e.Text, tt.want)
		}
	}
	for name, token := range map[string]string{"no token": "", "two parts": "a.b", "no base64": "a.***.c", "no JSON": "a.YQ.c", "a list": "a.W10.c"} {
		a.answer = say(200, tokens(map[string]any{"id_token": token}))
		_, err := c.Exchange(t.Context(), a.microsoft(oauth.Consent), bySecret(), pending(), back, secret.New(authCode))
		if e := refused(t, err); !strings.Contains(e.Text, "cannot be read") {
			t.Errorf("%s: %q", name, e.Text)
		}
	}
}

func TestOtherAuthoritiesNamePeopleToo(t *testing.T) {
	a := serve(t, nil)
	c := oauth.NewClient(a.config(t))
	generic := a.generic(oauth.Consent)
	generic.Scopes = "smtp openid"
	for _, tt := range []struct {
		name    string
		s       oauth.Settings
		changes map[string]any
		want    oauth.Identity
	}{
		{
			"Google", a.google(oauth.Consent),
			map[string]any{"iss": "https://accounts.google.com", "preferred_username": nil, "aud": "7.apps.googleusercontent.com", "tid": nil},
			oauth.Identity{Name: "alerts@contoso.com", Email: "alerts@contoso.com", Subject: "AAAAAsubject"},
		},
		{
			"Google without https", a.google(oauth.Consent),
			map[string]any{"iss": "accounts.google.com", "preferred_username": nil, "aud": "7.apps.googleusercontent.com"},
			oauth.Identity{Name: "alerts@contoso.com", Email: "alerts@contoso.com", Subject: "AAAAAsubject"},
		},
		{
			"a name that is no mailbox", generic,
			map[string]any{"iss": a.URL + "/realms/mail", "preferred_username": "Alerts Robot", "aud": "sealpost"},
			oauth.Identity{Name: "alerts@contoso.com", Email: "alerts@contoso.com", Subject: "AAAAAsubject"},
		},
		{
			"no address", generic,
			map[string]any{"iss": a.URL, "preferred_username": "alerts", "email": nil, "aud": "sealpost"},
			oauth.Identity{Name: "alerts", Subject: "AAAAAsubject"},
		},
		{"Google's issuer elsewhere", generic, map[string]any{"iss": "accounts.google.com", "aud": "sealpost"}, oauth.Identity{}},
		{"no openid, no reading", a.generic(oauth.Consent), map[string]any{"nonce": "x"}, oauth.Identity{}},
	} {
		a.answer = say(200, tokens(map[string]any{"id_token": idToken(a, "the-nonce", tt.changes)}))
		got, err := c.Exchange(t.Context(), tt.s, bySecret(), pending(), back, secret.New(authCode))
		if got.Identity != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got.Identity, err, tt.want)
		}
	}
}
