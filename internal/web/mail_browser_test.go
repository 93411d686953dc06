package web_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/vault"
	"github.com/sealpost/sealpost/test/peers"
)

// seat is grace at a real browser, signed in.
func (r *rig) seat(chrome *peers.Browser) *peers.Tab {
	r.t.Helper()
	tab := chrome.Person(r.t, "grace")
	tab.Go(r.srv.URL + "/sign-in")
	tab.Fill("#login", "grace")
	tab.Fill("#password", goodPassword)
	tab.Press("button.main")
	return tab
}

// quiet checks that nothing went wrong in the tab and nobody else was asked.
func quiet(t *testing.T, r *rig, tab *peers.Tab) {
	t.Helper()
	// A form that is refused shows as a failed request.
	problems := slices.DeleteFunc(tab.Problems(), func(p string) bool { return strings.Contains(p, "422") })
	if len(problems) > 0 {
		t.Errorf("problems in the browser: %q", problems)
	}
	if hosts := tab.Hosts(); len(hosts) != 1 || !strings.HasSuffix(r.srv.URL, hosts[0]) {
		t.Errorf("the browser asked %q", hosts)
	}
}

func field(tab *peers.Tab, name string) string {
	return peers.Eval[string](tab, `document.querySelector("#settings").elements.namedItem("`+name+`").value`)
}

// What scripts add to the pages, in a real browser.
func TestAPersonAtABrowser(t *testing.T) {
	chrome := peers.Chromium(t)
	for _, what := range []struct {
		name string
		does func(*testing.T, *peers.Browser)
	}{
		{"sets up mail", setsUpMail},
		{"sets up a second server", setsUpASecondServer},
		{"is asked for a bound password at once", asksForABoundPassword},
		{"brings the certificate of an authority", bringsAnAuthority},
		{"cancels a test", cancelsATest},
		{"sees what receivers will see", seesWhatReceiversSee},
		{"finds an account while typing", findsAnAccount},
		{"signs in at Microsoft", signsInAtMicrosoft},
		{"moves a password to OAuth 2.0", movesToOAuth},
		{"comes back as somebody else, or not at all", comesBackOtherwise},
		{"sees the journal move by itself", seesTheJournalMove},
		{"keeps a filter while letters come", keepsAFilter},
		{"looks at an old password", looksAtAnOldPassword},
	} {
		t.Run(what.name, func(t *testing.T) { what.does(t, chrome) })
	}
}

func setsUpMail(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	r.clock.Set(time.Now())
	sink, _ := relay(t, r)
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + settingsPath)

	// Port and secure connection suggest each other, a preset fills both.
	tab.Click(".choice label:has([value=implicit])")
	if got := field(tab, "port"); got != "465" {
		t.Errorf("SSL suggests port %s", got)
	}
	tab.Click("details.presets summary")
	tab.Click("button[value=ses]")
	if got := field(tab, "host") + " " + field(tab, "port") + " " + field(tab, "security"); got != "email-smtp.eu-central-1.amazonaws.com 587 starttls" {
		t.Errorf("the preset fills in %s", got)
	}

	tab.Fill("#host", "localhost")
	tab.Fill("#port", strconv.Itoa(sink.Port()))
	tab.Fill("#sender_address", "vault@example.org")
	tab.Fill("#username", "vault")
	tab.Click("#test")
	tab.WaitText("Type the password.")
	tab.Fill("#password", mailPassword)

	// The certificate is shown, trusted by a button, and the test runs again.
	tab.Click("#test")
	tab.WaitText("Failed at “Encrypt”")
	if !peers.Eval[bool](tab, `!document.getElementById("anyway").hidden`) {
		t.Error("a failed test does not offer to save anyway")
	}
	tab.Click("button[name=trust]")
	tab.WaitText("Passed")
	if token := field(tab, "test_token"); token == "" || field(tab, "password") != mailPassword {
		t.Error("the test left no token, or took the password out of the form")
	}
	// A change of what was tested ends what the test vouches for.
	tab.Fill("#username", "vaul")
	tab.Fill("#username", "vault")
	if field(tab, "test_token") != "" {
		t.Error("the token outlived a change")
	}
	tab.Press("#settings > .actions .btn.main")
	tab.WaitText("The mail server settings are saved.")
	if p, _ := r.profile(); p.TestedAt.IsZero() {
		t.Error("saved without the test")
	}
	if n := len(sink.Letters()); n != 2 {
		t.Errorf("%d test letters, want two", n)
	}
	quiet(t, r, tab)
}

// choose puts a file with a content into a field.
func choose(tab *peers.Tab, selector, content string) {
	peers.Eval[bool](tab, `(() => {
		const input = document.querySelector(`+strconv.Quote(selector)+`), chosen = new DataTransfer();
		chosen.items.add(new File([`+strconv.Quote(content)+`], "ca.pem"));
		input.files = chosen.files;
		for (const name of ["input", "change"]) input.dispatchEvent(new Event(name, { bubbles: true }));
		return true;
	})()`)
}

func bringsAnAuthority(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	r.clock.Set(time.Now())
	sink, root := privateRelay(t, r)
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + settingsPath)
	tab.Fill("#host", "localhost")
	tab.Fill("#port", strconv.Itoa(sink.Port()))
	tab.Fill("#sender_address", "vault@example.org")
	tab.Fill("#username", "vault")
	tab.Fill("#password", mailPassword)
	tab.Click("details:has(#authority) summary")
	choose(tab, "#authority", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	tab.WaitText("The file holds a private key")
	choose(tab, "#authority", string(root.PEM()))
	tab.WaitText("Will be trusted for this server once saved")
	// A file that is taken back is not brought again by the next test.
	tab.Click("button[name=leave]")
	tab.Click("#test")
	tab.WaitText("Failed at “Encrypt”")
	choose(tab, "#authority", string(root.PEM()))
	tab.Wait("#candidates li")
	tab.Click("#test")
	tab.WaitText("Passed")
	tab.Press("#settings > .actions .btn.main")
	tab.WaitText("The mail server settings are saved.")
	tab.WaitText("Private Root")
	quiet(t, r, tab)
}

func asksForABoundPassword(t *testing.T, chrome *peers.Browser) {
	r, grace := ready(t)
	sink, cert := relay(t, r)
	grace.send(settingsPath, typed(sink.Port()).with("candidate", candidate("anchor", cert))).sees(303)
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + settingsPath)
	tab.WaitText("Set ")
	if got := field(tab, "password_action"); got != "keep" {
		t.Fatalf("the form begins with %q", got)
	}
	tab.Fill("#username", "other")
	tab.WaitText("The stored password is bound to the settings that it was typed for.")
	if got := field(tab, "password_action"); got != "replace" {
		t.Errorf("another user name leaves the password at %q", got)
	}
	tab.Fill("#username", "vault")
	if got := field(tab, "password_action"); got != "keep" {
		t.Errorf("the old user name leaves the password at %q", got)
	}
	// What is wrong is said at its field, and nothing typed is lost.
	tab.Fill("#sender_address", "nobody")
	tab.Click("#settings > .actions .btn.main")
	tab.Wait("#sender_address-told")
	if got := field(tab, "sender_address"); got != "nobody" {
		t.Errorf("the field holds %q", got)
	}
	quiet(t, r, tab)
}

func cancelsATest(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	silent := smtptest.Start(t, smtptest.Script{smtptest.Silence()})
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + settingsPath)
	tab.Fill("#host", "localhost")
	tab.Fill("#port", strconv.Itoa(silent.Port()))
	tab.Fill("#sender_address", "vault@example.org")
	tab.Click("label.tick")
	tab.Click("#test")
	tab.Wait("#steps [data-is=run][data-key=greeting]")
	tab.Click("#cancel")
	tab.WaitText("Cancelled. Nothing was saved.")
	quiet(t, r, tab)
}

// reach makes the address that the browser has the Access URL.
func (r *rig) reach() {
	r.t.Helper()
	site, err := r.users.Site(r.t.Context())
	r.must(err)
	site.AccessURL = r.srv.URL
	by := r.actorOf("grace")
	by.Proved = r.clock.Now()
	r.must(r.users.SaveSite(r.t.Context(), by, site))
}

func signsInAtMicrosoft(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	r.clock.Set(time.Now())
	r.reach()
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + settingsPath)
	tab.Click(".choice label:has([name=kind][value=microsoft])")
	if got := field(tab, "host") + " " + field(tab, "port"); got != "smtp.office365.com 587" {
		t.Errorf("the choice fills in %s", got)
	}
	tab.Click("#oauth-more > summary")
	tab.Wait("#cloud")
	peers.Eval[bool](tab, `(() => { const c = document.getElementById("cloud"); c.value = "gcc_high"; c.dispatchEvent(new Event("change", { bubbles: true })); return true; })()`)
	if got := field(tab, "host"); got != "smtp.office365.us" {
		t.Errorf("the cloud fills in %s", got)
	}
	tab.Fill("#host", "localhost")
	tab.Fill("#port", "1")
	tab.Fill("#sender_address", sender)
	tab.Fill("#access_url", "https://elsewhere.example:7272")
	tab.WaitText("The provider sends you back to https://elsewhere.example:7272")
	if got := peers.Eval[string](tab, `document.getElementById("redirect_uri").value + document.getElementById("redirect-port").innerText`); got != "https://elsewhere.example:7272/oauth/mail/callback, and port 7272" {
		t.Errorf("the redirect address is shown as %s", got)
	}
	tab.Fill("#access_url", r.srv.URL)
	tab.Click("#consent")
	tab.Wait("#tenant-told")
	tab.Fill("#tenant", tenantID)
	tab.Fill("#client_id", clientID)
	tab.Fill("#client_secret", clientSecret)
	tab.Fill("#authorize_url", r.entra.URL+"/{tenant}/authorize")
	tab.Fill("#token_url", r.entra.URL+"/{tenant}/token")
	tab.Click("#guide > summary")
	tab.Click("#guide > details:last-of-type > summary")
	if got := peers.Eval[string](tab, `document.getElementById("script-exchange").innerText`); !strings.Contains(got, "Set-CASMailbox -Identity '"+sender+"'") || strings.Contains(got, "New-ServicePrincipal") {
		t.Errorf("the script to copy is %s", got)
	}
	// By our page to the provider and back, and the test runs by itself.
	tab.Press("#consent")
	tab.Wait("[data-notice]")
	tab.WaitText(sender + " is signed in.")
	tab.WaitText("Failed at")
	if got := field(tab, "client_secret_action"); got != "keep" {
		t.Errorf("the secret stands at %q", got)
	}
	// Another client is bound to another secret.
	tab.Fill("#tenant", otherTenant)
	tab.Wait("#rebound-client")
	if got := field(tab, "client_secret_action") + field(tab, "secret_ends"); got != "replace" {
		t.Errorf("another tenant leaves the secret at %q", got)
	}
	for _, p := range tab.Problems() {
		if !strings.Contains(p, "422") {
			t.Error(p)
		}
	}
}

// comesBackOtherwise looks at the pages that only a sign-in reaches.
func comesBackOtherwise(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	r.clock.Set(time.Now())
	r.reach()
	tab := r.seat(chrome)
	fits := func(title string) {
		t.Helper()
		tab.WaitText(title)
		for theme, width := range map[string]int64{"light": 1280, "dark": 360} {
			tab.Look(theme, width, 900)
			for _, wrong := range tab.Accessible(t) {
				t.Errorf("%s: %s", title, wrong)
			}
			if n := tab.Sideways(); n > 0 {
				t.Errorf("%s: %d pixels sideways", title, n)
			}
		}
	}
	// As if there were no scripts: the form goes by itself.
	send := func(secretEnds string) {
		t.Helper()
		tab.Go(r.srv.URL + settingsPath)
		f := r.exchange().with("access_url", r.srv.URL, "origin", r.srv.URL, "secret_ends", secretEnds)
		var fields strings.Builder
		for name, value := range f {
			fields.WriteString("add(" + strconv.Quote(name) + "," + strconv.Quote(value) + ");")
		}
		peers.Eval[bool](tab, `(() => {
			const f = document.createElement("form");
			const add = (name, value) => { const i = document.createElement("input"); i.name = name; i.value = value; f.append(i); };
			`+fields.String()+`
			f.method = "post"; f.action = "`+signInPath+`"; f.id = "by-hand";
			const b = document.createElement("button"); b.textContent = "Send"; f.append(b);
			document.querySelector("main").prepend(f);
			return true;
		})()`)
		tab.Press("#by-hand button")
	}
	send("2020-01-31")
	fits("ended on 2020-01-31")
	r.entra.set(func(a *authority) { a.denial = "access_denied" })
	tab.Press("a.btn.main")
	fits("The sign-in did not work")
	r.entra.set(func(a *authority) { a.denial, a.who = "", "licensed@example.org" })
	send("2099-01-31")
	tab.Wait("form[action$=decide]")
	fits("Somebody else signed in")
	tab.Press("form[action$=decide] button")
	tab.WaitText("licensed@example.org is signed in.")
	// The script takes the old day out of the form itself.
	if got := field(tab, "secret_ends") + field(tab, "secret_ends_before"); got != "2099-01-31" {
		t.Errorf("the days in the form are %s", got)
	}
	if strings.Contains(tab.Location(), "code") {
		t.Errorf("the code stays in the address: %s", tab.Location())
	}
}

func movesToOAuth(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + settingsPath)
	tab.Fill("#host", "smtp.office365.com")
	tab.Fill("#username", sender)
	tab.Click("#move button")
	tab.Wait("#tenant")
	if got := field(tab, "kind") + " " + field(tab, "host") + " " + field(tab, "sender_address"); got != "microsoft smtp.office365.com "+sender {
		t.Errorf("moved to %s", got)
	}
	tab.Click(".choice label:has([name=kind][value=smtp])")
	tab.Click("details.presets summary")
	tab.Click("button[value=gmail-oauth]")
	tab.WaitText("Save and sign in at Google")
	if got := field(tab, "host") + " " + field(tab, "auth") + " " + field(tab, "provider"); got != "smtp.gmail.com oauth google" {
		t.Errorf("the preset fills in %s", got)
	}
	quiet(t, r, tab)
}

func findsAnAccount(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	by := r.actorOf("grace")
	res, err := r.vault.AddResource(t.Context(), by, vault.NewResource{Fields: vault.Fields{Name: "relay", Type: "Application"}})
	r.must(err)
	for _, name := range []string{"vault-smtp", "postmaster"} {
		_, err := r.vault.AddAccount(t.Context(), by, res.ID, vault.NewAccount{Name: name, Password: secret.New(mailPassword)})
		r.must(err)
	}
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + settingsPath)
	tab.Click(".choice label:has([name=auth][value=account])")
	tab.WaitText("relay / postmaster")
	tab.Fill("#account_text", "smtp")
	tab.Wait("#accounts:not(:has(label + label))")
	tab.WaitText("relay / vault-smtp")
	quiet(t, r, tab)
}

func seesTheJournalMove(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	tab := r.seat(chrome)
	id := r.add("Ada", "ada@example.org")
	tab.Go(r.srv.URL + journalPath + "/" + id)
	tab.WaitText("On its way")
	r.deliver(outbox.Outcome{State: outbox.Accepted, Reply: "250 queued"})
	tab.WaitText("Accepted")
	quiet(t, r, tab)
}

func keepsAFilter(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	tab := r.seat(chrome)
	r.add("Ada", "ada@example.org")
	r.add("Ben", "ben@example.org")
	tab.Go(r.srv.URL + journalPath)
	tab.Fill("input[name=q]", "ada")
	tab.Wait("#results:not(:has(tbody tr + tr))")
	r.add("Ben", "second-ben@example.org")
	r.add("Ada", "second-ada@example.org")
	tab.WaitText("second-ada@example.org")
	if shown := peers.Eval[string](tab, `document.getElementById("results").innerText`); strings.Contains(shown, "ben@") {
		t.Errorf("the filter is gone: %s", shown)
	}
	quiet(t, r, tab)
}

func looksAtAnOldPassword(t *testing.T, chrome *peers.Browser) {
	r, grace := ready(t)
	s := r.shelf(grace)
	grace.post(s.account+"/password", "version", "1", "password", newPassword).sees(303)
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + s.account)
	// Half a minute goes by in a moment.
	peers.Eval[bool](tab, `(() => { const wait = setTimeout; window.setTimeout = (act, ms) => wait(act, ms / 30); return true; })()`)
	tab.Click("tr[data-account] button[value=reveal]")
	tab.WaitText(oldPassword)
	tab.Wait("tr[data-account]:has([data-secret][hidden])")
	if got := peers.Eval[string](tab, `location.pathname + document.querySelector("tr[data-account] [data-secret]").textContent`); got != s.account {
		t.Errorf("after its time it shows %s", got)
	}
	_, answer := grace.script(s.account+"/reveal", "how", "copy", "version", "1")
	if answer["password"] != oldPassword {
		t.Errorf("the copy is %v", answer)
	}
	if seen, taken := r.actions("password.revealed"), r.actions("password.copied"); len(seen) != 1 || len(taken) != 1 {
		t.Errorf("%d reveals and %d copies are audited, want one of each", len(seen), len(taken))
	}
	quiet(t, r, tab)
}
