package delivery

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

const (
	// maxIdle and maxAge are how long a connection may be silent, and old, to
	// be used again; after askIdle of silence the server is asked first.
	maxIdle = 60 * time.Second
	maxAge  = 5 * time.Minute
	askIdle = 2 * time.Second
)

// lane is one connection and the work on it. It belongs to one goroutine at a
// time.
type lane struct {
	engine *Engine
	// name is what the lane is called among those of all nodes, number its place
	// in the crew.
	name   string
	number int
	conn   mail.Link
	// books is for what is to be written down though no further letter begins. It
	// ends some time after a stop.
	books context.Context
	// place is the lane's leave to have a connection; lostPlace tells that it is
	// somebody else's.
	place     place
	lostPlace atomic.Bool
	// key names what the connection was made with, since is when.
	key   string
	since time.Time
	// letters counts those that ended on the connection.
	letters int
	// sender is who letters come from now.
	sender from
	// batch is how many letters to claim at once: one at first, and twice as many
	// after each batch of which all were taken.
	batch int
	// busy is how long the letters of a trip took, rate how many that was in a
	// second.
	busy time.Duration
	rate float64
	// backlog tells that the last claim brought many letters, few that it brought
	// some, and fewer than it might; claimed is when it was made.
	backlog, few atomic.Bool
	claimed      atomic.Int64
	// suspects are letters refused as if nothing could be sent.
	suspects []suspect
}

// turn claims letters and sends them, telling found once it has claimed. Nothing
// is begun after ctx has ended; what is being sent goes on until send ends; what
// is known is written down in any case, before it returns. more asks for another
// turn.
func (l *lane) turn(ctx, send context.Context, found func()) (more bool, err error) {
	e := l.engine
	e.alive()
	standing, err := e.mail.Standing(ctx)
	if err != nil || !standing.Send || e.resting(standing.Profile.Revision) || e.waits(standing.Profile.Revision) {
		return false, err
	}
	t, ok, err := e.open(ctx)
	if err != nil || !ok {
		return false, err
	}
	t, ok, err = l.connect(ctx, t)
	if err != nil || !ok {
		return false, err
	}
	books := l.books
	if l.sender, err = e.senderOf(books, t); err != nil {
		return false, err
	}
	defer e.keeper.watch(l)()
	claimed, goOn, err := l.work(ctx, send, t, l.size(), found)
	for err == nil && goOn && e.inDoubt(l.suspects) {
		// A further letter tells whether it is the letter or the server.
		_, goOn, err = l.work(ctx, send, t, 1, found)
	}
	paused, judged := l.judge(books, t)
	err = errors.Join(err, judged, e.recorder.flush(books))
	return claimed && !paused && err == nil, err
}

// size returns how many letters to claim now: no more than leave soon, so that
// none waits behind another for long.
func (l *lane) size() int {
	return min(l.batch, max(1, int(l.rate*ahead.Seconds())))
}

// work asks the pace for leave, claims up to n letters and sends them, and those
// that come meanwhile where that is quick. claimed tells that there were any,
// goOn that the connection and the server are fit for more.
func (l *lane) work(ctx, send context.Context, t mail.Transport, n int, found func()) (claimed, goOn bool, err error) {
	if ctx.Err() != nil {
		return false, false, nil
	}
	e := l.engine
	// A claim is not broken off: it may have been made. The same holds for the
	// pace, which comes first: a letter that is claimed and may not leave would
	// be kept from nobody else's, and a more urgent one behind it.
	books := l.books
	grant, err := e.leave(books, t, n)
	if err != nil || grant.N == 0 {
		return false, false, err
	}
	limits := t.Profile.Limits()
	tr := l.newTrip(ctx, t, limits.PerMinute > 0 || limits.PerDay > 0)
	defer func() {
		err = errors.Join(err, e.pace.GiveBack(books, grant, grant.N-tr.begun, tr.begun-tr.counted))
	}()
	claims, err := l.claim(books, grant.N)
	found()
	if err != nil || len(claims) == 0 {
		return false, false, err
	}
	tr.load(claims)
	stop := func() {}
	if !tr.single && n >= streamFrom && len(claims) == n {
		stop = tr.feed(l.streamSize())
		// Whatever happens, nobody claims for a trip that is over.
		defer stop()
	}
	l.busy = 0
	err = tr.run(send)
	stop()
	err = errors.Join(err, tr.err)
	l.giveBack(books, tr.leftover()...)
	l.learn(tr, n, len(claims))
	return true, err == nil && !tr.halted && ctx.Err() == nil && l.conn != nil && l.conn.Usable() && !l.lostPlace.Load(), err
}

// streamSize is how many letters are claimed at once while others are sent.
func (l *lane) streamSize() int {
	return min(mostClaimed, max(streamFrom, int(l.rate*ahead.Seconds()/2)))
}

// learn reckons from a trip how many letters to claim next.
func (l *lane) learn(tr *trip, wanted, claimed int) {
	if tr.ended > 0 && l.busy > 0 {
		rate := float64(tr.ended) / l.busy.Seconds()
		if l.rate > 0 {
			rate = (l.rate + rate) / 2
		}
		l.rate = rate
	}
	switch {
	case tr.troubled:
		l.batch = 1
	case claimed == wanted:
		l.batch = min(2*l.batch, mostClaimed)
	}
}

// claim claims letters whose leases are kept from then on.
func (l *lane) claim(ctx context.Context, n int) ([]outbox.Claim, error) {
	e, since := l.engine, time.Now()
	l.claimed.Store(since.UnixNano())
	claims, err := e.outbox.Claim(ctx, e.slot, n, e.lease, l.sender.text)
	if err != nil || len(claims) == 0 {
		return nil, err
	}
	failpoint.Hit("delivery.claimed")
	e.keeper.hold(l, claims, since)
	// A slow server is given few at once, and never that many.
	full := len(claims) == n && (n >= backlog || n < l.batch)
	l.backlog.Store(full || len(claims) >= backlog)
	l.few.Store(len(claims) > 1 && len(claims) < n/2)
	if full {
		e.crowd.call()
	}
	return claims, nil
}

// settle waits a moment where the last claim brought few letters of a steady
// flow, so that the next one brings more: each costs a transaction. It reports
// whether this lane is wanted at all: others that are at work can do it alone.
func (l *lane) settle(ctx context.Context) bool {
	if !l.few.Load() {
		return true
	}
	for _, other := range l.engine.lanes[:l.number] {
		if time.Since(time.Unix(0, other.claimed.Load())) < atWork {
			return false
		}
	}
	rest(ctx, time.Unix(0, l.claimed.Load()).Add(gather))
	return true
}

// rest waits until t, or the end of ctx.
func rest(ctx context.Context, t time.Time) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// active is a profile that may be sent through, or none.
type active struct {
	id       string
	revision int64
	working  bool
}

// lookEvery is how often it is looked whether letters may still leave while they
// do.
const lookEvery = 50 * time.Millisecond

// look finds out, until ctx ends, whether letters may still leave.
func (e *Engine) look(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// An error says nothing: the next letters find it out.
		e.safely(func() { _ = e.lookNow(ctx) })
	}
}

func (e *Engine) lookNow(ctx context.Context) error {
	p, set, err := e.mail.Active(ctx)
	if err == nil {
		e.active.Store(&active{p.ID, p.Revision, set && p.State == mail.Working})
	}
	return err
}

// stillStands reports whether letters may leave through what t was made from as
// far as is known: who stops a server, or sets another one, does not want those
// that were claimed to go there.
func (e *Engine) stillStands(t mail.Transport) bool {
	a := e.active.Load()
	return a == nil || a.working && a.id == t.Profile.ID && a.revision == t.Profile.Revision
}

// stands is stillStands for now.
func (e *Engine) stands(ctx context.Context, t mail.Transport) (bool, error) {
	if err := e.lookNow(ctx); err != nil {
		return false, err
	}
	return e.stillStands(t), nil
}

// giveBack returns letters that were not begun.
func (l *lane) giveBack(ctx context.Context, letters ...ready) {
	e := l.engine
	for _, r := range letters {
		e.recorder.put(ctx, entry{
			outbox.Outcome{ID: r.claim.ID, Attempt: r.claim.Attempt, State: outbox.Queued, Unbegun: true},
			func() { e.keeper.let(r.claim) },
		})
	}
}

// connect makes sure of a connection made with what t says, and deals with a
// failure. The transport it returns is the one that was connected with.
func (l *lane) connect(ctx context.Context, t mail.Transport) (mail.Transport, bool, error) {
	e := l.engine
	if l.conn != nil && (l.key != t.Key() || !l.conn.Usable() || l.lostPlace.Load()) {
		l.hangUp(ctx)
	}
	l.upkeep(ctx)
	if l.conn != nil && l.conn.Idle() > askIdle && !l.conn.Alive(ctx) {
		l.hangUp(ctx)
	}
	if l.conn != nil {
		return t, true, nil
	}
	if ok, err := l.hold(ctx, t); err != nil || !ok {
		return t, false, err
	}
	began := e.now()
	t, failure, problem := l.dial(ctx, t)
	if failure == nil && problem == nil {
		e.observe(Event{What: "connection", Slot: e.slot, Result: "ok", Took: e.now().Sub(began)})
		return t, true, nil
	}
	l.hangUp(ctx)
	if ctx.Err() != nil {
		return t, false, nil
	}
	e.crowd.failed()
	l.batch = 1
	if problem != nil {
		e.observe(Event{What: "connection", Slot: e.slot, Result: "failed", Row: problem.Row, Took: e.now().Sub(began)})
		return t, false, e.met(ctx, t.Profile, *problem)
	}
	v := e.decide(t, failure, true)
	e.observe(Event{What: "connection", Slot: e.slot, Result: "failed", Row: v.Row, Took: e.now().Sub(began)})
	if v.Act == verdict.Pause {
		e.log.Error("the mail server refuses the settings", "server", t.Server(), "row", v.Row, "err", failure)
		return t, false, e.pause(ctx, mail.ProblemOf(t, v, failure.Reply()))
	}
	return t, false, e.troubled(ctx, t, v, failure)
}

// dial connects and signs in. After a refusal it looks once whether settings,
// password or token have changed since t was made, and then tries with the new
// ones; a token that was refused is replaced for that. A problem is why there
// are none.
func (l *lane) dial(ctx context.Context, t mail.Transport) (mail.Transport, *smtp.Error, *mail.Problem) {
	failure := l.dialOnce(ctx, t)
	if failure == nil || ctx.Err() != nil {
		return t, failure, nil
	}
	if refusesToken(failure) {
		if _, err := l.engine.mail.TokenRefused(ctx, t); err != nil {
			return t, failure, nil
		}
	}
	again, err := l.engine.mail.Open(ctx)
	var problem *mail.Problem
	switch {
	case errors.As(err, &problem):
		return t, failure, problem
	case err != nil || again.Key() == t.Key():
		return t, failure, nil
	}
	return again, l.dialOnce(ctx, again), nil
}

func (l *lane) dialOnce(ctx context.Context, t mail.Transport) *smtp.Error {
	conn, err := t.Dial(ctx, mail.DialHook{})
	if err != nil {
		return asError(err)
	}
	l.conn, l.key, l.since, l.letters = conn, t.Key(), l.engine.now(), 0
	return nil
}

// refusesToken tells that a token was refused in a sign-in, or with a letter as
// HTTP does it.
func refusesToken(failure *smtp.Error) bool {
	return failure.Bearer && failure.Kind == smtp.KindReply &&
		(failure.Stage == smtp.StageAuth && failure.Code/100 == 5 || failure.Code == http.StatusUnauthorized)
}

// stale tells that the connection should not be used any more.
func (l *lane) stale(now time.Time) bool {
	return l.conn != nil && (l.conn.Idle() > maxIdle || now.Sub(l.since) > maxAge)
}

// upkeep ends a connection that is stale, and keeps the place of another.
func (l *lane) upkeep(ctx context.Context) {
	if l.stale(l.engine.now()) || !l.keep(ctx) {
		l.hangUp(ctx)
	}
}

// hangUp ends the connection and gives its place up.
func (l *lane) hangUp(ctx context.Context) {
	l.drop()
	l.release(ctx)
}

// drop ends the connection; its place is for the next one.
func (l *lane) drop() {
	if l.conn != nil {
		// What a server says to QUIT changes nothing.
		_ = l.conn.Close()
		l.conn = nil
	}
}
