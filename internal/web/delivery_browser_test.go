package web_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// An open journal in a real browser: numbers and rows follow without a request
// for the list, and other pages of delivery fit their screens.
func TestTheJournalAtABrowser(t *testing.T) {
	chrome := peers.Chromium(t)
	r, grace := ready(t)
	t.Cleanup(r.site.EndStreams)
	grace.send(settingsPath, typed(587).with("host", "mail.example.org", "do", "anyway")).leads(settingsPath)
	r.clock.Set(time.Now())
	r.deliver(outbox.Outcome{State: outbox.Accepted, Reply: "250 queued", Server: "mail.example.org:587"})
	r.history()
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + journalPath)
	tab.Wait(`html[data-follows="journal"]`)
	peers.Eval[bool](tab, `(() => { window.asked = 0; const real = window.fetch; window.fetch = (...a) => { window.asked++; return real(...a); }; return true; })()`)
	const waiting = `Number(document.querySelector("#counts li b").textContent)`
	before := peers.Eval[int](tab, waiting)
	id := r.add("Latecomer", "latecomer@example.org")
	tab.Wait(`tbody tr:first-child[data-letter="` + id + `"]`)
	if got := peers.Eval[int](tab, waiting); got != before+1 {
		t.Errorf("%d letters wait, want one more than %d", got, before)
	}
	r.deliver(outbox.Outcome{State: outbox.Accepted, Reply: "250 queued", Server: "mail.example.org:587"})
	tab.Wait(`tr[data-letter="` + id + `"] .tag.good`)
	if n := peers.Eval[int](tab, `window.asked`); n != 0 {
		t.Errorf("the list was asked for %d times", n)
	}
	// The way to other pages of delivery, on each screen.
	pictures := os.Getenv("DELIVERY_PICTURES")
	for name, path := range map[string]string{
		"journal": journalPath, "letter": journalPath + "/" + id, "health": "/admin/mail/health", "delivery": deliveryPath,
	} {
		for _, screen := range []struct {
			name, theme   string
			width, height int64
		}{{"wide", "light", 1280, 900}, {"dark", "dark", 1280, 900}, {"phone", "light", 360, 740}} {
			tab.Look(screen.theme, screen.width, screen.height)
			if status := tab.Go(r.srv.URL + path); status != http.StatusOK {
				t.Errorf("%s: status %d", path, status)
			}
			if over := tab.Sideways(); over > 0 {
				t.Errorf("%s on a %s screen scrolls sideways by %d", name, screen.name, over)
			}
			if pictures != "" {
				r.must(os.WriteFile(filepath.Join(pictures, name+"-"+screen.name+".jpg"), tab.Picture(80), 0o600))
			}
		}
	}
	quiet(t, r, tab)
}

// history makes a day of letters, as a server accepted them.
func (r *rig) history() {
	r.t.Helper()
	p, _, err := r.mail.Active(r.t.Context())
	r.must(err)
	now := r.clock.Now()
	for i := range 60 {
		waited := time.Duration(i*i*i%4000) * 50 * time.Millisecond
		at := now.Add(-time.Duration(i*i%180) * time.Minute / 3)
		id := r.add(fmt.Sprintf("Person %d", i), fmt.Sprintf("person-%d@example.org", i))
		r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error {
			state, reply, advice := "accepted", "250 2.0.0 Ok: queued as 4bXz"+strings.Repeat("k", i%5), "The mail server accepted it."
			if i%17 == 3 {
				state, reply, advice = "failed", "550 5.1.1 no such user", "The mail server does not know the recipient. Correct the user's e-mail address."
			}
			_, err := tx.Exec(`UPDATE outbox_letter SET state = $1, reply = $2, advice = $3, server = $4, added_at = $5, began_at = $6, ended_at = $7, changed_at = $7,
				attempt = $8, sealed = $9 WHERE id = $10`,
				state, reply, advice, p.Server(), store.Micros(at.Add(-waited)), store.Micros(at.Add(-80*time.Millisecond)), store.Micros(at), int64(1+(i%11)/8), []byte{}, id)
			return err
		}))
	}
	r.add("Waiting", "waiting@example.org")
}
