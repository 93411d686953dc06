package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/store"
)

const journalPath = "/admin/mail/journal"

// add puts a letter that holds no link into the outbox.
func (r *rig) add(name, address string) string {
	r.t.Helper()
	var id string
	r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) (err error) {
		id, err = r.box.Add(tx, outbox.Recipient{Name: name, Address: address}, letter.PasswordChanged{Name: name, When: tx.Now()})
		return err
	}))
	return id
}

// deliver claims all that waits and records what became of it.
func (r *rig) deliver(o outbox.Outcome) {
	r.t.Helper()
	claims, err := r.box.Claim(r.t.Context(), outbox.Main, 100, time.Minute, "sender")
	r.must(err)
	for _, c := range claims {
		one := o
		one.ID, one.Attempt = c.ID, c.Attempt
		r.must(r.box.Record(r.t.Context(), one))
	}
}

func TestTheJournalTellsWhatBecameOfEachLetter(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		grace.get(journalPath).sees(http.StatusOK, "Sign-in from a new device", "On its way")
		r.add("Ada", "ada@example.org")
		r.deliver(outbox.Outcome{State: outbox.Accepted, Code: 250, Reply: "250 ok queued as 4XY", QueueID: "4XY", Server: "mail:587", Stage: "content"})
		r.clock.Advance(24 * time.Hour)
		grace = r.signIn("grace")
		id := r.add("Ben <b>", "ben@example.org")
		r.deliver(outbox.Outcome{
			State: outbox.Failed, Code: 550, Stage: "rcpt", Reply: "550 5.1.1 <script>no</script> such user", Advice: "Correct the user's e-mail address.", Server: "mail:587",
		})
		all := grace.get(journalPath).sees(http.StatusOK, "Ada", "Accepted", "Ben <b>", "Failed", "550 5.1.1 <script>no</script> such user", "Correct the user's e-mail address.")
		all.lacks("<script>no")
		for query, want := range map[string]string{
			"q=ada": "Ada", "q=such+user": "Ben", "state=accepted": "Ada", "state=failed": "Ben", "kind=password_changed&state=failed": "Ben", "kind=password_changed&q=ben": "Ben",
			"from=2026-03-02": "Ben", "to=2026-03-01": "Ada",
		} {
			for _, path := range []string{journalPath + "?", journalPath + "/rows?"} {
				a := grace.get(path+query).sees(http.StatusOK, want)
				other := map[string]string{"Ada": "ben@example.org", "Ben": "ada@example.org"}[want]
				a.lacks(other)
			}
		}
		for _, query := range []string{"kind=invitation", "state=waiting", "q=nobody", "from=2030-01-01", "state=%27+OR+1%3D1"} {
			grace.get(journalPath+"?"+query).sees(http.StatusOK, "Nothing fits", "Show all letters")
		}

		shown := grace.get(journalPath+"/"+id).sees(http.StatusOK, "Attempt 1", "at the step “name the recipient”", "mail:587", "Send again", "@vault.example.org>")
		shown.lacks("<script>no", "data-live", "Cancel this letter?", "Meant for")
		grace.post(journalPath+"/"+id+"/resend").leads(journalPath+"/"+id).sees(http.StatusOK, "The letter is in line again.", "On its way", "Cancel…", "Attempt 1")
		grace.post(journalPath+"/"+id+"/cancel").leads(journalPath+"/"+id).sees(http.StatusOK, "The letter is cancelled.", "Cancelled by grace.")
		grace.post(journalPath+"/"+id+"/resend").sees(http.StatusConflict, "This letter cannot be sent again: its content is gone.")
		grace.get(journalPath + "/nonsense").sees(http.StatusNotFound)
	})
}

func TestTheJournalNamesTheServerThatTookALetter(t *testing.T) {
	r, grace := ready(t)
	id := r.add("Ada", "ada@example.org")
	grace.get(journalPath+"/"+id).sees(http.StatusOK, "Leaves through", "Mail server", "Cancel this letter?").lacks("Meant for", "Taken by")
	r.deliver(outbox.Outcome{State: outbox.Accepted, Server: "backup:25", Slot: outbox.Second})
	grace.get(journalPath+"/"+id).sees(http.StatusOK, "Taken by", "Second server", "backup:25", "Meant for", "First server")
	grace.get(journalPath+"?server=second").sees(http.StatusOK, "ada@example.org", "First server", "Accepted Second server")
	grace.get(journalPath+"?server=main").sees(http.StatusOK, "Nothing fits")
}

func TestALetterWithALinkIsMadeAnewAndNeverShown(t *testing.T) {
	r, grace := ready(t)
	r.closeGate()
	done, err := r.users.Invite(t.Context(), r.system(), identity.NewUser{Name: "Ben", Login: "ben", Email: "ben@example.org", Role: actor.PasswordUser})
	r.must(err)
	path := journalPath + "/" + done.LetterID
	a := grace.get(path).sees(http.StatusOK, "Waits for mail", "It waits: No mail server is set up.", "a new letter is made on the user's page", "Open the user")
	for _, page := range []*answer{a, grace.get(path + "/now"), grace.get(journalPath)} {
		page.lacks(done.Code.Reveal(), strings.ReplaceAll(done.Code.Reveal(), "-", ""), "/invite#")
	}
	if !strings.Contains(a.body, `href="/users/`+done.User.ID+`"`) || !strings.Contains(a.body, `data-live="`+path+`/now"`) {
		t.Error("the letter leads not to its user, or does not look again while it waits")
	}
	grace.get(journalPath+"?state=held").sees(http.StatusOK, "ben@example.org")
	grace.post(path+"/resend").sees(http.StatusConflict, "one-time link")
}

func TestTheJournalIsReadPageByPage(t *testing.T) {
	r, grace := ready(t)
	for i := range 60 {
		r.add("Person", "person-"+string(rune('a'+i/26))+string(rune('a'+i%26))+"@example.org")
	}
	first := grace.get(journalPath+"?q=person").sees(http.StatusOK, "person-ch@", "Next page")
	first.lacks("person-aa@")
	// The part that moves leads to pages, not to itself.
	part := grace.get(journalPath + "/rows?q=person").sees(http.StatusOK)
	part.lacks(`href="` + journalPath + `/rows`)
	next := hrefOf(t, first, `rel="next"`)
	if u, err := url.Parse(next); err != nil || u.Query().Get("q") != "person" {
		t.Errorf("the next page %q lost the filter", next)
	}
	grace.get(next).sees(http.StatusOK, "person-aa@", "First page").lacks("person-ch@")
}

// hrefOf returns the address of the link with an attribute.
func hrefOf(t *testing.T, a *answer, mark string) string {
	t.Helper()
	for _, tag := range strings.Split(a.body, "<a ") {
		tag, _, _ = strings.Cut(tag, ">")
		if _, rest, ok := strings.Cut(tag, `href="`); ok && strings.Contains(tag, mark) {
			address, _, _ := strings.Cut(rest, `"`)
			return strings.ReplaceAll(address, "&amp;", "&")
		}
	}
	t.Fatalf("%s has no link with %s", a.what, mark)
	return ""
}

func TestTestMailsStandInTheJournal(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		sink, cert := relay(r.t, r, func(c *smtptest.SinkConfig) {
			c.Answer = func(a smtptest.Asked) string {
				if a.Verb == "RCPT" && strings.Contains(a.Line, "ghost@") {
					return "550 5.1.1 no such user"
				}
				return ""
			}
		})
		good := typed(sink.Port()).with("candidate", candidate("anchor", cert))
		// Of a test that hands no mail over there is nothing to tell.
		grace.send(settingsPath+"/test", good.with("password", "wrong-one")).sees(http.StatusOK, "Failed")
		grace.get(journalPath+"?kind=test").sees(http.StatusOK, "Nothing fits")

		grace.send(settingsPath+"/test", good).sees(http.StatusOK, "Passed")
		grace.send(settingsPath+"/test", good.with("test_to", "ghost@example.org")).sees(http.StatusOK, "Failed", "550 5.1.1 no such user")
		all := grace.get(journalPath+"?kind=test").sees(http.StatusOK, "grace@example.org", "Accepted", "ghost@example.org", "Failed", "550 5.1.1 no such user")
		grace.get(hrefOf(r.t, all, `class="name"`)).sees(http.StatusOK, "ghost@example.org", "Attempt 1", "at the step “name the recipient”").lacks("Send again", "data-live")
	})
}
