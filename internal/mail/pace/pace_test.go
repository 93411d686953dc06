package pace_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

func TestMain(m *testing.M) {
	// The PostgreSQL that tests share outlives them.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
		goleak.IgnoreAnyFunction("github.com/sealpost/sealpost/internal/store/storetest.(*server).launch.func1"))
}

// exchange are the limits that a mailbox of Exchange Online is given.
func exchange() pace.Limits { return pace.Limits{Connections: 2, PerMinute: 25, PerDay: 10000} }

func perMinute(n int) pace.Limits { return pace.Limits{PerMinute: n} }

func take(t testing.TB, k *pace.Keeper, l pace.Limits, want int) pace.Grant {
	t.Helper()
	g, err := k.Take(t.Context(), "p", l, want)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func giveBack(t testing.TB, k *pace.Keeper, g pace.Grant, unused, refused int) {
	t.Helper()
	if err := k.GiveBack(t.Context(), g, unused, refused); err != nil {
		t.Fatal(err)
	}
}

func today(t testing.TB, db *store.DB, k *pace.Keeper) (n int) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		n, err = k.Today(tx, "p")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAFewLettersLeaveAtOnceAndThenOneAfterTheOther(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		if g := take(t, k, perMinute(25), 8); g.N != 4 {
			t.Fatalf("%d letters left at once, want 4", g.N)
		}
		g := take(t, k, perMinute(25), 8)
		if g.N != 0 || g.Wait != 2400*time.Millisecond || g.Daily {
			t.Fatalf("got %+v, want to wait for 2.4 s", g)
		}
		clock.Advance(g.Wait - time.Microsecond)
		if g := take(t, k, perMinute(25), 8); g.N != 0 || g.Wait != time.Microsecond {
			t.Fatalf("got %+v a moment too early", g)
		}
		clock.Advance(time.Microsecond)
		if g := take(t, k, perMinute(25), 8); g.N != 1 {
			t.Fatalf("got %+v, want one letter", g)
		}
		clock.Advance(24 * time.Hour)
		if g := take(t, k, perMinute(25), 8); g.N != 4 {
			t.Fatalf("a day spared %d letters, want 4", g.N)
		}
	})
}

// Whoever comes by every second, or a little later than that, sends 25 letters
// in a minute all the same.
func TestTheLoopLosesNothingOfTheRate(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		for _, every := range []time.Duration{time.Second, 1700 * time.Millisecond, 6 * time.Second} {
			clock.Advance(time.Hour)
			sent, began := 0, clock.Now()
			for ; clock.Now().Sub(began) < 4*time.Minute; clock.Advance(every) {
				sent += take(t, k, perMinute(25), 8).N
			}
			if sent < 100 || sent > 104 {
				t.Errorf("every %v: %d letters left in 4 minutes, want 100 and up to 4 spared", every, sent)
			}
		}
	})
}

func TestAHighPaceSparesTwoSecondsAndALowOneLittle(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		for _, c := range []struct{ perMinute, want int }{{1, 1}, {7, 1}, {12, 2}, {25, 4}, {120, 4}, {600, 20}} {
			clock.Advance(time.Hour)
			if g := take(t, k, perMinute(c.perMinute), 100); g.N != c.want {
				t.Errorf("at %d a minute %d letters leave at once, want %d", c.perMinute, g.N, c.want)
			}
		}
	})
}

// However nodes ask, use, give back and slow down, no minute sees more letters
// than a mailbox may send: 30. What an engine adds to this is tested elsewhere,
// and one is quick enough for many schedules.
func TestNoMinuteSeesMoreThanThirtyLetters(t *testing.T) {
	t.Parallel()
	clock := storetest.NewClock()
	db, err := store.Open(t.Context(), storetest.Config(t, store.SQLite, clock))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	nodes := []*pace.Keeper{pace.New(pace.Config{DB: db}), pace.New(pace.Config{DB: db})}
	rapid.Check(t, func(rt *rapid.T) {
		clock.Advance(time.Hour)
		s := schedule{t: t, clock: clock}
		for range rapid.IntRange(30, 70).Draw(rt, "steps") {
			s.step(rt, nodes)
		}
		if most := s.busiest(time.Minute); most > 30 {
			rt.Errorf("one minute saw %d letters", most)
		}
	})
}

func TestTheGreediestMinuteSeesOneLetterLessThanItMay(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		s := schedule{t: t, clock: clock}
		for began := clock.Now(); clock.Now().Sub(began) <= 80*time.Second; clock.Advance(400 * time.Millisecond) {
			for range take(t, k, exchange(), 8).N {
				s.sent = append(s.sent, clock.Now())
			}
		}
		if most := s.busiest(time.Minute); most != 29 {
			t.Errorf("one minute saw %d letters, want 29", most)
		}
	})
}

// schedule is a random use of the pace.
type schedule struct {
	t     *testing.T
	clock *storetest.Clock
	// open are grants of which nothing was given back yet.
	open []unspent
	sent []time.Time
}

func (s *schedule) step(rt *rapid.T, nodes []*pace.Keeper) {
	s.clock.Advance(time.Duration(rapid.SampledFrom([]int{0, 100, 900, 900, 900, 2400, 9600}).Draw(rt, "ms")) * time.Millisecond)
	node := rapid.SampledFrom(nodes).Draw(rt, "node")
	if rapid.IntRange(0, 49).Draw(rt, "slow") == 0 {
		if err := node.Slow(s.t.Context(), "p", exchange(), 3*time.Second); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	if g := take(s.t, node, exchange(), rapid.IntRange(1, 8).Draw(rt, "want")); g.N > 0 {
		unused := max(rapid.IntRange(-3*g.N, g.N).Draw(rt, "unused"), 0)
		for range g.N - unused {
			s.sent = append(s.sent, s.clock.Now())
		}
		s.open = append(s.open, unspent{g, unused})
	}
	// What one of them did not use comes back now or later, in any order.
	if len(s.open) == 0 || rapid.Bool().Draw(rt, "later") {
		return
	}
	i := rapid.IntRange(0, len(s.open)-1).Draw(rt, "which")
	back := s.open[i]
	s.open = slices.Delete(s.open, i, i+1)
	giveBack(s.t, node, back.grant, back.unused, 0)
}

// unspent is a grant of which not all was used.
type unspent struct {
	grant  pace.Grant
	unused int
}

// busiest returns how many letters left in the busiest time of length d, both
// its ends included.
func (s *schedule) busiest(d time.Duration) int {
	most := 0
	for i, first := range s.sent {
		n := 0
		for _, at := range s.sent[i:] {
			if at.Sub(first) <= d {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func TestWhatWasNotUsedIsGivenBack(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		g := take(t, k, exchange(), 4)
		giveBack(t, k, g, 3, 1)
		if n := today(t, db, k); n != 0 {
			t.Errorf("%d recipients today, want none: three were not begun, one was refused", n)
		}
		if g := take(t, k, exchange(), 8); g.N != 3 {
			t.Errorf("%d letters may leave, want the 3 that were not begun", g.N)
		}
		clock.Advance(time.Hour)
		first := take(t, k, exchange(), 2)
		take(t, k, exchange(), 1)
		giveBack(t, k, first, 2, 0)
		if g := take(t, k, exchange(), 8); g.N != 1 {
			t.Errorf("%d letters may leave although others took some since, want 1", g.N)
		}
	})
}

// Grants that are given back late would otherwise let twice as many leave.
func TestAGrantGivenBackLateSparesNothing(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		old := take(t, k, perMinute(25), 4)
		clock.Advance(time.Minute)
		if g := take(t, k, perMinute(25), 4); g.N != 4 {
			t.Fatalf("got %+v", g)
		}
		giveBack(t, k, old, 4, 0)
		if g := take(t, k, perMinute(25), 4); g.N != 0 {
			t.Errorf("another %d letters may leave at once", g.N)
		}
	})
}

// What was granted at a low pace does not hold up a high one, nor does a clock
// that was set back.
func TestAnotherPaceAndAnotherClockBeginAnew(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		take(t, k, perMinute(1), 1)
		if g := take(t, k, perMinute(600), 1); g.N != 0 || g.Wait != 100*time.Millisecond {
			t.Errorf("got %+v, want to wait for 0.1 s", g)
		}
		clock.Advance(100 * time.Millisecond)
		if g := take(t, k, perMinute(600), 1); g.N != 1 {
			t.Errorf("got %+v, want one letter", g)
		}
		clock.Advance(-24 * time.Hour)
		if g := take(t, k, perMinute(25), 1); g.N != 0 || g.Wait != 2400*time.Millisecond {
			t.Errorf("got %+v, want to wait for 2.4 s", g)
		}
		clock.Advance(2400 * time.Millisecond)
		if g := take(t, k, perMinute(25), 1); g.N != 1 {
			t.Errorf("got %+v, want one letter", g)
		}
	})
}

func TestSlowingDownHoldsForAllNodes(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k, other := pace.New(pace.Config{DB: db}), pace.New(pace.Config{DB: db})
		if err := k.Slow(t.Context(), "p", perMinute(25), time.Minute); err != nil {
			t.Fatal(err)
		}
		if g := take(t, other, perMinute(25), 4); g.N != 0 || g.Wait != time.Minute {
			t.Errorf("got %+v, want to wait for a minute", g)
		}
		// A shorter wish does not end a longer one.
		if err := k.Slow(t.Context(), "p", perMinute(25), time.Second); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Minute)
		if g := take(t, other, perMinute(25), 4); g.N != 1 {
			t.Errorf("got %+v, want one letter and none spared", g)
		}
	})
}

func TestTheDayEndsWhenTheFirstLettersAreADayOld(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		l := pace.Limits{PerDay: 10}
		for range 3 {
			if g := take(t, k, l, 3); g.N != 3 {
				t.Fatalf("got %+v", g)
			}
			clock.Advance(20 * time.Minute)
		}
		// It is 10:00; the first three left from 9:00 on.
		if g := take(t, k, l, 3); g.N != 1 {
			t.Fatalf("got %+v, want the one that the day leaves", g)
		}
		want := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
		g := take(t, k, l, 3)
		if g.N != 0 || !g.Daily || !g.Clears.Equal(want) || g.Wait != want.Sub(clock.Now()) {
			t.Fatalf("got %+v, want the limit of the day until %v", g, want)
		}
		clock.Advance(g.Wait - time.Microsecond)
		if g := take(t, k, l, 3); g.N != 0 || !g.Daily {
			t.Fatalf("got %+v a moment too early", g)
		}
		clock.Advance(time.Microsecond)
		if n := today(t, db, k); n != 1 {
			t.Errorf("%d recipients in the last day, want the one of 10:00", n)
		}
		if g := take(t, k, l, 30); g.N != 9 {
			t.Errorf("got %+v, want the 9 that the day leaves", g)
		}
	})
}

func TestRecipientsAreCountedWithoutALimitToo(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		for range 3 {
			clock.Advance(11 * time.Hour)
			if err := db.Update(t.Context(), func(tx *store.Tx) error { return k.Sent(tx, "p", 5) }); err != nil {
				t.Fatal(err)
			}
		}
		if n := today(t, db, k); n != 15 {
			t.Errorf("%d recipients in 22 hours, want 15", n)
		}
		clock.Advance(24 * time.Hour)
		if n := today(t, db, k); n != 5 {
			t.Errorf("%d recipients in the last day, want 5", n)
		}
	})
}

// A limit that is not there costs nothing: the database is closed here.
func TestWithoutLimitsNothingIsAsked(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := pace.New(pace.Config{DB: db})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		g := take(t, k, pace.Limits{}, 8)
		if g.N != 8 {
			t.Errorf("got %+v", g)
		}
		giveBack(t, k, g, 8, 0)
		s, ok, err := k.Hold(t.Context(), "p", pace.Limits{}, "a", time.Minute)
		if !ok || err != nil {
			t.Errorf("no slot without a limit: %v", err)
		}
		if held, err := k.Renew(t.Context(), s, time.Minute); !held || err != nil {
			t.Errorf("no slot to renew without a limit: %v", err)
		}
		if err := k.Release(t.Context(), s); err != nil {
			t.Error(err)
		}
		if err := k.Slow(t.Context(), "p", pace.Limits{}, time.Minute); err != nil {
			t.Error(err)
		}
		if _, err := k.Take(t.Context(), "p", perMinute(25), 1); err == nil {
			t.Error("the closed database did not fail, so that this test shows nothing")
		}
	})
}

func TestNodesThatAskTogetherShareThePace(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		var mu sync.Mutex
		var all sync.WaitGroup
		sum := 0
		for range 6 {
			k := pace.New(pace.Config{DB: db})
			all.Go(func() {
				for range 3 {
					g, err := k.Take(t.Context(), "p", perMinute(25), 2)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					sum += g.N
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if sum != 4 {
			t.Errorf("%d letters may leave at once, want 4", sum)
		}
	})
}

func TestConnectionsAreSharedByLeases(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k, other := pace.New(pace.Config{DB: db}), pace.New(pace.Config{DB: db})
		hold := func(k *pace.Keeper, holder string, want bool) pace.Slot {
			t.Helper()
			s, ok, err := k.Hold(t.Context(), "p", exchange(), holder, 30*time.Second)
			if err != nil || ok != want {
				t.Fatalf("%s holds a slot: %t %v, want %t", holder, ok, err, want)
			}
			return s
		}
		renew := func(s pace.Slot, want bool) {
			t.Helper()
			if held, err := k.Renew(t.Context(), s, 30*time.Second); err != nil || held != want {
				t.Fatalf("the slot is held on: %t %v, want %t", held, err, want)
			}
		}
		a, b := hold(k, "a", true), hold(other, "b", true)
		hold(other, "c", false)
		clock.Advance(20 * time.Second)
		renew(a, true)
		clock.Advance(10 * time.Second)
		// b died: its lease is over, the other one's is not.
		c := hold(other, "c", true)
		hold(k, "d", false)
		renew(b, false)
		// What b releases late is not c's.
		if err := k.Release(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		hold(k, "d", false)
		if err := other.Release(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		hold(k, "d", true)
		hold(k, "e", false)
		if err := k.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		hold(k, "e", true)
	})
}

func TestNodesThatConnectTogetherShareTheSlots(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, _ *storetest.Clock) {
		var mu sync.Mutex
		var all sync.WaitGroup
		held := map[string]pace.Slot{}
		for i := range 8 {
			k, holder := pace.New(pace.Config{DB: db}), fmt.Sprint(i)
			all.Go(func() {
				s, ok, err := k.Hold(t.Context(), "p", exchange(), holder, time.Minute)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if ok {
					held[holder] = s
				}
			})
		}
		all.Wait()
		if len(held) != 2 {
			t.Errorf("%d connections are open, want 2", len(held))
		}
	})
}

// It is news once a day, for each profile, and also where the clock was put back.
func TestAUsedUpDayIsNewsOnce(t *testing.T) {
	t.Parallel()
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		k := pace.New(pace.Config{DB: db})
		tell := func(profileID string) (news bool) {
			t.Helper()
			err := db.Update(t.Context(), func(tx *store.Tx) (err error) {
				news, err = k.Tell(tx, profileID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return news
		}
		if !tell("p") || tell("p") || !tell("q") {
			t.Error("it is no news at first, or news again at once")
		}
		clock.Advance(24*time.Hour - time.Second)
		if tell("p") {
			t.Error("it is news within a day")
		}
		clock.Advance(time.Second)
		if !tell("p") || tell("p") {
			t.Error("it is no news a day later, or twice")
		}
		clock.Advance(-48 * time.Hour)
		if !tell("p") {
			t.Error("a clock that was put back keeps it quiet")
		}
	})
}
