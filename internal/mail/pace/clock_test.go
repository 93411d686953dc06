package pace_test

import (
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

func slow(t testing.TB, k *pace.Keeper, d time.Duration) {
	t.Helper()
	if err := k.Slow(t.Context(), "p", exchange(), d); err != nil {
		t.Fatal(err)
	}
}

func hold(t testing.TB, k *pace.Keeper, holder string) bool {
	t.Helper()
	_, ok, err := k.Hold(t.Context(), "p", pace.Limits{Connections: 1}, holder, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// What was written while a clock was a month ahead keeps no letter once it is
// right again.
func TestAClockThatWasAheadKeepsNothing(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		limits := pace.Limits{PerMinute: 25, PerDay: 5}
		clock.Advance(30 * 24 * time.Hour)
		if g := take(t, k, pace.Limits{PerDay: 5}, 5); g.N != 5 || !hold(t, k, "before") {
			t.Fatalf("got %+v", g)
		}
		slow(t, k, time.Minute)
		if hold(t, k, "after") {
			t.Fatal("a slot that is held is given to another")
		}
		clock.Advance(-30 * 24 * time.Hour)
		if g := take(t, k, limits, 1); g.N != 1 {
			t.Errorf("letters wait for %v", g.Wait)
		}
		if got := today(t, db, k); got != 1 {
			t.Errorf("%d recipients count for today", got)
		}
		if !hold(t, k, "after") {
			t.Error("the connection is held by who had it in the future")
		}
		slow(t, k, time.Minute)
		if g := take(t, k, limits, 1); g.N != 0 || g.Wait > time.Minute {
			t.Errorf("slowed down for a minute, got %+v", g)
		}
		clock.Advance(time.Minute)
		// When the future has come, nothing of it is counted.
		clock.Advance(30 * 24 * time.Hour)
		if g := take(t, k, limits, 1); g.N != 1 || today(t, db, k) != 1 {
			t.Errorf("a month later: %+v, %d today", g, today(t, db, k))
		}
	})
}

func TestARestIsNoLongerThanAnHourAndCanBeLifted(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		slow(t, k, 24*time.Hour)
		if g := take(t, k, exchange(), 1); g.N != 0 || g.Wait != time.Hour {
			t.Errorf("asked to wait for a day, got %+v", g)
		}
		if err := db.Update(t.Context(), func(tx *store.Tx) error { return k.Lift(tx, "p") }); err != nil {
			t.Fatal(err)
		}
		if g := take(t, k, exchange(), 1); g.N != 1 {
			t.Errorf("lifted, got %+v", g)
		}
	})
}

func TestNothingIsKeptOfAProfileThatIsGone(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		take(t, k, exchange(), 1)
		hold(t, k, "a")
		for _, table := range []string{"mail_pace", "mail_sent", "mail_slot"} {
			if rows(t, db, table) == 0 {
				t.Fatalf("%s has nothing to forget", table)
			}
		}
		if err := db.Update(t.Context(), func(tx *store.Tx) error { return k.Forget(tx, "p") }); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"mail_pace", "mail_sent", "mail_slot"} {
			if n := rows(t, db, table); n != 0 {
				t.Errorf("%s keeps %d rows", table, n)
			}
		}
	})
}

func rows(t testing.TB, db *store.DB, table string) (n int) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		return tx.Each(func(r store.Row) error { return r.Scan(&n) }, `SELECT COUNT(*) FROM `+table)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
