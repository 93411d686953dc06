package delivery_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"runtime"
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

const (
	// soakStep is how often the engine is called, on the test's clock.
	soakStep = 15 * time.Second
	// resetBound is how long a letter of the first class waits for its first
	// attempt at most while the server is fit for use.
	resetBound = time.Minute
	// heapBound is how much the heap may grow from a quarter of the time to its
	// end, beside ownData for each letter that this test remembers, and
	// routineBound the number of goroutines.
	heapBound, ownData, routineBound = 1 << 20, 640, 8
)

// soak is a long time in the life of an engine.
type soak struct {
	*rig
	total time.Duration
	began time.Time
	// traffic is how much comes, as a part of a busy day.
	traffic float64

	chanceMu sync.Mutex
	chance   *rand.Rand

	acknowledged map[string]string
	taken        []smtptest.Letter
	// well are the steps at whose end the server was fit for use.
	well map[time.Time]bool
	// hindered counts what the server did, by what it was.
	hinderedMu sync.Mutex
	hindered   map[string]int
}

// A day with all that a server does, and a change of passwords: each letter has
// an honest end, the urgent ones overtake, and nothing grows.
func TestALongTime(t *testing.T) {
	total, traffic := 2*time.Hour, 0.4
	if torture() {
		total, traffic = 24*time.Hour, 1
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	storetest.EachClock(t, func(t *testing.T, db *store.DB, clock *storetest.Clock) {
		s := &soak{
			rig: newRig(t, db, clock, "PIPELINING", "CHUNKING"), total: total, traffic: traffic, began: clock.Now(), chance: rand.New(rand.NewPCG(seed, 1)),
			acknowledged: map[string]string{}, well: map[time.Time]bool{}, hindered: map[string]int{},
		}
		s.save(func(c *mail.Change) { c.Pace = pace.Limits{Connections: 2, PerMinute: 30, PerDay: 20000} })
		s.server(s.hinder)
		s.live()
	})
}

// percent tells by chance.
func (s *soak) percent(n float64) bool {
	s.chanceMu.Lock()
	defer s.chanceMu.Unlock()
	return s.chance.Float64()*100 < n
}

// part is a moment as a part of the whole time.
func (s *soak) part(of float64) time.Time { return s.began.Add(time.Duration(of * float64(s.total))) }

// during tells that it is between a part of the time and d later.
func (s *soak) during(of float64, d time.Duration) bool {
	now := s.clock.Now()
	return !now.Before(s.part(of)) && now.Before(s.part(of).Add(min(d, s.total/8)))
}

// hinder is what the server does to letters now and then. Once the time is over
// it is good.
func (s *soak) hinder(a smtptest.Asked) string {
	if s.clock.Now().After(s.part(1)) {
		return ""
	}
	say := func(what, reply string) string {
		s.hinderedMu.Lock()
		defer s.hinderedMu.Unlock()
		s.hindered[what]++
		return reply
	}
	switch {
	case a.Verb == "CONNECT" && s.during(0.55, 10*time.Minute):
		return say("turned away", "421 4.3.2 too busy, come back later")
	case a.Verb == "MAIL" && s.percent(1):
		return say("went", "421 4.3.2 going down")
	case a.Verb == "MAIL" && s.percent(0.5):
		return say("hung up before", smtptest.Hangup)
	case a.Verb == "RCPT" && s.percent(3):
		return say("put off", "450 4.2.0 greylisted, come back later")
	case a.Verb == "RCPT" && s.percent(1):
		return say("refused", "550 5.1.1 no such user here")
	case a.Verb == "CONTENT" && s.percent(1):
		return say("in trouble", "451 4.3.0 try again later")
	case a.Verb == "CONTENT" && s.percent(1):
		return say("hung up after", smtptest.Hangup)
	}
	return ""
}

// arrive adds the letters of a step: many by day, few by night, and now and then
// a round of reminders.
func (s *soak) arrive(step int) {
	hour := s.clock.Now().Hour()
	rate := 20.0 // an hour
	switch {
	case hour >= 8 && hour < 18:
		rate = 240
	case hour >= 6 && hour < 22:
		rate = 80
	}
	n := 0
	for mean := s.traffic * rate * soakStep.Hours(); mean > 0; mean-- {
		if s.percent(100 * min(mean, 1)) {
			n++
		}
	}
	for range n {
		s.post(s.anyLetter())
	}
	if every := int(s.total / soakStep / 4); step%every == every/2 {
		for range int(100 * s.traffic) {
			s.post(letter.ExpiryReminder{Name: "Ada", What: "The client secret", Server: "mail:587", When: s.clock.Now(), Advice: "Make a new one."})
		}
	}
}

func (s *soak) anyLetter() letter.Letter {
	switch {
	case s.percent(25):
		return reset()
	case s.percent(15):
		return letter.Invitation{Name: "Ada", Login: "ada", Role: "user", InvitedBy: "Grace", Link: reset().(letter.PasswordReset).Link, Expires: s.clock.Now().Add(72 * time.Hour)}
	case s.percent(30):
		return letter.NewDevice{Name: "Ada", When: s.clock.Now(), From: "192.0.2.1", Agent: "Firefox"}
	case s.percent(20):
		return letter.ExpiryReminder{Name: "Ada", What: "The client secret", Server: "mail:587", When: s.clock.Now(), Advice: "Make a new one."}
	}
	return news()
}

func (s *soak) post(l letter.Letter) {
	who := fmt.Sprintf("user%d", len(s.acknowledged))
	s.acknowledged[who+"@example.org"] = s.add(who, l)
}

// turns calls the engine for a step of time as a loop does, also when the pace
// lets the next letter leave.
func (s *soak) turns(step time.Duration) {
	for end := s.clock.Now().Add(step); s.clock.Now().Before(end); {
		_, err := s.box.Expire(s.t.Context())
		s.must(err)
		s.run()
		rest := end.Sub(s.clock.Now())
		if wait := s.engine.Wait(); wait > 0 {
			rest = min(rest, wait)
		}
		s.clock.Advance(rest)
	}
	p := s.profile()
	s.well[s.clock.Now()] = p.State == mail.Working && p.Problem == ""
}

// drain takes over what the server took, so that the server does not grow, and
// forgets what was observed.
func (s *soak) drain() {
	for _, l := range s.sink.Drain() {
		sum := sha256.Sum256(l.Data)
		l.Data = fmt.Appendf(nil, "Message-ID: %s\r\n\r\n%x", messageIDOf(l.Data), sum)
		s.taken = append(s.taken, l)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = []delivery.Event{}
}

// size is what a process takes.
type size struct {
	heap     uint64
	letters  uint64
	routines int
}

func (s *soak) size() size {
	s.drain()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return size{m.HeapAlloc, uint64(len(s.acknowledged)), runtime.NumGoroutine()}
}

func (s *soak) live() {
	var early size
	steps := int(s.total / soakStep)
	for step := range steps {
		now := s.clock.Now()
		s.setDown(s.during(1.0/8, time.Hour))
		switch {
		case step == steps*2/5:
			s.sink.SetPassword("second")
			s.vault.set("second")
		case step == steps*7/10:
			s.sink.SetPassword("third")
		case step == steps*7/10+8:
			// Whoever changed it on the server tells the vault later.
			s.vault.set("third")
		case step == steps/4:
			early = s.size()
		}
		s.arrive(step)
		s.turns(soakStep)
		if now.Hour() != s.clock.Now().Hour() {
			s.drain()
		}
	}
	late := s.size()
	s.t.Logf("%d letters in %s; heap %d kB, then %d kB; %d goroutines, then %d; the server %v", len(s.acknowledged), s.total, early.heap>>10, late.heap>>10,
		early.routines, late.routines, s.hindered)
	if late.heap > early.heap+heapBound+ownData*(late.letters-early.letters) || late.routines > early.routines+routineBound {
		s.t.Errorf("it grew from %+v to %+v", early, late)
	}
	s.end()
}

// end lets the letters that are left come to their end, and looks at all.
func (s *soak) end() {
	for range 80 {
		s.turns(15 * time.Minute)
		if due, err := s.waiting(); err != nil || due == 0 {
			s.must(err)
			break
		}
	}
	s.drain()
	books, err := readBooks(s.t.Context(), s.db)
	s.must(err)
	for _, wrong := range wrongs(s.acknowledged, books, s.taken) {
		s.t.Error(wrong)
	}
	ends := map[outbox.State]int{}
	for _, b := range books {
		ends[b.state]++
		if !b.state.Final() {
			s.t.Errorf("a letter is %s", b.state)
		}
	}
	s.t.Logf("ends %v, %d came more than once", ends, repeats(s.taken))
	if ends[outbox.Accepted]*10 < len(books)*9 {
		s.t.Errorf("only %d of %d letters were accepted", ends[outbox.Accepted], len(books))
	}
	s.order(books)
}

// waiting counts letters that have no end yet.
func (s *soak) waiting() (n int, err error) {
	err = s.db.View(s.t.Context(), func(tx *store.Tx) error {
		n, err = store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) }, `SELECT COUNT(*) FROM outbox_letter WHERE ended_at = 0`)
		return err
	})
	return n, err
}

// order makes sure that no letter of the first class waited long while the server
// was fit for use, and that none of another class began before one that waited.
func (s *soak) order(books map[string]*book) {
	var longest time.Duration
	var others []time.Time
	for _, b := range books {
		if b.class > letter.ClassRequest && !b.first.IsZero() {
			others = append(others, b.first)
		}
	}
	late := 0
	for _, b := range books {
		if b.class != letter.ClassCode {
			continue
		}
		until := b.first
		if until.IsZero() {
			until = b.ended
		}
		var waited time.Duration
		for at := b.added.Truncate(soakStep).Add(soakStep); at.Before(until); at = at.Add(soakStep) {
			if s.well[at] {
				waited += soakStep
			}
		}
		longest = max(longest, waited)
		if waited > resetBound {
			late++
		}
		for _, at := range others {
			// One that was given back had its turn.
			if b.unbegun == 0 && at.After(b.added) && at.Before(until) {
				s.t.Errorf("a letter of another class began at %s before a reset that waited from %s to %s", at, b.added, until)
			}
		}
	}
	s.t.Logf("a reset waited for %s at most while the server was fit", longest)
	if late > 0 {
		s.t.Errorf("%d resets waited for longer than %s", late, resetBound)
	}
}
