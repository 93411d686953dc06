package outbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

func (r *rig) attempts(id string) []outbox.Attempt {
	r.t.Helper()
	_, all, err := r.box.Get(r.t.Context(), admin, id)
	r.must(err)
	return all
}

// One call stores whatever came of several letters, each as if it were alone.
func TestOutcomesAreStoredTogether(t *testing.T) {
	each(t, func(r *rig) {
		later := r.clock.Now().Add(5 * time.Minute)
		want := []struct {
			outcome outbox.Outcome
			state   outbox.State
			maybe   bool
			shown   int64
		}{
			{outbox.Outcome{State: outbox.Accepted, Stage: "content", Code: 250, Reply: "250 ok", QueueID: "Q1"}, outbox.Accepted, true, 1},
			{outbox.Outcome{State: outbox.Deferred, Stage: "rcpt", Code: 450, Reply: "450 later", RetryAt: later}, outbox.Deferred, false, 1},
			{outbox.Outcome{State: outbox.Uncertain, Stage: "content", RetryAt: later}, outbox.Uncertain, true, 1},
			{outbox.Outcome{State: outbox.Failed, Stage: "rcpt", Code: 550, Reply: "550 no", Advice: "Correct the address."}, outbox.Failed, false, 1},
			{outbox.Outcome{State: outbox.Queued, Reply: "432 less"}, outbox.Queued, false, 1},
			{outbox.Outcome{State: outbox.Queued, Unbegun: true}, outbox.Queued, false, 0},
			{outbox.Outcome{State: outbox.Accepted, Attempt: 7}, outbox.Sending, false, 1}, // of another claim
			{outbox.Outcome{State: outbox.Accepted, Reply: "250 \xff\x00 odd"}, outbox.Accepted, true, 1},
		}
		for i := range want {
			r.add(fmt.Sprint("user", i), changed())
		}
		claims := r.claim(len(want))
		var outcomes []outbox.Outcome
		for i, c := range claims {
			out := want[i].outcome
			out.ID = c.ID
			if out.Attempt == 0 {
				out.Attempt = c.Attempt
			}
			outcomes = append(outcomes, out)
		}
		r.must(r.box.Record(r.t.Context(), outcomes...))
		for i, w := range want {
			row := r.row(claims[i].ID)
			if row.State != w.state || row.MaybeSent != w.maybe || row.Attempts != w.shown || row.Reply != strings.ReplaceAll(strings.ToValidUTF8(w.outcome.Reply, "\uFFFD"), "\x00", "\uFFFD") {
				r.t.Errorf("%d: it is %s, maybe sent %v, after %d attempts: %q", i, row.State, row.MaybeSent, row.Attempts, row.Reply)
			}
			tries := r.attempts(claims[i].ID)
			if int64(len(tries)) != w.shown {
				r.t.Errorf("%d: the journal shows %d attempts", i, len(tries))
				continue
			}
			if w.shown == 0 || w.state == outbox.Sending {
				continue
			}
			if a := tries[0]; a.State != w.outcome.State || a.Reply != row.Reply || a.Code != w.outcome.Code || a.Began.IsZero() || a.Ended.IsZero() || a.Number != 1 {
				r.t.Errorf("%d: the attempt is %+v", i, a)
			}
		}
		page, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: "letter.failed"})
		r.must(err)
		if len(page.Entries) != 1 || page.Entries[0].ID != claims[3].ID {
			r.t.Errorf("audited: %+v", page.Entries)
		}
	})
}

// A group is as large as whoever claims wants it.
func TestManyLettersAreClaimedAndRecordedAtOnce(t *testing.T) {
	each(t, func(r *rig) {
		const n = outbox.MostOutcomes + 40
		var ids []string
		r.update(func(tx *store.Tx) error {
			ids = nil
			for i := range n {
				id, err := r.box.Add(tx, outbox.Recipient{Name: "Ada", Address: fmt.Sprintf("user%d@example.org", i)}, changed())
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return nil
		})
		claims := r.claim(n)
		if len(claims) != n || len(r.claim(1)) != 0 {
			r.t.Fatalf("%d letters were claimed", len(claims))
		}
		r.clock.Advance(50 * time.Second)
		held, err := r.box.Renew(r.t.Context(), claims, time.Minute)
		r.must(err)
		if len(held) != n {
			r.t.Errorf("%d leases were renewed", len(held))
		}
		r.clock.Advance(30 * time.Second)
		if again := r.claim(n); len(again) != 0 {
			r.t.Errorf("%d letters in work were claimed again", len(again))
		}
		outcomes := make([]outbox.Outcome, 0, n)
		for i, c := range claims {
			if c.ID != ids[i] {
				r.t.Fatal("they do not come in the order in which they were added")
			}
			outcomes = append(outcomes, outbox.Outcome{ID: c.ID, Attempt: c.Attempt, State: outbox.Deferred})
		}
		r.must(r.box.Record(r.t.Context(), outcomes...))
		held, err = r.box.Renew(r.t.Context(), claims, time.Minute)
		r.must(err)
		if len(held) != 0 {
			r.t.Errorf("%d leases of letters that are done with were renewed", len(held))
		}
		for _, id := range []string{ids[0], ids[n-1]} {
			if row := r.row(id); row.State != outbox.Deferred || row.Attempts != 1 {
				r.t.Errorf("it is %s after %d attempts", row.State, row.Attempts)
			}
		}
	})
}

// What was claimed and not begun leaves no trace, and does not count against a
// letter.
func TestALetterThatIsGivenBackUnbegunIsAsBefore(t *testing.T) {
	each(t, func(r *rig) {
		id := r.add("ada", changed())
		c := r.claim(1)[0]
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: outbox.Deferred, Code: 450, Reply: "450 later"}))
		for range 3 {
			c = r.claim(1)[0]
			r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: outbox.Queued, Unbegun: true}))
		}
		row := r.row(id)
		if row.State != outbox.Queued || row.Attempts != 1 || row.Reply != "450 later" || len(r.attempts(id)) != 1 {
			r.t.Errorf("it is %+v", row)
		}
		c = r.claim(1)[0]
		if c.Tries != 1 || c.GivenBack != 0 || c.Attempt != 5 || c.MaybeSent {
			r.t.Errorf("the claim is %+v", c)
		}
		// Where it is cancelled meanwhile, it is over.
		r.update(func(tx *store.Tx) error { return r.box.CancelFor(tx, "u-ada", letter.KindPasswordChanged) })
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: outbox.Queued, Unbegun: true}))
		if row := r.row(id); row.State != outbox.Cancelled || row.Attempts != 1 {
			r.t.Errorf("it is %s after %d attempts", row.State, row.Attempts)
		}
	})
}

// All attempts are shown, the one that a letter is at among them.
func TestEveryAttemptIsShown(t *testing.T) {
	each(t, func(r *rig) {
		id := r.add("ada", changed())
		states := func() string {
			var words []string
			for i, a := range r.attempts(id) {
				words = append(words, fmt.Sprintf("%d %s", a.Number, a.State))
				if a.Ended.IsZero() != (a.State == outbox.Sending) || a.Began.IsZero() || i > 0 && a.Ended.IsZero() {
					r.t.Errorf("%+v", a)
				}
			}
			return strings.Join(words, ", ")
		}
		wantStates := func(want string) {
			r.t.Helper()
			if got := states(); got != want {
				r.t.Errorf("%s, want %s", got, want)
			}
		}
		wantStates("")
		c := r.claim(1)[0]
		wantStates("1 sending")
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: outbox.Deferred}))
		wantStates("1 deferred")
		r.claim(1)
		wantStates("2 sending, 1 deferred")
		r.clock.Advance(2 * time.Minute) // its process is gone
		c = r.claim(1)[0]
		if c.Tries != 2 || !c.MaybeSent {
			r.t.Errorf("the claim is %+v", c)
		}
		wantStates("3 sending, 2 uncertain, 1 deferred")
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: outbox.Failed, Reply: "550 no"}))
		wantStates("3 failed, 2 uncertain, 1 deferred")
		r.must(r.box.Resend(r.t.Context(), admin, id))
		wantStates("3 failed, 2 uncertain, 1 deferred")
		c = r.claim(1)[0]
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: outbox.Accepted}))
		wantStates("4 accepted, 3 failed, 2 uncertain, 1 deferred")
	})
}

// A letter whose content somebody changed ends, and the others of its group do
// not. Once it is put right, it can be sent again.
func TestADamagedLetterEndsAlone(t *testing.T) {
	each(t, func(r *rig) {
		bad, good := r.add("bad", changed()), r.add("good", changed())
		var whole []byte
		r.update(func(tx *store.Tx) (err error) {
			whole, err = store.One(tx, func(r store.Row) (b []byte, err error) { return b, r.Scan(&b) }, `SELECT sealed FROM outbox_letter WHERE id = $1`, bad)
			return err
		})
		put := func(sealed []byte) {
			r.update(func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE outbox_letter SET sealed = $1 WHERE id = $2`, sealed, bad)
				return err
			})
		}
		put([]byte("not what was sealed"))
		if got := r.claim(10); len(got) != 1 || got[0].ID != good {
			r.t.Errorf("claimed %+v", got)
		}
		row := r.row(bad)
		if row.State != outbox.Failed || !strings.Contains(row.Advice, "cannot be opened") || !row.CanResend || row.MaybeSent {
			r.t.Errorf("the damaged one is %+v", row)
		}
		page, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: "letter.failed"})
		r.must(err)
		if len(page.Entries) != 1 {
			r.t.Errorf("%d entries", len(page.Entries))
		}
		put(whole)
		r.must(r.box.Resend(r.t.Context(), admin, bad))
		if got := r.claim(10); len(got) != 1 || got[0].ID != bad || got[0].Content.Text.IsZero() {
			r.t.Errorf("once it is put right, claimed %+v", got)
		}
	})
}

// The server of a slot takes the letters of its own route, and those of the other
// while it stands in.
func TestTheClaimsOfASlot(t *testing.T) {
	each(t, func(r *rig) {
		route := map[string]string{}
		for i, slot := range []string{"main", "second", "main", "second"} {
			id := r.add(fmt.Sprint("user", i), changed())
			route[id] = slot
			r.update(func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE outbox_letter SET route = $1 WHERE id = $2`, slot, id)
				return err
			})
		}
		claim := func(slot outbox.Slot) string {
			claims, err := r.box.Claim(r.t.Context(), slot, 10, time.Minute, "s")
			r.must(err)
			var words []string
			var back []outbox.Outcome
			for _, c := range claims {
				words = append(words, route[c.ID])
				back = append(back, outbox.Outcome{ID: c.ID, Attempt: c.Attempt, State: outbox.Queued, Unbegun: true})
			}
			r.must(r.box.Record(r.t.Context(), back...))
			n, _, err := r.box.Due(r.t.Context(), slot)
			r.must(err)
			if len(claims) > 0 && n != len(claims) {
				r.t.Errorf("%d letters were due, %d claimed", n, len(claims))
			}
			return strings.Join(words, " ")
		}
		want := func(slot outbox.Slot, want string) {
			r.t.Helper()
			if got := claim(slot); got != want {
				r.t.Errorf("%s takes %q, want %q", slot, got, want)
			}
		}
		// There is no second server: the first one takes its letters.
		want(outbox.Main, "main second main second")
		want(outbox.Second, "")
		r.update(func(tx *store.Tx) error { return r.box.GateOf(outbox.Second).OpenGate(tx) })
		want(outbox.Main, "main main")
		want(outbox.Second, "second second")
		r.update(func(tx *store.Tx) error {
			r.must(r.box.SetCover(tx, 10*time.Minute))
			return r.box.GateOf(outbox.Main).CloseGate(tx, outbox.ReasonPaused, "")
		})
		want(outbox.Second, "second second")
		r.clock.Advance(10 * time.Minute)
		want(outbox.Second, "main second main second")
		want(outbox.Main, "")
		// Who stopped a server wants its letters kept.
		r.update(func(tx *store.Tx) error { return r.box.GateOf(outbox.Main).CloseGate(tx, outbox.ReasonOperator, "") })
		r.clock.Advance(time.Hour)
		want(outbox.Second, "second second")
	})
}
