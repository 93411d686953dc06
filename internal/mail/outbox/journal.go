package outbox

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/store"
)

// Row is a letter as the journal shows it: never its content.
type Row struct {
	ID, MessageID, Kind string
	To                  Recipient
	Subject             string
	// State is Held for a letter that waits while the gate is closed.
	State State
	// MaybeSent tells that a server may have got it though none said so.
	MaybeSent bool
	// Merged counts further letters of the kind that this one stands for.
	Merged   int64
	Attempts int64
	Added    time.Time
	Due      time.Time
	Expires  time.Time
	Changed  time.Time
	Stage    string
	Code     int
	Enhanced string
	Reply    string
	Advice   string
	QueueID  string
	Server   string
	// Route is the slot whose server it should leave through; Tried the one whose
	// server the last attempt was at, which may have stood in, "" before the first.
	Route, Tried Slot
	// Trace is the id of the request that caused it, or "".
	Trace string
	// Class is its place in line.
	Class letter.Class
	// Began is when its current or last attempt began; zero before the first.
	Began time.Time
	// Ended is when it was done with; zero while it is on its way.
	Ended time.Time
	// Bounce is what came back about it; most letters have none.
	Bounce Bounce
	// CanResend and CanCancel say what may be done with it here.
	CanResend, CanCancel bool
}

// Through is the slot whose server had the last word about a letter that is done
// with, and the one that a letter should leave through while it waits.
func (r Row) Through() Slot {
	if r.State.Final() && r.Tried != "" {
		return r.Tried
	}
	return r.Route
}

// through is Through as SQL.
const through = `CASE WHEN ended_at > 0 AND taken_by <> '' THEN taken_by ELSE route END`

// Attempt is one try to send a letter.
type Attempt struct {
	Number       int64
	Began, Ended time.Time
	State        State
	Stage        string
	Code         int
	Enhanced     string
	Reply        string
	Advice       string
	Server       string
}

// Filter says which letters are wanted. Empty fields do not filter.
type Filter struct {
	// Text is looked for in recipient, subject and reply.
	Text  string
	State State
	Kind  string
	// UserID is the recipient's.
	UserID string
	// Through is a slot, as [Row.Through] tells it.
	Through Slot
	// Trace is what caused the letter: see actor.NewTrace.
	Trace string
	// Bounced wants letters that came back.
	Bounced  bool
	From, To time.Time
	// Cursor is the Next of the page before.
	Cursor string
	// Limit is the number of letters, 50 where it is 0, 500 at most.
	Limit int
	// searched is how many letters a search for text looks at; 0 takes the usual
	// number.
	searched int
}

// Page is a page of the journal, newest first.
type Page struct {
	Rows []Row
	Next string
	// Further tells that older letters were not searched yet: Next goes on with
	// them, whether this page is full or not.
	Further bool
}

const rowColumns = `id, message_id, kind, user_id, to_address, to_name, subject, state, maybe_sent, merged, attempt, added_at, not_before,
	expires_at, changed_at, stage, code, enhanced, reply, advice, queue_id, server, length(sealed), route, trace, unbegun, class, began_at,
	ended_at, bounce, taken_by`

func rowScanner(open map[Slot]bool) func(store.Row) (Row, error) {
	return func(r store.Row) (Row, error) {
		var l Row
		var state, route, tried, bounce string
		var added, due, expires, changed, sealed, unbegun, class, began, ended int64
		err := r.Scan(&l.ID, &l.MessageID, &l.Kind, &l.To.UserID, &l.To.Address, &l.To.Name, &l.Subject, &state, &l.MaybeSent, &l.Merged,
			&l.Attempts, &added, &due, &expires, &changed, &l.Stage, &l.Code, &l.Enhanced, &l.Reply, &l.Advice, &l.QueueID, &l.Server, &sealed, &route, &l.Trace, &unbegun,
			&class, &began, &ended, &bounce, &tried)
		l.Class, l.Began, l.Ended, l.Bounce = letter.Class(class), store.FromMicros(began), store.FromMicros(ended), bounceOf(bounce)
		l.Route, l.Tried, l.Attempts = Slot(route), Slot(tried), l.Attempts-unbegun
		l.State = State(state)
		l.Added, l.Due, l.Expires, l.Changed = store.FromMicros(added), store.FromMicros(due), store.FromMicros(expires), store.FromMicros(changed)
		waits := l.State == Queued || l.State == Deferred || l.State == Uncertain
		info, _ := letter.Info(l.Kind)
		l.CanCancel = waits
		l.CanResend = (l.State == Failed || l.State == Expired) && sealed > 0 && !info.OneTime
		if waits && !open[l.Route] {
			l.State = Held
		}
		return l, err
	}
}

// List returns a page of the journal. It needs the permission to read it.
func (o *Outbox) List(ctx context.Context, by actor.Actor, f Filter) (Page, error) {
	if !by.May(actor.ReadMailJournal) {
		return Page{}, fault.Denied("Your role may not see the mail journal.")
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	var page Page
	err := o.db.View(ctx, func(tx *store.Tx) error {
		open, err := o.leaving(tx)
		if err != nil {
			return err
		}
		reach, err := f.reach(tx)
		if err != nil {
			return err
		}
		where, args, none := f.where(tx, open, reach)
		if none {
			page = Page{}
			return nil
		}
		rows, err := store.All(tx, rowScanner(open), listQuery(where, f.Limit+1), args...)
		if err != nil {
			return err
		}
		page = Page{Rows: rows}
		if len(rows) > f.Limit {
			page.Rows = rows[:f.Limit]
			page.Next = page.Rows[f.Limit-1].ID
		} else if reach.floor != "" {
			page.Next, page.Further = reach.floor, true
		}
		return nil
	})
	return page, err
}

const (
	// shortQueue is how many letters may wait to be looked at one by one.
	shortQueue = 10_000
	// searched is how many letters a page of a search for text looks at.
	searched = 100_000
)

// reach is how far a page looks, so that it costs about the same however many
// letters there are.
type reach struct {
	// queue tells that few letters wait: those are looked at instead of all.
	queue bool
	// floor is the id of the oldest letter that is searched for text, "" where
	// that is all of them.
	floor string
}

func (f Filter) reach(tx *store.Tx) (reach, error) {
	var r reach
	switch f.State {
	case Waiting, Held, Queued, Deferred, Uncertain, Sending:
		n, err := store.One(tx, func(r store.Row) (n int, err error) { return n, r.Scan(&n) },
			`SELECT COUNT(*) FROM (SELECT 1 FROM outbox_letter WHERE `+inQueue+` LIMIT $1) AS line`, int64(shortQueue+1))
		if err != nil {
			return r, err
		}
		r.queue = n <= shortQueue
	}
	if strings.TrimSpace(f.Text) == "" || f.Trace != "" {
		return r, nil
	}
	cursor := f.Cursor
	if cursor == "" {
		cursor = "~" // behind every id
	}
	err := tx.Each(func(row store.Row) error { return row.Scan(&r.floor) },
		`SELECT id FROM outbox_letter WHERE id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2`, cursor, int64(cmp.Or(f.searched, searched)-1))
	return r, err
}

// lost is the condition of the index of letters that did not arrive, word for
// word.
const lost = `(state = 'failed' OR state = 'expired' OR state = 'cancelled')`

// listQuery finds n letters, the newest first.
func listQuery(where string, n int) string {
	return fmt.Sprintf(`SELECT %s FROM outbox_letter%s ORDER BY id DESC LIMIT %d`, rowColumns, where, n)
}

// where returns the condition of f; none tells that nothing can fit.
func (f Filter) where(tx *store.Tx, open map[Slot]bool, reach reach) (where string, args []any, none bool) {
	var conds []string
	add := func(cond string, arg any) {
		args = append(args, arg)
		conds = append(conds, fmt.Sprintf(cond, len(args)))
	}
	const waiting = `state IN ('queued', 'deferred', 'uncertain')`
	switch f.State {
	case "":
	case Waiting:
		conds = append(conds, inQueue)
	case Held:
		if len(routesOf(open, false)) == 0 {
			return "", nil, true
		}
		conds = append(conds, waiting, "route IN ("+strings.Join(routesOf(open, false), ", ")+")")
	case Queued, Deferred, Uncertain:
		if len(routesOf(open, true)) == 0 {
			return "", nil, true
		}
		add("state = $%d", string(f.State))
		conds = append(conds, "route IN ("+strings.Join(routesOf(open, true), ", ")+")")
	case Failed, Expired, Cancelled:
		// The index is of these three.
		conds = append(conds, lost)
		add("state = $%d", string(f.State))
	default:
		add("state = $%d", string(f.State))
	}
	if f.Kind != "" {
		add("kind = $%d", f.Kind)
	}
	if f.UserID != "" {
		add("user_id = $%d", f.UserID)
	}
	if f.Through != "" {
		add(through+" = $%d", string(f.Through))
	}
	if f.Trace != "" {
		// The index is of letters that have one.
		conds = append(conds, "trace <> ''")
		add("trace = $%d", f.Trace)
	}
	if f.Bounced {
		conds = append(conds, "id IN (SELECT id FROM outbox_letter WHERE bounced_at > 0)")
	}
	if reach.queue {
		conds = append(conds, "id IN (SELECT id FROM outbox_letter WHERE "+inQueue+")")
	}
	if reach.floor != "" {
		add("id >= $%d", reach.floor)
	}
	if !f.From.IsZero() {
		add("added_at >= $%d", store.Micros(f.From))
	}
	if !f.To.IsZero() {
		add("added_at < $%d", store.Micros(f.To))
	}
	if f.Cursor != "" {
		// Ids begin with the time they were made.
		add("id < $%d", f.Cursor)
	}
	if text := strings.TrimSpace(f.Text); text != "" {
		args = append(args, store.LikePattern(text))
		var any []string
		for _, c := range []string{"to_address", "to_name", "subject", "reply"} {
			any = append(any, tx.Like(c, len(args)))
		}
		conds = append(conds, "("+strings.Join(any, " OR ")+")")
	}
	if len(conds) == 0 {
		return "", nil, false
	}
	return " WHERE " + strings.Join(conds, " AND "), args, false
}

// routesOf returns the routes that are open, or that are not, as SQL.
func routesOf(open map[Slot]bool, want bool) []string {
	var all []string
	for _, slot := range []Slot{Main, Second} {
		if open[slot] == want {
			all = append(all, "'"+string(slot)+"'")
		}
	}
	return all
}

// Get returns a letter with its attempts, the newest first.
func (o *Outbox) Get(ctx context.Context, by actor.Actor, id string) (Row, []Attempt, error) {
	if !by.May(actor.ReadMailJournal) {
		return Row{}, nil, fault.Denied("Your role may not see the mail journal.")
	}
	var row Row
	var attempts []Attempt
	err := o.db.View(ctx, func(tx *store.Tx) error {
		var err error
		if row, err = o.row(tx, id); err != nil {
			return err
		}
		attempts, err = o.attempts(tx, row)
		return err
	})
	return row, attempts, err
}

// mostAttempts is how many attempts of a letter are shown.
const mostAttempts = 200

// attempts returns the attempts of a letter, the newest first. The one that it
// is at, and one that ended it, stand in its own row.
func (o *Outbox) attempts(tx *store.Tx, row Row) ([]Attempt, error) {
	all, err := store.All(tx, func(r store.Row) (Attempt, error) {
		var a Attempt
		var state string
		var began, ended int64
		err := r.Scan(&began, &ended, &state, &a.Stage, &a.Code, &a.Enhanced, &a.Reply, &a.Advice, &a.Server)
		a.State, a.Began, a.Ended = State(state), store.FromMicros(began), store.FromMicros(ended)
		return a, err
	}, fmt.Sprintf(`SELECT began_at, ended_at, state, stage, code, enhanced, reply, advice, server FROM outbox_attempt
		WHERE letter_id = $1 ORDER BY attempt DESC LIMIT %d`, mostAttempts), row.ID)
	if err != nil {
		return nil, err
	}
	kept, err := store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM outbox_attempt WHERE letter_id = $1`, row.ID)
	if err != nil {
		return nil, err
	}
	if row.Attempts > kept {
		a := Attempt{Began: row.Began, Ended: row.Changed, State: row.State}
		if row.State == Sending {
			a.Ended = time.Time{}
		} else {
			a.Stage, a.Code, a.Enhanced, a.Reply, a.Advice, a.Server = row.Stage, row.Code, row.Enhanced, row.Reply, row.Advice, row.Server
		}
		all = append([]Attempt{a}, all...)
	}
	for i := range all {
		all[i].Number = row.Attempts - int64(i)
	}
	return all, nil
}

func (o *Outbox) row(tx *store.Tx, id string) (Row, error) {
	open, err := o.leaving(tx)
	if err != nil {
		return Row{}, err
	}
	row, err := store.One(tx, rowScanner(open), `SELECT `+rowColumns+` FROM outbox_letter WHERE id = $1`, id)
	if fault.Is(err, fault.KindNotFound) {
		return Row{}, fault.NotFound("There is no such letter.")
	}
	return row, err
}

// LatestFor returns the newest letter of a kind to a user, for the page of
// that user; a fault of kind not found where there is none.
func (o *Outbox) LatestFor(tx *store.Tx, userID, kind string) (Row, error) {
	open, err := o.leaving(tx)
	if err != nil {
		return Row{}, err
	}
	return store.One(tx, rowScanner(open), `SELECT `+rowColumns+` FROM outbox_letter WHERE user_id = $1 AND kind = $2
		ORDER BY added_at DESC, id DESC LIMIT 1`, userID, kind)
}

// CancelLetter keeps a waiting letter from being sent. One that is being sent
// at this moment cannot be cancelled.
func (o *Outbox) CancelLetter(ctx context.Context, by actor.Actor, id string) error {
	if !by.May(actor.ManageSettings) {
		return fault.Denied("Your role may not cancel letters.")
	}
	return o.db.Update(ctx, func(tx *store.Tx) error {
		row, err := o.row(tx, id)
		if err != nil {
			return err
		}
		n, err := tx.Exec(`UPDATE outbox_letter SET state = 'cancelled', sealed = $1, changed_at = $2, ended_at = $2, advice = $3
			WHERE id = $4 AND state IN ('queued', 'deferred', 'uncertain')`,
			[]byte{}, store.Micros(tx.Now()), "Cancelled by "+by.Login+".", id)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.Conflict("This letter cannot be cancelled any more: it is " + string(row.State) + ".")
		}
		return o.audit.Append(tx, by, audit.Event{Action: "letter.cancelled", Kind: "letter", ID: id, Name: row.To.Address, Detail: []audit.Detail{{Name: "kind", Value: row.Kind}}})
	})
}

// keepEnding writes down the attempt that ended a letter, if one did: the letter
// will tell of others.
func keepEnding(tx *store.Tx, row Row) error {
	kept, err := store.One(tx, func(r store.Row) (n int64, err error) { return n, r.Scan(&n) },
		`SELECT COUNT(*) FROM outbox_attempt WHERE letter_id = $1`, row.ID)
	if err != nil || row.Attempts <= kept {
		return err
	}
	return keepAttempts(tx, []string{row.ID})
}

// Resend puts a letter that failed or expired back in line, the same letter
// with the same Message-ID.
func (o *Outbox) Resend(ctx context.Context, by actor.Actor, id string) error {
	if !by.May(actor.ManageSettings) {
		return fault.Denied("Your role may not resend letters.")
	}
	return o.db.Update(ctx, func(tx *store.Tx) error {
		row, err := o.row(tx, id)
		if err != nil {
			return err
		}
		info, _ := letter.Info(row.Kind)
		if info.OneTime {
			return fault.Conflict("This letter holds a one-time link. Make a new one on the user's page.")
		}
		now := tx.Now()
		life, err := lifetime(tx, info)
		if err != nil {
			return err
		}
		if err := keepEnding(tx, row); err != nil {
			return err
		}
		n, err := tx.Exec(`UPDATE outbox_letter SET state = 'queued', not_before = $1, expires_at = $2, changed_at = $1, ended_at = 0, advice = ''
			WHERE id = $3 AND state IN ('failed', 'expired') AND length(sealed) > 0`,
			store.Micros(now), store.Micros(now.Add(life)), id)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.Conflict("This letter cannot be sent again: its content is gone.")
		}
		tx.OnCommit(o.wake)
		return o.audit.Append(tx, by, audit.Event{Action: "letter.resent", Kind: "letter", ID: id, Name: row.To.Address, Detail: []audit.Detail{{Name: "kind", Value: row.Kind}}})
	})
}

// Day counts the letters that reached their end in 24 hours.
type Day struct {
	// Start is midnight UTC.
	Start                     time.Time
	Accepted, Delayed, Failed int
}

// Days returns the last n days, the oldest first, today last. A letter that
// was accepted after its first attempt counts as delayed.
func (o *Outbox) Days(ctx context.Context, by actor.Actor, n int) ([]Day, error) {
	if !by.May(actor.ReadMailJournal) {
		return nil, fault.Denied("Your role may not see the mail journal.")
	}
	var days []Day
	err := o.db.View(ctx, func(tx *store.Tx) error {
		days = make([]Day, n)
		first := tx.Now().Truncate(24*time.Hour).AddDate(0, 0, 1-n)
		for i := range days {
			days[i].Start = first.AddDate(0, 0, i)
		}
		return tx.Each(func(r store.Row) error {
			var day, accepted, delayed, failed int
			if err := r.Scan(&day, &accepted, &delayed, &failed); err != nil {
				return err
			}
			if day >= 0 && day < n {
				days[day].Accepted, days[day].Delayed, days[day].Failed = accepted, delayed, failed
			}
			return nil
		}, `SELECT (ended_at - $1) / 86400000000 AS day,
				SUM(CASE WHEN state = 'accepted' AND attempt - unbegun = 1 THEN 1 ELSE 0 END),
				SUM(CASE WHEN state = 'accepted' AND attempt - unbegun > 1 THEN 1 ELSE 0 END),
				SUM(CASE WHEN state IN ('failed', 'expired') THEN 1 ELSE 0 END)
			FROM outbox_letter WHERE ended_at > 0 AND ended_at >= $1 GROUP BY 1`, store.Micros(first))
	})
	return days, err
}
