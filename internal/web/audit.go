package web

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/web/page"
)

func entryRow(e audit.Entry) page.AuditRow {
	row := page.AuditRow{
		Seq: e.Seq, At: e.At, Action: actionWords(e.Action), By: e.Actor.Name, Login: e.Actor.Login,
		Kind: e.Kind, Object: e.Name, Outcome: page.Tag{Text: "Done", Tone: "good"},
	}
	if row.By == "" {
		row.By = row.Login
	}
	if row.By == "" {
		row.By = "Nobody signed in"
	}
	if e.Outcome != audit.Done {
		row.Outcome = page.Tag{Text: sentenceCase(e.Outcome), Tone: "bad"}
	}
	return row
}

// actionWords returns an action as a person says it: "user.invited_again" is
// "User invited again".
func actionWords(action string) string {
	return sentenceCase(strings.NewReplacer(".", " ", "_", " ").Replace(action))
}

func sentenceCase(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// dateForm is how a browser sends a day.
const dateForm = "2006-01-02"

// auditFilter reads the filter out of the query. Days are those of UTC.
func auditFilter(v *visit) audit.Filter {
	f := audit.Filter{Text: v.text("q"), Action: v.text("action"), Login: v.text("person"), Request: v.text("request"), Before: v.number("before")}
	if from, err := time.Parse(dateForm, v.text("from")); err == nil {
		f.From = from
	}
	if to, err := time.Parse(dateForm, v.text("to")); err == nil {
		f.To = to.AddDate(0, 0, 1)
	}
	return f
}

func (s *Site) auditPage(v *visit) error {
	f := auditFilter(v)
	found, err := s.Audit.Search(v.ctx(), v.by, f)
	if err != nil {
		return err
	}
	actions, err := s.actionOptions(v)
	if err != nil {
		return err
	}
	all := v.by.May(actor.ReadAudit)
	p := &page.Audit{
		Text: f.Text, Action: f.Action, Person: f.Login, From: v.text("from"), To: v.text("to"), Actions: actions, All: all,
		Request: f.Request, Filtered: len(v.values) > 0, Export: exportPath(v),
	}
	p.Title = "Audit"
	if found.Next > 0 {
		p.Pager = v.pager("before", strconv.FormatInt(found.Next, 10))
	} else {
		p.Pager = v.pager("before", "")
	}
	for _, e := range found.Entries {
		p.Rows = append(p.Rows, entryRow(e))
	}
	return v.render(p)
}

// exportPath is where the same entries are had as a file.
func exportPath(v *visit) string {
	query := url.Values{}
	for name, values := range v.values {
		if name != "before" && values[0] != "" {
			query[name] = values
		}
	}
	if len(query) == 0 {
		return "/audit/export.csv"
	}
	return "/audit/export.csv?" + query.Encode()
}

// actionOptions offers the actions that the log holds, and the nouns that
// they are about.
func (s *Site) actionOptions(v *visit) ([]page.Option, error) {
	actions, err := s.Audit.Actions(v.ctx())
	if err != nil {
		return nil, err
	}
	options := []page.Option{{Label: "Any action"}}
	var nouns []string
	for _, a := range actions {
		noun, _, _ := strings.Cut(a, ".")
		if !slices.Contains(nouns, noun) {
			nouns = append(nouns, noun)
			options = append(options, page.Option{Value: noun + ".", Label: actionWords(noun) + ": all"})
		}
		options = append(options, page.Option{Value: a, Label: actionWords(a)})
	}
	return options, nil
}

func (s *Site) auditEntry(v *visit) error {
	seq, err := strconv.ParseInt(v.id("seq"), 10, 64)
	if err != nil {
		return errNothing
	}
	e, err := s.Audit.Entry(v.ctx(), v.by, seq)
	if err != nil {
		return err
	}
	p := &page.AuditEntry{
		AuditRow: entryRow(e), Code: e.Action, Door: doorWords(e.Actor.Door), Agent: e.Actor.Agent, Request: e.Actor.RequestID,
		ObjectID: e.ID, Reason: e.Reason, ObjectPath: s.objectPath(v.by, e.Kind, e.ID),
	}
	if e.Actor.From.IsValid() {
		p.From = e.Actor.From.String()
	}
	for _, d := range e.Detail {
		p.Detail = append(p.Detail, page.AuditDetail{Name: sentenceCase(d.Name), Value: d.Value, Before: d.Before, After: d.After})
	}
	p.Title, p.Crumbs = p.Action, []page.Crumb{{Name: "Audit", Path: "/audit"}}
	if id := e.Actor.RequestID; id != "" {
		p.SameRequest = "/audit?request=" + url.QueryEscape(id)
		if v.by.May(actor.ReadMailJournal) {
			found, err := s.Outbox.List(v.ctx(), v.by, outbox.Filter{Trace: id, Limit: 1})
			if err != nil {
				return err
			}
			if len(found.Rows) > 0 {
				p.Letters = journalPath + "?trace=" + url.QueryEscape(id)
			}
		}
	}
	return v.render(p)
}

func doorWords(door string) string {
	switch door {
	case "web", "setup":
		return "Web interface"
	case "cli":
		return "Command line"
	case "apply":
		return "Set-up file"
	case "":
		return "Sealpost itself"
	}
	return door
}

// objectPath returns the page of an audited object, where there is one that by
// may look at. The object itself may be gone.
func (s *Site) objectPath(by actor.Actor, kind, id string) string {
	lists := map[string]string{"user": "/users", "resource": "/resources", "account": "/accounts", "letter": journalPath}
	list := lists[kind]
	if list == "" || id == "" || !s.open(by, list+"/{id}") {
		return ""
	}
	return list + "/" + url.PathEscape(id)
}

func (s *Site) exportAudit(v *visit) error {
	name := "sealpost-audit-" + s.Now().UTC().Format(dateForm) + ".csv"
	out := &download{v: v, name: name, kind: "text/csv; charset=utf-8"}
	return out.finish(s.Audit.Export(v.ctx(), v.by, auditFilter(v), out))
}

// download sends a file that is made while it is sent. Its headers go with the
// first bytes, so that a failure before them can still be a page.
type download struct {
	v          *visit
	name, kind string
	began      bool
}

// Write sends the headers before the first bytes.
func (d *download) Write(b []byte) (int, error) {
	if !d.began {
		d.began = true
		d.v.w.Header().Set("Content-Type", d.kind)
		d.v.w.Header().Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
	}
	return d.v.w.Write(b)
}

var _ io.Writer = (*download)(nil)

// finish ends the file. One that broke off is cut, so that nobody takes it
// for a whole one.
func (d *download) finish(err error) error {
	if err != nil && d.began {
		d.v.s.Log.ErrorContext(d.v.ctx(), "a download broke off", "request_id", d.v.by.RequestID, "err", fault.Internal(err))
		panic(http.ErrAbortHandler)
	}
	return err
}
