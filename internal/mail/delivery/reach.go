package delivery

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"net/http"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

const (
	// patience is how long a server may be out of reach before that is a pause,
	// which everybody sees; longPatience is how long it may want fewer letters
	// or connections.
	patience     = 5 * time.Minute
	longPatience = time.Hour
)

// longestRest is how long a server is left alone at most, whatever it asks for:
// no number on a proxy's page keeps mail for a day, and what lives shortest, the
// link to a new password, lives for half an hour.
const longestRest = 20 * time.Minute

// softLimit is how many letters in a row may be put off before the server is
// left alone for a while.
const softLimit = 3

// reach is what is known of a server's troubles, for as long as the process
// lives.
type reach struct {
	// revision is that of the profile in whose use the troubles were met.
	revision int64
	failures int
	// since is when the first of them was, until when nothing is tried.
	since, until time.Time
	// soft counts letters put off in a row.
	soft int
}

// repeated counts failures of one row of the table in a row.
type repeated struct {
	row   string
	times int
}

// decide says what a failure means. One that the table has patience with is a
// pause once it came so often in a row, of whichever letters; one that does not
// count is a consequence of the one before.
func (e *Engine) decide(t mail.Transport, failure *smtp.Error, counts bool) verdict.Verdict {
	v := t.Profile.Means(e.table.DecideFrom(failure, t.Profile.Provider()))
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.repeated.row != v.Row {
		e.repeated = repeated{row: v.Row}
	}
	if counts {
		e.repeated.times++
	}
	if v.Act == verdict.Retry && v.Patience > 0 && e.repeated.times >= v.Patience {
		v.Act = verdict.Pause
	}
	return v
}

// throttles tells that the server wants fewer letters or connections, not
// another letter. Of a letter that a server does not know it may say what reads
// the same, so that only known providers are believed their codes.
func throttles(t mail.Transport, v verdict.Verdict, failure *smtp.Error) bool {
	if failure.Kind != smtp.KindReply || v.Act != verdict.Retry {
		return false
	}
	switch failure.Code {
	case tooManyConnections, http.StatusTooManyRequests:
		return true
	}
	return failure.After > 0 || strings.HasPrefix(failure.Enhanced, "4.7.") && t.Profile.Provider() != ""
}

// tooManyConnections is the code with which Exchange Online says that a mailbox
// sends too much at once.
const tooManyConnections = 432

// restDelays are the waits after the first, second, ... failure; the last one
// repeats.
func restDelays() []time.Duration {
	return []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}
}

// resting tells that the server is left alone now. Changed settings are tried
// at once.
func (e *Engine) resting(revision int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reach.revision == revision && e.now().Before(e.reach.until)
}

// reached notes that the server is there and takes what it is given.
func (e *Engine) reached() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reach, e.repeated = reach{}, repeated{}
}

// leaveAlone notes a failure of the server and sets the time of the next try,
// at least atLeast away, but no longer than longestRest. It returns how long the failures have lasted, reckoned
// from the last letter that any process saw accepted.
func (e *Engine) leaveAlone(p mail.Profile, atLeast time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	r := &e.reach
	if r.failures == 0 || r.revision != p.Revision {
		*r = reach{revision: p.Revision, since: now}
	}
	if p.LastAccepted.After(r.since) {
		r.since = p.LastAccepted
	}
	delays := restDelays()
	wait := max(e.spread(delays[min(r.failures, len(delays)-1)]), min(atLeast, longestRest))
	r.failures, r.soft = r.failures+1, 0
	r.until = now.Add(wait)
	// One try falls on the moment at which patience ends.
	if end := r.since.Add(patience); now.Before(end) && r.until.After(end) && atLeast == 0 {
		r.until = end
	}
	return now.Sub(r.since)
}

// troubled deals with a failure that met the server and may go by: it is left
// alone, and paused once that has lasted. A server that wants less is left alone
// by all nodes, and for longer before that is a pause.
func (e *Engine) troubled(ctx context.Context, t mail.Transport, v verdict.Verdict, failure *smtp.Error) error {
	lasted := e.leaveAlone(t.Profile, v.After)
	e.log.Warn("the mail server cannot be used", "server", t.Server(), "row", v.Row, "lasted", lasted, "err", failure)
	enough := patience
	if throttles(t, v, failure) {
		enough = longPatience
		if err := e.pace.Slow(ctx, t.Profile.ID, t.Profile.Limits(), e.rest()); err != nil {
			return err
		}
	}
	p := mail.ProblemOf(t, v, failure.Reply())
	if lasted < enough {
		return e.mail.Troubled(ctx, p)
	}
	return e.pause(ctx, p)
}

// rest returns how long the server is still left alone.
func (e *Engine) rest() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(e.reach.until.Sub(e.now()), 0)
}

// met deals with what kept a transport from being made for p. One that goes by,
// such as an authority that cannot be reached, is waited for as a server out of
// reach is: once letters have waited for it as long as that, mail is paused, so
// that everybody hears of it, and the profile says when it is tried. A probe that
// meets such a thing says nothing of what mail is paused for, which stays.
func (e *Engine) met(ctx context.Context, p mail.Profile, problem mail.Problem) error {
	if !problem.Passing {
		return e.pause(ctx, problem)
	}
	lasted := e.leaveAlone(p, problem.After)
	e.log.Warn("there is nothing to sign in with at the moment", "row", problem.Row, "lasted", lasted, "reply", problem.Reply)
	switch {
	case p.State == mail.Paused:
		problem.Row, problem.Reason, problem.Advice, problem.Command = p.Problem, p.Reason, p.Advice, p.Command
		problem.Reply, problem.Link, problem.Remedy = p.Reply, p.Link, p.Remedy
	case lasted < patience:
		return e.mail.Troubled(ctx, problem)
	}
	return e.pause(ctx, problem)
}

// pause keeps all letters back. From then on the profile says when the server
// is tried.
func (e *Engine) pause(ctx context.Context, p mail.Problem) error {
	e.reached()
	e.setDoubt(doubt{})
	return e.mail.Pause(ctx, p)
}

// putOff notes that a letter was put off. One alone says little of the server:
// it is left alone when that happens to one after the other, or when it says
// that it is going away. It was reached, so that this is no reason for a pause.
func (e *Engine) putOff(ctx context.Context, t mail.Transport, v verdict.Verdict, failure *smtp.Error) error {
	e.mu.Lock()
	e.reach.soft++
	many := e.reach.soft >= softLimit
	e.mu.Unlock()
	if !many && failure.Code != goingAway {
		return nil
	}
	e.leaveAlone(t.Profile, v.After)
	if !v.Server {
		return nil
	}
	return e.mail.Troubled(ctx, mail.ProblemOf(t, v, failure.Reply()))
}

// goingAway is the code with which a server closes a connection (RFC 5321
// 3.8).
const goingAway = 421

// sent is what a letter was sent with.
type sent struct {
	transport mail.Transport
	server    *x509.Certificate
}

// tookLetter notes that the server accepted a letter, and writes that, the
// recipients whom no grant of the pace counted, and the certificate it showed to
// the profile now and then.
func (e *Engine) tookLetter(ctx context.Context, t mail.Transport, server *x509.Certificate) error {
	e.mu.Lock()
	now := e.now()
	due := now.Sub(e.noted) >= time.Second || e.reach.failures > 0 || t.Profile.Probes > 0 || t.Profile.Problem != ""
	if due {
		e.noted = now
	}
	e.accepted++
	e.reach, e.repeated, e.refused, e.tookAt = reach{}, repeated{}, 0, now
	if t.Profile.Limits().PerDay <= 0 {
		e.uncounted++
	}
	e.last = sent{t, server}
	e.mu.Unlock()
	if !due {
		return nil
	}
	return e.tell(ctx)
}

// settle counts recipients that were not counted with the last letters.
func (e *Engine) settle(ctx context.Context) error {
	e.mu.Lock()
	none := e.uncounted == 0
	e.mu.Unlock()
	if none {
		return nil
	}
	return e.tell(ctx)
}

// tell writes to the profile that the server takes letters.
func (e *Engine) tell(ctx context.Context) error {
	e.mu.Lock()
	n, last := e.uncounted, e.last
	e.uncounted = 0
	e.mu.Unlock()
	err := e.mail.Accepted(ctx, last.transport, last.server, n)
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.uncounted += n
	}
	return err
}

// spread returns d, up to a fifth shorter or longer, so that what failed
// together does not come back together.
func (e *Engine) spread(d time.Duration) time.Duration {
	var b [4]byte
	if _, err := e.random.Read(b[:]); err != nil {
		return d
	}
	fifth := int64(d / 5)
	if fifth == 0 {
		return d
	}
	return d - time.Duration(fifth) + time.Duration(int64(binary.BigEndian.Uint32(b[:]))%(2*fifth+1))
}
