package outbox_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

var admin = actor.Actor{Kind: actor.KindUser, UserID: "u-admin", Login: "grace", Role: actor.PrivilegedAdministrator}

// rig is an outbox with an open gate over a database whose clock the test
// sets.
type rig struct {
	t     *testing.T
	db    *store.DB
	clock *storetest.Clock
	box   *outbox.Outbox
	audit *audit.Log
	woken int
}

func each(t *testing.T, f func(r *rig)) {
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		r := &rig{t: t, db: db, clock: clock}
		root, err := keyring.NewRootKey(bytes.Repeat([]byte{7}, 32))
		r.must(err)
		keys, err := keyring.Open(t.Context(), keyring.Config{DB: db, Root: root})
		r.must(err)
		letters, err := letter.New()
		r.must(err)
		r.audit = audit.New(audit.Config{DB: db, Keys: keys})
		r.box = outbox.New(outbox.Config{DB: db, Keys: keys, Letters: letters, Audit: r.audit, Wake: func() { r.woken++ }})
		r.update(func(tx *store.Tx) error {
			r.must(letters.SetSite(tx, letter.Site{AccessURL: "https://vault.example.org"}))
			return r.box.GateOf(outbox.Main).OpenGate(tx)
		})
		f(r)
	})
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) update(f func(tx *store.Tx) error) {
	r.t.Helper()
	r.must(r.db.Update(r.t.Context(), f))
}

func (r *rig) add(to string, l letter.Letter) string {
	r.t.Helper()
	var id string
	r.update(func(tx *store.Tx) (err error) {
		id, err = r.box.Add(tx, outbox.Recipient{UserID: "u-" + to, Name: "Ada", Address: to + "@example.org"}, l)
		return err
	})
	return id
}

func (r *rig) claim(n int) []outbox.Claim {
	r.t.Helper()
	c, err := r.box.Claim(r.t.Context(), outbox.Main, n, time.Minute, "sender-1")
	r.must(err)
	return c
}

func (r *rig) row(id string) outbox.Row {
	r.t.Helper()
	row, _, err := r.box.Get(r.t.Context(), admin, id)
	r.must(err)
	return row
}

func invitation(token string) letter.Letter {
	return letter.Invitation{Name: "Ada", Login: "ada", Role: "Password User", InvitedBy: "Grace", Link: letter.Link{URL: secret.New("https://vault.example.org/invite#" + token), Code: secret.New(token)}}
}

func changed() letter.Letter { return letter.PasswordChanged{Name: "Ada"} }

func TestALetterExistsIfAndOnlyIfItsCauseDoes(t *testing.T) {
	each(t, func(r *rig) {
		before := r.woken
		err := r.db.Update(r.t.Context(), func(tx *store.Tx) error {
			_, err := r.box.Add(tx, outbox.Recipient{Address: "ada@example.org"}, changed())
			r.must(err)
			return fault.Conflict("the cause did not happen")
		})
		if err == nil || len(r.claim(10)) != 0 || r.woken != before {
			r.t.Fatal("a letter of a change that was undone is there")
		}
		r.add("ada", changed())
		if r.woken != before+1 {
			r.t.Error("delivery was not woken after the commit")
		}
		if got := r.claim(10); len(got) != 1 || got[0].To.Address != "ada@example.org" || got[0].Attempt != 1 {
			r.t.Errorf("got %+v", got)
		}
	})
}

func TestUrgentLettersOvertake(t *testing.T) {
	each(t, func(r *rig) {
		for _, who := range []string{"a", "b", "c"} {
			r.add(who, changed())
		}
		r.clock.Advance(time.Minute)
		reset := r.add("late", letter.PasswordReset{Name: "Late"})
		if got := r.claim(1); len(got) != 1 || got[0].ID != reset {
			r.t.Errorf("the reset did not come first: %+v", got)
		}
	})
}

func TestTheGateHoldsAndLetsGo(t *testing.T) {
	each(t, func(r *rig) {
		id := r.add("ada", changed())
		r.update(func(tx *store.Tx) error {
			return r.box.GateOf(outbox.Main).CloseGate(tx, outbox.ReasonPaused, "The server refuses the password.")
		})
		if got := r.claim(10); len(got) != 0 {
			r.t.Fatalf("claimed through a closed gate: %+v", got)
		}
		if got := r.row(id).State; got != outbox.Held {
			r.t.Errorf("state is %s, want held", got)
		}
		held, err := r.box.List(r.t.Context(), admin, outbox.Filter{State: outbox.Held})
		r.must(err)
		if len(held.Rows) != 1 {
			r.t.Errorf("the filter for held letters gives %d", len(held.Rows))
		}
		r.update(func(tx *store.Tx) error { return r.box.GateOf(outbox.Main).OpenGate(tx) })
		if got := r.claim(10); len(got) != 1 {
			r.t.Errorf("got %d letters after the gate opened", len(got))
		}
	})
}

func TestALeaseThatRanOutIsTakenOverAndFencedOff(t *testing.T) {
	each(t, func(r *rig) {
		id := r.add("ada", changed())
		first := r.claim(10)[0]
		if first.MaybeSent || len(r.claim(10)) != 0 {
			r.t.Fatal("a claimed letter was claimed again")
		}
		r.clock.Advance(2 * time.Minute)
		second := r.claim(10)
		if len(second) != 1 || !second[0].MaybeSent || second[0].MessageID != first.MessageID || second[0].Attempt != 2 {
			r.t.Fatalf("got %+v", second)
		}
		if second[0].Content.Text.Reveal() != first.Content.Text.Reveal() {
			r.t.Error("the content changed between attempts")
		}
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: 1, State: outbox.Failed, Reply: "from the dead"}))
		if got := r.row(id); got.State != outbox.Sending {
			r.t.Fatalf("a dead process wrote over the living: %+v", got)
		}
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: 2, State: outbox.Accepted, Code: 250, Reply: "ok"}))
		if got := r.row(id); got.State != outbox.Accepted || got.Reply != "ok" {
			r.t.Errorf("got %+v", got)
		}
	})
}

// The sender stays with a letter once its content may have left, and not
// before.
func TestTheSenderIsFrozenOnceContentMayHaveLeft(t *testing.T) {
	each(t, func(r *rig) {
		id := r.add("ada", changed())
		c := r.claim(1)[0]
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: outbox.Deferred}))
		again, err := r.box.Claim(r.t.Context(), outbox.Main, 1, time.Minute, "sender-2")
		r.must(err)
		if again[0].Sender != "sender-2" {
			r.t.Errorf("a letter whose content never left keeps the old sender %q", again[0].Sender)
		}
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: again[0].Attempt, State: outbox.Uncertain}))
		again, err = r.box.Claim(r.t.Context(), outbox.Main, 1, time.Minute, "sender-3")
		r.must(err)
		if again[0].Sender != "sender-2" || !again[0].MaybeSent {
			r.t.Errorf("got sender %q, maybe sent %v", again[0].Sender, again[0].MaybeSent)
		}
	})
}

func TestContentIsDestroyedAtTheEnd(t *testing.T) {
	each(t, func(r *rig) {
		sealed := func(id string) int {
			var n int
			r.must(r.db.View(r.t.Context(), func(tx *store.Tx) error {
				var err error
				n, err = store.One(tx, func(row store.Row) (n int, err error) { return n, row.Scan(&n) },
					`SELECT length(sealed) FROM outbox_letter WHERE id = $1`, id)
				return err
			}))
			return n
		}
		for _, tt := range []struct {
			letter letter.Letter
			state  outbox.State
			gone   bool
		}{
			{invitation("t1"), outbox.Accepted, true},
			{invitation("t2"), outbox.Failed, true},
			{changed(), outbox.Accepted, true},
			{changed(), outbox.Failed, false},
		} {
			id := r.add(store.NewID()[24:], tt.letter)
			if sealed(id) == 0 {
				r.t.Fatal("nothing was sealed")
			}
			c := r.claim(1)[0]
			r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: tt.state}))
			if gone := sealed(id) == 0; gone != tt.gone {
				r.t.Errorf("%s %s: content gone is %v, want %v", tt.letter.Kind(), tt.state, gone, tt.gone)
			}
		}
		r.clock.Advance(8 * 24 * time.Hour)
		r.forget()
		page, err := r.box.List(r.t.Context(), admin, outbox.Filter{})
		r.must(err)
		for _, row := range page.Rows {
			if sealed(row.ID) != 0 {
				r.t.Errorf("%s %s keeps its content after a week", row.Kind, row.State)
			}
		}
	})
}

func TestANewInvitationTakesThePlaceOfTheOldOne(t *testing.T) {
	each(t, func(r *rig) {
		first := r.add("ada", invitation("one"))
		second := r.add("ada", invitation("two"))
		if got := r.row(first).State; got != outbox.Cancelled {
			r.t.Errorf("the older invitation is %s", got)
		}
		if got := r.claim(10); len(got) != 1 || got[0].ID != second {
			r.t.Errorf("got %+v", got)
		}
	})
}

func TestAStormIsMerged(t *testing.T) {
	each(t, func(r *rig) {
		ids := map[string]bool{}
		for range 50 {
			ids[r.add("ada", changed())] = true
		}
		if len(ids) > 6 {
			r.t.Errorf("%d letters for one recipient in one hour", len(ids))
		}
		r.add("bob", changed())
		if got := r.claim(100); len(got) < 2 {
			r.t.Error("somebody else's letter was held up by the storm")
		}
		page, err := r.box.List(r.t.Context(), admin, outbox.Filter{UserID: "u-ada"})
		r.must(err)
		var merged int64
		for _, row := range page.Rows {
			merged += row.Merged + 1
		}
		if merged != 50 {
			r.t.Errorf("%d of 50 causes are accounted for", merged)
		}
	})
}

func TestLettersExpire(t *testing.T) {
	each(t, func(r *rig) {
		id := r.add("ada", letter.PasswordReset{Name: "Ada"})
		r.clock.Advance(29 * time.Minute)
		if n, err := r.box.Expire(r.t.Context()); n != 0 || err != nil {
			r.t.Fatalf("expired %d before its time, %v", n, err)
		}
		r.clock.Advance(2 * time.Minute)
		if got := r.claim(1); len(got) != 0 {
			r.t.Error("a letter past its time was claimed")
		}
		if n, err := r.box.Expire(r.t.Context()); n != 1 || err != nil {
			r.t.Fatalf("expired %d, %v", n, err)
		}
		if got := r.row(id); got.State != outbox.Expired || got.CanResend {
			r.t.Errorf("got %+v", got)
		}
	})
}

// What another node is writing at this moment is not written over: its letter
// is passed by, and looked at again in the next turn.
func TestExpiringPassesByWhatIsBeingWritten(t *testing.T) {
	each(t, func(r *rig) {
		if r.db.Engine() != store.Postgres {
			return // writers take turns there
		}
		id := r.add("ada", letter.PasswordReset{Name: "Ada"})
		r.clock.Advance(time.Hour)
		r.update(func(tx *store.Tx) error {
			if _, err := tx.Exec(`UPDATE outbox_letter SET state = 'accepted', sealed = $1 WHERE id = $2`, []byte{}, id); err != nil {
				return err
			}
			if n, err := r.box.Expire(t.Context()); err != nil || n != 0 {
				r.t.Errorf("%d expired meanwhile, %v", n, err)
			}
			return nil
		})
		row, _, err := r.box.Get(r.t.Context(), admin, id)
		r.must(err)
		if row.State != outbox.Accepted {
			r.t.Errorf("an accepted letter became %s", row.State)
		}
	})
}

func TestResendAndCancel(t *testing.T) {
	each(t, func(r *rig) {
		id := r.add("ada", changed())
		c := r.claim(1)[0]
		if err := r.box.CancelLetter(r.t.Context(), admin, id); !fault.Is(err, fault.KindConflict) {
			r.t.Errorf("a letter in flight was cancelled: %v", err)
		}
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: outbox.Failed, Reply: "550 no"}))
		user := actor.Actor{Kind: actor.KindUser, UserID: "x", Login: "x", Role: actor.PasswordUser}
		if err := r.box.Resend(r.t.Context(), user, id); !fault.Is(err, fault.KindDenied) {
			r.t.Errorf("a user resent a letter: %v", err)
		}
		r.must(r.box.Resend(r.t.Context(), admin, id))
		again := r.claim(1)
		if len(again) != 1 || again[0].MessageID != c.MessageID {
			r.t.Errorf("got %+v", again)
		}
		waiting := r.add("bob", changed())
		r.must(r.box.CancelLetter(r.t.Context(), admin, waiting))
		if got := r.row(waiting); got.State != outbox.Cancelled || !strings.Contains(got.Advice, "grace") {
			r.t.Errorf("got %+v", got)
		}
	})
}

func TestTheJournalIsPagedAndCounted(t *testing.T) {
	each(t, func(r *rig) {
		for _, who := range []string{"a", "b", "c", "d", "e"} {
			r.add(who, changed())
		}
		c := r.claim(1)[0]
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: c.ID, Attempt: c.Attempt, State: outbox.Accepted}))
		var seen []string
		f := outbox.Filter{Limit: 2}
		for {
			page, err := r.box.List(r.t.Context(), admin, f)
			r.must(err)
			for _, row := range page.Rows {
				seen = append(seen, row.To.Address)
			}
			if page.Next == "" {
				break
			}
			f.Cursor = page.Next
		}
		if len(seen) != 5 {
			r.t.Errorf("paging showed %v", seen)
		}
		found, err := r.box.List(r.t.Context(), admin, outbox.Filter{Text: "C@EXAMPLE"})
		r.must(err)
		if len(found.Rows) != 1 {
			r.t.Errorf("search found %d", len(found.Rows))
		}
		r.must(r.db.View(r.t.Context(), func(tx *store.Tx) error {
			n, err := r.box.Counts(tx)
			if n.Waiting != 4 || n.Accepted24h != 1 || n.Oldest.IsZero() {
				r.t.Errorf("counts %+v", n)
			}
			return err
		}))
		days, err := r.box.Days(r.t.Context(), admin, 14)
		r.must(err)
		if len(days) != 14 || days[13].Accepted != 1 {
			r.t.Errorf("days %+v", days)
		}
	})
}

func TestDueLettersAreCountedUpToTen(t *testing.T) {
	each(t, func(r *rig) {
		want := func(n int, open bool) {
			r.t.Helper()
			got, gate, err := r.box.Due(r.t.Context(), outbox.Main)
			r.must(err)
			if got != n || gate != open {
				r.t.Fatalf("%d letters are due, the gate open: %v; want %d, %v", got, gate, n, open)
			}
		}
		want(0, true)
		for _, who := range []string{"a", "b", "c", "d"} {
			r.add(who, changed())
		}
		want(4, true)
		claims := r.claim(3)
		want(1, true)
		later := outbox.Outcome{ID: claims[0].ID, Attempt: 1, State: outbox.Deferred, RetryAt: r.clock.Now().Add(10 * time.Minute)}
		r.must(r.box.Record(r.t.Context(), later))
		want(1, true)
		r.clock.Advance(2 * time.Minute) // the leases of two are over
		want(3, true)
		for _, who := range []string{"e", "f", "g", "h", "i", "j", "k", "l"} {
			r.add(who, changed())
		}
		want(10, true)
		r.update(func(tx *store.Tx) error { return r.box.GateOf(outbox.Main).CloseGate(tx, outbox.ReasonPaused, "") })
		want(10, false)
		r.clock.Advance(25 * time.Hour)
		want(0, false)
	})
}

func TestALetterThatIsGivenBackWasNotTried(t *testing.T) {
	each(t, func(r *rig) {
		id := r.add("ada", changed())
		for attempt, tt := range []struct {
			state outbox.State
			tries int
		}{{outbox.Queued, 0}, {outbox.Deferred, 0}, {outbox.Queued, 1}, {outbox.Uncertain, 1}, {outbox.Queued, 2}} {
			c := r.claim(1)[0]
			if c.Tries != tt.tries || c.Attempt != int64(attempt+1) {
				r.t.Errorf("attempt %d counts %d tries, want %d", c.Attempt, c.Tries, tt.tries)
			}
			r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: tt.state}))
		}
	})
}

func TestLettersThatWillNotArriveAreAudited(t *testing.T) {
	each(t, func(r *rig) {
		log := func(action string) []audit.Entry {
			page, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: action})
			r.must(err)
			return page.Entries
		}
		failed := r.add("failed", changed())
		c := r.claim(1)[0]
		out := outbox.Outcome{ID: failed, Attempt: c.Attempt, State: outbox.Failed, Reply: "550 no such user", Advice: "Correct the address."}
		r.must(r.box.Record(r.t.Context(), out, out)) // the second is dropped
		if got := log("letter.failed"); len(got) != 1 || got[0].ID != failed || got[0].Name != "failed@example.org" || got[0].Reason != "Correct the address." || !strings.Contains(audit.DetailText(got[0].Detail), "550 no such user") {
			r.t.Errorf("got %+v", got)
		}
		expired := r.add("expired", changed())
		r.claim(1) // by a process that dies
		r.clock.Advance(25 * time.Hour)
		n, err := r.box.Expire(r.t.Context())
		r.must(err)
		if got := log("letter.expired"); n != 1 || len(got) != 1 || got[0].ID != expired {
			r.t.Errorf("%d expired, audited: %+v", n, got)
		}
		row, attempts, err := r.box.Get(r.t.Context(), admin, expired)
		r.must(err)
		if !row.MaybeSent || attempts[0].State != outbox.Uncertain || attempts[0].Ended.IsZero() {
			r.t.Errorf("the attempt of the dead process is %+v", attempts[0])
		}
	})
}

// What is being sent cannot be called back, but it must not be tried again:
// its user is gone, or its link is dead.
func TestALetterThatIsCancelledOnItsWayIsNotTriedAgain(t *testing.T) {
	each(t, func(r *rig) {
		for _, tt := range []struct {
			outcome, want outbox.State
			maybe         bool
		}{
			{outbox.Deferred, outbox.Cancelled, false},
			{outbox.Queued, outbox.Cancelled, false},
			{outbox.Uncertain, outbox.Cancelled, true},
			{outbox.Failed, outbox.Cancelled, false},
			{outbox.Accepted, outbox.Accepted, true},
		} {
			id := r.add("ada", changed())
			c := r.claim(1)[0]
			r.update(func(tx *store.Tx) error { return r.box.CancelFor(tx, "u-ada", letter.KindPasswordChanged) })
			if got := r.row(id); got.State != outbox.Sending {
				r.t.Fatalf("while it is sent it is %s", got.State)
			}
			r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: tt.outcome, RetryAt: r.clock.Now().Add(time.Minute)}))
			got := r.row(id)
			if got.State != tt.want || got.MaybeSent != tt.maybe || got.CanResend {
				r.t.Errorf("%s became %+v", tt.outcome, got)
			}
			r.clock.Advance(2 * time.Hour)
			if len(r.claim(1)) != 0 {
				r.t.Errorf("%s is sent again", tt.outcome)
			}
		}
		// The process that was sending it dies.
		id := r.add("ada", changed())
		r.claim(1)
		r.update(func(tx *store.Tx) error { return r.box.CancelFor(tx, "u-ada", letter.KindPasswordChanged) })
		r.clock.Advance(2 * time.Minute)
		if len(r.claim(1)) != 0 {
			r.t.Error("it is sent again after its process died")
		}
		n, err := r.box.Expire(r.t.Context())
		r.must(err)
		if got := r.row(id); n != 1 || got.State != outbox.Cancelled || !got.MaybeSent {
			r.t.Errorf("%d ended, it is %+v", n, got)
		}
		for _, action := range []string{"letter.failed", "letter.expired"} {
			page, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: action})
			r.must(err)
			if len(page.Entries) != 0 {
				r.t.Errorf("a letter that nobody wants is missed: %+v", page.Entries)
			}
		}
	})
}

// With ten thousand letters waiting, the next one is found as quickly as with
// one: the engine walks the queue in its order and sorts nothing.
func TestTheNextLetterIsFoundHoweverManyWait(t *testing.T) {
	each(t, func(r *rig) {
		for i := range 200 {
			r.add(fmt.Sprintf("ada-%d", i), invitation("token"))
		}
		r.update(func(tx *store.Tx) error {
			// What PostgreSQL does by itself once a table has grown.
			_, err := tx.Exec("ANALYZE outbox_letter")
			return err
		})
		r.update(func(tx *store.Tx) error {
			plan, err := outbox.DuePlan(tx, outbox.Main)
			if !strings.Contains(plan, "outbox_letter_queue") || strings.Contains(plan, "Sort") || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("the queue is not walked in its order:\n%s", plan)
			}
			return err
		})
		r.update(func(tx *store.Tx) error {
			// For two routes the first of each are sorted, and no others.
			plan, err := outbox.DuePlan(tx, outbox.Main, outbox.Second)
			if strings.Count(plan, "outbox_letter_queue") != 2 || strings.Contains(plan, "SCAN outbox_letter") || strings.Contains(plan, "Seq Scan") {
				t.Errorf("the two queues are not walked in their order:\n%s", plan)
			}
			return err
		})
		for _, n := range []int{1, 8, outbox.MostOutcomes} {
			r.update(func(tx *store.Tx) error {
				plan, err := outbox.EndedPlan(tx, n)
				if tx.Engine() == store.SQLite && !strings.Contains(plan, "SEARCH outbox_letter") {
					t.Errorf("%d letters are looked for among all:\n%s", n, plan)
				}
				return err
			})
		}
	})
}

// Who gets one letter for many learns of how many, in the same words on each
// attempt.
func TestAMergedLetterTellsHowManyItStandsFor(t *testing.T) {
	each(t, func(r *rig) {
		for range 9 {
			r.add("ada", changed())
		}
		claims := r.claim(100)
		if len(claims) != 5 {
			r.t.Fatalf("%d letters leave at once", len(claims))
		}
		const said = "The same happened 4 more times within the hour."
		text := func(c outbox.Claim) string { return strings.Join(strings.Fields(c.Content.Text.Reveal()), " ") }
		var first outbox.Claim
		for _, c := range claims {
			if strings.Contains(text(c), said) && strings.Contains(c.Content.HTML.Reveal(), said) {
				first = c
			} else if strings.Contains(text(c), "The same happened") {
				r.t.Errorf("a letter for itself says\n%s", text(c))
			}
		}
		if first.ID == "" {
			r.t.Fatal("no letter tells of the others")
		}
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: first.ID, Attempt: 1, State: outbox.Deferred, RetryAt: r.clock.Now().Add(time.Second)}))
		r.add("ada", changed()) // it may wait or be merged, but not into what has been tried
		r.clock.Advance(2 * time.Second)
		for _, c := range r.claim(100) {
			if c.ID == first.ID && (c.Content.Text.Reveal() != first.Content.Text.Reveal() || c.Content.HTML.Reveal() != first.Content.HTML.Reveal()) {
				r.t.Errorf("the second attempt says something else:\n%s", c.Content.Text.Reveal())
			}
		}
	})
}
