package web_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/test/peers"
)

const (
	secondPath  = settingsPath + "/second"
	serversPath = settingsPath + "/servers"
)

// two sets both servers up, untested.
func (r *rig) two(grace *browser) {
	r.t.Helper()
	grace.send(settingsPath, typed(1).with("do", "anyway")).leads(settingsPath)
	grace.send(secondPath, typed(2).with("host", "backup.example.net", "do", "anyway")).leads(serversPath)
}

func TestAnAdministratorAddsASecondServer(t *testing.T) {
	r, grace := ready(t)
	grace.get(serversPath).sees(http.StatusOK, "There is one mail server", "Add a second mail server").lacks("Never")
	grace.send(secondPath, typed(2).with("do", "anyway")).sees(http.StatusConflict, "Set up the first mail server before a second one.", "[host=localhost]")
	grace.get(settingsPath).lacks("Add a second mail server")
	grace.send(settingsPath, typed(1).with("do", "anyway")).leads(settingsPath).sees(http.StatusOK, "Add a second mail server").lacks("Second server")
	a := grace.get(secondPath).sees(http.StatusOK, "There is no second mail server", "Second mail server", "[host=]")
	if strings.Contains(a.body, `id="access_url"`) || a.value("access_url") != accessURL {
		t.Error("the Access URL is asked for twice")
	}
	grace.send(secondPath, typed(2).with("host", "backup.example.net", "port", "x")).sees(http.StatusUnprocessableEntity, "[host=backup.example.net]")
	grace.send(secondPath, typed(2).with("host", "backup.example.net", "do", "anyway")).leads(serversPath).
		sees(http.StatusOK, "Now say when letters leave through it.", "First server localhost:1", "Second server backup.example.net:2", "Never")
	if p, _ := r.profile(); p.Host != "localhost" {
		t.Errorf("the first server became %s", p.Host)
	}
	grace.get(secondPath).sees(http.StatusOK, "[host=backup.example.net]", "Which one sends").lacks(mailPassword)
	grace.get("/").sees(http.StatusOK, "First server", "Second server")

	// What is typed stays where it is wrong.
	a = grace.get(serversPath)
	wrong := a.b.post(serversPath, "revision", a.value("revision"), "fallback", "15m", "routes", "example.org\nexa mple")
	wrong.sees(http.StatusUnprocessableEntity, "Line 2 is no domain name.", "exa mple")
	grace.post(serversPath, "fallback", "soon", "routes", "").sees(http.StatusUnprocessableEntity, "Choose never, at once, or after 5, 15 or 60 minutes.")
	grace.post(serversPath, "revision", a.value("revision"), "fallback", "15m", "routes", "Example.org\r\n*.example.net").leads(serversPath).
		sees(http.StatusOK, "Saved.", "*.example.net", "example.org")
	s, err := r.servers.Settings(t.Context(), r.system())
	if err != nil || s.After != 15*time.Minute || strings.Join(s.Routes, " ") != "*.example.net example.org" {
		t.Errorf("%v: %+v", err, s)
	}
	grace.post(serversPath, "revision", "1", "fallback", "never", "routes", "").sees(http.StatusConflict, "Somebody else changed this meanwhile.")

	// Letters that go another way want a fresh proof of who asks.
	r.clock.Advance(11 * time.Minute)
	grace.post(serversPath, "fallback", "never", "routes", "example.com").sees(http.StatusForbidden, "Confirm that it is you")
	grace.post(serversPath, "fallback", "never", "routes", "example.com", "sealpost_proof", goodPassword).leads(serversPath).sees(http.StatusOK, "example.com")
	grace.post(settingsPath+"/remove").sees(http.StatusConflict, "Make the second one the first before you remove this one")
	grace.get(serversPath+"?ask=exchange").sees(http.StatusOK, "Make the second server the first?", "the route of a domain to it ends with that")
	grace.post(serversPath+"/exchange").leads(serversPath).sees(http.StatusOK, "First server backup.example.net:2", "Second server localhost:1")
	grace.post(secondPath+"/remove").leads(settingsPath).sees(http.StatusOK, "The second mail server is removed.", "Add a second mail server")
}

func TestEverybodyHearsThatAServerStandsIn(t *testing.T) {
	r, grace := ready(t)
	r.two(grace)
	ada := r.join("ada", actor.PasswordUser)
	_, err := r.servers.Save(t.Context(), r.system(), servers.Settings{After: 5 * time.Minute, Routes: []string{"example.org"}})
	r.must(err)
	r.pauses("refused", "")
	grace.get(settingsPath).sees(http.StatusOK, "Mail is paused.", "The second server takes its letters over")
	r.clock.Advance(5 * time.Minute)
	grace.get(settingsPath).sees(http.StatusOK, "Mail leaves through the second server.", "Its letters leave through the second server until it works again.", "Paused")
	grace.get(secondPath).sees(http.StatusOK, "It stands in for the first server, which is paused.", "Delivering")
	grace.get("/").sees(http.StatusOK, "Mail leaves through the second server.", "It does not work.", "Mend it")
	ada.get("/").sees(http.StatusOK, "Mail leaves through the second server.").lacks("It does not work.", "Mend it")
	r.must(r.mail.Resume(t.Context(), r.system()))
	grace.get("/").lacks("Mail leaves through the second server.")

	// One that is stopped is nobody's to send for.
	grace.post(secondPath+"/stop").leads(secondPath).sees(http.StatusOK, "The letters of this server are kept back", "Stopped")
	grace.get(settingsPath).sees(http.StatusOK, "The second mail server is stopped.", "Letters to 1 domain wait for it.", "Delivering")
	ada.get("/").lacks("stopped")
	grace.post(secondPath + "/resume").leads(secondPath).lacks("is stopped")
}

func TestASignInComesBackToTheSecondServer(t *testing.T) {
	r, grace := ready(t)
	grace.send(settingsPath, typed(1).with("do", "anyway")).leads(settingsPath)
	away := grace.send(secondPath+"/sign-in", r.exchange())
	if to := away.header.Get("Location"); !strings.HasPrefix(to, secondPath+"/sign-in/") {
		t.Fatalf("it leads to %s", to)
	}
	grace.comesBack(mail.RedirectOwn, r.entra.signIn(t, away.leadsAway())).leads(secondPath).sees(http.StatusOK, "is signed in", "Delivering")
	if p, _, err := r.second.Active(t.Context()); err != nil || p.Kind != mail.KindMicrosoft {
		t.Errorf("%v: the second server is %+v", err, p)
	}
	if p, _ := r.profile(); p.Kind != mail.KindSMTP {
		t.Errorf("the first server is %+v", p)
	}
	// One that came to nothing leads back to the second server too.
	r.entra.set(func(a *authority) { a.denial = "access_denied" })
	q := r.entra.signIn(t, grace.send(secondPath+"/sign-in", form{"stored": "yes", "origin": accessURL}).leadsAway())
	a := grace.comesBack(mail.RedirectOwn, q).sees(http.StatusUnprocessableEntity, "Microsoft said")
	if !strings.Contains(a.body, `href="`+secondPath+`?from=`) || !strings.Contains(a.body, `action="`+secondPath+`/sign-in"`) {
		t.Error("the page leads to the first server")
	}
}

// setsUpASecondServer: the page of the second server has all that the first has,
// with our scripts.
func setsUpASecondServer(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	r.clock.Set(time.Now())
	sink, cert := relay(t, r)
	backup := smtptest.StartSink(t, smtptest.SinkConfig{Mechanisms: []string{"PLAIN"}, Login: "vault", Password: "the other password"})
	tab := r.seat(chrome)
	grace := r.signIn("grace")
	grace.send(settingsPath, typed(sink.Port()).with("trust", candidate("anchor", cert))).leads(settingsPath)
	tab.Go(r.srv.URL + settingsPath)
	tab.Press(`a[href="` + secondPath + `"]`)
	tab.Fill("#host", "localhost")
	tab.Click(".choice label:has([name=security][value=none])")
	tab.Fill("#port", strconv.Itoa(backup.Port()))
	tab.Fill("#sender_address", "vault@example.org")
	tab.Fill("#username", "vault")
	tab.Fill("#password", "the other password")
	tab.Fill("#confirm_clear", "localhost")
	tab.Click("#test")
	tab.WaitText("Passed")
	tab.Press("#save")
	tab.WaitText("Now say when letters leave through it.")
	if !strings.HasSuffix(tab.Location(), serversPath) {
		t.Errorf("it leads to %s", tab.Location())
	}
	tab.Click(".choice label:has([value='5m'])")
	tab.Fill("#routes", "example.net")
	tab.Press("form.card button.main")
	tab.WaitText("Saved.")
	tab.Click(`[data-dialog=exchange]`)
	tab.WaitText("Make the second server the first?")
	tab.Press("#exchange button.main")
	tab.WaitText("The second mail server is the first now.")
	for _, path := range []string{settingsPath, secondPath, serversPath} {
		tab.Go(r.srv.URL + path)
		for _, theme := range []string{"light", "dark"} {
			tab.Look(theme, 360, 800)
			if n := tab.Sideways(); n > 0 {
				t.Errorf("%s scrolls %d pixels sideways on a phone", path, n)
			}
			if wrong := tab.Accessible(t); len(wrong) > 0 {
				t.Errorf("%s, %s: %s", path, theme, strings.Join(wrong, "\n"))
			}
		}
	}
	quiet(t, r, tab)
}
