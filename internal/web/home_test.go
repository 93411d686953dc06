package web_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail/outbox"
)

func TestHomeLeadsThroughTheFirstSteps(t *testing.T) {
	r, grace := ready(t)
	grace.get("/").sees(http.StatusOK, "First steps", "Set up mail", "Add a user", "Add a resource", "No letter was sent in these days.", "You have none yet.")
	grace.send(settingsPath, typed(1).with("do", "anyway")).sees(http.StatusSeeOther)
	grace.get("/").sees(http.StatusOK, "First steps", "Set up the mail server, done")
	r.join("ben", actor.PasswordUser)
	grace.get("/").sees(http.StatusOK, "Delivering").lacks("First steps")
}

func TestHomeShowsTheDeliveriesOfTwoWeeks(t *testing.T) {
	eachReady(t, func(r *rig, _ *browser) {
		// Beside this one there is the letter about her own sign-in.
		r.add("Ada", "ada@example.org")
		r.deliver(outbox.Outcome{State: outbox.Accepted})
		r.clock.Advance(3 * 24 * time.Hour)
		r.add("Ben", "ben@example.org")
		r.deliver(outbox.Outcome{State: outbox.Failed})
		r.signIn("grace").get("/").sees(http.StatusOK, "Deliveries, last 14 days", "As a table", "2 accepted", "1 failed",
			"1 March: 2 accepted, 0 delayed, 0 failed", "4 March: 0 accepted, 0 delayed, 1 failed")
	})
}

func TestHomeShowsToEachWhatTheyMaySee(t *testing.T) {
	r, _ := ready(t)
	for role, want := range map[actor.Role]struct{ sees, lacks []string }{
		actor.Administrator:         {[]string{"Deliveries", "Ends in the next 30 days", "Resources", "What you did last"}, []string{"What happened last"}},
		actor.PasswordAdministrator: {[]string{"Resources", "Add a resource", "What you did last"}, []string{"Deliveries", "Ends in", "First steps", "Mail journal"}},
		actor.PasswordAuditor:       {[]string{"What happened last", "What you did last"}, []string{"Deliveries", "Ends in", "First steps", "Mail journal"}},
		actor.PasswordUser:          {[]string{"Nothing is shared with you yet.", "What you did last"}, []string{"Deliveries", "What happened last", "First steps", "Mail journal", "Add a resource"}},
	} {
		login := map[actor.Role]string{actor.Administrator: "ana", actor.PasswordAdministrator: "pat", actor.PasswordAuditor: "audrey", actor.PasswordUser: "ulf"}[role]
		r.join(login, role).get("/").sees(http.StatusOK, want.sees...).lacks(want.lacks...)
	}
}
