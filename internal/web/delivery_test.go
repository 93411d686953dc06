package web_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/server"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	eventsPath   = journalPath + "/events"
	deliveryPath = "/admin/settings/mail/delivery"
)

// heard is one event of the stream.
type heard struct {
	name, data string
}

// listener is a page that follows the journal.
type listener struct {
	t      *testing.T
	status int
	body   io.ReadCloser
	lines  *bufio.Scanner
}

// follow opens the stream at a server as b's browser does.
func (b *browser) follow(srv *httptest.Server) *listener {
	t := b.r.t
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+eventsPath, nil)
	b.r.must(err)
	req.Header.Set("Accept", "text/event-stream")
	client := &http.Client{Transport: srv.Client().Transport, Jar: b.client.Jar}
	res, err := client.Do(req)
	b.r.must(err)
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	t.Cleanup(func() { _ = res.Body.Close() })
	return &listener{t: t, status: res.StatusCode, body: res.Body, lines: lines}
}

// next returns the next event, and an empty one at the end of the stream.
func (l *listener) next() heard {
	var h heard
	for l.lines.Scan() {
		name, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch {
		case name == "event":
			h.name = value
		case name == "data":
			h.data = value
		case h.name != "":
			return h
		}
	}
	return heard{}
}

// rows waits for an event with rows and returns their HTML by id.
func (l *listener) rows() map[string]string {
	l.t.Helper()
	for {
		h := l.next()
		var news struct {
			Counts string
			Rows   []struct{ ID, HTML string }
		}
		if h.name == "" {
			l.t.Fatal("the stream ended")
		}
		if h.name != "journal" {
			continue
		}
		if err := json.Unmarshal([]byte(h.data), &news); err != nil {
			l.t.Fatal(err)
		}
		if !strings.Contains(news.Counts, `id="counts"`) {
			l.t.Errorf("an event without the numbers: %s", h.data)
		}
		rows := map[string]string{}
		for _, r := range news.Rows {
			rows[r.ID] = r.HTML
		}
		if len(rows) > 0 {
			return rows
		}
	}
}

func TestAPageThatIsOpenFollowsTheJournal(t *testing.T) {
	r, grace := ready(t)
	t.Cleanup(r.site.EndStreams)
	first := r.add("Ada", "ada@example.org")
	page := grace.get(journalPath).sees(http.StatusOK, "Not done yet", "As of", "Look again", "Export as CSV")
	if !strings.Contains(page.body, `data-events="`+eventsPath+`"`) || !strings.Contains(page.body, "data-newest") {
		t.Error("the page does not follow")
	}
	l := grace.follow(r.srv)
	if rows := l.rows(); !strings.Contains(rows[first], "On its way") {
		t.Errorf("the first event: %v", rows)
	}
	second := r.add("Ben <b>", "ben@example.org")
	if rows := l.rows(); len(rows) != 1 || !strings.Contains(rows[second], "Ben &lt;b&gt;") {
		t.Errorf("a new letter: %v", rows)
	}
	r.clock.Advance(3 * time.Second)
	r.deliver(outbox.Outcome{State: outbox.Accepted, Code: 250, Reply: "250 ok", Server: "mail:587", Stage: "content"})
	if rows := l.rows(); len(rows) < 2 || !strings.Contains(rows[second], "Accepted") || !strings.Contains(rows[second], "after 3.0 s") {
		t.Errorf("both delivered: %v", rows)
	}
	grace.get(eventsPath).sees(http.StatusUnprocessableEntity, "This address is for the page of the mail journal")
}

func TestFollowingEndsWithTheSession(t *testing.T) {
	r, grace := ready(t)
	t.Cleanup(r.site.EndStreams)
	l := grace.follow(r.srv)
	l.next()
	// Following is no sign of life: what was said last was said before.
	r.clock.Advance(31 * time.Minute)
	for h := l.next(); h.name != "over"; h = l.next() {
		if h.name == "" {
			t.Fatal("the stream ended without saying why")
		}
	}
	if h := l.next(); h.name != "" {
		t.Errorf("after the end comes %+v", h)
	}
	req := grace.get(journalPath)
	if !strings.HasPrefix(req.header.Get("Location"), "/sign-in") {
		t.Errorf("the session lives on: %d", req.status)
	}
}

func TestPagesThatFollowAreBounded(t *testing.T) {
	r, grace := ready(t)
	var open []*listener
	for range 5 {
		open = append(open, grace.follow(r.srv))
	}
	if l := grace.follow(r.srv); l.status != http.StatusTooManyRequests {
		t.Errorf("a sixth page gets %d", l.status)
	}
	// One that is closed makes room, as soon as the server has noticed.
	r.must(open[0].body.Close())
	for deadline := time.Now().Add(10 * time.Second); grace.follow(r.srv).status != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("a page that was closed keeps its place")
		}
	}
	r.site.EndStreams()
	for _, l := range open[1:] {
		for h := l.next(); h.name != ""; h = l.next() {
			continue
		}
	}
	if l := grace.follow(r.srv); l.status != http.StatusTooManyRequests && l.status != http.StatusServiceUnavailable {
		t.Errorf("a server that stops lets a page follow: %d", l.status)
	}
}

// The times that a server gives to requests and answers must not cut off a page
// that follows, over either protocol.
func TestFollowingOutlivesTheTimesOfTheServer(t *testing.T) {
	r, grace := ready(t)
	t.Cleanup(r.site.EndStreams)
	for _, h2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(server.Chain(r.site.Handler(), server.ChainConfig{Log: slog.New(slog.DiscardHandler)}))
		srv.EnableHTTP2 = h2
		srv.Config.ReadTimeout, srv.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
		srv.StartTLS()
		l := grace.follow(srv)
		l.next()
		began := time.Now()
		for i := 0; time.Since(began) < time.Second; i++ {
			id := r.add("Ada", fmt.Sprintf("ada-%v-%d@example.org", h2, i))
			if rows := l.rows(); rows[id] == "" {
				t.Errorf("HTTP/2 %v: heard %v", h2, rows)
			}
		}
		r.must(l.body.Close())
		srv.CloseClientConnections()
		srv.Close()
	}
}

func TestHowLongLettersAreTriedCanBeChosen(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		grace.get("/admin").sees(http.StatusOK, "Mail delivery", "Mail health")
		grace.get(deliveryPath).sees(http.StatusOK, "Codes and resets", "Requests", "Alerts", "Reminders", "Digests", "Invitation", "1 hour to 3 days, which is how long its link lives.", "No letter of this class yet.")
		form := []string{
			"revision", "0", "keep", "30", "lifetime_invitation", "2", "lifetime_invitation_unit", "days", "lifetime_password_reset", "20", "lifetime_password_reset_unit", "minutes",
			"lifetime_password_changed", "36", "lifetime_password_changed_unit", "hours", "lifetime_new_device", "1", "lifetime_new_device_unit", "days",
			"lifetime_expiry_reminder", "1", "lifetime_expiry_reminder_unit", "days",
		}
		grace.post(deliveryPath, form...).leads(deliveryPath).sees(http.StatusOK, "The settings are saved.", "[lifetime_password_changed=36]", "[keep=30]")
		s, err := r.box.Settings(r.t.Context(), r.system())
		r.must(err)
		if s.Keep != 30*24*time.Hour || s.Lifetimes[letter.KindPasswordChanged] != 36*time.Hour || s.Lifetimes[letter.KindPasswordReset] != 20*time.Minute {
			r.t.Errorf("saved: %+v", s)
		}
		grace.post(deliveryPath, form...).sees(http.StatusConflict, "Somebody else changed these settings meanwhile")
		for _, tt := range []struct{ field, value, want string }{
			{"keep", "6", "The journal keeps letters for 7 days to 5 years"},
			{"keep", "forever", "The journal keeps letters for 7 days to 5 years"},
			{"lifetime_password_reset", "31", "This letter is tried for 5 minutes to 30 minutes: its link lives no longer."},
			{"lifetime_invitation_unit", "years", "This letter is tried for 1 hour to 3 days"},
		} {
			bad := append([]string(nil), form...)
			bad[1] = "1"
			for i := 0; i < len(bad); i += 2 {
				if bad[i] == tt.field {
					bad[i+1] = tt.value
				}
			}
			// What was typed stays.
			grace.post(deliveryPath, bad...).sees(http.StatusUnprocessableEntity, tt.want, "[lifetime_password_changed=")
		}
	})
}

func TestALetterAndItsCauseLeadToEachOther(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		grace.post("/users/add", "name", "Ben", "login", "ben", "email", "ben@example.org", "role", string(actor.PasswordUser)).sees(http.StatusSeeOther)
		found, err := r.box.List(r.t.Context(), r.system(), outbox.Filter{Kind: letter.KindInvitation})
		r.must(err)
		row := found.Rows[0]
		if !actor.IsTrace(row.Trace) {
			r.t.Fatalf("the invitation carries the trace %q", row.Trace)
		}
		shown := grace.get(journalPath+"/"+row.ID).sees(http.StatusOK, row.Trace, "What the audit log says of it", "Requests")
		entries := grace.get(hrefOf(r.t, shown, `/audit?request=`)).sees(http.StatusOK, "User invited", "Of one request")
		if n := strings.Count(entries.body, `class="name"`); n != 1 {
			r.t.Errorf("%d entries of one request", n)
		}
		entry := grace.get(hrefOf(r.t, entries, `class="name"`)).sees(http.StatusOK, row.Trace, "The letters it caused")
		grace.get(hrefOf(r.t, entry, "/admin/mail/journal?trace=")).sees(http.StatusOK, "ben@example.org", "Of one request")
		grace.get(journalPath+"?q=trace:"+row.Trace).sees(http.StatusOK, "ben@example.org")
		grace.get(journalPath+"?trace=0123456789abcdef").sees(http.StatusOK, "Nothing fits")
	})
}

func TestTheJournalIsExported(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		id := r.add("=cmd()", "ada@example.org")
		r.clock.Advance(1500 * time.Millisecond)
		r.deliver(outbox.Outcome{State: outbox.Accepted, Code: 250, Reply: "250 ok queued as 4XY", QueueID: "4XY", Server: "mail:587", Stage: "content"})
		r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error {
			_, err := r.box.Bounced(tx, id, outbox.Bounce{At: tx.Now(), Final: true, Status: "5.1.1", Text: "no such user"})
			return err
		}))
		grace.get(journalPath+"?state=bounced").sees(http.StatusOK, "ada@example.org", "Came back")
		grace.get(journalPath+"/"+id).sees(http.StatusOK, "Came back", "5.1.1", "no such user", "1.5 s", "Alerts")
		a := grace.get(journalPath + "/export.csv?kind=password_changed").sees(http.StatusOK)
		rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
		r.must(err)
		if len(rows) != 2 {
			r.t.Fatalf("%d lines", len(rows))
		}
		got := map[string]string{}
		for i, name := range rows[0] {
			got[name] = rows[1][i]
		}
		for name, want := range map[string]string{
			"id": id, "class": "alert", "state": "accepted", "accepted after seconds": "1.500", "server": "mail:587", "route": "main", "bounce": "came back",
			"bounce status": "5.1.1", "name": "'=cmd()", "id at the server": "4XY",
		} {
			if got[name] != want {
				r.t.Errorf("%s: got %q, want %q", name, got[name], want)
			}
		}
	})
}
