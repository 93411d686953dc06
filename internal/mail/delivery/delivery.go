package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

// Config is what an engine needs.
type Config struct {
	// Mail is the service of the slot.
	Mail *mail.Service
	// Slot is whose server letters leave through; Main where it is "".
	Slot   outbox.Slot
	Outbox *outbox.Outbox
	Table  *verdict.Table
	Pace   *pace.Keeper
	// Connections is how many this engine has open at the same time at most.
	// Where it is 0, that is what the profile allows all nodes together, and 2
	// where it allows any number.
	Connections int
	// Lease is how long a letter belongs to a process that does not renew it
	// any more; 2 minutes where it is 0.
	Lease time.Duration
	// Grace is how long letters in flight may take to end after a stop; 20
	// seconds where it is 0.
	Grace time.Duration
	// Poll is how often a lane without work looks for some while another is
	// busy; 1 second where it is 0.
	Poll time.Duration
	// Return names the envelope sender of a letter whose sender is from, and
	// tells whether the server is asked to report what becomes of it. Nil is
	// from, and not asked.
	Return func(letterID, from string) Return
	// Signer signs letters. Nil signs none.
	Signer Signer
	// Observe, if not nil, is told of what happens, for metrics. It is called
	// by several goroutines.
	Observe func(Event)
	// Now is the clock for waits. Nil means time.Now.
	Now func() time.Time
	// Random spreads waits. Nil means crypto/rand.
	Random io.Reader
	Log    *slog.Logger
}

// Return is where reports about a letter go.
type Return struct {
	// From is the envelope sender.
	From string
	// Ask tells that the server is asked for reports (RFC 3461), EnvID by what
	// they name the letter; "" for nothing.
	Ask   bool
	EnvID string
}

// Signer signs letters (RFC 6376). It is safe for use by several goroutines.
type Signer interface {
	// Key names the key that letters of a sender's domain are signed with now
	// when they leave through the server of slot; "" is none.
	Key(ctx context.Context, slot outbox.Slot, domain string) (keyID string, err error)
	// Sign returns the message with its signature in front. At the same time
	// the same message gets the same signature.
	Sign(ctx context.Context, keyID string, message []byte, at time.Time) ([]byte, error)
}

// Event is something that delivery did.
type Event struct {
	// What is "letter", "connection" or "probe", Slot through whose server.
	What string
	Slot outbox.Slot
	// Result is the letter's new state, or "ok" or "failed".
	Result string
	// Kind is the kind of the letter, Class its place in line, Attempt the number
	// of the try among those that count, from 1, and Trace what caused it.
	Kind    string
	Class   letter.Class
	Attempt int
	Trace   string
	// Row is the row of the table of replies that a failure fell to, or "".
	Row string
	// Took is the time of sending, from its first command to the server's last
	// reply, or of connecting.
	Took time.Duration
	// Waited is how long after it was added a letter was accepted.
	Waited time.Duration
}

// Engine delivers. Its Run is called by one goroutine at a time.
type Engine struct {
	mail   *mail.Service
	slot   outbox.Slot
	outbox *outbox.Outbox
	table  *verdict.Table
	lease  time.Duration
	grace  time.Duration
	// lastWords is the constant, but for tests.
	lastWords time.Duration
	poll      time.Duration
	observe   func(Event)
	now       func() time.Time
	random    io.Reader
	log       *slog.Logger
	pace      *pace.Keeper
	// most is how many lanes there are at most; 0 leaves it to the profile.
	most  int
	lanes []*lane

	back     func(letterID, from string) Return
	signer   Signer
	crowd    crowd
	keeper   *keeper
	recorder *recorder
	habit    habit
	// active is the profile that was found last while letters leave.
	active atomic.Pointer[active]

	mu sync.Mutex
	// sign is when the engine last showed that it lives.
	sign     time.Time
	reach    reach
	repeated repeated
	// paced is until when the pace lets no letter leave.
	paced standstill
	// accepted counts letters that a server took, the last of them at tookAt;
	// noted is when that was last written to the profile.
	accepted      int64
	tookAt, noted time.Time
	// uncounted are recipients that nobody has counted yet; last is what the
	// last of them was sent with.
	uncounted int
	last      sent
	// refused counts letters refused since as if nothing could be sent.
	refused int
	doubt   doubt
	// blamed are letters that were refused so while others passed.
	blamed map[string]bool
}

// New returns an engine that has not begun.
func New(c Config) (*Engine, error) {
	if c.Mail == nil || c.Outbox == nil || c.Table == nil || c.Pace == nil {
		return nil, errors.New("delivery: mail, an outbox, the table of replies and the pace are needed")
	}
	if c.Slot == "" {
		c.Slot = outbox.Main
	}
	e := &Engine{
		mail: c.Mail, slot: c.Slot, outbox: c.Outbox, table: c.Table, pace: c.Pace, most: c.Connections, observe: c.Observe, now: c.Now, random: c.Random, log: c.Log,
		lease: orDefault(c.Lease, 2*time.Minute), grace: orDefault(c.Grace, 20*time.Second), poll: orDefault(c.Poll, time.Second),
		lastWords: lastWords, blamed: map[string]bool{}, back: c.Return, signer: c.Signer, keeper: newKeeper(), recorder: newRecorder(c.Outbox),
	}
	if e.observe == nil {
		e.observe = func(Event) {}
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.random == nil {
		e.random = rand.Reader
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	e.sign = e.now()
	return e, nil
}

func orDefault(d, usual time.Duration) time.Duration {
	if d <= 0 {
		return usual
	}
	return d
}

// Run takes one turn: it probes a paused server when that is due, or delivers
// what is due. more asks for another turn at once. When ctx ends, letters in
// flight are finished within the grace and the rest are given back.
func (e *Engine) Run(ctx context.Context) (more bool, err error) {
	e.alive()
	e.recorder.calm()
	if err := e.recorder.flush(ctx); err != nil {
		return false, err
	}
	standing, err := e.mail.Standing(ctx)
	if err != nil {
		return false, err
	}
	due, open, err := e.outbox.Due(ctx, e.slot)
	if err != nil {
		return false, err
	}
	revision := standing.Profile.Revision
	witness := standing.Set && standing.Profile.State == mail.Paused && e.newWitness(due)
	switch {
	case (standing.Probe || witness) && !e.resting(revision):
		return e.probe(ctx, !standing.Probe, due > 0)
	case !standing.Send || !open || due == 0 || e.resting(revision) || e.waits(revision):
		e.idle(ctx, standing.Send)
		return false, errors.Join(e.relieve(ctx, standing.Profile, due), e.settle(ctx))
	}
	return e.shift(ctx, e.crew(ctx, standing.Profile), due)
}

// Wait returns how long it is until the pace lets a letter leave that waits for
// it, and 0 where none does. A loop that comes back then, rather than at its
// usual time, makes letters leave evenly; their number is the same.
func (e *Engine) Wait() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(e.paced.until.Sub(e.now()), 0)
}

// LastSign returns when the engine last showed that it is alive and at work.
func (e *Engine) LastSign() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sign
}

func (e *Engine) alive() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sign = e.now()
}

// Close writes what could not be written before and takes leave of the server.
// Call it when Run is not called any more. It takes no longer than some seconds,
// whoever does not answer.
func (e *Engine) Close(ctx context.Context) error {
	books, cancel := context.WithTimeout(ctx, e.lastWords)
	defer cancel()
	err := errors.Join(e.recorder.flush(books), e.settle(books))
	var all sync.WaitGroup
	for _, l := range e.lanes {
		all.Go(func() { l.hangUp(ctx) })
	}
	all.Wait()
	return err
}

// idle ends connections that nobody should use again, and keeps the others'
// places.
func (e *Engine) idle(ctx context.Context, keep bool) {
	for _, l := range e.lanes {
		if !keep {
			l.hangUp(ctx)
		}
		l.upkeep(ctx)
	}
}

// probe connects to a paused server and lets letters leave again when that
// works. The connection is kept for them. A probe for a witness looks at a
// further letter alone: what was refused before still counts. Waiting tells that
// there are letters which show whether the server takes them too.
func (e *Engine) probe(ctx context.Context, witness, waiting bool) (more bool, err error) {
	e.mu.Lock()
	e.doubt = doubt{}
	if !witness {
		e.refused = 0
	}
	e.mu.Unlock()
	t, ok, err := e.open(ctx)
	if err != nil || !ok {
		return false, err
	}
	l := e.crew(ctx, t.Profile)[0]
	l.hangUp(ctx)
	if ok, err := l.hold(ctx, t); err != nil || !ok {
		return false, err
	}
	began := e.now()
	t, failure, problem := l.dial(ctx, t)
	if failure == nil && problem == nil {
		e.observe(Event{What: "probe", Slot: e.slot, Result: "ok", Took: e.now().Sub(began)})
		e.reached()
		return true, e.mail.Probed(ctx, t, l.conn.Certificate(), waiting)
	}
	l.hangUp(ctx)
	if ctx.Err() != nil {
		return false, nil
	}
	if problem != nil {
		e.observe(Event{What: "probe", Slot: e.slot, Result: "failed", Row: problem.Row, Took: e.now().Sub(began)})
		return false, e.met(ctx, t.Profile, *problem)
	}
	v := e.table.DecideFrom(failure, t.Profile.Provider())
	e.observe(Event{What: "probe", Slot: e.slot, Result: "failed", Row: v.Row, Took: e.now().Sub(began)})
	return false, e.pause(ctx, mail.ProblemOf(t, v, failure.Reply()))
}

// open returns a transport, and false where there is none now; a problem of
// the profile is dealt with.
func (e *Engine) open(ctx context.Context) (mail.Transport, bool, error) {
	t, err := e.mail.Open(ctx)
	var problem *mail.Problem
	switch {
	case err == nil:
		return t, true, nil
	case errors.As(err, &problem):
		return t, false, e.met(ctx, t.Profile, *problem)
	case fault.Is(err, fault.KindNotFound):
		return t, false, nil
	}
	return t, false, err
}

// graceful returns a context for letters that outlives ctx by the grace, and one
// for the books that outlives that by lastWords.
func (e *Engine) graceful(ctx context.Context) (send, books context.Context, cancel context.CancelFunc) {
	send, endSend := context.WithCancel(context.WithoutCancel(ctx))
	books, endBooks := context.WithCancel(context.WithoutCancel(ctx))
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		first := time.AfterFunc(e.grace, endSend)
		last := time.AfterFunc(e.grace+e.lastWords, func() {
			endBooks()
			e.recorder.hurry()
		})
		<-over
		first.Stop()
		last.Stop()
	})
	return send, books, func() { stop(); close(over); endSend(); endBooks() }
}

// asError returns the facts of a failure of package smtp.
func asError(err error) *smtp.Error {
	var e *smtp.Error
	if errors.As(err, &e) {
		return e
	}
	return &smtp.Error{Stage: smtp.StageConnect, Kind: smtp.KindNetwork, Err: err}
}
