package outbox

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/store"
)

// Outcome is what came of an attempt.
type Outcome struct {
	ID      string
	Attempt int64
	// State is Accepted, Deferred, Uncertain or Failed. Queued gives the
	// letter back without counting the attempt against it.
	State State
	// Unbegun, with Queued, tells that nothing was tried: the journal does not
	// show the attempt, and what came of the one before stays.
	Unbegun bool
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
	// Server is "host:port", Slot whose server that is.
	Server string
	Slot   Slot
}

// MostOutcomes is how many outcomes one call of Record should bring at most.
const MostOutcomes = 256

// Record stores outcomes in one transaction. An outcome whose attempt is not
// the letter's current one is dropped: somebody else took over. A letter that
// failed is audited.
func (o *Outbox) Record(ctx context.Context, outcomes ...Outcome) error {
	ended, back := sorted(outcomes)
	return o.db.Update(ctx, func(tx *store.Tx) error {
		if err := errors.Join(tx.PlanAnew(), giveBack(tx, back)); err != nil {
			return err
		}
		return o.record(tx, ended)
	})
}

// sorted splits outcomes into those of attempts and those of letters that are
// given back unbegun. Of several for one attempt the first counts.
func sorted(outcomes []Outcome) (ended, back []Outcome) {
	type attempt struct {
		id string
		n  int64
	}
	seen := make(map[attempt]bool, len(outcomes))
	ended = make([]Outcome, 0, len(outcomes))
	for _, out := range outcomes {
		a := attempt{out.ID, out.Attempt}
		switch {
		case seen[a]:
		case out.State == Queued && out.Unbegun:
			back = append(back, out)
		default:
			ended = append(ended, out)
		}
		seen[a] = true
	}
	return ended, back
}

// over is a letter that an outcome was stored for.
type over struct {
	id, kind, address, trace string
	// cancelled tells that CancelFor met it while it was being sent.
	cancelled bool
}

// record stores outcomes, with two statements where all letters were accepted
// and a few more for those that were not.
func (o *Outbox) record(tx *store.Tx, outcomes []Outcome) error {
	for len(outcomes) > 0 {
		some := outcomes[:min(len(outcomes), MostOutcomes)]
		outcomes = outcomes[len(some):]
		if err := o.recordGroup(tx, some); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) recordGroup(tx *store.Tx, outcomes []Outcome) error {
	rows, err := updateEnded(tx, outcomes)
	if err != nil {
		return err
	}
	stored := make(map[string]over, len(rows))
	for _, r := range rows {
		stored[r.id] = r
	}
	var kept, cancelled, wiped []string
	var failed []Outcome
	for _, out := range outcomes {
		l, ok := stored[out.ID]
		if !ok || out.State == Accepted {
			continue
		}
		if !out.State.Final() || l.cancelled {
			kept = append(kept, out.ID)
		}
		info, known := letter.Info(l.kind)
		switch {
		case l.cancelled:
			cancelled = append(cancelled, out.ID)
		case out.State == Failed:
			failed = append(failed, out)
			if !known || info.OneTime {
				wiped = append(wiped, out.ID)
			}
		}
	}
	// The attempt is kept before the letter says something else.
	if err := keepAttempts(tx, kept); err != nil {
		return err
	}
	if err := endCancelled(tx, cancelled); err != nil {
		return err
	}
	if err := wipe(tx, wiped); err != nil {
		return err
	}
	for _, out := range failed {
		if err := o.lost(tx, stored[out.ID], "letter.failed", out.Advice, out.Reply); err != nil {
			return err
		}
		if err := o.failed(tx, out.ID); err != nil {
			return err
		}
	}
	return nil
}

// lost audits that a letter will not arrive, as the end of what its request
// began.
func (o *Outbox) lost(tx *store.Tx, l over, action, why, reply string) error {
	detail := []audit.Detail{{Name: "kind", Value: l.kind}}
	if reply != "" {
		detail = append(detail, audit.Detail{Name: "server said", Value: reply})
	}
	by := actor.System("delivery")
	by.RequestID = l.trace
	return o.audit.Append(tx, by, audit.Event{
		Action: action, Kind: "letter", ID: l.id, Name: l.address, Outcome: audit.Failed, Reason: why, Detail: detail,
	})
}

// groups are how many rows a statement over several has. It is filled up with
// the last one, so that few texts of statements are prepared.
var groups = [...]int{1, 2, 4, 8, 16, 32, 64, 128, MostOutcomes}

// fill returns rows with the last one repeated until there are as many as one of
// the groups has. There is at least one row and at most MostOutcomes.
func fill[T any](rows []T) []T {
	for _, n := range groups {
		if n >= len(rows) {
			for len(rows) < n {
				rows = append(rows[:len(rows):len(rows)], rows[len(rows)-1])
			}
			break
		}
	}
	return rows
}

// valuesOf returns the words of a table of n rows of parameters from $first on,
// whose columns have the types: "VALUES (CAST($3 AS TEXT), ...), ($5, ...)".
// Both engines call its columns column1, column2 and so on. PostgreSQL wants to
// be told the types; SQLite would not see any more that the rows are few, and
// walk the table that they are joined with.
func valuesOf(tx *store.Tx, first, n int, types ...string) string {
	var b strings.Builder
	b.WriteString("VALUES ")
	for row := range n {
		if row > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for i, t := range types {
			if i > 0 {
				b.WriteString(", ")
			}
			p := "$" + strconv.Itoa(first+row*len(types)+i)
			if row == 0 && tx.Engine() == store.Postgres {
				p = "CAST(" + p + " AS " + t + ")"
			}
			b.WriteString(p)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// list returns "$3, $4, $5" for n parameters from $first on.
func list(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(first+i))
	}
	return b.String()
}

const asText, asNumber = "TEXT", "BIGINT"

// updateEnded writes outcomes into their letters, fenced by the attempt, and
// returns the letters that took one. What a server accepted is destroyed with
// the same statement.
func updateEnded(tx *store.Tx, outcomes []Outcome) ([]over, error) {
	if len(outcomes) == 0 {
		return nil, nil
	}
	query, args := endedQuery(tx, outcomes)
	return store.All(tx, func(r store.Row) (l over, err error) {
		return l, r.Scan(&l.id, &l.kind, &l.address, &l.trace, &l.cancelled)
	}, query, args...)
}

// endedQuery is the statement of updateEnded.
func endedQuery(tx *store.Tx, outcomes []Outcome) (query string, args []any) {
	outcomes = fill(outcomes)
	now := store.Micros(tx.Now())
	args = make([]any, 0, 2+12*len(outcomes))
	args = append(args, now, []byte{})
	for _, out := range outcomes {
		notBefore := store.Micros(out.RetryAt)
		if notBefore == 0 {
			notBefore = now
		}
		args = append(args, out.ID, out.Attempt, string(out.State), notBefore, storable(out.Stage), int64(out.Code),
			storable(out.Enhanced), storable(out.Reply), storable(out.Advice), storable(out.QueueID), storable(out.Server), string(out.Slot))
	}
	return `UPDATE outbox_letter SET state = v.column3, not_before = v.column4, stage = v.column5, code = v.column6, enhanced = v.column7,
			reply = v.column8, advice = v.column9, queue_id = v.column10, server = v.column11, taken_by = v.column12, changed_at = CAST($1 AS BIGINT), lease_until = 0,
			ended_at = CASE WHEN v.column3 IN ('accepted', 'failed') THEN CAST($1 AS BIGINT) ELSE 0 END,
			tries = tries + CASE WHEN v.column3 = 'queued' THEN 0 ELSE 1 END,
			maybe_sent = CASE WHEN v.column3 IN ('accepted', 'uncertain') THEN true ELSE maybe_sent END,
			sealed = CASE WHEN v.column3 = 'accepted' THEN $2 ELSE sealed END
		FROM (` + valuesOf(tx, 3, len(outcomes), asText, asNumber, asText, asNumber, asText, asNumber, asText, asText, asText, asText, asText, asText) + `) AS v
		WHERE id = v.column1 AND attempt = v.column2 AND state = 'sending' RETURNING id, kind, to_address, trace, expires_at = 0`, args
}

// storable returns s without what no database stores: a server may say
// anything, and one letter must not keep the outcomes of others from being
// written.
func storable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsRune(s, 0) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// giveBack puts letters back in line that were claimed and not begun.
func giveBack(tx *store.Tx, back []Outcome) error {
	for len(back) > 0 {
		some := fill(back[:min(len(back), MostOutcomes)])
		back = back[min(len(back), MostOutcomes):]
		args := make([]any, 0, 2*len(some))
		for _, out := range some {
			args = append(args, out.ID, out.Attempt)
		}
		rows, err := store.All(tx, func(r store.Row) (l over, err error) { return l, r.Scan(&l.id, &l.cancelled) },
			`UPDATE outbox_letter SET state = 'queued', lease_until = 0, unbegun = unbegun + 1
			FROM (`+valuesOf(tx, 1, len(some), asText, asNumber)+`) AS v
			WHERE id = v.column1 AND attempt = v.column2 AND state = 'sending' RETURNING id, expires_at = 0`, args...)
		if err != nil {
			return err
		}
		var cancelled []string
		for _, r := range rows {
			if r.cancelled {
				cancelled = append(cancelled, r.id)
			}
		}
		if err := endCancelled(tx, cancelled); err != nil {
			return err
		}
	}
	return nil
}

// keepAttempts writes the attempts that letters say are over down beside them:
// the letter will tell of a further one.
func keepAttempts(tx *store.Tx, ids []string) error {
	return inGroups(ids, func(ids []any, in func(first int) string) error {
		_, err := tx.Exec(`INSERT INTO outbox_attempt (letter_id, attempt, began_at, ended_at, state, stage, code, enhanced, reply, advice, server)
			SELECT id, attempt, began_at, changed_at, state, stage, code, enhanced, reply, advice, server FROM outbox_letter WHERE id IN (`+in(1)+`)
			ON CONFLICT (letter_id, attempt) DO NOTHING`, ids...)
		return err
	})
}

// keepLost writes down the attempts of processes that died, or hung, before they
// could say what came of them.
func keepLost(tx *store.Tx, ids []string) error {
	now := store.Micros(tx.Now())
	return inGroups(ids, func(ids []any, in func(first int) string) error {
		_, err := tx.Exec(`INSERT INTO outbox_attempt (letter_id, attempt, began_at, ended_at, state, stage, code, enhanced, reply, advice, server)
			SELECT id, attempt, began_at, CAST($1 AS BIGINT), 'uncertain', '', 0, '', '', CAST($2 AS TEXT), '' FROM outbox_letter WHERE id IN (`+in(3)+`)
			ON CONFLICT (letter_id, attempt) DO NOTHING`,
			append([]any{now, "The server that tried stopped before it could say what came of it."}, ids...)...)
		return err
	})
}

// endCancelled ends letters that CancelFor met while they were being sent, which
// have no time left since; the attempt is over.
func endCancelled(tx *store.Tx, ids []string) error {
	now := store.Micros(tx.Now())
	return inGroups(ids, func(ids []any, in func(first int) string) error {
		_, err := tx.Exec(`UPDATE outbox_letter SET state = 'cancelled', advice = $1, sealed = $2, changed_at = CAST($3 AS BIGINT),
				ended_at = CAST($3 AS BIGINT) WHERE id IN (`+in(4)+`)`, append([]any{unwanted, []byte{}, now}, ids...)...)
		return err
	})
}

// wipe destroys the content of letters.
func wipe(tx *store.Tx, ids []string) error {
	return inGroups(ids, func(ids []any, in func(first int) string) error {
		_, err := tx.Exec(`UPDATE outbox_letter SET sealed = $1 WHERE id IN (`+in(2)+`)`, append([]any{[]byte{}}, ids...)...)
		return err
	})
}

// inGroups calls f for groups of ids. in gives the words for them as parameters
// from a number on.
func inGroups(ids []string, f func(ids []any, in func(first int) string) error) error {
	for len(ids) > 0 {
		some := fill(ids[:min(len(ids), MostOutcomes)])
		ids = ids[min(len(ids), MostOutcomes):]
		args := make([]any, len(some))
		for i, id := range some {
			args[i] = id
		}
		if err := f(args, func(first int) string { return list(first, len(args)) }); err != nil {
			return err
		}
	}
	return nil
}
