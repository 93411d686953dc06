package delivery

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

const (
	// mostClaimed is how many letters are claimed at once at most.
	mostClaimed = outbox.MostOutcomes
	// streamFrom is from how many letters at once on a lane claims the next ones
	// while it sends, and streamTime for how long before it looks again whether
	// settings, password and connection are those of now.
	streamFrom = 64
	streamTime = 2 * time.Second
	// ahead is for how long letters that are claimed may keep a connection busy:
	// what is urgent and comes later waits no longer.
	ahead = 500 * time.Millisecond
	// gather is how long after a claim that brought few letters the next one is
	// made, atWork how long ago a lane claimed that is at work.
	gather = 10 * time.Millisecond
	atWork = 50 * time.Millisecond
	// fresh is for how long after it was handed over a letter's content may be
	// begun without another look.
	fresh = time.Second
)

// ready is a letter that was claimed and built.
type ready struct {
	claim outbox.Claim
	sub   smtp.Submission
}

// trip is the way of some letters over a lane's connection. The connection asks
// it for the next letter and tells it what became of each, possibly at the same
// time.
type trip struct {
	lane *lane
	t    mail.Transport
	// ctx ends when nothing further is to begin; books is the lane's.
	ctx, books context.Context
	// single lets one letter at a time leave; until is for how long further ones
	// are claimed.
	single bool
	until  time.Time

	mu sync.Mutex
	// fed tells of each change of supply or of feeding.
	fed     *sync.Cond
	supply  []ready
	feeding bool
	// flight are letters that were handed over, in their order.
	flight []ready
	// begun and counted are how many letters were begun, and how many of them
	// count as sent to somebody; ended how many are done with.
	begun, counted, ended int
	// asked is how many letters this pass handed over.
	asked int
	// halted lets no further letter begin.
	halted bool
	// broke is what ended the connection; aside are letters that were handed over
	// and never begun because of that. mending tells that they are worth a new
	// connection, mendToken that it is one with another token.
	broke              *smtp.Error
	aside              []ready
	mending, mendToken bool
	// renewing tells that the server takes no further letter on the connection.
	renewing bool
	// troubled tells that something was not as it should be.
	troubled bool
	err      error
}

func (l *lane) newTrip(ctx context.Context, t mail.Transport, single bool) *trip {
	tr := &trip{lane: l, t: t, ctx: ctx, books: l.books, single: single}
	tr.fed = sync.NewCond(&tr.mu)
	return tr
}

// halt lets no further letter begin. err, if not nil, is why.
func (tr *trip) halt(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.halted = true
	tr.err = errors.Join(tr.err, err)
	tr.fed.Broadcast()
}

// load builds claimed letters and puts them among those that wait, the urgent
// ones before the others. One that cannot be built fails.
func (tr *trip) load(claims []outbox.Claim) {
	built := make([]ready, 0, len(claims))
	for _, c := range claims {
		sub, err := tr.lane.submission(tr.books, c)
		if err == nil {
			built = append(built, ready{c, sub})
			continue
		}
		tr.unfit(c, err)
	}
	failpoint.Hit("delivery.opened")
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.supply = append(tr.supply, built...)
	slices.SortStableFunc(tr.supply, func(a, b ready) int { return int(a.claim.Class) - int(b.claim.Class) })
	tr.fed.Broadcast()
}

// unfit deals with a letter that cannot be built.
func (tr *trip) unfit(c outbox.Claim, err error) {
	e := tr.lane.engine
	if errors.Is(err, errUnsigned) {
		e.log.Error("a letter cannot be signed", "letter", c.ID, "kind", c.Kind, "err", err)
		out := outbox.Outcome{State: outbox.Deferred, RetryAt: e.retryAt(c, verdict.Verdict{}), Advice: "The letter could not be signed. Look at the signing key in the mail server settings."}
		tr.lane.write(tr.books, tr.t, c, out, verdict.Verdict{Row: "sign"}, 0)
		return
	}
	const advice = "The letter cannot be sent like this. Check the name and the address of sender and recipient."
	e.log.Error("a letter cannot be built", "letter", c.ID, "kind", c.Kind, "err", err)
	tr.lane.write(tr.books, tr.t, c, outbox.Outcome{State: outbox.Failed, Advice: advice}, verdict.Verdict{Row: "build"}, 0)
}

// next gives the connection another letter, if one may leave now.
func (tr *trip) next() (smtp.Submission, bool) {
	l := tr.lane
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for len(tr.supply) > 0 && !tr.halted && tr.ctx.Err() == nil {
		switch {
		case tr.single && tr.asked > 0, tr.broke != nil, l.lostPlace.Load(), !l.engine.stillStands(tr.t), l.engine.recorder.fails():
			return smtp.Submission{}, false
		}
		if most := l.engine.habit.get(l.key); most > 0 && l.letters+len(tr.flight) >= most {
			tr.renewing = true
			return smtp.Submission{}, false
		}
		r := tr.supply[0]
		tr.supply = tr.supply[1:]
		tr.fed.Broadcast()
		if !l.engine.keeper.sure(r.claim.ID, l.engine.lease) {
			l.giveBack(tr.books, r)
			continue
		}
		tr.flight = append(tr.flight, r)
		r.sub.BeforeContent = tr.lastMoment(r.claim.ID)
		r.sub.RequireTLS = tr.wholeWay(r.claim.Kind)
		tr.begun++
		tr.asked++
		return r.sub, true
	}
	return smtp.Submission{}, false
}

// lastMoment returns what is asked just before the content leaves of a letter that
// is handed over now. Where that takes long, it must still be this engine's, and
// the server that of now.
func (tr *trip) lastMoment(id string) func() bool {
	e, since := tr.lane.engine, time.Now()
	return func() bool {
		failpoint.Hit("delivery.before-content")
		return within(since, fresh) || e.keeper.sure(id, e.lease) && e.stillStands(tr.t)
	}
}

// withhold gives a letter back whose content was not begun because it had waited
// for too long. It is not the only one.
func (tr *trip) withhold(r ready) {
	tr.halt(nil)
	tr.mu.Lock()
	tr.begun--
	tr.mu.Unlock()
	tr.lane.giveBack(tr.books, r)
}

// done takes what became of the letter that was handed over first of those in
// flight.
func (tr *trip) done(_ int, result smtp.Result) {
	defer func() {
		if p := recover(); p != nil {
			tr.halt(panicked(p))
		}
	}()
	tr.mu.Lock()
	r := tr.flight[0]
	tr.flight = tr.flight[1:]
	tr.mu.Unlock()
	tr.lane.engine.alive()
	if result.Err == nil {
		tr.accepted(r, result)
		return
	}
	if errors.Is(result.Err, smtp.ErrWithheld) && !result.Err.Uncertain {
		tr.withhold(r)
		return
	}
	if tr.setAside(r, result.Err) {
		return
	}
	tr.count(1, 0)
	goOn, err := tr.refused(r.claim, result)
	if !goOn || err != nil {
		tr.halt(err)
	}
	tr.judge()
}

// count counts letters that are done with, and those of them that reached
// somebody.
func (tr *trip) count(ended, reached int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ended, tr.counted = tr.ended+ended, tr.counted+reached
	tr.lane.letters += ended
}

func (tr *trip) accepted(r ready, result smtp.Result) {
	tr.count(1, 1)
	tr.lane.write(tr.books, tr.t, r.claim, outbox.Outcome{
		State: outbox.Accepted, Stage: string(smtp.StageContent), Code: result.Reply.Code, Enhanced: result.Reply.Enhanced,
		Reply: result.Reply.String(), QueueID: result.QueueID, Advice: "The mail server accepted it.",
	}, verdict.Verdict{}, result.Took)
	tr.lane.engine.crowd.took(tr.lane.backlog.Load())
	if err := tr.lane.engine.tookLetter(tr.books, tr.t, tr.lane.conn.Certificate()); err != nil {
		tr.halt(err)
	}
	tr.judge()
}

// judge decides about letters that were refused as if nothing could be sent, once
// others tell what it is.
func (tr *trip) judge() {
	l := tr.lane
	if len(l.suspects) == 0 || l.engine.inDoubt(l.suspects) {
		return
	}
	paused, err := l.judge(tr.books, tr.t)
	if paused || err != nil {
		tr.halt(err)
	}
}

// setAside tells that a letter was not begun after all: the server had closed the
// connection before it, as many do after a number of letters, or wants another
// token, or the connection ended with a letter before it.
func (tr *trip) setAside(r ready, failure *smtp.Error) bool {
	l := tr.lane
	tr.mu.Lock()
	broke, after := tr.broke, l.letters
	tr.mu.Unlock()
	closed := failure.Kind == smtp.KindNetwork || failure.Code == goingAway
	switch {
	case failure.Uncertain || tr.ctx.Err() != nil && failure.Kind == smtp.KindCancelled:
		return false
	case broke != nil:
		if !ends(failure) {
			return false
		}
	case refusesToken(failure):
		again, err := l.engine.mail.TokenRefused(tr.books, tr.t)
		if err != nil {
			tr.halt(err)
		} else if !again {
			return false
		}
		tr.broken(failure, true, true)
	case after > 0 && closed && failure.Stage == smtp.StageMail && !throttles(tr.t, verdict.Verdict{Act: verdict.Retry}, failure):
		l.engine.habit.closed(l.key, after)
		tr.broken(failure, true, false)
	default:
		return false
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.aside = append(tr.aside, r)
	tr.begun--
	return true
}

// habit is after how many letters a server closes a connection, as far as was
// seen: once it did so twice after as many, a lane does it before. Letters behind
// the one that is turned away would else be uncertain.
type habit struct {
	mu sync.Mutex
	// key is what connections were made with.
	key        string
	last, most int
}

func (h *habit) get(key string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.key != key {
		return 0
	}
	return h.most
}

// closed notes that a connection was closed after n letters.
func (h *habit) closed(key string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.key != key:
		h.key, h.last, h.most = key, n, 0
	case h.last == n || n < h.most:
		h.most = n
	}
	h.last = n
}

// ends tells that a failure was the end of its connection.
func ends(failure *smtp.Error) bool {
	switch failure.Kind {
	case smtp.KindInput:
		return false
	case smtp.KindReply:
		return failure.Code == goingAway
	}
	return true
}

// broken notes what ended the connection.
func (tr *trip) broken(failure *smtp.Error, mending, token bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.broke == nil {
		tr.broke, tr.mending, tr.mendToken = failure, mending, token
	}
}

// mend puts letters back in line that were set aside, with a new connection where
// that is worth it. ok tells that the connection is fit for more.
func (tr *trip) mend(send context.Context) (ok bool, err error) {
	l := tr.lane
	tr.mu.Lock()
	tr.supply = append(tr.aside, tr.supply...)
	tr.aside = nil
	mending, token, broke := tr.mending, tr.mendToken, tr.broke != nil
	// A server that says how many letters it takes on a connection (RFC 9422) has
	// had them. Another connection is no trouble.
	renewing := tr.renewing || tr.asked > 0 && len(tr.supply) > 0 && l.conn != nil && !l.conn.Usable()
	tr.mending, tr.mendToken, tr.broke, tr.renewing = false, false, nil, false
	halted := tr.halted
	tr.mu.Unlock()
	switch {
	case halted || send.Err() != nil || tr.ctx.Err() != nil:
		return false, nil
	case renewing && !broke:
		// Nothing is in flight.
	case !broke:
		return l.conn != nil && l.conn.Usable(), nil
	case !mending:
		return false, nil
	}
	t := tr.t
	if token {
		if t, ok, err = l.engine.open(send); err != nil || !ok || t.Profile.ID != tr.t.Profile.ID || t.Profile.Revision != tr.t.Profile.Revision {
			return false, err
		}
	}
	l.drop()
	return l.dialOnce(send, t) == nil, nil
}

// run sends what there is, and what comes meanwhile.
func (tr *trip) run(send context.Context) error {
	l := tr.lane
	for first := true; tr.wait(); first = false {
		if !first {
			if ok, err := l.engine.stands(tr.books, tr.t); err != nil || !ok {
				return err
			}
		}
		tr.asked = 0
		began := time.Now()
		// What ended the connection is told with each letter.
		_ = l.conn.Send(send, tr.next, tr.done)
		l.busy += time.Since(began)
		tr.mu.Lock()
		moved, renewed := tr.asked > 0, tr.renewing
		tr.mu.Unlock()
		if ok, err := tr.mend(send); err != nil || !ok {
			return err
		}
		if !moved && !renewed {
			return nil
		}
	}
	return nil
}

// wait waits, while letters are being fetched, for the first of them. It reports
// whether there is one that may leave.
func (tr *trip) wait() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for len(tr.supply) == 0 && tr.feeding && !tr.halted {
		tr.fed.Wait()
	}
	return len(tr.supply) > 0 && !tr.halted && tr.ctx.Err() == nil
}

// feed claims letters while others are sent, so that the connection has always
// some to take. It ends when there are none, or no further one should begin; stop
// waits for that, and may be called again.
func (tr *trip) feed(n int) (stop func()) {
	l := tr.lane
	tr.until = time.Now().Add(streamTime)
	tr.feeding = true
	var done sync.WaitGroup
	done.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				tr.halt(panicked(p))
			}
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.feeding = false
			tr.fed.Broadcast()
		}()
		for tr.low(n) {
			began := time.Now()
			claims, err := l.claim(tr.books, n)
			if err != nil {
				tr.halt(err)
				return
			}
			if len(claims) == 0 {
				return
			}
			tr.load(claims)
			if len(claims) < n/2 {
				rest(tr.ctx, began.Add(gather))
			}
		}
	})
	return func() {
		tr.mu.Lock()
		tr.until = time.Now()
		tr.fed.Broadcast()
		tr.mu.Unlock()
		done.Wait()
	}
}

// low waits until less than half of n letters wait. It reports false when no
// further letter should be claimed.
func (tr *trip) low(n int) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for {
		if tr.halted || tr.ctx.Err() != nil || tr.broke != nil || !time.Now().Before(tr.until) {
			return false
		}
		if len(tr.supply) <= n/2 {
			return true
		}
		tr.fed.Wait()
	}
}

// leftover returns the letters that were not begun.
func (tr *trip) leftover() []ready {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	rest := append(tr.aside, tr.supply...)
	tr.aside, tr.supply = nil, nil
	return rest
}
