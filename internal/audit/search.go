package audit

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// defaultPage and maxPage bound how many entries a page holds.
	defaultPage = 50
	maxPage     = 500
)

// Filter says which entries are wanted. Empty fields do not filter.
type Filter struct {
	// Text is looked for in action, person, object, reason and detail.
	Text string
	// Action is a whole action, or with a trailing dot a noun ("user.").
	Action string
	// ActorID and Login are the person's.
	ActorID, Login string
	// Kind and ID are the object's.
	Kind, ID string
	// Request is the trace id of what caused the entry.
	Request string
	// From is the first moment, To the first moment after the last.
	From, To time.Time
	// Before is the Next of the page before; 0 begins with the newest.
	Before int64
	// Limit is the number of entries of a page, 50 where it is 0, 500 at most.
	Limit int
}

// Page is one page of entries, the newest first.
type Page struct {
	Entries []Entry
	// Next is the Before of the page that follows; 0 at the end.
	Next int64
}

// Search returns the entries that fit f. Who may not read the audit trail sees
// what they did themselves.
func (l *Log) Search(ctx context.Context, by actor.Actor, f Filter) (Page, error) {
	if f.Limit <= 0 {
		f.Limit = defaultPage
	}
	f.Limit = min(f.Limit, maxPage)
	where, args, err := f.where(by)
	if err != nil {
		return Page{}, err
	}
	var page Page
	err = l.db.View(ctx, func(tx *store.Tx) error {
		cond := where(tx)
		entries, err := store.All(tx, scanEntry, fmt.Sprintf(
			`SELECT %s FROM audit_entry%s ORDER BY seq DESC LIMIT %d`, entryColumns, cond, f.Limit+1), args...)
		if err != nil {
			return err
		}
		page = Page{Entries: entries}
		if len(entries) > f.Limit {
			page.Entries = entries[:f.Limit]
			page.Next = page.Entries[f.Limit-1].Seq
		}
		return nil
	})
	return page, err
}

// where returns the condition and its parameters. Columns come from here, what
// people typed goes as parameters.
func (f Filter) where(by actor.Actor) (func(*store.Tx) string, []any, error) {
	if !by.May(actor.ReadAudit) {
		if by.Kind != actor.KindUser {
			return nil, nil, fault.Denied("Sign in to see what you did.")
		}
		f.ActorID = by.UserID
	}
	var conds []string
	var args []any
	add := func(cond string, arg any) {
		args = append(args, arg)
		conds = append(conds, fmt.Sprintf(cond, len(args)))
	}
	if f.ActorID != "" {
		add("actor_id = $%d", f.ActorID)
	}
	if f.Login != "" {
		add("actor_login = $%d", f.Login)
	}
	switch noun, isNoun := strings.CutSuffix(f.Action, "."); {
	case isNoun:
		add("action >= $%d", noun+".")
		add("action < $%d", noun+"/") // "/" follows "."
	case f.Action != "":
		add("action = $%d", f.Action)
	}
	if f.Kind != "" {
		add("object_kind = $%d", f.Kind)
	}
	if f.ID != "" {
		add("object_id = $%d", f.ID)
	}
	if f.Request != "" {
		// The index is of entries that have one.
		conds = append(conds, "request_id <> ''")
		add("request_id = $%d", f.Request)
	}
	if !f.From.IsZero() {
		add("at >= $%d", store.Micros(f.From))
	}
	if !f.To.IsZero() {
		add("at < $%d", store.Micros(f.To))
	}
	if f.Before > 0 {
		add("seq < $%d", f.Before)
	}
	text := strings.TrimSpace(f.Text)
	if text != "" {
		args = append(args, store.LikePattern(text))
	}
	n := len(args)
	return func(tx *store.Tx) string {
		all := conds
		if text != "" {
			var any []string
			for _, column := range []string{"action", "actor_login", "actor_name", "object_name", "object_kind", "reason", "detail", "from_addr"} {
				any = append(any, tx.Like(column, n))
			}
			all = append(all[:len(all):len(all)], "("+strings.Join(any, " OR ")+")")
		}
		if len(all) == 0 {
			return ""
		}
		return " WHERE " + strings.Join(all, " AND ")
	}, args, nil
}

// Entry returns the entry numbered seq. To who may not read it it is not
// there.
func (l *Log) Entry(ctx context.Context, by actor.Actor, seq int64) (Entry, error) {
	var e Entry
	err := l.db.View(ctx, func(tx *store.Tx) error {
		var err error
		e, err = store.One(tx, scanEntry, `SELECT `+entryColumns+` FROM audit_entry WHERE seq = $1`, seq)
		return err
	})
	missing := fault.NotFound("There is no such entry in the audit log.")
	switch {
	case fault.Is(err, fault.KindNotFound):
		return Entry{}, missing
	case err != nil:
		return Entry{}, err
	case !by.May(actor.ReadAudit) && !by.Is(e.Actor.UserID):
		return Entry{}, missing
	}
	return e, nil
}

// Actions returns the actions that the log holds, in alphabetical order, for a
// choice.
func (l *Log) Actions(ctx context.Context) ([]string, error) {
	var actions []string
	err := l.db.View(ctx, func(tx *store.Tx) error {
		var err error
		actions, err = store.All(tx, func(r store.Row) (s string, err error) { return s, r.Scan(&s) },
			`SELECT DISTINCT action FROM audit_entry ORDER BY action`)
		return err
	})
	return actions, err
}

// Export writes the entries that fit f, without regard to its Limit, as CSV
// (RFC 4180) with a heading, newest first.
func (l *Log) Export(ctx context.Context, by actor.Actor, f Filter, w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write([]string{"number", "time", "who", "name", "door", "from", "action", "object", "object name", "outcome", "reason", "detail", "request"}); err != nil {
		return err
	}
	f.Limit = maxPage
	for {
		page, err := l.Search(ctx, by, f)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if err := out.Write(csvRow(e)); err != nil {
				return err
			}
		}
		if page.Next == 0 {
			break
		}
		f.Before = page.Next
	}
	out.Flush()
	return out.Error()
}

func csvRow(e Entry) []string {
	row := []string{
		fmt.Sprint(e.Seq), e.At.Format(time.RFC3339Nano), e.Actor.Login, e.Actor.Name, e.Actor.Door, addrText(e.Actor.From),
		e.Action, e.Kind, e.Name, e.Outcome, e.Reason, DetailText(e.Detail), e.Actor.RequestID,
	}
	for i, cell := range row {
		row[i] = Cell(cell)
	}
	return row
}

// Cell returns a cell of a CSV that no spreadsheet reads as a formula. Some begin
// a new cell at each semicolon, whatever the file's separator is.
func Cell(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		cell = "'" + cell
	}
	return strings.NewReplacer(";=", ";'=", ";+", ";'+", ";-", ";'-", ";@", ";'@").Replace(cell)
}

// DetailText returns details as one line for people.
func DetailText(ds []Detail) string {
	parts := make([]string, len(ds))
	for i, d := range ds {
		if d.Before != "" || d.After != "" {
			parts[i] = fmt.Sprintf("%s: %q to %q", d.Name, d.Before, d.After)
			continue
		}
		parts[i] = d.Name + ": " + d.Value
	}
	return strings.Join(parts, "; ")
}
