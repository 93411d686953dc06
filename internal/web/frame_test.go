package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/store"
)

func TestAPersonSignsInAndOut(t *testing.T) {
	eachReady(t, func(r *rig, _ *browser) {
		b := r.browser()
		b.get("/").leads("/sign-in").sees(http.StatusOK, "Sign in")
		b.post("/sign-in", "login", "grace", "password", "wrong").
			sees(http.StatusForbidden, "The sign-in name or the password is not right.", "[login=grace]").lacks("wrong\"")
		b.post("/sign-in", "login", "Grace", "password", goodPassword).leads("/").sees(http.StatusOK, "Home", "Grace Hopper")
		b.post("/sign-out").leads("/sign-in").sees(http.StatusOK, "You are signed out.")
		b.get("/").leads("/sign-in")
	})
}

// Strangers send small forms, and what they send where they may not come near is
// not read at all.
func TestStrangersSendLittle(t *testing.T) {
	r, _ := ready(t)
	long := strings.Repeat("x", 40_000)
	r.browser().post("/sign-in", "login", long, "password", "x").sees(http.StatusRequestEntityTooLarge, "larger than Sealpost takes")
	r.browser().post("/users/add", "name", long, "sealpost_proof", "x").leads("/sign-in?to=%2Fusers%2Fadd")
}

func TestTheSessionCookieIsAsStrictAsCookiesCanBe(t *testing.T) {
	r, _ := ready(t)
	got := strings.Join(r.browser().post("/sign-in", "login", "grace", "password", goodPassword).header.Values("Set-Cookie"), "\n")
	for _, name := range []string{"__Host-sealpost=", "__Host-sealpost-device="} {
		found := false
		for line := range strings.Lines(got) {
			if strings.HasPrefix(line, name) {
				found = true
				for _, want := range []string{"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
					if !strings.Contains(line, want) {
						t.Errorf("%s lacks %s", name, want)
					}
				}
			}
		}
		if !found {
			t.Errorf("no cookie %s", name)
		}
	}
}

func TestSigningInLeadsBackToWhereOneWantedToGo(t *testing.T) {
	r, _ := ready(t)
	for _, tt := range []struct{ to, want string }{
		{"/theme-park?a=1&b=2", "/theme-park?a=1&b=2"},
		{"", "/"},
		{"https://evil.example/", "/"},
		{"//evil.example/", "/"},
		{`/\evil.example/`, "/"},
		{`\\evil.example/`, "/"},
		{"/\t/evil.example/", "/"},
		{"javascript:alert(1)", "/"},
		{"evil.example", "/"},
		{"/%5cevil.example", "/"},
		{"/%2f/evil.example", "/"},
		{"/a\r\nSet-Cookie: x=y", "/"},
	} {
		got := r.browser().post("/sign-in", "login", "grace", "password", goodPassword, "to", tt.to).header.Get("Location")
		if got != tt.want {
			t.Errorf("%q leads to %q, want %q", tt.to, got, tt.want)
		}
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	_, grace := ready(t)
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}},
		{"Origin": {"https://evil.example"}},
		{"Origin": {"null"}},
	} {
		grace.header = header
		grace.post("/sign-out").sees(http.StatusForbidden, "This form was sent from another site")
	}
	grace.header = http.Header{"Sec-Fetch-Site": {"same-origin"}}
	grace.get("/").sees(http.StatusOK, "Home")
	grace.post("/sign-out").sees(http.StatusSeeOther)
}

func TestTheAppearanceStaysInTheBrowser(t *testing.T) {
	_, grace := ready(t)
	if strings.Contains(grace.get("/").body, "data-theme") {
		t.Error("an appearance is set before one was chosen")
	}
	if got := grace.post("/theme", "theme", "dark", "to", "/").leads("/").body; !strings.Contains(got, `data-theme="dark"`) {
		t.Error("dark was chosen and does not show")
	}
	grace.post("/theme", "theme", "system", "to", "//evil.example").leads("/").lacks("data-theme")
	grace.post("/theme", "theme", `"><script>`, "to", "/").leads("/").lacks("data-theme", "<script>")
}

func TestNoticesShowOnce(t *testing.T) {
	_, grace := ready(t)
	grace.post("/sign-out").leads("/sign-in").sees(http.StatusOK, "You are signed out.")
	grace.get("/sign-in").lacks("You are signed out.")
}

func TestNothingAndNothingForYouLookTheSame(t *testing.T) {
	r, grace := ready(t)
	user := r.join("uma", actor.PasswordUser)
	for _, path := range []string{"/nothing", "/users"} {
		if got, want := user.get(path).sees(http.StatusNotFound).text(), user.get("/other").text(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	grace.get("/nothing").sees(http.StatusNotFound, "Not found")
}

func TestPostsAreNotFoundByGet(t *testing.T) {
	r, grace := ready(t)
	pages := map[string]bool{}
	for _, rt := range r.site.Routes() {
		if rt.Method == http.MethodGet {
			pages[rt.Path] = true
		}
	}
	for _, rt := range r.site.Routes() {
		if rt.Method == http.MethodGet || pages[rt.Path] {
			continue
		}
		path := strings.NewReplacer("{id}", "x", "{seq}", "1").Replace(rt.Path)
		grace.get(path).sees(http.StatusNotFound)
		grace.do(http.MethodHead, path, nil, "").sees(http.StatusNotFound)
	}
	grace.get("/").sees(http.StatusOK, "Grace Hopper")
}

func TestASessionThatEndedLeadsToTheSignInPage(t *testing.T) {
	r, grace := ready(t)
	r.clock.Advance(31 * time.Minute)
	grace.get("/?a=1").leads("/sign-in?to=%2F%3Fa%3D1").sees(http.StatusOK, "Sign in")
}

func TestStaticFilesAreKeptUnderTheirChecksum(t *testing.T) {
	r, _ := ready(t)
	b := r.browser()
	_, rest, _ := strings.Cut(b.get("/sign-in").body, `<script type="module" src="`)
	script, _, _ := strings.Cut(rest, `"`)
	a := b.get(script).sees(http.StatusOK)
	if got := a.header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("Cache-Control %q", got)
	}
	if got := a.header.Get("Content-Type"); !strings.Contains(got, "javascript") {
		t.Errorf("Content-Type %q", got)
	}
	old := b.get("/static/0123/sealpost.css").sees(http.StatusOK)
	if got := old.header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("another checksum: Cache-Control %q", got)
	}
	for _, path := range []string{"/static/", "/static/x/", "/static/x/../../routes.go", "/static/x/nothing.js"} {
		if got := b.get(path).status; got == http.StatusOK {
			t.Errorf("%s: %d", path, got)
		}
	}
}

// A link must not fill in a form, nor bring a password.
func TestTheQueryFillsInNoForm(t *testing.T) {
	r, grace := ready(t)
	b := r.browser()
	b.post("/sign-in?login=grace&password=" + goodPassword).sees(http.StatusForbidden)
	r.clock.Advance(11 * time.Minute)
	grace.get("/profile?sealpost_proof=" + goodPassword).sees(http.StatusOK)
	grace.post("/profile?sealpost_proof="+goodPassword, "name", "Grace Hopper", "email", "other@example.org").
		sees(http.StatusForbidden, "Confirm that it is you")
}

// When nothing works any more there is still a page, with a reference that
// finds the line in the log, and without the cause.
func TestAFailureOfOursHasAReference(t *testing.T) {
	r, grace := ready(t)
	r.must(r.db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`ALTER TABLE bounce_mark RENAME TO bounce_gone`)
		return err
	}))
	a := grace.get("/users").sees(http.StatusInternalServerError, "Something went wrong", "Reference for the log:").lacks("database", "sql")
	_, reference, _ := strings.Cut(a.body, "<code>")
	reference, _, _ = strings.Cut(reference, "</code>")
	if reference == "" || !strings.Contains(r.log.String(), reference) {
		t.Errorf("the log lacks the reference %q:\n%s", reference, r.log)
	}
}

func TestScriptsAreAnsweredInTheirOwnForm(t *testing.T) {
	r, grace := ready(t)
	grace.header = http.Header{"Accept": {"application/json"}}
	a := grace.post("/profile", "name", "", "email", "x").sees(http.StatusUnprocessableEntity)
	for _, want := range []string{`"field":"name"`, `"sentence":"Type the person`, `"reference":"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the answer lacks %s: %s", want, a.body)
		}
	}
	r.clock.Advance(11 * time.Minute)
	grace.post("/profile", "name", "Grace", "email", "y@example.org").sees(http.StatusForbidden, `"code":"reauthenticate"`)
	r.clock.Advance(time.Hour)
	grace.post("/profile", "name", "Grace", "email", "y@example.org").sees(http.StatusUnauthorized, `"code":"signed_out"`)
}
