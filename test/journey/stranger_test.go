package journey

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// Who signs in for a shared mailbox is somebody else, which the administrator
// decides about on a page.
func TestSomebodySignsInForASharedMailbox(t *testing.T) {
	o := openOffice(t, store.SQLite, oauthtest.Options{})
	grace := o.settle(t)
	s := &story{h: o.house, office: o, browser: peers.Chromium(t)}
	s.grace, s.ada = s.browser.Person(t, "Grace"), s.browser.Person(t, "Ada")
	g := s.grace
	g.Go(o.URL() + "/sign-in")
	g.Fill("#login", "grace")
	g.Fill("#password", gracePassword)
	g.Press("form.card button.main")

	shared := func() {
		g.Go(o.URL() + settings + "?kind=microsoft")
		s.fillExchange(g)
		g.Fill("#sender_address", oauthtest.Shared)
		g.Press("#consent")
	}
	shared()
	s.atMicrosoft(g, oauthtest.Alerts)
	g.Press("#cancel")
	g.WaitText("Who signed in did not accept what Microsoft asked for.")
	g.WaitText("AADSTS65004")
	s.fits(t, g)
	// Nothing of what was typed is lost, the secret neither.
	g.Press("button[name=again]")
	g.Press("button[name=pick]")
	g.Press("#accept")
	g.WaitText("Somebody else signed in")
	g.WaitText("Send as " + oauthtest.Shared + " through " + oauthtest.Alerts)
	g.WaitText("Add-RecipientPermission -Identity '" + oauthtest.Shared + "' -Trustee '" + oauthtest.Alerts + "' -AccessRights SendAs")
	s.fits(t, g)
	if said := grace.get(settings).body; !strings.Contains(words(said), "No mail server is set up") {
		t.Error("the settings are stored before anybody decided")
	}
	g.Press(`form[action$="/decide"] button`)
	g.WaitText(oauthtest.Alerts + " is signed in.")
	g.Wait(`#mail-state[data-state=good]`)
	if l := o.wait(t, grace.invitesOne("shared")); l.Login != oauthtest.Alerts || l.From != oauthtest.Shared {
		t.Errorf("signed in as %s, from %s", l.Login, l.From)
	}
	s.calm(t)

	// Somebody who may not send as it is found out by the first letter: mail is
	// paused, the letter kept, and one sign-in mends it.
	a := grace.returns(o.stand.SignIn(t, grace.leaves(with(o.exchange(), "sender_address", oauthtest.Shared)), oauthtest.Person{Name: oauthtest.Grace}))
	if !strings.HasSuffix(a.location(), "/decide") {
		t.Fatalf("the sign-in leads to %s", a.location())
	}
	grace.done(a.location(), a.location(), nil)
	kept := grace.invitesOne("denied")
	grace.state("bad")
	grace.get(settings).says(t, "554", "5.2.252", "SendAsDenied", oauthtest.Grace+" not allowed to send as "+oauthtest.Shared, "Send As", "1 letter")
	// The next who signs in is asked about again, and kept by name then.
	o.signsIn(grace, with(o.exchange(), "sender_address", oauthtest.Shared, "mailbox", oauthtest.Alerts), oauthtest.Alerts)
	if l := o.wait(t, kept); l.Login != oauthtest.Alerts || l.From != oauthtest.Shared {
		t.Errorf("signed in as %s, from %s", l.Login, l.From)
	}
}

func TestSomebodyOfAnotherTenantIsRefused(t *testing.T) {
	o := openOffice(t, store.SQLite, oauthtest.Options{})
	grace := o.settle(t)
	// Microsoft itself turns them away at the tenant's own address.
	visit := o.stand.SignIn(t, grace.leaves(o.exchange()), oauthtest.Person{Name: oauthtest.Visitor})
	if visit.Back != nil || !strings.Contains(visit.Page, "AADSTS50020") {
		t.Fatalf("got %+v", visit)
	}
	app := o.stand.App(oauthtest.ClientID)
	app.MultiTenant = true
	o.stand.PutApp(app)
	elsewhere := with(o.exchange(), "authorize_url", o.stand.AuthorizeURL(oauthtest.Fabrikam), "token_url", o.stand.TokenURL(oauthtest.Fabrikam))
	a := grace.returns(o.stand.SignIn(t, grace.leaves(elsewhere), oauthtest.Person{Name: oauthtest.Visitor}))
	if !strings.HasSuffix(a.location(), "/decide") {
		t.Fatalf("the sign-in leads to %s", a.location())
	}
	page := grace.get(a.location())
	page.says(t, "Somebody of another directory signed in", oauthtest.Visitor, oauthtest.Fabrikam, oauthtest.Contoso, "was thrown away")
	if _, ok := formIn(page.body, a.location(), a.location()); ok {
		t.Error("the page offers to accept somebody of another directory")
	}
	if got := grace.post(a.location(), nil); got.status != http.StatusUnprocessableEntity {
		t.Errorf("accepting them: status %d", got.status)
	}
	if said := grace.audited("mail.sign_in_refused"); len(said) != 1 || !strings.Contains(said[0], "belongs to another directory") {
		t.Errorf("the audit log says %q", said)
	}
	grace.get(settings).says(t, "No mail server is set up")
}

// Who comes back from Microsoft is let in once, in ten minutes, in the session
// in which it began, at the address that was chosen, and with what Microsoft
// gave for it.
func TestASignInIsTakenOnceFromWhoBeganIt(t *testing.T) {
	engines(t, func(t *testing.T, engine store.Engine) {
		o := openOffice(t, engine, oauthtest.Options{})
		grace := o.settle(t)
		other := newDesk(t, o.URL())
		other.signIn("grace", gracePassword)
		refused := 0
		// refuses lets a desk come back, which must lead nowhere.
		refuses := func(name string, d *desk, target, want string) {
			t.Helper()
			refused++
			redeemed := o.stand.Count("authorization_code")
			a := d.get(target)
			if a.status != http.StatusUnprocessableEntity && a.status != http.StatusConflict {
				t.Errorf("%s: status %d, to %s", name, a.status, a.location())
			}
			a.says(t, "The sign-in did not work", want)
			if o.stand.Count("authorization_code") != redeemed {
				t.Errorf("%s: the code was tried", name)
			}
			if n := len(grace.audited("mail.sign_in_refused")) + len(grace.audited("mail.sign_in_unknown")); n != refused {
				t.Errorf("%s: %d refusals in the audit log, want %d", name, n, refused)
			}
		}
		form := with(o.exchange(), "redirect_path", mail.RedirectPMP)
		began := func() string {
			visit := o.stand.SignIn(t, grace.leaves(form), oauthtest.Person{Name: oauthtest.Alerts})
			if visit.Back == nil || visit.Back.Path != mail.RedirectPMP {
				t.Fatalf("got %+v", visit)
			}
			return visit.Back.RequestURI()
		}
		const unknown = "This sign-in is not known here."
		good := began()
		code, state := valueIn(t, good, "code"), valueIn(t, good, "state")
		refuses("no state", grace, mail.RedirectPMP+"?code="+code, unknown)
		refuses("a forged state", grace, mail.RedirectPMP+"?code="+code+"&state="+strings.Repeat("A", len(state)), unknown)
		refuses("another session of the same person", other, good, unknown)
		refuses("the other address", grace, strings.Replace(good, mail.RedirectPMP, mail.RedirectOwn, 1), "another address")
		visitor := newDesk(t, o.URL()).get(good)
		if visitor.status != http.StatusSeeOther || strings.Contains(visitor.location(), code) || strings.Contains(visitor.location(), state) {
			t.Errorf("signed out: status %d, to %s", visitor.status, visitor.location())
		}

		late := began()
		o.clock.Advance(11 * time.Minute)
		refuses("eleven minutes", grace, late, unknown)

		// A code of another sign-in is refused by Microsoft: the verifier is
		// another one.
		first, second := began(), began()
		a := grace.get(mail.RedirectPMP + "?code=" + valueIn(t, first, "code") + "&state=" + valueIn(t, second, "state"))
		refused++
		a.says(t, "The sign-in did not work", "AADSTS501481")
		grace.get(settings).says(t, "No mail server is set up")

		good = began()
		if a := grace.get(good); a.status != http.StatusSeeOther || a.location() != settings {
			t.Fatalf("the right one: status %d, to %s\n%s", a.status, a.location(), words(a.body))
		}
		refuses("a second time", grace, good, "used already")
		o.wait(t, grace.invitesOne("after"))
		for name, log := range map[string]string{"log": o.log.String(), "audit log": grace.get("/audit/export.csv").body} {
			for _, secret := range []string{code, state, valueIn(t, good, "code"), valueIn(t, good, "state")} {
				if strings.Contains(log, secret) {
					t.Errorf("the %s holds a code or a state", name)
				}
			}
		}
	})
}
