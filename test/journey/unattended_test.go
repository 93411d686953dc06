package journey

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// Every other way to send with tokens, set up on the page: the application
// alone, through Exchange Online and through Microsoft Graph, a mailbox at
// Google, and a service account there.
func TestOtherWaysToSendWithTokens(t *testing.T) {
	o := openOffice(t, store.SQLite, oauthtest.Options{})
	grace := o.settle(t)
	s := &story{h: o.house, office: o, browser: peers.Chromium(t), atDesk: grace}
	s.grace, s.ada = s.browser.Person(t, "Grace"), s.browser.Person(t, "Ada")
	s.grace.Go(o.URL() + "/sign-in")
	s.grace.Fill("#login", "grace")
	s.grace.Fill("#password", gracePassword)
	s.grace.Press("form.card button.main")
	s.tell(t, []step{
		{"the application alone, over SMTP", (*story).sendAlone},
		{"the application alone, through Microsoft Graph", (*story).sendThroughGraph},
		{"the application with a certificate", (*story).sendWithCertificate},
		{"a mailbox at Google", (*story).signInAtGoogle},
		{"Google refuses the token", (*story).refusedByGoogle},
		{"a service account", (*story).sendForService},
	})
}

// arrives lets grace invite somebody and checks how the letter left.
func (s *story) arrives(t *testing.T, login, via, by, from string) {
	t.Helper()
	l := s.office.wait(t, s.desk(t).invitesOne(login))
	if l.Via != via || !strings.EqualFold(l.Login, by) || l.From != from {
		t.Errorf("it left via %s, signed in as %s, from %s", l.Via, l.Login, l.From)
	}
	for _, e := range read(t, l).Errors {
		t.Errorf("the letter is not well formed: %s", e)
	}
}

// testAndSave presses the button, behind which the test runs.
func (s *story) testAndSave(t *testing.T) {
	t.Helper()
	s.grace.Press("#save")
	s.grace.WaitText("The mail server settings are saved.")
	s.grace.Wait(`#mail-state[data-state=good]`)
}

func (s *story) sendAlone(t *testing.T) {
	g := s.grace
	g.Go(s.h.URL() + settings + "?kind=microsoft")
	s.fillExchange(g)
	tick(g, "grant", "application")
	g.Fill("#scopes", application)
	if peers.Eval[bool](g, `document.getElementById("consent").offsetParent !== null`) {
		t.Error("the page offers a sign-in that nobody needs")
	}
	s.testAndSave(t)
	s.fits(t, g)
	s.arrives(t, "alone", "exchange", oauthtest.Alerts, oauthtest.Alerts)
}

func (s *story) sendThroughGraph(t *testing.T) {
	g, form := s.grace, s.office.exchange()
	g.Go(s.h.URL() + settings)
	tick(g, "via", "graph")
	g.Fill("#graph_url", s.office.stand.GraphURL())
	g.Fill("#scopes", s.office.stand.GraphURL()+"/.default")
	g.Fill("#client_secret", form["client_secret"])
	s.testAndSave(t)
	s.fits(t, g)
	s.arrives(t, "graph", "graph", oauthtest.Alerts, oauthtest.Alerts)
}

func (s *story) sendWithCertificate(t *testing.T) {
	o := s.office
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text, cert := certify(t, key, o.clock.Now())
	app := o.stand.App(oauthtest.ClientID)
	app.Certificates = append(app.Certificates, cert)
	o.stand.PutApp(app)
	s.desk(t).saves(with(o.exchange(), "grant", "application", "client_auth", "certificate", "scopes", application,
		"client_secret", "", "client_key_action", "replace", "client_key", text))
	s.arrives(t, "certified", "exchange", oauthtest.Alerts, oauthtest.Alerts)
}

// certify makes a certificate for a key that begins at a time, and returns both
// as the page takes them.
func certify(t *testing.T, key *rsa.PrivateKey, now time.Time) (both string, cert *x509.Certificate) {
	t.Helper()
	like := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "Sealpost mail"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(2, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, like, like, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, block := range []pem.Block{{Type: "CERTIFICATE", Bytes: der}, {Type: "PRIVATE KEY", Bytes: private}} {
		if err := pem.Encode(&b, &block); err != nil {
			t.Fatal(err)
		}
	}
	return b.String(), cert
}

func (s *story) signInAtGoogle(t *testing.T) {
	g, form := s.grace, s.office.google()
	g.Go(s.h.URL() + settings)
	tick(g, "kind", "smtp")
	if !peers.Eval[bool](g, `document.querySelector("input[name=signin]").checked`) {
		g.Click("input[name=signin]")
	}
	tick(g, "auth", "oauth")
	tick(g, "provider", "google")
	open := `document.getElementById("oauth-more").open = true`
	peers.Eval[bool](g, open)
	for _, name := range []string{"host", "port", "sender_address", "client_id", "client_secret", "authorize_url", "token_url", "scopes"} {
		g.Fill("#"+name, form[name])
	}
	g.Press("#consent")
	g.Wait("#passwd")
	g.Fill("#passwd", oauthtest.Password)
	g.Press("#next")
	g.WaitText("https://mail.google.com/")
	g.Press("#accept")
	g.WaitText(oauthtest.Robot + " is signed in.")
	g.Wait("#verdict .test-end.good")
	if strings.Contains(g.Text(), "when the client secret ends") {
		t.Error("the page asks for the end of a secret that has none")
	}
	s.fits(t, g)
	s.arrives(t, "google", "gmail", oauthtest.Robot, oauthtest.Robot)
}

// refusedByGoogle: of a token that Gmail does not take it says why before it
// says no, and the page has both.
func (s *story) refusedByGoogle(t *testing.T) {
	o, grace := s.office, s.desk(t)
	o.clock.Advance(tokenLife)
	o.wait(t, grace.invitesOne("renewed")) // with a token that is fresh
	o.stand.Invalidate()
	// The connection that is open knows nothing of it.
	o.clock.Advance(11 * time.Second)
	grace.post(settings+"/stop", nil)
	s.kept = []string{grace.invitesOne("refused")}
	grace.post(settings+"/resume", nil)
	grace.state("bad")
	grace.get(settings).says(t, "535", "5.7.8", "status 400, schemes Bearer, scope https://mail.google.com/", "1 letter")
	o.clock.Advance(tokenLife)
	grace.post(settings+"/resume", nil)
	s.arrive(t)
	grace.state("good")
}

func (s *story) sendForService(t *testing.T) {
	g, file := s.grace, string(s.office.stand.Delegate(t))
	g.Go(s.h.URL() + settings)
	tick(g, "provider", "google_service")
	peers.Eval[bool](g, `document.getElementById("oauth-more").open = true`)
	g.Fill("#mailbox", oauthtest.Robot)
	g.Fill("#scopes", "https://mail.google.com/")
	peers.Eval[bool](g, fmt.Sprintf(`(() => { const k = document.getElementById("client_key"); k.value = %q; k.dispatchEvent(new Event("input", { bubbles: true })); return true; })()`, file))
	s.testAndSave(t)
	s.arrives(t, "service", "gmail", oauthtest.Robot, oauthtest.Robot)
}
