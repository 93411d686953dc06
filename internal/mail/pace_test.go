package mail_test

import (
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/store"
)

// What keeps letters because of how a server answered ends with the settings
// that it answered to, and when a person says so; it goes with the profile.
func TestARestEndsWithTheSettingsAndByHand(t *testing.T) {
	each(t, func(r *rig) {
		c := keep(typed())
		c.Auth, c.Pace = mail.AuthNone, pace.Limits{PerMinute: 25}
		p := r.save(c)
		keeper := pace.New(pace.Config{DB: r.db})
		for name, act := range map[string]func() error{
			"saving":   func() error { return second(r.mail.Save(r.t.Context(), admin, c)) },
			"resuming": func() error { return r.mail.Resume(r.t.Context(), admin) },
		} {
			r.clock.Advance(time.Hour)
			r.must(keeper.Slow(r.t.Context(), p.ID, p.Limits(), time.Hour))
			if g, err := keeper.Take(r.t.Context(), p.ID, p.Limits(), 1); err != nil || g.N != 0 {
				r.t.Fatalf("%s: nothing rests: %+v, %v", name, g, err)
			}
			r.must(act())
			if g, err := keeper.Take(r.t.Context(), p.ID, p.Limits(), 1); err != nil || g.N != 1 {
				r.t.Errorf("after %s letters wait for %v (%v)", name, g.Wait, err)
			}
		}
		r.must(r.mail.Remove(r.t.Context(), admin))
		var n int
		r.update(func(tx *store.Tx) error {
			return tx.Each(func(row store.Row) error { return row.Scan(&n) }, `SELECT COUNT(*) FROM mail_pace`)
		})
		if n != 0 {
			r.t.Errorf("%d rows are kept of a profile that is gone", n)
		}
	})
}
