package operator

import (
	"context"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/store"
)

// mailTest tests the settings as they are saved.
func (c *commands) mailTest(ctx context.Context, by actor.Actor, a MailTest, out Sink) (MailTested, error) {
	m, doctor, err := c.server(a.Server)
	if err != nil {
		return MailTested{}, err
	}
	p, set, err := m.Active(ctx)
	if err != nil {
		return MailTested{}, err
	}
	switch {
	case !set && m.Slot() == mail.Second:
		return MailTested{}, fault.NotFound("There is no second mail server. Set one up in the web interface, or with sealpost apply.")
	case !set:
		return MailTested{}, fault.NotFound("No mail server is set up yet. Set one up in the web interface, or with sealpost apply.")
	}
	said := ""
	o := diagnose.Options{WholeAddresses: a.WholeAddresses}
	r, err := doctor.RunWith(ctx, by, p.Change(), a.To, o, func(s diagnose.Step) {
		// A step may tell several times how it goes on.
		if s.State == diagnose.Running && s.Key != said {
			said = s.Key
			out.Line(s.Title + " …")
		}
	})
	if err != nil {
		return MailTested{}, err
	}
	done := MailTested{Report: r.Document()}
	if a.File {
		done.File = r.File(c.Version)
	}
	return done, nil
}

func (c *commands) mailStatus(ctx context.Context, by actor.Actor, _ none, _ Sink) (MailStatus, error) {
	h, err := c.Mail.Health(ctx, by)
	if err != nil {
		return MailStatus{}, err
	}
	var n outbox.Counts
	err = c.DB.View(ctx, func(tx *store.Tx) (err error) {
		n, err = c.Outbox.Counts(tx)
		return err
	})
	if err != nil {
		return MailStatus{}, err
	}
	st := MailStatus{
		Waiting: n.Waiting, Oldest: n.Oldest,
		Accepted24h: n.Accepted24h, Delayed24h: n.Delayed, Failed24h: n.Lost24h(),
	}
	both, err := c.Servers.State(ctx)
	if err != nil {
		return MailStatus{}, err
	}
	st.MailServer = c.mailServer(h, both.Main.Covered)
	if !both.Second.Set {
		return st, nil
	}
	if h, err = c.Second.Health(ctx, by); err != nil {
		return MailStatus{}, err
	}
	second := c.mailServer(h, both.Second.Covered)
	st.Second, st.Fallback, st.Routes = &second, servers.RuleWord(both.After), both.Routes
	return st, nil
}

// server returns what tests and keeps the server that an argument names.
func (c *commands) server(word string) (*mail.Service, *diagnose.Doctor, error) {
	switch mail.Slot(word) {
	case "", mail.Main:
		return c.Mail, c.Doctor, nil
	case mail.Second:
		return c.Second, c.SecondDoctor, nil
	}
	return nil, nil, fault.Invalid("server", `The mail servers are called "main" and "second".`)
}

// mailServer is how a server stands.
func (c *commands) mailServer(h mail.Health, covered bool) MailServer {
	st := MailServer{State: "none", Notes: h.Notes, Covered: covered}
	if h.Set {
		st.of(h)
	}
	for _, e := range h.Ends {
		st.Ends = append(st.Ends, End{What: e.What, At: e.At})
		if now := c.Now(); e.Warn(now) {
			verb := " ends on "
			if !e.At.After(now) {
				verb = " ended on "
			}
			st.Notes = append(st.Notes, e.What+verb+e.At.Format("2 January 2006")+".")
		}
	}
	return st
}

// of takes over what is known of the profile.
func (st *MailServer) of(h mail.Health) {
	p := h.Profile
	st.Server, st.Sender, st.State = p.Server(), p.SenderAddress, string(p.State)
	st.Reason, st.Advice, st.Since, st.LastAccepted = p.Reason, p.Advice, p.Since, p.LastAccepted
	st.Command, st.Said, st.Link, st.Remedy = p.Command, p.Reply, p.Link, string(p.Remedy)
	st.Recipients24h, st.RecipientsLimit = h.SentToday, p.Limits().PerDay
	if h.SignedIn {
		f := h.OAuth
		st.SignedIn = &SignedIn{Who: f.Who, Tenant: f.Tenant, At: f.SignedInAt, By: f.SignedInBy, Scopes: f.Scopes, TokenFrom: f.GotAt, TokenEnds: f.Expires}
	}
}

func (c *commands) mailJournal(ctx context.Context, by actor.Actor, a MailJournal, _ Sink) (JournalPage, error) {
	f := outbox.Filter{
		Text: a.Text, State: outbox.State(a.State), Kind: a.Kind, Through: outbox.Slot(a.Server), Trace: a.Trace, Cursor: a.Cursor, Limit: a.Limit,
	}
	if a.State == "bounced" {
		f.State, f.Bounced = "", true
	}
	p, err := c.Outbox.List(ctx, by, f)
	if err != nil {
		return JournalPage{}, err
	}
	out := JournalPage{Letters: make([]Letter, len(p.Rows)), Next: p.Next}
	for i, r := range p.Rows {
		out.Letters[i] = Letter{
			ID: r.ID, MessageID: r.MessageID, Kind: r.Kind, To: r.To.Address, State: string(r.State),
			Added: r.Added, Changed: r.Changed, Attempts: int(r.Attempts), Reply: r.Reply,
			Class: r.Class.Key(), Server: r.Server, Route: string(r.Route), Tried: string(r.Tried), Trace: r.Trace, Bounce: bounceWord(r.Bounce),
		}
		if r.State == outbox.Accepted {
			out.Letters[i].Waited = r.Ended.Sub(r.Added).Seconds()
		}
	}
	return out, nil
}

// bounceWord is what came back about a letter as programs read it.
func bounceWord(b outbox.Bounce) string {
	switch {
	case b.IsZero():
		return ""
	case b.Final:
		return "failed"
	case b.Other != "":
		return "about another address"
	}
	return "delayed"
}
