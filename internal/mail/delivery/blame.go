package delivery

import (
	"context"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
)

const (
	// maxSuspects is how many letters must be refused in the same way, with
	// none accepted meanwhile, to make a lane sure that it is the server.
	maxSuspects = 3
	// maxBlamed bounds the memory for letters that were blamed.
	maxBlamed = 10000
)

// mayBeTheLetter tells that a refusal which reads as if it were the server's
// may be about this recipient or this content: many servers answer a single
// address that they do not like with "relaying denied".
func (l *lane) mayBeTheLetter(t mail.Transport, c outbox.Claim, failure *smtp.Error) bool {
	switch failure.Stage {
	case smtp.StageRcpt, smtp.StageData, smtp.StageContent:
		// A letter with the sender of earlier settings says nothing about
		// those of now.
		return failure.Kind == smtp.KindReply && !l.engine.isBlamed(c.ID) && c.Sender == senderOf(t).encode()
	}
	return false
}

// judge decides about the suspects. Where a letter was accepted after the first
// refusal it is the letters, else the server.
func (l *lane) judge(ctx context.Context, t mail.Transport) error {
	all := l.suspects
	l.suspects = nil
	if len(all) == 0 {
		return nil
	}
	if l.engine.seen() == all[0].accepted {
		return l.giveUp(ctx, t, all...)
	}
	for _, s := range all {
		l.engine.blame(s.claim.ID)
		out := outcomeOf(s.failure, s.verdict)
		out.State, out.RetryAt = outbox.Deferred, l.engine.retryAt(s.claim, s.verdict)
		if err := l.write(ctx, t, s.claim, out, s.verdict, 0); err != nil {
			return err
		}
	}
	return nil
}

// giveUp pauses the profile and gives the letters back.
func (l *lane) giveUp(ctx context.Context, t mail.Transport, all ...suspect) error {
	e, first := l.engine, all[0]
	e.log.Error("the mail server takes no letters", "server", t.Server(), "row", first.verdict.Row, "err", first.failure)
	// The pause comes first: given back, the letters would be due at once.
	if err := e.pause(ctx, mail.ProblemOf(t, first.verdict, first.failure.Reply())); err != nil {
		return err
	}
	for _, s := range all {
		out := outcomeOf(s.failure, s.verdict)
		out.State = outbox.Queued
		if err := l.write(ctx, t, s.claim, out, s.verdict, 0); err != nil {
			return err
		}
	}
	if n := len(all); first.failure.Stage != smtp.StageMail && n < maxSuspects {
		e.setUnsure(n)
	}
	return nil
}

// seen returns how many letters a server has accepted so far.
func (e *Engine) seen() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.accepted
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
