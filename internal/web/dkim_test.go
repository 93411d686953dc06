package web_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/domain/domaintest"
	"github.com/sealpost/sealpost/test/peers"
)

// buildDKIM makes what signs letters, with a DNS of the test's.
func (r *rig) buildDKIM(keys *keyring.Keyring, prove func(actor.Actor) error) {
	r.t.Helper()
	r.dns = domaintest.Start(r.t, nil)
	resolver, err := domain.New(domain.Config{Server: r.dns.Addr(), Wait: 200 * time.Millisecond})
	r.must(err)
	r.resolver = resolver
	r.dkim = dkim.NewService(dkim.Config{
		DB: r.db, Keys: keys, Audit: r.audit, DNS: resolver, Prove: prove, Log: nil,
		Sender: func(ctx context.Context, slot dkim.Slot) (string, error) {
			service := r.mail
			if slot == dkim.Second {
				service = r.second
			}
			p, _, err := service.Active(ctx)
			_, host, _ := strings.Cut(p.SenderAddress, "@")
			return host, err
		},
	})
}

const dkimPath = "/admin/settings/mail/dkim"

func TestSigningIsSwitchedOnOnceTheRecordIsSeen(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		grace.get(dkimPath).sees(http.StatusOK, "Letters are not signed", "Set up the mail server first")
		grace.send(settingsPath, typed(1).with("do", "anyway")).leads(settingsPath)
		if page := grace.get(settingsPath).sees(http.StatusOK); !strings.Contains(page.body, `href="/admin/settings/mail/dkim"`) {
			r.t.Error("no link leads to the page")
		}
		grace.get(dkimPath).sees(http.StatusOK, "Letters are not signed", "Make a key", "[selector=sealpost202603]", "Letters are signed for example.org")

		// What is wrong stands at its field, and what was typed stays.
		f := form{"domain": "example.org", "selector": "spring", "algorithms": "both"}
		grace.send(dkimPath, f.with("selector", "no good")).sees(http.StatusUnprocessableEntity, "A selector is letters, digits and hyphens", "[selector=no good]")
		grace.send(dkimPath, f.with("algorithms", "rot13")).sees(http.StatusUnprocessableEntity, "Choose RSA, Ed25519 or both.")
		grace.send(dkimPath, f.with("domain", "example.net")).sees(http.StatusUnprocessableEntity, "Choose the domain of the sender")
		grace.send(dkimPath, f).leads(dkimPath).sees(http.StatusOK, "Publish these 2 records", "[=spring._domainkey.example.org]", "[=spring-ed._domainkey.example.org]",
			"[=v=DKIM1; k=ed25519; p=", "Waiting for the record in the DNS", "Not checked yet", "IN TXT (", "In 2 parts")

		grace.post(dkimPath+"/check").leads(dkimPath).sees(http.StatusOK, "Not in the DNS yet", "There is no TXT record at this name yet")
		st, err := r.dkim.Status(r.t.Context(), r.system(), dkim.Main)
		r.must(err)
		r.dns.Put("spring._domainkey.example.org TXT", st.New.Keys[0].Record.Value)
		r.dns.Put("spring-ed._domainkey.example.org TXT", "v=DKIM1; k=ed25519; p=<b>no</b>")
		grace.post(dkimPath+"/check").leads(dkimPath).sees(http.StatusOK, "In the DNS and right", "Something else is in the DNS", "not base64", "p=<b>no</b>").
			lacks("<b>no</b>")
		r.dns.Treat("spring-ed._domainkey.example.org", domaintest.ServFail)
		grace.post(dkimPath+"/check").leads(dkimPath).sees(http.StatusOK, "The DNS could not be asked")
		r.dns.Treat("spring-ed._domainkey.example.org", domaintest.Answer)
		r.dns.Put("spring-ed._domainkey.example.org TXT", st.New.Keys[1].Record.Value)
		grace.post(dkimPath+"/check").leads(dkimPath).sees(http.StatusOK, "Letters are signed for example.org since", "The record is right", "Switch off")

		// Beside it a new one; the old one goes on.
		f["algorithms"] = "ed25519-sha256"
		grace.send(dkimPath, f.with("selector", "summer")).leads(dkimPath).sees(http.StatusOK, "Publish this record", "The one before goes on signing")
		grace.post(dkimPath+"/discard").leads(dkimPath).sees(http.StatusOK, "The new key is deleted", "Letters are signed for example.org since")
		grace.post(dkimPath+"/off").leads(dkimPath).sees(http.StatusOK, "Letters are not signed", "Leave its record in the DNS for a week")
		grace.send(dkimPath, f.with("selector", "autumn")).leads(dkimPath)
		grace.post(dkimPath+"/anyway").leads(dkimPath).sees(http.StatusOK, "receivers may not be able to check it", "Somebody let it sign before its record was seen")

		// What changes how mail is seen wants a proof, and goes on after it.
		r.clock.Advance(11 * time.Minute)
		asked := grace.send(dkimPath, f.with("selector", "winter")).sees(http.StatusForbidden, "Confirm that it is you")
		grace.send(dkimPath, f.with("selector", asked.value("selector"), "sealpost_proof", goodPassword)).leads(dkimPath).sees(http.StatusOK, "[=winter._domainkey.example.org]")
		r.clock.Advance(11 * time.Minute)
		grace.post(dkimPath+"/off").sees(http.StatusForbidden, "Confirm that it is you")
		if body := grace.get(dkimPath).body; strings.Contains(body, "PRIVATE") {
			r.t.Error("the page shows a private key")
		}
	})
}

func TestSigningOfTheSecondServerIsItsOwn(t *testing.T) {
	r, grace := ready(t)
	const second = "/admin/settings/mail/second"
	grace.send(settingsPath, typed(1).with("do", "anyway")).leads(settingsPath)
	grace.send(second, typed(2).with("do", "anyway", "sender_address", "vault@news.example.net")).leads("/admin/settings/mail/servers")
	grace.get(second+"/dkim").sees(http.StatusOK, "First server", "Second server", "Which one sends")
	grace.send(second+"/dkim", form{"domain": "example.net", "selector": "two", "algorithms": "ed25519-sha256"}).leads(second+"/dkim").
		sees(http.StatusOK, "[=two._domainkey.example.net]")
	grace.get(dkimPath).sees(http.StatusOK, "Letters are not signed")
	// Mailboxes of Microsoft are signed for there.
	grace.send(settingsPath, typed(587).with("host", "smtp.office365.com", "do", "anyway", "revision", "1")).leads(settingsPath)
	grace.get(dkimPath).sees(http.StatusOK, "Mail that leaves through Microsoft is signed there")
	if n := len(r.actions("mail.dkim_key_made")); n != 1 {
		t.Errorf("%d keys were made, by the audit log", n)
	}
}

// The page in a real browser: the records can be copied, nothing is wider than a
// phone, and no rule of accessibility is broken, by day and by night.
func TestTheSigningPageInABrowser(t *testing.T) {
	chrome := peers.Chromium(t)
	r, grace := ready(t)
	grace.send(settingsPath, typed(1).with("do", "anyway", "sender_address", "vault@mail.example.org")).leads(settingsPath)
	tab := r.seat(chrome)
	folder := os.Getenv("SCREENSHOTS")
	look := func(name string) {
		t.Helper()
		for _, s := range []struct {
			theme string
			width int64
		}{{"light", 1200}, {"dark", 360}} {
			tab.Look(s.theme, s.width, 900)
			if over := tab.Sideways(); over > 0 {
				t.Errorf("%s, %d wide: %d pixels are beside the page", name, s.width, over)
			}
			for _, v := range tab.Accessible(t) {
				t.Errorf("%s, %s, %d wide: %s", name, s.theme, s.width, v)
			}
			if folder != "" {
				r.must(os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%s-%d.jpg", name, s.theme, s.width)), tab.Picture(80), 0o600))
			}
		}
	}
	tab.Go(r.srv.URL + dkimPath)
	look("off")
	tab.Click("input[value=both]")
	tab.Press("form.card button.main")
	look("new")
	tab.Click("button[data-copy=name-sealpost202603]")
	tab.WaitText("Copied")
	st, err := r.dkim.Status(t.Context(), r.system(), dkim.Main)
	r.must(err)
	for _, k := range st.New.Keys {
		r.dns.Put(k.Record.Name+" TXT", k.Record.Value)
	}
	tab.Press("#new button.main")
	tab.WaitText("Letters are signed for mail.example.org")
	look("on")
	quiet(t, r, tab)
}
