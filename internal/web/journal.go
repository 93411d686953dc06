package web

import (
	"net/url"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/journal"
	"github.com/sealpost/sealpost/internal/web/page"
)

const journalPath = journal.Path

func (s *Site) journalOf(v *visit) (*page.MailJournal, error) {
	f := journal.FilterOf(v.values)
	found, err := s.Outbox.List(v.ctx(), v.by, f)
	if err != nil {
		return nil, err
	}
	p := &page.MailJournal{
		Text: v.text("q"), State: v.text("state"), Kind: f.Kind, Server: v.text("server"), Trace: v.text("trace"), From: v.text("from"), To: v.text("to"),
		States: journal.States(), Kinds: journal.Kinds(), Pager: v.pagerOf(journalPath, "after", found.Next), Further: found.Further,
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
		p.Rows = append(p.Rows, journal.Row(row))
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
	return []page.Option{{Label: "Any server"}, {Value: string(outbox.Main), Label: journal.ServerName(outbox.Main, true)}, {Value: string(outbox.Second), Label: journal.ServerName(outbox.Second, true)}}, nil
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
	p.Counts = journal.CountsOf(n, s.Now())
	return v.render(p)
}

// exportJournal sends the letters that fit the filter as a file.
func (s *Site) exportJournal(v *visit) error {
	name := "sealpost-letters-" + s.Now().UTC().Format(dateForm) + ".csv"
	out := &download{v: v, name: name, kind: "text/csv; charset=utf-8"}
	return out.finish(s.Outbox.Export(v.ctx(), v.by, journal.FilterOf(v.values), out))
}

// journalPart answers with the list alone.
func (s *Site) journalPart(v *visit) error {
	p, err := s.journalOf(v)
	if err != nil {
		return err
	}
	return v.part(p, "letters", p)
}

// heldWhy says why the letters of a server are kept back, "" while they leave.
func (s *Site) heldWhy(v *visit, route outbox.Slot) (string, error) {
	st, err := s.Servers.State(v.ctx())
	side := st.Of(mail.Slot(route))
	if err != nil || side.Gate.Open || side.Covered {
		return "", err
	}
	return side.Gate.Detail, nil
}

func (s *Site) letterPage(v *visit) (*page.MailLetter, error) {
	row, attempts, err := s.Outbox.Get(v.ctx(), v.by, v.id("id"))
	if err != nil {
		return nil, err
	}
	_, two, err := s.Second.Active(v.ctx())
	if err != nil {
		return nil, err
	}
	p := journal.Letter(row, attempts, two)
	manages := v.by.May(actor.ManageSettings)
	p.CanResend, p.CanCancel = p.CanResend && manages, p.CanCancel && manages
	if row.Trace != "" && v.by.May(actor.ReadAudit) {
		p.Cause = "/audit?request=" + url.QueryEscape(row.Trace)
	}
	if p.OneTime && row.To.UserID != "" && v.by.May(actor.ManageUsers) {
		p.UserPath = "/users/" + row.To.UserID
	}
	if row.State == outbox.Held {
		if p.Held, err = s.heldWhy(v, row.Route); err != nil {
			return nil, err
		}
	}
	return p, nil
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
