package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/store"
)

// Claim is a letter that its holder may try to send until the lease ends.
type Claim struct {
	ID        string
	Kind      string
	MessageID string
	Class     letter.Class
	// Attempt numbers the claims from 1; the outcome must name it.
	Attempt int64
	// Tries counts the earlier attempts that count against the letter,
	// GivenBack those that did not although they were begun.
	Tries, GivenBack int
	// Trace is the id of the request that caused the letter, or "".
	Trace   string
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
//
// Letters are opened after the transaction, on the caller's goroutine, so that
// it costs others nothing.
func (o *Outbox) Claim(ctx context.Context, slot Slot, n int, lease time.Duration, sender string) ([]Claim, error) {
	var due []stored
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		due = nil
		routes, err := o.routes(tx, slot)
		if err != nil || len(routes) == 0 {
			return err
		}
		if err := tx.PlanAnew(); err != nil {
			return err
		}
		if due, err = store.All(tx, scanStored, dueQuery(tx, routes, n), store.Micros(tx.Now())); err != nil {
			return err
		}
		return take(tx, due, lease, sender)
	})
	if err != nil || len(due) == 0 {
		return nil, err
	}
	claims, damaged, err := o.openAll(ctx, due, sender)
	if err == nil && len(damaged) > 0 {
		err = o.giveUp(ctx, damaged)
	}
	if err == nil {
		return claims, nil
	}
	// What cannot be opened now is for the next one who claims.
	back := make([]Outcome, len(due))
	for i, s := range due {
		back[i] = Outcome{ID: s.id, Attempt: s.attempt + 1, State: Queued, Unbegun: true}
	}
	return nil, errors.Join(err, o.Record(ctx, back...))
}

// take begins an attempt with each letter. A lease that ran out belonged to a
// process that died or hung: what it did last is not known.
func take(tx *store.Tx, due []stored, lease time.Duration, sender string) error {
	var ids, lost []string
	for _, s := range due {
		ids = append(ids, s.id)
		if s.state == Sending {
			lost = append(lost, s.id)
		}
	}
	if err := keepLost(tx, lost); err != nil {
		return err
	}
	now := tx.Now()
	return inGroups(ids, func(ids []any, in func(first int) string) error {
		_, err := tx.Exec(`UPDATE outbox_letter SET attempt = attempt + 1, tries = tries + CASE WHEN state = 'sending' THEN 1 ELSE 0 END,
				sender = CASE WHEN sender <> '' AND (maybe_sent OR state = 'sending') THEN sender ELSE $1 END,
				maybe_sent = (maybe_sent OR state = 'sending'), state = 'sending', lease_until = $2, began_at = $3 WHERE id IN (`+in(4)+`)`,
			append([]any{sender, store.Micros(now.Add(lease)), store.Micros(now)}, ids...)...)
		return err
	})
}

// openAll makes claims of letters that were taken. Damaged ones were changed in
// the database.
func (o *Outbox) openAll(ctx context.Context, taken []stored, sender string) (claims []Claim, damaged []stored, err error) {
	claims = make([]Claim, 0, len(taken))
	for _, s := range taken {
		content, err := o.openApart(ctx, s.id, s.sealed)
		if isSealed(err) {
			// The keys may have been rotated since it was read.
			err = o.db.View(ctx, func(tx *store.Tx) (err error) {
				content, err = o.openNow(tx, s.id)
				return err
			})
		}
		switch {
		case isSealed(err):
			damaged = append(damaged, s)
		case err != nil:
			return nil, nil, err
		default:
			claims = append(claims, s.claim(content, sender))
		}
	}
	return claims, damaged, nil
}

// openNow opens a letter as it is in the database now.
func (o *Outbox) openNow(tx *store.Tx, id string) (sealedContent, error) {
	sealed, err := store.One(tx, func(r store.Row) (b []byte, err error) { return b, r.Scan(&b) }, `SELECT sealed FROM outbox_letter WHERE id = $1`, id)
	if err != nil {
		return sealedContent{}, err
	}
	return o.open(tx, id, sealed)
}

// claim returns the claim to a letter that was taken.
func (s stored) claim(content sealedContent, sender string) Claim {
	maybe := s.maybeSent || s.state == Sending
	if s.sender == "" || !maybe {
		s.sender = sender
	}
	c := Claim{
		ID: s.id, Kind: s.kind, MessageID: s.messageID, Class: s.class, Attempt: s.attempt + 1,
		Tries: int(s.tries), GivenBack: int(s.attempt - s.tries - s.unbegun), Trace: s.trace,
		To: s.to, Subject: s.subject, Date: s.added, Expires: s.expires, MaybeSent: maybe, Sender: s.sender,
		Content: contentOf(s, content).StandingFor(s.merged),
	}
	if s.state == Sending {
		c.Tries, c.GivenBack = c.Tries+1, c.GivenBack-1
	}
	return c
}

// giveUp ends letters that cannot be opened. One damaged letter must not stop
// all others. Their content stays where that of letters that failed does: once
// the database is mended, they can be sent again.
func (o *Outbox) giveUp(ctx context.Context, damaged []stored) error {
	return o.db.Update(ctx, func(tx *store.Tx) error {
		var outcomes []Outcome
		for _, s := range damaged {
			outcomes = append(outcomes, Outcome{
				ID: s.id, Attempt: s.attempt + 1, State: Failed, Advice: "The letter's content was changed in the database and cannot be opened.",
			})
		}
		return o.record(tx, outcomes)
	})
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

// Renew extends the leases of claims that are still in work, and returns the ids
// of their letters: the others are done with, or somebody else's.
func (o *Outbox) Renew(ctx context.Context, claims []Claim, lease time.Duration) (held []string, err error) {
	if len(claims) == 0 {
		return nil, nil
	}
	err = o.db.Update(ctx, func(tx *store.Tx) error {
		held = nil
		if err := tx.PlanAnew(); err != nil {
			return err
		}
		until := store.Micros(tx.Now().Add(lease))
		for rest := claims; len(rest) > 0; {
			some := fill(rest[:min(len(rest), MostOutcomes)])
			rest = rest[min(len(rest), MostOutcomes):]
			args := []any{until}
			for _, c := range some {
				args = append(args, c.ID, c.Attempt)
			}
			ids, err := store.All(tx, func(r store.Row) (id string, err error) { return id, r.Scan(&id) },
				`UPDATE outbox_letter SET lease_until = $1 FROM (`+valuesOf(tx, 2, len(some), asText, asNumber)+`) AS v
				WHERE id = v.column1 AND attempt = v.column2 AND state = 'sending' RETURNING id`, args...)
			if err != nil {
				return err
			}
			held = append(held, ids...)
		}
		return nil
	})
	return held, err
}

// ExpireAtOnce is how many letters one call of Expire ends at most.
const ExpireAtOnce = 500

// Expire ends letters whose time is over, whether the gate is open or not,
// audits each, and returns how many.
func (o *Outbox) Expire(ctx context.Context) (int, error) {
	var n int
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		all, err := store.All(tx, func(r store.Row) (l overdue, err error) {
			return l, r.Scan(&l.id, &l.kind, &l.address, &l.trace, &l.cancelled, &l.sending)
		}, `SELECT id, kind, to_address, trace, expires_at = 0, state = 'sending' FROM outbox_letter
			WHERE `+inQueue+` AND expires_at <= $1 AND (state IN ('queued', 'deferred', 'uncertain')
				OR state = 'sending' AND lease_until <= $1) ORDER BY expires_at LIMIT `+strconv.Itoa(ExpireAtOnce)+tx.SkipLocked(), store.Micros(tx.Now()))
		if err != nil {
			return err
		}
		n = len(all)
		return o.expire(tx, all)
	})
	return n, err
}

// overdue is a letter whose time is over, or that was cancelled while a process
// that died was sending it.
type overdue struct {
	over
	sending bool
}

func (o *Outbox) expire(tx *store.Tx, all []overdue) error {
	const why = "It was not delivered while it was still of use."
	var lost, expired, cancelled, wiped []string
	for _, l := range all {
		if l.sending {
			lost = append(lost, l.id)
		}
		info, known := letter.Info(l.kind)
		switch {
		case l.cancelled:
			cancelled = append(cancelled, l.id)
		case !known || info.OneTime:
			wiped = append(wiped, l.id)
			fallthrough
		default:
			expired = append(expired, l.id)
		}
	}
	now := store.Micros(tx.Now())
	end := func(ids []string, state State, advice string) error {
		return inGroups(ids, func(ids []any, in func(first int) string) error {
			_, err := tx.Exec(`UPDATE outbox_letter SET maybe_sent = (maybe_sent OR state = 'sending'), tries = tries + CASE WHEN state = 'sending' THEN 1 ELSE 0 END,
					state = $1, advice = $2, changed_at = CAST($3 AS BIGINT), ended_at = CAST($3 AS BIGINT), lease_until = 0 WHERE id IN (`+in(4)+`)`,
				append([]any{string(state), advice, now}, ids...)...)
			return err
		})
	}
	if err := errors.Join(keepLost(tx, lost), end(expired, Expired, why), end(cancelled, Cancelled, unwanted), wipe(tx, append(wiped, cancelled...))); err != nil {
		return err
	}
	for _, l := range all {
		if l.cancelled {
			continue // nobody misses it
		}
		if err := o.lost(tx, l.over, "letter.expired", why, ""); err != nil {
			return err
		}
	}
	return nil
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
