package delivery

import (
	"context"
	"errors"
	"net/http"
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
	// manyLetters are claimed at once where each takes less than quick. Else
	// it is one, so that none waits behind another for long.
	manyLetters = 8
	quick       = 250 * time.Millisecond
)

// lane is one connection and the work on it. It belongs to one goroutine at a
// time.
type lane struct {
	engine *Engine
	// name is what the lane is called among those of all nodes.
	name string
	conn mail.Link
	// place is the lane's leave to have a connection.
	place place
	// key names what the connection was made with, since is when.
	key   string
	since time.Time
	// letters counts those sent on the connection.
	letters int
	// begun and counted are how many letters of what the pace granted were
	// begun, and how many of them count as sent to somebody.
	begun, counted int
	// took is the time of the last letter.
	took time.Duration
	// suspects are letters refused as if nothing could be sent.
	suspects []suspect
}

// turn claims a few letters and sends them, telling found once it has claimed.
// Nothing is begun after ctx has ended; what is being sent goes on until send
// ends; what is known is written down in any case. more asks for another turn.
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
	k := e.keepLeases(context.WithoutCancel(ctx), l.place.slot)
	defer k.stop()
	n := 1
	if l.took > 0 && l.took < quick {
		n = manyLetters
	}
	claimed, goOn, err := l.work(ctx, send, t, k, n, found)
	for err == nil && goOn && e.inDoubt(l.suspects) {
		// A further letter tells whether it is the letter or the server.
		_, goOn, err = l.work(ctx, send, t, k, 1, found)
	}
	if judged := l.judge(context.WithoutCancel(ctx), t); err == nil {
		err = judged
	}
	return claimed && err == nil, err
}

// work asks the pace for leave, claims up to n letters and sends them. claimed
// tells that there were any, goOn that the connection and the server are fit
// for more.
func (l *lane) work(ctx, send context.Context, t mail.Transport, k *keeper, n int, found func()) (claimed, goOn bool, err error) {
	if ctx.Err() != nil {
		return false, false, nil
	}
	e := l.engine
	// A claim is not broken off: it may have been made. The same holds for the
	// pace, which comes first: a letter that is claimed and may not leave would
	// be kept from nobody else's, and a more urgent one behind it.
	books := context.WithoutCancel(ctx)
	grant, err := e.leave(books, t, n)
	if err != nil || grant.N == 0 {
		return false, false, err
	}
	l.begun, l.counted = 0, 0
	defer func() {
		if back := e.pace.GiveBack(books, grant, grant.N-l.begun, l.begun-l.counted); err == nil {
			err = back
		}
	}()
	claims, err := e.outbox.Claim(books, e.slot, grant.N, e.lease, senderOf(t).encode())
	found()
	if err != nil || len(claims) == 0 {
		return false, false, err
	}
	failpoint.Hit("delivery.claimed")
	k.hold(claims)
	goOn = true
	for goOn && err == nil && len(claims) > 0 && ctx.Err() == nil {
		goOn, err = l.deliver(books, send, t, claims[0])
		claims = claims[1:]
		if goOn && err == nil && len(claims) > 0 {
			goOn, err = e.stands(books, t)
		}
		goOn = goOn && !k.lost()
	}
	if back := e.giveBack(books, t, claims); err == nil {
		err = back
	}
	return true, goOn && ctx.Err() == nil, err
}

// stands reports whether letters may still leave through what t was made from:
// who stops a server, or sets another one, does not want the rest of a batch to
// go there.
func (e *Engine) stands(ctx context.Context, t mail.Transport) (bool, error) {
	p, set, err := e.mail.Active(ctx)
	return set && p.State == mail.Working && p.ID == t.Profile.ID && p.Revision == t.Profile.Revision, err
}

// giveBack returns letters that were not begun.
func (e *Engine) giveBack(ctx context.Context, t mail.Transport, claims []outbox.Claim) error {
	if len(claims) == 0 {
		return nil
	}
	outcomes := make([]outbox.Outcome, len(claims))
	for i, c := range claims {
		outcomes[i] = outbox.Outcome{
			ID: c.ID, Attempt: c.Attempt, State: outbox.Queued, Unbegun: true,
		}
	}
	return e.record(ctx, outcomes...)
}

// connect makes sure of a connection made with what t says, and deals with a
// failure. The transport it returns is the one that was connected with.
func (l *lane) connect(ctx context.Context, t mail.Transport) (mail.Transport, bool, error) {
	e := l.engine
	if l.conn != nil && (l.key != t.Key() || !l.conn.Usable()) {
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
		e.observe(Event{What: "connection", Result: "ok", Took: e.now().Sub(began)})
		return t, true, nil
	}
	l.hangUp(ctx)
	if ctx.Err() != nil {
		return t, false, nil
	}
	if problem != nil {
		e.observe(Event{What: "connection", Result: "failed", Row: problem.Row, Took: e.now().Sub(began)})
		return t, false, e.met(ctx, t.Profile, *problem)
	}
	v := e.decide(t, failure)
	e.observe(Event{What: "connection", Result: "failed", Row: v.Row, Took: e.now().Sub(began)})
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
