package delivery

import (
	"context"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

const (
	// maxSuspects is how many letters must be refused in the same way, with
	// none accepted meanwhile, to be sure that it is the server.
	maxSuspects = 3
	// evidence is how long a letter that was accepted speaks for the server.
	evidence = 10 * time.Minute
	// maxBlamed bounds the memory for letters that were blamed.
	maxBlamed = 10000
)

// suspect is a letter whose refusal may be about it or about everything.
type suspect struct {
	claim   outbox.Claim
	verdict verdict.Verdict
	failure *smtp.Error
	// accepted is what Engine.accepted was.
	accepted int64
}

// doubt is left by a pause that rests on a few letters.
type doubt struct {
	// letters is how many; 0 means that there is no doubt.
	letters int
	// accepted is what Engine.accepted was.
	accepted int64
}

// mayBeTheLetter tells that a refusal which reads as if it were the server's
// may be about this recipient or this content: many servers answer a single
// address that they do not like with "relaying denied".
func (l *lane) mayBeTheLetter(c outbox.Claim, failure *smtp.Error) bool {
	switch failure.Stage {
	case smtp.StageRcpt, smtp.StageData, smtp.StageContent:
		// A letter with the sender of earlier settings says nothing about
		// those of now.
		return failure.Kind == smtp.KindReply && !l.engine.isBlamed(c.ID) && c.Sender == l.sender.text
	}
	return false
}

// judge decides about the suspects, and tells whether mail was paused for them.
// Where another letter was accepted after the first refusal, or not long before
// and the refusals are few, it is the letters, else the server.
func (l *lane) judge(ctx context.Context, t mail.Transport) (paused bool, err error) {
	all := l.suspects
	l.suspects = nil
	if len(all) == 0 {
		return false, nil
	}
	if !l.engine.othersPass(t.Profile, all[0].accepted) {
		return true, l.giveUp(ctx, t, l.engine.doubts(all[0].accepted), all...)
	}
	for _, s := range all {
		l.engine.blame(s.claim.ID)
		out := outcomeOf(s.failure, s.verdict)
		out.State, out.RetryAt = outbox.Deferred, l.engine.retryAt(s.claim, s.verdict)
		l.write(ctx, t, s.claim, out, s.verdict, 0)
	}
	return false, nil
}

// giveUp pauses the profile and gives the letters back. d is the doubt that is
// left.
func (l *lane) giveUp(ctx context.Context, t mail.Transport, d doubt, all ...suspect) error {
	e, first := l.engine, all[0]
	e.log.Error("the mail server takes no letters", "server", t.Server(), "row", first.verdict.Row, "err", first.failure)
	// The pause comes first: given back, the letters would be due at once.
	err := e.pause(ctx, mail.ProblemOf(t, first.verdict, first.failure.Reply()))
	if err == nil {
		e.setDoubt(d)
	}
	l.batch = 1
	for _, s := range all {
		out := outcomeOf(s.failure, s.verdict)
		out.State = outbox.Queued
		l.write(ctx, t, s.claim, out, s.verdict, 0)
	}
	return err
}

// suspects counts one more letter that was refused as if nothing could be
// sent, and returns how many were accepted so far.
func (e *Engine) suspects() (accepted int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refused++
	return e.accepted
}

// sure tells that enough letters were refused to know that it is the server.
func (e *Engine) sure() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.refused >= maxSuspects
}

// inDoubt tells that a further letter could show whether it is the suspects or
// the server.
func (e *Engine) inDoubt(all []suspect) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(all) > 0 && e.refused < maxSuspects && e.accepted == all[0].accepted
}

// doubts returns the doubt that is left when a pause is made now.
func (e *Engine) doubts(accepted int64) doubt {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refused >= maxSuspects {
		return doubt{}
	}
	return doubt{max(e.refused, 1), accepted}
}

func (e *Engine) setDoubt(d doubt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doubt = d
}

// othersPass tells that the server takes letters with these settings: one since
// there were so many accepted, or one lately while there is doubt.
func (e *Engine) othersPass(p mail.Profile, accepted int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := p.LastAccepted
	if e.tookAt.After(last) {
		last = e.tookAt
	}
	lately := !last.IsZero() && !last.Before(p.ChangedAt) && e.now().Sub(last) < evidence
	return e.accepted > accepted || lately && e.refused < maxSuspects
}

// newWitness tells that a pause rests on few letters and that others came, or
// passed, since: they can show whether it is the letters or the server.
func (e *Engine) newWitness(due int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.doubt.letters > 0 && (due > e.doubt.letters || e.accepted > e.doubt.accepted)
}

func (e *Engine) blame(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.blamed) >= maxBlamed {
		clear(e.blamed)
	}
	e.blamed[id] = true
}

func (e *Engine) forgive(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.blamed, id)
}

func (e *Engine) isBlamed(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.blamed[id]
}
