package journey

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/test/peers"
)

// maxWeight is what a page with all its parts may weigh, in bytes, uncompressed.
const maxWeight = 150_000

// notPages are routes that answer a script or with a file, which nobody looks
// at.
var notPages = []string{
	"/admin/settings/mail/state", "/admin/settings/mail/accounts", "/admin/settings/mail/second/state", "/admin/settings/mail/second/accounts",
	"/admin/mail/journal/rows", "/admin/mail/journal/events", "/admin/mail/journal/export.csv",
	"/admin/mail/journal/{id}/now", "/admin/mail/capture/rows", "/admin/mail/capture/{id}/html",
	"/admin/mail/capture/{id}/download", "/audit/export.csv", "/logo",
}

// more are addresses of pages in another state, by who looks at them.
var more = map[string][]string{
	"/users/{id}":              {"?ask=disable", "?ask=delete"},
	"/users":                   {"?q=nobody-fits"},
	"/resources":               {"?q=nothing-fits", "?sort=type"},
	"/audit":                   {"?q=nothing-fits"},
	"/admin/settings/mail":     {"?ask=stop", "?ask=remove", "?kind=microsoft"},
	"/admin/mail/capture":      {"?ask=empty", "?q=nothing-fits"},
	"/admin/mail/capture/{id}": {"?view=html", "?view=text", "?view=headers", "?view=source", "?ask=delete"},
	"/accounts/{id}/reveal":    {"?version=1"},
}

// unmet are pages that say why nothing can be done, to who comes in another
// browser than the one in which it was begun.
var unmet = []string{
	"/admin/settings/mail/sign-in/{id}", "/admin/settings/mail/sign-in/{id}/decide", "/admin/settings/mail/second/sign-in/{id}",
	"/admin/settings/mail/second/sign-in/{id}/decide", "/oauth/mail/callback", "/pmpredirect/AzureOAuth",
}

// everyPage opens every page there is, as somebody who may, in both themes and
// on a telephone: axe-core finds nothing, nothing scrolls sideways, the console
// stays silent and nobody else is asked.
func everyPage(t *testing.T, e *estate) {
	browser := peers.Chromium(t)
	tabs := map[string]*peers.Tab{}
	for _, who := range []string{"visitor", "grace", "owner"} {
		tabs[who] = browser.Person(t, who)
		if who != "visitor" {
			tabs[who].Go(e.URL() + "/sign-in")
			tabs[who].Fill("#login", who)
			tabs[who].Fill("#password", e.secrets[who+"'s password"])
			tabs[who].Press("form.card button.main")
		}
	}
	for _, r := range routes(t) {
		if r.Method != http.MethodGet || slices.Contains(notPages, r.Path) {
			continue
		}
		who := "grace"
		switch {
		case r.Access == "open":
			who = "visitor"
		case strings.HasPrefix(r.Path, "/resources"), strings.HasPrefix(r.Path, "/accounts"), strings.HasPrefix(r.Path, "/audit/"):
			who = "owner"
		}
		for _, query := range append([]string{""}, more[r.Path]...) {
			t.Run(r.Path+query, func(t *testing.T) {
				tab := tabs[who].For(t)
				path := e.at(t, r.Path)
				want := http.StatusOK
				if slices.Contains(unmet, r.Path) {
					want = http.StatusUnprocessableEntity
				}
				if status := tab.Go(e.URL() + path + query); status != want {
					t.Fatalf("status %d\n%s", status, tab.Text())
				}
				if n := tab.Weight(); n > maxWeight || n < 10_000 {
					t.Errorf("the page weighs %d bytes", n)
				}
				if n := tab.Shift(); n > 0 {
					t.Errorf("the page moves by itself: %d thousandths", n)
				}
				fit(t, e.house, tab)
			})
		}
	}
	t.Run("nothing here", func(t *testing.T) {
		for _, who := range []string{"visitor", "grace"} {
			tab := tabs[who].For(t)
			if status := tab.Go(e.URL() + "/no/such/page"); status != http.StatusNotFound {
				t.Errorf("status %d", status)
			}
			fit(t, e.house, tab)
		}
	})
}

// looks are how pages are looked at; the shorter list takes each theme and each
// width once.
func looks() []look {
	if peers.Torture() {
		return []look{{"light", 1280}, {"dark", 1280}, {"light", 360}, {"dark", 360}}
	}
	return []look{{"light", 1280}, {"dark", 360}}
}

type look struct {
	theme string
	width int64
}

// fit checks the page that a tab shows.
func fit(t *testing.T, h *house, tab *peers.Tab) {
	t.Helper()
	for _, l := range looks() {
		tab.Look(l.theme, l.width, 900)
		for _, wrong := range tab.Accessible(t) {
			t.Errorf("%s at %d: %s", l.theme, l.width, wrong)
		}
		if n := tab.Sideways(); n > 0 {
			t.Errorf("%d pixels sideways at %d", n, l.width)
		}
	}
	for _, p := range tab.Problems() {
		t.Error(p)
	}
	for _, host := range h.strangers(t, tab) {
		t.Errorf("the browser asked %s", host)
	}
}
