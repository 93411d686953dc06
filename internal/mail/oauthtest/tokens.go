package oauthtest

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokens answers a request for tokens.
func (s *Stand) tokens(give func(*http.Request) (given, *sts)) func(*answer, *http.Request) {
	return func(a *answer, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		g, e := give(r)
		if e != nil {
			a.refuse(e)
			return
		}
		a.json(http.StatusOK, g)
	}
}

// given is the answer with tokens.
type given struct {
	Type     string `json:"token_type"`
	Scope    string `json:"scope,omitempty"`
	Expires  int    `json:"expires_in"`
	Extended int    `json:"ext_expires_in,omitempty"`
	Access   string `json:"access_token"`
	Refresh  string `json:"refresh_token,omitempty"`
	ID       string `json:"id_token,omitempty"`
}

// entraGive gives tokens of Microsoft's.
func (s *Stand) entraGive(r *http.Request) (given, *sts) {
	if r.Method != http.MethodPost {
		return given{}, s.sts(r, 900561, "method", r.Method)
	}
	_ = r.ParseForm() // what cannot be read is missing
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return given{}, s.sts(r, 90023, "detail", "parameter '"+name+"' is duplicated")
		}
	}
	tenant, e := s.directory(r)
	if e != nil {
		return given{}, e
	}
	grant := r.PostFormValue("grant_type")
	if grant == "" {
		return given{}, s.sts(r, 900144, "parameter", "grant_type")
	}
	app, e := s.client(r, tenant)
	if e != nil {
		return given{}, e
	}
	if e := s.authenticate(r, app); e != nil {
		return given{}, e
	}
	switch grant {
	case "authorization_code":
		return s.redeem(r, tenant, app)
	case "refresh_token":
		return s.renew(r, tenant, app)
	case "client_credentials":
		return s.obtain(r, tenant, app)
	}
	return given{}, s.sts(r, 70003, "grant", grant)
}

// authenticate looks at what proves the client.
func (s *Stand) authenticate(r *http.Request, app App) *sts {
	secret, signed := r.PostFormValue("client_secret"), r.PostFormValue("client_assertion")
	switch {
	case app.Public && (secret != "" || signed != ""):
		return s.sts(r, 700025)
	case app.Public:
		return nil
	case signed != "":
		return s.checkAssertion(r, app, signed)
	case secret == "":
		return s.sts(r, 7000218)
	}
	return s.checkSecret(r, app, secret)
}

func (s *Stand) checkSecret(r *http.Request, app App, secret string) *sts {
	for _, v := range app.Secrets {
		if subtle.ConstantTimeCompare([]byte(v.Value), []byte(secret)) != 1 {
			continue
		}
		if !v.Ends.IsZero() && !s.now().Before(v.Ends) {
			return s.sts(r, 7000222)
		}
		return nil
	}
	return s.sts(r, 7000215)
}

// checkAssertion looks at an assertion as Microsoft's page on certificate
// credentials has it.
func (s *Stand) checkAssertion(r *http.Request, app App, signed string) *sts {
	a, ok := readAssertion(signed)
	if !ok || r.PostFormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return s.sts(r, 9002313)
	}
	i := slices.IndexFunc(app.Certificates, a.names)
	switch {
	case i < 0:
		return s.sts(r, 700027, "reason", "The key was not found., Thumbprint of key used by client: '"+a.Header.SHA256+"'")
	case s.now().After(app.Certificates[i].NotAfter):
		return s.sts(r, 700027, "reason", "The key used is expired.")
	case !a.signedBy(app.Certificates[i].PublicKey):
		return s.sts(r, 50012)
	case a.Claims.Issuer != app.ID || a.Claims.Subject != app.ID || a.Claims.ID == "":
		return s.sts(r, 700021)
	case a.Claims.Audience != "https://"+r.Host+r.URL.Path && a.Claims.Audience != "https://"+r.Host+"/"+r.PathValue("tenant")+"/v2.0":
		return s.sts(r, 700023)
	case !a.current(s.now()):
		return s.sts(r, 700024, "now", s.now().UTC().Format(stamp), "ends", time.Unix(a.Claims.Expires, 0).UTC().Format(stamp))
	}
	return nil
}

// redeem turns a code into tokens. A code that was looked at rightly is used
// up, whatever comes of it.
func (s *Stand) redeem(r *http.Request, tenant Tenant, app App) (given, *sts) {
	value := r.PostFormValue("code")
	if value == "" {
		return given{}, s.sts(r, 900144, "parameter", "code")
	}
	c, ok := s.grants.codes[value]
	switch {
	case !ok || s.tenants[c.tenant].Google || c.app != app.ID:
		return given{}, s.sts(r, 70000)
	case c.used:
		return given{}, s.sts(r, 54005)
	case s.now().Sub(c.at) > codeLife:
		return given{}, s.sts(r, 70008)
	case tenant.ID != "" && tenant.ID != c.tenant:
		return given{}, s.sts(r, 700005)
	case r.PostFormValue("redirect_uri") != c.redirect:
		return given{}, s.sts(r, 500112, "wanted", c.redirect)
	case r.PostFormValue("code_verifier") == "":
		return given{}, s.sts(r, 50148)
	case !c.proves(r.PostFormValue("code_verifier")):
		return given{}, s.sts(r, 501481)
	}
	c.used = true
	g, e := s.answerFor(r, app, c.user, c.scopes)
	if e != nil {
		return given{}, e
	}
	if c.offline {
		g.Refresh = s.keep(refresh{app: app.ID, user: c.user, tenant: c.tenant, scopes: c.scopes, spa: c.spa})
	}
	if c.scopes.has("openid") {
		g.ID = s.identify(c, map[string]any{
			"ver": "2.0", "iss": "https://" + r.Host + "/" + c.tenant + "/v2.0", "tid": c.tenant,
			"oid": s.users[strings.ToLower(c.user)].id(), "nbf": s.now().Unix(), "uti": chance(16),
		})
	}
	return g, nil
}

// answerFor gives an access token for a person: for the scopes of the request,
// or those of the sign-in where it names none.
func (s *Stand) answerFor(r *http.Request, app App, user string, consented scopes) (given, *sts) {
	u := s.users[strings.ToLower(user)]
	asked := consented
	if text := r.PostFormValue("scope"); text != "" {
		var e *sts
		if asked, e = s.readScopes(r, s.tenants[u.Tenant], text); e != nil {
			return given{}, e
		}
	}
	resource, e := s.one(r, asked)
	if e != nil {
		return given{}, e
	}
	if !s.consented(user, app.ID, asked.permissions) {
		return given{}, s.sts(r, 65001, "name", app.Name)
	}
	p, _ := s.place(resource)
	token := s.mint(access{app: app.ID, tenant: u.Tenant, user: user, kind: p.kind, permissions: asked.of(resource)}, resource)
	g := s.bearer(token)
	var names []string
	for _, v := range asked.of(resource) {
		names = append(names, resource+"/"+v)
	}
	g.Scope = strings.Join(names, " ")
	return g, nil
}

func (s *Stand) bearer(token string) given {
	seconds := int(s.life() / time.Second)
	return given{Type: "Bearer", Expires: seconds, Extended: seconds, Access: token}
}

// renew turns a refresh token into tokens. The one before stays as good as it
// was, as at Microsoft.
func (s *Stand) renew(r *http.Request, tenant Tenant, app App) (given, *sts) {
	value := r.PostFormValue("refresh_token")
	if value == "" {
		return given{}, s.sts(r, 900144, "parameter", "refresh_token")
	}
	t, ok := s.grants.refresh[value]
	if !ok || s.tenants[t.tenant].Google || t.app != app.ID || tenant.ID != "" && tenant.ID != t.tenant {
		return given{}, s.sts(r, 70000)
	}
	if e := s.stillGood(r, t); e != nil {
		return given{}, e
	}
	g, e := s.answerFor(r, app, t.user, t.scopes)
	if e != nil {
		return given{}, e
	}
	next := *t
	g.Refresh = s.keep(next)
	if t.spa {
		// The new one lives no longer than the first.
		s.grants.refresh[g.Refresh].issued = t.issued
	}
	if s.opts.StrictRotation {
		t.number = 70000
	}
	return g, nil
}

// stillGood says why a refresh token is dead, or nil.
func (s *Stand) stillGood(r *http.Request, t *refresh) *sts {
	const day = "2006-01-02T15:04:05.0000000Z"
	now, issued := s.now(), t.issued.UTC().Format(day)
	u, ok := s.users[strings.ToLower(t.user)]
	switch {
	case t.number != 0:
		return s.sts(r, t.number, "issued", issued, "from", now.UTC().Format(day))
	case !ok:
		return s.sts(r, 50034, "user", t.user, "in", s.tenants[t.tenant].Name)
	case u.Block != 0:
		return s.sts(r, u.Block, "user", u.Name, "issued", issued, "from", now.UTC().Format(day))
	case t.spa && now.Sub(t.issued) >= spaLife:
		return s.sts(r, 700084, "issued", issued)
	case now.Sub(t.issued) >= idleLife:
		return s.sts(r, 700082, "issued", issued)
	}
	return nil
}

// obtain gives a token to the application itself. Microsoft gives it without
// any permission too: the services refuse it.
func (s *Stand) obtain(r *http.Request, tenant Tenant, app App) (given, *sts) {
	scope := r.PostFormValue("scope")
	if tenant.ID == "" {
		return given{}, s.sts(r, 9001023)
	}
	if !strings.HasSuffix(scope, "/.default") || strings.Contains(scope, " ") {
		return given{}, s.sts(r, 1002012)
	}
	asked, e := s.readScopes(r, tenant, scope)
	if e != nil {
		return given{}, e
	}
	resource, e := s.one(r, asked)
	if e != nil {
		return given{}, e
	}
	p, _ := s.place(resource)
	var roles []string
	if role := map[string]string{"outlook": "SMTP.SendAsApp", "graph": "Mail.Send"}[p.kind]; slices.Contains(app.Roles, role) {
		roles = []string{role}
	}
	return s.bearer(s.mint(access{app: app.ID, tenant: tenant.ID, kind: p.kind, permissions: roles}, resource)), nil
}
