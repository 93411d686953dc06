package outbox_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

const host = "mail.example.org:587"

// accept claims the next letter and lets a server take it.
func (r *rig) accept(server string) outbox.Claim {
	r.t.Helper()
	c := r.claim(1)
	if len(c) != 1 {
		r.t.Fatal("nothing to claim")
	}
	r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: c[0].ID, Attempt: c[0].Attempt, State: outbox.Accepted, Server: server}))
	return c[0]
}

func TestThePulseOfAServer(t *testing.T) {
	each(t, func(r *rig) {
		// A quick letter, one that waits for a minute, one that needs two attempts,
		// and one that another server takes.
		r.add("quick", changed())
		r.clock.Advance(2 * time.Second)
		r.accept(host)
		r.add("slow", changed())
		r.clock.Advance(time.Minute)
		r.accept(host)
		again := r.add("again", changed())
		c := r.claim(1)[0]
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: again, Attempt: c.Attempt, State: outbox.Deferred, Server: host}))
		r.clock.Advance(2 * time.Hour)
		r.accept(host)
		r.add("elsewhere", changed())
		r.accept("other.example.org:25")

		p, err := r.box.Pulse(r.t.Context(), admin, host)
		r.must(err)
		if p.Day.Accepted != 3 || p.Hour.Accepted != 1 || !p.Whole {
			r.t.Fatalf("a day of %d letters, an hour of %d, whole %v", p.Day.Accepted, p.Hour.Accepted, p.Whole)
		}
		if p.Day.P50 != time.Minute || p.Day.P95 != 2*time.Hour || p.Day.P99 != 2*time.Hour {
			r.t.Errorf("quantiles %s, %s, %s", p.Day.P50, p.Day.P95, p.Day.P99)
		}
		if p.Day.Tries != [5]int{2, 1} {
			r.t.Errorf("attempts %v", p.Day.Tries)
		}
		if got := fmt.Sprint(p.Day.Times); got != "[0 1 0 0 1 0 0 0 1 0]" {
			r.t.Errorf("times %v", got)
		}
		if p.PerMinute[59] != 1 || len(p.PerMinute) != 60 {
			r.t.Errorf("letters a minute %v", p.PerMinute)
		}
		if none, err := r.box.Pulse(r.t.Context(), admin, "nobody:25"); err != nil || none.Day.Accepted != 0 || none.Day.P99 != 0 {
			r.t.Errorf("a server that took nothing: %+v, %v", none, err)
		}
		if _, err := r.box.Pulse(r.t.Context(), actor.Actor{Kind: actor.KindUser, UserID: "u", Role: actor.PasswordUser}, host); !fault.Is(err, fault.KindDenied) {
			r.t.Errorf("a password user looks: %v", err)
		}
	})
}

func TestTheNumbersOfTheJournal(t *testing.T) {
	each(t, func(r *rig) {
		for _, who := range []string{"a", "b", "c", "d", "e"} {
			r.add(who, changed())
			r.clock.Advance(time.Second)
		}
		r.add("f", letter.PasswordReset{Name: "F"})
		claims := r.claim(5) // the reset overtakes
		for i, state := range []outbox.State{outbox.Accepted, outbox.Failed, outbox.Deferred, outbox.Uncertain} {
			r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: claims[i].ID, Attempt: claims[i].Attempt, State: state, RetryAt: r.clock.Now().Add(time.Hour)}))
		}
		r.update(func(tx *store.Tx) error {
			news, err := r.box.Bounced(tx, claims[0].ID, outbox.Bounce{At: tx.Now(), Final: true, Status: "5.1.1", Text: "unknown"})
			if !news {
				r.t.Error("the bounce is no news")
			}
			return err
		})
		want := outbox.Counts{Waiting: 4, Sending: 1, Delayed: 2, Uncertain: 1, Accepted24h: 1, Failed24h: 1, Bounced24h: 1}
		r.must(r.db.View(r.t.Context(), func(tx *store.Tx) error {
			got, err := r.box.Counts(tx)
			want.Oldest = got.Oldest
			if got != want || got.Oldest.IsZero() {
				r.t.Errorf("got %+v, want %+v", got, want)
			}
			lines, err2 := r.box.Lines(tx)
			if len(lines) != 1 || lines[0].Class != letter.ClassAlert || lines[0].Waiting != 4 || lines[0].Route != outbox.Main {
				r.t.Errorf("lines %+v", lines)
			}
			r.must(err2)
			return err
		}))
		row := r.row(claims[0].ID)
		if row.Bounce.Status != "5.1.1" || row.Class != letter.ClassCode || row.Began.IsZero() || row.Ended.IsZero() {
			r.t.Errorf("the row of a letter that bounced: %+v", row)
		}
		bounced, err := r.box.List(r.t.Context(), admin, outbox.Filter{Bounced: true})
		r.must(err)
		if len(bounced.Rows) != 1 || bounced.Rows[0].ID != row.ID {
			r.t.Errorf("letters that came back: %+v", bounced.Rows)
		}
		g, err := r.box.Glance(r.t.Context(), admin, r.clock.Now().Add(-time.Minute))
		r.must(err)
		if len(g.Rows) != 6 || g.Waiting != 4 || !g.At.Equal(r.clock.Now()) {
			r.t.Errorf("a glance shows %d rows at %s: %+v", len(g.Rows), g.At, g.Counts)
		}
	})
}

// A letter carries the id of the request that caused it, and is found by it; the
// audit entry about its end carries the same.
func TestALetterIsFoundByWhatCausedIt(t *testing.T) {
	each(t, func(r *rig) {
		trace := actor.NewTrace(time.Now())
		ctx := actor.WithTrace(r.t.Context(), trace)
		r.add("other", changed())
		var id string
		r.must(r.db.Update(ctx, func(tx *store.Tx) (err error) {
			id, err = r.box.Add(tx, outbox.Recipient{Address: "ada@example.org"}, letter.PasswordReset{Name: "Ada"})
			return err
		}))
		found, err := r.box.List(r.t.Context(), admin, outbox.Filter{Trace: trace})
		r.must(err)
		if len(found.Rows) != 1 || found.Rows[0].ID != id || found.Rows[0].Trace != trace {
			r.t.Fatalf("found %+v", found.Rows)
		}
		c := r.claim(1)[0]
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: id, Attempt: c.Attempt, State: outbox.Failed, Advice: "No such mailbox."}))
		entries, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Request: trace})
		r.must(err)
		if len(entries.Entries) != 1 || entries.Entries[0].Action != "letter.failed" || entries.Entries[0].ID != id {
			r.t.Errorf("audited under the trace: %+v", entries.Entries)
		}
	})
}

func TestASearchForTextGoesOnWithOlderLetters(t *testing.T) {
	each(t, func(r *rig) {
		old := r.add("needle", changed())
		r.fill(1100, func(i int) string { return fmt.Sprintf("zz-%06d", i) }, func(int) string { return "accepted" })
		needle := outbox.Filter{Text: "needle"}.Searching(1000)
		first, err := r.box.List(r.t.Context(), admin, needle)
		r.must(err)
		if len(first.Rows) != 0 || !first.Further || first.Next == "" {
			r.t.Fatalf("the first page: %d rows, further %v", len(first.Rows), first.Further)
		}
		needle.Cursor = first.Next
		second, err := r.box.List(r.t.Context(), admin, needle)
		r.must(err)
		if len(second.Rows) != 1 || second.Rows[0].ID != old || second.Further || second.Next != "" {
			r.t.Errorf("the second page: %+v", second)
		}
	})
}

// What pages, counts and the clean-up ask is answered by an index, whatever the
// journal holds.
func TestTheJournalUsesItsIndexes(t *testing.T) {
	rows := 3000
	if os.Getenv("SEALPOST_TORTURE") != "" {
		rows = 1_000_000
	}
	each(t, func(r *rig) {
		for from := 0; from < rows; from += 10_000 {
			r.fill(min(rows-from, 10_000), func(i int) string { return fmt.Sprintf("0-%09d", from+i) }, func(i int) string {
				if (from+i)%1000 == 0 {
					return "failed"
				}
				return "accepted"
			})
		}
		if r.db.Engine() == store.Postgres {
			r.update(func(tx *store.Tx) error {
				_, err := tx.Exec(`ANALYZE outbox_letter`)
				return err
			})
		}
		r.add("waits", changed())
		plan := func(index, query string, args ...any) {
			r.t.Helper()
			r.must(r.db.View(r.t.Context(), func(tx *store.Tx) error {
				p, err := outbox.Plan(tx, query, args...)
				if !strings.Contains(p, index) || strings.Contains(p, "Seq Scan on outbox_letter") || strings.Contains(p, "SCAN outbox_letter\n") {
					r.t.Errorf("%s does not use %s:\n%s", query, index, p)
				}
				return err
			}))
		}
		old := store.Micros(r.clock.Now().Add(-time.Hour))
		plan("outbox_letter_by_end", outbox.OutdatedQuery, old, int64(1))
		plan("outbox_letter_by_end", outbox.SampleQuery, old, int64(10))
		plan("outbox_letter_content", outbox.WipeableQuery, old, int64(1))
		for _, tt := range []struct {
			what, index string
			filter      outbox.Filter
		}{
			{"all", "outbox_letter", outbox.Filter{}},
			{"by trace", "outbox_letter_by_trace", outbox.Filter{Trace: "trace-000001"}},
			{"failed", "outbox_letter_lost", outbox.Filter{State: outbox.Failed}},
			{"waiting", "outbox_letter_", outbox.Filter{State: outbox.Waiting}},
			{"deferred", "outbox_letter_", outbox.Filter{State: outbox.Deferred}},
			{"bounced", "outbox_letter_bounced", outbox.Filter{Bounced: true}},
			{"text", "outbox_letter", outbox.Filter{Text: "nobody"}},
		} {
			r.must(r.db.View(r.t.Context(), func(tx *store.Tx) error {
				query, args, err := outbox.ListQuery(tx, tt.filter)
				r.must(err)
				p, err := outbox.Plan(tx, query, args...)
				if !strings.Contains(p, tt.index) || tt.filter.Text == "" && strings.Contains(p, "Seq Scan") {
					r.t.Errorf("%s: not by %s:\n%s", tt.what, tt.index, p)
				}
				return err
			}))
			began := time.Now()
			_, err := r.box.List(r.t.Context(), admin, tt.filter)
			r.must(err)
			r.t.Logf("%s: %s among %d letters", tt.what, time.Since(began), rows)
		}
		began := time.Now()
		_, err := r.box.Glance(r.t.Context(), admin, r.clock.Now())
		r.must(err)
		_, err = r.box.Pulse(r.t.Context(), admin, host)
		r.must(err)
		r.t.Logf("the numbers of %d letters: %s", rows, time.Since(began))
	})
}
