package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
	// Key is what the letter is signed with, "" for nothing.
	Key string `json:"key,omitempty"`
}

// from is a sender, and as the parts of a message.
type from struct {
	text          string
	from, replyTo message.Address
	key           string
	// ok tells that letters can be sent with it.
	ok bool
}

// senderOf returns who letters come from that leave through t.
func (e *Engine) senderOf(ctx context.Context, t mail.Transport) (from, error) {
	s := sender{Address: t.Profile.SenderAddress, Name: t.Profile.SenderName, ReplyTo: t.Profile.ReplyTo}
	if e.signer != nil {
		key, err := e.signer.Key(ctx, e.slot, s.Address[strings.LastIndexByte(s.Address, '@')+1:])
		if err != nil {
			return from{}, err
		}
		s.Key = key
	}
	// A struct of strings can always be marshalled.
	b, _ := json.Marshal(s)
	f, err := s.parse()
	f.text = string(b)
	if err != nil {
		// Each letter says so.
		return from{text: f.text}, nil
	}
	return f, nil
}

func (s sender) parse() (f from, err error) {
	if f.from, err = message.ParseAddress(s.Address); err != nil {
		return from{}, err
	}
	f.from.Name, f.key, f.ok = s.Name, s.Key, true
	if s.ReplyTo != "" {
		if f.replyTo, err = message.ParseAddress(s.ReplyTo); err != nil {
			return from{}, err
		}
	}
	return f, nil
}

// errUnsigned tells that a letter could not be signed.
var errUnsigned = errors.New("delivery: not signed")

// submission builds the letter. Its bytes are a function of the claim alone: the
// same letter has the same on every attempt.
func (l *lane) submission(ctx context.Context, c outbox.Claim) (smtp.Submission, error) {
	f := l.sender
	if !f.ok || c.Sender != f.text {
		var s sender
		err := json.Unmarshal([]byte(c.Sender), &s)
		if err == nil {
			f, err = s.parse()
		}
		if err != nil {
			return smtp.Submission{}, err
		}
	}
	parts := message.Parts{
		From: f.from, ReplyTo: f.replyTo,
		Subject: c.Subject, Text: c.Content.Text.Reveal(), HTML: c.Content.HTML.Reveal(), MessageID: c.MessageID, Date: c.Date,
	}
	var err error
	if parts.To, err = message.ParseAddress(c.To.Address); err != nil {
		return smtp.Submission{}, err
	}
	parts.To.Name = c.To.Name
	if len(c.Content.Logo) > 0 {
		parts.Inline = []message.Image{{ID: letter.LogoID, Type: c.Content.LogoType, Data: c.Content.Logo}}
	}
	body, err := message.Build(parts)
	if err != nil {
		return smtp.Submission{}, err
	}
	e := l.engine
	if f.key != "" && e.signer != nil {
		if body, err = e.signer.Sign(ctx, f.key, body, c.Date); err != nil {
			return smtp.Submission{}, fmt.Errorf("%w: %w", errUnsigned, err)
		}
	}
	sub := smtp.Submission{
		From: f.from.Spec(), To: []string{parts.To.Spec()}, Body: body,
		AfterContent: afterContent,
	}
	if e.back != nil {
		back := e.back(c.ID, sub.From)
		sub.From, sub.Notify, sub.EnvID = back.From, back.Ask, back.EnvID
	}
	return sub, nil
}

func afterContent() { failpoint.Hit("delivery.after-content") }

const (
	// maxGivenBack is how often a letter is given back because the server wants
	// fewer letters, and othersFirst how long others go first after the rest,
	// should the server mean this one. Then it is put off like any other.
	maxGivenBack = 10
	othersFirst  = 5 * time.Second
)

// refused decides about a letter that was not accepted. goOn tells that further
// ones may begin.
func (tr *trip) refused(c outbox.Claim, r smtp.Result) (goOn bool, err error) {
	l, t, ctx := tr.lane, tr.t, tr.books
	e, failure := l.engine, r.Err
	tr.mu.Lock()
	first := tr.broke == nil
	turnedAway := tr.broke != nil && tr.broke.Code == goingAway
	tr.mu.Unlock()
	// What ends a connection is one trouble, however many letters were on it.
	first = first || !ends(failure)
	v := e.decide(t, failure, first)
	if ends(failure) {
		tr.broken(failure, false, false)
	}
	out := outcomeOf(failure, v)
	out.RetryAt = e.retryAt(c, v)
	slowed := throttles(t, v, failure)
	if slowed || ends(failure) && first && failure.Kind != smtp.KindCancelled {
		e.crowd.failed()
	}
	switch {
	case failure.Uncertain:
		tr.count(0, 1)
		out.State = outbox.Uncertain
		if turnedAway && c.Tries < fewCopies {
			// The server said that it goes before it came to this one: it is
			// flagged, but need not wait.
			out.RetryAt = time.Time{}
		}
		if c.MaybeSent && c.Tries >= fewCopies {
			out.RetryAt = e.now().Add(max(longUncertain, v.After))
		}
		out.Advice = "The server may have taken the letter: its answer was lost. It is tried again with the same Message-ID. " + out.Advice
	case failure.Kind == smtp.KindCancelled:
		out.State, out.RetryAt = outbox.Queued, time.Time{}
	case v.Act == verdict.Fail:
		out.State = outbox.Failed
	case v.Act == verdict.Pause && v.Patience > 0:
		tr.troubled = true
		return false, l.giveUp(ctx, t, doubt{}, suspect{claim: c, verdict: v, failure: failure})
	case v.Act == verdict.Pause && !v.Known && l.mayBeTheLetter(c, failure):
		l.suspects = append(l.suspects, suspect{c, v, failure, e.suspects()})
		return !e.sure(), nil
	case v.Act == verdict.Pause && !e.isBlamed(c.ID) && c.Sender == l.sender.text:
		tr.troubled = true
		return false, l.giveUp(ctx, t, doubt{}, suspect{claim: c, verdict: v, failure: failure})
	case slowed && c.GivenBack < maxGivenBack:
		out.State, out.RetryAt = outbox.Queued, e.now().Add(othersFirst)
	default:
		out.State = outbox.Deferred
	}
	if out.State != outbox.Failed {
		tr.troubled = true
	}
	if slowed && first {
		// The rest comes first: given back, the letter would be due at once.
		err = e.troubled(ctx, t, v, failure)
	}
	if slowed {
		out.RetryAt = e.inTime(c, out.RetryAt.Add(e.rest()))
	}
	l.write(ctx, t, c, out, v, r.Took)
	if err == nil && v.Act == verdict.Retry && failure.Kind != smtp.KindCancelled && !slowed && first {
		err = e.putOff(ctx, t, v, failure)
	}
	return err == nil && !ends(failure) && !e.resting(t.Profile.Revision), err
}

func outcomeOf(failure *smtp.Error, v verdict.Verdict) outbox.Outcome {
	return outbox.Outcome{
		Stage: string(failure.Stage), Code: failure.Code, Enhanced: failure.Enhanced, Reply: failure.Reply(),
		Advice: strings.TrimSpace(v.Meaning + " " + v.Mend),
	}
}

// write records an outcome, and tells who observes once it is on disk.
func (l *lane) write(ctx context.Context, t mail.Transport, c outbox.Claim, out outbox.Outcome, v verdict.Verdict, took time.Duration) {
	e := l.engine
	out.ID, out.Attempt, out.Server, out.Slot = c.ID, c.Attempt, t.Server(), e.slot
	event := Event{
		What: "letter", Slot: e.slot, Result: string(out.State), Kind: c.Kind, Class: c.Class, Row: v.Row, Took: took,
		Attempt: c.Tries + 1, Trace: c.Trace,
	}
	if out.State == outbox.Accepted {
		event.Waited = e.now().Sub(c.Date)
	}
	failpoint.Hit("delivery.before-record")
	e.recorder.put(ctx, entry{out, func() {
		failpoint.Hit("delivery.after-record")
		e.keeper.let(c)
		if out.State.Final() {
			e.forgive(c.ID)
		}
		e.tellOf(ctx, c, out, event)
		e.observe(event)
	}})
}

// tellOf writes a line of the log for a letter.
func (e *Engine) tellOf(ctx context.Context, c outbox.Claim, out outbox.Outcome, event Event) {
	level, what := slog.LevelInfo, "a letter was not accepted"
	if out.State == outbox.Accepted {
		level, what = slog.LevelDebug, "a letter was accepted"
	}
	if !e.log.Enabled(ctx, level) {
		return
	}
	e.log.LogAttrs(ctx, level, what, slog.String("state", string(out.State)), slog.String("letter", c.ID), slog.String("kind", c.Kind),
		slog.String("message_id", c.MessageID), slog.String("trace", c.Trace), slog.Int("attempt", event.Attempt),
		slog.String("server", out.Server), slog.String("row", event.Row), slog.String("queue_id", out.QueueID), slog.String("reply", out.Reply),
		slog.Duration("took", event.Took))
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
