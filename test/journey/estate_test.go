package journey

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"

	"github.com/sealpost/sealpost/internal/app"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// estate is a house in which people of every role live and own things. Mail
// goes to the capture mailbox.
type estate struct {
	*house
	// people are by name; "visitor" has not signed in.
	people map[string]*desk
	// paths are addresses of things, by name.
	paths map[string]string
	// secrets are what must show nowhere, by name.
	secrets map[string]string
	// stand stands for the services of Microsoft and Google.
	stand *oauthtest.Stand
}

// roles are the people of an estate who are invited, from the one who may do
// least.
var roles = []struct{ name, role string }{
	{"user", "password_user"},
	{"auditor", "password_auditor"},
	{"stranger", "password_administrator"},
	{"owner", "password_administrator"},
	{"admin", "administrator"},
	{"victim", "password_user"},
}

func newEstate(t *testing.T, engine store.Engine) *estate {
	t.Helper()
	e := &estate{
		people: map[string]*desk{}, paths: map[string]string{},
		secrets: map[string]string{"grace's password": gracePassword}, stand: oauthtest.Start(t, oauthtest.Options{}),
	}
	e.house = open(t, engine, func(c *config.Config, o *app.Outside) {
		c.OAuthAuthorities, o.MailRoots = []string{e.stand.Host()}, e.stand.Roots()
	})
	e.people["visitor"] = newDesk(t, e.URL())
	grace := newDesk(t, e.URL())
	e.people["grace"] = grace
	path, code, _ := strings.Cut(strings.TrimPrefix(e.SetupLink(), e.URL()), "#")
	grace.done(path, path, map[string]string{
		"code": code, "name": graceName, "login": "grace", "email": graceEmail, "password": gracePassword,
		"organisation": "Example Ltd", "access_url": e.URL(),
	})
	grace.done("/setup/mail", "/setup/mail", map[string]string{"how": "capture"})
	for _, p := range roles {
		e.joins(t, p.name, p.role)
	}
	e.furnish(t)
	return e
}

// joins invites somebody, who follows the link in the captured letter and
// chooses a password.
func (e *estate) joins(t *testing.T, name, role string) {
	t.Helper()
	address := name + "@example.org"
	invited := e.people["grace"].done("/users/add", "/users/add", map[string]string{
		"name": strings.ToUpper(name[:1]) + name[1:] + " Example", "login": name, "email": address, "role": role,
	})
	e.paths[name] = invited.location()
	text, _ := e.captured(t, address)
	code := codeIn.FindStringSubmatch(text)
	if code == nil {
		t.Fatalf("no code in the letter\n%s", text)
	}
	e.secrets[name+"'s invitation"] = code[1]
	e.secrets[name+"'s password"] = "canary-" + name + "-Mellow9-otter"
	d := newDesk(t, e.URL())
	answer := d.post("/invite", url.Values{"code": {code[1]}, "password": {e.secrets[name+"'s password"]}})
	if answer.status != http.StatusSeeOther {
		t.Fatalf("%s cannot join: status %d\n%s", name, answer.status, words(answer.body))
	}
	e.people[name] = d
}

var (
	codeIn     = regexp.MustCompile(`(?:invite|reset)#([A-Za-z0-9-]+)`)
	capturedIn = regexp.MustCompile(`href="(/admin/mail/capture/[0-9a-f-]{36})"`)
)

// captured waits for a letter to the address in the capture mailbox and returns
// its text, and its address.
func (e *estate) captured(t *testing.T, to string) (text, path string) {
	t.Helper()
	grace := e.people["grace"]
	deadline := time.Now().Add(patience)
	for {
		found := capturedIn.FindStringSubmatch(grace.get("/admin/mail/capture/rows?q=" + url.QueryEscape(to)).body)
		if found != nil {
			m, err := enmime.ReadEnvelope(strings.NewReader(grace.get(found[1] + "/download").body))
			if err != nil {
				t.Fatal(err)
			}
			return m.Text, found[1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("no letter for %s was captured", to)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// furnish lets people own and do things.
func (e *estate) furnish(t *testing.T) {
	t.Helper()
	e.secrets["the old vault password"], e.secrets["the vault password"] = "canary-old-Xe4#kestrel", "canary-new-Xe4#kestrel"
	owner, grace := e.people["owner"], e.people["grace"]
	e.paths["account"] = owner.keeps("Database one", "postgres", e.secrets["the old vault password"])
	owner.changes(e.paths["account"], e.secrets["the vault password"])
	e.paths["resource"] = hrefIn(t, owner.get(e.paths["account"]).body, "/resources/")
	e.paths["grace"] = hrefIn(t, grace.get("/users?q=grace").body, "/users/")
	e.paths["letter"] = hrefIn(t, grace.get("/admin/mail/journal").body, "/admin/mail/journal/")
	_, e.paths["capture"] = e.captured(t, "victim@example.org")
	e.paths["audit"] = hrefIn(t, owner.get("/audit").body, "/audit/")
	e.paths["session"] = actionIn(t, e.twice(t, "victim"), "/profile/sessions/", "/end")
}

// twice signs somebody in again elsewhere and returns their page of sessions.
func (e *estate) twice(t *testing.T, name string) string {
	t.Helper()
	newDesk(t, e.URL()).signIn(name, e.secrets[name+"'s password"])
	return e.people[name].get("/profile/sessions").body
}

var uuid = `[0-9a-f]{8}-[0-9a-f-]{27}`

// hrefIn returns the first link of a page to something under a path.
func hrefIn(t *testing.T, page, under string) string {
	t.Helper()
	found := regexp.MustCompile(`href="(` + regexp.QuoteMeta(under) + `(?:` + uuid + `|\d+))["?#]`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no link to %s\n%s", under, words(page))
	}
	return found[1]
}

// actionIn returns where the first form of a page goes that fits.
func actionIn(t *testing.T, page, before, after string) string {
	t.Helper()
	found := regexp.MustCompile(`action="(` + regexp.QuoteMeta(before) + uuid + regexp.QuoteMeta(after) + `)"`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no form to %s…%s\n%s", before, after, words(page))
	}
	return found[1]
}

// at writes a route's path with the thing of the estate that belongs into it.
func (e *estate) at(t *testing.T, route string) string {
	t.Helper()
	for _, settings := range []string{"/admin/settings/mail", "/admin/settings/mail/second"} {
		if rest, ok := strings.CutPrefix(route, settings+"/sign-in/{id}"); ok {
			return e.leaves(t, settings) + rest
		}
	}
	for prefix, thing := range map[string]string{
		"/users/{id}": "victim", "/resources/{id}": "resource", "/accounts/{id}": "account", "/audit/{seq}": "audit",
		"/admin/mail/journal/{id}": "letter", "/admin/mail/capture/{id}": "capture", "/profile/sessions/{id}/end": "session",
	} {
		if rest, ok := strings.CutPrefix(route, prefix); ok {
			if rest == "/restore" {
				rest += "?version=1"
			}
			return e.paths[thing] + rest
		}
	}
	if strings.Contains(route, "{") && route != "/{$}" {
		t.Fatalf("the estate has nothing for %s: give it a thing", route)
	}
	return strings.TrimSuffix(route, "{$}")
}

// leaves begins a sign-in at Microsoft and returns the page that leads there. Its
// secret has ended, so that the page says so and stays.
func (e *estate) leaves(t *testing.T, settings string) string {
	t.Helper()
	e.secrets["the client secret"] = "canary-client-Secret~8-otter"
	if settings != "/admin/settings/mail" {
		// A second server is beside a first one, which a walk may have removed.
		e.people["grace"].post("/admin/settings/mail", url.Values{"kind": {"capture"}, "sender_address": {"vault@example.org"}, "access_url": {e.URL()}})
	}
	a := e.people["grace"].post(settings+"/sign-in", url.Values{
		"kind": {"microsoft"}, "host": {"smtp.office365.com"}, "port": {"587"}, "sender_address": {"vault@example.org"}, "access_url": {e.URL()}, "origin": {e.URL()},
		"tenant": {"11111111-2222-3333-4444-555555555555"}, "client_id": {"aaaaaaaa-2222-3333-4444-555555555555"}, "client_secret_action": {"replace"},
		"client_secret": {e.secrets["the client secret"]}, "secret_ends": {"2020-01-31"}, "cloud": {"global"}, "grant": {"consent"}, "client_auth": {"secret"},
		"via": {"smtp"}, "redirect_path": {"/oauth/mail/callback"},
	})
	if a.status != http.StatusSeeOther {
		t.Fatalf("the sign-in does not begin: status %d\n%s", a.status, words(a.body))
	}
	return a.location()
}

// TestTheEstate shares one house of each engine among long walks through all of
// it.
func TestTheEstate(t *testing.T) {
	engines(t, func(t *testing.T, engine store.Engine) {
		e := newEstate(t, engine)
		for _, walk := range []struct {
			name   string
			sqlite bool
			run    func(*testing.T, *estate)
		}{
			{"every page is fit for everybody", true, everyPage},
			{"everybody may do what the table says", false, permissions},
			{"no secret shows anywhere", false, canaries},
		} {
			if walk.sqlite && engine != store.SQLite && !peers.Torture() {
				continue // it is the same page whatever is behind it
			}
			t.Run(walk.name, func(t *testing.T) {
				for _, d := range e.people {
					d.t = t
				}
				walk.run(t, e)
			})
		}
	})
}

// table prints rows in columns.
func table(rows [][]string) string {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		line := ""
		for i, cell := range r {
			line += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
