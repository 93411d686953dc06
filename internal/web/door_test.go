package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail/letter"
)

func TestTheFirstPersonSetsSealpostUp(t *testing.T) {
	r := onSQLite(t)
	b := r.browser()
	token, err := r.users.SetupLink(t.Context())
	r.must(err)
	b.get("/").leads("/sign-in").leads("/setup").sees(http.StatusOK, "Set up Sealpost", "Set-up code")

	form := []string{
		"name", "Grace Hopper", "login", "grace", "email", "grace@example.org", "organisation", "Example Ltd",
		"access_url", "https://vault.example.org:7272/",
	}
	b.post("/setup", append(form, "code", "wrong", "password", goodPassword)...).
		sees(http.StatusUnprocessableEntity, "This code does not work", "[name=Grace Hopper]", "[access_url=https://vault.example.org:7272/]").
		lacks(goodPassword)
	b.post("/setup", append(form, "code", token.Reveal(), "password", "grace-hopper-1")...).
		sees(http.StatusUnprocessableEntity, "too easy to guess", "[login=grace]").lacks("grace-hopper-1")
	b.post("/setup", append(form, "code", token.Reveal(), "password", goodPassword)...).
		leads("/setup/mail").sees(http.StatusOK, "How does mail leave?", "Example Ltd")
	b.post("/setup/mail", "how", "later").leads("/").sees(http.StatusOK, "Sealpost is set up", "Grace Hopper")

	r.browser().get("/setup").leads("/sign-in").sees(http.StatusOK)
	r.browser().post("/setup", append(form, "code", token.Reveal(), "password", goodPassword)...).
		sees(http.StatusConflict, "Sealpost is set up already")
	site, err := r.users.Site(t.Context())
	r.must(err)
	if site.AccessURL != accessURL {
		t.Errorf("Access URL %q", site.AccessURL)
	}
}

func TestTheCaptureMailboxIsOneClickOfTheSetUp(t *testing.T) {
	r, grace := ready(t)
	grace.get("/setup/mail").sees(http.StatusOK, "Other SMTP server").lacks("Capture mailbox on this machine")
	grace.post("/setup/mail", "how", "microsoft").leads(settingsPath+"?kind=microsoft").sees(http.StatusOK, "Now tell Sealpost about your mailbox.", "[host=smtp.office365.com]")
	grace.post("/setup/mail", "how", "capture").sees(http.StatusConflict, "The capture mailbox is off on this machine.")
	r.must(r.capture.Listen("127.0.0.1:0"))
	t.Cleanup(func() { r.capture.Close() })
	grace.get("/setup/mail").sees(http.StatusOK, "Capture mailbox on this machine")
	grace.post("/setup/mail", "how", "capture").leads("/").sees(http.StatusOK, "Mail stays in the capture mailbox", "Mail does not leave this machine.")
	profile, set, err := r.mail.Active(t.Context())
	r.must(err)
	if !set || profile.SenderAddress != "sealpost@vault.example.org" || profile.SenderName != "Example Ltd" {
		t.Errorf("got %+v", profile)
	}
	r.join("uma", actor.PasswordUser).post("/setup/mail", "how", "capture").sees(http.StatusNotFound)
}

// Scanners open links, follow them with HEAD, and press buttons. The person
// comes last and still gets in.
func TestRobotsComeFirstThenThePersonJoins(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		grace.post("/users/add", "name", "Ben Okafor", "login", "ben", "email", "ben@example.org", "role", string(actor.PasswordUser)).
			sees(http.StatusSeeOther)
		code := r.code(letter.KindInvitation, "ben@example.org").Reveal()
		robot := r.browser()
		robot.get("/invite").sees(http.StatusOK, "Code")
		robot.do(http.MethodHead, "/invite", nil, "").sees(http.StatusOK)
		robot.post("/invite").sees(http.StatusUnprocessableEntity, "This code does not work")
		robot.post("/invite", "code", code).sees(http.StatusOK, "Welcome, Ben Okafor", "ben@example.org", "Password User")
		robot.post("/invite", "code", code, "password", "").sees(http.StatusUnprocessableEntity, "Choose a password")
		robot.post("/invite", "code", code, "password", "password").sees(http.StatusUnprocessableEntity, "at least 12 characters")

		ben := r.browser()
		typed := strings.ToUpper(code[:4] + "-" + code[4:8] + " " + code[8:])
		page := ben.post("/invite", "code", typed).sees(http.StatusOK, "Welcome, Ben Okafor", "[login=ben]")
		ben.post("/invite", "code", page.value("code"), "password", goodPassword).
			leads("/").sees(http.StatusOK, "Welcome to Example Ltd", "Ben Okafor")
		robot.post("/invite", "code", code, "password", goodPassword).sees(http.StatusUnprocessableEntity, "This code does not work")
	})
}

func TestALostPasswordIsReplacedByMail(t *testing.T) {
	r, _ := ready(t)
	b := r.browser()
	b.get("/sign-in").sees(http.StatusOK, "Forgot your password?")
	known := b.post("/forgot", "login", "grace").sees(http.StatusOK, "Look into your mailbox")
	unknown := b.post("/forgot", "login", "nobodyx").sees(http.StatusOK)
	if got, want := strings.ReplaceAll(unknown.body, "nobodyx", "grace"), known.body; got != want {
		t.Error("the page tells whether a user exists")
	}
	b.post("/forgot", "login", "").sees(http.StatusUnprocessableEntity, "Type your sign-in name or e-mail address.")

	code := r.code(letter.KindPasswordReset, "grace@example.org").Reveal()
	b.get("/reset").sees(http.StatusOK, "Code")
	b.post("/reset").sees(http.StatusUnprocessableEntity)
	b.post("/reset", "code", code).sees(http.StatusOK, "Choose a new password", "grace")
	b.post("/reset", "code", code, "password", "short").sees(http.StatusUnprocessableEntity, "at least 12 characters")
	fresh := "quixotic-lantern-brine-4"
	b.post("/reset", "code", code, "password", fresh).leads("/sign-in").sees(http.StatusOK, "Your new password is set.")
	b.post("/sign-in", "login", "grace", "password", goodPassword).sees(http.StatusForbidden)
	b.post("/sign-in", "login", "grace", "password", fresh).leads("/").sees(http.StatusOK)
	b.post("/reset", "code", code, "password", goodPassword).sees(http.StatusUnprocessableEntity, "This code does not work")
}

// What a request says about hosts changes no link, not in letters and not in
// pages.
func TestLinksComeFromTheAccessURLAlone(t *testing.T) {
	r, grace := ready(t)
	for _, header := range []http.Header{
		{"Host": {"evil.example"}},
		{"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Port": {"1"}},
		{"Forwarded": {"host=evil.example;proto=http"}},
		{"X-Original-Url": {"https://evil.example/"}, "X-Rewrite-Url": {"/evil.example"}},
	} {
		b := r.browser()
		b.header = header
		b.get("/sign-in").sees(http.StatusOK).lacks("evil.example")
		b.get("/").leads("/sign-in").lacks("evil.example")
		b.post("/forgot", "login", "grace").sees(http.StatusOK).lacks("evil.example")
		// code looks for the Access URL before the code.
		r.code(letter.KindPasswordReset, "grace@example.org")
		r.clock.Advance(20 * time.Minute)
	}
	grace.get("/").sees(http.StatusSeeOther)
	host := r.signIn("grace")
	host.header = http.Header{"X-Forwarded-Host": {"evil.example"}}
	r.closeGate()
	host.post("/users/add", "name", "Ben", "login", "ben", "email", "ben@example.org", "role", string(actor.PasswordUser)).
		sees(http.StatusOK, "[=https://vault.example.org:7272/invite#").lacks("evil.example")
}

func TestTooManyGuessesAreToldToWait(t *testing.T) {
	r, _ := ready(t)
	b := r.browser()
	for range 5 {
		b.post("/sign-in", "login", "grace", "password", "wrong").sees(http.StatusForbidden)
	}
	b.post("/sign-in", "login", "grace", "password", goodPassword).
		sees(http.StatusTooManyRequests, "Too many failed attempts. Try again in", "[login=grace]")
	r.clock.Advance(2 * time.Minute)
	b.post("/sign-in", "login", "grace", "password", goodPassword).sees(http.StatusSeeOther)
}

func TestThePasswordMeterAnswersAsTheServerJudges(t *testing.T) {
	r, _ := ready(t)
	b := r.browser()
	for _, tt := range []struct {
		password, login string
		accepted        bool
	}{
		{"password", "", false},
		{goodPassword, "", true},
		{"Wilhelmina-Fortescue", "wilhelmina.fortescue", false},
	} {
		var got struct {
			Score    int
			Sentence string
			Accepted bool
		}
		a := b.post("/password-strength", "password", tt.password, "login", tt.login).sees(http.StatusOK)
		r.must(json.Unmarshal([]byte(a.body), &got))
		if got.Accepted != tt.accepted || got.Sentence == "" {
			t.Errorf("%q: got %+v", tt.password, got)
		}
		if strings.Contains(a.body, tt.password) {
			t.Errorf("the answer repeats the password")
		}
	}
}

// A browser's name is cut, not broken: half a character could not be stored.
func TestALongBrowserNameSignsIn(t *testing.T) {
	r, _ := ready(t)
	b := r.browser()
	b.header.Set("User-Agent", strings.Repeat("a", 199)+"é and more")
	b.post("/sign-in", "login", "grace", "password", goodPassword).leads("/")
}
