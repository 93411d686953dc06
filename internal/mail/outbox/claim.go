package outbox

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/store"
)

// Claim is a letter that its holder may try to send until the lease ends.
type Claim struct {
	ID        string
	Kind      string
	MessageID string
	Class     letter.Class
	// Attempt numbers the tries from 1; the outcome must name it.
	Attempt int64
	// Tries counts the earlier attempts that count against the letter: those
	// whose outcome was not to give it back.
	Tries   int
	To      Recipient
	Subject string
	// Content holds text, HTML and logo.
	Content letter.Content
	// Date stands in the message: when the letter was added.
	Date time.Time
	// Expires is when the letter is no longer worth sending.
	Expires time.Time
	// MaybeSent tells that an earlier attempt may have got the content to a
	// server.
	MaybeSent bool
	// Sender is what the claimer offered, or what an earlier attempt that may
	// have sent the content used.
	Sender string
}

// Claim takes up to n letters that are due, the most urgent and oldest first,
// for the time of lease. The attempt is on disk when it returns. sender is
// remembered with letters that have none yet; it is the claimer's own form of
// "who it comes from". Only letters that may leave through the server of slot
// are claimed: see [Gate].
func (o *Outbox) Claim(ctx context.Context, slot Slot, n int, lease time.Duration, sender string) ([]Claim, error) {
	var claims []Claim
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		claims = nil
		routes, err := o.routes(tx, slot)
		if err != nil || len(routes) == 0 {
			return err
		}
		due, err := store.All(tx, scanStored, dueQuery(tx, routes, n), store.Micros(tx.Now()))
		if err != nil {
			return err
		}
		for _, s := range due {
			c, err := o.claimOne(tx, s, lease, sender)
			if err != nil {
				return err
			}
			if c != nil {
				claims = append(claims, *c)
			}
		}
		return nil
	})
	return claims, err
}

// inQueue is the condition of the indexes of the queue, word for word.
const inQueue = `ended_at = 0`

// isDue is the condition of letters that can be claimed at $1.
const isDue = inQueue + ` AND (state IN ('queued', 'deferred', 'uncertain') AND not_before <= $1 OR state = 'sending' AND lease_until <= $1)
	AND expires_at > $1`

// dueQuery finds the n letters of routes to claim first at $1. Each route is
// walked in the order of the index; of two, the first of both are taken.
func dueQuery(tx *store.Tx, routes []Slot, n int) string {
	const order = ` ORDER BY class, added_at, id LIMIT `
	limit := strconv.Itoa(n)
	arms := make([]string, len(routes))
	for i, r := range routes {
		arms[i] = `SELECT ` + storedColumns + ` FROM outbox_letter WHERE route = '` + string(r) + `' AND ` + isDue + order + limit + tx.SkipLocked()
	}
	if len(arms) == 1 {
		return arms[0]
	}
	const pick = `SELECT ` + storedColumns + ` FROM (`
	return pick + pick + strings.Join(arms, `) AS own UNION ALL `+pick) + `) AS covered) AS both_routes` + order + limit
}

func (o *Outbox) claimOne(tx *store.Tx, s stored, lease time.Duration, sender string) (*Claim, error) {
	content, err := o.open(tx, s.id, s.sealed)
	if err != nil {
		if !isSealed(err) {
			return nil, err
		}
		// One damaged letter must not stop all others.
		const why = "The letter's content was changed in the database and cannot be opened."
		if err := finish(tx, s.id, Failed, why, true); err != nil {
			return nil, err
		}
		return nil, o.lost(tx, s.id, "letter.failed", why, "")
	}
	// A lease that ran out belonged to a process that died or hung: what it
	// did last is not known.
	maybe := s.maybeSent || s.state == Sending
	if s.sender == "" || !maybe {
		s.sender = sender
	}
	if err := closeAttempt(tx, s.id); err != nil {
		return nil, err
	}
	tries, err := countTries(tx, s)
	if err != nil {
		return nil, err
	}
	now := tx.Now()
	_, err = tx.Exec(`UPDATE outbox_letter SET state = 'sending', attempt = $1, lease_until = $2, sender = $3, maybe_sent = $4, changed_at = $5 WHERE id = $6`,
		s.attempt+1, store.Micros(now.Add(lease)), s.sender, maybe, store.Micros(now), s.id)
	if err != nil {
		return nil, err
	}
	if err := insertAttempt(tx, s.id, s.attempt+1, now); err != nil {
		return nil, err
	}
	c := Claim{
		ID: s.id, Kind: s.kind, MessageID: s.messageID, Class: s.class, Attempt: s.attempt + 1, Tries: tries,
		To: s.to, Subject: s.subject, Date: s.added, Expires: s.expires, MaybeSent: maybe, Sender: s.sender,
		Content: contentOf(s, content).StandingFor(s.merged),
	}
	return &c, nil
}

func insertAttempt(tx *store.Tx, id string, attempt int64, began time.Time) error {
	_, err := tx.Exec(`INSERT INTO outbox_attempt (letter_id, attempt, began_at, ended_at, state, stage, code, enhanced, reply, advice, server)
		VALUES ($1, $2, $3, 0, 'sending', '', 0, '', '', '', '')`, id, attempt, store.Micros(began))
	return err
}

// countTries returns how many earlier attempts count against a letter.
func countTries(tx *store.Tx, s stored) (int, error) {
	if s.attempt == 0 {
		return 0, nil
	}
	return store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM outbox_attempt WHERE letter_id = $1 AND state <> 'queued'`, s.id)
}

// closeAttempt ends the attempt of a lease that ran out, if there is one.
func closeAttempt(tx *store.Tx, id string) error {
	_, err := tx.Exec(`UPDATE outbox_attempt SET state = 'uncertain', ended_at = $1, advice = $2 WHERE letter_id = $3 AND ended_at = 0`,
		store.Micros(tx.Now()), "The server that tried stopped before it could say what came of it.", id)
	return err
}

// Renew extends the leases of claims that are still in work.
func (o *Outbox) Renew(ctx context.Context, claims []Claim, lease time.Duration) error {
	return o.db.Update(ctx, func(tx *store.Tx) error {
		for _, c := range claims {
			_, err := tx.Exec(`UPDATE outbox_letter SET lease_until = $1 WHERE id = $2 AND attempt = $3 AND state = 'sending'`,
				store.Micros(tx.Now().Add(lease)), c.ID, c.Attempt)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Outcome is what came of an attempt.
type Outcome struct {
	ID      string
	Attempt int64
	// State is Accepted, Deferred, Uncertain or Failed. Queued gives the
	// letter back without counting the attempt against it.
	State State
	// RetryAt is when a deferred or uncertain letter is due again.
	RetryAt time.Time
	// Stage, Code, Enhanced and Reply are what the server said, where.
	Stage    string
	Code     int
	Enhanced string
	Reply    string
	// Advice is what it means, for a person.
	Advice string
	// QueueID is the id under which the server accepted the letter.
	QueueID string
	// Server is "host:port".
	Server string
}

// Record stores outcomes in one transaction. An outcome whose attempt is not
// the letter's current one is dropped: somebody else took over. A letter that
// failed is audited.
func (o *Outbox) Record(ctx context.Context, outcomes ...Outcome) error {
	return o.db.Update(ctx, func(tx *store.Tx) error {
		var failed []Outcome
		for _, out := range outcomes {
			state, err := record(tx, out)
			if err != nil {
				return err
			}
			if state == Failed {
				failed = append(failed, out)
			}
		}
		for _, out := range failed {
			if err := o.lost(tx, out.ID, "letter.failed", out.Advice, out.Reply); err != nil {
				return err
			}
		}
		return nil
	})
}

// lost audits that a letter will not arrive.
func (o *Outbox) lost(tx *store.Tx, id, action, why, reply string) error {
	type names struct{ kind, to, trace string }
	n, err := store.One(tx, func(r store.Row) (n names, err error) { return n, r.Scan(&n.kind, &n.to, &n.trace) },
		`SELECT kind, to_address, trace FROM outbox_letter WHERE id = $1`, id)
	if err != nil {
		return err
	}
	detail := []audit.Detail{{Name: "kind", Value: n.kind}}
	if reply != "" {
		detail = append(detail, audit.Detail{Name: "server said", Value: reply})
	}
	by := actor.System("delivery")
	by.RequestID = n.trace // it is the end of what that request began
	return o.audit.Append(tx, by, audit.Event{
		Action: action, Kind: "letter", ID: id, Name: n.to, Outcome: audit.Failed, Reason: why, Detail: detail,
	})
}

// record stores one outcome and returns the state of the letter with it, "" where
// it was dropped.
func record(tx *store.Tx, out Outcome) (State, error) {
	now := store.Micros(tx.Now())
	notBefore := store.Micros(out.RetryAt)
	if notBefore == 0 {
		notBefore = now
	}
	n, err := tx.Exec(`UPDATE outbox_letter SET state = $1, not_before = $2, stage = $3, code = $4, enhanced = $5, reply = $6,
			advice = $7, queue_id = $8, server = $9, changed_at = CAST($10 AS BIGINT), lease_until = 0,
			ended_at = CASE WHEN $14 THEN CAST($10 AS BIGINT) ELSE 0 END,
			maybe_sent = CASE WHEN $11 THEN true ELSE maybe_sent END
		WHERE id = $12 AND attempt = $13 AND state = 'sending'`,
		string(out.State), notBefore, out.Stage, out.Code, out.Enhanced, out.Reply, out.Advice, out.QueueID, out.Server, now,
		out.State == Uncertain || out.State == Accepted, out.ID, out.Attempt, out.State.Final())
	if err != nil || n == 0 {
		return "", err
	}
	state := out.State
	if state != Accepted {
		over, err := cancelled(tx, out.ID)
		if err != nil {
			return "", err
		}
		if over {
			state = Cancelled
		}
	}
	if state.Final() {
		if err := wipe(tx, out.ID, state); err != nil {
			return "", err
		}
	}
	_, err = tx.Exec(`UPDATE outbox_attempt SET ended_at = $1, state = $2, stage = $3, code = $4, enhanced = $5, reply = $6, advice = $7, server = $8
		WHERE letter_id = $9 AND attempt = $10`,
		now, string(out.State), out.Stage, out.Code, out.Enhanced, out.Reply, out.Advice, out.Server, out.ID, out.Attempt)
	return state, err
}

// cancelled ends a letter that CancelFor met while it was being sent, which has
// no time left since; the attempt is over. It reports whether it is one.
func cancelled(tx *store.Tx, id string) (bool, error) {
	n, err := tx.Exec(`UPDATE outbox_letter SET state = 'cancelled', advice = $1, ended_at = changed_at WHERE id = $2 AND expires_at = 0`, unwanted, id)
	return n > 0, err
}

// ExpireAtOnce is how many letters one call of Expire ends at most.
const ExpireAtOnce = 500

// Expire ends letters whose time is over, whether the gate is open or not,
// audits each, and returns how many.
func (o *Outbox) Expire(ctx context.Context) (int, error) {
	var n int
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		over, err := store.All(tx, func(r store.Row) (l overdue, err error) { return l, r.Scan(&l.id, &l.cancelled) },
			`SELECT id, expires_at = 0 FROM outbox_letter WHERE `+inQueue+` AND expires_at <= $1 AND (state IN ('queued', 'deferred', 'uncertain')
				OR state = 'sending' AND lease_until <= $1) ORDER BY expires_at LIMIT `+strconv.Itoa(ExpireAtOnce)+tx.SkipLocked(), store.Micros(tx.Now()))
		if err != nil {
			return err
		}
		n = len(over)
		const why = "It was not delivered while it was still of use."
		for _, l := range over {
			state, advice := Expired, why
			if l.cancelled {
				state, advice = Cancelled, unwanted
			}
			if err := finish(tx, l.id, state, advice, false); err != nil {
				return err
			}
		}
		for _, l := range over {
			if l.cancelled {
				continue // nobody misses it
			}
			if err := o.lost(tx, l.id, "letter.expired", why, ""); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// overdue is a letter whose time is over, or that was cancelled while a process
// that died was sending it.
type overdue struct {
	id        string
	cancelled bool
}

// Recover makes letters that a dead process of this installation had claimed
// due at once. Call it only where no other process can be sending: on SQLite,
// at start.
func (o *Outbox) Recover(ctx context.Context) error {
	return o.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE outbox_letter SET lease_until = $1 WHERE `+inQueue+` AND state = 'sending' AND lease_until > $1`, store.Micros(tx.Now()))
		return err
	})
}

// maxDue is where Due stops counting.
const maxDue = 10

// Due returns how many letters are due that may leave through the server of
// slot, at most ten, and whether its gate is open. While it is closed the
// letters of its own route are counted. It claims none.
func (o *Outbox) Due(ctx context.Context, slot Slot) (n int, open bool, err error) {
	err = o.db.View(ctx, func(tx *store.Tx) error {
		routes, err := o.routes(tx, slot)
		if err != nil {
			return err
		}
		if open = len(routes) > 0; !open {
			routes = []Slot{slot}
		}
		n = 0
		for _, route := range routes {
			more, err := store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
				fmt.Sprintf(`SELECT COUNT(*) FROM (SELECT 1 FROM outbox_letter WHERE route = '%s' AND %s LIMIT %d) AS due`, route, isDue, maxDue), store.Micros(tx.Now()))
			if err != nil {
				return err
			}
			n = min(n+more, maxDue)
		}
		return nil
	})
	return n, open, err
}

func contentOf(s stored, c sealedContent) letter.Content {
	return letter.Content{
		Kind: s.kind, Class: s.class, Subject: s.subject,
		Text: secretOf(c.Text), HTML: secretOf(c.HTML), Logo: c.Logo, LogoType: c.LogoType,
	}
}
