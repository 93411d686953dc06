package journey

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/internal/web"
)

// routes returns every route of the web interface.
func routes(t *testing.T) []web.RouteInfo {
	t.Helper()
	// The routes are the same whoever stands behind them.
	site, err := web.New(web.Config{
		Users: &identity.Service{}, Vault: &vault.Service{}, Mail: &mail.Service{}, Doctor: &diagnose.Doctor{},
		Second: &mail.Service{}, SecondDoctor: &diagnose.Doctor{}, Servers: &servers.Service{}, Bounces: &bounce.Service{}, DKIM: &dkim.Service{},
		Outbox: &outbox.Outbox{}, Audit: &audit.Log{}, DB: &store.DB{}, Letters: &letter.Catalogue{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return site.Routes()
}

// callers are the columns of the reviewed table, from who may do least. The
// things in the paths are the owner's, the user is the victim.
var callers = []string{"visitor", "user", "auditor", "stranger", "owner", "admin", "grace"}

// What may come of knocking.
const (
	// isIn: the form was read, whatever came of it.
	isIn = "yes"
	// isOut: there is nothing at this address, or nothing they may see.
	isOut = "no"
	// isRefused: they may see it and may not do this.
	isRefused = "refused"
	// isSignIn: they are asked to sign in first.
	isSignIn = "sign-in"
)

// filled are forms without which an operation is not even asked.
var filled = map[string]url.Values{
	"POST /accounts/{id}/restore": {"version": {"1"}},
	"POST /users/{id}/delete":     {"confirm": {"grace"}},
}

// permissions knocks at every route as everybody, with an empty form, and
// compares with the table that was reviewed. A route that the table does not
// know fails.
func permissions(t *testing.T, e *estate) {
	rows := [][]string{append([]string{"route", "declared"}, callers...)}
	knock := func(title, method, path, declared string) {
		row := []string{title, declared}
		for _, who := range callers {
			row = append(row, e.knock(t, who, method, path))
		}
		rows = append(rows, row)
	}
	for _, r := range routes(t) {
		if r.Method == http.MethodPost && r.Path == "/sign-out" {
			continue // everybody is needed until the end
		}
		knock(r.Method+" "+r.Path, r.Method, r.Path, r.Access)
	}
	// Who may manage users may still not touch a Privileged Administrator.
	e.paths["victim"], e.paths["grace"] = e.paths["grace"], e.paths["victim"]
	for _, action := range []string{"edit", "invite", "disable", "enable", "sign-out", "delete"} {
		knock("POST /users/{id}/"+action+" of a Privileged Administrator", http.MethodPost, "/users/{id}/"+action, "manage_users")
	}
	e.paths["victim"], e.paths["grace"] = e.paths["grace"], e.paths["victim"]
	knock("POST /sign-out", http.MethodPost, "/sign-out", "signed in")
	for _, who := range callers[1:] {
		e.people[who].signIn(who, e.secrets[who+"'s password"])
	}
	e.people["grace"].done("/setup/mail", "/setup/mail", map[string]string{"how": "capture"})

	got := table(rows)
	reviewed, err := os.ReadFile(filepath.Join("testdata", "permissions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(reviewed)) {
		if !strings.HasPrefix(line, "#") {
			want = append(want, line)
		}
	}
	if got != strings.Join(want, "") {
		t.Errorf("not what testdata/permissions.txt says. Review each difference, then put this there:\n%s", got)
	}
}

// knock asks for a route as somebody and says whether they came in.
func (e *estate) knock(t *testing.T, who, method, route string) string {
	t.Helper()
	e.renew(t, who, method+" "+route)
	var form url.Values
	if method == http.MethodPost {
		form = url.Values{}
		if known, ok := filled[method+" "+route]; ok {
			form = known
		}
	}
	a, err := e.people[who].try(method, e.at(t, route), form)
	if err != nil {
		t.Fatalf("%s as %s: %v", route, who, err)
	}
	switch {
	case a.status == http.StatusSeeOther && strings.HasPrefix(a.location(), "/sign-in") && who == "visitor" && route != "/setup":
		return isSignIn
	case a.status == http.StatusNotFound:
		return isOut
	case a.status == http.StatusForbidden:
		return isRefused
	case a.status >= http.StatusInternalServerError:
		t.Errorf("%s %s as %s: status %d\n%s", method, route, who, a.status, words(a.body))
	}
	return isIn
}

// renew puts back what the one before may have taken away.
func (e *estate) renew(t *testing.T, who, route string) {
	t.Helper()
	if who != "admin" && who != "grace" {
		return
	}
	grace := e.people["grace"]
	switch route {
	case "POST /admin/settings/mail/remove":
		grace.done("/setup/mail", "/setup/mail", map[string]string{"how": "capture"})
	case "POST /admin/mail/capture/empty", "GET /admin/mail/capture/{id}", "POST /admin/mail/capture/{id}/delete":
		grace.done("/setup/mail", "/setup/mail", map[string]string{"how": "capture"})
		const settings = "/admin/settings/mail"
		test := grace.post(settings+"/test", grace.fill(settings, settings, map[string]string{"test_to": "test@example.org"}))
		if test.status != http.StatusOK {
			t.Fatalf("the test of the mail server: status %d\n%s", test.status, words(test.body))
		}
		_, e.paths["capture"] = e.captured(t, "test@example.org")
	}
}
