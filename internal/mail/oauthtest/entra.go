package oauthtest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// clouds are the authorities that stand for one cloud, by name.
var clouds = map[string]string{
	"login.microsoftonline.com": "", "login.microsoftonline.us": "us",
	"login.partner.microsoftonline.cn": "cn", "login.chinacloudapi.cn": "cn",
}

// directory returns the tenant that a path names, by ID or domain, and what is
// wrong with it. "common" and "organizations" give a tenant without ID.
func (s *Stand) directory(r *http.Request) (Tenant, *sts) {
	name := strings.ToLower(r.PathValue("tenant"))
	if name == "common" || name == "organizations" {
		return Tenant{}, nil
	}
	for _, t := range s.tenants {
		if t.Google || t.ID != name && !slices.Contains(t.Domains, name) {
			continue
		}
		if cloud, named := clouds[r.Host]; named && cloud != t.Cloud {
			return Tenant{}, s.sts(r, 90038, "cloud", t.Cloud)
		}
		return t, nil
	}
	return Tenant{}, s.sts(r, 90002)
}

// client returns the app that a request names.
func (s *Stand) client(r *http.Request, t Tenant) (App, *sts) {
	id := r.FormValue("client_id")
	if id == "" {
		return App{}, s.sts(r, 900144, "parameter", "client_id")
	}
	a, ok := s.apps[strings.ToLower(id)]
	switch {
	case !ok || s.tenants[a.Tenant].Google, t.ID != "" && t.ID != a.Tenant && !a.MultiTenant:
		return App{}, s.sts(r, 700016, "in", t.Name)
	case a.Disabled:
		return App{}, s.sts(r, 7000112, "name", a.Name)
	case t.ID == "" && !a.MultiTenant:
		return App{}, s.sts(r, 50194, "name", a.Name)
	}
	return a, nil
}

// asking is a request to sign somebody in.
type asking struct {
	google                            bool
	tenant                            Tenant
	app                               App
	redirect, state, nonce, challenge string
	prompt, hint                      string
	scopes                            scopes
	offline                           bool
}

// authorize signs somebody in who asks for it.
func (s *Stand) authorize(read func(*http.Request) (asking, *sts)) func(*answer, *http.Request) {
	return func(a *answer, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		q, e := read(r)
		if e != nil {
			s.turnAway(a, q, e)
			return
		}
		s.interview(a, r, q)
	}
}

func newAsking(v url.Values) asking {
	return asking{
		redirect: v.Get("redirect_uri"), state: v.Get("state"), nonce: v.Get("nonce"), challenge: v.Get("code_challenge"),
		prompt: v.Get("prompt"), hint: v.Get("login_hint"),
	}
}

// turnAway shows an error, or sends it back to where the person came from.
func (s *Stand) turnAway(a *answer, q asking, e *sts) {
	a.number = e.number
	if e.page {
		s.page(a, http.StatusBadRequest, view{Error: e})
		return
	}
	v := url.Values{"error": {e.code}}
	if !q.google {
		v.Set("error_description", e.describe("\r\n"))
		v.Set("error_uri", e.uri())
	}
	if e.number == 65004 {
		v.Set("error_subcode", "cancel")
	}
	s.back(a, q, v)
}

// entraAsking reads a request to sign somebody in. What is wrong before the
// redirect URI is known to be right is shown here, and nothing goes back.
func (s *Stand) entraAsking(r *http.Request) (asking, *sts) {
	v := r.URL.Query()
	q := newAsking(v)
	shown := func(e *sts) (asking, *sts) {
		e.page = true
		return q, e
	}
	var e *sts
	if q.tenant, e = s.directory(r); e != nil {
		return shown(e)
	}
	if q.app, e = s.client(r, q.tenant); e != nil {
		return shown(e)
	}
	switch registered := append(slices.Clone(q.app.Redirects), q.app.SPA...); {
	case len(registered) == 0:
		return shown(s.sts(r, 500113))
	case q.redirect == "":
		return shown(s.sts(r, 900971))
	case !slices.Contains(registered, q.redirect):
		return shown(s.sts(r, 50011))
	}
	if q.scopes, e = s.readScopes(r, q.tenant, v.Get("scope")); e != nil {
		return q, e
	}
	q.offline = q.scopes.has("offline_access")
	return q, s.checkAsking(r, v.Get("response_type"), v.Get("response_mode"), v.Get("code_challenge_method"), q)
}

// checkAsking looks at the rest of the request, whose errors go back.
func (s *Stand) checkAsking(r *http.Request, kind, mode, method string, q asking) *sts {
	switch {
	case kind != "code":
		return s.sts(r, 70005, "type", kind)
	case mode != "" && mode != "query":
		return s.sts(r, 90023, "detail", "response_mode '"+mode+"' is not supported")
	case q.challenge == "" || method != "S256":
		return s.sts(r, 9002325)
	case len(q.challenge) != 43:
		return s.sts(r, 50147)
	case !slices.Contains([]string{"", "none", "login", "consent", "select_account"}, q.prompt):
		return s.sts(r, 90023, "detail", "prompt '"+q.prompt+"' is not supported")
	}
	return nil
}

// satisfied are numbers that want something of a person, which signing in is.
var satisfied = []int{50055, 50072, 50074, 50076, 50078, 50079, 50089, 50132, 50133, 50144, 50158, 50173, 70043, 700082}

// admitted says why a user who has proved who it is may not use the app, or
// nil.
func (s *Stand) admitted(r *http.Request, q asking, u User) *sts {
	if slices.Contains(satisfied, u.Block) {
		u.Block = 0
		s.users[strings.ToLower(u.Name)] = u
	}
	from := "live.com"
	if u.Tenant != "" {
		from = "https://sts.windows.net/" + u.Tenant + "/"
	}
	switch {
	case u.Block != 0:
		return s.sts(r, u.Block, "user", u.Name)
	case q.tenant.ID != "" && u.Tenant != q.tenant.ID, u.Tenant == "":
		return s.sts(r, 50020, "user", u.Name, "from", from, "in", q.tenant.Name)
	case q.app.Assigned != nil && !has(q.app.Assigned, u.Name):
		return s.sts(r, 50105, "user", u.Name)
	case s.tenants[u.Tenant].AdminConsent && !s.consented(u.Name, q.app.ID, q.scopes.permissions):
		return s.sts(r, 90094, "user", u.Name)
	}
	return nil
}

// giveCode lets the person go back with a code.
func (s *Stand) giveCode(a *answer, q asking, u User) {
	value := "1.AXoA" + chance(500)
	if q.google {
		value = "4/0A" + chance(54)
	}
	s.grants.codes[value] = &code{
		app: q.app.ID, user: u.Name, tenant: u.Tenant, redirect: q.redirect, challenge: q.challenge, nonce: q.nonce,
		scopes: q.scopes, offline: q.offline, spa: slices.Contains(q.app.SPA, q.redirect), at: s.now(),
	}
	s.back(a, q, url.Values{"code": {value}, "session_state": {uuid.NewString()}})
}
