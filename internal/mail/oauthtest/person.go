package oauthtest

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Person is somebody who signs in on the pages.
type Person struct {
	Name, Password string
	// Declines presses Cancel where consent is asked for.
	Declines bool
}

// Visit is how a sign-in ended.
type Visit struct {
	// Back is where the person was sent, with code or error; nil when a page was
	// the end.
	Back *url.URL
	// Page is the text of that page.
	Page string
}

var (
	flowField = regexp.MustCompile(`name="flow" value="([^"]+)"`)
	tags      = regexp.MustCompile(`(?s)<style>.*</style>|<[^>]*>`)
)

// SignIn walks through the pages behind an authorize address, in a browser that
// was never there. Zero Password is everybody's.
func (s *Stand) SignIn(t testing.TB, authorizeURL string, p Person) Visit {
	t.Helper()
	if p.Password == "" {
		p.Password = Password
	}
	visit, page := s.step(t, authorizeURL, nil)
	if visit.Back != nil || !strings.Contains(page, `id="loginfmt"`) {
		return visit
	}
	visit, page = s.step(t, authorizeURL, url.Values{"loginfmt": {p.Name}, "passwd": {p.Password}})
	flow := flowField.FindStringSubmatch(page)
	if visit.Back != nil || flow == nil {
		return visit
	}
	form := url.Values{"flow": {html.UnescapeString(flow[1])}, "accept": {"1"}}
	if p.Declines {
		form = url.Values{"flow": form["flow"], "cancel": {"1"}}
	}
	visit, _ = s.step(t, authorizeURL, form)
	return visit
}

// step gets a page, or posts a form to it.
func (s *Stand) step(t testing.TB, address string, form url.Values) (Visit, string) {
	t.Helper()
	ask := func() (*http.Response, error) { return s.HTTP().Get(address) }
	if form != nil {
		ask = func() (*http.Response, error) { return s.HTTP().PostForm(address, form) }
	}
	r, err := ask()
	if err != nil {
		t.Fatalf("oauthtest: %v", err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("oauthtest: %v", err)
	}
	page := string(body)
	if r.StatusCode == http.StatusFound {
		back, err := r.Location()
		if err != nil {
			t.Fatalf("oauthtest: %v", err)
		}
		return Visit{Back: back}, page
	}
	return Visit{Page: strings.TrimSpace(html.UnescapeString(tags.ReplaceAllString(page, " ")))}, page
}
