package journey

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// furnish sets the house up at a desk, with forms alone, as a browser without
// scripts would: grace is there, and mail leaves through Postfix with an
// account that grace keeps in the vault.
func furnish(t *testing.T, h *house, post *peers.MailServer, login, password string) (grace *desk, account string) {
	t.Helper()
	grace = newDesk(t, h.URL())
	path, code, _ := strings.Cut(strings.TrimPrefix(h.SetupLink(), h.URL()), "#")
	grace.done(path, path, map[string]string{
		"code": code, "name": graceName, "login": "grace", "email": graceEmail, "password": gracePassword,
		"organisation": "Example Ltd", "access_url": h.URL(),
	})
	account = grace.keeps("Mail server", login, password)
	grace.usesAccount(post, account)
	return grace, account
}

// keeps adds a resource with one account and returns the account's path.
func (d *desk) keeps(resource, name, password string) string {
	d.t.Helper()
	added := d.done("/resources/add", "/resources/add", map[string]string{"name": resource, "type": "Mail server"})
	add := added.location() + "/accounts/add"
	d.done(add, add, map[string]string{"name": name, "password": password})
	page := d.get(added.location()).body
	_, rest, ok := strings.Cut(page, `href="/accounts/`)
	id, _, _ := strings.Cut(rest, `"`)
	if !ok || strings.Contains(id, "/") {
		d.t.Fatalf("the resource shows no account\n%s", words(page))
	}
	return "/accounts/" + id
}

// usesAccount makes Postfix the mail server, with an account of the vault:
// first the certificate is found unknown, then it is trusted and tested, then
// saved.
func (d *desk) usesAccount(post *peers.MailServer, account string) {
	d.t.Helper()
	const settings = "/admin/settings/mail"
	form := d.fill(settings, settings, map[string]string{
		"host": peers.Host, "port": fmt.Sprint(post.Submission), "security": "starttls",
		"sender_address": "vault@example.org", "signin": "yes", "auth": "account",
		"account": strings.TrimPrefix(account, "/accounts/"), "test_to": graceEmail,
	})
	test := d.post(settings+"/test", form)
	form.Set("trust", lastTrust(d, test.body))
	test = d.post(settings+"/test", form)
	passed, ok := formIn(test.body, settings, settings)
	if !ok || passed.Get("test_token") == "" {
		d.t.Fatalf("the test did not pass: status %d\n%s", test.status, words(test.body))
	}
	passed.Set("do", "save")
	if saved := d.post(settings, passed); saved.status != http.StatusSeeOther {
		d.t.Fatalf("the settings were not saved: status %d\n%s", saved.status, words(saved.body))
	}
}

// lastTrust returns what the last button of a page sends that offers to trust a
// certificate: that of the authority.
func lastTrust(d *desk, page string) string {
	d.t.Helper()
	const button = `name="trust" value="anchor:`
	i := strings.LastIndex(page, button)
	if i < 0 {
		d.t.Fatalf("no certificate to trust on offer\n%s", words(page))
	}
	value, _, _ := strings.Cut(page[i+len(button):], `"`)
	return "anchor:" + strings.NewReplacer("&#43;", "+", "&#61;", "=").Replace(value)
}

// changes gives an account another password.
func (d *desk) changes(account, password string) {
	d.t.Helper()
	d.done(account+"/password", account+"/password", map[string]string{"password": password, "reason": "rotation"})
}

// invites adds users until stop is closed, and returns whom.
func (d *desk) invites(prefix string, stop <-chan struct{}) []string {
	var all []string
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return all
		case <-tick.C:
		}
		login := fmt.Sprintf("%s-%d", prefix, n)
		a, err := d.try(http.MethodPost, "/users/add", url.Values{
			"name": {"Somebody"}, "login": {login}, "email": {login + "@example.org"}, "role": {"password_user"},
		})
		// While mail is paused the answer is the page with the link.
		if err != nil || a.status != http.StatusSeeOther && a.status != http.StatusOK {
			d.t.Errorf("adding %s: %d %v", login, a.status, err)
			return all
		}
		all = append(all, login+"@example.org")
	}
}

// state asks for the mail settings until they say what is wanted.
func (d *desk) state(want string) string {
	d.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		page := d.get("/admin/settings/mail").body
		if strings.Contains(page, `id="mail-state" data-state="`+want+`"`) {
			return page
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("mail is not %s\n%s", want, words(page))
		}
		<-time.After(100 * time.Millisecond)
	}
}

// connects counts the connections that Postfix saw.
func connects(post *peers.MailServer) int { return strings.Count(post.Log(), "]: connect from") }

func TestTheMailAccountsPasswordChangesWhileMailFlows(t *testing.T) {
	post := peers.Postfix(t)
	engines(t, func(t *testing.T, engine store.Engine) {
		h := open(t, engine)
		login := "flow-" + string(engine)
		post.AddUser(t, login, "first-Wq7!password")
		grace, account := furnish(t, h, post, login, "first-Wq7!password")

		stop, flowed := make(chan struct{}), make(chan []string)
		go func() { flowed <- grace.invites(login, stop) }()
		post.Wait(t, login+"-2@example.org", 1)

		// Sealpost first, then the mail server, then the other way round: in
		// between the sign-in is refused either way.
		grace.changes(account, "second-Wq7!password")
		post.AddUser(t, login, "second-Wq7!password")
		if !peers.Torture() {
			// Sealpost tries again by itself within a minute; who cannot wait
			// presses the button.
			grace.post("/admin/settings/mail/resume", url.Values{})
		}
		grace.state("good")
		post.AddUser(t, login, "third-Wq7!password")
		grace.changes(account, "third-Wq7!password")
		grace.state("good")
		close(stop)
		everybody := <-flowed
		for _, address := range everybody {
			if mails := post.Wait(t, address, 1); len(mails) != 1 {
				t.Errorf("%s got %d letters", address, len(mails))
			}
		}
		t.Logf("%d letters", len(everybody))

		// A change that needs no pause: the next connection uses the new
		// password, and it is another connection.
		before := connects(post)
		post.AddUser(t, login, "fourth-Wq7!password")
		grace.changes(account, "fourth-Wq7!password")
		late := grace.invitesOne(login + "-late")
		post.Wait(t, late, 1)
		if connects(post) == before {
			t.Error("the old connection was used on")
		}
	})
}

// invitesOne adds one user and returns the address.
func (d *desk) invitesOne(login string) string {
	d.t.Helper()
	a := d.send("/users/add", "/users/add", map[string]string{
		"name": "Somebody", "login": login, "email": login + "@example.org", "role": "password_user",
	})
	if a.status != http.StatusSeeOther && a.status != http.StatusOK {
		d.t.Fatalf("adding %s: status %d\n%s", login, a.status, words(a.body))
	}
	return login + "@example.org"
}

func TestAWrongPasswordPausesMailAndLosesNothing(t *testing.T) {
	post := peers.Postfix(t)
	engines(t, func(t *testing.T, engine store.Engine) {
		h := open(t, engine)
		login := "pause-" + string(engine)
		post.AddUser(t, login, "right-Wq7!password")
		grace, account := furnish(t, h, post, login, "right-Wq7!password")
		grace.changes(account, "wrong-Wq7!password")

		var kept []string
		for n := range 3 {
			kept = append(kept, grace.invitesOne(fmt.Sprintf("%s-%d", login, n)))
		}
		page := grace.state("bad")
		for _, want := range []string{"535", "3 letters"} {
			if !strings.Contains(page, want) {
				t.Errorf("the settings do not say %q:\n%s", want, words(page))
			}
		}
		for _, path := range []string{"/", "/users", "/resources"} {
			if body := grace.get(path).body; !strings.Contains(body, "Mail is paused.") {
				t.Errorf("%s has no banner:\n%s", path, words(body))
			}
		}
		for _, address := range kept {
			if mails := post.Received(t, address); len(mails) != 0 {
				t.Errorf("%s got a letter while mail was paused", address)
			}
			if body := grace.get("/admin/mail/journal?q=" + address).body; !strings.Contains(body, "Waits") {
				t.Errorf("the journal does not say that the letter for %s waits:\n%s", address, words(body))
			}
		}
		// A person who is added now is shown the link to hand over.
		held := grace.send("/users/add", "/users/add", map[string]string{
			"name": "Somebody", "login": login + "-held", "email": login + "-held@example.org", "role": "password_user",
		})
		if held.status != http.StatusOK || !strings.Contains(held.body, h.URL()+"/invite#") {
			t.Errorf("the link was not shown: status %d\n%s", held.status, words(held.body))
		}

		grace.changes(account, "right-Wq7!password")
		for _, address := range append(kept, login+"-held@example.org") {
			if mails := post.Wait(t, address, 1); len(mails) != 1 {
				t.Errorf("%s got %d letters", address, len(mails))
			}
		}
		grace.state("good")
		if body := grace.get("/").body; strings.Contains(body, "Mail is paused.") {
			t.Error("the banner stays")
		}
	})
}
