package identity_test

import (
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/outbox"
)

// A letter that is on its way when its user is deleted gets no second attempt.
func TestWhoIsDeletedGetsNoLetterLater(t *testing.T) {
	each(t, func(r *rig) {
		r.openGate()
		me := r.fresh(r.grace)
		added, err := r.id.Invite(r.ctx(), me, identity.NewUser{Name: "Ida", Login: "ida", Email: "ida@example.org", Role: actor.PasswordUser})
		r.must(err)
		claims, err := r.box.Claim(r.ctx(), outbox.Main, 100, time.Minute, "sender")
		r.must(err)
		if len(claims) != 1 {
			r.t.Fatalf("%d letters are sent", len(claims))
		}
		r.must(r.id.Delete(r.ctx(), me, added.User.ID, ""))
		r.must(r.box.Record(r.ctx(), outbox.Outcome{ID: claims[0].ID, Attempt: claims[0].Attempt, State: outbox.Deferred}))
		r.clock.Advance(time.Hour)
		claims, err = r.box.Claim(r.ctx(), outbox.Main, 100, time.Minute, "sender")
		r.must(err)
		if len(claims) != 0 {
			r.t.Errorf("after the user is gone %s is sent again", claims[0].Kind)
		}
	})
}
