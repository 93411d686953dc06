package journey

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"
	"golang.org/x/net/html"

	"github.com/sealpost/sealpost/internal/app"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	settings = "/admin/settings/mail"
	signIn   = settings + "/sign-in"
	// tokenLife is how long the tokens of an office live.
	tokenLife = time.Minute

	delegated   = "https://outlook.office.com/SMTP.Send offline_access openid profile email"
	application = "https://outlook.office365.com/.default"
)

// hands are those of a clock that runs, and that a test sets forward.
type hands struct{ ahead atomic.Int64 }

// Now is what the clock shows.
func (h *hands) Now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// Advance sets the clock forward.
func (h *hands) Advance(d time.Duration) { h.ahead.Add(int64(d)) }

// office is a house beside a stand-in for the services of Microsoft and Google.
type office struct {
	*house
	stand *oauthtest.Stand
	clock *hands
}

// openOffice starts both, on one clock.
func openOffice(t testing.TB, engine store.Engine, o oauthtest.Options) *office {
	t.Helper()
	f := &office{clock: &hands{}}
	o.Now = f.clock.Now
	if o.TokenLife == 0 {
		o.TokenLife = tokenLife
	}
	f.stand = oauthtest.Start(t, o)
	f.house = open(t, engine, f.outside)
	f.beside = f.stand.Host()
	for _, path := range []string{mail.RedirectOwn, mail.RedirectPMP} {
		f.stand.Register(f.URL() + path)
	}
	return f
}

// outside lets the product see the office's world.
func (o *office) outside(cfg *config.Config, w *app.Outside) {
	cfg.OAuthAuthorities = []string{o.stand.Host()}
	w.Now, w.MailRoots = o.clock.Now, o.stand.Roots()
}

// settle sets the house up at a desk, with grace in it and no mail server.
func (o *office) settle(t testing.TB) *desk {
	t.Helper()
	grace := newDesk(t, o.URL())
	path, code, _ := strings.Cut(strings.TrimPrefix(o.SetupLink(), o.URL()), "#")
	grace.done(path, path, map[string]string{
		"code": code, "name": graceName, "login": "grace", "email": graceEmail, "password": gracePassword,
		"organisation": "Example Ltd", "access_url": o.URL(),
	})
	return grace
}

// with returns values with others in their place.
func with(values map[string]string, changes ...string) map[string]string {
	all := map[string]string{}
	for name, value := range values {
		all[name] = value
	}
	for i := 0; i+1 < len(changes); i += 2 {
		all[changes[i]] = changes[i+1]
	}
	return all
}

// exchange is what an administrator types to send as a mailbox at Exchange
// Online.
func (o *office) exchange() map[string]string { return exchangeAt(o.stand, o.URL()) }

func exchangeAt(s *oauthtest.Stand, accessURL string) map[string]string {
	return map[string]string{
		"kind": "microsoft", "host": "localhost", "port": fmt.Sprint(s.Exchange().Port()), "sender_address": oauthtest.Alerts,
		"access_url": accessURL, "tenant": oauthtest.Contoso, "client_id": oauthtest.ClientID,
		"client_secret_action": "replace", "client_secret": oauthtest.ClientSecret, "cloud": "custom", "grant": "consent",
		"client_auth": "secret", "via": "smtp", "redirect_path": mail.RedirectOwn, "scopes": delegated,
		"authorize_url": s.AuthorizeURL(oauthtest.Contoso), "token_url": s.TokenURL(oauthtest.Contoso),
		"test_to": graceEmail, "own_password": gracePassword,
	}
}

// google is the same for a mailbox at Google.
func (o *office) google() map[string]string {
	return with(o.exchange(), "kind", "smtp", "signin", "yes", "auth", "oauth", "provider", "google", "security", "starttls",
		"port", fmt.Sprint(o.stand.Gmail().Port()), "sender_address", oauthtest.Robot,
		"client_id", oauthtest.GoogleClientID, "client_secret", oauthtest.GoogleClientSecret,
		"scopes", "https://mail.google.com/ openid email", "authorize_url", o.stand.GoogleAuthorizeURL(), "token_url", o.stand.GoogleTokenURL())
}

// leaves fills in the form and begins a sign-in with it; it returns the address
// at the provider.
func (d *desk) leaves(over map[string]string) string {
	d.t.Helper()
	return d.led(d.post(signIn, d.fill(settings, settings, over)))
}

// led follows an answer that leads to the provider over a page of ours.
func (d *desk) led(a answer) string {
	d.t.Helper()
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location(), signIn+"/") {
		d.t.Fatalf("no sign-in begins: status %d, to %s\n%s", a.status, a.location(), words(a.body))
	}
	going := d.get(a.location())
	root, err := html.Parse(strings.NewReader(going.body))
	if err != nil {
		d.t.Fatal(err)
	}
	to := ""
	walk(root, func(n *html.Node) {
		if n.Data == "a" && attr(n, "rel") == "noreferrer" && strings.Contains(attr(n, "href"), "code_challenge=") {
			to = attr(n, "href")
		}
	})
	if to == "" {
		d.t.Fatalf("the page leads nowhere\n%s", words(going.body))
	}
	return to
}

// returns brings back what somebody got at the provider.
func (d *desk) returns(v oauthtest.Visit) answer {
	d.t.Helper()
	if v.Back == nil {
		d.t.Fatalf("the provider sends nobody back:\n%s", v.Page)
	}
	return d.get(v.Back.RequestURI())
}

// signsIn is a whole sign-in, which must work.
func (o *office) signsIn(d *desk, over map[string]string, who string) {
	d.t.Helper()
	d.signsIn(o.stand, over, who)
}

func (d *desk) signsIn(s *oauthtest.Stand, over map[string]string, who string) {
	d.t.Helper()
	a := d.returns(s.SignIn(d.t, d.leaves(over), oauthtest.Person{Name: who}))
	if a.status != http.StatusSeeOther || a.location() != settings {
		d.t.Fatalf("%s is not signed in: status %d, to %s\n%s", who, a.status, a.location(), words(a.body))
	}
}

// saves fills in the form and saves it after a test, which must pass.
func (d *desk) saves(over map[string]string) {
	d.t.Helper()
	if a := d.post(settings, d.fill(settings, settings, with(over, "do", "save"))); a.status != http.StatusSeeOther {
		d.t.Fatalf("the settings were not saved: status %d\n%s", a.status, words(a.body))
	}
}

// to returns the letters that the services took for an address.
func (o *office) to(address string) []oauthtest.Letter { return lettersTo(o.stand, address) }

func lettersTo(s *oauthtest.Stand, address string) []oauthtest.Letter {
	return slices.DeleteFunc(s.Letters(), func(l oauthtest.Letter) bool { return !slices.Contains(l.To, address) })
}

// wait waits until the services took a letter for an address, and returns the
// only one.
func (o *office) wait(t testing.TB, address string) oauthtest.Letter {
	t.Helper()
	return waitLetter(t, o.stand, address)
}

func waitLetter(t testing.TB, s *oauthtest.Stand, address string) oauthtest.Letter {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		switch found := lettersTo(s, address); {
		case len(found) == 1:
			return found[0]
		case len(found) > 1:
			t.Fatalf("%s got %d letters", address, len(found))
		case time.Now().After(deadline):
			t.Fatalf("no letter for %s", address)
		}
	}
}

// read reads a letter as an independent parser sees it.
func read(t testing.TB, l oauthtest.Letter) *enmime.Envelope {
	t.Helper()
	m, err := enmime.ReadEnvelope(bytes.NewReader(l.Raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// says checks that a page says all of words.
func (a answer) says(t testing.TB, want ...string) {
	t.Helper()
	said := words(a.body)
	for _, w := range want {
		if !strings.Contains(said, w) {
			t.Errorf("%s does not say %q:\n%s", a.path, w, said)
		}
	}
}

// audited returns what the audit log has of an action, one row after the other.
func (d *desk) audited(action string) []string {
	d.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(d.get("/audit/export.csv").body, "\ufeff"))).ReadAll()
	if err != nil {
		d.t.Fatal(err)
	}
	var found []string
	for _, row := range rows {
		if slices.Contains(row, action) {
			found = append(found, strings.Join(row, " "))
		}
	}
	return found
}

// valueIn returns a value of an address's query.
func valueIn(t testing.TB, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Query().Get(name) == "" {
		t.Fatalf("no %s in %s", name, address)
	}
	return u.Query().Get(name)
}
