package outbox

import (
	"context"
	"slices"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// sample is how many of the newest letters that were done with Pulse looks
	// at: it costs the same however many there are.
	sample = 20_000
	// front is how many letters of the queue are looked at one by one. Those
	// that are being sent, or were put off, are the ones that came first.
	front = 10_000
)

// Pulse is how well letters leave through one server, from rows that outlive
// restarts and hold over all nodes.
type Pulse struct {
	// Hour and Day are the last hour and the last 24.
	Hour, Day Speed
	// Since is when the first letter of those that were looked at was done with.
	// Where Whole is false there were more on this day than are looked at, and
	// Day begins then.
	Since time.Time
	Whole bool
	// PerMinute counts the letters accepted in each minute of the last hour, the
	// newest last.
	PerMinute []int
}

// Speed is how long letters took that were accepted in some time.
type Speed struct {
	Accepted int
	// P50, P95 and P99 are the times from adding to acceptance that so many of a
	// hundred letters did not exceed.
	P50, P95, P99 time.Duration
	// Attempt50 and Attempt95 are the same from the beginning of the attempt that
	// succeeded.
	Attempt50, Attempt95 time.Duration
	// Times counts letters by how long they took; see TimeBounds.
	Times []int
	// Tries counts letters by how many attempts they needed: one, two, three,
	// four, more.
	Tries [5]int
}

// TimeBounds are the upper ends of the classes of Times; the last class has
// none and holds the rest.
func TimeBounds() []time.Duration {
	return []time.Duration{
		time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour,
	}
}

// took is one letter that was accepted.
type took struct {
	added, began, ended time.Time
	tries               int
}

// Pulse returns how well letters leave through a server, "host:port". It needs
// the permission to read the journal.
func (o *Outbox) Pulse(ctx context.Context, by actor.Actor, server string) (Pulse, error) {
	if !by.May(actor.ReadMailJournal) {
		return Pulse{}, fault.Denied("Your role may not see the mail journal.")
	}
	var p Pulse
	err := o.db.View(ctx, func(tx *store.Tx) error {
		var all []took
		p = Pulse{Whole: true}
		seen, now := 0, tx.Now()
		err := tx.Each(func(r store.Row) error {
			var t took
			var state, of string
			var added, began, ended int64
			if err := r.Scan(&added, &began, &ended, &t.tries, &state, &of); err != nil {
				return err
			}
			seen++
			t.added, t.began, t.ended = store.FromMicros(added), store.FromMicros(began), store.FromMicros(ended)
			p.Since = t.ended
			if State(state) == Accepted && of == server {
				all = append(all, t)
			}
			return nil
		}, newestEnded, store.Micros(now.Add(-day)), int64(sample))
		p.Whole = seen < sample
		p.measure(all, now)
		return err
	})
	return p, err
}

// newestEnded finds letters that were done with since $1, the newest first, $2
// at most. Test mails did not wait in line, and say nothing of how long letters
// take.
const newestEnded = `SELECT added_at, began_at, ended_at, attempt - unbegun, state, server FROM outbox_letter
	WHERE ended_at > 0 AND ended_at >= $1 AND kind <> '` + letter.KindTest + `' ORDER BY ended_at DESC LIMIT $2`

// measure fills p in from letters, the newest first.
func (p *Pulse) measure(all []took, now time.Time) {
	hour := now.Add(-time.Hour)
	p.PerMinute = make([]int, 60)
	last := 0
	for last < len(all) && all[last].ended.After(hour) {
		minute := 59 - int(now.Sub(all[last].ended)/time.Minute)
		p.PerMinute[min(max(minute, 0), 59)]++
		last++
	}
	p.Hour, p.Day = speedOf(all[:last]), speedOf(all)
}

// speedOf measures letters.
func speedOf(all []took) Speed {
	bounds := TimeBounds()
	s := Speed{Accepted: len(all), Times: make([]int, len(bounds)+1)}
	if len(all) == 0 {
		return s
	}
	whole, attempt := make([]time.Duration, len(all)), make([]time.Duration, len(all))
	for i, t := range all {
		// The clocks of two nodes may differ by a little.
		whole[i], attempt[i] = max(t.ended.Sub(t.added), 0), max(t.ended.Sub(t.began), 0)
		class, _ := slices.BinarySearch(bounds, whole[i])
		s.Times[class]++
		s.Tries[min(max(t.tries, 1), len(s.Tries))-1]++
	}
	slices.Sort(whole)
	slices.Sort(attempt)
	s.P50, s.P95, s.P99 = quantile(whole, 50), quantile(whole, 95), quantile(whole, 99)
	s.Attempt50, s.Attempt95 = quantile(attempt, 50), quantile(attempt, 95)
	return s
}

// quantile returns the value that n of a hundred sorted ones do not exceed.
func quantile(sorted []time.Duration, n int) time.Duration {
	return sorted[min((len(sorted)*n+99)/100, len(sorted))-1]
}

// Line is the letters of one class that wait for one server.
type Line struct {
	Route   Slot
	Class   letter.Class
	Waiting int
	// Oldest is when the oldest of them was added.
	Oldest time.Time
}

// Lines returns who waits: a line for each server and class of which there are
// letters.
func (o *Outbox) Lines(tx *store.Tx) ([]Line, error) {
	return store.All(tx, func(r store.Row) (Line, error) {
		var l Line
		var route string
		var class, oldest int64
		err := r.Scan(&route, &class, &l.Waiting, &oldest)
		l.Route, l.Class, l.Oldest = Slot(route), letter.Class(class), store.FromMicros(oldest)
		return l, err
	}, `SELECT route, class, COUNT(*), MIN(added_at) FROM outbox_letter WHERE `+inQueue+` GROUP BY route, class ORDER BY route, class`)
}

// Counts are the numbers of the journal.
type Counts struct {
	// Waiting letters are on their way. Sending, Delayed and Uncertain are some
	// of them: in work at this moment, put off to another attempt, and those of
	// which a server may have got one already. In a queue of more than 10,000
	// they are looked for among the first.
	Waiting, Sending, Delayed, Uncertain int
	// Oldest is when the oldest waiting letter was added; zero without one.
	Oldest time.Time
	// These reached their end in the last 24 hours; Bounced came back after a
	// server had taken them.
	Accepted24h, Failed24h, Expired24h, Bounced24h int
}

// Lost24h are the letters of the last 24 hours that did not arrive, as far as
// is known.
func (c Counts) Lost24h() int { return c.Failed24h + c.Expired24h }

// Counts returns what waits and what became of letters in the last 24 hours.
func (o *Outbox) Counts(tx *store.Tx) (Counts, error) {
	var c Counts
	lines, err := o.Lines(tx)
	if err != nil {
		return c, err
	}
	for _, l := range lines {
		c.Waiting += l.Waiting
		if c.Oldest.IsZero() || l.Oldest.Before(c.Oldest) {
			c.Oldest = l.Oldest
		}
	}
	err = tx.Each(func(r store.Row) error {
		var state string
		var n int
		if err := r.Scan(&state, &n); err != nil {
			return err
		}
		switch State(state) {
		case Sending:
			c.Sending += n
		case Uncertain:
			c.Uncertain += n
			c.Delayed += n
		case Deferred:
			c.Delayed += n
		}
		return nil
	}, `SELECT state, COUNT(*) FROM (SELECT state FROM outbox_letter WHERE `+inQueue+` ORDER BY route, class, added_at, id LIMIT $1) AS first
		GROUP BY state`, int64(front))
	if err != nil {
		return c, err
	}
	since := store.Micros(tx.Now().Add(-day))
	err = tx.Each(func(r store.Row) error {
		var state string
		var n int
		if err := r.Scan(&state, &n); err != nil {
			return err
		}
		switch State(state) {
		case Accepted:
			c.Accepted24h = n
		case Failed:
			c.Failed24h = n
		case Expired:
			c.Expired24h = n
		}
		return nil
	}, `SELECT state, COUNT(*) FROM outbox_letter WHERE ended_at > 0 AND ended_at >= $1 GROUP BY state`, since)
	if err != nil {
		return c, err
	}
	c.Bounced24h, err = store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM outbox_letter WHERE bounced_at > 0 AND bounced_at >= $1`, since)
	return c, err
}

// Glance is what pages that are open follow.
type Glance struct {
	At time.Time
	Counts
	// Rows are the newest letters, and those that were done with lately.
	Rows []Row
}

const (
	// newest and ended bound the letters of a glance.
	newest = 50
	ended  = 50
)

// Glance returns the numbers of the journal with its newest letters and those
// that were done with after since. It needs the permission to read the journal.
func (o *Outbox) Glance(ctx context.Context, by actor.Actor, since time.Time) (Glance, error) {
	if !by.May(actor.ReadMailJournal) {
		return Glance{}, fault.Denied("Your role may not see the mail journal.")
	}
	var g Glance
	err := o.db.View(ctx, func(tx *store.Tx) (err error) {
		g = Glance{At: tx.Now()}
		if g.Counts, err = o.Counts(tx); err != nil {
			return err
		}
		open, err := o.leaving(tx)
		if err != nil {
			return err
		}
		if g.Rows, err = store.All(tx, rowScanner(open), listQuery("", newest)); err != nil {
			return err
		}
		late, err := store.All(tx, rowScanner(open), `SELECT `+rowColumns+` FROM outbox_letter
			WHERE ended_at > 0 AND ended_at > $1 ORDER BY ended_at DESC LIMIT $2`, store.Micros(since), int64(ended))
		if err != nil {
			return err
		}
		top := map[string]bool{}
		for _, r := range g.Rows {
			top[r.ID] = true
		}
		for _, r := range late {
			if !top[r.ID] {
				g.Rows = append(g.Rows, r)
			}
		}
		return nil
	})
	return g, err
}
