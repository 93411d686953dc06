package audit_test

import (
	"fmt"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// A follower finds each entry of its actions once and in order, however many
// others lie between.
func TestFollowing(t *testing.T) {
	each(t, func(r *rig) {
		follow := func() string {
			found := ""
			var at int64
			r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
				found, at = "", 0
				for {
					e, ok, looked, err := r.log.Following(tx, at, "mail.paused", "mail.resumed")
					if err != nil || !ok && looked == at {
						return err
					}
					at = looked
					if ok {
						found += fmt.Sprintf("%d %s %s; ", e.Seq, e.Action, e.Reason)
						at = e.Seq
					}
				}
			}))
			return found
		}
		if got := follow(); got != "" {
			t.Errorf("an empty log has %s", got)
		}
		r.append(actor.System("delivery"), audit.Event{Action: "mail.paused", Reason: "one"}, audit.Event{Action: "mail.saved"})
		r.fill(1100)
		r.append(actor.System("delivery"), audit.Event{Action: "mail.resumed", Reason: "two"}, audit.Event{Action: "mail.paused", Reason: "three"})
		if got, want := follow(), "1 mail.paused one; 1103 mail.resumed two; 1104 mail.paused three; "; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		r.must(r.db.View(r.ctx(), func(tx *store.Tx) error {
			if end, err := r.log.End(tx); err != nil || end != 1104 {
				t.Errorf("the log ends at %d, %v", end, err)
			}
			if _, _, _, err := r.log.Following(tx, 0); !fault.Is(err, fault.KindInternal) {
				t.Errorf("following nothing: %v", err)
			}
			return nil
		}))
	})
}
