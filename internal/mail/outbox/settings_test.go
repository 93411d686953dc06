package outbox_test

import (
	"fmt"
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

// forget runs Retention until there is nothing more to do, and returns how many
// transactions that took.
func (r *rig) forget() int {
	r.t.Helper()
	for n := 1; ; n++ {
		more, err := r.box.Retention(r.t.Context())
		r.must(err)
		if !more {
			return n
		}
	}
}

func TestTheSettingsDecideHowLongLettersAreTriedAndRemembered(t *testing.T) {
	each(t, func(r *rig) {
		s, err := r.box.Settings(r.t.Context(), admin)
		r.must(err)
		if s.Keep != outbox.UsualKeep || s.Lifetimes[letter.KindPasswordChanged] != 24*time.Hour {
			r.t.Fatalf("what nobody chose: %+v", s)
		}
		tried := func() time.Duration {
			row := r.row(r.add(store.NewID()[24:], changed()))
			return row.Expires.Sub(row.Added)
		}
		if got := tried(); got != 24*time.Hour {
			r.t.Errorf("tried for %s before anybody chose", got)
		}
		s.Keep, s.Lifetimes[letter.KindPasswordChanged] = 30*24*time.Hour, 2*time.Hour
		r.must(r.box.Save(r.t.Context(), admin, s))
		if got := tried(); got != 2*time.Hour {
			r.t.Errorf("tried for %s, not the chosen time", got)
		}
		found, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: "mail.delivery_changed"})
		r.must(err)
		if len(found.Entries) != 1 || !strings.Contains(audit.DetailText(found.Entries[0].Detail), `"1 day" to "2 hours"`) {
			r.t.Errorf("audited: %+v", found.Entries)
		}
		now, err := r.box.Settings(r.t.Context(), admin)
		r.must(err)
		r.must(r.box.Save(r.t.Context(), admin, now)) // the same again
		if err := r.box.Save(r.t.Context(), admin, s); !fault.Is(err, fault.KindConflict) {
			r.t.Errorf("overwriting somebody else's change: %v", err)
		}
		if again, err := r.audit.Search(r.t.Context(), admin, audit.Filter{Action: "mail.delivery_changed"}); err != nil || len(again.Entries) != 1 {
			r.t.Errorf("a change of nothing was audited: %v, %v", again.Entries, err)
		}
		// What is out of bounds in the database, as after a downgrade, does not count.
		r.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE outbox_lifetime SET life = $1`, (90 * 24 * time.Hour).Microseconds())
			return err
		})
		if got := tried(); got != 24*time.Hour {
			r.t.Errorf("tried for %s, which is out of bounds", got)
		}
	})
}

func TestSettingsOutOfBoundsAreRefusedAtTheirField(t *testing.T) {
	each(t, func(r *rig) {
		for _, tt := range []struct {
			field  string
			change func(s *outbox.Settings)
		}{
			{"keep", func(s *outbox.Settings) { s.Keep = 6 * 24 * time.Hour }},
			{"keep", func(s *outbox.Settings) { s.Keep = 1826 * 24 * time.Hour }},
			{"keep", func(s *outbox.Settings) { s.Keep = 200 * time.Hour }},
			{"lifetime_invitation", func(s *outbox.Settings) { s.Lifetimes[letter.KindInvitation] = 73 * time.Hour }},
			{"lifetime_password_reset", func(s *outbox.Settings) { s.Lifetimes[letter.KindPasswordReset] = 31 * time.Minute }},
			{"lifetime_password_reset", func(s *outbox.Settings) { s.Lifetimes[letter.KindPasswordReset] = 0 }},
			{"lifetime_new_device", func(s *outbox.Settings) { s.Lifetimes[letter.KindNewDevice] = 90 * time.Second }},
			{"lifetime_test", func(s *outbox.Settings) { s.Lifetimes[letter.KindTest] = time.Hour }},
		} {
			s, err := r.box.Settings(r.t.Context(), admin)
			r.must(err)
			tt.change(&s)
			err = r.box.Save(r.t.Context(), admin, s)
			if fields := fault.Fields(err); len(fields) != 1 || fields[0].Field != tt.field {
				r.t.Errorf("%s: %v", tt.field, err)
			}
		}
		auditor := actor.Actor{Kind: actor.KindUser, UserID: "u", Role: actor.PasswordAuditor}
		if _, err := r.box.Settings(r.t.Context(), auditor); !fault.Is(err, fault.KindDenied) {
			r.t.Errorf("an auditor looks: %v", err)
		}
		if err := r.box.Save(r.t.Context(), auditor, outbox.UsualSettings()); !fault.Is(err, fault.KindDenied) {
			r.t.Errorf("an auditor changes: %v", err)
		}
	})
}

// A one-time link's letter must not be tried for longer than the link lives,
// and every kind can be chosen within bounds that hold what is usual.
func TestBoundsHoldWhatIsUsual(t *testing.T) {
	for _, k := range letter.Kinds() {
		if k.Lifetime < k.Shortest || k.Lifetime > k.Longest || k.OneTime && k.Longest > k.Lifetime {
			t.Errorf("%s: %s to %s, usually %s", k.Key, k.Shortest, k.Longest, k.Lifetime)
		}
		if k.Class.Title() == "Other letters" || k.Class.Key() == "other" {
			t.Errorf("%s has no class of the five", k.Key)
		}
	}
	if len(letter.Classes()) != 5 {
		t.Errorf("%d classes", len(letter.Classes()))
	}
}

func TestTheJournalForgetsInBatches(t *testing.T) {
	each(t, func(r *rig) {
		const many = 2500
		kept := r.add("kept", changed())
		r.fill(many, func(i int) string { return fmt.Sprintf("old-%06d", i) }, func(int) string { return "accepted" })
		waits := r.add("waits", changed())
		c := r.claim(1)[0]
		if c.ID != kept {
			r.t.Fatalf("claimed %s", c.ID)
		}
		r.clock.Advance(364 * 24 * time.Hour)
		// Time passed without expiry being looked for: it waits still.
		r.must(r.box.Record(r.t.Context(), outbox.Outcome{ID: kept, Attempt: c.Attempt, State: outbox.Accepted}))
		if n := r.forget(); n != 1 {
			r.t.Errorf("%d transactions with nothing to forget", n)
		}
		r.clock.Advance(48 * time.Hour)
		if n := r.forget(); n != 3 {
			r.t.Errorf("forgetting %d letters took %d transactions, want 3", many, n)
		}
		if got := r.row(kept).State; got != outbox.Accepted {
			r.t.Errorf("a letter of two days ago is %s", got)
		}
		if got := r.row(waits).State; got.Final() {
			r.t.Errorf("a letter that waits is %s", got)
		}
		r.must(r.db.View(r.t.Context(), func(tx *store.Tx) error {
			left, err := store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) }, `SELECT COUNT(*) FROM outbox_letter`)
			if left != 2 {
				r.t.Errorf("%d letters are left, want 2", left)
			}
			return err
		}))
	})
}

// fill adds letters as they look when they are done with, without sealing any.
func (r *rig) fill(n int, id, state func(i int) string) {
	r.t.Helper()
	const together = 500
	r.update(func(tx *store.Tx) error {
		now := store.Micros(tx.Now())
		for from := 0; from < n; from += together {
			var values []string
			for i := from; i < min(from+together, n); i++ {
				values = append(values, fmt.Sprintf(`('%[1]s', '%[1]s', 'password_changed', 3, '', '%[1]s', '', 'x', $1, '', '%[2]s', false, 0, 1,
					$2, $2, $2, 0, $2, '', 0, '', '', '', '', '%[3]s', $2, $2, 'trace-%06[4]d')`, id(i), state(i), host, i))
			}
			if _, err := tx.Exec(`INSERT INTO outbox_letter (id, message_id, kind, class, user_id, to_address, to_name, subject, sealed, sender, state, maybe_sent, merged,
				attempt, added_at, not_before, expires_at, lease_until, changed_at, stage, code, enhanced, reply, advice, queue_id, server, began_at, ended_at, trace)
				VALUES `+strings.Join(values, ", "), []byte{}, now); err != nil {
				return err
			}
		}
		return nil
	})
}
