package journey

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// maxPicture is the largest picture that the repository takes, in bytes.
const maxPicture = 100_000

// TestScreenshots takes the pictures of README and docs from the running
// product, into the folder that SCREENSHOTS names. Without it there is nothing
// to do.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	post := peers.Postfix(t)
	const login, password = "sealpost@example.org", "gallery-Wq7!password"
	post.AddUser(t, login, password)
	h := open(t, store.SQLite)
	grace, _ := furnish(t, h, post, login, password)
	gallery(t, grace)

	tab := peers.Chromium(t).Person(t, "grace")
	tab.Go(h.URL() + "/sign-in")
	tab.Fill("#login", "grace")
	tab.Fill("#password", gracePassword)
	tab.Press("form.card button.main")
	shot := camera(t, tab, folder)
	const wide, high = 1200, 780
	tab.Look("light", wide, high)
	for _, p := range []struct{ name, path, theme string }{
		{"home", "/", "light"},
		{"resources-dark", "/resources", "dark"},
		{"mail-journal", "/admin/mail/journal", "light"},
	} {
		tab.Go(h.URL() + p.path)
		shot(p.name, p.theme, wide, high)
	}
	tab.Go(h.URL() + "/resources?q=Oracle")
	tab.Press("#results a.name")
	tab.Click("button[value=reveal]")
	tab.WaitText("otter")
	shot("resource", "light", wide, high)

	tab.Go(h.URL() + "/admin/settings/mail")
	tab.Click("#test")
	tab.Wait("#verdict .test-end.good")
	peers.Eval[bool](tab, `scrollTo(0, 0), true`)
	shot("mail-server-settings", "light", wide, 1100)
	shot("mail-server-settings-phone", "light", 390, 844)
}

// camera returns what takes a picture of a tab into a folder.
func camera(t *testing.T, tab *peers.Tab, folder string) func(name, theme string, width, height int64) {
	return func(name, theme string, width, height int64) {
		t.Helper()
		tab.Look(theme, width, height)
		quality := int64(84)
		picture := tab.Picture(quality)
		for len(picture) > maxPicture && quality > 30 {
			quality -= 6
			picture = tab.Picture(quality)
		}
		if len(picture) > maxPicture {
			t.Errorf("%s has %d bytes", name, len(picture))
		}
		if err := os.WriteFile(filepath.Join(folder, name+".jpg"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScreenshotsOfTokens takes those of Exchange Online and Google.
func TestScreenshotsOfTokens(t *testing.T) {
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	o := openOffice(t, store.SQLite, oauthtest.Options{})
	grace := o.settle(t)
	chrome := peers.Chromium(t)
	// Each picture is of a tab of its own: what is typed in one is not sent.
	open := func(path string) (*peers.Tab, func(name, theme string, width, height int64)) {
		tab := chrome.Person(t, "grace")
		tab.Go(o.URL() + "/sign-in")
		tab.Fill("#login", "grace")
		tab.Fill("#password", gracePassword)
		tab.Press("form.card button.main")
		tab.Look("light", 1200, 1000)
		tab.Go(o.URL() + path)
		return tab, camera(t, tab, folder)
	}
	at := func(tab *peers.Tab, selector string) {
		peers.Eval[bool](tab, fmt.Sprintf(`document.querySelector(%q).scrollIntoView({block: "start"}), scrollBy(0, -16), document.activeElement.blur(), true`, selector))
	}
	tab, shot := open(settings + "?kind=microsoft")
	for id, value := range map[string]string{
		"sender_address": "vault@example.org", "sender_name": "Sealpost", "tenant": "5f0c8b3e-41d2-4c8a-9c55-0e7a2d6b1f90",
		"client_id": "b7d1a6f2-0c3e-4f58-8a11-6d9e2c4b7a53", "client_secret": "not-shown-anyway",
	} {
		tab.Fill("#"+id, value)
	}
	peers.Eval[bool](tab, `document.querySelector("#secret_ends").value = "2028-11-23", true`)
	at(tab, "#settings")
	shot("mail-microsoft", "light", 1200, 1000)
	tab.Click("#guide > summary")
	tab.Click("#guide > details:last-of-type > summary")
	at(tab, "#guide")
	shot("mail-microsoft-guide", "light", 1200, 1000)

	tab, shot = open(settings)
	tab.Click("details.presets summary")
	tab.Click("button[value=gmail-oauth]")
	tab.Click("details.presets summary")
	tab.Fill("#sender_address", "vault@example.org")
	tab.Click(".only-google .guide > summary")
	at(tab, "#settings")
	shot("mail-google", "light", 1200, 1240)

	o.signsIn(grace, o.exchange(), oauthtest.Alerts)
	o.stand.Revoke(oauthtest.Alerts)
	o.clock.Advance(tokenLife)
	grace.invitesOne("someone")
	grace.state("bad")
	_, shot = open(settings)
	shot("mail-microsoft-state", "light", 1200, 620)
}

// gallery fills a house with people and things to look at.
func gallery(t *testing.T, grace *desk) {
	t.Helper()
	for _, p := range []struct{ name, login, role string }{
		{"Ada Lovelace", "ada", "administrator"},
		{"Alan Turing", "alan", "password_administrator"},
		{"Barbara Liskov", "barbara", "password_administrator"},
		{"Donald Knuth", "donald", "password_auditor"},
		{"Edsger Dijkstra", "edsger", "password_user"},
		{"Margaret Hamilton", "margaret", "password_user"},
	} {
		grace.done("/users/add", "/users/add", map[string]string{
			"name": p.name, "login": p.login, "email": p.login + "@example.org", "role": p.role,
		})
	}
	for i, r := range []struct{ name, kind, address, department, account string }{
		{"Core switch", "Cisco IOS", "sw-core-1.example.org", "Network", "enable"},
		{"Domain controller", "Windows Domain", "dc1.example.org", "Infrastructure", "Administrator"},
		{"Hypervisor 1", "VMware ESXi", "esx1.example.org", "Infrastructure", "root"},
		{"Hypervisor 2", "VMware ESXi", "esx2.example.org", "Infrastructure", "root"},
		{"Oracle ERP", "Oracle", "erp-db.example.org", "Finance", "SYSTEM"},
		{"Payroll", "Microsoft SQL Server", "payroll.example.org", "Finance", "sa"},
		{"Web shop", "PostgreSQL", "shop-db.example.org", "Sales", "postgres"},
		{"Backup", "Linux", "backup.example.org", "Infrastructure", "root"},
	} {
		added := grace.done("/resources/add", "/resources/add", map[string]string{
			"name": r.name, "type": r.kind, "address": r.address, "department": r.department,
		})
		add := added.location() + "/accounts/add"
		grace.done(add, add, map[string]string{"name": r.account, "password": fmt.Sprintf("otter-%d-Brine-%s", i, strings.Repeat("k", 4))})
	}
	grace.state("good")
}
