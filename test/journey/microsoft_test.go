package journey

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// The life of a mailbox at Exchange Online, in a browser: somebody signs it in,
// letters leave, its token ends, the sign-in is revoked and made anew, and so is
// the client secret.
func TestAMailboxAtMicrosoft(t *testing.T) {
	browser := peers.Chromium(t)
	engines(t, func(t *testing.T, engine store.Engine) {
		o := openOffice(t, engine, oauthtest.Options{Limits: &oauthtest.Limits{Connections: 3}})
		s := &story{h: o.house, office: o, browser: browser, adaEmail: "ada@example.org"}
		s.grace, s.ada = browser.Person(t, "Grace"), browser.Person(t, "Ada")
		s.tell(t, []step{
			{"Grace opens the printed link and sets up", (*story).setUp},
			{"Grace signs the mailbox in at Microsoft", (*story).signInAtMicrosoft},
			{"Grace adds Ada", (*story).addAda},
			{"Ada follows the link in her mail", (*story).followFromExchange},
			{"the token ends, and mail goes on", (*story).outliveTheToken},
			{"the sign-in is revoked, and letters are kept", (*story).loseTheSignIn},
			{"Grace signs in again, and no letter is lost", (*story).signInAgain},
			{"the client secret ends, and a new one mends it", (*story).replaceTheSecret},
		})
	})
}

// choose sets a list of a form.
func choose(tab *peers.Tab, id, value string) {
	peers.Eval[bool](tab, fmt.Sprintf(`(() => { const c = document.getElementById(%q); c.value = %q; c.dispatchEvent(new Event("change", { bubbles: true })); return true; })()`, id, value))
}

// tick chooses one of several.
func tick(tab *peers.Tab, name, value string) {
	tab.Click(fmt.Sprintf(".choice label:has([name=%s][value=%s])", name, value))
}

// fillExchange types what is needed for Exchange Online.
func (s *story) fillExchange(g *peers.Tab) {
	form := s.office.exchange()
	tick(g, "kind", "microsoft")
	g.Click("#oauth-more > summary")
	g.Wait("#cloud")
	choose(g, "cloud", "custom")
	for _, name := range []string{
		"host", "port", "sender_address", "tenant", "client_id", "client_secret", "authorize_url", "token_url", "scopes",
	} {
		g.Fill("#"+name, form[name])
	}
}

// atMicrosoft signs somebody in on Microsoft's pages.
func (s *story) atMicrosoft(g *peers.Tab, who string) {
	g.Wait("#passwd")
	if !strings.HasPrefix(g.Location(), s.office.stand.URL()+"/"+oauthtest.Contoso+"/") {
		g.WaitText("a page of Microsoft's")
	}
	g.Fill("#loginfmt", who)
	g.Fill("#passwd", oauthtest.Password)
	g.Press("#next")
}

func (s *story) signInAtMicrosoft(t *testing.T) {
	g := s.grace
	g.Click("input[name=how][value=microsoft]")
	g.Press("form.card button.main")
	s.fillExchange(g)
	g.Click("#guide > summary")
	if got, want := peers.Eval[string](g, `document.getElementById("copy-redirect").innerText`), s.h.URL()+"/oauth/mail/callback"; got != want {
		t.Errorf("the guide has the redirect address %s, want %s", got, want)
	}
	s.fits(t, g)

	g.Press("#consent")
	if got := peers.Eval[string](g, `document.querySelector("#loginfmt")?.value ?? ""`); got != oauthtest.Alerts {
		g.Wait("#loginfmt")
	}
	s.atMicrosoft(g, oauthtest.Alerts)
	g.WaitText("https://outlook.office.com/SMTP.Send")
	g.Press("#accept")

	// The profile is live, and the page tests it by itself.
	g.WaitText(oauthtest.Alerts + " is signed in.")
	g.Wait(`#mail-state[data-state=good]`)
	g.Wait("#verdict .test-end.good")
	for _, want := range []string{"Reach Microsoft", "Get a token", "For " + oauthtest.Alerts, "Sign in"} {
		g.WaitText(want)
	}
	if strings.Contains(g.Location(), "code=") || strings.Contains(peers.Eval[string](g, `document.documentElement.outerHTML`), "eyJ") {
		t.Error("the page holds a code or a token")
	}
	s.fits(t, g)
	s.office.wait(t, graceEmail)
	if saw := s.office.stand.WhoSaw(oauthtest.ClientSecret); len(saw) != 1 || saw[0] != s.office.stand.Host() {
		t.Errorf("the client secret went to %q", saw)
	}
}

func (s *story) followFromExchange(t *testing.T) {
	l := s.office.wait(t, s.adaEmail)
	m := read(t, l)
	if l.Login != oauthtest.Alerts || l.From != oauthtest.Alerts || !strings.Contains(m.GetHeader("From"), oauthtest.Alerts) {
		t.Errorf("signed in as %s, from %s, From: %s", l.Login, l.From, m.GetHeader("From"))
	}
	s.follow(t, s.invitation(t, m))
}

// desk is where grace does what needs no browser.
func (s *story) desk(t *testing.T) *desk {
	t.Helper()
	if s.atDesk == nil {
		s.atDesk = newDesk(t, s.h.URL())
		s.atDesk.signIn("grace", gracePassword)
	}
	s.atDesk.t = t
	return s.atDesk
}

func (s *story) outliveTheToken(t *testing.T) {
	before := s.office.stand.Count("refresh_token")
	grace := s.desk(t)
	s.office.wait(t, grace.invitesOne("before"))
	s.office.clock.Advance(tokenLife)
	s.office.wait(t, grace.invitesOne("after"))
	if n := s.office.stand.Count("refresh_token") - before; n < 1 || n > 2 {
		t.Errorf("%d tokens were asked for", n)
	}
	grace.state("good")
}

func (s *story) loseTheSignIn(t *testing.T) {
	s.office.stand.Revoke(oauthtest.Alerts)
	s.office.clock.Advance(tokenLife)
	grace := s.desk(t)
	for n := range 3 {
		s.kept = append(s.kept, grace.invitesOne(fmt.Sprintf("kept-%d", n)))
	}
	grace.state("bad")
	held := grace.send("/users/add", "/users/add", map[string]string{"name": "Somebody", "login": "held", "email": "held@example.org", "role": "password_user"})
	if held.status != http.StatusOK || !strings.Contains(held.body, s.h.URL()+"/invite#") {
		t.Errorf("the link was not shown: status %d\n%s", held.status, words(held.body))
	}
	s.kept = append(s.kept, "held@example.org")

	g := s.grace
	for _, path := range []string{"/", "/users"} {
		g.Go(s.h.URL() + path)
		g.WaitText("Mail is paused.")
	}
	g.Go(s.h.URL() + "/")
	g.WaitText("The sign-in was revoked")
	g.Go(s.h.URL() + settings)
	for _, want := range []string{"The sign-in was revoked: the password was reset, or somebody revoked the sessions.", "AADSTS50173", "Trace ID", "Correlation ID", "4 letters"} {
		g.WaitText(want)
	}
	if got := peers.Eval[string](g, `document.querySelector("#mail-state a[rel=noreferrer]").href`); got != "https://login.microsoftonline.com/error?code=50173" {
		t.Errorf("the page leads to %s", got)
	}
	s.fits(t, g)
	for _, address := range s.kept {
		if n := len(s.office.to(address)); n != 0 {
			t.Errorf("%s got a letter while mail was paused", address)
		}
		grace.get("/admin/mail/journal?q="+address).says(t, "Waits")
	}
}

func (s *story) signInAgain(t *testing.T) {
	g := s.grace
	g.Press("#mail-state button[name=stored]")
	s.atMicrosoft(g, oauthtest.Alerts)
	g.WaitText(oauthtest.Alerts + " is signed in.")
	g.Wait(`#mail-state[data-state=good]`)
	s.arrive(t)
	g.Go(s.h.URL() + "/")
	if strings.Contains(g.Text(), "Mail is paused.") {
		t.Error("the banner stays")
	}
}

// arrive waits for the letters that were kept: each comes once.
func (s *story) arrive(t *testing.T) {
	t.Helper()
	for _, address := range s.kept {
		s.office.wait(t, address)
	}
	s.kept = nil
}

func (s *story) replaceTheSecret(t *testing.T) {
	o, grace := s.office, s.desk(t)
	app := o.stand.App(oauthtest.ClientID)
	app.Secrets[0].Ends = o.clock.Now()
	o.stand.PutApp(app)
	o.clock.Advance(tokenLife)
	s.kept = []string{grace.invitesOne("expired")}
	grace.state("bad")
	g := s.grace
	g.Go(s.h.URL() + settings)
	for _, want := range []string{"The client secret has expired.", "AADSTS7000222", "az ad app credential reset --id " + oauthtest.ClientID} {
		g.WaitText(want)
	}
	if peers.Eval[bool](g, `document.querySelector("#mail-state .main[name=stored]") !== null`) {
		t.Error("the page says to sign in again, which mends nothing")
	}

	const fresh = "canary~fresh.client-secret_7Kq"
	app.Secrets = append(app.Secrets, oauthtest.Secret{Value: fresh, Ends: o.clock.Now().AddDate(1, 0, 0)})
	o.stand.PutApp(app)
	signIns := authorized(o)
	g.Click("input[name=client_secret_action][value=replace]")
	g.Fill("#client_secret", "not-the-secret")
	g.Click("#save")
	g.WaitText("AADSTS7000215")
	g.Fill("#client_secret", fresh)
	g.Press("#save")
	g.Wait(`#mail-state[data-state=good]`)
	s.arrive(t)
	if authorized(o) != signIns {
		t.Error("a new secret led to a sign-in")
	}
}

// authorized counts the requests to sign somebody in.
func authorized(o *office) int {
	n := 0
	for _, r := range o.stand.Requests() {
		if r.Endpoint == "authorize" {
			n++
		}
	}
	return n
}
