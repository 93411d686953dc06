package web

import (
	"fmt"
	"hash/fnv"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/page"
)

const journalPath = "/admin/mail/journal"

// journalFilter reads the filter out of the query. Days are those of UTC. Of the
// states, "bounced" are letters that came back, whatever state they ended in. A
// search for "trace:" and an id means the letters of that request.
func journalFilter(v *visit) outbox.Filter {
	f := outbox.Filter{
		Text: v.text("q"), State: outbox.State(v.text("state")), Kind: v.text("kind"), Route: outbox.Slot(v.text("server")),
		Trace: v.text("trace"), Cursor: v.text("after"),
	}
	if f.State == stateBounced {
		f.State, f.Bounced = "", true
	}
	if id, ok := strings.CutPrefix(f.Text, "trace:"); ok {
		f.Text, f.Trace = "", strings.TrimSpace(id)
	}
	if from, err := time.Parse(dateForm, v.text("from")); err == nil {
		f.From = from
	}
	if to, err := time.Parse(dateForm, v.text("to")); err == nil {
		f.To = to.AddDate(0, 0, 1)
	}
	return f
}

// stateBounced is what the filter calls letters that came back.
const stateBounced = "bounced"

func (s *Site) journalOf(v *visit) (*page.MailJournal, error) {
	f := journalFilter(v)
	found, err := s.Outbox.List(v.ctx(), v.by, f)
	if err != nil {
		return nil, err
	}
	p := &page.MailJournal{
		Text: v.text("q"), State: v.text("state"), Kind: f.Kind, Server: v.text("server"), Trace: v.text("trace"), From: v.text("from"), To: v.text("to"),
		States: stateOptions(), Kinds: kindOptions(), Pager: v.pagerOf(journalPath, "after", found.Next), Further: found.Further,
		Live: journalPath + "/rows?" + v.r.URL.RawQuery, Events: journalPath + "/events", Export: withoutCursor(v, journalPath+"/export.csv"),
	}
	p.Newest, p.Reload = !p.Filtered() && f.Cursor == "", journalPath
	if v.r.URL.RawQuery != "" {
		p.Reload += "?" + v.r.URL.RawQuery
	}
	p.Title, p.Crumbs = "Mail journal", []page.Crumb{{Name: "Admin", Path: "/admin"}}
	if p.Servers, err = s.serverOptions(v, p.Server); err != nil {
		return nil, err
	}
	for _, row := range found.Rows {
		p.Rows = append(p.Rows, letterRow(row))
	}
	return p, nil
}

// serverOptions are the servers by which letters can be looked for; none while
// there is one server.
func (s *Site) serverOptions(v *visit, chosen string) ([]page.Option, error) {
	_, two, err := s.Second.Active(v.ctx())
	if err != nil || !two && chosen == "" {
		return nil, err
	}
	return []page.Option{{Label: "Any server"}, {Value: string(outbox.Main), Label: "Mail server"}, {Value: string(outbox.Second), Label: "Second server"}}, nil
}

// withoutCursor is a path with the query of the visit, but for where its page
// begins.
func withoutCursor(v *visit, path string) string {
	query := url.Values{}
	for name, values := range v.values {
		if name != "after" && values[0] != "" {
			query[name] = values
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

func (s *Site) journal(v *visit) error {
	p, err := s.journalOf(v)
	if err != nil {
		return err
	}
	_, n, err := s.letters(v)
	if err != nil {
		return err
	}
	p.Counts = journalCounts(n, s.Now())
	return v.render(p)
}

// journalCounts are the numbers above the list.
func journalCounts(n outbox.Counts, at time.Time) page.JournalCounts {
	item := func(label string, count int, state outbox.State, tone string) page.JournalCount {
		if count == 0 {
			tone = ""
		}
		return page.JournalCount{Label: label, N: count, Path: journalPath + "?state=" + string(state), Tone: tone}
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
		ofDay("Came back", n.Bounced24h, stateBounced, "bad"),
	}}
}

// exportJournal sends the letters that fit the filter as a file.
func (s *Site) exportJournal(v *visit) error {
	name := "sealpost-letters-" + s.Now().UTC().Format(dateForm) + ".csv"
	out := &download{v: v, name: name, kind: "text/csv; charset=utf-8"}
	return out.finish(s.Outbox.Export(v.ctx(), v.by, journalFilter(v), out))
}

// journalPart answers with the list alone.
func (s *Site) journalPart(v *visit) error {
	p, err := s.journalOf(v)
	if err != nil {
		return err
	}
	return v.part(p, "letters", p)
}

// heldWhy says why letters are kept back, "" while they leave.
func (s *Site) heldWhy(v *visit) (string, error) {
	st, err := s.Servers.State(v.ctx())
	if err != nil || st.Main.Gate.Open || st.Main.Covered {
		return "", err
	}
	return st.Main.Gate.Detail, nil
}

// stateOptions are the states by which letters can be looked for.
func stateOptions() []page.Option {
	all := []page.Option{{Label: "Any state"}, {Value: string(outbox.Waiting), Label: "Not done yet"}}
	for _, s := range []outbox.State{
		outbox.Queued, outbox.Held, outbox.Sending, outbox.Deferred, outbox.Uncertain, outbox.Accepted, outbox.Failed, outbox.Expired, outbox.Cancelled,
	} {
		all = append(all, page.Option{Value: string(s), Label: letterTag(s).Text})
	}
	return append(all, page.Option{Value: stateBounced, Label: "Came back"})
}

func kindOptions() []page.Option {
	all := []page.Option{{Label: "Any letter"}}
	for _, k := range letter.Kinds() {
		all = append(all, page.Option{Value: k.Key, Label: k.Title})
	}
	return all
}

func letterRow(r outbox.Row) page.LetterRow {
	kind, _ := letter.Info(r.Kind)
	row := page.LetterRow{
		ID: r.ID, To: r.To.Name, Address: r.To.Address, Kind: kind.Title, Subject: r.Subject, State: letterTag(r.State),
		Added: r.Added, Changed: r.Changed, Attempts: r.Attempts, Note: r.Advice, Reply: page.Said(r.Reply), Merged: int(r.Merged),
	}
	if r.State == outbox.Accepted {
		row.Waited = r.Ended.Sub(r.Added)
	}
	if r.Route == outbox.Second {
		row.Server = serverName(r.Route)
	}
	if !r.Bounce.IsZero() {
		tag := bounceTag(r.Bounce)
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

// serverName is what a person calls the server of a slot.
func serverName(slot outbox.Slot) string {
	if slot == outbox.Second {
		return "Second server"
	}
	return "Mail server"
}

func bounceTag(b outbox.Bounce) page.Tag {
	if b.Final {
		return page.Tag{Text: "Came back", Tone: "bad"}
	}
	return page.Tag{Text: "Late at the recipient's", Tone: "warn"}
}

func (s *Site) letterPage(v *visit) (*page.MailLetter, error) {
	row, attempts, err := s.Outbox.Get(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return nil, err
	}
	kind, _ := letter.Info(row.Kind)
	manages := v.by.May(actor.ManageSettings)
	p := &page.MailLetter{
		Letter: letterRow(row), MessageID: row.MessageID, QueueID: page.Said(row.QueueID), Server: row.Server, Due: row.Due, Expires: row.Expires,
		OneTime: kind.OneTime && row.State != outbox.Accepted, CanResend: row.CanResend && manages, CanCancel: row.CanCancel && manages,
		Waits: !row.State.Final(), MaybeSent: row.MaybeSent && row.State != outbox.Accepted,
		Class: row.Class.Title(), Route: serverName(row.Route), Trace: row.Trace,
	}
	if row.Trace != "" && v.by.May(actor.ReadAudit) {
		p.Cause = "/audit?request=" + url.QueryEscape(row.Trace)
	}
	if b := row.Bounce; !b.IsZero() {
		p.Came = &page.LetterBounce{Tag: bounceTag(b), At: b.At, Status: b.Status, Text: page.Said(b.Text)}
	}
	p.Title, p.Crumbs = row.Subject, []page.Crumb{{Name: "Admin", Path: "/admin"}, {Name: "Mail journal", Path: journalPath}}
	if p.OneTime && row.To.UserID != "" && v.by.May(actor.ManageUsers) {
		p.UserPath = "/users/" + row.To.UserID
	}
	if p.Waits {
		p.Live = journalPath + "/" + row.ID + "/now"
	}
	if row.State == outbox.Held {
		if p.Held, err = s.heldWhy(v); err != nil {
			return nil, err
		}
	}
	for _, a := range attempts {
		p.Attempts = append(p.Attempts, letterAttempt(a))
	}
	return p, nil
}

func letterAttempt(a outbox.Attempt) page.LetterAttempt {
	out := page.LetterAttempt{
		Number: a.Number, Began: a.Began, State: letterTag(a.State), Stage: stageWord(a.Stage), Reply: page.Said(a.Reply), Advice: a.Advice, Server: a.Server,
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

func (s *Site) letter(v *visit) error {
	p, err := s.letterPage(v)
	if err != nil {
		return err
	}
	p.Ask = v.text("ask")
	return v.render(p)
}

// letterPart answers with the part of the page that moves.
func (s *Site) letterPart(v *visit) error {
	p, err := s.letterPage(v)
	if err != nil {
		return err
	}
	return v.part(p, "letter-now", p)
}

func (s *Site) resendLetter(v *visit) error {
	if err := s.Outbox.Resend(v.ctx(), v.by, v.id("id")); err != nil {
		return s.letterAgain(v, err)
	}
	return v.redirect(journalPath+"/"+v.id("id"), "The letter is in line again.")
}

func (s *Site) cancelLetter(v *visit) error {
	if err := s.Outbox.CancelLetter(v.ctx(), v.by, v.id("id")); err != nil {
		return s.letterAgain(v, err)
	}
	return v.redirect(journalPath+"/"+v.id("id"), "The letter is cancelled.")
}

// letterAgain shows the letter as it is now, with why an act was not done.
func (s *Site) letterAgain(v *visit, err error) error {
	p, pageErr := s.letterPage(v)
	if pageErr != nil {
		return pageErr
	}
	return v.again(p, err)
}
