package delivery_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// mailbox enforces what Exchange Online allows one: 30 letters in any minute of
// the test's clock, and 3 connections.
type mailbox struct {
	clock *storetest.Clock

	mu   sync.Mutex
	open map[int]bool
	// most is how many connections there were at the same time.
	most int
	sent []time.Time
	// refused counts what was too much.
	refused int
}

// newMailbox makes the rig's server one.
func newMailbox(r *rig) *mailbox {
	m := &mailbox{clock: r.clock, open: map[int]bool{}}
	r.server(m.answer)
	return m
}

func (m *mailbox) answer(a smtptest.Asked) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch a.Verb {
	case "CONNECT":
		if len(m.open) >= 3 {
			m.refused++
			return "432 4.3.2 Concurrent connections limit exceeded"
		}
		m.open[a.N] = true
		m.most = max(m.most, len(m.open))
	case "QUIT":
		delete(m.open, a.N)
	case "MAIL":
		now := m.clock.Now()
		m.sent = slices.DeleteFunc(m.sent, func(at time.Time) bool { return now.Sub(at) > time.Minute })
		if len(m.sent) >= 30 {
			m.refused++
			return "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"
		}
		m.sent = append(m.sent, now)
	}
	return ""
}

func (m *mailbox) tooMuch() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

func (m *mailbox) mostConnections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.most
}

// exchange is the pace of a mailbox of Exchange Online.
func exchange(c *mail.Change) { c.Pace = pace.Limits{Connections: 2, PerMinute: 25, PerDay: 10000} }

// queue adds n letters to n people in one transaction, and returns their ids.
func (r *rig) queue(n int) []string {
	r.t.Helper()
	var ids []string
	r.update(func(tx *store.Tx) error {
		ids = nil
		for i := range n {
			id, err := r.box.Add(tx, outbox.Recipient{Name: "Ada", Address: fmt.Sprintf("user%d@example.org", i)}, news())
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	return ids
}

// pass lets loops run for d by the test's clock, or until done says so: each
// comes by every second, or when its engine wants it.
func (r *rig) pass(d time.Duration, done func() bool, nodes ...*delivery.Engine) time.Duration {
	r.t.Helper()
	return r.passBy(time.Second, d, done, nodes...)
}

// passBy is pass for loops that come by as often as every says: where nothing
// happens for long, that is enough.
func (r *rig) passBy(every, d time.Duration, done func() bool, nodes ...*delivery.Engine) time.Duration {
	r.t.Helper()
	if len(nodes) == 0 {
		nodes = []*delivery.Engine{r.engine}
	}
	began := r.clock.Now()
	for {
		step := every
		for _, e := range nodes {
			for more := true; more; {
				var err error
				more, err = e.Run(r.t.Context())
				r.must(err)
			}
			if wait := e.Wait(); wait > 0 {
				step = min(step, wait)
			}
		}
		passed := r.clock.Now().Sub(began)
		if passed >= d || done != nil && done() {
			return passed
		}
		r.clock.Advance(step)
	}
}

// arrived tells whether the server has n letters.
func (r *rig) arrived(n int) func() bool {
	return func() bool { return len(r.sink.Letters()) >= n }
}

// many is how many letters make a queue long.
func many() int {
	if torture() {
		return 1000
	}
	return 75
}

// wantToday checks how many recipients the last day had.
func (r *rig) wantToday(n int) {
	r.t.Helper()
	var got int
	r.must(r.db.View(r.t.Context(), func(tx *store.Tx) (err error) {
		got, err = r.cfg.Pace.Today(tx, r.profile().ID)
		return err
	}))
	if got != n {
		r.t.Errorf("%d recipients are counted, want %d", got, n)
	}
}

// The same queue without a pace runs into the limits of the mailbox, which
// shows that the test before this one would see it. It costs no letter an
// attempt and is no reason for a pause.
func TestAServerThatWantsLessGetsLess(t *testing.T) {
	each(t, func(r *rig) {
		box := newMailbox(r)
		ids := r.queue(100)
		took := r.pass(time.Hour, r.arrived(100))
		if box.tooMuch() == 0 {
			r.t.Error("no letter was too much for the server")
		}
		if took < 3*time.Minute || took > 15*time.Minute {
			r.t.Errorf("100 letters took %v", took)
		}
		for _, id := range ids {
			r.want(id, outbox.Accepted)
		}
		r.wantState(mail.Working)
		if r.audited("mail.paused") != 0 || r.seen("letter", "deferred") != 0 || r.seen("letter", "failed") != 0 {
			r.t.Errorf("it was paused %d times, %d letters were put off, %d failed",
				r.audited("mail.paused"), r.seen("letter", "deferred"), r.seen("letter", "failed"))
		}
		// The last of them may be written down with the next turn.
		r.pass(2*time.Second, nil)
		r.wantToday(100)
	})
}

// A word that sounds like throttling and is meant for one letter puts that one
// behind the others.
func TestALetterThatIsAlwaysTooMuchStandsBack(t *testing.T) {
	each(t, func(r *rig) {
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "RCPT" && strings.Contains(a.Line, "odd") {
				return "432 4.3.2 too much"
			}
			return ""
		})
		odd := r.add("odd", news())
		r.clock.Advance(time.Second)
		rest := r.addMany("a", "b")
		if took := r.pass(time.Hour, r.arrived(2)); took > 10*time.Second {
			r.t.Errorf("the others waited for %v", took)
		}
		for _, id := range rest {
			r.want(id, outbox.Accepted)
		}
		r.want(odd, outbox.Queued)
		// It is one letter like another in the end, and no reason for a pause
		// while others pass.
		for i := range 8 {
			r.add(fmt.Sprint("more", i), news())
			r.passBy(5*time.Second, time.Minute, nil)
		}
		r.want(odd, outbox.Deferred)
		r.wantState(mail.Working)
	})
}

func TestNodesShareThePaceAndTheConnections(t *testing.T) {
	each(t, func(r *rig) {
		r.save(exchange)
		box := newMailbox(r)
		other := r.newEngine(r.cfg)
		n := many() / 2
		r.queue(n)
		took := r.pass(time.Hour, r.arrived(n), r.engine, other)
		if want := time.Duration(n) * time.Minute / 25; took > want+10*time.Second || took < want-15*time.Second {
			r.t.Errorf("%d letters took %v, want about %v", n, took, want)
		}
		if box.tooMuch() != 0 || box.mostConnections() > 2 {
			r.t.Errorf("the server refused %d times and saw %d connections at once", box.tooMuch(), box.mostConnections())
		}
		r.wantToday(n)
	})
}

// A pause that rests on one letter is looked at again, and the pace lets few
// letters do that at a time: mail is not paused and resumed without end.
func TestAFewRefusalsUnderAPaceSettleThePause(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.Pace.PerMinute = 6 })
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "RCPT" {
				return "550 5.7.1 relaying denied"
			}
			return ""
		})
		ids := r.queue(9)
		r.pass(50*time.Second, nil)
		r.wantState(mail.Paused)
		if n := r.audited("mail.paused"); n > 3 {
			r.t.Errorf("it was paused %d times", n)
		}
		for _, id := range ids {
			r.want(id, outbox.Held)
		}
	})
}

// Two nodes that work at the same time have no more connections than one, and
// the second has them when the first is gone.
func TestNodesAtWorkAtTheSameTimeShareTheConnections(t *testing.T) {
	each(t, func(r *rig) {
		box := newMailbox(r)
		r.save(func(c *mail.Change) { c.Pace.Connections = 2 })
		nodes := []*delivery.Engine{r.engine, r.newEngine(r.cfg), r.newEngine(r.cfg)}
		r.queue(60)
		var all sync.WaitGroup
		for _, e := range nodes {
			all.Go(func() {
				for more := true; more; {
					var err error
					if more, err = e.Run(r.t.Context()); err != nil {
						r.t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		// 30 of them were enough for the server; the nodes slowed down.
		if box.mostConnections() > 2 {
			r.t.Errorf("the server saw %d connections at once", box.mostConnections())
		}
	})
}

func TestThePlacesOfADeadNodeAreTakenOver(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.Pace.Connections = 1 })
		first := r.add("a", news())
		r.run()
		r.want(first, outbox.Accepted)
		// The first node has the only connection and says nothing more.
		other := r.newEngine(r.cfg)
		id := r.add("b", news())
		turn := func() {
			r.t.Helper()
			more, err := other.Run(r.t.Context())
			r.must(err)
			for more {
				more, err = other.Run(r.t.Context())
				r.must(err)
			}
		}
		turn()
		if r.want(id, outbox.Queued); r.sink.Connections() != 1 {
			r.t.Fatalf("the other node has a connection too")
		}
		r.clock.Advance(29 * time.Second)
		turn()
		r.want(id, outbox.Queued)
		r.clock.Advance(time.Second)
		turn()
		r.want(id, outbox.Accepted)
		// The first one wakes up, and sees that its place is gone.
		last := r.add("c", news())
		r.run()
		r.want(last, outbox.Queued)
		r.must(other.Close(r.t.Context()))
		r.run()
		r.want(last, outbox.Accepted)
	})
}

// A node that is at work keeps its place, however long.
func TestAPlaceIsKeptWhileItIsUsed(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.Pace = pace.Limits{Connections: 1, PerMinute: 1} })
		other := r.newEngine(r.cfg)
		r.queue(6)
		for range 5 * 20 {
			r.run()
			r.clock.Advance(3 * time.Second)
			// The other one may look, and has no place.
			if _, err := other.Run(r.t.Context()); err != nil {
				r.t.Fatal(err)
			}
		}
		if n := len(r.sink.Letters()); n < 5 {
			r.t.Errorf("%d letters left in five minutes", n)
		}
		if n := r.sink.Connections(); n > 6 {
			r.t.Errorf("%d connections for %d letters", n, len(r.sink.Letters()))
		}
	})
}

func TestTheDayIsOverForNowAndNoLetterFails(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.Pace.PerDay = 3 })
		var ids []string
		for i := range 5 {
			// Letters that are still of use a day later.
			ids = append(ids, r.add(fmt.Sprint("user", i), letter.Invitation{Name: "Ada", Login: "ada", Expires: r.clock.Now().Add(72 * time.Hour)}))
		}
		r.pass(time.Minute, nil)
		if n := len(r.sink.Letters()); n != 3 {
			r.t.Fatalf("%d letters left, want 3", n)
		}
		p := r.wantState(mail.Working)
		if p.Problem != "daily-limit" || !strings.Contains(p.Reason, "3 recipients") || !strings.Contains(p.Advice, "2 March 10:00 UTC") {
			r.t.Errorf("the profile shows %q: %s %s", p.Problem, p.Reason, p.Advice)
		}
		for _, id := range ids[3:] {
			r.want(id, outbox.Queued)
		}
		r.clock.Set(time.Date(2026, 3, 2, 9, 59, 0, 0, time.UTC))
		r.pass(50*time.Second, nil)
		if n := len(r.sink.Letters()); n != 3 {
			r.t.Errorf("%d letters left before the day was over", n)
		}
		r.pass(2*time.Minute, r.arrived(5))
		for _, id := range ids {
			if row := r.want(id, outbox.Accepted); row.Attempts != 1 {
				r.t.Errorf("a letter took %d attempts", row.Attempts)
			}
		}
		if p := r.wantState(mail.Working); p.Problem != "" {
			r.t.Errorf("the profile still shows %s", p.Problem)
		}
		r.wantToday(2)
		if r.audited("mail.paused") != 0 || r.audited("mail.limited") != 1 || r.seen("letter", "failed") != 0 {
			r.t.Errorf("it was paused, a letter failed, or it was told %d times", r.audited("mail.limited"))
		}
	})
}

// What is shown of a used-up day goes with the last letter that it keeps.
func TestAUsedUpDayThatKeepsNoLetterIsNotShown(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.Pace.PerDay = 1 })
		r.add("ada", reset())
		r.add("grace", reset())
		r.pass(time.Minute, nil)
		if p := r.profile(); p.Problem != mail.RowDailyLimit {
			r.t.Fatalf("the profile shows %q", p.Problem)
		}
		r.update(func(tx *store.Tx) error { return r.box.CancelFor(tx, "u-grace", letter.KindPasswordReset) })
		r.pass(2*time.Minute, nil)
		if p := r.wantState(mail.Working); p.Problem != "" || p.Reason != "" {
			r.t.Errorf("the profile shows %q: %s", p.Problem, p.Reason)
		}
	})
}

// Whoever raises the limit need not wait.
func TestAnotherPaceHoldsAtOnce(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.Pace = pace.Limits{PerMinute: 1, PerDay: 2} })
		r.queue(5)
		r.run()
		if n := len(r.sink.Letters()); n != 1 || r.engine.Wait() != time.Minute {
			r.t.Fatalf("%d letters left, the next one in %v", n, r.engine.Wait())
		}
		r.save(func(c *mail.Change) { c.Pace = pace.Limits{PerMinute: 6000} })
		r.run()
		r.pass(time.Second, r.arrived(5))
		if n := len(r.sink.Letters()); n != 5 || r.engine.Wait() > time.Second {
			r.t.Errorf("%d letters left, the next one in %v", n, r.engine.Wait())
		}
	})
}

// Waiting for the pace asks the database little, and the server nothing.
func TestWaitingForThePaceDoesNotSpin(t *testing.T) {
	each(t, func(r *rig) {
		r.save(func(c *mail.Change) { c.Pace.PerMinute = 1 })
		r.queue(3)
		r.run()
		asked := 0
		r.server(func(smtptest.Asked) string {
			asked++
			return ""
		})
		for range 20 {
			if more, err := r.engine.Run(r.t.Context()); more || err != nil {
				r.t.Fatalf("another turn is wanted: %v", err)
			}
		}
		if asked != 0 || r.sink.Connections() > 2 {
			r.t.Errorf("the server was asked %d things on %d connections", asked, r.sink.Connections())
		}
		if wait := r.engine.Wait(); wait != time.Minute {
			r.t.Errorf("the next turn is wanted in %v", wait)
		}
	})
}

// What the pace granted and was not used is there for others.
func TestAGrantThatWasNotUsedIsGivenBack(t *testing.T) {
	each(t, func(r *rig) {
		r.save(exchange)
		r.server(func(a smtptest.Asked) string {
			if a.Verb == "RCPT" {
				return "550 5.1.1 nobody"
			}
			return ""
		})
		for _, id := range r.queue(2) {
			r.run()
			r.pass(10*time.Second, nil)
			r.want(id, outbox.Failed)
		}
		// Nobody was reached.
		r.wantToday(0)
		if g, err := r.cfg.Pace.Take(r.t.Context(), r.profile().ID, r.profile().Limits(), 8); err != nil || g.N != 4 {
			r.t.Errorf("%d letters may leave, want 4: %v", g.N, err)
		}
	})
}
