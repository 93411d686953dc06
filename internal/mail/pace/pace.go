package pace

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/store"
)

// Limits are how fast letters may leave; 0 is without a limit.
type Limits struct {
	// Connections is how many are open at the same time.
	Connections int
	// PerMinute is how many letters leave in a minute, in the long run.
	PerMinute int
	// PerDay is how many recipients there are in a day.
	PerDay int
}

// Config is what a keeper needs.
type Config struct {
	DB *store.DB
}

// Keeper keeps the pace of all profiles. It is safe for use by several
// goroutines, and by several nodes.
type Keeper struct{ db *store.DB }

// New returns the keeper of a database.
func New(c Config) *Keeper { return &Keeper{db: c.DB} }

// Grant is leave to send letters to one recipient each.
type Grant struct {
	// N is how many. Where it is 0, Wait is when to ask again.
	N    int
	Wait time.Duration
	// Daily tells that it is the limit of the day that lets none leave; Clears
	// is when it lets one leave again.
	Daily  bool
	Clears time.Time

	profileID string
	limits    Limits
	// hour is when the recipients were counted.
	hour int64
	// next is what the grant left in the row.
	next int64
}

// spares returns how many letters may leave at once: at most four, and at a low
// pace fewer, so that a minute sees little more than its number; at a high one
// what two seconds hold.
func (l Limits) spares() int64 {
	n := int64(l.PerMinute)
	return max(min(max(n/6, 1), 4), n/30)
}

// gap is the time between two letters, rounded up.
func (l Limits) gap() int64 {
	n := int64(l.PerMinute)
	return (time.Minute.Microseconds() + n - 1) / n
}

// Take asks for leave to send up to want letters now. What is granted counts as
// sent; see [Keeper.GiveBack].
func (k *Keeper) Take(ctx context.Context, profileID string, l Limits, want int) (Grant, error) {
	if l.PerMinute <= 0 && l.PerDay <= 0 {
		return Grant{N: want, profileID: profileID, limits: l}, nil
	}
	var g Grant
	err := k.db.Update(ctx, func(tx *store.Tx) error {
		g = Grant{N: want, profileID: profileID, limits: l}
		return g.take(tx)
	})
	return g, err
}

func (g *Grant) take(tx *store.Tx) error {
	now := store.Micros(tx.Now())
	// The row is locked for the count of the day too.
	r, err := lockRow(tx, g.profileID)
	if err != nil {
		return err
	}
	if g.limits.PerDay > 0 {
		if err := g.takeOfDay(tx); err != nil || g.N == 0 {
			return err
		}
	}
	if g.limits.PerMinute > 0 {
		if err := g.takeOfMinute(tx, now, r); err != nil || g.N == 0 {
			return err
		}
	}
	if g.limits.PerDay <= 0 {
		return nil
	}
	g.hour = hourOf(now)
	return addSent(tx, g.profileID, g.hour, int64(g.N))
}

// takeOfMinute bounds the grant by what may leave now.
func (g *Grant) takeOfMinute(tx *store.Tx, now int64, r row) error {
	gap, spared := g.limits.gap(), g.limits.spares()
	next := max(r.next, now)
	// No grant leads further ahead than this, unless it was made at a lower
	// pace, or the clock was set back.
	if ahead := now + spared*gap; next > ahead {
		next = ahead
		if err := updateNext(tx, g.profileID, next); err != nil {
			return err
		}
	}
	// The first letter after a rest leaves with none spared.
	next = max(next, r.resting(now)+(spared-1)*gap)
	// The last of n letters is early by no more than what may be spared.
	most := spared - (next-now+gap-1)/gap
	if most <= 0 {
		g.N, g.Wait = 0, time.Duration(next-(spared-1)*gap-now)*time.Microsecond
		return nil
	}
	g.N = min(g.N, int(most))
	g.next = next + int64(g.N)*gap
	return updateNext(tx, g.profileID, g.next)
}

// takeOfDay bounds the grant by what the day leaves.
func (g *Grant) takeOfDay(tx *store.Tx) error {
	now := hourOf(store.Micros(tx.Now()))
	all, err := selectSent(tx, g.profileID, now)
	if err != nil {
		return err
	}
	sum := total(all)
	limit := int64(g.limits.PerDay)
	if left := limit - sum; left > 0 {
		g.N = int(min(int64(g.N), left))
		return nil
	}
	g.N, g.Daily = 0, true
	for _, h := range all {
		if sum -= h.recipients; sum < limit {
			g.Clears = store.FromMicros((h.hour + day + 1) * time.Hour.Microseconds())
			break
		}
	}
	g.Wait = g.Clears.Sub(tx.Now())
	return nil
}

// GiveBack takes back what a grant was not used for: unused letters were not
// begun, refused ones were not taken by the server, so that they are none of
// the day's. A letter that was begun counts for the minute in any case.
//
// Where others were granted something since, the minute takes nothing back: it
// cannot be told any more what they would have been granted without it.
func (k *Keeper) GiveBack(ctx context.Context, g Grant, unused, refused int) error {
	minute := unused > 0 && g.limits.PerMinute > 0
	ofDay := unused+refused > 0 && g.limits.PerDay > 0
	if !minute && !ofDay {
		return nil
	}
	return k.db.Update(ctx, func(tx *store.Tx) error {
		if minute {
			if err := swapNext(tx, g.profileID, g.next, g.next-int64(unused)*g.limits.gap()); err != nil {
				return err
			}
		}
		if !ofDay {
			return nil
		}
		return takeSent(tx, g.profileID, g.hour, int64(unused+refused))
	})
}

// longestRest is how long letters rest at most, whatever is asked for: a wrong
// number must not keep them until they are worth nothing.
const longestRest = time.Hour

// Slow lets no letter leave for d, whichever node it is at, and none be spared
// meanwhile; after an hour at most it may be tried again. It does nothing where
// there is no limit by the minute.
func (k *Keeper) Slow(ctx context.Context, profileID string, l Limits, d time.Duration) error {
	if l.PerMinute <= 0 {
		return nil
	}
	return k.db.Update(ctx, func(tx *store.Tx) error {
		r, err := lockRow(tx, profileID)
		if err != nil {
			return err
		}
		now := tx.Now()
		return updateRest(tx, profileID, max(r.resting(store.Micros(now)), store.Micros(now.Add(min(d, longestRest)))))
	})
}

// resting returns until when no letter leaves, and 0 where nothing keeps them.
// A rest that ends later than any can was written before the clock was put back.
func (r row) resting(now int64) int64 {
	if r.rest > now+longestRest.Microseconds() {
		return 0
	}
	return r.rest
}

// Lift ends a rest: somebody changed what it was for, or says that it is over.
func (k *Keeper) Lift(tx *store.Tx, profileID string) error { return updateRest(tx, profileID, 0) }

// Forget deletes all that is known of a profile that was removed.
func (k *Keeper) Forget(tx *store.Tx, profileID string) error { return deleteAll(tx, profileID) }

// Tell reports whether it is news that a day is used up: nobody was told so in
// the last 24 hours. Who asks tells it. A day that is used up lets some letters
// leave each hour and is used up again, which nobody wants to hear each time.
func (k *Keeper) Tell(tx *store.Tx, profileID string) (bool, error) {
	now := store.Micros(tx.Now())
	r, err := lockRow(tx, profileID)
	if err != nil || r.told > now-(day*time.Hour).Microseconds() && r.told <= now {
		return false, err
	}
	return true, updateTold(tx, profileID, now)
}

// Sent counts recipients of letters that left without a grant that counted
// them, which is so where there is no limit of the day.
func (k *Keeper) Sent(tx *store.Tx, profileID string, recipients int) error {
	if recipients <= 0 {
		return nil
	}
	return addSent(tx, profileID, hourOf(store.Micros(tx.Now())), int64(recipients))
}

// Today returns how many recipients there were in the last day.
func (k *Keeper) Today(tx *store.Tx, profileID string) (int, error) {
	all, err := selectSent(tx, profileID, hourOf(store.Micros(tx.Now())))
	return int(total(all)), err
}

// day is how many whole hours the last day has beside the one that runs.
const day = 24

func hourOf(micros int64) int64 { return micros / time.Hour.Microseconds() }

// hourly is what was sent in one hour.
type hourly struct{ hour, recipients int64 }

func total(all []hourly) int64 {
	var sum int64
	for _, h := range all {
		sum += h.recipients
	}
	return sum
}
