// Package journal turns what the outbox tells of letters into what pages show:
// rows and numbers of the mail journal, how well letters leave, and how long they
// are tried. It asks nobody and decides nothing.
package journal

import (
	"fmt"
	"hash/fnv"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/page"
)

// Path is where the journal is.
const Path = "/admin/mail/journal"

// Bounced is what the filter calls letters that came back, beside the states.
const Bounced = "bounced"

// CountsOf are the numbers above the list.
func CountsOf(n outbox.Counts, at time.Time) page.JournalCounts {
	item := func(label string, count int, state outbox.State, tone string) page.JournalCount {
		if count == 0 {
			tone = ""
		}
		return page.JournalCount{Label: label, N: count, Path: Path + "?state=" + string(state), Tone: tone}
	}
	ofDay := func(label string, count int, state outbox.State, tone string) page.JournalCount {
		c := item(label, count, state, tone)
		c.OfDay = true
		return c
	}
	waiting := item("Not done yet", n.Waiting, outbox.Waiting, "")
	waiting.Since = n.Oldest
	return page.JournalCounts{At: at, Items: []page.JournalCount{
		waiting, item("Being sent", n.Sending, outbox.Sending, ""), item("Delayed", n.Delayed, outbox.Deferred, "warn"),
		item("Uncertain", n.Uncertain, outbox.Uncertain, "warn"), ofDay("Accepted", n.Accepted24h, outbox.Accepted, ""),
		ofDay("Failed", n.Failed24h, outbox.Failed, "bad"), ofDay("Ran out", n.Expired24h, outbox.Expired, "bad"),
		ofDay("Came back", n.Bounced24h, Bounced, "bad"),
	}}
}

// States are the states by which letters can be looked for.
func States() []page.Option {
	all := []page.Option{{Label: "Any state"}, {Value: string(outbox.Waiting), Label: "Not done yet"}}
	for _, s := range []outbox.State{
		outbox.Queued, outbox.Held, outbox.Sending, outbox.Deferred, outbox.Uncertain, outbox.Accepted, outbox.Failed, outbox.Expired, outbox.Cancelled,
	} {
		all = append(all, page.Option{Value: string(s), Label: Tag(s).Text})
	}
	return append(all, page.Option{Value: Bounced, Label: "Came back"})
}

// Kinds are the kinds of letters by which they can be looked for.
func Kinds() []page.Option {
	all := []page.Option{{Label: "Any letter"}}
	for _, k := range letter.Kinds() {
		all = append(all, page.Option{Value: k.Key, Label: k.Title})
	}
	return all
}

// Row is a letter in the list.
func Row(r outbox.Row) page.LetterRow {
	kind, _ := letter.Info(r.Kind)
	row := page.LetterRow{
		ID: r.ID, To: r.To.Name, Address: r.To.Address, Kind: kind.Title, Subject: r.Subject, State: Tag(r.State),
		Added: r.Added, Changed: r.Changed, Attempts: r.Attempts, Note: r.Advice, Reply: page.Said(r.Reply), Merged: int(r.Merged),
	}
	if r.State == outbox.Accepted {
		row.Waited = r.Ended.Sub(r.Added)
	}
	if r.Through() == outbox.Second {
		row.Server = ServerName(outbox.Second, true)
	}
	if !r.Bounce.IsZero() {
		tag := BounceTag(r.Bounce)
		row.Bounce = &tag
	}
	row.Key = rowKey(r)
	return row
}

// rowKey tells a row from the same letter's later ones.
func rowKey(r outbox.Row) string {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, r.State, r.Attempts, r.Changed.UnixMicro(), r.Merged, r.Bounce.At.UnixMicro(), r.Advice, r.Reply) // it never fails
	return strconv.FormatUint(h.Sum64(), 36)
}

// ServerName is what a person calls the server of a slot, where there are two or
// where there is one.
func ServerName(slot outbox.Slot, two bool) string {
	switch {
	case slot == outbox.Second:
		return "Second server"
	case two:
		return "First server"
	}
	return "Mail server"
}

// BounceTag says what came back about a letter.
func BounceTag(b outbox.Bounce) page.Tag {
	switch {
	case b.Final:
		return page.Tag{Text: "Came back", Tone: "bad"}
	case b.Other != "":
		return page.Tag{Text: "Report about another address", Tone: "warn"}
	}
	return page.Tag{Text: "Late at the recipient's", Tone: "warn"}
}

func attempt(a outbox.Attempt) page.LetterAttempt {
	out := page.LetterAttempt{
		Number: a.Number, Began: a.Began, State: Tag(a.State), Stage: stageWord(a.Stage), Reply: page.Said(a.Reply), Advice: a.Advice, Server: a.Server,
	}
	if a.Ended.After(a.Began) {
		out.Took = a.Ended.Sub(a.Began)
	}
	return out
}

// stageWord is a step of sending in words.
func stageWord(stage string) string {
	return map[string]string{
		"resolve": "look the server's name up", "connect": "connect", "greeting": "hear its greeting", "tls": "encrypt", "ehlo": "ask what it offers",
		"auth": "sign in", "mail": "name the sender", "rcpt": "name the recipient", "data": "begin the content", "content": "hand the content over",
	}[stage]
}

// Tag returns a letter's state as a person reads it.
func Tag(state outbox.State) page.Tag {
	switch state {
	case outbox.Queued:
		return page.Tag{Text: "On its way"}
	case outbox.Held:
		return page.Tag{Text: "Waits for mail", Tone: "warn"}
	case outbox.Sending:
		return page.Tag{Text: "Being sent"}
	case outbox.Deferred:
		return page.Tag{Text: "Delayed, tried again", Tone: "warn"}
	case outbox.Uncertain:
		return page.Tag{Text: "Uncertain, tried again", Tone: "warn"}
	case outbox.Accepted:
		return page.Tag{Text: "Accepted", Tone: "good"}
	case outbox.Failed:
		return page.Tag{Text: "Failed", Tone: "bad"}
	case outbox.Expired:
		return page.Tag{Text: "Ran out", Tone: "bad"}
	case outbox.Cancelled:
		return page.Tag{Text: "Cancelled"}
	}
	return page.Tag{Text: string(state)}
}

// FilterOf reads the filter out of the query of a page. Days are those of UTC. A
// search for "trace:" and an id means the letters of that request.
func FilterOf(q url.Values) outbox.Filter {
	text := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	f := outbox.Filter{
		Text: text("q"), State: outbox.State(text("state")), Kind: text("kind"), Through: outbox.Slot(text("server")), Trace: text("trace"), Cursor: text("after"),
	}
	if f.State == Bounced {
		f.State, f.Bounced = "", true
	}
	if id, ok := strings.CutPrefix(f.Text, "trace:"); ok {
		f.Text, f.Trace = "", strings.TrimSpace(id)
	}
	if from, err := time.Parse(time.DateOnly, text("from")); err == nil {
		f.From = from
	}
	if to, err := time.Parse(time.DateOnly, text("to")); err == nil {
		f.To = to.AddDate(0, 0, 1)
	}
	return f
}

// throughWord says what the server that is named has to do with a letter.
func throughWord(row outbox.Row) string {
	switch {
	case row.State == outbox.Accepted:
		return "Taken by"
	case row.State.Final() && row.Tried != "":
		return "Last tried through"
	}
	return "Leaves through"
}

// Letter is the page of one letter, but for what depends on who looks. Two tells
// that there are two servers.
func Letter(row outbox.Row, attempts []outbox.Attempt, two bool) *page.MailLetter {
	kind, _ := letter.Info(row.Kind)
	p := &page.MailLetter{
		Letter: Row(row), MessageID: row.MessageID, QueueID: page.Said(row.QueueID), Server: row.Server, Due: row.Due, Expires: row.Expires,
		OneTime: kind.OneTime && row.State != outbox.Accepted, CanResend: row.CanResend, CanCancel: row.CanCancel,
		Waits: !row.State.Final(), MaybeSent: row.MaybeSent && row.State != outbox.Accepted,
		Class: row.Class.Title(), Route: ServerName(row.Through(), two), Through: throughWord(row), Trace: row.Trace,
	}
	p.Title, p.Crumbs = row.Subject, []page.Crumb{{Name: "Admin", Path: "/admin"}, {Name: "Mail journal", Path: Path}}
	if row.Through() != row.Route {
		p.Meant = ServerName(row.Route, true)
	}
	if b := row.Bounce; !b.IsZero() {
		p.Came = &page.LetterBounce{Tag: BounceTag(b), At: b.At, Status: b.Status, Text: page.Said(b.Text), Other: b.Other}
	}
	if p.Waits {
		p.Live = Path + "/" + row.ID + "/now"
	}
	for _, a := range attempts {
		p.Attempts = append(p.Attempts, attempt(a))
	}
	return p
}
