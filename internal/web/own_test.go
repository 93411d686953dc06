package web_test

import (
	"bytes"
	"image"
	"image/png"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail/letter"
)

func TestChangingTheProfile(t *testing.T) {
	r, grace := ready(t)
	grace.get("/profile").sees(http.StatusOK, "[name=Grace Hopper]", "[email=grace@example.org]", "Privileged Administrator")
	grace.post("/profile", "name", "", "email", "x").sees(http.StatusUnprocessableEntity, "Type the person's name.", "[email=x]")
	grace.post("/profile", "name", "Grace M. Hopper", "email", "grace@example.org").leads("/profile").sees(http.StatusOK, "Your profile is saved.", "Grace M. Hopper")
	r.clock.Advance(11 * time.Minute)
	a := grace.post("/profile", "name", "Grace M. Hopper", "email", "grace@navy.example").sees(http.StatusForbidden, "Confirm that it is you")
	grace.post("/profile", "name", a.value("name"), "email", a.value("email"), "sealpost_proof", goodPassword).leads("/profile").sees(http.StatusOK, "[email=grace@navy.example]")
}

func TestChangingThePassword(t *testing.T) {
	r, grace := ready(t)
	other := r.signIn("grace")
	fresh := "quixotic-lantern-brine-4"
	grace.get("/profile/password").sees(http.StatusOK, "Current password")
	grace.post("/profile/password", "old_password", "wrong", "password", fresh).
		sees(http.StatusUnprocessableEntity, "The password is not right.").lacks(fresh, `value="wrong"`)
	grace.post("/profile/password", "old_password", goodPassword, "password", "aaaaaaaaaaaaaaaa").sees(http.StatusUnprocessableEntity, "too easy to guess")
	grace.post("/profile/password", "old_password", goodPassword, "password", fresh).leads("/profile").sees(http.StatusOK, "Your password is changed.")
	other.get("/").leads("/sign-in")
	grace.get("/").sees(http.StatusOK)
	r.browser().post("/sign-in", "login", "grace", "password", fresh).sees(http.StatusSeeOther)
}

func TestEndingSessions(t *testing.T) {
	r, grace := ready(t)
	phone, laptop := r.signIn("grace"), r.signIn("grace")
	page := grace.get("/profile/sessions").sees(http.StatusOK, "This one", "End all other sessions")
	if n := strings.Count(page.body, "/end\""); n != 4 { // the set-up began one too
		t.Fatalf("%d sessions show, want 4", n)
	}
	grace.post("/profile/sessions/end-others").leads("/profile/sessions").sees(http.StatusOK, "All your other sessions are ended.").lacks("End all other sessions")
	phone.get("/").leads("/sign-in")
	laptop.get("/").leads("/sign-in")

	uma := r.join("uma", actor.PasswordUser)
	_, id, _ := strings.Cut(grace.get("/profile/sessions").body, "/profile/sessions/")
	id, _, _ = strings.Cut(id, "/end")
	uma.post("/profile/sessions/" + id + "/end").sees(http.StatusNotFound)
	grace.post("/profile/sessions/"+id+"/end").leads("/sign-in").sees(http.StatusOK, "You are signed out.")
	grace.get("/").leads("/sign-in")
}

func TestTheAuditLogShowsEverythingToAuditorsAndOnesOwnToOthers(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		uma, ida := r.join("uma", actor.PasswordUser), r.join("ida", actor.PasswordAuditor)
		grace.get("/audit").sees(http.StatusOK, "User invited", "Session started", "uma")
		ida.get("/audit").sees(http.StatusOK, "Setup completed")
		uma.get("/audit").sees(http.StatusOK, "You see what you did yourself", "User joined").lacks("Setup completed</a>", "Who did it")
		uma.get("/audit?person=grace").sees(http.StatusOK).lacks("Grace Hopper")

		grace.get("/audit?action=setup.").sees(http.StatusOK, "Setup completed").lacks("Session started</a>")
		grace.get("/audit?q=zzz").sees(http.StatusOK, "Nothing fits")
		grace.get("/audit?from=2026-03-01&to=2026-03-01").sees(http.StatusOK, "Setup completed", "[from=2026-03-01]")
		grace.get("/audit?to=2026-02-28").sees(http.StatusOK, "Nothing fits")
		grace.get("/audit?from=2026-99-99&before=x").sees(http.StatusOK, "Setup completed")

		page := grace.get("/audit?action=setup.completed")
		_, seq, _ := strings.Cut(page.body, `href="/audit/`)
		for strings.HasPrefix(seq, "export") {
			_, seq, _ = strings.Cut(seq, `href="/audit/`)
		}
		seq, _, _ = strings.Cut(seq, `"`)
		grace.get("/audit/"+seq).sees(http.StatusOK, "Setup completed", "Access url", accessURL, "setup.completed")
		uma.get("/audit/" + seq).sees(http.StatusNotFound)
		grace.get("/audit/999999").sees(http.StatusNotFound)
		grace.get("/audit/x").sees(http.StatusNotFound)
	})
}

func TestTheAuditLogIsExported(t *testing.T) {
	r, grace := ready(t)
	a := grace.get("/audit/export.csv?action=setup.").sees(http.StatusOK)
	if got := a.header.Get("Content-Disposition"); got != `attachment; filename="sealpost-audit-2026-03-01.csv"` {
		t.Errorf("Content-Disposition %q", got)
	}
	lines := strings.Split(strings.TrimSpace(a.body), "\r\n")
	if len(lines) != 2 || !strings.Contains(lines[1], "setup.completed") {
		t.Errorf("got %q", lines)
	}
	uma := r.join("uma", actor.PasswordUser)
	if body := uma.get("/audit/export.csv").body; strings.Contains(body, "setup.completed") {
		t.Error("a user exports what others did")
	}
}

func TestGeneralSettings(t *testing.T) {
	r, grace := ready(t)
	grace.get("/admin").sees(http.StatusOK, "General", "Mail Server Settings", "Mail journal", "Sealpost test")
	// Where people look for it who come from other products.
	grace.get(settingsPath).sees(http.StatusOK, "Admin›Settings›")
	grace.get("/admin/settings/general").sees(http.StatusOK, "[organisation=Example Ltd]", "[access_url="+accessURL+"]")
	grace.post("/admin/settings/general", "organisation", "New Ltd", "access_url", "ftp://x").
		sees(http.StatusUnprocessableEntity, "The address begins with https://.", "[organisation=New Ltd]", "[access_url=ftp://x]")
	grace.post("/admin/settings/general", "organisation", "New Ltd", "access_url", accessURL).leads("/admin/settings/general").sees(http.StatusOK, "The settings are saved.", "New Ltd")
	r.clock.Advance(11 * time.Minute)
	grace.post("/admin/settings/general", "organisation", "New Ltd", "access_url", "https://other.example.org").sees(http.StatusForbidden, "Confirm that it is you")
	grace.post("/admin/settings/general", "organisation", "New Ltd", "access_url", "https://other.example.org", "sealpost_proof", goodPassword).
		leads("/admin/settings/general").sees(http.StatusOK, "[access_url=https://other.example.org]")
}

func TestTheLogoIsAPictureAndNothingElse(t *testing.T) {
	r, grace := ready(t)
	r.browser().get("/logo").sees(http.StatusNotFound)
	grace.uploads("/admin/settings/logo", "logo", "logo.png", picture(t)).leads("/admin/settings/general").sees(http.StatusOK, "The logo is saved.")
	a := r.browser().get("/logo").sees(http.StatusOK)
	if got := a.header.Get("Content-Type"); got != "image/png" {
		t.Errorf("Content-Type %q", got)
	}
	for _, bad := range []struct{ what, content, want string }{
		{"nothing", "", "Choose a picture first."},
		{"SVG", `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`, "not a PNG or JPEG"},
		{"HTML", "<html>", "not a PNG or JPEG"},
		{"a large file", strings.Repeat("x", letter.MaxLogo+1), "larger than 64 kB"},
	} {
		grace.uploads("/admin/settings/logo", "logo", "x.png", []byte(bad.content)).sees(http.StatusUnprocessableEntity, bad.want)
	}
	grace.uploads("/admin/settings/logo", "logo", "x.png", make([]byte, 3<<20)).sees(http.StatusRequestEntityTooLarge)
	grace.post("/admin/settings/logo/remove").leads("/admin/settings/general").sees(http.StatusOK, "The logo is removed.")
	r.browser().get("/logo").sees(http.StatusNotFound)
}

// picture returns a small PNG.
func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// uploads sends a file by a form.
func (b *browser) uploads(path, field, name string, content []byte) *answer {
	b.r.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	w, err := form.CreateFormFile(field, name)
	b.r.must(err)
	_, err = w.Write(content)
	b.r.must(err)
	b.r.must(form.Close())
	return b.do(http.MethodPost, path, &body, form.FormDataContentType())
}
