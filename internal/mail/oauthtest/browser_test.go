package oauthtest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/test/peers"
)

// The pages are for people: a browser goes through them, comes back, and is
// still signed in the next time.
func TestAPersonSignsInWithABrowser(t *testing.T) {
	browser := peers.Chromium(t)
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<!doctype html><link rel=icon href=data:,><title>Home</title><p>Welcome back."))
	}))
	t.Cleanup(home.Close)
	back := strings.Replace(home.URL, "127.0.0.1", "localhost", 1) + "/oauth/mail/callback"
	s, _ := open(t, oauthtest.Options{})
	s.Register(back)
	address := func(changes ...string) string {
		return s.AuthorizeURL(oauthtest.Contoso) + "?" + asking(append([]string{"redirect_uri", back}, changes...)...).Encode()
	}
	p := browser.Person(t, "Grace")
	p.Go(address("login_hint", "-"))
	p.Fill("#loginfmt", "nobody@contoso.example")
	p.Press("#next")
	p.WaitText("AADSTS50034")
	p.Fill("#loginfmt", oauthtest.Alerts)
	p.Press("#next")
	p.Fill("#passwd", "wrong")
	p.Press("#next")
	p.WaitText("AADSTS50126")
	p.Fill("#passwd", oauthtest.Password)
	p.Press("#next")
	p.WaitText("https://outlook.office.com/SMTP.Send")
	p.Press("#cancel")
	p.WaitText("Welcome back.")
	if got := p.Location(); !strings.HasPrefix(got, back+"?error=access_denied&") {
		t.Errorf("cancelled: %s", got)
	}
	p.Go(address("prompt", "-"))
	p.Press("#accept")
	p.WaitText("Welcome back.")
	if got := p.Location(); !strings.HasPrefix(got, back+"?code=") || !strings.Contains(got, "state=the-state") {
		t.Errorf("accepted: %s", got)
	}
	p.Go(address())
	p.Press("button[name=pick]")
	p.WaitText("Welcome back.")
	if status := p.Go(address("redirect_uri", back+"/")); status != http.StatusBadRequest || !strings.Contains(p.Text(), "AADSTS50011") {
		t.Errorf("a redirect that is not registered: %d %s", status, p.Text())
	}
	for _, problem := range p.Problems() {
		t.Error(problem)
	}
}
