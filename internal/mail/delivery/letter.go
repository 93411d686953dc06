package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/failpoint"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

// sender is who a letter comes from, as the outbox keeps it for letters that
// may have been sent already.
type sender struct {
	Address string `json:"address"`
	Name    string `json:"name"`
	ReplyTo string `json:"reply_to"`
}

func senderOf(t mail.Transport) sender {
	return sender{t.Profile.SenderAddress, t.Profile.SenderName, t.Profile.ReplyTo}
}

func (s sender) encode() string {
	// A struct of strings can always be marshalled.
	b, _ := json.Marshal(s)
	return string(b)
}

// submission builds the letter. It is a function of the claim alone: the same
// letter has the same bytes on every attempt.
func submission(c outbox.Claim) (smtp.Submission, error) {
	var s sender
	if err := json.Unmarshal([]byte(c.Sender), &s); err != nil {
		return smtp.Submission{}, err
	}
	parts := message.Parts{
		Subject: c.Subject, Text: c.Content.Text.Reveal(), HTML: c.Content.HTML.Reveal(), MessageID: c.MessageID, Date: c.Date,
	}
	var err error
	if parts.From, err = message.ParseAddress(s.Address); err != nil {
		return smtp.Submission{}, err
	}
	parts.From.Name = s.Name
	if s.ReplyTo != "" {
		if parts.ReplyTo, err = message.ParseAddress(s.ReplyTo); err != nil {
			return smtp.Submission{}, err
		}
	}
	if parts.To, err = message.ParseAddress(c.To.Address); err != nil {
		return smtp.Submission{}, err
	}
	parts.To.Name = c.To.Name
	if len(c.Content.Logo) > 0 {
		parts.Inline = []message.Image{{ID: letter.LogoID, Type: c.Content.LogoType, Data: c.Content.Logo}}
	}
	body, err := message.Build(parts)
	return smtp.Submission{
		From: parts.From.Spec(), To: []string{parts.To.Spec()}, Body: body,
		BeforeContent: func() { failpoint.Hit("delivery.before-content") },
		AfterContent:  func() { failpoint.Hit("delivery.after-content") },
	}, err
}

// deliver sends one letter, as long as send does not end, and writes down what
// came of it. goOn tells that the next one can be tried.
func (l *lane) deliver(ctx, send context.Context, t mail.Transport, c outbox.Claim) (goOn bool, err error) {
	e := l.engine
	e.alive()
	sub, err := submission(c)
	if err != nil {
		const advice = "The letter cannot be sent like this. Check the name and the address of sender and recipient."
		e.log.Error("a letter cannot be built", "letter", c.ID, "kind", c.Kind, "err", err)
		return true, l.write(ctx, t, c, outbox.Outcome{State: outbox.Failed, Advice: advice}, verdict.Verdict{Row: "build"}, 0)
	}
	l.begun++
	result := l.send(send, sub)
	if fresh, retry, err := l.refresh(send, t, result.Err); retry {
		if !fresh || err != nil {
			l.begun--
			return false, errors.Join(err, e.giveBack(ctx, t, []outbox.Claim{c}))
		}
		result = l.send(send, sub)
	}
	l.took = result.Took
	l.letters++
	if result.Err == nil {
		l.counted++
		out := outbox.Outcome{
			State: outbox.Accepted, Stage: string(smtp.StageContent), Code: result.Reply.Code, Enhanced: result.Reply.Enhanced,
			Reply: result.Reply.String(), QueueID: result.QueueID, Advice: "The mail server accepted it.",
		}
		if err := l.write(ctx, t, c, out, verdict.Verdict{}, result.Took); err != nil {
			return false, err
		}
		return true, e.tookLetter(ctx, t, l.conn.Certificate())
	}
	return l.refused(ctx, t, c, result)
}

// send hands one letter to the connection.
func (l *lane) send(ctx context.Context, sub smtp.Submission) smtp.Result {
	var result smtp.Result
	err := l.conn.Send(ctx, smtp.Each(sub), func(_ int, r smtp.Result) { result = r })
	if result.Err == nil && err != nil {
		result.Err = asError(err)
	}
	return result
}

// refresh replaces a connection that a server has closed between two letters,
// as many do after a number of them, and one whose token was refused with a
// letter. retry tells that this happened, fresh that there is a new connection.
func (l *lane) refresh(ctx context.Context, t mail.Transport, failure *smtp.Error) (fresh, retry bool, err error) {
	if failure == nil || ctx.Err() != nil {
		return false, false, nil
	}
	if refusesToken(failure) {
		return l.renew(ctx, t)
	}
	closed := failure.Stage == smtp.StageMail && (failure.Kind == smtp.KindNetwork || failure.Code == goingAway)
	if l.letters == 0 || !closed || throttles(t, verdict.Verdict{Act: verdict.Retry}, failure) {
		return false, false, nil
	}
	l.drop()
	return l.dialOnce(ctx, t) == nil, true, nil
}

// renew connects with another token, where another one is worth a try.
func (l *lane) renew(ctx context.Context, t mail.Transport) (fresh, retry bool, err error) {
	e := l.engine
	if again, err := e.mail.TokenRefused(ctx, t); err != nil || !again {
		return false, err != nil, err
	}
	next, ok, err := e.open(ctx)
	if err != nil || !ok || next.Profile.ID != t.Profile.ID || next.Profile.Revision != t.Profile.Revision {
		return false, true, err
	}
	l.drop()
	return l.dialOnce(ctx, next) == nil, true, nil
}

const (
	// maxGivenBack is how often a letter is given back because the server wants
	// fewer letters, and othersFirst how long others go first after the rest,
	// should the server mean this one. Then it is put off like any other.
	maxGivenBack = 10
	othersFirst  = 5 * time.Second
)

// refused decides about a letter that was not accepted.
func (l *lane) refused(ctx context.Context, t mail.Transport, c outbox.Claim, r smtp.Result) (goOn bool, err error) {
	e, failure := l.engine, r.Err
	v := e.decide(t, failure)
	out := outcomeOf(failure, v)
	out.RetryAt = e.retryAt(c, v)
	alive := l.conn.Usable()
	slowed := throttles(t, v, failure)
	switch {
	case failure.Uncertain:
		l.counted++
		out.State = outbox.Uncertain
		if c.MaybeSent && c.Tries >= fewCopies {
			out.RetryAt = e.now().Add(max(longUncertain, v.After))
		}
		out.Advice = "The server may have taken the letter: its answer was lost. It is tried again with the same Message-ID. " + out.Advice
	case failure.Kind == smtp.KindCancelled:
		out.State, out.RetryAt = outbox.Queued, time.Time{}
	case v.Act == verdict.Fail:
		out.State = outbox.Failed
	case v.Act == verdict.Pause && v.Patience > 0:
		return false, l.giveUp(ctx, t, doubt{}, suspect{claim: c, verdict: v, failure: failure})
	case v.Act == verdict.Pause && !v.Known && l.mayBeTheLetter(t, c, failure):
		l.suspects = append(l.suspects, suspect{c, v, failure, e.suspects()})
		return alive && !e.sure(), nil
	case v.Act == verdict.Pause && !e.isBlamed(c.ID) && c.Sender == senderOf(t).encode():
		return false, l.giveUp(ctx, t, doubt{}, suspect{claim: c, verdict: v, failure: failure})
	case slowed && c.GivenBack < maxGivenBack:
		out.State, out.RetryAt = outbox.Queued, e.now().Add(othersFirst)
	default:
		out.State = outbox.Deferred
	}
	if slowed {
		// The rest comes first: given back, the letter would be due at once.
		err = e.troubled(ctx, t, v, failure)
		out.RetryAt = e.inTime(c, out.RetryAt.Add(e.rest()))
	}
	if err := errors.Join(err, l.write(ctx, t, c, out, v, r.Took)); err != nil {
		return false, err
	}
	if v.Act == verdict.Retry && failure.Kind != smtp.KindCancelled && !slowed {
		err = e.putOff(ctx, t, v, failure)
	}
	return alive && !e.resting(t.Profile.Revision), err
}

func outcomeOf(failure *smtp.Error, v verdict.Verdict) outbox.Outcome {
	return outbox.Outcome{
		Stage: string(failure.Stage), Code: failure.Code, Enhanced: failure.Enhanced, Reply: failure.Reply(),
		Advice: strings.TrimSpace(v.Meaning + " " + v.Mend),
	}
}

// write records an outcome and tells who observes.
func (l *lane) write(ctx context.Context, t mail.Transport, c outbox.Claim, out outbox.Outcome, v verdict.Verdict, took time.Duration) error {
	e := l.engine
	out.ID, out.Attempt, out.Server = c.ID, c.Attempt, t.Server()
	failpoint.Hit("delivery.before-record")
	if err := e.record(ctx, out); err != nil {
		return err
	}
	failpoint.Hit("delivery.after-record")
	event := Event{What: "letter", Result: string(out.State), Kind: c.Kind, Row: v.Row, Took: took}
	if out.State == outbox.Accepted {
		event.Waited = e.now().Sub(c.Date)
	}
	if out.State.Final() {
		e.forgive(c.ID)
	}
	e.observe(event)
	return nil
}

// retryDelays are the waits after the first, second, ... attempt that counts;
// the last one repeats.
func retryDelays() []time.Duration {
	const m = time.Minute
	return []time.Duration{m, 2 * m, 5 * m, 10 * m, 15 * m, 30 * m, 60 * m}
}

const (
	// fewCopies is after how many attempts whose answer was lost a letter
	// waits for longUncertain: each further one may be one more copy in
	// somebody's mailbox.
	fewCopies     = 3
	longUncertain = 6 * time.Hour
)

// lastTry is how long before its end a letter is tried once more where the
// usual wait would be too long.
const lastTry = 30 * time.Second

// retryAt is when a letter is due again after an attempt that failed now.
func (e *Engine) retryAt(c outbox.Claim, v verdict.Verdict) time.Time {
	delays := retryDelays()
	now := e.now()
	return e.inTime(c, now.Add(max(e.spread(delays[min(c.Tries, len(delays)-1)]), v.After)))
}

// inTime returns a time for the next attempt at which the letter is still worth
// something, where there is one.
func (e *Engine) inTime(c outbox.Claim, at time.Time) time.Time {
	if last := c.Expires.Add(-lastTry); at.After(last) && last.After(e.now().Add(retryDelays()[0])) {
		return last
	}
	return at
}
