package web

import (
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/page"
)

const journalPath = "/admin/mail/journal"

// journalFilter reads the filter out of the query. Days are those of UTC.
func journalFilter(v *visit) outbox.Filter {
	f := outbox.Filter{Text: v.text("q"), State: outbox.State(v.text("state")), Kind: v.text("kind"), Cursor: v.text("after")}
	if from, err := time.Parse(dateForm, v.text("from")); err == nil {
		f.From = from
	}
	if to, err := time.Parse(dateForm, v.text("to")); err == nil {
		f.To = to.AddDate(0, 0, 1)
	}
	return f
}

func (s *Site) journalOf(v *visit) (*page.MailJournal, error) {
	f := journalFilter(v)
	found, err := s.Outbox.List(v.ctx(), v.by, f)
	if err != nil {
		return nil, err
	}
	p := &page.MailJournal{
		Text: f.Text, State: string(f.State), Kind: f.Kind, From: v.text("from"), To: v.text("to"), States: stateOptions(), Kinds: kindOptions(),
		Pager: v.pagerOf(journalPath, "after", found.Next), Live: journalPath + "/rows?" + v.r.URL.RawQuery,
	}
	p.Title, p.Crumbs = "Mail journal", []page.Crumb{{Name: "Admin", Path: "/admin"}}
	for _, row := range found.Rows {
		p.Rows = append(p.Rows, letterRow(row))
	}
	return p, nil
}

func (s *Site) journal(v *visit) error {
	p, err := s.journalOf(v)
	if err != nil {
		return err
	}
	return v.render(p)
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
	gate, err := s.gate(v)
	if err != nil || gate.Open {
		return "", err
	}
	return gate.Detail, nil
}

// stateOptions are the states by which letters can be looked for.
func stateOptions() []page.Option {
	all := []page.Option{{Label: "Any state"}, {Value: string(outbox.Waiting), Label: "Not done yet"}}
	for _, s := range []outbox.State{
		outbox.Queued, outbox.Held, outbox.Sending, outbox.Deferred, outbox.Uncertain, outbox.Accepted, outbox.Failed, outbox.Expired, outbox.Cancelled,
	} {
		all = append(all, page.Option{Value: string(s), Label: letterTag(s).Text})
	}
	return all
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
	return page.LetterRow{
		ID: r.ID, To: r.To.Name, Address: r.To.Address, Kind: kind.Title, Subject: r.Subject, State: letterTag(r.State),
		Added: r.Added, Changed: r.Changed, Attempts: r.Attempts, Note: r.Advice, Reply: page.Said(r.Reply), Merged: int(r.Merged),
	}
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
