package outbox_test

import (
	"bytes"
	"encoding/csv"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

// A letter that the other server took is found by that one; while it waits, by
// the one that it should leave through.
func TestTheServerThatTookALetter(t *testing.T) {
	each(t, func(r *rig) {
		r.update(func(tx *store.Tx) error {
			r.must(r.box.GateOf(outbox.Second).OpenGate(tx))
			r.must(r.box.SetCover(tx, 0))
			return r.box.GateOf(outbox.Main).CloseGate(tx, outbox.ReasonPaused, "")
		})
		id := r.add("ada", changed())
		through := func(slot outbox.Slot) int {
			found, err := r.box.List(t.Context(), admin, outbox.Filter{Through: slot})
			r.must(err)
			for _, row := range found.Rows {
				if row.Through() != slot {
					t.Errorf("the filter %s finds a letter through %s", slot, row.Through())
				}
			}
			return len(found.Rows)
		}
		record := func(state outbox.State) {
			claims, err := r.box.Claim(t.Context(), outbox.Second, 1, time.Minute, "s")
			r.must(err)
			if len(claims) != 1 {
				t.Fatal("the second server may not take it")
			}
			r.must(r.box.Record(t.Context(), outbox.Outcome{
				ID: id, Attempt: claims[0].Attempt, State: state, RetryAt: r.clock.Now(), Server: "backup:25", Slot: outbox.Second,
			}))
		}
		record(outbox.Deferred)
		if through(outbox.Main) != 1 || through(outbox.Second) != 0 {
			t.Error("a letter that waits is not found by its route")
		}
		record(outbox.Accepted)
		if through(outbox.Main) != 0 || through(outbox.Second) != 1 {
			t.Error("a letter is not found by the server that took it")
		}
		row, _, err := r.box.Get(t.Context(), admin, id)
		r.must(err)
		if row.Route != outbox.Main || row.Tried != outbox.Second || row.Server != "backup:25" {
			t.Errorf("it says %s, %s, %s", row.Route, row.Tried, row.Server)
		}
		var file bytes.Buffer
		r.must(r.box.Export(t.Context(), admin, outbox.Filter{}, &file))
		lines, err := csv.NewReader(&file).ReadAll()
		r.must(err)
		cells := map[string]string{}
		for i, name := range lines[0] {
			cells[name] = lines[1][i]
		}
		if cells["route"] != "main" || cells["tried through"] != "second" {
			t.Errorf("the file says %q, %q", cells["route"], cells["tried through"])
		}
	})
}

// A test mail is its server's, and says nothing of how long letters take.
func TestATestMailIsItsServersAndIsNotTimed(t *testing.T) {
	each(t, func(r *rig) {
		r.must(r.box.Note(t.Context(), outbox.Sent{
			Kind: letter.KindTest, MessageID: "<1@vault.example.org>", To: outbox.Recipient{Address: "ada@example.org"}, Subject: "Test", Route: outbox.Second,
			Outcome: outbox.Outcome{State: outbox.Accepted, Server: host},
		}))
		found, err := r.box.List(t.Context(), admin, outbox.Filter{Through: outbox.Second})
		r.must(err)
		if len(found.Rows) != 1 || found.Rows[0].Route != outbox.Second || found.Rows[0].Tried != outbox.Second {
			t.Errorf("the journal has %+v", found.Rows)
		}
		pulse, err := r.box.Pulse(t.Context(), admin, host)
		r.must(err)
		if pulse.Day.Accepted != 0 || pulse.Hour.Accepted != 0 {
			t.Errorf("%d letters are timed", pulse.Day.Accepted)
		}
	})
}
