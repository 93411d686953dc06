package journey

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/jhillyerd/enmime/v2"

	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// story is the main job: Grace installs Sealpost, sets up the mail server, adds
// Ada; Ada's mail arrives in a real mailbox, the link in it leads to a working
// account, and both keep passwords in the vault.
type story struct {
	h       *house
	post    *peers.MailServer
	browser *peers.Browser
	grace   *peers.Tab
	ada     *peers.Tab
	// adaEmail is her address, other on each engine.
	adaEmail string
	// office is where mail leaves through Microsoft, else nil.
	office *office
	// atDesk is grace without a browser. kept are the addresses of letters that
	// wait.
	atDesk *desk
	kept   []string
}

const (
	mailUser     = "vault-sender"
	mailPassword = "canary-smtp-Wq7!first"
	adaPassword  = "canary-user-Mellow9-otter-brine"
	vaultSecret  = "canary-vault-Xe4#kestrel"
)

// steps are the main job.
func steps() []step {
	return []step{
		{"Grace opens the printed link and sets up", (*story).setUp},
		{"Grace sets up the mail server", (*story).setUpMail},
		{"Grace adds Ada", (*story).addAda},
		{"Ada follows the link in her mail", (*story).followFromPostfix},
		{"Ada keeps a password", (*story).keep},
	}
}

type step struct {
	name string
	run  func(*story, *testing.T)
}

func TestTheMainJob(t *testing.T) {
	browser := peers.Chromium(t)
	post := peers.Postfix(t)
	post.AddUser(t, mailUser, mailPassword)
	engines(t, func(t *testing.T, engine store.Engine) {
		s := &story{h: open(t, engine), post: post, browser: browser, adaEmail: "ada." + string(engine) + "@example.org"}
		s.grace, s.ada = browser.Person(t, "Grace"), browser.Person(t, "Ada")
		s.tell(t, steps())
	})
}

// tell runs steps one after the other; after each, no page may have done
// anything wrong.
func (s *story) tell(t *testing.T, steps []step) {
	t.Helper()
	for _, step := range steps {
		ok := t.Run(step.name, func(t *testing.T) {
			s.grace.For(t)
			s.ada.For(t)
			step.run(s, t)
			s.calm(t)
		})
		if !ok {
			t.Fatal("the story cannot go on")
		}
	}
}

// calm checks that no page did anything wrong or asked another host.
func (s *story) calm(t *testing.T) {
	t.Helper()
	for _, tab := range []*peers.Tab{s.grace, s.ada} {
		for _, p := range tab.Problems() {
			t.Errorf("%s: %s", tab.Name, p)
		}
		for _, host := range s.h.strangers(t, tab) {
			t.Errorf("%s's browser asked %s", tab.Name, host)
		}
	}
}

// fits checks a page in a state that only a story reaches, once: it is the same
// page whatever is behind it.
func (s *story) fits(t *testing.T, tab *peers.Tab) {
	t.Helper()
	if s.h.engine == store.SQLite {
		fit(t, s.h, tab)
		tab.Look("light", 1280, 900)
	}
}

func (s *story) setUp(t *testing.T) {
	link := s.h.SetupLink()
	if got := linkIn(s.h.out.String()); got != link || link == "" {
		t.Fatalf("printed %q, meant %q", got, link)
	}
	g := s.grace
	g.Go(link)
	if strings.Contains(g.Location(), "#") {
		t.Errorf("the code stayed in the address: %s", g.Location())
	}
	if got := peers.Eval[string](g, `document.querySelector("#access_url").value`); got != s.h.URL() {
		t.Errorf("the Access URL begins as %q, want %q", got, s.h.URL())
	}
	g.Fill("#name", graceName)
	g.Fill("#login", "grace")
	g.Fill("#email", graceEmail)
	g.Fill("#organisation", "Example Ltd")
	const button = `document.querySelector("form.card button.main").getBoundingClientRect().top + scrollY`
	before := peers.Eval[float64](g, button)
	g.Fill("#password", "sealpost123")
	g.Wait("#password-strength")
	if after := peers.Eval[float64](g, button); after != before {
		t.Errorf("the button moved from %v to %v while somebody typed", before, after)
	}
	if status := g.Press("form.card button.main"); status != http.StatusUnprocessableEntity {
		t.Errorf("a known-bad password is taken with %d", status)
	}
	if got := peers.Eval[string](g, `document.querySelector("#name").value`); got != graceName {
		t.Errorf("what was typed did not survive the error: %q", got)
	}
	g.Fill("#password", gracePassword)
	g.Wait(`#password-strength[data-score="4"]`)
	g.Press("form.card button.main")
	g.Wait("input[name=how]")
	// The link is used up: a second person finds nothing behind it.
	s.ada.Go(link)
	if at := peers.Eval[string](s.ada, "location.pathname"); at != "/sign-in" {
		t.Errorf("the used link leads to %s", at)
	}
}

func (s *story) setUpMail(t *testing.T) {
	g := s.grace
	g.Click("input[name=how][value=other]")
	g.Press("form.card button.main")
	g.Fill("#host", peers.Host)
	// STARTTLS in one story, TLS from the start in the other.
	if s.h.engine == store.SQLite {
		g.Fill("#port", fmt.Sprint(s.post.Submission))
		g.Click("input[name=security][value=starttls]")
	} else {
		g.Fill("#port", fmt.Sprint(s.post.Implicit))
		g.Click("input[name=security][value=implicit]")
	}
	g.Fill("#sender_address", "vault@example.org")
	g.Fill("#sender_name", "The vault")
	if !peers.Eval[bool](g, `document.querySelector("input[name=signin]").checked`) {
		g.Click("input[name=signin]")
	}
	g.Click("input[name=auth][value=typed]")
	g.Fill("#username", mailUser)
	g.Fill("#password", mailPassword)

	g.Click("#test")
	g.Wait("#verdict .test-end.bad")
	g.WaitText("Nobody known here vouches for the certificate of localhost.")
	g.WaitText("Private Mail CA")
	if said := g.Text(); strings.Contains(said, "Signed in") {
		t.Errorf("signed in to a server that nobody vouches for:\n%s", said)
	}
	s.fits(t, g)
	g.Click("#steps .cert:last-of-type button[name=trust]")
	g.Wait("#verdict .test-end.good")
	s.fits(t, g)
	mails := s.post.Wait(t, graceEmail, 1)
	if got := mails[len(mails)-1]; !strings.Contains(got.Text, peers.Host) {
		t.Errorf("the test mail does not name the server:\n%s", got.Text)
	}
	g.Press("#settings .actions button.main")
	g.Wait(`#mail-state[data-state=good]`)
	s.keepsPasswordAway(t)
}

// keepsPasswordAway checks that the page never gets the stored password.
func (s *story) keepsPasswordAway(t *testing.T) {
	t.Helper()
	if strings.Contains(peers.Eval[string](s.grace, `document.documentElement.outerHTML`), mailPassword) {
		t.Error("the page holds the stored password")
	}
}

func (s *story) addAda(t *testing.T) {
	g := s.grace
	g.Go(s.h.URL() + "/users/add")
	g.Fill("#name", "Ada Lovelace")
	g.Fill("#login", "ada")
	g.Fill("#email", s.adaEmail)
	g.Click("input[name=role][value=password_administrator]")
	g.Press("form.card button.main")
	g.WaitText("The invitation is on its way to " + s.adaEmail)
}

// invitation reads Ada's invitation as an independent parser sees it, and
// returns its link.
func (s *story) invitation(t *testing.T, m *enmime.Envelope) string {
	t.Helper()
	for _, want := range []string{"ada", "Password Administrator", s.h.URL(), "Ada Lovelace", graceName, "Example Ltd"} {
		if !strings.Contains(m.Text, want) || !strings.Contains(m.HTML, want) {
			t.Errorf("%q is not in both twins of the letter", want)
		}
	}
	if got, want := m.GetHeader("To"), fmt.Sprintf("%q <%s>", "Ada Lovelace", s.adaEmail); got != want {
		t.Errorf("To: got %s, want %s", got, want)
	}
	if got := m.GetHeader("Auto-Submitted"); got != "auto-generated" {
		t.Errorf("Auto-Submitted: %q", got)
	}
	if strings.Contains(m.HTML, "src=\"http") {
		t.Error("the letter loads something from elsewhere")
	}
	for _, e := range m.Errors {
		t.Errorf("the letter is not well formed: %s", e)
	}
	return linkOf(t, m.Text, m.HTML)
}

var invited = regexp.MustCompile(`https://\S+/invite#[A-Za-z0-9-]+`)

// linkOf finds the one-time link that both twins of a letter hold.
func linkOf(t *testing.T, text, html string) string {
	t.Helper()
	link := invited.FindString(text)
	if link == "" || !strings.Contains(html, `href="`+link+`"`) {
		t.Fatalf("no common link in\n%s\n%s", text, html)
	}
	return link
}

func (s *story) followFromPostfix(t *testing.T) {
	mails := s.post.Wait(t, s.adaEmail, 1)
	m := mails[len(mails)-1].Envelope
	if got, want := m.GetHeader("From"), `"The vault" <vault@example.org>`; got != want {
		t.Errorf("From: got %s, want %s", got, want)
	}
	s.follow(t, s.invitation(t, m))
}

// follow takes the link to its end.
func (s *story) follow(t *testing.T, link string) {
	t.Helper()
	// Robots of mail providers come first; they use nothing up.
	robot := newDesk(t, s.h.URL())
	path, code, _ := strings.Cut(strings.TrimPrefix(link, s.h.URL()), "#")
	robot.get(path)
	for _, form := range []map[string]string{{}, {"code": code}, {"code": code, "password": ""}} {
		robot.send(path, path, form)
	}
	a := s.ada
	a.Go(link)
	a.WaitText("Welcome, Ada Lovelace")
	a.Fill("#password", "short")
	a.Wait("#password-strength")
	a.Press("form.card button.main")
	s.fits(t, a)
	a.Fill("#password", adaPassword)
	a.Wait(`#password-strength[data-score="4"]`)
	a.Press("form.card button.main")
	a.WaitText("Your account is ready.")
	if again := robot.send(path, path, map[string]string{"code": code, "password": adaPassword}); again.status == http.StatusSeeOther {
		t.Error("the link works twice")
	}
	home := s.browser.Person(t, "Ada at home")
	home.Go(s.h.URL() + "/users")
	home.Fill("#login", "ada")
	home.Fill("#password", adaPassword)
	home.Press("form.card button.main")
	home.WaitText("There is nothing at this address, or nothing that you may see.")
	home.Go(s.h.URL() + "/")
	home.WaitText("Ada Lovelace")
}

func (s *story) keep(t *testing.T) {
	a := s.ada
	a.Go(s.h.URL() + "/resources/add")
	a.Fill("#name", "Database one")
	a.Fill("#type", "PostgreSQL")
	a.Fill("#address", "db1.example.org")
	a.Press("form.card button.main")
	a.Press(`a[href$="/accounts/add"]`)
	a.Fill("#name", "postgres")
	a.Fill("#password", vaultSecret)
	a.Press("form.card button.main")
	a.WaitText("postgres")
	if strings.Contains(peers.Eval[string](a, `document.documentElement.outerHTML`), vaultSecret) {
		t.Error("the page shows the password unasked")
	}
	a.Go(s.h.URL() + "/resources")
	a.Press("#results a.name")
	a.Click("button[value=reveal]")
	a.WaitText(vaultSecret)
	s.fits(t, a)
	// Grace is a Privileged Administrator, and it is not hers.
	s.grace.Go(s.h.URL() + "/resources")
	if strings.Contains(s.grace.Text(), "Database one") {
		t.Error("Grace sees a resource of Ada's")
	}
}
