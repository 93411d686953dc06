package oauthtest

import (
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// view is what a page shows: an error, or one step of a sign-in.
type view struct {
	Google bool
	Error  *sts
	// Said is what was wrong with what was typed.
	Said string
	// Accounts are signed in in this browser, for a person to pick one.
	Accounts []string
	Account  string
	// Password asks for it; Flow asks for a consent to the permissions.
	Password    bool
	Flow        string
	App         string
	Permissions []string
}

// Headline is what kind of error the page shows.
func (v view) Headline() string { return fmt.Sprintf("Error %d: %s", v.Error.status, v.Error.code) }

// Description is the error as the page shows it.
func (v view) Description() string { return v.Error.describe("\n") }

func (s *Stand) page(a *answer, status int, v view) {
	a.status = status
	a.header.Set("Content-Type", "text/html; charset=utf-8")
	a.header.Set("Cache-Control", "no-store")
	a.header.Set("X-Frame-Options", "DENY")
	if err := pageTemplate.Execute(&a.body, v); err != nil {
		s.t.Errorf("oauthtest: %v", err)
	}
}

// back sends the person back to the client.
func (s *Stand) back(a *answer, q asking, with url.Values) {
	u, err := url.Parse(q.redirect)
	if err != nil {
		s.t.Errorf("oauthtest: %v", err)
		return
	}
	v := u.Query()
	maps.Copy(v, with)
	if q.state != "" {
		v.Set("state", q.state)
	}
	u.RawQuery = v.Encode()
	a.redirect(u.String())
}

// cookie holds which accounts are signed in in a browser.
const cookie = "ESTSAUTH"

// session returns the accounts that are signed in in the browser of a request.
func (s *Stand) session(r *http.Request) []string {
	c, err := r.Cookie(cookie)
	if err != nil {
		return nil
	}
	return s.grants.sessions[c.Value]
}

// remember signs a user in in the browser.
func (s *Stand) remember(a *answer, r *http.Request, u User) {
	accounts := s.session(r)
	if has(accounts, u.Name) {
		return
	}
	id := chance(16)
	s.grants.sessions[id] = append(slices.Clone(accounts), u.Name)
	c := http.Cookie{Name: cookie, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode}
	a.header.Set("Set-Cookie", c.String())
}

// interview leads a person through the sign-in: which account, its password,
// consent. A browser in which somebody is signed in goes through without a
// question, unless the client wants one to be asked.
func (s *Stand) interview(a *answer, r *http.Request, q asking) {
	if r.Method == http.MethodPost {
		s.interviewed(a, r, q)
		return
	}
	accounts := s.session(r)
	candidate := q.hint
	if candidate == "" && len(accounts) == 1 {
		candidate = accounts[0]
	}
	known := has(accounts, candidate)
	switch {
	case q.prompt == "none" && !known:
		s.turnAway(a, q, s.sts(r, 50058))
	case known && q.prompt != "login" && q.prompt != "select_account":
		s.signedIn(a, r, q, s.users[strings.ToLower(candidate)])
	case q.prompt == "select_account" && len(accounts) > 0:
		s.page(a, http.StatusOK, view{Google: q.google, Accounts: accounts, Account: q.hint})
	default:
		s.page(a, http.StatusOK, view{Google: q.google, Account: q.hint, Password: q.hint != ""})
	}
}

// interviewed takes what was filled in.
func (s *Stand) interviewed(a *answer, r *http.Request, q asking) {
	account, password := r.PostFormValue("loginfmt"), r.PostFormValue("passwd")
	switch flow := r.PostFormValue("flow"); {
	case r.PostFormValue("cancel") != "":
		s.turnAway(a, q, s.declined(r, q))
	case flow != "":
		s.accepted(a, r, q, flow)
	case r.PostFormValue("pick") != "" && has(s.session(r), r.PostFormValue("pick")):
		s.signedIn(a, r, q, s.users[strings.ToLower(r.PostFormValue("pick"))])
	case account == "":
		s.page(a, http.StatusOK, view{Google: q.google, Said: "Enter a valid email address."})
	default:
		s.prove(a, r, q, account, password)
	}
}

func (s *Stand) declined(r *http.Request, q asking) *sts {
	if q.google {
		return &sts{code: "access_denied", text: "access_denied"}
	}
	return s.sts(r, 65004)
}

// prove looks at account and password. Microsoft says right away when the
// account is none of the tenant's and of nobody else's.
func (s *Stand) prove(a *answer, r *http.Request, q asking, account, password string) {
	again := view{Google: q.google, Account: account, Password: true}
	u, ok := s.users[strings.ToLower(account)]
	switch {
	case !ok || s.tenants[u.Tenant].Google != q.google:
		e := s.sts(r, 50034, "user", account, "in", q.tenant.Name)
		a.number, again.Password, again.Said = e.number, false, e.describe("\n")
	case u.Shared:
		e := s.sts(r, 50057)
		a.number, again.Said = e.number, e.describe("\n")
	case password == "":
	case password != u.Password:
		e := s.sts(r, 50126)
		a.number, again.Said = e.number, e.describe("\n")
	default:
		s.remember(a, r, u)
		s.signedIn(a, r, q, u)
		return
	}
	s.page(a, http.StatusOK, again)
}

// signedIn goes on with a person who has proved who it is.
func (s *Stand) signedIn(a *answer, r *http.Request, q asking, u User) {
	admit := s.admitted
	if q.google {
		admit = s.googleAdmitted
	}
	if e := admit(r, q, u); e != nil {
		e.page = true
		s.turnAway(a, q, e)
		return
	}
	if q.prompt != "consent" && s.consented(u.Name, q.app.ID, q.scopes.permissions) {
		s.giveCode(a, q, u)
		return
	}
	if q.prompt == "none" {
		s.turnAway(a, q, s.sts(r, 65001))
		return
	}
	flow := chance(24)
	s.grants.flows[flow] = u.Name
	s.page(a, http.StatusOK, view{Google: q.google, Flow: flow, Account: u.Name, App: q.app.Name, Permissions: q.scopes.permissions})
}

// accepted takes a consent, once.
func (s *Stand) accepted(a *answer, r *http.Request, q asking, flow string) {
	name, ok := s.grants.flows[flow]
	delete(s.grants.flows, flow)
	if !ok || r.PostFormValue("accept") == "" {
		e := s.sts(r, 50089)
		e.page = true
		s.turnAway(a, q, e)
		return
	}
	for _, p := range q.scopes.permissions {
		s.grants.consents[consentKey(name, q.app.ID, p)] = true
	}
	s.giveCode(a, q, s.users[strings.ToLower(name)])
}
