package web_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// refuse lets the mail server refuse a user's address.
func (r *rig) refuse(userID, address string) {
	r.t.Helper()
	r.must(r.db.Update(r.t.Context(), func(tx *store.Tx) error {
		_, err := r.box.Add(tx, outbox.Recipient{UserID: userID, Name: "Ben", Address: address}, letter.PasswordChanged{Name: "Ben"})
		return err
	}))
	claims, err := r.box.Claim(r.t.Context(), outbox.Main, 50, time.Minute, "sender")
	r.must(err)
	for _, c := range claims {
		out := outbox.Outcome{ID: c.ID, Attempt: c.Attempt, State: outbox.Accepted}
		if c.To.Address == address && c.Kind == (letter.PasswordChanged{}).Kind() {
			out = outbox.Outcome{ID: c.ID, Attempt: c.Attempt, State: outbox.Failed, Stage: "rcpt", Code: 550, Enhanced: "5.1.1", Reply: "550 5.1.1 <script>no</script> such user"}
		}
		r.must(r.box.Record(r.t.Context(), out))
	}
}

// bounceForm is the form as the page sends it.
func bounceForm(pairs ...string) []string {
	form := map[string]string{
		"envelope": "plain", "address": "bounces@example.org", "ask": "yes", "host": "localhost", "port": "993", "security": "implicit",
		"auth": "typed", "username": "bounces", "password_action": "replace", "folder": "INBOX", "handled": "leave", "move_to": "Handled",
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form[pairs[i]] = pairs[i+1]
	}
	var all []string
	for name, value := range form {
		all = append(all, name, value)
	}
	return all
}

func TestPeopleSeeWhichAddressesMailComesBackFrom(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		r.join("ben", actor.PasswordUser)
		ben := r.user("ben")
		grace.get("/users").sees(200, "ben").lacks("Mail came back")
		grace.get("/").sees(200).lacks("came back")
		r.refuse(ben.ID, ben.Email)
		grace.get("/users").sees(200, "Mail came back").lacks("<script>no")
		grace.get("/").sees(200, "Mail to 1 user came back")
		grace.get("/users/"+ben.ID).sees(200, "Mail to this address came back", "(5.1.1)", "<script>no</script> such user", "Letters to it leave as before").lacks("<script>no")
		grace.get(bounce.Path).sees(200, "ben@example.org", "The mail server refused it", ben.Name).lacks("<script>no", "nobody's address now")

		// Somebody without the role sees none of it.
		other := r.signIn("ben")
		other.get("/").sees(200).lacks("came back")
		other.get(bounce.Path).sees(404)
		other.post("/users/" + ben.ID + "/mail-again").sees(404)

		grace.post("/users/"+ben.ID+"/mail-again").leads("/users/"+ben.ID).sees(200, "is expected to arrive again").lacks("Mail to this address came back")
		grace.get("/users").sees(200).lacks("Mail came back")

		// It is the address that is marked: another one is not.
		r.clock.Advance(time.Minute)
		r.refuse(ben.ID, ben.Email)
		grace.get("/users").sees(200, "Mail came back")
		grace.post("/users/"+ben.ID+"/edit", "name", ben.Name, "login", "ben", "email", "ben@elsewhere.example", "role", string(ben.Role),
			"revision", strconv.FormatInt(ben.Revision, 10)).leads("/users/" + ben.ID)
		grace.get("/users").sees(200).lacks("Mail came back")
		grace.get("/").sees(200).lacks("came back")
		grace.get(bounce.Path).sees(200, "ben@example.org", "nobody's address now")
		grace.post(bounce.Path+"/again", "address", "ben@example.org").leads(bounce.Path+"#addresses").sees(200, "The mark is off ben@example.org").lacks("nobody's address now")
	})
}

func TestTheFormOfBouncesSaysWhatIsWrong(t *testing.T) {
	r, grace := ready(t)
	grace.get("/admin").sees(200, "Bounces")
	grace.get(bounce.Path).sees(200, "Where servers report failures to", "None. An address stands here")
	grace.post(bounce.Path, bounceForm("address", "nonsense")...).sees(422, "An e-mail address has the form")
	grace.post(bounce.Path, bounceForm("envelope", "token", "address", "a+b@example.org")...).sees(422, "no +")
	grace.post(bounce.Path, bounceForm("reads", "yes", "host", "", "port", "0", "security", "none", "username", "", "folder", "a\x01b")...).
		sees(422, "Type the mailbox's server", "The port is a number", "never read in clear", "Type the user name", "Type the folder's name")
	grace.post(bounce.Path, bounceForm("reads", "yes", "password", "")...).sees(422, "Type the password")
	grace.post(bounce.Path, bounceForm("reads", "yes", "password", "••••••")...).sees(422, "These are the marks")
	grace.post(bounce.Path+"/test", bounceForm()...).sees(422, "There is nothing to test")

	// Nobody listens there: the test says so, and nothing is saved but anyway.
	failed := grace.post(bounce.Path, bounceForm("reads", "yes", "host", "127.0.0.1", "port", "1", "password", "hunter2 and more")...)
	failed.sees(422, "The test failed", "cannot be reached", "Save anyway", "Type the password again").lacks("hunter2")
	grace.get(bounce.Path).sees(200).lacks("not read yet")
	grace.post(bounce.Path, bounceForm("do", "anyway", "reads", "yes", "host", "127.0.0.1", "port", "1", "password", "hunter2 and more")...).
		leads(bounce.Path).sees(200, "are saved", "was not read yet", "Read now").lacks("hunter2")
	if _, err := r.bounces.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	grace.get(bounce.Path).sees(200, "The bounce mailbox cannot be read", "cannot be reached", "Check name, port and firewall").lacks("hunter2")
	grace.post(bounce.Path+"/read").leads(bounce.Path).sees(200, "read in a moment")

	// What goes elsewhere wants a proof.
	r.clock.Advance(identity.ProofLife + time.Minute)
	elsewhere := bounceForm("address", "others@example.net", "password_action", "keep")
	grace.post(bounce.Path, elsewhere...).sees(422, "Type your own password")
	grace.post(bounce.Path, append(elsewhere, "own_password", "wrong")...).sees(422)
	grace.post(bounce.Path, append(elsewhere, "own_password", goodPassword)...).leads(bounce.Path).sees(200, "are saved")
	grace.get("/audit").sees(200, "127.0.0.1:1")
}

// The whole of it at a real browser without scripts in its way: certificate,
// test, saving, and a telephone in the dark.
func TestAMailboxIsSetUpAtABrowser(t *testing.T) {
	chrome := peers.Chromium(t)
	b := peers.BounceMailbox(t)
	r, _ := ready(t)
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + bounce.Path)
	if peers.Eval[bool](tab, `document.querySelector("#host").checkVisibility()`) {
		t.Error("fields of the mailbox show before it is to be read")
	}
	tab.Click("[name=envelope][value=token]")
	tab.Fill("#address", b.Address)
	tab.Click("[name=reads]")
	tab.Fill("#host", "localhost")
	tab.Fill("#port", strconv.Itoa(b.Implicit))
	tab.Fill("#username", b.Login)
	tab.Fill("#password", b.Password)
	tab.Press("#bounces .actions .main")
	tab.WaitText("Nobody known here vouches")
	tab.Press("#test-title ~ ol button:last-of-type")
	tab.WaitText("Will be trusted for this mailbox once saved")
	tab.Fill("#password", b.Password)
	tab.Press("#bounces .actions .main")
	if text := tab.Text(); !strings.Contains(text, "The settings for bounces are saved") {
		t.Fatalf("not saved: %s", text)
	}
	if _, err := r.bounces.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.refuse("", "gone@example.net")
	tab.Go(r.srv.URL + bounce.Path)
	tab.WaitText("is read every minute")
	tab.WaitText("gone@example.net")
	for _, look := range []struct {
		theme         string
		width, height int64
	}{{"light", 1280, 900}, {"dark", 360, 800}} {
		tab.Look(look.theme, look.width, look.height)
		if wrong := tab.Accessible(t); len(wrong) > 0 {
			t.Errorf("%s: %q", look.theme, wrong)
		}
		if n := tab.Sideways(); n > 0 {
			t.Errorf("%s: the page scrolls sideways by %d: %s", look.theme, n, peers.Eval[string](tab, `[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth).map(e => e.tagName + "." + e.className + "#" + e.id).slice(0, 8).join(" ")`))
		}
		if folder := os.Getenv("LOOK_AT"); folder != "" {
			r.must(os.WriteFile(filepath.Join(folder, "bounces-"+look.theme+".jpg"), tab.Picture(80), 0o600))
		}
	}
	quiet(t, r, tab)
}
